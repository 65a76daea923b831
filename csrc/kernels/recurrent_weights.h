// The two phases around the row blocks of a recurrent call: packing before them, weight gradients after them.
//
// Both are lists that a cell fills from its operands. `data` is null and addresses are only counted while a call is prepared,
// so that prepare and run lay the workspace out by the same code.
#pragma once

#include "kernels/recurrent_cell.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMaxPacked = 4;
constexpr int kMaxSources = 3;
constexpr int kMaxGroups = 3;
constexpr int kMaxProducts = 5;
constexpr int kMaxBiases = 4;
// Chunks of the phases around the blocks; few enough to cost nothing, enough to even out.
constexpr std::int64_t kMaxChunks = 8;

PYNN_INLINE std::int64_t part_begin(std::int64_t total, std::int64_t parts, std::int64_t index) {
  return parts > 1 ? total * index / parts : index > 0 ? total : 0;
}

// ---- packing ----------------------------------------------------------------------------------------------------------

template <class T>
struct PackedItem {
  const T* from;
  std::int64_t stride, k, n;
  T* to;
  bool transposed;
};

template <class T>
struct Packing {
  PackedItem<T> items[kMaxPacked];
  int count = 0;
  std::int64_t panels = 0;
  std::int64_t elements = 0;

  // The (k, n) matrix with rows `stride` apart, packed in the workspace at `shared`.
  PanelMatrix<T> pack(const T* from, std::int64_t stride, std::int64_t k, std::int64_t n, bool transposed, Layout& layout, void* shared) {
    T* to = at_offset<T>(shared, layout.take<T>(k * padded_columns<T>(n)));
    items[count++] = PackedItem<T>{from, stride, k, n, to, transposed};
    panels += ceil_div(n, panel_columns<T>());
    elements += k * n;
    return packed_matrix(static_cast<const T*>(to), k);
  }
  // The same, or the matrix where it lies if it is small.
  PanelMatrix<T> pack_if_worth(const T* from, std::int64_t stride, std::int64_t k, std::int64_t n, Layout& layout, void* shared) {
    if (!worth_packing<T>(k, n)) return plain_matrix(from, stride);
    return pack(from, stride, k, n, false, layout, shared);
  }
  std::int64_t chunks() const { return minimum(panels, kMaxChunks); }

  void run(std::int64_t begin, std::int64_t end) const {
    std::int64_t first = part_begin(panels, chunks(), begin), last = part_begin(panels, chunks(), end);
    for (int i = 0; i < count && last > 0; ++i) {
      const PackedItem<T>& item = items[i];
      const std::int64_t own = ceil_div(item.n, panel_columns<T>());
      for (std::int64_t q = first > 0 ? first : 0; q < minimum(own, last); ++q) {
        T* to = item.to + q * item.k * panel_columns<T>();
        if (item.transposed) pack_transposed_panel(item.from, item.stride, item.k, item.n, q, to);
        else pack_panel(item.from, item.stride, item.k, item.n, q, to);
      }
      first -= own;
      last -= own;
    }
  }
};

// ---- weight gradients -------------------------------------------------------------------------------------------------

// What a weight gradient multiplies from the left, one row for each step of each batch row, in narrow panels.
template <class T>
struct Source {
  T* panels;
  std::int64_t width;
};
// Gate gradients: `width` columns from column `column` of a row of them, in wide panels.
template <class T>
struct Group {
  T* panels;
  std::int64_t column, width;
};
// out (source width rows, `stride` apart) = source^T group
template <class T>
struct WeightProduct {
  int source, group;
  T* out;
  std::int64_t stride;
};
// out = column sums of a group
template <class T>
struct BiasSum {
  int group;
  T* out;
};

template <class T>
struct WeightGradients {
  Source<T> sources[kMaxSources];
  Group<T> groups[kMaxGroups];
  WeightProduct<T> products[kMaxProducts];
  BiasSum<T> biases[kMaxBiases];
  int num_sources = 0, num_groups = 0, num_products = 0, num_biases = 0;
  std::int64_t rows = 0;    // batch * steps
  std::int64_t panels = 0;  // of all groups

  int add_source(std::int64_t width, Layout& layout, void* shared) {
    T* to = at_offset<T>(shared, layout.take<T>(narrow_panels<T>(width) * kTileRows * rows));
    sources[num_sources] = Source<T>{to, width};
    return num_sources++;
  }
  int add_group(std::int64_t column, std::int64_t width, Layout& layout, void* shared) {
    T* to = at_offset<T>(shared, layout.take<T>(padded_columns<T>(width) * rows));
    groups[num_groups] = Group<T>{to, column, width};
    panels += ceil_div(width, panel_columns<T>());
    return num_groups++;
  }
  void add_product(int source, int group, T* out, std::int64_t stride) {
    products[num_products++] = WeightProduct<T>{source, group, out, stride};
  }
  void add_bias(int group, T* out) { biases[num_biases++] = BiasSum<T>{group, out}; }

