// Products of a few numbers as micro-operations, with bias and activation. Sums run in the order of the large products.
//
//   size    m, n, k; flags
#pragma once

#include "kernels/gemm_tasks.h"
#include "kernels/micro.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

enum MicroProductFlag { kReluFlag = 1, kOneBias = 2, kAColumns = 4 };  // the bias is one number; A is stored by columns

template <class T>
PYNN_INLINE typename Simd<T>::V micro_finish(typename Simd<T>::V sum, const MicroOp* op, int column) {
  return finished(sum, micro_input<T>(op, 2), op->size[3] & kOneBias, op->size[3] & kReluFlag ? kRelu : kLinear, column, Simd<T>::kLanes);
}

// Dot product with what lies in a slot; see `dots` in matmul.cc for the order of the sum.
template <class T>
PYNN_INLINE T micro_dot(const T* row, const T* x, int k) {
  constexpr int lanes = Simd<T>::kLanes;
  typename Simd<T>::V even = zero<T>(), odd = zero<T>();
  int p = 0;
  for (; p + 2 * lanes <= k; p += 2 * lanes) {
    even = fma(load(row + p), load(x + p), even);
    odd = fma(load(row + p + lanes), load(x + p + lanes), odd);
  }
  for (; p < k; p += lanes) {
    const int here = k - p < lanes ? k - p : lanes;
    even = fma(keep_lanes(load(row + p), T(0), here), keep_lanes(load(x + p), T(0), here), even);
  }
  return fold_add_first(even + odd, k);
}

// c(i) = act(sum over p of a(i, p) b(p) + bias), i < m
template <class T>
void micro_dots(const MicroOp* op) noexcept {
  const T *a = micro_input<T>(op, 0), *x = micro_input<T>(op, 1);
  const int m = op->size[0], k = op->size[2];
  micro_gather<T>(micro_output<T>(op), m, [&](int i) { return micro_dot(a + i * k, x, k); },
                  [op](typename Simd<T>::V sums, int first) { return micro_finish<T>(sums, op, first); });
}

// The same for at most four rows of four.
constexpr int kFew = 4;
void micro_few_dots(const MicroOp* op) noexcept {
  const float *a = micro_input<float>(op, 0), *x = micro_input<float>(op, 1);
  const int last = op->size[0] - 1, k = op->size[2];
  const VecF factors = keep_lanes(load(x), 0.0f, k);
  VecF products[kFew];
  for (int i = 0; i < kFew; ++i) {
    const int row = i < last ? i : last;
    products[i] = fma(keep_lanes(load(a + row * k), 0.0f, k), factors, zero<float>()) + zero<float>();
  }
  store(micro_output<float>(op), micro_finish<float>(fold_add_four(products), op, 0));
}

// c(i) = act(a(i) x + bias), i < m: a sum of one product needs no fold, for which each of a chain of products would wait. A single number
// is read alone, as that comes sooner out of the queue of stores than a vector.
template <class T>
void micro_multiples(const MicroOp* op) noexcept {
  const T* a = micro_input<T>(op, 0);
  T* c = micro_output<T>(op);
  const typename Simd<T>::V x = broadcast(*micro_input<T>(op, 1));
  const int m = op->size[0];
  for (int i = 0; i < m; i += Simd<T>::kLanes) {
    const typename Simd<T>::V factors = m == 1 ? broadcast(*a) : load(a + i);
    store(c + i, micro_finish<T>(fma(factors, x, zero<T>()) + zero<T>(), op, i));  // + 0: never -0, as with the fold
  }
}

// One row of c: a(p * a_step) is its p-th factor.
template <class T>
PYNN_INLINE typename Simd<T>::V micro_row(const MicroOp* op, const T* a, int a_step, int column) {
  const T* b = micro_input<T>(op, 1) + column;
  const int n = op->size[1], k = op->size[2];
  typename Simd<T>::V sum = zero<T>();
  for (int p = 0; p < k; ++p) sum = fma(broadcast(a[p * a_step]), load(b + p * n), sum);
  return micro_finish<T>(sum, op, column);
}

template <class T>
void micro_one_row(const MicroOp* op) noexcept {
  store(micro_output<T>(op), micro_row(op, micro_input<T>(op, 0), 1, 0));
}

// c(i, :) = act(sum over p of a(i, p) b(p, :) + bias), i < m
template <class T>
void micro_product(const MicroOp* op) noexcept {
  constexpr int lanes = Simd<T>::kLanes;
  const int m = op->size[0], n = op->size[1], k = op->size[2];
  const bool columns = op->size[3] & kAColumns;
  for (int i = 0; i < m; ++i) {
    const T* a = micro_input<T>(op, 0) + i * (columns ? 1 : k);
    T* c = micro_output<T>(op) + i * n;
    for (int j = 0; j < n; j += lanes) {
      const typename Simd<T>::V row = micro_row(op, a, columns ? m : 1, j);
      if (m == 1) store(c + j, row);
      else store_lanes(c + j, row, n - j < lanes ? n - j : lanes);
    }
  }
}

// Of the m x n x k products, that whose elements are dot products in one order, or the other.
template <class T>
PYNN_INLINE auto find_micro_product(bool dot, bool a_columns, std::int64_t m, std::int64_t n, std::int64_t k) {
  if (dot && k == 1) return micro_multiples<T>;
  if constexpr (sizeof(T) == sizeof(float)) {
    if (dot && m <= kFew && k <= kFew) return micro_few_dots;
  }
  if (dot) return micro_dots<T>;
  return m == 1 && n <= Simd<T>::kLanes && !a_columns ? micro_one_row<T> : micro_product<T>;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
