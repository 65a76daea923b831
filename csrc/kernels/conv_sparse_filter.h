// The filter gradient behind a 2 x 2 maximum, without the products by zero: of the four pixels of a cell, each channel has at most one.
//
//   dfilter[kh, kw, ci, co] = sum over the cells that channel co got through, pixel by pixel, of x[pixel at (kh, kw), ci] * dy[cell, co]
//
// For each channel the block's pixels are listed in the order of the dense sum (conv_filter_grad.h), whose blocks and partials these are, so the
// bits are the same. A term adds kh rows of kw * ci neighbouring inputs; sums are [co][kh][kw * ci, in whole vectors]. Where an input isn't
// finite, its products by zero are NaN: blocks with such a one list every pixel.
#pragma once

#include "kernels/finite.h"
#include "kernels/pooled_gradient.h"
#include "kernels/sparse_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr double kSparseCost = 0.4;  // of the dense pass's
constexpr int kPlaces = 8;           // codes are 0 to 4; any others are nothing, too
constexpr std::int64_t kMostAt = std::int64_t{1} << 30;  // elements that Term::at may reach

struct SparseFilter {
  FilterGrad f;
  std::int64_t segment;          // of sums: a row of taps, in whole vectors
  std::int64_t source_elements;  // of a block's input with its borders
  std::int64_t pixels;           // of a block
};

template <class T>
SparseFilter sparse_filter(const FilterGrad& f) {
  const ConvShape& s = f.shape;
  const std::int64_t source = bounded_product(bounded_product(f.source_rows, f.padded_width), f.block_images * s.in_channels);
  return SparseFilter{f, short_vectors<T>(s.cols.window * s.in_channels) * Short<T>::kLanes, source,
                      f.block_images * f.block_rows * s.cols.out_size};
}

inline std::int64_t sums_of_channel(const SparseFilter& f) { return f.f.shape.rows.window * f.segment; }
inline std::int64_t sums_of_partial(const SparseFilter& f) { return f.f.shape.out_channels * sums_of_channel(f); }

// Vectors that a term costs, with its place in a list; and four pixels in the dense tile.
template <class T>
bool prefers_sparse_filter(const ConvShape& s) {
  constexpr std::int64_t kTerm = 8;
  if (s.groups != 1 || s.cols.dilation != 1 || s.batch == 0) return false;
  const std::int64_t sparse = s.rows.window * short_vectors<T>(s.cols.window * s.in_channels) + kTerm;
  const std::int64_t columns = ceil_divide(s.out_channels, Simd<T>::kLanes) * Simd<T>::kLanes;
  if (sparse * s.out_channels * Short<T>::kLanes >= 4 * filter_taps(s) * s.in_channels * columns) return false;
  return sparse_filter<T>(filter_grad<T>(s, GradientIs::kComputed)).source_elements < kMostAt;
}

// The terms of a block, a list for each column of a panel: at most one of four pixels, or all of them.
template <class T>
struct TermLists {
  Term<T>* terms;  // `length` of each column
  Term<T>** ends;
  std::int64_t length;
};

template <class T>
std::int64_t lists_bytes(std::int64_t columns, std::int64_t length) {
  return columns * (length * kSizeOf<Term<T>> + kSizeOf<Term<T>*>);
}

template <class T>
TermLists<T> term_lists(void* room, std::int64_t columns, std::int64_t length) {
  Term<T>* terms = static_cast<Term<T>*>(room);
  return TermLists<T>{terms, reinterpret_cast<Term<T>**>(terms + columns * length), length};
}

// One channel of a row of cells, and what follows from a code: where its pixel is, from the cell's first.
template <class T>
struct CellRow {
  const T* dy;
  const std::uint8_t* codes;
  std::int64_t cells, channels;  // channels: elements from cell to cell
  std::int32_t at, step;         // of the cells' first pixels
  std::int32_t places[kPlaces];
};

