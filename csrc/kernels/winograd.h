// 3 x 3 convolutions of stride 1 by Winograd's algorithm, for the forward pass and the gradient by the input.
//
// The output is covered by tiles of 4 x 4, anchored at the corner of each image. A block of tiles is transformed to
// V[36][tiles][channels]; then, panel by panel of output columns, 36 small matrix products with the transformed filter U give
// M[36][tiles][width], whose inverse transform goes to a sink (memory, or a pooled result). An output follows from its own tile
// alone: blocks change no bit.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/expected.h"
#include "kernels/pool_windows.h"
#include "kernels/winograd_products.h"
#include "kernels/winograd_transforms.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kWinogradProducts = 1024;       // in_channels * out_channels from which it pays
constexpr std::int64_t kTransformedFloats = 36 * 3072;  // of V: 48 tiles of 64 channels
constexpr std::int64_t kEdgeChunks = 8;
constexpr std::int64_t kFewChunks = 4;                  // of tiles: fewer are divided by panels as well
constexpr std::int64_t kMostKept = 64 << 20;            // bytes of a transformed filter that stay in memory between runs
constexpr int kWinogradVariant = 1;

template <class T>
constexpr bool has_winograd() {
  return sizeof(T) == sizeof(float);
}

// Whether a row of outputs too many is left to direct convolution, which is cheap at the edge, where windows meet few pixels.
inline bool leaves_edge(std::int64_t size) { return size > kOutputs && size % kOutputs == 1; }

// One pass: a 3 x 3 correlation with `row_pad` and `col_pad` zeros before a source of `channels`, to rows x cols outputs in `panels`. The
// tiles cover main_rows x main_cols of them.
struct WinogradShape {
  std::int64_t batch, source_rows, source_cols, channels;
  std::int64_t rows, cols, row_pad, col_pad, main_rows, main_cols;
  std::int64_t tile_rows, tile_cols, tiles;
  std::int64_t padded_channels, block_tiles, plane;  // elements of one of the 36 planes of V
  Panels panels;
};

// Which algorithm: a function of shape and policy only, the same for a fused and a plain op.
inline bool use_winograd(const ConvShape& s, const std::int64_t* ints, std::int64_t rows, std::int64_t cols) {
  const bool unit_steps = s.rows.stride == 1 && s.cols.stride == 1 && s.rows.dilation == 1 && s.cols.dilation == 1;
  const bool shape = s.rows.window == 3 && s.cols.window == 3 && unit_steps && s.groups == 1;
  const bool channels = s.in_channels >= 16 && s.out_channels >= 16 && s.in_channels * s.out_channels >= kWinogradProducts;
  if (ints[kWinograd] == 0 || !shape || !channels || s.batch <= 0 || rows <= 0 || cols <= 0) return false;
  const std::int64_t main_rows = leaves_edge(rows) ? rows - 1 : rows, main_cols = leaves_edge(cols) ? cols - 1 : cols;
  const std::int64_t products = ceil_div(main_rows, kOutputs) * ceil_div(main_cols, kOutputs) * kPoints;
  const std::int64_t at_edge = (rows * cols - main_rows * main_cols) * 9;
  return products + at_edge <= 4 * rows * cols;  // of 9 for each output
}

