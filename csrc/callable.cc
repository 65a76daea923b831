#include "callable.h"

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "contexts.h"
#include "python_errors.h"
#include "python_types.h"
#include "segment.h"
#include "signature.h"

namespace py = pybind11;

namespace pynn {
namespace {

constexpr std::size_t kMaxOutputs = 64;  // of a call without Python

// Who serves a call of a signature that a tape hears of.
enum class Taped { kPython, kUnseen, kRecorded };

// One remembered signature. References are counted under the interpreter's lock.
struct Entry {
  std::shared_ptr<Runner> runner;
  std::size_t positional = 0;
  py::object names;  // the keywords, a tuple
  std::vector<Node> arguments;
  Node result{Kind::kValue, 0, {}, {}};
  std::vector<py::object> specs;
  Taped taped = Taped::kPython;
  py::object recipe_object;
  Recipe recipe;
  std::uint64_t hits = 0;
  int references = 1;
};

void let_go(Entry* entry) {
  if (--entry->references == 0) delete entry;
}

int match_call(const Entry& entry, PyObject* const* args, std::size_t positional, PyObject* names, Bound* bound) {
  if (positional != entry.positional || !same_names(entry.names.ptr(), names)) return 0;
  return match_arguments(*entry.runner, entry.arguments, args, bound);
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

// The outputs, as tensors if there are specs. False with a Python error set, and then there are none.
bool compute(Entry& entry, const Bound& bound, PyObject** outputs) {
  const std::size_t count = entry.runner->num_outputs();
  const bool tensors = !entry.specs.empty();
  if (!entry.runner->run(bound.memory(), 1, !tensors, outputs)) return false;
  bool complete = true;
  for (std::size_t i = 0; tensors && i < count; ++i) {
    outputs[i] = new_tensor(outputs[i], entry.specs[i].ptr());
    complete = complete && outputs[i];
  }
  for (std::size_t i = 0; !complete && i < count; ++i) Py_CLEAR(outputs[i]);
  return complete;
}

PyObject* run(Entry& entry, const Bound& bound) {
  PyObject* outputs[kMaxOutputs];
  if (!compute(entry, bound, outputs)) return nullptr;
  PyObject* result = build(entry.result, outputs);
  for (std::size_t i = 0; i < entry.runner->num_outputs(); ++i) Py_XDECREF(outputs[i]);
  return result;
}

// ---- under a tape -----------------------------------------------------------------------------------------------------------------

// The operands of a call as tensors: the tape hears of variables that are read, and keeps the values that they have now.
class Operands {
 public:
  Operands() = default;
  Operands(const Operands&) = delete;
  ~Operands() {
    for (std::size_t i = 0; i < count_; ++i) Py_DECREF(tensors_[i]);
  }
  // False with a Python error set.
  bool read(Bound* bound, std::size_t count) {
    for (; count_ < count; ++count_)
      if (!read_one(bound, count_)) return false;
    return true;
  }
  PyObject* const* tensors() const { return tensors_; }
  std::size_t count() const { return count_; }

 private:
  bool read_one(Bound* bound, std::size_t input) {
    static PyObject* const read_value = PyUnicode_InternFromString("read_value");
    PyObject* value = bound->values()[input];
    if (Py_TYPE(value) == python_types().tensor) {
      Py_INCREF(value);
      tensors_[input] = value;
      return true;
    }
    PyObject* tensor = PyObject_CallMethodNoArgs(value, read_value);
    if (!tensor) return false;
    bound->hold(input, array_of_value(tensor), tensor);
    tensors_[input] = tensor;
    return true;
  }

  PyObject* tensors_[kMaxInputs];
  std::size_t count_ = 0;
};

PyObject* run_recorded(Entry& entry, const Operands& operands, const Bound& bound, PyObject* tape) {
  PyObject* outputs[kMaxOutputs];
  if (!compute(entry, bound, outputs)) return nullptr;
  const bool recorded = record_call(tape, entry.recipe, operands.tensors(), operands.count(), outputs);
  PyObject* result = recorded ? build(entry.result, outputs) : nullptr;
  for (std::size_t i = 0; i < entry.runner->num_outputs(); ++i) Py_XDECREF(outputs[i]);
  return result;
}

PyObject* run_taped(Entry& entry, Bound* bound, PyObject* tape) {
  Operands operands;
  if (!operands.read(bound, entry.runner->num_inputs())) return nullptr;
  const int followed = entry.taped == Taped::kUnseen ? 0 : follows_any(tape, operands.tensors(), operands.count());
  if (followed < 0) return nullptr;
  return followed ? run_recorded(entry, operands, *bound, tape) : run(entry, *bound);
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

PyObject* serve(std::vector<Entry*>& entries, std::size_t place, Bound* bound, PyObject* tape) {
  Entry* entry = entries[place];
  for (; place > 0; --place) entries[place] = entries[place - 1];
  entries[0] = entry;
  ++entry->hits;
  ++entry->references;
  PyObject* result = tape ? run_taped(*entry, bound, tape) : run(*entry, *bound);
  let_go(entry);
  return result;
}

PyObject* answer(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* names) {
  std::vector<Entry*>& entries = *as_callable(self)->entries;
  Listener listener{nullptr, true};
  if (!entries.empty() && !find_listener(&listener)) return nullptr;
  if (listener.needs_python) return call_python(self, args, nargsf, names);
  Bound bound;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (listener.tape && entries[i]->taped == Taped::kPython) continue;
    const int found = match_call(*entries[i], args, static_cast<std::size_t>(PyVectorcall_NARGS(nargsf)), names, &bound);
    if (found < 0) return nullptr;
    if (found) return serve(entries, i, &bound, listener.tape);
  }
  return call_python(self, args, nargsf, names);
}

PyObject* vectorcall(PyObject* self, PyObject* const* args, std::size_t nargsf, PyObject* names) {
  return guarded([&] { return answer(self, args, nargsf, names); });
}

// None: Python serves calls under a tape. False: a tape needn't hear of them. Else what they are recorded as.
void set_recipe(Entry* entry, const py::object& recipe) {
  if (recipe.is_none()) return;
  entry->taped = py::isinstance<py::bool_>(recipe) ? Taped::kUnseen : Taped::kRecorded;
  if (entry->taped == Taped::kUnseen) return;
  entry->recipe_object = recipe;
  entry->recipe.object = recipe.ptr();
  entry->recipe.serial = recipe.attr("serial").cast<std::uint64_t>();
  for (const py::handle& item : py::object(recipe.attr("differentiable"))) entry->recipe.differentiable.push_back(item.cast<bool>());
}

PyObject* remember(PyObject* self, PyObject* args) {
  return guarded([&]() -> PyObject* {
    const py::tuple given = py::reinterpret_borrow<py::tuple>(args);
    if (given.size() != 7) throw py::type_error("remember takes a runner, positional, names, arguments, result, specs and a recipe");
    auto entry = std::make_unique<Entry>();
    entry->runner = given[0].cast<std::shared_ptr<Runner>>();
    entry->positional = given[1].cast<std::size_t>();
    entry->names = given[2].cast<py::tuple>();
    for (const py::handle& item : py::object(given[3])) entry->arguments.push_back(node_from(item));
    entry->result = node_from(given[4]);
    for (const py::handle& spec : py::object(given[5])) entry->specs.push_back(py::reinterpret_borrow<py::object>(spec));
    set_recipe(entry.get(), given[6]);
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
  return guarded([&]() -> PyObject* {
    auto entries = std::make_unique<std::vector<Entry*>>();
    PyObject* self = type->tp_alloc(type, 0);
    if (!self) return nullptr;
    as_callable(self)->vectorcall = vectorcall;
    as_callable(self)->entries = entries.release();
    return self;
  });
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
    Py_VISIT(entry->recipe_object.ptr());
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
