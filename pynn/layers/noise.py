"""Layers that draw by chance while training: Dropout, SpatialDropout, GaussianNoise, GaussianDropout, AlphaDropout."""

from __future__ import annotations

import math

from pynn import ops
from pynn.layers.arguments import fraction
from pynn.layers.base import InputSpec, SameShape
from pynn.layers.windows import checked_data_format


def dropped(layer, x, rate: float):
    """x with elements set to zero with probability `rate`, the others divided by 1 - rate, by the layer's random state."""
    y = ops.dropout(x, layer.seed_counter, rate=rate, key0=layer.seed_key[0], key1=layer.seed_key[1])
    layer.seed_counter.assign(ops.increment(layer.seed_counter))
    return y


class _Noise(SameShape):
    """A layer that is the identity outside training."""

    def __init__(self, seed: int | None, common: dict):
        super().__init__(**common)
        self.seed = seed
        self.add_random_state(seed)

    def normal(self, x):
        """Standard normal numbers in the shape of x."""
        z = ops.random_normal(self.seed_counter, shape=x.shape, dtype=x.dtype, key0=self.seed_key[0], key1=self.seed_key[1])
        self.seed_counter.assign(ops.increment(self.seed_counter))
        return z


def _ones(x, shape):
    """Ones in `shape`, in which None stands for x's length."""
    shape = tuple(n if m is None else m for m, n in zip(shape, x.shape, strict=True))
    return ops.ones(shape, x.dtype)


class _Dropout(_Noise):
    def __init__(self, rate: float, noise_shape, seed: int | None, common: dict):
        super().__init__(seed, common)
        self.rate = fraction(self, "rate", rate)
        self.noise_shape = tuple(noise_shape) if noise_shape is not None else None

    def call(self, x, *, training=False):
        if not training or self.rate == 0:
            return x
        if self.noise_shape is None:
            return dropped(self, x, self.rate)
        return x * dropped(self, _ones(x, self.noise_shape), self.rate)


class Dropout(_Dropout):
    """While training, sets elements to zero with probability `rate` and divides the others by `1 - rate`.

    Args:
        rate: In [0, 1).
        noise_shape: Shape of the mask; axes of length 1 (None: the input's length) share one decision.
        seed: Makes the layer's stream independent of the process's seed.

    Reference: Srivastava et al., 2014.

    Shapes: any input; the output has its shape.

    Example:
        >>> import pynn as pn
        >>> dropout = pn.layers.Dropout(0.5)
        >>> dropout([1.0, 2.0]).numpy().tolist()  # changes nothing but in training
        [1.0, 2.0]
    """

    def __init__(self, rate: float, noise_shape=None, seed: int | None = None, **common):
        super().__init__(rate, noise_shape, seed, common)

    @classmethod
    def samples(cls):
        return [dict(rate=0.5, input_shape=(4, 5)), dict(rate=0.3, noise_shape=(None, 1, None), seed=3, input_shape=(2, 3, 4))]


class SpatialDropout1D(_Dropout):
    """Dropout of whole channels of (batch, steps, channels).

    Args:
        rate, seed: As in `Dropout`.
    """

    input_spec = InputSpec(ndim=3, words="(batch, steps, channels)")

    def __init__(self, rate: float, seed: int | None = None, **common):
        super().__init__(rate, (None, 1, None), seed, common)

    @classmethod
    def samples(cls):
        return [dict(rate=0.5, input_shape=(2, 3, 4))]


class SpatialDropout2D(_Dropout):
    """Dropout of whole channels of (batch, height, width, channels).

    Args:
        rate, seed: As in `Dropout`.
        data_format: "channels_last" or "channels_first".
    """

    input_spec = InputSpec(ndim=4, words="(batch, height, width, channels)")

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **common):
        super().__init__(rate, None, seed, common)
        self.data_format = checked_data_format(self, data_format)
        self.noise_shape = (None, 1, 1, None) if self.data_format == "channels_last" else (None, None, 1, 1)

    @classmethod
    def samples(cls):
        return [dict(rate=0.5, input_shape=(2, 3, 4, 2)), dict(rate=0.5, data_format="channels_first", input_shape=(2, 3, 4, 2))]


class GaussianNoise(_Noise):
    """While training, adds normal numbers of standard deviation `stddev`.

    Args:
        stddev: The standard deviation.
        seed: Seed of the layer's own random stream; by default the process's seed determines it.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, stddev: float, seed: int | None = None, **common):
        super().__init__(seed, common)
        self.stddev = float(stddev)

    def call(self, x, *, training=False):
        return x + self.normal(x) * self.stddev if training and self.stddev else x

    @classmethod
    def samples(cls):
        return [dict(stddev=0.1, input_shape=(4, 5))]


class GaussianDropout(_Noise):
    """While training, multiplies by normal numbers of mean 1 and standard deviation sqrt(rate / (1 - rate)).

    Args:
        rate: In [0, 1).
        seed: Seed of the layer's own random stream; by default the process's seed determines it.

    Shapes: any input; the output has its shape.
    """

    def __init__(self, rate: float, seed: int | None = None, **common):
        super().__init__(seed, common)
        self.rate = fraction(self, "rate", rate)

    def call(self, x, *, training=False):
        if not training or self.rate == 0:
            return x
        return x * (self.normal(x) * math.sqrt(self.rate / (1 - self.rate)) + 1.0)

    @classmethod
    def samples(cls):
        return [dict(rate=0.2, input_shape=(4, 5))]


class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance after selu (Klambauer et al., 2017).

    Args:
        rate, noise_shape, seed: As in `Dropout`.

    Shapes: any input; the output has its shape.
    """

    _floor = -1.7580993408473766  # -scale * alpha of selu

    def __init__(self, rate: float, noise_shape=None, seed: int | None = None, **common):
        super().__init__(seed, common)
        self.rate = fraction(self, "rate", rate)
        self.noise_shape = tuple(noise_shape) if noise_shape is not None else None

    def call(self, x, *, training=False):
        if not training or self.rate == 0:
            return x
        ones = ops.ones_like(x) if self.noise_shape is None else _ones(x, self.noise_shape)
        kept = dropped(self, ones, self.rate) * (1 - self.rate)
        scale = ((1 - self.rate) * (1 + self.rate * self._floor**2)) ** -0.5
        return (x * kept + (1.0 - kept) * self._floor) * scale - scale * self._floor * self.rate

    @classmethod
    def samples(cls):
        return [dict(rate=0.2, input_shape=(4, 5))]
