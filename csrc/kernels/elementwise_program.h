// The elementwise kernel: a small program over operands that broadcast, executed block by block so that what lies between two
// instructions stays in the cache.
//
//   ints    number of instructions; opcode, a, b, c of each; then one register for each output
//   floats  two immediates for each instruction
//
// Registers are the inputs, then the results of the instructions. Inputs are of the kernel's type T or bool, u8, i32, i64 (converted to
// T); outputs T or bool (true where the register isn't 0). An output may be an input of the same shape and type. A register that has one
// value for the whole block (a scalar operand, or computed from such) is kept as one number.
#pragma once

#include "kernels/elementwise_blocks.h"
#include "kernels/elementwise_layout.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMaxInstructions = 32;
constexpr int kMaxRegisters = kMaxInputs + kMaxInstructions;
constexpr std::int64_t kMaxBlock = 512;             // elements
constexpr std::int64_t kRegisterBytes = 24 * 1024;  // of all registers together: most of a 32 KB first-level cache
constexpr std::int64_t kWideRow = 64;               // rows at least this long are blocks of their own
constexpr std::int64_t kPad = 16;                   // elements behind a register that loads may write

struct Code {
  const std::int64_t* words;
  const double* floats;
  int inputs, count, outputs;

  explicit Code(const Problem& problem)
      : words(problem.ints + 1), floats(problem.floats), inputs(problem.num_inputs), count(static_cast<int>(problem.ints[0])),
        outputs(problem.num_outputs) {}
  int opcode(int i) const { return static_cast<int>(words[4 * i]); }
  int operand(int i, int k) const { return static_cast<int>(words[4 * i + 1 + k]); }
  int output(int k) const { return static_cast<int>(words[4 * count + k]); }
  int registers() const { return inputs + count; }
};

template <class T>
constexpr std::int32_t dtype_of() {
  return sizeof(T) == 4 ? kF32 : kF64;
}

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
PYNN_INLINE double instruction_cost(int opcode) {
  const bool lanes = (opcode >= kSin && opcode <= kAtanh) || (opcode >= kPower && opcode <= kAtan2);
  const bool smooth = (opcode >= kExp && opcode <= kLog1p) || (opcode >= kErf && opcode <= kSigmoid) ||
                      (opcode >= kElu && opcode <= kLogSigmoid) || opcode == kSiluGrad || opcode == kGeluGrad;
  return lanes ? 6 : smooth ? 0.5 : 0.05;
}

template <class T>
double cost_per_element(const Problem& problem) {
  const Code code(problem);
  double bytes = 0, work = 0;
  for (int k = 0; k < problem.num_inputs + problem.num_outputs; ++k)
    bytes += problem.specs[k].size > 1 ? static_cast<double>(dtype_bytes(problem.specs[k].dtype)) : 0;
  for (int i = 0; i < code.count; ++i) work += instruction_cost(code.opcode(i)) * static_cast<double>(sizeof(T)) / 4;
  return bytes / 30 + work;
}

// One instruction over whole and scalar operands of type T needs no registers: it runs from memory to memory.
template <class T>
bool prepare_direct(const Problem& problem, const Layout& layout, Plan* plan) {
  const Code code(problem);
  if (code.count != 1 || code.outputs != 1 || layout.rank > 1 || code.output(0) != code.inputs) return false;
  for (int k = 0; k < problem.num_inputs + 1; ++k)
    if (problem.specs[k].dtype != dtype_of<T>()) return false;
  int scalars = 0;
  const int arity = arity_of(code.opcode(0));
  for (int k = 0; k < arity; ++k) scalars |= layout.is_scalar(code.operand(0, k)) ? 1 << k : 0;
  if (scalars == (1 << arity) - 1) return false;
  const BlockFunction<T> function = find_block_function<T>(code.opcode(0), scalars);
  static_assert(sizeof(function) <= sizeof(std::int64_t), "a function pointer fits a parameter");
  std::memcpy(&plan->params[kDirectParam], &function, sizeof(function));
  plan->params[kDirectParam + 1] = scalars;
  plan->variant = 1;
  return true;
}

// Blocks are multiples of the rows that repeated operands have, so that these need unrolling once only.
template <class T>
std::int64_t block_length(const Layout& layout, const Code& code) {
  std::int64_t block = kRegisterBytes / (static_cast<std::int64_t>(sizeof(T)) * code.registers()) - kPad;
  block = most(kPad, least(block, kMaxBlock) / kPad * kPad);
  if (layout.rank > 1 && layout.inner() < kWideRow && layout.inner() <= block) return block / layout.inner() * layout.inner();
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
  if (!prepare_direct<T>(*problem, layout, plan))
    plan->scratch_bytes = code.registers() * (plan->params[kBlockParam] + kPad) * static_cast<std::int64_t>(sizeof(T));
  return true;
}

// ---- run --------------------------------------------------------------------------------------------------------------

template <class T>
void run_direct(const Call* call, Range range) {
  BlockFunction<T> function;
  const Plan& plan = *call->plan;
  std::memcpy(&function, &plan.params[kDirectParam], sizeof(function));
  const std::int64_t scalars = plan.params[kDirectParam + 1];
  const T* operands[3] = {nullptr, nullptr, nullptr};
  const Code code(*call->problem);
  for (int k = 0; k < arity_of(code.opcode(0)); ++k)
    operands[k] = static_cast<const T*>(call->data[code.operand(0, k)]) + (scalars >> k & 1 ? 0 : range.first);
  function(operands[0], operands[1], operands[2], static_cast<T*>(call->data[code.inputs]) + range.first, range.last - range.first,
           static_cast<T>(code.floats[0]), static_cast<T>(code.floats[1]));
}

