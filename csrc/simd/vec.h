// The vector of the current CPU target. Every kernel file includes this, and of the standard library's templates none but numeric_limits, for
// constants.
//
// Simd<T> for T = float, double: V is the vector type, kLanes its width. All functions live in an anonymous namespace inside
// pynn::PYNN_TARGET, so no symbol of one target can be merged with another's. -ffp-contract=off holds everywhere: a multiply
// and an add are fused only where `fma` is written. On a target without FMA `fma` is a multiply and an add, on all lanes and tails alike.
#pragma once

#include "simd/types.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- memory -------------------------------------------------------------------------------------------------------

template <class T>
PYNN_INLINE typename Simd<T>::V load(const T* p) {
  return (typename Simd<T>::V)(*reinterpret_cast<const typename Simd<T>::Vu*>(p));
}
template <class T>
PYNN_INLINE void store(T* p, typename Simd<T>::V v) {
  *reinterpret_cast<typename Simd<T>::Vu*>(p) = (typename Simd<T>::Vu)v;
}

PYNN_INLINE VecF broadcast(float x) {
#if defined(PYNN_TARGET_AVX512)
  return (VecF)_mm512_set1_ps(x);
#elif defined(PYNN_TARGET_AVX2)
  return (VecF)_mm256_set1_ps(x);
#elif defined(PYNN_VECTOR_EXTENSIONS)
  return VecF{x, x, x, x};
#else
  VecF r;
  for (int i = 0; i < Simd<float>::kLanes; ++i) r[i] = x;
  return r;
#endif
}
PYNN_INLINE VecD broadcast(double x) {
#if defined(PYNN_TARGET_AVX512)
  return (VecD)_mm512_set1_pd(x);
#elif defined(PYNN_TARGET_AVX2)
  return (VecD)_mm256_set1_pd(x);
#elif defined(PYNN_VECTOR_EXTENSIONS)
  return VecD{x, x};
#else
  VecD r;
  for (int i = 0; i < Simd<double>::kLanes; ++i) r[i] = x;
  return r;
#endif
}

template <class T>
PYNN_INLINE typename Simd<T>::V zero() {
  return broadcast(T(0));
}

// The first n lanes (0 <= n <= kLanes) from memory, zeros behind them; nothing past p[n - 1] is touched.
#if defined(PYNN_TARGET_AVX512)
PYNN_INLINE VecF load_partial(const float* p, int n) { return (VecF)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p); }
PYNN_INLINE void store_partial(float* p, VecF v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v); }
PYNN_INLINE VecD load_partial(const double* p, int n) { return (VecD)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p); }
PYNN_INLINE void store_partial(double* p, VecD v, int n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), (__m512d)v); }
#elif defined(PYNN_TARGET_AVX2)
const std::int32_t kMaskSource[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
PYNN_INLINE __m256i lane_mask32(int n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMaskSource + 8 - n)); }
PYNN_INLINE __m256i lane_mask64(int n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMaskSource + 8 - 2 * n)); }
PYNN_INLINE VecF load_partial(const float* p, int n) { return (VecF)_mm256_maskload_ps(p, lane_mask32(n)); }
PYNN_INLINE void store_partial(float* p, VecF v, int n) { _mm256_maskstore_ps(p, lane_mask32(n), (__m256)v); }
PYNN_INLINE VecD load_partial(const double* p, int n) { return (VecD)_mm256_maskload_pd(p, lane_mask64(n)); }
PYNN_INLINE void store_partial(double* p, VecD v, int n) { _mm256_maskstore_pd(p, lane_mask64(n), (__m256d)v); }
#elif defined(PYNN_NEON)
PYNN_INLINE VecF load_partial(const float* p, int n) {
  if (n >= 4) return load(p);
  const int pair = n & 2;
  const float32x4_t front = pair ? vcombine_f32(vld1_f32(p), vdup_n_f32(0)) : vdupq_n_f32(0);
  if (!(n & 1)) return (VecF)front;
  return (VecF)(pair ? vld1q_lane_f32(p + 2, front, 2) : vld1q_lane_f32(p, front, 0));
}
PYNN_INLINE void store_partial(float* p, VecF v, int n) {
  if (n >= 4) return store(p, v);
  if (n & 2) vst1_f32(p, vget_low_f32((float32x4_t)v));
  if ((n & 3) == 3) vst1q_lane_f32(p + 2, (float32x4_t)v, 2);
  else if (n & 1) vst1q_lane_f32(p, (float32x4_t)v, 0);
}
PYNN_INLINE VecD load_partial(const double* p, int n) {
  if (n >= 2) return load(p);
  return n ? (VecD)vld1q_lane_f64(p, vdupq_n_f64(0), 0) : (VecD)vdupq_n_f64(0);
}
PYNN_INLINE void store_partial(double* p, VecD v, int n) {
  if (n >= 2) return store(p, v);
  if (n) vst1q_lane_f64(p, (float64x2_t)v, 0);
}
#else
template <class T>
PYNN_INLINE typename Simd<T>::V load_partial(const T* p, int n) {
  typename Simd<T>::V r = zero<T>();
  for (int i = 0; i < n; ++i) r[i] = p[i];
  return r;
}
template <class T>
PYNN_INLINE void store_partial(T* p, typename Simd<T>::V v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}
#endif

