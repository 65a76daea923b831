// The gradient by the input where the input has few channels, which would leave most of a vector empty.
//
//   t[p, (kh, kw, ci)] = sum over co of dy[p, co] * filter[kh, kw, ci, co]      one product for each pixel p of dy
//   dx[ih, iw, ci] = sum over kh, kw of t[(ih + top - kh, iw + left - kw), (kh, kw, ci)]
//
// in the order of kh and kw, from zero, or in steps of the dilation; the stride is 1. t exists for a band of rows at a time, which changes no bit.
//
// A convolution to few channels goes the same way: it is the gradient by the input of one from them, with the filter turned round.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/pool_windows.h"
#include "kernels/winograd_products.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kScatterVariant = 2;

// By what a pixel costs: products in whole vectors, and for each tap something like two more for what is added up afterwards.
template <class T>
bool use_scatter(const ConvShape& s) {
  if (s.rows.stride != 1 || s.cols.stride != 1 || s.groups != 1 || s.in_channels >= Simd<T>::kLanes) return false;
  const std::int64_t taps = filter_taps(s), vectors = ceil_div(taps * s.in_channels, Simd<T>::kLanes);
  return 5 * (vectors * s.out_channels + 2 * taps) < 4 * taps * s.out_channels;
}

// The convolution whose gradient by the input is `s`, forward.
inline WindowAxis turned_round(const WindowAxis& axis) {
  return WindowAxis{axis.out_size, axis.size, axis.window, axis.stride, axis.dilation, (axis.window - 1) * axis.dilation - axis.pad};
}
inline ConvShape turned_round(const ConvShape& s) {
  return ConvShape{turned_round(s.rows), turned_round(s.cols), s.batch, s.out_channels, s.in_channels, s.groups, s.group_out, s.group_in};
}

// Columns (kh, kw, ci), depth co.
template <class T>
Panels scatter_panels(const ConvShape& s) {
  return panels_of<T>(1, filter_taps(s) * s.in_channels, s.out_channels, 1);
}

// Panel `index` of scatter_panels(s) from the filter (kh, kw, co, ci) of the convolution that turned_round made s of.
template <class T>
void pack_turned_panel(const ConvShape& s, std::int64_t index, const T* filter, T* packed) {
  const Panel panel = panel_at(scatter_panels<T>(s), index);
  T* to = packed + panel.offset;
  for (std::int64_t j = 0; j < panel.width; ++j) {
    const std::int64_t column = smaller(panel.first_column + j, filter_taps(s) * s.in_channels - 1);  // behind the last one the same
    const std::int64_t tap = filter_taps(s) - 1 - column / s.in_channels;
    const T* from = filter + tap * s.out_channels * s.in_channels + column % s.in_channels;
    for (std::int64_t d = 0; d < s.out_channels; ++d) to[d * panel.width + j] = from[d * s.in_channels];
  }
}

template <class T>
void pack_turned_panels(const ConvShape& s, const T* filter, T* packed, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) pack_turned_panel(s, i, filter, packed);
}

// The rows of the output gradient that rows [row0, row1) of the input reach.
inline Span reached_rows(const WindowAxis& axis, std::int64_t row0, std::int64_t row1) {
  const std::int64_t first = ceil_div(row0 + axis.pad - (axis.window - 1) * axis.dilation, axis.stride);
  const std::int64_t last = (row1 - 1 + axis.pad) / axis.stride + 1;
  const Span span{clamped(first, 0, axis.out_size), clamped(last, 0, axis.out_size)};
  return Span{span.first, larger(span.first, span.last)};
}
// How many they are for any `rows` rows of the input, at most.
inline std::int64_t most_reached(const WindowAxis& axis, std::int64_t rows) {
  return smaller((rows - 1 + (axis.window - 1) * axis.dilation) / axis.stride + 1, axis.out_size);
}

// Elements of t for `rows` rows of dy.
template <class T>
std::int64_t scatter_room(const ConvShape& s, std::int64_t rows) {
  return rows * s.cols.out_size * padded_columns(scatter_panels<T>(s));
}

