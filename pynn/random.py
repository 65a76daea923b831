"""Random numbers: `pn.random.normal((2, 3))`, drawn from one stream of the process, or with their own seed.

Every call advances the stream, also in captured functions, which draw new numbers in each run. `pn.set_seed` restarts it: from
there on the same calls give the same numbers, on every machine, eagerly and captured, at any number of threads. With `seed`, a call
always gives the same numbers and doesn't advance the stream.

Threads share the stream. Eager calls take turns; captured functions that run at the same time in several threads don't, and may draw
the same.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pynn import ops, seeds
from pynn.dtypes import is_whole
from pynn.engine.forks import renewed_in_children
from pynn.engine.op import active
from pynn.engine.public import PublicFunction
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable
from pynn.errors import absent
from pynn.seeds import set_seed

Shape = int | Sequence[int]

__all__ = ["bernoulli", "integers", "normal", "permutation", "set_seed", "truncated_normal", "uniform"]


class _Stream:
    """A counter, whose start follows from the process's seed; the key is fixed, so that captured calls need not know the seed."""

    KEY = (0x70796E6E, 0x72616E64)

    def __init__(self) -> None:
        capture, active.capture = active.capture, None
        try:
            self.counter = Variable(0, "int64", name="random", trainable=False)
        finally:
            active.capture = capture
        self.renew_locks()
        renewed_in_children(self)
        self.restart()

    def renew_locks(self) -> None:
        self.lock = threading.RLock()

    def restart(self) -> None:
        high, low = seeds.key_for("random")
        self.move_to((high << 32 | low) - 2**63)

    def move_to(self, position: int) -> None:
        self.counter.writable_storage(copy=False)[...] = position

    def draw(self, function, *args, **attrs) -> Tensor:
        """`function(counter, ...)` at the stream's position, which is one further after it."""
        with self.lock:
            drawn = function(self.counter, *args, key0=self.KEY[0], key1=self.KEY[1], **attrs)
            self.counter.assign(ops.increment(self.counter))
        return drawn


_STREAM = _Stream()
seeds.restarts.append(_STREAM.restart)


def position() -> int:
    """Where the process's stream is, for `move_to` in another process."""
    return int(_STREAM.counter.storage())


def move_to(position: int) -> None:
    """Goes on where `position` was asked."""
    _STREAM.move_to(position)


def _drawn(function: PublicFunction, seed: int | None, *args, **attrs) -> Tensor:
    if seed is None:
        return _STREAM.draw(function, *args, **attrs)
    if not is_whole(seed):
        raise TypeError(f"[{function.__name__}] the seed must be a whole number. Received: seed={seed!r}. Pass an int, or leave it out.")
    key0, key1 = seeds.key_for("random", seed)
    return function(0, *args, key0=key0, key1=key1, **attrs)


def normal(shape: Shape, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32", seed: int | None = None) -> Tensor:
    """Normal numbers with this mean and standard deviation.

    Args:
        shape: Of the result; a number for a vector.
        mean: The mean.
        stddev: The standard deviation.
        dtype: float32 or float64.
        seed: Gives the same numbers always, whatever was drawn before.

    Raises:
        TypeError: the shape or dtype isn't valid for random numbers.
        ValueError: a length is below zero.

    Example:
        >>> import pynn as pn
        >>> pn.set_seed(1)
        >>> x = pn.random.normal((2, 3))
        >>> x.shape, bool((x == pn.random.normal((2, 3))).any())
        ((2, 3), False)
    """
    return _drawn(ops.random_normal, seed, shape, mean=mean, stddev=stddev, dtype=dtype)


def truncated_normal(shape: Shape, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32", seed: int | None = None) -> Tensor:
    """Normal numbers within two standard deviations of the mean; `stddev` is that before the cut. Arguments as for `normal`."""
    return _drawn(ops.random_truncated_normal, seed, shape, mean=mean, stddev=stddev, dtype=dtype)


def uniform(shape: Shape, low: float = 0.0, high: float = 1.0, dtype: Any = "float32", seed: int | None = None) -> Tensor:
    """Numbers from `low` to below `high`, all equally likely. Other arguments as for `normal`."""
    return _drawn(ops.random_uniform, seed, shape, low=low, high=high, dtype=dtype)


def bernoulli(shape: Shape, p: float = 0.5, dtype: Any = "float32", seed: int | None = None) -> Tensor:
    """1 with probability `p`, else 0. Other arguments as for `normal`.

    Raises:
        ValueError: `p` is outside [0, 1].
    """
    return _drawn(ops.random_bernoulli, seed, shape, p=p, dtype=dtype)


def integers(shape: Shape, low: int, high: int, dtype: Any = "int64", seed: int | None = None) -> Tensor:
    """Whole numbers from `low` to `high` - 1, all equally likely. Other arguments as for `normal`.

    Raises:
        ValueError: `high` isn't above `low`, or the dtype doesn't hold all the numbers.
    """
    return _drawn(ops.random_integers, seed, shape, low=low, high=high, dtype=dtype)


def permutation(n: int, seed: int | None = None) -> Tensor:
    """The numbers 0 to n - 1 in random order, int64. `seed` as for `normal`."""
    return _drawn(ops.permutation, seed, n)


if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, __all__)
