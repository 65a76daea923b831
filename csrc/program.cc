#include "program.h"

#include <atomic>
#include <chrono>
#include <cstring>

#include "base/cpu.h"
#include "base/threads.h"
#include "slots.h"

namespace pynn {
namespace {

// A fork-join that wakes nobody costs 0.1 us, one that shares work about 1 us: below this estimate a second thread can't help.
constexpr double kParallelCostNs = 2000;

// The chunks of one phase. Those that fail report here: the failure of the lowest one stays, whichever came first.
struct PhaseJob {
  const Call* call;
  Run run;
  std::int32_t phase;
  char* scratch;
  std::int64_t scratch_stride;
  std::atomic_flag reporting = ATOMIC_FLAG_INIT;
  std::int64_t failed_chunk = -1;

  void report(std::int64_t chunk, const Failure& failure) {
    while (reporting.test_and_set(std::memory_order_acquire)) {
    }
    if (failed_chunk < 0 || chunk < failed_chunk) {
      failed_chunk = chunk;
      *call->failure = failure;
    }
    reporting.clear(std::memory_order_release);
  }
};

void run_chunks(void* context, std::int64_t begin, std::int64_t end, int worker) {
  PhaseJob& job = *static_cast<PhaseJob*>(context);
  Failure failure{};
  Call call = *job.call;
  call.failure = &failure;
  job.run(&call, job.phase, begin, end, job.scratch + worker * job.scratch_stride);
  if (failure.code) job.report(begin, failure);
}

// All phases of one call, on up to `threads` threads. `stride` separates the scratch of two of them.
void run_phases(const PreparedKernel& kernel, const Call& call, char* scratch, std::int64_t stride, int threads) {
  for (std::int32_t phase = 0; phase < kernel.plan.phases; ++phase) {
    const std::int64_t chunks = kernel.plan.chunks[phase];
    if (threads > 1 && chunks > 1) {
      PhaseJob job{&call, kernel.run, phase, scratch, stride};
      parallel_chunks(chunks, threads, kernel.plan.cost_ns / kernel.plan.phases, run_chunks, &job);
    } else if (chunks > 0) {
      kernel.run(&call, phase, 0, chunks, scratch);
    }
    if (call.failure->code) return;
  }
}

std::int64_t steady_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// True if a call is one phase that no second thread helps with.
bool single(const PreparedKernel& kernel) {
  const Plan& plan = kernel.plan;
  return plan.phases == 1 && plan.chunks[0] > 0 && (plan.chunks[0] == 1 || !kernel.parallel());
}

}  // namespace

void PreparedKernel::link(int num_inputs) {
  problem.specs = specs.data();
  problem.ints = ints.data();
  problem.floats = floats.data();
  problem.num_inputs = num_inputs;
  problem.num_outputs = static_cast<std::int32_t>(specs.size()) - num_inputs;
  problem.num_ints = static_cast<std::int32_t>(ints.size());
  problem.num_floats = static_cast<std::int32_t>(floats.size());
}

std::shared_ptr<const PreparedKernel> PreparedKernel::keeping() const {
  auto own = std::make_shared<PreparedKernel>(*this);
  own->link(problem.num_inputs);
  own->plan.keeps = true;
  return own;
}

bool PreparedKernel::parallel() const { return plan.cost_ns >= kParallelCostNs; }

void Program::finish(std::int64_t arena, std::int64_t externals) {
  arena_bytes = arena;
  num_externals = externals;
  for (const Instruction& instruction : instructions) {
    const Plan& plan = instruction.kernel->plan;
    if (plan.scratch_bytes > scratch_bytes) scratch_bytes = plan.scratch_bytes;
    cost_ns += plan.cost_ns;
  }
}

Deadline::Deadline(double seconds) : at_(seconds > 0 ? steady_nanoseconds() + static_cast<std::int64_t>(seconds * 1e9) : 0) {}

bool Deadline::passed(double cost_ns) {
  constexpr double kUnseenNs = 1000, kLeastNs = 20;  // what a step costs beside its kernels
  if (!at_) return false;
  unseen_ns_ += cost_ns + kLeastNs;
  if (unseen_ns_ < kUnseenNs) return false;
  unseen_ns_ = 0;
  return steady_nanoseconds() >= at_;
}

// The arena has a unit behind it: see micro_op.h.
Context::Context(std::shared_ptr<const Program> program)
    : program_(std::move(program)), arena_(aligned_buffer(program_->arena_bytes + kSlotUnit)),
      slots_(std::make_unique<Slots>(*program_)) {
  std::size_t total = 0, micro_ops = 0;
  for (std::size_t i = 0; i < program_->instructions.size(); ++i) {
    total += program_->instructions[i].operands.size();
    micro_ops += slots_->codes(i).size();
  }
  pointers_.resize(total, nullptr);
  micro_ops_.reserve(micro_ops);  // steps and places point into it
  places_.resize(static_cast<std::size_t>(program_->num_externals));
  externals_.resize(static_cast<std::size_t>(program_->num_externals), nullptr);
  std::size_t at = 0;
  for (std::size_t i = 0; i < program_->instructions.size(); ++i) {
    place_operands(program_->instructions[i], at);
    if (slots_->codes(i).empty()) add_step(i, at);
    else add_micro_ops(i, at);
    at += program_->instructions[i].operands.size();
  }
}

Context::~Context() = default;

// Sets the pointers from `at` on, but for those of externals.
void Context::place_operands(const Instruction& instruction, std::size_t at) {
  for (const Operand& operand : instruction.operands) {
    if (operand.kind == Operand::kArena) pointers_[at] = static_cast<char*>(arena_.get()) + operand.value;
    if (operand.kind == Operand::kExternal) places_[static_cast<std::size_t>(operand.value)].push_back(&pointers_[at]);
    ++at;
  }
}

void Context::add_step(std::size_t index, std::size_t at) {
  const Instruction& instruction = program_->instructions[index];
  const PreparedKernel& kernel = *instruction.kernel;
  const Call call{&kernel.problem, &kernel.plan, pointers_.data() + at, workspace(instruction), &failure_};
  steps_.push_back({kernel.run, call, single(kernel) ? kernel.plan.chunks[0] : 0, &kernel});
  instructions_.push_back(static_cast<std::int32_t>(index));
}

// Those of neighbouring instructions are one step.
void Context::add_micro_ops(std::size_t index, std::size_t at) {
  if (steps_.empty() || steps_.back().kernel) {
    const Call call{nullptr, nullptr, nullptr, micro_ops_.data() + micro_ops_.size(), &failure_};
    steps_.push_back({run_micro_ops, call, 0, nullptr});
    instructions_.push_back(static_cast<std::int32_t>(index));
  }
  const std::vector<Operand>& operands = program_->instructions[index].operands;
  for (const MicroCode& code : slots_->codes(index)) {
    micro_ops_.push_back(slots_->addressed(code, pointers_.data() + at));
    for (int k = 0; k < 4; ++k) {
      if (code.operand[k] < 0 || code.operand[k] >= kMicroTemporary) continue;
      const Operand& operand = operands[static_cast<std::size_t>(code.operand[k])];
      if (operand.kind == Operand::kExternal) places_[static_cast<std::size_t>(operand.value)].push_back(&micro_ops_.back().data[k]);
    }
  }
  steps_.back().chunks += static_cast<std::int64_t>(slots_->codes(index).size());
}

void* Context::workspace(const Instruction& instruction) {
  const Plan& plan = instruction.kernel->plan;
  if (!plan.keeps) return static_cast<char*>(arena_.get()) + instruction.shared_offset;
  kept_.push_back(aligned_buffer(plan.kept_bytes));
  std::memset(kept_.back().get(), 0, static_cast<std::size_t>(plan.kept_bytes));
  return kept_.back().get();
}

void Context::bind(std::int64_t external, void* data, bool is_slot) {
  const std::size_t index = static_cast<std::size_t>(external);
  if (externals_[index] == data && slots_->stays(external, is_slot)) return;
  externals_[index] = data;
  void* at = slots_->place(external, data, is_slot);
  for (void** place : places_[index]) *place = at;
}

bool Context::bound() const {
  for (std::size_t i = 0; i < externals_.size(); ++i)
    if (!externals_[i] && !places_[i].empty()) return false;
  return true;
}

void Context::ensure_scratch() {
  const int threads = num_threads();
  if (scratch_ && threads <= scratch_threads_) return;
  scratch_ = aligned_buffer(aligned_bytes(program_->scratch_bytes) * threads);
  scratch_threads_ = threads;
}

bool Context::run_step(char* scratch, std::int64_t stride, int threads) {
  for (const Step& step : steps_) {
    if (step.chunks) step.run(&step.call, 0, 0, step.chunks, scratch);
    else run_phases(*step.kernel, step.call, scratch, stride, step.kernel->parallel() ? threads : 1);
    if (failure_.code) {
      failure_.instruction = instructions_[static_cast<std::size_t>(&step - steps_.data())];
      return false;
    }
  }
  return true;
}

std::int64_t Context::run_steps(std::int64_t steps, Deadline* deadline) {
  char* scratch = static_cast<char*>(scratch_.get());
  const std::int64_t stride = aligned_bytes(program_->scratch_bytes);
  for (std::int64_t done = 0; done < steps; ++done) {
    if (done > 0 && deadline->passed(program_->cost_ns)) return done;
    // The scratch is for so many threads, whatever another Python thread asks for meanwhile.
    const int wanted = num_threads();
    if (!run_step(scratch, stride, wanted < scratch_threads_ ? wanted : scratch_threads_)) return done;
  }
  return steps;
}

std::int64_t Context::run(std::int64_t steps, Deadline* deadline) {
  ensure_scratch();
  failure_ = Failure{};
  slots_->fill();
  const std::int64_t done = run_steps(steps, deadline);
  slots_->write_back();
  return done;
}

namespace {

// Memory for single kernels: a thread keeps what its last one needed, because fresh pages cost more than most kernels.
class Workspace {
 public:
  char* of(std::int64_t bytes) {
    if (bytes > bytes_) {
      memory_.reset();
      bytes_ = 0;
      memory_ = aligned_buffer(bytes);
      bytes_ = bytes;
    }
    return static_cast<char*>(memory_.get());
  }
  void shrink() {
    if (bytes_ <= kMostKept) return;
    memory_.reset();
    bytes_ = 0;
  }

 private:
  static constexpr std::int64_t kMostKept = 32 << 20;
  AlignedBuffer memory_;
  std::int64_t bytes_ = 0;
};

}  // namespace

Failure run_kernel(const PreparedKernel& kernel, void* const* data) {
  thread_local Workspace workspace;
  FlushDenormals flush;
  Failure failure{};
  const int threads = kernel.parallel() ? num_threads() : 1;
  const std::int64_t shared = aligned_bytes(kernel.plan.shared_bytes), stride = aligned_bytes(kernel.plan.scratch_bytes);
  char* memory = workspace.of(shared + stride * threads + 1);
  const Call call{&kernel.problem, &kernel.plan, data, memory, &failure};
  run_phases(kernel, call, memory + shared, stride, threads);
  workspace.shrink();
  return failure;
}

}  // namespace pynn
