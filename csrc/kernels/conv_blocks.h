// How a pass over output pixels is cut: units (images, or bands of rows of large images), chunks of units, blocks within a chunk.
//
// None of it changes a bit of the result: an output pixel is one chain of additions, whichever block computes it.
#pragma once

#include "kernels/conv_taps.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Positions in Plan::params.
enum BlockParam { kBands, kBandRows, kBlockImages, kUnits, kPanelSections, kByTaps, kFreeParam };

constexpr std::int64_t kSourceBlockBytes = 192 << 10;  // a block's source stays in L2 while the panels go over it
constexpr std::int64_t kTogetherBytes = 512 << 10;     // also that of images that go together
constexpr std::int64_t kL3Elements = 4 << 20;           // what of a whole pass may stay in L3
constexpr std::int64_t kManyChunks = 32, kMaxChunks = 128;  // more than many only where each is a whole block or more
constexpr std::int64_t kEvenChunks = 4;                 // where images go together: a number that two threads and four share evenly
constexpr double kChunkNs = 2000;
constexpr double kBandNs = 3000;  // a small batch worth sharing between threads is cut into rows, or by panels,
constexpr std::int64_t kFewParts = 8;  // into so many parts

struct BlockRequest {
  std::int64_t batch, rows, row_multiple;
  std::int64_t image_bytes, budget;  // of what a block reads again and again
  double cost_ns;
  std::int64_t together = 1;         // images that a chunk should have at least
  std::int64_t sections = 1;         // of the panels, each of which goes over all blocks
};

inline bool is_small(const BlockRequest& q) { return q.batch > 0 && q.batch < kFewParts && q.cost_ns > kBandNs; }

// The register tile of a pass: its pixels, and its cycles for each product of a pixel. Fewer pixels than fill it wait for the additions before.
struct TileCost {
  std::int64_t pixels, cycles;
};
constexpr std::int64_t kLeastCycles = 4;

inline TileCost tile_cost(const Panels& p) {
  if (p.columns <= p.lanes) return TileCost{tile_pixels<1>(), tile_pixels<1>() / 2};
  return TileCost{tile_pixels<kPanelVectors>(), tile_pixels<kPanelVectors>()};
}

// The time of the tiles (conv_tile.h) that cover `pixels` pixels of one class, for each product of a pixel.
inline std::int64_t tile_time(const TileCost& tile, std::int64_t pixels) {
  const std::int64_t half = tile.pixels / 2, rest = pixels % tile.pixels, full = pixels / tile.pixels * tile.cycles;
  if (rest <= 1) return full + rest * kLeastCycles;
  if (pixels < half) return rest * kLeastCycles;
  if (rest <= half) return full + kLeastCycles;
  return full + (pixels > tile.pixels ? tile.cycles : 2 * kLeastCycles);
}

inline std::int64_t tile_time(const TileCost& tile, const Correlation& g, std::int64_t rows, std::int64_t images) {
  std::int64_t time = 0;
  for_each_class(g.rows, 0, rows, [&](const TapClass& row) {
    for_each_class(g.cols, g.first_column, g.last_column, [&](const TapClass& col) {
      time += row.taps * col.taps * tile_time(tile, images * row.count * col.count);
    });
  });
  return time;
}

// The cycles of the same tap by tap, where each tile also reads and writes its sums.
inline std::int64_t taps_time(const TileCost& tile, const Correlation& g, std::int64_t rows, std::int64_t images) {
  constexpr std::int64_t kSums = 8, kPixel = 10;  // for each pixel
  std::int64_t tiles = 0;
  for (std::int64_t kh = 0; kh < g.rows.window.window; ++kh) {
    const std::int64_t count = seen_through(g.rows, kh, 0, rows).count;
    for (std::int64_t kw = 0; count > 0 && kw < g.cols.window.window; ++kw)
      tiles += ceil_divide(images * count * seen_through(g.cols, kw, g.first_column, g.last_column).count, tile.pixels);
  }
  return tiles * (tile.cycles * g.depth + kSums * tile.pixels) + images * rows * (g.last_column - g.first_column) * kPixel;
}