// Appends the terms of one of the two rows of pixels, those whose code `kept` counts, and returns the list's end, behind which it may have written
// one more: cells fill half of a list at most. Tables in place of conditions, which could not be foreseen.
template <class T>
PYNN_NOINLINE Term<T>* append_row(Term<T>* end, const CellRow<T>& row, const std::int64_t* kept) {
  const T* dy = row.dy;
  const std::uint8_t* codes = row.codes;
  std::int32_t at = row.at;
  for (std::int64_t left = row.cells; left > 0; --left, dy += row.channels, codes += row.channels, at += row.step) {
    const std::int64_t place = *codes % kPlaces;
    end->value = *dy;
    end->at = at + row.places[place];
    end += kept[place];
  }
  return end;
}

// Where things are in the scratch of a chunk.
template <class T>
struct SparseScratch {
  T* source;
  T* row;  // of dz, a panel wide
  TermLists<T> lists;
};

template <class T>
std::int64_t source_bytes(const SparseFilter& f) {
  return aligned_bytes((f.source_elements + Short<T>::kLanes) * kSizeOf<T>);
}
template <class T>
std::int64_t row_bytes(const SparseFilter& f) {
  return most(1, f.f.shape.cols.out_size) * kPanelVectors * Simd<T>::kLanes * kSizeOf<T>;
}

template <class T>
SparseScratch<T> sparse_scratch(const SparseFilter& f, void* scratch) {
  char* const from = static_cast<char*>(scratch);
  T* const row = reinterpret_cast<T*>(from + source_bytes<T>(f));
  return SparseScratch<T>{static_cast<T*>(scratch), row,
                          term_lists<T>(from + source_bytes<T>(f) + row_bytes<T>(f), kPanelVectors * Simd<T>::kLanes, f.pixels)};
}

// The terms that a block's cells have.
template <class T>
void list_cells(const SparseFilter& f, const PooledGradient<T>& g, const Panel& panel, const Region& block, const BlockSource<T>& source,
                const TermLists<T>& lists) {
  static constexpr std::int64_t kUpper[kPlaces] = {1, 1}, kLower[kPlaces] = {0, 0, 1, 1};
  const ConvShape& s = f.f.shape;
  const std::int64_t down = s.rows.stride * source.row, right = s.cols.stride * source.pixel;
  for (std::int64_t n = block.image0; n < block.image1; ++n)
    for (std::int64_t r = block.row0 / 2; 2 * r < block.row1 && r < g.rows; ++r) {
      const std::int64_t cell = (n * g.rows + r) * g.cols * g.channels + panel.first_column;
      const std::int64_t at = (n - block.image0) * source.image + (2 * r - block.row0) * down;
      CellRow<T> row{g.dy + cell, g.residual + cell, g.cols, g.channels, static_cast<std::int32_t>(at), static_cast<std::int32_t>(2 * right), {}};
      for (int place = 0; place < 4; ++place) row.places[place] = static_cast<std::int32_t>(place / 2 * down + place % 2 * right);
      for (std::int64_t c = 0; c < panel.columns; ++c, ++row.dy, ++row.codes) {
        if (2 * r >= block.row0) lists.ends[c] = append_row(lists.ends[c], row, kUpper);
        if (2 * r + 1 < block.row1) lists.ends[c] = append_row(lists.ends[c], row, kLower);
      }
    }
}

// A term for each pixel of a block, those that are zero as well.
template <class T>
void list_pixels(const SparseFilter& f, const PooledGradient<T>& g, const Panel& panel, const Region& block, const BlockSource<T>& source,
                 const SparseScratch<T>& scratch) {
  const ConvShape& s = f.f.shape;
  const ExpandTo e{panel.first_column, panel.columns, panel.width, panel.width};
  for (std::int64_t n = block.image0; n < block.image1; ++n)
    for (std::int64_t r = block.row0; r < block.row1; ++r) {
      expand_row(g, n, r, s.cols.out_size, e, scratch.row);
      const std::int64_t at = (n - block.image0) * source.image + (r - block.row0) * s.rows.stride * source.row;
      for (std::int64_t c = 0; c < panel.columns; ++c)
        for (std::int64_t p = 0; p < s.cols.out_size; ++p)
          *scratch.lists.ends[c]++ = {scratch.row[p * panel.width + c], static_cast<std::int32_t>(at + p * s.cols.stride * source.pixel)};
    }
}

