// The elementwise kernel over double; see elementwise_program.h.
#include "kernels/elementwise_program.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {

bool prepare_elementwise_f64(const Problem* problem, Plan* plan) noexcept { return prepare_program<double>(problem, plan, false); }
void run_elementwise_f64(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_program<double>(call, begin, end, scratch);
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(elementwise_f64)
