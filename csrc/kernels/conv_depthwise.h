// Depthwise convolution, forward and input gradient: out[pixel, j] = sum over taps of source[pixel at tap, j] * filter[tap, j].
//
// Columns share nothing, so what counts is that memory is walked as it lies: row by row, a few pixels at a time, all columns of those.
// Where the caches hold it, windows of three columns, the usual ones, slide: a vector that is read once serves all pixels of a tile. Where
// memory is waited for, that saves nothing, and reading neighbouring cache lines together is faster.
#pragma once

#include "kernels/cache.h"
#include "kernels/conv_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMostClasses = 16;                  // of columns in a row, walked together
constexpr int kSlidingTaps = 3;                   // columns of a window that slides
constexpr int kLeastSliding = 4;                  // pixels of the smaller sliding tile
constexpr std::int64_t kRowsBelow = 3;            // far enough for memory to answer; of the source twice that

// What lies outside of the source: the first pixel's first column, the last pixel's last.
enum Border { kNoBorder, kLeftBorder, kRightBorder, kBothBorders };

// Some panels of the packed filter, all of one width, and what is done with their sums.
template <class T>
struct PanelRange {
  const T* filter;
  std::int64_t panels, panel_size;
  int vectors, columns;  // of each panel; fewer columns than vectors hold only in a range of one panel
  std::int64_t first_column;
  const T* bias;
  bool relu;

  PYNN_INLINE Epilogue<T> epilogue(std::int64_t column, int count) const { return Epilogue<T>{bias ? bias + column : nullptr, relu, count}; }
};

// Neighbouring pixels of every row and what they sum over.
template <class T>
struct PixelRun {
  PanelRange<T> range;
  std::int64_t first_source, first_out;  // of the first pixel in a row, first column
  std::int64_t pixels, source_step, out_step;
  Runs runs;
  int stride, border;                    // of a window that slides; stride 0: it doesn't
  std::int64_t source_below, out_below;  // how far below rows are asked for; 0: nothing is
};

// Asks for what MR pixels some rows below read and write.
template <int MR, int NV, class T>
PYNN_INLINE void ask_below(const PixelRun<T>& run, const T* from, T* to) {
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) {
      prefetch<Use::kRead>(from + run.source_below + i * run.source_step + v * Simd<T>::kLanes);
      prefetch<Use::kWrite>(to + run.out_below + i * run.out_step + v * Simd<T>::kLanes);
    }
  }
}

// ---- any window -----------------------------------------------------------------------------------------------------------------

template <class T, int MR, int NV, bool kFull>
PYNN_NOINLINE void depthwise_tile(const PixelRun<T>& run, const T* filter, const T* from, T* to, const Epilogue<T>& e) {
  constexpr int kLanes = Simd<T>::kLanes;
  const Runs& runs = run.runs;
  const std::int64_t step = run.source_step;
  if (run.source_below) ask_below<MR, NV>(run, from, to);
  Tile<T, MR, NV> tile;
  clear(tile);
  for (std::int64_t r = 0; r < runs.rows; ++r)
    for (std::int64_t s = 0; s < runs.runs; ++s) {
      const T* window = from + r * runs.source_row + s * runs.source_run;
      const T* tap = filter + runs.first + r * runs.panel_row + s * runs.panel_run;
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) {
        const int lanes = kFull ? kLanes : lanes_of<T>(e.columns, v);
        const typename Simd<T>::V weight = load<T>(tap + v * kLanes);
        PYNN_UNROLL
        for (int i = 0; i < MR; ++i) tile.acc[i][v] = fma(load_lanes<T>(window + i * step + v * kLanes, lanes), weight, tile.acc[i][v]);
      }
    }
  T* out[MR];
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) out[i] = to + i * run.out_step;
  finish_vectors<Whole<T>, MR, NV>(tile.acc, out, e);
}

template <class T, int NV, bool kFull>
void depthwise_tiles(const PixelRun<T>& run, int count, const T* from, T* to) {
  constexpr int kPixels = tile_pixels<NV>();
  constexpr std::int64_t kWidth = NV * Simd<T>::kLanes;
  const PanelRange<T>& range = run.range;
  const T* filter = range.filter;
  for (std::int64_t p = 0; p < range.panels; ++p, filter += range.panel_size, from += kWidth, to += kWidth) {
    const Epilogue<T> e = range.epilogue(p * kWidth, range.columns);
    if (count == kPixels) depthwise_tile<T, kPixels, NV, kFull>(run, filter, from, to, e);
    else if (count == kPixels / 2) depthwise_tile<T, kPixels / 2, NV, kFull>(run, filter, from, to, e);
    else depthwise_tile<T, 1, NV, kFull>(run, filter, from, to, e);
  }
}

