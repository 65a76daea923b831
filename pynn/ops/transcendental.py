"""Exponential, logarithmic, trigonometric and hyperbolic functions, element by element. Integers become float32 first."""

from __future__ import annotations

import math

import numpy as np

from pynn.engine.operators import call
from pynn.ops.elementwise import binary, inside_one, positive, unary

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "erf",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "sinh",
    "tan",
]

exp = unary(
    "exp", "e to the power `x`.", np.exp, grad=lambda dy, x, y: dy * y, tfjs="Exp", onnx="Exp",
    example=("exp([0.0, 1.0]).numpy().round(3)", "[1.    2.718]"),
)
expm1 = unary(
    "expm1", "`e^x - 1`, accurate near 0.", np.expm1, grad=lambda dy, x, y: dy * (y + 1.0), tfjs="Expm1",
    example=("expm1([0.0, 1.0]).numpy().round(3)", "[0.    1.718]"),
)
log = unary(
    "log",
    "The natural logarithm: -inf at 0, NaN below.",
    np.log,
    grad=lambda dy, x, y: dy / x,
    values=positive,
    tfjs="Log",
    onnx="Log",
    example=("log([1.0, 2.0]).numpy().round(3)", "[0.    0.693]"),
)
log1p = unary(
    "log1p",
    "`log(1 + x)`, accurate near 0.",
    np.log1p,
    grad=lambda dy, x, y: dy / (x + 1.0),
    values=positive,
    tfjs="Log1p",
    example=("log1p([0.0, 1.0]).numpy().round(3)", "[0.    0.693]"),
)

sin = unary(
    "sin", "The sine of `x` in radians.", np.sin, grad=lambda dy, x, y: dy * cos(x), tfjs="Sin", onnx="Sin",
    example=("sin([0.0, 1.0]).numpy().round(3)", "[0.    0.841]"),
)
cos = unary(
    "cos", "The cosine of `x` in radians.", np.cos, grad=lambda dy, x, y: -(dy * sin(x)), tfjs="Cos", onnx="Cos",
    example=("cos([0.0, 1.0]).numpy().round(3)", "[1.   0.54]"),
)
tan = unary(
    "tan",
    "The tangent of `x` in radians.",
    np.tan,
    grad=lambda dy, x, y: dy * (y * y + 1.0),
    values=inside_one,
    tfjs="Tan",
    onnx="Tan",
    example=("tan([0.0, 1.0]).numpy().round(3)", "[0.    1.557]"),
)


def _root(x):
    return call("sqrt", 1.0 - x * x)


asin = unary(
    "asin",
    "The angle in radians whose sine is `x`; NaN outside of -1 to 1.",
    np.arcsin,
    grad=lambda dy, x, y: dy / _root(x),
    values=inside_one,
    tfjs="Asin",
    onnx="Asin",
    example=("asin([0.0, 1.0]).numpy().round(3)", "[0.    1.571]"),
)
acos = unary(
    "acos",
    "The angle in radians whose cosine is `x`; NaN outside of -1 to 1.",
    np.arccos,
    grad=lambda dy, x, y: -(dy / _root(x)),
    values=inside_one,
    tfjs="Acos",
    onnx="Acos",
    example=("acos([0.0, 1.0]).numpy().round(3)", "[1.571 0.   ]"),
)
atan = unary(
    "atan",
    "The angle in radians, between -pi/2 and pi/2, whose tangent is `x`.",
    np.arctan,
    grad=lambda dy, x, y: dy / (x * x + 1.0),
    tfjs="Atan",
    onnx="Atan",
    example=("atan([0.0, 1.0]).numpy().round(3)", "[0.    0.785]"),
)
atan2 = binary(
    "atan2",
    "The angle in radians, between -pi and pi, of the point with ordinate `x` and abscissa `y`: `atan(x / y)` in the right quadrant.",
    np.arctan2,
    floats=True,
    grads=(
        lambda dy, x, y, z: dy * y / (x * x + y * y),
        lambda dy, x, y, z: -(dy * x) / (x * x + y * y),
    ),
    second=positive,
    tfjs="Atan2",
    example=("atan2([1.0, 1.0], [1.0, -1.0]).numpy().round(3)", "[0.785 2.356]"),
)

sinh = unary(
    "sinh", "The hyperbolic sine.", np.sinh, grad=lambda dy, x, y: dy * cosh(x), tfjs="Sinh", onnx="Sinh",
    example=("sinh([0.0, 1.0]).numpy().round(3)", "[0.    1.175]"),
)
cosh = unary(
    "cosh", "The hyperbolic cosine.", np.cosh, grad=lambda dy, x, y: dy * sinh(x), tfjs="Cosh", onnx="Cosh",
    example=("cosh([0.0, 1.0]).numpy().round(3)", "[1.    1.543]"),
)
asinh = unary(
    "asinh",
    "The inverse of `sinh`.",
    np.arcsinh,
    grad=lambda dy, x, y: dy / call("sqrt", x * x + 1.0),
    tfjs="Asinh",
    onnx="Asinh",
    example=("asinh([0.0, 1.0]).numpy().round(3)", "[0.    0.881]"),
)
acosh = unary(
    "acosh",
    "The inverse of `cosh`; NaN below 1.",
    np.arccosh,
    grad=lambda dy, x, y: dy / call("sqrt", x * x - 1.0),
    values=lambda rng, shape: rng.uniform(1.1, 5, size=shape),
    tfjs="Acosh",
    onnx="Acosh",
    example=("acosh([1.0, 2.0]).numpy().round(3)", "[0.    1.317]"),
)
atanh = unary(
    "atanh",
    "The inverse of `tanh`; NaN outside of -1 to 1.",
    np.arctanh,
    grad=lambda dy, x, y: dy / (1.0 - x * x),
    values=inside_one,
    tfjs="Atanh",
    onnx="Atanh",
    example=("atanh([0.0, 0.5]).numpy().round(3)", "[0.    0.549]"),
)

_erf_scalar = np.frompyfunc(math.erf, 1, 1)


def erf_numpy(x):
    """The error function of an array."""
    return np.asarray(_erf_scalar(x)).astype(x.dtype)


erf = unary(
    "erf",
    "The error function: `2 / sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `x`.",
    erf_numpy,
    grad=lambda dy, x, y: dy * (2 / math.sqrt(math.pi)) * exp(-(x * x)),
    tfjs="Erf",
    onnx="Erf",
    example=("erf([0.0, 1.0]).numpy().round(3)", "[0.    0.843]"),
)
