// Elementwise programs as micro-operations: one for each instruction, or for two, over inputs that are whole or scalars, of one type.
#pragma once

#include "kernels/elementwise_code.h"
#include "kernels/elementwise_pairs.h"
#include "kernels/specs.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T, int kCode, int kScalars>
void micro_vector(const MicroOp* op) noexcept {
  constexpr int arity = arity_of(kCode);
  const Source<T, true, (kScalars & 1) != 0> x(micro_input<T>(op, 0));
  const Source<T, (arity > 1), (kScalars & 2) != 0> y(micro_input<T>(op, 1));
  const Source<T, (arity > 2), (kScalars & 4) != 0> z(micro_input<T>(op, 2));
  store(micro_output<T>(op), Function<kCode>::of(x.at(0), y.at(0), z.at(0), broadcast(static_cast<T>(op->p)), broadcast(static_cast<T>(op->q))));
}

// size[0]: elements, in whole vectors
template <class T, int kCode, int kScalars>
void micro_block(const MicroOp* op) noexcept {
  run_block<T, kCode, kScalars>(micro_input<T>(op, 0), micro_input<T>(op, 1), micro_input<T>(op, 2), micro_output<T>(op), op->size[0],
                                static_cast<T>(op->p), static_cast<T>(op->q));
}

template <class T>
struct MicroVectors {
  typedef void (*Pointer)(const MicroOp*) noexcept;
  static constexpr int variants(int arity) { return scalar_variants(arity); }
  template <int kCode, int kScalars>
  static constexpr Pointer of() {
    if constexpr (is_light(kCode)) return micro_vector<T, kCode, kScalars>;
    else return micro_block<T, kCode, kScalars>;
  }
};
template <class T>
struct MicroBlocks {
  typedef void (*Pointer)(const MicroOp*) noexcept;
  static constexpr int variants(int arity) { return scalar_variants(arity); }
  template <int kCode, int kScalars>
  static constexpr Pointer of() {
    return micro_block<T, kCode, kScalars>;
  }
};

// Which registers are one number: the inputs that are, and what is computed from such alone.
PYNN_INLINE std::int32_t scalar_registers(const Code& code, const Layout& layout) {
  std::int32_t scalars = 0;
  for (int k = 0; k < code.inputs; ++k) scalars |= layout.is_scalar(k) ? 1 << k : 0;
  for (int i = 0; i < code.count; ++i) {
    bool all = true;
    for (int k = 0; k < arity_of(code.opcode(i)); ++k) all = all && (scalars >> code.operand(i, k) & 1);
    scalars |= all ? 1 << (code.inputs + i) : 0;
  }
  return scalars;
}

// A program whose registers are `scalars`, or `size` elements long.
template <class T>
struct MicroWriter {
  const Code& code;
  std::int32_t scalars;
  std::int64_t size;

  bool is_scalar(int r) const { return scalars >> r & 1; }
  bool alone(int i) const { return is_scalar(code.inputs + i); }
  int place(int r) const { return r < code.inputs ? r : kMicroTemporary + r - code.inputs; }
  int uses(int r) const {
    int count = 0;
    for (int i = 0; i < code.count; ++i)
      for (int k = 0; k < arity_of(code.opcode(i)); ++k) count += code.operand(i, k) == r;
    return count;
  }
  // Instruction i + 1 alone reads what i gives, and both are of a vector.
  bool pairs(int i) const {
    const int r = code.inputs + i;
    if (i + 1 >= code.count || size > Simd<T>::kLanes || !may_pair(code.opcode(i)) || !may_pair(code.opcode(i + 1))) return false;
    return !alone(i) && uses(r) == 1 && (code.operand(i + 1, 0) == r || code.operand(i + 1, 1) == r);
  }

  MicroCode pair(int i) const {
    const bool right = code.operand(i + 1, 1) == code.inputs + i;
    const int a = code.operand(i, 0), b = code.operand(i, 1), c = code.operand(i + 1, right ? 0 : 1);
    const int repeated = (is_scalar(a) ? 1 : 0) | (is_scalar(b) ? 2 : 0) | (is_scalar(c) ? 4 : 0);
    const auto run = find_pair<T>(code.opcode(i), code.opcode(i + 1), right, repeated);
    return micro_code(run, place(a), place(b), place(c), kMicroTemporary + i + 1);
  }

  MicroCode single(int i) const {
    constexpr int lanes = Simd<T>::kLanes;
    int repeated = 0, operands[3] = {kMicroAbsent, kMicroAbsent, kMicroAbsent};
    for (int k = 0; k < arity_of(code.opcode(i)); ++k) {
      if (!alone(i) && is_scalar(code.operand(i, k))) repeated |= 1 << k;
      operands[k] = place(code.operand(i, k));
    }
    const std::int64_t count = alone(i) ? 1 : size;
    const auto run = count <= lanes ? find_function<MicroVectors<T>>(code.opcode(i), repeated)
                                    : find_function<MicroBlocks<T>>(code.opcode(i), repeated);
    MicroCode micro = micro_code(run, operands[0], operands[1], operands[2], kMicroTemporary + i);
    micro.op.p = code.floats[2 * i];
    micro.op.q = code.floats[2 * i + 1];
    micro.op.size[0] = static_cast<std::int16_t>(ceil_divide(count, lanes) * lanes);
    return micro;
  }
};

// Only the last one writes to the output, whose memory an input may share.
template <class T>
int micro_elementwise(const Problem* problem, const Plan* plan, MicroCode* codes) noexcept {
  const Code code(*problem);
  const Layout layout = Layout::restored(*plan);
  const MicroWriter<T> writer{code, scalar_registers(code, layout), layout.size};
  int count = 0;
  for (int i = 0; i < code.count; ++i) codes[count++] = writer.pairs(i) ? writer.pair(i++) : writer.single(i);
  codes[count - 1].operand[3] = static_cast<std::int8_t>(code.inputs);
  return count;
}

// What runs lane by lane is left out: it would compute what lies behind the last element, too.
template <class T>
bool has_micro_form(const Problem& problem, const Layout& layout) {
  const Code code(problem);
  const int last = code.registers() - 1;
  if (layout.rank > 1 || code.count > kMostMicroOps || code.outputs != 1 || code.output(0) != last) return false;
  for (int k = 0; k <= problem.num_inputs; ++k)
    if (problem.specs[k].dtype != dtype_of<T>()) return false;
  for (int i = 0; i < code.count; ++i)
    if (runs_by_lanes<T>(code.opcode(i))) return false;
  return !(scalar_registers(code, layout) >> last & 1);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
