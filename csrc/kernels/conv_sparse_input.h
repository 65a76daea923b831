// The input gradient behind a 2 x 2 maximum, without the products by zero.
//
// Each pixel of dz adds dy[co] * filter[:, :, :, co] to a window of dx, for the channels co that got through there: kh rows of kw * ci neighbours.
// The order of additions is that of conv2d_grad_input, so the bits are the same: pixels in order, and their channels one by one, where it goes by
// the correlation of the panels; where it goes by conv_scatter.h, a pixel's channels are summed first, and the last pixel comes first. Where the
// filter isn't finite, its products by zero are NaN: all channels of all pixels are terms then.
//
// The filter is packed as [co][kh][kw * ci, in whole vectors]. dx is summed with its borders, an image or a band of rows at a time.
#pragma once

#include "kernels/conv_scatter.h"
#include "kernels/conv_sparse_filter.h"
#include "kernels/operands.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kPackChannels = 16;  // of a chunk of packing

struct SparseInput {
  ConvShape shape;
  std::int64_t segment;   // a row of taps of the packed filter
  std::int64_t row;       // elements of a row of dx with its borders
  bool pixels_backwards;  // and each summed by itself
};

template <class T>
SparseInput sparse_input(const ConvShape& s) {
  return SparseInput{s, short_vectors<T>(s.cols.window * s.in_channels) * Short<T>::kLanes,
                     positions_under(s.cols, s.cols.out_size) * s.in_channels, use_scatter<T>(s)};
}

inline std::int64_t filter_of_channel(const SparseInput& f) { return f.shape.rows.window * f.segment; }

// Rows of dx that `rows` rows of dz reach.
inline std::int64_t rows_under(const ConvShape& s, std::int64_t rows) {
  return rows > 0 ? positions_under(s.rows, rows) : 0;
}

// Of two rows of dz, at most.
inline std::int64_t terms_of_pair(const ConvShape& s) { return 2 * s.cols.out_size * s.out_channels; }

// As prefers_sparse_filter; each pixel's window is read and written once.
template <class T>
bool prefers_sparse_input(const ConvShape& s) {
  constexpr std::int64_t kTerm = 4, kPixel = 10;
  if (s.groups != 1 || s.cols.dilation != 1 || s.rows.out_size < 2 || s.cols.out_size < 2) return false;
  const SparseInput f = sparse_input<T>(s);
  const std::int64_t window = s.rows.window * short_vectors<T>(s.cols.window * s.in_channels), lanes = Simd<T>::kLanes;
  const std::int64_t dense = f.pixels_backwards ? ceil_divide(filter_taps(s) * s.in_channels, lanes) : filter_taps(s) * ceil_divide(s.in_channels, lanes);
  const std::int64_t sparse = (window + kTerm) * s.out_channels + 4 * (window + kPixel);
  if (sparse >= 4 * dense * lanes / Short<T>::kLanes * s.out_channels) return false;
  const std::int64_t reached = bounded_product(rows_under(s, s.rows.out_size), f.row);
  return reached < kMostAt && terms_of_pair(s) < kMostAt && s.out_channels * filter_of_channel(f) < kMostAt;
}

// packed[co][kh][j] of the channels [first, last), and *not_finite = 0 if all of them are finite, else 1
template <class T>
void pack_sparse(const SparseInput& f, const T* filter, std::int64_t first, std::int64_t last, T* packed, T* not_finite) {
  const ConvShape& s = f.shape;
  const std::int64_t row = s.cols.window * s.in_channels;
  fill_zeros(packed + first * filter_of_channel(f), (last - first) * filter_of_channel(f));
  for (std::int64_t kh = 0; kh < s.rows.window; ++kh)
    for (std::int64_t j = 0; j < row; ++j)
      for (std::int64_t co = first; co < last; ++co)
        packed[co * filter_of_channel(f) + kh * f.segment + j] = filter[(kh * row + j) * s.out_channels + co];
  *not_finite = all_finite(packed + first * filter_of_channel(f), (last - first) * filter_of_channel(f)) ? T(0) : T(1);
}

// The terms of two rows of dz, a list for each pixel.
template <class T>
struct PixelLists {
  Term<T>* terms;      // [2][pixels][channels], and one more for what is dropped
  T* row;              // one row of dz, for list_all_channels
  std::int32_t* ends;  // [2][pixels]
  std::int64_t bytes;  // of all three
};

