// What native calls know of the Python classes Tensor and Variable and of the object that says whether anything is being recorded.
#pragma once

#include <Python.h>

namespace pynn {

// Where the attributes of a class with __slots__ lie in its objects.
struct PythonTypes {
  PyTypeObject* tensor = nullptr;
  Py_ssize_t tensor_array = 0, tensor_spec = 0, tensor_logits = 0, tensor_logits_of = 0, tensor_mask = 0, tensor_source = 0, tensor_exact = 0;
  PyTypeObject* variable = nullptr;
  Py_ssize_t variable_storage = 0, variable_handed_out = 0;
  PyObject* active = nullptr;  // attributes of the calling thread: `capture`, None or not, and the list `tapes`
  PyTypeObject* tape = nullptr;  // the class of tapes that take segments
  Py_ssize_t tape_nodes = 0, tape_tracked = 0;
};

const PythonTypes& python_types();
// False with a Python error set where a class hasn't the slots that are needed.
bool set_python_types(PyObject* tensor, PyObject* variable, PyObject* active);
bool set_tape_type(PyObject* tape);

// The attribute at an offset: borrowed, null if it was never set.
inline PyObject*& slot_at(PyObject* object, Py_ssize_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

// Who hears of calls in the calling thread.
struct Listener {
  PyObject* tape;     // borrowed: the only listener, if it is a tape that takes segments; else null
  bool needs_python;  // a capture, another tape, or several
};

// False with a Python error set.
bool find_listener(Listener* found);

// A tensor over `array`, to which it takes the reference. A new reference; null with a Python error set.
PyObject* new_tensor(PyObject* array, PyObject* spec);

}  // namespace pynn
