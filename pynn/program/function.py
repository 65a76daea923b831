"""`pn.function`: a Python function captured once per input signature and replayed natively."""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable as PythonFunction
from collections.abc import Iterator
from typing import Any

import numpy as np

from pynn.engine.callable import Callable
from pynn.engine.forks import renewed_in_children
from pynn.engine.op import active
from pynn.engine.operators import Operators, call
from pynn.engine.tensor import Tensor, as_tensor, scalar
from pynn.engine.variable import Variable
from pynn.errors import CaptureError, users_level
from pynn.program.capture import Capture, abstract
from pynn.program.nest import flatten, unflatten
from pynn.program.program import Program
from pynn.program.replay import NativeReplay
from pynn.program.same import Same

MAX_PROGRAMS = 16
RECAPTURES_BEFORE_WARNING = 8


class _Captured:
    """A program with the structure of the function's result around its outputs."""

    def __init__(self, program: Program, structure: Any, places: list):
        self.program = program
        self.structure = structure
        self.places = places  # per leaf of the result: index of an output, or a constant
        self.served = -1  # calls that needed no Python, when somebody last asked; -1 while all calls need it

    def result(self, outputs: list[np.ndarray]):
        leaves = (Tensor(outputs[p]) if isinstance(p, int) else p[0] for p in self.places)
        return unflatten(self.structure, leaves)


