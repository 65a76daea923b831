// The direct convolution of one panel of columns (conv_correlate.h), compiled once for all kernels that use it.
#include "kernels/conv_by_taps.h"
#include "kernels/conv_depthwise.h"
#include "kernels/conv_single.h"
#include "kernels/conv_turned.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T, int NV>
void correlate_class(const Correlation& g, const TapClass& row, const TapClass& col, const Pixels<const T>& source,
                     const Pixels<T>& out, const T* panel, const Region& region, const Epilogue<T>& e) {
  if (correlate_single<T, NV>(g, row, col, source, out, panel, region, e)) return;
  Runs runs = runs_of(g, row, col, source.row, source.pixel, NV * Simd<T>::kLanes);
  runs.ahead = ahead_of(g, runs, col.source_step * source.pixel, tile_pixels<NV>());
  const std::int64_t pixels = (region.image1 - region.image0) * row.count * col.count;
  PixelWalk<T> walk{row, col, source, out, region.image0, 0, 0};
  const T* from[kMostPixels];
  T* to[kMostPixels];
  std::int64_t done = 0;
#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
  if (NV == 1 && turns_pixels<T>(runs, pixels, e.columns)) {
    constexpr int kPixels = turned_pixels<T>();
    for (; done < pixels; done += kPixels) {
      if (done + kPixels > pixels) walk.restart(region.image0, pixels - kPixels);
      walk.take(kPixels, from, to);
      run_turned_tile(from, to, panel, NV * Simd<T>::kLanes, runs, e);
    }
  }
#endif
  while (done < pixels) {
    const TileSpan span = next_tile<NV>(done, pixels);
    if (span.first < done) walk.restart(region.image0, span.first);
    walk.take(span.count, from, to);
    run_tile<T, NV>(span.count, from, to, panel, runs, e);
    done = span.first + span.count;
  }
}

// The panels that are full, then the last one if it isn't.
template <class T>
void correlate_columns(const Correlation& g, const Pixels<const T>& source, const Pixels<T>& out, const T* packed, std::int64_t columns,
                       const Region& region, const T* bias, bool relu) {
  constexpr int kWidth = kPanelVectors * Simd<T>::kLanes;
  const std::int64_t panel_size = g.rows.window.window * g.cols.window.window * kWidth, full = columns / kWidth;
  const int left = static_cast<int>(columns - full * kWidth), vectors = left > Simd<T>::kLanes ? kPanelVectors : 1;
  if (full) correlate_range(g, source, out, region, PanelRange<T>{packed, full, panel_size, kPanelVectors, kWidth, 0, bias, relu});
  if (!left) return;
  const std::int64_t first = columns - left;
  correlate_range(g, source, out, region,
                  PanelRange<T>{packed + full * panel_size, 1, 0, vectors, left, first, bias ? bias + first : nullptr, relu});
}

template <class T>
void correlate_panel(const Correlation& g, const Pixels<const T>& source, const Pixels<T>& out, const T* panel, std::int64_t width,
                     const Region& region, const Epilogue<T>& e) {
  if (g.by_taps) {
    if (width == Simd<T>::kLanes) return correlate_by_taps<T, 1>(g, source, out, panel, region, e);
    return correlate_by_taps<T, 2>(g, source, out, panel, region, e);
  }
  for_each_class(g.rows, region.row0, region.row1, [&](const TapClass& row) {
    for_each_class(g.cols, g.first_column, g.last_column, [&](const TapClass& col) {
      if (width == Simd<T>::kLanes) correlate_class<T, 1>(g, row, col, source, out, panel, region, e);
      else correlate_class<T, 2>(g, row, col, source, out, panel, region, e);
    });
  });
}

}  // namespace

void correlate_depthwise(const Correlation& g, const Pixels<const float>& source, const Pixels<float>& out, const float* packed,
                         std::int64_t columns, const Region& region, const float* bias, bool relu) noexcept {
  correlate_columns<float>(g, source, out, packed, columns, region, bias, relu);
}
void correlate_depthwise(const Correlation& g, const Pixels<const double>& source, const Pixels<double>& out, const double* packed,
                         std::int64_t columns, const Region& region, const double* bias, bool relu) noexcept {
  correlate_columns<double>(g, source, out, packed, columns, region, bias, relu);
}
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