// Scratch of a band of so many rows of dx.
template <class T>
std::int64_t scattered_bytes(const ConvShape& s, std::int64_t band_rows) {
  return scatter_room<T>(s, most_reached(s.rows, band_rows)) * static_cast<std::int64_t>(sizeof(T));
}

// Phase 0 packs the filter, phase 1 goes over blocks of rows.
template <class T>
void plan_scattered(const ConvShape& s, Plan* plan) {
  plan_packing<T>(scatter_panels<T>(s), true, plan);
  const std::int64_t image_bytes = scatter_room<T>(s, s.rows.out_size) * static_cast<std::int64_t>(sizeof(T));
  plan_blocks(BlockRequest{s.batch, s.rows.size, 1, image_bytes, kSourceBlockBytes, conv_cost_ns<T>(s), 1}, plan, 1);
  plan->variant = kScatterVariant;
  plan->scratch_bytes = scattered_bytes<T>(s, plan->params[kBandRows]);
}

// The taps through which position `at` is reached.
PYNN_INLINE Span reaching_taps(const WindowAxis& axis, std::int64_t at) {
  const std::int64_t first = at + axis.pad - axis.out_size + 1, last = at + axis.pad + 1;
  if (axis.dilation == 1) return Span{larger(0, first), smaller(axis.window, last)};  // a division takes as long as three taps
  return Span{larger(0, ceil_div(first, axis.dilation)), smaller(axis.window, ceil_div(last, axis.dilation))};
}

// One row of dx, `cols` pixels of it; t starts with row `first` of dy.
template <class T>
void gather_row(const ConvShape& s, const T* t, std::int64_t first, std::int64_t ih, std::int64_t cols, T* dx, std::int64_t dx_pixel,
                const Epilogue<T>& e) {
  const std::int64_t pixel = padded_columns(scatter_panels<T>(s)), window = s.cols.window, channels = s.in_channels;
  const std::int64_t down = s.rows.dilation * s.cols.out_size * pixel - window * channels, right = s.cols.dilation * pixel - channels;  // back
  const Span kh = reaching_taps(s.rows, ih);
  for (std::int64_t iw = 0; iw < cols; ++iw, dx += dx_pixel) {
    const Span kw = reaching_taps(s.cols, iw);
    const T* corner = t + ((ih + s.rows.pad - first) * s.cols.out_size + iw + s.cols.pad) * pixel;
    typename Simd<T>::V sum = zero<T>();
    for (std::int64_t i = kh.first; i < kh.last; ++i)
      for (std::int64_t j = kw.first; j < kw.last; ++j) sum = sum + load_partial(corner - i * down - j * right, e.columns);
    store_partial(dx, finish(sum, e, 0, e.columns), e.columns);
  }
}

// The first `cols` columns of dx in a region from dy. Of both, image n starts at base + n * image and has its row 0 there.
template <class T>
void scatter_region(const ConvShape& s, const Pixels<const T>& dy, const T* packed, const Region& region, std::int64_t cols, const Pixels<T>& dx,
                    const T* bias, bool relu, T* room) {
  const Panels panels = scatter_panels<T>(s);
  const Span rows = reached_rows(s.rows, region.row0, region.row1);
  const Epilogue<T> e{bias, relu, static_cast<int>(s.in_channels)};
  for (std::int64_t n = region.image0; n < region.image1; ++n) {
    const T* from = dy.base + n * dy.image + rows.first * dy.row;
    for (std::int64_t i = 0; i < panel_count(panels); ++i) {
      const Panel panel = panel_at(panels, i);
      row_product(panel.width, from, dy.pixel, (rows.last - rows.first) * s.cols.out_size, packed + panel.offset, panels.depth,
                  room + panel.first_column, padded_columns(panels));
    }
    for (std::int64_t r = region.row0; r < region.row1; ++r)
      gather_row(s, room, rows.first, r, cols, dx.base + n * dx.image + r * dx.row, dx.pixel, e);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
