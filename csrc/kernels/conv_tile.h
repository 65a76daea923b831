// Register tiles of a convolution: a few output pixels x one panel of output columns.
#pragma once

#include "kernels/cache.h"
#include "kernels/conv_taps.h"
#include "simd/short.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMostPixels = 16;  // of any tile

// The next tile of a run of pixels: full ones as long as they fit, then a full or a half one that overlaps the one before it (a pixel
// computed twice gets the same bits), single pixels where the run is shorter than half a tile.
struct TileSpan {
  std::int64_t first;
  int count;
};

template <int NV>
PYNN_INLINE TileSpan next_tile(std::int64_t done, std::int64_t pixels) {
  constexpr int kFull = tile_pixels<NV>(), kHalf = kFull / 2;
  const std::int64_t left = pixels - done;
  if (left >= kFull) return TileSpan{done, kFull};
  if (left > kHalf && pixels >= kFull) return TileSpan{pixels - kFull, kFull};
  if (left > 1 && pixels >= kHalf) return TileSpan{left >= kHalf ? done : pixels - kHalf, kHalf};
  return TileSpan{done, 1};
}

// The runs of the source that a pixel sums over: rows x runs of `length` elements.
struct Runs {
  std::int64_t rows, source_row, panel_row;
  std::int64_t runs, source_run, panel_run;
  std::int64_t length;
  std::int64_t first;  // offset of the first run in the panel
  std::int64_t ahead;  // from a pixel to one of the tile after the next, whose source is asked for; 0: it isn't
};

inline Runs runs_of(const Correlation& g, const TapClass& row, const TapClass& col, std::int64_t source_row, std::int64_t source_pixel,
                    std::int64_t width) {
  const std::int64_t tap = g.depth * width;
  const std::int64_t filter_row = g.cols.window.window * tap;
  Runs runs{row.taps, row.tap_source_step * source_row, row.tap_step * filter_row,
            col.taps, col.tap_source_step * source_pixel, col.tap_step * tap,
            g.depth, row.first_tap * filter_row + col.first_tap * tap, 0};
  if (!row.taps || !col.taps) runs.rows = runs.runs = runs.first = 0;
  if (!g.depthwise && col.tap_source_step == 1 && col.tap_step == 1 && source_pixel == g.depth) {
    runs.length = col.taps * g.depth;
    runs.runs = runs.runs ? 1 : 0;
  }
  return runs;
}

// Only what no panel has read, and where pixels share little of it, so that few lines are asked for twice.
inline std::int64_t ahead_of(const Correlation& g, const Runs& runs, std::int64_t pixel_step, int pixels) {
  return g.fresh && runs.runs == 1 && runs.length <= 2 * pixel_step ? 2 * pixels * pixel_step : 0;
}

template <class T, int MR>
struct OffsetRows {
  const T* row[MR];
  std::int64_t offset;
  PYNN_INLINE T at(int i, std::int64_t p) const { return row[i][offset + p]; }
};

// Only a panel's last vector can be narrow. Conditions stay outside of the loops over accumulators: gcc keeps a tile in registers only
// if those unroll at once.
template <class S, int MR, int NV>
PYNN_INLINE void finish_vectors(typename S::V (&acc)[MR][NV], typename S::Element* const* out, const Epilogue<typename S::Element>& e) {
  constexpr int kLast = (NV - 1) * S::kLanes;
  const int lanes = e.columns - kLast;
  if (e.bias) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) {
      const typename S::V bias = v + 1 < NV ? S::load(e.bias + v * S::kLanes) : S::load(e.bias + kLast, lanes);
      PYNN_UNROLL
      for (int i = 0; i < MR; ++i) acc[i][v] = acc[i][v] + bias;
    }
  }
  if (e.relu) {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) acc[i][v] = vmax(acc[i][v], S::broadcast(0));
    }
  }
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v + 1 < NV; ++v) S::store(out[i] + v * S::kLanes, acc[i][v]);
  }
  if (lanes == S::kLanes) {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) S::store(out[i] + kLast, acc[i][NV - 1]);
  } else {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) S::store(out[i] + kLast, acc[i][NV - 1], lanes);
  }
}

template <class T, int MR, int NV>
PYNN_NOINLINE void correlate_tile(const T* const* source, T* const* out, const T* panel, const Runs& runs, const Epilogue<T>& e) {
  constexpr std::int64_t kWidth = NV * Simd<T>::kLanes;
  Tile<T, MR, NV> tile;
  clear(tile);
  OffsetRows<T, MR> rows;
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) rows.row[i] = source[i];
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) prefetch<Use::kWrite>(out[i] + v * Simd<T>::kLanes);  // stores wait for their lines one by one
  }
  for (std::int64_t r = 0; r < runs.rows; ++r)
    for (std::int64_t s = 0; s < runs.runs; ++s) {
      rows.offset = r * runs.source_row + s * runs.source_run;
      const T* weights = panel + runs.first + r * runs.panel_row + s * runs.panel_run;
      if (!runs.ahead) {
        accumulate(tile, rows, weights, kWidth, runs.length);
        continue;
      }
      for (std::int64_t left = runs.length; left > 0; left -= kAskDepth) {
        const std::int64_t depth = least(left, kAskDepth);
        PYNN_UNROLL
        for (int i = 0; i < MR; ++i)
          for (std::int64_t p = 0; p < depth; p += kCacheLine / kSizeOf<T>)
            prefetch<Use::kRead>(rows.row[i] + rows.offset + runs.ahead + p);
        accumulate(tile, rows, weights, kWidth, depth);
        rows.offset += depth;
        weights += depth * kWidth;
      }
    }
  finish_vectors<Whole<T>, MR, NV>(tile.acc, out, e);
}

template <class T, int NV>
void run_tile(int rows, const T* const* source, T* const* out, const T* panel, const Runs& runs, const Epilogue<T>& e) {
  constexpr int kFull = tile_pixels<NV>();
  if (rows == kFull) return correlate_tile<T, kFull, NV>(source, out, panel, runs, e);
  if (rows == kFull / 2) return correlate_tile<T, kFull / 2, NV>(source, out, panel, runs, e);
  correlate_tile<T, 1, NV>(source, out, panel, runs, e);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
