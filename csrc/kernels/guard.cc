// A guard stops a step before anything of it is committed.
#include "kernels/finite.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kGuardChunk = 1 << 15;  // elements
constexpr std::int32_t kNotFinite = 1;

template <class T>
bool prepare_guard(const Problem* problem, Plan* plan) noexcept {
  const std::int64_t n = problem->specs[0].size;
  plan->chunks[0] = (n + kGuardChunk - 1) / kGuardChunk;
  plan->cost_ns = static_cast<double>(n) * sizeof(T) / 60;
  return true;
}

template <class T>
void run_guard(const Call* call, std::int64_t begin, std::int64_t end) noexcept {
  const std::int64_t n = call->problem->specs[0].size;
  const std::int64_t first = begin * kGuardChunk;
  const std::int64_t last = end * kGuardChunk < n ? end * kGuardChunk : n;
  if (all_finite(static_cast<const T*>(call->data[0]) + first, last - first)) return;
  call->failure->values[0] = call->problem->ints[0];
  call->failure->code = kNotFinite;
}

}  // namespace

// Fails with code 1 and values[0] = ints[0] (the label) if an element of x is NaN or infinite. No output.
PYNN_FLOAT_ENTRIES(guard_finite, prepare_guard<T>(problem, plan), run_guard<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(guard_finite)
