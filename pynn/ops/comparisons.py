"""Comparisons, logic and choice, element by element. Comparisons give bools; logic takes anything that isn't 0 as true."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import bool_, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, promote
from pynn.ops.elementwise import binary, broadcast_shape, public, ternary_record, unary_record

__all__ = [
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "where",
]


def _whole_numbers(rng, shape):
    return rng.integers(-2, 3, size=shape).astype(np.float64)


def _comparison(name: str, sign: str, numpy, tfjs: str, onnx: str | None, example: tuple[str, str]):
    doc = f"Where `x {sign} y`, as bools; the shapes broadcast."
    return binary(name, doc, numpy, to_bool=True, values=_whole_numbers, tfjs=tfjs, onnx=onnx, example=example)


equal = _comparison("equal", "==", np.equal, "Equal", "Equal", example=("equal([1.0, 2.0], [1.0, 3.0]).numpy()", "[ True False]"))
not_equal = _comparison(
    "not_equal", "!=", np.not_equal, "NotEqual", None,
    example=("not_equal([1.0, 2.0], [1.0, 3.0]).numpy()", "[False  True]"),
)
less = _comparison("less", "<", np.less, "Less", "Less", example=("less([1.0, 2.0], 2.0).numpy()", "[ True False]"))
less_equal = _comparison(
    "less_equal", "<=", np.less_equal, "LessEqual", "LessOrEqual",
    example=("less_equal([1.0, 2.0], 2.0).numpy()", "[ True  True]"),
)
greater = _comparison("greater", ">", np.greater, "Greater", "Greater", example=("greater([1.0, 2.0], 1.0).numpy()", "[False  True]"))
greater_equal = _comparison(
    "greater_equal", ">=", np.greater_equal, "GreaterEqual", "GreaterOrEqual",
    example=("greater_equal([1.0, 2.0], 2.0).numpy()", "[False  True]"),
)

logical_and = _comparison(
    "logical_and", "and", np.logical_and, "LogicalAnd", "And",
    example=("logical_and([True, True], [True, False]).numpy()", "[ True False]"),
)
logical_or = _comparison(
    "logical_or", "or", np.logical_or, "LogicalOr", "Or",
    example=("logical_or([True, False], [False, False]).numpy()", "[ True False]"),
)
logical_xor = _comparison(
    "logical_xor", "xor", np.logical_xor, "LogicalXor", "Xor",
    example=("logical_xor([True, True], [True, False]).numpy()", "[False  True]"),
)


def _special_numbers(rng, shape):
    return rng.choice([0.0, 1.0, -3.0, np.nan, np.inf, -np.inf], size=shape)


def _test(name: str, doc: str, numpy, of_whole: bool | None, example: tuple[str, str], **fields):
    op = unary_record(name, numpy, to_bool=True, values=_special_numbers, **fields)

    def function(x) -> Tensor:
        x = as_tensor(x)
        if of_whole is None or is_float(x.dtype):
            return apply(op, x)
        return call("broadcast_to", of_whole, x.shape)

    return public(function, name, doc, example)


logical_not = _test(
    "logical_not", "Where `x` is 0 or false, as bools.", np.logical_not, None, tfjs="LogicalNot", onnx="Not",
    example=("logical_not([True, False]).numpy()", "[False  True]"),
)
isnan = _test(
    "isnan", "Where `x` is NaN, as bools.", np.isnan, False, tfjs="IsNan", onnx="IsNaN",
    example=("isnan([1.0, float('nan')]).numpy()", "[False  True]"),
)
isinf = _test(
    "isinf", "Where `x` is infinite, as bools.", np.isinf, False, tfjs="IsInf", onnx="IsInf",
    example=("isinf([1.0, float('-inf')]).numpy()", "[False  True]"),
)
isfinite = _test(
    "isfinite", "Where `x` is neither infinite nor NaN, as bools.", np.isfinite, True, tfjs="IsFinite",
    example=("isfinite([1.0, float('inf')]).numpy()", "[ True False]"),
)


def _infer_where(condition: Spec, x: Spec, y: Spec) -> Spec:
    if x.dtype != y.dtype:
        raise TypeError(
            f"[where] the two choices must have one dtype. Received: x.dtype={x.dtype}, y.dtype={y.dtype}. "
            "Convert one of them with .astype(...)."
        )
    return Spec(broadcast_shape("where", condition=condition, x=x, y=y), x.dtype)


_WHERE = ternary_record(
    "where",
    np.where,
    names=("condition", "x", "y"),
    infer=_infer_where,
    grads=(
        None,
        lambda dy, condition, x, y, z: where(condition, dy, 0.0),
        lambda dy, condition, x, y, z: where(condition, 0.0, dy),
    ),
    samples=lambda: [
        Sample([np.arange(21).reshape(3, 7) % 2 == 0, (3, 7), (3, 7)]),
        Sample([np.arange(7) > 3, (3, 7), ()]),
        Sample([np.array(True), (), (5,)]),
        Sample([np.arange(1030) % 3 == 0, (1030,), (1030,)]),
        Sample([np.zeros((0, 3), bool), (3,), ()], grad=False),
    ],
    tfjs="Select",
    onnx="Where",
)


def where(condition, x, y) -> Tensor:
    """`x` where the condition holds and `y` elsewhere; the three shapes broadcast. The gradient goes to the choice that was taken.

    Raises:
        ValueError: the shapes don't broadcast.

    Example:
        >>> import pynn as pn
        >>> pn.where([True, False], [1.0, 2.0], [3.0, 4.0]).numpy().tolist()
        [1.0, 4.0]
    """
    condition = as_tensor(condition)
    if condition.dtype != bool_:
        condition = call("cast", condition, bool_)
    return apply(_WHERE, condition, *promote(x, y))
