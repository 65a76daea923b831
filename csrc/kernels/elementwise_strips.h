// The instructions of a program over a strip of elements, as many as the vector registers that a call passes arguments in hold: what one
// step gives stays in them for the next one, which it jumps to. A loop over the strip for each instruction would store all that lies
// between two of them, and stores are what such loops wait for.
#pragma once

#include "kernels/elementwise_blocks.h"
#include "kernels/elementwise_code.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kStripVectors = 8;
constexpr int kMaxSteps = 3 * kMaxInstructions + 2 * kMaxOutputs + 1;  // a load, an instruction and a store for each; the end

template <class T>
constexpr std::int64_t strip_length() {
  return kStripVectors * Simd<T>::kLanes;
}

template <class T>
struct StripStep;

// `data`: where the registers of the block begin; `at`: the strip's first element in it; then the strip's values.
#define PYNN_STRIP_VALUES r0, r1, r2, r3, r4, r5, r6, r7
template <class T, class V = typename Simd<T>::V>
using StripFunction = void(PYNN_IN_REGISTERS*)(const StripStep<T>* step, void* const* data, std::int64_t at, V, V, V, V, V, V, V, V) noexcept;

template <class T>
struct StripStep {
  StripFunction<T> run;
  std::int32_t first, second;              // registers in memory: a load's or store's own, or the other operands of an instruction
  std::int64_t first_moves, second_moves;  // all bits: the register has elements of its own for every strip; none: one strip for all
  T p, q;
};

// What an instruction gives for operand kHeld and the others in their order.
template <int kCode, int kHeld, class V>
PYNN_INLINE V value_with(V held, V first, V second, V p, V q) {
  if constexpr (kHeld == 0) return Function<kCode>::of(held, first, second, p, q);
  else if constexpr (kHeld == 1) return Function<kCode>::of(first, held, second, p, q);
  else return Function<kCode>::of(first, second, held, p, q);
}

template <class T>
struct StripSteps {
  typedef typename Simd<T>::V V;
  typedef const StripStep<T>* Step;
  typedef void* const* Data;
  static constexpr std::int64_t kLanes = Simd<T>::kLanes;

  template <class U>
  static PYNN_INLINE U* first(Step step, Data data, std::int64_t at) {
    return static_cast<U*>(data[step->first]) + (at & step->first_moves);
  }
  static PYNN_INLINE const T* second(Step step, Data data, std::int64_t at) {
    return static_cast<const T*>(data[step->second]) + (at & step->second_moves);
  }

  static void PYNN_IN_REGISTERS load_values(Step step, Data data, std::int64_t at, V, V, V, V, V, V, V, V) noexcept {
    const T* x = first<const T>(step, data, at);
    step[1].run(step + 1, data, at, load(x), load(x + kLanes), load(x + 2 * kLanes), load(x + 3 * kLanes), load(x + 4 * kLanes),
                load(x + 5 * kLanes), load(x + 6 * kLanes), load(x + 7 * kLanes));
  }
  static void PYNN_IN_REGISTERS store_values(Step step, Data data, std::int64_t at, V r0, V r1, V r2, V r3, V r4, V r5, V r6, V r7) noexcept {
    T* x = first<T>(step, data, at);
    store(x, r0), store(x + kLanes, r1), store(x + 2 * kLanes, r2), store(x + 3 * kLanes, r3);
    store(x + 4 * kLanes, r4), store(x + 5 * kLanes, r5), store(x + 6 * kLanes, r6), store(x + 7 * kLanes, r7);
    step[1].run(step + 1, data, at, PYNN_STRIP_VALUES);
  }
  static void PYNN_IN_REGISTERS store_truth(Step step, Data data, std::int64_t at, V r0, V r1, V r2, V r3, V r4, V r5, V r6, V r7) noexcept {
    std::uint8_t* x = first<std::uint8_t>(step, data, at);
    truths_to_bytes(x, r0, r1, r2, r3), truths_to_bytes(x + 4 * kLanes, r4, r5, r6, r7);
    step[1].run(step + 1, data, at, PYNN_STRIP_VALUES);
  }
  static void PYNN_IN_REGISTERS end(Step, Data, std::int64_t, V, V, V, V, V, V, V, V) noexcept {}

  // Bits of kScalars: which of the other operands are one number.
  template <int kCode, int kHeld, int kScalars>
  static void PYNN_IN_REGISTERS instruction(Step step, Data data, std::int64_t at, V r0, V r1, V r2, V r3, V r4, V r5, V r6, V r7) noexcept {
    constexpr int others = arity_of(kCode) - 1;
    const Source<T, (others > 0), (kScalars & 1) != 0> x(others > 0 ? first<const T>(step, data, at) : nullptr);
    const Source<T, (others > 1), (kScalars & 2) != 0> y(others > 1 ? second(step, data, at) : nullptr);
    const V p = broadcast(step->p), q = broadcast(step->q);
    if constexpr (is_light(kCode)) {
      r0 = value_with<kCode, kHeld>(r0, x.at(0), y.at(0), p, q);
      r1 = value_with<kCode, kHeld>(r1, x.at(kLanes), y.at(kLanes), p, q);
      r2 = value_with<kCode, kHeld>(r2, x.at(2 * kLanes), y.at(2 * kLanes), p, q);
      r3 = value_with<kCode, kHeld>(r3, x.at(3 * kLanes), y.at(3 * kLanes), p, q);
      r4 = value_with<kCode, kHeld>(r4, x.at(4 * kLanes), y.at(4 * kLanes), p, q);
      r5 = value_with<kCode, kHeld>(r5, x.at(5 * kLanes), y.at(5 * kLanes), p, q);
      r6 = value_with<kCode, kHeld>(r6, x.at(6 * kLanes), y.at(6 * kLanes), p, q);
      r7 = value_with<kCode, kHeld>(r7, x.at(7 * kLanes), y.at(7 * kLanes), p, q);
      step[1].run(step + 1, data, at, PYNN_STRIP_VALUES);
    } else {
      V r[kStripVectors] = {PYNN_STRIP_VALUES};
      PYNN_NO_UNROLL
      for (int k = 0; k < kStripVectors; ++k) r[k] = value_with<kCode, kHeld>(r[k], x.at(k * kLanes), y.at(k * kLanes), p, q);
      step[1].run(step + 1, data, at, r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]);
    }
  }
};

