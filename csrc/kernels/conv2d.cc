// conv2d: y[n, oh, ow, co] = sum over kh, kw, ci of x[n, oh * sh - top + kh * dh, ow * sw - left + kw * dw, ci] * filter[kh, kw, ci, co]
// conv2d_bias_act: the same, + bias[co], then max(., 0) if asked for.
//
// x and y are NHWC, filter is (kh, kw, in_channels / groups, out_channels); group g of the outputs sees group g of the inputs. Where
// x[...] is padding the term is left out. Phase 0 packs the filter into shared memory, phase 1 computes blocks of pixels.
// Where the policy allows it and the shape is worth it, by Winograd's algorithm (winograd.h); to few channels as a gradient by the input is
// scattered (conv_scatter.h), or as a matrix product if the filter is 1x1 (conv_pointwise.h).
#include "kernels/conv_pointwise.h"
#include "kernels/conv_scatter.h"
#include "kernels/winograd.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
bool prepare_forward(const Problem* problem, Plan* plan) {
  const ConvShape s = conv_shape(problem->specs[0], problem->specs[1], problem->ints);
  if (has_winograd<T>() && use_winograd(s, problem->ints, s.rows.out_size, s.cols.out_size)) {
    plan_winograd<T>(winograd_shape<T>(s, false, true), conv_cost_ns<T>(s), plan);
    keep_filters<T>(winograd_shape<T>(s, false, true), plan);
    return true;
  }
  if (use_product(s, false)) {
    plan_matrix_product<T>(product_of(s, false), plan);
    plan->variant = kProductVariant;
    return true;
  }
  if (use_scatter<T>(turned_round(s))) {
    plan_scattered<T>(turned_round(s), plan);
    return true;
  }
  plan_packing<T>(filter_panels<T>(s, false), false, plan);
  const std::int64_t image_bytes = s.rows.size * s.cols.size * s.in_channels * static_cast<std::int64_t>(sizeof(T));
  plan_tiles<T>(correlation_of(s, false), filter_panels<T>(s, false),
                BlockRequest{s.batch, s.rows.out_size, 1, image_bytes, kSourceBlockBytes, conv_cost_ns<T>(s)}, plan);
  return true;
}

template <class T>
void run_winograd(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch,
                  const DenseSink<T>& sink) {
  const WinogradShape w = winograd_shape<T>(s, false, true);
  const WinogradFilters<T> filters{static_cast<const T*>(call->data[1]), false, static_cast<T*>(call->shared)};
  if (phase == 0) return prepare_filters(w, *call->plan, filters, begin, end);
  const DenseSource<T> source{static_cast<const T*>(call->data[0]), s.rows.size, s.cols.size, s.in_channels};
  winograd_pass(w, *call->plan, source, filters, sink, begin, end, scratch);
  const Pixels<const T> from = dense_pixels(source.base, source.rows, source.cols, source.channels);
  const Pixels<T> to = dense_pixels(sink.base, sink.rows, sink.cols, sink.channels);
  for_each_edge(w, *call->plan, s, false, begin, end, [&](const Correlation& g, const Region& region) {
    correlate_panels<T>(g, edge_panels(w), all_panels(w.panels), from, to, edge_filter(w, filters), region, sink.bias, sink.relu);
  });
}

// s is turned round.
template <class T>
void run_scattered(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch,
                   const DenseSink<T>& sink) {
  T* packed = static_cast<T*>(call->shared);
  if (phase == 0) return pack_turned_panels(s, static_cast<const T*>(call->data[1]), packed, begin, end);
  const Pixels<const T> source = dense_pixels(static_cast<const T*>(call->data[0]), s.rows.out_size, s.cols.out_size, s.out_channels);
  const Pixels<T> out = dense_pixels(sink.base, sink.rows, sink.cols, sink.channels);
  for_each_block(*call->plan, s.rows.size, begin, end, [&](const Region& region) {
    scatter_region<T>(s, source, packed, region, s.cols.size, out, sink.bias, sink.relu, call->plan->params[kBandRows],
                      static_cast<T*>(scratch));
  });
}

template <class T>
void run_forward(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch, const T* bias,
                 bool relu, T* y) {
  const Problem& problem = *call->problem;
  const ConvShape s = conv_shape(problem.specs[0], problem.specs[1], problem.ints);
  const DenseSink<T> sink{y, s.rows.out_size, s.cols.out_size, s.out_channels, bias, relu};
  if constexpr (has_winograd<T>())
    if (call->plan->variant == kWinogradVariant) return run_winograd<T>(call, s, phase, begin, end, scratch, sink);
  if (call->plan->variant == kProductVariant) return run_matrix_product(call, phase, begin, end, bias, relu, scratch);
  if (call->plan->variant == kScatterVariant) return run_scattered<T>(call, turned_round(s), phase, begin, end, scratch, sink);
  const Panels panels = filter_panels<T>(s, false);
  const T* x = static_cast<const T*>(call->data[0]);
  const T* filter = static_cast<const T*>(call->data[1]);
  T* packed = static_cast<T*>(call->shared);
  if (phase == 0) return pack_panels(panels, false, filter, packed, begin, end);
  const Correlation g = planned(correlation_of(s, false), *call->plan);
  const Pixels<const T> source = dense_pixels(x, s.rows.size, s.cols.size, s.in_channels);
  const Pixels<T> out = dense_pixels(y, s.rows.out_size, s.cols.out_size, s.out_channels);
  for_each_part(*call->plan, panels, s.rows.out_size, begin, end, [&](const Region& region, const PanelSpan& span) {
    correlate_panels<T>(g, panels, span, source, out, call->plan->chunks[0] ? packed : filter, region, bias, relu);
  });
}

template <class T>
void run_conv2d(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  run_forward<T>(call, phase, begin, end, scratch, nullptr, false, static_cast<T*>(call->data[2]));
}

template <class T>
void run_conv2d_bias_act(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const bool relu = call->problem->ints[kActivation] != 0;
  run_forward<T>(call, phase, begin, end, scratch, static_cast<const T*>(call->data[2]), relu, static_cast<T*>(call->data[3]));
}

}  // namespace

bool prepare_conv2d_f32(const Problem* problem, Plan* plan) noexcept { return prepare_forward<float>(problem, plan); }
bool prepare_conv2d_f64(const Problem* problem, Plan* plan) noexcept { return prepare_forward<double>(problem, plan); }
bool prepare_conv2d_bias_act_f32(const Problem* problem, Plan* plan) noexcept { return prepare_forward<float>(problem, plan); }
bool prepare_conv2d_bias_act_f64(const Problem* problem, Plan* plan) noexcept { return prepare_forward<double>(problem, plan); }

void run_conv2d_f32(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_conv2d<float>(call, phase, begin, end, scratch);
}
void run_conv2d_f64(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_conv2d<double>(call, phase, begin, end, scratch);
}
void run_conv2d_bias_act_f32(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_conv2d_bias_act<float>(call, phase, begin, end, scratch);
}
void run_conv2d_bias_act_f64(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_conv2d_bias_act<double>(call, phase, begin, end, scratch);
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(conv2d_f32)
PYNN_KERNEL(conv2d_f64)
PYNN_KERNEL(conv2d_bias_act_f32)
PYNN_KERNEL(conv2d_bias_act_f64)
