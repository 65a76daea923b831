// What native calls know of the Python classes Tensor and Variable and of the object that says whether anything is being recorded.
#pragma once

#include <Python.h>

namespace pynn {

// Where the attributes of a class with __slots__ lie in its objects.
struct PythonTypes {
  PyTypeObject* tensor = nullptr;
  Py_ssize_t tensor_array = 0, tensor_spec = 0, tensor_logits = 0, tensor_mask = 0, tensor_source = 0, tensor_exact = 0;
  PyTypeObject* variable = nullptr;
  Py_ssize_t variable_storage = 0, variable_handed_out = 0;
  PyObject* active = nullptr;  // attributes of the calling thread: `capture`, None or not, and the list `tapes`
};

const PythonTypes& python_types();
// False with a Python error set where a class hasn't the slots that are needed.
bool set_python_types(PyObject* tensor, PyObject* variable, PyObject* active);

// The attribute at an offset: borrowed, null if it was never set.
inline PyObject*& slot_at(PyObject* object, Py_ssize_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

// 1 if a capture or a tape of the calling thread listens, 0 if none does, below 0 with a Python error set.
int recording();

// A tensor over `array`, to which it takes the reference. A new reference; null with a Python error set.
PyObject* new_tensor(PyObject* array, PyObject* spec);

}  // namespace pynn
