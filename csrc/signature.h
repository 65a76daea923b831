// What calls that need no Python look like: the structure of their arguments, and matching it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>
#include <vector>

#include "arrays.h"
#include "contexts.h"

namespace pynn {

constexpr std::size_t kMaxInputs = 64;  // of a call without Python
constexpr std::size_t kMaxFloats = 16;

enum class Kind { kArray, kOperand, kFloat, kEqual, kSame, kTuple, kList, kDict, kCall, kOutput, kValue };

// A node of the arguments' or the result's structure.
struct Node {
  Kind kind;
  std::size_t index = 0;   // of an input or output
  pybind11::object value;  // to be equal or the same, a constant result, keys, or a class
  std::vector<Node> children;
};

// From the tuples that callable.h describes. Throws a Python error.
Node node_from(const pybind11::handle& item);
std::size_t count_floats(const std::vector<Node>& nodes);

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
  // The array of an operand: the value itself, or what is in it.
  void hold(std::size_t input, PyObject* array, PyObject* value) {
    Py_INCREF(array);
    held_[held_count_++] = array;
    memory_[input] = array_fields(array)->data;
    values_[input] = value;
  }
  void copy(std::size_t input, double value) {
    floats_[float_count_][0] = value;
    memory_[input] = floats_[float_count_++];
  }
  void* const* memory() const { return memory_; }
  PyObject** values() { return values_; }

 private:
  alignas(kAlignment) double floats_[kMaxFloats][kAlignment / sizeof(double)];
  void* memory_[kMaxInputs];
  PyObject* values_[kMaxInputs];  // of the inputs that are operands
  PyObject* held_[2 * kMaxInputs];  // a variable's memory, and that of the value which a tape reads
  std::size_t held_count_ = 0, float_count_ = 0;
};

// Borrowed: a tensor's array, else the value itself.
PyObject* array_of_value(PyObject* value);

// Whether these arguments are the known ones, inputs of the runner among them: 1 yes, and they are bound; 0 no; below 0 with a Python
// error set.
int match_arguments(const Runner& runner, const std::vector<Node>& arguments, PyObject* const* args, Bound* bound);
bool same_names(PyObject* known, PyObject* names);

}  // namespace pynn
