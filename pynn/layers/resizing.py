"""Layers that add or remove rows, columns and steps: ZeroPadding, Cropping, UpSampling; and Masking, Rescaling."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn import ops
from pynn.layers.arguments import one_of, several
from pynn.layers.base import InputSpec, Layer, SameShape
from pynn.layers.preprocessing import resize
from pynn.layers.windows import channels_back, channels_last_shape, checked_data_format, from_channels_last, to_channels_last


def _pairs(layer, name: str, value, rank: int) -> tuple[tuple[int, int], ...]:
    """One number for all sides, one per axis, or (before, after) per axis."""
    if rank == 1 and isinstance(value, (tuple, list)) and all(isinstance(v, int) for v in value) and len(value) == 2:
        return ((int(value[0]), int(value[1])),)
    values = list(value) if isinstance(value, (tuple, list)) else [value] * rank
    if len(values) == rank and all(isinstance(v, (tuple, list)) for v in values):
        return tuple(several(layer, name, v, 2, minimum=0) for v in values)
    return tuple((n, n) for n in several(layer, name, values, rank, minimum=0))


class _Sides(Layer):
    rank = 2

    def __init__(self, data_format, common):
        super().__init__(**common)
        self.data_format = checked_data_format(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(before, after) along each spatial axis; negative to crop."""
        raise NotImplementedError

    def check_input(self, shapes):
        super().check_input(shapes)
        self.compute_output_shape(shapes)

    def compute_output_shape(self, input_shape):
        shape = channels_last_shape(input_shape, self.data_format)
        lengths = [None if n is None else n + a + b for n, (a, b) in zip(shape[1:-1], self.sizes(), strict=True)]
        if any(n is not None and n < 1 for n in lengths):
            raise ValueError(f"[{self.label}] nothing is left of the input. Received: shape={tuple(input_shape)}.")
        return channels_back((shape[0], *lengths, shape[-1]), self.data_format)


class ZeroPadding2D(_Sides):
    """Adds zeros around images. `padding`: one number, (rows, columns), or ((top, bottom), (left, right)).

    Shapes: (batch, height, width, channels) -> (batch, top + height + bottom, left + width + right, channels).

    Example:
        >>> import pynn as pn
        >>> pn.layers.ZeroPadding2D(1)(pn.zeros((2, 28, 28, 3))).shape
        (2, 30, 30, 3)
    """

    def __init__(self, padding=(1, 1), data_format: str | None = None, **common):
        super().__init__(data_format, common)
        self.padding = _pairs(self, "padding", padding, self.rank)

    def sizes(self):
        return self.padding

    def call(self, x):
        sides = [(0, 0), *self.padding, (0, 0)]
        return from_channels_last(ops.pad(to_channels_last(x, self.data_format), sides), self.data_format)

    @classmethod
    def samples(cls):
        return [
            dict(padding=((1, 0), (2, 3)), input_shape=(2, 3, 4, 2)),
            dict(padding=1, data_format="channels_first", input_shape=(1, 2, 3, 4)),
        ]


class ZeroPadding1D(ZeroPadding2D):
    """Adds zeros before and after sequences. `padding`: one number, or (before, after).

    Shapes: (batch, steps, channels) -> (batch, before + steps + after, channels).
    """

    rank = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, **common):
        super().__init__(padding, data_format, **common)

    @classmethod
    def samples(cls):
        return [dict(padding=(1, 2), input_shape=(2, 3, 4))]


class Cropping2D(_Sides):
    """Cuts rows and columns off images. `cropping`: one number, (rows, columns), or ((top, bottom), (left, right)).

    Shapes: (batch, height, width, channels) -> (batch, height - top - bottom, width - left - right, channels).
    """

    def __init__(self, cropping=((0, 0), (0, 0)), data_format: str | None = None, **common):
        super().__init__(data_format, common)
        self.cropping = _pairs(self, "cropping", cropping, self.rank)

    def sizes(self):
        return tuple((-a, -b) for a, b in self.cropping)

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        cut = tuple(slice(a, n - b) for n, (a, b) in zip(x.shape[1:-1], self.cropping, strict=True))
        return from_channels_last(x[(slice(None), *cut)], self.data_format)

    @classmethod
    def samples(cls):
        return [dict(cropping=((1, 0), (1, 2)), input_shape=(2, 4, 5, 2))]


