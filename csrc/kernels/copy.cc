// Copies between tensors of the same bytes.
#include "kernels/micro.h"
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
  plan->chunks[0] = (bytes + kCopyChunkBytes - 1) / kCopyChunkBytes;
  plan->cost_ns = static_cast<double>(bytes) / 30;
  plan->micro = micro_copy_form;
  return true;
}

void run_copy(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const std::int64_t bytes = call->plan->params[0];
  const std::int64_t first = begin * kCopyChunkBytes;
  const std::int64_t last = end * kCopyChunkBytes < bytes ? end * kCopyChunkBytes : bytes;
  std::memcpy(static_cast<char*>(call->data[1]) + first, static_cast<const char*>(call->data[0]) + first,
              static_cast<std::size_t>(last - first));
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(copy)
