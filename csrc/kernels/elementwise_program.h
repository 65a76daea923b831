// The elementwise kernel: a small program over operands that broadcast, executed block by block so that what lies between two
// instructions stays in the cache.
//
//   ints    number of instructions; opcode, a, b, c of each; then one register for each output
//   floats  two immediates for each instruction
//
// Registers are the inputs, then the results of the instructions. Inputs are of the kernel's type T or bool, u8, i32, i64
// (converted to T); outputs T or bool (true where the register isn't 0). An output may be an input of the same shape and type.
// A register that has one value for the whole block (a scalar operand, or computed from such) is kept as one number.
#pragma once

#include "kernels/elementwise_micro.h"

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
  if (problem.num_inputs > kMaxInputs || problem.num_outputs < 1 || count < 1 || count > kMaxInstructions) return false;
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
PYNN_INLINE double instruction_cost(int opcode) { return runs_by_lanes(opcode) ? 6 : is_smooth(opcode) ? 0.5 : 0.05; }

template <class T>
double cost_per_element(const Problem& problem) {
  const Code code(problem);
  double bytes = 0, work = 0;
  for (int k = 0; k < problem.num_inputs + problem.num_outputs; ++k)
    bytes += problem.specs[k].size > 1 ? static_cast<double>(dtype_bytes(problem.specs[k].dtype)) : 0;
  for (int i = 0; i < code.count; ++i) work += instruction_cost(code.opcode(i)) * static_cast<double>(sizeof(T)) / 4;
  return bytes / 30 + work;
}

// Blocks are multiples of the rows that repeated operands have, so that these need unrolling once only.
template <class T>
std::int64_t block_length(const Layout& layout, const Code& code) {
  std::int64_t block = kRegisterBytes / (static_cast<std::int64_t>(sizeof(T)) * code.registers()) - kPad;
  block = most(kPad, least(block, kMaxBlock) / kPad * kPad);
  if (layout.rank > 1 && layout.size > 0 && layout.inner() < kWideRow && layout.inner() <= block) return block / layout.inner() * layout.inner();
  return block;
}

template <class T>
bool prepare_program(const Problem* problem, Plan* plan, bool bools_only) {
  Layout layout;
  if (!code_is_valid(*problem) || !dtypes_covered<T>(*problem, bools_only)) return false;
  if (!outputs_have_one_shape(*problem) || !make_layout(*problem, &layout)) return false;
  const Code code(*problem);
  layout.save(plan);
  plan->params[kBlockParam] = block_length<T>(layout, code);
  const double cost = cost_per_element<T>(*problem);
  const std::int64_t smallest = static_cast<std::int64_t>(2500 / cost);
  plan->params[kChunkParam] = split(plan, 0, layout.size, smallest, plan->params[kBlockParam]);
  plan->cost_ns = cost * static_cast<double>(layout.size);
  if (has_micro_form<T>(*problem, layout)) plan->micro = micro_elementwise<T>;
  if (prepare_direct<T>(*problem, layout, plan)) return true;
  plan->scratch_bytes = code.registers() * (plan->params[kBlockParam] + kPad) * static_cast<std::int64_t>(sizeof(T));
  prepare_small<T>(*problem, layout, plan);
  return true;
}

// ---- run --------------------------------------------------------------------------------------------------------------

// An input that isn't whole: how to find its elements.
struct Repeated {
  Walk walk;
  std::int64_t at;  // of the current row, in elements
  bool fixed;       // every block holds the same elements
  bool ready;       // they are unrolled
};

template <class T>
struct Machine {
  const Call* call;
  Code code;
  Layout layout;
  std::int64_t block;
  T* memory;             // a register's place, if it needs one
  bool wide;             // blocks don't cross rows of the output
  bool direct;           // the last instruction writes the output itself
  bool changed = true;   // which registers are scalars, since the functions were chosen
  std::int64_t row[kMaxRank];  // while wide: which row of the output, by axis
  Repeated repeated[kMaxInputs];
  const T* data[kMaxRegisters];
  bool scalar[kMaxRegisters];
  BlockFunction<T> functions[kMaxInstructions];

  Machine(const Call* c, void* scratch)
      : call(c), code(*c->problem), layout(Layout::restored(*c->plan)), block(c->plan->params[kBlockParam]),
        memory(static_cast<T*>(scratch)), wide(layout.rank > 1 && layout.inner() >= kWideRow) {
    for (int k = 0; k < code.inputs; ++k) start_input(k);
    direct = code.output(0) == code.registers() - 1 && spec(code.inputs).dtype == dtype_of<T>();
    for (int k = 1; k < code.outputs; ++k) direct = direct && code.output(k) >= code.inputs;
  }

  const Spec& spec(int operand) const { return call->problem->specs[operand]; }
  T* place(int r) const { return memory + r * (block + kPad); }
  bool is_plain(int k) const { return spec(k).dtype == dtype_of<T>(); }
  bool is_repeated(int k) const { return !layout.is_full(k) && !layout.is_scalar(k); }

  void start_input(int k) {
    scalar[k] = layout.is_scalar(k);
    if (scalar[k]) {
      *place(k) = load_element<T>(call->data[k], spec(k).dtype, 0);
      data[k] = place(k);
    } else if (is_repeated(k)) {
      Repeated& input = repeated[k];
      input.walk = layout.walk(k, !wide);
      input.fixed = !wide && input.walk.rank == 2 && input.walk.strides[0] == 0 && block % input.walk.dims[1] == 0;
      input.ready = false;
    }
  }

  void set_scalar(int k, bool value) {
    changed = changed || scalar[k] != value;
    scalar[k] = value;
  }

