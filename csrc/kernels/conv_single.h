// The convolution of images with one channel, where a window is too short for a loop: the taps of a 3x3 or 5x5 filter are unrolled
// and the neighbouring pixels of a tile share one base address. Same additions, in the same order, as correlate_tile.
#pragma once

#include "kernels/conv_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Neighbouring pixels of one row; `source` is the top left of the first one's window. S is Whole<T>, or Short<T> where that holds all columns.
template <class S, int MR, int NV, int KH, int KW>
PYNN_NOINLINE void single_tile(const typename S::Element* source, std::int64_t source_row, typename S::Element* out, std::int64_t out_step,
                               const typename S::Element* panel, const Epilogue<typename S::Element>& e) {
  typedef typename S::Element T;
  constexpr int kWidth = NV * Simd<T>::kLanes;
  typename S::V acc[MR][NV];
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) acc[i][v] = S::broadcast(0);
  }
  PYNN_UNROLL
  for (int kh = 0; kh < KH; ++kh) {
    const T* row = source + kh * source_row;
    PYNN_UNROLL
    for (int kw = 0; kw < KW; ++kw) {
      typename S::V weight[NV];
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) {
        weight[v] = S::load(panel + (kh * KW + kw) * kWidth + v * S::kLanes);
        PYNN_KEEP(weight[v]);
      }
      PYNN_UNROLL
      for (int i = 0; i < MR; ++i) {
        const typename S::V x = S::broadcast(row[kw + i]);
        PYNN_UNROLL
        for (int v = 0; v < NV; ++v) {
          acc[i][v] = S::fma(x, weight[v], acc[i][v]);
          PYNN_KEEP(acc[i][v]);
        }
      }
    }
  }
  T* to[MR];
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) to[i] = out + i * out_step;
  finish_vectors<S, MR, NV>(acc, to, e);
}

// `count` neighbouring pixels.
template <class S, int NV, int KH, int KW, class T>
void single_row(std::int64_t count, const T* source, std::int64_t source_row, T* out, std::int64_t out_step, const T* panel,
                const Epilogue<T>& e) {
  constexpr int kFull = tile_pixels<NV>(), kHalf = kFull / 2;
  for (std::int64_t done = 0; done < count;) {
    const TileSpan span = next_tile<NV>(done, count);
    const T* from = source + span.first;
    T* to = out + span.first * out_step;
    if (span.count == kFull) single_tile<S, kFull, NV, KH, KW>(from, source_row, to, out_step, panel, e);
    else if (span.count == kHalf) single_tile<S, kHalf, NV, KH, KW>(from, source_row, to, out_step, panel, e);
    else single_tile<S, 1, NV, KH, KW>(from, source_row, to, out_step, panel, e);
    done = span.first + span.count;
  }
}

template <class S, int NV, int KH, int KW, class T>
void single_class(const TapClass& row, const TapClass& col, const Pixels<const T>& source, const Pixels<T>& out, const T* panel,
                  const Region& region, const Epilogue<T>& e) {
  for (std::int64_t n = region.image0; n < region.image1; ++n)
    for (std::int64_t r = 0; r < row.count; ++r) {
      const T* from = source.base + n * source.image + (row.first_source + r * row.source_step) * source.row + col.first_source;
      T* to = out.base + n * out.image + (row.first_position + r) * out.row + col.first_position * out.pixel;
      single_row<S, NV, KH, KW>(col.count, from, source.row, to, out.pixel, panel, e);
    }
}

template <class S, int NV, class T>
void single_window(std::int64_t window, const TapClass& row, const TapClass& col, const Pixels<const T>& source, const Pixels<T>& out, const T* panel,
                   const Region& region, const Epilogue<T>& e) {
  if (window == 3) single_class<S, NV, 3, 3>(row, col, source, out, panel, region, e);
  else single_class<S, NV, 5, 5>(row, col, source, out, panel, region, e);
}

// Does the class if it is such a convolution.
template <class T, int NV>
bool correlate_single(const Correlation& g, const TapClass& row, const TapClass& col, const Pixels<const T>& source,
                      const Pixels<T>& out, const T* panel, const Region& region, const Epilogue<T>& e) {
  const std::int64_t kh = g.rows.window.window, kw = g.cols.window.window;
  if (g.depth != 1 || source.pixel != 1 || g.depthwise || g.rows.adjoint || kh != kw || (kh != 3 && kh != 5)) return false;
  if (row.taps != kh || col.taps != kw || col.source_step != 1 || row.tap_source_step != 1 || col.tap_source_step != 1) return false;
  if constexpr (NV == 1 && Short<T>::kLanes < Simd<T>::kLanes) {
    if (e.columns <= Short<T>::kLanes) return single_window<Short<T>, NV>(kh, row, col, source, out, panel, region, e), true;
  }
  return single_window<Whole<T>, NV>(kh, row, col, source, out, panel, region, e), true;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
