#include "slots.h"

#include <cstring>

namespace pynn {
namespace {

bool fits(const Spec& spec) { return spec.rank < 0 || (spec.size > 0 && spec.size * dtype_bytes(spec.dtype) <= kSlotBytes); }

std::vector<MicroCode> codes_of(const PreparedKernel& kernel) {
  if (!kernel.plan.micro || kernel.plan.keeps) return {};
  for (const Spec& spec : kernel.specs)
    if (!fits(spec)) return {};
  std::vector<MicroCode> codes(kMostMicroOps);
  codes.resize(static_cast<std::size_t>(kernel.plan.micro(&kernel.problem, &kernel.plan, codes.data())));
  return codes;
}

bool in_units(const Instruction& instruction) {
  for (const Operand& operand : instruction.operands)
    if (operand.kind == Operand::kArena && operand.value % kSlotUnit != 0) return false;
  return true;
}

}  // namespace

void run_micro_ops(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const MicroOp* ops = static_cast<const MicroOp*>(call->shared);
  for (const MicroOp* op = ops + begin; op != ops + end; ++op) op->run(op);
}

Slots::Slots(const Program& program) : codes_(program.instructions.size()) {
  if (program.foreign) return;  // what Python code is called may look at the externals themselves
  for (std::size_t i = 0; i < codes_.size(); ++i)
    if (in_units(program.instructions[i])) codes_[i] = codes_of(*program.instructions[i].kernel);
  stage(program);
  place();
}

void Slots::stage(const Program& program) {
  for (std::size_t i = 0; i < codes_.size(); ++i) {
    if (codes_[i].empty()) continue;
    const Instruction& instruction = program.instructions[i];
    for (std::size_t k = 0; k < instruction.operands.size(); ++k) {
      const Operand& operand = instruction.operands[k];
      const Spec& spec = instruction.kernel->specs[k];
      if (operand.kind == Operand::kExternal && !staged(operand.value))
        staged_.push_back({operand.value, spec.size * dtype_bytes(spec.dtype), false, nullptr});
    }
  }
  for (const Instruction& instruction : program.instructions)
    for (std::size_t k = static_cast<std::size_t>(instruction.kernel->problem.num_inputs); k < instruction.operands.size(); ++k)
      if (instruction.operands[k].kind == Operand::kExternal)
        if (Staged* here = staged(instruction.operands[k].value)) here->written = true;
}

Slots::Staged* Slots::staged(std::int64_t external) {
  for (Staged& staged : staged_)
    if (staged.external == external) return &staged;
  return nullptr;
}

// A vector read from a slot's last element on ends one unit behind the slot.
void Slots::place() {
  const std::int64_t slots = static_cast<std::int64_t>(staged_.size()) * kSlotBytes;
  memory_ = aligned_buffer(slots + kMostMicroOps * kSlotBytes + kSlotUnit);
  char* at = static_cast<char*>(memory_.get());
  std::memset(at, 0, static_cast<std::size_t>(slots));
  for (Staged& staged : staged_) {
    staged.slot = at;
    at += kSlotBytes;
  }
  temporaries_ = at;
}

void* Slots::of(std::int64_t external) const {
  for (const Staged& staged : staged_)
    if (staged.external == external) return staged.slot;
  return nullptr;
}

MicroOp Slots::addressed(const MicroCode& code, void* const* operands) const {
  MicroOp op = code.op;
  for (int k = 0; k < 4; ++k) {
    const int operand = code.operand[k];
    op.data[k] = operand >= kMicroTemporary ? temporaries_ + (operand - kMicroTemporary) * kSlotBytes
                 : operand >= 0             ? operands[operand]
                                            : nullptr;
  }
  return op;
}

bool Slots::bound(const std::vector<void*>& externals) const {
  for (const Staged& staged : staged_)
    if (!externals[static_cast<std::size_t>(staged.external)]) return false;
  return true;
}

void Slots::fill(const std::vector<void*>& externals) const {
  for (const Staged& staged : staged_)
    std::memcpy(staged.slot, externals[static_cast<std::size_t>(staged.external)], static_cast<std::size_t>(staged.bytes));
}

void Slots::write_back(const std::vector<void*>& externals) const {
  for (const Staged& staged : staged_)
    if (staged.written)
      std::memcpy(externals[static_cast<std::size_t>(staged.external)], staged.slot, static_cast<std::size_t>(staged.bytes));
}

}  // namespace pynn
