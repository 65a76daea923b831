// conv2d_grad_input: dx[n, ih, iw, ci] = sum over kh, kw, co of dy[n, oh, ow, co] * filter[kh, kw, ci, co] over the taps with
// ih = oh * sh - top + kh * dh and iw = ow * sw - left + kw * dw. Operands dy, filter, then dx; shapes and attributes as in conv2d.
//
// It is the forward pass over dy with the filter turned round and transposed; pixels of one class see the same taps, whatever the
// stride (conv_taps.h), so nothing is padded or spread with zeros.
#include "kernels/conv_pass.h"
#include "kernels/operands.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
bool prepare_grad_input(const Problem* problem, Plan* plan) {
  if (!conv_fits(problem->specs[2], problem->specs[1], problem->ints)) return false;
  plan_pass<T>(conv_shape(problem->specs[2], problem->specs[1], problem->ints), true, problem->ints, plan);
  return true;
}

template <class T>
void run_grad_input(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const Problem& problem = *call->problem;
  const PassOperands<T> operands{operand<const T>(call, 0), operand<const T>(call, 1), operand<T>(call, 2), nullptr,
                                 false};
  run_pass(call, conv_shape(problem.specs[2], problem.specs[1], problem.ints), true, operands, phase, begin, end, scratch);
}

}  // namespace

PYNN_FLOAT_ENTRIES(conv2d_grad_input, prepare_grad_input<T>(problem, plan), run_grad_input<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(conv2d_grad_input)
