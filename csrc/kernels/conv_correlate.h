// Direct convolution as overlapping matrix products, for the forward pass and the input gradient.
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

namespace pynn {
namespace PYNN_TARGET {

// forward: source = input, outputs = output positions. adjoint (input gradient): source = output gradient, outputs = input
// positions, and the taps are counted backwards so that source positions grow with them.
struct TapAxis {
  WindowAxis window;
  bool adjoint;
};

// Pixels of a batch of images: element strides.
template <class T>
struct Pixels {
  T* base;
  std::int64_t image, row, pixel;
};

// What to compute: images [image0, image1) x rows [row0, row1) x the columns of a Correlation.
struct Region {
  std::int64_t image0, image1, row0, row1;
};

struct Correlation {
  TapAxis rows, cols;
  std::int64_t first_column, last_column;  // of the output, to compute
  std::int64_t depth;                      // channels that a column sums over
  bool depthwise;                          // column j reads channel j only
  bool streams;                            // source and output together are more than caches hold
  bool fresh;                              // no panel has read this source yet
  bool by_taps;                            // tap by tap (conv_by_taps.h)
};

// out = acc, + bias, then max(., 0)
template <class T>
struct Epilogue {
  const T* bias;  // of the panel's first column; may be null
  bool relu;
  int columns;
};

// One panel of columns over a region. `source` and `out` point at the first channel and the first column of the panel.
void correlate(const Correlation& g, const Pixels<const float>& source, const Pixels<float>& out, const float* panel, std::int64_t width,
               const Region& region, const Epilogue<float>& e) noexcept;
void correlate(const Correlation& g, const Pixels<const double>& source, const Pixels<double>& out, const double* panel,
               std::int64_t width, const Region& region, const Epilogue<double>& e) noexcept;

// All columns of a depthwise convolution over a region; `packed` is the filter in panels.
void correlate_depthwise(const Correlation& g, const Pixels<const float>& source, const Pixels<float>& out, const float* packed,
                         std::int64_t columns, const Region& region, const float* bias, bool relu) noexcept;
void correlate_depthwise(const Correlation& g, const Pixels<const double>& source, const Pixels<double>& out, const double* packed,
                         std::int64_t columns, const Region& region, const double* bias, bool relu) noexcept;

namespace {

template <class T>
Pixels<T> dense_pixels(T* base, const ImageSize& size) {
  return Pixels<T>{base, image_elements(size), size.cols * size.channels, size.channels};
}

template <class T>
PYNN_INLINE typename Simd<T>::V finish(typename Simd<T>::V acc, const Epilogue<T>& e, int v, int lanes) {
  if (e.bias) acc = acc + load_lanes<T>(e.bias + v * Simd<T>::kLanes, lanes);
  return e.relu ? vmax(acc, zero<T>()) : acc;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
