#include "signature.h"

#include <cstring>
#include <utility>

#include "python_types.h"

namespace py = pybind11;

namespace pynn {
namespace {

Kind kind_named(const std::string& name) {
  static const std::pair<const char*, Kind> names[] = {
      {"array", Kind::kArray}, {"operand", Kind::kOperand}, {"float", Kind::kFloat}, {"equal", Kind::kEqual},
      {"same", Kind::kSame},   {"tuple", Kind::kTuple},     {"list", Kind::kList},   {"dict", Kind::kDict},
      {"call", Kind::kCall},   {"output", Kind::kOutput},   {"value", Kind::kValue}};
  for (const auto& [known, kind] : names)
    if (name == known) return kind;
  throw py::value_error("unknown part of a signature: " + name);
}

// ---- matching: 1 yes, 0 no, below 0 with a Python error set -----------------------------------------------------------------------

bool match_array(const Runner& runner, const Node& node, PyObject* array, PyObject* value, Bound* bound) {
  if (!array || !is_exact_array(array) || !runner.input(node.index).fits(array)) return false;
  bound->hold(node.index, array, value);
  return true;
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

int match(const Runner& runner, const Node& node, PyObject* value, Bound* bound);

int match_items(const Runner& runner, const Node& node, PyObject* sequence, Bound* bound) {
  const Py_ssize_t count = static_cast<Py_ssize_t>(node.children.size());
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (PySequence_Fast_GET_SIZE(sequence) != count) return 0;
    const int found = match(runner, node.children[static_cast<std::size_t>(i)], PySequence_Fast_GET_ITEM(sequence, i), bound);
    if (found != 1) return found;
  }
  return PySequence_Fast_GET_SIZE(sequence) == count;
}

int match(const Runner& runner, const Node& node, PyObject* value, Bound* bound) {
  switch (node.kind) {
    case Kind::kArray: return match_array(runner, node, array_of_value(value), value, bound);
    case Kind::kOperand: return match_array(runner, node, array_of_operand(value), value, bound);
    case Kind::kFloat: return match_float(node, value, bound);
    case Kind::kEqual: return match_equal(node, value);
    case Kind::kSame: return value == node.value.ptr();
    case Kind::kTuple: return PyTuple_CheckExact(value) ? match_items(runner, node, value, bound) : 0;
    case Kind::kList: return PyList_CheckExact(value) ? match_items(runner, node, value, bound) : 0;
    default: return 0;
  }
}

}  // namespace

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

PyObject* array_of_value(PyObject* value) {
  return Py_TYPE(value) == python_types().tensor ? slot_at(value, python_types().tensor_array) : value;
}

bool same_names(PyObject* known, PyObject* names) {
  const Py_ssize_t count = PyTuple_GET_SIZE(known);
  if (known == names || (!names && count == 0)) return true;
  if (!names || PyTuple_GET_SIZE(names) != count) return false;
  for (Py_ssize_t i = 0; i < count; ++i)  // names are interned as a rule; others are another call to Python
    if (PyTuple_GET_ITEM(known, i) != PyTuple_GET_ITEM(names, i)) return false;
  return true;
}

int match_arguments(const Runner& runner, const std::vector<Node>& arguments, PyObject* const* args, Bound* bound) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const int found = match(runner, arguments[i], args[i], bound);
    if (found == 1) continue;
    bound->clear();
    return found;
  }
  return 1;
}

}  // namespace pynn
