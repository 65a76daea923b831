// The fully connected recurrence over whole sequences, forward and backward.
//
//   h = activation((x_t kernel + bias) + h recurrent_kernel)
//
// Forward operands: x, kernel, recurrent_kernel, bias?, initial_h?, mask? -> h_sequence?, h_last. Backward: the same inputs,
// h_sequence, dh_sequence?, dh_last? -> dx?, d_kernel?, d_recurrent_kernel?, d_bias?, d_initial_h?.
// ints: activation, go_backwards. A masked step keeps h. Order of the sums as in lstm.cc.
#include "kernels/recurrent_weights.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Operands: the inputs of both passes, the outputs of the forward pass, what else the backward pass has.
enum RnnInput { kX, kKernel, kRecurrentKernel, kBias, kInitialH, kMask, kRnnInputs };
enum RnnOutput { kHSequence = kRnnInputs, kHLast };
enum RnnBackward { kHStates = kRnnInputs, kDHSequence, kDHLast, kDX, kDKernel, kDRecurrentKernel, kDBias, kDInitialH };

template <class T>
Sequence<T> simple_rnn_sequence(const Problem* problem, void* const* data) {
  return Sequence<T>{geometry_of(problem), problem->ints[1] != 0, operand<T>(data, kX), operand<T>(data, kInitialH),
                     operand<unsigned char>(data, kMask)};
}

// ---- forward ------------------------------------------------------------------------------------------------------------

template <class T>
struct SimpleRnnForward {
  Sequence<T> sequence;
  std::int64_t activation;
  const T* bias;
  T *h_sequence, *h_last;
  PanelMatrix<T> kernel, recurrent_kernel;
  Packing<T> packing;
  Layout shared, scratch;
  std::int64_t blocks, stride, z_at, h_at;
  double cost_ns;
};

template <class T>
SimpleRnnForward<T> simple_rnn_forward(const Problem* problem, void* const* data, void* shared) {
  SimpleRnnForward<T> f{};
  const Geometry g = geometry_of(problem);
  f.sequence = simple_rnn_sequence<T>(problem, data);
  f.activation = problem->ints[0];
  f.bias = operand<T>(data, kBias);
  f.h_sequence = operand<T>(data, kHSequence);
  f.h_last = operand<T>(data, kHLast);
  f.kernel = f.packing.pack_if_worth(operand<T>(data, kKernel), g.units, g.features, g.units, g.rows, f.shared, shared);
  const std::int64_t carried = recurrent_rows(g, present(problem, kInitialH));
  f.recurrent_kernel = f.packing.pack_if_worth(operand<T>(data, kRecurrentKernel), g.units, g.units, g.units, carried, f.shared, shared);
  f.cost_ns = sequence_cost_ns(g, 1, 1, 1);
  f.blocks = block_count(g.batch, f.cost_ns);
  f.stride = odd_stride<T>(g.units);
  const std::int64_t rows = block_rows(g.batch, f.blocks);
  f.z_at = f.scratch.template take<T>(input_rows(rows) * f.stride);
  f.h_at = f.scratch.template take<T>(rows * f.stride);
  return f;
}

// The state of a block's rows after a step, from the sums z.
template <class T, class Act>
PYNN_NOINLINE void simple_rnn_cells(const SimpleRnnForward<T>& f, const RowBlock& part, std::int64_t step, const Rows<T>& z,
                                    const Rows<T>& h, const Act& activation) {
  const std::int64_t units = f.sequence.geometry.units;
  for (std::int64_t r = 0; r < part.rows; ++r) {
    const std::int64_t b = part.first + r;
    const bool masked = f.sequence.masked(b, step);
    T* kept = f.h_sequence ? f.h_sequence + f.sequence.row(b, step) * units : nullptr;
    for_vectors<T>(units, [&](std::int64_t j, int lanes) {
      const typename Simd<T>::V next = masked ? load_lanes<T>(h.row(r) + j, lanes) : activation.value(load_lanes<T>(z.row(r) + j, lanes));
      store_lanes<T>(h.row(r) + j, next, lanes);
      if (kept) store_lanes<T>(kept + j, next, lanes);
    });
  }
}