// An input that isn't whole: how to find its elements, and whether each block needs the same ones.
struct Repeated {
  Walk walk;
  bool fixed = false;
  bool ready = false;
};

template <class T>
struct Machine {
  const Call* call;
  Code code;
  Layout layout;
  std::int64_t block;
  T* memory;  // a register's place, if it needs one
  Repeated repeated[kMaxInputs];
  const T* data[kMaxRegisters];
  bool scalar[kMaxRegisters];
  BlockFunction<T> functions[kMaxInstructions];
  bool direct;          // the last instruction writes the output itself
  bool changed = true;  // which registers are scalars, since the functions were chosen

  Machine(const Call* c, void* scratch)
      : call(c), code(*c->problem), layout(Layout::restored(*c->plan)), block(c->plan->params[kBlockParam]),
        memory(static_cast<T*>(scratch)) {
    for (int k = 0; k < code.inputs; ++k) start_input(k);
    direct = code.output(0) == code.registers() - 1 && spec(code.inputs).dtype == dtype_of<T>();
    for (int k = 1; k < code.outputs; ++k) direct = direct && code.output(k) >= code.inputs;
  }

  const Spec& spec(int operand) const { return call->problem->specs[operand]; }
  T* place(int r) const { return memory + r * (block + kPad); }
  bool is_plain(int k) const { return spec(k).dtype == dtype_of<T>(); }

  void start_input(int k) {
    if (layout.is_scalar(k)) {
      load_run(place(k), call->data[k], spec(k).dtype, 0, 1, 1);
      data[k] = place(k);
    } else if (!layout.is_full(k)) {
      repeated[k].walk = layout.walk(k);
      const Walk& walk = repeated[k].walk;
      repeated[k].fixed = walk.rank == 2 && walk.strides[0] == 0 && block % walk.dims[1] == 0;
    }
    scalar[k] = layout.is_scalar(k);
  }

  void set_scalar(int k, bool value) {
    changed = changed || scalar[k] != value;
    scalar[k] = value;
  }

  // Points registers of inputs at elements [at, at + n) of the output's order.
  void load_input(int k, std::int64_t at, std::int64_t n) {
    if (layout.is_scalar(k)) return;
    if (!layout.is_full(k)) {
      load_repeated(k, at, n);
    } else if (is_plain(k)) {
      data[k] = static_cast<const T*>(call->data[k]) + at;
    } else {
      load_run(place(k), call->data[k], spec(k).dtype, at, 1, n);
      data[k] = place(k);
    }
  }

  void load_repeated(int k, std::int64_t at, std::int64_t n) {
    const Walk& walk = repeated[k].walk;
    const std::int64_t row = walk.inner(), stride = walk.inner_stride();
    const Odometer odometer(walk, at / row);
    const std::int64_t column = at % row, from = odometer.at + column * stride;
    set_scalar(k, stride == 0 && n <= row - column && n > 1);
    if (n <= row - column && is_plain(k)) {
      data[k] = static_cast<const T*>(call->data[k]) + from;
      return;
    }
    data[k] = place(k);
    if (scalar[k]) load_run(place(k), call->data[k], spec(k).dtype, from, 1, 1);
    else if (!repeated[k].ready) unroll(k, odometer, column, n);
  }

  // Blocks start at multiples of a fixed input's row, so what was unrolled for a whole block serves all that follow.
  void unroll(int k, Odometer odometer, std::int64_t column, std::int64_t n) {
    const Walk& walk = repeated[k].walk;
    const std::int64_t row = walk.inner(), stride = walk.inner_stride();
    for (std::int64_t done = 0; done < n; column = 0, odometer.next()) {
      const std::int64_t count = least(row - column, n - done);
      load_run(place(k) + done, call->data[k], spec(k).dtype, odometer.at + column * stride, stride, count);
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

  void run_block_at(std::int64_t at, std::int64_t n) {
    for (int k = 0; k < code.inputs; ++k) load_input(k, at, n);
    if (changed) choose_functions();
    const int last = code.count - 1;
    const bool to_memory = direct && !scalar[code.registers() - 1];
    for (int i = 0; i < last; ++i) execute(i, n, place(code.inputs + i));
    execute(last, n, to_memory ? static_cast<T*>(call->data[code.inputs]) + at : place(code.inputs + last));
    for (int k = to_memory ? 1 : 0; k < code.outputs; ++k) {
      const int r = code.output(k);
      store_run(call->data[code.inputs + k], spec(code.inputs + k).dtype, at, data[r], scalar[r] ? 0 : 1, n);
    }
  }
};

template <class T>
void run_blocks(const Call* call, Range range, void* scratch) {
  Machine<T> machine(call, scratch);
  const std::int64_t row = machine.layout.inner();
  const bool wide = machine.layout.rank > 1 && row >= kWideRow;
  for (std::int64_t at = range.first; at < range.last;) {
    std::int64_t n = least(machine.block, range.last - at);
    if (wide) n = least(n, row - at % row);
    machine.run_block_at(at, n);
    at += n;
  }
}

template <class T>
void run_program(const Call* call, std::int64_t begin, std::int64_t end, void* scratch) {
  const Plan& plan = *call->plan;
  if (plan.variant == 1) {
    const std::int64_t size = plan.params[kRankParam] ? plan.params[kDimsParam] : 1;
    run_direct<T>(call, chunk_range(begin, end, plan.params[kChunkParam], size));
    return;
  }
  const Layout layout = Layout::restored(plan);
  run_blocks<T>(call, chunk_range(begin, end, plan.params[kChunkParam], layout.size), scratch);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