  std::int64_t chunks() const { return minimum(panels, kMaxChunks); }

  // Row r of source `index`, null for zeros.
  PYNN_INLINE void put_source(int index, std::int64_t r, const T* from) const {
    put_narrow(from, sources[index].width, rows, r, sources[index].panels);
  }
  // Row r of all groups from a row of gate gradients.
  PYNN_INLINE void put_groups(std::int64_t r, const T* from) const {
    for (int g = 0; g < num_groups; ++g) put_wide(from + groups[g].column, groups[g].width, rows, r, groups[g].panels);
  }

  // The chunks [begin, end), all their panels together block by block of rows: a block of the sources then stays in the L2 cache.
  void run(std::int64_t begin, std::int64_t end) const {
    const std::int64_t first = part_begin(panels, chunks(), begin), last = part_begin(panels, chunks(), end);
    std::int64_t row = 0;
    do {
      for_panels(first, last, [&](int group, std::int64_t q) { reduce(group, q, row); });
      row += kReductionBlock;
    } while (row < rows);
    for_panels(first, last, [&](int group, std::int64_t q) { sum(group, q); });
  }

 private:
  // visit(group, panel of it) for the panels [first, last) of all groups one after the other
  template <class Visit>
  void for_panels(std::int64_t first, std::int64_t last, Visit visit) const {
    for (int g = 0; g < num_groups && last > 0; ++g) {
      const std::int64_t own = ceil_div(groups[g].width, panel_columns<T>());
      for (std::int64_t q = first > 0 ? first : 0; q < minimum(own, last); ++q) visit(g, q);
      first -= own;
      last -= own;
    }
  }
  const T* panel(int group, std::int64_t q) const { return groups[group].panels + q * rows * panel_columns<T>(); }
  int columns(int group, std::int64_t q) const {
    return static_cast<int>(minimum(panel_columns<T>(), groups[group].width - q * panel_columns<T>()));
  }
  void reduce(int group, std::int64_t q, std::int64_t begin) const {
    for (int i = 0; i < num_products; ++i) {
      const WeightProduct<T>& product = products[i];
      if (product.group != group) continue;
      const Source<T>& source = sources[product.source];
      reduce_panel(source.panels, source.width, rows, panel(group, q), begin, product.out + q * panel_columns<T>(), product.stride,
                   columns(group, q));
    }
  }
  void sum(int group, std::int64_t q) const {
    for (int i = 0; i < num_biases; ++i)
      if (biases[i].group == group) sum_panel(panel(group, q), rows, biases[i].out + q * panel_columns<T>(), columns(group, q));
  }
};

// ---- the sequence -----------------------------------------------------------------------------------------------------

template <class T>
PYNN_INLINE T* operand(void* const* data, int index) {
  return data ? static_cast<T*>(data[index]) : nullptr;
}

// Where the rows of x, of the mask and of the states are. `step` counts in the order of processing.
template <class T>
struct Sequence {
  Geometry geometry;
  bool go_backwards;
  const T* x;
  const T* initial_h;
  const unsigned char* mask;

  std::int64_t time(std::int64_t step) const { return go_backwards ? geometry.steps - 1 - step : step; }
  std::int64_t row(std::int64_t b, std::int64_t step) const { return b * geometry.steps + step; }
  std::int64_t x_at(std::int64_t b, std::int64_t step) const { return row(b, time(step)) * geometry.features; }
  std::int64_t x_stride() const { return geometry.steps * geometry.features; }
  bool masked(std::int64_t b, std::int64_t step) const { return mask && !mask[row(b, time(step))]; }
  // The state before a step, from the states after every step and the initial one; null for zeros.
  const T* before(const T* states, const T* initial, std::int64_t b, std::int64_t step) const {
    if (step > 0) return states + row(b, step - 1) * geometry.units;
    return initial ? initial + b * geometry.units : nullptr;
  }
};

// The rows of a block: a balanced share of the batch.
struct RowBlock {
  std::int64_t first, rows;
};
PYNN_INLINE RowBlock row_block(std::int64_t batch, std::int64_t blocks, std::int64_t block) {
  const std::int64_t first = part_begin(batch, blocks, block);
  return RowBlock{first, part_begin(batch, blocks, block + 1) - first};
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
