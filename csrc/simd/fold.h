// The lanes of a vector folded into one value, in registers: the bits of reduce_add and reduce_max in vec.h.
//
//   fold_add(v)   the upper half is added to the lower until one lane is left
//   fold_max(v)   the largest lane; NaN if any lane is
#pragma once

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
PYNN_INLINE float added(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
PYNN_INLINE double added(__m256d v) {
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
PYNN_INLINE float largest(__m256 v) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
PYNN_INLINE double largest(__m256d v) {
  const __m128d two = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
  return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
}
#endif

#if defined(PYNN_TARGET_AVX512)
PYNN_INLINE float fold_add(VecF v) {
  return added(_mm256_add_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1)));
}
PYNN_INLINE double fold_add(VecD v) {
  return added(_mm256_add_pd(_mm512_castpd512_pd256((__m512d)v), _mm512_extractf64x4_pd((__m512d)v, 1)));
}
PYNN_INLINE float fold_max(VecF v) {
  if (_mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q)) return NAN;
  return largest(_mm256_max_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1)));
}
PYNN_INLINE double fold_max(VecD v) {
  if (_mm512_cmp_pd_mask((__m512d)v, (__m512d)v, _CMP_UNORD_Q)) return NAN;
  return largest(_mm256_max_pd(_mm512_castpd512_pd256((__m512d)v), _mm512_extractf64x4_pd((__m512d)v, 1)));
}
#elif defined(PYNN_TARGET_AVX2)
PYNN_INLINE float fold_add(VecF v) { return added((__m256)v); }
PYNN_INLINE double fold_add(VecD v) { return added((__m256d)v); }
PYNN_INLINE float fold_max(VecF v) {
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, (__m256)v, _CMP_UNORD_Q)) ? NAN : largest((__m256)v);
}
PYNN_INLINE double fold_max(VecD v) {
  return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)v, (__m256d)v, _CMP_UNORD_Q)) ? NAN : largest((__m256d)v);
}
#else
template <class V>
PYNN_INLINE auto fold_add(V v) -> decltype(v[0] + v[0]) {
  return reduce_add(v);
}
template <class V>
PYNN_INLINE auto fold_max(V v) -> decltype(v[0] + v[0]) {
  return reduce_max(v);
}
#endif

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
