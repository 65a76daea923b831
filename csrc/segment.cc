#include "segment.h"

#include <pybind11/pybind11.h>

#include "python_errors.h"
#include "python_types.h"

namespace py = pybind11;

namespace pynn {
namespace {

constexpr std::size_t kMostTensors = 48;  // of a segment: its gradient is a call with these, and with gradients so far, as arguments

struct RecordedCall {
  py::object recipe;
  std::vector<std::uint32_t> operands;
  std::uint32_t first_result;
};

struct Contents {
  Contents() {
    tensors.reserve(kMostTensors), followed.reserve(kMostTensors), made.reserve(kMostTensors);
    calls.reserve(kMostTensors), key.reserve(4 * kMostTensors);
  }

  std::vector<py::object> tensors;
  std::vector<bool> followed;  // of each tensor
  std::vector<bool> made;      // whether a call of the segment has made it
  std::vector<RecordedCall> calls;
  std::vector<std::uint64_t> key;

  std::uint32_t place_of(PyObject* tensor) const {
    std::size_t i = tensors.size();
    while (i > 0 && tensors[i - 1].ptr() != tensor) --i;
    return static_cast<std::uint32_t>(i > 0 ? i - 1 : tensors.size());
  }
  std::uint32_t add(PyObject* tensor, bool is_followed, bool is_made) {
    tensors.push_back(py::reinterpret_borrow<py::object>(tensor));
    followed.push_back(is_followed);
    made.push_back(is_made);
    return static_cast<std::uint32_t>(tensors.size() - 1);
  }
};

struct Segment {
  PyObject_HEAD
  Contents* contents;
};

PyTypeObject* type_object = nullptr;

Contents& contents_of(PyObject* self) { return *reinterpret_cast<Segment*>(self)->contents; }

// ---- the tape -------------------------------------------------------------------------------------------------------------------

PyObject* tracked_of(PyObject* tape) { return slot_at(tape, python_types().tape_tracked); }

// What `id` gives.
py::object identity(PyObject* object) { return py::reinterpret_steal<py::object>(PyLong_FromVoidPtr(object)); }

int follows(PyObject* tape, PyObject* tensor) {
  const py::object id = identity(tensor);
  return id ? PySet_Contains(tracked_of(tape), id.ptr()) : -1;
}

bool follow(PyObject* tape, PyObject* tensor) {
  const py::object id = identity(tensor);
  return id && PySet_Add(tracked_of(tape), id.ptr()) == 0;
}

PyObject* new_segment() {
  PyObject* segment = type_object->tp_alloc(type_object, 0);
  if (segment) reinterpret_cast<Segment*>(segment)->contents = new Contents;
  return segment;
}

// Borrowed: the segment at the end of the tape; null if there is none.
PyObject* last_segment(PyObject* nodes) {
  const Py_ssize_t size = PyList_GET_SIZE(nodes);
  PyObject* last = size ? PyList_GET_ITEM(nodes, size - 1) : nullptr;
  return last && Py_TYPE(last) == type_object ? last : nullptr;
}

// Borrowed: the segment that the next call belongs to. Null with a Python error set.
PyObject* open_segment(PyObject* tape, std::size_t tensors) {
  PyObject* nodes = slot_at(tape, python_types().tape_nodes);
  PyObject* last = last_segment(nodes);
  if (last && contents_of(last).tensors.size() + tensors <= kMostTensors) return last;
  const py::object fresh = py::reinterpret_steal<py::object>(new_segment());
  return fresh && PyList_Append(nodes, fresh.ptr()) == 0 ? fresh.ptr() : nullptr;
}

bool add_operands(Contents& contents, PyObject* tape, PyObject* const* operands, std::size_t count, RecordedCall* call) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t place = contents.place_of(operands[i]);
    if (place == contents.tensors.size()) {
      const int followed = follows(tape, operands[i]);
      if (followed < 0) return false;
      contents.add(operands[i], followed != 0, false);
    }
    call->operands.push_back(place);
    contents.key.push_back(std::uint64_t{place} << 1 | (contents.followed[place] ? 1 : 0));
  }
  return true;
}

