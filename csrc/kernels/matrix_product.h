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

void plan_matrix_product_f32(const MatrixProduct& product, Plan* plan) noexcept;
void plan_matrix_product_f64(const MatrixProduct& product, Plan* plan) noexcept;

// c = max(a b + bias, 0) with `relu`; `bias` may be null.
void run_matrix_product(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, const float* bias, bool relu, void* scratch) noexcept;
void run_matrix_product(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, const double* bias, bool relu, void* scratch) noexcept;

namespace {

template <class T>
void plan_matrix_product(const MatrixProduct& product, Plan* plan) {
  if constexpr (sizeof(T) == sizeof(float)) plan_matrix_product_f32(product, plan);
  else plan_matrix_product_f64(product, plan);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
