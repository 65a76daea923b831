// Sizes and attributes of a convolution, read the same way by every convolution kernel.
#pragma once

#include "base/kernel.h"
#include "kernels/gemm_tile.h"
#include "kernels/rows.h"

namespace pynn {
namespace PYNN_TARGET {

// One spatial axis: `size` input and `out_size` output positions, a window of `window` taps `dilation` apart, `stride` between
// windows, `pad` positions of padding before the input. Output o, tap t reads input o * stride - pad + t * dilation.
struct WindowAxis {
  std::int64_t size, out_size, window, stride, dilation, pad;
};

namespace {

// Positions of the attributes in `Problem::ints`.
enum ConvInt {
  kStrideHeight, kStrideWidth, kPaddingMode, kPadTop, kPadBottom, kPadLeft, kPadRight,
  kDilationHeight, kDilationWidth, kGroups, kWinograd, kActivation
};
enum PaddingMode { kValid, kSame, kExplicit };

// The ways of a convolution kernel, Plan::variant.
enum ConvVariant { kTilesVariant, kWinogradVariant, kScatterVariant, kSparseVariant, kProductVariant };

inline WindowAxis window_axis(std::int64_t size, std::int64_t window, std::int64_t stride, std::int64_t dilation, std::int64_t mode,
                              std::int64_t pad_before, std::int64_t pad_after) {
  const std::int64_t span = (window - 1) * dilation + 1;
  WindowAxis axis{size, 0, window, stride, dilation, 0};
  if (mode == kSame) {
    axis.out_size = (size + stride - 1) / stride;
    axis.pad = most(0, (axis.out_size - 1) * stride + span - size) / 2;
    return axis;
  }
  const std::int64_t padded = size + (mode == kExplicit ? pad_before + pad_after : 0);
  axis.pad = mode == kExplicit ? pad_before : 0;
  axis.out_size = padded < span ? 0 : (padded - span) / stride + 1;
  return axis;
}

// Input positions under the windows of so many neighbouring outputs.
inline std::int64_t positions_under(const WindowAxis& axis, std::int64_t outputs) {
  return (outputs - 1) * axis.stride + (axis.window - 1) * axis.dilation + 1;
}

// No window reaches beyond the input.
inline bool inside(const WindowAxis& axis) {
  return axis.pad <= 0 && (axis.out_size - 1) * axis.stride - axis.pad + (axis.window - 1) * axis.dilation < axis.size;
}

// Whether attributes and axes are small enough for products of two of them to be counted in 64 bits.
constexpr std::int64_t kMostWindowSteps = INT32_MAX;
inline bool window_fits(const std::int64_t* values, int count) {
  for (int i = 0; i < count; ++i)
    if (values[i] > kMostWindowSteps) return false;
  return true;
}

// x (batch, rows.size, cols.size, in_channels), filter (rows.window, cols.window, group_in, out_channels),
// y (batch, rows.out_size, cols.out_size, out_channels).
struct ConvShape {
  WindowAxis rows, cols;
  std::int64_t batch, in_channels, out_channels, groups, group_in, group_out;
};

inline ConvShape conv_shape(const Spec& x, const Spec& filter, const std::int64_t* ints) {
  ConvShape s;
  s.batch = x.dims[0];
  s.in_channels = x.dims[3];
  s.out_channels = filter.dims[3];
  s.groups = ints[kGroups];
  s.group_in = filter.dims[2];
  s.group_out = s.out_channels / s.groups;
  s.rows = window_axis(x.dims[1], filter.dims[0], ints[kStrideHeight], ints[kDilationHeight], ints[kPaddingMode], ints[kPadTop],
                       ints[kPadBottom]);
  s.cols = window_axis(x.dims[2], filter.dims[1], ints[kStrideWidth], ints[kDilationWidth], ints[kPaddingMode], ints[kPadLeft],
                       ints[kPadRight]);
  return s;
}

inline bool conv_fits(const Spec& x, const Spec& filter, const std::int64_t* ints) {
  return window_fits(x.dims, 4) && window_fits(filter.dims, 4) && window_fits(ints, kActivation);
}

inline bool is_depthwise(const ConvShape& s) { return s.groups > 1 && s.group_in == 1 && s.group_out == 1; }
inline std::int64_t filter_taps(const ConvShape& s) { return s.rows.window * s.cols.window; }
inline std::int64_t out_pixels(const ConvShape& s) { return s.batch * s.rows.out_size * s.cols.out_size; }

// An image of the input or of the output.
struct ImageSize {
  std::int64_t rows, cols, channels;
};
inline ImageSize input_image(const ConvShape& s) { return ImageSize{s.rows.size, s.cols.size, s.in_channels}; }
inline ImageSize output_image(const ConvShape& s) { return ImageSize{s.rows.out_size, s.cols.out_size, s.out_channels}; }
inline std::int64_t image_elements(const ImageSize& size) { return size.rows * size.cols * size.channels; }
template <class T>
std::int64_t image_bytes(const ImageSize& size) {
  return image_elements(size) * kSizeOf<T>;
}

// What a pass reads and what it computes: forward, or adjoint, the input gradient.
inline ImageSize source_image(const ConvShape& s, bool adjoint) { return adjoint ? output_image(s) : input_image(s); }
inline ImageSize result_image(const ConvShape& s, bool adjoint) { return adjoint ? input_image(s) : output_image(s); }

// Of input and output together.
inline std::int64_t pass_elements(const ConvShape& s) { return s.batch * (image_elements(input_image(s)) + image_elements(output_image(s))); }

// Estimate for one thread.
template <class T>
double conv_cost_ns(const ConvShape& s) {
  const double products = static_cast<double>(out_pixels(s)) * static_cast<double>(filter_taps(s) * s.group_in * s.out_channels);
  return products * 2 / kFlopsPerNs * (sizeof(T) / 4.0);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
