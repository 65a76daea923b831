// What pooling kernels and convolutions fused with pooling share: sizes, windows, and the argmax of a window as one byte a channel.
#pragma once

#include "kernels/conv_shape.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Positions of the attributes in `Problem::ints`.
enum PoolInt {
  kPoolHeight, kPoolWidth, kPoolStrideHeight, kPoolStrideWidth, kPoolPaddingMode, kPoolTop, kPoolBottom, kPoolLeft, kPoolRight
};

// x (batch, rows.size, cols.size, channels), y (batch, rows.out_size, cols.out_size, channels)
struct PoolShape {
  WindowAxis rows, cols;
  std::int64_t batch, channels;
};

inline PoolShape pool_shape(const Spec& x, const std::int64_t* ints) {
  const std::int64_t mode = ints[kPoolPaddingMode];
  return PoolShape{
      window_axis(x.dims[1], ints[kPoolHeight], ints[kPoolStrideHeight], 1, mode, ints[kPoolTop], ints[kPoolBottom]),
      window_axis(x.dims[2], ints[kPoolWidth], ints[kPoolStrideWidth], 1, mode, ints[kPoolLeft], ints[kPoolRight]),
      x.dims[0], x.dims[3]};
}

// The input positions of window `o`.
inline Range window_span(const WindowAxis& axis, std::int64_t o) {
  const std::int64_t begin = o * axis.stride - axis.pad;
  return Range{most(begin, 0), least(begin + axis.window, axis.size)};
}

// The windows that input position `i` is in.
inline Range windows_over(const WindowAxis& axis, std::int64_t i) {
  const std::int64_t reach = i + axis.pad;
  const std::int64_t before = reach - axis.window;
  return Range{before < 0 ? 0 : before / axis.stride + 1, least(reach / axis.stride + 1, axis.out_size)};
}

template <class T>
using Codes = typename Simd<T>::M;

template <class T>
PYNN_INLINE Codes<T> code(std::int64_t value) {
  return broadcast_bits(static_cast<typename Simd<T>::Int>(value));
}

template <class T>
PYNN_INLINE Codes<T> load_codes(const std::uint8_t* p, int lanes) {
  return lanes == Simd<T>::kLanes ? load_bytes(p, Codes<T>()) : load_bytes_partial(p, lanes, Codes<T>());
}

template <class T>
PYNN_INLINE void store_codes(std::uint8_t* p, Codes<T> codes, int lanes) {
  if (lanes == Simd<T>::kLanes) store_bytes(p, codes);
  else store_bytes_partial(p, codes, lanes);
}

// The larger of the best so far and x, which has the number `at`; the first one of equals. A NaN beats every number and stays.
template <class T>
PYNN_INLINE void take_larger(typename Simd<T>::V& best, Codes<T>& best_at, typename Simd<T>::V x, Codes<T> at) {
  const Codes<T> better = ~(x <= best) & (best == best);
  best = select(better, x, best);
  best_at = select(better, at, best_at);
}

template <class T>
struct Largest {
  typename Simd<T>::V value;
  Codes<T> at;
};

// Of a 2 x 2 window, numbered row by row: as take_larger from the first to the last.
template <class T>
PYNN_INLINE Largest<T> largest_of_four(typename Simd<T>::V x0, typename Simd<T>::V x1, typename Simd<T>::V x2, typename Simd<T>::V x3) {
  Largest<T> upper{x0, code<T>(0)}, lower{x2, code<T>(2)};
  take_larger<T>(upper.value, upper.at, x1, code<T>(1));
  take_larger<T>(lower.value, lower.at, x3, code<T>(3));
  take_larger<T>(upper.value, upper.at, lower.value, lower.at);
  return upper;
}

// value where codes == at, else 0
template <class T>
PYNN_INLINE typename Simd<T>::V where_code(Codes<T> codes, Codes<T> at, typename Simd<T>::V value) {
  return select((codes == at), value, zero<T>());
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
