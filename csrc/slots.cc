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

std::vector<std::vector<MicroCode>> micro_codes(const Program& program) {
  std::vector<std::vector<MicroCode>> codes(program.instructions.size());
  if (program.foreign) return codes;  // what Python code is called may look at the externals themselves
  for (std::size_t i = 0; i < codes.size(); ++i)
    if (in_units(program.instructions[i])) codes[i] = codes_of(*program.instructions[i].kernel);
  return codes;
}

Slots::Slots(const Program& program) : codes_(micro_codes(program)), index_(static_cast<std::size_t>(program.num_externals), -1) {
  choose(program);
  make_slots();
}

void Slots::choose(const Program& program) {
  for (std::size_t i = 0; i < codes_.size(); ++i) {
    if (codes_[i].empty()) continue;
    const Instruction& instruction = program.instructions[i];
    for (std::size_t k = 0; k < instruction.operands.size(); ++k) {
      const Operand& operand = instruction.operands[k];
      const Spec& spec = instruction.kernel->specs[k];
      if (operand.kind != Operand::kExternal || staged(operand.value)) continue;
      index_[static_cast<std::size_t>(operand.value)] = static_cast<std::int32_t>(staged_.size());
      staged_.push_back({static_cast<std::size_t>(spec.size * dtype_bytes(spec.dtype)), false, nullptr, nullptr});
    }
  }
  for (const Instruction& instruction : program.instructions)
    for (std::size_t k = static_cast<std::size_t>(instruction.kernel->problem.num_inputs); k < instruction.operands.size(); ++k)
      if (instruction.operands[k].kind == Operand::kExternal)
        if (Staged* here = staged(instruction.operands[k].value)) here->written = true;
}

Slots::Staged* Slots::staged(std::int64_t external) {
  const std::int32_t index = index_[static_cast<std::size_t>(external)];
  return index < 0 ? nullptr : &staged_[static_cast<std::size_t>(index)];
}

// A vector read from a slot's last element on ends one unit behind the slot.
void Slots::make_slots() {
  const std::int64_t slots = static_cast<std::int64_t>(staged_.size()) * kSlotBytes;
  memory_ = aligned_buffer(slots + kMostMicroOps * kSlotBytes + kSlotUnit);
  char* at = static_cast<char*>(memory_.get());
  for (Staged& staged : staged_) {
    staged.slot = at;
    at += kSlotBytes;
  }
  temporaries_ = at;
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

void* Slots::place(std::int64_t external, void* data, bool is_slot) {
  Staged* here = staged(external);
  if (!here) return data;
  active_ += (is_slot ? 0 : 1) - (here->data ? 1 : 0);
  here->data = is_slot ? nullptr : data;
  return is_slot ? data : here->slot;
}

bool Slots::stays(std::int64_t external, bool is_slot) const {
  const std::int32_t index = index_[static_cast<std::size_t>(external)];
  return index < 0 || is_slot == !staged_[static_cast<std::size_t>(index)].data;
}

void Slots::fill() const {
  if (!active_) return;
  for (const Staged& staged : staged_)
    if (staged.data) std::memcpy(staged.slot, staged.data, staged.bytes);
}

void Slots::write_back() const {
  if (!active_) return;
  for (const Staged& staged : staged_)
    if (staged.data && staged.written) std::memcpy(staged.data, staged.slot, staged.bytes);
}

}  // namespace pynn
