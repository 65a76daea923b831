// 3 x 3 convolutions of stride 1 by Winograd's algorithm, for the forward pass and the gradient by the input.
//
// The output is covered by tiles of 4 x 4, anchored at the corner of each image. A block of tiles is transformed to
// V[36][tiles][channels]; then, panel by panel of output columns, 36 small matrix products with the transformed filter U give
// M[36][tiles][width], whose inverse transform goes to a sink (memory, or a pooled result). An output follows from its own tile
// alone: blocks change no bit.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/pool_windows.h"
#include "kernels/winograd_products.h"
#include "kernels/winograd_transforms.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kWinogradProducts = 1024;       // in_channels * out_channels from which it pays
constexpr std::int64_t kTransformedFloats = 36 * 3072;  // of V: 48 tiles of 64 channels
constexpr int kWinogradVariant = 1;

// Covering `size` outputs by fours wastes little.
inline bool covers_well(std::int64_t rows, std::int64_t cols) {
  const std::int64_t covered = ceil_div(rows, kOutputs) * ceil_div(cols, kOutputs) * kOutputs * kOutputs;
  return 10 * covered <= 17 * rows * cols;
}

// Which algorithm: a function of shape and policy only, the same for a fused and a plain op.
inline bool use_winograd(const ConvShape& s, const std::int64_t* ints, std::int64_t rows, std::int64_t cols) {
  const bool unit_steps = s.rows.stride == 1 && s.cols.stride == 1 && s.rows.dilation == 1 && s.cols.dilation == 1;
  const bool shape = s.rows.window == 3 && s.cols.window == 3 && unit_steps && s.groups == 1;
  const bool channels = s.in_channels >= 16 && s.out_channels >= 16 && s.in_channels * s.out_channels >= kWinogradProducts;
  return ints[kWinograd] != 0 && shape && channels && s.batch > 0 && rows > 0 && cols > 0 && covers_well(rows, cols);
}

// One pass: a 3 x 3 correlation with `row_pad` and `col_pad` zeros before a source of `channels`, to rows x cols outputs in `panels`.
struct WinogradShape {
  std::int64_t batch, source_rows, source_cols, channels;
  std::int64_t rows, cols, row_pad, col_pad;
  std::int64_t tile_rows, tile_cols, tiles;
  std::int64_t padded_channels, block_tiles, plane;  // elements of one of the 36 planes of V
  Panels panels;
};

template <class T>
WinogradShape winograd_shape(const ConvShape& s, bool adjoint) {
  constexpr std::int64_t kLanes = Simd<T>::kLanes;
  WinogradShape w;
  w.batch = s.batch;
  w.source_rows = adjoint ? s.rows.out_size : s.rows.size;
  w.source_cols = adjoint ? s.cols.out_size : s.cols.size;
  w.channels = adjoint ? s.out_channels : s.in_channels;
  w.rows = adjoint ? s.rows.size : s.rows.out_size;
  w.cols = adjoint ? s.cols.size : s.cols.out_size;
  w.row_pad = adjoint ? 2 - s.rows.pad : s.rows.pad;
  w.col_pad = adjoint ? 2 - s.cols.pad : s.cols.pad;
  w.tile_rows = ceil_div(w.rows, kOutputs);
  w.tile_cols = ceil_div(w.cols, kOutputs);
  w.tiles = w.batch * w.tile_rows * w.tile_cols;
  w.padded_channels = (w.channels + kLanes - 1) / kLanes * kLanes;
  w.block_tiles = clamped(kTransformedFloats / kPoints / w.padded_channels / kTileRows * kTileRows, 2 * kTileRows, 8 * kTileRows);
  w.plane = w.block_tiles * w.padded_channels + 16;  // not a multiple of a page
  w.panels = filter_panels<T>(s, adjoint);
  w.panels.taps = kPoints;
  return w;
}

// The plane of M, likewise.
template <class T>
std::int64_t product_plane(const WinogradShape& w) {
  return w.block_tiles * kPanelVectors * Simd<T>::kLanes + 16;
}

struct WinogradTile {
  std::int64_t image, row, col;  // of its first output
};

