"""Activation functions, element by element. Integers become float32 first.

At kinks the gradient is that of the flat side: `relu'(0) = 0`.
"""

from __future__ import annotations

import math

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.operators import call
from pynn.engine.public import PublicFunction
from pynn.engine.tensor import Tensor
from pynn.ops.elementwise import as_float, gradient_record, normal, unary, unary_record
from pynn.ops.transcendental import erf_numpy

__all__ = [
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_sigmoid_keras2",
    "hard_silu",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
]

SELU_ALPHA = 1.6732632423543772  # Klambauer et al., 2017
SELU_SCALE = 1.0507009873554805
GELU_SLOPE = math.sqrt(2 / math.pi)  # of the tanh form
GELU_CUBIC = 0.044715


def _zero(x):
    return np.zeros((), x.dtype)


def _in_unit(rng, shape):
    return rng.uniform(0.02, 0.98, size=shape)


def _off_kinks(rng, shape):
    return np.round(rng.normal(size=shape) * 40) / 10 + 0.05


# ---- sigmoid and tanh -------------------------------------------------------------------------------------------------


def sigmoid_numpy(x):
    """`1 / (1 + e^-x)` of an array."""
    return 1 / (1 + np.exp(-x))


_SIGMOID_GRAD = gradient_record(
    "sigmoid_grad",
    lambda dy, y: dy * (y * (1 - y)),
    second=_in_unit,
    grad_y=lambda ddx, dy, y, dx: ddx * dy * (1.0 - 2.0 * y),
)
_SIGMOID = unary_record("sigmoid", sigmoid_numpy, grad=lambda dy, x, y: apply(_SIGMOID_GRAD, dy, y), tfjs="Sigmoid", onnx="Sigmoid")


_values_of_sigmoid = PublicFunction(lambda x: apply(_SIGMOID, x), __name__)


def sigmoid(x) -> Tensor:
    """`1 / (1 + e^-x)`. The result remembers `x` as its `logits`, so that a loss can use its stable form.

    Example:
        >>> import pynn as pn
        >>> print(pn.sigmoid([0.0, 2.0]).numpy().round(3))
        [0.5   0.881]
    """
    x = as_float(x)
    y = _values_of_sigmoid(x)
    y.logits, y.logits_of = x, "sigmoid"
    return y


_TANH_GRAD = gradient_record(
    "tanh_grad",
    lambda dy, y: dy * (1 - y * y),
    second=_in_unit,
    grad_y=lambda ddx, dy, y, dx: ddx * dy * (-2.0 * y),
)
tanh = unary(
    "tanh", "The hyperbolic tangent.", np.tanh, grad=lambda dy, x, y: apply(_TANH_GRAD, dy, y), tfjs="Tanh", onnx="Tanh",
    example=("tanh([0.0, 1.0]).numpy().round(3)", "[0.    0.762]"),
)

# ---- piecewise linear -------------------------------------------------------------------------------------------------

_RELU_GRAD = gradient_record("relu_grad", lambda dy, y: np.where(y > 0, dy, _zero(dy)), second=_off_kinks)
relu = unary(
    "relu",
    "`max(x, 0)`. The gradient at 0 is 0.",
    lambda x: np.maximum(x, 0),
    grad=lambda dy, x, y: apply(_RELU_GRAD, dy, y),
    tfjs="Relu",
    onnx="Relu",
    example=("relu([-1.0, 2.0]).numpy()", "[0. 2.]"),
)
_RELU6_GRAD = gradient_record("relu6_grad", lambda dy, y: np.where((y > 0) & (y < 6), dy, _zero(dy)), second=_off_kinks)
relu6 = unary(
    "relu6",
    "`min(max(x, 0), 6)`. The gradient at 0 and 6 is 0.",
    lambda x: np.minimum(np.maximum(x, 0), 6),
    grad=lambda dy, x, y: apply(_RELU6_GRAD, dy, y),
    values=_off_kinks,
    tfjs="Relu6",
    example=("relu6([-1.0, 2.0, 8.0]).numpy()", "[0. 2. 6.]"),
)
_LEAKY_RELU_GRAD = gradient_record(
    "leaky_relu_grad",
    lambda dy, y, *, alpha: np.where(y > 0, dy, dy * dy.dtype.type(alpha)),
    attrs={"alpha": 0.2},
    second=_off_kinks,
)
_LEAKY_RELU = unary_record(
    "leaky_relu",
    lambda x, *, alpha: np.where(x > 0, x, x * x.dtype.type(alpha)),
    grad=lambda dy, x, y, *, alpha: apply(_LEAKY_RELU_GRAD, dy, x, alpha=alpha),
    attrs={"alpha": 0.2},
    tfjs="LeakyRelu",
    onnx="LeakyRelu",
)


