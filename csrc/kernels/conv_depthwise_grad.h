// The gradient of a depthwise filter over one block of pixels (conv_depthwise_grad.cc).
#pragma once

#include "kernels/conv_correlate.h"

namespace pynn {
namespace PYNN_TARGET {

// One panel of channels over the output pixels of a region.
template <class T>
struct DepthwiseBlock {
  WindowAxis rows, cols;
  Region region;
  const T* x;  // the whole input, (images, rows, cols, channels), from the panel's first channel on
  std::int64_t channels;
  Pixels<const T> dy;           // base at the region's first pixel, the panel's first channel
  std::int64_t columns, width;  // of the panel: used and allocated
  bool streams;                 // x and dy come from beyond L2
};

// sums[tap][c] += sum over the region's pixels of x[pixel at tap, c] * dy[pixel, c]
void add_depthwise_block(const DepthwiseBlock<float>& block, float* sums) noexcept;
void add_depthwise_block(const DepthwiseBlock<double>& block, double* sums) noexcept;

}  // namespace PYNN_TARGET
}  // namespace pynn
