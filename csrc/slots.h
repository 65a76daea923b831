// Which calls of a program run as micro-operations, and the slots that stand for its externals where these aren't slots themselves.
//
// Memory of ours is: variables, constants, outputs. What a user hands in ends where it ends. Where a micro-operation has such memory as
// an operand, the whole program works on a copy: filled before a run of any number of steps, written back after it if the program
// changes it.
#pragma once

#include <vector>

#include "base/micro_op.h"
#include "program.h"

namespace pynn {

// The micro-operations of each instruction, none where it runs as its kernel.
std::vector<std::vector<MicroCode>> micro_codes(const Program& program);

class Slots {
 public:
  explicit Slots(const Program& program);

  const std::vector<MicroCode>& codes(std::size_t instruction) const { return codes_[instruction]; }
  // With the addresses of the operands of its instruction.
  MicroOp addressed(const MicroCode& code, void* const* operands) const;

  // Where the program finds an external that is bound to `data`: there, or in a slot.
  void* place(std::int64_t external, void* data, bool is_slot);
  // True if `place` would say the same again for the same memory.
  bool stays(std::int64_t external, bool is_slot) const;

  void fill() const;
  void write_back() const;

 private:
  struct Staged {
    std::size_t bytes;
    bool written;
    void* slot;
    void* data;  // what the slot stands for; null if nothing
  };

  void choose(const Program& program);
  Staged* staged(std::int64_t external);
  void make_slots();

  std::vector<std::vector<MicroCode>> codes_;
  std::vector<std::int32_t> index_;  // external -> staged_, below zero for one that no micro-operation has
  std::vector<Staged> staged_;
  int active_ = 0;                   // slots that stand for something
  AlignedBuffer memory_;             // of the slots, then of the temporaries
  char* temporaries_ = nullptr;
};

// A kernel's `run` for micro-operations: those from call->shared on.
void run_micro_ops(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept;

}  // namespace pynn
