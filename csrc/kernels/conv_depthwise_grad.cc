// Compiled once for all kernels that need the gradient of a depthwise filter (conv_depthwise_grad.h).
//
// x and dy are read where they lie. Under one row of dy go three rows of the filter at a time, or one at the upper and lower edges, with up
// to five taps each: nine sums a vector in registers that share what they read of dy. Taps that a pixel doesn't see are left out; only the few
// pixels at the left and right edges have such taps. A tap's pixels of one row are summed from zero, then added to its sum, row by row.
#include "kernels/conv_depthwise_grad.h"

#include "kernels/cache.h"
#include "kernels/conv_taps.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMostTaps = 5, kMostRows = 3;  // of the filter that go together; both at most for up to three taps
// Of channels at a time: neighbouring cache lines come faster together, where there are registers for all sums.
constexpr int kVectors = kVectorRegisters >= 32 ? 2 : 1;
constexpr std::int64_t kRowsAhead = 6;       // of x, so that memory has time to answer; of dy one fewer

// Pixels up to `end` that see the taps [first, last) of a group.
struct TapRun {
  std::int64_t end;
  int first, last;
};

// Neighbouring taps in each row of the filter, and the runs of a row's pixels that see the same ones.
struct Taps {
  std::int64_t first;
  int count, num_runs;
  TapRun runs[2 * kMostTaps + 1];  // as each tap begins and ends to be seen once
};

inline Taps taps_of(const WindowAxis& cols, std::int64_t first, std::int64_t end) {
  Taps taps{first, static_cast<int>(end - first), 0, {}};
  for_each_class(TapAxis{cols, false}, 0, cols.out_size, [&](const TapClass& c) {
    const std::int64_t seen = most(c.first_tap, first), unseen = c.first_tap < 0 ? seen : most(least(c.first_tap + c.taps, end), seen);
    TapRun run{c.first_position + c.count, static_cast<int>(seen - first), static_cast<int>(unseen - first)};
    if (run.first == run.last) run.first = run.last = 0;
    const TapRun& before = taps.runs[taps.num_runs > 0 ? taps.num_runs - 1 : 0];
    if (taps.num_runs > 0 && before.first == run.first && before.last == run.last) --taps.num_runs;
    taps.runs[taps.num_runs++] = run;
  });
  return taps;
}

// One vector or two of the channels of one row of dy and of the rows of x under it.
template <class T>
struct RowPair {
  const T *x, *dy;  // x where the first tap would find pixel 0, which may be outside
  std::int64_t x_row, tap_step, x_pixel, dy_pixel;
  std::int64_t x_ahead, dy_ahead;  // 0: nothing is asked for
  int lanes;
};

template <class T, int kRows, int kTaps, int NV, bool kFull>
PYNN_NOINLINE void add_taps(const Taps& taps, const RowPair<T>& row, T* sums, std::int64_t sums_row, std::int64_t sums_tap) {
  constexpr int kLanes = Simd<T>::kLanes;
  const int lanes = kFull ? kLanes : row.lanes;
  const std::int64_t tap_step = row.tap_step, x_pixel = row.x_pixel, dy_pixel = row.dy_pixel, x_ahead = row.x_ahead;
  typename Simd<T>::V acc[kRows][kTaps][NV], d[NV];
  const T *dy = row.dy, *x[kRows];
  PYNN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    x[r] = row.x + r * row.x_row;
    PYNN_UNROLL
    for (int t = 0; t < kTaps; ++t) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][t][v] = zero<T>();
    }
  }
  const auto read = [&]() {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v) d[v] = load_lanes<T>(dy + v * kLanes, lanes);
  };
  const auto add = [&](int t) {
    PYNN_UNROLL
    for (int r = 0; r < kRows; ++r) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][t][v] = fma(load_lanes<T>(x[r] + t * tap_step + v * kLanes, lanes), d[v], acc[r][t][v]);
    }
  };
  const auto advance = [&]() {
    dy += dy_pixel;
    PYNN_UNROLL
    for (int r = 0; r < kRows; ++r) x[r] += x_pixel;
  };
  std::int64_t p = 0;
  for (const TapRun* run = taps.runs; run < taps.runs + taps.num_runs; ++run) {
    const bool whole = run->last - run->first == kTaps;
    for (; whole && p < run->end; ++p, advance()) {
      if (x_ahead) {
        PYNN_UNROLL
        for (int v = 0; v < NV; ++v) {
          prefetch<Use::kRead>(x[0] + x_ahead + v * kLanes);
          prefetch<Use::kRead>(dy + row.dy_ahead + v * kLanes);
        }
      }
      read();
      PYNN_UNROLL
      for (int t = 0; t < kTaps; ++t) add(t);
    }
    for (; p < run->end; ++p, advance()) {
      read();
      PYNN_UNROLL
      for (int t = 0; t < kTaps; ++t)
        if (t >= run->first && t < run->last) add(t);
    }
  }
  PYNN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    PYNN_UNROLL
    for (int t = 0; t < kTaps; ++t) {
      PYNN_UNROLL
      for (int v = 0; v < NV; ++v) {
        T* sum = sums + r * sums_row + t * sums_tap + v * kLanes;
        store<T>(sum, load<T>(sum) + acc[r][t][v]);
      }
    }
  }
}

