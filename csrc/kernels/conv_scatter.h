// The input gradient where the input has few channels, which would leave most of a vector empty.
//
//   t[p, (kh, kw, ci)] = sum over co of dy[p, co] * filter[kh, kw, ci, co]      one product for each pixel p of dy
//   dx[ih, iw, ci] = sum over kh, kw of t[(ih + top - kh, iw + left - kw), (kh, kw, ci)]
//
// in the order of kh and kw, from zero, or in steps of the dilation; the stride is 1. Of t there are a few rows at a time.
//
// A convolution to few channels goes the same way: it is the input gradient of a convolution from them, with the filter turned round.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/conv_tile.h"
#include "kernels/pool_windows.h"
#include "kernels/winograd_products.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// By hundredths of a cycle for each pixel, measured: the products of whole taps with what they write, and what is added up of them, against the
// tiles of few columns or (conv_turned.h) very few.
template <class T>
bool use_scatter(const ConvShape& s) {
  constexpr std::int64_t kProduct = 55, kWritten = 200, kAdded = 200, kTile = 54, kTurnedTile = 40;
  if (s.rows.stride != 1 || s.cols.stride != 1 || s.groups != 1 || s.in_channels >= Simd<T>::kLanes) return false;
  const std::int64_t taps = filter_taps(s), vectors = ceil_divide(taps * s.in_channels, Simd<T>::kLanes);
  const std::int64_t from = s.rows.out_size * s.cols.out_size, to = s.rows.size * s.cols.size;
  const std::int64_t tile = 4 * s.in_channels <= Simd<T>::kLanes ? kTurnedTile : kTile;
  return from * vectors * (kProduct * s.out_channels + kWritten) + to * taps * kAdded < to * taps * s.out_channels * tile;
}

// The convolution whose input gradient is `s`, forward.
inline WindowAxis turned_round(const WindowAxis& axis) {
  return WindowAxis{axis.out_size, axis.size, axis.window, axis.stride, axis.dilation, (axis.window - 1) * axis.dilation - axis.pad};
}
inline ConvShape turned_round(const ConvShape& s) {
  return ConvShape{turned_round(s.rows), turned_round(s.cols), s.batch, s.out_channels, s.in_channels, s.groups, s.group_out, s.group_in};
}

// The convolution whose input gradient is a pass, scattered.
inline ConvShape scattered(const ConvShape& s, bool adjoint) { return adjoint ? s : turned_round(s); }

// Columns (kh, kw, ci), depth co.
template <class T>
Panels scatter_panels(const ConvShape& s) {
  return panels_of<T>(1, filter_taps(s) * s.in_channels, s.out_channels, 1);
}

// Panel `index` of scatter_panels(s) from the filter (kh, kw, co, ci) of the convolution that was turned round.
template <class T>
void pack_turned_panel(const ConvShape& s, std::int64_t index, const T* filter, T* packed) {
  const Panel panel = panel_at(scatter_panels<T>(s), index);
  T* to = packed + panel.offset;
  for (std::int64_t j = 0; j < panel.width; ++j) {
    const std::int64_t column = least(panel.first_column + j, filter_taps(s) * s.in_channels - 1);  // behind the last one the same
    const std::int64_t tap = filter_taps(s) - 1 - column / s.in_channels;
    const T* from = filter + tap * s.out_channels * s.in_channels + column % s.in_channels;
    for (std::int64_t d = 0; d < s.out_channels; ++d) to[d * panel.width + j] = from[d * s.in_channels];
  }
}

// The panels [begin, end) of a pass.
template <class T>
void pack_scattered(const ConvShape& s, bool adjoint, const T* filter, T* packed, std::int64_t begin, std::int64_t end) {
  if (adjoint) return pack_panels(scatter_panels<T>(s), true, filter, packed, begin, end);
  for (std::int64_t i = begin; i < end; ++i) pack_turned_panel(turned_round(s), i, filter, packed);
}

