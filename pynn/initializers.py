"""Initial values of weights. An initializer is called with a shape and returns a NumPy array.

With a `seed`, an initializer returns the same numbers each time; without, they follow from the process's seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pynn.engine.apply import compute
from pynn.engine.tensor import tensor
from pynn.errors import absent
from pynn.ops.matmul import MATMUL
from pynn.seeds import generator
from pynn.serialization import Configurable, Register

_REGISTER = Register("initializer")
# The standard deviation of a normal distribution cut off at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978
_COLUMNS_TOGETHER = 32  # that are made orthogonal to those before them by matrix products


class Initializer(Configurable):
    """Base class. Subclasses define `draw(shape) -> array`; random ones draw from `self.random()`."""

    _register = _REGISTER
    seed: int | None = None

    def __call__(self, shape, dtype: Any = "float32") -> Any:  # of a user's class, a tensor may be
        """An array of this shape and float dtype."""
        return np.array(self.draw(tuple(int(n) for n in shape)), dtype=dtype, order="C")  # a copy: a Constant's array is the caller's

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """The values, in any float dtype."""
        raise NotImplementedError(f"[{type(self).__name__}] an initializer must define draw(shape).")

    def random(self) -> np.random.Generator:
        """The generator to draw from: with a `seed` the same one each time."""
        return generator(self.seed)


class Zeros(Initializer):
    """All zeros."""

    def draw(self, shape):
        return np.zeros(shape)


class Ones(Initializer):
    """All ones."""

    def draw(self, shape):
        return np.ones(shape)


class Constant(Initializer):
    """One value everywhere (or an array that broadcasts to the shape).

    Raises:
        ValueError: (when called) the array doesn't broadcast.
    """

    def __init__(self, value: Any = 0.0):
        self.value = value

    def draw(self, shape):
        value = np.asarray(self.value)
        try:
            return np.broadcast_to(value, shape)
        except ValueError:
            raise ValueError(
                f"[Constant] the value must be a number or broadcast to the weight's shape {shape}. Received: shape={value.shape}. "
                "Pass one number, or an array of that shape."
            ) from None


class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape):
        return self.random().uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal with this mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape):
        return self.random().normal(self.mean, self.stddev, shape)


def _truncated_normal(random: np.random.Generator, shape, stddev: float) -> np.ndarray:
    values = random.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = random.standard_normal(int(outside.sum()))
    return values * stddev


class TruncatedNormal(Initializer):
    """Normal, values beyond two `stddev` drawn again."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape):
        return self.mean + _truncated_normal(self.random(), shape, self.stddev)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan in, fan out): inputs and outputs of one unit. The last two axes are input and output, those before are the receptive field."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


class VarianceScaling(Initializer):
    """Variance `scale / n`, n by `mode`: "fan_in", "fan_out" or "fan_avg".

    `distribution`: "truncated_normal", "untruncated_normal" or "uniform".

    Raises:
        ValueError: `scale` isn't positive, or `mode` or `distribution` is unknown.
    """

    _modes = ("fan_in", "fan_out", "fan_avg")
    _distributions = ("truncated_normal", "untruncated_normal", "uniform")

    def __init__(self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed: int | None = None):
        mode = {"fanIn": "fan_in", "fanOut": "fan_out", "fanAvg": "fan_avg"}.get(mode, mode)
        distribution = {"normal": "truncated_normal", "truncatedNormal": "truncated_normal"}.get(distribution, distribution)
        for what, value, known in (("mode", mode, self._modes), ("distribution", distribution, self._distributions)):
            if value not in known:
                raise ValueError(f"[VarianceScaling] unknown {what}. Received: {what}={value!r}. Known: {', '.join(known)}.")
        if scale <= 0:
            raise ValueError(f"[VarianceScaling] scale must be above zero. Received: scale={scale}.")
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def draw(self, shape):
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        random = self.random()
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return random.uniform(-limit, limit, shape)
        if self.distribution == "truncated_normal":
            return _truncated_normal(random, shape, math.sqrt(variance) / _TRUNCATED_STDDEV)
        return random.normal(0.0, math.sqrt(variance), shape)


class _Scaled(VarianceScaling):
    """A VarianceScaling whose only argument is the seed."""

    _setting: tuple[float, str, str]

    def __init__(self, seed: int | None = None):
        super().__init__(*self._setting, seed=seed)


class GlorotUniform(_Scaled):
    """Uniform in [-l, l], l = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    Example:
        >>> import pynn as pn
        >>> pn.initializers.GlorotUniform(seed=1)((784, 128)).shape
        (784, 128)
    """

    _setting = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal, variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""

    _setting = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform in [-l, l], l = sqrt(6 / fan_in) (He et al., 2015)."""

    _setting = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal, variance 2 / fan_in (He et al., 2015)."""

    _setting = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform in [-l, l], l = sqrt(3 / fan_in) (LeCun et al., 1998)."""

    _setting = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal, variance 1 / fan_in (LeCun et al., 1998)."""

    _setting = (1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """`gain` times a matrix with orthonormal rows or columns, whichever are fewer; axes before the last count as one.

    Reference: Saxe et al., 2014.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain, self.seed = gain, seed

    def draw(self, shape):
        if len(shape) < 2:
            raise ValueError(f"[Orthogonal] the shape must have two axes or more. Received: shape={shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q = _orthonormal_columns(self.random().standard_normal((max(rows, columns), min(rows, columns))))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


def _orthonormal_columns(a: np.ndarray) -> np.ndarray:
    """The Q of `a = Q R` with a positive diagonal of R, so that normal `a` gives orthogonal matrices uniformly (Mezzadri, 2007).

    By Gram and Schmidt's method, each step twice, which leaves rounding errors only; blocks of columns at a time. NumPy's own
    decomposition wakes the threads of its BLAS, and these take processors from ours for a tenth of a second.
    """
    q = np.array(a.T, order="C")  # a column of Q in each row
    for first in range(0, len(q), _COLUMNS_TOGETHER):
        before, block = q[:first], q[first : first + _COLUMNS_TOGETHER]
        for _ in range(2 if first else 0):
            block -= _product(_product(block, before, transpose_b=True), before)
        for j, column in enumerate(block):
            for _ in range(2 if j else 0):
                column -= np.einsum("i,ij", np.einsum("ij,j", block[:j], column), block[:j])
            column /= np.sqrt(np.einsum("i,i", column, column))
    return q.T


def _product(a: np.ndarray, b: np.ndarray, *, transpose_b: bool = False) -> np.ndarray:
    return compute(MATMUL, (tensor(a), tensor(b)), MATMUL.complete({"transpose_b": transpose_b}))[0].data  # no capture records it


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, zeros elsewhere."""

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def draw(self, shape):
        if len(shape) != 2:
            raise ValueError(f"[Identity] the shape must have two axes. Received: shape={shape}.")
        return self.gain * np.eye(*shape)


_REGISTER.add(Identity, "IdentityInitializer", "eye")
_REGISTER.add(RandomNormal, "normal")
_REGISTER.add(RandomUniform, "uniform")
_REGISTER.add(Zeros, "zero")
_REGISTER.add(Ones, "one")


def find(name: str) -> type:
    """The initializer class of a name in any spelling.

    Raises:
        ValueError: the name is unknown.
    """
    return _REGISTER.find(name)


def get(identifier) -> Initializer:
    """The initializer for a name (`"glorot_uniform"`, `"heNormal"`), a config, an object, or a function of (shape, dtype).

    Raises:
        ValueError: the name is unknown.
    """
    return _REGISTER.get(identifier)


if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, _REGISTER.entries)