inline WinogradTile tile_at(const WinogradShape& w, std::int64_t index) {
  const std::int64_t in_image = index % (w.tile_rows * w.tile_cols);
  return WinogradTile{index / (w.tile_rows * w.tile_cols), in_image / w.tile_cols * kOutputs, in_image % w.tile_cols * kOutputs};
}

// ---- sources and sinks ------------------------------------------------------------------------------------------------

// Where the pixels of a patch are; offset -1 is zero.
struct PatchPixels {
  std::int64_t offset[kPoints];
  std::int64_t place[kPoints];
};

template <class T>
struct DenseSource {
  const T* base;
  std::int64_t rows, cols, channels;
  PYNN_INLINE void locate(std::int64_t n, std::int64_t r, std::int64_t c, std::int64_t* offset, std::int64_t*) const {
    *offset = ((n * rows + r) * cols + c) * channels;
  }
  PYNN_INLINE typename Simd<T>::V load_at(std::int64_t offset, std::int64_t, int lanes) const {
    return load_lanes<T>(base + offset, lanes);
  }
};

// The side x side pixels from (row, col) on of an image.
template <class Source>
PYNN_INLINE void locate_patch(const Source& source, std::int64_t n, std::int64_t row, std::int64_t col, std::int64_t rows,
                              std::int64_t cols, int side, PatchPixels* patch) {
  for (int i = 0; i < side; ++i)
    for (int j = 0; j < side; ++j) {
      const std::int64_t r = row + i, c = col + j;
      patch->offset[i * side + j] = -1;
      patch->place[i * side + j] = 0;
      if (r >= 0 && r < rows && c >= 0 && c < cols) source.locate(n, r, c, &patch->offset[i * side + j], &patch->place[i * side + j]);
    }
}

template <class T, class Line, class Source>
PYNN_INLINE void transform_patch(const Source& source, const PatchPixels& patch, std::int64_t channel, int lanes, T* to,
                                 std::int64_t plane) {
  constexpr int kCount = Line::kFrom * Line::kFrom;
  typename Simd<T>::V from[kCount], result[Line::kTo * Line::kTo];
  for (int i = 0; i < kCount; ++i)
    from[i] = patch.offset[i] < 0 ? zero<T>() : source.load_at(patch.offset[i] + channel, patch.place[i], lanes);
  transform_square<T, Line>(from, result);
  for (int i = 0; i < Line::kTo * Line::kTo; ++i) store<T>(to + i * plane, result[i]);
}

// V of the tiles [first, last)
template <class T, class Source>
void transform_tiles(const WinogradShape& w, const Source& source, std::int64_t first, std::int64_t last, T* v) {
  PatchPixels patch;
  for (std::int64_t t = first; t < last; ++t, v += w.padded_channels) {
    const WinogradTile tile = tile_at(w, t);
    locate_patch(source, tile.image, tile.row - w.row_pad, tile.col - w.col_pad, w.source_rows, w.source_cols, kPatch, &patch);
    for_each_channels<T>(w.channels, [&](std::int64_t c, int lanes) {
      transform_patch<T, InputLine>(source, patch, c, lanes, v + c, w.plane);
    });
  }
}

template <class T>
struct DenseSink {
  T* base;
  std::int64_t rows, cols, channels;
  const T* bias;
  bool relu;
  PYNN_INLINE void write(const WinogradTile& tile, std::int64_t column, int lanes, const typename Simd<T>::V* y) const {
    const Epilogue<T> e{bias ? bias + column : nullptr, relu, lanes};
    for (std::int64_t i = 0; i < kOutputs && tile.row + i < rows; ++i) {
      T* to = base + ((tile.image * rows + tile.row + i) * cols + tile.col) * channels + column;
      for (std::int64_t j = 0; j < kOutputs && tile.col + j < cols; ++j, to += channels)
        store_lanes<T>(to, finish<T>(y[i * kOutputs + j], e, 0, lanes), lanes);
    }
  }
};

// ---- the pass -----------------------------------------------------------------------------------------------------------

