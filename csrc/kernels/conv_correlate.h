// Direct convolution as overlapping matrix products, for the forward pass and the gradient by the input.
//
// In NHWC the channels of neighbouring taps lie side by side, so a window is a few contiguous runs of the source: a tile of
// pixels x columns adds one product per run, with nothing copied and nothing padded. A tile takes pixels of one
// tap class (conv_taps.h) across rows and images, so only the end of a class has a smaller one.
//
//   out[n, r, c, col] = sum over taps (kr, kc) that meet the source, channels d:  source[n, r', c', d] * panel[kr, kc, d, col]
//
// added in the order of taps and channels with one fma each, from zero: the same bits for any tile, class or batch.
#pragma once

#include "kernels/conv_panels.h"
#include "kernels/conv_taps.h"
#include "kernels/gemm_tile.h"

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
template <class T, int MR, int NV>
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
        const int lanes = lanes_of<T>(e.columns, v);
        const typename Simd<T>::V weight = load<T>(tap + v * kLanes);
        PYNN_UNROLL
        for (int i = 0; i < MR; ++i) {
          const T* from = source[i] + offset + v * kLanes;
          tile.acc[i][v] = fma(lanes == kLanes ? load<T>(from) : load_partial(from, lanes), weight, tile.acc[i][v]);
        }
      }
    }
  finish_tile<T, MR, NV>(tile, out, e);
}

template <class T, int NV>
void run_tile(bool depthwise, int rows, const T* const* source, T* const* out, const T* panel, const Runs& runs, const Epilogue<T>& e) {
  if (depthwise) {
    switch (rows) {
      case 1: return depthwise_tile<T, 1, NV>(source, out, panel, runs, e);
      case 2: return depthwise_tile<T, 2, NV>(source, out, panel, runs, e);
      case 3: return depthwise_tile<T, 3, NV>(source, out, panel, runs, e);
      default: return depthwise_tile<T, 4, NV>(source, out, panel, runs, e);
    }
  }
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

inline Runs runs_of(const Correlation& g, const TapClass& row, const TapClass& col, std::int64_t source_row, std::int64_t source_pixel,
                    std::int64_t width) {
  const std::int64_t tap = g.depth * width;
  const std::int64_t filter_row = g.cols.window.window * tap;
  Runs runs{row.taps, row.tap_source_step * source_row, row.tap_step * filter_row,
            col.taps, col.tap_source_step * source_pixel, col.tap_step * tap,
            g.depth, row.first_tap * filter_row + col.first_tap * tap};
  if (!row.taps || !col.taps) runs.rows = runs.runs = runs.first = 0;
  if (!g.depthwise && col.tap_source_step == 1 && col.tap_step == 1 && source_pixel == g.depth) {
    runs.length = col.taps * g.depth;
    runs.runs = runs.runs ? 1 : 0;
  }
  return runs;
}

// Walks the pixels of a row class x a column class, image by image, row by row.
template <class T>
struct PixelWalk {
  const TapClass& row;
  const TapClass& col;
  const Pixels<const T>& source;
  const Pixels<T>& out;
  std::int64_t image, r, c;

  PYNN_INLINE void take(int count, const T** from, T** to) {
    const std::int64_t source_step = col.source_step * source.pixel, out_step = col.position_step * out.pixel;
    const T* at = source_at();
    T* target = out_at();
    for (int i = 0; i < count; ++i) {
      from[i] = at;
      to[i] = target;
      at += source_step;
      target += out_step;
      if (++c < col.count) continue;
      c = 0;
      if (++r == row.count) {
        r = 0;
        ++image;
      }
      at = source_at();
      target = out_at();
    }
  }
  PYNN_INLINE const T* source_at() const {
    return source.base + image * source.image + (row.first_source + r * row.source_step) * source.row +
           (col.first_source + c * col.source_step) * source.pixel;
  }
  PYNN_INLINE T* out_at() const {
    return out.base + image * out.image + (row.first_position + r * row.position_step) * out.row +
           (col.first_position + c * col.position_step) * out.pixel;
  }
};

template <class T, int NV>
void correlate_class(const Correlation& g, const TapClass& row, const TapClass& col, const Pixels<const T>& source,
                     const Pixels<T>& out, const T* panel, const Region& region, const Epilogue<T>& e) {
  const Runs runs = runs_of(g, row, col, source.row, source.pixel, NV * Simd<T>::kLanes);
  const std::int64_t pixels = (region.image1 - region.image0) * row.count * col.count;
  const std::int64_t most = g.depthwise ? 4 : NV == 1 ? kMaxTileRows : kTileRows;
  const std::int64_t tiles = (pixels + most - 1) / most;
  PixelWalk<T> walk{row, col, source, out, region.image0, 0, 0};
  const T* from[kMaxTileRows];
  T* to[kMaxTileRows];
  for (std::int64_t t = 0; t < tiles; ++t) {
    const int count = static_cast<int>(pixels / tiles + (t < pixels % tiles));  // balanced: a tile of one row runs at half speed
    walk.take(count, from, to);
    run_tile<T, NV>(g.depthwise, count, from, to, panel, runs, e);
  }
}

// One panel of columns over a region. `source` and `out` point at the first channel and the first column of the panel.
template <class T>
void correlate(const Correlation& g, const Pixels<const T>& source, const Pixels<T>& out, const T* panel, std::int64_t width,
               const Region& region, const Epilogue<T>& e) {
  for_each_class(g.rows, region.row0, region.row1, [&](const TapClass& row) {
    for_each_class(g.cols, 0, g.out_width, [&](const TapClass& col) {
      if (width == Simd<T>::kLanes) correlate_class<T, 1>(g, row, col, source, out, panel, region, e);
      else correlate_class<T, 2>(g, row, col, source, out, panel, region, e);
    });
  });
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
