"""Activation functions by name. Each maps a tensor to one of the same shape."""

from __future__ import annotations

import math

from pynn import ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.serialization import Register, normal_form

_REGISTER = Register("activation")
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


def _named(*aliases: str):
    return lambda f: _REGISTER.add(f, *aliases)


@_named("identity")
def linear(x) -> Tensor:
    """x."""
    return as_tensor(x)


@_named()
def relu(x, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """max(x, 0); in general `max_value` above it, x at or above `threshold`, `negative_slope * (x - threshold)` below."""
    if not negative_slope and max_value is None and not threshold:
        return ops.relu(x)
    x = as_tensor(x)
    kept = x if max_value is None else ops.minimum(x, max_value)
    return ops.where(x >= threshold, kept, (x - threshold) * negative_slope if negative_slope else ops.zeros_like(x))


@_named()
def relu6(x) -> Tensor:
    """min(max(x, 0), 6)."""
    return ops.clip(x, 0.0, 6.0)


@_named()
def leaky_relu(x, negative_slope: float = 0.2) -> Tensor:
    """x above zero, `negative_slope * x` below."""
    x = as_tensor(x)
    return ops.where(x > 0, x, x * negative_slope)


@_named()
def elu(x, alpha: float = 1.0) -> Tensor:
    """x above zero, `alpha * (exp(x) - 1)` below."""
    x = as_tensor(x)
    below = ops.expm1(ops.minimum(x, 0.0))
    return ops.where(x > 0, x, below if alpha == 1 else below * alpha)


@_named()
def selu(x) -> Tensor:
    """The elu that keeps mean and variance (Klambauer et al., 2017)."""
    return elu(x, _SELU_ALPHA) * _SELU_SCALE


@_named()
def softplus(x) -> Tensor:
    """log(1 + exp(x))."""
    return ops.softplus(x)


@_named()
def softsign(x) -> Tensor:
    """x / (1 + |x|)."""
    x = as_tensor(x)
    return x / (ops.abs(x) + 1.0)


@_named()
def sigmoid(x) -> Tensor:
    """1 / (1 + exp(-x)). The result remembers `x`, so that a loss on it is computed in its stable form."""
    x = as_tensor(x)
    y = ops.sigmoid(x)
    y.logits = x
    return y


@_named()
def tanh(x) -> Tensor:
    """The hyperbolic tangent."""
    return ops.tanh(x)


@_named()
def softmax(x, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`. The result remembers `x`, so that a loss on it is computed in its stable form."""
    x = as_tensor(x)
    y = ops.softmax(x, axis=axis)
    if axis in (-1, x.ndim - 1):
        y.logits = x
    return y


@_named()
def log_softmax(x, axis: int = -1) -> Tensor:
    """log(softmax(x)) along `axis`."""
    return ops.log_softmax(x, axis=axis)


@_named("exp")
def exponential(x) -> Tensor:
    """exp(x)."""
    return ops.exp(x)


@_named("swish")
def silu(x) -> Tensor:
    """x * sigmoid(x)."""
    x = as_tensor(x)
    return x * ops.sigmoid(x)


@_named()
def gelu(x, approximate: bool = False) -> Tensor:
    """x * P(X <= x) for a standard normal X; `approximate` uses tanh (Hendrycks and Gimpel, 2016)."""
    x = as_tensor(x)
    if approximate:
        return x * 0.5 * (ops.tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1.0)
    return x * 0.5 * (ops.erf(x * math.sqrt(0.5)) + 1.0)


@_named()
def gelu_new(x) -> Tensor:
    """The approximate gelu, under TensorFlow.js's name."""
    return gelu(x, approximate=True)


@_named()
def hard_sigmoid(x) -> Tensor:
    """clip(x / 6 + 1 / 2, 0, 1), as Keras 3 has it."""
    return relu6(as_tensor(x) + 3.0) / 6.0


@_named()
def hard_sigmoid_keras2(x) -> Tensor:
    """clip(0.2 x + 0.5, 0, 1): the hard sigmoid of Keras 2 and TensorFlow.js."""
    return ops.clip(as_tensor(x) * 0.2 + 0.5, 0.0, 1.0)


@_named("hard_swish")
def hard_silu(x) -> Tensor:
    """x * hard_sigmoid(x)."""
    x = as_tensor(x)
    return x * hard_sigmoid(x)


@_named()
def mish(x) -> Tensor:
    """x * tanh(softplus(x))."""
    x = as_tensor(x)
    return x * ops.tanh(ops.softplus(x))


def get(identifier):
    """The function for a name (`"relu"`, `"hardSigmoid"`), a function or a config; None means `linear`.

    Raises:
        ValueError: the name is unknown.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, dict) and identifier.get("class_name") == "function":
        identifier = identifier["config"]
    return _REGISTER.get(identifier)


def name_of(activation) -> str:
    """The name under which `get` finds an activation; for a function of the user's, its own name."""
    return getattr(activation, "__name__", None) or type(activation).__name__


def is_builtin(activation) -> bool:
    """True if `get` finds this very function by its name."""
    return _REGISTER.entries.get(name_of(activation)) is activation and bool(normal_form(name_of(activation)))
