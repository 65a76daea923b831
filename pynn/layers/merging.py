"""Layers that take several inputs: Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot."""

from __future__ import annotations

import functools
import math

from pynn import ops
from pynn.layers.arguments import axis_of
from pynn.layers.base import Layer
from pynn.layers.recurrent_base import as_bool
from pynn.layers.structure import is_shape


def _broadcast(layer: Layer, first: tuple, second: tuple) -> tuple:
    """The shape of an elementwise operation, batch axis included, None where unknown."""
    short, long = sorted((first, second), key=len)
    short = (short[0], *(1,) * (len(long) - len(short)), *short[1:])
    result = []
    for a, b in zip(short, long, strict=True):
        if a is not None and b is not None and a != b and 1 not in (a, b):
            raise ValueError(f"[{layer.label}] the inputs' shapes don't fit. Received: {tuple(first)} and {tuple(second)}.")
        result.append(b if a in (1, None) and b != 1 else a)
    return tuple(result)


def _behind_batch(t, ndim: int):
    """The tensor with axes of length one inserted after the batch axis, up to `ndim` axes."""
    return t if t.ndim == ndim else ops.reshape(t, (t.shape[0], *(1,) * (ndim - t.ndim), *t.shape[1:]))


def _masks(x: list, mask) -> list:
    """One mask for each input, None where it has none, with axes as `_behind_batch` gives the inputs."""
    ndim = max(t.ndim for t in x)
    masks = [as_bool(m) for m in mask or [None] * len(x)]
    return [m if m is None else _behind_batch(m, m.ndim + ndim - t.ndim) for t, m in zip(x, masks, strict=True)]


class _Merge(Layer):
    """A layer over a list of inputs. The output has a mask if all inputs have one: what is masked in each of them."""

    supports_masking = True
    least = 2

    def check_input(self, shapes):
        if is_shape(shapes) or len(shapes) < self.least:
            raise ValueError(f"[{self.label}] expects a list of {self.least} or more inputs. Received: {shapes}. Call it as layer([a, b]).")
        self.compute_output_shape(shapes)

    def compute_output_shape(self, input_shape):
        return functools.reduce(lambda a, b: _broadcast(self, a, b), [tuple(s) for s in input_shape])

    def call(self, x):
        return functools.reduce(self.combine, self._aligned(x))

    def _aligned(self, x: list) -> list:
        """The inputs with axes of length one inserted after the batch axis, so that all have equally many."""
        ndim = max(t.ndim for t in x)
        return [_behind_batch(t, ndim) for t in x]

    def combine(self, a, b):
        """Two inputs joined."""
        raise NotImplementedError

    def compute_mask(self, x, mask):
        masks = _masks(x, mask)
        return None if any(m is None for m in masks) else functools.reduce(ops.logical_or, masks)

    @classmethod
    def samples(cls):
        return [dict(input_shape=[(2, 3), (2, 3)]), dict(input_shape=[(2, 3, 4), (2, 3, 1)])]


class Add(_Merge):
    """The sum of the inputs.

    Shapes: a list of two or more inputs whose shapes broadcast, axes after the batch axis being added as needed.

    Example:
        >>> import pynn as pn
        >>> pn.layers.Add()([pn.tensor([[1.0, 2.0]]), pn.tensor([[3.0, 4.0]])]).numpy().tolist()
        [[4.0, 6.0]]
    """

    def combine(self, a, b):
        return a + b

    @classmethod
    def samples(cls):
        return [dict(input_shape=[(2, 3), (2, 3), (2, 3)]), dict(input_shape=[(2, 3, 4), (2, 4)])]


class Subtract(_Merge):
    """The first input minus the second.

    Shapes: as for `Add`, with exactly two inputs.
    """

    def check_input(self, shapes):
        super().check_input(shapes)
        if len(shapes) != 2:
            raise ValueError(f"[{self.label}] expects two inputs. Received: {len(shapes)}.")

    def combine(self, a, b):
        return a - b


class _MergeOfPresent(_Merge):
    """Joins at each place the inputs that aren't masked there."""

    neutral = 0.0  # what changes nothing when it is joined

    def call(self, x, *, mask=None):
        x, masks = self._aligned(x), _masks(x, mask)
        if all(m is None for m in masks):
            return functools.reduce(self.combine, x)
        over = [m if m is None else ops.reshape(m, (*m.shape, *(1,) * (x[0].ndim - m.ndim))) for m in masks]
        present = [t if m is None else ops.where(m, t, ops.full_like(t, self.neutral)) for t, m in zip(x, over, strict=True)]
        joined = functools.reduce(self.combine, present)
        if any(m is None for m in over):
            return joined
        return ops.where(functools.reduce(ops.logical_or, over), joined, self.of_none(x))

    def of_none(self, x):
        """What stands where all inputs are masked."""
        return x[0]


class Multiply(_MergeOfPresent):
    """The product of the inputs, element by element, of those that aren't masked; zero where all are.

    Shapes: as for `Add`.
    """

    neutral = 1.0

    def combine(self, a, b):
        return a * b

    def of_none(self, x):
        return ops.zeros_like(x[0])


