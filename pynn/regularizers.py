"""Penalties on weights or activities: a regularizer is called with a tensor and gives a scalar that is added to the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynn import ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.errors import absent
from pynn.serialization import Configurable, Register

_REGISTER = Register("regularizer")


class Regularizer(Configurable):
    """Base class; subclasses define `__call__(x) -> scalar tensor`."""

    _register = _REGISTER

    def __call__(self, x) -> Tensor:
        """The penalty for `x`."""
        raise NotImplementedError(f"[{type(self).__name__}] a regularizer must define __call__(x).")


def _checked(name: str, **factors) -> None:
    for key, value in factors.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ValueError(f"[{name}] {key} must be a number, zero or more. Received: {key}={value!r}.")


def _l1(x, factor: float) -> Tensor:
    return ops.sum(ops.abs(x)) * factor


def _l2(x, factor: float) -> Tensor:
    return ops.sum(ops.square(x)) * factor


class L1(Regularizer):
    """`l1 * sum(|x|)`."""

    def __init__(self, l1: float = 0.01):
        _checked("L1", l1=l1)
        self.l1 = l1

    def __call__(self, x):
        return _l1(as_tensor(x), self.l1)


class L2(Regularizer):
    """`l2 * sum(x^2)`."""

    def __init__(self, l2: float = 0.01):
        _checked("L2", l2=l2)
        self.l2 = l2

    def __call__(self, x):
        return _l2(as_tensor(x), self.l2)


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x^2)`."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        l1, l2 = 0.0 if l1 is None else l1, 0.0 if l2 is None else l2
        _checked("L1L2", l1=l1, l2=l2)
        self.l1, self.l2 = l1, l2

    def __call__(self, x):
        x = as_tensor(x)
        if not self.l1:
            return _l2(x, self.l2)
        return _l1(x, self.l1) + _l2(x, self.l2) if self.l2 else _l1(x, self.l1)


def get(identifier) -> Regularizer | None:
    """The regularizer for a name (`"l2"`, `"l1_l2"`), a config, an object or a function; None stays None.

    Raises:
        ValueError: the name is unknown.
    """
    return L1L2(0.01, 0.01) if identifier in ("l1_l2", "l1l2", "L1L2") else _REGISTER.get(identifier)


if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, _REGISTER.entries)
