// The filter gradient: dfilter[tap, ci, co] = sum over pixels of x[pixel at tap, ci] * dy[pixel, co].
//
// Every (kh, kw, ci) is a row of the result and a walk through x with a constant step, so a tile is a few such rows x one panel of output
// channels, summed over the pixels of a block; rows whose inputs are neighbours share an address. Where output channels are few, lanes hold
// neighbouring inputs in place of them. The block's dy is read where it is; where it isn't in memory, or its pixels are far apart, it is first
// brought into [panel][pixels][panel width], a few panels together, each of which then lies in L1 for all rows. A depthwise filter has its own
// way over a block (conv_depthwise_grad.h).
//
// Order of additions, for dense and pooled gradients alike: pixels of a block one after the other from zero; blocks of a
// partial (a range of images) in order; partials in order. Blocks and partials follow from the shape of the convolution alone.
#pragma once

#include "kernels/conv_depthwise_grad.h"
#include "kernels/conv_filter_plan.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

inline PixelLoops pixel_loops(std::int64_t images, std::int64_t image_step, std::int64_t rows, std::int64_t row_step,
                              std::int64_t cols, std::int64_t col_step) {
  PixelLoops l{{images, rows, cols}, {image_step, row_step, col_step}, 0};
  for (int pass = 0; pass < 2; ++pass)
    for (int inner = 2; inner > 0; --inner) {
      const int outer = inner - 1;
      if (l.count[outer] == 1) continue;
      if (l.count[inner] != 1 && l.step[outer] != l.count[inner] * l.step[inner]) continue;
      if (l.count[inner] == 1) l.step[inner] = l.step[outer];
      l.count[inner] *= l.count[outer];
      l.count[outer] = 1;
    }
  return l;
}

// The source of a block, base at its first pixel under the first tap.
template <class T>
struct BlockSource {
  const T* base;
  std::int64_t image, row, pixel;
};

// `count` pixels of `channels` elements, from pixels `stride` elements apart.
template <class T>
void copy_pixels(T* to, const T* from, std::int64_t count, std::int64_t channels, std::int64_t stride) {
  if (channels == stride) {
    std::memcpy(to, from, static_cast<std::size_t>(count * channels) * sizeof(T));
    return;
  }
  for (std::int64_t c = 0; c < count; ++c, to += channels, from += stride)
    for_vectors<T>(channels, [&](std::int64_t i, int lanes) { store_lanes<T>(to + i, load_lanes<T>(from + i, lanes), lanes); });
}

template <class T>
void fill_zeros(T* to, std::int64_t count) {
  std::memset(static_cast<void*>(to), 0, static_cast<std::size_t>(count) * sizeof(T));
}

// Copies the input under a block into scratch, with zeros where the input ends.
template <class T>
BlockSource<T> pad_block(const FilterGrad& f, const T* x, std::int64_t channel, std::int64_t channels, const Region& block, T* scratch) {
  const ConvShape& s = f.shape;
  const std::int64_t row0 = block.row0 * s.rows.stride - s.rows.pad;
  const std::int64_t first = least(s.cols.pad, f.padded_width);
  const std::int64_t last = clamped(s.cols.size + s.cols.pad, first, f.padded_width);
  const std::int64_t row = f.padded_width * channels;
  T* to = scratch;
  for (std::int64_t n = block.image0; n < block.image1; ++n)
    for (std::int64_t r = row0; r < row0 + f.source_rows; ++r, to += row) {
      if (r < 0 || r >= s.rows.size) {
        fill_zeros(to, row);
        continue;
      }
      fill_zeros(to, first * channels);
      copy_pixels(to + first * channels, x + (n * s.rows.size + r) * s.cols.size * s.in_channels + channel, last - first, channels,
                  s.in_channels);
      fill_zeros(to + last * channels, (f.padded_width - last) * channels);
    }
  return BlockSource<T>{scratch, f.source_rows * row, row, channels};
}

// Where row `index` of the gradient, a tap and a channel, finds the first pixel of a block.
template <class T>
const T* row_source(const FilterGrad& f, const BlockSource<T>& source, std::int64_t index) {
  const ConvShape& s = f.shape;
  const std::int64_t tap = index / f.panels.depth, kh = tap / s.cols.window, kw = tap % s.cols.window;
  return source.base + kh * s.rows.dilation * source.row + kw * s.cols.dilation * source.pixel + index % f.panels.depth;
}

template <class T>
PixelLoops block_loops(const ConvShape& s, const BlockSource<T>& source, const Region& block) {
  return pixel_loops(block.image1 - block.image0, source.image, block.row1 - block.row0, s.rows.stride * source.row, s.cols.out_size,
                     s.cols.stride * source.pixel);
}

// A tile goes over few bytes of each pixel of x, which no hardware prefetcher foresees: that costs a third where x is in memory.
inline bool asks_ahead(const FilterGrad& f) {
  const ConvShape& s = f.shape;
  return !f.padded && s.batch * s.rows.size * s.cols.size * s.in_channels > kL3Elements;
}

