#include "contexts.h"

#include <stdexcept>

#include "base/cpu.h"
#include "gil.h"
#include "python_errors.h"
#include "python_types.h"

namespace py = pybind11;

namespace pynn {
namespace {

constexpr std::size_t kIdleContexts = 4;
constexpr double kTurnSeconds = 0.1;  // of many steps, between looks at signals; these need a look at the clock now and then,
constexpr double kLongNs = 1e6;       // which shorter runs are spared

void* memory_of(PyObject* array) { return array_fields(array)->data; }

void* bound_memory(const py::array& array) {
  if (!(array.flags() & py::array::c_style)) throw py::value_error("bound arrays are C-contiguous");
  return memory_of(array.ptr());
}

// An array's memory for an input of a program. Shapes are the caller's affair, sizes are not.
void* input_memory(const py::handle& item, const ArrayMaker& input) {
  if (!py::isinstance<py::array>(item)) throw py::type_error("inputs of a program are NumPy arrays");
  const py::array array = py::reinterpret_borrow<py::array>(item);
  if (array.nbytes() != input.bytes()) throw py::value_error("an input has another size than the program was made for");
  return bound_memory(array);
}

}  // namespace

ContextHandle::ContextHandle(std::shared_ptr<const Program> program)
    : context_(program), arrays_(static_cast<std::size_t>(program->num_externals)) {}

void ContextHandle::bind(std::int64_t external, py::array array) {
  void* const memory = bound_memory(array);
  py::object& kept = arrays_.at(static_cast<std::size_t>(external));
  context_.bind(external, memory, is_slot(array.ptr()));
  kept = std::move(array);
}

std::int64_t ContextHandle::run(std::int64_t steps, double seconds) {
  if (!context_.bound()) throw std::logic_error("an external of the program has no memory");
  const FlushDenormals flush;
  Deadline deadline(seconds);
  std::int64_t done;
  if (context_.program().cost_ns * static_cast<double>(steps) > kReleaseGilNs) {
    GilRelease release;
    done = context_.run(steps, &deadline);
  } else {
    done = context_.run(steps, &deadline);
  }
  if (context_.failure().code == kPythonFailure) throw py::error_already_set();
  return done;
}

py::object ContextHandle::failure() const {
  const Failure& failure = context_.failure();
  if (!failure.code) return py::none();
  return py::make_tuple(failure.code, failure.instruction, failure_values(failure));
}

Runner::Runner(std::shared_ptr<const Program> program, py::object keep, const py::list& inputs, Places input_places,
               const py::list& outputs, Places output_places, const py::list& constants, const py::list& variables, py::object failed)
    : program_(std::move(program)), keep_(std::move(keep)), input_places_(std::move(input_places)),
      output_places_(std::move(output_places)), failed_(std::move(failed)) {
  for (const py::handle& spec : inputs) inputs_.emplace_back(spec_from(spec));
  for (const py::handle& spec : outputs) outputs_.emplace_back(spec_from(spec));
  for (const py::handle& item : constants) {
    const py::tuple pair = py::reinterpret_borrow<py::tuple>(item);
    constants_.emplace_back(pair[0].cast<std::int64_t>(), pair[1].cast<py::array>());
  }
  for (const py::handle& item : variables) {
    const py::tuple entry = py::reinterpret_borrow<py::tuple>(item);
    if (!PyObject_TypeCheck(py::object(entry[1]).ptr(), python_types().variable)) throw py::type_error("expects variables");
    variables_.push_back({entry[0].cast<std::int64_t>(), entry[1], entry[2].cast<bool>()});
  }
}

std::shared_ptr<ContextHandle> Runner::acquire() {
  if (!idle_.empty()) {
    std::shared_ptr<ContextHandle> context = std::move(idle_.back());
    idle_.pop_back();
    return context;
  }
  auto context = std::make_shared<ContextHandle>(program_);
  for (const auto& [external, array] : constants_) context->bind(external, array);
  return context;
}

void Runner::release(std::shared_ptr<ContextHandle> context) {
  if (idle_.size() < kIdleContexts) idle_.push_back(std::move(context));
}

void Runner::bind_variables(ContextHandle& context) const {
  const PythonTypes& types = python_types();
  for (const Written& entry : variables_) {
    PyObject* variable = entry.variable.ptr();
    PyObject* storage = slot_at(variable, types.variable_storage);
    py::object moved;
    if (entry.written && slot_at(variable, types.variable_handed_out) != Py_None) {
      moved = entry.variable.attr("writable_storage")();
      storage = moved.ptr();
    }
    if (storage != context.bound(entry.external)) context.bind(entry.external, py::reinterpret_borrow<py::array>(storage));
  }
}

bool Runner::make_outputs(ContextHandle& context, bool writable, PyObject** outputs) const {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs[i] = outputs_[i].make(writable);
    if (!outputs[i]) return false;
  }
  for (const auto& [external, index] : output_places_) context.bind_memory(external, memory_of(outputs[index]), true);
  return true;
}

void Runner::execute(ContextHandle& context, void* const* inputs, std::int64_t steps) const {
  for (const auto& [external, index] : input_places_) context.bind_memory(external, inputs[index], false);
  bind_variables(context);
  const double turn = program_->cost_ns * static_cast<double>(steps) > kLongNs ? kTurnSeconds : 0;
  for (std::int64_t left = steps; left > 0;) {
    left -= context.run(left, turn);
    if (context.context().failure().code) {
      const py::tuple failure = context.failure();
      failed_(*failure);
      throw std::logic_error("a failed step was taken for a good one");
    }
    if (left > 0 && PyErr_CheckSignals()) throw py::error_already_set();
  }
}

bool Runner::run(void* const* inputs, std::int64_t steps, bool writable, PyObject** outputs) {
  for (std::size_t i = 0; i < outputs_.size(); ++i) outputs[i] = nullptr;
  try {
    std::shared_ptr<ContextHandle> context = acquire();
    try {
      if (!make_outputs(*context, writable, outputs)) throw py::error_already_set();
      execute(*context, inputs, steps);
    } catch (...) {
      release(std::move(context));
      throw;
    }
    release(std::move(context));
    return true;
  } catch (const std::exception&) {
    set_python_error();
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) Py_CLEAR(outputs[i]);
  return false;
}

py::list Runner::run_arrays(const py::sequence& arrays, std::int64_t steps) {
  if (arrays.size() != inputs_.size()) throw py::value_error("another number of inputs than the program was made for");
  const py::tuple held(arrays);
  std::vector<void*> memory;
  for (std::size_t i = 0; i < inputs_.size(); ++i) memory.push_back(input_memory(held[i], inputs_[i]));
  std::vector<PyObject*> made(outputs_.size());
  if (!run(memory.data(), steps, true, made.data())) throw py::error_already_set();
  py::list outputs(made.size());
  for (std::size_t i = 0; i < made.size(); ++i) outputs[i] = py::reinterpret_steal<py::object>(made[i]);
  return outputs;
}

}  // namespace pynn
