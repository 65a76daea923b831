// Gated recurrent unit over whole sequences, forward and backward. Gates z, r, h in column blocks of 3 * units.
//
//   zx = x_t kernel + bias[0],  zh = h recurrent_kernel + bias[1]
//   z = gate(zx_z + zh_z),  r = gate(zx_r + zh_r)
//   reset_after:  candidate = activation(zx_h + r zh_h)
//   otherwise:    candidate = activation(zx_h + (r h) recurrent_kernel_h),  and zh has no bias
//   h = z h + (1 - z) candidate
//
// Forward operands: x, kernel, recurrent_kernel, bias? (2, 3 * units) or (3 * units), initial_h?, mask? -> h_sequence?, h_last,
// gates? (z, r, candidate and, with reset_after, zh_h). Backward: the same inputs, h_sequence, gates, dh_sequence?, dh_last? ->
// dx?, d_kernel?, d_recurrent_kernel?, d_bias?, d_initial_h?. ints: activation, recurrent_activation, reset_after, go_backwards.
// A masked step keeps h. Order of the sums as in lstm.cc.
#include "kernels/recurrent_weights.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

struct GruAttributes {
  std::int64_t activation, recurrent_activation;
  bool reset_after, go_backwards;
};
PYNN_INLINE GruAttributes gru_attributes(const Problem* problem) {
  return GruAttributes{problem->ints[0], problem->ints[1], problem->ints[2] != 0, problem->ints[3] != 0};
}
PYNN_INLINE bool knows_gru(const Problem* problem) {
  const GruAttributes attributes = gru_attributes(problem);
  return knows_activation(attributes.activation) && knows_activation(attributes.recurrent_activation);
}

// Operands: the inputs of both passes, the outputs of the forward pass, what else the backward pass has.
enum GruInput { kX, kKernel, kRecurrentKernel, kBias, kInitialH, kMask, kGruInputs };
enum GruOutput { kHSequence = kGruInputs, kHLast, kGates };
enum GruBackward { kHStates = kGruInputs, kGatesKept, kDHSequence, kDHLast, kDX, kDKernel, kDRecurrentKernel, kDBias, kDInitialH };

template <class T>
Sequence<T> gru_sequence(const Problem* problem, void* const* data) {
  return Sequence<T>{geometry_of(problem), gru_attributes(problem).go_backwards, operand<T>(data, kX), operand<T>(data, kInitialH),
                     operand<unsigned char>(data, kMask)};
}

// ---- forward ------------------------------------------------------------------------------------------------------------

template <class T>
struct GruForward {
  Sequence<T> sequence;
  GruAttributes attributes;
  const T *bias, *recurrent_bias;
  T *h_sequence, *h_last, *gates;
  PanelMatrix<T> kernel, recurrent_kernel, candidate_kernel;
  Packing<T> packing;
  Layout shared, scratch;
  std::int64_t blocks, z_stride, state_stride, zx_at, zh_at, h_at, reset_at;
  double cost_ns;
};

template <class T>
GruForward<T> gru_forward(const Problem* problem, void* const* data, void* shared) {
  GruForward<T> f{};
  const Geometry g = geometry_of(problem);
  f.sequence = gru_sequence<T>(problem, data);
  f.attributes = gru_attributes(problem);
  const bool after = f.attributes.reset_after;
  const std::int64_t width = 3 * g.units, inner = after ? width : 2 * g.units;
  f.bias = operand<T>(data, kBias);
  f.recurrent_bias = after && f.bias ? f.bias + width : nullptr;
  f.h_sequence = operand<T>(data, kHSequence);
  f.h_last = operand<T>(data, kHLast);
  f.gates = operand<T>(data, kGates);
  const T* recurrent = operand<T>(data, kRecurrentKernel);
  const T* last = recurrent ? recurrent + inner : nullptr;
  f.kernel = f.packing.pack_if_worth(operand<T>(data, kKernel), width, g.features, width, g.rows, f.shared, shared);
  const std::int64_t carried = recurrent_rows(g, present(problem, kInitialH));
  f.recurrent_kernel = f.packing.pack_if_worth(recurrent, width, g.units, inner, carried, f.shared, shared);
  if (!after) f.candidate_kernel = f.packing.pack_if_worth(last, width, g.units, g.units, carried, f.shared, shared);
  f.cost_ns = sequence_cost_ns(g, 3, 1, 3);
  f.blocks = block_count(g.batch, f.cost_ns);
  f.z_stride = odd_stride<T>(width);
  f.state_stride = odd_stride<T>(g.units);
  const std::int64_t rows = block_rows(g.batch, f.blocks);
  f.zx_at = f.scratch.template take<T>(input_rows(rows) * f.z_stride);
  f.zh_at = f.scratch.template take<T>(rows * f.z_stride);
  f.h_at = f.scratch.template take<T>(rows * f.state_stride);
  f.reset_at = f.scratch.template take<T>(after ? 0 : rows * f.state_stride);
  return f;
}

