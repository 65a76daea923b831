// Register tiles of a convolution: a few output pixels x one panel of output columns.
#pragma once

#include "kernels/conv_taps.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMaxTileRows = 8;

// Pixels of a batch of images: element strides.
template <class T>
struct Pixels {
  T* base;
  std::int64_t image, row, pixel;
};

template <class T>
Pixels<T> dense_pixels(T* base, std::int64_t height, std::int64_t width, std::int64_t channels) {
  return Pixels<T>{base, height * width * channels, width * channels, channels};
}

// What to compute: images [image0, image1) x rows [row0, row1) x all columns of the output.
struct Region {
  std::int64_t image0, image1, row0, row1;
};

struct Correlation {
  TapAxis rows, cols;
  std::int64_t out_width;
  std::int64_t depth;  // channels that a column sums over
  bool depthwise;      // column j reads channel j only
};

// out = acc, + bias, then max(., 0)
template <class T>
struct Epilogue {
  const T* bias;  // of the panel's first column; may be null
  bool relu;
  int columns;
};

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

template <class T>
PYNN_INLINE typename Simd<T>::V finish(typename Simd<T>::V acc, const Epilogue<T>& e, int v, int lanes) {
  if (e.bias) acc = acc + load_lanes<T>(e.bias + v * Simd<T>::kLanes, lanes);
  return e.relu ? vmax(acc, zero<T>()) : acc;
}

template <class T, int MR, int NV>
PYNN_INLINE void finish_tile(const Tile<T, MR, NV>& tile, T* const* out, const Epilogue<T>& e) {
  for_each_vector<T, MR, NV>(tile, e.columns, [&](int i, int v, typename Simd<T>::V acc, int lanes) {
    store_lanes<T>(out[i] + v * Simd<T>::kLanes, finish<T>(acc, e, v, lanes), lanes);
  });
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
  switch (rows) {
    case 1: return depthwise_tile<T, 1, NV, kFull>(source, out, panel, runs, e);
    case 2: return depthwise_tile<T, 2, NV, kFull>(source, out, panel, runs, e);
    case 3: return depthwise_tile<T, 3, NV, kFull>(source, out, panel, runs, e);
    default: return depthwise_tile<T, 4, NV, kFull>(source, out, panel, runs, e);
  }
}

template <class T, int NV>
void run_tile(bool depthwise, int rows, const T* const* source, T* const* out, const T* panel, const Runs& runs, const Epilogue<T>& e) {
  if (depthwise && e.columns == NV * Simd<T>::kLanes) return run_depthwise_tile<T, NV, true>(rows, source, out, panel, runs, e);
  if (depthwise) return run_depthwise_tile<T, NV, false>(rows, source, out, panel, runs, e);
  switch (rows) {
    case 1: return correlate_tile<T, 1, NV>(source, out, panel, runs, e);
    case 2: return correlate_tile<T, 2, NV>(source, out, panel, runs, e);
    case 3: return correlate_tile<T, 3, NV>(source, out, panel, runs, e);
    case 4: return correlate_tile<T, 4, NV>(source, out, panel, runs, e);
    case 5: return correlate_tile<T, 5, NV>(source, out, panel, runs, e);
    case 6: return correlate_tile<T, 6, NV>(source, out, panel, runs, e);
    case 7: return correlate_tile<T, NV == 1 ? 7 : 6, NV>(source, out, panel, runs, e);
    default: return correlate_tile<T, NV == 1 ? 8 : 6, NV>(source, out, panel, runs, e);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
