// Long short-term memory over whole sequences, forward and backward. Gates i, f, c, o in column blocks of 4 * units.
//
//   [i f g o] = x_t kernel + bias + h recurrent_kernel;  i, f, o through recurrent_activation, g through activation
//   c = f c + i g;  h = o activation(c)
//
// Forward operands: x, kernel, recurrent_kernel, bias?, initial_h?, initial_c?, mask? -> h_sequence?, h_last, c_last, gates?,
// c_sequence?. Backward: the same inputs, h_sequence, gates, c_sequence, dh_sequence?, dh_last?, dc_last? -> dx?, d_kernel?,
// d_recurrent_kernel?, d_bias?, d_initial_h?, d_initial_c?. ints: activation, recurrent_activation, go_backwards.
//
// Sums: x_t kernel and h recurrent_kernel each from zero over their columns, then (x_t kernel + bias) + h recurrent_kernel.
// d_kernel and d_recurrent_kernel sum rows b * steps + s in blocks of kReductionBlock, d_bias as any column sum.
#include "kernels/recurrent_weights.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

struct LstmAttributes {
  std::int64_t activation, recurrent_activation;
  bool go_backwards;
};
PYNN_INLINE LstmAttributes lstm_attributes(const Problem* problem) {
  return LstmAttributes{problem->ints[0], problem->ints[1], problem->ints[2] != 0};
}
PYNN_INLINE bool knows_lstm(const Problem* problem) {
  const LstmAttributes attributes = lstm_attributes(problem);
  return knows_activation(attributes.activation) && knows_activation(attributes.recurrent_activation);
}

// Operands: the inputs of both passes, the outputs of the forward pass, what else the backward pass has.
enum LstmInput { kX, kKernel, kRecurrentKernel, kBias, kInitialH, kInitialC, kMask, kLstmInputs };
enum LstmOutput { kHSequence = kLstmInputs, kHLast, kCLast, kGates, kCSequence };
enum LstmBackward {
  kHStates = kLstmInputs, kGatesKept, kCStates, kDHSequence, kDHLast, kDCLast,
  kDX, kDKernel, kDRecurrentKernel, kDBias, kDInitialH, kDInitialC
};

template <class T>
Sequence<T> lstm_sequence(const Problem* problem, void* const* data) {
  return Sequence<T>{geometry_of(problem), lstm_attributes(problem).go_backwards, operand<T>(data, kX), operand<T>(data, kInitialH),
                     operand<unsigned char>(data, kMask)};
}

// ---- forward ------------------------------------------------------------------------------------------------------------

template <class T>
struct LstmForward {
  Sequence<T> sequence;
  LstmAttributes attributes;
  const T *bias, *initial_c;
  T *h_sequence, *h_last, *c_last, *gates, *c_sequence;
  PanelMatrix<T> kernel, recurrent_kernel;
  Packing<T> packing;
  Layout shared, scratch;
  std::int64_t blocks, z_stride, state_stride, z_at, h_at, c_at;
  double cost_ns;
};

template <class T>
LstmForward<T> lstm_forward(const Problem* problem, void* const* data, void* shared) {
  LstmForward<T> f{};
  const Geometry g = geometry_of(problem);
  f.attributes = lstm_attributes(problem);
  f.sequence = lstm_sequence<T>(problem, data);
  f.bias = operand<T>(data, kBias);
  f.initial_c = operand<T>(data, kInitialC);
  f.h_sequence = operand<T>(data, kHSequence);
  f.h_last = operand<T>(data, kHLast);
  f.c_last = operand<T>(data, kCLast);
  f.gates = operand<T>(data, kGates);
  f.c_sequence = operand<T>(data, kCSequence);
  const std::int64_t width = 4 * g.units;
  f.kernel = f.packing.pack_if_worth(operand<T>(data, kKernel), width, g.features, width, g.rows, f.shared, shared);
  const std::int64_t carried = recurrent_rows(g, present(problem, kInitialH));
  f.recurrent_kernel = f.packing.pack_if_worth(operand<T>(data, kRecurrentKernel), width, g.units, width, carried, f.shared, shared);
  f.cost_ns = sequence_cost_ns(g, 4, 1, 5);
  f.blocks = block_count(g.batch, f.cost_ns);
  f.z_stride = odd_stride<T>(width);
  f.state_stride = odd_stride<T>(g.units);
  const std::int64_t rows = block_rows(g.batch, f.blocks);
  f.z_at = f.scratch.template take<T>(input_rows(rows) * f.z_stride);
  f.h_at = f.scratch.template take<T>(rows * f.state_stride);
  f.c_at = f.scratch.template take<T>(rows * f.state_stride);
  return f;
}

