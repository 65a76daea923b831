// The gradient of a 3 x 3 filter by Winograd's algorithm, the adjoint of winograd.h:
//
//   dfilter = G^T [ sum over tiles of (B^T x B) * (A dy A^T) ] G
//
// with 36 matrix products (in_channels x tiles) (tiles x panel width) for each block of tiles. Order of additions: tiles of a
// block from zero, blocks of a partial (a range of images) in order, partials in order; all follow from the shape, for dense and
// pooled gradients alike. Many tiles leave their sums in memory, a section of the panels to a chunk; few are gone through for some channels at
// a time, whose sums never leave the cache.
#pragma once

#include "kernels/winograd.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kMaxWinogradPartials = 8, kLeastWinogradPartials = 4;
constexpr std::int64_t kPartialTiles = 256;
constexpr std::int64_t kReducedChannels = 8;
constexpr std::int64_t kFarChannels = 128;                // from which V is in L3, and all panels are multiplied point by point
constexpr std::int64_t kFarFloats = 36 * 128 * 512;       // of V and the transformed gradient then
constexpr std::int64_t kPartialBytes = 20 << 20;          // of all partial sums together
constexpr std::int64_t kFewTiles = 64, kMoreTiles = 128;  // that may go all at once, with many channels
constexpr std::int64_t kFewFloats = 10 << 18;             // of V and the transformed gradient then

struct WinogradFilter {
  WinogradShape shape;
  std::int64_t partials, sections;    // a chunk is one partial x one section of the panels
  std::int64_t partial_size, plane;   // elements: of a partial, and of one of the 36 planes of the transformed gradient
  std::int64_t together, panel_room;  // panels that are multiplied point by point, and the elements of one in a plane
  bool at_once;                       // all tiles, slice by slice of the channels, whose sums stay in cache
};

// Tiles of a block. The larger the sums, the fewer passes over them; from kFarChannels on blocks of a partial are equal, and V and the
// transformed gradient have some megabytes.
inline std::int64_t filter_block_tiles(const WinogradFilter& f, std::int64_t partial_tiles) {
  const WinogradShape& w = f.shape;
  if (f.together == 1) return clamped(w.channels / 64 * 48, 24, 96);
  const std::int64_t most_tiles = most(24, kFarFloats / kPoints / (w.slice + f.together * kPanelVectors * w.panels.lanes));
  return ceil_divide(partial_tiles, ceil_divide(partial_tiles, most_tiles));
}

// So few tiles that more time would go into the sums in memory than into the products.
inline bool few_tiles(const WinogradShape& w) {
  return w.tiles <= clamped(w.channels / 2, kFewTiles, kMoreTiles) && kPoints * w.tiles * (w.channels + kPanelVectors * w.panels.lanes) <= kFewFloats;
}

template <class T>
WinogradFilter winograd_filter(const ConvShape& s) {
  WinogradFilter f;
  f.shape = winograd_shape<T>(s, false, false);
  const std::int64_t panels = panel_count(f.shape.panels);
  f.partial_size = packed_size(f.shape.panels);
  const std::int64_t most_partials = most(1, kPartialBytes / (f.partial_size * kSizeOf<T>));
  f.at_once = few_tiles(f.shape);
  f.partials = f.at_once ? 1 : least(clamped(f.shape.tiles / kPartialTiles, kLeastWinogradPartials, kMaxWinogradPartials), least(most_partials, s.batch));
  f.sections = clamped(ceil_divide(kLeastWinogradPartials, f.partials), 1, panels);
  f.together = f.shape.channels >= kFarChannels && !f.at_once ? ceil_divide(panels, f.sections) : 1;
  f.shape.slice = f.at_once ? kDepths : ceil_divide(f.shape.channels, Simd<T>::kLanes) * Simd<T>::kLanes;
  f.shape.block_tiles = f.at_once ? f.shape.tiles : filter_block_tiles(f, ceil_divide(f.shape.tiles, f.partials));
  f.shape.plane = f.shape.block_tiles * f.shape.slice + kPadding;
  f.panel_room = f.shape.block_tiles * kPanelVectors * Simd<T>::kLanes;
  f.plane = f.together * f.panel_room + kPadding;
  return f;
}

// Elements of the 36 planes of sums that are transformed together.
template <class T>
std::int64_t sums_room(std::int64_t channels) {
  return kPoints * (channels * kPanelVectors * Simd<T>::kLanes + kPadding);
}

// Chunks of the phase that adds partial sums up.
inline std::int64_t reduction_chunks(const WinogradFilter& f) { return f.at_once ? 0 : panel_count(f.shape.panels); }