// The rows of the output gradient that rows [row0, row1) of the input reach.
inline Range reached_rows(const WindowAxis& axis, std::int64_t row0, std::int64_t row1) {
  const std::int64_t first = ceil_divide(row0 + axis.pad - (axis.window - 1) * axis.dilation, axis.stride);
  const std::int64_t last = (row1 - 1 + axis.pad) / axis.stride + 1;
  const Range span{clamped(first, 0, axis.out_size), clamped(last, 0, axis.out_size)};
  return Range{span.first, most(span.first, span.last)};
}
// How many they are for any `rows` rows of the input, at most.
inline std::int64_t most_reached(const WindowAxis& axis, std::int64_t rows) {
  return least((rows - 1 + (axis.window - 1) * axis.dilation) / axis.stride + 1, axis.out_size);
}

constexpr std::int64_t kTapsBytes = 24 << 10;  // of t, in L1 if that is enough for the rows that one row of dx reaches

// Rows of t for a band of so many rows of dx, and the scratch that they take: loads of whole vectors reach beyond the last one.
template <class T>
std::int64_t taps_row(const ConvShape& s) {
  return s.cols.out_size * padded_columns(scatter_panels<T>(s));
}
template <class T>
std::int64_t taps_rows(const ConvShape& s, std::int64_t band_rows) {
  const std::int64_t row_bytes = taps_row<T>(s) * kSizeOf<T>;
  return least(most(2 * most_reached(s.rows, 1), kTapsBytes / most(1, row_bytes)), most_reached(s.rows, band_rows));
}
template <class T>
std::int64_t scattered_bytes(const ConvShape& s, std::int64_t band_rows) {
  return (taps_rows<T>(s, band_rows) * taps_row<T>(s) + Simd<T>::kLanes) * kSizeOf<T>;
}

// In a plan whose blocks have scratch of their own: t begins behind that, at params[kFreeParam].
template <class T>
void scatter_behind(const ConvShape& s, Plan* plan) {
  plan->variant = kScatterVariant;
  plan->params[kFreeParam] = aligned_bytes(plan->scratch_bytes);
  plan->scratch_bytes = plan->params[kFreeParam] + scattered_bytes<T>(s, plan->params[kBandRows]);
}

// Phase 0 packs the filter, phase 1 goes over blocks of rows.
template <class T>
void plan_scattered(const ConvShape& s, Plan* plan) {
  plan_packing<T>(scatter_panels<T>(s), true, plan);
  plan_blocks(BlockRequest{s.batch, s.rows.size, 1, image_bytes<T>(output_image(s)), kSourceBlockBytes, conv_cost_ns<T>(s)}, plan);
  plan->variant = kScatterVariant;
  plan->scratch_bytes = scattered_bytes<T>(s, plan->params[kBandRows]);
}

// Rows of t of one image, in order; those that are still wanted move to the front when the room is full.
template <class T>
class TapProducts {
 public:
  TapProducts(const ConvShape& s, const T* packed, T* room, std::int64_t rows)
      : panels_(scatter_panels<T>(s)), cols_(s.cols.out_size), packed_(packed), room_(room), most_(rows) {}

  // Rows before `first` and from `last` on won't be wanted.
  void start(const T* dy, std::int64_t row, std::int64_t pixel, Range rows) {
    dy_ = dy;
    dy_row_ = row;
    dy_pixel_ = pixel;
    first_ = end_ = rows.first;
    last_ = rows.last;
  }

  // Row rows.first, and the others up to rows.last behind it.
  const T* get(const Range& rows) {
    if (rows.last > first_ + most_) keep_from(rows.first);
    if (rows.last > end_) compute(least(first_ + most_, last_));
    return room_ + (rows.first - first_) * row();
  }

 private:
  std::int64_t row() const { return cols_ * padded_columns(panels_); }

  void keep_from(std::int64_t first) {
    const std::int64_t kept = most(0, end_ - first);
    std::memmove(static_cast<void*>(room_), room_ + (first - first_) * row(), static_cast<std::size_t>(kept * row()) * sizeof(T));
    first_ = first;
    end_ = first + kept;
  }

  void compute(std::int64_t end) {
    for (std::int64_t i = 0; i < panel_count(panels_); ++i) {
      const Panel panel = panel_at(panels_, i);
      row_product(panel.width, dy_ + end_ * dy_row_, dy_pixel_, (end - end_) * cols_, packed_ + panel.offset, panels_.depth,
                  room_ + (end_ - first_) * row() + panel.first_column, padded_columns(panels_), true);
    }
    end_ = end;
  }

