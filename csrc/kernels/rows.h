// Passes over one row: vectors of it in order, the last one partial, lanes behind the row's end held neutral.
#pragma once

#include "kernels/ranges.h"
#include "simd/fold.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// All ones in the first n lanes.
template <class T>
struct LaneTable {
  typename Simd<T>::Int ones[2 * Simd<T>::kLanes];
  constexpr LaneTable() : ones() {
    for (int i = 0; i < Simd<T>::kLanes; ++i) ones[i] = -1;
  }
};
template <class T>
constexpr LaneTable<T> kLaneTable = LaneTable<T>();

template <class T>
PYNN_INLINE typename Simd<T>::M first_lanes(int n) {
  typename Simd<T>::M mask;
  std::memcpy(&mask, kLaneTable<T>.ones + Simd<T>::kLanes - n, sizeof mask);
  return mask;
}

// Calls fn(first element, lanes in use) for each vector of a row of n elements.
template <class T, class F>
PYNN_INLINE void for_vectors(std::int64_t n, const F& fn) {
  constexpr int lanes = Simd<T>::kLanes;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) fn(i, lanes);
  if (i < n) fn(i, static_cast<int>(n - i));
}

template <class T>
PYNN_INLINE typename Simd<T>::V load_lanes(const T* p, int count) {
  return count == Simd<T>::kLanes ? load(p) : load_partial(p, count);
}
template <class T>
PYNN_INLINE void store_lanes(T* p, typename Simd<T>::V v, int count) {
  if (count == Simd<T>::kLanes) store(p, v);
  else store_partial(p, v, count);
}
// v in the first `count` lanes, `other` behind.
template <class T>
PYNN_INLINE typename Simd<T>::V keep_lanes(typename Simd<T>::V v, T other, int count) {
  return count == Simd<T>::kLanes ? v : select(first_lanes<T>(count), v, broadcast(other));
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
