// Sums over the rows of a (rows, columns) tensor, by columns, in the canonical order (sum.h). A chunk takes some blocks of some columns.
#pragma once

#include "kernels/operands.h"
#include "kernels/rows.h"
#include "kernels/sum.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kGroup = 64;         // columns that a chunk sums together
constexpr std::int64_t kChunkElements = 4096;

struct Shape {
  std::int64_t rows, columns, blocks, groups;

  explicit Shape(const Spec& x) : columns(x.dims[x.rank - 1]) {
    rows = x.size / columns;
    blocks = ceil_divide(rows, kColumnSumRows);
    groups = ceil_divide(columns, kGroup);
  }
};

bool covered(const Spec& x) { return x.rank > 0 && x.size > 0; }

// Items of column_items are (block, group of columns); those of a row pass are rows.
void split_items(const Shape& shape, int phase, Plan* plan) {
  const std::int64_t per_item = least(shape.rows, kColumnSumRows) * least(shape.columns, kGroup);
  plan->params[phase] = split(plan, phase, shape.blocks * shape.groups, kChunkElements / per_item, 1);
}
void split_rows(const Shape& shape, int phase, Plan* plan) {
  plan->params[phase] = split(plan, phase, shape.rows, kChunkElements / shape.columns, 1);
}
void split_columns(const Shape& shape, int phase, Plan* plan) {
  plan->params[phase] = split(plan, phase, shape.columns, kChunkElements / shape.blocks, kGroup);
}

// ---- sums over the rows of a block ------------------------------------------------------------------------------------------

// out[c] = the result of acc = fn(acc, row, c, lanes in use) over rows [first, last), for columns [begin, end)
template <class T, int kWide, class F>
PYNN_INLINE void sum_strip(std::int64_t first, std::int64_t last, std::int64_t c, int count, T* out,
                           const F& fn) {
  constexpr int lanes = Simd<T>::kLanes;
  typename Simd<T>::V sums[kWide];
  for (int k = 0; k < kWide; ++k) sums[k] = zero<T>();
  for (std::int64_t row = first; row < last; ++row)
    for (int k = 0; k < kWide; ++k) sums[k] = fn(sums[k], row, c + k * lanes, count);
  for (int k = 0; k < kWide; ++k) store_lanes(out + c + k * lanes, sums[k], count);
}

template <class T, class F>
PYNN_INLINE void sum_columns(std::int64_t first, std::int64_t last, Range columns, T* out, const F& fn) {
  constexpr int lanes = Simd<T>::kLanes;
  std::int64_t c = columns.first;
  for (; c + 4 * lanes <= columns.last; c += 4 * lanes) sum_strip<T, 4>(first, last, c, lanes, out, fn);
  for (; c + lanes <= columns.last; c += lanes) sum_strip<T, 1>(first, last, c, lanes, out, fn);
  if (c < columns.last) sum_strip<T, 1>(first, last, c, static_cast<int>(columns.last - c), out, fn);
}

// Calls fn(block, first row, last row, columns) for the (block, group) items of chunks [begin, end).
template <class F>
PYNN_INLINE void for_items(const Shape& shape, Range items, const F& fn) {
  for (std::int64_t item = items.first; item < items.last; ++item) {
    const std::int64_t block = item / shape.groups, column = item % shape.groups * kGroup;
    fn(block, block * kColumnSumRows, least((block + 1) * kColumnSumRows, shape.rows), Range{column, least(column + kGroup, shape.columns)});
  }
}

// The partials of a column's blocks, added in their order.
template <class T>
PYNN_INLINE typename Simd<T>::V join_blocks(const T* partials, const Shape& shape, std::int64_t c, int count) {
  typename Simd<T>::V sum = load_lanes(partials + c, count);
  for (std::int64_t block = 1; block < shape.blocks; ++block) sum = sum + load_lanes(partials + block * shape.columns + c, count);
  return sum;
}

// An optional operand's vector, or the value it stands for when it is absent.
template <class T>
PYNN_INLINE typename Simd<T>::V vector_or(const T* p, std::int64_t c, int count, T value) {
  return p ? load_lanes(p + c, count) : broadcast(value);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
