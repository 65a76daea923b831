// The elementwise kernel: a small program over operands that broadcast, executed strip by strip so that what lies between two
// instructions stays in registers.
//
//   ints    number of instructions; opcode, a, b, c of each; then one register for each output
//   floats  two immediates for each instruction
//
// Registers are the inputs, then the results of the instructions. Inputs are of the kernel's type T or bool, u8, i32, i64
// (converted to T); outputs T or bool (true where the register isn't 0). An output may be an input of the same shape and type.
// A register that has one value for the whole block (a scalar operand, or computed from such) is kept as one number.
#pragma once

#include "kernels/elementwise_micro.h"
#include "kernels/elementwise_operands.h"
#include "kernels/elementwise_small.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- prepare ----------------------------------------------------------------------------------------------------------

template <class T>
bool dtypes_covered(const Problem& problem, bool bools_only) {
  for (int k = 0; k < problem.num_inputs + problem.num_outputs; ++k) {
    const std::int32_t dtype = problem.specs[k].dtype;
    const bool is_input = k < problem.num_inputs;
    if (problem.specs[k].rank < 0 || (bools_only && dtype != kBool)) return false;
    if (dtype == dtype_of<T>() || dtype == kBool) continue;
    if (!is_input || dtype == kF32 || dtype == kF64) return false;
  }
  return true;
}

PYNN_INLINE bool code_is_valid(const Problem& problem) {
  const std::int64_t count = problem.num_ints > 0 ? problem.ints[0] : 0;
  if (problem.num_inputs > kMaxInputs || problem.num_outputs < 1 || problem.num_outputs > kMaxOutputs) return false;
  if (count < 1 || count > kMaxInstructions) return false;
  if (problem.num_ints != 1 + 4 * count + problem.num_outputs || problem.num_floats != 2 * count) return false;
  const Code code(problem);
  for (int i = 0; i < code.count; ++i) {
    if (!is_opcode(code.opcode(i))) return false;
    for (int k = 0; k < arity_of(code.opcode(i)); ++k)
      if (code.operand(i, k) < 0 || code.operand(i, k) >= code.inputs + i) return false;
  }
  for (int k = 0; k < code.outputs; ++k)
    if (code.output(k) < 0 || code.output(k) >= code.registers()) return false;
  return true;
}

PYNN_INLINE bool outputs_have_one_shape(const Problem& problem) {
  const Spec* out = problem.specs + problem.num_inputs;
  for (int k = 1; k < problem.num_outputs; ++k) {
    if (out[k].rank != out[0].rank) return false;
    for (int axis = 0; axis < out[0].rank; ++axis)
      if (out[k].dims[axis] != out[0].dims[axis]) return false;
  }
  return true;
}

// Nanoseconds for one element of float.
template <class T>
PYNN_INLINE double instruction_cost(int opcode) {
  return runs_by_lanes<T>(opcode) ? 6 : is_rare(opcode) ? 1.5 : is_smooth(opcode) ? 0.5 : 0.02;
}

template <class T>
double cost_per_element(const Problem& problem) {
  const Code code(problem);
  double bytes = 0, work = 0;
  for (int k = 0; k < problem.num_inputs + problem.num_outputs; ++k)
    bytes += problem.specs[k].size > 1 ? static_cast<double>(dtype_bytes(problem.specs[k].dtype)) : 0;
  for (int i = 0; i < code.count; ++i) work += instruction_cost<T>(code.opcode(i)) * static_cast<double>(sizeof(T)) / 4;
  return bytes / kBytesPerNs + work;
}

constexpr std::int64_t kCopiedBytes = 16 << 10;  // of all copies of inputs together: half of a 32 KB first-level cache

