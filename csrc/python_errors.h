// C++ exceptions as Python errors: what Python's C functions call must not throw. And what Python is told of a kernel's failure.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <new>

#include "base/kernel.h"

namespace pynn {

inline pybind11::tuple failure_values(const Failure& failure) {
  return pybind11::make_tuple(failure.values[0], failure.values[1], failure.values[2], failure.values[3]);
}

// In a catch block: sets the Python error that the exception stands for.
inline void set_python_error() {
  try {
    throw;
  } catch (pybind11::error_already_set& error) {
    error.restore();
  } catch (const pybind11::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

// What body() gives; null with a Python error set where it throws.
template <class F>
PyObject* guarded(F&& body) {
  try {
    return body();
  } catch (const std::exception&) {  // builtin_exception is one, too; what ends a thread isn't, and goes on
    set_python_error();
  }
  return nullptr;
}

}  // namespace pynn