class Function(Callable):
    """A captured function; made by `pynn.function`. Called inside a capture or under a tape, it runs as plain Python.

    Tensors, arrays and Python floats among the arguments are inputs; integers, booleans, strings and None are part of the
    signature, as are shapes and dtypes. Values from outside the function are baked in, except variables.
    """

    def __init__(self, python_function: PythonFunction):
        functools.update_wrapper(self, python_function)
        self.python_function = python_function
        self._programs: OrderedDict[tuple, _Captured] = OrderedDict()
        self._captures = 0
        self.renew_locks()
        renewed_in_children(self)

    def renew_locks(self) -> None:
        """Replaces the lock by a free one."""
        self._changing = threading.RLock()  # what dies with a program that is dropped may call the function

    def call_python(self, *args, **kwargs):
        """A call whose signature has to be determined."""
        if active.capture is not None or active.tapes:
            return self.python_function(*args, **kwargs)
        captured, arrays = self._find(args, kwargs)
        result = captured.result(captured.program.run(arrays))
        if captured.served < 0:
            self._serve_natively(captured, args, kwargs)
        return result

    def __repr__(self) -> str:
        name = getattr(self.python_function, "__qualname__", repr(self.python_function))
        return f"<captured function {name}, {len(self._programs)} programs>"

    def __deepcopy__(self, memo) -> Function:
        """Another one of the same Python function, with programs of its own; a method becomes one of the copy."""
        return type(self)(copy.deepcopy(self.python_function, memo))

    def __reduce__(self):
        """By its name where it has one, as any function; else by that of the Python function.

        To cloudpickle (joblib, Dask and Ray have it) the names of `__main__` say nothing: it writes functions from there as a whole.
        """
        asker = sys._getframe(1).f_globals.get("__name__", "")
        if self.__module__ == "__main__" and "cloudpickle" in asker:
            return type(self), (self.python_function,)
        named = sys.modules.get(self.__module__)
        path = getattr(self, "__qualname__", "")
        for part in path.split("."):
            named = getattr(named, part, None)
        return path if named is self else (type(self), (self.python_function,))

    def program(self, *args, **kwargs) -> Program:
        """The program for these arguments, captured if need be but not run."""
        return self._find(args, kwargs)[0].program

    def run_steps(self, steps: int, *args, **kwargs):
        """Calls the function `steps` times with the same arguments in one native run; returns the last result."""
        captured, arrays = self._find(args, kwargs)
        return captured.result(captured.program.run(arrays, steps))

    def _find(self, args: tuple, kwargs: dict) -> tuple[_Captured, list[np.ndarray]]:
        leaves: list = []
        structure = flatten((args, kwargs), leaves) if args or kwargs else ()
        inputs, key = _signature(leaves)
        captured = self._programs.get((structure, key))
        if captured is None:
            captured = self._capture(structure, leaves, inputs, self._has_new_objects(key))
            self._remember((structure, key), captured)
        else:
            self._use((structure, key))
        return captured, [t.data for t in inputs]

    def _serve_natively(self, captured: _Captured, args: tuple, kwargs: dict) -> None:
        """From now on calls that look like this one go past Python, where they can."""
        captured.served = 0
        program = captured.program
        if not isinstance(program.replay, NativeReplay):
            return
        arguments = describe_arguments([*args, *kwargs.values()])
        if arguments is not None:
            leaves = [("output", p) if isinstance(p, int) else ("value", p[0]) for p in captured.places]
            result = describe_result(captured.structure, iter(leaves))
            specs = [t.spec for t in program.outputs]
            self.remember(program.replay.runner, len(args), tuple(kwargs), arguments, result, specs, None)

    def _use(self, key: tuple) -> None:
        with self._changing:  # meanwhile another thread may have dropped it
            if key in self._programs:
                self._programs.move_to_end(key)

    def _remember(self, key: tuple, captured: _Captured) -> None:
        with self._changing:
            self._programs[key] = captured
            if len(self._programs) > MAX_PROGRAMS:
                self._drop_least_recent()
        self._captures += 1
        if self._captures == RECAPTURES_BEFORE_WARNING:
            warnings.warn(
                f"{getattr(self, '__name__', 'function')} has been captured {self._captures} times, each for another signature "
                "(shapes, dtypes, and Python values that aren't floats). Pass changing numbers as floats or tensors.",
                stacklevel=users_level(),
            )

    def _drop_least_recent(self) -> None:
        for key, captured in list(self._programs.items()):
            if isinstance(captured.program.replay, NativeReplay) and captured.served >= 0:
                served = self.hits(captured.program.replay.runner)
                if served > captured.served:
                    captured.served = served
                    self._programs.move_to_end(key)
        _, dropped = self._programs.popitem(last=False)
        if isinstance(dropped.program.replay, NativeReplay):
            self.forget(dropped.program.replay.runner)

    def _has_new_objects(self, key: tuple) -> bool:
        """True for the first call, and the first with these objects, a model or an optimizer say: their variables may be made in it."""
        objects = {part for part in key if isinstance(part, Same)}
        with self._changing:
            return not any(objects <= set(known) for _, known in self._programs)

    def _capture(self, structure, leaves: list, inputs: list[Tensor], may_create: bool) -> _Captured:
        stand_ins = [abstract(t.spec, "argument") for t in inputs]
        queue = iter(stand_ins)
        arguments = (_argument(v, queue) for v in leaves)
        return capture_function(self.python_function, structure, arguments, stand_ins, may_create=may_create)


def capture_function(
    function: PythonFunction, structure, arguments: Iterator, stand_ins: list[Tensor], *, may_create: bool
) -> _Captured:
    """Captures a call over inputs that `stand_ins` stand for. `arguments`, the leaves of `structure`, are taken while the capture runs."""
    with Capture(may_create=may_create) as capture, capture:
        args, kwargs = unflatten(structure, arguments) if structure else ((), {})
        result = function(*args, **kwargs)
    return _finish(capture, stand_ins, result)


def _argument(leaf, stand_ins: Iterator[Tensor]):
    """What the function sees in place of an argument."""
    if not _is_input(leaf):
        return leaf
    stand_in = next(stand_ins)
    if not isinstance(leaf, float):
        return stand_in
    number = call("cast", stand_in, np.float32)
    number.exact = stand_in
    return number


