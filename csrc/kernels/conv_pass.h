// One pass of a convolution over images in memory, forward or adjoint (the input gradient), by the way that suits its shape: Winograd's
// algorithm where the policy allows it (winograd.h), as a matrix product if the filter is 1x1 (conv_pointwise.h), scattered to few channels
// (conv_scatter.h), or else by register tiles (conv_correlate.h). Phase 0 packs the filter into shared memory, phase 1 computes blocks of pixels.
#pragma once

#include "kernels/conv_pointwise.h"
#include "kernels/conv_scatter.h"
#include "kernels/operands.h"
#include "kernels/winograd.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
struct PassOperands {
  const T* source;
  const T* filter;
  T* out;
  const T* bias;  // may be null
  bool relu;
};

template <class T>
void plan_pass(const ConvShape& s, bool adjoint, const std::int64_t* ints, Plan* plan) {
  if (use_winograd<T>(s, ints, adjoint)) {
    const WinogradShape w = winograd_shape<T>(s, adjoint, true);
    plan_winograd<T>(w, conv_cost_ns<T>(s), plan);
    if (!adjoint) keep_filters<T>(w, plan);
  } else if (use_product(s, adjoint)) {
    plan_matrix_product<T>(point_product(s, adjoint), plan);
    plan->variant = kProductVariant;
  } else if (use_scatter<T>(scattered(s, adjoint))) {
    plan_scattered<T>(scattered(s, adjoint), plan);
  } else {
    const Panels panels = filter_panels<T>(s, adjoint);
    plan_packing<T>(panels, adjoint, plan);
    plan_tiles<T>(correlation_of(s, adjoint), panels,
                  BlockRequest{s.batch, result_image(s, adjoint).rows, adjoint ? s.rows.stride : 1, image_bytes<T>(source_image(s, adjoint)),
                               kSourceBlockBytes, conv_cost_ns<T>(s)}, plan);
  }
}

template <class T>
void run_winograd(const Call* call, const ConvShape& s, bool adjoint, const PassOperands<T>& o, std::int32_t phase, std::int64_t begin,
                  std::int64_t end, void* scratch) {
  const WinogradShape w = winograd_shape<T>(s, adjoint, true);
  const WinogradFilters<T> filters{o.filter, adjoint, workspace<T>(call)};
  if (phase == 0) return prepare_filters(w, *call->plan, filters, begin, end);
  const ImageSize from = source_image(s, adjoint), to = result_image(s, adjoint);
  winograd_pass(w, *call->plan, dense_source(o.source, from), filters, dense_sink(o.out, to, o.bias, o.relu), begin, end, scratch);
  for_each_edge(w, *call->plan, s, adjoint, begin, end, [&](const Correlation& g, const Region& region) {
    correlate_panels<T>(g, edge_panels(w), all_panels(w.panels), dense_pixels(o.source, from), dense_pixels(o.out, to), edge_filter(w, filters),
                        region, o.bias, o.relu);
  });
}

template <class T>
void run_scattered(const Call* call, const ConvShape& s, bool adjoint, const PassOperands<T>& o, std::int32_t phase, std::int64_t begin,
                   std::int64_t end, void* scratch) {
  const ConvShape turned = scattered(s, adjoint);
  const ImageSize to = result_image(s, adjoint);
  T* packed = workspace<T>(call);
  if (phase == 0) return pack_scattered(s, adjoint, o.filter, packed, begin, end);
  for_each_block(*call->plan, to.rows, begin, end, [&](const Region& region) {
    scatter_region<T>(turned, dense_pixels(o.source, source_image(s, adjoint)), packed, region, to.cols, dense_pixels(o.out, to), o.bias, o.relu,
                      call->plan->params[kBandRows], static_cast<T*>(scratch));
  });
}

template <class T>
void run_tiles(const Call* call, const ConvShape& s, bool adjoint, const PassOperands<T>& o, std::int32_t phase, std::int64_t begin,
               std::int64_t end) {
  const Panels panels = filter_panels<T>(s, adjoint);
  T* packed = workspace<T>(call);
  if (phase == 0) return pack_panels(panels, adjoint, o.filter, packed, begin, end);
  const Correlation g = planned(correlation_of(s, adjoint), *call->plan);
  const ImageSize to = result_image(s, adjoint);
  for_each_part(*call->plan, panels, to.rows, begin, end, [&](const Region& region, const Range& span) {
    correlate_panels<T>(g, panels, span, dense_pixels(o.source, source_image(s, adjoint)), dense_pixels(o.out, to),
                        call->plan->chunks[0] ? packed : o.filter, region, o.bias, o.relu);
  });
}

// A product reads the operands of the call: source, filter and result.
template <class T>
void run_pass(const Call* call, const ConvShape& s, bool adjoint, const PassOperands<T>& o, std::int32_t phase, std::int64_t begin,
              std::int64_t end, void* scratch) {
  switch (call->plan->variant) {
    case kWinogradVariant:
      if constexpr (has_winograd<T>()) run_winograd(call, s, adjoint, o, phase, begin, end, scratch);
      return;
    case kProductVariant: return run_matrix_product(call, phase, begin, end, o.bias, o.relu, scratch);
    case kScatterVariant: return run_scattered(call, s, adjoint, o, phase, begin, end, scratch);
    default: return run_tiles(call, s, adjoint, o, phase, begin, end);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
