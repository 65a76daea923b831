// The gradient by a depthwise filter over one block of pixels: dfilter[tap, c] += sum over pixels of x[pixel at tap, c] * dy[pixel, c].
//
// It reads x where it lies, a row of the image under a row of the filter at a time. The taps of a filter row go together over the
// pixels that all of them see inside the image, and alone over the few pixels at the left and right edges; pixels outside the image
// are not touched. A tap's pixels of one row are summed from zero, left edge, middle and right edge apart, and added up in order.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/conv_filter_tile.h"
#include "kernels/expected.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kDepthwiseTaps = 5;  // that go together

// Output columns [begin, end) whose tap lies inside the image.
struct ColumnRange {
  std::int64_t begin, end;
};

inline ColumnRange columns_of_tap(const WindowAxis& cols, std::int64_t tap) {
  const std::int64_t first = cols.pad - tap * cols.dilation, last = cols.size - 1 + first;  // times the stride
  const std::int64_t begin = first > 0 ? (first + cols.stride - 1) / cols.stride : 0;
  const std::int64_t end = last < 0 ? 0 : smaller(cols.out_size, last / cols.stride + 1);
  return ColumnRange{begin, larger(begin, end)};
}

// One row of dy (as [pixels][panel.width]) under taps [tap, tap + count) of one filter row; x is the image's row, sums theirs.
template <class T>
struct DepthwiseRow {
  const ConvShape* shape;
  const Panel* panel;
  const T *x, *dy;
  T* sums;

  void add(ColumnRange range, std::int64_t tap, std::int64_t count) const {
    if (range.begin >= range.end) return;
    const WindowAxis& cols = shape->cols;
    const T* taps[kDepthwiseTaps];
    for (std::int64_t i = 0; i < count; ++i)
      taps[i] = x + (range.begin * cols.stride - cols.pad + (tap + i) * cols.dilation) * shape->in_channels;
    const PixelLoops pixels{{1, 1, range.end - range.begin}, {0, 0, cols.stride * shape->in_channels}};
    filter_tile(true, panel->width, panel->columns, static_cast<int>(count), taps, pixels, dy + range.begin * panel->width,
                sums + tap * panel->width, false);
  }

  void add_taps(std::int64_t tap, std::int64_t count) const {
    ColumnRange middle{0, shape->cols.out_size};
    for (std::int64_t i = tap; i < tap + count; ++i) {
      const ColumnRange own = columns_of_tap(shape->cols, i);
      middle = ColumnRange{larger(middle.begin, own.begin), smaller(middle.end, own.end)};
    }
    for (std::int64_t i = tap; i < tap + count; ++i) {
      const ColumnRange own = columns_of_tap(shape->cols, i);
      add(ColumnRange{own.begin, smaller(own.end, middle.begin)}, i, 1);
    }
    add(middle, tap, count);
    for (std::int64_t i = tap; i < tap + count; ++i) {
      const ColumnRange own = columns_of_tap(shape->cols, i);
      add(ColumnRange{larger(own.begin, larger(middle.begin, middle.end)), own.end}, i, 1);
    }
  }
};

// What the block after this one reads, asked for while this one is added, row by row; nothing if dy is null.
template <class T>
class DepthwiseAhead {
 public:
  DepthwiseAhead(const ConvShape& s, const T* x, const T* dy, const Region& block, std::int64_t panels) {
    if (!dy) return;
    const std::int64_t rows = (block.image1 - block.image0) * (block.row1 - block.row0), calls = panels * rows * s.rows.window;
    const std::int64_t first = block.image0 * s.rows.out_size + block.row0 + rows, last = smaller(first + rows, s.batch * s.rows.out_size);
    if (first >= last) return;
    const std::int64_t x_row = s.cols.size * s.in_channels, dy_row = s.cols.out_size * s.out_channels;
    const std::int64_t from = first / s.rows.out_size * s.rows.size + smaller(first % s.rows.out_size * s.rows.stride, s.rows.size);
    const std::int64_t to = smaller(from + rows * s.rows.stride, s.batch * s.rows.size);
    x_ = Expected<Use::kRead>(x + from * x_row, x + to * x_row, calls);
    dy_ = Expected<Use::kRead>(dy + first * dy_row, dy + last * dy_row, calls);
  }
  PYNN_INLINE void ask() {
    x_.ask();
    dy_.ask();
  }

 private:
  Expected<Use::kRead> x_, dy_;
};

// Adds a block's products to the sums of one panel, [taps][panel.width]; x is the whole input from the panel's first channel on.
template <class T>
void add_depthwise_block(const ConvShape& s, const Panel& panel, const T* x, const Region& block, const T* dy, T* sums, DepthwiseAhead<T>* ahead) {
  const std::int64_t groups = ceil_div(s.cols.window, kDepthwiseTaps);
  for (std::int64_t n = block.image0; n < block.image1; ++n)
    for (std::int64_t r = block.row0; r < block.row1; ++r, dy += s.cols.out_size * panel.width)
      for (std::int64_t kh = 0; kh < s.rows.window; ++kh) {
        const std::int64_t row = r * s.rows.stride - s.rows.pad + kh * s.rows.dilation;
        ahead->ask();
        if (row < 0 || row >= s.rows.size) continue;
        const DepthwiseRow<T> work{&s, &panel, x + (n * s.rows.size + row) * s.cols.size * s.in_channels, dy,
                                   sums + kh * s.cols.window * panel.width};
        for (std::int64_t i = 0; i < groups; ++i) {
          const std::int64_t tap = i * s.cols.window / groups;
          work.add_taps(tap, (i + 1) * s.cols.window / groups - tap);
        }
      }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