// U[panel][36][depth][width] from the filter; `adjoint` as in pack_panel_adjoint.
template <class T>
void transform_filter(const WinogradShape& w, bool adjoint, const T* filter, T* u, std::int64_t begin, std::int64_t end) {
  constexpr int kLanes = Simd<T>::kLanes;
  const std::int64_t columns = w.panels.columns, depth = w.panels.depth;
  for (std::int64_t i = begin; i < end; ++i) {
    const Panel panel = panel_at(w.panels, i);
    T* to = u + panel.offset;
    for (std::int64_t d = 0; d < depth; ++d, to += panel.width)
      for (std::int64_t j = 0; j < panel.width; j += kLanes) {
        typename Simd<T>::V g[9], points[kPoints];
        for (int tap = 0; tap < 9; ++tap) {
          T lane[kLanes];
          for (int l = 0; l < kLanes; ++l) {
            const std::int64_t column = panel.first_column + j + l;
            const std::int64_t at = adjoint ? ((8 - tap) * columns + column) * depth + d : (tap * depth + d) * columns + column;
            lane[l] = column < columns ? filter[at] : T(0);
          }
          g[tap] = load<T>(lane);
        }
        transform_square<T, FilterLine>(g, points);
        for (int p = 0; p < kPoints; ++p) store<T>(to + p * depth * panel.width + j, points[p]);
      }
  }
}

// The outputs of the tiles [first, last) in one panel, from M.
template <class T, class Sink>
void write_tiles(const WinogradShape& w, const Panel& panel, std::int64_t first, std::int64_t last, const T* m, std::int64_t plane,
                 const Sink& sink) {
  for (std::int64_t t = first; t < last; ++t, m += panel.width) {
    const WinogradTile tile = tile_at(w, t);
    for_each_channels<T>(panel.columns, [&](std::int64_t j, int lanes) {
      typename Simd<T>::V from[kPoints], y[kOutputs * kOutputs];
      for (int p = 0; p < kPoints; ++p) from[p] = load<T>(m + p * plane + j);
      transform_square<T, OutputLine>(from, y);
      sink.write(tile, panel.first_column + j, lanes, y);
    });
  }
}

template <class T>
void plan_winograd(const WinogradShape& w, double direct_cost_ns, Plan* plan) {
  constexpr std::int64_t kBytes = static_cast<std::int64_t>(sizeof(T));
  plan->variant = kWinogradVariant;
  plan->phases = 2;
  plan->chunks[0] = panel_count(w.panels);
  plan->chunks[1] = clamped(ceil_div(w.tiles, w.block_tiles), 1, kMaxChunks);
  plan->shared_bytes = packed_size(w.panels) * kBytes;
  plan->scratch_bytes = kPoints * (w.plane + product_plane<T>(w)) * kBytes;
  plan->cost_ns = direct_cost_ns / 2.2;
}

// Chunks [begin, end) of phase 1.
template <class T, class Source, class Sink>
void winograd_pass(const WinogradShape& w, const Plan& plan, const Source& source, const T* u, const Sink& sink, std::int64_t begin,
                   std::int64_t end, void* scratch) {
  const std::int64_t blocks = ceil_div(w.tiles, w.block_tiles), chunks = plan.chunks[1], plane = product_plane<T>(w);
  T* v = static_cast<T*>(scratch);
  T* m = v + kPoints * w.plane;
  for (std::int64_t block = blocks * begin / chunks; block < blocks * end / chunks; ++block) {
    const std::int64_t first = block * w.block_tiles, last = smaller(first + w.block_tiles, w.tiles);
    transform_tiles(w, source, first, last, v);
    for (std::int64_t i = 0; i < panel_count(w.panels); ++i) {
      const Panel panel = panel_at(w.panels, i);
      for (int p = 0; p < kPoints; ++p) {
        const T* filter = u + panel.offset + p * w.channels * panel.width;
        const T* rows = v + p * w.plane;
        T* to = m + p * plane;
        row_product(panel.width, rows, w.padded_channels, last - first, filter, w.channels, to);
      }
      write_tiles(w, panel, first, last, m, plane, sink);
    }
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
