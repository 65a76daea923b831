// The lanes of a vector folded into one value, in registers: the bits of reduce_add and reduce_max in vec.h.
//
//   fold_add(v)   the upper half is added to the lower until one lane is left
//   fold_max(v)   the largest lane; NaN if any lane is
//   first_lane(mask)  the first lane that is all ones, kLanes if none is
//   fold_add_first(v, n)   fold_add where all lanes from n on are +0 and none before is -0
//   fold_add_four(v)       as lanes: fold_add_first(v[0], 4), ..., fold_add_first(v[3], 4); any behind them
#pragma once

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
PYNN_INLINE float added(__m128 four) {
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
PYNN_INLINE float added(__m256 v) { return added(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1))); }
PYNN_INLINE double added(__m128d two) { return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two))); }
PYNN_INLINE double added(__m256d v) { return added(_mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1))); }
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

#if defined(PYNN_TARGET_AVX512)
PYNN_INLINE int first_lane(VecI mask) { return __builtin_ctz(_mm512_movepi32_mask((__m512i)mask) | 1u << 16); }
PYNN_INLINE int first_lane(VecL mask) { return __builtin_ctz(_mm512_movepi64_mask((__m512i)mask) | 1u << 8); }
#elif defined(PYNN_TARGET_AVX2)
PYNN_INLINE int first_lane(VecI mask) { return __builtin_ctz(static_cast<unsigned>(_mm256_movemask_ps((__m256)mask)) | 1u << 8); }
PYNN_INLINE int first_lane(VecL mask) { return __builtin_ctz(static_cast<unsigned>(_mm256_movemask_pd((__m256d)mask)) | 1u << 4); }
#else
template <class M>
PYNN_INLINE int first_lane(M mask) {
  int lane = 0;
  while (lane < static_cast<int>(sizeof(mask) / sizeof(mask[0])) && !mask[lane]) ++lane;
  return lane;
}
#endif

#if defined(PYNN_TARGET_AVX512)
PYNN_INLINE __m128 first_four(VecF v) { return _mm512_castps512_ps128((__m512)v); }
PYNN_INLINE VecF widened(__m128 v) { return (VecF)_mm512_castps128_ps512(v); }
PYNN_INLINE __m128d first_two(VecD v) { return _mm512_castpd512_pd128((__m512d)v); }
#elif defined(PYNN_TARGET_AVX2)
PYNN_INLINE __m128 first_four(VecF v) { return _mm256_castps256_ps128((__m256)v); }
PYNN_INLINE VecF widened(__m128 v) { return (VecF)_mm256_castps128_ps256(v); }
PYNN_INLINE __m128d first_two(VecD v) { return _mm256_castpd256_pd128((__m256d)v); }
#endif

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
PYNN_INLINE float fold_add_first(VecF v, int n) { return n <= 4 ? added(first_four(v)) : fold_add(v); }
PYNN_INLINE double fold_add_first(VecD v, int n) { return n <= 2 ? added(first_two(v)) : fold_add(v); }
PYNN_INLINE __m128 two_of_each(VecF v, VecF w) {
  return _mm_add_ps(_mm_movelh_ps(first_four(v), first_four(w)), _mm_movehl_ps(first_four(w), first_four(v)));
}
PYNN_INLINE VecF fold_add_four(const VecF* v) {
  const __m128 a = two_of_each(v[0], v[1]), b = two_of_each(v[2], v[3]);
  return widened(_mm_add_ps(_mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)), _mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1))));
}
#else
template <class V>
PYNN_INLINE auto fold_add_first(V v, int) -> decltype(v[0] + v[0]) {
  return reduce_add(v);
}
PYNN_INLINE VecF fold_add_four(const VecF* v) {
  VecF sums = zero<float>();
  for (int i = 0; i < 4; ++i) sums[i] = reduce_add(v[i]);
  return sums;
}
#endif

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
