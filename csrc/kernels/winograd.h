// 3 x 3 convolutions of stride 1 by Winograd's algorithm, for the forward pass and the input gradient.
//
// The output is covered by tiles of 4 x 4, anchored at the corner of each image. A block of tiles is transformed to
// V[36][tiles][channels]; then, panel by panel of output columns, 36 small matrix products with the transformed filter U give
// M[36][tiles][width], whose inverse transform goes to a sink (memory, or a pooled result). An output follows from its own tile
// alone: blocks change no bit.
#pragma once

#include "kernels/cache.h"
#include "kernels/pool_windows.h"
#include "kernels/winograd_points.h"
#include "kernels/winograd_products.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr double kWinogradGain = 2.2;  // how many times the speed of tiles
constexpr std::int64_t kEdgeChunks = 8;
constexpr std::int64_t kFewChunks = 4;  // of tiles: fewer are divided by panels as well

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

template <class T>
DenseSource<T> dense_source(const T* base, const ImageSize& size) {
  return DenseSource<T>{base, size.rows, size.cols, size.channels};
}

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
  for_vectors<T>(channels, [&](std::int64_t c, int lanes) {
    transform_loaded<T, Line>([&](int i, int j) {
      const T* pixel = pixels[i * Line::kFrom + j];
      return pixel ? load_lanes<T>(pixel + c, lanes) : zero<T>();
    }, to + c, plane);
  });
}