// A tap's rows of a panel that stay in L1 are worth something too, where a whole panel doesn't.
template <class T>
bool prefers_taps(const Panels& p, const Correlation& g, std::int64_t rows, std::int64_t images) {
  constexpr std::int64_t kNear = 32 << 10, kFarPercent = 105;
  const std::int64_t tap = p.depth * least(p.columns, kPanelVectors * p.lanes) * kSizeOf<T>;
  const std::int64_t percent = tap <= kNear && tap * p.taps > kNear ? kFarPercent : 100;
  const TileCost tile = tile_cost(p);
  return !g.depthwise && 100 * taps_time(tile, g, rows, images) < percent * g.depth * tile_time(tile, g, rows, images);
}

// How many images go together. At the edges of small ones nearly every pixel has taps of its own, which it shares with the same pixel of other
// images only.
inline std::int64_t images_together(const Panels& p, const Correlation& g, const BlockRequest& q) {
  const TileCost tile = tile_cost(p);
  const std::int64_t images = least(least(tile.pixels, q.batch / kEvenChunks), kTogetherBytes / most(1, q.image_bytes));
  if (images < 2 || g.depthwise) return 1;
  return 7 * tile_time(tile, g, q.rows, images) < 6 * images * tile_time(tile, g, q.rows, 1) ? images : 1;
}

// Phase 1.
inline void plan_blocks(const BlockRequest& q, Plan* plan) {
  std::int64_t bands = most(1, ceil_divide(q.image_bytes, q.budget));
  if (is_small(q)) bands = most(bands, ceil_divide(kFewParts, q.batch * q.sections));
  const std::int64_t rows = most(q.rows, 1);
  const std::int64_t fewest = least(rows, 2 * q.row_multiple);
  const std::int64_t band_rows = least(rows, most(fewest, ceil_divide(ceil_divide(rows, bands), q.row_multiple) * q.row_multiple));
  bands = ceil_divide(rows, band_rows);
  plan->params[kBands] = bands;
  plan->params[kBandRows] = band_rows;
  const std::int64_t together = bands > 1 ? 1 : q.together;
  const std::int64_t budget = together > 1 ? kTogetherBytes : q.budget;
  plan->params[kBlockImages] = bands > 1 ? 1 : clamped(budget / most(q.image_bytes, 1), together, most(q.batch, 1));
  plan->params[kUnits] = q.batch * bands;
  const std::int64_t blocks = plan->params[kUnits] / plan->params[kBlockImages];
  const std::int64_t wholes = together > 1 ? plan->params[kUnits] / together / kEvenChunks * kEvenChunks : plan->params[kUnits];
  const std::int64_t most_chunks = least(wholes, clamped(blocks, kManyChunks, kMaxChunks));
  plan->params[kPanelSections] = q.sections;
  plan->chunks[1] = q.sections * clamped(static_cast<std::int64_t>(q.cost_ns / kChunkNs) / q.sections, 1, most(1, most_chunks));
  plan->cost_ns = q.cost_ns;
}

// Phase 1 of a convolution by register tiles. A few images are divided by panels first, if there is more in the filter than in an image.
template <class T>
void plan_tiles(const Correlation& g, const Panels& p, BlockRequest q, Plan* plan) {
  const bool by_panels = is_small(q) && !g.depthwise && packed_size(p) * kSizeOf<T> > q.image_bytes;
  if (by_panels) q.sections = least(panel_count(p), ceil_divide(kFewParts, q.batch));
  q.together = images_together(p, g, q);
  plan_blocks(q, plan);
  plan->params[kByTaps] = prefers_taps<T>(p, g, plan->params[kBandRows], plan->params[kBlockImages]);
}

// The correlation as it was planned.
inline Correlation planned(Correlation g, const Plan& plan) {
  g.by_taps = plan.params[kByTaps] != 0;
  return g;
}

// visit(Region) for the blocks of chunks [begin, end) of one section; `rows` is the number of output rows.
template <class Visit>
PYNN_INLINE void for_each_block(const Plan& plan, std::int64_t rows, std::int64_t begin, std::int64_t end, Visit visit) {
  const std::int64_t chunks = plan.chunks[1] / plan.params[kPanelSections], bands = plan.params[kBands], band_rows = plan.params[kBandRows];
  const std::int64_t last = plan.params[kUnits] * end / chunks;
  for (std::int64_t unit = plan.params[kUnits] * begin / chunks; unit < last;) {
    const std::int64_t image = unit / bands, band = unit % bands;
    const std::int64_t images = least(plan.params[kBlockImages], last - unit);
    visit(Region{image, image + images, band * band_rows, least(rows, (band + 1) * band_rows)});
    unit += images;
  }
}

