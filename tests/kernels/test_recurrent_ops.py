"""The public recurrent functions: derivatives to the second order, the step-by-step form, masks, and functions as activations."""

from __future__ import annotations

import numpy as np
import pytest
from op_checks import check_gradients

import pynn as pn
from pynn.engine import kernels
from pynn.engine.apply import apply
from pynn.ops.recurrent_gru import GRU
from pynn.ops.recurrent_lstm import LSTM
from pynn.ops.recurrent_simple import SIMPLE_RNN
from pynn.ops.recurrent_steps import gru_steps, lstm_steps, simple_rnn_steps

STEPS = {SIMPLE_RNN: simple_rnn_steps, LSTM: lstm_steps, GRU: gru_steps}
PUBLIC = {"simple_rnn": (pn.simple_rnn, 1), "lstm": (pn.lstm, 4), "gru": (pn.gru, 3)}


def weights(gates, features=4, units=6, seed=0):
    """kernel and recurrent_kernel."""
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.4, size=(features, gates * units)), rng.normal(scale=0.4, size=(units, gates * units))


def sequences(batch=3, steps=5, features=4, seed=1):
    """x and a mask in which every row has steps that count and steps that don't."""
    rng = np.random.default_rng(seed)
    mask = np.array([[True, True, False, True, False], [False, True, True, True, True], [True, False, False, False, True]])
    return rng.normal(size=(batch, steps, features)), mask


@pytest.mark.parametrize("op", STEPS, ids=lambda op: op.name)
def test_derivatives_to_the_second_order(op):
    check_gradients(op)


@pytest.mark.skipif(not kernels.native_enabled(), reason="bits are promised for the native kernels")
@pytest.mark.parametrize("op", STEPS, ids=lambda op: op.name)
def test_the_op_equals_its_steps_bit_for_bit(op):
    compared = 0
    for sample in op.samples():
        attrs = dict(op.complete(sample.attrs))
        if not attrs.pop("training") or not attrs.pop("return_sequences") or "softsign" in attrs.values():
            continue
        inputs = [None if a is None else pn.tensor(a, None if a.dtype == bool else "float32") for a in sample.inputs]
        for one, other in zip(apply(op, *inputs, **attrs), STEPS[op](*inputs, **attrs), strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
            compared += 1
    assert compared > 8


@pytest.mark.parametrize("cell", PUBLIC)
def test_functions_as_activations_give_what_names_give(cell):
    function, gates = PUBLIC[cell]
    kernel, recurrent_kernel = weights(gates)
    x, mask = sequences()
    functions = {"activation": lambda z: pn.tanh(z)}
    if cell != "simple_rnn":
        functions["recurrent_activation"] = lambda z: pn.sigmoid(z)

    def cost(recurrent_kernel, **attrs):
        return pn.sum(function(x, kernel, recurrent_kernel, mask=mask, go_backwards=True, **attrs)[0] ** 2)

    named = pn.value_and_grad(cost)(recurrent_kernel)
    stepped = pn.value_and_grad(lambda w: cost(w, **functions))(recurrent_kernel)
    for one, other in zip(named, stepped, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", PUBLIC)
def test_a_recurrent_mask_of_zeros_leaves_no_memory(cell):
    function, gates = PUBLIC[cell]
    kernel, recurrent_kernel = weights(gates)
    x, _ = sequences()
    forgetful = function(x, kernel, recurrent_kernel, recurrent_mask=np.zeros((3, 6)))[0].numpy()
    if cell == "lstm":  # c is no part of what the mask drops
        assert not np.allclose(forgetful[:, 1], function(x[:, 1:2], kernel, recurrent_kernel)[1].numpy())
        return
    for step in range(5):
        alone = function(x[:, step : step + 1], kernel, recurrent_kernel)[1].numpy()
        np.testing.assert_allclose(forgetful[:, step], alone, rtol=1e-12)


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("cell", PUBLIC)
def test_masked_outputs_repeat_or_are_zero(cell, go_backwards):
    function, gates = PUBLIC[cell]
    x, mask = sequences()
    repeated = function(x, *weights(gates), mask=mask, go_backwards=go_backwards)[0].numpy()
    zeroed, last, *_ = function(x, *weights(gates), mask=mask, go_backwards=go_backwards, zero_output_for_mask=True)
    in_order = mask[:, ::-1] if go_backwards else mask
    np.testing.assert_array_equal(zeroed.numpy(), np.where(in_order[:, :, None], repeated, 0))
    np.testing.assert_array_equal(last.numpy(), repeated[:, -1])
    for row, step in zip(*np.nonzero(~in_order[:, 1:]), strict=True):
        np.testing.assert_array_equal(repeated[row, step + 1], repeated[row, step])


def test_without_return_sequences_there_is_no_sequence():
    x, _ = sequences()
    sequence, h, c = pn.lstm(x, *weights(4), return_sequences=False)
    assert sequence is None
    assert h.shape == c.shape == (3, 6)
    assert pn.gru(x, *weights(3), return_sequences=False)[0] is None


def test_a_captured_step_gives_the_bits_of_an_eager_one():
    x, mask = (pn.tensor(a, d) for a, d in zip(sequences(), ("float32", "bool"), strict=True))
    kernel, recurrent_kernel = (pn.tensor(w, "float32") for w in weights(3))

    def step(kernel, recurrent_kernel):
        def cost(kernel, recurrent_kernel):
            return pn.sum(pn.gru(x, kernel, recurrent_kernel, mask=mask, return_sequences=False)[1] ** 2)

        return pn.value_and_grads(cost)(kernel, recurrent_kernel)

    value, gradients = step(kernel, recurrent_kernel)
    captured, again = pn.function(step)(kernel, recurrent_kernel)
    assert value.numpy().tobytes() == captured.numpy().tobytes()
    for one, other in zip(gradients, again, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()


def test_steps_are_checked_before_they_run():
    x, _ = sequences()
    with pytest.raises(ValueError, match=r"\[lstm\] expects the axes \(batch, steps, features\), got rank 2"):
        pn.lstm(x[0], *weights(4), activation=pn.tanh)
    with pytest.raises(ValueError, match=r"\[gru\] x has 3 features but the kernel expects 4"):
        pn.gru(x[:, :, :3], *weights(3), recurrent_mask=np.ones((3, 6)))


@pytest.mark.parametrize("activation", ["elu", "selu"])
def test_steps_have_the_gradient_of_the_op_at_zero(activation):
    x, kernel, recurrent = pn.zeros((2, 3, 4)), pn.ones((4, 5)), pn.ones((5, 5))

    def slope(rnn, **absent):
        return pn.grad(lambda x: pn.sum(rnn(x, kernel, recurrent, activation=activation, go_backwards=False, **absent)[0]))(x)

    of_steps = slope(simple_rnn_steps, bias=None, initial_h=None, mask=None)
    np.testing.assert_allclose(of_steps.numpy(), slope(pn.simple_rnn).numpy(), rtol=1e-6)
