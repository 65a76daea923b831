// The elementwise kernel over double; see elementwise_program.h.
#include "kernels/elementwise_program.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {

PYNN_TYPED_ENTRY(elementwise_f64, double, prepare_program<T>(problem, plan, false), run_program<T>(call, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(elementwise_f64)
