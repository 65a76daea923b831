"""What holds during the call of a layer: whether it trains, which outermost call it belongs to, and who looks at what it gives."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Iterator

from pynn.errors import DataError

_numbers = itertools.count(1)


class _Calls(threading.local):
    """The chain of running calls in this thread."""

    def __init__(self) -> None:
        self.depth = 0  # calls inside each other
        self.training = False
        self.number = 0  # of the outermost call that runs, or ran last
        self.loading: loading | None = None  # the one that is entered
        self.observer: Callable | None = None


running = _Calls()


class CallContext:
    """What holds during one call of a layer; `training` None takes that of the call around it."""

    __slots__ = ("observer", "training", "_before", "_depth")

    def __init__(self, training: bool | None):
        self._depth, self._before = running.depth, running.training
        self.training = self._before if training is None else training
        self.observer = running.observer

    def enter(self) -> None:
        """From here on it holds in this thread."""
        if self._depth == 0:
            running.number = next(_numbers)
        running.depth = self._depth + 1
        running.training = self.training

    def leave(self) -> None:
        """What held before holds again. May come twice: no context manager, as Ctrl-C can keep an `__exit__` from its first line."""
        running.depth, running.training = self._depth, self._before


@contextlib.contextmanager
def observed(look: Callable) -> Iterator[None]:
    """While entered, calls `look(layer, outputs)` after each layer that this thread calls."""
    before, running.observer = running.observer, look
    try:
        yield
    finally:
        running.observer = before


class loading:
    """While a file is opened: weights start as zeros, and all together may have no more elements than the file holds.

    An architecture that declares more than its weights file can fill is refused before anything of that size is allocated.
    """

    STATES = 1 << 24  # elements of states, which files don't hold

    def __init__(self, elements: int):
        self.elements = elements
        self.states = self.STATES

    def __enter__(self) -> loading:
        self._before, running.loading = running.loading, self
        return self

    def __exit__(self, *exc) -> None:
        running.loading = self._before

    def spend(self, path: str, shape: tuple[int, ...]) -> None:
        """Takes a weight's elements off what is left."""
        self.elements -= math.prod(shape)
        if self.elements < 0:
            raise DataError(f"[load_model] the weight {path[:80]!a} of shape {shape} is larger than what the weights file holds.")

    def spend_state(self, path: str, shape: tuple[int, ...]) -> None:
        """Takes a state's elements off what is left for states."""
        self.states -= math.prod(shape)
        if self.states < 0:
            raise DataError(f"[load_model] the state {path[:80]!a} of shape {shape} is larger than the {self.STATES} elements allowed.")
