// The base class of captured functions: a call whose signature is known binds its arguments, runs and returns without any Python.
// In a class it makes methods, as functions do.
//
// A subclass defines `call_python(*args, **kwargs)`, which serves every other call, and tells the calls that it has found a program for:
//   remember(runner, positional, names, arguments, result, specs, recipe)
//       from now on, calls with so many positional arguments and these keywords whose arguments match run `runner`.
//       An argument is ("array", i), input i as a tensor or an array of its shape and dtype; ("operand", i), input i as a tensor or
//       the value of a variable; ("float", i), a Python float for the scalar input i; ("equal", value), a value of the same type that
//       is equal; ("same", object), that very object; or ("tuple" | "list", arguments).
//       The result is ("output", i), a tensor; ("value", object); ("tuple" | "list", results); ("dict", keys, results); or
//       ("call", class, results). `specs` are those of the outputs; without any, outputs are arrays instead of tensors.
//       `recipe` is what a tape keeps of a call: an object with a `serial` number and a tuple of bools `differentiable`, one a
//       result. All arguments are operands then. False if tapes needn't hear of it, None if Python serves calls under tapes.
//   forget(runner)
//   hits(runner)    how many calls it has served
#pragma once

#include <Python.h>

namespace pynn {

// A new reference to the class. Throws a Python error.
PyObject* callable_type();

}  // namespace pynn