template <class T>
WinogradShape winograd_shape(const ConvShape& s, bool adjoint, bool edges) {
  constexpr std::int64_t kLanes = Simd<T>::kLanes;
  WinogradShape w;
  w.batch = s.batch;
  w.source_rows = adjoint ? s.rows.out_size : s.rows.size;
  w.source_cols = adjoint ? s.cols.out_size : s.cols.size;
  w.channels = adjoint ? s.out_channels : s.in_channels;
  w.rows = adjoint ? s.rows.size : s.rows.out_size;
  w.cols = adjoint ? s.cols.size : s.cols.out_size;
  w.main_rows = edges && leaves_edge(w.rows) ? w.rows - 1 : w.rows;
  w.main_cols = edges && leaves_edge(w.cols) ? w.cols - 1 : w.cols;
  w.row_pad = adjoint ? 2 - s.rows.pad : s.rows.pad;
  w.col_pad = adjoint ? 2 - s.cols.pad : s.cols.pad;
  w.tile_rows = ceil_div(w.main_rows, kOutputs);
  w.tile_cols = ceil_div(w.main_cols, kOutputs);
  w.tiles = w.batch * w.tile_rows * w.tile_cols;
  w.padded_channels = (w.channels + kLanes - 1) / kLanes * kLanes;
  w.block_tiles = clamped(kTransformedFloats / kPoints / w.padded_channels / kTileRows * kTileRows, 2 * kTileRows, 8 * kTileRows);
  w.plane = w.block_tiles * w.padded_channels + 16;  // not a multiple of a page
  w.panels = filter_panels<T>(s, adjoint);
  w.panels.taps = kPoints;
  return w;
}

inline bool has_edges(const WinogradShape& w) { return w.main_rows < w.rows || w.main_cols < w.cols; }

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

// Images in memory: `channels` elements from pixel to pixel, channel 0 of image 0 at `base`.
template <class T>
struct DenseSource {
  const T* base;
  std::int64_t rows, cols, channels;
  // The rows [row, row + count) of image n, as far as they exist, with the channels from `channel` on; `room` is for sources that have
  // to make them.
  PYNN_INLINE DenseSource strip(std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, T*) const { return *this; }
  PYNN_INLINE const T* at(std::int64_t n, std::int64_t r, std::int64_t c) const { return base + ((n * rows + r) * cols + c) * channels; }
};

template <class T, class Line, class Load>
PYNN_INLINE void transform_loaded(Load load_pixel, T* to, std::int64_t plane) {
  typename Simd<T>::V from[Line::kFrom * Line::kFrom], result[Line::kTo * Line::kTo];
  PYNN_UNROLL
  for (int i = 0; i < Line::kFrom; ++i) {
    PYNN_UNROLL
    for (int j = 0; j < Line::kFrom; ++j) from[i * Line::kFrom + j] = load_pixel(i, j);
  }
  transform_square<T, Line>(from, result);
  PYNN_UNROLL
  for (int i = 0; i < Line::kTo; ++i) {
    PYNN_UNROLL
    for (int j = 0; j < Line::kTo; ++j) store<T>(to + (i * Line::kTo + j) * plane, result[i * Line::kTo + j]);
  }
}

// The `channels` channels from `channel` on of the Line::kFrom x Line::kFrom pixels from (row, col) on of image n, zeros where they
// are not in the image, transformed to planes of `to`; whole vectors are written.
template <class T, class Line>
PYNN_NOINLINE void transform_border(const DenseSource<T>& source, std::int64_t n, std::int64_t row, std::int64_t col,
                                    std::int64_t channel, std::int64_t channels, T* to, std::int64_t plane) {
  const T* pixels[Line::kFrom * Line::kFrom];
  for (int i = 0; i < Line::kFrom; ++i)
    for (int j = 0; j < Line::kFrom; ++j) {
      const std::int64_t r = row + i, c = col + j;
      const bool exists = r >= 0 && r < source.rows && c >= 0 && c < source.cols;
      pixels[i * Line::kFrom + j] = exists ? source.at(n, r, c) + channel : nullptr;
    }
  for_each_channels<T>(channels, [&](std::int64_t c, int lanes) {
    transform_loaded<T, Line>([&](int i, int j) {
      const T* pixel = pixels[i * Line::kFrom + j];
      return pixel ? load_lanes<T>(pixel + c, lanes) : zero<T>();
    }, to + c, plane);
  });
}

template <class T, class Line>
PYNN_NOINLINE void transform_inside(const T* corner, std::int64_t row_step, std::int64_t pixel_step, std::int64_t channels, T* to,
                                    std::int64_t plane) {
  for_each_channels<T>(channels, [&](std::int64_t c, int lanes) {
    transform_loaded<T, Line>([&](int i, int j) { return load_lanes<T>(corner + i * row_step + j * pixel_step + c, lanes); }, to + c,
                              plane);
  });
}