template <class T, class Line>
PYNN_NOINLINE void transform_inside(const T* corner, std::int64_t row_step, std::int64_t pixel_step, std::int64_t channels, T* to,
                                    std::int64_t plane) {
  for_vectors<T>(channels, [&](std::int64_t c, int lanes) {
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

// The channels [channel, channel + channels) of V of the tiles [first, last); `room` holds a strip of the source.
template <class T, class Source>
void transform_slice(const WinogradShape& w, const Source& source, std::int64_t first, std::int64_t last, std::int64_t channel,
                     std::int64_t channels, T* v, T* room) {
  DenseSource<T> strip{};
  for (std::int64_t t = first; t < last; ++t, v += w.slice) {
    const WinogradTile tile = tile_at(w, t);
    const std::int64_t row = tile.row - w.row_pad;
    if (t == first || tile.col == 0) strip = source.strip(tile.image, row, kPatch, channel, channels, room);
    transform_patch<T, InputLine>(strip, tile.image, row, tile.col - w.col_pad, channel, channels, v, w.plane);
  }
}

// V, slice after slice.
template <class T, class Source>
void transform_tiles(const WinogradShape& w, const Source& source, std::int64_t first, std::int64_t last, T* v, T* room) {
  for (std::int64_t c = 0; c < w.channels; c += w.slice, v += kPoints * w.plane)
    transform_slice(w, source, first, last, c, least(w.slice, w.channels - c), v, room);
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

template <class T>
DenseSink<T> dense_sink(T* base, const ImageSize& size, const T* bias, bool relu) {
  return DenseSink<T>{base, size.rows, size.cols, size.channels, bias, relu};
}

// The rows of the result over them, likewise.
template <class T>
Expected<Use::kWrite> expected_sink(const WinogradShape& w, const DenseSink<T>& sink, std::int64_t first, std::int64_t last, std::int64_t calls) {
  const WinogradTile top = tile_at(w, first), bottom = tile_at(w, last - 1);
  const std::int64_t row = sink.cols * sink.channels;
  return Expected<Use::kWrite>(sink.base + (top.image * sink.rows + top.row) * row,
                  sink.base + (bottom.image * sink.rows + least(bottom.row + kOutputs, sink.rows)) * row, calls);
}
template <class Sink>
Expected<Use::kWrite> expected_sink(const WinogradShape&, const Sink&, std::int64_t, std::int64_t, std::int64_t) {
  return Expected<Use::kWrite>();
}

// ---- the pass -----------------------------------------------------------------------------------------------------------

// The outputs of the tiles [first, last) in one panel, from M.
template <class T, class Sink>
void write_tiles(const WinogradShape& w, const Panel& panel, std::int64_t first, std::int64_t last, const T* m, std::int64_t plane,
                 const Sink& sink) {
  for (std::int64_t t = first; t < last; ++t, m += panel.width) {
    const WinogradTile tile = tile_at(w, t);
    for_vectors<T>(panel.columns, [&](std::int64_t j, int lanes) {
      typename Simd<T>::V from[kPoints], y[kOutputs * kOutputs];
      load_points(m + j, plane, from);
      transform_square<T, OutputLine>(from, y);
      sink.write(tile, panel.first_column + j, lanes, y);
    });
  }
}

// Phase 0: the filters (winograd_points.h). Phase 1: params[kTileChunks] chunks of tiles, each by params[kSections] sections of the panels, then
// those of edges.
enum WinogradParam { kTileChunks, kSections };

// Elements of V, M and a few depths' points.
template <class T>
std::int64_t winograd_room(const WinogradShape& w) {
  return source_size(w) + kPoints * product_plane<T>(w) + depths_room<T>(w);
}

template <class T>
void plan_winograd(const WinogradShape& w, double direct_cost_ns, Plan* plan) {
  plan->variant = kWinogradVariant;
  plan->phases = 2;
  const std::int64_t blocks = clamped(ceil_divide(w.tiles, w.block_tiles), 1, kMaxChunks);
  plan->params[kSections] = clamped(kFewChunks / blocks, 1, panel_count(w.panels));
  plan->params[kTileChunks] = blocks * plan->params[kSections];
  plan->chunks[0] = filter_chunks(w);
  plan->chunks[1] = plan->params[kTileChunks] + (has_edges(w) ? least(w.batch, kEdgeChunks) : 0);
  plan->shared_bytes = filters_bytes<T>(w, has_edges(w));
  plan->scratch_bytes = winograd_room<T>(w) * kSizeOf<T>;
  plan->cost_ns = direct_cost_ns / kWinogradGain;
}

// visit(Correlation, Region) for what the tiles leave out, in the chunks [begin, end) of phase 1.
template <class Visit>
PYNN_INLINE void for_each_edge(const WinogradShape& w, const Plan& plan, const ConvShape& s, bool adjoint, std::int64_t begin,
                               std::int64_t end, Visit visit) {
  const std::int64_t tiles = plan.params[kTileChunks], chunks = plan.chunks[1] - tiles;
  if (end <= tiles || chunks == 0) return;
  const std::int64_t first = w.batch * (most(begin, tiles) - tiles) / chunks, last = w.batch * (end - tiles) / chunks;
  Correlation g = correlation_of(s, adjoint);
  if (w.main_rows < w.rows) visit(g, Region{first, last, w.main_rows, w.rows});
  g.first_column = w.main_cols;
  if (w.main_cols < w.cols) visit(g, Region{first, last, 0, w.main_rows});
}

// M of a panel from V of so many tiles; `ask` is called with each product.
template <class T, class Ask>
PYNN_INLINE void multiply_panel(const WinogradShape& w, const Panel& panel, const WinogradFilters<T>& filters, const T* v, std::int64_t tiles, T* m,
                                T* room, Ask ask) {
  for (std::int64_t first = 0; first < w.channels; first += w.slice, v += kPoints * w.plane) {
    const std::int64_t depths = least(w.slice, w.channels - first);
    const Points<T> u = points_of(w, panel, filters, first, depths, room);
    for (int p = 0; p < kPoints; ++p) {
      ask();
      row_product(panel.width, v + p * w.plane, w.slice, tiles, u.base + p * u.plane, depths, m + p * product_plane<T>(w), panel.width, first == 0);
    }
  }
}

// The panels of a span, of the outputs of the tiles [first, last).
template <class T, class Source, class Sink>
void winograd_block(const WinogradShape& w, const Source& source, const WinogradFilters<T>& filters, const Sink& sink, std::int64_t first,
                    std::int64_t last, const Range& span, T* v) {
  const std::int64_t plane = product_plane<T>(w), products = span.length() * ceil_divide(w.channels, w.slice) * kPoints;
  T *m = v + source_size(w), *room = m + kPoints * plane;
  transform_tiles(w, source, first, last, v, room + depths_room<T>(w));
  Expected<Use::kWrite> out = expected_sink(w, sink, first, last, kPoints);
  Expected<Use::kRead> next = expected_source(w, source, last, least(last + w.block_tiles, w.tiles), products);
  for (std::int64_t i = span.first; i < span.last; ++i) {
    const Panel panel = panel_at(w.panels, i);
    multiply_panel(w, panel, filters, v, last - first, m, room, [&] {
      next.ask();
      out.ask();
    });
    write_tiles(w, panel, first, last, m, plane, sink);
  }
}

// Those of the chunks [begin, end) of phase 1 that are tiles; sections side by side share their transformed tiles.
template <class T, class Source, class Sink>
void winograd_pass(const WinogradShape& w, const Plan& plan, const Source& source, const WinogradFilters<T>& filters, const Sink& sink,
                   std::int64_t begin, std::int64_t end, void* scratch) {
  const std::int64_t sections = plan.params[kSections], chunks = plan.params[kTileChunks] / sections;
  const std::int64_t blocks = ceil_divide(w.tiles, w.block_tiles), panels = panel_count(w.panels);
  end = least(end, plan.params[kTileChunks]);
  while (begin < end) {
    const std::int64_t chunk = begin / sections, next = least(end, (chunk + 1) * sections);
    const Range span{panels * (begin % sections) / sections, panels * (next - chunk * sections) / sections};
    for (std::int64_t block = blocks * chunk / chunks; block < blocks * (chunk + 1) / chunks; ++block) {
      const std::int64_t first = block * w.block_tiles, last = least(first + w.block_tiles, w.tiles);
      winograd_block(w, source, filters, sink, first, last, span, static_cast<T*>(scratch));
    }
    begin = next;
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