// Reset before the product, first half: the gates z and r of a row into zx, and reset = r h.
template <class T, class Gate>
PYNN_INLINE void gru_gates(const GruForward<T>& f, T* zx, const T* zh, const T* h, T* reset, const Gate& gate) {
  typedef typename Simd<T>::V V;
  const std::int64_t units = f.sequence.geometry.units;
  for_vectors<T>(units, [&](std::int64_t j, int lanes) {
    const V z = gate.value(load_lanes<T>(zx + j, lanes) + load_lanes<T>(zh + j, lanes));
    const V r = gate.value(load_lanes<T>(zx + units + j, lanes) + load_lanes<T>(zh + units + j, lanes));
    store_lanes<T>(zx + j, z, lanes);
    store_lanes<T>(zx + units + j, r, lanes);
    store_lanes<T>(reset + j, r * load_lanes<T>(h + j, lanes), lanes);
  });
}

// The candidate and the next state of a row, kept: after gru_gates, or all of it with the gates still to be computed (`after`).
template <class T, class Act, class Gate>
PYNN_INLINE void gru_state(const GruForward<T>& f, std::int64_t b, std::int64_t step, bool after, const T* zx, const T* zh, T* h,
                           const Act& activation, const Gate& gate) {
  typedef typename Simd<T>::V V;
  const std::int64_t units = f.sequence.geometry.units, at = f.sequence.row(b, step);
  T* h_kept = f.h_sequence ? f.h_sequence + at * units : nullptr;
  T* gates = f.gates ? f.gates + at * (after ? 4 : 3) * units : nullptr;
  const bool masked = f.sequence.masked(b, step);
  for_vectors<T>(units, [&](std::int64_t j, int lanes) {
    V z = load_lanes<T>(zx + j, lanes), r = load_lanes<T>(zx + units + j, lanes), candidate = load_lanes<T>(zx + 2 * units + j, lanes);
    V inner = candidate;
    if (after) {
      z = gate.value(z + load_lanes<T>(zh + j, lanes));
      r = gate.value(r + load_lanes<T>(zh + units + j, lanes));
      inner = load_lanes<T>(zh + 2 * units + j, lanes);
      candidate = candidate + r * inner;
    }
    candidate = activation.value(candidate);
    V next = load_lanes<T>(h + j, lanes);
    if (!masked) {
      next = z * next + (broadcast(T(1)) - z) * candidate;
      store_lanes<T>(h + j, next, lanes);
    }
    if (h_kept) store_lanes<T>(h_kept + j, next, lanes);
    if (!gates) return;
    store_lanes<T>(gates + j, z, lanes);
    store_lanes<T>(gates + units + j, r, lanes);
    store_lanes<T>(gates + 2 * units + j, candidate, lanes);
    if (after) store_lanes<T>(gates + 3 * units + j, inner, lanes);
  });
}

// What a block works on: rows of zx, zh, the state, and r h.
template <class T>
struct GruRows {
  RowBlock part;
  Rows<T> zx, zh, h, reset;
};