def _finish(capture: Capture, inputs: list[Tensor], result) -> _Captured:
    leaves: list = []
    structure = flatten(result, leaves)
    outputs: list[Tensor] = []
    places: list = []
    for leaf in leaves:
        value = leaf
        if isinstance(leaf, Variable):
            with_current = capture.current.get(id(leaf))
            value = with_current[1] if with_current else leaf.value
        if isinstance(value, Tensor):
            places.append(len(outputs))
            outputs.append(value)
        elif _holds_abstract(value):
            raise CaptureError(
                f"[function] results must be tensors, or tuples, lists and dicts of them. Received: a {type(value).__name__} with values "
                "that are known only when the captured function runs. Return them in a tuple or a dict."
            )
        else:
            places.append((value,))
    return _Captured(Program(capture, inputs, outputs), structure, places)


def _holds_abstract(value) -> bool:
    inside = value if isinstance(value, (set, frozenset)) else getattr(value, "__dict__", {}).values()
    return any(isinstance(v, Tensor) and v.is_abstract for v in inside)


def describe_arguments(values) -> list | None:
    """What `Callable.remember` is told of arguments; None if they hold something that only Python can look at."""
    inputs = itertools.count()

    def describe(value):
        kind = type(value)
        if kind is Tensor or kind is np.ndarray:
            return "array", next(inputs)
        if kind is float:
            return "float", next(inputs)
        if kind in (int, bool, str, type(None)):
            return "equal", value
        if _is_input(value) or isinstance(value, (dict, tuple, list, int, str)):
            raise LookupError
        return "same", value

    try:
        return describe_leaves(values, describe)
    except LookupError:
        return None


def describe_leaves(values, describe: PythonFunction) -> list:
    """`describe` of every value that isn't a tuple or list, in the tuples and lists in which they lie."""
    return [
        (type(v).__name__, describe_leaves(v, describe)) if type(v) in (tuple, list) else describe(v)
        for v in values
    ]


def describe_result(structure, leaves) -> tuple:
    """What `Callable.remember` is told of a result."""
    if isinstance(structure, tuple):
        kind, children = structure[0], [describe_result(s, leaves) for s in structure[-1]]
        if kind is dict:
            return "dict", structure[1], children
        if len(structure) == 3:
            return "call", kind, children
        return (kind.__name__, children) if kind in (tuple, list) else ("call", _from_items(kind), children)
    return next(leaves)


def _from_items(kind: type):
    return lambda *items: kind(items)


def _is_input(value) -> bool:
    return isinstance(value, (Tensor, np.ndarray, np.generic, float))


def _signature(leaves: list) -> tuple[list[Tensor], tuple]:
    inputs: list[Tensor] = []
    key: list = []
    for value in leaves:
        if isinstance(value, float):
            inputs.append(scalar(value, np.float64))
            key.append("float")
        elif _is_input(value):
            t = as_tensor(value)
            inputs.append(t)
            key.append(t.spec)
        elif isinstance(value, Operators) or not isinstance(value, (int, bool, str, type(None))):
            key.append(Same(value))
        else:
            key.append((type(value), value))
    return inputs, tuple(key)


def function(python_function: PythonFunction) -> Function:
    """Captures `python_function` at its first call per input signature, and replays it natively from then on.

    The Python body runs once, at capture; prints and other side effects happen then only. Variables are read and assigned in place.

    Raises:
        CaptureError: the body asks a tensor for its value.

    Example:
        >>> import pynn as pn
        >>> w = pn.Variable(0.0)
        >>> @pn.function
        ... def step(target):
        ...     cost, (dw,) = pn.value_and_grads(lambda w: (w - target) ** 2)(w)
        ...     w.assign(w - 0.5 * dw)
        ...     return cost
        >>> float(step(3.0)), float(w)
        (9.0, 3.0)
    """
    if isinstance(python_function, Function):
        return python_function
    if not callable(python_function):
        raise TypeError(f"[function] expects a function. Received: {type(python_function).__name__}.")
    return Function(python_function)


__all__ = ["Function", "function"]