#undef PYNN_STRIP_VALUES

// By the operand that is held and which of the others are one number.
constexpr int strip_variant(int arity, int held, int scalars) { return scalars * arity + held; }

template <class T>
struct StripInstructions {
  typedef StripFunction<T> Pointer;
  static constexpr int variants(int arity) { return arity << (arity - 1); }
  template <int kCode, int kVariant>
  static constexpr Pointer of() {
    return StripSteps<T>::template instruction<kCode, kVariant % arity_of(kCode), kVariant / arity_of(kCode)>;
  }
};

// The steps of a program whose registers' places are known.
template <class T>
class StripWriter {
 public:
  // `scalar`, by register: one number, of which a strip is full. The outputs' places are the registers behind the last.
  // `early`: outputs may be stored before all inputs are read.
  StripWriter(const Code& code, const bool* scalar, bool early, StripStep<T>* steps) : code_(code), scalar_(scalar), early_(early), step_(steps) {
    count_reads();
  }

  // `truth`, by output: stored as bool.
  void write(const bool* truth) {
    for (int i = 0; i < code_.count; ++i) {
      const int r = code_.inputs + i;
      if (scalar_[r]) continue;
      write_instruction(i);
      held_ = r;
      if (reads_[r] > (is_held_next(i) ? 1 : 0)) put(StripSteps<T>::store_values, r, false);
      if (early_) store_outputs(r, truth);
    }
    store_rest(truth);
    put(StripSteps<T>::end, 0, false);
  }

 private:
  // A square needs its operand in registers alone.
  int opcode(int i) const {
    const bool square = code_.opcode(i) == kMultiply && code_.operand(i, 0) == code_.operand(i, 1);
    return square ? static_cast<int>(kSquare) : code_.opcode(i);
  }
  // Inputs have elements for each strip of the block; so have outputs.
  bool moves(int r) const { return !scalar_[r] && (r < code_.inputs || r >= code_.registers()); }

  // How often a register is read: by instructions on strips, and by outputs that are stored at the end.
  void count_reads() {
    for (int i = 0; i < code_.count; ++i)
      for (int k = 0; k < arity_of(opcode(i)) && !scalar_[code_.inputs + i]; ++k) ++reads_[code_.operand(i, k)];
    for (int k = 0; k < code_.outputs && !early_; ++k)
      if (code_.output(k) != code_.registers() - 1) ++reads_[code_.output(k)];
  }

  // The operand of instruction i that is in registers, or -1.
  int held_operand(int i) const {
    for (int k = 0; k < arity_of(opcode(i)); ++k)
      if (code_.operand(i, k) == held_) return k;
    return -1;
  }
  // Whether the next instruction on strips reads what is in registers.
  bool is_held_next(int i) const {
    while (++i < code_.count)
      if (!scalar_[code_.inputs + i]) return held_operand(i) >= 0;
    return false;
  }

  void put(StripFunction<T> run, int r, bool moves) { *step_++ = {run, r, 0, moves ? -1 : 0, 0, 0, 0}; }

  void load_register(int r) { put(StripSteps<T>::load_values, r, moves(r)); }

  void write_instruction(int i) {
    const int arity = arity_of(opcode(i));
    int held = held_operand(i);
    if (held < 0) {
      held = 0;
      load_register(code_.operand(i, 0));
    }
    StripStep<T> step{nullptr, 0, 0, 0, 0, static_cast<T>(code_.floats[2 * i]), static_cast<T>(code_.floats[2 * i + 1])};
    int others = 0, scalars = 0;
    for (int k = 0; k < arity; ++k) {
      if (k == held) continue;
      const int r = code_.operand(i, k);
      (others ? step.second : step.first) = r;
      (others ? step.second_moves : step.first_moves) = moves(r) ? -1 : 0;
      scalars |= scalar_[r] ? 1 << others : 0;
      ++others;
    }
    step.run = find_function<StripInstructions<T>>(opcode(i), strip_variant(arity, held, scalars));
    *step_++ = step;
  }

  void store_output(int k, const bool* truth) {
    put(truth[k] ? StripSteps<T>::store_truth : StripSteps<T>::store_values, code_.registers() + k, true);
  }
  void store_outputs(int r, const bool* truth) {
    for (int k = 0; k < code_.outputs; ++k)
      if (code_.output(k) == r) store_output(k, truth);
  }
  // What hasn't been stored yet, first what is in registers.
  void store_rest(const bool* truth) {
    if (!early_) store_outputs(held_, truth);
    for (int k = 0; k < code_.outputs; ++k) {
      const int r = code_.output(k);
      if (r == held_ || (early_ && r >= code_.inputs && !scalar_[r])) continue;
      load_register(r);
      store_output(k, truth);
    }
  }

  const Code& code_;
  const bool* scalar_;
  bool early_;
  StripStep<T>* step_;
  int held_ = -1;
  int reads_[kMaxRegisters] = {};
};

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
