"""Calls of a model on one batch. A batch that looks like one before runs its program without any Python in between."""

from __future__ import annotations

import itertools
import weakref
from types import FunctionType
from typing import Any

import numpy as np

from pynn.engine.callable import Callable
from pynn.engine.tensor import Tensor
from pynn.engine.variable import structure
from pynn.models.settings import settings_of
from pynn.program.program import Program
from pynn.program.replay import NativeReplay

MOST_STATES = 64  # of a model's settings, remembered at a time


class BatchCall(Callable):
    """One way to call a model: `model.<method>(*values)` runs the program of a batch and calls `serve` with it."""

    def __init__(self, model, method: str):
        self._model = weakref.ref(model)
        self._method = method
        self._served: list[Program] = []

    def call_python(self, *values):
        """A batch that has to be looked at."""
        return getattr(self._model(), self._method)(*values, call=self)

    def serve(self, program: Program, values: tuple, inputs: list[np.ndarray], *, tensors: bool) -> None:
        """From now on, values that look like these run `program`, if they are its inputs as they stand: tensors or arrays, and None.

        The result is the program's outputs in the model's form; as tensors, or as arrays.
        """
        present = [v.data if type(v) is Tensor else v for v in values if v is not None]
        plain = len(present) == len(inputs) and all(type(a) is np.ndarray and a is b for a, b in zip(present, inputs, strict=True))
        if not plain or program in self._served or not isinstance(program.replay, NativeReplay):
            return
        self._served.append(program)
        places = iter(range(len(inputs)))
        arguments = [("equal", None) if v is None else ("array", next(places)) for v in values]
        result: Any = self._model().forms.outputs([("output", i) for i in range(len(program.outputs))])
        if isinstance(result, dict):
            result = "dict", tuple(result), list(result.values())
        elif isinstance(result, list):
            result = "list", result
        self.remember(program.replay.runner, len(values), (), arguments, result, [t.spec for t in program.outputs] if tensors else [], None)


class ModelCalls:
    """The batch calls of a model, for as long as its weights, what is trainable of them and its settings stay what they are."""

    def __init__(self) -> None:
        self._calls: dict[str, BatchCall] = {}
        self._states: dict[tuple, int] = {}  # a number for each of the model's settings that there were
        self._numbers = itertools.count()
        self._state: int | None = None
        self._seen: tuple = ()
        self._containers: list = []
        self._facts: dict[FunctionType, Any] = {}
        self._facts_seen: tuple = ()

    def get(self, model, method: str) -> BatchCall:
        """The call for a method of the model."""
        self.state(model)
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = BatchCall(model, method)
        return call

    def state(self, model) -> int:
        """A number for what programs of the model depend on beside shapes. Looked up again only if something may have changed."""
        if self._state is None or self._seen != (structure.changes, *map(len, self._containers)):
            state = self._number_of(settings_of(model))
            if state != self._state:
                self._calls.clear()
                self._state = state
            self._containers = model.containers()
            self._seen = (structure.changes, *map(len, self._containers))
        return self._state

    def _number_of(self, settings: tuple) -> int:
        number = self._states.get(settings)
        if number is None:
            if len(self._states) == MOST_STATES:
                self._states.clear()
            number = self._states[settings] = next(self._numbers)
        return number

    def fact(self, model, find: FunctionType) -> Any:
        """`find(model)`, found again only if something may have changed."""
        self.state(model)
        if self._facts_seen != self._seen:
            self._facts, self._facts_seen = {}, self._seen
        if find not in self._facts:
            self._facts[find] = find(model)
        return self._facts[find]

    def clear(self) -> None:
        """Forgets all calls."""
        self._calls.clear()
        self._states.clear()
        self._state = None