// ---- arithmetic ---------------------------------------------------------------------------------------------------

// a * b + c
PYNN_INLINE VecF fma(VecF a, VecF b, VecF c) {
#if defined(PYNN_TARGET_AVX512)
  return (VecF)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(PYNN_TARGET_AVX2)
  return (VecF)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(PYNN_NEON)
  return (VecF)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
PYNN_INLINE VecD fma(VecD a, VecD b, VecD c) {
#if defined(PYNN_TARGET_AVX512)
  return (VecD)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(PYNN_TARGET_AVX2)
  return (VecD)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(PYNN_NEON)
  return (VecD)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}
// The scalar that equals one lane of the vector `fma`.
PYNN_INLINE float fma(float a, float b, float c) {
#if defined(PYNN_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
PYNN_INLINE double fma(double a, double b, double c) {
#if defined(PYNN_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// mask ? a : b, lane by lane
template <class V, class M>
PYNN_INLINE V select(M mask, V a, V b) {
#if defined(PYNN_VECTOR_EXTENSIONS)
  return mask ? a : b;
#else
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(a.lane[0])); ++i) a.lane[i] = mask.lane[i] ? a.lane[i] : b.lane[i];
  return a;
#endif
}

// The processor's own minimum and maximum: a < b ? a : b and a > b ? a : b, so that NaN gives b.
template <class V>
PYNN_INLINE V lower_of(V a, V b) {
  return select((a < b), a, b);
}
template <class V>
PYNN_INLINE V higher_of(V a, V b) {
  return select((a > b), a, b);
}
#if defined(PYNN_TARGET_AVX512)
PYNN_INLINE VecF lower_of(VecF a, VecF b) { return (VecF)_mm512_min_ps((__m512)a, (__m512)b); }
PYNN_INLINE VecD lower_of(VecD a, VecD b) { return (VecD)_mm512_min_pd((__m512d)a, (__m512d)b); }
PYNN_INLINE VecF higher_of(VecF a, VecF b) { return (VecF)_mm512_max_ps((__m512)a, (__m512)b); }
PYNN_INLINE VecD higher_of(VecD a, VecD b) { return (VecD)_mm512_max_pd((__m512d)a, (__m512d)b); }
#elif defined(PYNN_TARGET_AVX2)
PYNN_INLINE VecF lower_of(VecF a, VecF b) { return (VecF)_mm256_min_ps((__m256)a, (__m256)b); }
PYNN_INLINE VecD lower_of(VecD a, VecD b) { return (VecD)_mm256_min_pd((__m256d)a, (__m256d)b); }
PYNN_INLINE VecF higher_of(VecF a, VecF b) { return (VecF)_mm256_max_ps((__m256)a, (__m256)b); }
PYNN_INLINE VecD higher_of(VecD a, VecD b) { return (VecD)_mm256_max_pd((__m256d)a, (__m256d)b); }
#endif

// Where a lane is NaN the result is NaN, as NumPy's maximum and minimum have it.
template <class V>
PYNN_INLINE V vmax(V a, V b) {
  return select((a != a), a, higher_of(a, b));
}
template <class V>
PYNN_INLINE V vmin(V a, V b) {
  return select((a != a), a, lower_of(a, b));
}

PYNN_INLINE VecF vsqrt(VecF a) {
#if defined(PYNN_TARGET_AVX512)
  return (VecF)_mm512_sqrt_ps((__m512)a);
#elif defined(PYNN_TARGET_AVX2)
  return (VecF)_mm256_sqrt_ps((__m256)a);
#elif defined(PYNN_SSE2)
  return (VecF)_mm_sqrt_ps((__m128)a);
#elif defined(PYNN_NEON)
  return (VecF)vsqrtq_f32((float32x4_t)a);
#else
  for (int i = 0; i < Simd<float>::kLanes; ++i) a[i] = std::sqrt(a[i]);
  return a;
#endif
}
PYNN_INLINE VecD vsqrt(VecD a) {
#if defined(PYNN_TARGET_AVX512)
  return (VecD)_mm512_sqrt_pd((__m512d)a);
#elif defined(PYNN_TARGET_AVX2)
  return (VecD)_mm256_sqrt_pd((__m256d)a);
#elif defined(PYNN_SSE2)
  return (VecD)_mm_sqrt_pd((__m128d)a);
#elif defined(PYNN_NEON)
  return (VecD)vsqrtq_f64((float64x2_t)a);
#else
  for (int i = 0; i < Simd<double>::kLanes; ++i) a[i] = std::sqrt(a[i]);
  return a;
#endif
}

// Nearest integer, ties to even.
PYNN_INLINE VecF vround(VecF a) {
#if defined(PYNN_TARGET_AVX512)
  return (VecF)_mm512_roundscale_ps((__m512)a, 0x08);
#elif defined(PYNN_TARGET_AVX2)
  return (VecF)_mm256_round_ps((__m256)a, 0x08);
#elif defined(PYNN_NEON)
  return (VecF)vrndnq_f32((float32x4_t)a);
#else
  for (int i = 0; i < Simd<float>::kLanes; ++i) a[i] = std::nearbyint(a[i]);
  return a;
#endif
}
PYNN_INLINE VecD vround(VecD a) {
#if defined(PYNN_TARGET_AVX512)
  return (VecD)_mm512_roundscale_pd((__m512d)a, 0x08);
#elif defined(PYNN_TARGET_AVX2)
  return (VecD)_mm256_round_pd((__m256d)a, 0x08);
#elif defined(PYNN_NEON)
  return (VecD)vrndnq_f64((float64x2_t)a);
#else
  for (int i = 0; i < Simd<double>::kLanes; ++i) a[i] = std::nearbyint(a[i]);
  return a;
#endif
}
PYNN_INLINE VecF vfloor(VecF a) {
  const VecF r = vround(a);
  return r - select((r > a), broadcast(1.0f), broadcast(0.0f));
}
PYNN_INLINE VecD vfloor(VecD a) {
  const VecD r = vround(a);
  return r - select((r > a), broadcast(1.0), broadcast(0.0));
}

// ---- reductions: a fixed tree over the lanes, so that a sum never depends on who ran it --------------------------------

template <class V>
PYNN_INLINE auto reduce_add(V v) -> decltype(v[0] + v[0]) {
  constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(v[0] + v[0]));
  decltype(v[0] + v[0]) part[lanes];
  for (int i = 0; i < lanes; ++i) part[i] = v[i];
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) part[i] = part[i] + part[i + half];
  return part[0];
}
template <class V>
PYNN_INLINE auto reduce_max(V v) -> decltype(v[0] + v[0]) {
  constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(v[0] + v[0]));
  auto best = v[0] + 0;
  for (int i = 1; i < lanes; ++i) {
    const auto x = v[i];
    best = x > best || x != x ? x : best;
  }
  return best;
}

