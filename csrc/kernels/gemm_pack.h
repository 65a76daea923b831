// Copies a strip of B into a panel that the register tile reads with a fixed stride, some numbers behind the last column.
#pragma once

#include "simd/short.h"

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

// Rows `stride` elements apart.
template <class T>
struct EvenRows {
  const T* first;
  std::int64_t stride;
  PYNN_INLINE const T* operator()(int i) const { return first + i * stride; }
};

// column[j] = row(0)[j], row(1)[j], ... for j < transpose_side<T>().
#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
template <class Row>
PYNN_INLINE void load_turned(const Row& row, Short<float>::V* column) {
  __m256 both[8], pair[8];
  PYNN_UNROLL
  for (int i = 0; i < 4; ++i) {  // rows i and i + 4 side by side, so that only in-lane shuffles follow
    const float *upper = row(i), *lower = row(i + 4);
    both[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper)), _mm_loadu_ps(lower), 1);
    both[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper + 4)), _mm_loadu_ps(lower + 4), 1);
  }
  PYNN_UNROLL
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(both[i], both[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(both[i], both[i + 1]);
  }
  PYNN_UNROLL
  for (int i = 0; i < 8; i += 4) {
    column[i] = (Short<float>::V)_mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    column[i + 1] = (Short<float>::V)_mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
    column[i + 2] = (Short<float>::V)_mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    column[i + 3] = (Short<float>::V)_mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
  }
}
template <class Row>
PYNN_INLINE void load_turned(const Row& row, Short<double>::V* column) {
  const __m256d a = _mm256_loadu_pd(row(0)), b = _mm256_loadu_pd(row(1)), c = _mm256_loadu_pd(row(2)), d = _mm256_loadu_pd(row(3));
  const __m256d even_ab = _mm256_unpacklo_pd(a, b), odd_ab = _mm256_unpackhi_pd(a, b);
  const __m256d even_cd = _mm256_unpacklo_pd(c, d), odd_cd = _mm256_unpackhi_pd(c, d);
  column[0] = (Short<double>::V)_mm256_permute2f128_pd(even_ab, even_cd, 0x20);
  column[1] = (Short<double>::V)_mm256_permute2f128_pd(odd_ab, odd_cd, 0x20);
  column[2] = (Short<double>::V)_mm256_permute2f128_pd(even_ab, even_cd, 0x31);
  column[3] = (Short<double>::V)_mm256_permute2f128_pd(odd_ab, odd_cd, 0x31);
}

// to[j * stride + i] = row(i)[j] for i, j < transpose_side<T>(), in registers.
template <class T, class Row>
PYNN_INLINE void turn_rows(const Row& row, T* to, std::int64_t stride) {
  constexpr int side = transpose_side<T>();
  typename Short<T>::V column[side];
  load_turned(row, column);
  PYNN_UNROLL
  for (int j = 0; j < side; ++j) Short<T>::store(to + j * stride, column[j]);
}
#else
template <class T, class Row>
PYNN_INLINE void turn_rows(const Row& row, T* to, std::int64_t stride) {
  for (int i = 0; i < transpose_side<T>(); ++i)
    for (int j = 0; j < transpose_side<T>(); ++j) to[j * stride + i] = row(i)[j];
}
#endif

// to[j * to_stride + i] = from[i * from_stride + j]
template <class T>
PYNN_INLINE void transpose_block(const T* from, std::int64_t from_stride, T* to, std::int64_t to_stride) {
  turn_rows(EvenRows<T>{from, from_stride}, to, to_stride);
}

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

// `side` columns of a panel out of `count` rows of b, 0 < count <= side; behind them the last one again, as nobody reads these columns' sums.
template <class T>
PYNN_INLINE void pack_side(const T* b, std::int64_t b_stride, std::int64_t k, int count, int width, T* panel) {
  constexpr int side = transpose_side<T>();
  const T* rows[side];
  for (int i = 0; i < side; ++i) rows[i] = b + (i < count ? i : count - 1) * b_stride;
  std::int64_t p = 0;
  for (; p + side <= k; p += side) turn_rows([&](int i) { return rows[i] + p; }, panel + p * width, width);
  for (; p < k; ++p)
    for (int i = 0; i < side; ++i) panel[p * width + i] = rows[i][p];
}

// The same of B(p, j) = b[j * b_stride + p].
template <class T>
PYNN_NOINLINE void pack_columns(const T* b, std::int64_t b_stride, std::int64_t k, int columns, int width, T* panel) {
  constexpr int side = transpose_side<T>();
  for (int j = 0; j < width; j += side) {
    const int count = columns - j < side ? columns - j : side;
    if (count > 0) {
      pack_side(b + j * b_stride, b_stride, k, count, width, panel + j);
    } else {
      for (std::int64_t p = 0; p < k; ++p) Short<T>::store(panel + p * width + j, Short<T>::broadcast(T(0)));
    }
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