// The elements of the source from one block to the next.
template <class T>
std::int64_t block_elements(const FilterGrad& f, const BlockSource<T>& source, const Region& block) {
  return (block.image1 - block.image0) * (block.row1 - block.row0) * f.shape.rows.stride * source.row;
}

// One panel over one block; its tiles may ask for the next block's source, each for its share.
template <class T>
void sum_by_outputs(const FilterGrad& f, const Panel& panel, const BlockSource<T>& source, const Region& block, const PixelLoops& loops,
                    const T* dy, T* sums, bool first, bool asks) {
  const std::int64_t at_once = filter_rows(panel.width == Simd<T>::kLanes ? 1 : 2);
  const std::int64_t together = 3 * f.run >= 2 * at_once ? f.run : gradient_rows(f);  // long runs go by tiles of neighbours only
  const std::int64_t tiles = ceil_divide(together, at_once);
  const std::int64_t share = asks ? block_elements(f, source, block) * together / (gradient_rows(f) * tiles) : 0;
  const std::int64_t pixels = (block.image1 - block.image0) * (block.row1 - block.row0) * f.shape.cols.out_size;
  FilterRows<T> rows;
  rows.ahead = asks ? source.base + block_elements(f, source, block) : nullptr;
  rows.ahead_step = share / most(1, pixels);
  for (std::int64_t begin = 0; begin < gradient_rows(f); begin += together)
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t row = begin + together * t / tiles;
      rows.count = static_cast<int>(begin + together * (t + 1) / tiles - row);
      rows.neighbours = row / f.run == (row + rows.count - 1) / f.run;
      for (int i = 0; i < (rows.neighbours ? 1 : rows.count); ++i) rows.row[i] = row_source(f, source, row + i);
      filter_tile(panel.width, rows, loops, dy, sums + row * panel.width, first);
      rows.ahead += share;
    }
}

// The same with inputs as lanes.
template <class T>
void sum_by_inputs(const FilterGrad& f, const Panel& panel, const BlockSource<T>& source, const PixelLoops& loops, const T* dy, T* sums,
                   bool first) {
  const std::int64_t vectors = input_vectors(f), of_run = ceil_divide(f.run, f.panels.lanes), groups = ceil_divide(panel.columns, kMostChannels);
  FilterRows<T> rows;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t c = panel.columns * g / groups;
    const int channels = static_cast<int>(panel.columns * (g + 1) / groups - c);
    const std::int64_t tiles = ceil_divide(vectors, filter_vectors(channels));
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t v = vectors * t / tiles;
      rows.count = static_cast<int>(vectors * (t + 1) / tiles - v);
      for (int i = 0; i < rows.count; ++i)
        rows.row[i] = row_source(f, source, (v + i) / of_run * f.run + least((v + i) % of_run * f.panels.lanes, f.run - f.panels.lanes));
      inputs_tile(channels, rows, loops, dy + c, sums + (c * vectors + v) * f.panels.lanes, vectors * f.panels.lanes, first);
    }
  }
}

// A few panels whose output gradient is copied together: the elements of panel i are at to + (i - first) * stride.
template <class T>
struct PackedGradient {
  Range panels;
  T* to;
  std::int64_t stride;
};

// Where the first tap of a group of channels finds a block: in x, or among zeros in `padded`.
template <class T>
BlockSource<T> block_source(const FilterGrad& f, const T* x, std::int64_t channel, const Region& block, T* padded) {
  const ConvShape& s = f.shape;
  if (f.padded) return pad_block(f, x, channel, s.group_in, block, padded);
  const std::int64_t row = s.cols.size * s.in_channels;
  return {x + (block.image0 * s.rows.size + block.row0 * s.rows.stride) * row + channel, s.rows.size * row, row, s.in_channels};
}

// Panels over one block. dy is the output gradient, if it is an array; pack(gradient, block) writes the block's, [pixels][panel width] for each panel.
template <class T, class Pack>
void sum_panels(const FilterGrad& f, const Range& span, const T* x, const T* dy, const Region& block, T* sums, bool first, void* scratch,
                Pack pack) {
  const ConvShape& s = f.shape;
  T* const packed = static_cast<T*>(scratch);
  const std::int64_t stride = f.panel_bytes / kSizeOf<T>;
  const std::int64_t begin = (block.image0 * s.rows.out_size + block.row0) * s.cols.out_size * s.out_channels;
  const bool copies = copies_block(f, block);
  BlockSource<T> source{};
  PixelLoops loops{};
  std::int64_t group = -1;
  for (std::int64_t i = span.first; i < span.last; ++i) {
    const Panel panel = panel_at(f.panels, i);
    const std::int64_t at = (i - span.first) % f.together;
    if (copies && at == 0) pack(PackedGradient<T>{{i, least(i + f.together, span.last)}, packed, stride}, block);
    if (panel.group != group) {
      source = block_source(f, x, source_channel(f.panels, panel), block, packed + f.together * stride);
      loops = block_loops(s, source, block);
    }
    group = panel.group;
    loops.dy_step = copies ? panel.width : s.out_channels;
    const T* const gradient = copies ? packed + at * stride : dy + begin + output_column(f.panels, panel);
    T* const own = sums + sums_of_panel(f, panel);
    if (f.lanes_are_inputs) sum_by_inputs(f, panel, source, loops, gradient, own, first);
    else sum_by_outputs(f, panel, source, block, loops, gradient, own, first, i == span.first && asks_ahead(f));
  }
}