// 2^n for whole n within the exponent range, by writing the exponent field.
PYNN_INLINE VecF exp2_whole(VecF n) {
#if defined(PYNN_TARGET_AVX512)
  return (VecF)_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32((__m512)n), _mm512_set1_epi32(127)), 23));
#elif defined(PYNN_TARGET_AVX2)
  return (VecF)_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32((__m256)n), _mm256_set1_epi32(127)), 23));
#elif defined(PYNN_NEON)
  return (VecF)vshlq_n_s32(vaddq_s32(vcvtq_s32_f32((float32x4_t)n), vdupq_n_s32(127)), 23);
#else
  VecF r;
  for (int i = 0; i < Simd<float>::kLanes; ++i) {
    const std::int32_t bits = (static_cast<std::int32_t>(n[i]) + 127) << 23;
    float x;
    std::memcpy(&x, &bits, 4);
    r[i] = x;
  }
  return r;
#endif
}

// ---- bits: what math.h builds exponents and signs with ----------------------------------------------------------------

#if defined(PYNN_VECTOR_EXTENSIONS)
PYNN_INLINE VecI broadcast_bits(std::int32_t x) { return VecI{} + x; }
PYNN_INLINE VecL broadcast_bits(std::int64_t x) { return VecL{} + x; }
#else
PYNN_INLINE VecI broadcast_bits(std::int32_t x) {
  VecI r;
  for (int i = 0; i < Simd<float>::kLanes; ++i) r[i] = x;
  return r;
}
PYNN_INLINE VecL broadcast_bits(std::int64_t x) {
  VecL r;
  for (int i = 0; i < Simd<double>::kLanes; ++i) r[i] = x;
  return r;
}
#endif

template <class To, class From>
PYNN_INLINE To same_bits(From from) {
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}
PYNN_INLINE VecI bits_of(VecF v) { return same_bits<VecI>(v); }
PYNN_INLINE VecL bits_of(VecD v) { return same_bits<VecL>(v); }
PYNN_INLINE VecF value_of(VecI m) { return same_bits<VecF>(m); }
PYNN_INLINE VecD value_of(VecL m) { return same_bits<VecD>(m); }

