// conv2d: y[n, oh, ow, co] = sum over kh, kw, ci of x[n, oh * sh - top + kh * dh, ow * sw - left + kw * dw, ci] * filter[kh, kw, ci, co]
// conv2d_bias_act: the same, + bias[co], then max(., 0) if asked for.
//
// x and y are NHWC, filter is (kh, kw, in_channels / groups, out_channels); group g of the outputs sees group g of the inputs. Where
// x[...] is padding the term is left out.
#include "kernels/conv_pass.h"
#include "kernels/operands.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
bool prepare_forward(const Problem* problem, Plan* plan) {
  if (!conv_fits(problem->specs[0], problem->specs[1], problem->ints)) return false;
  plan_pass<T>(conv_shape(problem->specs[0], problem->specs[1], problem->ints), false, problem->ints, plan);
  return true;
}

template <class T>
void run_forward(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch, const T* bias,
                 bool relu, T* y) {
  const Problem& problem = *call->problem;
  const PassOperands<T> operands{operand<const T>(call, 0), operand<const T>(call, 1), y, bias, relu};
  run_pass(call, conv_shape(problem.specs[0], problem.specs[1], problem.ints), false, operands, phase, begin, end, scratch);
}

template <class T>
void run_conv2d(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  run_forward<T>(call, phase, begin, end, scratch, nullptr, false, operand<T>(call, 2));
}

template <class T>
void run_conv2d_bias_act(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const bool relu = call->problem->ints[kActivation] != 0;
  run_forward<T>(call, phase, begin, end, scratch, operand<const T>(call, 2), relu, operand<T>(call, 3));
}

}  // namespace

PYNN_FLOAT_ENTRIES(conv2d, prepare_forward<T>(problem, plan), run_conv2d<T>(call, phase, begin, end, scratch))
PYNN_FLOAT_ENTRIES(conv2d_bias_act, prepare_forward<T>(problem, plan), run_conv2d_bias_act<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(conv2d)
PYNN_FLOAT_KERNELS(conv2d_bias_act)
