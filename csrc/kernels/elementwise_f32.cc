// The elementwise kernel over float; see elementwise_program.h.
#include "kernels/elementwise_program.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {

PYNN_TYPED_ENTRY(elementwise_f32, float, prepare_program<T>(problem, plan, false), run_program<T>(call, begin, end, scratch))

// Logic over bools alone computes in float.
PYNN_TYPED_ENTRY(elementwise_bool, float, prepare_program<T>(problem, plan, true), run_program<T>(call, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(elementwise_bool)
PYNN_KERNEL(elementwise_f32)