// Shifts that fill with zeros.
#if defined(PYNN_VECTOR_EXTENSIONS)
typedef std::uint32_t VecUnsignedI __attribute__((vector_size(kVectorBytes)));
typedef std::uint64_t VecUnsignedL __attribute__((vector_size(kVectorBytes)));
PYNN_INLINE VecI shift_left(VecI m, int n) { return (VecI)((VecUnsignedI)m << n); }
PYNN_INLINE VecL shift_left(VecL m, int n) { return (VecL)((VecUnsignedL)m << n); }
PYNN_INLINE VecI shift_right(VecI m, int n) { return (VecI)((VecUnsignedI)m >> n); }
PYNN_INLINE VecL shift_right(VecL m, int n) { return (VecL)((VecUnsignedL)m >> n); }
#else
#define PYNN_ARRAY_SHIFT(name, op, Mask, Int, Unsigned)                                      \
  PYNN_INLINE Mask name(Mask m, int n) {                                                     \
    for (int i = 0; i < static_cast<int>(sizeof(m) / sizeof(Int)); ++i) m[i] = static_cast<Int>(static_cast<Unsigned>(m[i]) op n); \
    return m;                                                                                \
  }
PYNN_ARRAY_SHIFT(shift_left, <<, VecI, std::int32_t, std::uint32_t)
PYNN_ARRAY_SHIFT(shift_left, <<, VecL, std::int64_t, std::uint64_t)
PYNN_ARRAY_SHIFT(shift_right, >>, VecI, std::int32_t, std::uint32_t)
PYNN_ARRAY_SHIFT(shift_right, >>, VecL, std::int64_t, std::uint64_t)
#undef PYNN_ARRAY_SHIFT
#endif

// ---- bytes: small codes, one to a lane ------------------------------------------------------------------------------------

// Lanes of `like` from bytes, without sign, and back (lanes below 256). All lanes: kLanes bytes are read or written.
PYNN_INLINE VecI load_bytes(const std::uint8_t* p, VecI like) {
#if defined(PYNN_TARGET_AVX512)
  (void)like;
  return (VecI)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(PYNN_TARGET_AVX2)
  (void)like;
  return (VecI)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(PYNN_NEON)
  (void)like;
  std::uint32_t bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  return (VecI)vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
#else
  for (int i = 0; i < Simd<float>::kLanes; ++i) like[i] = p[i];
  return like;
#endif
}
PYNN_INLINE VecL load_bytes(const std::uint8_t* p, VecL like) {
  for (int i = 0; i < Simd<double>::kLanes; ++i) like[i] = p[i];
  return like;
}
PYNN_INLINE void store_bytes(std::uint8_t* p, VecI v) {
#if defined(PYNN_TARGET_AVX512)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)v));
#elif defined(PYNN_TARGET_AVX2)
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#elif defined(PYNN_NEON)
  const uint16x4_t words = vmovn_u32((uint32x4_t)v);
  const std::uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
  std::memcpy(p, &bytes, sizeof bytes);
#else
  for (int i = 0; i < Simd<float>::kLanes; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
#endif
}
PYNN_INLINE void store_bytes(std::uint8_t* p, VecL v) {
  for (int i = 0; i < Simd<double>::kLanes; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
}

// The first n bytes only (0 <= n < kLanes), zeros behind them; nothing past p[n - 1] is touched. No detour through memory, whose bytes a
// wide load would have to wait for.
PYNN_INLINE VecI load_bytes_partial(const std::uint8_t* p, int n, VecI like) {
#if defined(PYNN_TARGET_AVX512)
  (void)like;
  return (VecI)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1u), p));
#elif defined(PYNN_TARGET_AVX2)
  (void)like;
  std::uint64_t bytes = 0;
  for (int i = n - 1; i >= 0; --i) bytes = bytes << 8 | p[i];
  return (VecI)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes)));
#else
  like = broadcast_bits(std::int32_t(0));
  for (int i = 0; i < n; ++i) like[i] = p[i];
  return like;
#endif
}
PYNN_INLINE VecL load_bytes_partial(const std::uint8_t* p, int n, VecL like) {
  like = broadcast_bits(std::int64_t(0));
  for (int i = 0; i < n; ++i) like[i] = p[i];
  return like;
}
PYNN_INLINE void store_bytes_partial(std::uint8_t* p, VecI v, int n) {
#if defined(PYNN_TARGET_AVX512)
  _mm512_mask_cvtepi32_storeu_epi8(p, (__mmask16)((1u << n) - 1u), (__m512i)v);
#else
  for (int i = 0; i < n; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
#endif
}
PYNN_INLINE void store_bytes_partial(std::uint8_t* p, VecL v, int n) {
  for (int i = 0; i < n; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
