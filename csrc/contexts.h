// Contexts with Python arrays bound to them, and the runner of a captured program: a pool of contexts, its variables, its outputs.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "arrays.h"
#include "program.h"

namespace pynn {

// A failure code that no kernel has: the Python error is set.
constexpr std::int32_t kPythonFailure = -1;

class ContextHandle {
 public:
  explicit ContextHandle(std::shared_ptr<const Program> program);

  // Keeps the array alive until another takes its place.
  void bind(std::int64_t external, pybind11::array array);
  // The array may die: it has to be bound again, or another one, before the next run.
  void let_go(std::int64_t external) { arrays_.at(static_cast<std::size_t>(external)) = pybind11::object(); }
  // For memory that outlives the next run.
  void bind_memory(std::int64_t external, void* data, bool is_slot) { context_.bind(external, data, is_slot); }
  PyObject* bound(std::int64_t external) const { return arrays_[static_cast<std::size_t>(external)].ptr(); }
  // Lets go of the interpreter if the steps take long. Throws the Python error of a step that called Python.
  std::int64_t run(std::int64_t steps, double seconds);
  // None, or (code, instruction, values) of the failure that ended the last run.
  pybind11::object failure() const;
  Context& context() { return context_; }

 private:
  Context context_;
  std::vector<pybind11::object> arrays_;
};

// Everything that a call of a captured program does, but for telling which program it is.
class Runner {
 public:
  using Places = std::vector<std::pair<std::int64_t, std::int64_t>>;

  // `inputs` and `outputs` are specs; `input_places` and `output_places` (external, index of the input or output);
  // `constants` (external, array); `variables` (external, Variable, whether the program writes it). `failed` is called with
  // (code, instruction, values) and raises. `keep` is what the program refers to.
  Runner(std::shared_ptr<const Program> program, pybind11::object keep, const pybind11::list& inputs, Places input_places,
         const pybind11::list& outputs, Places output_places, const pybind11::list& constants, const pybind11::list& variables,
         pybind11::object failed);

  std::size_t num_inputs() const { return inputs_.size(); }
  std::size_t num_outputs() const { return outputs_.size(); }
  const ArrayMaker& input(std::size_t i) const { return inputs_[i]; }

  // Runs `steps` steps over the memory of the inputs and makes an array for each output.
  // False with a Python error set, and then no output has been made.
  bool run(void* const* inputs, std::int64_t steps, bool writable, PyObject** outputs);
  pybind11::list run_arrays(const pybind11::sequence& arrays, std::int64_t steps);

  std::shared_ptr<ContextHandle> acquire();
  void release(std::shared_ptr<ContextHandle> context);
  // Binds the memory that the variables have now. Throws a Python error.
  void bind_variables(ContextHandle& context) const;

 private:
  struct Written {
    std::int64_t external;
    pybind11::object variable;
    bool written;
  };

  bool make_outputs(ContextHandle& context, bool writable, PyObject** outputs) const;
  void execute(ContextHandle& context, void* const* inputs, std::int64_t steps) const;

  std::shared_ptr<const Program> program_;
  pybind11::object keep_;
  std::vector<ArrayMaker> inputs_, outputs_;
  Places input_places_, output_places_;
  std::vector<std::pair<std::int64_t, pybind11::array>> constants_;
  std::vector<Written> variables_;
  pybind11::object failed_;
  std::vector<std::shared_ptr<ContextHandle>> idle_;  // guarded by the interpreter's lock
};

}  // namespace pynn
