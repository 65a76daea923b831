// The vector types of the current CPU target, and Simd<T>, which names them. The operations are in vec.h.
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
#endif

// PYNN_PLAIN_ARRAYS makes any compiler go the way of one without vector extensions, to test that way.
#if (defined(__GNUC__) || defined(__clang__)) && !defined(PYNN_PLAIN_ARRAYS)
#define PYNN_VECTOR_EXTENSIONS 1
#endif

// What the baseline may call on its vectors: they convert to the intrinsics' types with vector extensions only.
#if defined(PYNN_VECTOR_EXTENSIONS) && defined(PYNN_TARGET_BASELINE) && defined(__SSE2__)
#define PYNN_SSE2 1
#elif defined(PYNN_VECTOR_EXTENSIONS) && defined(__aarch64__)
#define PYNN_NEON 1
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

// A convention that passes vectors in registers, as Windows's own doesn't.
#if defined(_WIN32) && defined(__x86_64__)
#define PYNN_IN_REGISTERS __attribute__((sysv_abi))
#else
#define PYNN_IN_REGISTERS
#endif

// Before a loop over the registers of a tile, and before one that is to stay a loop.
#if defined(__GNUC__) && !defined(__clang__)
#define PYNN_UNROLL _Pragma("GCC unroll 16")
#define PYNN_NO_UNROLL _Pragma("GCC unroll 1")
#elif defined(__clang__)
#define PYNN_UNROLL _Pragma("clang loop unroll(full)")
#define PYNN_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define PYNN_UNROLL
#define PYNN_NO_UNROLL
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
#if defined(PYNN_TARGET_AVX512) || defined(PYNN_NEON)
constexpr int kVectorRegisters = 32;
#else
constexpr int kVectorRegisters = 16;
#endif

template <class T>
struct Simd;

#if defined(PYNN_VECTOR_EXTENSIONS)
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
  PYNN_ARRAY_BITS(&) PYNN_ARRAY_BITS(|) PYNN_ARRAY_BITS(^) PYNN_ARRAY_BITS(+) PYNN_ARRAY_BITS(-) PYNN_ARRAY_BITS(<<)
#undef PYNN_ARRAY_BITS
#define PYNN_ARRAY_COMPARE(op)                                  \
  friend ArrayMask operator op(ArrayMask a, ArrayMask b) {      \
    for (int i = 0; i < N; ++i) a.lane[i] = a.lane[i] op b.lane[i] ? -1 : 0; \
    return a;                                                   \
  }
  PYNN_ARRAY_COMPARE(<) PYNN_ARRAY_COMPARE(==) PYNN_ARRAY_COMPARE(!=)
#undef PYNN_ARRAY_COMPARE
  friend ArrayMask operator~(ArrayMask a) {
    for (int i = 0; i < N; ++i) a.lane[i] = ~a.lane[i];
    return a;
  }
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

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
