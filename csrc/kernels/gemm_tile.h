// The register tile: the inner loop of matrix products, convolutions and recurrent steps.
//
// A Tile<T, MR, NV> is MR rows by NV vectors of accumulators. Use it in three stages, all inlined into the caller:
//
//   Tile<T, 6, 2> tile;
//   clear(tile);                                                 // acc(i, j) = 0
//   accumulate(tile, rows_of<6>(a, a_stride), b, b_stride, k);   // acc(i, j) += sum over p < k of A(i, p) * b[p * b_stride + j]
//   accumulate(tile, ...);                                       // further segments of K, any number, also of length 0
//   store_tile(tile, c, c_stride, columns);                      // or add_tile, or for_each_vector with an own epilogue
//
// with j = 0 .. NV * kLanes - 1. A(i, p) is one of
//   rows_of<MR>(a, stride)   A(i, p) = a[i * stride + p]           row-major A
//   RowPointers<T, MR>       A(i, p) = row[i][p]                   rows anywhere (pixels of a convolution)
//   columns_of(a, stride)    A(i, p) = a[p * stride + i]           A transposed: MR consecutive elements for each p
//
// b needs NV * kLanes readable elements in each of the k rows; any stride, no alignment. A narrower b is copied into a padded
// panel first (gemm_pack.h). The products of one element are added one after the other in the order of p, each with one fma
// (from +0 after clear): the bits of C(i, j) depend on A(i, :), B(:, j) and on where the caller clears, never on MR, NV, i, j,
// strides, the access to A or the number of calls that K came in.
//
// 6 x 2 fills the 16 registers of AVX2 (12 accumulators, 2 of B, 1-2 broadcasts) and hides the latency of fma at two a cycle;
// so do 8 x 1, and for few rows 2 x 4 and 1 x 8. The same shapes serve SSE2, AVX-512 and NEON, with kLanes columns to a vector; the
// last two have 32 registers, for more rows (gemm_tasks.h).
#pragma once

#include "simd/lanes.h"

// Ties a vector to a register: without it gcc reads B from memory in each fma and mixes the steps of K until registers run out.
#if defined(PYNN_VECTOR_EXTENSIONS) && (defined(__x86_64__) || defined(__i386__))
#define PYNN_KEEP(x) asm("" : "+v"(x))
#else
#define PYNN_KEEP(x) static_cast<void>(0)
#endif

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kTileRows = 6;     // rows of the full tile
constexpr int kTileVectors = 2;  // vectors across it

constexpr double kFlopsPerNs = 95;  // of tiles of float on one thread, for estimates of the time

template <class T>
constexpr int tile_columns() {
  return kTileVectors * Simd<T>::kLanes;
}

template <class T, int MR, int NV>
struct Tile {
  typename Simd<T>::V acc[MR][NV];
};

template <class T, int MR>
struct RowPointers {
  const T* row[MR];
  PYNN_INLINE T at(int i, std::int64_t p) const { return row[i][p]; }
};

template <class T>
struct ColumnAccess {
  const T* base;
  std::int64_t stride;
  PYNN_INLINE T at(int i, std::int64_t p) const { return base[p * stride + i]; }
};

template <int MR, class T>
PYNN_INLINE RowPointers<T, MR> rows_of(const T* a, std::int64_t stride) {
  RowPointers<T, MR> rows;
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) rows.row[i] = a + i * stride;
  return rows;
}

template <class T>
PYNN_INLINE ColumnAccess<T> columns_of(const T* a, std::int64_t stride) {
  return ColumnAccess<T>{a, stride};
}

template <class T, int MR, int NV>
PYNN_INLINE void clear(Tile<T, MR, NV>& tile) {
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) tile.acc[i][v] = zero<T>();
  }
}

