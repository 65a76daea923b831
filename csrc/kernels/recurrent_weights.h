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
constexpr int kMaxProducts = 4;
constexpr int kMaxBiases = 4;
// Chunks of the phases around the blocks; few enough to cost nothing, enough to even out.
constexpr std::int64_t kMaxChunks = 8;

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
  PanelMatrix<T> pack(const T* from, std::int64_t stride, std::int64_t k, std::int64_t n, bool transposed, Layout& layout,
                      void* shared) {
    T* to = at_offset<T>(shared, layout.take<T>(k * padded_columns<T>(n)));
    items[count++] = PackedItem<T>{from, stride, k, n, to, transposed};
    panels += ceil_divide(n, panel_columns<T>());
    elements += k * n;
    return packed_matrix(static_cast<const T*>(to), k, n);
  }
  // The same, or the matrix where it lies if that is as good for products with `rows` rows in all.
  PanelMatrix<T> pack_if_worth(const T* from, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t rows,
                               Layout& layout, void* shared) {
    if (!rows || !worth_packing<T>(k, n, rows)) return plain_matrix(from, stride, k, n);
    return pack(from, stride, k, n, false, layout, shared);
  }
  std::int64_t chunks() const { return least(panels, kMaxChunks); }

  void run(std::int64_t begin, std::int64_t end) const {
    std::int64_t first = part_begin(panels, chunks(), begin), last = part_begin(panels, chunks(), end);
    for (int i = 0; i < count && last > 0; ++i) {
      const PackedItem<T>& item = items[i];
      const std::int64_t own = ceil_divide(item.n, panel_columns<T>());
      for (std::int64_t q = first > 0 ? first : 0; q < least(own, last); ++q) {
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

// What a weight gradient multiplies from the left, one row for each step of each batch row; `gathered` if it was copied there.
template <class T>
struct Source {
  Rows<T> rows;
  std::int64_t width;
  bool gathered;
};
// Gate gradients: `width` columns from column `column` of a row of them.
struct Group {
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
  Group groups[kMaxGroups];
  WeightProduct<T> products[kMaxProducts];
  BiasSum<T> biases[kMaxBiases];
  int num_sources = 0, num_groups = 0, num_products = 0, num_biases = 0;
  std::int64_t rows = 0;    // batch * steps
  std::int64_t panels = 0;  // of all groups
  Rows<T> gates{nullptr, 0};  // gate gradients, row b * steps + step

  // A source that lies as (rows, width) somewhere, or is gathered into the workspace where `from` is null.
  int add_source(const T* from, bool gathered, std::int64_t width, Layout& layout, void* shared) {
    Rows<T> lines{const_cast<T*>(from), width};
    if (gathered) {
      lines.stride = odd_stride<T>(width);
      lines.data = at_offset<T>(shared, layout.take<T>(rows * lines.stride));
    }
    sources[num_sources] = Source<T>{lines, width, gathered};
    return num_sources++;
  }
  int add_group(std::int64_t column, std::int64_t width) {
    groups[num_groups] = Group{column, width};
    panels += ceil_divide(width, panel_columns<T>());
    return num_groups++;
  }
  void add_product(int source, int group, T* out, std::int64_t stride) {
    products[num_products++] = WeightProduct<T>{source, group, out, stride};
  }
  void add_bias(int group, T* out) { biases[num_biases++] = BiasSum<T>{group, out}; }

  std::int64_t chunks() const { return least(panels, kMaxChunks); }
  bool gathers() const {
    for (int i = 0; i < num_sources; ++i)
      if (sources[i].gathered) return true;
    return false;
  }

  // Row r of source `index` if that is gathered, zeros where `from` is null.
  PYNN_INLINE void put_source(int index, std::int64_t r, const T* from) const {
    const Source<T>& source = sources[index];
    if (!source.gathered) return;
    if (from) copy_row(from, source.rows.row(r), source.width);
    else clear_row(source.rows.row(r), source.width);
  }

  // The chunks [begin, end), all their panels together block by block of rows: a block of the sources then stays in the L2 cache.
  void run(std::int64_t begin, std::int64_t end) const {
    const std::int64_t first = part_begin(panels, chunks(), begin), last = part_begin(panels, chunks(), end);
    std::int64_t row = 0;
    do {
      for_panels(first, last, [&](int group, std::int64_t q) { reduce(group, q, row); });
      row += kReductionBlock;
    } while (row < rows);
  }

 private:
  // visit(group, panel of it) for the panels [first, last) of all groups one after the other
  template <class Visit>
  void for_panels(std::int64_t first, std::int64_t last, Visit visit) const {
    for (int g = 0; g < num_groups && last > 0; ++g) {
      const std::int64_t own = ceil_divide(groups[g].width, panel_columns<T>());
      for (std::int64_t q = first > 0 ? first : 0; q < least(own, last); ++q) visit(g, q);
      first -= own;
      last -= own;
    }
  }
  Rows<const T> panel(int group, std::int64_t q, std::int64_t row) const {
    return {gates.row(row) + groups[group].column + q * panel_columns<T>(), gates.stride};
  }
  int columns(int group, std::int64_t q) const {
    return static_cast<int>(least(panel_columns<T>(), groups[group].width - q * panel_columns<T>()));
  }
  // One block of rows of a panel, against all that it takes part in.
  void reduce(int group, std::int64_t q, std::int64_t begin) const {
    const std::int64_t k = least(kReductionBlock, rows - begin);
    for (int i = 0; i < num_products; ++i) {
      const WeightProduct<T>& product = products[i];
      if (product.group != group) continue;
      const Source<T>& source = sources[product.source];
      const Rows<const T> from{source.rows.row(begin), source.rows.stride};
      const Rows<T> out{product.out + q * panel_columns<T>(), product.stride};
      reduce_panel(from, source.width, panel(group, q, begin), k, out, columns(group, q), begin == 0);
    }
    for (int i = 0; i < num_biases; ++i) {
      T* out = biases[i].out + q * panel_columns<T>();
      if (biases[i].group == group) sum_panel(panel(group, q, begin), k, out, columns(group, q), begin == 0);
    }
  }
};

// Gate gradients of all rows, `width` to a row, in the workspace: a product may read a whole panel from any column on.
template <class T>
PYNN_INLINE Rows<T> gate_gradients(std::int64_t rows, std::int64_t width, Layout& layout, void* shared) {
  const std::int64_t stride = odd_stride<T>(width);
  return {at_offset<T>(shared, layout.take<T>(rows * stride + panel_columns<T>())), stride};
}

// ---- the sequence -----------------------------------------------------------------------------------------------------

template <class T>
PYNN_INLINE T* operand(void* const* data, int index) {
  return data ? static_cast<T*>(data[index]) : nullptr;
}

// Rows of all products of the state with the recurrent kernel: without an initial state the first step has none.
PYNN_INLINE std::int64_t recurrent_rows(const Geometry& g, bool initial) { return g.rows - (initial ? 0 : g.batch); }

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
  // The features of all rows from row b on, at a step: in x or in another tensor of its shape.
  template <class U>
  Rows<U> x_rows(U* like_x, std::int64_t b, std::int64_t step) const {
    return {like_x + x_at(b, step), geometry.steps * geometry.features};
  }
  // The features of row b, from a step on.
  template <class U>
  Rows<U> x_steps(U* like_x, std::int64_t b, std::int64_t step) const {
    return {like_x + x_at(b, step), go_backwards ? -geometry.features : geometry.features};
  }
  bool masked(std::int64_t b, std::int64_t step) const { return mask && !mask[row(b, time(step))]; }
  // The state before a step, from the states after every step and the initial one; null for zeros.
  const T* before(const T* states, const T* initial, std::int64_t b, std::int64_t step) const {
    if (step > 0) return states + row(b, step - 1) * geometry.units;
    return initial ? initial + b * geometry.units : nullptr;
  }
};

// What a step keeps or takes up again lies in rows as far apart as a sequence is long, which no hardware prefetcher foresees; they are asked
// for while the product with the state runs. Not worth it where few rows share that product, nor where the states of all steps are less
// than this: then L2 has most of it, gates and their gradients included.
constexpr std::int64_t kExpectedRows = 5;
constexpr std::int64_t kExpectedStates = 256 << 10;
template <class T>
PYNN_INLINE bool expects(const Sequence<T>& sequence, const RowBlock& part, std::int64_t step) {
  const Geometry& g = sequence.geometry;
  return part.rows >= kExpectedRows && step >= 0 && g.rows * g.units * kSizeOf<T> >= kExpectedStates;
}
// Adds the rows of a block at a step of a (batch, steps, n) tensor, null for none.
template <Use kUse, class T>
PYNN_INLINE void expect(ExpectedRows& expected, const Sequence<T>& sequence, const RowBlock& part, std::int64_t step, const T* tensor,
                        std::int64_t n) {
  if (tensor) expected.add<kUse>(tensor + sequence.row(part.first, step) * n, sequence.geometry.steps * n, n, part.rows);
}

// Steps of a lone row whose products with the kernel are taken at once: the kernel is then read once for all of them.
constexpr std::int64_t kStepsAhead = 8;

// z = x_t kernel + bias of a block's rows at a step. Returns their rows, in z with room for kStepsAhead and for the block.
template <class T>
PYNN_INLINE Rows<T> input_products(const Sequence<T>& sequence, const RowBlock& part, std::int64_t step, const PanelMatrix<T>& kernel,
                                   const T* bias, const Rows<T>& z) {
  if (part.rows != 1) {
    multiply(sequence.x_rows(sequence.x, part.first, step), part.rows, kernel, z, bias);
    return z;
  }
  const std::int64_t ahead = step % kStepsAhead, left = sequence.geometry.steps - step;
  if (ahead == 0) multiply(sequence.x_steps(sequence.x, part.first, step), least(kStepsAhead, left), kernel, z, bias);
  return {z.row(ahead), z.stride};
}
PYNN_INLINE std::int64_t input_rows(std::int64_t rows) { return rows > kStepsAhead ? rows : kStepsAhead; }

// ---- phases -----------------------------------------------------------------------------------------------------------
//
// Forward: pack, blocks. Backward: pack and gather sources, blocks, weight gradients. A small call does them all in one.

template <class Forward>
void plan_forward(const Forward& f, Plan* plan) {
  plan->phases = f.cost_ns < kSingleNs ? 1 : 2;
  plan->chunks[0] = plan->phases == 1 ? 1 : f.packing.chunks();
  plan->chunks[1] = f.blocks;
  plan->shared_bytes = f.shared.bytes;
  plan->scratch_bytes = f.scratch.bytes;
  plan->cost_ns = f.cost_ns;
}

// run_block(block) for the blocks among the chunks [begin, end) of a phase, after packing.
template <class Forward, class RunBlock>
PYNN_INLINE void run_forward(const Forward& f, const Plan* plan, std::int32_t phase, std::int64_t begin, std::int64_t end,
                             RunBlock run_block) {
  if (plan->phases == 1) {
    f.packing.run(0, f.packing.chunks());
    begin = 0, end = f.blocks;
  } else if (phase == 0) {
    return f.packing.run(begin, end);
  }
  for (std::int64_t block = begin; block < end; ++block) run_block(block);
}

// Chunks of the rows of the sources, one for each block.
template <class Backward>
PYNN_INLINE std::int64_t source_chunks(const Backward& f) {
  return f.weights.gathers() ? f.blocks : 0;
}

template <class Backward>
void plan_backward(const Backward& f, Plan* plan) {
  plan->phases = f.cost_ns < kSingleNs ? 1 : 3;
  plan->chunks[0] = plan->phases == 1 ? 1 : f.packing.chunks() + source_chunks(f);
  plan->chunks[1] = f.blocks;
  plan->chunks[2] = f.weights.chunks();
  plan->shared_bytes = f.shared.bytes;
  plan->scratch_bytes = f.scratch.bytes;
  plan->cost_ns = f.cost_ns;
}

template <class Backward, class PutSources>
PYNN_INLINE void gather_sources(const Backward& f, std::int64_t begin, std::int64_t end, PutSources put_sources) {
  const Geometry& g = f.sequence.geometry;
  const std::int64_t last = part_begin(g.batch, source_chunks(f), end);
  for (std::int64_t b = part_begin(g.batch, source_chunks(f), begin); b < last; ++b)
    for (std::int64_t step = 0; step < g.steps; ++step) put_sources(b, step);
}

// put_sources(b, step) writes one row of every source; run_block(block) takes a block of rows through all steps.
template <class Backward, class PutSources, class RunBlock>
PYNN_INLINE void run_backward(const Backward& f, const Plan* plan, std::int32_t phase, std::int64_t begin, std::int64_t end,
                              PutSources put_sources, RunBlock run_block) {
  const bool single = plan->phases == 1;
  if (phase == 0) {
    const std::int64_t packed = f.packing.chunks();
    if (single) end = packed + source_chunks(f);
    f.packing.run(least(begin, packed), least(end, packed));
    if (end > packed) gather_sources(f, begin > packed ? begin - packed : 0, end - packed, put_sources);
  }
  if (single) begin = 0, end = f.blocks;
  if (phase == 1 || single)
    for (std::int64_t block = begin; block < end; ++block) run_block(block);
  if (single) end = f.weights.chunks();
  if (phase == 2 || single) f.weights.run(begin, end);
}

// Gate gradients of the batch rows from row b on, at a step.
template <class Backward>
PYNN_INLINE auto step_rows(const Backward& f, std::int64_t b, std::int64_t step) {
  auto rows = f.weights.gates;
  rows.data = rows.row(f.sequence.row(b, step));
  rows.stride *= f.sequence.geometry.steps;
  return rows;
}

// The gate gradients of a block's rows at a step will be written.
template <class Backward>
PYNN_INLINE void expect_gate_gradients(ExpectedRows& expected, const Backward& f, const RowBlock& part, std::int64_t step, std::int64_t n) {
  const auto rows = step_rows(f, part.first, step);
  expected.add<Use::kWrite>(rows.data, rows.stride, n, part.rows);
}

// dx of a block's rows at a step, from the gate gradients of that step and, for a lone row, of kStepsAhead steps at once, when the first of
// them has its own.
template <class T, class Backward>
PYNN_INLINE void input_gradients(const Backward& f, const RowBlock& part, std::int64_t step) {
  if (!f.dx) return;
  if (part.rows != 1)
    return multiply(constant(step_rows(f, part.first, step)), part.rows, f.kernel_transposed, f.sequence.x_rows(f.dx, part.first, step),
                    static_cast<const T*>(nullptr));
  if (step % kStepsAhead != 0) return;
  const Rows<const T> dz{f.weights.gates.row(f.sequence.row(part.first, step)), f.weights.gates.stride};
  multiply(dz, least(kStepsAhead, f.sequence.geometry.steps - step), f.kernel_transposed, f.sequence.x_steps(f.dx, part.first, step),
           static_cast<const T*>(nullptr));
}

// Sources 0 and 1 of a cell: x, where it lies if the steps go forwards, and the state before the step.
template <class Backward>
PYNN_INLINE void add_inputs_and_states(Backward& f, bool kernel, bool recurrent, void* shared) {
  const Geometry& g = f.sequence.geometry;
  f.weights.add_source(f.sequence.x, kernel && f.sequence.go_backwards, g.features, f.shared, shared);
  f.weights.add_source(nullptr, recurrent, g.units, f.shared, shared);
}
template <class Backward>
PYNN_INLINE void put_inputs_and_states(const Backward& f, std::int64_t b, std::int64_t step) {
  const std::int64_t r = f.sequence.row(b, step);
  f.weights.put_source(0, r, f.sequence.x + f.sequence.x_at(b, step));
  f.weights.put_source(1, r, f.sequence.before(f.h_sequence, f.sequence.initial_h, b, step));
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
