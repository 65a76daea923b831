// A program is a list of prepared kernels over numbered operands; a context is the memory one run of it needs.
//
// Operands live either in the arena (temporaries, at offsets the planner chose) or are external (inputs, outputs, variables,
// constants), bound by the caller. A program never changes after `finish`; contexts of one program may run side by side.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/kernel.h"
#include "base/micro_op.h"
#include "memory.h"

namespace pynn {

// One kernel fixed to its shapes and attributes. Owns everything the plain structs of the contract point to.
struct PreparedKernel {
  Run run = nullptr;
  std::vector<Spec> specs;
  std::vector<std::int64_t> ints;
  std::vector<double> floats;
  Problem problem{};
  Plan plan{};

  // Points `problem` at the vectors; call after they are filled and whenever the object has moved.
  void link(int num_inputs);
  // The same kernel with a workspace that is its own and stays between runs.
  std::shared_ptr<const PreparedKernel> keeping() const;
  bool parallel() const;
};

struct Operand {
  enum Kind : std::int32_t { kAbsent = 0, kArena = 1, kExternal = 2 };
  Kind kind;
  std::int64_t value;  // byte offset in the arena, or index of the external
};

struct Instruction {
  std::shared_ptr<const PreparedKernel> kernel;
  std::vector<Operand> operands;    // inputs, then outputs
  std::int64_t shared_offset = 0;   // of the kernel's workspace in the arena
};

struct Program {
  std::vector<Instruction> instructions;
  std::int64_t arena_bytes = 0;
  std::int64_t num_externals = 0;
  std::int64_t scratch_bytes = 0;  // the largest any kernel asks for
  double cost_ns = 0;
  bool foreign = false;            // some of it is Python, or compiled by the user

  void finish(std::int64_t arena, std::int64_t externals);
};

// A moment to stop at. The clock is looked at only when about a microsecond of work has been done since the last look.
class Deadline {
 public:
  explicit Deadline(double seconds);  // from now; none if not above zero
  // Told of work done (an estimate); true when the moment is past.
  bool passed(double cost_ns);

 private:
  std::int64_t at_;
  double unseen_ns_ = 0;
};

class Slots;

class Context {
 public:
  explicit Context(std::shared_ptr<const Program> program);
  ~Context();
  // `is_slot`: there is room for whole vectors.
  void bind(std::int64_t external, void* data, bool is_slot);
  bool bound() const;  // every external has memory
  // Runs whole steps until `steps` are done, one fails, or the deadline has passed. At least one step is run. Returns the
  // number of steps completed. The caller holds a FlushDenormals.
  std::int64_t run(std::int64_t steps, Deadline* deadline);
  const Failure& failure() const { return failure_; }
  const Program& program() const { return *program_; }

 private:
  std::int64_t run_steps(std::int64_t steps, Deadline* deadline);
  bool run_step(char* scratch, std::int64_t stride, int threads);
  void ensure_scratch();
  void* workspace(const Instruction& instruction);
  void place_operands(const Instruction& instruction, std::size_t at);
  void add_step(std::size_t index, std::size_t at);
  void add_micro_ops(std::size_t index, std::size_t at);

  std::shared_ptr<const Program> program_;
  AlignedBuffer arena_;
  std::unique_ptr<Slots> slots_;
  std::vector<AlignedBuffer> kept_;  // workspaces that stay between runs
  AlignedBuffer scratch_;
  int scratch_threads_ = 0;
  // What the loop over the instructions reads: a cache line each.
  struct Step {
    Run run;
    Call call;
    std::int64_t chunks;             // of its only phase, if all of it is one call on this thread; else 0
    const PreparedKernel* kernel;    // null for micro-operations
  };

  std::vector<void*> pointers_;                       // of all operands of all instructions
  std::vector<MicroOp> micro_ops_;                    // of all steps that are such
  std::vector<Step> steps_;
  std::vector<std::int32_t> instructions_;            // of each step, the first if it has several
  std::vector<std::vector<void**>> places_;           // external -> where its address stands in pointers_ and micro_ops_
  std::vector<void*> externals_;                      // as they were bound
  Failure failure_{};
};

// Runs one prepared kernel on its own; used for eager calls. `data` as in Call.
Failure run_kernel(const PreparedKernel& kernel, void* const* data);

}  // namespace pynn
