// The contract between a kernel and the executor: plain structs and two function types.
//
// A kernel is one operation for one dtype. `prepare` looks at shapes and attributes only and fixes everything about the
// arithmetic (variant, phases, chunks, workspace); `run` does chunks [begin, end) of one phase. The executor owns the
// threads: it may hand the chunks of a phase to any number of them, in any order, and starts a phase when the one before
// it is done. A chunk must therefore write nothing that another chunk of its phase reads or writes, and the number of
// chunks may depend on shapes, never on the number of threads: this is what makes results the same bits at any count.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pynn {

constexpr int kMaxRank = 8;
constexpr int kMaxPhases = 4;
constexpr int kPlanParams = 32;
constexpr std::size_t kAlignment = 64;  // of every tensor, workspace and scratch pointer, in bytes

// In whole units of the alignment.
static constexpr std::int64_t aligned_bytes(std::int64_t bytes) {
  constexpr std::int64_t unit = static_cast<std::int64_t>(kAlignment);
  return (bytes + unit - 1) / unit * unit;
}

enum DType : std::int32_t { kF32 = 0, kF64 = 1, kI32 = 2, kI64 = 3, kU8 = 4, kBool = 5 };

static constexpr std::int64_t dtype_bytes(std::int32_t dtype) {
  return dtype == kF64 || dtype == kI64 ? 8 : dtype == kU8 || dtype == kBool ? 1 : 4;
}

// Shape and dtype of a C-contiguous tensor. rank == -1 marks an optional operand that is absent.
struct Spec {
  std::int32_t dtype;
  std::int32_t rank;
  std::int64_t dims[kMaxRank];
  std::int64_t size;  // number of elements
};

// What is known when a kernel is prepared: operand specs (inputs, then outputs) and the attributes as the op record packs them.
struct Problem {
  const Spec* specs;
  const std::int64_t* ints;
  const double* floats;
  std::int32_t num_inputs;
  std::int32_t num_outputs;
  std::int32_t num_ints;
  std::int32_t num_floats;
};

struct Call;
struct Plan;
struct MicroCode;
using Run = void (*)(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept;

// See base/micro_op.h.
using MicroForm = int (*)(const Problem* problem, const Plan* plan, MicroCode* codes) noexcept;

// What `prepare` decides. Defaults: one phase of one chunk, no workspace.
struct Plan {
  std::int64_t chunks[kMaxPhases];   // chunks of each phase
  std::int64_t shared_bytes;         // workspace of the whole call, visible to all chunks and phases
  std::int64_t scratch_bytes;        // private to a thread while it runs chunks; nothing survives in it
  std::int64_t kept_bytes;           // not 0: what is made of `kept_operand` is worth keeping, in so many bytes in place of shared_bytes
  std::int64_t params[kPlanParams];  // the kernel's own: block sizes, strides, choices
  double cost_ns;                    // estimate for one thread; decides whether more threads are worth waking
  std::int32_t phases;
  std::int32_t variant;
  std::int32_t kept_operand;
  bool keeps;  // set by the executor: the workspace has kept_bytes, zeros at first, and is left alone between the runs of a program
  Run run;  // called instead of the kernel's `run` if it isn't null: a shorter way for this very problem
  MicroForm micro;  // not null: the same call on operands in slots
};

// Set by a kernel that meets data it can't accept (an index out of range, say). The first failure of a run wins, that of the
// lowest chunk if several chunks fail.
// `code` is the op's own number, above zero; Python turns it and the values into a message.
struct Failure {
  std::int32_t code;
  std::int32_t instruction;
  std::int64_t values[4];
};

struct Call {
  const Problem* problem;
  const Plan* plan;
  void* const* data;  // operand pointers in the order of problem->specs; null where absent
  void* shared;
  Failure* failure;
};

// Returns false if this kernel does not cover the problem; the op's fallback runs then.
using Prepare = bool (*)(const Problem* problem, Plan* plan) noexcept;

}  // namespace pynn
