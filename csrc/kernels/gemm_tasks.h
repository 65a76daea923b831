// One tile of a product over one block of K, with its epilogue, as a function for each shape of tile.
#pragma once

#include "kernels/gemm_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

enum Activation : std::int32_t { kLinear = 0, kRelu = 1 };

// act(sum + bias) for `lanes` elements of a row from `column` on; one bias for all of them, or one each.
template <class T>
PYNN_INLINE typename Simd<T>::V finished(typename Simd<T>::V sum, const T* bias, bool one_bias, std::int32_t activation, std::int64_t column,
                                         int lanes) {
  if (bias) sum = sum + (one_bias ? broadcast(*bias) : load_lanes<T>(bias + column, lanes));
  return activation == kRelu ? vmax(sum, zero<T>()) : sum;
}

// One tile of C over one block of K.
template <class T>
struct TileTask {
  const T* a;
  std::int64_t a_stride;
  const T* b;
  std::int64_t b_stride;
  std::int64_t k;
  T* c;
  std::int64_t c_stride;
  const T* bias;
  std::int32_t columns;
  std::int32_t activation;
  bool add;       // C holds the sum of the blocks before
  const T* rate;  // C = C - *rate * (A B), both rounded, in place of A B; or null
};

template <int MR, bool kColumns, class T>
PYNN_INLINE auto tile_access(const T* a, std::int64_t stride) {
  if constexpr (kColumns) return columns_of(a, stride);
  else return rows_of<MR>(a, stride);
}

// tile += what lies at c
template <class T, int MR, int NV>
PYNN_INLINE void add_from(Tile<T, MR, NV>& tile, const T* c, std::int64_t c_stride, int columns) {
  PYNN_UNROLL
  for (int v = 0; v < NV; ++v) {
    const int lanes = lanes_of<T>(columns, v);
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i)
      tile.acc[i][v] = load_lanes<T>(c + i * c_stride + v * Simd<T>::kLanes, lanes) + tile.acc[i][v];
  }
}

template <class T, int MR, int NV>
PYNN_INLINE void add_bias(Tile<T, MR, NV>& tile, const T* bias, int columns) {
  PYNN_UNROLL
  for (int v = 0; v < NV; ++v) {
    const typename Simd<T>::V x = load_lanes<T>(bias + v * Simd<T>::kLanes, lanes_of<T>(columns, v));
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) tile.acc[i][v] = tile.acc[i][v] + x;
  }
}

template <class T, int MR, int NV>
PYNN_INLINE void apply_relu(Tile<T, MR, NV>& tile) {
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) tile.acc[i][v] = vmax(tile.acc[i][v], zero<T>());
  }
}

// tile = what lies at c - rate * tile
template <class T, int MR, int NV>
PYNN_INLINE void descend(Tile<T, MR, NV>& tile, const T* c, std::int64_t c_stride, int columns, T rate) {
  PYNN_UNROLL
  for (int v = 0; v < NV; ++v) {
    const int lanes = lanes_of<T>(columns, v);
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i)
      tile.acc[i][v] = load_lanes<T>(c + i * c_stride + v * Simd<T>::kLanes, lanes) - broadcast(rate) * tile.acc[i][v];
  }
}

template <class T, int MR, int NV, bool kColumns>
PYNN_NOINLINE void run_tile(const TileTask<T>& task) {
  Tile<T, MR, NV> tile;
  clear(tile);
  accumulate(tile, tile_access<MR, kColumns>(task.a, task.a_stride), task.b, task.b_stride, task.k);
  if (task.add) add_from<T, MR, NV>(tile, task.c, task.c_stride, task.columns);
  if (task.bias) add_bias<T, MR, NV>(tile, task.bias, task.columns);
  if (task.activation == kRelu) apply_relu(tile);
  if (task.rate) descend<T, MR, NV>(tile, task.c, task.c_stride, task.columns, *task.rate);
  store_tile(tile, task.c, task.c_stride, task.columns);
}

template <class T>
using TileFunction = void (*)(const TileTask<T>&);

// RowsUpTo<n>::type is Rows<1, 2, ..., n>.
template <int... kRows>
struct Rows {};
template <int kLast, int... kRest>
struct RowsUpTo : RowsUpTo<kLast - 1, kLast, kRest...> {};
template <int... kRest>
struct RowsUpTo<0, kRest...> {
  typedef Rows<kRest...> type;
};

// The most rows of a tile with nv vectors. Two vectors: 6 rows fill 16 registers; with 32 there is room for 12, which read each
// strip of B half as often. (NEON's compilers keep 8 of them in registers, as many as four units with a latency of four need.)
template <class T>
constexpr int tile_rows(int nv) {
  if (kVectorRegisters >= 32 && nv == 2 && sizeof(T) == 4) return kVectorBytes >= 64 ? 12 : 8;
  return nv == 1 ? 8 : nv == 2 ? kTileRows : nv == 4 ? 2 : 1;
}

template <class T, int NV, bool kColumns, int... kRows>
PYNN_INLINE TileFunction<T> tile_of_rows(int rows, Rows<kRows...>) {
  static const TileFunction<T> functions[] = {run_tile<T, kRows, NV, kColumns>...};
  return functions[rows - 1];
}

template <class T, bool kColumns>
PYNN_INLINE TileFunction<T> tile_function(int rows, int nv) {
  if (nv == 1) return tile_of_rows<T, 1, kColumns>(rows, typename RowsUpTo<tile_rows<T>(1)>::type());
  if (nv == 2) return tile_of_rows<T, 2, kColumns>(rows, typename RowsUpTo<tile_rows<T>(2)>::type());
  return nv == 4 ? run_tile<T, 2, 4, kColumns> : run_tile<T, 1, 8, kColumns>;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