// acc(i, j) = c[i * c_stride + j], whole vectors
template <class T, int MR, int NV>
PYNN_INLINE void load_tile(Tile<T, MR, NV>& tile, const T* c, std::int64_t c_stride) {
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) tile.acc[i][v] = load<T>(c + i * c_stride + v * Simd<T>::kLanes);
  }
}

// acc(i, :) += A(i, p) * b(:), one p.
template <class T, int MR, int NV, class Access>
PYNN_INLINE void accumulate_one(Tile<T, MR, NV>& tile, const Access& a, std::int64_t p, const T* b) {
  typename Simd<T>::V row[NV];
  PYNN_UNROLL
  for (int v = 0; v < NV; ++v) {
    row[v] = load<T>(b + v * Simd<T>::kLanes);
    if (MR > 1) PYNN_KEEP(row[v]);  // one row uses each once, in an fma that can read it itself
  }
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    const typename Simd<T>::V x = broadcast(a.at(i, p));
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) {
      tile.acc[i][v] = fma(x, row[v], tile.acc[i][v]);
      PYNN_KEEP(tile.acc[i][v]);
    }
  }
}

// acc(i, j) += sum over p < k of A(i, p) * b[p * b_stride + j]
template <class T, int MR, int NV, class Access>
PYNN_INLINE void accumulate(Tile<T, MR, NV>& tile, const Access& a, const T* b, std::int64_t b_stride, std::int64_t k) {
  std::int64_t p = 0;
  for (; p + 4 <= k; p += 4) {
    accumulate_one(tile, a, p, b);
    accumulate_one(tile, a, p + 1, b + b_stride);
    accumulate_one(tile, a, p + 2, b + 2 * b_stride);
    accumulate_one(tile, a, p + 3, b + 3 * b_stride);
    b += 4 * b_stride;
  }
  PYNN_NO_UNROLL
  for (int left = static_cast<int>(k & 3); left > 0; --left) {
    accumulate_one(tile, a, p++, b);
    b += b_stride;
  }
}

// The lanes of vector v that exist in a tile of `columns` columns: 0 .. kLanes.
template <class T>
PYNN_INLINE int lanes_of(int columns, int v) {
  const int left = columns - v * Simd<T>::kLanes;
  return left >= Simd<T>::kLanes ? Simd<T>::kLanes : left > 0 ? left : 0;
}

// visit(i, v, acc, lanes) for every vector; `lanes` is a compile-time kLanes where the tile is full. For epilogues of one's own.
template <class T, int MR, int NV, class Visit>
PYNN_INLINE void for_each_vector(const Tile<T, MR, NV>& tile, int columns, Visit visit) {
  if (columns >= NV * Simd<T>::kLanes) {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) visit(i, v, tile.acc[i][v], Simd<T>::kLanes);
    }
    return;
  }
  PYNN_UNROLL
  for (int v = 0; v < NV; ++v) {
    const int lanes = lanes_of<T>(columns, v);
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) visit(i, v, tile.acc[i][v], lanes);
  }
}

// c[i * c_stride + j] = acc(i, j) for j < columns
template <class T, int MR, int NV>
PYNN_INLINE void store_tile(const Tile<T, MR, NV>& tile, T* c, std::int64_t c_stride, int columns) {
  for_each_vector<T, MR, NV>(tile, columns, [=](int i, int v, typename Simd<T>::V x, int lanes) {
    store_lanes<T>(c + i * c_stride + v * Simd<T>::kLanes, x, lanes);
  });
}

// c[i * c_stride + j] += acc(i, j) for j < columns
template <class T, int MR, int NV>
PYNN_INLINE void add_tile(const Tile<T, MR, NV>& tile, T* c, std::int64_t c_stride, int columns) {
  for_each_vector<T, MR, NV>(tile, columns, [=](int i, int v, typename Simd<T>::V x, int lanes) {
    T* to = c + i * c_stride + v * Simd<T>::kLanes;
    store_lanes<T>(to, load_lanes<T>(to, lanes) + x, lanes);
  });
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
