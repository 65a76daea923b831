"""Activations as layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pynn import activations, ops
from pynn.dtypes import is_whole
from pynn.layers import weight_settings
from pynn.layers.base import InputSpec, Layer, SameShape
from pynn.layers.recurrent_base import as_bool
from pynn.ops.shape import checked_axes


class Activation(SameShape):
    """Applies an activation, given by name or as a function.

    Shapes: any input; the output has its shape.

    Example:
        >>> import pynn as pn
        >>> pn.layers.Activation("relu")(pn.tensor([-1.0, 2.0])).numpy().tolist()
        [0.0, 2.0]
    """

    def __init__(self, activation, **common):
        super().__init__(**common)
        self.activation = activations.get(activation)

    def call(self, x):
        return self.activation(x)

    @classmethod
    def samples(cls):
        return [dict(activation=a, input_shape=(2, 3)) for a in ("relu", "softmax", "gelu", "hard_sigmoid", "selu", "mish")]


def _number(layer: Layer, name: str, value, *, none: bool = False) -> float | None:
    if value is None and none:
        return None
    if isinstance(value, dict) and value.get("type") == "ndarray":  # as some files write a scalar
        value = value["value"]
    if isinstance(value, (bool, str)) or value is None or value < 0:
        raise ValueError(f"[{layer.label}] {name} must be a number, zero or more. Received: {name}={value!r}.")
    return float(value)


class ReLU(SameShape):
    """max(x, 0); see `pynn.activations.relu` for the arguments.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **common):
        super().__init__(**common)
        self.max_value = _number(self, "max_value", max_value, none=True)
        self.negative_slope = _number(self, "negative_slope", negative_slope or 0.0)
        self.threshold = _number(self, "threshold", threshold or 0.0)

    def call(self, x):
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3)), dict(max_value=1.0, negative_slope=0.1, threshold=0.2, input_shape=(4, 5))]


class LeakyReLU(SameShape):
    """x above zero, `negative_slope * x` below. `alpha` is the slope's name in older files.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, negative_slope: float = 0.3, *, alpha: float | None = None, **common):
        super().__init__(**common)
        self.negative_slope = _number(self, "negative_slope", negative_slope if alpha is None else alpha)

    def call(self, x):
        return activations.leaky_relu(x, self.negative_slope)

    def get_config(self):
        config = super().get_config()
        config.pop("alpha", None)
        return config

    @property
    def alpha(self) -> float:
        """The slope, under its older name."""
        return self.negative_slope

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3)), dict(alpha=0.1, input_shape=(4, 5))]


class ELU(SameShape):
    """x above zero, `alpha * (exp(x) - 1)` below.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, alpha: float = 1.0, **common):
        super().__init__(**common)
        self.alpha = _number(self, "alpha", alpha)

    def call(self, x):
        return activations.elu(x, self.alpha)

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3)), dict(alpha=0.5, input_shape=(4, 5))]


class ThresholdedReLU(SameShape):
    """x where x is above `theta`, else zero.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, theta: float = 1.0, **common):
        super().__init__(**common)
        self.theta = _number(self, "theta", theta)

    def call(self, x):
        return ops.where(x > self.theta, x, ops.zeros_like(x))

    @classmethod
    def samples(cls):
        return [dict(theta=0.3, input_shape=(4, 5))]


class Softmax(SameShape):
    """exp(x) / sum(exp(x)) along `axis`, or over all elements along several; those where `mask` is false count as minus infinity.

    A mask given to the call has the input's shape, or one that broadcasts to it. A mask of steps that comes with the input is passed on.

    Raises:
        ValueError: `axis` is neither a whole number nor a list of them; or, when called, the input has no such axis or
            the mask doesn't fit.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, axis: int | Sequence[int] = -1, **common):
        super().__init__(**common)
        axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        if not axes or not all(is_whole(a) for a in axes):
            raise ValueError(f"[{self.label}] axis must be a whole number or a list of them. Received: axis={axis!r}. Write axis=-1.")
        self.axis = int(axes[0]) if len(axes) == 1 else tuple(int(a) for a in axes)

    def call(self, x, mask=None):
        if mask is not None and (mask is not x.mask or mask.shape == x.shape):
            x = self._masked(x, as_bool(mask))
        if isinstance(self.axis, int):
            return activations.softmax(x, self.axis)
        return _softmax_over(x, checked_axes("softmax", self.axis, x.ndim))

    def _masked(self, x, mask):
        tail = x.shape[max(x.ndim - mask.ndim, 0) :]
        if len(tail) != mask.ndim or any(m not in (1, n) for m, n in zip(mask.shape, tail, strict=True)):
            raise ValueError(
                f"[{self.label}] the mask must have the input's shape or broadcast to it. Received: mask.shape={mask.shape}, "
                f"x.shape={x.shape}. Add axes of length one, for example by mask[:, None]."
            )
        return ops.where(mask, x, -1e9)

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3)), dict(axis=1, input_shape=(2, 3, 4)), dict(axis=[1, -1], input_shape=(2, 3, 2, 4))]


def _softmax_over(x, axes: tuple[int, ...]):
    """Softmax over several axes, which are brought to the end and made one."""
    order = [i for i in range(x.ndim) if i not in axes] + list(axes)
    moved = ops.transpose(x, order)
    rows = ops.reshape(moved, (*moved.shape[: -len(axes)], math.prod(moved.shape[-len(axes) :])))
    return ops.transpose(ops.reshape(activations.softmax(rows), moved.shape), [order.index(i) for i in range(x.ndim)])


class PReLU(SameShape):
    """x above zero, `alpha * x` below, `alpha` learned for each element, or one along each of `shared_axes` (He et al., 2015).

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: For the slopes.
        shared_axes: Axes along which the slope is the same; the batch axis is 0.

    Shapes: (batch, ...); the output has the input's shape; weights alpha (...), 1 along each of `shared_axes`.
    """

    def __init__(self, alpha_initializer: Any = "zeros", alpha_regularizer=None, alpha_constraint=None, shared_axes=None, **common):
        super().__init__(**common)
        weight_settings.keep(self, locals())
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else list(shared_axes) if shared_axes else None

    def build(self, input_shape):
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.alpha = weight_settings.add(self, "alpha", shape)
        own = {i: n for i, n in enumerate(input_shape) if i and i not in (self.shared_axes or ())}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=own)

    def call(self, x):
        return ops.where(x > 0, x, x * self.alpha)

    @classmethod
    def samples(cls):
        return [dict(alpha_initializer="ones", input_shape=(2, 3)), dict(shared_axes=[1], input_shape=(2, 3, 4))]
