// The gradient behind a 2 x 2 maximum: which of four positions it belongs to, as kernels of pooled convolutions read it.
//
//   dz[n, oh, ow, co] = dy[n, oh / 2, ow / 2, co] where the residual there is 2 * (oh % 2) + ow % 2, else 0
#pragma once

#include "kernels/conv_filter_grad.h"
#include "kernels/pool_windows.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
struct PooledGradient {
  const T* dy;
  const std::uint8_t* residual;
  std::int64_t rows, cols, channels;  // pooled rows and columns of an image
};

template <class T>
PooledGradient<T> pooled_gradient(const ConvShape& s, const void* dy, const void* residual) {
  return PooledGradient<T>{static_cast<const T*>(dy), static_cast<const std::uint8_t*>(residual), s.rows.out_size / 2, s.cols.out_size / 2,
                           s.out_channels};
}

// Where a row of dz goes: `columns` channels from `column` on, to pixels `stride` apart; `stored` >= columns are written.
struct ExpandTo {
  std::int64_t column, columns, stored, stride;
};

// One row of dz (`pixels` of them): row `oh` of image `n`.
template <class T>
void expand_row(const PooledGradient<T>& g, std::int64_t n, std::int64_t oh, std::int64_t pixels, const ExpandTo& e, T* to) {
  const std::int64_t pooled = oh / 2 < g.rows ? g.cols : 0;
  const std::int64_t at = (n * g.rows + oh / 2) * g.cols * g.channels + e.column;
  const Codes<T> left = code<T>(oh % 2 * 2), right = code<T>(oh % 2 * 2 + 1);
  const T* d = g.dy + at;
  const std::uint8_t* codes = g.residual + at;
  for (std::int64_t p = 0; p < pooled; ++p, to += 2 * e.stride, d += g.channels, codes += g.channels)
    for_vectors<T>(e.columns, [&](std::int64_t j, int lanes) {
      const int stored = lanes == Simd<T>::kLanes || e.stored > e.columns ? Simd<T>::kLanes : lanes;
      const typename Simd<T>::V value = load_lanes<T>(d + j, lanes);
      const Codes<T> place = load_codes<T>(codes + j, lanes);
      store_lanes<T>(to + j, where_code<T>(place, left, value), stored);
      store_lanes<T>(to + e.stride + j, where_code<T>(place, right, value), stored);
    });
  if (pixels > 2 * pooled) fill_zeros(to, (pixels - 2 * pooled) * e.stride);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
