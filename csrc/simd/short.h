// Vectors as types with their operations, for tiles that come in two widths.
//
//   Whole<T>   the vector of the CPU target
//   Short<T>   at most 32 bytes of it, for rows that would leave half of a longer vector empty
//
// With a count, load and store are of the first lanes: 0 <= n <= kLanes.
#pragma once

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
struct Whole {
  typedef T Element;
  typedef typename Simd<T>::V V;
  static constexpr int kLanes = Simd<T>::kLanes;
  static PYNN_INLINE V load(const T* p) { return pynn::PYNN_TARGET::load<T>(p); }
  static PYNN_INLINE V load(const T* p, int n) { return load_partial(p, n); }
  static PYNN_INLINE void store(T* p, V v) { pynn::PYNN_TARGET::store<T>(p, v); }
  static PYNN_INLINE void store(T* p, V v, int n) { store_partial(p, v, n); }
  static PYNN_INLINE V broadcast(T x) { return pynn::PYNN_TARGET::broadcast(x); }
  static PYNN_INLINE V fma(V a, V b, V c) { return pynn::PYNN_TARGET::fma(a, b, c); }
};

#if defined(PYNN_TARGET_AVX512)
template <class T>
struct Short;
template <>
struct Short<float> {
  typedef float Element;
  typedef float V __attribute__((vector_size(32)));
  static constexpr int kLanes = 8;
  static PYNN_INLINE V load(const float* p) { return (V)_mm256_loadu_ps(p); }
  static PYNN_INLINE V load(const float* p, int n) { return (V)_mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1u), p); }
  static PYNN_INLINE void store(float* p, V v) { _mm256_storeu_ps(p, (__m256)v); }
  static PYNN_INLINE void store(float* p, V v, int n) { _mm256_mask_storeu_ps(p, (__mmask8)((1u << n) - 1u), (__m256)v); }
  static PYNN_INLINE V broadcast(float x) { return (V)_mm256_set1_ps(x); }
  static PYNN_INLINE V fma(V a, V b, V c) { return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
};
template <>
struct Short<double> {
  typedef double Element;
  typedef double V __attribute__((vector_size(32)));
  static constexpr int kLanes = 4;
  static PYNN_INLINE V load(const double* p) { return (V)_mm256_loadu_pd(p); }
  static PYNN_INLINE V load(const double* p, int n) { return (V)_mm256_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p); }
  static PYNN_INLINE void store(double* p, V v) { _mm256_storeu_pd(p, (__m256d)v); }
  static PYNN_INLINE void store(double* p, V v, int n) { _mm256_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), (__m256d)v); }
  static PYNN_INLINE V broadcast(double x) { return (V)_mm256_set1_pd(x); }
  static PYNN_INLINE V fma(V a, V b, V c) { return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
};
#else
template <class T>
using Short = Whole<T>;
#endif

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
