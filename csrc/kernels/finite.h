// Whether numbers are finite.
#pragma once

#include "simd/lanes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// True if no element is NaN or infinite: x * 0 is zero for finite x and NaN otherwise.
template <class T>
bool all_finite(const T* x, std::int64_t n) {
  constexpr int lanes = Simd<T>::kLanes;
  typename Simd<T>::V a = zero<T>(), b = zero<T>();
  const typename Simd<T>::V nought = zero<T>();
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = fma(load(x + i), nought, a);
    b = fma(load(x + i + lanes), nought, b);
  }
  for (; i < n; i += lanes) a = fma(load_partial(x + i, lanes_left<T>(n - i)), nought, a);
  return reduce_add(a + b) == T(0);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
