// How a filter gradient is cut, and which way it goes (conv_filter_grad.h): partials of images, sections of panels, blocks that caches hold.
#pragma once

#include "kernels/conv_blocks.h"
#include "kernels/conv_filter_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kMaxPartials = 8;
constexpr std::int64_t kPartialsBytes = 5 << 19;      // of all partials, where there are more than chunks need: fewer sections read x less often
constexpr std::int64_t kPanelBlockBytes = 16 << 10;   // of dy, in L1
constexpr int kPanelsTogether = 8;                    // in L2
constexpr std::int64_t kNearPixels = 256;             // bytes from pixel to pixel
constexpr std::int64_t kImageBlockBytes = 128 << 10;  // of x, in L2
constexpr std::int64_t kFilterGradChunks = 16;
constexpr std::int64_t kL2Elements = 256 << 10;       // what of a whole pass may stay in L2

struct FilterGrad {
  ConvShape shape;
  Panels panels;
  std::int64_t partials, sections;        // a chunk is one partial x one section of the panels
  std::int64_t block_images, block_rows;  // one of them is 1, or block_rows is all rows
  std::int64_t source_rows;               // input rows under a block's rows
  bool padded;                            // x goes through scratch with zeros around it
  std::int64_t padded_width, padded_bytes, panel_bytes;
  bool in_place;                          // panels read dy in memory,
  std::int64_t together;                  // or a copy of it, for so many panels at once
  std::int64_t run;                       // so many rows of the gradient, taps and channels, are neighbours in the source
  bool lanes_are_inputs;                  // there are too few output channels
};

// Where the output gradient is: in memory as an array, or known pixel by pixel.
enum class GradientIs { kArray, kComputed };

// Rows of the filter gradient that one panel has.
inline std::int64_t gradient_rows(const FilterGrad& f) { return f.panels.taps * f.panels.depth; }

// The vectors of inputs that cover all rows of the gradient, run by run. The last one of a run ends with it.
inline std::int64_t input_vectors(const FilterGrad& f) { return gradient_rows(f) / most(1, f.run) * ceil_divide(f.run, f.panels.lanes); }

// By the products that either way takes, those by nothing included. At a draw inputs are faster than a single vector of outputs, as their
// tile reads less for a product.
inline bool prefers_inputs(const FilterGrad& f) {
  if (is_depthwise(f.shape) || f.run < f.panels.lanes) return false;
  const std::int64_t by_inputs = input_vectors(f) * f.panels.columns, by_outputs = gradient_rows(f) * ceil_divide(f.panels.columns, f.panels.lanes);
  return f.panels.columns <= f.panels.lanes ? by_inputs <= by_outputs : 6 * by_inputs < 5 * by_outputs;
}

// Whether panels read the output gradient where it is. Not where pixels are far apart and read again and again, as a panel's lines meet in few
// sets of L1 then.
template <class T>
bool reads_in_place(const FilterGrad& f) {
  if (is_depthwise(f.shape) || f.lanes_are_inputs) return true;
  return gradient_rows(f) <= kMostFilterRows || f.shape.out_channels * kSizeOf<T> <= kNearPixels;
}

// The end of the output gradient is copied if whole vectors would reach beyond it.
inline bool copies_block(const FilterGrad& f, const Region& block) {
  if (!f.in_place) return true;
  if (f.lanes_are_inputs || f.panels.columns % f.panels.lanes == 0) return false;
  const ConvShape& s = f.shape;
  const std::int64_t rows_behind = (s.batch - block.image1) * s.rows.out_size + s.rows.out_size - block.row1;
  return rows_behind * s.cols.out_size * s.out_channels < f.panels.lanes;
}

// Elements of a partial's sums: panels as a filter's, or [co][vector of inputs].
inline std::int64_t sums_of_partial(const FilterGrad& f) {
  if (!f.lanes_are_inputs) return packed_size(f.panels);
  return f.panels.groups * f.panels.columns * input_vectors(f) * f.panels.lanes;
}
inline std::int64_t sums_of_panel(const FilterGrad& f, const Panel& panel) {
  return f.lanes_are_inputs ? output_column(f.panels, panel) * input_vectors(f) * f.panels.lanes : panel.offset;
}

