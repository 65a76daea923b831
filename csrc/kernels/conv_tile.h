// Register tiles of a convolution: a few output pixels x one panel of output columns.
#pragma once

#include "kernels/conv_taps.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Pixels of a full tile: as many accumulators as hide the latency of fma and leave registers for the panel.
constexpr int kMostPixels = 12;
template <int NV>
constexpr int tile_pixels() {
#if defined(PYNN_TARGET_AVX512)
  return NV == 1 ? 12 : 6;
#else
  return NV == 1 ? 8 : 6;
#endif
}

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
};

template <class T, int MR>
struct OffsetRows {
  const T* row[MR];
  std::int64_t offset;
  PYNN_INLINE T at(int i, std::int64_t p) const { return row[i][offset + p]; }
};

// Only a panel's last vector can be narrow. Conditions stay outside of the loops over accumulators: gcc keeps a tile in registers only
// if those unroll at once.
template <class T, int MR, int NV>
PYNN_INLINE void finish_tile(Tile<T, MR, NV>& tile, T* const* out, const Epilogue<T>& e) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr int kLast = (NV - 1) * kLanes;
  const int lanes = e.columns - kLast;
  if (e.bias) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) {
      const typename Simd<T>::V bias = load_lanes<T>(e.bias + v * kLanes, v + 1 < NV ? kLanes : lanes);
      PYNN_UNROLL
      for (int i = 0; i < MR; ++i) tile.acc[i][v] = tile.acc[i][v] + bias;
    }
  }
  if (e.relu) {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) tile.acc[i][v] = vmax(tile.acc[i][v], zero<T>());
    }
  }
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v + 1 < NV; ++v) store<T>(out[i] + v * kLanes, tile.acc[i][v]);
  }
  if (lanes == kLanes) {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) store<T>(out[i] + kLast, tile.acc[i][NV - 1]);
  } else {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) store_partial(out[i] + kLast, tile.acc[i][NV - 1], lanes);
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
  for (std::int64_t r = 0; r < runs.rows; ++r)
    for (std::int64_t s = 0; s < runs.runs; ++s) {
      rows.offset = r * runs.source_row + s * runs.source_run;
      accumulate(tile, rows, panel + runs.first + r * runs.panel_row + s * runs.panel_run, kWidth, runs.length);
    }
  finish_tile<T, MR, NV>(tile, out, e);
}

// acc(i, j) += source_i[j] * panel[j], tap by tap.
template <class T, int MR, int NV, bool kFull>
PYNN_NOINLINE void depthwise_tile(const T* const* source, T* const* out, const T* panel, const Runs& runs, const Epilogue<T>& e) {
  constexpr int kLanes = Simd<T>::kLanes;
  Tile<T, MR, NV> tile;
  clear(tile);
  for (std::int64_t r = 0; r < runs.rows; ++r)
    for (std::int64_t s = 0; s < runs.runs; ++s) {
      const std::int64_t offset = r * runs.source_row + s * runs.source_run;
      const T* tap = panel + runs.first + r * runs.panel_row + s * runs.panel_run;
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) {
        const int lanes = kFull ? kLanes : lanes_of<T>(e.columns, v);
        const typename Simd<T>::V weight = load<T>(tap + v * kLanes);
        PYNN_UNROLL
        for (int i = 0; i < MR; ++i) {
          const T* from = source[i] + offset + v * kLanes;
          tile.acc[i][v] = fma(load_lanes<T>(from, lanes), weight, tile.acc[i][v]);
        }
      }
    }
  finish_tile<T, MR, NV>(tile, out, e);
}

template <class T, int NV, bool kFull>
void run_depthwise_tile(int rows, const T* const* source, T* const* out, const T* panel, const Runs& runs, const Epilogue<T>& e) {
  constexpr int kPixels = tile_pixels<NV>();
  if (rows == kPixels) return depthwise_tile<T, kPixels, NV, kFull>(source, out, panel, runs, e);
  if (rows == kPixels / 2) return depthwise_tile<T, kPixels / 2, NV, kFull>(source, out, panel, runs, e);
  depthwise_tile<T, 1, NV, kFull>(source, out, panel, runs, e);
}

template <class T, int NV>
void run_tile(bool depthwise, int rows, const T* const* source, T* const* out, const T* panel, const Runs& runs, const Epilogue<T>& e) {
  constexpr int kFull = tile_pixels<NV>();
  if (depthwise && e.columns == NV * Simd<T>::kLanes) return run_depthwise_tile<T, NV, true>(rows, source, out, panel, runs, e);
  if (depthwise) return run_depthwise_tile<T, NV, false>(rows, source, out, panel, runs, e);
  if (rows == kFull) return correlate_tile<T, kFull, NV>(source, out, panel, runs, e);
  if (rows == kFull / 2) return correlate_tile<T, kFull / 2, NV>(source, out, panel, runs, e);
  correlate_tile<T, 1, NV>(source, out, panel, runs, e);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