  const Panels panels_;
  const std::int64_t cols_;
  const T* const packed_;
  T* const room_;
  const std::int64_t most_;
  const T* dy_ = nullptr;
  std::int64_t dy_row_ = 0, dy_pixel_ = 0, first_ = 0, end_ = 0, last_ = 0;
};

// The taps through which position `at` is reached.
PYNN_INLINE Range reaching_taps(const WindowAxis& axis, std::int64_t at) {
  const std::int64_t first = at + axis.pad - axis.out_size + 1, last = at + axis.pad + 1;
  if (axis.dilation == 1) return Range{most(0, first), least(axis.window, last)};  // a division takes as long as three taps
  return Range{most(0, ceil_divide(first, axis.dilation)), least(axis.window, ceil_divide(last, axis.dilation))};
}

// One row of dx, `cols` pixels of it, through the taps kh; t begins with the row of dy that the last of them meets. S holds all channels.
template <class S, class T>
void gather_row(const ConvShape& s, const Range& kh, const T* t, std::int64_t cols, T* dx, std::int64_t dx_pixel, const Epilogue<T>& e) {
  const WindowAxis& axis = s.cols;
  const std::int64_t pixel = padded_columns(scatter_panels<T>(s)), row = axis.window * s.in_channels;
  const std::int64_t up = s.rows.dilation * axis.out_size * pixel - row, left = axis.dilation * pixel - s.in_channels;
  const std::int64_t all_first = (axis.window - 1) * axis.dilation - axis.pad, all_end = axis.out_size - axis.pad;  // every tap meets dy
  const T* top = t + (kh.last - 1 - kh.first) * s.rows.dilation * axis.out_size * pixel + kh.first * row;
  for (std::int64_t iw = 0; iw < cols; ++iw, dx += dx_pixel) {
    const Range kw = iw >= all_first && iw < all_end ? Range{0, axis.window} : reaching_taps(axis, iw);
    const T* corner = top + (iw + axis.pad) * pixel - kw.first * left;
    typename S::V sum[1][1] = {{S::broadcast(0)}};
    for (std::int64_t i = kh.first; i < kh.last; ++i, corner -= up) {
      const T* from = corner;
      for (std::int64_t j = kw.first; j < kw.last; ++j, from -= left) sum[0][0] = sum[0][0] + S::load(from);
    }
    finish_vectors<S, 1, 1>(sum, &dx, e);
  }
}

// The first `cols` columns of dx in a region from dy. Of both, image n starts at base + n * image and has its row 0 there. `rows` is what
// taps_rows says for the region's band.
template <class T>
void scatter_region(const ConvShape& s, const Pixels<const T>& dy, const T* packed, const Region& region, std::int64_t cols, const Pixels<T>& dx,
                    const T* bias, bool relu, std::int64_t band_rows, T* room) {
  const Epilogue<T> e{bias, relu, static_cast<int>(s.in_channels)};
  TapProducts<T> taps(s, packed, room, taps_rows<T>(s, band_rows));
  for (std::int64_t n = region.image0; n < region.image1; ++n) {
    taps.start(dy.base + n * dy.image, dy.row, dy.pixel, reached_rows(s.rows, region.row0, region.row1));
    for (std::int64_t r = region.row0; r < region.row1; ++r) {
      const Range kh = reaching_taps(s.rows, r);
      const std::int64_t last = r + s.rows.pad - kh.first * s.rows.dilation;  // row of dy
      const Range rows = kh.first < kh.last ? Range{r + s.rows.pad - (kh.last - 1) * s.rows.dilation, last + 1} : Range{0, 0};
      const T* t = kh.first < kh.last ? taps.get(rows) : room;
      T* to = dx.base + n * dx.image + r * dx.row;
      if (s.in_channels <= Short<T>::kLanes) gather_row<Short<T>>(s, kh, t, cols, to, dx.pixel, e);
      else gather_row<Whole<T>>(s, kh, t, cols, to, dx.pixel, e);
    }
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