// Partials of the images, sections of the panels. Depthwise panels share the memory that they read, so one section does them all, block by block.
template <class T>
void divide_work(FilterGrad& f) {
  const std::int64_t panels = most(1, panel_count(f.panels)), batch = f.shape.batch;
  const std::int64_t affordable = kPartialsBytes / most(1, packed_size(f.panels) * kSizeOf<T>);
  f.partials = batch == 0 ? 0 : clamped(most(ceil_divide(kFilterGradChunks, panels), affordable), 1, least(kMaxPartials, batch));
  const std::int64_t chunks = is_depthwise(f.shape) ? kMaxPartials / 2 : kFilterGradChunks;
  f.sections = clamped(ceil_divide(chunks, most(1, f.partials)), 1, panels);
}

// The pixels of a block.
template <class T>
void size_block(FilterGrad& f) {
  const ConvShape& s = f.shape;
  const std::int64_t row_pixels = most(1, s.cols.out_size), panel_row_bytes = row_pixels * kPanelVectors * Simd<T>::kLanes * kSizeOf<T>;
  const std::int64_t image_rows = kImageBlockBytes / (s.rows.stride * most(1, s.cols.size * s.in_channels) * kSizeOf<T>);
  const std::int64_t panel_rows = is_depthwise(s) ? image_rows : kPanelBlockBytes / panel_row_bytes;
  const std::int64_t most_rows = most(1, least(panel_rows, image_rows)), rows = most(1, s.rows.out_size);
  f.block_rows = most_rows >= rows ? rows : most(1, least(rows, most_rows / 2 * 2));
  f.block_images = clamped(most_rows / rows, 1, most(1, s.batch));
  f.source_rows = positions_under(s.rows, f.block_rows);
  f.panel_bytes = aligned_bytes(f.block_images * f.block_rows * panel_row_bytes);
}

template <class T>
FilterGrad filter_grad(const ConvShape& s, GradientIs dy) {
  FilterGrad f;
  f.shape = s;
  f.panels = filter_panels<T>(s, false);
  divide_work<T>(f);
  size_block<T>(f);
  f.padded = !is_depthwise(s) && (!inside(s.rows) || !inside(s.cols) || s.rows.pad || s.cols.pad);
  f.padded_width = positions_under(s.cols, s.cols.out_size);
  f.padded_bytes = f.padded ? bounded_product(bounded_product(f.source_rows, f.padded_width), f.block_images * s.group_in * kSizeOf<T>) : 0;
  f.run = s.cols.dilation == 1 && (f.padded || s.groups == 1) ? s.cols.window * s.group_in : s.group_in;
  f.lanes_are_inputs = prefers_inputs(f);
  f.in_place = dy == GradientIs::kArray && reads_in_place<T>(f);
  f.together = is_depthwise(s) ? (f.in_place ? 0 : 1) : clamped(ceil_divide(panel_count(f.panels), f.sections), 1, kPanelsTogether);
  return f;
}

// visit(partial, panels, block, whether it is the partial's first block) for the chunks [begin, end) of partial x section. Sections of one
// partial that come together go over a block together.
template <class Visit>
PYNN_INLINE void for_each_filter_block(const FilterGrad& f, std::int64_t begin, std::int64_t end, Visit visit) {
  const ConvShape& s = f.shape;
  const std::int64_t panels = panel_count(f.panels);
  for (std::int64_t chunk = begin, next; chunk < end; chunk = next) {
    const std::int64_t partial = chunk / f.sections, start = partial * f.sections;
    next = least(end, start + f.sections);
    const Range span{panels * (chunk - start) / f.sections, panels * (next - start) / f.sections};
    const std::int64_t first_image = s.batch * partial / f.partials, last_image = s.batch * (partial + 1) / f.partials;
    bool first = true;
    for (std::int64_t n = first_image; n < last_image; n += f.block_images)
      for (std::int64_t r = 0; r < most(1, s.rows.out_size); r += f.block_rows, first = false) {
        const Region block{n, least(n + f.block_images, last_image), r, least(r + f.block_rows, s.rows.out_size)};
        visit(partial, span, block, first);
      }
  }
}

// Phase 0: partial x section; phase 1: panels.
template <class T>
void plan_filter_grad(const FilterGrad& f, Plan* plan) {
  const std::int64_t panels = panel_count(f.panels);
  plan->phases = 2;
  plan->chunks[0] = f.partials * f.sections;
  plan->chunks[1] = panels;
  plan->shared_bytes = f.partials * sums_of_partial(f) * kSizeOf<T>;
  plan->scratch_bytes = f.together * f.panel_bytes + f.padded_bytes;
  plan->cost_ns = conv_cost_ns<T>(f.shape);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
