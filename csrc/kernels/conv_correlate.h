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
#include "kernels/conv_single.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

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
  if (correlate_single<T, NV>(g, row, col, source, out, panel, region, e)) return;
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
