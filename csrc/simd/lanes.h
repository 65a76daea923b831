// The first lanes of a vector.
#pragma once

#include "simd/vec.h"

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

// Lanes in use of a vector that begins where so many elements are left.
template <class T>
PYNN_INLINE int lanes_left(std::int64_t left) {
  return left < Simd<T>::kLanes ? static_cast<int>(left) : Simd<T>::kLanes;
}

// `count` elements from p, or to p; whole vectors where count is the constant kLanes.
template <class T>
PYNN_INLINE typename Simd<T>::V load_lanes(const T* p, int count) {
  return count == Simd<T>::kLanes ? load(p) : load_partial(p, count);
}
template <class T>
PYNN_INLINE void store_lanes(T* p, typename Simd<T>::V v, int count) {
  if (count == Simd<T>::kLanes) store(p, v);
  else store_partial(p, v, count);
}
// v in the first `count` lanes, x behind.
#if defined(PYNN_TARGET_AVX512)
PYNN_INLINE VecF select_first(int count, VecF v, VecF x) {
  return (VecF)_mm512_mask_mov_ps((__m512)x, (__mmask16)((1u << count) - 1u), (__m512)v);
}
PYNN_INLINE VecD select_first(int count, VecD v, VecD x) {
  return (VecD)_mm512_mask_mov_pd((__m512d)x, (__mmask8)((1u << count) - 1u), (__m512d)v);
}
#else
PYNN_INLINE VecF select_first(int count, VecF v, VecF x) { return select(first_lanes<float>(count), v, x); }
PYNN_INLINE VecD select_first(int count, VecD v, VecD x) { return select(first_lanes<double>(count), v, x); }
#endif
template <class T>
PYNN_INLINE typename Simd<T>::V keep_lanes(typename Simd<T>::V v, T other, int count) {
  return count == Simd<T>::kLanes ? v : select_first(count, v, broadcast(other));
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
