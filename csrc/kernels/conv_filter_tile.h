// Register tiles of the filter gradient (conv_filter_grad.h): lanes are output channels, or, where these are few, inputs.
#pragma once

#include "kernels/gemm_tile.h"

namespace pynn {
namespace PYNN_TARGET {

// Rows of a full tile of `vectors` vectors of output channels.
constexpr int kMostFilterRows = 12;
inline constexpr int filter_rows(int vectors) {
  return kVectorRegisters >= 32 ? kMostFilterRows : vectors == 1 ? 8 : 6;
}

// Vectors of inputs in a full tile of `channels` output channels.
constexpr int kMostChannels = 4;
inline constexpr int filter_vectors(int channels) {
  return channels == 1 ? 8 : channels == 2 ? 5 : kVectorRegisters >= 32 ? 4 : channels == 3 ? 3 : 2;
}

// The pixels of a block as up to three nested loops: images, rows, columns, merged where one step leads through. In the output gradient they
// are all `dy_step` apart.
struct PixelLoops {
  std::int64_t count[3], step[3], dy_step;
};

// Where the rows of a tile, or its vectors of inputs, begin at the first pixel of the block.
template <class T>
struct FilterRows {
  int count;
  bool neighbours;  // row i is row 0 shifted by i elements
  const T* row[kMostFilterRows];
  const T* ahead;          // if it isn't null, asked for while the tile is summed, `ahead_step` elements further with each pixel
  std::int64_t ahead_step;
};

// sums[i * width + j] (+)= sum over the pixels p of row[i][p] * dy[p][j], for i < count and j < width, a panel of one vector or two.
void filter_tile(std::int64_t width, const FilterRows<float>& rows, const PixelLoops& l, const float* dy, float* sums, bool first) noexcept;
void filter_tile(std::int64_t width, const FilterRows<double>& rows, const PixelLoops& l, const double* dy, double* sums, bool first) noexcept;

// sums[c * stride + i * kLanes + lane] (+)= sum over the pixels p of row[i][p + lane] * dy[p][c], for the vectors i < count and c < channels.
void inputs_tile(int channels, const FilterRows<float>& rows, const PixelLoops& l, const float* dy, float* sums,
                 std::int64_t stride, bool first) noexcept;
void inputs_tile(int channels, const FilterRows<double>& rows, const PixelLoops& l, const double* dy, double* sums,
                 std::int64_t stride, bool first) noexcept;

}  // namespace PYNN_TARGET
}  // namespace pynn
