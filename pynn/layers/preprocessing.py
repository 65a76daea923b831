"""Layers that bring data into shape: Resizing, CenterCrop, CategoryEncoding, RandomWidth, Normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn import ops
from pynn.engine.op import active
from pynn.layers.arguments import axis_of, one_of, positive
from pynn.layers.base import InputSpec, Layer
from pynn.layers.windows import checked_data_format, from_channels_last, to_channels_last

_KINDS = ("bilinear", "nearest")


def resize(x, height: int, width: int, kind: str):
    """Images (batch, height, width, channels) in another size, pixels taken at their centres."""
    function = ops.resize_nearest_neighbor if kind == "nearest" else ops.resize_bilinear
    return function(x, (height, width), half_pixel_centers=True)


class Resizing(Layer):
    """Images resized to height x width. `interpolation`: "bilinear" or "nearest", pixels taken at their centres.

    Args:
        height, width: Size of the result.
        interpolation: "bilinear" or "nearest".
        crop_to_aspect_ratio: Whether images are cropped to the result's proportions first, in place of being distorted.
        data_format: "channels_last" or "channels_first".

    Shapes: (batch, rows, columns, channels) -> (batch, height, width, channels), or without the batch axis on both sides.
    """

    input_spec = InputSpec(min_ndim=3, words="(batch, height, width, channels)")

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        data_format: str | None = None,
        **common,
    ):
        super().__init__(**common)
        self.height, self.width = positive(self, "height", height), positive(self, "width", width)
        self.interpolation = one_of(self, "interpolation", interpolation, _KINDS)
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.data_format = checked_data_format(self, data_format)

    def call(self, x):
        single = x.ndim == 3
        x = to_channels_last(ops.expand_dims(x, 0) if single else x, self.data_format)
        if self.crop_to_aspect_ratio:
            x = _proportioned(x, self.height, self.width)
        y = from_channels_last(resize(x, self.height, self.width, self.interpolation), self.data_format)
        return ops.squeeze(y, 0) if single else y

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        return (*input_shape[:-3], self.height, self.width, input_shape[-1]) if last else (*input_shape[:-2], self.height, self.width)

    @classmethod
    def samples(cls):
        return [
            dict(height=4, width=3, input_shape=(2, 3, 5, 2)),
            dict(height=2, width=7, interpolation="nearest", data_format="channels_first", input_shape=(2, 2, 4, 3)),
        ]


def _centre(x, height: int, width: int):
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
    return x[:, top : top + height, left : left + width]


def _proportioned(x, height: int, width: int):
    """The largest middle of the images with sides in this proportion, of one pixel at least."""
    rows = min(x.shape[1], max(int(x.shape[2] * height / width), 1))
    columns = min(x.shape[2], max(int(x.shape[1] * width / height), 1))
    return _centre(x, rows, columns)


class CenterCrop(Layer):
    """The middle of images; images that are too small are cropped to the proportions of the result and enlarged.

    Shapes: (batch, rows, columns, channels) -> (batch, height, width, channels), or without the batch axis on both sides.
    """

    input_spec = InputSpec(min_ndim=3, words="(batch, height, width, channels)")

    def __init__(self, height: int, width: int, data_format: str | None = None, **common):
        super().__init__(**common)
        self.height, self.width = positive(self, "height", height), positive(self, "width", width)
        self.data_format = checked_data_format(self, data_format)

    def call(self, x):
        single = x.ndim == 3
        x = to_channels_last(ops.expand_dims(x, 0) if single else x, self.data_format)
        if x.shape[1] < self.height or x.shape[2] < self.width:
            x = resize(_proportioned(x, self.height, self.width), self.height, self.width, "bilinear")
        y = from_channels_last(_centre(x, self.height, self.width), self.data_format)
        return ops.squeeze(y, 0) if single else y

    compute_output_shape = Resizing.compute_output_shape

    @classmethod
    def samples(cls):
        return [dict(height=2, width=3, input_shape=(2, 4, 6, 2)), dict(height=4, width=4, input_shape=(2, 3, 5, 1))]


class CategoryEncoding(Layer):
    """Class numbers encoded as vectors of length `num_tokens`: "one_hot", "multi_hot" (any of the row's numbers), or "count".

    Args:
        num_tokens: Number of classes.
        output_mode: "multi_hot", "one_hot" or "count"; for "count" the call takes `count_weights` in the input's shape.

    Shapes: (..., n) -> (..., num_tokens); for "one_hot" (..., n, num_tokens), or (..., num_tokens) if n is 1.
    """

    casts_inputs = False

    def __init__(self, num_tokens: int, output_mode: str = "multi_hot", **common):
        super().__init__(**common)
        self.num_tokens = positive(self, "num_tokens", num_tokens)
        mode = {"oneHot": "one_hot", "multiHot": "multi_hot", "int": "one_hot"}.get(output_mode, output_mode)
        self.output_mode = one_of(self, "output_mode", mode, ("one_hot", "multi_hot", "count"))

    def call(self, x, count_weights=None):
        ids = x if x.dtype.kind in "iu" else ops.cast(x, "int32")
        hot = ops.one_hot(ids, self.num_tokens, dtype=self.dtype)
        if self.output_mode == "one_hot":
            return ops.squeeze(hot, -2) if ids.ndim > 1 and ids.shape[-1] == 1 else hot
        if self.output_mode == "multi_hot":
            return ops.max(hot, axis=-2)
        if count_weights is not None:
            hot = hot * ops.expand_dims(ops.cast(count_weights, self.dtype), -1)
        return ops.sum(hot, axis=-2)

    def compute_output_shape(self, input_shape):
        if self.output_mode != "one_hot":
            return (*input_shape[:-1], self.num_tokens)
        one = len(input_shape) > 1 and input_shape[-1] == 1
        return (*(input_shape[:-1] if one else input_shape), self.num_tokens)

    @classmethod
    def samples(cls):
        return [
            dict(num_tokens=5, input_shape=(2, 3), integers=5),
            dict(num_tokens=4, output_mode="count", input_shape=(2, 6), integers=4),
            dict(num_tokens=4, output_mode="one_hot", input_shape=(3, 1), integers=4),
        ]


class RandomWidth(Layer):
    """While training, images get a random width: their own times 1 + a number in [-factor, factor] (or in the pair given).

    Shapes change from call to call, so it can't be part of a captured step: train with `run_eagerly=True`.

    Args:
        factor: The largest change, or the pair (least, largest).
        interpolation: "bilinear" or "nearest".
        seed: Seed of the layer's own random stream; by default the process's seed determines it.

    Shapes: (batch, height, width, channels) -> (batch, height, width', channels).
    """

    input_spec = InputSpec(ndim=4, words="(batch, height, width, channels)")

    def __init__(self, factor, interpolation: str = "bilinear", seed: int | None = None, **common):
        super().__init__(**common)
        pair = factor if isinstance(factor, (list, tuple)) else (-factor, factor)
        self.factor = tuple(float(f) for f in pair)
        self.interpolation = one_of(self, "interpolation", interpolation, _KINDS)
        self.seed = seed
        self.add_random_state(seed)

    def call(self, x, *, training=False):
        if not training:
            return x
        if active.capture is not None:
            raise ValueError(f"[{self.label}] changes shapes at random, which a captured step can't do. Compile with run_eagerly=True.")
        drawn = np.random.Generator(np.random.Philox(key=self.seed_key, counter=int(self.seed_counter.item()))).uniform(*self.factor)
        self.seed_counter.assign_add(1)
        width = max(1, int(x.shape[2] * (1 + drawn)))
        return resize(x, x.shape[1], width, self.interpolation)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], None, input_shape[3])


class Normalization(Layer):
    """`(x - mean) / sqrt(variance)` along `axis`, with given statistics or those that `adapt(data)` measures.

    Args:
        axis: The axis or axes whose indices have their own statistics; None for one mean and variance.
        mean, variance: The statistics, if `adapt` isn't used.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, axis: Any = -1, mean=None, variance=None, **common):
        super().__init__(**common)
        self.axis, self.mean, self.variance = axis, mean, variance

    def adapt(self, data) -> None:
        """Takes mean and variance from data (batch, ...)."""
        data = np.asarray(data, np.float64)
        keep = self._kept(data.shape)
        axes = tuple(i for i in range(data.ndim) if i not in keep)
        self.mean, self.variance = data.mean(axes), data.var(axes)

    def _kept(self, shape) -> list[int]:
        """The axes whose indices have statistics of their own."""
        return [] if self.axis is None else [axis_of(self, int(a), shape) for a in np.atleast_1d(self.axis)]

    def _shaped(self, value, x):
        value = np.asarray(value, x.dtype)
        if self.axis is None or value.ndim == 0:
            return value
        keep = self._kept(x.shape)
        return value.reshape([x.shape[i] if i in keep else 1 for i in range(x.ndim)])

    def call(self, x):
        if self.mean is None or self.variance is None:
            raise ValueError(f"[{self.label}] has no statistics yet. Call adapt(data), or pass mean and variance.")
        deviation = np.maximum(np.sqrt(self._shaped(self.variance, x)), 1e-7)
        return (x - self._shaped(self.mean, x)) / deviation

    def compute_output_shape(self, input_shape):
        self._kept(input_shape)
        return tuple(input_shape)

    @classmethod
    def samples(cls):
        return [dict(mean=[1.0, 2.0], variance=[4.0, 1.0], input_shape=(3, 2)), dict(axis=None, mean=0.5, variance=2.0, input_shape=(3, 2))]
