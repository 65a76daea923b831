// The convolution of images with one channel, where a window is too short for a loop: the taps of a 3x3 or 5x5 filter are unrolled
// and the neighbouring pixels of a tile share one base address. Same additions, in the same order, as correlate_tile.
#pragma once

#include "kernels/conv_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Neighbouring pixels of one row; `source` is the top left of the first one's window.
template <class T, int MR, int NV, int KH, int KW>
PYNN_NOINLINE void single_tile(const T* source, std::int64_t source_row, T* out, std::int64_t out_step, const T* panel,
                             const Epilogue<T>& e) {
  constexpr int kLanes = Simd<T>::kLanes;
  Tile<T, MR, NV> tile;
  clear(tile);
  PYNN_UNROLL
  for (int kh = 0; kh < KH; ++kh) {
    const T* row = source + kh * source_row;
    PYNN_UNROLL
    for (int kw = 0; kw < KW; ++kw) {
      typename Simd<T>::V weight[NV];
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) {
        weight[v] = load<T>(panel + ((kh * KW + kw) * NV + v) * kLanes);
        PYNN_KEEP(weight[v]);
      }
      PYNN_UNROLL
      for (int i = 0; i < MR; ++i) {
        const typename Simd<T>::V x = broadcast(row[kw + i]);
        PYNN_UNROLL
        for (int v = 0; v < NV; ++v) {
          tile.acc[i][v] = fma(x, weight[v], tile.acc[i][v]);
          PYNN_KEEP(tile.acc[i][v]);
        }
      }
    }
  }
  T* to[MR];
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) to[i] = out + i * out_step;
  finish_tile<T, MR, NV>(tile, to, e);
}

// `count` neighbouring pixels.
template <class T, int NV, int KH, int KW>
void single_row(std::int64_t count, const T* source, std::int64_t source_row, T* out, std::int64_t out_step, const T* panel,
                const Epilogue<T>& e) {
  constexpr int kFull = tile_pixels<NV>(), kHalf = kFull / 2;
  for (std::int64_t done = 0; done < count;) {
    const TileSpan span = next_tile<NV>(done, count);
    const T* from = source + span.first;
    T* to = out + span.first * out_step;
    if (span.count == kFull) single_tile<T, kFull, NV, KH, KW>(from, source_row, to, out_step, panel, e);
    else if (span.count == kHalf) single_tile<T, kHalf, NV, KH, KW>(from, source_row, to, out_step, panel, e);
    else single_tile<T, 1, NV, KH, KW>(from, source_row, to, out_step, panel, e);
    done = span.first + span.count;
  }
}

template <class T, int NV, int KH, int KW>
void single_class(const TapClass& row, const TapClass& col, const Pixels<const T>& source, const Pixels<T>& out, const T* panel,
                  const Region& region, const Epilogue<T>& e) {
  for (std::int64_t n = region.image0; n < region.image1; ++n)
    for (std::int64_t r = 0; r < row.count; ++r) {
      const T* from = source.base + n * source.image + (row.first_source + r * row.source_step) * source.row + col.first_source;
      T* to = out.base + n * out.image + (row.first_position + r) * out.row + col.first_position * out.pixel;
      single_row<T, NV, KH, KW>(col.count, from, source.row, to, out.pixel, panel, e);
    }
}

// Does the class if it is such a convolution.
template <class T, int NV>
bool correlate_single(const Correlation& g, const TapClass& row, const TapClass& col, const Pixels<const T>& source,
                      const Pixels<T>& out, const T* panel, const Region& region, const Epilogue<T>& e) {
  const std::int64_t kh = g.rows.window.window, kw = g.cols.window.window;
  if (g.depth != 1 || source.pixel != 1 || g.depthwise || g.rows.adjoint || kh != kw || (kh != 3 && kh != 5)) return false;
  if (row.taps != kh || col.taps != kw || col.source_step != 1 || row.tap_source_step != 1 || col.tap_source_step != 1) return false;
  if (kh == 3) single_class<T, NV, 3, 3>(row, col, source, out, panel, region, e);
  else single_class<T, NV, 5, 5>(row, col, source, out, panel, region, e);
  return true;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
