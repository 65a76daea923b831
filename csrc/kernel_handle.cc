#include "kernel_handle.h"

#include <stdexcept>

#include "base/cpu.h"
#include "gil.h"
#include "python_errors.h"
#include "python_types.h"
#include "registry.h"

namespace py = pybind11;

namespace pynn {
namespace {

void* checked_pointer(const py::handle& item, const Spec& spec, bool writable) {
  if (spec.rank < 0) return nullptr;
  if (!py::isinstance<py::array>(item)) throw py::type_error("kernel operands are NumPy arrays");
  py::array array = py::reinterpret_borrow<py::array>(item);
  if (array.size() != spec.size || !is_dtype(array.dtype(), spec.dtype))
    throw py::value_error("kernel operand has another size or dtype than it was prepared for");
  if (!(array.flags() & py::array::c_style)) throw py::value_error("kernel operands are C-contiguous");
  if (writable && !array.writeable()) throw py::value_error("kernel output is read-only");
  return const_cast<void*>(array.data());
}

}  // namespace

py::object kernel_failure() {
  static PyObject* const type = PyErr_NewException("pynn._core.KernelFailure", nullptr, nullptr);
  if (!type) throw py::error_already_set();
  return py::reinterpret_borrow<py::object>(type);
}

KernelHandle::KernelHandle(const std::string& name, const py::list& inputs, const py::list& outputs, std::vector<std::int64_t> ints,
                           std::vector<double> floats, const std::string& target)
    : prepared_(std::make_shared<PreparedKernel>()) {
  const KernelEntry* entry = find_kernel(name.c_str());
  if (!entry) throw py::key_error("no native kernel " + name);
  const int wanted = target.empty() ? best_target() : target_from_name(target.c_str());
  if (wanted < 0 || !entry->run[wanted] || !cpu_supports(wanted)) throw py::key_error("no target " + target + " for kernel " + name);
  for (const py::list& list : {inputs, outputs})
    for (const py::handle& item : list) {
      prepared_->specs.push_back(spec_from(item));
      makers_.emplace_back(prepared_->specs.back());
    }
  prepared_->ints = std::move(ints);
  prepared_->floats = std::move(floats);
  prepared_->run = entry->run[wanted];
  prepared_->plan.phases = 1;
  prepared_->plan.chunks[0] = 1;
  prepared_->link(static_cast<int>(inputs.size()));
  supported_ = entry->prepare[wanted](&prepared_->problem, &prepared_->plan);
  if (prepared_->plan.run) prepared_->run = prepared_->plan.run;
}

Failure KernelHandle::execute(void* const* data) const {
  if (!supported_) throw std::logic_error("the kernel does not cover this problem");
  if (prepared_->plan.cost_ns <= kReleaseGilNs) return run_kernel(*prepared_, data);
  GilRelease release;
  return run_kernel(*prepared_, data);
}

// Throws the Python error of a tensor that has no value yet.
void* KernelHandle::input_memory(std::size_t i, PyObject* tensor) const {
  if (prepared_->specs[i].rank < 0) return nullptr;
  if (Py_TYPE(tensor) != python_types().tensor) throw py::type_error("operands are tensors");
  PyObject* array = slot_at(tensor, python_types().tensor_array);
  if (array && is_exact_array(array) && makers_[i].fits(array)) return array_fields(array)->data;
  return checked_pointer(py::reinterpret_borrow<py::object>(tensor).attr("data"), prepared_->specs[i], false);
}

py::object KernelHandle::new_array(std::size_t i, bool writable) const {
  if (prepared_->specs[i].rank < 0) return py::none();
  PyObject* array = makers_[i].make(writable);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(array);
}

py::tuple KernelHandle::apply(const py::tuple& tensors, const py::tuple& specs) const {
  const std::size_t num_inputs = static_cast<std::size_t>(prepared_->problem.num_inputs);
  const std::size_t num_outputs = static_cast<std::size_t>(prepared_->problem.num_outputs);
  if (tensors.size() != num_inputs || specs.size() != num_outputs) throw py::value_error("wrong number of kernel operands");
  std::vector<void*> data(num_inputs + num_outputs);
  for (std::size_t i = 0; i < num_inputs; ++i) data[i] = input_memory(i, tensors[i].ptr());
  py::tuple results(num_outputs);
  for (std::size_t i = 0; i < num_outputs; ++i) {
    py::object result = new_array(num_inputs + i, false);
    if (!result.is_none()) {
      data[num_inputs + i] = array_fields(result.ptr())->data;
      result = py::reinterpret_steal<py::object>(new_tensor(result.release().ptr(), specs[i].ptr()));
      if (!result) throw py::error_already_set();
    }
    results[i] = std::move(result);
  }
  const Failure failure = execute(data.data());
  if (!failure.code) return results;
  PyErr_SetObject(kernel_failure().ptr(), py::make_tuple(failure.code, failure_values(failure)).ptr());
  throw py::error_already_set();
}

py::object KernelHandle::run_into(const py::sequence& inputs, const py::sequence& outputs) const {
  const std::size_t num_inputs = static_cast<std::size_t>(prepared_->problem.num_inputs);
  if (inputs.size() != num_inputs || outputs.size() != static_cast<std::size_t>(prepared_->problem.num_outputs))
    throw py::value_error("wrong number of kernel operands");
  std::vector<void*> data(prepared_->specs.size());
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = i < num_inputs ? checked_pointer(inputs[i], prepared_->specs[i], false)
                             : checked_pointer(outputs[i - num_inputs], prepared_->specs[i], true);
  const Failure failure = execute(data.data());
  if (!failure.code) return py::none();
  return py::make_tuple(failure.code, failure_values(failure));
}

py::tuple KernelHandle::run(const py::sequence& inputs) const {
  py::list outputs;
  for (std::size_t i = static_cast<std::size_t>(prepared_->problem.num_inputs); i < prepared_->specs.size(); ++i)
    outputs.append(new_array(i, true));
  py::object failure = run_into(inputs, outputs);
  return py::make_tuple(outputs, failure);
}

}  // namespace pynn
