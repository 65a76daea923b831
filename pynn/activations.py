"""Activation functions by name. Each maps a tensor to one of the same shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynn import ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.errors import absent
from pynn.serialization import Register, normal_form

_REGISTER = Register("activation")


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
    return ops.relu6(x)


@_named()
def leaky_relu(x, negative_slope: float = 0.2) -> Tensor:
    """x above zero, `negative_slope * x` below."""
    return ops.leaky_relu(x, negative_slope)


@_named()
def elu(x, alpha: float = 1.0) -> Tensor:
    """x above zero, `alpha * (exp(x) - 1)` below."""
    return ops.elu(x, alpha)


@_named()
def selu(x) -> Tensor:
    """The elu that keeps mean and variance (Klambauer et al., 2017)."""
    return ops.selu(x)


@_named()
def softplus(x) -> Tensor:
    """log(1 + exp(x))."""
    return ops.softplus(x)


@_named()
def softsign(x) -> Tensor:
    """x / (1 + |x|)."""
    return ops.softsign(x)


@_named()
def sigmoid(x) -> Tensor:
    """1 / (1 + exp(-x)). The result remembers `x`, so that a loss on it is computed in its stable form."""
    return ops.sigmoid(x)


@_named()
def log_sigmoid(x) -> Tensor:
    """log(sigmoid(x))."""
    return ops.log_sigmoid(x)


@_named()
def tanh(x) -> Tensor:
    """The hyperbolic tangent."""
    return ops.tanh(x)


@_named()
def softmax(x, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`. The result remembers `x`, so that a loss on it is computed in its stable form."""
    return ops.softmax(x, axis=axis)


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
    return ops.silu(x)


@_named()
def gelu(x, approximate: bool = False) -> Tensor:
    """x * P(X <= x) for a standard normal X; `approximate` uses tanh (Hendrycks and Gimpel, 2016)."""
    return ops.gelu(x, approximate)


@_named()
def gelu_new(x) -> Tensor:
    """The approximate gelu, under TensorFlow.js's name."""
    return gelu(x, approximate=True)


@_named()
def hard_sigmoid(x) -> Tensor:
    """clip(x / 6 + 1 / 2, 0, 1), as Keras 3 has it."""
    return ops.hard_sigmoid(x)


@_named()
def hard_sigmoid_keras2(x) -> Tensor:
    """clip(0.2 x + 0.5, 0, 1): the hard sigmoid of Keras 2 and TensorFlow.js."""
    return ops.hard_sigmoid_keras2(x)


@_named("hard_swish")
def hard_silu(x) -> Tensor:
    """x * hard_sigmoid(x)."""
    return ops.hard_silu(x)


@_named()
def mish(x) -> Tensor:
    """x * tanh(softplus(x))."""
    return ops.mish(x)


def get(identifier):
    """The function for a name (`"relu"`, `"hardSigmoid"`), a function or a config; None means `linear`.

    Raises:
        ValueError: the name is unknown.
        TypeError: it is no name, function or config.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, dict) and identifier.get("class_name") == "function":
        identifier = identifier["config"]
    if isinstance(identifier, (int, float)):  # as in PyTorch's Linear(784, 10)
        raise TypeError(
            f"[activation] this is no activation. Received: {identifier!r}. A layer takes only its number of units, as the size of "
            "its input is inferred: Dense(10)."
        )
    return _REGISTER.get(identifier)


def name_of(activation) -> str:
    """The name under which `get` finds an activation; for a function of the user's, its own name."""
    return getattr(activation, "__name__", None) or type(activation).__name__


def is_elementwise(activation) -> bool:
    """True if an activation of ours treats each element on its own; of others nothing is known."""
    return is_builtin(activation) and activation not in (softmax, log_softmax)


def is_builtin(activation) -> bool:
    """True if `get` finds this very function by its name."""
    return _REGISTER.entries.get(name_of(activation)) is activation and bool(normal_form(name_of(activation)))


if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, _REGISTER.entries)