template <class T, class Line>
PYNN_INLINE void transform_patch(const DenseSource<T>& source, std::int64_t n, std::int64_t row, std::int64_t col, std::int64_t channel,
                                 std::int64_t channels, T* to, std::int64_t plane) {
  if (row < 0 || col < 0 || row + Line::kFrom > source.rows || col + Line::kFrom > source.cols)
    return transform_border<T, Line>(source, n, row, col, channel, channels, to, plane);
  transform_inside<T, Line>(source.at(n, row, col) + channel, source.cols * source.channels, source.channels, channels, to, plane);
}

// The rows of the source under the tiles [first, last), over so many calls of ask; only where they are in memory as such.
template <class T>
Expected<Use::kRead> expected_source(const WinogradShape& w, const DenseSource<T>& source, std::int64_t first, std::int64_t last,
                                     std::int64_t calls) {
  if (first >= last) return Expected<Use::kRead>();
  const WinogradTile top = tile_at(w, first), bottom = tile_at(w, last - 1);
  return Expected<Use::kRead>(source.at(top.image, clamped(top.row - w.row_pad, 0, source.rows), 0),
                  source.at(bottom.image, clamped(bottom.row - w.row_pad + kPatch, 0, source.rows), 0), calls);
}
template <class Source>
Expected<Use::kRead> expected_source(const WinogradShape&, const Source&, std::int64_t, std::int64_t, std::int64_t) {
  return Expected<Use::kRead>();
}

