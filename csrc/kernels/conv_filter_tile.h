// Register tiles of the gradient by the filter (conv_filter_grad.h).
#pragma once

#include "kernels/gemm_tile.h"

namespace pynn {
namespace PYNN_TARGET {

// Rows of a full tile of `vectors` vectors.
constexpr int kMostFilterRows = 12;
inline constexpr int filter_rows(int vectors) {
  return kVectorRegisters >= 32 ? kMostFilterRows : vectors == 1 ? 8 : 6;
}

// The pixels of a block as up to three nested loops: images, rows, columns, merged where one step leads through.
struct PixelLoops {
  std::int64_t count[3], step[3];
};

// sums[i][j] (+)= sum over the pixels p of rows[i][p] * dy[p][j], for i < count and j < width, a panel of one vector or two.
void filter_tile(std::int64_t width, int count, const float* const* rows, const PixelLoops& l, const float* dy, float* sums, bool first) noexcept;
void filter_tile(std::int64_t width, int count, const double* const* rows, const PixelLoops& l, const double* dy, double* sums,
                 bool first) noexcept;

}  // namespace PYNN_TARGET
}  // namespace pynn
