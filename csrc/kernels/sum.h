// The canonical sum of contiguous elements: one tree, fixed by the number of elements alone, the same on every CPU target.
//
//   block of 1024 elements: element i is added to lane (i mod 64), in order of i, from zero; the last block is padded with zeros.
//     The lanes are four accumulators of 16: (a0 + a1) + (a2 + a3), whose upper half is added to the lower until one lane is left.
//   group of 16 blocks: the blocks are added in order, from zero.
//   sum: the groups are added in order, from zero.
//
// For double it is 32 lanes in four accumulators of 8. A parallel kernel computes groups in one phase (`sum_group`) into shared
// workspace and adds them in order in the next (`sum_in_order`): the same additions as `sum_contiguous`, so the same bits.
//
// The canonical sum over the rows of a matrix, column by column: blocks of kColumnSumRows rows, each in the order of rows from zero, then
// block by block.
#pragma once

#include "simd/fold.h"
#include "simd/lanes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kSumBlock = 1024;
constexpr std::int64_t kSumGroup = 16 * kSumBlock;
constexpr std::int64_t kColumnSumRows = 128;

template <class T>
struct SumLanes {
  static constexpr int kLanes = Simd<T>::kLanes;
  static constexpr int kLogical = 64 / static_cast<int>(sizeof(T));  // lanes of one accumulator
  static constexpr int kWidth = 4 * kLogical;               // elements per step
  static constexpr int kPerAccumulator = kLogical / kLanes;  // vectors
  static constexpr int kVectors = 4 * kPerAccumulator;
};

struct Same {
  template <class V>
  PYNN_INLINE V operator()(V x) const {
    return x;
  }
};

// The first n lanes of map(x), zeros behind them.
template <class T>
PYNN_INLINE typename Simd<T>::V mapped_partial(const T* x, int n, Same) {
  return load_partial(x, n);
}
// Of elements in a slot (base/micro_op.h), whose vectors are there in full.
struct InSlot : Same {};
template <class T>
PYNN_INLINE typename Simd<T>::V mapped_partial(const T* x, int n, InSlot) {
  return keep_lanes(load(x), T(0), n);
}
template <class T, class Map>
PYNN_INLINE typename Simd<T>::V mapped_partial(const T* x, int n, Map map) {
  T lanes[Simd<T>::kLanes];
  store(lanes, zero<T>());
  store_partial(lanes, map(load_partial(x, n)), n);
  return load(lanes);
}

// Adds x[0..n), n <= kVectors * kLanes, to the lanes. Unrolled, so that these stay in registers.
template <class T, int kVectors, class Map>
PYNN_INLINE void add_tail(typename Simd<T>::V (&lanes)[kVectors], const T* x, int n, Map map) {
  constexpr int step = Simd<T>::kLanes;
  PYNN_UNROLL
  for (int j = 0; j < kVectors; ++j) {
    if ((j + 1) * step <= n) lanes[j] += map(load(x + j * step));
    else if (j * step < n) lanes[j] += mapped_partial(x + j * step, n - j * step, map);
  }
}

template <class T>
PYNN_INLINE T fold_lanes(typename Simd<T>::V* lanes) {
  for (int half = SumLanes<T>::kPerAccumulator / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return fold_add(lanes[0]);
}

// At most one accumulator's worth: the other three are zero, and x + 0 = x for a sum that began at zero.
template <class T, class Map>
PYNN_INLINE T sum_few(const T* x, int n, Map map) {
  typename Simd<T>::V lanes[SumLanes<T>::kPerAccumulator];
  for (int i = 0; i < SumLanes<T>::kPerAccumulator; ++i) lanes[i] = zero<T>();
  add_tail<T>(lanes, x, n, map);
  return fold_lanes<T>(lanes);
}

// Sum of map(x[i]) over a block, n <= kSumBlock.
template <class T, class Map>
PYNN_INLINE T sum_block(const T* x, int n, Map map) {
  typedef SumLanes<T> Lanes;
  if (n <= Lanes::kLogical) return sum_few(x, n, map);
  typename Simd<T>::V lanes[Lanes::kVectors];
  for (int j = 0; j < Lanes::kVectors; ++j) lanes[j] = zero<T>();
  int i = 0;
  for (; i + Lanes::kWidth <= n; i += Lanes::kWidth)
    for (int j = 0; j < Lanes::kVectors; ++j) lanes[j] += map(load(x + i + j * Lanes::kLanes));
  add_tail<T>(lanes, x + i, n - i, map);
  constexpr int per = Lanes::kPerAccumulator;
  for (int j = 0; j < per; ++j) lanes[j] = (lanes[j] + lanes[per + j]) + (lanes[2 * per + j] + lanes[3 * per + j]);
  return fold_lanes<T>(lanes);
}

// Sum of a group, n <= kSumGroup.
template <class T, class Map>
PYNN_INLINE T sum_group_mapped(const T* x, std::int64_t n, Map map) {
  T sum = 0;
  for (std::int64_t i = 0; i < n; i += kSumBlock) sum += sum_block(x + i, static_cast<int>(n - i < kSumBlock ? n - i : kSumBlock), map);
  return sum;
}
template <class T>
PYNN_NOINLINE T sum_group(const T* x, std::int64_t n) {
  return sum_group_mapped(x, n, Same());
}

template <class T>
PYNN_INLINE T sum_in_order(const T* x, std::int64_t n) {
  T sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

// The canonical sum of map(x[i]), i < n, for a `map` from vector to vector, such as v -> (v - mean)^2.
template <class T, class Map>
PYNN_INLINE T sum_mapped(const T* x, std::int64_t n, Map map) {
  T sum = 0;
  for (std::int64_t i = 0; i < n; i += kSumGroup) sum += sum_group_mapped(x + i, n - i < kSumGroup ? n - i : kSumGroup, map);
  return sum;
}
template <class T>
PYNN_INLINE T sum_contiguous(const T* x, std::int64_t n) {
  if (n <= SumLanes<T>::kLogical) return T(0) + sum_few(x, static_cast<int>(n), Same());
  T sum = 0;
  for (std::int64_t i = 0; i < n; i += kSumGroup) sum += sum_group(x + i, n - i < kSumGroup ? n - i : kSumGroup);
  return sum;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
