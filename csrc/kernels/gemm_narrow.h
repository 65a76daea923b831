// One row of a product. A single chain of sums would wait for each fma, and a single walk through B for its lines: the blocks of K,
// which are summed from zero each, go side by side instead. Their sums are added in order, so the bits are those of the tiles.
#pragma once

#include "kernels/cache.h"
#include "kernels/gemm_tasks.h"
#include "kernels/integers.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kRowsAhead = 3;  // of B that are asked for: less comes late, more is lost again before it is used

// Blocks of K side by side under a strip of nv vectors: as many sums as there are registers for.
constexpr int blocks_abreast(int nv) {
  return kVectorRegisters >= 32 ? (nv == 8 ? 2 : 4) : nv == 8 ? 1 : nv == 4 ? 2 : 4;
}

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
        if (NV == 8 && kBlocks > 1) prefetch_near(from + kRowsAhead * task.b_stride);
        const typename Simd<T>::V row = v + 1 < NV ? load<T>(from) : load_lanes<T>(from, lanes_of<T>(task.columns, v));
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
PYNN_NOINLINE void narrow_row(const TileTask<T>& task, std::int64_t block) {
  constexpr int kMost = blocks_abreast(NV);
  Tile<T, 1, NV> total;
  clear(total);
  std::int64_t first = 0;
  if (kMost >= 4)
    for (; first + 4 * block <= task.k; first += 4 * block) add_blocks<T, 4, NV, kColumns>(total, task, first, block);
  if (kMost >= 2)
    for (; first + 2 * block <= task.k; first += 2 * block) add_blocks<T, 2, NV, kColumns>(total, task, first, block);
  for (; first < task.k; first += block) add_blocks<T, 1, NV, kColumns>(total, task, first, task.k - first < block ? task.k - first : block);
  if (task.bias) add_bias<T, 1, NV>(total, task.bias, task.columns);
  if (task.activation == kRelu) apply_relu(total);
  store_tile(total, task.c, task.c_stride, task.columns);
}

// The widest strip, in vectors, for so many columns, which may fill the last one in part.
template <class T>
PYNN_INLINE int row_vectors(std::int64_t columns) {
  constexpr int lanes = Simd<T>::kLanes;
  return columns >= 8 * lanes ? 8 : columns >= 4 * lanes ? 4 : columns > lanes ? 2 : 1;
}

template <class T, bool kColumns>
PYNN_INLINE void row_of_strips(TileTask<T> task, std::int64_t columns, std::int64_t block) {
  while (columns > 0) {
    const int vectors = row_vectors<T>(columns);
    const std::int64_t width = vectors * Simd<T>::kLanes;
    task.columns = static_cast<std::int32_t>(columns < width ? columns : width);
    if (vectors == 8) narrow_row<T, 8, kColumns>(task, block);
    else if (vectors == 4) narrow_row<T, 4, kColumns>(task, block);
    else if (vectors == 2) narrow_row<T, 2, kColumns>(task, block);
    else narrow_row<T, 1, kColumns>(task, block);
    task.b += width;
    task.c += width;
    if (task.bias) task.bias += width;
    columns -= width;
  }
}

// ---- a wide row: its sums lie in L1, and rows of B are read from end to end ---------------------------------------------------------

constexpr std::int64_t kWideBytes = 16 << 10;     // of sums at a time
constexpr std::int64_t kFarBytes = 64 << 10;      // a smaller B comes from L1, where strips save the loads and stores of sums

// sums(j) += x(0) b(0, j) + ... + x(kRows - 1) b(kRows - 1, j), one after the other; from zero if fresh.
template <class T, int kRows>
PYNN_INLINE void add_rows(const T* x, std::int64_t x_step, const T* b, std::int64_t b_stride, std::int64_t columns, bool fresh, T* sums) {
  constexpr int lanes = Simd<T>::kLanes;
  typename Simd<T>::V factors[kRows];
  PYNN_UNROLL
  for (int r = 0; r < kRows; ++r) factors[r] = broadcast(x[r * x_step]);
  const auto add = [&](std::int64_t j, int here) {
    typename Simd<T>::V sum = fresh ? zero<T>() : load_lanes<T>(sums + j, here);
    PYNN_UNROLL
    for (int r = 0; r < kRows; ++r) sum = fma(factors[r], load_lanes<T>(b + r * b_stride + j, here), sum);
    store_lanes<T>(sums + j, sum, here);
  };
  std::int64_t j = 0;
  for (; j + lanes <= columns; j += lanes) add(j, lanes);
  if (j < columns) add(j, static_cast<int>(columns - j));
}

// c = act(c [+ more] [+ bias])
template <class T>
PYNN_NOINLINE void finish_row(T* c, const T* more, const T* bias, std::int32_t activation, std::int64_t columns) {
  constexpr int lanes = Simd<T>::kLanes;
  for (std::int64_t j = 0; j < columns; j += lanes) {
    const int here = lanes_left<T>(columns - j);
    typename Simd<T>::V x = load_lanes<T>(c + j, here);
    if (more) x = x + load_lanes<T>(more + j, here);
    store_lanes<T>(c + j, finished(x, bias, false, activation, j, here), here);
  }
}

// One block of K of a row: sums = x(0) b(0, :) + ...
template <class T, bool kColumns>
PYNN_NOINLINE void wide_block(const TileTask<T>& task, std::int64_t first, std::int64_t length, std::int64_t columns, T* sums) {
  const std::int64_t a_step = kColumns ? task.a_stride : 1;
  std::int64_t p = first;
  for (; p + 4 <= first + length; p += 4)
    add_rows<T, 4>(task.a + p * a_step, a_step, task.b + p * task.b_stride, task.b_stride, columns, p == first, sums);
  for (; p < first + length; ++p)
    add_rows<T, 1>(task.a + p * a_step, a_step, task.b + p * task.b_stride, task.b_stride, columns, p == first, sums);
}

// k > 0; `scratch` has room for the sums.
template <class T, bool kColumns>
PYNN_INLINE void wide_row(TileTask<T> task, std::int64_t columns, std::int64_t block, T* scratch) {
  constexpr std::int64_t most_columns = kWideBytes / kSizeOf<T>;
  while (columns > 0) {
    const std::int64_t here = least(columns, most_columns);
    for (std::int64_t first = 0; first < task.k; first += block) {
      const std::int64_t length = task.k - first < block ? task.k - first : block;
      const bool last = first + length == task.k;
      wide_block<T, kColumns>(task, first, length, here, first == 0 ? task.c : scratch);
      if (first > 0 || last)
        finish_row<T>(task.c, first == 0 ? nullptr : scratch, last ? task.bias : nullptr, last ? task.activation : kLinear, here);
    }
    task.b += here;
    task.c += here;
    if (task.bias) task.bias += here;
    columns -= here;
  }
}

// The row at task.a; `block` > 0 is the length of K's blocks.
template <class T, bool kColumns>
PYNN_INLINE void whole_row(const TileTask<T>& task, std::int64_t columns, std::int64_t block, T* scratch) {
  const bool far = task.k * columns * kSizeOf<T> > kFarBytes;
  if (far && columns > 8 * Simd<T>::kLanes) wide_row<T, kColumns>(task, columns, block, scratch);
  else row_of_strips<T, kColumns>(task, columns, block);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