// One row, one step: z (4 * units) holds the sums before the activations, h and c the state, which it advances.
template <class T, class Act, class Gate>
PYNN_INLINE void lstm_cell(const LstmForward<T>& f, std::int64_t b, std::int64_t step, const T* z, T* h, T* c, const Act& activation,
                           const Gate& gate) {
  typedef typename Simd<T>::V V;
  const std::int64_t units = f.sequence.geometry.units, at = f.sequence.row(b, step);
  T* gates = f.gates ? f.gates + at * 4 * units : nullptr;
  T* h_kept = f.h_sequence ? f.h_sequence + at * units : nullptr;
  T* c_kept = f.c_sequence ? f.c_sequence + at * units : nullptr;
  const bool masked = f.sequence.masked(b, step);
  for_vectors<T>(units, [&](std::int64_t j, int lanes) {
    const V i = gate.value(load_lanes<T>(z + j, lanes)), forget = gate.value(load_lanes<T>(z + units + j, lanes));
    const V candidate = activation.value(load_lanes<T>(z + 2 * units + j, lanes));
    const V o = gate.value(load_lanes<T>(z + 3 * units + j, lanes));
    if (gates) {
      store_lanes<T>(gates + j, i, lanes);
      store_lanes<T>(gates + units + j, forget, lanes);
      store_lanes<T>(gates + 2 * units + j, candidate, lanes);
      store_lanes<T>(gates + 3 * units + j, o, lanes);
    }
    V cell = load_lanes<T>(c + j, lanes), out;
    if (masked) {
      out = load_lanes<T>(h + j, lanes);
    } else {
      cell = forget * cell + i * candidate;
      out = o * activation.value(cell);
      store_lanes<T>(c + j, cell, lanes);
      store_lanes<T>(h + j, out, lanes);
    }
    if (h_kept) store_lanes<T>(h_kept + j, out, lanes);
    if (c_kept) store_lanes<T>(c_kept + j, cell, lanes);
  });
}

template <class T, class Act, class Gate>
PYNN_NOINLINE void lstm_cells(const LstmForward<T>& f, const RowBlock& part, std::int64_t step, const Rows<T>& z, const Rows<T>& h,
                              const Rows<T>& c, const Act& activation, const Gate& gate) {
  for (std::int64_t r = 0; r < part.rows; ++r) lstm_cell(f, part.first + r, step, z.row(r), h.row(r), c.row(r), activation, gate);
}

template <class T>
PYNN_INLINE ExpectedRows lstm_expected(const LstmForward<T>& f, const RowBlock& part, std::int64_t step) {
  const std::int64_t units = f.sequence.geometry.units;
  ExpectedRows expected;
  if (!expects(f.sequence, part, step)) return expected;
  expect<Use::kWrite>(expected, f.sequence, part, step, f.gates, 4 * units);
  expect<Use::kWrite>(expected, f.sequence, part, step, f.h_sequence, units);
  expect<Use::kWrite>(expected, f.sequence, part, step, f.c_sequence, units);
  return expected;
}

template <class T>
void lstm_block(const LstmForward<T>& f, std::int64_t block, void* scratch) {
  const Geometry& g = f.sequence.geometry;
  const RowBlock part = row_block(g.batch, f.blocks, block);
  const Rows<T> sums{at_offset<T>(scratch, f.z_at), f.z_stride};
  const Rows<T> h{at_offset<T>(scratch, f.h_at), f.state_stride}, c{at_offset<T>(scratch, f.c_at), f.state_stride};
  load_state(f.sequence.initial_h, part, g.units, h);
  load_state(f.initial_c, part, g.units, c);
  for (std::int64_t step = 0; step < g.steps; ++step) {
    const Rows<T> z = input_products(f.sequence, part, step, f.kernel, f.bias, sums);
    ExpectedRows expected = lstm_expected(f, part, step);
    if (step > 0 || f.sequence.initial_h) multiply_add(constant(h), part.rows, f.recurrent_kernel, z, {walk_of(step), &expected});
    with_activations<T>(f.attributes.activation, f.attributes.recurrent_activation,
                        [&](const auto& activation, const auto& gate) { lstm_cells(f, part, step, z, h, c, activation, gate); });
  }
  save_state(h, part, g.units, f.h_last);
  save_state(c, part, g.units, f.c_last);
}

template <class T>
bool prepare_lstm(const Problem* problem, Plan* plan) {
  if (!knows_lstm(problem)) return false;
  const LstmForward<T> f = lstm_forward<T>(problem, nullptr, nullptr);
  plan_forward(f, plan);
  return true;
}

template <class T>
void run_lstm(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const LstmForward<T> f = lstm_forward<T>(call->problem, call->data, call->shared);
  run_forward(f, call->plan, phase, begin, end, [&](std::int64_t block) { lstm_block(f, block, scratch); });
}

// ---- backward -----------------------------------------------------------------------------------------------------------

