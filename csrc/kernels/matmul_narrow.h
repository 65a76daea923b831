// Products, or the last columns of products, that would leave most of a vector empty: vectors go along the rows of A. Each element is summed
// as by gemm, in the same order, so the bits are the same. Where A is stored by columns that is C^T = B^T A^T by gemm, in parts that are turned
// round; rows of A are turned in registers.
#pragma once

#include "kernels/gemm.h"
#include "kernels/gemm_pack.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kNarrowDepth = 16;  // a shorter K doesn't pay for turning C round,
constexpr std::int64_t kTurnedDepth = 48;  // or for going over A twice, or for turning it for more than a quarter of a vector
constexpr std::int64_t kNarrowRows = 256;  // of A by columns, at a time

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
constexpr bool kTurnsRows = true;
#else
constexpr bool kTurnsRows = false;
#endif

// The last columns of an m x n x k product that go this way: all, those behind whole vectors, or none.
template <class T>
constexpr std::int64_t narrow_columns(std::int64_t m, std::int64_t n, std::int64_t k, bool a_columns) {
  constexpr std::int64_t lanes = Simd<T>::kLanes;
  const std::int64_t rest = n % lanes;
  if (m < lanes || k < kNarrowDepth || n == 1 || !(a_columns || kTurnsRows)) return 0;
  const std::int64_t shallow = a_columns ? lanes * 5 / 8 : lanes / 4;  // most of them where K is short
  if (n < lanes && rest <= shallow) return rest;
  const std::int64_t most_left = a_columns || n < lanes ? lanes / 2 : kVectorRegisters >= 32 ? lanes / 4 : lanes / 8;
  return k >= kTurnedDepth && rest <= most_left ? rest : 0;
}

// Elements of C^T for so many rows, in whole blocks of transpose_block.
template <class T>
constexpr std::int64_t turned_sums(std::int64_t n, std::int64_t rows) {
  return ceil_divide(n, transpose_side<T>()) * transpose_side<T>() * rows;
}
template <class T>
PYNN_INLINE std::int64_t narrow_scratch_bytes(std::int64_t n, std::int64_t k) {
  const std::int64_t by_columns = turned_sums<T>(n, kNarrowRows) * kSizeOf<T> + gemm_scratch_bytes<T>(kNarrowRows, k);
  const std::int64_t by_rows = gemm_scratch_bytes<T>(n, k);  // of a part with too few rows
  return by_columns > by_rows ? by_columns : by_rows;
}

// c(i, j) = act(sums(j, i) + bias(j)) for i < rows
template <class T>
PYNN_INLINE void finish_turned(const Gemm<T>& g, const T* sums, std::int64_t stride, std::int64_t rows, T* c) {
  constexpr int side = transpose_side<T>(), width = Simd<T>::kLanes > side ? Simd<T>::kLanes : side;
  alignas(64) T block[side * width];
  const int n = static_cast<int>(g.n);
  for (std::int64_t i = 0; i < rows; i += side) {
    for (int j = 0; j < n; j += side) transpose_block(sums + j * stride + i, stride, block + j, width);
    const int here = static_cast<int>(least(side, rows - i));
    for (int r = 0; r < here; ++r)
      store_partial(c + (i + r) * g.c_stride, finished(load(block + r * width), g.bias, false, g.activation, 0, n), n);
  }
}

// A stored by columns.
template <class T>
PYNN_NOINLINE void narrow_by_columns(const Gemm<T>& g, void* scratch) {
  T* sums = static_cast<T*>(scratch);
  Gemm<T> turned{};
  turned.m = g.n;
  turned.k = g.k;
  turned.a = g.b;
  turned.a_stride = g.b_stride;
  turned.a_columns = !g.b_columns;
  turned.b_stride = g.a_stride;
  turned.c = sums;
  turned.c_stride = kNarrowRows;
  turned.activation = kLinear;
  for (std::int64_t first = 0; first < g.m; first += kNarrowRows) {
    turned.b = g.a + first;
    turned.n = least(kNarrowRows, g.m - first);
    gemm(turned, sums + turned_sums<T>(g.n, kNarrowRows));
    finish_turned(g, sums, kNarrowRows, turned.n, g.c + first * g.c_stride);
  }
}

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
// N columns of C for kGroups times `side` rows of A.
template <class T, int N, bool kBColumns, int kGroups>
struct TurnedRows {
  typedef Short<T> S;
  typedef typename S::V V;
  static constexpr int kSide = transpose_side<T>();
  static constexpr int kRows = kGroups * kSide;