// visit(Region, Range) for the blocks of chunks [begin, end) of any sections.
template <class Visit>
PYNN_INLINE void for_each_part(const Plan& plan, const Panels& p, std::int64_t rows, std::int64_t begin, std::int64_t end, Visit visit) {
  const std::int64_t sections = plan.params[kPanelSections], chunks = plan.chunks[1] / sections, panels = panel_count(p);
  while (begin < end) {
    const std::int64_t section = begin / chunks, first = section * chunks, stop = least(end, first + chunks);
    const Range span{panels * section / sections, panels * (section + 1) / sections};
    for_each_block(plan, rows, begin - first, stop - first, [&](const Region& region) { visit(region, span); });
    begin = stop;
  }
}

template <class T>
Panels filter_panels(const ConvShape& s, bool adjoint) {
  if (is_depthwise(s)) return panels_of<T>(1, s.in_channels, 1, filter_taps(s));
  return adjoint ? panels_of<T>(s.groups, s.group_in, s.group_out, filter_taps(s))
                 : panels_of<T>(s.groups, s.group_out, s.group_in, filter_taps(s));
}

inline Correlation correlation_of(const ConvShape& s, bool adjoint) {
  const std::int64_t depth = is_depthwise(s) ? 1 : adjoint ? s.group_out : s.group_in;
  return Correlation{TapAxis{s.rows, adjoint}, TapAxis{s.cols, adjoint}, 0, adjoint ? s.cols.size : s.cols.out_size, depth,
                     is_depthwise(s), pass_elements(s) > kL3Elements, false, false};
}

// The filter is its own packing: one panel without padding.
inline bool packed_already(const Panels& p) {
  return p.groups == 1 && p.per_group == 1 && (p.columns == p.lanes || p.columns == kPanelVectors * p.lanes);
}

// Phase 0 packs the filter into shared memory, a panel to a chunk.
template <class T>
void plan_packing(const Panels& p, bool adjoint, Plan* plan) {
  const bool pack = adjoint || !packed_already(p);
  plan->phases = 2;
  plan->chunks[0] = pack ? panel_count(p) : 0;
  plan->shared_bytes = pack ? packed_size(p) * kSizeOf<T> : 0;
}

template <class T>
void pack_panels(const Panels& p, bool adjoint, const T* filter, T* packed, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    if (adjoint) pack_panel_adjoint(p, panel_at(p, i), filter, packed);
    else pack_panel(p, panel_at(p, i), filter, packed);
  }
}

// First channel of the source and first column of the output that a panel works on, unless the filter is depthwise: then both are one.
inline std::int64_t source_channel(const Panels& p, const Panel& panel) { return panel.group * p.depth; }
inline std::int64_t output_column(const Panels& p, const Panel& panel) { return panel.group * p.columns + panel.first_column; }

// A span of panels, at least one, over a region; `source` begins with the first channel of all, `out` with the first column of the span. Depthwise
// panels share the memory that they read, so they go together.
template <class T>
void correlate_span(Correlation g, const Panels& p, const Range& span, const Pixels<const T>& source, const Pixels<T>& out,
                    const T* packed, const Region& region, const T* bias, bool relu) {
  const Panel first = panel_at(p, span.first), last = panel_at(p, span.last - 1);
  const std::int64_t first_column = output_column(p, first);
  Pixels<const T> from = source;
  if (g.depthwise) {
    from.base += first_column;
    return correlate_depthwise(g, from, out, packed + first.offset, output_column(p, last) + last.columns - first_column, region,
                               bias ? bias + first_column : nullptr, relu);
  }
  for (std::int64_t i = span.first; i < span.last; ++i) {
    const Panel panel = panel_at(p, i);
    const std::int64_t column = output_column(p, panel);
    Pixels<T> to = out;
    to.base += column - first_column;
    from.base = source.base + source_channel(p, panel);
    g.fresh = panel.first_column == 0;
    const Epilogue<T> e{bias ? bias + column : nullptr, relu, static_cast<int>(panel.columns)};
    correlate(g, from, to, packed + panel.offset, panel.width, region, e);
  }
}

// The same with `out` at the first column of all panels, of which there may be none.
template <class T>
void correlate_panels(const Correlation& g, const Panels& p, const Range& span, const Pixels<const T>& source, const Pixels<T>& out,
                      const T* packed, const Region& region, const T* bias, bool relu) {
  if (span.first == span.last) return;
  Pixels<T> to = out;
  to.base += output_column(p, panel_at(p, span.first));
  correlate_span(g, p, span, source, to, packed, region, bias, relu);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
