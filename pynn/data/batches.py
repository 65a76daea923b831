"""Data that comes batch by batch: generators, iterables of (x, y), and objects with `__getitem__` and `__len__`."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

from pynn.data.arrays import ArrayData

_ONE_VALUE = (list, tuple, dict, str, int, float, bytes, bytearray, memoryview, array)


def is_batches(x: Any) -> bool:
    """True for data that yields batches itself, as opposed to arrays, numbers and nested lists of them."""
    if hasattr(x, "__array__") or hasattr(x, "__dlpack__") or hasattr(x, "toarray") or isinstance(x, _ONE_VALUE):
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__next__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def with_parts(item: Any, rest: tuple) -> tuple:
    """(x, y) or (x, y, sample_weight) of a batch that needs targets and came as one list of arrays, as loaders of PyTorch make them."""
    if not rest and isinstance(item, list) and len(item) in (2, 3) and all(len(getattr(part, "shape", ())) > 0 for part in item):
        return tuple(item)
    return (item, *rest)


class Batches:
    """Batches from a generator (iterated once), an iterable (iterated again each epoch) or an indexable object.

    Each item is `x`, `(x, y)` or `(x, y, sample_weight)`; where targets are needed, `[x, y]` and `[x, y, sample_weight]` too.
    """

    def __init__(self, source: Any, to_data: Callable[..., ArrayData]):
        self._source = source
        self._to_data = to_data
        self._iterator: Iterator | None = None
        self._ahead: list = []  # an item that was looked at before its time
        self.steps: int | None = len(source) if hasattr(source, "__len__") else None

    def epoch(self, steps: int | None) -> Iterator[ArrayData]:
        """The batches of one epoch: all there are, or `steps` of them, from where the last epoch ended and around."""
        count = 0
        while steps is None or count < steps:
            item = self._next(fresh=count == 0 and steps is None)
            if item is None and steps is not None:
                item = self._next(fresh=True)
            if item is None:
                return
            yield self._data(item)
            count += 1

    def peek(self) -> ArrayData | None:
        """The batch that comes next, which stays the next; None if there is none."""
        item = self._next(fresh=True)
        if item is None:
            return None
        self._ahead.append(item)
        return self._data(item)

    def skip(self, count: int) -> None:
        """Goes past so many batches, and around. A generator stays where it is: where the process starts it is up to its owner."""
        left, seen = (count % self.steps if self.steps else count), 0
        while left > 0 and not hasattr(self._source, "__next__"):
            if self._next(fresh=False) is not None:
                left, seen = left - 1, seen + 1
            elif seen:
                left, seen, self._iterator = left % seen, 0, None
            else:
                return

    def _next(self, fresh: bool):
        if self._ahead:
            return self._ahead.pop()
        if self._iterator is None or (fresh and not hasattr(self._source, "__next__")):
            self._iterator = self._iterate()
        return next(self._iterator, None)

    def _iterate(self) -> Iterator:
        if hasattr(self._source, "__iter__"):
            return iter(self._source)
        return (self._source[i] for i in range(len(self._source)))

    def epoch_ended(self) -> None:
        """Tells the source that an epoch is over, if it wants to know."""
        hook = getattr(self._source, "on_epoch_end", None)
        if hook is not None:
            hook()

    def _data(self, item) -> ArrayData:
        if isinstance(item, dict) and set(item) == {"xs", "ys"}:
            item = (item["xs"], item["ys"])
        if not isinstance(item, tuple):
            return self._to_data(item)
        if len(item) > 3:
            raise ValueError(
                f"[data] a batch must be x, (x, y) or (x, y, sample_weight). Received: a tuple of {len(item)}. "
                "Several inputs go into one list: ([a, b], y)."
            )
        return self._to_data(*item)
