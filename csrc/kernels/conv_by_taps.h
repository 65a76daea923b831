// The convolution of small images tap by tap: the sums lie in the result, and each tap adds its products to all pixels that see it.
//
// At the edges of a small image nearly every pixel has taps of its own, and tiles of pixels with the same taps hold one pixel or two. The pixels
// that see one tap are a rectangle. Also, one tap's rows of a panel stay in L1 under all pixels, where a large panel wouldn't stay in L2.
// Same additions, in the same order, as correlate_tile.
#pragma once

#include "kernels/conv_walk.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// out[i] += the products of one tap, whose rows of the panel begin at `weights`. `lanes`: of the last vector.
template <class T, int MR, int NV>
PYNN_NOINLINE void add_tap(const T* const* source, T* const* out, const T* weights, std::int64_t depth, int lanes) {
  constexpr int kLanes = Simd<T>::kLanes, kLast = (NV - 1) * kLanes;
  Tile<T, MR, NV> tile;
  RowPointers<T, MR> rows;
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    rows.row[i] = source[i];
    PYNN_UNROLL
    for (int v = 0; v + 1 < NV; ++v) tile.acc[i][v] = load<T>(out[i] + v * kLanes);
    tile.acc[i][NV - 1] = load_lanes<T>(out[i] + kLast, lanes);
  }
  accumulate(tile, rows, weights, NV * kLanes, depth);
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v + 1 < NV; ++v) store<T>(out[i] + v * kLanes, tile.acc[i][v]);
    store_lanes<T>(out[i] + kLast, tile.acc[i][NV - 1], lanes);
  }
}

// One tap for the pixels that see it. What a last tile has too much of is its first pixel again, added to sums that nobody reads.
template <class T, int NV>
void add_tap_everywhere(PixelWalk<T>& walk, std::int64_t pixels, const T* weights, std::int64_t depth, int lanes) {
  constexpr int kFull = tile_pixels<NV>(), kHalf = kFull / 2;
  alignas(kAlignment) T unread[NV * Simd<T>::kLanes] = {};
  const T* from[kMostPixels];
  T* to[kMostPixels];
  for (std::int64_t left = pixels; left > 0; left -= kFull) {
    const int count = static_cast<int>(least(left, kFull));
    walk.take(count, from, to);
    for (int i = count; i < kFull; ++i) {
      from[i] = from[0];
      to[i] = unread;
    }
    if (count > kHalf) add_tap<T, kFull, NV>(from, to, weights, depth, lanes);
    else add_tap<T, kHalf, NV>(from, to, weights, depth, lanes);
  }
}

// visit(pixel's columns of the panel)
template <class T, class Visit>
void for_each_pixel(const Correlation& g, const Pixels<T>& out, const Region& region, Visit visit) {
  for (std::int64_t n = region.image0; n < region.image1; ++n)
    for (std::int64_t r = region.row0; r < region.row1; ++r)
      for (std::int64_t c = g.first_column; c < g.last_column; ++c) visit(out.base + n * out.image + r * out.row + c * out.pixel);
}

template <class T, int NV>
void correlate_by_taps(const Correlation& g, const Pixels<const T>& source, const Pixels<T>& out, const T* panel, const Region& region,
                       const Epilogue<T>& e) {
  constexpr int kLast = (NV - 1) * Simd<T>::kLanes;
  const int lanes = e.columns - kLast;
  for_each_pixel(g, out, region, [&](T* at) {
    for (int v = 0; v + 1 < NV; ++v) store<T>(at + v * Simd<T>::kLanes, zero<T>());
    store_lanes<T>(at + kLast, zero<T>(), lanes);
  });
  for (std::int64_t kh = 0; kh < g.rows.window.window; ++kh) {
    const TapClass row = seen_through(g.rows, kh, region.row0, region.row1);
    for (std::int64_t kw = 0; row.count > 0 && kw < g.cols.window.window; ++kw) {
      const TapClass col = seen_through(g.cols, kw, g.first_column, g.last_column);
      if (!col.count) continue;
      PixelWalk<T> walk{row, col, source, out, region.image0, 0, 0};
      const T* weights = panel + (kh * g.cols.window.window + kw) * g.depth * NV * Simd<T>::kLanes;
      add_tap_everywhere<T, NV>(walk, (region.image1 - region.image0) * row.count * col.count, weights, g.depth, lanes);
    }
  }
  if (!e.bias && !e.relu) return;
  for_each_pixel(g, out, region, [&](T* at) {
    for (int v = 0; v + 1 < NV; ++v) store<T>(at + v * Simd<T>::kLanes, finish<T>(load<T>(at + v * Simd<T>::kLanes), e, v, Simd<T>::kLanes));
    store_lanes<T>(at + kLast, finish<T>(load_lanes<T>(at + kLast, lanes), e, NV - 1, lanes), lanes);
  });
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