  // Points the registers of inputs at elements [at, at + n) of the output's order; while rows are wide these begin at `column`.
  void load_input(int k, std::int64_t at, std::int64_t column, std::int64_t n) {
    if (layout.is_scalar(k)) return;
    if (layout.is_full(k)) return load_whole(k, at, n);
    if (wide) return load_part_of_row(k, column, n);
    data[k] = place(k);
    if (!repeated[k].ready) unroll(k, at, n);
  }

  void load_whole(int k, std::int64_t at, std::int64_t n) {
    if (is_plain(k)) {
      data[k] = static_cast<const T*>(call->data[k]) + at;
      return;
    }
    load_run(place(k), call->data[k], spec(k).dtype, at, n);
    data[k] = place(k);
  }

  void load_part_of_row(int k, std::int64_t column, std::int64_t n) {
    const std::int64_t stride = repeated[k].walk.inner_stride();
    set_scalar(k, stride == 0);
    load_whole(k, repeated[k].at + column * stride, stride == 0 ? 1 : n);
  }

  // Blocks start at multiples of a fixed input's row, so what was unrolled for a whole block serves all that follow.
  void unroll(int k, std::int64_t at, std::int64_t n) {
    const Walk& walk = repeated[k].walk;
    const std::int64_t row = walk.inner(), stride = walk.inner_stride();
    std::int64_t column = at % row;
    Odometer odometer(walk, at / row);
    for (std::int64_t done = 0; done < n; column = 0, odometer.next()) {
      const std::int64_t count = least(row - column, n - done);
      const std::int64_t from = odometer.at + column * stride;
      if (stride) load_run(place(k) + done, call->data[k], spec(k).dtype, from, count);
      else repeat_run(place(k) + done, load_element<T>(call->data[k], spec(k).dtype, from), count);
      done += count;
    }
    repeated[k].ready = repeated[k].fixed && n == block;
  }

  int scalars_of(int i) const {
    int scalars = 0;
    for (int k = 0; k < arity_of(code.opcode(i)); ++k) scalars |= scalar[code.operand(i, k)] ? 1 << k : 0;
    return scalars;
  }

  void choose_functions() {
    changed = false;
    for (int i = 0; i < code.count; ++i) {
      const int scalars = scalars_of(i);
      const bool all = scalars == (1 << arity_of(code.opcode(i))) - 1;
      scalar[code.inputs + i] = all;
      functions[i] = find_block_function<T>(code.opcode(i), all ? 0 : scalars);
    }
  }

  const T* operand(int i, int k) const { return k < arity_of(code.opcode(i)) ? data[code.operand(i, k)] : nullptr; }

  void execute(int i, std::int64_t n, T* to) {
    const int r = code.inputs + i;
    data[r] = to;
    functions[i](operand(i, 0), operand(i, 1), operand(i, 2), to, scalar[r] ? 1 : n, static_cast<T>(code.floats[2 * i]),
                 static_cast<T>(code.floats[2 * i + 1]));
  }

  void store_output(int k, std::int64_t at, std::int64_t n) {
    const int r = code.output(k), operand = code.inputs + k;
    if (scalar[r]) fill_run(call->data[operand], spec(operand).dtype, at, *data[r], n);
    else store_run(call->data[operand], spec(operand).dtype, at, data[r], n);
  }

  void run_block_at(std::int64_t at, std::int64_t column, std::int64_t n) {
    for (int k = 0; k < code.inputs; ++k) load_input(k, at, column, n);
    if (changed) choose_functions();
    const int last = code.count - 1;
    const bool to_memory = direct && !scalar[code.registers() - 1];
    for (int i = 0; i < last; ++i) execute(i, n, place(code.inputs + i));
    execute(last, n, to_memory ? static_cast<T*>(call->data[code.inputs]) + at : place(code.inputs + last));
    for (int k = to_memory ? 1 : 0; k < code.outputs; ++k) store_output(k, at, n);
  }

  // Elements [range) that lie in one row of the output, `row` elements long.
  void run_row(std::int64_t row_start, Range range) {
    for (std::int64_t at = range.first; at < range.last; at += block)
      run_block_at(at, at - row_start, least(block, range.last - at));
  }
  // To a row of the output (an index over all axes but the last), and to the one after it.
  void seek_row(std::int64_t at) {
    for (int axis = layout.rank - 2; axis >= 0; --axis) {
      row[axis] = at % layout.dims[axis];
      at /= layout.dims[axis];
    }
    for (int k = 0; k < code.inputs; ++k) {
      if (!is_repeated(k)) continue;
      repeated[k].at = 0;
      for (int axis = 0; axis + 1 < layout.rank; ++axis) repeated[k].at += row[axis] * repeated[k].walk.strides[axis];
    }
  }
  void move_rows(int axis, std::int64_t by) {
    for (int k = 0; k < code.inputs; ++k)
      if (is_repeated(k)) repeated[k].at += by * repeated[k].walk.strides[axis];
  }
  void next_row() {
    for (int axis = layout.rank - 2; axis >= 0; --axis) {
      move_rows(axis, 1);
      if (++row[axis] < layout.dims[axis]) return;
      move_rows(axis, -layout.dims[axis]);
      row[axis] = 0;
    }
  }
};

template <class T>
void run_blocks(const Call* call, Range range, void* scratch) {
  Machine<T> machine(call, scratch);
  if (!machine.wide) return machine.run_row(0, range);
  const std::int64_t length = machine.layout.inner();
  std::int64_t start = range.first / length * length;
  machine.seek_row(range.first / length);
  for (; start < range.last; start += length, machine.next_row())
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
