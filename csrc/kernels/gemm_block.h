// A block of the product of two whole matrices, as a task for gemm.
#pragma once

#include "kernels/gemm.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// op(a) is (m, k), op(b) is (k, n); both contiguous as they lie, transposed or not.
template <class T>
struct Factors {
  const T* a;
  const T* b;
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
};

// At most rows x columns of op(a) @ op(b) from (row, column) on, to be written to c without gaps.
template <class T>
PYNN_INLINE Gemm<T> gemm_block_of(const Factors<T>& f, std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns, T* c) {
  Gemm<T> g{};
  g.m = least(rows, f.m - row);
  g.n = least(columns, f.n - column);
  g.k = f.k;
  g.a_columns = f.transpose_a;
  g.a_stride = f.transpose_a ? f.m : f.k;
  g.a = f.a + row * (f.transpose_a ? 1 : f.k);
  g.b_columns = f.transpose_b;
  g.b_stride = f.transpose_b ? f.k : f.n;
  g.b = f.b + column * (f.transpose_b ? f.k : 1);
  g.c = c;
  g.c_stride = g.n;
  return g;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