template <class T>
struct LstmGradient {
  Sequence<T> sequence;
  LstmAttributes attributes;
  const T *initial_c, *h_sequence, *gates, *c_sequence, *dh_sequence, *dh_last, *dc_last;
  T *dx, *d_initial_h, *d_initial_c;
  PanelMatrix<T> kernel_transposed, recurrent_transposed;
  Packing<T> packing;
  WeightGradients<T> weights;
  Layout shared, scratch;
  std::int64_t blocks, state_stride, dh_at, dc_at, row_at;
  double cost_ns;
};

template <class T>
void lstm_weight_gradients(LstmGradient<T>& f, const Problem* problem, void* const* data, void* shared) {
  const Geometry& g = f.sequence.geometry;
  const bool kernel = present(problem, kDKernel), recurrent = present(problem, kDRecurrentKernel), bias = present(problem, kDBias);
  if (!kernel && !recurrent && !bias) return;
  f.weights.rows = g.rows;
  const int gates = f.weights.add_group(0, 4 * g.units);
  add_inputs_and_states(f, kernel, recurrent, shared);
  if (kernel) f.weights.add_product(0, gates, operand<T>(data, kDKernel), 4 * g.units);
  if (recurrent) f.weights.add_product(1, gates, operand<T>(data, kDRecurrentKernel), 4 * g.units);
  if (bias) f.weights.add_bias(gates, operand<T>(data, kDBias));
}

template <class T>
LstmGradient<T> lstm_gradient(const Problem* problem, void* const* data, void* shared) {
  LstmGradient<T> f{};
  const Geometry g = geometry_of(problem);
  f.attributes = lstm_attributes(problem);
  f.sequence = lstm_sequence<T>(problem, data);
  f.h_sequence = operand<T>(data, kHStates);
  f.initial_c = operand<T>(data, kInitialC);
  f.gates = operand<T>(data, kGatesKept);
  f.c_sequence = operand<T>(data, kCStates);
  f.dh_sequence = operand<T>(data, kDHSequence);
  f.dh_last = operand<T>(data, kDHLast);
  f.dc_last = operand<T>(data, kDCLast);
  f.dx = operand<T>(data, kDX);
  f.d_initial_h = operand<T>(data, kDInitialH);
  f.d_initial_c = operand<T>(data, kDInitialC);
  const std::int64_t width = 4 * g.units;
  const T *kernel = operand<T>(data, kKernel), *recurrent = operand<T>(data, kRecurrentKernel);
  if (g.steps > 1 || present(problem, kDInitialH))
    f.recurrent_transposed = f.packing.pack(recurrent, width, width, g.units, true, f.shared, shared);
  if (present(problem, kDX)) f.kernel_transposed = f.packing.pack(kernel, width, width, g.features, true, f.shared, shared);
  f.weights.gates = gate_gradients<T>(g.rows, width, f.shared, shared);
  lstm_weight_gradients(f, problem, data, shared);
  f.cost_ns = sequence_cost_ns(g, 4, 2, 2);
  f.blocks = block_count(g.batch, f.cost_ns / 2);
  f.state_stride = odd_stride<T>(g.units);
  const std::int64_t rows = block_rows(g.batch, f.blocks);
  f.dh_at = f.scratch.template take<T>(rows * f.state_stride);
  f.dc_at = f.scratch.template take<T>(rows * f.state_stride);
  f.row_at = f.scratch.template take<T>(f.state_stride);
  return f;
}

// One row, one step back. dh and dc come as the gradients of the state after the step, dh without this step's own output. They
// leave as what a masked step hands through (dh, dc), else as (0, the part of dc that doesn't go through h); dz are the gate
// gradients.
template <class T, class Act, class Gate>
PYNN_INLINE void lstm_cell_back(const LstmGradient<T>& f, std::int64_t b, std::int64_t step, T* dz, T* dh, T* dc, const T* zeros,
                                const Act& activation, const Gate& gate) {
  typedef typename Simd<T>::V V;
  const std::int64_t units = f.sequence.geometry.units, at = f.sequence.row(b, step);
  const T* incoming = f.dh_sequence ? f.dh_sequence + at * units : zeros;
  if (f.sequence.masked(b, step)) {
    clear_row(dz, 4 * units);
    return add_elements(dh, incoming, dh, units);
  }
  const T *gates = f.gates + at * 4 * units, *cell = f.c_sequence + at * units;
  const T* before = f.sequence.before(f.c_sequence, f.initial_c, b, step);
  if (!before) before = zeros;
  for_vectors<T>(units, [&](std::int64_t j, int lanes) {
    const V i = load_lanes<T>(gates + j, lanes), forget = load_lanes<T>(gates + units + j, lanes);
    const V candidate = load_lanes<T>(gates + 2 * units + j, lanes), o = load_lanes<T>(gates + 3 * units + j, lanes);
    const V out = activation.value(load_lanes<T>(cell + j, lanes));
    const V d_output = load_lanes<T>(incoming + j, lanes) + load_lanes<T>(dh + j, lanes);
    const V d_cell = load_lanes<T>(dc + j, lanes) + d_output * o * activation.slope(out);
    store_lanes<T>(dz + j, d_cell * candidate * gate.slope(i), lanes);
    store_lanes<T>(dz + units + j, d_cell * load_lanes<T>(before + j, lanes) * gate.slope(forget), lanes);
    store_lanes<T>(dz + 2 * units + j, d_cell * i * activation.slope(candidate), lanes);
    store_lanes<T>(dz + 3 * units + j, d_output * out * gate.slope(o), lanes);
    store_lanes<T>(dc + j, d_cell * forget, lanes);
    store_lanes<T>(dh + j, zero<T>(), lanes);
  });
}

