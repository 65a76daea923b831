"""Constraints on weights, applied after each update: a constraint maps a tensor to the nearest allowed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynn import ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.errors import absent
from pynn.serialization import Configurable, Register

_REGISTER = Register("constraint")
_EPSILON = 1e-7


class Constraint(Configurable):
    """Base class; subclasses define `__call__(w) -> tensor` of the same shape."""

    _register = _REGISTER

    def __call__(self, w) -> Tensor:
        """`w`, moved into the allowed set."""
        raise NotImplementedError(f"[{type(self).__name__}] a constraint must define __call__(w).")


def _norms(w: Tensor, axis) -> Tensor:
    axis = tuple(axis) if isinstance(axis, list) else axis
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """`w * min(norm, max_value) / norm`, norms along `axis` (0: of each unit's incoming weights)."""

    def __init__(self, max_value: float = 2.0, axis: Any = 0):
        self.max_value, self.axis = max_value, axis

    def __call__(self, w):
        w = as_tensor(w)
        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0.0, self.max_value) / (norms + _EPSILON))


class NonNeg(Constraint):
    """Negative elements become zero."""

    def __call__(self, w):
        return ops.maximum(as_tensor(w), 0.0)


class UnitNorm(Constraint):
    """`w / norm`, norms along `axis`."""

    def __init__(self, axis: Any = 0):
        self.axis = axis

    def __call__(self, w):
        w = as_tensor(w)
        return w / (_norms(w, self.axis) + _EPSILON)


class MinMaxNorm(Constraint):
    """Norms along `axis` are moved into [min_value, max_value]; `rate` 1 does it at once, less does it over several steps."""

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0):
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w):
        w = as_tensor(w)
        norms = _norms(w, self.axis)
        desired = ops.clip(norms, self.min_value, self.max_value) * self.rate + norms * (1 - self.rate)
        return w * (desired / (norms + _EPSILON))


_REGISTER.add(NonNeg, "nonneg", "non_negative")


def get(identifier) -> Constraint | None:
    """The constraint for a name (`"max_norm"`, `"nonNeg"`), a config, an object or a function; None stays None.

    Raises:
        ValueError: the name is unknown.
    """
    return _REGISTER.get(identifier)


if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, _REGISTER.entries)
