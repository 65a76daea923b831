// Matrix products with a packed panel of `width` columns (one vector or two), as Winograd's algorithm has them at each of its points.
#pragma once

#include "kernels/gemm_tile.h"

namespace pynn {
namespace PYNN_TARGET {

// m[t * m_stride + j] = (first ? 0 : m[t * m_stride + j]) + the products v[t * stride + d] * u[d][j] of d = 0, 1, ... depth - 1, one fma each,
// for t < rows, j < width
void row_product(std::int64_t width, const float* v, std::int64_t stride, std::int64_t rows, const float* u, std::int64_t depth, float* m,
                 std::int64_t m_stride, bool first) noexcept;
void row_product(std::int64_t width, const double* v, std::int64_t stride, std::int64_t rows, const double* u, std::int64_t depth, double* m,
                 std::int64_t m_stride, bool first) noexcept;

// sums[c][:] = (first ? 0 : sums[c][:]) + sum over t < tiles of v[t * stride + c] * y[t][:]   for c < channels
void column_product(std::int64_t width, const float* v, std::int64_t stride, std::int64_t channels, const float* y, std::int64_t tiles, float* sums,
                    bool first) noexcept;
void column_product(std::int64_t width, const double* v, std::int64_t stride, std::int64_t channels, const double* y, std::int64_t tiles, double* sums,
                    bool first) noexcept;

}  // namespace PYNN_TARGET
}  // namespace pynn
