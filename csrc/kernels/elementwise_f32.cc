// The elementwise kernel over float; see elementwise_program.h.
#include "kernels/elementwise_program.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {

bool prepare_elementwise_f32(const Problem* problem, Plan* plan) noexcept { return prepare_program<float>(problem, plan, false); }
void run_elementwise_f32(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_program<float>(call, begin, end, scratch);
}

// Logic over bools alone computes in float.
bool prepare_elementwise_bool(const Problem* problem, Plan* plan) noexcept { return prepare_program<float>(problem, plan, true); }
void run_elementwise_bool(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_program<float>(call, begin, end, scratch);
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(elementwise_bool)
PYNN_KERNEL(elementwise_f32)