template <class T>
void simple_rnn_block(const SimpleRnnForward<T>& f, std::int64_t block, void* scratch) {
  const Geometry& g = f.sequence.geometry;
  const RowBlock part = row_block(g.batch, f.blocks, block);
  const Rows<T> sums{at_offset<T>(scratch, f.z_at), f.stride}, h{at_offset<T>(scratch, f.h_at), f.stride};
  load_state(f.sequence.initial_h, part, g.units, h);
  for (std::int64_t step = 0; step < g.steps; ++step) {
    const Rows<T> z = input_products(f.sequence, part, step, f.kernel, f.bias, sums);
    ExpectedRows expected;
    if (expects(f.sequence, part, step)) expect<Use::kWrite>(expected, f.sequence, part, step, f.h_sequence, g.units);
    if (step > 0 || f.sequence.initial_h) multiply_add(constant(h), part.rows, f.recurrent_kernel, z, {walk_of(step), &expected});
    with_activations<T>(f.activation, kSigmoid,
                        [&](const auto& activation, const auto&) { simple_rnn_cells(f, part, step, z, h, activation); });
  }
  save_state(h, part, g.units, f.h_last);
}

template <class T>
bool prepare_simple_rnn(const Problem* problem, Plan* plan) {
  if (!knows_activation(problem->ints[0])) return false;
  const SimpleRnnForward<T> f = simple_rnn_forward<T>(problem, nullptr, nullptr);
  plan_forward(f, plan);
  return true;
}

template <class T>
void run_simple_rnn(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const SimpleRnnForward<T> f = simple_rnn_forward<T>(call->problem, call->data, call->shared);
  run_forward(f, call->plan, phase, begin, end, [&](std::int64_t block) { simple_rnn_block(f, block, scratch); });
}

// ---- backward -----------------------------------------------------------------------------------------------------------

template <class T>
struct SimpleRnnGradient {
  Sequence<T> sequence;
  std::int64_t activation;
  const T *h_sequence, *dh_sequence, *dh_last;
  T *dx, *d_initial_h;
  PanelMatrix<T> kernel_transposed, recurrent_transposed;
  Packing<T> packing;
  WeightGradients<T> weights;
  Layout shared, scratch;
  std::int64_t blocks, stride, dh_at;
  double cost_ns;
};

template <class T>
void simple_rnn_weight_gradients(SimpleRnnGradient<T>& f, const Problem* problem, void* const* data, void* shared) {
  const Geometry& g = f.sequence.geometry;
  const bool kernel = present(problem, kDKernel), recurrent = present(problem, kDRecurrentKernel), bias = present(problem, kDBias);
  if (!kernel && !recurrent && !bias) return;
  f.weights.rows = g.rows;
  const int dz = f.weights.add_group(0, g.units);
  add_inputs_and_states(f, kernel, recurrent, shared);
  if (kernel) f.weights.add_product(0, dz, operand<T>(data, kDKernel), g.units);
  if (recurrent) f.weights.add_product(1, dz, operand<T>(data, kDRecurrentKernel), g.units);
  if (bias) f.weights.add_bias(dz, operand<T>(data, kDBias));
}

template <class T>
SimpleRnnGradient<T> simple_rnn_gradient(const Problem* problem, void* const* data, void* shared) {
  SimpleRnnGradient<T> f{};
  const Geometry g = geometry_of(problem);
  f.sequence = simple_rnn_sequence<T>(problem, data);
  f.activation = problem->ints[0];
  f.h_sequence = operand<T>(data, kHStates);
  f.dh_sequence = operand<T>(data, kDHSequence);
  f.dh_last = operand<T>(data, kDHLast);
  f.dx = operand<T>(data, kDX);
  f.d_initial_h = operand<T>(data, kDInitialH);
  const T *kernel = operand<T>(data, kKernel), *recurrent = operand<T>(data, kRecurrentKernel);
  if (g.steps > 1 || present(problem, kDInitialH))
    f.recurrent_transposed = f.packing.pack(recurrent, g.units, g.units, g.units, true, f.shared, shared);
  if (present(problem, kDX)) f.kernel_transposed = f.packing.pack(kernel, g.units, g.units, g.features, true, f.shared, shared);
  f.weights.gates = gate_gradients<T>(g.rows, g.units, f.shared, shared);
  simple_rnn_weight_gradients(f, problem, data, shared);
  f.cost_ns = sequence_cost_ns(g, 1, 2, 0);
  f.blocks = block_count(g.batch, f.cost_ns / 2);
  f.stride = odd_stride<T>(g.units);
  const std::int64_t rows = block_rows(g.batch, f.blocks);
  f.dh_at = f.scratch.template take<T>(rows * f.stride);
  return f;
}