// One panel of a depthwise filter.
template <class T, class Pack>
void sum_depthwise_panel(const FilterGrad& f, std::int64_t index, const T* x, const T* dy, const Region& block, T* sums, bool first,
                         void* scratch, Pack pack) {
  const ConvShape& s = f.shape;
  const Panel panel = panel_at(f.panels, index);
  Pixels<const T> gradient;
  if (f.in_place) {
    gradient = dense_pixels(dy, output_image(s));
    gradient.base += block.image0 * gradient.image + block.row0 * gradient.row + panel.first_column;
  } else {
    pack(PackedGradient<T>{{index, index + 1}, static_cast<T*>(scratch), 0}, block);
    gradient = dense_pixels(static_cast<const T*>(scratch), ImageSize{block.row1 - block.row0, s.cols.out_size, panel.width});
  }
  if (first) fill_zeros(sums + panel.offset, gradient_rows(f) * panel.width);
  const DepthwiseBlock<T> work{s.rows, s.cols, block, x + panel.first_column, s.in_channels, gradient, panel.columns, panel.width,
                               f.in_place && pass_elements(s) > kL2Elements};
  add_depthwise_block(work, sums + panel.offset);
}

// The chunks [begin, end).
template <class T, class Pack>
void sum_filter_grad(const FilterGrad& f, const T* x, const T* dy, T* sums, std::int64_t begin, std::int64_t end, void* scratch, Pack pack) {
  for_each_filter_block(f, begin, end, [&](std::int64_t partial, const Range& span, const Region& block, bool first) {
    T* const own = sums + partial * sums_of_partial(f);
    if (!is_depthwise(f.shape)) return sum_panels(f, span, x, dy, block, own, first, scratch, pack);
    for (std::int64_t i = span.first; i < span.last; ++i) sum_depthwise_panel(f, i, x, dy, block, own, first, scratch, pack);
  });
}

// A vector of partial 0 + partial 1 + ...
template <class T>
PYNN_INLINE typename Simd<T>::V sum_of_partials(const FilterGrad& f, const T* sums) {
  typename Simd<T>::V sum = f.partials ? load<T>(sums) : zero<T>();
  for (std::int64_t p = 1; p < f.partials; ++p) sum = sum + load<T>(sums + p * sums_of_partial(f));
  return sum;
}

// The columns of one panel of dfilter from its sums, to rows `row` elements apart.
template <class T>
void reduce_outputs(const FilterGrad& f, const Panel& panel, const T* sums, T* to, std::int64_t row) {
  for (std::int64_t m = 0; m < gradient_rows(f); ++m, to += row)
    for (std::int64_t j = 0; j < panel.columns; j += Simd<T>::kLanes)
      store_lanes<T>(to + j, sum_of_partials(f, sums + m * panel.width + j), lanes_left<T>(panel.columns - j));
}

template <class T>
void reduce_inputs(const FilterGrad& f, const Panel& panel, const T* sums, T* to, std::int64_t row) {
  constexpr std::int64_t kLanes = Simd<T>::kLanes;
  alignas(64) T lanes[kLanes];
  for (std::int64_t c = 0; c < panel.columns; ++c)
    for (std::int64_t begin = 0; begin < gradient_rows(f); begin += f.run)
      for (std::int64_t m = 0; m < f.run; m += kLanes, sums += kLanes) {
        const std::int64_t first = begin + least(m, f.run - kLanes);
        store<T>(lanes, sum_of_partials(f, sums));
        for (std::int64_t lane = 0; lane < kLanes; ++lane) to[(first + lane) * row + c] = lanes[lane];
      }
}

// Panels [begin, end) of dfilter, (kh, kw, ci, co).
template <class T>
void reduce_filter_grad(const FilterGrad& f, const T* sums, T* dfilter, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const Panel panel = panel_at(f.panels, i);
    const T* from = sums + sums_of_panel(f, panel);
    T* to = dfilter + output_column(f.panels, panel);
    if (f.lanes_are_inputs) reduce_inputs(f, panel, from, to, f.shape.out_channels);
    else reduce_outputs(f, panel, from, to, f.shape.out_channels);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
