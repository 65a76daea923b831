// Copies between tensors of the same bytes.
#include "kernels/micro.h"
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kCopyChunkBytes = 1 << 16;

// size[0]: elements of float that cover the tensor
void micro_copy(const MicroOp* op) noexcept {
  for (int i = 0; i < op->size[0]; i += Simd<float>::kLanes) store(micro_output<float>(op) + i, load(micro_input<float>(op, 0) + i));
}
int micro_copy_form(const Problem*, const Plan* plan, MicroCode* codes) noexcept {
  codes[0] = micro_code(micro_copy, 0, kMicroAbsent, kMicroAbsent, 1);
  codes[0].op.size[0] = static_cast<std::int16_t>((plan->params[0] + 3) / 4);
  return 1;
}

}  // namespace

// out[i] = x[i]; any dtype, out and x do not overlap.
bool prepare_copy(const Problem* problem, Plan* plan) noexcept {
  const Spec& x = problem->specs[0];
  const std::int64_t bytes = x.size * dtype_bytes(x.dtype);
  plan->params[0] = bytes;
  plan->chunks[0] = ceil_divide(bytes, kCopyChunkBytes);
  plan->cost_ns = streaming_ns(bytes);
  plan->micro = micro_copy_form;
  return true;
}

void run_copy(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const Range range = chunk_range(begin, end, kCopyChunkBytes, call->plan->params[0]);
  std::memcpy(operand<char>(call, 1) + range.first, operand<const char>(call, 0) + range.first,
              static_cast<std::size_t>(range.length()));
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(copy)
