"""Running sums and products along an axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pynn.dtypes import int64, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Op, Sample, Spec, define
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


# Along the first axis, the last, and one between; more lines than go together, and fewer.
_CASES = (
    ((7,), {"axis": 0}),
    ((3, 5), {"axis": 1, "reverse": True}),
    ((19, 33), {"axis": 1}),
    ((5, 131), {"axis": 0, "exclusive": True}),
    ((2, 4, 3), {"axis": 1, "exclusive": True, "reverse": True}),
    ((9, 1), {"axis": 1, "exclusive": True}),
    ((0, 3), {"axis": 0}),
    ((3, 0), {"axis": 0, "reverse": True}),
)


def _samples() -> list[Sample]:
    return [Sample([shape], attrs) for shape, attrs in _CASES]


def _pack(kind: int) -> Callable:
    return lambda attrs: ([kind, attrs["axis"], attrs["exclusive"], attrs["reverse"]], [])


def _define_cumulative(name: str, kind: int, fallback: Callable, vjp: Callable, **fields) -> Op:
    """Kinds: csrc/kernels/cumulative.cc."""
    return define(
        name,
        inputs=("x",),
        attrs={"axis": 0, "exclusive": False, "reverse": False},
        infer=_infer,
        fallback=fallback,
        vjp=vjp,
        pack=_pack(kind),
        reference=fallback,
        samples=_samples,
        kernel="cumulative",
        **fields,
    )


def _cumsum_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(_CUMSUM, dys[0], **{**attrs, "reverse": not attrs["reverse"]}),)


def _cumsum_numpy(x, *, axis, exclusive, reverse):
    return _running(np.cumsum, 0, x, axis, exclusive, reverse)


_CUMSUM = _define_cumulative("cumsum", 0, _cumsum_numpy, _cumsum_vjp, tfjs="Cumsum", onnx="CumSum")


def _cumprod_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(_CUMPROD_GRAD, inputs[0], dys[0], **attrs),)


def _cumprod_numpy(x, *, axis, exclusive, reverse):
    return _running(np.cumprod, 1, x, axis, exclusive, reverse)


_CUMPROD = _define_cumulative("cumprod", 1, _cumprod_numpy, _cumprod_vjp, tfjs="Cumprod")


# ---- the gradient of products: without a quotient, so it holds at zeros ----------------------------------------------------


def _tails(x: Tensor, dy: Tensor, axis: int, exclusive: bool) -> Tensor:
    """At k the sum over the products that contain x[k] of dy times their elements after k: `s[k] = dy[k] + x[k + 1] * s[k + 1]`.

    Of ops that have gradients: doubles the reach of each sum until it is the whole axis.
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


def _decompose_grad(inputs, attrs):
    x, dy = inputs
    axis, reverse = attrs["axis"], attrs["reverse"]
    before = apply(_CUMPROD, x, axis=axis, exclusive=True, reverse=reverse)
    if not reverse:
        return before * _tails(x, dy, axis, attrs["exclusive"])
    return before * call("flip", _tails(call("flip", x, axis), call("flip", dy, axis), axis, attrs["exclusive"]), axis)


def _cumprod_grad_numpy(x, dy, *, axis, exclusive, reverse):
    before = _running(np.cumprod, 1, x, axis, True, reverse)
    # The axis first, and the way of running from its start to its end.
    lines = [np.moveaxis(np.flip(a, axis) if reverse else a, axis, 0) for a in (x, dy, before)]
    x, dy, before = lines
    gradient = np.empty_like(before)
    tail = nothing = np.zeros(before.shape[1:], before.dtype)  # beside a Python 0 a single number of NumPy 1 would turn into a double
    for k in range(len(x) - 1, -1, -1):
        after = x[k + 1] * tail if k + 1 < len(x) else nothing
        added = dy[k] if not exclusive else dy[k + 1] if k + 1 < len(x) else nothing
        tail = added + after
        gradient[k] = before[k] * tail
    gradient = np.moveaxis(gradient, 0, axis)
    return np.flip(gradient, axis) if reverse else gradient


_CUMPROD_GRAD = define(
    "cumprod_grad",
    inputs=("x", "dy"),
    attrs={"axis": 0, "exclusive": False, "reverse": False},
    infer=lambda x, dy, **attrs: x,
    fallback=_cumprod_grad_numpy,
    decompose=_decompose_grad,
    reference=_cumprod_grad_numpy,
    samples=lambda: [Sample([shape, shape], attrs, grad=False) for shape, attrs in _CASES],
)


# ---- the public functions ----------------------------------------------------------------------------------------------


def _cumulative(op, x, axis: int, exclusive: bool, reverse: bool) -> Tensor:
    x = as_tensor(x)
    if not is_float(x.dtype):
        x = call("cast", x, int64)
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

    Example:
        >>> import pynn as pn
        >>> pn.cumsum([1.0, 2.0, 3.0]).numpy().tolist()
        [1.0, 3.0, 6.0]
    """
    return _cumulative(_CUMSUM, x, axis, exclusive, reverse)


def cumprod(x, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """The running product along an axis: element i is the product of the elements up to i. Arguments as for `cumsum`.

    Raises:
        ValueError: there is no such axis.
    """
    return _cumulative(_CUMPROD, x, axis, exclusive, reverse)
