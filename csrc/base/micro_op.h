// Micro-operations: what a call on a few numbers comes down to where its operands lie in slots.
//
// A slot is 64-byte aligned room for one tensor of at most kSlotBytes, in whole units of 64 bytes. Behind the last element it holds
// anything: whole vectors are written there, and a vector read from any element on stays inside memory of the program. So a
// micro-operation needs no partial vectors, which don't pass through the processor's queue of stores from one to the next,
// and no plan and no chunks: its record is one cache line with the addresses themselves. It can't fail, and the bits of its
// result are those of the kernel that it stands for.
#pragma once

#include "base/kernel.h"

namespace pynn {

constexpr std::int64_t kSlotBytes = 256;
constexpr std::int64_t kSlotUnit = 64;
constexpr int kMostMicroOps = 8;  // of one call

struct MicroOp {
  void (*run)(const MicroOp* op) noexcept;
  void* data[4];  // inputs, then the output
  double p, q;    // immediates
  std::int16_t size[4];
};

// A micro-operation before its operands have addresses. `operand`: an operand of the call by its number, or one of the call's own
// temporaries from kMicroTemporary on; below zero if there is none.
//
// A MicroForm writes at most kMostMicroOps of these and returns their number; 0 if the call has no such form. It may count on operands
// of at least one element that fit into slots.
struct MicroCode {
  MicroOp op;
  std::int8_t operand[4];
};
constexpr int kMicroAbsent = -1;
constexpr int kMicroTemporary = 64;

}  // namespace pynn