// One panel over one block, whose source holds finite numbers only, or doesn't.
template <class T>
void sum_sparse_panel(const SparseFilter& f, const PooledGradient<T>& g, const Panel& panel, const BlockSource<T>& source, bool finite,
                      const Region& block, T* sums, bool first, const SparseScratch<T>& scratch) {
  const ConvShape& s = f.f.shape;
  const TermLists<T>& lists = scratch.lists;
  for (std::int64_t c = 0; c < panel.columns; ++c) lists.ends[c] = lists.terms + c * lists.length;
  if (finite) list_cells(f, g, panel, block, source, lists);
  else list_pixels(f, g, panel, block, source, scratch);
  for (std::int64_t c = 0; c < panel.columns; ++c) {
    const Term<T>* terms = lists.terms + c * lists.length;
    const SparseTask<T> task{terms, lists.ends[c] - terms, source.base, s.rows.dilation * source.row,
                             sums + (panel.first_column + c) * sums_of_channel(f), f.segment, f.segment, first ? Sums::kStore : Sums::kAdd};
    sparse_sums(task, s.rows.window);
  }
}

// Chunks [begin, end) of partial x section.
template <class T>
void sum_sparse_filter(const SparseFilter& f, const PooledGradient<T>& g, const T* x, T* sums, std::int64_t begin, std::int64_t end, void* scratch) {
  const SparseScratch<T> room = sparse_scratch<T>(f, scratch);
  for_each_filter_block(f.f, begin, end, [&](std::int64_t partial, const Range& span, const Region& block, bool first) {
    const BlockSource<T> source = pad_block(f.f, x, 0, f.f.shape.in_channels, block, room.source);
    const bool finite = all_finite(source.base, (block.image1 - block.image0) * source.image);
    for (std::int64_t i = span.first; i < span.last; ++i)
      sum_sparse_panel(f, g, panel_at(f.f.panels, i), source, finite, block, sums + partial * sums_of_partial(f), first, room);
  });
}

// dfilter = partial 0 + partial 1 + ..., panels [begin, end), from [co][kh][kw * ci] to (kh, kw, ci, co).
template <class T>
void reduce_sparse_filter(const SparseFilter& f, const T* sums, T* dfilter, std::int64_t begin, std::int64_t end) {
  const ConvShape& s = f.f.shape;
  const std::int64_t row = s.cols.window * s.in_channels;
  for (std::int64_t i = begin; i < end; ++i) {
    const Panel panel = panel_at(f.f.panels, i);
    for (std::int64_t co = panel.first_column; co < panel.first_column + panel.columns; ++co)
      for (std::int64_t kh = 0; kh < s.rows.window; ++kh) {
        const T* from = sums + co * sums_of_channel(f) + kh * f.segment;
        T* to = dfilter + kh * row * s.out_channels + co;
        for (std::int64_t j = 0; j < row; ++j, to += s.out_channels) {
          T sum = from[j];
          for (std::int64_t p = 1; p < f.f.partials; ++p) sum += from[j + p * sums_of_partial(f)];
          *to = sum;
        }
      }
  }
}

template <class T>
void plan_sparse_filter(const SparseFilter& f, Plan* plan) {
  plan_filter_grad<T>(f.f, plan);
  plan->variant = kSparseVariant;
  plan->shared_bytes = f.f.partials * sums_of_partial(f) * kSizeOf<T>;
  plan->scratch_bytes = source_bytes<T>(f) + row_bytes<T>(f) + lists_bytes<T>(kPanelVectors * Simd<T>::kLanes, f.pixels);
  plan->cost_ns *= kSparseCost;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