template <class T, class Act, class Gate>
PYNN_NOINLINE void gru_cells(const GruForward<T>& f, const GruRows<T>& work, std::int64_t step, bool first, const Act& activation,
                             const Gate& gate) {
  const RowBlock& part = work.part;
  const bool after = f.attributes.reset_after;
  if (!after) {
    for (std::int64_t r = 0; r < part.rows; ++r)
      gru_gates(f, work.zx.row(r), work.zh.row(r), work.h.row(r), work.reset.row(r), gate);
    const Rows<T> candidate{work.zx.data + 2 * f.sequence.geometry.units, work.zx.stride};
    if (!first) multiply_add(constant(work.reset), part.rows, f.candidate_kernel, candidate, {walk_of(step)});
  }
  for (std::int64_t r = 0; r < part.rows; ++r)
    gru_state(f, part.first + r, step, after, work.zx.row(r), work.zh.row(r), work.h.row(r), activation, gate);
}

template <class T>
PYNN_INLINE ExpectedRows gru_expected(const GruForward<T>& f, const RowBlock& part, std::int64_t step) {
  const std::int64_t units = f.sequence.geometry.units;
  ExpectedRows expected;
  if (!expects(f.sequence, part, step)) return expected;
  expect<Use::kWrite>(expected, f.sequence, part, step, f.gates, (f.attributes.reset_after ? 4 : 3) * units);
  expect<Use::kWrite>(expected, f.sequence, part, step, f.h_sequence, units);
  return expected;
}

template <class T>
void gru_block(const GruForward<T>& f, std::int64_t block, void* scratch) {
  const Geometry& g = f.sequence.geometry;
  const RowBlock part = row_block(g.batch, f.blocks, block);
  const Rows<T> zx{at_offset<T>(scratch, f.zx_at), f.z_stride}, zh{at_offset<T>(scratch, f.zh_at), f.z_stride};
  const Rows<T> h{at_offset<T>(scratch, f.h_at), f.state_stride}, reset{at_offset<T>(scratch, f.reset_at), f.state_stride};
  load_state(f.sequence.initial_h, part, g.units, h);
  for (std::int64_t step = 0; step < g.steps; ++step) {
    PanelMatrix<T> recurrent = f.recurrent_kernel;
    const bool first = step == 0 && !f.sequence.initial_h;
    if (first) recurrent.k = 0;  // h is zero
    const GruRows<T> work{part, input_products(f.sequence, part, step, f.kernel, f.bias, zx), zh, h, reset};
    ExpectedRows expected = gru_expected(f, part, step);
    multiply(constant(h), part.rows, recurrent, zh, f.recurrent_bias, {walk_of(step), &expected});
    with_activations<T>(f.attributes.activation, f.attributes.recurrent_activation,
                        [&](const auto& activation, const auto& gate) { gru_cells(f, work, step, first, activation, gate); });
  }
  save_state(h, part, g.units, f.h_last);
}

template <class T>
bool prepare_gru(const Problem* problem, Plan* plan) {
  if (!knows_gru(problem)) return false;
  const GruForward<T> f = gru_forward<T>(problem, nullptr, nullptr);
  plan_forward(f, plan);
  return true;
}

template <class T>
void run_gru(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const GruForward<T> f = gru_forward<T>(call->problem, call->data, call->shared);
  run_forward(f, call->plan, phase, begin, end, [&](std::int64_t block) { gru_block(f, block, scratch); });
}

// ---- backward -----------------------------------------------------------------------------------------------------------
//
// A row of gate gradients is [dz dr dzx_h] and, with reset_after, dzh_h behind them.

template <class T>
struct GruGradient {
  Sequence<T> sequence;
  GruAttributes attributes;
  const T *h_sequence, *gates, *dh_sequence, *dh_last;
  T *dx, *d_initial_h;
  PanelMatrix<T> kernel_transposed, gates_transposed, candidate_transposed;
  Packing<T> packing;
  WeightGradients<T> weights;
  Layout shared, scratch;
  std::int64_t blocks, state_stride, dh_at, product_at, row_at;
  double cost_ns;
};

