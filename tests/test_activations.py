"""Activations by their names against formulas in float64, with the arguments that they have by default and others."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pynn as pn
from pynn import activations

X = np.linspace(-7, 7, 48).reshape(4, 12)
ERF = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def below(x, values):
    return np.where(x > 0, x, values)


def hard_sigmoid(x):
    return np.clip(x / 6 + 0.5, 0, 1)


GELU_TANH = 0.5 * X * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)))
NAMED = {
    "linear": X, "identity": X, "relu": np.maximum(X, 0), "relu6": np.clip(X, 0, 6), "leaky_relu": below(X, 0.2 * X),
    "elu": below(X, np.expm1(X)), "selu": 1.0507009873554805 * below(X, 1.6732632423543772 * np.expm1(X)), "softplus": softplus(X),
    "softsign": X / (1 + np.abs(X)), "sigmoid": sigmoid(X), "log_sigmoid": -softplus(-X), "tanh": np.tanh(X), "softmax": softmax(X),
    "log_softmax": np.log(softmax(X)), "exponential": np.exp(X), "exp": np.exp(X), "silu": X * sigmoid(X), "swish": X * sigmoid(X),
    "gelu": X * (1 + ERF(X / math.sqrt(2))) / 2, "gelu_new": GELU_TANH, "hard_sigmoid": hard_sigmoid(X),
    "hard_sigmoid_keras2": np.clip(0.2 * X + 0.5, 0, 1), "hard_silu": X * hard_sigmoid(X), "hard_swish": X * hard_sigmoid(X),
    "mish": X * np.tanh(softplus(X)),
}  # fmt: skip
WITH_ARGUMENTS = {
    "a slope below zero": (activations.relu(X, 0.1), below(X, 0.1 * X)),
    "a ceiling": (activations.relu(X, max_value=2.0), np.clip(X, 0, 2)),
    "a threshold": (activations.relu(X, threshold=1.5), np.where(X >= 1.5, X, 0)),
    "all three": (activations.relu(X, 0.1, 2.0, 1.5), np.where(X >= 1.5, np.minimum(X, 2), 0.1 * (X - 1.5))),
    "a steeper slope": (activations.leaky_relu(X, 0.5), below(X, 0.5 * X)),
    "half the depth": (activations.elu(X, 0.5), below(X, 0.5 * np.expm1(X))),
    "shares along the first axis": (activations.softmax(X, 0), softmax(X, 0)),
    "their logarithms": (activations.log_softmax(X, 0), np.log(softmax(X, 0))),
    "the approximate gelu": (activations.gelu(X, True), GELU_TANH),
}


@pytest.mark.parametrize("name", NAMED)
def test_names(name):
    np.testing.assert_allclose(activations.get(name)(pn.tensor(X)).numpy(), NAMED[name], rtol=1e-6, atol=1e-12)
    layer = pn.layers.Activation(name, dtype="float64")
    np.testing.assert_allclose(layer(X).numpy(), NAMED[name], rtol=1e-6, atol=1e-12)


def test_every_activation_has_a_formula_here():
    assert set(activations._REGISTER.entries) <= set(NAMED)


@pytest.mark.parametrize("case", WITH_ARGUMENTS)
def test_arguments(case):
    got, wanted = WITH_ARGUMENTS[case]
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-6, atol=1e-12)


def test_what_names_an_activation():
    assert activations.get(None) is activations.linear and activations.get("hardSigmoid") is activations.hard_sigmoid
    assert activations.get({"class_name": "function", "config": "relu"}) is activations.relu
    own = lambda x: x * 2.0  # noqa: E731
    assert activations.get(own) is own and not activations.is_builtin(own) and activations.is_builtin(activations.silu)
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        activations.get("rellu")
