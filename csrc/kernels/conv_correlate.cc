// The direct convolution of one panel of columns (conv_correlate.h), compiled once for all kernels that use it.
#include "kernels/conv_single.h"
#include "kernels/expected.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kRowsBelow = 3;  // far enough for memory to answer; of the source twice that, as a window reads rows below its first

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
  void restart(std::int64_t first_image, std::int64_t pixel) {
    image = first_image + pixel / (row.count * col.count);
    r = pixel / col.count % row.count;
    c = pixel % col.count;
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

// Asks for what the tile some rows below reads and writes. A depthwise panel takes a few vectors of each pixel, which no hardware
// prefetcher foresees, and has little to compute meanwhile.
template <int NV, class T>
PYNN_INLINE void ask_for_rows_below(int count, const T* const* from, std::int64_t source_row, T* const* to, std::int64_t out_row) {
  constexpr std::int64_t kRowBytes = kRowsBelow * static_cast<std::int64_t>(sizeof(T));
  for (int i = 0; i < count; ++i) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) {
      const std::int64_t lanes = v * kVectorBytes;
      prefetch<Use::kRead>(reinterpret_cast<const char*>(from[i]) + 2 * kRowBytes * source_row + lanes);
      prefetch<Use::kWrite>(reinterpret_cast<const char*>(to[i]) + kRowBytes * out_row + lanes);
    }
  }
}

template <class T, int NV>
void correlate_class(const Correlation& g, const TapClass& row, const TapClass& col, const Pixels<const T>& source,
                     const Pixels<T>& out, const T* panel, const Region& region, const Epilogue<T>& e) {
  if (correlate_single<T, NV>(g, row, col, source, out, panel, region, e)) return;
  const Runs runs = runs_of(g, row, col, source.row, source.pixel, NV * Simd<T>::kLanes);
  const std::int64_t pixels = (region.image1 - region.image0) * row.count * col.count;
  PixelWalk<T> walk{row, col, source, out, region.image0, 0, 0};
  const T* from[kMostPixels];
  T* to[kMostPixels];
  for (std::int64_t done = 0; done < pixels;) {
    const TileSpan span = next_tile<NV>(done, pixels);
    if (span.first < done) walk.restart(region.image0, span.first);
    walk.take(span.count, from, to);
    if (g.depthwise) ask_for_rows_below<NV>(span.count, from, source.row, to, out.row);
    run_tile<T, NV>(g.depthwise, span.count, from, to, panel, runs, e);
    done = span.first + span.count;
  }
}

template <class T>
void correlate_panel(const Correlation& g, const Pixels<const T>& source, const Pixels<T>& out, const T* panel, std::int64_t width,
                     const Region& region, const Epilogue<T>& e) {
  for_each_class(g.rows, region.row0, region.row1, [&](const TapClass& row) {
    for_each_class(g.cols, g.first_column, g.last_column, [&](const TapClass& col) {
      if (width == Simd<T>::kLanes) correlate_class<T, 1>(g, row, col, source, out, panel, region, e);
      else correlate_class<T, 2>(g, row, col, source, out, panel, region, e);
    });
  });
}

}  // namespace

void correlate(const Correlation& g, const Pixels<const float>& source, const Pixels<float>& out, const float* panel, std::int64_t width,
               const Region& region, const Epilogue<float>& e) noexcept {
  correlate_panel<float>(g, source, out, panel, width, region, e);
}
void correlate(const Correlation& g, const Pixels<const double>& source, const Pixels<double>& out, const double* panel,
               std::int64_t width, const Region& region, const Epilogue<double>& e) noexcept {
  correlate_panel<double>(g, source, out, panel, width, region, e);
}

}  // namespace PYNN_TARGET
}  // namespace pynn
