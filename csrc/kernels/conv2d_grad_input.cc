// conv2d_grad_input: dx[n, ih, iw, ci] = sum over kh, kw, co of dy[n, oh, ow, co] * filter[kh, kw, ci, co] over the taps with
// ih = oh * sh - top + kh * dh and iw = ow * sw - left + kw * dw. Operands dy, filter, then dx; shapes and attributes as in conv2d.
//
// It is the forward kernel over dy with the filter turned round and transposed; pixels of one class see the same taps, whatever the
// stride (conv_taps.h), so nothing is padded or spread with zeros.
#include "kernels/conv_pointwise.h"
#include "kernels/conv_scatter.h"
#include "kernels/winograd.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
bool prepare_grad_input(const Problem* problem, Plan* plan) {
  const ConvShape s = conv_shape(problem->specs[2], problem->specs[1], problem->ints);
  if (has_winograd<T>() && use_winograd(s, problem->ints, s.rows.size, s.cols.size)) {
    plan_winograd<T>(winograd_shape<T>(s, true, true), conv_cost_ns<T>(s), plan);
    return true;
  }
  if (use_product(s, true)) {
    plan_matrix_product<T>(product_of(s, true), plan);
    plan->variant = kProductVariant;
    return true;
  }
  if (use_scatter<T>(s)) {
    plan_scattered<T>(s, plan);
    return true;
  }
  plan_packing<T>(filter_panels<T>(s, true), true, plan);
  const std::int64_t image_bytes = s.rows.out_size * s.cols.out_size * s.out_channels * static_cast<std::int64_t>(sizeof(T));
  plan_tiles<T>(correlation_of(s, true), filter_panels<T>(s, true),
                BlockRequest{s.batch, s.rows.size, s.rows.stride, image_bytes, kSourceBlockBytes, conv_cost_ns<T>(s)}, plan);
  return true;
}

template <class T>
void run_winograd(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const WinogradShape w = winograd_shape<T>(s, true, true);
  const WinogradFilters<T> filters{static_cast<const T*>(call->data[1]), true, static_cast<T*>(call->shared)};
  if (phase == 0) return prepare_filters(w, *call->plan, filters, begin, end);
  const DenseSource<T> source{static_cast<const T*>(call->data[0]), s.rows.out_size, s.cols.out_size, s.out_channels};
  const DenseSink<T> sink{static_cast<T*>(call->data[2]), s.rows.size, s.cols.size, s.in_channels, nullptr, false};
  winograd_pass(w, *call->plan, source, filters, sink, begin, end, scratch);
  const Pixels<const T> from = dense_pixels(source.base, source.rows, source.cols, source.channels);
  const Pixels<T> to = dense_pixels(sink.base, sink.rows, sink.cols, sink.channels);
  for_each_edge(w, *call->plan, s, true, begin, end, [&](const Correlation& g, const Region& region) {
    correlate_panels<T>(g, edge_panels(w), all_panels(w.panels), from, to, edge_filter(w, filters), region, nullptr, false);
  });
}

template <class T>
void run_grad_input(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const Problem& problem = *call->problem;
  const ConvShape s = conv_shape(problem.specs[2], problem.specs[1], problem.ints);
  if constexpr (has_winograd<T>())
    if (call->plan->variant == kWinogradVariant) return run_winograd<T>(call, s, phase, begin, end, scratch);
  if (call->plan->variant == kProductVariant) return run_matrix_product(call, phase, begin, end, static_cast<const T*>(nullptr), false, scratch);
  const bool scatter = call->plan->variant == kScatterVariant;
  const Panels panels = scatter ? scatter_panels<T>(s) : filter_panels<T>(s, true);
  T* packed = static_cast<T*>(call->shared);
  if (phase == 0) return pack_panels(panels, true, static_cast<const T*>(call->data[1]), packed, begin, end);
  const Correlation g = planned(correlation_of(s, true), *call->plan);
  const Pixels<const T> source = dense_pixels(static_cast<const T*>(call->data[0]), s.rows.out_size, s.cols.out_size, s.out_channels);
  const Pixels<T> out = dense_pixels(static_cast<T*>(call->data[2]), s.rows.size, s.cols.size, s.in_channels);
  for_each_part(*call->plan, panels, s.rows.size, begin, end, [&](const Region& region, const PanelSpan& span) {
    const std::int64_t band_rows = call->plan->params[kBandRows];
    if (scatter) scatter_region<T>(s, source, packed, region, s.cols.size, out, nullptr, false, band_rows, static_cast<T*>(scratch));
    else correlate_panels<T>(g, panels, span, source, out, packed, region, nullptr, false);
  });
}

}  // namespace

bool prepare_conv2d_grad_input_f32(const Problem* problem, Plan* plan) noexcept { return prepare_grad_input<float>(problem, plan); }
bool prepare_conv2d_grad_input_f64(const Problem* problem, Plan* plan) noexcept { return prepare_grad_input<double>(problem, plan); }

void run_conv2d_grad_input_f32(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_grad_input<float>(call, phase, begin, end, scratch);
}
void run_conv2d_grad_input_f64(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_grad_input<double>(call, phase, begin, end, scratch);
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(conv2d_grad_input_f32)
PYNN_KERNEL(conv2d_grad_input_f64)