// Groups: gates (dz, dr), candidate (dzx_h), with reset_after inner (dzh_h). Sources: x, h and, reset before, r h.
template <class T>
void gru_weight_gradients(GruGradient<T>& f, const Problem* problem, void* const* data, void* shared) {
  const std::int64_t units = f.sequence.geometry.units, width = 3 * units;
  const bool kernel = present(problem, kDKernel), recurrent = present(problem, kDRecurrentKernel), bias = present(problem, kDBias);
  if (!kernel && !recurrent && !bias) return;
  const bool after = f.attributes.reset_after;
  T *d_kernel = operand<T>(data, kDKernel), *d_recurrent = operand<T>(data, kDRecurrentKernel), *d_bias = operand<T>(data, kDBias);
  const auto behind = [](T* base, std::int64_t n) { return base ? base + n : nullptr; };
  f.weights.rows = f.sequence.geometry.rows;
  const int gates = f.weights.add_group(0, 2 * units);
  const int candidate = f.weights.add_group(2 * units, units);
  const int inner = after ? f.weights.add_group(3 * units, units) : candidate;
  add_inputs_and_states(f, kernel, recurrent, shared);
  const int x = 0, h = 1;
  const int reset = after ? h : f.weights.add_source(nullptr, recurrent, units, f.shared, shared);
  if (kernel) {
    f.weights.add_product(x, gates, d_kernel, width);
    f.weights.add_product(x, candidate, behind(d_kernel, 2 * units), width);
  }
  if (recurrent) {
    f.weights.add_product(h, gates, d_recurrent, width);
    f.weights.add_product(reset, inner, behind(d_recurrent, 2 * units), width);
  }
  if (!bias) return;
  f.weights.add_bias(gates, d_bias);
  f.weights.add_bias(candidate, behind(d_bias, 2 * units));
  if (!after) return;
  f.weights.add_bias(gates, behind(d_bias, width));
  f.weights.add_bias(inner, behind(d_bias, width + 2 * units));
}

template <class T>
GruGradient<T> gru_gradient(const Problem* problem, void* const* data, void* shared) {
  GruGradient<T> f{};
  const Geometry g = geometry_of(problem);
  f.sequence = gru_sequence<T>(problem, data);
  f.attributes = gru_attributes(problem);
  f.h_sequence = operand<T>(data, kHStates);
  f.gates = operand<T>(data, kGatesKept);
  f.dh_sequence = operand<T>(data, kDHSequence);
  f.dh_last = operand<T>(data, kDHLast);
  f.dx = operand<T>(data, kDX);
  f.d_initial_h = operand<T>(data, kDInitialH);
  const T *kernel = operand<T>(data, kKernel), *recurrent = operand<T>(data, kRecurrentKernel);
  const T* candidate = recurrent ? recurrent + 2 * g.units : nullptr;
  const std::int64_t width = 3 * g.units;
  const bool carried = g.steps > 1 || present(problem, kDInitialH);  // a gradient of the state before some step is wanted
  if (carried) f.gates_transposed = f.packing.pack(recurrent, width, 2 * g.units, g.units, true, f.shared, shared);
  if (carried || !f.attributes.reset_after)
    f.candidate_transposed = f.packing.pack(candidate, width, g.units, g.units, true, f.shared, shared);
  if (present(problem, kDX)) f.kernel_transposed = f.packing.pack(kernel, width, width, g.features, true, f.shared, shared);
  f.weights.gates = gate_gradients<T>(g.rows, (f.attributes.reset_after ? 4 : 3) * g.units, f.shared, shared);
  gru_weight_gradients(f, problem, data, shared);
  f.cost_ns = sequence_cost_ns(g, 3, 2, 0);
  f.blocks = block_count(g.batch, f.cost_ns / 2);
  f.state_stride = odd_stride<T>(g.units);
  const std::int64_t rows = block_rows(g.batch, f.blocks);
  f.dh_at = f.scratch.template take<T>(rows * f.state_stride);
  f.product_at = f.scratch.template take<T>(f.attributes.reset_after ? 0 : rows * f.state_stride);
  f.row_at = f.scratch.template take<T>(f.state_stride);
  return f;
}