class Average(_Merge):
    """The mean of the inputs.

    Shapes: as for `Add`.
    """

    def combine(self, a, b):
        return a + b

    def call(self, x):
        return super().call(x) * (1.0 / len(x))


class Maximum(_MergeOfPresent):
    """The largest of the inputs, element by element, of those that aren't masked; the first where all are.

    Shapes: as for `Add`.
    """

    neutral = -math.inf

    def combine(self, a, b):
        return ops.maximum(a, b)


class Minimum(_MergeOfPresent):
    """The smallest of the inputs, element by element, of those that aren't masked; the first where all are.

    Shapes: as for `Add`.
    """

    neutral = math.inf

    def combine(self, a, b):
        return ops.minimum(a, b)


class Concatenate(_Merge):
    """The inputs one after the other along `axis`, their masks likewise; along the last, a step is masked if it is in each input.

    Shapes: a list of inputs that may differ along `axis` only; its lengths add up.

    Example:
        >>> import pynn as pn
        >>> pn.layers.Concatenate()([pn.zeros((2, 3)), pn.ones((2, 1))]).shape
        (2, 4)
    """

    least = 1

    def __init__(self, axis: int = -1, **common):
        super().__init__(**common)
        self.axis = int(axis)

    def compute_output_shape(self, input_shape):
        shapes = [tuple(s) for s in input_shape]
        axis = axis_of(self, self.axis, shapes[0])
        fits = all(
            len(s) == len(shapes[0])
            and all(a == b or None in (a, b) for i, (a, b) in enumerate(zip(s, shapes[0], strict=True)) if i != axis)
            for s in shapes
        )
        if not fits:
            raise ValueError(f"[{self.label}] the inputs may differ along axis {self.axis} only. Received: {shapes}.")
        lengths = [s[axis] for s in shapes]
        return (*shapes[0][:axis], None if None in lengths else sum(lengths), *shapes[0][axis + 1 :])

    def call(self, x):
        return ops.concat(list(x), axis=self.axis)

    def compute_mask(self, x, mask):
        if not mask or all(m is None for m in mask):
            return None
        axes = next(m.ndim for m in mask if m is not None)
        full = [ops.ones(t.shape[:axes], "bool") if m is None else as_bool(m) for t, m in zip(x, mask, strict=True)]
        axis = self.axis % x[0].ndim
        return ops.concat(full, axis=axis) if axis < axes else functools.reduce(ops.logical_or, full)

    @classmethod
    def samples(cls):
        return [dict(input_shape=[(2, 3), (2, 2)]), dict(axis=1, input_shape=[(2, 3, 4), (2, 1, 4), (2, 2, 4)])]


class Dot(_Merge):
    """The sum of products of two inputs along `axes` (one axis for both, or one for each), example by example.

    `normalize` first scales the inputs to length one along these axes, which gives the cosine of the angle.

    Shapes: (batch, ...) and (batch, ...) -> (batch, the other axes of the first, those of the second), or (batch, 1) if none are left.
    """

    def __init__(self, axes, normalize: bool = False, **common):
        super().__init__(**common)
        self.axes = tuple(int(a) for a in axes) if isinstance(axes, (list, tuple)) else int(axes)
        self.normalize = normalize

    def _axes(self, first: tuple, second: tuple) -> tuple[int, int]:
        axes = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        a, b = (axis_of(self, axis, shape) for axis, shape in zip(axes, (first, second), strict=True))
        if not a or not b:
            raise ValueError(
                f"[{self.label}] axes must come after the batch axis. Received: axes={self.axes} for {first} and {second}. "
                "Use -1 for the last."
            )
        return a, b

    def compute_output_shape(self, input_shape):
        first, second = (tuple(s) for s in input_shape)
        a, b = self._axes(first, second)
        if first[a] != second[b] and None not in (first[a], second[b]):
            raise ValueError(f"[{self.label}] the axes to multiply along have different lengths. Received: {first} and {second}.")
        rest = [*(n for i, n in enumerate(first) if i != a), *(n for i, n in enumerate(second) if i not in (0, b))]
        return tuple(rest) if len(rest) > 1 else (rest[0], 1)

    def call(self, x):
        first, second = x
        a, b = self._axes(first.shape, second.shape)
        if self.normalize:
            first, second = (t * ops.rsqrt(ops.maximum(ops.sum(t * t, axis=i, keepdims=True), 1e-12)) for t, i in ((first, a), (second, b)))
        batch, length = first.shape[0], first.shape[a]
        shape = self.compute_output_shape([first.shape, second.shape])
        left, right = ops.moveaxis(first, a, -1), ops.moveaxis(second, b, 1)
        left = ops.reshape(left, (batch, math.prod(left.shape[1:-1]), length))
        right = ops.reshape(right, (batch, length, math.prod(right.shape[2:])))
        return ops.reshape(ops.matmul(left, right), shape)

    def compute_mask(self, x, mask):
        return None

    @classmethod
    def samples(cls):
        return [
            dict(axes=1, input_shape=[(2, 3), (2, 3)]),
            dict(axes=(2, 1), normalize=True, input_shape=[(2, 3, 4), (2, 4, 5)]),
        ]