  static PYNN_INLINE V b_at(const Gemm<T>& g, std::int64_t p, int j) {
    return S::broadcast(kBColumns ? g.b[j * g.b_stride + p] : g.b[p * g.b_stride + j]);
  }

  // sums += over p in [begin, end)
  static PYNN_INLINE void add(const Gemm<T>& g, const T* a, std::int64_t begin, std::int64_t end, V (&sums)[kGroups][N]) {
    std::int64_t p = begin;
    for (; p + kSide <= end; p += kSide) {
      V column[kGroups][kSide];
      PYNN_UNROLL
      for (int q = 0; q < kGroups; ++q) load_turned(EvenRows<T>{a + q * kSide * g.a_stride + p, g.a_stride}, column[q]);
      PYNN_UNROLL
      for (int i = 0; i < kSide; ++i) {
        PYNN_UNROLL
        for (int j = 0; j < N; ++j) {
          const V x = b_at(g, p + i, j);
          PYNN_UNROLL
          for (int q = 0; q < kGroups; ++q) sums[q][j] = S::fma(x, column[q][i], sums[q][j]);
        }
      }
    }
    if (p < end) add_rest(g, a, p, end, sums);
  }

  // The same for fewer than kSide of them, out of the kSide up to `end`.
  static PYNN_INLINE void add_rest(const Gemm<T>& g, const T* a, std::int64_t p, std::int64_t end, V (&sums)[kGroups][N]) {
    alignas(64) T column[kGroups][kSide * kSide];
    PYNN_UNROLL
    for (int q = 0; q < kGroups; ++q) transpose_block(a + q * kSide * g.a_stride + end - kSide, g.a_stride, column[q], kSide);
    PYNN_NO_UNROLL
    for (; p < end; ++p) {
      const std::int64_t at = (kSide - (end - p)) * kSide;
      PYNN_UNROLL
      for (int j = 0; j < N; ++j) {
        const V x = b_at(g, p, j);
        PYNN_UNROLL
        for (int q = 0; q < kGroups; ++q) sums[q][j] = S::fma(x, S::load(column[q] + at), sums[q][j]);
      }
    }
  }

  // turned[j * kRows + i] = C(row + i, j), without bias and activation
  static PYNN_NOINLINE void run(const Gemm<T>& g, std::int64_t row, T* turned) {
    const T* a = g.a + row * g.a_stride;
    const std::int64_t block = gemm_block(g.k);
    V total[kGroups][N];
    for (std::int64_t begin = 0; begin < g.k; begin += block) {
      V sums[kGroups][N];
      PYNN_UNROLL
      for (int q = 0; q < kGroups; ++q) {
        PYNN_UNROLL
        for (int j = 0; j < N; ++j) sums[q][j] = S::broadcast(T(0));
      }
      add(g, a, begin, least(g.k, begin + block), sums);
      PYNN_UNROLL
      for (int q = 0; q < kGroups; ++q) {
        PYNN_UNROLL
        for (int j = 0; j < N; ++j) total[q][j] = begin == 0 ? sums[q][j] : total[q][j] + sums[q][j];
      }
    }
    PYNN_UNROLL
    for (int q = 0; q < kGroups; ++q) {
      PYNN_UNROLL
      for (int j = 0; j < N; ++j) S::store(turned + j * kRows + q * kSide, total[q][j]);
    }
  }
};

// finish(first row, turned sums, their rows) for all rows of A, at least a vector's lanes of them, the last twice where they don't come out even.
template <class T, int N, bool kBColumns, int kGroups, class Finish>
PYNN_INLINE void for_turned_groups(const Gemm<T>& g, const Finish& finish) {
  typedef TurnedRows<T, N, kBColumns, kGroups> Turned;
  alignas(64) T turned[turned_sums<T>(N, Turned::kRows)];
  for (std::int64_t at = 0; at < g.m; at += Turned::kRows) {
    const std::int64_t row = least(at, g.m - Turned::kRows);
    Turned::run(g, row, turned);
    finish(row, turned, Turned::kRows);
  }
}

