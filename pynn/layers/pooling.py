"""Pooling: the largest or mean value of each window, or of the whole image."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.layers.arguments import one_of, several
from pynn.layers.base import InputSpec, Layer
from pynn.layers.windows import (
    channels_back,
    channels_last_shape,
    checked_data_format,
    from_channels_last,
    to_channels_last,
    window_length,
)


class _Pooling(Layer):
    rank = 2

    def __init__(self, pool_size: Any = 2, strides=None, padding: str = "valid", data_format: str | None = None, **common):
        super().__init__(**common)
        self.pool_size = several(self, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else several(self, "strides", strides, self.rank)
        self.padding = one_of(self, "padding", str(padding).lower(), ("valid", "same"))
        self.data_format = checked_data_format(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def compute_output_shape(self, input_shape):
        shape = channels_last_shape(input_shape, self.data_format)
        numbers = zip(shape[1:-1], self.pool_size, self.strides, strict=True)
        lengths = [window_length(self, n, k, s, self.padding) for n, k, s in numbers]
        return channels_back((shape[0], *lengths, shape[-1]), self.data_format)

    def pooled(self, x, pool_size, strides):
        """The op on (batch, height, width, channels)."""
        raise NotImplementedError

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        if self.rank == 2:
            return from_channels_last(self.pooled(x, self.pool_size, self.strides), self.data_format)
        y = self.pooled(ops.expand_dims(x, 1), (1, *self.pool_size), (1, *self.strides))
        return from_channels_last(ops.squeeze(y, 1), self.data_format)

    @classmethod
    def samples(cls):
        spatial = (5, 6)[: cls.rank]
        return [
            dict(input_shape=(2, *spatial, 3)),
            dict(pool_size=3, strides=2, padding="same", input_shape=(2, *spatial, 3)),
            dict(pool_size=2, data_format="channels_first", input_shape=(2, 3, *spatial)),
        ]


class MaxPooling2D(_Pooling):
    """The largest value of each window of images.

    Args:
        pool_size: Height and width of the window, or one number for both.
        strides: Distance between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first".

    Shapes: (batch, height, width, channels) -> (batch, height', width', channels).

    Example:
        >>> import pynn as pn
        >>> pn.layers.MaxPooling2D(2)(pn.zeros((2, 26, 26, 8))).shape
        (2, 13, 13, 8)
    """

    def pooled(self, x, pool_size, strides):
        return ops.max_pool2d(x, pool_size, strides=strides, padding=self.padding)


class AveragePooling2D(_Pooling):
    """The mean of each window of images; padding doesn't count. Arguments as in `MaxPooling2D`.

    Example:
        >>> import pynn as pn
        >>> pn.layers.AveragePooling2D(2)([[[[1.0], [2.0]], [[3.0], [6.0]]]]).numpy().tolist()
        [[[[3.0]]]]
    """

    def pooled(self, x, pool_size, strides):
        return ops.average_pool2d(x, pool_size, strides=strides, padding=self.padding)


class MaxPooling1D(MaxPooling2D):
    """The largest value of each window of steps; arguments as in `MaxPooling2D`."""

    rank = 1


class AveragePooling1D(AveragePooling2D):
    """The mean of each window of steps; arguments as in `MaxPooling2D`."""

    rank = 1


class _GlobalPooling(Layer):
    rank = 2

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **common):
        super().__init__(**common)
        self.data_format = checked_data_format(self, data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that vanish."""
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def compute_output_shape(self, input_shape):
        if self.keepdims:
            return tuple(1 if i in self.axes else n for i, n in enumerate(input_shape))
        return tuple(n for i, n in enumerate(input_shape) if i not in self.axes)

    @classmethod
    def samples(cls):
        spatial = (5, 6)[: cls.rank]
        return [
            dict(input_shape=(2, *spatial, 3)),
            dict(keepdims=True, data_format="channels_first", input_shape=(2, 3, *spatial)),
        ]


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel: (batch, height, width, channels) -> (batch, channels).

    `keepdims` keeps the reduced axes with length 1.
    """

    def call(self, x):
        return ops.max(x, axis=self.axes, keepdims=self.keepdims)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel: (batch, height, width, channels) -> (batch, channels).

    `keepdims` keeps the reduced axes with length 1.

    Example:
        >>> import pynn as pn
        >>> pn.layers.GlobalAveragePooling2D()(pn.zeros((2, 7, 7, 8))).shape
        (2, 8)
    """

    def call(self, x):
        return ops.mean(x, axis=self.axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(GlobalMaxPooling2D):
    """The largest value over the steps: (batch, steps, channels) -> (batch, channels).

    `keepdims` keeps the reduced axes with length 1.
    """

    rank = 1


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over the steps, masked ones left out: (batch, steps, channels) -> (batch, channels).

    `keepdims` keeps the reduced axes with length 1.
    """

    rank = 1

    def call(self, x, mask=None):
        if mask is None:
            return ops.mean(x, axis=self.axes, keepdims=self.keepdims)
        counts = ops.expand_dims(ops.cast(mask, x.dtype), 2 if self.data_format == "channels_last" else 1)
        total = ops.sum(x * counts, axis=self.axes, keepdims=self.keepdims)
        return total / ops.maximum(ops.sum(counts, axis=self.axes, keepdims=self.keepdims), 1e-7)
