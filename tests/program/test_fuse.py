"""Fusion: which calls become one, what the fused call remembers, and what forbids it."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels
from pynn.program.fuse import MAX_CHAIN

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6)).astype(np.float32)
W = pn.Variable(RNG.normal(size=(6, 5)).astype(np.float32), name="w")
B = pn.Variable(RNG.normal(size=(5,)).astype(np.float32), name="b")
IMAGES = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32)
FILTER = pn.Variable(RNG.normal(size=(3, 3, 3, 4)).astype(np.float32))
CHANNELS = pn.Variable(RNG.normal(size=(4,)).astype(np.float32))

native_only = pytest.mark.skipif(not kernels.native_enabled(), reason="chains are for the native kernel")


def fused(body, *args):
    """(op names of the program, {fused op: its members}) and the captured function."""
    f = pn.function(body)
    nodes = f.program(*args).nodes
    return [n.op.name for n in nodes], {n.op.name: [m.op.name for m in n.members] for n in nodes if n.members}, f


def same(captured, eager):
    if kernels.native_enabled():
        np.testing.assert_array_equal(captured, eager)
    else:
        np.testing.assert_allclose(captured, eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "body, members",
    [
        (lambda x: x @ W + B, ["matmul", "add"]),
        (lambda x: B + x @ W, ["matmul", "add"]),
        (lambda x: pn.relu(x @ W + B), ["matmul", "add", "relu"]),
    ],
)
def test_dense_layers(body, members):
    names, made, f = fused(body, X)
    assert names == ["linear"] and made == {"linear": members}
    same(f(X).numpy(), body(pn.tensor(X)).numpy())


def conv(x):
    return pn.conv2d(x, FILTER) + CHANNELS


def test_convolutions():
    assert fused(conv, IMAGES)[1] == {"conv2d_bias_act": ["conv2d", "add"]}
    assert fused(lambda x: pn.relu(conv(x)), IMAGES)[1] == {"conv2d_bias_act": ["conv2d", "add", "relu"]}


def test_a_convolution_with_pooling_is_one_call():
    def body(x):
        return pn.max_pool2d(pn.relu(conv(x)), pool_size=2)

    names, made, f = fused(body, IMAGES)
    assert names == ["conv2d_bias_relu_pool"]
    assert made == {"conv2d_bias_relu_pool": ["conv2d", "add", "relu", "max_pool2d"]}
    same(f(IMAGES).numpy(), body(pn.tensor(IMAGES)).numpy())


def test_two_readers_forbid_it():
    def body(x):
        product = x @ W
        return pn.relu(product + B), product

    names, made, f = fused(body, X)
    assert "linear" not in made and "matmul" in names
    for a, b in zip(f(X), body(pn.tensor(X)), strict=True):
        same(a.numpy(), b.numpy())


def test_a_bias_of_another_shape_forbids_it():
    column = pn.Variable(np.ones((4, 1), np.float32))
    assert "linear" not in fused(lambda x: x @ W + column, X)[0]


def test_a_value_that_fusion_took_away_comes_back_for_a_later_reader():
    def body(x):
        kept = {}

        def cost(w):
            kept["z"] = x @ w + B
            return pn.sum(pn.relu(kept["z"]) ** 2)

        value, gradient = pn.value_and_grad(cost)(W)
        return value, gradient, pn.tanh(kept["z"])

    for got, wanted in zip(pn.function(body)(X), body(pn.tensor(X)), strict=True):
        same(got.numpy(), wanted.numpy())


def test_a_value_that_fusion_took_away_can_be_returned_or_assigned():
    seen = pn.Variable(np.zeros((4, 5), np.float32))

    def body(x):
        kept = {}

        def cost(w):
            kept["product"] = x @ w
            return pn.sum(pn.relu(kept["product"] + B))

        gradient = pn.grad(cost)(W)
        seen.assign(kept["product"])
        return gradient, kept["product"]

    gradient, product = pn.function(body)(X)
    same(product.numpy(), X @ W.numpy() if not kernels.native_enabled() else (pn.tensor(X) @ W).numpy())
    np.testing.assert_array_equal(seen.numpy(), product.numpy())
    same(gradient.numpy(), body(pn.tensor(X))[0].numpy())


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_few_channels_have_the_gradients_of_the_eager_calls(channels):
    images, filters = (RNG.normal(size=s).astype(np.float32) for s in ((9, 32, 30, 7), (3, 3, 7, channels)))

    def cost(filters, bias):
        return pn.sum(pn.square(pn.max_pool2d(pn.relu(pn.conv2d(images, filters) + bias), 2)))

    eager, captured = pn.grads(cost), pn.function(pn.grads(cost))
    bias = np.zeros(channels, np.float32)
    for a, b in zip(captured(filters, bias), eager(filters, bias), strict=True):
        same(a.numpy(), b.numpy())


@native_only
def test_elementwise_calls_make_a_chain():
    def body(x):
        return pn.exp(pn.tanh(x) * 2.0 + 1.0)

    names, made, f = fused(body, X)
    assert names == ["elementwise_chain"]
    assert made["elementwise_chain"] == ["tanh", "multiply", "add", "exp"]
    same(f(X).numpy(), body(pn.tensor(X)).numpy())


@native_only
def test_a_value_that_is_returned_or_read_twice_ends_a_chain():
    def body(x):
        middle = pn.tanh(x)
        return middle, pn.exp(middle) * 2.0

    names, made, f = fused(body, X)
    assert names == ["tanh", "elementwise_chain"] and made == {"elementwise_chain": ["exp", "multiply"]}
    for a, b in zip(f(X), body(pn.tensor(X)), strict=True):
        same(a.numpy(), b.numpy())


@native_only
def test_chains_have_a_longest_length():
    def body(x):
        for _ in range(2 * MAX_CHAIN):
            x = pn.sin(x)
        return x

    f = pn.function(body)
    lengths = [len(n.members) for n in f.program(X).nodes]
    assert sum(lengths) == 2 * MAX_CHAIN and max(lengths) == MAX_CHAIN
    same(f(X).numpy(), body(pn.tensor(X)).numpy())


@native_only
def test_comparisons_and_what_they_choose_are_one_chain():
    def body(x):
        error = pn.abs(x - 0.5)
        return pn.where(error < 1.0, 0.5 * error**2, error - 0.5)

    names, made, f = fused(body, X)
    assert names == ["elementwise_chain"]  # `error` has three readers, all of them in the chain
    assert made["elementwise_chain"] == ["subtract", "abs", "less", "square", "multiply", "subtract", "where"]
    same(f(X).numpy(), body(pn.tensor(X)).numpy())
    gradient = pn.function(lambda x: pn.grad(lambda t: body(t).sum())(x))
    same(gradient(X).numpy(), pn.grad(lambda t: body(t).sum())(pn.tensor(X)).numpy())


@native_only
def test_masks_are_cast_within_a_chain_and_may_be_its_result():
    names, made, f = fused(lambda x: x * pn.cast(pn.logical_and(x > -0.5, x < 0.5), "float32"), X)
    assert names == ["elementwise_chain"] and made["elementwise_chain"] == ["greater", "less", "logical_and", "cast", "multiply"]
    same(f(X).numpy(), np.where((X > -0.5) & (X < 0.5), X, X * 0))
    names, made, f = fused(lambda x: pn.logical_not(pn.tanh(x) > 0.25), X)
    assert names == ["elementwise_chain"] and f(X).dtype == bool
    np.testing.assert_array_equal(f(X).numpy(), ~((pn.tanh(X) > 0.25).numpy()))


@native_only
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_integers_come_into_a_chain_by_a_cast(dtype):
    labels = (np.arange(X.size).reshape(X.shape) % 3).astype(dtype)

    def body(x, labels):
        return (x - pn.cast(labels, "float32")) ** 2

    names, made, f = fused(body, X, labels)
    assert names == ["elementwise_chain"] and made["elementwise_chain"] == ["cast", "subtract", "square"]
    same(f(X, labels).numpy(), body(pn.tensor(X), pn.tensor(labels)).numpy())


@native_only
def test_casts_of_integers_alone_keep_their_rounding():
    a, b = np.array([2**24, 7]), np.array([2**24 + 1, 8])  # the first pair is equal in float32
    f = pn.function(lambda a, b: pn.cast(a, "float32") == pn.cast(b, "float32"))
    np.testing.assert_array_equal(f(a, b).numpy(), [True, False])


@native_only
def test_what_follows_casts_of_integers_alone_is_a_chain():
    counts = np.arange(12).reshape(3, 4)
    names, made, f = fused(lambda x: pn.tanh(pn.square(pn.cast(x, "float32"))), counts)
    assert names == ["cast", "elementwise_chain"] and made == {"elementwise_chain": ["square", "tanh"]}
    same(f(counts).numpy(), pn.tanh(pn.square(pn.cast(counts, "float32"))).numpy())


@native_only
def test_a_chain_has_one_float_type_and_one_shape():
    row = X[0]

    def body(x, row):
        wide = pn.cast(pn.exp(row), "float64")
        return pn.where(wide > 1.0, wide, 0.5) * 2.0, x * pn.tanh(row)

    names, _, f = fused(body, X, row)
    assert names.count("elementwise_chain") == 1 and {"exp", "cast", "tanh", "multiply"} <= set(names)
    for a, b in zip(f(X, row), body(pn.tensor(X), pn.tensor(row)), strict=True):
        same(a.numpy(), b.numpy())
