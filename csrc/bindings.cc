// The Python face of the executor: kernels by name, programs, contexts, threads. It does not grow with ops.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "arrays.h"
#include "base/cpu.h"
#include "base/quota.h"
#include "base/threads.h"
#include "callable.h"
#include "contexts.h"
#include "gil.h"
#include "kernel_handle.h"
#include "program.h"
#include "python_errors.h"
#include "python_types.h"
#include "registry.h"
#include "segment.h"
#include "slots.h"

namespace py = pybind11;

namespace pynn {
namespace {

py::object empty_array(const Spec& spec) {
  PyObject* array = ArrayMaker(spec).make(true);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(array);
}

// A kernel that calls Python: ints[0] is the address of a callable taking (inputs, outputs) as lists of arrays over the operands' memory.
void run_python(const Call* call, std::int32_t, std::int64_t, std::int64_t, void*) noexcept {
  GilAcquire acquire;
  const FlushDenormals usual(false);  // Python computes as it does elsewhere
  const Problem& problem = *call->problem;
  try {
    py::list inputs, outputs;
    const py::none owner;  // a base, so that NumPy takes the memory as it is and owns nothing
    for (std::int32_t i = 0; i < problem.num_inputs + problem.num_outputs; ++i) {
      py::list& list = i < problem.num_inputs ? inputs : outputs;
      if (problem.specs[i].rank < 0) list.append(py::none());
      else list.append(array_of(problem.specs[i], call->data[i], owner));
    }
    PyObject* result = call_python(reinterpret_cast<PyObject*>(problem.ints[0]), inputs.ptr(), outputs.ptr());
    if (!result) throw py::error_already_set();
    Py_DECREF(result);
  } catch (const std::exception&) {
    set_python_error();  // raised again by the run's caller, which holds the interpreter when it looks
    call->failure->code = kPythonFailure;
  }
}

// A user's compiled kernel: ints[0] is the address of a C function void(void** operands, int64* shapes), shapes being the
// dimensions of all operands one after another.
void run_address(const Call* call, std::int32_t, std::int64_t, std::int64_t, void*) noexcept {
  const FlushDenormals usual(false);
  const Problem& problem = *call->problem;
  using Function = void (*)(void* const*, const std::int64_t*);
  reinterpret_cast<Function>(problem.ints[0])(call->data, problem.ints + 1);
}

// Nobody knows what a foreign kernel costs: enough for a look at the clock after each step.
constexpr double kForeignNs = 1000;

class ProgramBuilder {
 public:
  ProgramBuilder() : program_(std::make_shared<Program>()) {}

  // operands: (kind, value) for inputs, then outputs. keep: the workspace stays between runs.
  void add_kernel(const KernelHandle& kernel, const std::vector<std::pair<int, std::int64_t>>& operands, std::int64_t shared_offset, bool keep) {
    if (!kernel.supported()) throw std::logic_error("the kernel does not cover this problem");
    push(keep ? kernel.prepared()->keeping() : kernel.prepared(), operands, shared_offset);
  }

  void add_python(py::object fn, const py::list& inputs, const py::list& outputs,
                  const std::vector<std::pair<int, std::int64_t>>& operands) {
    auto prepared = std::make_shared<PreparedKernel>();
    prepared->ints.push_back(reinterpret_cast<std::int64_t>(fn.ptr()));
    keep_.push_back(std::move(fn));
    push_foreign(prepared, run_python, inputs, outputs, operands);
  }

  void add_address(std::int64_t address, py::object keep, const py::list& inputs, const py::list& outputs,
                   const std::vector<std::pair<int, std::int64_t>>& operands) {
    auto prepared = std::make_shared<PreparedKernel>();
    prepared->ints.push_back(address);
    for (const py::list& list : {inputs, outputs})
      for (const py::handle& item : list) {
        const Spec spec = spec_from(item);
        for (std::int32_t axis = 0; axis < spec.rank; ++axis) prepared->ints.push_back(spec.dims[axis]);
      }
    keep_.push_back(std::move(keep));
    push_foreign(prepared, run_address, inputs, outputs, operands);
  }

  void finish(std::int64_t arena_bytes, std::int64_t externals) { program_->finish(arena_bytes, externals); }
  std::shared_ptr<const Program> program() const { return program_; }
  std::size_t size() const { return program_->instructions.size(); }
  std::vector<std::size_t> micro_ops() const {
    std::vector<std::size_t> counts;
    for (const std::vector<MicroCode>& codes : micro_codes(*program_)) counts.push_back(codes.size());
    return counts;
  }

 private:
  void push(std::shared_ptr<const PreparedKernel> kernel, const std::vector<std::pair<int, std::int64_t>>& operands,
            std::int64_t shared_offset) {
    Instruction instruction;
    instruction.kernel = std::move(kernel);
    instruction.shared_offset = shared_offset;
    for (const auto& operand : operands)
      instruction.operands.push_back(Operand{static_cast<Operand::Kind>(operand.first), operand.second});
    program_->instructions.push_back(std::move(instruction));
  }

