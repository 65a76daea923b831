#include "callable.h"

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "contexts.h"
#include "python_types.h"

namespace py = pybind11;

namespace pynn {
namespace {

constexpr std::size_t kMaxInputs = 64;   // of a call without Python
constexpr std::size_t kMaxFloats = 16;
constexpr std::size_t kMaxOutputs = 64;

// ---- what a call looks like -----------------------------------------------------------------------------------------------------

enum class Kind { kArray, kOperand, kFloat, kEqual, kSame, kTuple, kList, kDict, kCall, kOutput, kValue };

// A node of the arguments' or the result's structure.
struct Node {
  Kind kind;
  std::size_t index = 0;  // of an input or output
  py::object value;       // to be equal or the same, a constant result, keys, or a class
  std::vector<Node> children;
};

Kind kind_named(const std::string& name) {
  static const std::pair<const char*, Kind> names[] = {
      {"array", Kind::kArray}, {"operand", Kind::kOperand}, {"float", Kind::kFloat}, {"equal", Kind::kEqual},
      {"same", Kind::kSame},   {"tuple", Kind::kTuple},     {"list", Kind::kList},   {"dict", Kind::kDict},
      {"call", Kind::kCall},   {"output", Kind::kOutput},   {"value", Kind::kValue}};
  for (const auto& [known, kind] : names)
    if (name == known) return kind;
  throw py::value_error("unknown part of a signature: " + name);
}

Node node_from(const py::handle& item) {
  const py::tuple parts = py::reinterpret_borrow<py::tuple>(item);
  Node node{kind_named(parts[0].cast<std::string>()), 0, py::none(), {}};
  switch (node.kind) {
    case Kind::kArray:
    case Kind::kOperand:
    case Kind::kFloat:
    case Kind::kOutput: node.index = parts[1].cast<std::size_t>(); break;
    case Kind::kEqual:
    case Kind::kSame:
    case Kind::kValue: node.value = parts[1]; break;
    default:
      if (parts.size() == 3) node.value = parts[1];
      for (const py::handle& child : py::object(parts[parts.size() - 1])) node.children.push_back(node_from(child));
  }
  return node;
}

std::size_t count_floats(const std::vector<Node>& nodes) {
  std::size_t count = 0;
  for (const Node& node : nodes) count += node.kind == Kind::kFloat ? 1 : count_floats(node.children);
  return count;
}

// One remembered signature. References are counted under the interpreter's lock.
struct Entry {
  std::shared_ptr<Runner> runner;
  std::size_t positional = 0;
  py::object names;  // the keywords, a tuple
  std::vector<Node> arguments;
  Node result{Kind::kValue, 0, {}, {}};
  std::vector<py::object> specs;
  std::uint64_t hits = 0;
  int references = 1;
};

void let_go(Entry* entry) {
  if (--entry->references == 0) delete entry;
}

// The memory that a call's arguments are in, and what keeps it alive.
class Bound {
 public:
  Bound() = default;
  Bound(const Bound&) = delete;
  ~Bound() { clear(); }

  void clear() {
    for (std::size_t i = 0; i < held_count_; ++i) Py_DECREF(held_[i]);
    held_count_ = float_count_ = 0;
  }
  void hold(std::size_t input, PyObject* array) {
    Py_INCREF(array);
    held_[held_count_++] = array;
    memory_[input] = array_fields(array)->data;
  }
  void copy(std::size_t input, double value) {
    floats_[float_count_][0] = value;
    memory_[input] = floats_[float_count_++];
  }
  void* const* memory() const { return memory_; }