// In scratch; null to count the bytes only.
template <class T>
PixelLists<T> pixel_lists(const ConvShape& s, void* scratch) {
  const std::int64_t row_at = (terms_of_pair(s) + 1) * kSizeOf<Term<T>>;
  const std::int64_t ends_at = row_at + s.cols.out_size * s.out_channels * kSizeOf<T>;
  const std::uintptr_t base = reinterpret_cast<std::uintptr_t>(scratch);
  return {static_cast<Term<T>*>(scratch), reinterpret_cast<T*>(base + static_cast<std::uintptr_t>(row_at)),
          reinterpret_cast<std::int32_t*>(base + static_cast<std::uintptr_t>(ends_at)), ends_at + 2 * s.cols.out_size * 4};
}

template <class T>
void list_cell_row(const SparseInput& f, const PooledGradient<T>& g, std::int64_t n, std::int64_t r, const PixelLists<T>& lists) {
  const ConvShape& s = f.shape;
  const std::int64_t channels = s.out_channels, pixels = s.cols.out_size, cell = (n * g.rows + r) * g.cols * channels;
  const T* dy = g.dy + cell;
  const std::uint8_t* codes = g.residual + cell;
  const std::int32_t step = static_cast<std::int32_t>(filter_of_channel(f));
  for (std::int64_t p = 0; p < 2 * pixels; ++p) lists.ends[p] = static_cast<std::int32_t>(p * channels);
  for (std::int64_t c = 0; c < g.cols; ++c, dy += channels, codes += channels) {
    std::int32_t next[kPlaces];
    for (int k = 0; k < 4; ++k) next[k] = static_cast<std::int32_t>((k / 2 * pixels + 2 * c + k % 2) * channels);
    for (int k = 4; k < kPlaces; ++k) next[k] = static_cast<std::int32_t>(terms_of_pair(s));
    for (std::int32_t co = 0; co < channels; ++co) {
      const int place = codes[co] % kPlaces;
      Term<T>* term = lists.terms + next[place];
      term->value = dy[co];
      term->at = co * step;
      next[place] += place < 4;
    }
    for (int k = 0; k < 4; ++k) lists.ends[k / 2 * pixels + 2 * c + k % 2] = next[k];
  }
}

template <class T>
void list_all_channels(const SparseInput& f, const PooledGradient<T>& g, std::int64_t n, std::int64_t r, const PixelLists<T>& lists) {
  const ConvShape& s = f.shape;
  const std::int64_t channels = s.out_channels, pixels = s.cols.out_size;
  const std::int32_t step = static_cast<std::int32_t>(filter_of_channel(f));
  for (std::int64_t half = 0; half < 2; ++half) {
    expand_row(g, n, 2 * r + half, pixels, ExpandTo{0, channels, channels, channels}, lists.row);
    for (std::int64_t p = 0; p < pixels; ++p) {
      Term<T>* terms = lists.terms + (half * pixels + p) * channels;
      for (std::int32_t co = 0; co < channels; ++co) terms[co] = {lists.row[p * channels + co], co * step};
      lists.ends[half * pixels + p] = static_cast<std::int32_t>((half * pixels + p + 1) * channels);
    }
  }
}

// One row of dz; `dx` is where its first pixel's window starts.
template <class T>
void add_pixels(const SparseInput& f, const T* packed, const PixelLists<T>& lists, std::int64_t half, T* dx) {
  const ConvShape& s = f.shape;
  const std::int64_t pixels = s.cols.out_size, right = s.cols.stride * s.in_channels;
  SparseTask<T> task{nullptr, 0, packed, f.segment, nullptr, s.rows.dilation * f.row, s.cols.window * s.in_channels,
                     f.pixels_backwards ? Sums::kAdd : Sums::kContinue};
  for (std::int64_t i = 0; i < pixels; ++i) {
    const std::int64_t p = f.pixels_backwards ? pixels - 1 - i : i, list = half * pixels + p;
    task.terms = lists.terms + list * s.out_channels;
    task.count = lists.ends[list] - list * s.out_channels;
    task.sums = dx + p * right;
    if (task.count) sparse_sums(task, s.rows.window);
  }
}