// What a block of the backward pass works on.
template <class T>
struct LstmWork {
  RowBlock part;
  Rows<T> dh, dc;
  T* zeros;
};

template <class T, class Act, class Gate>
PYNN_NOINLINE void lstm_cells_back(const LstmGradient<T>& f, const LstmWork<T>& work, std::int64_t step, const Rows<T>& dz,
                                   const Act& activation, const Gate& gate) {
  for (std::int64_t r = 0; r < work.part.rows; ++r)
    lstm_cell_back(f, work.part.first + r, step, dz.row(r), work.dh.row(r), work.dc.row(r), work.zeros, activation, gate);
}

// What the step back to `step` reads and writes.
template <class T>
PYNN_INLINE ExpectedRows lstm_expected(const LstmGradient<T>& f, const RowBlock& part, std::int64_t step) {
  const std::int64_t units = f.sequence.geometry.units;
  ExpectedRows expected;
  if (!expects(f.sequence, part, step)) return expected;
  expect<Use::kRead>(expected, f.sequence, part, step, f.gates, 4 * units);
  if (step > 0) expect<Use::kRead>(expected, f.sequence, part, step - 1, f.c_sequence, units);
  expect<Use::kRead>(expected, f.sequence, part, step, f.dh_sequence, units);
  expect_gate_gradients(expected, f, part, step, 4 * units);
  return expected;
}

template <class T>
void lstm_block_back(const LstmGradient<T>& f, std::int64_t block, void* scratch) {
  const Geometry& g = f.sequence.geometry;
  const RowBlock part = row_block(g.batch, f.blocks, block);
  const Rows<T> dh{at_offset<T>(scratch, f.dh_at), f.state_stride}, dc{at_offset<T>(scratch, f.dc_at), f.state_stride};
  const LstmWork<T> work{part, dh, dc, at_offset<T>(scratch, f.row_at)};
  clear_row(work.zeros, g.units);
  load_state(f.dh_last, part, g.units, dh);
  load_state(f.dc_last, part, g.units, dc);
  for (std::int64_t step = g.steps - 1; step >= 0; --step) {
    const Rows<T> dz = step_rows(f, part.first, step);
    with_activations<T>(f.attributes.activation, f.attributes.recurrent_activation,
                        [&](const auto& activation, const auto& gate) { lstm_cells_back(f, work, step, dz, activation, gate); });
    ExpectedRows expected = lstm_expected(f, part, step - 1);
    if (step > 0 || f.d_initial_h) multiply_add(constant(dz), part.rows, f.recurrent_transposed, dh, {walk_of(step), &expected});
    input_gradients<T>(f, part, step);
  }
  if (f.d_initial_h) save_state(dh, part, g.units, f.d_initial_h);
  if (f.d_initial_c) save_state(dc, part, g.units, f.d_initial_c);
}

template <class T>
bool prepare_lstm_grad(const Problem* problem, Plan* plan) {
  if (!knows_lstm(problem)) return false;
  const LstmGradient<T> f = lstm_gradient<T>(problem, nullptr, nullptr);
  plan_backward(f, plan);
  return true;
}

template <class T>
void run_lstm_grad(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const LstmGradient<T> f = lstm_gradient<T>(call->problem, call->data, call->shared);
  const auto sources = [&](std::int64_t b, std::int64_t step) { put_inputs_and_states(f, b, step); };
  run_backward(f, call->plan, phase, begin, end, sources, [&](std::int64_t block) { lstm_block_back(f, block, scratch); });
}

}  // namespace

PYNN_FLOAT_ENTRIES(lstm, prepare_lstm<T>(problem, plan), run_lstm<T>(call, phase, begin, end, scratch))
PYNN_FLOAT_ENTRIES(lstm_grad, prepare_lstm_grad<T>(problem, plan), run_lstm_grad<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(lstm)
PYNN_FLOAT_KERNELS(lstm_grad)