 private:
  alignas(kAlignment) double floats_[kMaxFloats][kAlignment / sizeof(double)];
  void* memory_[kMaxInputs];
  PyObject* held_[kMaxInputs];
  std::size_t held_count_ = 0, float_count_ = 0;
};

// ---- matching: 1 yes, 0 no, below 0 with a Python error set -----------------------------------------------------------------------

bool match_array(const Entry& entry, const Node& node, PyObject* array, Bound* bound) {
  if (!array || !is_exact_array(array) || !entry.runner->input(node.index).fits(array)) return false;
  bound->hold(node.index, array);
  return true;
}

// Borrowed: a tensor's array, else the value itself.
PyObject* array_of_value(PyObject* value) {
  return Py_TYPE(value) == python_types().tensor ? slot_at(value, python_types().tensor_array) : value;
}

// Borrowed: the array of a tensor, or of what a variable is now; else null.
PyObject* array_of_operand(PyObject* value) {
  const PythonTypes& types = python_types();
  if (Py_TYPE(value) == types.tensor) return slot_at(value, types.tensor_array);
  return Py_TYPE(value) == types.variable ? slot_at(value, types.variable_storage) : nullptr;
}

bool match_float(const Node& node, PyObject* value, Bound* bound) {
  if (!PyFloat_CheckExact(value)) return false;
  bound->copy(node.index, PyFloat_AS_DOUBLE(value));
  return true;
}

// Numbers that are equal may differ: zeros in their signs.
bool same_float(PyObject* known, PyObject* value) {
  const double a = PyFloat_AS_DOUBLE(known), b = PyFloat_AS_DOUBLE(value);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Whole numbers and None, as a known slice has; what else may be in a slice has comparisons of its own.
int same_bound(PyObject* known, PyObject* value) {
  if (known == value) return 1;
  return PyLong_CheckExact(known) && PyLong_CheckExact(value) ? PyObject_RichCompareBool(known, value, Py_EQ) : 0;
}

int match_slice(PyObject* known, PyObject* value) {
  const PySliceObject *a = reinterpret_cast<PySliceObject*>(known), *b = reinterpret_cast<PySliceObject*>(value);
  const int start = same_bound(a->start, b->start);
  const int stop = start == 1 ? same_bound(a->stop, b->stop) : start;
  return stop == 1 ? same_bound(a->step, b->step) : stop;
}

int match_equal(const Node& node, PyObject* value) {
  PyObject* known = node.value.ptr();
  if (value == known) return 1;
  if (Py_TYPE(value) != Py_TYPE(known)) return 0;
  if (PyFloat_CheckExact(known)) return same_float(known, value);
  return PySlice_Check(known) ? match_slice(known, value) : PyObject_RichCompareBool(value, known, Py_EQ);
}

int match(const Entry& entry, const Node& node, PyObject* value, Bound* bound);

int match_items(const Entry& entry, const Node& node, PyObject* sequence, Bound* bound) {
  const Py_ssize_t count = static_cast<Py_ssize_t>(node.children.size());
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (PySequence_Fast_GET_SIZE(sequence) != count) return 0;
    const int found = match(entry, node.children[static_cast<std::size_t>(i)], PySequence_Fast_GET_ITEM(sequence, i), bound);
    if (found != 1) return found;
  }
  return PySequence_Fast_GET_SIZE(sequence) == count;
}

int match(const Entry& entry, const Node& node, PyObject* value, Bound* bound) {
  switch (node.kind) {
    case Kind::kArray: return match_array(entry, node, array_of_value(value), bound);
    case Kind::kOperand: return match_array(entry, node, array_of_operand(value), bound);
    case Kind::kFloat: return match_float(node, value, bound);
    case Kind::kEqual: return match_equal(node, value);
    case Kind::kSame: return value == node.value.ptr();
    case Kind::kTuple: return PyTuple_CheckExact(value) ? match_items(entry, node, value, bound) : 0;
    case Kind::kList: return PyList_CheckExact(value) ? match_items(entry, node, value, bound) : 0;
    default: return 0;
  }
}

bool same_names(PyObject* known, PyObject* names) {
  const Py_ssize_t count = PyTuple_GET_SIZE(known);
  if (known == names || (!names && count == 0)) return true;
  if (!names || PyTuple_GET_SIZE(names) != count) return false;
  for (Py_ssize_t i = 0; i < count; ++i)  // names are interned as a rule; others are another call to Python
    if (PyTuple_GET_ITEM(known, i) != PyTuple_GET_ITEM(names, i)) return false;
  return true;
}

int match_call(const Entry& entry, PyObject* const* args, std::size_t positional, PyObject* names, Bound* bound) {
  if (positional != entry.positional || !same_names(entry.names.ptr(), names)) return 0;
  for (std::size_t i = 0; i < entry.arguments.size(); ++i) {
    const int found = match(entry, entry.arguments[i], args[i], bound);
    if (found == 1) continue;
    bound->clear();
    return found;
  }
  return 1;
}

// ---- the result -------------------------------------------------------------------------------------------------------------------

PyObject* build(const Node& node, PyObject** tensors);

PyObject* build_sequence(const Node& node, PyObject** tensors, bool list) {
  const Py_ssize_t count = static_cast<Py_ssize_t>(node.children.size());
  PyObject* sequence = list ? PyList_New(count) : PyTuple_New(count);
  for (Py_ssize_t i = 0; sequence && i < count; ++i) {
    PyObject* item = build(node.children[static_cast<std::size_t>(i)], tensors);
    if (!item) Py_CLEAR(sequence);
    else if (list) PyList_SET_ITEM(sequence, i, item);
    else PyTuple_SET_ITEM(sequence, i, item);
  }
  return sequence;
}

PyObject* build_dict(const Node& node, PyObject** tensors) {
  PyObject* dict = PyDict_New();
  for (std::size_t i = 0; dict && i < node.children.size(); ++i) {
    PyObject* item = build(node.children[i], tensors);
    if (!item || PyDict_SetItem(dict, PyTuple_GET_ITEM(node.value.ptr(), static_cast<Py_ssize_t>(i)), item) < 0) Py_CLEAR(dict);
    Py_XDECREF(item);
  }
  return dict;
}

PyObject* build_call(const Node& node, PyObject** tensors) {
  PyObject* items = build_sequence(node, tensors, false);
  PyObject* result = items ? PyObject_Call(node.value.ptr(), items, nullptr) : nullptr;
  Py_XDECREF(items);
  return result;
}

// Takes the tensors that it uses out of the array.
PyObject* build(const Node& node, PyObject** tensors) {
  switch (node.kind) {
    case Kind::kOutput: {
      PyObject* tensor = tensors[node.index];
      tensors[node.index] = nullptr;
      return tensor;
    }
    case Kind::kTuple: return build_sequence(node, tensors, false);
    case Kind::kList: return build_sequence(node, tensors, true);
    case Kind::kDict: return build_dict(node, tensors);
    case Kind::kCall: return build_call(node, tensors);
    default: return py::object(node.value).release().ptr();
  }
}

PyObject* run(Entry& entry, const Bound& bound) {
  PyObject* outputs[kMaxOutputs];
  const std::size_t count = entry.runner->num_outputs();
  const bool tensors = !entry.specs.empty();
  if (!entry.runner->run(bound.memory(), 1, !tensors, outputs)) return nullptr;
  bool complete = true;
  for (std::size_t i = 0; tensors && i < count; ++i) {
    outputs[i] = new_tensor(outputs[i], entry.specs[i].ptr());
    complete = complete && outputs[i];
  }
  PyObject* result = complete ? build(entry.result, outputs) : nullptr;
  for (std::size_t i = 0; i < count; ++i) Py_XDECREF(outputs[i]);
  return result;
}

// ---- the class --------------------------------------------------------------------------------------------------------------------

struct Callable {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  std::vector<Entry*>* entries;  // the one that served the last call first
};

Callable* as_callable(PyObject* self) { return reinterpret_cast<Callable*>(self); }

PyObject* call_python(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* names) {
  static PyObject* const name = PyUnicode_InternFromString("call_python");
  PyObject* method = PyObject_GetAttr(self, name);
  if (!method) return nullptr;
  PyObject* result = PyObject_Vectorcall(method, args, nargsf, names);
  Py_DECREF(method);
  return result;
}

PyObject* serve(std::vector<Entry*>& entries, std::size_t place, const Bound& bound) {
  Entry* entry = entries[place];
  for (; place > 0; --place) entries[place] = entries[place - 1];
  entries[0] = entry;
  ++entry->hits;
  ++entry->references;
  PyObject* result = run(*entry, bound);
  let_go(entry);
  return result;
}

PyObject* vectorcall(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* names) {
  std::vector<Entry*>& entries = *as_callable(self)->entries;
  const int busy = entries.empty() ? 1 : recording();
  if (busy < 0) return nullptr;
  if (!busy) {
    Bound bound;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const int found = match_call(*entries[i], args, static_cast<std::size_t>(PyVectorcall_NARGS(nargsf)), names, &bound);
      if (found < 0) return nullptr;
      if (found) return serve(entries, i, bound);
    }
  }
  return call_python(self, args, nargsf, names);
}

// Methods throw; Python sees the errors.
template <class F>
PyObject* guarded(F&& body) {
  try {
    return body();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyObject* remember(PyObject* self, PyObject* args) {
  return guarded([&]() -> PyObject* {
    const py::tuple given = py::reinterpret_borrow<py::tuple>(args);
    if (given.size() != 6) throw py::type_error("remember takes a runner, positional, names, arguments, result and specs");
    auto entry = std::make_unique<Entry>();
    entry->runner = given[0].cast<std::shared_ptr<Runner>>();
    entry->positional = given[1].cast<std::size_t>();
    entry->names = given[2].cast<py::tuple>();
    for (const py::handle& item : py::object(given[3])) entry->arguments.push_back(node_from(item));
    entry->result = node_from(given[4]);
    for (const py::handle& spec : py::object(given[5])) entry->specs.push_back(py::reinterpret_borrow<py::object>(spec));
    const Runner& runner = *entry->runner;
    if (runner.num_inputs() > kMaxInputs || runner.num_outputs() > kMaxOutputs || count_floats(entry->arguments) > kMaxFloats)
      Py_RETURN_FALSE;
    const bool has_specs = entry->specs.empty() || entry->specs.size() == runner.num_outputs();
    if (entry->arguments.size() != entry->positional + entry->names.cast<py::tuple>().size() || !has_specs)
      throw py::value_error("a signature and a program that don't belong together");
    as_callable(self)->entries->push_back(entry.release());
    Py_RETURN_TRUE;
  });
}

PyObject* forget(PyObject* self, PyObject* runner) {
  return guarded([&]() -> PyObject* {
    const auto wanted = py::handle(runner).cast<std::shared_ptr<Runner>>();
    std::vector<Entry*>& entries = *as_callable(self)->entries;
    for (std::size_t i = entries.size(); i-- > 0;) {
      Entry* entry = entries[i];
      if (entry->runner != wanted) continue;
      entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
      let_go(entry);
    }
    Py_RETURN_NONE;
  });
}

PyObject* hits(PyObject* self, PyObject* runner) {
  return guarded([&]() -> PyObject* {
    const auto wanted = py::handle(runner).cast<std::shared_ptr<Runner>>();
    std::uint64_t total = 0;
    for (const Entry* entry : *as_callable(self)->entries)
      if (entry->runner == wanted) total += entry->hits;
    return PyLong_FromUnsignedLongLong(total);
  });
}

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) return nullptr;
  as_callable(self)->vectorcall = vectorcall;
  as_callable(self)->entries = new std::vector<Entry*>();
  return self;
}

// As a function in a class: a method of the instance.
PyObject* bind(PyObject* self, PyObject* instance, PyObject*) {
  if (instance && instance != Py_None) return PyMethod_New(self, instance);
  Py_INCREF(self);
  return self;
}

int visit_node(const Node& node, visitproc visit, void* arg) {
  Py_VISIT(node.value.ptr());
  for (const Node& child : node.children)
    if (const int stop = visit_node(child, visit, arg)) return stop;
  return 0;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!as_callable(self)->entries) return 0;
  for (const Entry* entry : *as_callable(self)->entries) {
    for (const Node& node : entry->arguments)
      if (const int stop = visit_node(node, visit, arg)) return stop;
    if (const int stop = visit_node(entry->result, visit, arg)) return stop;
  }
  return 0;
}

int clear(PyObject* self) {
  if (!as_callable(self)->entries) return 0;
  std::vector<Entry*> entries;
  entries.swap(*as_callable(self)->entries);
  for (Entry* entry : entries) let_go(entry);
  return 0;
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  delete as_callable(self)->entries;
  as_callable(self)->entries = nullptr;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Callable, vectorcall), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};
PyMethodDef methods[] = {{"remember", remember, METH_VARARGS, "Serves calls of a signature by a runner; False if it can't."},
                         {"forget", forget, METH_O, "Serves no calls by this runner any more."},
                         {"hits", hits, METH_O, "How many calls the runner has served."},
                         {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Base class of captured functions.")},
                       {Py_tp_new, reinterpret_cast<void*>(make)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                       {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(clear)},
                       {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                       {Py_tp_descr_get, reinterpret_cast<void*>(bind)},
                       {Py_tp_members, members},
                       {Py_tp_methods, methods},
                       {0, nullptr}};
PyType_Spec spec = {"pynn._core.Callable", sizeof(Callable), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

}  // namespace

PyObject* callable_type() {
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  return type;
}

}  // namespace pynn
