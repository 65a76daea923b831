// conv2d_grad_filter: dfilter[kh, kw, ci, co] = sum over n, oh, ow of x[n, oh * sh - top + kh * dh, ow * sw - left + kw * dw, ci] *
// dy[n, oh, ow, co]. Operands x, dy, then dfilter; shapes and attributes as in conv2d. Order of additions: conv_filter_grad.h.
#include "kernels/cache.h"
#include "kernels/conv_filter_grad.h"
#include "kernels/operands.h"
#include "kernels/winograd_filter.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
bool prepare_grad_filter(const Problem* problem, Plan* plan) {
  if (!conv_fits(problem->specs[0], problem->specs[2], problem->ints)) return false;
  const ConvShape s = conv_shape(problem->specs[0], problem->specs[2], problem->ints);
  if (use_winograd<T>(s, problem->ints, false))
    plan_winograd_filter<T>(winograd_filter<T>(s), conv_cost_ns<T>(s), plan);
  else plan_filter_grad<T>(filter_grad<T>(s, GradientIs::kArray), plan);
  return true;
}

constexpr std::int64_t kAheadBytes = 8 << 10;  // memory's answer takes as long as copying so much

// Of each panel to[pixel][j] = dy[pixel][column + j], zeros behind the panel's last column.
template <class T>
void pack_gradient(const ConvShape& s, const Panels& panels, const PackedGradient<T>& packed, const T* dy, const Region& block) {
  constexpr std::int64_t kLanes = Simd<T>::kLanes;
  const std::int64_t pixels = (block.row1 - block.row0) * s.cols.out_size;
  Panel group[kPanelsTogether];
  T* to[kPanelsTogether];
  const int count = static_cast<int>(packed.panels.length());
  for (int i = 0; i < count; ++i) {
    group[i] = panel_at(panels, packed.panels.first + i);
    to[i] = packed.to + i * packed.stride;
  }
  for (std::int64_t n = block.image0; n < block.image1; ++n) {
    const T* from = dy + (n * s.rows.out_size + block.row0) * s.cols.out_size * s.out_channels;
    for (std::int64_t p = 0; p < pixels; ++p, from += s.out_channels)
      for (int i = 0; i < count; ++i) {
        const Panel& panel = group[i];
        const T* at = from + output_column(panels, panel);
        for (std::int64_t j = 0; j < panel.width; j += kLanes) {
          prefetch<Use::kRead>(at + j + kAheadBytes / kSizeOf<T>);
          store<T>(to[i] + j, load_lanes<T>(at + j, lanes_left<T>(panel.columns - j)));
        }
        to[i] += panel.width;
      }
  }
}

template <class T>
void run_winograd(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const WinogradFilter f = winograd_filter<T>(s);
  const DenseSource<T> x = dense_source(operand<const T>(call, 0), input_image(s));
  const DenseSource<T> dy = dense_source(operand<const T>(call, 1), output_image(s));
  run_winograd_filter(f, x, dy, workspace<T>(call), operand<T>(call, 2), phase, begin, end, scratch);
}

template <class T>
void run_grad_filter(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const Problem& problem = *call->problem;
  const ConvShape s = conv_shape(problem.specs[0], problem.specs[2], problem.ints);
  if constexpr (has_winograd<T>())
    if (call->plan->variant == kWinogradVariant) return run_winograd<T>(call, s, phase, begin, end, scratch);
  const FilterGrad f = filter_grad<T>(s, GradientIs::kArray);
  const T *x = operand<const T>(call, 0), *dy = operand<const T>(call, 1);
  T* sums = workspace<T>(call);
  if (phase == 1) return reduce_filter_grad(f, sums, operand<T>(call, 2), begin, end);
  sum_filter_grad(f, x, dy, sums, begin, end, scratch, [&](const PackedGradient<T>& packed, const Region& block) {
    pack_gradient(s, f.panels, packed, dy, block);
  });
}

}  // namespace

PYNN_FLOAT_ENTRIES(conv2d_grad_filter, prepare_grad_filter<T>(problem, plan), run_grad_filter<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(conv2d_grad_filter)