// Elements of a block: where inputs are copied, a multiple of the rows that repeat, so that these need unrolling once only; else all.
template <class T>
std::int64_t block_length(const Problem& problem, const Layout& layout) {
  const int copies = count_copied<T>(problem, layout);
  if (!copies) return most(layout.size, 1);
  std::int64_t block = kCopiedBytes / (kSizeOf<T> * copies);
  block = most(strip_length<T>(), least(block, kMaxBlock) / strip_length<T>() * strip_length<T>());
  if (layout.rank > 1 && layout.size > 0 && !rows_are_wide<T>(layout) && layout.inner() <= block) return block / layout.inner() * layout.inner();
  return block;
}

template <class T>
std::int64_t scratch_bytes(const Problem& problem, const Layout& layout, std::int64_t block) {
  std::int64_t elements = Code(problem).count * strip_length<T>();
  for (int k = 0; k < problem.num_inputs; ++k) elements += room_for<T>(way_of<T>(problem, layout, k), block);
  return elements * kSizeOf<T>;
}

template <class T>
bool prepare_program(const Problem* problem, Plan* plan, bool bools_only) {
  Layout layout;
  if (!code_is_valid(*problem) || !dtypes_covered<T>(*problem, bools_only)) return false;
  if (!outputs_have_one_shape(*problem) || !make_layout(*problem, &layout)) return false;
  layout.save(plan);
  const std::int64_t block = block_length<T>(*problem, layout);
  plan->params[kBlockParam] = block;
  const double cost = cost_per_element<T>(*problem);
  plan->params[kChunkParam] = split(plan, 0, layout.size, static_cast<std::int64_t>(2500 / cost), least(block, kMaxBlock));
  plan->cost_ns = cost * static_cast<double>(layout.size);
  if (has_micro_form<T>(*problem, layout)) plan->micro = micro_elementwise<T>;
  if (prepare_direct<T>(*problem, layout, plan) || prepare_small<T>(*problem, layout, plan)) return true;
  plan->scratch_bytes = scratch_bytes<T>(*problem, layout, block);
  return true;
}

// ---- run --------------------------------------------------------------------------------------------------------------

template <class T>
struct Machine {
  const Call* call;
  Code code;
  Operands<T> operands;
  bool in_place;                  // an output is an input
  bool started = false;           // the registers of numbers are computed
  bool has_functions = false;
  void* data[kMaxRegisters + kMaxOutputs];  // of the block: the registers, then the outputs
  bool scalar[kMaxRegisters];
  BlockFunction<T> functions[kMaxInstructions];
  StripStep<T> steps[kMaxSteps];

  Machine(const Call* c, void* scratch) : call(c), code(*c->problem), operands(c, static_cast<T*>(scratch) + code.count * strip_length<T>()) {
    for (int k = 0; k < code.inputs; ++k) scalar[k] = operands.way[k] == kOneNumber;
    for (int i = 0; i < code.count; ++i) {
      scalar[code.inputs + i] = scalars_of(i) == (1 << arity_of(code.opcode(i))) - 1;
      data[code.inputs + i] = static_cast<T*>(scratch) + i * strip_length<T>();
    }
    in_place = writes_an_input();
    write_steps();
  }

  std::int32_t dtype(int operand) const { return call->problem->specs[operand].dtype; }

  bool writes_an_input() const {
    for (int out = code.inputs; out < code.inputs + code.outputs; ++out)
      for (int k = 0; k < code.inputs; ++k)
        if (call->data[k] == call->data[out]) return true;
    return false;
  }

  int scalars_of(int i) const {
    int scalars = 0;
    for (int k = 0; k < arity_of(code.opcode(i)); ++k) scalars |= scalar[code.operand(i, k)] ? 1 << k : 0;
    return scalars;
  }

  void write_steps() {
    bool truth[kMaxOutputs];
    for (int k = 0; k < code.outputs; ++k) truth[k] = dtype(code.inputs + k) == kBool;
    StripWriter<T>(code, scalar, !in_place, steps).write(truth);
  }

  // ---- a rest shorter than a strip, instruction by instruction ----