  void push_foreign(const std::shared_ptr<PreparedKernel>& prepared, Run run, const py::list& inputs, const py::list& outputs,
                    const std::vector<std::pair<int, std::int64_t>>& operands) {
    for (const py::handle& item : inputs) prepared->specs.push_back(spec_from(item));
    for (const py::handle& item : outputs) prepared->specs.push_back(spec_from(item));
    prepared->run = run;
    prepared->plan.phases = 1;
    prepared->plan.chunks[0] = 1;
    prepared->plan.cost_ns = kForeignNs;
    prepared->link(static_cast<int>(inputs.size()));
    program_->foreign = true;
    push(prepared, operands, 0);
  }

  std::shared_ptr<Program> program_;
  std::vector<py::object> keep_;
};

// Contexts in turn, each a number of steps, the whole round a number of times: epochs of shuffle, batches, tail, bookkeeping.
class Schedule {
 public:
  Schedule(std::vector<std::pair<std::shared_ptr<ContextHandle>, std::int64_t>> parts, std::int64_t rounds)
      : parts_(std::move(parts)), rounds_(rounds) {
    for (const auto& part : parts_) round_cost_ns_ += part.first->context().program().cost_ns;
  }

  // Runs for about `seconds` (0 = to the end), whole steps. True when everything is done; stops early at a failure.
  bool run(double seconds) {
    Deadline deadline(seconds);
    for (const auto& part : parts_)
      if (!part.first->context().bound()) throw std::logic_error("an external of the program has no memory");
    failed_ = nullptr;
    {
      GilRelease release;
      const FlushDenormals flush;
      advance(&deadline);
    }
    if (failed_ && failed_->context().failure().code == kPythonFailure) throw py::error_already_set();
    return round_ >= rounds_;
  }

  std::int64_t round() const { return round_; }
  std::int64_t part() const { return part_; }
  std::int64_t step() const { return step_; }
  std::shared_ptr<ContextHandle> failed() const { return failed_; }

 private:
  void advance(Deadline* deadline) {
    while (round_ < rounds_) {
      while (part_ < static_cast<std::int64_t>(parts_.size())) {
        const auto& part = parts_[static_cast<std::size_t>(part_)];
        if (step_ < part.second) step_ += part.first->context().run(part.second - step_, deadline);
        if (part.first->context().failure().code) {
          failed_ = part.first;
          return;
        }
        if (step_ < part.second) return;
        step_ = 0;
        ++part_;
      }
      part_ = 0;
      ++round_;
      if (deadline->passed(round_cost_ns_)) return;
    }
  }

