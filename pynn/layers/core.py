"""Small layers: Identity, Lambda, ActivityRegularization, UnitNormalization, GroupNormalization."""

from __future__ import annotations

import math
from typing import Any

from pynn import ops, regularizers
from pynn.layers import weight_settings
from pynn.layers.arguments import positive
from pynn.layers.base import InputSpec, Layer, SameShape
from pynn.layers.symbolic import inferred_shape


class Identity(Layer):
    """The input as it is.

    Shapes: any input; the output has its shape.
    """

    supports_masking = True

    def call(self, x):
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3))]


class Lambda(Layer):
    """A Python function of a tensor as a layer.

    A model with it can be trained and its weights saved, but its file can't be opened again: files hold no code. For that, write
    a Layer subclass and register it with `@pynn.register_layer`.

    Args:
        function: `f(tensor, **arguments)`, written with ops.
        output_shape: The output's shape without the batch axis, or a function of the input's shape (batch axis included). A trial call
            finds it by default.
        arguments: Further arguments of the function, by name.
    """

    def __init__(self, function, output_shape=None, arguments: dict | None = None, **common):
        super().__init__(**common)
        if not callable(function):
            raise TypeError(f"[{self.label}] takes a function of a tensor. Received: {function!r}.")
        self.function, self.shape, self.arguments = function, output_shape, arguments or {}

    def call(self, x):
        return self.function(x, **self.arguments)

    def compute_output_shape(self, input_shape):
        if self.shape is None:
            return inferred_shape(self, input_shape)
        return (input_shape[0], *(self.shape(input_shape)[1:] if callable(self.shape) else self.shape))

    def get_config(self):
        """The name of the function, for reading only."""
        return {"name": self.name, "function": getattr(self.function, "__name__", "function")}


class ActivityRegularization(SameShape):
    """The input as it is; adds `l1 * sum(|x|) + l2 * sum(x^2)` to the loss.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **common):
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **common)
        self.l1, self.l2 = l1, l2

    def call(self, x):
        return x

    def get_config(self):
        """The constructor's arguments."""
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return config

    @classmethod
    def samples(cls):
        return [dict(l1=0.1, input_shape=(2, 3))]


class UnitNormalization(SameShape):
    """`x / |x|` along `axis`.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, axis: Any = -1, **common):
        super().__init__(**common)
        self.axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis

    def call(self, x):
        return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=self.axis, keepdims=True), 1e-12))

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3)), dict(axis=(1, 2), input_shape=(2, 3, 4))]


class GroupNormalization(SameShape):
    """Normalises groups of channels of each example over all their positions; `groups=-1` makes each channel a group.

    Args:
        groups: Number of groups of the last axis.
        epsilon: Added to the variance.
        center, scale: Whether there is a beta, a gamma, one number per channel.
        beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: For these weights.

    Reference: Wu and He, 2018.

    Shapes: (batch, ..., channels); the output has the input's shape.
    """

    def __init__(
        self,
        groups: int = 32,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        **common,
    ):
        super().__init__(**common)
        self.groups = -1 if groups == -1 else positive(self, "groups", groups)
        self.epsilon, self.center, self.scale = float(epsilon), center, scale
        weight_settings.keep(self, locals())
        self.gamma = self.beta = None

    def build(self, input_shape):
        channels = input_shape[-1]
        if self.groups != -1 and channels % self.groups:
            raise ValueError(f"[{self.label}] {channels} channels don't divide into {self.groups} groups. Choose another number of groups.")
        if self.scale:
            self.gamma = weight_settings.add(self, "gamma", (channels,))
        if self.center:
            self.beta = weight_settings.add(self, "beta", (channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={-1: channels})

    def call(self, x):
        groups = x.shape[-1] if self.groups == -1 else self.groups
        parts = ops.reshape(x, (x.shape[0], math.prod(x.shape[1:-1]), groups, x.shape[-1] // groups))
        rows = ops.reshape(ops.transpose(parts, (0, 2, 1, 3)), (x.shape[0], groups, parts.shape[1] * parts.shape[3]))
        rows = ops.layer_norm(rows, epsilon=self.epsilon)
        back = ops.transpose(ops.reshape(rows, (x.shape[0], groups, parts.shape[1], parts.shape[3])), (0, 2, 1, 3))
        y = ops.reshape(back, x.shape)
        y = y if self.gamma is None else y * self.gamma
        return y if self.beta is None else y + self.beta

    @classmethod
    def samples(cls):
        return [dict(groups=2, input_shape=(2, 3, 3, 4)), dict(groups=-1, center=False, input_shape=(2, 5, 3))]
