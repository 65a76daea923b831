// Shorter ways to run small elementwise programs: no walk over axes, no blocks.
#pragma once

#include "kernels/elementwise_blocks.h"
#include "kernels/elementwise_code.h"
#include "kernels/operands.h"
#include "kernels/specs.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- one instruction from memory to memory ----------------------------------------------------------------------------

// What `run_direct` reads, at kDirectParam.
template <class T>
struct Direct {
  BlockFunction<T> function;
  std::int64_t rows, columns;  // of the output; one row if it has one axis
  std::int64_t row_step[3];    // of each operand, from row to row,
  std::int64_t step[3];        // and within a row: 0 for one number
  std::int8_t operand[4];  // a, b, c, out; for what the function doesn't read, any
  T p, q;
};

template <class T, class P>
PYNN_INLINE void keep(Plan* plan, const P& what) {
  static_assert(sizeof(what) <= sizeof(std::int64_t) * (kPlanParams - kDirectParam), "it has room");
  std::memcpy(&plan->params[kDirectParam], &what, sizeof(what));
}

PYNN_INLINE const void* kept(const Plan& plan) { return plan.params + kDirectParam; }

template <class T>
PYNN_INLINE Direct<T> direct_of(const Plan& plan) {
  Direct<T> direct;
  std::memcpy(&direct, &plan.params[kDirectParam], sizeof(direct));
  return direct;
}

template <class T>
void run_direct(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const Direct<T> direct = direct_of<T>(*call->plan);
  const Range range = chunk_range(begin, end, call->plan->params[kChunkParam], direct.columns);
  const T* operands[3];
  for (int k = 0; k < 3; ++k) operands[k] = operand<const T>(call, direct.operand[k]) + direct.step[k] * range.first;
  direct.function(operands[0], operands[1], operands[2], operand<T>(call, direct.operand[3]) + range.first,
                  range.length(), direct.p, direct.q);
}

template <class T>
void run_direct_rows(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const Direct<T> direct = direct_of<T>(*call->plan);
  const Range rows = chunk_range(begin, end, call->plan->params[kChunkParam], direct.rows);
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const T* operands[3];
    for (int k = 0; k < 3; ++k) operands[k] = operand<const T>(call, direct.operand[k]) + direct.row_step[k] * row;
    direct.function(operands[0], operands[1], operands[2], operand<T>(call, direct.operand[3]) + row * direct.columns,
                    direct.columns, direct.p, direct.q);
  }
}

constexpr std::int64_t kDirectRow = 256;      // elements: fewer are done sooner as parts of a block
constexpr std::int64_t kDirectChunk = 16384;  // elements of a chunk of rows

// One instruction over operands of type T needs no registers: it runs from memory to memory, or from row to row where operands repeat along
// one of two axes.
template <class T>
bool prepare_direct(const Problem& problem, const Layout& layout, Plan* plan) {
  const Code code(problem);
  if (code.count != 1 || code.outputs != 1 || code.output(0) != code.inputs) return false;
  if (layout.rank > 2 || (layout.rank == 2 && layout.inner() < kDirectRow)) return false;
  for (int k = 0; k < problem.num_inputs + 1; ++k)
    if (problem.specs[k].dtype != dtype_of<T>()) return false;
  const int arity = arity_of(code.opcode(0));
  int scalars = 0;
  const std::int64_t columns = layout.inner();
  Direct<T> direct{nullptr, layout.rank == 2 ? layout.dims[0] : 1, columns, {0, 0, 0}, {0, 0, 0}, {0, 0, 0, static_cast<std::int8_t>(code.inputs)},
                   static_cast<T>(code.floats[0]), static_cast<T>(code.floats[1])};
  for (int k = 0; k < arity; ++k) {
    direct.operand[k] = static_cast<std::int8_t>(code.operand(0, k));
    const int repeated = layout.mask(code.operand(0, k));
    direct.step[k] = layout.rank > 0 && repeated >> (layout.rank - 1) & 1 ? 0 : 1;
    direct.row_step[k] = layout.rank < 2 || repeated & 1 ? 0 : direct.step[k] ? columns : 1;
    scalars |= direct.step[k] ? 0 : 1 << k;
  }
  if (scalars == (1 << arity) - 1) return false;
  if (layout.rank == 2) plan->params[kChunkParam] = split(plan, 0, direct.rows, most(1, kDirectChunk / columns), 1);
  direct.function = find_block_function<T>(code.opcode(0), scalars);
  keep<T>(plan, direct);
  plan->run = layout.rank == 2 ? run_direct_rows<T> : run_direct<T>;
  plan->variant = 1;
  return true;
}

// ---- small problems: one block, and inputs that are whole, scalars, or repeated along one of two axes ------------------------------

constexpr int kMaxSmall = 8;  // instructions

// How an input gets into a register.
enum Entry : std::int8_t { kInPlace, kConverted, kRowRepeated, kColumnRepeated };