template <class T, int kRows, int NV, bool kFull>
void add_rows(const Taps& taps, const RowPair<T>& row, T* sums, std::int64_t sums_row, std::int64_t sums_tap) {
  switch (taps.count) {
    case 1: return add_taps<T, kRows, 1, NV, kFull>(taps, row, sums, sums_row, sums_tap);
    case 2: return add_taps<T, kRows, 2, NV, kFull>(taps, row, sums, sums_row, sums_tap);
    case 3: return add_taps<T, kRows, 3, NV, kFull>(taps, row, sums, sums_row, sums_tap);
    default: break;
  }
  if constexpr (kRows == 1) {
    if (taps.count == 4) add_taps<T, 1, 4, NV, kFull>(taps, row, sums, sums_row, sums_tap);
    else add_taps<T, 1, 5, NV, kFull>(taps, row, sums, sums_row, sums_tap);
  }
}

// All channels of the panel, under kRows filter rows.
template <class T, int kRows>
void add_vectors(const DepthwiseBlock<T>& b, const Taps& taps, RowPair<T> row, T* sums) {
  constexpr int kLanes = Simd<T>::kLanes, kWide = kVectors * kLanes;
  const std::int64_t filter_row = b.cols.window * b.width;
  std::int64_t left = b.columns;
  const auto advance = [&](int lanes) {
    left -= lanes;
    row.x += lanes;
    row.dy += lanes;
    sums += lanes;
  };
  while (left >= kWide) {
    add_rows<T, kRows, kVectors, true>(taps, row, sums, filter_row, b.width);
    advance(kWide);
  }
  while (left >= kLanes) {
    add_rows<T, kRows, 1, true>(taps, row, sums, filter_row, b.width);
    advance(kLanes);
  }
  row.lanes = static_cast<int>(left);
  if (left) add_rows<T, kRows, 1, false>(taps, row, sums, filter_row, b.width);
}

// All rows of the filter over row r of image n.
template <class T>
void add_row(const DepthwiseBlock<T>& b, const Taps& taps, std::int64_t n, std::int64_t r, T* sums) {
  const std::int64_t image_row = b.cols.size * b.channels;
  RowPair<T> row{nullptr, b.dy.base + (n - b.region.image0) * b.dy.image + (r - b.region.row0) * b.dy.row, b.rows.dilation * image_row,
                 b.cols.dilation * b.channels, b.cols.stride * b.channels, b.dy.pixel,
                 b.streams ? kRowsAhead * image_row : 0, b.streams ? (kRowsAhead - 1) * b.dy.row : 0, 0};
  const std::int64_t together = taps.count <= 3 ? kMostRows : 1;
  for (std::int64_t kh = 0, rows = 1; kh < b.rows.window; kh += rows) {
    const std::int64_t at = r * b.rows.stride - b.rows.pad + kh * b.rows.dilation;
    rows = 1;
    if (at < 0 || at >= b.rows.size) continue;
    if (kh + together <= b.rows.window && at + (together - 1) * b.rows.dilation < b.rows.size) rows = together;
    row.x = b.x + ((n * b.rows.size + at) * b.cols.size - b.cols.pad + taps.first * b.cols.dilation) * b.channels;
    T* const to = sums + (kh * b.cols.window + taps.first) * b.width;
    if (rows == 1) add_vectors<T, 1>(b, taps, row, to);
    else add_vectors<T, kMostRows>(b, taps, row, to);
  }
}

template <class T>
void add_block(const DepthwiseBlock<T>& b, T* sums) {
  const std::int64_t groups = ceil_divide(b.cols.window, kMostTaps);
  for (std::int64_t group = 0; group < groups; ++group) {
    const Taps taps = taps_of(b.cols, group * b.cols.window / groups, (group + 1) * b.cols.window / groups);
    for (std::int64_t n = b.region.image0; n < b.region.image1; ++n)
      for (std::int64_t r = b.region.row0; r < b.region.row1; ++r) add_row(b, taps, n, r, sums);
  }
}

}  // namespace

void add_depthwise_block(const DepthwiseBlock<float>& block, float* sums) noexcept { add_block(block, sums); }
void add_depthwise_block(const DepthwiseBlock<double>& block, double* sums) noexcept { add_block(block, sums); }

}  // namespace PYNN_TARGET
}  // namespace pynn
