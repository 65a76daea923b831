"""Public functions on tensors. A call that comes again and again, eagerly and on small operands, is captured and goes past Python.

What a call has to do is the same for all calls that look like it, and finding that out is most of what a small one costs. A capture is the
price of some thirty calls, and a captured call takes a tenth of one: a signature is captured when it has come about that often.
"""

from __future__ import annotations

import functools
from collections.abc import Callable as PythonFunction
from types import EllipsisType, NoneType

import numpy as np

from pynn.engine import kernels
from pynn.engine.call_tape import CallTape
from pynn.engine.callable import LearningCallable
from pynn.engine.op import active
from pynn.engine.operators import FUNCTIONS
from pynn.engine.tape import paused
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable

LOOKED_AT = 8  # every so many calls that Python serves,
SIGHTINGS = 4  # and so often the same signature, before it is captured
MOST_SIGNATURES = 64  # served at a time by one function
MOST_BYTES = 1 << 20  # of all operands, and of all results: for larger ones the way to the kernel is short beside its work
MOST_KEPT_BYTES = 1 << 18  # by a signature, between its calls

_PLAIN = frozenset((int, bool, str, NoneType))
_THEMSELVES = (EllipsisType, type, np.dtype)


class PublicFunction(LearningCallable):
    """A function of tensors, variables and Python values that gives the same for the same, and changes nothing."""

    def __init__(self, python_function: PythonFunction, module: str):
        super().__init__(MOST_SIGNATURES)
        functools.update_wrapper(self, python_function)
        self.__module__ = module
        self.python_function = python_function
        self._calls = 0

    def __reduce__(self) -> str:
        return self.__name__

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__name__}>"

    def call_python(self, *args, **kwargs):
        """A call that no runner serves."""
        self._calls += 1
        if self._calls % LOOKED_AT == 0 and active.capture is None and all([type(t) is CallTape for t in active.tapes]):
            self._look_at(args, kwargs)
        try:
            return self.python_function(*args, **kwargs)
        except Exception as error:
            from pynn.refusals import refusal, rename

            label = self.__name__.strip("_")
            if label in FUNCTIONS:
                rename(error, label, FUNCTIONS)
            refused = refusal(error, label, self.python_function, args, kwargs)
            if refused is None:
                raise
            raise refused from refused.__cause__

    def served(self) -> int:
        """Signatures that need no Python now."""
        return len(self._served)

    def _look_at(self, args: tuple, kwargs: dict) -> None:
        signature = Signature()
        try:
            key = signature.of(args), tuple(kwargs), signature.of(tuple(kwargs.values()))
        except LookupError:
            return
        if signature.bytes > MOST_BYTES or not kernels.native_enabled():
            return
        if self.sighted(key) == SIGHTINGS:
            self._capture(args, kwargs)

    def _capture(self, args: tuple, kwargs: dict) -> None:
        from pynn.program.captured_call import capture_call

        with paused():
            call = capture_call(self.python_function, args, kwargs, MOST_KEPT_BYTES)
        if call is not None and sum([spec.nbytes for spec in call.specs]) <= MOST_BYTES:
            self.serve(call.runner, len(args), tuple(kwargs), call.arguments, call.result, call.specs, call.recipe)


class Signature:
    """What of a call's arguments decides about what it does: hashable, and nothing of the values of tensors.

    `of` raises LookupError for a value that only Python can look at.
    """

    def __init__(self) -> None:
        self.bytes = 0

    def of(self, value):
        """The part of the signature for a value."""
        kind = type(value)
        if kind is Tensor or kind is Variable:
            self.bytes += value.spec.nbytes
            return value.spec
        if kind is tuple or kind is list:
            return kind, tuple([self.of(v) for v in value])
        if kind is float:
            return repr(value)  # of nan, and of zero with its sign
        if kind in _PLAIN:
            return kind, value
        if kind is slice:
            return slice, tuple([self._bound(v) for v in (value.start, value.stop, value.step)])
        if isinstance(value, _THEMSELVES):
            return value
        raise LookupError

    @staticmethod
    def _bound(value):
        if type(value) is not int and value is not None:
            raise LookupError
        return value
