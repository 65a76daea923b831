"""The activations that whole-sequence recurrent ops know: those whose slope follows from their output alone.

Backward then needs no pre-activation: `y = f(z)` is kept, and `f'(z)` is a function of `y`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pynn.ops.activations import SELU_ALPHA, SELU_SCALE


class CellActivation(NamedTuple):
    """`value(z)` and `slope(y)`, the derivative of `value` written as a function of its result."""

    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), without overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, z.dtype.type(1)) / (1 + e)


def _inside(y: np.ndarray, low: float, high: float, slope: float) -> np.ndarray:
    return np.where((y > low) & (y < high), y.dtype.type(slope), y.dtype.type(0))


def _elu(z: np.ndarray) -> np.ndarray:
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def _selu(z: np.ndarray) -> np.ndarray:
    scale, alpha = z.dtype.type(SELU_SCALE), z.dtype.type(SELU_ALPHA)
    return scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def _selu_slope(y: np.ndarray) -> np.ndarray:
    return np.where(y > 0, y.dtype.type(SELU_SCALE), y + y.dtype.type(SELU_SCALE * SELU_ALPHA))


# The position of a name is its number in the native kernels, which know the first six.
ACTIVATIONS: dict[str, CellActivation] = {
    "linear": CellActivation(lambda z: z, np.ones_like),
    "relu": CellActivation(lambda z: np.maximum(z, 0), lambda y: (y > 0).astype(y.dtype)),
    "tanh": CellActivation(np.tanh, lambda y: 1 - y * y),
    "sigmoid": CellActivation(sigmoid, lambda y: y * (1 - y)),
    "hard_sigmoid": CellActivation(lambda z: np.clip(z + 3, 0, 6) / 6, lambda y: _inside(y, 0, 1, 1 / 6)),
    "hard_sigmoid_keras2": CellActivation(
        lambda z: np.clip(z * z.dtype.type(0.2) + z.dtype.type(0.5), 0, 1), lambda y: _inside(y, 0, 1, 0.2)
    ),
    "softsign": CellActivation(lambda z: z / (1 + np.abs(z)), lambda y: (1 - np.abs(y)) ** 2),
    "elu": CellActivation(_elu, lambda y: np.where(y > 0, y.dtype.type(1), y + 1)),
    "selu": CellActivation(_selu, _selu_slope),
    "softplus": CellActivation(lambda z: np.logaddexp(z, z.dtype.type(0)), lambda y: -np.expm1(-y)),
    "relu6": CellActivation(lambda z: np.clip(z, 0, 6), lambda y: _inside(y, 0, 6, 1)),
    "exponential": CellActivation(np.exp, lambda y: y),
}
NUMBERS = {name: number for number, name in enumerate(ACTIVATIONS)}
