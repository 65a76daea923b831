// Copies a strip of B into a panel that the register tile reads with a fixed stride, zeros behind the last column.
#pragma once

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Side of the square blocks that transpose_block turns.
template <class T>
constexpr int transpose_side() {
#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
  return 32 / static_cast<int>(sizeof(T));
#else
  return 16 / static_cast<int>(sizeof(T));
#endif
}

// to[j * to_stride + i] = from[i * from_stride + j] for i, j < transpose_side<T>(), in registers.
#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
PYNN_INLINE void transpose_block(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  __m256 row[8], pair[8], half[8];
  for (int i = 0; i < 4; ++i) {  // rows i and i + 4 side by side, so that only in-lane shuffles follow
    const float* upper = from + i * from_stride;
    const float* lower = from + (i + 4) * from_stride;
    row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper)), _mm_loadu_ps(lower), 1);
    row[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper + 4)), _mm_loadu_ps(lower + 4), 1);
  }
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    half[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    half[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
    half[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    half[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
  }
  for (int j = 0; j < 8; ++j) _mm256_storeu_ps(to + j * to_stride, half[j]);
}
PYNN_INLINE void transpose_block(const double* from, std::int64_t from_stride, double* to, std::int64_t to_stride) {
  const __m256d a = _mm256_loadu_pd(from), b = _mm256_loadu_pd(from + from_stride);
  const __m256d c = _mm256_loadu_pd(from + 2 * from_stride), d = _mm256_loadu_pd(from + 3 * from_stride);
  const __m256d even_ab = _mm256_unpacklo_pd(a, b), odd_ab = _mm256_unpackhi_pd(a, b);
  const __m256d even_cd = _mm256_unpacklo_pd(c, d), odd_cd = _mm256_unpackhi_pd(c, d);
  _mm256_storeu_pd(to, _mm256_permute2f128_pd(even_ab, even_cd, 0x20));
  _mm256_storeu_pd(to + to_stride, _mm256_permute2f128_pd(odd_ab, odd_cd, 0x20));
  _mm256_storeu_pd(to + 2 * to_stride, _mm256_permute2f128_pd(even_ab, even_cd, 0x31));
  _mm256_storeu_pd(to + 3 * to_stride, _mm256_permute2f128_pd(odd_ab, odd_cd, 0x31));
}
#else
template <class T>
PYNN_INLINE void transpose_block(const T* from, std::int64_t from_stride, T* to, std::int64_t to_stride) {
  for (int i = 0; i < transpose_side<T>(); ++i)
    for (int j = 0; j < transpose_side<T>(); ++j) to[j * to_stride + i] = from[i * from_stride + j];
}
#endif

// panel[p * width + j] = B(p, j) = b[p * b_stride + j] for j < columns, 0 for columns <= j < width.
// width is a multiple of kLanes and columns > width - kLanes.
template <class T>
PYNN_NOINLINE void pack_rows(const T* b, std::int64_t b_stride, std::int64_t k, int columns, int width, T* panel) {
  constexpr int lanes = Simd<T>::kLanes;
  const int tail = columns - (width - lanes);
  for (std::int64_t p = 0; p < k; ++p) {
    const T* from = b + p * b_stride;
    for (int j = 0; j < width - lanes; j += lanes) store<T>(panel + j, load<T>(from + j));
    store<T>(panel + width - lanes, load_partial(from + width - lanes, tail));
    panel += width;
  }
}

// `count` such panels side by side, all of them full: the panel of columns s * width .. is at panels + s * width * k.
// Goes along the rows of b, which may be pages apart.
template <class T>
PYNN_NOINLINE void pack_row_panels(const T* b, std::int64_t b_stride, std::int64_t k, std::int64_t count, int width, T* panels) {
  constexpr int lanes = Simd<T>::kLanes;
  for (std::int64_t p = 0; p < k; ++p) {
    const T* from = b + p * b_stride;
    T* to = panels + p * width;
    for (std::int64_t s = 0; s < count; ++s) {
      for (int j = 0; j < width; j += lanes) store<T>(to + j, load<T>(from + j));
      from += width;
      to += width * k;
    }
  }
}

// The same of B(p, j) = b[j * b_stride + p].
template <class T>
PYNN_NOINLINE void pack_columns(const T* b, std::int64_t b_stride, std::int64_t k, int columns, int width, T* panel) {
  constexpr int side = transpose_side<T>();
  const std::int64_t k_blocks = k - k % side;
  int j = 0;
  for (; j + side <= columns; j += side) {
    const T* from = b + j * b_stride;
    for (std::int64_t p = 0; p < k_blocks; p += side) transpose_block(from + p, b_stride, panel + p * width + j, width);
    for (std::int64_t p = k_blocks; p < k; ++p)
      for (int i = 0; i < side; ++i) panel[p * width + j + i] = from[i * b_stride + p];
  }
  for (; j < columns; ++j)
    for (std::int64_t p = 0; p < k; ++p) panel[p * width + j] = b[j * b_stride + p];
  for (; j < width; ++j)
    for (std::int64_t p = 0; p < k; ++p) panel[p * width + j] = T(0);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
