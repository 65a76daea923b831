// An elementwise program as its attributes give it (elementwise_program.h).
#pragma once

#include "kernels/elementwise_layout.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMaxInstructions = 32;
constexpr int kMaxRegisters = kMaxInputs + kMaxInstructions;

struct Code {
  const std::int64_t* words;
  const double* floats;
  int inputs, count, outputs;

  explicit Code(const Problem& problem)
      : words(problem.ints + 1), floats(problem.floats), inputs(problem.num_inputs), count(static_cast<int>(problem.ints[0])),
        outputs(problem.num_outputs) {}
  PYNN_INLINE int opcode(int i) const { return static_cast<int>(words[4 * i]); }
  PYNN_INLINE int operand(int i, int k) const { return static_cast<int>(words[4 * i + 1 + k]); }
  PYNN_INLINE int output(int k) const { return static_cast<int>(words[4 * count + k]); }
  PYNN_INLINE int registers() const { return inputs + count; }
};

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
