// One row of a product over one or two vectors of columns. A single chain of sums would wait for each fma: the blocks of K, which are
// summed from zero each, go side by side instead. Their sums are added in order, so the bits are those of the tiles.
#pragma once

#include "kernels/gemm_tasks.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// total = total + the sums of kBlocks blocks of this length, the first of them at `first`.
template <class T, int kBlocks, int NV, bool kColumns>
PYNN_INLINE void add_blocks(Tile<T, 1, NV>& total, const TileTask<T>& task, std::int64_t first, std::int64_t length) {
  const std::int64_t a_step = kColumns ? task.a_stride : 1;
  Tile<T, kBlocks, NV> sums;
  clear(sums);
  for (std::int64_t p = first; p < first + length; ++p) {
    PYNN_UNROLL
    for (int q = 0; q < kBlocks; ++q) {
      const typename Simd<T>::V x = broadcast(task.a[(p + q * length) * a_step]);
      const T* b = task.b + (p + q * length) * task.b_stride;
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) {
        const T* from = b + v * Simd<T>::kLanes;
        const typename Simd<T>::V row = v + 1 < NV ? load<T>(from) : load_partial(from, lanes_of<T>(task.columns, v));
        sums.acc[q][v] = fma(x, row, sums.acc[q][v]);
      }
    }
  }
  PYNN_UNROLL
  for (int q = 0; q < kBlocks; ++q) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) total.acc[0][v] = first == 0 && q == 0 ? sums.acc[q][v] : total.acc[0][v] + sums.acc[q][v];
  }
}

template <class T, int NV, bool kColumns>
PYNN_NOINLINE void narrow_row_of(const TileTask<T>& task, std::int64_t block) {
  Tile<T, 1, NV> total;
  clear(total);
  std::int64_t first = 0;
  for (; first + 4 * block <= task.k; first += 4 * block) add_blocks<T, 4, NV, kColumns>(total, task, first, block);
  for (; first + 2 * block <= task.k; first += 2 * block) add_blocks<T, 2, NV, kColumns>(total, task, first, block);
  for (; first < task.k; first += block) add_blocks<T, 1, NV, kColumns>(total, task, first, task.k - first < block ? task.k - first : block);
  if (task.bias) add_bias<T, 1, NV>(total, task.bias, task.columns);
  if (task.activation == kRelu) apply_relu(total);
  store_tile(total, task.c, task.c_stride, task.columns);
}

// The row at task.a; `block` > 0 is the length of K's blocks.
template <class T, bool kColumns>
PYNN_INLINE void narrow_row(const TileTask<T>& task, std::int64_t block) {
  if (task.columns > Simd<T>::kLanes) narrow_row_of<T, 2, kColumns>(task, block);
  else narrow_row_of<T, 1, kColumns>(task, block);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
