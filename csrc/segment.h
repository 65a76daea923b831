// What a tape keeps of calls that needed no Python: segments, rows of such calls with the tensors between them.
//
// A segment is a Python object:
//   tensors     the operands and results of its calls, each once, in the order in which they came up
//   calls()     [(recipe, places of the operands among the tensors, place of the first result), ...]
//   followed()  places of the operands that no call of the segment has made and by which gradients are taken
//   key         bytes: equal for two segments if their calls, and how those hang together, are the same
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pynn {

// How a call is made anew by Python, and which of its results have a gradient.
struct Recipe {
  PyObject* object = nullptr;  // borrowed
  std::uint64_t serial = 0;    // its own among all recipes there ever were
  std::vector<bool> differentiable;
};

// A new reference to the class. Throws a Python error.
PyObject* segment_type();

// 1 if the tape takes gradients of one of these tensors, 0 if not, below 0 with a Python error set.
int follows_any(PyObject* tape, PyObject* const* tensors, std::size_t count);

// Writes a call down, in the segment at the end of the tape or in a new one. False with a Python error set.
bool record_call(PyObject* tape, const Recipe& recipe, PyObject* const* operands, std::size_t num_operands, PyObject* const* results);

}  // namespace pynn
