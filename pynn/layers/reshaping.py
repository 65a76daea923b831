"""Layers that only rearrange elements: Flatten, Reshape, Permute, RepeatVector."""

from __future__ import annotations

import math

from pynn import ops
from pynn.layers.arguments import positive
from pynn.layers.base import InputSpec, Layer
from pynn.layers.windows import checked_data_format


class Flatten(Layer):
    """(batch, ...) -> (batch, elements). `data_format="channels_first"` first moves the channels to the end.

    Example:
        >>> import pynn as pn
        >>> pn.layers.Flatten()(pn.zeros((2, 28, 28))).shape
        (2, 784)
    """

    def __init__(self, data_format: str | None = None, **common):
        super().__init__(**common)
        self.data_format = checked_data_format(self, data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, x):
        if self.data_format == "channels_first" and x.ndim > 2:
            x = ops.transpose(x, (0, *range(2, x.ndim), 1))
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def compute_output_shape(self, input_shape):
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else math.prod(rest))

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3, 4)), dict(data_format="channels_first", input_shape=(2, 3, 4, 5)), dict(input_shape=(3,))]


class Reshape(Layer):
    """(batch, ...) -> (batch, *target_shape); one axis may be -1.

    Example:
        >>> import pynn as pn
        >>> pn.layers.Reshape((28, 28, 1))(pn.zeros((2, 784))).shape
        (2, 28, 28, 1)
    """

    def __init__(self, target_shape, **common):
        super().__init__(**common)
        self.target_shape = tuple(-1 if n is None else int(n) for n in target_shape)  # files write null for -1
        if sum(n == -1 for n in self.target_shape) > 1:
            raise ValueError(f"[{self.label}] only one axis may be -1. Received: target_shape={self.target_shape}.")

    def compute_output_shape(self, input_shape):
        rest, target = tuple(input_shape[1:]), self.target_shape
        if None in rest:
            return (input_shape[0], *(None if n == -1 else n for n in target))
        size, known = math.prod(rest), math.prod(n for n in target if n != -1)
        fits = size == known if -1 not in target else known > 0 and size % known == 0
        if not fits:
            raise ValueError(
                f"[{self.label}] an input of {size} elements per example doesn't fit. Received: shape={tuple(input_shape)}, "
                f"target_shape={target}. The products of the lengths must agree."
            )
        return (input_shape[0], *(size // known if n == -1 else n for n in target))

    def call(self, x):
        return ops.reshape(x, self.compute_output_shape(x.shape))

    @classmethod
    def samples(cls):
        return [dict(target_shape=(6, 2), input_shape=(2, 3, 4)), dict(target_shape=(-1, 2), input_shape=(2, 3, 4))]


class Permute(Layer):
    """Reorders the axes after the batch axis; `dims` counts them from 1, so `Permute((2, 1))` swaps two.

    Shapes: (batch, ...) -> (batch, ...) with the axes in the order of `dims`.

    Example:
        >>> import pynn as pn
        >>> pn.layers.Permute((2, 1))(pn.zeros((2, 28, 8))).shape
        (2, 8, 28)
    """

    def __init__(self, dims, **common):
        super().__init__(**common)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"[{self.label}] dims must hold 1 to n, each once. Received: dims={self.dims}.")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, x):
        return ops.transpose(x, (0, *self.dims))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    @classmethod
    def samples(cls):
        return [dict(dims=(2, 1), input_shape=(2, 3, 4)), dict(dims=(3, 1, 2), input_shape=(2, 3, 4, 5))]


class RepeatVector(Layer):
    """(batch, features) -> (batch, n, features).

    Example:
        >>> import pynn as pn
        >>> pn.layers.RepeatVector(3)(pn.zeros((2, 8))).shape
        (2, 3, 8)
    """

    input_spec = InputSpec(ndim=2, words="(batch, features)")

    def __init__(self, n: int, **common):
        super().__init__(**common)
        self.n = positive(self, "n", n)

    def call(self, x):
        return ops.broadcast_to(ops.expand_dims(x, 1), (x.shape[0], self.n, x.shape[1]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n, input_shape[1])

    @classmethod
    def samples(cls):
        return [dict(n=3, input_shape=(2, 4))]
