// The gradient by the input where the input has few channels, which would leave most of a vector empty.
//
//   t[p, (kh, kw, ci)] = sum over co of dy[p, co] * filter[kh, kw, ci, co]      one product for each pixel p of dy
//   dx[ih, iw, ci] = sum over kh, kw of t[(ih + top - kh, iw + left - kw), (kh, kw, ci)]
//
// in the order of kh and kw, from zero; stride and dilation are 1. t exists for a band of rows at a time, which changes no bit.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/pool_windows.h"
#include "kernels/winograd_products.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kScatterVariant = 2;

template <class T>
bool use_scatter(const ConvShape& s) {
  const bool unit_steps = s.rows.stride == 1 && s.cols.stride == 1 && s.rows.dilation == 1 && s.cols.dilation == 1;
  return unit_steps && s.groups == 1 && 2 * s.in_channels <= Simd<T>::kLanes && filter_taps(s) > 1;
}

// Columns (kh, kw, ci), depth co.
template <class T>
Panels scatter_panels(const ConvShape& s) {
  return panels_of<T>(1, filter_taps(s) * s.in_channels, s.out_channels, 1);
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

// dx of one row; t starts with row `first` of dy.
template <class T>
void gather_row(const ConvShape& s, const T* t, std::int64_t first, std::int64_t ih, T* dx) {
  const std::int64_t pixel = padded_columns(scatter_panels<T>(s)), window = s.cols.window;
  const int channels = static_cast<int>(s.in_channels);
  const Span kh{larger(0, ih + s.rows.pad - s.rows.out_size + 1), smaller(s.rows.window, ih + s.rows.pad + 1)};
  for (std::int64_t iw = 0; iw < s.cols.size; ++iw, dx += channels) {
    const Span kw{larger(0, iw + s.cols.pad - s.cols.out_size + 1), smaller(window, iw + s.cols.pad + 1)};
    typename Simd<T>::V sum = zero<T>();
    for (std::int64_t i = kh.first; i < kh.last; ++i) {
      const T* from = t + ((ih + s.rows.pad - i - first) * s.cols.out_size + iw + s.cols.pad) * pixel + i * window * channels;
      for (std::int64_t j = kw.first; j < kw.last; ++j) sum = sum + load_partial(from - j * (pixel - channels), channels);
    }
    store_partial(dx, sum, channels);
  }
}

// dx of a region from dy, whose image n starts at dy.base + n * dy.image and has its row 0 there.
template <class T>
void scatter_region(const ConvShape& s, const Pixels<const T>& dy, const T* packed, const Region& region, T* dx, T* room) {
  const Panels panels = scatter_panels<T>(s);
  const Span rows = reached_rows(s.rows, region.row0, region.row1);
  const std::int64_t row = s.cols.size * s.in_channels;
  for (std::int64_t n = region.image0; n < region.image1; ++n) {
    const T* from = dy.base + n * dy.image + rows.first * dy.row;
    for (std::int64_t i = 0; i < panel_count(panels); ++i) {
      const Panel panel = panel_at(panels, i);
      row_product(panel.width, from, dy.pixel, (rows.last - rows.first) * s.cols.out_size, packed + panel.offset, panels.depth,
                  room + panel.first_column, padded_columns(panels));
    }
    for (std::int64_t r = region.row0; r < region.row1; ++r) gather_row(s, room, rows.first, r, dx + (n * s.rows.size + r) * row);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