// Two groups share what is read of B, if there are the registers for both and one set of L1 hasn't to hold a line of each of their rows.
template <class T, int N, bool kBColumns, class Finish>
PYNN_INLINE void for_turned_rows(const Gemm<T>& g, const Finish& finish) {
  if constexpr (kVectorRegisters >= 32 && N <= 4) {
    if (g.a_stride * kSizeOf<T> % (2 * kCopyStride) != 0) return for_turned_groups<T, N, kBColumns, 2>(g, finish);
  }
  for_turned_groups<T, N, kBColumns, 1>(g, finish);
}

template <class T, bool kBColumns, class Finish>
PYNN_INLINE void for_turned_rows(const Gemm<T>& g, const Finish& finish) {
  switch (g.n) {
    case 1: return for_turned_rows<T, 1, kBColumns>(g, finish);
    case 2: return for_turned_rows<T, 2, kBColumns>(g, finish);
    case 3: return for_turned_rows<T, 3, kBColumns>(g, finish);
    case 4: return for_turned_rows<T, 4, kBColumns>(g, finish);
  }
  if constexpr (Simd<T>::kLanes / 2 >= 8) {
    switch (g.n) {
      case 5: return for_turned_rows<T, 5, kBColumns>(g, finish);
      case 6: return for_turned_rows<T, 6, kBColumns>(g, finish);
      case 7: return for_turned_rows<T, 7, kBColumns>(g, finish);
      default: return for_turned_rows<T, 8, kBColumns>(g, finish);
    }
  }
}

template <class T, class Finish>
PYNN_INLINE void for_all_turned_rows(const Gemm<T>& g, const Finish& finish) {
  if (g.b_columns) for_turned_rows<T, true>(g, finish);
  else for_turned_rows<T, false>(g, finish);
}

// A stored by rows.
template <class T>
PYNN_NOINLINE void narrow_by_rows(const Gemm<T>& g) {
  for_all_turned_rows(g, [&](std::int64_t row, const T* turned, std::int64_t rows) {
    finish_turned(g, turned, rows, rows, g.c + row * g.c_stride);
  });
}

// Few rows by a B that is stored by columns, whose rows are turned, too: C^T = B^T A^T.
template <class T>
PYNN_NOINLINE void few_rows(const Gemm<T>& g) {
  Gemm<T> turned{};
  turned.m = g.n;
  turned.n = g.m;
  turned.k = g.k;
  turned.a = g.b;
  turned.a_stride = g.b_stride;
  turned.b = g.a;
  turned.b_stride = g.a_stride;
  turned.b_columns = !g.a_columns;
  for_all_turned_rows(turned, [&](std::int64_t column, const T* sums, std::int64_t columns) {
    for (std::int64_t i = 0; i < g.m; ++i)
      for (std::int64_t j = 0; j < columns; j += Simd<T>::kLanes) {
        const int here = lanes_left<T>(columns - j);
        const typename Simd<T>::V sum = load_lanes<T>(sums + i * columns + j, here);
        store_lanes<T>(g.c + i * g.c_stride + column + j, finished(sum, g.bias, false, g.activation, column + j, here), here);
      }
  });
}
#endif

// The product g with as many columns as narrow_columns says, or some of its rows; scratch has narrow_scratch_bytes<T>(g.n, g.k).
template <class T>
void narrow_product(const Gemm<T>& g, void* scratch) {
  if (g.a_columns) return narrow_by_columns(g, scratch);
#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
  if (g.m >= Simd<T>::kLanes) return narrow_by_rows(g);
#endif
  gemm(g, scratch);  // too few of its rows
}

// gemm, but of few rows by a B that is stored by columns, for which packing it would take most of the time.
template <class T>
PYNN_INLINE void product_of(const Gemm<T>& g, void* scratch) {
#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
  constexpr std::int64_t lanes = Simd<T>::kLanes;
  if (g.b_columns && !g.panels && g.m > 1 && g.m <= lanes / 2 && g.n >= lanes && g.k >= kNarrowDepth) return few_rows(g);
#endif
  gemm(g, scratch);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