template <class T, int NV, bool kFull>
void depthwise_row(const PixelRun<T>& run, const T* from, T* to) {
  for (std::int64_t done = 0; done < run.pixels;) {
    const TileSpan span = next_tile<NV>(done, run.pixels);
    depthwise_tiles<T, NV, kFull>(run, span.count, from + span.first * run.source_step, to + span.first * run.out_step);
    done = span.first + span.count;
  }
}

// ---- sliding windows: pixel i reads pixels i * kStride to i * kStride + 2 of each source row -------------------------------------

// MR pixels, one whole vector of each.
template <class T, int kStride, int MR, int kBorder>
PYNN_INLINE void sliding_tile(const PixelRun<T>& run, const T* filter, const T* from, T* to, const Epilogue<T>& e) {
  constexpr int kReads = (MR - 1) * kStride + kSlidingTaps;
  constexpr int kFirst = kBorder & kLeftBorder ? 1 : 0, kEnd = kReads - (kBorder & kRightBorder ? 1 : 0);
  const Runs& runs = run.runs;
  const std::int64_t step = runs.source_run;
  Tile<T, MR, 1> tile;
  clear(tile);
  const T *window = from, *tap = filter + runs.first;
  for (std::int64_t r = 0; r < runs.rows; ++r, window += runs.source_row, tap += runs.panel_row) {
    typename Simd<T>::V x[kReads];
    PYNN_UNROLL
    for (int i = kFirst; i < kEnd; ++i) x[i] = load<T>(window + i * step);
    PYNN_UNROLL
    for (int s = 0; s < kSlidingTaps; ++s) {
      const typename Simd<T>::V weight = load<T>(tap + s * runs.panel_run);
      PYNN_UNROLL
      for (int i = 0; i < MR; ++i)
        if (i * kStride + s >= kFirst && i * kStride + s < kEnd) tile.acc[i][0] = fma(x[i * kStride + s], weight, tile.acc[i][0]);
    }
  }
  T* out[MR];
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) out[i] = to + i * run.out_step;
  finish_vectors<Whole<T>, MR, 1>(tile.acc, out, e);
}

template <class T, int kStride, int MR, int kBorder>
PYNN_NOINLINE void sliding_tiles(const PixelRun<T>& run, const T* from, T* to) {
  constexpr std::int64_t kLanes = Simd<T>::kLanes;
  const PanelRange<T>& range = run.range;
  std::int64_t column = 0;
  for (std::int64_t p = 0; p < range.panels; ++p)
    for (int v = 0; v < range.vectors; ++v, column += kLanes)
      sliding_tile<T, kStride, MR, kBorder>(run, range.filter + p * range.panel_size + v * kLanes, from + column, to + column,
                                            range.epilogue(column, kLanes));
}

// The MR pixels that end at the `left`-th from here.
template <class T, int kStride, int MR>
PYNN_INLINE void sliding_end(const PixelRun<T>& run, std::int64_t left, const T* from, T* to) {
  from += (left - MR) * run.source_step;
  to += (left - MR) * run.out_step;
  if (run.border & kRightBorder) sliding_tiles<T, kStride, MR, kRightBorder>(run, from, to);
  else sliding_tiles<T, kStride, MR, kNoBorder>(run, from, to);
}

// kLeastSliding pixels or more. The last tile overlaps the one before it: a pixel computed twice gets the same bits.
template <class T, int kStride>
void sliding_row(const PixelRun<T>& run, const T* from, T* to) {
  constexpr int kSmall = kLeastSliding, kLarge = 8 / kStride;
  std::int64_t left = run.pixels;
  const auto advance = [&](int pixels) {
    from += pixels * run.source_step;
    to += pixels * run.out_step;
    left -= pixels;
  };
  if (run.pixels == kSmall && run.border == kBothBorders) return sliding_tiles<T, kStride, kSmall, kBothBorders>(run, from, to);
  if (run.border & kLeftBorder) {
    const bool large = run.pixels > kLarge;
    if (large) sliding_tiles<T, kStride, kLarge, kLeftBorder>(run, from, to);
    else sliding_tiles<T, kStride, kSmall, kLeftBorder>(run, from, to);
    advance(large ? kLarge : kSmall);
  }
  if (left > kSmall && run.pixels < kLarge) {
    sliding_tiles<T, kStride, kSmall, kNoBorder>(run, from, to);
    advance(kSmall);
  }
  while (left > kLarge) {
    sliding_tiles<T, kStride, kLarge, kNoBorder>(run, from, to);
    advance(kLarge);
  }
  if (left > kSmall) sliding_end<T, kStride, kLarge>(run, left, from, to);
  else if (left > 0) sliding_end<T, kStride, kSmall>(run, left, from, to);
}

