"""Running sums and products along an axis."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import int64, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor
from pynn.ops.shape import checked_axis

__all__ = ["cumprod", "cumsum"]


def _running(numpy, unit, x, axis, exclusive, reverse):
    """`numpy.cumsum` or `cumprod`, from the end if `reverse`, and without the element itself if `exclusive`."""
    if reverse:
        x = np.flip(x, axis)
    total = numpy(x, axis=axis, dtype=x.dtype if is_float(x.dtype) else int64)
    if exclusive:
        total = np.roll(total, 1, axis)
        first = [slice(None)] * total.ndim
        first[axis] = slice(0, 1)
        total[tuple(first)] = unit
    return np.flip(total, axis) if reverse else total


def _infer(x: Spec, *, axis, exclusive, reverse) -> Spec:
    return Spec(x.shape, x.dtype if is_float(x.dtype) else int64)


def _samples() -> list[Sample]:
    return [
        Sample([(7,)], {"axis": 0}),
        Sample([(3, 5)], {"axis": 1, "reverse": True}),
        Sample([(3, 5)], {"axis": 0, "exclusive": True}),
        Sample([(2, 4, 3)], {"axis": 1, "exclusive": True, "reverse": True}),
        Sample([(0, 3)], {"axis": 0}),
    ]


def _cumsum_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(_CUMSUM, dys[0], **{**attrs, "reverse": not attrs["reverse"]}),)


def _cumsum_numpy(x, *, axis, exclusive, reverse):
    return _running(np.cumsum, 0, x, axis, exclusive, reverse)


_CUMSUM = define(
    "cumsum",
    inputs=("x",),
    attrs={"axis": 0, "exclusive": False, "reverse": False},
    infer=_infer,
    fallback=_cumsum_numpy,
    vjp=_cumsum_vjp,
    reference=_cumsum_numpy,
    samples=_samples,
    tfjs="Cumsum",
    onnx="CumSum",
)


def _tails(x: Tensor, dy: Tensor, axis: int, exclusive: bool) -> Tensor:
    """At k the sum over the products that contain x[k] of dy times their elements after k: `s[k] = dy[k] + x[k + 1] * s[k + 1]`.

    Doubles the reach of each sum until it is the whole axis. Without a quotient it holds at zeros, and in derivatives of any order.
    """
    length = x.shape[axis]

    def part(t, first, last):
        return t[(*[slice(None)] * axis, slice(first, last))]

    factor, total = part(x, 1, None), dy
    if exclusive:
        total = call("concat", [part(dy, 1, None), call("zeros_like", part(dy, 0, 1))], axis)
    reach = 1
    while reach < length:
        longer = part(total, 0, length - reach) + factor * part(total, reach, None)
        total = call("concat", [longer, part(total, length - reach, None)], axis)
        factor = part(factor, 0, max(length - 2 * reach, 0)) * part(factor, reach, None)
        reach *= 2
    return total


def _cumprod_vjp(dys, inputs, outputs, attrs, needs):
    x, dy = inputs[0], dys[0]
    axis, reverse = attrs["axis"], attrs["reverse"]
    before = apply(_CUMPROD, x, axis=axis, exclusive=True, reverse=reverse)
    if not reverse:
        return (before * _tails(x, dy, axis, attrs["exclusive"]),)
    return (before * call("flip", _tails(call("flip", x, axis), call("flip", dy, axis), axis, attrs["exclusive"]), axis),)


def _cumprod_numpy(x, *, axis, exclusive, reverse):
    return _running(np.cumprod, 1, x, axis, exclusive, reverse)


_CUMPROD = define(
    "cumprod",
    inputs=("x",),
    attrs={"axis": 0, "exclusive": False, "reverse": False},
    infer=_infer,
    fallback=_cumprod_numpy,
    vjp=_cumprod_vjp,
    reference=_cumprod_numpy,
    samples=_samples,
    tfjs="Cumprod",
)


def _cumulative(op, x, axis: int, exclusive: bool, reverse: bool) -> Tensor:
    x = as_tensor(x)
    return apply(op, x, axis=checked_axis(op.name, axis, len(x.shape)), exclusive=bool(exclusive), reverse=bool(reverse))


def cumsum(x, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """The running sum along an axis: element i is the sum of the elements up to i.

    Args:
        x: Tensor.
        axis: The axis to run along.
        exclusive: Leave out element i itself; the first result is 0.
        reverse: Run from the end.

    Raises:
        ValueError: there is no such axis.
    """
    return _cumulative(_CUMSUM, x, axis, exclusive, reverse)


def cumprod(x, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """The running product along an axis: element i is the product of the elements up to i. Arguments as for `cumsum`."""
    return _cumulative(_CUMPROD, x, axis, exclusive, reverse)