def leaky_relu(x, alpha: float = 0.2) -> Tensor:
    """`x` above 0, `alpha * x` below.

    Example:
        >>> import pynn as pn
        >>> print(pn.leaky_relu([-1.0, 2.0], alpha=0.5).numpy())
        [-0.5  2. ]
    """
    return apply(_LEAKY_RELU, as_float(x), alpha=float(alpha))


_HARD_SIGMOID_GRAD = gradient_record(
    "hard_sigmoid_grad",
    lambda dy, y, *, slope: np.where((y > 0) & (y < 1), dy * dy.dtype.type(slope), _zero(dy)),
    attrs={"slope": 1 / 6},
    second=_off_kinks,
)
hard_sigmoid = unary(
    "hard_sigmoid",
    "`relu6(x + 3) / 6`, as in Keras 3.",
    lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    grad=lambda dy, x, y: apply(_HARD_SIGMOID_GRAD, dy, y, slope=1 / 6),
    values=_off_kinks,
    onnx="HardSigmoid",
    example=("hard_sigmoid([-4.0, 0.0, 1.5]).numpy().round(3)", "[0.   0.5  0.75]"),
)
hard_sigmoid_keras2 = unary(
    "hard_sigmoid_keras2",
    "`min(max(0.2 x + 0.5, 0), 1)`, as in Keras 2 and TensorFlow.js.",
    lambda x: np.minimum(np.maximum(x * x.dtype.type(0.2) + x.dtype.type(0.5), 0), 1),
    grad=lambda dy, x, y: apply(_HARD_SIGMOID_GRAD, dy, y, slope=0.2),
    values=_off_kinks,
    example=("hard_sigmoid_keras2([-4.0, 0.0, 1.5]).numpy().round(3)", "[0.  0.5 0.8]"),
)

# ---- smooth relatives of relu -----------------------------------------------------------------------------------------

_ELU_GRAD = gradient_record(
    "elu_grad",
    lambda dy, y, *, alpha: np.where(y > 0, dy, dy * (y + dy.dtype.type(alpha))),
    attrs={"alpha": 1.0},
    second=_off_kinks,
    grad_y=lambda ddx, dy, y, dx, *, alpha: call("where", y > 0.0, 0.0, ddx * dy),
)
_ELU = unary_record(
    "elu",
    lambda x, *, alpha: np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * x.dtype.type(alpha)),
    grad=lambda dy, x, y, *, alpha: apply(_ELU_GRAD, dy, y, alpha=alpha),
    attrs={"alpha": 1.0},
    tfjs="Elu",
    onnx="Elu",
)


def elu(x, alpha: float = 1.0) -> Tensor:
    """`x` above 0, `alpha * (e^x - 1)` below. Reference: Clevert et al., 2016.

    Example:
        >>> import pynn as pn
        >>> print(pn.elu([-1.0, 2.0]).numpy().round(3))
        [-0.632  2.   ]
    """
    return apply(_ELU, as_float(x), alpha=float(alpha))


_SELU_GRAD = gradient_record(
    "selu_grad",
    lambda dy, y: dy * np.where(y > 0, dy.dtype.type(SELU_SCALE), y + dy.dtype.type(SELU_SCALE * SELU_ALPHA)),
    second=_off_kinks,
    grad_y=lambda ddx, dy, y, dx: call("where", y > 0.0, 0.0, ddx * dy),
)
selu = unary(
    "selu",
    "`scale * elu(x, alpha)` with the constants that keep mean and variance. Reference: Klambauer et al., 2017.",
    lambda x: x.dtype.type(SELU_SCALE) * np.where(x > 0, x, x.dtype.type(SELU_ALPHA) * np.expm1(np.minimum(x, 0))),
    grad=lambda dy, x, y: apply(_SELU_GRAD, dy, y),
    tfjs="Selu",
    onnx="Selu",
    example=("selu([-1.0, 1.0]).numpy().round(3)", "[-1.111  1.051]"),
)
softplus = unary(
    "softplus",
    "`log(1 + e^x)`.",
    lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    grad=lambda dy, x, y: dy * sigmoid(x),
    tfjs="Softplus",
    onnx="Softplus",
    example=("softplus([-1.0, 1.0]).numpy().round(3)", "[0.313 1.313]"),
)
log_sigmoid = unary(
    "log_sigmoid",
    "`log(sigmoid(x))`, that is `-softplus(-x)`.",
    lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    grad=lambda dy, x, y: dy * sigmoid(-x),
    example=("log_sigmoid([-1.0, 1.0]).numpy().round(3)", "[-1.313 -0.313]"),
)
softsign = unary(
    "softsign",
    "`x / (1 + |x|)`.",
    lambda x: x / (1 + np.abs(x)),
    grad=lambda dy, x, y: dy / call("square", call("abs", x) + 1.0),
    onnx="Softsign",
    example=("softsign([-1.0, 3.0]).numpy()", "[-0.5   0.75]"),
)