// One row, one step back, up to the reset gate: dz, dzx_h and, with reset_after, dr and dzh_h. dh comes as the gradient by the
// state after the step, without the step's own output; it leaves as the part that doesn't go through a product: all if masked.
template <class T, class Act, class Gate>
PYNN_INLINE void gru_cell_back(const GruGradient<T>& f, std::int64_t b, std::int64_t step, const T* before, T* dz, T* dh,
                               const Act& activation, const Gate& gate) {
  typedef typename Simd<T>::V V;
  const std::int64_t units = f.sequence.geometry.units, at = f.sequence.row(b, step);
  const bool after = f.attributes.reset_after;
  const T* incoming = f.dh_sequence ? f.dh_sequence + at * units : nullptr;
  if (f.sequence.masked(b, step)) {
    if (incoming) add_elements(incoming, dh, dh, units);
    return clear_row(dz, (after ? 4 : 3) * units);
  }
  const T* gates = f.gates + at * (after ? 4 : 3) * units;
  for_vectors<T>(units, [&](std::int64_t j, int lanes) {
    const V update = load_lanes<T>(gates + j, lanes), candidate = load_lanes<T>(gates + 2 * units + j, lanes);
    V d = load_lanes<T>(dh + j, lanes);
    if (incoming) d = load_lanes<T>(incoming + j, lanes) + d;
    const V d_candidate = d * (broadcast(T(1)) - update) * activation.slope(candidate);
    store_lanes<T>(dz + j, d * (load_lanes<T>(before + j, lanes) - candidate) * gate.slope(update), lanes);
    store_lanes<T>(dz + 2 * units + j, d_candidate, lanes);
    store_lanes<T>(dh + j, d * update, lanes);
    if (!after) return;
    const V reset = load_lanes<T>(gates + units + j, lanes), inner = load_lanes<T>(gates + 3 * units + j, lanes);
    store_lanes<T>(dz + units + j, d_candidate * inner * gate.slope(reset), lanes);
    store_lanes<T>(dz + 3 * units + j, d_candidate * reset, lanes);
  });
}

// Reset before the product: dr and the part of dh behind it, from the gradient by r h.
template <class T, class Gate>
PYNN_INLINE void gru_reset_back(const GruGradient<T>& f, std::int64_t b, std::int64_t step, const T* before, const T* product, T* dz,
                                T* dh, const Gate& gate) {
  typedef typename Simd<T>::V V;
  const std::int64_t units = f.sequence.geometry.units;
  if (f.sequence.masked(b, step)) return;
  const T* gates = f.gates + f.sequence.row(b, step) * 3 * units;
  for_vectors<T>(units, [&](std::int64_t j, int lanes) {
    const V reset = load_lanes<T>(gates + units + j, lanes), d = load_lanes<T>(product + j, lanes);
    store_lanes<T>(dz + units + j, d * load_lanes<T>(before + j, lanes) * gate.slope(reset), lanes);
    store_lanes<T>(dh + j, load_lanes<T>(dh + j, lanes) + d * reset, lanes);
  });
}

// What a block of the backward pass works on.
template <class T>
struct GruWork {
  RowBlock part;
  Rows<T> dh, product;
  T* zeros;
};

// All rows of a block, one step back: the gate gradients.
template <class T, class Act, class Gate>
PYNN_NOINLINE void gru_cells_back(const GruGradient<T>& f, const GruWork<T>& work, std::int64_t step, const Rows<T>& dz,
                                  const Act& activation, const Gate& gate) {
  const std::int64_t units = f.sequence.geometry.units, first = work.part.first, rows = work.part.rows;
  const auto before = [&](std::int64_t r) {
    const T* state = f.sequence.before(f.h_sequence, f.sequence.initial_h, first + r, step);
    return state ? state : work.zeros;
  };
  for (std::int64_t r = 0; r < rows; ++r)
    gru_cell_back(f, first + r, step, before(r), dz.row(r), work.dh.row(r), activation, gate);
  if (!f.attributes.reset_after) {
    multiply<T>(Rows<const T>{dz.data + 2 * units, dz.stride}, rows, f.candidate_transposed, work.product, nullptr);
    for (std::int64_t r = 0; r < rows; ++r)
      gru_reset_back(f, first + r, step, before(r), work.product.row(r), dz.row(r), work.dh.row(r), gate);
  }
}

