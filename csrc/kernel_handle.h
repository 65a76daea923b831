// One native kernel fixed to shapes and attributes, as Python calls it: an op that is computed now.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <vector>

#include "arrays.h"
#include "program.h"

namespace pynn {

class KernelHandle {
 public:
  // Specs are (shape, dtype code), None where absent. An empty target means the best one of this machine.
  KernelHandle(const std::string& name, const pybind11::list& inputs, const pybind11::list& outputs, std::vector<std::int64_t> ints,
               std::vector<double> floats, const std::string& target);

  bool supported() const { return supported_; }
  const Plan& plan() const { return prepared_->plan; }
  std::shared_ptr<const PreparedKernel> prepared() const { return prepared_; }

  // From tensors to new tensors, which get the given specs; None where absent. Raises KernelFailure(code, values).
  pybind11::tuple apply(const pybind11::tuple& tensors, const pybind11::tuple& specs) const;
  // From arrays to arrays that are there. Returns None, or (code, values) of the failure.
  pybind11::object run_into(const pybind11::sequence& inputs, const pybind11::sequence& outputs) const;
  // From arrays to new arrays. Returns (outputs, failure).
  pybind11::tuple run(const pybind11::sequence& inputs) const;

 private:
  void* input_memory(std::size_t i, PyObject* tensor) const;
  pybind11::object new_array(std::size_t i, bool writable) const;  // for an operand; None where absent
  Failure execute(void* const* data) const;

  std::shared_ptr<PreparedKernel> prepared_;
  std::vector<ArrayMaker> makers_;  // of all operands
  bool supported_ = false;
};

// The Python exception of a kernel that met data it can't accept.
pybind11::object kernel_failure();

}  // namespace pynn