// ---- rows -----------------------------------------------------------------------------------------------------------------------

// The classes of columns of a row, where a window and its borders that slide are joined to one.
struct RowColumns {
  TapClass classes[kMostClasses];
  int stride[kMostClasses], border[kMostClasses];
  int count;
};

inline bool slides(const TapClass& c) {
  return c.taps == kSlidingTaps && c.tap_step == 1 && c.tap_source_step == 1 && (c.source_step == 1 || c.source_step == 2);
}

// `c` is the one pixel beside those of `middle`, `distance` away from its first one, and lacks nothing but one tap.
inline bool is_border(const TapClass& c, const TapClass& middle, std::int64_t distance) {
  return c.count == 1 && c.taps == kSlidingTaps - 1 && c.first_tap == (distance < 0 ? 1 : 0) &&
         c.first_position == middle.first_position + distance * middle.position_step &&
         c.first_source - c.first_tap == middle.first_source + distance * middle.source_step;
}

// Marks what slides, if it may, and joins it with its borders.
inline void join_borders(RowColumns* row, bool may_slide) {
  TapClass* const classes = row->classes;
  int kept = 0;
  for (int i = 0; i < row->count; ++i) {
    TapClass c = classes[i];
    const bool window = may_slide && slides(c);
    const bool left = window && kept > 0 && is_border(classes[kept - 1], c, -1);
    const bool right = window && i + 1 < row->count && is_border(classes[i + 1], c, c.count);
    const bool sliding = window && c.count + left + right >= kLeastSliding;
    if (sliding && left) {
      c.first_position -= c.position_step;
      c.first_source -= c.source_step;
      --kept;
    }
    if (sliding) c.count += left + right;
    row->stride[kept] = sliding ? static_cast<int>(c.source_step) : 0;
    row->border[kept] = (left ? kLeftBorder : 0) | (right ? kRightBorder : 0);
    classes[kept++] = c;
    if (sliding && right) ++i;
  }
  row->count = kept;
}

template <class T>
PYNN_INLINE void correlate_run(const PixelRun<T>& run, const T* from, T* to) {
  constexpr int kLanes = Simd<T>::kLanes;
  if (run.stride == 1) sliding_row<T, 1>(run, from, to);
  else if (run.stride == 2) sliding_row<T, 2>(run, from, to);
  else if (run.range.columns == 2 * kLanes) depthwise_row<T, 2, true>(run, from, to);
  else if (run.range.vectors == 2) depthwise_row<T, 2, false>(run, from, to);
  else if (run.range.columns == kLanes) depthwise_row<T, 1, true>(run, from, to);
  else depthwise_row<T, 1, false>(run, from, to);
}

// Rows of one class over a region, their columns run by run.
template <class T>
void correlate_rows(const TapClass& rows, const Region& region, const Pixels<const T>& source, const Pixels<T>& out, const PixelRun<T>* runs,
                    int count) {
  for (std::int64_t n = region.image0; n < region.image1; ++n)
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const T* from = source.base + n * source.image + (rows.first_source + r * rows.source_step) * source.row;
      T* to = out.base + n * out.image + (rows.first_position + r * rows.position_step) * out.row;
      for (int i = 0; i < count; ++i) correlate_run<T>(runs[i], from + runs[i].first_source, to + runs[i].first_out);
    }
}

// One range of panels over a region.
template <class T>
void correlate_range(const Correlation& g, const Pixels<const T>& source, const Pixels<T>& out, const Region& region,
                     const PanelRange<T>& range) {
  const std::int64_t width = range.vectors * Simd<T>::kLanes, column = range.first_column;
  const std::int64_t source_below = g.streams ? 2 * kRowsBelow * source.row : 0, out_below = g.streams ? kRowsBelow * out.row : 0;
  for_each_class(g.rows, region.row0, region.row1, [&](const TapClass& rows) {
    RowColumns row;
    row.count = 0;
    const auto walk = [&]() {
      PixelRun<T> runs[kMostClasses];
      join_borders(&row, !g.streams && range.columns == width);
      for (int i = 0; i < row.count; ++i) {
        const TapClass& c = row.classes[i];
        runs[i] = PixelRun<T>{range, c.first_source * source.pixel + column, c.first_position * out.pixel + column, c.count,
                              c.source_step * source.pixel, c.position_step * out.pixel, runs_of(g, rows, c, source.row, source.pixel, width),
                              row.stride[i], row.border[i], source_below, out_below};
      }
      correlate_rows(rows, region, source, out, runs, row.count);
      row.count = 0;
    };
    for_each_class(g.cols, g.first_column, g.last_column, [&](const TapClass& columns) {
      if (row.count == kMostClasses) walk();
      row.classes[row.count++] = columns;
    });
    walk();
  });
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