template <class T>
void plan_winograd_filter(const WinogradFilter& f, double direct_cost_ns, Plan* plan) {
  plan->variant = kWinogradVariant;
  plan->phases = 2;
  plan->chunks[0] = f.partials * f.sections;
  plan->chunks[1] = reduction_chunks(f);
  plan->shared_bytes = f.at_once ? 0 : f.partials * f.partial_size * kSizeOf<T>;
  const std::int64_t transformed = source_size(f.shape) + kPoints * f.plane;
  plan->scratch_bytes = (f.at_once ? transformed + sums_room<T>(kDepths) : most(transformed, sums_room<T>(kReducedChannels))) * kSizeOf<T>;
  plan->cost_ns = direct_cost_ns / kWinogradGain;
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
  const std::int64_t after = least(last_tile + w.block_tiles, w.tiles), products = (last_panel - first_panel) * kPoints;
  Expected<Use::kRead> next_x = expected_source(w, x, last_tile, after, products), next_dy = expected_source(w, dy, last_tile, after, products);
  for (std::int64_t i = first_panel; i < last_panel; i += f.together) {
    const std::int64_t end = least(i + f.together, last_panel);
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
void sum_winograd_partials(const WinogradFilter& f, const XSource& x, const GradientSource& dy, T* sums, std::int64_t begin, std::int64_t end,
                           void* scratch) {
  const WinogradShape& w = f.shape;
  const std::int64_t per_image = w.tile_rows * w.tile_cols, panels = panel_count(w.panels);
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const std::int64_t partial = chunk / f.sections, section = chunk % f.sections;
    const std::int64_t start = w.batch * partial / f.partials * per_image, stop = w.batch * (partial + 1) / f.partials * per_image;
    for (std::int64_t t = start; t < stop; t += w.block_tiles)
      sum_winograd_block(f, x, dy, panels * section / f.sections, panels * (section + 1) / f.sections, t, least(t + w.block_tiles, stop),
                         static_cast<T*>(scratch), sums + partial * f.partial_size, t == start);
  }
}

// The filter's gradient in the channels [first, first + count) of a panel, from sums[36][count][width], whose planes lie `plane` apart.
template <class T>
void write_taps(const WinogradShape& w, const Panel& panel, std::int64_t first, std::int64_t count, const T* sums, std::int64_t plane, T* dfilter) {
  for (std::int64_t c = 0; c < count; ++c, sums += panel.width)
    for_vectors<T>(panel.columns, [&](std::int64_t j, int lanes) {
      typename Simd<T>::V from[kPoints], taps[9];
      load_points(sums + j, plane, from);
      transform_square<T, FilterGradientLine>(from, taps);
      for (int tap = 0; tap < 9; ++tap)
        store_lanes<T>(dfilter + (tap * w.channels + first + c) * w.panels.columns + panel.first_column + j, taps[tap], lanes);
    });
}

// The sections [begin, end) of the panels, with all tiles at once.
template <class T, class XSource, class GradientSource>
void winograd_filter_at_once(const WinogradFilter& f, const XSource& x, const GradientSource& dy, T* dfilter, std::int64_t begin, std::int64_t end,
                             void* scratch) {
  const WinogradShape& w = f.shape;
  T *v = static_cast<T*>(scratch), *y = v + source_size(w), *sums = y + kPoints * f.plane, *room = sums + sums_room<T>(kDepths);
  transform_tiles(w, x, 0, w.tiles, v, room);
  const std::int64_t panels = panel_count(w.panels);
  for (std::int64_t i = panels * begin / f.sections; i < panels * end / f.sections; ++i) {
    const Panel panel = panel_at(w.panels, i);
    transform_gradient(w, dy, panel, 0, w.tiles, y, f.plane, room);
    const T* slice = v;
    for (std::int64_t c = 0; c < w.channels; c += w.slice, slice += kPoints * w.plane) {
      const std::int64_t channels = least(w.slice, w.channels - c), plane = channels * panel.width + kPadding;
      for (int p = 0; p < kPoints; ++p)
        column_product(panel.width, slice + p * w.plane, w.slice, channels, y + p * f.plane, w.tiles, sums + p * plane, true);
      write_taps(w, panel, c, channels, sums, plane, dfilter);
    }
  }
}

// to[36][count][width] = the partial sums of the channels [first, first + count) of a panel, added up.
template <class T>
void add_partials(const WinogradFilter& f, const T* panel_sums, std::int64_t width, std::int64_t first, std::int64_t count, T* to) {
  for (int p = 0; p < kPoints; ++p)
    for (std::int64_t i = 0; i < count * width; i += Simd<T>::kLanes, to += Simd<T>::kLanes) {
      const T* from = panel_sums + (p * f.shape.channels + first) * width + i;
      typename Simd<T>::V sum = load<T>(from);
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
      const std::int64_t count = least(kReducedChannels, w.channels - first);
      add_partials(f, sums + panel.offset, panel.width, first, count, points);
      write_taps(w, panel, first, count, points, count * panel.width, dfilter);
    }
  }
}

// Chunks [begin, end) of either phase; without partial sums in memory the second one has none.
template <class T, class XSource, class GradientSource>
void run_winograd_filter(const WinogradFilter& f, const XSource& x, const GradientSource& dy, T* sums, T* dfilter, std::int32_t phase,
                         std::int64_t begin, std::int64_t end, void* scratch) {
  if (phase == 1) return reduce_winograd_filter(f, sums, dfilter, begin, least(end, reduction_chunks(f)), scratch);
  if (f.at_once) return winograd_filter_at_once(f, x, dy, dfilter, begin, end, scratch);
  sum_winograd_partials(f, x, dy, sums, begin, end, scratch);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