// One row, one step back. dh comes as the gradient of the state after the step, without the step's own output; it leaves as what
// a masked step hands through, else as 0.
template <class T, class Act>
PYNN_INLINE void simple_rnn_cell_back(const SimpleRnnGradient<T>& f, std::int64_t b, std::int64_t step, T* dz, T* dh,
                                      const Act& activation) {
  typedef typename Simd<T>::V V;
  const std::int64_t units = f.sequence.geometry.units, at = f.sequence.row(b, step) * units;
  const bool masked = f.sequence.masked(b, step);
  const T *incoming = f.dh_sequence ? f.dh_sequence + at : nullptr, *h = f.h_sequence + at;
  for_vectors<T>(units, [&](std::int64_t j, int lanes) {
    V d = load_lanes<T>(dh + j, lanes);
    if (incoming) d = load_lanes<T>(incoming + j, lanes) + d;
    store_lanes<T>(dz + j, masked ? zero<T>() : d * activation.slope(load_lanes<T>(h + j, lanes)), lanes);
    store_lanes<T>(dh + j, masked ? d : zero<T>(), lanes);
  });
}

// What the step back to `step` reads and writes.
template <class T>
PYNN_INLINE ExpectedRows simple_rnn_expected(const SimpleRnnGradient<T>& f, const RowBlock& part, std::int64_t step) {
  const std::int64_t units = f.sequence.geometry.units;
  ExpectedRows expected;
  if (!expects(f.sequence, part, step)) return expected;
  expect<Use::kRead>(expected, f.sequence, part, step, f.h_sequence, units);
  expect<Use::kRead>(expected, f.sequence, part, step, f.dh_sequence, units);
  expect_gate_gradients(expected, f, part, step, units);
  return expected;
}

template <class T>
void simple_rnn_block_back(const SimpleRnnGradient<T>& f, std::int64_t block, void* scratch) {
  const Geometry& g = f.sequence.geometry;
  const RowBlock part = row_block(g.batch, f.blocks, block);
  const Rows<T> dh{at_offset<T>(scratch, f.dh_at), f.stride};
  load_state(f.dh_last, part, g.units, dh);
  const AnyActivation<T> activation(f.activation);
  for (std::int64_t step = g.steps - 1; step >= 0; --step) {
    const Rows<T> dz = step_rows(f, part.first, step);
    for (std::int64_t r = 0; r < part.rows; ++r) simple_rnn_cell_back(f, part.first + r, step, dz.row(r), dh.row(r), activation);
    ExpectedRows expected = simple_rnn_expected(f, part, step - 1);
    if (step > 0 || f.d_initial_h) multiply_add(constant(dz), part.rows, f.recurrent_transposed, dh, {walk_of(step), &expected});
    input_gradients<T>(f, part, step);
  }
  if (f.d_initial_h) save_state(dh, part, g.units, f.d_initial_h);
}

template <class T>
bool prepare_simple_rnn_grad(const Problem* problem, Plan* plan) {
  if (!knows_activation(problem->ints[0])) return false;
  const SimpleRnnGradient<T> f = simple_rnn_gradient<T>(problem, nullptr, nullptr);
  plan_backward(f, plan);
  return true;
}

template <class T>
void run_simple_rnn_grad(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const SimpleRnnGradient<T> f = simple_rnn_gradient<T>(call->problem, call->data, call->shared);
  const auto sources = [&](std::int64_t b, std::int64_t step) { put_inputs_and_states(f, b, step); };
  const auto blocks = [&](std::int64_t block) { simple_rnn_block_back(f, block, scratch); };
  run_backward(f, call->plan, phase, begin, end, sources, blocks);
}

}  // namespace

PYNN_FLOAT_ENTRIES(simple_rnn, prepare_simple_rnn<T>(problem, plan), run_simple_rnn<T>(call, phase, begin, end, scratch))
PYNN_FLOAT_ENTRIES(simple_rnn_grad, prepare_simple_rnn_grad<T>(problem, plan), run_simple_rnn_grad<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(simple_rnn)
PYNN_FLOAT_KERNELS(simple_rnn_grad)
