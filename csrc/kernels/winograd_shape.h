// The shape of one pass by Winograd's algorithm (winograd.h), and which convolutions go that way.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/winograd_transforms.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kWinogradProducts = 1024;        // in_channels * out_channels from which it pays
constexpr std::int64_t kTransformedFloats = 36 * 3072;  // of V: 48 tiles of 64 channels
constexpr std::int64_t kMostTiles = 8 * kTileRows;      // of a block
constexpr std::int64_t kNearFloats = 4 << 20;           // of U; a larger one is in memory, not in a cache
constexpr std::int64_t kDepths = 32;                    // whose points are computed together
constexpr std::int64_t kPadding = 16;                   // elements behind a plane: planes a multiple of 4 KB apart share a few sets of L1

template <class T>
constexpr bool has_winograd() {
  return sizeof(T) == sizeof(float);
}

// Whether a row of outputs too many is left to direct convolution, which is cheap at the edge, where windows meet few pixels.
inline bool leaves_edge(std::int64_t size) { return size > kOutputs && size % kOutputs == 1; }

// One pass: a 3 x 3 correlation with `row_pad` and `col_pad` zeros before a source of `channels`, to rows x cols outputs in `panels`. The
// tiles cover main_rows x main_cols of them.
struct WinogradShape {
  std::int64_t batch, channels;
  std::int64_t rows, cols, row_pad, col_pad, main_rows, main_cols;
  std::int64_t tile_rows, tile_cols, tiles;
  std::int64_t block_tiles;
  std::int64_t slice, plane;  // channels that V's planes hold side by side, elements of one of the 36 planes
  Panels panels;
};

// Which algorithm: a function of shape and policy only, the same for a fused and a plain op.
template <class T>
bool use_winograd(const ConvShape& s, const std::int64_t* ints, bool adjoint) {
  const bool unit_steps = s.rows.stride == 1 && s.cols.stride == 1 && s.rows.dilation == 1 && s.cols.dilation == 1;
  const bool shape = s.rows.window == 3 && s.cols.window == 3 && unit_steps && s.groups == 1;
  const bool channels = s.in_channels >= 16 && s.out_channels >= 16 && s.in_channels * s.out_channels >= kWinogradProducts;
  const std::int64_t rows = result_image(s, adjoint).rows, cols = result_image(s, adjoint).cols;
  if (!has_winograd<T>() || ints[kWinograd] == 0 || !shape || !channels || s.batch <= 0 || rows <= 0 || cols <= 0) return false;
  const std::int64_t main_rows = leaves_edge(rows) ? rows - 1 : rows, main_cols = leaves_edge(cols) ? cols - 1 : cols;
  const std::int64_t products = ceil_divide(main_rows, kOutputs) * ceil_divide(main_cols, kOutputs) * kPoints;
  const std::int64_t at_edge = (rows * cols - main_rows * main_cols) * 9;
  return products + at_edge <= 4 * rows * cols;  // of 9 for each output
}

// Whether U is so large that no cache holds it: then it has no place at all. Blocks of tiles compute it anew, a few depths at a time.
inline bool is_far(const WinogradShape& w) { return packed_size(w.panels) > kNearFloats; }

template <class T>
WinogradShape winograd_shape(const ConvShape& s, bool adjoint, bool edges) {
  WinogradShape w;
  w.batch = s.batch;
  w.channels = source_image(s, adjoint).channels;
  w.rows = result_image(s, adjoint).rows;
  w.cols = result_image(s, adjoint).cols;
  w.main_rows = edges && leaves_edge(w.rows) ? w.rows - 1 : w.rows;
  w.main_cols = edges && leaves_edge(w.cols) ? w.cols - 1 : w.cols;
  w.row_pad = adjoint ? 2 - s.rows.pad : s.rows.pad;
  w.col_pad = adjoint ? 2 - s.cols.pad : s.cols.pad;
  w.tile_rows = ceil_divide(w.main_rows, kOutputs);
  w.tile_cols = ceil_divide(w.main_cols, kOutputs);
  w.tiles = w.batch * w.tile_rows * w.tile_cols;
  w.panels = filter_panels<T>(s, adjoint);
  w.panels.taps = kPoints;
  w.slice = is_far(w) ? kDepths : ceil_divide(w.channels, Simd<T>::kLanes) * Simd<T>::kLanes;
  const std::int64_t near = kTransformedFloats / kPoints / w.slice / kTileRows * kTileRows;
  w.block_tiles = is_far(w) ? kMostTiles : clamped(near, 2 * kTileRows, kMostTiles);
  w.plane = w.block_tiles * w.slice + kPadding;
  return w;
}

inline bool has_edges(const WinogradShape& w) { return w.main_rows < w.rows || w.main_cols < w.cols; }

// Elements of V for a block of tiles, of a plane of M, and of M.
inline std::int64_t source_size(const WinogradShape& w) { return ceil_divide(w.channels, w.slice) * kPoints * w.plane; }
template <class T>
std::int64_t product_plane(const WinogradShape& w) {
  return w.block_tiles * kPanelVectors * Simd<T>::kLanes + kPadding;
}

struct WinogradTile {
  std::int64_t image, row, col;  // of its first output
};

inline WinogradTile tile_at(const WinogradShape& w, std::int64_t index) {
  const std::int64_t in_image = index % (w.tile_rows * w.tile_cols);
  return WinogradTile{index / (w.tile_rows * w.tile_cols), in_image / w.tile_cols * kOutputs, in_image % w.tile_cols * kOutputs};
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