class Cropping1D(Cropping2D):
    """Cuts steps off sequences. `cropping`: one number, or (before, after).

    Shapes: (batch, steps, channels) -> (batch, steps - before - after, channels).
    """

    rank = 1

    def __init__(self, cropping=(1, 1), data_format: str | None = None, **common):
        super().__init__(cropping, data_format, **common)

    @classmethod
    def samples(cls):
        return [dict(cropping=(1, 2), input_shape=(2, 5, 4))]


class UpSampling2D(Layer):
    """Images enlarged by whole factors. `interpolation`: "nearest" repeats pixels, "bilinear" interpolates between their centres.

    Args:
        size: How often each row and column is repeated: one number, or (rows, columns).
        data_format: "channels_last" or "channels_first".
        interpolation: "nearest" or "bilinear".

    Shapes: (batch, height, width, channels) -> (batch, height * rows, width * columns, channels).

    Example:
        >>> import pynn as pn
        >>> pn.layers.UpSampling2D(2)(pn.zeros((2, 7, 7, 3))).shape
        (2, 14, 14, 3)
    """

    input_spec = InputSpec(ndim=4)

    def __init__(self, size=(2, 2), data_format: str | None = None, interpolation: str = "nearest", **common):
        super().__init__(**common)
        self.size = several(self, "size", size, 2)
        self.data_format = checked_data_format(self, data_format)
        self.interpolation = one_of(self, "interpolation", interpolation, ("nearest", "bilinear"))

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        if self.interpolation == "nearest":
            y = ops.repeat(ops.repeat(x, self.size[0], axis=1), self.size[1], axis=2)
        else:
            y = resize(x, x.shape[1] * self.size[0], x.shape[2] * self.size[1], self.interpolation)
        return from_channels_last(y, self.data_format)

    def compute_output_shape(self, input_shape):
        shape = channels_last_shape(input_shape, self.data_format)
        lengths = [None if n is None else n * f for n, f in zip(shape[1:-1], self.size, strict=True)]
        return channels_back((shape[0], *lengths, shape[-1]), self.data_format)

    @classmethod
    def samples(cls):
        return [
            dict(size=(2, 3), input_shape=(2, 3, 2, 2)),
            dict(size=2, interpolation="bilinear", input_shape=(2, 3, 2, 2)),
        ]


class UpSampling1D(Layer):
    """Each step of a sequence repeated `size` times.

    Shapes: (batch, steps, channels) -> (batch, steps * size, channels).
    """

    input_spec = InputSpec(ndim=3)

    def __init__(self, size: int = 2, **common):
        super().__init__(**common)
        self.size = several(self, "size", size, 1)[0]

    def call(self, x):
        return ops.repeat(x, self.size, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], None if input_shape[1] is None else input_shape[1] * self.size, input_shape[2])

    @classmethod
    def samples(cls):
        return [dict(size=3, input_shape=(2, 3, 2))]


class Masking(SameShape):
    """Masks the steps whose features all equal `mask_value`; they become zeros."""

    makes_mask = True
    input_spec = InputSpec(min_ndim=2)

    def __init__(self, mask_value: float = 0.0, **common):
        super().__init__(**common)
        self.mask_value = float(mask_value or 0.0)

    def call(self, x):
        return x * ops.cast(ops.expand_dims(self.compute_mask(x, None), -1), x.dtype)

    def compute_mask(self, x, mask):
        return ops.any(ops.not_equal(x, self.mask_value), axis=-1)

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 3, 4)), dict(mask_value=1.0, input_shape=(2, 3, 4))]


class Rescaling(SameShape):
    """`x * scale + offset`: `Rescaling(1 / 255)` for pixels.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, scale: float, offset: float = 0.0, **common):
        super().__init__(**common)
        self.scale, self.offset = scale, offset

    def call(self, x):
        y = x * self._factor(self.scale, x)
        return y + self._factor(self.offset, x) if np.any(self.offset) else y

    @staticmethod
    def _factor(value, x):
        return float(value) if np.ndim(value) == 0 else np.asarray(value, x.dtype)

    @classmethod
    def samples(cls):
        return [dict(scale=1 / 255, input_shape=(2, 3)), dict(scale=2.0, offset=-1.0, input_shape=(2, 3, 4))]
