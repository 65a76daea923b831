"""Recurrent layers against steps in NumPy: what they give, from which states, in which direction, and under masks."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

UNITS = 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 4)).astype(np.float32)
MASK = np.array([[False, True, True, False, True], [True, True, False, False, False]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def simple_step(x, states, kernel, recurrent, bias):
    h = np.tanh(x @ kernel + states[0] @ recurrent + bias)
    return [h]


def gru_step(x, states, kernel, recurrent, bias, reset_after=True):
    h = states[0]
    given, kept = (bias if reset_after else (bias, np.zeros_like(bias)))
    (xz, xr, xh), (hz, hr, hh) = np.split(x @ kernel + given, 3, -1), np.split(h @ recurrent + kept, 3, -1)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    inner = r * hh if reset_after else (r * h) @ recurrent[:, 2 * UNITS :]
    return [z * h + (1 - z) * np.tanh(xh + inner)]


def lstm_step(x, states, kernel, recurrent, bias):
    h, c = states
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def unrolled(step, x, states, weights, mask=None, backwards=False, zeros=False, **words):
    """(outputs, states): a masked step leaves the states as they are, and its output is the first of them, or zero."""
    outputs, order = [], range(x.shape[1])
    for t in reversed(order) if backwards else order:
        new = step(x[:, t], states, *weights, **words)
        counts = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        states = [np.where(counts, n, s) for n, s in zip(new, states, strict=True)]
        outputs.append(np.where(counts, new[0], 0) if zeros else states[0])
    return np.stack(outputs, 1), states


KINDS = {
    "SimpleRNN": (L.SimpleRNN, simple_step, 1, {}),
    "GRU": (L.GRU, gru_step, 1, {}),
    "GRU, reset before": (L.GRU, gru_step, 1, {"reset_after": False}),
    "LSTM": (L.LSTM, lstm_step, 2, {}),
}


def made(kind, **options):
    """(layer, its weights, the same in NumPy, number of states); the weights are drawn by chance."""
    cls, step, count, words = KINDS[kind]
    layer = cls(UNITS, **words, **options)
    layer.build((2, 5, 4))
    weights = [RNG.normal(size=w.shape).astype(np.float32) for w in layer.weights]
    layer.set_weights(weights)
    return layer, weights, lambda x, states, **more: unrolled(step, x, states, weights, **words, **more), count


def close(got, wanted):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_states(kind, backwards, masked):
    layer, _, run, count = made(kind, go_backwards=backwards, return_sequences=True, return_state=True)
    starts, mask = [RNG.normal(size=(2, UNITS)).astype(np.float32) for _ in range(count)], MASK if masked else None
    for states in (starts, None):
        y, *last = layer(X, initial_state=states, mask=mask)
        outputs, wanted = run(X, states or [np.zeros((2, UNITS))] * count, mask=mask, backwards=backwards)
        close(y, outputs)
        for got, state in zip(last, wanted, strict=True):
            close(got, state)
    assert layer.compute_output_shape((2, 5, 4)) == [(2, 5, UNITS)] + [(2, UNITS)] * count


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_output_is_that_of_the_last_step_that_counts(kind):
    layer, weights, run, count = made(kind)
    y = layer(X, mask=MASK)
    close(y, run(X, [np.zeros((2, UNITS))] * count, mask=MASK)[1][0])
    assert y.mask is None and layer.compute_output_shape((2, 5, 4)) == (2, UNITS)
    cls = {"SimpleRNN": L.SimpleRNNCell, "LSTM": L.LSTMCell}.get(kind, L.GRUCell)
    cell = cls(UNITS, **KINDS[kind][3])
    cell.build((2, 4))
    cell.set_weights(weights)
    close(L.RNN(cell)(X, mask=MASK), y)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_outputs_may_be_zero(kind):
    layer, _, run, count = made(kind, return_sequences=True, zero_output_for_mask=True)
    y = layer(X, mask=MASK)
    close(y, run(X, [np.zeros((2, UNITS))] * count, mask=MASK, zeros=True)[0])
    np.testing.assert_array_equal(y.mask, MASK)


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_kept_from_batch_to_batch(kind):
    layer, _, run, count = made(kind, stateful=True, return_sequences=True)
    states = [np.zeros((2, UNITS))] * count
    for x in (X, X[:, ::-1], X):
        outputs, states = run(x, states)
        close(layer(np.ascontiguousarray(x)), outputs)
    layer.reset_state()
    close(layer(X), run(X, [np.zeros((2, UNITS))] * count)[0])


MERGED = {
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
    None: lambda a, b: (a, b),
}


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mode", MERGED)
@pytest.mark.parametrize("kind", KINDS)
def test_both_ways(kind, mode, sequences):
    layer, _, _, count = made(kind, return_sequences=sequences)
    both = L.Bidirectional(layer, mode)
    both.build((2, 5, 4))
    weights = [RNG.normal(size=w.shape).astype(np.float32) for w in both.weights]
    both.set_weights(weights)
    _, step, _, words = KINDS[kind]
    starts, half = [np.zeros((2, UNITS))] * count, len(weights) // 2
    there = unrolled(step, X, starts, weights[:half], mask=MASK, zeros=True, **words)
    back = unrolled(step, X, starts, weights[half:], mask=MASK, zeros=True, backwards=True, **words)
    wanted = MERGED[mode](there[0], back[0][:, ::-1]) if sequences else MERGED[mode](there[1][0], back[1][0])
    got = both(X, mask=MASK)
    for y, value in zip(*((got, wanted) if mode is None else ([got], [wanted])), strict=True):
        close(y, value)
        assert (y.mask is not None) == sequences


LAYERS = {
    "GRU": (lambda **options: L.GRU(2, **options), (3, 4), [(2,)]),
    "LSTM": (lambda **options: L.LSTM(2, **options), (3, 4), [(2,), (2,)]),
    "RNN of a cell": (lambda **options: L.RNN(L.LSTMCell(2), **options), (3, 4), [(2,), (2,)]),
    "RNN of two cells": (lambda **options: L.RNN([L.GRUCell(2), L.GRUCell(3)], **options), (3, 4), [(2,), (3,)]),
    "ConvLSTM2D": (lambda **options: L.ConvLSTM2D(2, 2, **options), (3, 4, 4, 1), [(3, 3, 2), (3, 3, 2)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_states_that_do_not_fit_are_refused(name):
    make, shape, states = LAYERS[name]
    x, label = np.ones((2, *shape), np.float32), rf"\[{type(make()).__name__} .*\]"
    layer = make(stateful=True)
    layer(x)
    for batch in (1, 3):
        with pytest.raises(ValueError, match=rf"{label} a stateful layer keeps its batch size. Received: a batch of {batch}, built for 2"):
            layer(np.ones((batch, *shape)))
    with pytest.raises(ValueError, match=rf"{label} a stateful layer needs to know the batch size. Received: .*batch_input_shape=\(batch"):
        make(stateful=True)(pn.Input(shape))
    for count in (len(states) - 1, len(states) + 1):
        with pytest.raises(ValueError, match=rf"{label} has {len(states)} states. Received: {count} initial states"):
            make()(x, initial_state=[np.ones((2, *states[0]))] * count)


@pytest.mark.parametrize("name", LAYERS)
def test_states_may_come_in_any_float_dtype(name):
    make, shape, states = LAYERS[name]
    layer, x = make(), RNG.normal(size=(2, *shape)).astype(np.float32)
    given = [RNG.normal(size=(2, *state)) for state in states]
    wanted = layer(x, initial_state=[s.astype(np.float32) for s in given])
    assert wanted.dtype == np.float32
    np.testing.assert_array_equal(layer(x, initial_state=given).numpy(), wanted.numpy())
    np.testing.assert_array_equal(layer([x, *given]).numpy(), wanted.numpy())


def test_a_cell_says_what_it_lacks():
    with pytest.raises(TypeError, match=r"\[RNN\] a cell must be a layer with `state_size`"):
        L.RNN(L.Dense(3))


def convolved(x, kernel):
    """A sum of products over the windows of (batch, height, width, channels)."""
    kh, kw = kernel.shape[:2]
    rows, columns = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    parts = [x[:, i : i + rows, j : j + columns] @ kernel[i, j] for i in range(kh) for j in range(kw)]
    return np.sum(parts, axis=0)


def conv_lstm_step(x, states, kernel, recurrent, bias):
    h, c = states
    i, f, g, o = np.split(convolved(x, kernel) + bias + convolved(np.pad(h, [(0, 0), (0, 1), (0, 1), (0, 0)]), recurrent), 4, -1)
    i, f, o = (sigmoid(z) for z in (i, f, o))
    c = f * c + i * np.tanh(g)
    return [o * np.tanh(c), c]


FILMS = RNG.normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
FILM_MASK = np.array([[True, False, True], [False, True, True]])


@pytest.mark.parametrize("words", [{}, {"go_backwards": True}, {"data_format": "channels_first"}, {"mask": FILM_MASK}, {"given": True}],
                         ids=["plain", "backwards", "channels first", "masked", "from given states"])  # fmt: skip
def test_convolutions_as_recurrences(words):
    options = {k: v for k, v in words.items() if k in ("go_backwards", "data_format")}
    layer, films = L.ConvLSTM2D(2, 2, recurrent_activation="sigmoid", return_sequences=True, return_state=True, **options), FILMS
    channels = "data_format" in words
    given = np.moveaxis(films, -1, 2) if channels else films
    layer.build(given.shape)
    weights = [RNG.normal(size=w.shape).astype(np.float32) * 0.5 for w in layer.weights]
    layer.set_weights(weights)
    states = [RNG.normal(size=(2, 3, 4, 2)).astype(np.float32) if "given" in words else np.zeros((2, 3, 4, 2)) for _ in range(2)]
    mask, order, outputs = words.get("mask"), range(3), []
    y, h, c = layer(given, initial_state=states if "given" in words else None, mask=mask)
    for t in reversed(order) if words.get("go_backwards") else order:
        new = conv_lstm_step(films[:, t], states, *weights)
        counts = np.ones((2, 1, 1, 1), bool) if mask is None else mask[:, t].reshape(-1, 1, 1, 1)
        states = [np.where(counts, n, s) for n, s in zip(new, states, strict=True)]
        outputs.append(states[0])
    wanted = np.stack(outputs, 1)
    close(y, np.moveaxis(wanted, -1, 2) if channels else wanted)
    close(h, np.moveaxis(states[0], -1, 1) if channels else states[0]), close(c, np.moveaxis(states[1], -1, 1) if channels else states[1])
    assert layer.compute_output_shape(given.shape) == [y.shape, h.shape, c.shape]


def test_states_of_convolutions_are_kept_and_reset():
    layer = L.ConvLSTM2D(2, 2, stateful=True, return_sequences=True)
    whole = np.concatenate([FILMS, FILMS[:, ::-1]], 1)
    parts = [layer(FILMS), layer(np.ascontiguousarray(FILMS[:, ::-1]))]
    layer.reset_state()
    again = layer(FILMS)
    close(again, parts[0])
    layer.reset_state()
    close(layer(whole), np.concatenate(parts, 1))


def test_states_of_a_convolutional_lstm_have_the_format_of_its_outputs():
    words = dict(filters=3, kernel_size=2, padding="same", return_state=True)
    last, first = (pn.layers.ConvLSTM2D(data_format=f, **words) for f in ("channels_last", "channels_first"))
    x = np.random.default_rng(0).normal(size=(2, 2, 4, 5, 1)).astype(np.float32)
    state = np.random.default_rng(1).normal(size=(2, 4, 5, 3)).astype(np.float32)
    expected = last(x, initial_state=[state, -state])
    moved = np.moveaxis(state, -1, 1)
    first.build((2, 2, 1, 4, 5))
    first.set_weights(last.get_weights())
    found = first(np.moveaxis(x, -1, 2), initial_state=[moved, -moved])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), np.moveaxis(b.numpy(), -1, 1), rtol=1e-6)
