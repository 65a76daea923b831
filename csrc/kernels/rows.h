// Passes over one row: vectors of it in order, the last one partial, lanes behind the row's end held neutral.
#pragma once

#include "kernels/ranges.h"
#include "simd/fold.h"
#include "simd/lanes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Calls fn(first element, lanes in use) for each vector of a row of n elements; `lanes` is a compile-time kLanes where the vector is full.
template <class T, class F>
PYNN_INLINE void for_vectors(std::int64_t n, const F& fn) {
  constexpr int lanes = Simd<T>::kLanes;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) fn(i, lanes);
  if (i < n) fn(i, static_cast<int>(n - i));
}

// Sum of fn(first element, lanes in use) over a row; fn gives zeros behind the row's end. Four sums go side by side.
template <class T, class F>
PYNN_INLINE T sum_vectors(std::int64_t n, const F& fn) {
  constexpr int lanes = Simd<T>::kLanes;
  typename Simd<T>::V a = zero<T>(), b = zero<T>(), c = zero<T>(), d = zero<T>();
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a = a + fn(i, lanes);
    b = b + fn(i + lanes, lanes);
    c = c + fn(i + 2 * lanes, lanes);
    d = d + fn(i + 3 * lanes, lanes);
  }
  for (; i + lanes <= n; i += lanes) a = a + fn(i, lanes);
  if (i < n) b = b + fn(i, static_cast<int>(n - i));
  return fold_add((a + b) + (c + d));
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