// What the step back to `step` reads and writes.
template <class T>
PYNN_INLINE ExpectedRows gru_expected(const GruGradient<T>& f, const RowBlock& part, std::int64_t step) {
  const std::int64_t units = f.sequence.geometry.units, kept = (f.attributes.reset_after ? 4 : 3) * units;
  ExpectedRows expected;
  if (!expects(f.sequence, part, step)) return expected;
  expect<Use::kRead>(expected, f.sequence, part, step, f.gates, kept);
  if (step > 0) expect<Use::kRead>(expected, f.sequence, part, step - 1, f.h_sequence, units);
  expect<Use::kRead>(expected, f.sequence, part, step, f.dh_sequence, units);
  expect_gate_gradients(expected, f, part, step, kept);
  return expected;
}

template <class T>
void gru_block_back(const GruGradient<T>& f, std::int64_t block, void* scratch) {
  const Geometry& g = f.sequence.geometry;
  const Rows<T> dh{at_offset<T>(scratch, f.dh_at), f.state_stride};
  const Rows<T> product{at_offset<T>(scratch, f.product_at), f.state_stride};
  const GruWork<T> work{row_block(g.batch, f.blocks, block), dh, product, at_offset<T>(scratch, f.row_at)};
  const std::int64_t rows = work.part.rows;
  clear_row(work.zeros, g.units);
  load_state(f.dh_last, work.part, g.units, dh);
  for (std::int64_t step = g.steps - 1; step >= 0; --step) {
    const Rows<T> dz = step_rows(f, work.part.first, step);
    with_activations<T>(f.attributes.activation, f.attributes.recurrent_activation,
                        [&](const auto& activation, const auto& gate) { gru_cells_back(f, work, step, dz, activation, gate); });
    ExpectedRows expected = gru_expected(f, work.part, step - 1);
    if (step > 0 || f.d_initial_h) {
      multiply_add(constant(dz), rows, f.gates_transposed, dh, {walk_of(step), &expected});
      if (f.attributes.reset_after)
        multiply_add(Rows<const T>{dz.data + 3 * g.units, dz.stride}, rows, f.candidate_transposed, dh, {walk_of(step)});
    }
    input_gradients<T>(f, work.part, step);
  }
  if (f.d_initial_h) save_state(dh, work.part, g.units, f.d_initial_h);
}

// Source 2, reset before the product: r h.
template <class T>
PYNN_INLINE void put_reset_states(const GruGradient<T>& f, std::int64_t b, std::int64_t step, T* row) {
  const std::int64_t units = f.sequence.geometry.units, r = f.sequence.row(b, step);
  const T* before = f.sequence.before(f.h_sequence, f.sequence.initial_h, b, step);
  if (before && f.weights.sources[2].gathered) multiply_elements(f.gates + r * 3 * units + units, before, row, units);
  f.weights.put_source(2, r, before ? row : nullptr);
}

template <class T>
bool prepare_gru_grad(const Problem* problem, Plan* plan) {
  if (!knows_gru(problem)) return false;
  const GruGradient<T> f = gru_gradient<T>(problem, nullptr, nullptr);
  plan_backward(f, plan);
  return true;
}

template <class T>
void run_gru_grad(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const GruGradient<T> f = gru_gradient<T>(call->problem, call->data, call->shared);
  const auto sources = [&](std::int64_t b, std::int64_t step) {
    put_inputs_and_states(f, b, step);
    if (!f.attributes.reset_after) put_reset_states(f, b, step, at_offset<T>(scratch, f.row_at));
  };
  run_backward(f, call->plan, phase, begin, end, sources, [&](std::int64_t block) { gru_block_back(f, block, scratch); });
}

}  // namespace

PYNN_FLOAT_ENTRIES(gru, prepare_gru<T>(problem, plan), run_gru<T>(call, phase, begin, end, scratch))
PYNN_FLOAT_ENTRIES(gru_grad, prepare_gru_grad<T>(problem, plan), run_gru_grad<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(gru)
PYNN_FLOAT_KERNELS(gru_grad)
