// NumPy arrays as the executor sees them: specs, data pointers, and new arrays over aligned memory.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "base/kernel.h"

namespace pynn {

// (shape, dtype code) -> Spec; None -> absent.
Spec spec_from(const pybind11::handle& item);

// The array as NumPy lays it out; `array` must be one.
inline const pybind11::detail::PyArray_Proxy* array_fields(PyObject* array) { return pybind11::detail::array_proxy(array); }
inline bool is_exact_array(PyObject* object) {
  return Py_TYPE(object) == pybind11::detail::npy_api::get().PyArray_Type_;
}

// True for the NumPy dtype of this code.
bool is_dtype(const pybind11::handle& descriptor, std::int32_t dtype);

// True for an array at the start of memory of ours, which is a slot if the array fits into one: see base/micro_op.h.
bool is_slot(PyObject* array);

// An array over memory of another owner, which `base` keeps alive.
pybind11::array array_of(const Spec& spec, void* data, const pybind11::handle& base);

// Makes uninitialised arrays of one spec, quickly: small memory comes back from the arrays that died before.
class ArrayMaker {
 public:
  explicit ArrayMaker(const Spec& spec);
  // A new reference; null with a Python error set.
  PyObject* make(bool writable) const;
  // True for an array of this shape and dtype that kernels can read as it is.
  bool fits(PyObject* array) const;
  std::int64_t bytes() const { return bytes_; }

 private:
  Spec spec_;
  std::int64_t bytes_;
  pybind11::object descriptor_;
  Py_intptr_t shape_[kMaxRank];
};

}  // namespace pynn
