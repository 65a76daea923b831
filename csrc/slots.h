// Which calls of a program run as micro-operations, and the slots that stand for its small externals meanwhile.
//
// Externals are memory of others, as long as their tensors and no longer. Where a micro-operation has one as an operand, the whole
// program works on a copy in a slot: filled before a run of any number of steps, and written back after it if the program changes it.
#pragma once

#include <vector>

#include "base/micro_op.h"
#include "program.h"

namespace pynn {

class Slots {
 public:
  explicit Slots(const Program& program);

  // The micro-operations of an instruction, none if it runs as its kernel.
  const std::vector<MicroCode>& codes(std::size_t instruction) const { return codes_[instruction]; }
  // Null for an external without one.
  void* of(std::int64_t external) const;
  // With the addresses of the operands of its instruction.
  MicroOp addressed(const MicroCode& code, void* const* operands) const;
  bool bound(const std::vector<void*>& externals) const;

  void fill(const std::vector<void*>& externals) const;
  void write_back(const std::vector<void*>& externals) const;

 private:
  struct Staged {
    std::int64_t external;
    std::int64_t bytes;
    bool written;
    char* slot;
  };

  void stage(const Program& program);
  Staged* staged(std::int64_t external);
  void place();

  std::vector<std::vector<MicroCode>> codes_;
  std::vector<Staged> staged_;
  AlignedBuffer memory_;  // of the slots, then of the temporaries
  char* temporaries_ = nullptr;
};

// A kernel's `run` for micro-operations: those from call->shared on.
void run_micro_ops(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept;

}  // namespace pynn
