// The vector of the current CPU target. Every kernel file includes this and nothing of the standard library's templates.
//
// Simd<T> for T = float, double: V is the vector type, kLanes its width. All functions live in an anonymous namespace inside
// pynn::PYNN_TARGET, so no symbol of one target can be merged with another's. -ffp-contract=off holds everywhere: a multiply
// and an add are fused only where `fma` is written. On a target without FMA `fma` is a multiply and an add, on all lanes and tails alike.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
#include <immintrin.h>
#define PYNN_FMA 1
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#define PYNN_FMA 1
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PYNN_INLINE inline __attribute__((always_inline))
#define PYNN_NOINLINE __attribute__((noinline))
#define PYNN_RESTRICT __restrict__
#else
#define PYNN_INLINE __forceinline
#define PYNN_NOINLINE __declspec(noinline)
#define PYNN_RESTRICT __restrict
#endif

namespace pynn {
namespace PYNN_TARGET {
namespace {

#if defined(PYNN_TARGET_AVX512)
constexpr int kVectorBytes = 64;
#elif defined(PYNN_TARGET_AVX2)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct Simd;

#if defined(__GNUC__) || defined(__clang__)
typedef float VecF __attribute__((vector_size(kVectorBytes)));
typedef double VecD __attribute__((vector_size(kVectorBytes)));
typedef std::int32_t VecI __attribute__((vector_size(kVectorBytes)));
typedef std::int64_t VecL __attribute__((vector_size(kVectorBytes)));
// Unaligned and may-alias views, for memory access only.
typedef float VecFu __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
typedef double VecDu __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
#else
// A compiler without vector extensions gets plain arrays: correct, and as fast as its auto-vectoriser.
template <class T, class Mask, int N>
struct ArrayVec {
  T lane[N];
  T& operator[](int i) { return lane[i]; }
  T operator[](int i) const { return lane[i]; }
#define PYNN_ARRAY_OP(op)                                       \
  friend ArrayVec operator op(ArrayVec a, ArrayVec b) {         \
    ArrayVec r;                                                 \
    for (int i = 0; i < N; ++i) r.lane[i] = a.lane[i] op b.lane[i]; \
    return r;                                                   \
  }                                                             \
  ArrayVec& operator op##=(ArrayVec b) { return *this = *this op b; }
  PYNN_ARRAY_OP(+) PYNN_ARRAY_OP(-) PYNN_ARRAY_OP(*) PYNN_ARRAY_OP(/)
#undef PYNN_ARRAY_OP
#define PYNN_ARRAY_COMPARE(op)                                  \
  friend Mask operator op(ArrayVec a, ArrayVec b) {             \
    Mask r;                                                     \
    for (int i = 0; i < N; ++i) r.lane[i] = a.lane[i] op b.lane[i] ? -1 : 0; \
    return r;                                                   \
  }
  PYNN_ARRAY_COMPARE(<) PYNN_ARRAY_COMPARE(<=) PYNN_ARRAY_COMPARE(>)
  PYNN_ARRAY_COMPARE(>=) PYNN_ARRAY_COMPARE(==) PYNN_ARRAY_COMPARE(!=)
#undef PYNN_ARRAY_COMPARE
  friend ArrayVec operator-(ArrayVec a) {
    for (int i = 0; i < N; ++i) a.lane[i] = -a.lane[i];
    return a;
  }
};
template <class T, int N>
struct ArrayMask {
  T lane[N];
  T& operator[](int i) { return lane[i]; }
  T operator[](int i) const { return lane[i]; }
#define PYNN_ARRAY_BITS(op)                                     \
  friend ArrayMask operator op(ArrayMask a, ArrayMask b) {      \
    for (int i = 0; i < N; ++i) a.lane[i] = static_cast<T>(a.lane[i] op b.lane[i]); \
    return a;                                                   \
  }
  PYNN_ARRAY_BITS(&) PYNN_ARRAY_BITS(|) PYNN_ARRAY_BITS(+) PYNN_ARRAY_BITS(-) PYNN_ARRAY_BITS(<<)
#undef PYNN_ARRAY_BITS
};
typedef ArrayMask<std::int32_t, kVectorBytes / 4> VecI;
typedef ArrayMask<std::int64_t, kVectorBytes / 8> VecL;
typedef ArrayVec<float, VecI, kVectorBytes / 4> VecF;
typedef ArrayVec<double, VecL, kVectorBytes / 8> VecD;
typedef VecF VecFu;
typedef VecD VecDu;
#endif

template <>
struct Simd<float> {
  typedef VecF V;
  typedef VecFu Vu;
  typedef VecI M;  // comparison result: all ones or all zeros in each lane
  typedef std::int32_t Int;
  static constexpr int kLanes = kVectorBytes / 4;
};
template <>
struct Simd<double> {
  typedef VecD V;
  typedef VecDu Vu;
  typedef VecL M;
  typedef std::int64_t Int;
  static constexpr int kLanes = kVectorBytes / 8;
};

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
#elif defined(__GNUC__) || defined(__clang__)
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
#elif defined(__GNUC__) || defined(__clang__)
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
#elif defined(__aarch64__)
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
#elif defined(__aarch64__)
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
#if defined(__GNUC__) || defined(__clang__)
  return mask ? a : b;
#else
  for (int i = 0; i < (int)(sizeof(V) / sizeof(a.lane[0])); ++i) a.lane[i] = mask.lane[i] ? a.lane[i] : b.lane[i];
  return a;
#endif
}

// Where a lane is NaN the result is NaN, as NumPy's maximum and minimum have it.
template <class V>
PYNN_INLINE V vmax(V a, V b) {
  return select((a > b), a, select((a != a), a, b));
}
template <class V>
PYNN_INLINE V vmin(V a, V b) {
  return select((a < b), a, select((a != a), a, b));
}

PYNN_INLINE VecF vsqrt(VecF a) {
#if defined(PYNN_TARGET_AVX512)
  return (VecF)_mm512_sqrt_ps((__m512)a);
#elif defined(PYNN_TARGET_AVX2)
  return (VecF)_mm256_sqrt_ps((__m256)a);
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

PYNN_INLINE VecF vabs(VecF a) { return select((a < zero<float>()), -a, a + zero<float>()); }
PYNN_INLINE VecD vabs(VecD a) { return select((a < zero<double>()), -a, a + zero<double>()); }

// ---- reductions: a fixed tree over the lanes, so that a sum never depends on who ran it --------------------------------

template <class V>
PYNN_INLINE auto reduce_add(V v) -> decltype(v[0] + v[0]) {
  constexpr int lanes = (int)(sizeof(V) / sizeof(v[0] + v[0]));
  decltype(v[0] + v[0]) part[lanes];
  for (int i = 0; i < lanes; ++i) part[i] = v[i];
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) part[i] = part[i] + part[i + half];
  return part[0];
}
template <class V>
PYNN_INLINE auto reduce_max(V v) -> decltype(v[0] + v[0]) {
  constexpr int lanes = (int)(sizeof(V) / sizeof(v[0] + v[0]));
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
#if defined(__GNUC__) || defined(__clang__)
typedef std::uint32_t VecUnsignedI __attribute__((vector_size(kVectorBytes)));
typedef std::uint64_t VecUnsignedL __attribute__((vector_size(kVectorBytes)));
PYNN_INLINE VecI shift_left(VecI m, int n) { return (VecI)((VecUnsignedI)m << n); }
PYNN_INLINE VecL shift_left(VecL m, int n) { return (VecL)((VecUnsignedL)m << n); }
PYNN_INLINE VecI shift_right(VecI m, int n) { return (VecI)((VecUnsignedI)m >> n); }
PYNN_INLINE VecL shift_right(VecL m, int n) { return (VecL)((VecUnsignedL)m >> n); }
#else
#define PYNN_ARRAY_SHIFT(name, op, Mask, Int, Unsigned)                                      \
  PYNN_INLINE Mask name(Mask m, int n) {                                                     \
    for (int i = 0; i < (int)(sizeof(m) / sizeof(Int)); ++i) m[i] = (Int)((Unsigned)m[i] op n); \
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
#else
  for (int i = 0; i < Simd<float>::kLanes; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
#endif
}
PYNN_INLINE void store_bytes(std::uint8_t* p, VecL v) {
  for (int i = 0; i < Simd<double>::kLanes; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