// ---- the class --------------------------------------------------------------------------------------------------------------------

PyObject* tuple_of_places(const std::vector<std::uint32_t>& places) {
  py::tuple result(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) result[i] = places[i];
  return result.release().ptr();
}

PyObject* tensors(PyObject* self, void*) {
  const std::vector<py::object>& held = contents_of(self).tensors;
  PyObject* result = PyTuple_New(static_cast<Py_ssize_t>(held.size()));
  for (std::size_t i = 0; result && i < held.size(); ++i)
    PyTuple_SET_ITEM(result, static_cast<Py_ssize_t>(i), py::object(held[i]).release().ptr());
  return result;
}

PyObject* key(PyObject* self, void*) {
  const std::vector<std::uint64_t>& words = contents_of(self).key;
  return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(words.data()), static_cast<Py_ssize_t>(words.size() * sizeof words[0]));
}

PyObject* calls(PyObject* self, PyObject*) {
  return guarded([&] {
    py::list result;
    for (const RecordedCall& call : contents_of(self).calls)
      result.append(py::make_tuple(call.recipe, py::reinterpret_steal<py::object>(tuple_of_places(call.operands)), call.first_result));
    return result.release().ptr();
  });
}

PyObject* followed(PyObject* self, PyObject*) {
  return guarded([&] {
    const Contents& contents = contents_of(self);
    std::vector<std::uint32_t> places;
    for (std::size_t i = 0; i < contents.tensors.size(); ++i)
      if (contents.followed[i] && !contents.made[i]) places.push_back(static_cast<std::uint32_t>(i));
    return tuple_of_places(places);
  });
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<Segment*>(self)->contents;
  type->tp_free(self);
  Py_DECREF(type);
}

PyGetSetDef attributes[] = {{"tensors", tensors, nullptr, "Operands and results of the calls, each once.", nullptr},
                            {"key", key, nullptr, "Equal for segments that do the same.", nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef methods[] = {{"calls", calls, METH_NOARGS, "(recipe, places of the operands, place of the first result) of each call."},
                         {"followed", followed, METH_NOARGS, "Places of the operands by which gradients are taken."},
                         {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("A row of calls on a tape that needed no Python.")},
                       {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                       {Py_tp_getset, attributes},
                       {Py_tp_methods, methods},
                       {0, nullptr}};
PyType_Spec spec = {"pynn._core.Segment", sizeof(Segment), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

PyObject* segment_type() {
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  type_object = reinterpret_cast<PyTypeObject*>(type);
  return type;
}

int follows_any(PyObject* tape, PyObject* const* tensors, std::size_t count) {
  PyObject* last = last_segment(slot_at(tape, python_types().tape_nodes));
  for (std::size_t i = 0; last && i < count; ++i) {  // what is used has mostly been made just now, and the set is slower to ask
    const Contents& contents = contents_of(last);
    const std::uint32_t place = contents.place_of(tensors[i]);
    if (place < contents.tensors.size() && contents.followed[place]) return 1;
  }
  for (std::size_t i = 0; i < count; ++i)
    if (const int found = follows(tape, tensors[i])) return found;
  return 0;
}

bool record_call(PyObject* tape, const Recipe& recipe, PyObject* const* operands, std::size_t num_operands, PyObject* const* results) {
  PyObject* segment = open_segment(tape, num_operands + recipe.differentiable.size());
  if (!segment) return false;
  Contents& contents = contents_of(segment);
  RecordedCall call{py::reinterpret_borrow<py::object>(recipe.object), {}, 0};
  contents.key.push_back(recipe.serial);
  if (!add_operands(contents, tape, operands, num_operands, &call)) return false;
  call.first_result = static_cast<std::uint32_t>(contents.tensors.size());
  for (std::size_t i = 0; i < recipe.differentiable.size(); ++i) {
    contents.add(results[i], recipe.differentiable[i], true);
    if (recipe.differentiable[i] && !follow(tape, results[i])) return false;
  }
  contents.calls.push_back(std::move(call));
  return true;
}

}  // namespace pynn