// What `run_small` reads, at kDirectParam.
template <class T>
struct Small {
  BlockFunction<T> functions[kMaxSmall];
  std::int32_t scalars;  // bit r: register r is one number
  std::int32_t size, rows, columns;
  std::int8_t entry[kMaxInputs];
  bool direct;  // the last instruction writes the output itself
};

// A row of an input for each row of the output, or an element of it.
template <class T>
void repeat_rows(T* to, const void* from, std::int32_t dtype, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r) load_run(to + r * columns, from, dtype, 0, columns);
}
template <class T>
void repeat_columns(T* to, const void* from, std::int32_t dtype, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r) repeat_run(to + r * columns, load_element<T>(from, dtype, r), columns);
}

template <class T>
const T* small_input(const Call* call, const Small<T>& small, int k, T* place) {
  const void* from = call->data[k];
  const std::int32_t dtype = call->problem->specs[k].dtype;
  switch (small.entry[k]) {
    case kInPlace: return static_cast<const T*>(from);
    case kConverted: load_run(place, from, dtype, 0, small.scalars >> k & 1 ? 1 : small.size); break;
    case kRowRepeated: repeat_rows(place, from, dtype, small.rows, small.columns); break;
    default: repeat_columns(place, from, dtype, small.rows, small.columns);
  }
  return place;
}

// Elements from one register to the next.
PYNN_INLINE std::int64_t small_stride(std::int64_t size) { return ceil_divide(size, kPad) * kPad + kPad; }

template <class T>
void run_small(const Call* call, std::int32_t, std::int64_t, std::int64_t, void* scratch) noexcept {
  const Small<T>& small = *static_cast<const Small<T>*>(kept(*call->plan));
  const Code code(*call->problem);
  const std::int64_t stride = small_stride(small.size);
  const T* data[kMaxInputs + kMaxSmall];
  T* place = static_cast<T*>(scratch);
  for (int k = 0; k < code.inputs; ++k, place += stride) data[k] = small_input(call, small, k, place);
  for (int i = 0; i < code.count; ++i, place += stride) {
    T* to = small.direct && i + 1 == code.count ? operand<T>(call, code.inputs) : place;
    const T* operands[3] = {nullptr, nullptr, nullptr};
    for (int k = 0; k < 3; ++k)
      if (code.operand(i, k) >= 0) operands[k] = data[code.operand(i, k)];
    const bool scalar = small.scalars >> (code.inputs + i) & 1;
    small.functions[i](operands[0], operands[1], operands[2], to, scalar ? 1 : small.size, static_cast<T>(code.floats[2 * i]),
                       static_cast<T>(code.floats[2 * i + 1]));
    data[code.inputs + i] = to;
  }
  if (small.direct) return;
  const int r = code.output(0);
  const std::int32_t dtype = call->problem->specs[code.inputs].dtype;
  if (small.scalars >> r & 1) fill_run(call->data[code.inputs], dtype, 0, *data[r], small.size);
  else store_run(call->data[code.inputs], dtype, 0, data[r], small.size);
}

template <class T>
bool prepare_small(const Problem& problem, const Layout& layout, Plan* plan) {
  const Code code(problem);
  if (layout.rank > 2 || code.count > kMaxSmall || code.outputs > 1 || layout.size < 1 || layout.size > kMaxBlock) return false;
  Small<T> small{};
  small.size = static_cast<std::int32_t>(layout.size);
  small.columns = static_cast<std::int32_t>(layout.inner());
  small.rows = static_cast<std::int32_t>(layout.size / layout.inner());
  for (int k = 0; k < code.inputs; ++k) {
    const bool scalar = layout.is_scalar(k), plain = problem.specs[k].dtype == dtype_of<T>();
    if (scalar) small.scalars |= 1 << k;
    small.entry[k] = scalar || layout.is_full(k) ? (plain ? kInPlace : kConverted) : layout.mask(k) == 1 ? kRowRepeated : kColumnRepeated;
  }
  for (int i = 0; i < code.count; ++i) {
    int scalars = 0;
    const int arity = arity_of(code.opcode(i)), all = (1 << arity) - 1;
    for (int k = 0; k < arity; ++k) scalars |= small.scalars >> code.operand(i, k) & 1 ? 1 << k : 0;
    if (scalars == all) small.scalars |= 1 << (code.inputs + i);
    small.functions[i] = find_block_function<T>(code.opcode(i), scalars == all ? 0 : scalars);
  }
  const int last = code.registers() - 1;
  small.direct = code.output(0) == last && problem.specs[code.inputs].dtype == dtype_of<T>() && !(small.scalars >> last & 1);
  keep<T>(plan, small);
  plan->scratch_bytes = code.registers() * small_stride(layout.size) * kSizeOf<T>;
  plan->run = run_small<T>;
  return true;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
