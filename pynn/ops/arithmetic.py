"""Arithmetic, element by element, with NumPy's broadcasting."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, promote
from pynn.ops.elementwise import binary, broadcast_shape, gradient_record, normal, positive, public, ternary_record, unary, unary_record

__all__ = [
    "abs",
    "add",
    "ceil",
    "clip",
    "divide",
    "divide_no_nan",
    "floor",
    "floor_divide",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "power",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sqrt",
    "square",
    "squared_difference",
    "subtract",
    "trunc",
]

# ---- two operands -----------------------------------------------------------------------------------------------------

add = binary(
    "add",
    "`x + y`, element by element; the shapes broadcast.",
    np.add,
    grads=(lambda dy, x, y, z: dy, lambda dy, x, y, z: dy),
    tfjs="AddV2",
    onnx="Add",
    example=("add([1.0, 2.0], 10.0).numpy()", "[11. 12.]"),
)
subtract = binary(
    "subtract",
    "`x - y`, element by element; the shapes broadcast.",
    np.subtract,
    grads=(lambda dy, x, y, z: dy, lambda dy, x, y, z: -dy),
    bools=False,
    tfjs="Sub",
    onnx="Sub",
    example=("subtract([1.0, 2.0], [4.0, 1.0]).numpy()", "[-3.  1.]"),
)
multiply = binary(
    "multiply",
    "`x * y`, element by element; the shapes broadcast.",
    np.multiply,
    grads=(lambda dy, x, y, z: dy * y, lambda dy, x, y, z: dy * x),
    tfjs="Mul",
    onnx="Mul",
    example=("multiply([1.0, 2.0], [3.0, 4.0]).numpy()", "[3. 8.]"),
)
divide = binary(
    "divide",
    "`x / y`, element by element; integers become float32 first. The shapes broadcast.",
    np.divide,
    floats=True,
    grads=(lambda dy, x, y, z: dy / y, lambda dy, x, y, z: -(dy * z) / y),
    second=positive,
    tfjs="RealDiv",
    onnx="Div",
    example=("divide([1, 2, 3], 2).numpy()", "[0.5 1.  1.5]"),
)


def _divide_no_nan_numpy(x, y):
    return np.where(y == 0, np.zeros((), x.dtype), np.divide(x, np.where(y == 0, np.ones((), y.dtype), y)))


divide_no_nan = binary(
    "divide_no_nan",
    "`x / y`, and 0 where `y` is 0; integers become float32 first. The shapes broadcast.",
    _divide_no_nan_numpy,
    floats=True,
    grads=(lambda dy, x, y, z: divide_no_nan(dy, y), lambda dy, x, y, z: -divide_no_nan(dy * z, y)),
    second=lambda rng, shape: np.abs(normal(rng, shape)) + 0.3,
    tfjs="DivNoNan",
    example=("divide_no_nan([1.0, 2.0], [0.0, 4.0]).numpy()", "[0.  0.5]"),
)


def _mod_values(rng, shape):
    return rng.integers(-40, 40, size=shape) + 0.3


def _mod_divisors(rng, shape):
    return rng.choice([-7.0, 3.0, 11.0], size=shape)


mod = binary(
    "mod",
    "The remainder of `x / y` with the sign of `y`, as in Python; the shapes broadcast.",
    np.mod,
    grads=(lambda dy, x, y, z: dy, lambda dy, x, y, z: -(dy * floor_divide(x, y))),
    values=_mod_values,
    second=_mod_divisors,
    bools=False,
    tfjs="FloorMod",
    onnx="Mod",
    example=("mod([5, -5], 3).numpy()", "[2 1]"),
)
floor_divide = binary(
    "floor_divide",
    "The largest whole number not above `x / y`; the shapes broadcast. It has no gradient.",
    np.floor_divide,
    values=_mod_values,
    second=_mod_divisors,
    bools=False,
    tfjs="FloorDiv",
    example=("floor_divide([5, -5], 3).numpy()", "[ 1 -2]"),
)

# dy where x wins, half of it where x and y are equal.
_TIE_SHARE = ternary_record(
    "tie_share",
    lambda dy, x, y: np.where(x > y, dy, np.where(x == y, dy * dy.dtype.type(0.5), np.zeros((), dy.dtype))),
    names=("dy", "x", "y"),
    infer=lambda dy, x, y: Spec(broadcast_shape("tie_share", dy=dy, x=x, y=y), dy.dtype),
    grads=(lambda ddy, dy, x, y, z: apply(_TIE_SHARE, ddy, x, y), None, None),
    samples=lambda: [
        Sample([(3, 7), np.arange(7.0), np.arange(21.0).reshape(3, 7) // 3], grad=False),
        Sample([(1030,), (1030,), ()]),
        Sample([(), (40,), (40,)]),
    ],
)

maximum = binary(
    "maximum",
    "The larger of `x` and `y`, NaN where one is NaN. Where they are equal, each gets half of the gradient.",
    np.maximum,
    grads=(lambda dy, x, y, z: apply(_TIE_SHARE, dy, x, y), lambda dy, x, y, z: apply(_TIE_SHARE, dy, y, x)),
    tfjs="Maximum",
    onnx="Max",
    example=("maximum([-1.0, 2.0], 0.0).numpy()", "[0. 2.]"),
)
minimum = binary(
    "minimum",
    "The smaller of `x` and `y`, NaN where one is NaN. Where they are equal, each gets half of the gradient.",
    np.minimum,
    grads=(lambda dy, x, y, z: apply(_TIE_SHARE, dy, y, x), lambda dy, x, y, z: apply(_TIE_SHARE, dy, x, y)),
    tfjs="Minimum",
    onnx="Min",
    example=("minimum([-1.0, 2.0], 0.0).numpy()", "[-1.  0.]"),
)
squared_difference = binary(
    "squared_difference",
    "`(x - y)^2`, element by element; the shapes broadcast.",
    lambda x, y: np.square(x - y),
    grads=(lambda dy, x, y, z: dy * (x - y) * 2.0, lambda dy, x, y, z: dy * (y - x) * 2.0),
    bools=False,
    tfjs="SquaredDifference",
    example=("squared_difference([1.0, 2.0], [4.0, 4.0]).numpy()", "[9. 4.]"),
)


def _power_by_base(dy, x, y, z):
    exponent = call("where", call("equal", y, 0.0), 1.0, y - 1.0)
    return dy * y * _power(x, exponent)


def _power_by_exponent(dy, x, y, z):
    safe = call("where", call("greater", x, 0.0), x, 1.0)
    return dy * z * call("log", safe)


def _power_numpy(x, y):
    if not is_float(y.dtype) and (y < 0).any():
        raise ValueError(
            f"[power] integers can't be raised to negative integer powers. Received: y={y.min()} beside {x.dtype}. "
            "Cast one to floats, for example with x.astype('float32')."
        )
    return np.power(x, y)


_power = binary(
    "power",
    "`x` to the power `y`, element by element.",
    _power_numpy,
    grads=(_power_by_base, _power_by_exponent),
    values=positive,
    second=normal,
    bools=False,
    tfjs="Pow",
    onnx="Pow",
)


def _small_power(x: Tensor, exponent: float) -> Tensor | None:
    if exponent == 2:
        return square(x)
    if exponent == 1:
        return x
    if exponent == 3:
        return multiply(square(x), x)
    if not is_float(x.dtype):
        return None
    return sqrt(x) if exponent == 0.5 else reciprocal(x) if exponent == -1 else None


def power(x, y) -> Tensor:
    """`x` to the power `y`, element by element; the shapes broadcast.

    NaN for a negative `x` and a `y` that isn't whole. The gradient with respect to `y` takes `log(x)` as 0 where `x <= 0`.
    The exponents 2, 3, 1, 0.5 and -1, given as Python numbers, are products, a root and a quotient. Integers to the power of a
    Python float are float32.

    Raises:
        ValueError: an integer to the power of one below 0.

    Example:
        >>> import pynn as pn
        >>> print(pn.power([1.0, 2.0, 3.0], 2).numpy())
        [1. 4. 9.]
    """
    if isinstance(y, (int, float)) and not isinstance(x, (int, float)):
        base = as_tensor(x)
        if not is_float(base.dtype):
            base, _ = promote(base, y)
        small = _small_power(base, y)
        if small is not None:
            return small
    return _power(*promote(x, y))


# ---- one operand ------------------------------------------------------------------------------------------------------

negative = unary(
    "negative", "`-x`.", np.negative, floats=False, grad=lambda dy, x, y: -dy, tfjs="Neg", onnx="Neg",
    example=("negative([1.0, -2.0]).numpy()", "[-1.  2.]"),
)
abs = unary(
    "abs",
    "The absolute value of `x`. The gradient at 0 is 0.",
    np.abs,
    floats=False,
    grad=lambda dy, x, y: dy * sign(x),
    tfjs="Abs",
    onnx="Abs",
    example=("abs([1.0, -2.0]).numpy()", "[1. 2.]"),
)
sign = unary(
    "sign",
    "-1, 0 or 1 by the sign of `x`, NaN for NaN. It has no gradient.",
    np.sign,
    floats=False,
    tfjs="Sign",
    onnx="Sign",
    example=("sign([3.0, 0.0, -2.0]).numpy()", "[ 1.  0. -1.]"),
)
square = unary(
    "square", "`x * x`.", np.square, floats=False, grad=lambda dy, x, y: dy * x * 2.0, tfjs="Square",
    example=("square([1.0, -2.0, 3.0]).numpy()", "[1. 4. 9.]"),
)
sqrt = unary(
    "sqrt",
    "The square root, NaN below 0.",
    np.sqrt,
    grad=lambda dy, x, y: dy * 0.5 / y,
    values=positive,
    tfjs="Sqrt",
    onnx="Sqrt",
    example=("sqrt([1.0, 4.0, 9.0]).numpy()", "[1. 2. 3.]"),
)
rsqrt = unary(
    "rsqrt",
    "`1 / sqrt(x)`.",
    lambda x: 1 / np.sqrt(x),
    grad=lambda dy, x, y: dy * -0.5 * y / x,
    values=positive,
    tfjs="Rsqrt",
    example=("rsqrt([1.0, 4.0, 16.0]).numpy()", "[1.   0.5  0.25]"),
)
reciprocal = unary(
    "reciprocal",
    "`1 / x`.",
    lambda x: 1 / x,
    grad=lambda dy, x, y: -(dy * y * y),
    values=positive,
    tfjs="Reciprocal",
    onnx="Reciprocal",
    example=("reciprocal([1.0, 2.0, 4.0]).numpy()", "[1.   0.5  0.25]"),
)


def _whole(name: str, doc: str, numpy, example: tuple[str, str], **fields):
    op = unary_record(name, numpy, **fields)

    def function(x) -> Tensor:
        x = as_tensor(x)
        return apply(op, x) if is_float(x.dtype) else x

    return public(function, name, f"{doc} Integers stay as they are. It has no gradient.", example)


floor = _whole(
    "floor", "The largest whole number not above `x`.", np.floor, tfjs="Floor", onnx="Floor",
    example=("floor([1.5, -1.5]).numpy()", "[ 1. -2.]"),
)
ceil = _whole(
    "ceil", "The smallest whole number not below `x`.", np.ceil, tfjs="Ceil", onnx="Ceil",
    example=("ceil([1.2, 2.0]).numpy()", "[2. 2.]"),
)
round = _whole(
    "round", "The nearest whole number, halves to the even one.", np.rint, tfjs="Round", onnx="Round",
    example=("round([0.6, 1.5, 2.5]).numpy()", "[1. 2. 2.]"),
)
trunc = _whole("trunc", "`x` rounded towards 0.", np.trunc, example=("trunc([1.7, -1.7]).numpy()", "[ 1. -1.]"))

# ---- clip -------------------------------------------------------------------------------------------------------------

_CLIP_GRAD = gradient_record(
    "clip_grad",
    lambda dy, y, *, minimum, maximum: np.where((y >= minimum) & (y <= maximum), dy, np.zeros((), dy.dtype)),
    attrs={"minimum": -1.0, "maximum": 1.0},
)
_CLIP = unary_record(
    "clip",
    lambda x, *, minimum, maximum: np.minimum(np.maximum(x, x.dtype.type(minimum)), x.dtype.type(maximum)),
    grad=lambda dy, x, y, **bounds: apply(_CLIP_GRAD, dy, x, **bounds),
    attrs={"minimum": -1.0, "maximum": 1.0},
    tfjs="ClipByValue",
    onnx="Clip",
)


def clip(x, minimum=None, maximum=None) -> Tensor:
    """`x` kept between two bounds: `min(max(x, minimum), maximum)`. A bound of None is no bound; bounds may be tensors.

    For numbers as bounds the gradient passes where `minimum <= x <= maximum`.

    Example:
        >>> import pynn as pn
        >>> pn.clip([-1.0, 0.5, 2.0], 0.0, 1.0).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    x = as_tensor(x)
    static = all(b is None or isinstance(b, (int, float)) for b in (minimum, maximum))
    if static and is_float(x.dtype):
        low = -np.inf if minimum is None else float(minimum)
        return apply(_CLIP, x, minimum=float(low), maximum=float(np.inf if maximum is None else maximum))
    if minimum is not None:
        x = call("maximum", x, minimum)
    return x if maximum is None else call("minimum", x, maximum)