// V of the tiles [first, last); `room` holds a strip of the source.
template <class T, class Source>
void transform_tiles(const WinogradShape& w, const Source& source, std::int64_t first, std::int64_t last, T* v, T* room) {
  DenseSource<T> strip{};
  for (std::int64_t t = first; t < last; ++t, v += w.padded_channels) {
    const WinogradTile tile = tile_at(w, t);
    const std::int64_t row = tile.row - w.row_pad;
    if (t == first || tile.col == 0) strip = source.strip(tile.image, row, kPatch, 0, w.channels, room);
    transform_patch<T, InputLine>(strip, tile.image, row, tile.col - w.col_pad, 0, w.channels, v, w.plane);
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

// The rows of the result over them, likewise.
template <class T>
Expected<Use::kWrite> expected_sink(const WinogradShape& w, const DenseSink<T>& sink, std::int64_t first, std::int64_t last, std::int64_t calls) {
  const WinogradTile top = tile_at(w, first), bottom = tile_at(w, last - 1);
  const std::int64_t row = sink.cols * sink.channels;
  return Expected<Use::kWrite>(sink.base + (top.image * sink.rows + top.row) * row,
                  sink.base + (bottom.image * sink.rows + smaller(bottom.row + kOutputs, sink.rows)) * row, calls);
}
template <class Sink>
Expected<Use::kWrite> expected_sink(const WinogradShape&, const Sink&, std::int64_t, std::int64_t, std::int64_t) {
  return Expected<Use::kWrite>();
}

// ---- the pass -----------------------------------------------------------------------------------------------------------

// The filter's tap for output columns [column, column + kLanes) of depth d, zeros behind the last one; `adjoint` as in pack_panel_adjoint.
template <class T>
PYNN_INLINE typename Simd<T>::V filter_tap(const Panels& p, bool adjoint, const T* filter, int tap, std::int64_t d, std::int64_t column) {
  constexpr int kLanes = Simd<T>::kLanes;
  const int lanes = static_cast<int>(clamped(p.columns - column, 0, kLanes));
  if (!adjoint) return load_lanes<T>(filter + (tap * p.depth + d) * p.columns + column, lanes);
  T lane[kLanes] = {};
  for (int l = 0; l < lanes; ++l) lane[l] = filter[((8 - tap) * p.columns + column + l) * p.depth + d];
  return load<T>(lane);
}

// U[panel][36][depth][width] from the filter.
template <class T>
void transform_filter(const WinogradShape& w, bool adjoint, const T* filter, T* u, std::int64_t begin, std::int64_t end) {
  const std::int64_t depth = w.panels.depth;
  for (std::int64_t i = begin; i < end; ++i) {
    const Panel panel = panel_at(w.panels, i);
    T* to = u + panel.offset;
    for (std::int64_t d = 0; d < depth; ++d, to += panel.width)
      for (std::int64_t j = 0; j < panel.width; j += Simd<T>::kLanes) {
        typename Simd<T>::V g[9], points[kPoints];
        PYNN_UNROLL
        for (int tap = 0; tap < 9; ++tap) g[tap] = filter_tap(w.panels, adjoint, filter, tap, d, panel.first_column + j);
        transform_square<T, FilterLine>(g, points);
        PYNN_UNROLL
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

// The filter's panels for the edges.
inline Panels edge_panels(const WinogradShape& w) {
  Panels panels = w.panels;
  panels.taps = 9;
  return panels;
}

// Phase 0: U, and behind it the packed filter if there are edges, or if they are kept for the next run: then they stand as long as the
// filter is the packed one. (Zeros, as such memory begins, are what is made of zeros.) Phase 1: params[kTileChunks] chunks of tiles,
// each by params[kSections] sections of the panels, then those of edges.
enum WinogradParam { kTileChunks, kSections };

// Elements of V and M.
template <class T>
std::int64_t winograd_room(const WinogradShape& w) {
  return kPoints * (w.plane + product_plane<T>(w));
}

template <class T>
void plan_winograd(const WinogradShape& w, double direct_cost_ns, Plan* plan) {
  constexpr std::int64_t kBytes = static_cast<std::int64_t>(sizeof(T));
  plan->variant = kWinogradVariant;
  plan->phases = 2;
  const std::int64_t blocks = clamped(ceil_div(w.tiles, w.block_tiles), 1, kMaxChunks);
  plan->params[kSections] = clamped(kFewChunks / blocks, 1, panel_count(w.panels));
  plan->params[kTileChunks] = blocks * plan->params[kSections];
  plan->chunks[0] = panel_count(w.panels) * (has_edges(w) ? 2 : 1);
  plan->chunks[1] = plan->params[kTileChunks] + (has_edges(w) ? smaller(w.batch, kEdgeChunks) : 0);
  plan->shared_bytes = (packed_size(w.panels) + (has_edges(w) ? packed_size(edge_panels(w)) : 0)) * kBytes;
  plan->scratch_bytes = winograd_room<T>(w) * kBytes;
  plan->cost_ns = direct_cost_ns / 2.2;
}

// Chunks [begin, end) of phase 0.
template <class T>
void prepare_filters(const WinogradShape& w, bool adjoint, const T* filter, T* u, std::int64_t begin, std::int64_t end) {
  const std::int64_t panels = panel_count(w.panels);
  transform_filter(w, adjoint, filter, u, smaller(begin, panels), smaller(end, panels));
  if (end > panels) pack_panels(edge_panels(w), adjoint, filter, u + packed_size(w.panels), larger(begin, panels) - panels, end - panels);
}

// Forward passes, whose filter is operand 1, can keep it.
template <class T>
void keep_filter(const WinogradShape& w, Plan* plan) {
  const std::int64_t bytes = (packed_size(w.panels) + packed_size(edge_panels(w))) * static_cast<std::int64_t>(sizeof(T));
  if (bytes > kMostKept) return;
  plan->kept_bytes = bytes;
  plan->kept_operand = 1;
}

// U and the packed filter of the panels [begin, end), if they are not there from the last run.
template <class T>
void renew_filters(const WinogradShape& w, const T* filter, T* u, std::int64_t begin, std::int64_t end) {
  const Panels panels = edge_panels(w);
  T* packed = u + packed_size(w.panels);
  for (std::int64_t i = begin; i < smaller(end, panel_count(w.panels)); ++i) {
    if (holds_panel(panels, panel_at(panels, i), filter, packed)) continue;
    pack_panel(panels, panel_at(panels, i), filter, packed);
    transform_filter(w, false, filter, u, i, i + 1);
  }
}

// Chunks [begin, end) of phase 0 of a forward pass.
template <class T>
void forward_filters(const WinogradShape& w, const Plan& plan, const T* filter, T* u, std::int64_t begin, std::int64_t end) {
  if (plan.keeps) renew_filters(w, filter, u, begin, end);
  else prepare_filters(w, false, filter, u, begin, end);
}

// visit(Correlation, Region) for what the tiles leave out, in the chunks [begin, end) of phase 1.
template <class Visit>
PYNN_INLINE void for_each_edge(const WinogradShape& w, const Plan& plan, const ConvShape& s, bool adjoint, std::int64_t begin,
                               std::int64_t end, Visit visit) {
  const std::int64_t tiles = plan.params[kTileChunks], chunks = plan.chunks[1] - tiles;
  if (end <= tiles || chunks == 0) return;
  const std::int64_t first = w.batch * (larger(begin, tiles) - tiles) / chunks, last = w.batch * (end - tiles) / chunks;
  Correlation g = correlation_of(s, adjoint);
  if (w.main_rows < w.rows) visit(g, Region{first, last, w.main_rows, w.rows});
  g.first_column = w.main_cols;
  if (w.main_cols < w.cols) visit(g, Region{first, last, 0, w.main_rows});
}

// The panels [first_panel, last_panel) of the outputs of the tiles [first, last).
template <class T, class Source, class Sink>
void winograd_block(const WinogradShape& w, const Source& source, const T* u, const Sink& sink, std::int64_t first, std::int64_t last,
                    std::int64_t first_panel, std::int64_t last_panel, T* v) {
  const std::int64_t plane = product_plane<T>(w), products = (last_panel - first_panel) * kPoints;
  T* m = v + kPoints * w.plane;
  transform_tiles(w, source, first, last, v, v + winograd_room<T>(w));
  Expected<Use::kWrite> out = expected_sink(w, sink, first, last, kPoints);
  Expected<Use::kRead> next = expected_source(w, source, last, smaller(last + w.block_tiles, w.tiles), products);
  for (std::int64_t i = first_panel; i < last_panel; ++i) {
    const Panel panel = panel_at(w.panels, i);
    for (int p = 0; p < kPoints; ++p) {
      const T* filter = u + panel.offset + p * w.channels * panel.width;
      const T* rows = v + p * w.plane;
      T* to = m + p * plane;
      next.ask();
      out.ask();
      row_product(panel.width, rows, w.padded_channels, last - first, filter, w.channels, to, panel.width);
    }
    write_tiles(w, panel, first, last, m, plane, sink);
  }
}

// Those of the chunks [begin, end) of phase 1 that are tiles; sections side by side share their transformed tiles.
template <class T, class Source, class Sink>
void winograd_pass(const WinogradShape& w, const Plan& plan, const Source& source, const T* u, const Sink& sink, std::int64_t begin,
                   std::int64_t end, void* scratch) {
  const std::int64_t sections = plan.params[kSections], chunks = plan.params[kTileChunks] / sections;
  const std::int64_t blocks = ceil_div(w.tiles, w.block_tiles), panels = panel_count(w.panels);
  end = smaller(end, plan.params[kTileChunks]);
  while (begin < end) {
    const std::int64_t chunk = begin / sections, next = smaller(end, (chunk + 1) * sections);
    const std::int64_t first_panel = panels * (begin % sections) / sections, last_panel = panels * (next - chunk * sections) / sections;
    for (std::int64_t block = blocks * chunk / chunks; block < blocks * (chunk + 1) / chunks; ++block) {
      const std::int64_t first = block * w.block_tiles, last = smaller(first + w.block_tiles, w.tiles);
      winograd_block(w, source, u, sink, first, last, first_panel, last_panel, static_cast<T*>(scratch));
    }
    begin = next;
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
