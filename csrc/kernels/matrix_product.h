// A matrix product by matmul's ways, for kernels whose operands are matrices under other shapes: operand 0 (m, k) times operand 1, (k, n) or
// (n, k), is the first result. Compiled once, with matmul.
#pragma once

#include "simd/lanes.h"

#include "base/kernel.h"

namespace pynn {
namespace PYNN_TARGET {

struct MatrixProduct {
  std::int64_t m, n, k;
  bool transpose_b;
};

// T is float or double.
template <class T>
void plan_matrix_product(const MatrixProduct& product, Plan* plan) noexcept;

// c = max(a b + bias, 0) with `relu`; `bias` may be null.
template <class T>
void run_matrix_product(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, const T* bias, bool relu, void* scratch) noexcept;

}  // namespace PYNN_TARGET
}  // namespace pynn
