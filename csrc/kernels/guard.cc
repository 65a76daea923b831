// A guard stops a step before anything of it is committed.
#include "kernels/finite.h"
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kGuardChunk = 1 << 15;  // elements
constexpr std::int32_t kNotFinite = 1;

template <class T>
bool prepare_guard(const Problem* problem, Plan* plan) {
  const std::int64_t n = problem->specs[0].size;
  plan->chunks[0] = ceil_divide(n, kGuardChunk);
  plan->cost_ns = streaming_ns(n * kSizeOf<T>, 0.5);
  return true;
}

template <class T>
void run_guard(const Call* call, std::int64_t begin, std::int64_t end) {
  const Range range = chunk_range(begin, end, kGuardChunk, call->problem->specs[0].size);
  if (all_finite(operand<const T>(call, 0) + range.first, range.length())) return;
  fail(call->failure, kNotFinite, call->problem->ints[0]);
}

}  // namespace

// Fails with code 1 and values[0] = ints[0] (the label) if an element of x is NaN or infinite. No output.
PYNN_FLOAT_ENTRIES(guard_finite, prepare_guard<T>(problem, plan), run_guard<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(guard_finite)
