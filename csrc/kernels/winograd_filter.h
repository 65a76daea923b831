// The gradient by a 3 x 3 filter by Winograd's algorithm, the adjoint of winograd.h:
//
//   dfilter = G^T [ sum over tiles of (B^T x B) * (A dy A^T) ] G
//
// with 36 matrix products (in_channels x tiles) (tiles x panel width) for each block of tiles. Order of additions: tiles of a
// block from zero, blocks of a partial (a range of images) in order, partials in order; all follow from the shape, for dense and
// pooled gradients alike.
#pragma once

#include "kernels/winograd.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kMaxWinogradPartials = 8, kLeastWinogradPartials = 4;
constexpr std::int64_t kPartialTiles = 256;
constexpr std::int64_t kReducedChannels = 8;
constexpr std::int64_t kFarChannels = 128;             // from which V is in L3, and all panels are multiplied point by point
constexpr std::int64_t kFarFloats = 36 * 128 * 512;    // of V and the transformed gradient then
constexpr std::int64_t kPartialBytes = 20 << 20;  // of all partial sums together

struct WinogradFilter {
  WinogradShape shape;
  std::int64_t partials, sections;   // a chunk is one partial x one section of the panels
  std::int64_t partial_size, plane;  // elements: of a partial, and of one of the 36 planes of the transformed gradient
  std::int64_t together, panel_room; // panels that are multiplied point by point, and the elements of one in a plane
};

// Tiles of a block. The larger the sums, the fewer passes over them; from kFarChannels on blocks of a partial are equal, and V and the
// transformed gradient have some megabytes.
inline std::int64_t filter_block_tiles(const WinogradFilter& f, std::int64_t partial_tiles) {
  const WinogradShape& w = f.shape;
  if (f.together == 1) return clamped(w.channels / 64 * 48, 24, 96);
  const std::int64_t most = larger(24, kFarFloats / kPoints / (w.slice + f.together * kPanelVectors * w.panels.lanes));
  return ceil_div(larger(partial_tiles, 1), ceil_div(larger(partial_tiles, 1), most));
}

template <class T>
WinogradFilter winograd_filter(const ConvShape& s) {
  WinogradFilter f;
  f.shape = winograd_shape<T>(s, false, false);
  f.shape.slice = ceil_div(f.shape.channels, Simd<T>::kLanes) * Simd<T>::kLanes;
  const std::int64_t panels = panel_count(f.shape.panels);
  f.partial_size = packed_size(f.shape.panels);
  const std::int64_t most = kPartialBytes / (f.partial_size * static_cast<std::int64_t>(sizeof(T)));
  f.partials = s.batch == 0 ? 0 : clamped(clamped(f.shape.tiles / kPartialTiles, kLeastWinogradPartials, kMaxWinogradPartials), 1, smaller(larger(most, 1), s.batch));
  f.sections = clamped(ceil_div(kLeastWinogradPartials, larger(1, f.partials)), 1, panels);
  f.together = f.shape.channels >= kFarChannels ? ceil_div(panels, f.sections) : 1;
  f.shape.block_tiles = filter_block_tiles(f, ceil_div(f.shape.tiles, larger(1, f.partials)));
  f.shape.plane = f.shape.block_tiles * f.shape.slice + kPadding;
  f.panel_room = f.shape.block_tiles * kPanelVectors * Simd<T>::kLanes;
  f.plane = f.together * f.panel_room + kPadding;
  return f;
}

template <class T>
void plan_winograd_filter(const WinogradFilter& f, double direct_cost_ns, Plan* plan) {
  constexpr std::int64_t kBytes = static_cast<std::int64_t>(sizeof(T));
  plan->variant = kWinogradVariant;
  plan->phases = 2;
  plan->chunks[0] = f.partials * f.sections;
  plan->chunks[1] = panel_count(f.shape.panels);
  plan->shared_bytes = f.partials * f.partial_size * kBytes;
  const std::int64_t reduced = kReducedChannels * kPanelVectors * Simd<T>::kLanes;
  plan->scratch_bytes = kPoints * larger(f.shape.plane + f.plane, reduced) * kBytes;
  plan->cost_ns = direct_cost_ns / 2.2;
}

// A dy A^T of the tiles [first, last), the columns of one panel; zeros behind its last column. `room` holds a strip of the gradient.
template <class T, class Source>
void transform_gradient(const WinogradShape& w, const Source& source, const Panel& panel, std::int64_t first, std::int64_t last, T* to,
                        std::int64_t plane, T* room) {
  DenseSource<T> strip{};
  for (std::int64_t t = first; t < last; ++t, to += panel.width) {
    const WinogradTile tile = tile_at(w, t);
    if (t == first || tile.col == 0) strip = source.strip(tile.image, tile.row, kOutputs, panel.first_column, panel.columns, room);
    transform_patch<T, GradientLine>(strip, tile.image, tile.row, tile.col, panel.first_column, panel.columns, to, plane);
  }
}

