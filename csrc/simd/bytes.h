// Bytes: the truth of lanes as bools, and sums.
#pragma once

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// `truths_to_bytes`, of four vectors in a row: 1 where a lane isn't 0. One vector of bytes at once; see elementwise_blocks.h for the others.
#if defined(PYNN_TARGET_AVX512)
PYNN_INLINE __mmask16 truth_bits(VecF x) { return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_NEQ_UQ); }

PYNN_INLINE void truths_to_bytes(std::uint8_t* to, VecF a, VecF b, VecF c, VecF d) {
  const __mmask32 low = _mm512_kunpackw(truth_bits(b), truth_bits(a)), high = _mm512_kunpackw(truth_bits(d), truth_bits(c));
  _mm512_storeu_si512(to, _mm512_maskz_set1_epi8(_mm512_kunpackd(high, low), 1));
}

PYNN_INLINE std::uint64_t sum_of_bytes(const std::uint8_t* x, std::int64_t n) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i sum = zero, other = zero;
  std::int64_t i = 0;
  for (; i + 128 <= n; i += 128) {
    sum = _mm512_add_epi64(sum, _mm512_sad_epu8(_mm512_loadu_si512(x + i), zero));
    other = _mm512_add_epi64(other, _mm512_sad_epu8(_mm512_loadu_si512(x + i + 64), zero));
  }
  for (; i < n; i += 64) {
    const __mmask64 rest = n - i < 64 ? (__mmask64{1} << (n - i)) - 1 : ~__mmask64{0};
    sum = _mm512_add_epi64(sum, _mm512_sad_epu8(_mm512_maskz_loadu_epi8(rest, x + i), zero));
  }
  return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(_mm512_add_epi64(sum, other)));
}
#elif defined(PYNN_TARGET_AVX2)
PYNN_INLINE __m256i truth_of_lanes(VecF x) { return _mm256_castps_si256(_mm256_cmp_ps((__m256)x, _mm256_setzero_ps(), _CMP_NEQ_UQ)); }

PYNN_INLINE void truths_to_bytes(std::uint8_t* to, VecF a, VecF b, VecF c, VecF d) {
  const __m256i low = _mm256_packs_epi32(truth_of_lanes(a), truth_of_lanes(b)), high = _mm256_packs_epi32(truth_of_lanes(c), truth_of_lanes(d));
  const __m256i in_order = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_and_si256(in_order, _mm256_set1_epi8(1)));
}

PYNN_INLINE std::uint64_t sum_of_bytes(const std::uint8_t* x, std::int64_t n) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i sum = zero;
  std::int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)), zero));
  std::uint64_t parts[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(parts), sum);
  std::uint64_t total = parts[0] + parts[1] + parts[2] + parts[3];
  for (; i < n; ++i) total += x[i];
  return total;
}
#else
// In pieces whose sums fit 32 bits, which go twice as fast as 64.
PYNN_INLINE std::uint64_t sum_of_bytes(const std::uint8_t* x, std::int64_t n) {
  constexpr std::int64_t kPiece = 1 << 23;
  std::uint64_t total = 0;
  for (; n > 0; x += kPiece, n -= kPiece) {
    std::uint32_t sum = 0;
    for (std::int64_t i = 0; i < (n < kPiece ? n : kPiece); ++i) sum += x[i];
    total += sum;
  }
  return total;
}
#endif

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
