// The register tile of a sum over few terms: R rows of NV vectors to which scaled rows from anywhere are added.
//
//   sums(r, j) (+)= sum over the terms t, in order, of t.value * from[t.at + r * from_row + j]      j < columns
//
// Each product is added with one fma, as in the dense tiles (gemm_tile.h), so the bits are those of a sum that also has the terms whose value
// is zero, as long as `from` is finite. Vectors are short ones: so are the rows, and a vector as long as a cache line would lie in two of them
// wherever it doesn't start at one.
#pragma once

#include "kernels/gemm_tile.h"
#include "simd/short.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// A term: what is multiplied, and where the row begins that it multiplies.
template <class T>
struct Term {
  T value;
  std::int32_t at;
};

enum class Sums { kStore, kAdd, kContinue };  // the sum from zero, stored or added to what is there; the terms one by one added to that

template <class T>
struct SparseTask {
  const Term<T>* terms;
  std::int64_t count;
  const T* from;  // readable to the end of the last vector of each row
  std::int64_t from_row;
  T* sums;
  std::int64_t sums_row;
  std::int64_t columns;  // of the tile
  Sums mode;
};

constexpr int kSparseRows = 5;  // of the largest tile
constexpr int kSparseVectors = kVectorRegisters >= 32 ? 25 : 12;  // accumulators of a tile
// Vectors across a tile of so many rows.
constexpr int sparse_width(int rows) { return rows * 5 <= kSparseVectors ? 5 : rows * 4 <= kSparseVectors ? 4 : rows * 3 <= kSparseVectors ? 3 : 2; }
static_assert(2 * kSparseRows <= kSparseVectors, "two vectors fit in any tile");

template <class T, int R, int NV>
struct SparseTile {
  typedef Short<T> S;
  typename S::V acc[R][NV];
};

// tile = what lies at p, its last vector `last` lanes long
template <class T, int R, int NV>
PYNN_INLINE void load_sums(SparseTile<T, R, NV>& tile, const T* p, std::int64_t row, int last) {
  typedef Short<T> S;
  PYNN_UNROLL
  for (int r = 0; r < R; ++r) {
    PYNN_UNROLL
    for (int v = 0; v + 1 < NV; ++v) tile.acc[r][v] = S::load(p + r * row + v * S::kLanes);
    tile.acc[r][NV - 1] = S::load(p + r * row + (NV - 1) * S::kLanes, last);
  }
}

template <class T, int R, int NV>
PYNN_INLINE void store_sums(const SparseTile<T, R, NV>& tile, T* p, std::int64_t row, int last) {
  typedef Short<T> S;
  PYNN_UNROLL
  for (int r = 0; r < R; ++r) {
    PYNN_UNROLL
    for (int v = 0; v + 1 < NV; ++v) S::store(p + r * row + v * S::kLanes, tile.acc[r][v]);
    S::store(p + r * row + (NV - 1) * S::kLanes, tile.acc[r][NV - 1], last);
  }
}

template <class T, int R, int NV>
PYNN_INLINE void add_terms(SparseTile<T, R, NV>& tile, const SparseTask<T>& task) {
  typedef Short<T> S;
  for (const Term<T>*t = task.terms, *end = t + task.count; t != end; ++t) {
    const T* from = task.from + t->at;
    const typename S::V x = S::broadcast(t->value);
    PYNN_UNROLL
    for (int r = 0; r < R; ++r) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) {
        tile.acc[r][v] = S::fma(x, S::load(from + r * task.from_row + v * S::kLanes), tile.acc[r][v]);
        PYNN_KEEP(tile.acc[r][v]);
      }
    }
  }
}

template <class T, int R, int NV>
PYNN_NOINLINE void sparse_tile(const SparseTask<T>& task) {
  typedef Short<T> S;
  const int last = static_cast<int>(task.columns - (NV - 1) * S::kLanes);
  SparseTile<T, R, NV> tile;
  if (task.mode == Sums::kContinue) {
    load_sums<T, R, NV>(tile, task.sums, task.sums_row, last);
  } else {
    PYNN_UNROLL
    for (int r = 0; r < R; ++r) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) tile.acc[r][v] = S::broadcast(T(0));
    }
  }
  add_terms<T, R, NV>(tile, task);
  if (task.mode == Sums::kAdd) {
    SparseTile<T, R, NV> before;
    load_sums<T, R, NV>(before, task.sums, task.sums_row, last);
    PYNN_UNROLL
    for (int r = 0; r < R; ++r) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) tile.acc[r][v] = before.acc[r][v] + tile.acc[r][v];
    }
  }
  store_sums<T, R, NV>(tile, task.sums, task.sums_row, last);
}

template <class T, int R, int NV>
PYNN_INLINE void sparse_tile_of(int vectors, const SparseTask<T>& task) {
  if (vectors == NV) return sparse_tile<T, R, NV>(task);
  if constexpr (NV > 1) sparse_tile_of<T, R, NV - 1>(vectors, task);
}

template <class T, int R>
PYNN_INLINE void run_sparse_tile(int rows, int vectors, const SparseTask<T>& task) {
  if (rows == R) return sparse_tile_of<T, R, sparse_width(R)>(vectors, task);
  if constexpr (R > 1) run_sparse_tile<T, R - 1>(rows, vectors, task);
}

// Vectors of a row of `columns` elements.
template <class T>
constexpr std::int64_t short_vectors(std::int64_t columns) {
  return (columns + Short<T>::kLanes - 1) / Short<T>::kLanes;
}

// What is one tile's, of a whole that begins at (row, first vector).
template <class T>
PYNN_INLINE SparseTask<T> part_of(const SparseTask<T>& whole, std::int64_t row, std::int64_t first, std::int64_t columns) {
  SparseTask<T> part = whole;
  part.from += row * whole.from_row + first * Short<T>::kLanes;
  part.sums += row * whole.sums_row + first * Short<T>::kLanes;
  part.columns = columns;
  return part;
}

// The next part of what is left: as much as fits, the last two alike. Without a division, which takes as long as a term.
constexpr std::int64_t next_part(std::int64_t left, std::int64_t at_once) { return left >= 2 * at_once ? at_once : left > at_once ? (left + 1) / 2 : left; }

// Where it is more than one tile.
template <class T>
PYNN_NOINLINE void sparse_tiles(const SparseTask<T>& task, std::int64_t rows, std::int64_t vectors) {
  for (std::int64_t row = 0; row < rows;) {
    const int here = static_cast<int>(next_part(rows - row, kSparseRows));
    for (std::int64_t first = 0; first < vectors;) {
      const std::int64_t wide = next_part(vectors - first, sparse_width(here)), end = first + wide;
      const std::int64_t columns = (end < vectors ? end * Short<T>::kLanes : task.columns) - first * Short<T>::kLanes;
      run_sparse_tile<T, kSparseRows>(here, static_cast<int>(wide), part_of(task, row, first, columns));
      first = end;
    }
    row += here;
  }
}

// The sums of `rows` rows of task.columns columns.
template <class T>
PYNN_INLINE void sparse_sums(const SparseTask<T>& task, std::int64_t rows) {
  const std::int64_t vectors = short_vectors<T>(task.columns);
  if (rows > kSparseRows || vectors > sparse_width(static_cast<int>(rows))) return sparse_tiles(task, rows, vectors);
  run_sparse_tile<T, kSparseRows>(static_cast<int>(rows), static_cast<int>(vectors), task);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