template <class T, class XSource, class GradientSource>
void sum_winograd_block(const WinogradFilter& f, const XSource& x, const GradientSource& dy, std::int64_t first_panel,
                        std::int64_t last_panel, std::int64_t first_tile, std::int64_t last_tile, T* v, T* sums, bool first) {
  const WinogradShape& w = f.shape;
  T* y = v + kPoints * w.plane;
  const std::int64_t tiles = last_tile - first_tile;
  T* room = y + kPoints * f.plane;
  transform_tiles(w, x, first_tile, last_tile, v, room);
  const std::int64_t after = smaller(last_tile + w.block_tiles, w.tiles), products = (last_panel - first_panel) * kPoints;
  Expected<Use::kRead> next_x = expected_source(w, x, last_tile, after, products), next_dy = expected_source(w, dy, last_tile, after, products);
  for (std::int64_t i = first_panel; i < last_panel; i += f.together) {
    const std::int64_t end = smaller(i + f.together, last_panel);
    for (std::int64_t q = i; q < end; ++q)
      transform_gradient(w, dy, panel_at(w.panels, q), first_tile, last_tile, y + (q - i) * f.panel_room, f.plane, room);
    for (int p = 0; p < kPoints; ++p)
      for (std::int64_t q = i; q < end; ++q) {
        const Panel panel = panel_at(w.panels, q);
        T* to = sums + panel.offset + p * w.channels * panel.width;
        next_x.ask();
        next_dy.ask();
        column_product(panel.width, v + p * w.plane, w.slice, w.channels, y + p * f.plane + (q - i) * f.panel_room, tiles, to, first);
      }
  }
}

// Chunks [begin, end) of partial x section.
template <class T, class XSource, class GradientSource>
void sum_winograd_filter(const WinogradFilter& f, const XSource& x, const GradientSource& dy, T* sums, std::int64_t begin, std::int64_t end,
                         void* scratch) {
  const WinogradShape& w = f.shape;
  const std::int64_t per_image = w.tile_rows * w.tile_cols, panels = panel_count(w.panels);
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const std::int64_t partial = chunk / f.sections, section = chunk % f.sections;
    const std::int64_t start = w.batch * partial / f.partials * per_image, stop = w.batch * (partial + 1) / f.partials * per_image;
    for (std::int64_t t = start; t < stop; t += w.block_tiles)
      sum_winograd_block(f, x, dy, panels * section / f.sections, panels * (section + 1) / f.sections, t, smaller(t + w.block_tiles, stop),
                         static_cast<T*>(scratch), sums + partial * f.partial_size, t == start);
  }
}

// to[36][count][width] = the partial sums of the channels [first, first + count) of a panel, added up.
template <class T>
void add_partials(const WinogradFilter& f, const T* panel_sums, std::int64_t width, std::int64_t first, std::int64_t count, T* to) {
  for (int p = 0; p < kPoints; ++p)
    for (std::int64_t i = 0; i < count * width; i += Simd<T>::kLanes, to += Simd<T>::kLanes) {
      const T* from = panel_sums + (p * f.shape.channels + first) * width + i;
      typename Simd<T>::V sum = f.partials ? load<T>(from) : zero<T>();
      for (std::int64_t partial = 1; partial < f.partials; ++partial) sum = sum + load<T>(from + partial * f.partial_size);
      store<T>(to, sum);
    }
}

// dfilter from the partial sums, panels [begin, end).
template <class T>
void reduce_winograd_filter(const WinogradFilter& f, const T* sums, T* dfilter, std::int64_t begin, std::int64_t end, void* scratch) {
  const WinogradShape& w = f.shape;
  T* points = static_cast<T*>(scratch);
  for (std::int64_t i = begin; i < end; ++i) {
    const Panel panel = panel_at(w.panels, i);
    for (std::int64_t first = 0; first < w.channels; first += kReducedChannels) {
      const std::int64_t count = smaller(kReducedChannels, w.channels - first);
      add_partials(f, sums + panel.offset, panel.width, first, count, points);
      for (std::int64_t c = 0; c < count; ++c)
        for_each_channels<T>(panel.columns, [&](std::int64_t j, int lanes) {
          typename Simd<T>::V from[kPoints], taps[9];
          for (int p = 0; p < kPoints; ++p) from[p] = load<T>(points + (p * count + c) * panel.width + j);
          transform_square<T, FilterGradientLine>(from, taps);
          for (int tap = 0; tap < 9; ++tap)
            store_lanes<T>(dfilter + (tap * w.channels + first + c) * w.panels.columns + panel.first_column + j, taps[tap], lanes);
        });
    }
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
