#include "python_types.h"

#include <structmember.h>

#include <atomic>
#include <cstdint>
#include <new>

namespace pynn {
namespace {

PythonTypes types;
PyObject* capture_name = nullptr;
PyObject* tapes_name = nullptr;
PyObject* no_text = nullptr;

bool find_slot(PyObject* type, const char* name, Py_ssize_t* offset) {
  PyObject* descriptor = PyObject_GetAttrString(type, name);
  if (!descriptor) return false;
  const bool found = Py_TYPE(descriptor) == &PyMemberDescr_Type;
  if (found) *offset = reinterpret_cast<PyMemberDescrObject*>(descriptor)->d_member->offset;
  else PyErr_Format(PyExc_TypeError, "%s is no slot", name);
  Py_DECREF(descriptor);
  return found;
}

// References of threads that have ended, given back by the next thread that holds the interpreter and comes by. Without a lock, which a
// process forked at the wrong moment would find held for ever.
struct Orphan {
  PyObject* object;
  Orphan* next;
};
std::atomic<Orphan*> orphans{nullptr};

// What a thread remembers of `active`: its dict there, and which of Python's threads that was.
struct Remembered {
  PyObject* attributes = nullptr;
  std::uint64_t thread = 0;
  ~Remembered() {
    Orphan* orphan = attributes ? new (std::nothrow) Orphan{attributes, orphans.load(std::memory_order_relaxed)} : nullptr;
    while (orphan && !orphans.compare_exchange_weak(orphan->next, orphan, std::memory_order_release, std::memory_order_relaxed)) {
    }
  }
};

void give_back_orphans() {
  for (Orphan* orphan = orphans.exchange(nullptr, std::memory_order_acquire); orphan;) {
    Py_DECREF(orphan->object);
    Orphan* const next = orphan->next;
    delete orphan;
    orphan = next;
  }
}

// The attributes of `active` in the calling thread: borrowed, null with a Python error set.
PyObject* active_attributes() {
  thread_local Remembered remembered;
  const std::uint64_t thread = PyThreadState_GetID(PyThreadState_Get());
  if (remembered.attributes && remembered.thread == thread) return remembered.attributes;
  PyObject* attributes = PyObject_GetAttrString(types.active, "__dict__");
  if (!attributes) return nullptr;
  PyObject* before = remembered.attributes;
  remembered.attributes = attributes;
  remembered.thread = thread;
  Py_XDECREF(before);  // last: what dies with it may call
  give_back_orphans();
  return attributes;
}

void set_slot(PyObject* object, Py_ssize_t offset, PyObject* value) {
  Py_INCREF(value);
  slot_at(object, offset) = value;
}

}  // namespace

const PythonTypes& python_types() { return types; }

bool set_python_types(PyObject* tensor, PyObject* variable, PyObject* active) {
  PythonTypes found;
  if (!PyType_Check(tensor) || !PyType_Check(variable)) {
    PyErr_SetString(PyExc_TypeError, "expects two classes and an object");
    return false;
  }
  if (!find_slot(tensor, "_array", &found.tensor_array) || !find_slot(tensor, "spec", &found.tensor_spec) ||
      !find_slot(tensor, "logits", &found.tensor_logits) || !find_slot(tensor, "logits_of", &found.tensor_logits_of) ||
      !find_slot(tensor, "mask", &found.tensor_mask) || !find_slot(tensor, "source", &found.tensor_source) ||
      !find_slot(tensor, "exact", &found.tensor_exact) ||
      !find_slot(variable, "_storage", &found.variable_storage) || !find_slot(variable, "_handed_out", &found.variable_handed_out))
    return false;
  capture_name = PyUnicode_InternFromString("capture");
  tapes_name = PyUnicode_InternFromString("tapes");
  no_text = PyUnicode_InternFromString("");
  if (!capture_name || !tapes_name || !no_text) return false;
  Py_INCREF(tensor);
  Py_INCREF(variable);
  Py_INCREF(active);
  found.tensor = reinterpret_cast<PyTypeObject*>(tensor);
  found.variable = reinterpret_cast<PyTypeObject*>(variable);
  found.active = active;
  types = found;
  return true;
}

bool set_tape_type(PyObject* tape) {
  PythonTypes found = types;
  if (!PyType_Check(tape)) {
    PyErr_SetString(PyExc_TypeError, "expects a class");
    return false;
  }
  if (!find_slot(tape, "nodes", &found.tape_nodes) || !find_slot(tape, "tracked", &found.tape_tracked)) return false;
  Py_INCREF(tape);
  found.tape = reinterpret_cast<PyTypeObject*>(tape);
  types = found;
  return true;
}

bool find_listener(Listener* found) {
  PyObject* attributes = active_attributes();
  if (!attributes) return false;
  PyObject* capture = PyDict_GetItemWithError(attributes, capture_name);
  PyObject* tapes = capture ? PyDict_GetItemWithError(attributes, tapes_name) : nullptr;
  if (!tapes) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_AttributeError, "capture and tapes");
    return false;
  }
  const Py_ssize_t count = PyList_CheckExact(tapes) ? PyList_GET_SIZE(tapes) : -1;
  PyObject* only = count == 1 && Py_TYPE(PyList_GET_ITEM(tapes, 0)) == types.tape ? PyList_GET_ITEM(tapes, 0) : nullptr;
  found->tape = only;
  found->needs_python = capture != Py_None || (count != 0 && !only);
  return true;
}

PyObject* new_tensor(PyObject* array, PyObject* spec) {
  PyObject* tensor = types.tensor->tp_alloc(types.tensor, 0);
  if (!tensor) {
    Py_DECREF(array);
    return nullptr;
  }
  slot_at(tensor, types.tensor_array) = array;
  set_slot(tensor, types.tensor_spec, spec);
  set_slot(tensor, types.tensor_logits, Py_None);
  set_slot(tensor, types.tensor_logits_of, no_text);
  set_slot(tensor, types.tensor_mask, Py_None);
  set_slot(tensor, types.tensor_source, no_text);
  set_slot(tensor, types.tensor_exact, Py_None);
  return tensor;
}

}  // namespace pynn