  void choose_functions() {
    for (int i = 0; i < code.count; ++i) {
      const int r = code.inputs + i;
      functions[i] = find_block_function<T>(code.opcode(i), scalar[r] ? 0 : scalars_of(i));
    }
    has_functions = true;
  }

  // A register's values from an element of the block on: those of instructions begin at the rest.
  const T* values_of(int r, std::int64_t from) const { return static_cast<const T*>(data[r]) + (r < code.inputs && !scalar[r] ? from : 0); }

  const T* operand(int i, int k, std::int64_t from) const {
    return k < arity_of(code.opcode(i)) ? values_of(code.operand(i, k), from) : nullptr;
  }

  T* register_of(int i) const { return static_cast<T*>(data[code.inputs + i]); }

  void execute(int i, std::int64_t from, std::int64_t n) {
    functions[i](operand(i, 0, from), operand(i, 1, from), operand(i, 2, from), register_of(i), n, static_cast<T>(code.floats[2 * i]),
                 static_cast<T>(code.floats[2 * i + 1]));
  }

  // Registers computed from numbers alone.
  void compute_numbers() {
    for (int i = 0; i < code.count; ++i) {
      if (!scalar[code.inputs + i]) continue;
      if (!has_functions) choose_functions();
      execute(i, 0, 1);
      repeat_run(register_of(i), *register_of(i), strip_length<T>());
    }
    started = true;
  }

  void run_rest(std::int64_t at, std::int64_t from, std::int64_t n) {
    if (!has_functions) choose_functions();
    for (int i = 0; i < code.count; ++i)
      if (!scalar[code.inputs + i]) execute(i, from, n);
    for (int k = 0; k < code.outputs; ++k)
      store_run(call->data[code.inputs + k], dtype(code.inputs + k), at + from, values_of(code.output(k), from), n);
  }

  // ---- blocks ----

  void* output_at(int k, std::int64_t at) const {
    const int operand = code.inputs + k;
    return static_cast<char*>(call->data[operand]) + at * dtype_bytes(dtype(operand));
  }

  void run_strip(std::int64_t from) const {
    const typename Simd<T>::V none = zero<T>();
    steps->run(steps, data, from, none, none, none, none, none, none, none, none);
  }

  // A strip that reaches back over elements done already gives them the same values, unless it reads what it has written.
  void run_block_at(std::int64_t at, std::int64_t column, std::int64_t n) {
    for (int k = 0; k < code.inputs; ++k) data[k] = const_cast<T*>(operands.load_block(k, at, column, n));
    for (int k = 0; k < code.outputs; ++k) data[code.registers() + k] = output_at(k, at);
    if (!started || operands.wide) compute_numbers();
    const std::int64_t strip = strip_length<T>();
    std::int64_t done = 0;
    for (; done + strip <= n; done += strip) run_strip(done);
    if (done == n) return;
    if (n >= strip && !in_place) run_strip(n - strip);
    else run_rest(at, done, n - done);
  }

  // Elements [range) that lie in one row of the output.
  void run_row(std::int64_t row_start, Range range) {
    for (std::int64_t at = range.first; at < range.last; at += operands.block)
      run_block_at(at, at - row_start, least(operands.block, range.last - at));
  }
};

template <class T>
void run_blocks(const Call* call, Range range, void* scratch) {
  Machine<T> machine(call, scratch);
  Operands<T>& operands = machine.operands;
  if (!operands.wide) return machine.run_row(0, range);
  const std::int64_t length = operands.layout.inner();
  std::int64_t start = range.first / length * length;
  operands.seek_row(range.first / length);
  for (; start < range.last; start += length, operands.next_row())
    machine.run_row(start, {most(range.first, start), least(range.last, start + length)});
}

template <class T>
void run_program(const Call* call, std::int64_t begin, std::int64_t end, void* scratch) {
  const Plan& plan = *call->plan;
  const Layout layout = Layout::restored(plan);
  run_blocks<T>(call, chunk_range(begin, end, plan.params[kChunkParam], layout.size), scratch);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