// Rows of dz that a region's dx depends on, of one image, added to dx with its borders; `room` starts with what row rows.first reaches.
template <class T>
void add_image(const SparseInput& f, const PooledGradient<T>& g, std::int64_t n, const Range& rows, const T* packed, bool finite, T* room, void* scratch) {
  const ConvShape& s = f.shape;
  const PixelLists<T> lists = pixel_lists<T>(s, scratch);
  const std::int64_t first = rows.first / 2, last = ceil_divide(rows.last, 2);
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t r = f.pixels_backwards ? first + last - 1 - i : i;
    if (finite && r >= g.rows) continue;
    if (finite) list_cell_row(f, g, n, r, lists);
    else list_all_channels(f, g, n, r, lists);
    for (std::int64_t j = 0; j < 2; ++j) {
      const std::int64_t half = f.pixels_backwards ? 1 - j : j, oh = 2 * r + half;
      if (oh >= rows.first && oh < rows.last) add_pixels(f, packed, lists, half, room + (oh - rows.first) * s.rows.stride * f.row);
    }
  }
}

// Rows of dx out of the sums with borders, whose first row is input row `first`.
template <class T>
void take_rows(const SparseInput& f, const Region& region, std::int64_t n, std::int64_t first, std::int64_t count, const T* room, T* dx) {
  const ConvShape& s = f.shape;
  const std::int64_t row = s.cols.size * s.in_channels, left = clamped(s.cols.pad * s.in_channels, 0, f.row);
  const std::int64_t used = least(row, f.row - left);
  for (std::int64_t ih = region.row0; ih < region.row1; ++ih) {
    T* to = dx + (n * s.rows.size + ih) * row;
    const std::int64_t at = ih - first;
    const std::int64_t copied = at >= 0 && at < count ? used : 0;
    std::memcpy(to, room + (copied ? at * f.row + left : 0), static_cast<std::size_t>(copied) * sizeof(T));
    fill_zeros(to + copied, row - copied);
  }
}

// One region; `room` has its dx with borders, scratch the pixel lists.
template <class T>
void sparse_region(const SparseInput& f, const PooledGradient<T>& g, const T* packed, bool finite, const Region& region, T* dx, T* room, void* scratch) {
  const ConvShape& s = f.shape;
  const Range rows = reached_rows(s.rows, region.row0, region.row1);
  const std::int64_t count = rows_under(s, rows.length());
  for (std::int64_t n = region.image0; n < region.image1; ++n) {
    fill_zeros(room, count * f.row);
    add_image(f, g, n, rows, packed, finite, room, scratch);
    take_rows(f, region, n, rows.first * s.rows.stride - s.rows.pad, count, static_cast<const T*>(room), dx);
  }
}

inline std::int64_t pack_chunks(const SparseInput& f) { return ceil_divide(f.shape.out_channels, kPackChannels); }

// Phase 0 packs the filter, phase 1 goes over the blocks.
template <class T>
void plan_sparse_input(const SparseInput& f, Plan* plan) {
  const ConvShape& s = f.shape;
  plan->variant = kSparseVariant;
  plan->phases = 2;
  plan->chunks[0] = pack_chunks(f);
  plan->shared_bytes = (s.out_channels * filter_of_channel(f) + pack_chunks(f)) * kSizeOf<T>;
  plan_blocks(BlockRequest{s.batch, s.rows.size, s.rows.stride, rows_under(s, s.rows.out_size) * f.row * kSizeOf<T>, kSourceBlockBytes,
                           conv_cost_ns<T>(s) * kSparseCost}, plan);
  const std::int64_t room = rows_under(s, most_reached(s.rows, plan->params[kBandRows])) * f.row * kSizeOf<T>;
  plan->params[kFreeParam] = aligned_bytes(room);
  plan->scratch_bytes = plan->params[kFreeParam] + pixel_lists<T>(s, nullptr).bytes;
}

template <class T>
void run_sparse_input(const SparseInput& f, const PooledGradient<T>& g, const T* filter, T* dx, const Call* call, std::int32_t phase,
                      std::int64_t begin, std::int64_t end, void* scratch) {
  const ConvShape& s = f.shape;
  T* const packed = workspace<T>(call);
  T* const not_finite = packed + s.out_channels * filter_of_channel(f);
  if (phase == 0) {
    for (std::int64_t i = begin; i < end; ++i)
      pack_sparse(f, filter, i * kPackChannels, least((i + 1) * kPackChannels, s.out_channels), packed, not_finite + i);
    return;
  }
  bool finite = true;
  for (std::int64_t i = 0; i < pack_chunks(f); ++i) finite = finite && not_finite[i] == T(0);
  for_each_block(*call->plan, s.rows.size, begin, end, [&](const Region& region) {
    sparse_region(f, g, static_cast<const T*>(packed), finite, region, dx, static_cast<T*>(scratch),
                  static_cast<char*>(scratch) + call->plan->params[kFreeParam]);
  });
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