def _silu_grad_numpy(dy, y):
    s = sigmoid_numpy(y)
    return dy * (s * (1 + y * (1 - s)))


def _silu_curvature(ddx, dy, x, dx):
    s = sigmoid(x)
    return ddx * dy * s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))


_SILU_GRAD = gradient_record("silu_grad", _silu_grad_numpy, grad_y=_silu_curvature)
silu = unary(
    "silu",
    "`x * sigmoid(x)`, also called swish. Reference: Elfwing et al., 2018.",
    lambda x: x * sigmoid_numpy(x),
    grad=lambda dy, x, y: apply(_SILU_GRAD, dy, x),
    example=("silu([-1.0, 1.0]).numpy().round(3)", "[-0.269  0.731]"),
)


def _hard_silu_grad(dy, x, y):
    s = hard_sigmoid(x)
    return dy * s + apply(_HARD_SIGMOID_GRAD, dy * x, s, slope=1 / 6)


hard_silu = unary(
    "hard_silu",
    "`x * relu6(x + 3) / 6`, also called hard swish.",
    lambda x: x * (np.minimum(np.maximum(x + 3, 0), 6) / 6),
    grad=_hard_silu_grad,
    values=_off_kinks,
    onnx="HardSwish",
    example=("hard_silu([-1.0, 0.0, 1.5]).numpy().round(3)", "[-0.333  0.     1.125]"),
)


def _mish_grad(dy, x, y):
    t = tanh(softplus(x))
    return dy * (t + x * (1.0 - t * t) * sigmoid(x))


mish = unary(
    "mish",
    "`x * tanh(softplus(x))`. Reference: Misra, 2019.",
    lambda x: x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    grad=_mish_grad,
    example=("mish([-1.0, 1.0]).numpy().round(3)", "[-0.303  0.865]"),
)

# ---- gelu -------------------------------------------------------------------------------------------------------------


def _normal_cdf_numpy(x):
    return (1 + erf_numpy(x * x.dtype.type(math.sqrt(0.5)))) * x.dtype.type(0.5)


def _normal_density_numpy(x):
    return np.exp(-x * x / 2) * x.dtype.type(1 / math.sqrt(2 * math.pi))


def _gelu_curvature(ddx, dy, x, dx):
    density = call("exp", x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return ddx * dy * density * (2.0 - x * x)


_GELU_GRAD = gradient_record("gelu_grad", lambda dy, y: dy * (_normal_cdf_numpy(y) + y * _normal_density_numpy(y)), grad_y=_gelu_curvature)
_GELU = unary_record("gelu", lambda x: x * _normal_cdf_numpy(x), grad=lambda dy, x, y: apply(_GELU_GRAD, dy, x), onnx="Gelu")


def _gelu_inner_numpy(x):
    return x.dtype.type(GELU_SLOPE) * (x + x.dtype.type(GELU_CUBIC) * (x * x * x))


def _gelu_tanh_grad(dy, x, y):
    square = x * x
    t = tanh((x + x * square * GELU_CUBIC) * GELU_SLOPE)
    slope = (square * (3 * GELU_CUBIC) + 1.0) * GELU_SLOPE
    return dy * 0.5 * (t + 1.0 + x * (1.0 - t * t) * slope)


_GELU_TANH = unary_record(
    "gelu_tanh",
    lambda x: x.dtype.type(0.5) * x * (1 + np.tanh(_gelu_inner_numpy(x))),
    grad=_gelu_tanh_grad,
    values=normal,
)


def gelu(x, approximate: bool = False) -> Tensor:
    """`x * cdf(x)` with the distribution function of the standard normal.

    Args:
        x: Tensor.
        approximate: The form with a tanh, `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.

    Reference: Hendrycks and Gimpel, 2016.

    Example:
        >>> import pynn as pn
        >>> print(pn.gelu([-1.0, 1.0]).numpy().round(3))
        [-0.159  0.841]
    """
    return apply(_GELU_TANH if approximate else _GELU, as_float(x))
