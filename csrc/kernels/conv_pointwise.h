// A 1x1 convolution of whole images, to or from few channels: a matrix product of pixels, whose narrow forms beat the register tile of a convolution.
#pragma once

#include "kernels/conv_shape.h"
#include "kernels/matrix_product.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kPointProducts = 256, kPointColumns = 32, kPointNarrow = 4, kPointDepth = 256;

inline bool is_point(const WindowAxis& w) { return w.window == 1 && w.stride == 1 && w.pad == 0 && w.out_size == w.size; }

// The pass forward, or the input gradient.
inline MatrixProduct point_product(const ConvShape& s, bool adjoint) {
  const std::int64_t pixels = out_pixels(s);
  return adjoint ? MatrixProduct{pixels, s.in_channels, s.out_channels, true} : MatrixProduct{pixels, s.out_channels, s.in_channels, false};
}

// One row or one column would be dot products, and a deep K is added up in blocks: then bits would depend on the batch or on the columns beside.
inline bool use_product(const ConvShape& s, bool adjoint) {
  const MatrixProduct product = point_product(s, adjoint);
  const bool same_order = product.m > 1 && product.n > 1 && product.k <= kPointDepth;
  const bool few = product.n <= kPointNarrow || (product.n <= kPointColumns && product.n * product.k <= kPointProducts);
  return same_order && few && is_point(s.rows) && is_point(s.cols) && s.groups == 1;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
