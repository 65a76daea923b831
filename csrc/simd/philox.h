// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (2011), several counters at a time.
//
// Block b of a stream is four 32-bit words: ten rounds over the counter (low and high word of b, low and high word of the
// call counter) under a 64-bit key. Word i of a stream is word i % 4 of block i / 4.
#pragma once

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::uint64_t kPhiloxMultiplier0 = 0xD2511F53, kPhiloxMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9, kPhiloxWeyl1 = 0xBB67AE85;
constexpr int kPhiloxRounds = 10;

// 64-bit lanes of which the lower half counts; what the upper half holds is never looked at.
#if defined(PYNN_TARGET_AVX512)
typedef __m512i PhiloxLanes;
PYNN_INLINE PhiloxLanes lanes_of(std::uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
PYNN_INLINE PhiloxLanes lanes_multiply(PhiloxLanes a, PhiloxLanes b) { return _mm512_mul_epu32(a, b); }
PYNN_INLINE PhiloxLanes lanes_xor(PhiloxLanes a, PhiloxLanes b) { return _mm512_xor_si512(a, b); }
PYNN_INLINE PhiloxLanes lanes_add(PhiloxLanes a, PhiloxLanes b) { return _mm512_add_epi64(a, b); }
PYNN_INLINE PhiloxLanes lanes_upper(PhiloxLanes a) { return _mm512_srli_epi64(a, 32); }
PYNN_INLINE PhiloxLanes lanes_pair(PhiloxLanes low, PhiloxLanes high) {
  return _mm512_mask_blend_epi32((__mmask16)0xAAAA, low, _mm512_slli_epi64(high, 32));
}
PYNN_INLINE PhiloxLanes even_lanes(PhiloxLanes a, PhiloxLanes b) { return _mm512_unpacklo_epi64(a, b); }
PYNN_INLINE PhiloxLanes odd_lanes(PhiloxLanes a, PhiloxLanes b) { return _mm512_unpackhi_epi64(a, b); }
PYNN_INLINE void lanes_store(std::uint32_t* p, PhiloxLanes a) { _mm512_storeu_si512(p, a); }
#elif defined(PYNN_TARGET_AVX2)
typedef __m256i PhiloxLanes;
PYNN_INLINE PhiloxLanes lanes_of(std::uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
PYNN_INLINE PhiloxLanes lanes_multiply(PhiloxLanes a, PhiloxLanes b) { return _mm256_mul_epu32(a, b); }
PYNN_INLINE PhiloxLanes lanes_xor(PhiloxLanes a, PhiloxLanes b) { return _mm256_xor_si256(a, b); }
PYNN_INLINE PhiloxLanes lanes_add(PhiloxLanes a, PhiloxLanes b) { return _mm256_add_epi64(a, b); }
PYNN_INLINE PhiloxLanes lanes_upper(PhiloxLanes a) { return _mm256_srli_epi64(a, 32); }
PYNN_INLINE PhiloxLanes lanes_pair(PhiloxLanes low, PhiloxLanes high) {
  return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xAA);
}
PYNN_INLINE PhiloxLanes even_lanes(PhiloxLanes a, PhiloxLanes b) { return _mm256_unpacklo_epi64(a, b); }
PYNN_INLINE PhiloxLanes odd_lanes(PhiloxLanes a, PhiloxLanes b) { return _mm256_unpackhi_epi64(a, b); }
PYNN_INLINE void lanes_store(std::uint32_t* p, PhiloxLanes a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
#elif defined(__SSE2__) || defined(_M_X64)
typedef __m128i PhiloxLanes;
PYNN_INLINE PhiloxLanes lanes_of(std::uint64_t x) { return _mm_set1_epi64x(static_cast<long long>(x)); }
PYNN_INLINE PhiloxLanes lanes_multiply(PhiloxLanes a, PhiloxLanes b) { return _mm_mul_epu32(a, b); }
PYNN_INLINE PhiloxLanes lanes_xor(PhiloxLanes a, PhiloxLanes b) { return _mm_xor_si128(a, b); }
PYNN_INLINE PhiloxLanes lanes_add(PhiloxLanes a, PhiloxLanes b) { return _mm_add_epi64(a, b); }
PYNN_INLINE PhiloxLanes lanes_upper(PhiloxLanes a) { return _mm_srli_epi64(a, 32); }
PYNN_INLINE PhiloxLanes lanes_pair(PhiloxLanes low, PhiloxLanes high) {
  return _mm_or_si128(_mm_and_si128(low, _mm_set1_epi64x(0xFFFFFFFF)), _mm_slli_epi64(high, 32));
}
PYNN_INLINE PhiloxLanes even_lanes(PhiloxLanes a, PhiloxLanes b) { return _mm_unpacklo_epi64(a, b); }
PYNN_INLINE PhiloxLanes odd_lanes(PhiloxLanes a, PhiloxLanes b) { return _mm_unpackhi_epi64(a, b); }
PYNN_INLINE void lanes_store(std::uint32_t* p, PhiloxLanes a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a); }
#elif defined(__aarch64__)
typedef uint64x2_t PhiloxLanes;
PYNN_INLINE PhiloxLanes lanes_of(std::uint64_t x) { return vdupq_n_u64(x); }
PYNN_INLINE PhiloxLanes lanes_multiply(PhiloxLanes a, PhiloxLanes b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
PYNN_INLINE PhiloxLanes lanes_xor(PhiloxLanes a, PhiloxLanes b) { return veorq_u64(a, b); }
PYNN_INLINE PhiloxLanes lanes_add(PhiloxLanes a, PhiloxLanes b) { return vaddq_u64(a, b); }
PYNN_INLINE PhiloxLanes lanes_upper(PhiloxLanes a) { return vshrq_n_u64(a, 32); }
PYNN_INLINE PhiloxLanes lanes_pair(PhiloxLanes low, PhiloxLanes high) { return vsliq_n_u64(low, high, 32); }
PYNN_INLINE PhiloxLanes even_lanes(PhiloxLanes a, PhiloxLanes b) { return vzip1q_u64(a, b); }
PYNN_INLINE PhiloxLanes odd_lanes(PhiloxLanes a, PhiloxLanes b) { return vzip2q_u64(a, b); }
PYNN_INLINE void lanes_store(std::uint32_t* p, PhiloxLanes a) { vst1q_u32(p, vreinterpretq_u32_u64(a)); }
#else
// Two lanes in plain integers.
struct PhiloxLanes {
  std::uint64_t lane[2];
};
PYNN_INLINE PhiloxLanes lanes_of(std::uint64_t x) { return {{x, x}}; }
PYNN_INLINE std::uint64_t lower(std::uint64_t a) { return a & 0xFFFFFFFFu; }
PYNN_INLINE PhiloxLanes lanes_multiply(PhiloxLanes a, PhiloxLanes b) {
  return {{lower(a.lane[0]) * lower(b.lane[0]), lower(a.lane[1]) * lower(b.lane[1])}};
}
PYNN_INLINE PhiloxLanes lanes_xor(PhiloxLanes a, PhiloxLanes b) { return {{a.lane[0] ^ b.lane[0], a.lane[1] ^ b.lane[1]}}; }
PYNN_INLINE PhiloxLanes lanes_add(PhiloxLanes a, PhiloxLanes b) { return {{a.lane[0] + b.lane[0], a.lane[1] + b.lane[1]}}; }
PYNN_INLINE PhiloxLanes lanes_upper(PhiloxLanes a) { return {{a.lane[0] >> 32, a.lane[1] >> 32}}; }
PYNN_INLINE PhiloxLanes lanes_pair(PhiloxLanes low, PhiloxLanes high) {
  return {{lower(low.lane[0]) | high.lane[0] << 32, lower(low.lane[1]) | high.lane[1] << 32}};
}
PYNN_INLINE PhiloxLanes even_lanes(PhiloxLanes a, PhiloxLanes b) { return {{a.lane[0], b.lane[0]}}; }
PYNN_INLINE PhiloxLanes odd_lanes(PhiloxLanes a, PhiloxLanes b) { return {{a.lane[1], b.lane[1]}}; }
PYNN_INLINE void lanes_store(std::uint32_t* p, PhiloxLanes a) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<std::uint32_t>(a.lane[i / 2] >> (32 * (i % 2)));
}
#endif

constexpr int kPhiloxBlocks = static_cast<int>(sizeof(PhiloxLanes) / 8);  // blocks made together
constexpr int kPhiloxBatch = 64;                                         // words that fill_words makes; a multiple of 4 * kPhiloxBlocks

struct PhiloxKey {
  std::uint32_t key[2];
  std::uint64_t counter;
};

// Block numbers first, first + 1, ... so placed that even_lanes and odd_lanes of two results are whole blocks in order.
PYNN_INLINE PhiloxLanes block_numbers(std::uint64_t first) {
  std::uint64_t number[kPhiloxBlocks];
  for (int lane = 0; lane < kPhiloxBlocks; ++lane)
    number[lane] = first + static_cast<std::uint64_t>(lane / 2 + lane % 2 * (kPhiloxBlocks / 2));
  PhiloxLanes lanes;
  std::memcpy(&lanes, number, sizeof lanes);
  return lanes;
}

// words[0 .. 4 * kPhiloxBlocks) of the blocks from `first` on.
PYNN_INLINE void philox_blocks(const PhiloxKey& key, PhiloxLanes number, std::uint32_t* words) {
  PhiloxLanes x0 = number, x1 = lanes_upper(number);
  PhiloxLanes x2 = lanes_of(key.counter), x3 = lanes_of(key.counter >> 32);
  std::uint32_t key0 = key.key[0], key1 = key.key[1];
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const PhiloxLanes p0 = lanes_multiply(x0, lanes_of(kPhiloxMultiplier0));
    const PhiloxLanes p1 = lanes_multiply(x2, lanes_of(kPhiloxMultiplier1));
    x0 = lanes_xor(lanes_xor(lanes_upper(p1), x1), lanes_of(key0));
    x2 = lanes_xor(lanes_xor(lanes_upper(p0), x3), lanes_of(key1));
    x1 = p1;
    x3 = p0;
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  const PhiloxLanes front = lanes_pair(x0, x1), back = lanes_pair(x2, x3);
  lanes_store(words, even_lanes(front, back));
  lanes_store(words + 2 * kPhiloxBlocks, odd_lanes(front, back));
}

// words[0 .. kPhiloxBatch) = words `first` to `first + kPhiloxBatch - 1` of the stream; `first` is a multiple of 4.
PYNN_INLINE void fill_words(const PhiloxKey& key, std::int64_t first, std::uint32_t* words) {
  PhiloxLanes number = block_numbers(static_cast<std::uint64_t>(first) / 4);
  for (int i = 0; i < kPhiloxBatch; i += 4 * kPhiloxBlocks) {
    philox_blocks(key, number, words + i);
    number = lanes_add(number, lanes_of(kPhiloxBlocks));
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