  std::vector<std::pair<std::shared_ptr<ContextHandle>, std::int64_t>> parts_;
  std::int64_t rounds_;
  double round_cost_ns_ = 0;  // of one step of each part: what each turn adds at least
  std::int64_t round_ = 0, part_ = 0, step_ = 0;
  std::shared_ptr<ContextHandle> failed_;
};

std::shared_ptr<Runner> new_runner(const py::object& program, const py::list& inputs, Runner::Places input_places,
                                   const py::list& outputs, Runner::Places output_places, const py::list& constants,
                                   const py::list& variables, py::object failed) {
  return std::make_shared<Runner>(program.cast<const ProgramBuilder&>().program(), program, inputs, std::move(input_places), outputs,
                                  std::move(output_places), constants, variables, std::move(failed));
}

py::list targets() {
  py::list names;
  for (int target = 0; target < kNumTargets; ++target)
    if (cpu_supports(target) && num_kernels() && kernel_at(0).run[target]) names.append(target_name(target));
  return names;
}

py::list kernel_names() {
  py::list names;
  for (int i = 0; i < num_kernels(); ++i) names.append(kernel_at(i).name);
  return names;
}

void define_kernels(py::module_& m) {
  m.def("kernel_names", &kernel_names, "Names of all native kernels, as <op>_<dtype>.");
  m.def("targets", &targets, "CPU targets that were compiled in and that this machine runs.");
  m.def("target", [] { return std::string(target_name(best_target())); }, "The CPU target in use.");
  m.def("num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads, py::arg("threads"));
  m.def("cpu_quota", &cpu_quota, py::arg("root") = "", "CPUs that the cgroup allows, inf if unlimited; root replaces / for tests.");
  m.def("empty", [](const py::tuple& spec) { return empty_array(spec_from(spec)); }, py::arg("spec"),
        "Uninitialised 64-byte aligned array for a (shape, dtype code) pair.");

  m.attr("SLOT_BYTES") = kSlotBytes;
  m.attr("KernelFailure") = kernel_failure();
  py::class_<KernelHandle>(m, "Kernel", "One native kernel fixed to shapes and attributes.")
      .def(py::init<const std::string&, const py::list&, const py::list&, std::vector<std::int64_t>, std::vector<double>,
                    const std::string&>(),
           py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("ints"), py::arg("floats"), py::arg("target") = "")
      .def_property_readonly("supported", &KernelHandle::supported)
      .def_property_readonly("variant", [](const KernelHandle& k) { return k.plan().variant; })
      .def_property_readonly("chunks",
                             [](const KernelHandle& k) {
                               return std::vector<std::int64_t>(k.plan().chunks, k.plan().chunks + k.plan().phases);
                             })
      .def_property_readonly("shared_bytes", [](const KernelHandle& k) { return k.plan().shared_bytes; })
      .def_property_readonly("kept_operand", [](const KernelHandle& k) { return k.plan().kept_bytes > 0 ? k.plan().kept_operand : -1; })
      .def_property_readonly("cost_ns", [](const KernelHandle& k) { return k.plan().cost_ns; })
      .def("apply", &KernelHandle::apply, py::arg("tensors"), py::arg("specs"))
      .def("run", &KernelHandle::run, py::arg("inputs"))
      .def("run_into", &KernelHandle::run_into, py::arg("inputs"), py::arg("outputs"));
}

void define_programs(py::module_& m) {
  py::class_<ProgramBuilder>(m, "Program", "A list of instructions over an arena and bound externals.")
      .def(py::init<>())
      .def("add_kernel", &ProgramBuilder::add_kernel, py::arg("kernel"), py::arg("operands"), py::arg("shared_offset"),
           py::arg("keep") = false)
      .def("add_python", &ProgramBuilder::add_python, py::arg("fn"), py::arg("inputs"), py::arg("outputs"), py::arg("operands"))
      .def("add_address", &ProgramBuilder::add_address, py::arg("address"), py::arg("keep"), py::arg("inputs"), py::arg("outputs"),
           py::arg("operands"))
      .def("finish", &ProgramBuilder::finish, py::arg("arena_bytes"), py::arg("externals"))
      .def_property_readonly("micro_ops", &ProgramBuilder::micro_ops, "The number of micro-operations of each instruction, 0 for a kernel.")
      .def("__len__", &ProgramBuilder::size);

  py::class_<ContextHandle, std::shared_ptr<ContextHandle>>(m, "Context", "The memory of one running program.")
      .def(py::init([](const ProgramBuilder& program) { return std::make_shared<ContextHandle>(program.program()); }),
           py::arg("program"), py::keep_alive<1, 2>())
      .def("bind", &ContextHandle::bind, py::arg("external"), py::arg("array"))
      .def("let_go", &ContextHandle::let_go, py::arg("external"))
      .def("run", &ContextHandle::run, py::arg("steps") = 1, py::arg("seconds") = 0.0)
      .def_property_readonly("failure", &ContextHandle::failure);

  py::class_<Runner, std::shared_ptr<Runner>>(m, "Runner", "A program with its variables and a pool of contexts.")
      .def(py::init(&new_runner), py::arg("program"), py::arg("inputs"), py::arg("input_places"), py::arg("outputs"),
           py::arg("output_places"), py::arg("constants"), py::arg("variables"), py::arg("failed"))
      .def("run", &Runner::run_arrays, py::arg("arrays"), py::arg("steps") = 1)
      .def("acquire", &Runner::acquire)
      .def("release", &Runner::release, py::arg("context"))
      .def("bind_variables", &Runner::bind_variables, py::arg("context"));

  py::class_<Schedule>(m, "Schedule", "Contexts in turn, each a number of steps, for a number of rounds.")
      .def(py::init<std::vector<std::pair<std::shared_ptr<ContextHandle>, std::int64_t>>, std::int64_t>(), py::arg("parts"),
           py::arg("rounds"))
      .def("run", &Schedule::run, py::arg("seconds") = 0.0)
      .def_property_readonly("round", &Schedule::round)
      .def_property_readonly("part", &Schedule::part)
      .def_property_readonly("step", &Schedule::step)
      .def_property_readonly("failed", &Schedule::failed);
}

void define_calls(py::module_& m) {
  m.attr("Callable") = py::reinterpret_steal<py::object>(callable_type());
  m.def("set_python_types", [](const py::object& tensor, const py::object& variable, const py::object& active) {
    if (!set_python_types(tensor.ptr(), variable.ptr(), active.ptr())) throw py::error_already_set();
  }, py::arg("tensor"), py::arg("variable"), py::arg("active"), "Where calls without Python find what they need of the engine.");
  m.attr("Segment") = py::reinterpret_steal<py::object>(segment_type());
  m.def("set_tape_type", [](const py::object& tape) {
    if (!set_tape_type(tape.ptr())) throw py::error_already_set();
  }, py::arg("tape"), "The class of tapes that take segments.");
}

}  // namespace
}  // namespace pynn

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native kernels and the executor of pynn.";
  pynn::define_kernels(m);
  pynn::define_programs(m);
  pynn::define_calls(m);
}
