"""What layers do with masks, against numbers of Keras 3."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

MASK = np.array([[True, True, False, False], [True] * 4])


def steps():
    """Twenty-four numbers in which the first example ends after two steps."""
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    x[0, 2:] = -9
    return x


def test_batch_normalization_counts_what_is_not_masked():
    model = pn.Sequential([pn.Input((4, 3)), L.Masking(-9.0), L.BatchNormalization(momentum=0.0)])
    model.compile(pn.optimizers.SGD(0.0), "mse")
    model.fit(steps(), np.zeros((2, 4, 3)), verbose=0)
    np.testing.assert_allclose(model.layers[-1].moving_mean.numpy(), [11.5, 12.5, 13.5], rtol=1e-5)
    np.testing.assert_allclose(model.layers[-1].moving_variance.numpy(), [58.25] * 3, rtol=1e-5)


def test_masked_batch_normalization_and_its_gradient():
    layer, x = L.BatchNormalization(), pn.Variable(steps())
    y = layer(x.value, training=True, mask=MASK).numpy()
    np.testing.assert_allclose(y[0, :, 0], [-1.5067672, -1.1136975, -2.685976, -2.685976], rtol=1e-5)
    np.testing.assert_allclose(y[1, :, 2], [0.0655116, 0.4585812, 0.851651, 1.2447207], rtol=1e-4)
    slope = pn.grad(lambda t: (layer(t, training=True, mask=MASK) ** 3).sum())(steps()).numpy()
    np.testing.assert_allclose(slope[0, :, 0], [-4.48468, -3.8359623, 2.8357885, 2.8357885], rtol=1e-4)
    np.testing.assert_allclose(slope[1, :, 2], [-1.3008928, 0.1551877, 1.7327298, 3.4317336], rtol=1e-4)


def test_a_full_mask_changes_no_statistics():
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    for axis in (-1, 1):
        plain, masked = L.BatchNormalization(axis=axis), L.BatchNormalization(axis=axis)
        np.testing.assert_allclose(plain(x, training=True).numpy(), masked(x, training=True, mask=np.ones((2, 4))).numpy(), atol=1e-5)
        np.testing.assert_allclose(plain.moving_variance.numpy(), masked.moving_variance.numpy(), rtol=1e-5)


@pytest.mark.parametrize("merge_mode, ends, last", [
    ("concat", [[-0.9314831, -0.9314831, -0.990225, -0.990225], [-0.9630872, -0.9630872, -0.8418313, -0.8418313]],
     [0.3602368, 0.3602368, 0.0601986, 0.0601986]),
    ("sum", [[-1.9217081] * 2, [-1.8049185] * 2], [0.4204353] * 2),
])  # fmt: skip
@pytest.mark.parametrize("cell", [False, True])
def test_both_ways_are_zero_at_masked_steps(cell, merge_mode, ends, last):
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, 3)
    x[0, 2:] = -9
    ones = dict(kernel_initializer="ones", recurrent_initializer="ones")
    layer = L.RNN(L.GRUCell(2, **ones), return_sequences=True) if cell else L.GRU(2, return_sequences=True, **ones)
    y = L.Bidirectional(layer, merge_mode=merge_mode)(L.Masking(-9.0)(x)).numpy()
    np.testing.assert_allclose(y[0], [*ends, *np.zeros((2, len(last)))], rtol=1e-5)
    np.testing.assert_allclose(y[1, 3], last, rtol=1e-5)


class Plain(L.Layer):
    """A cell of a user: h = tanh(x + h)."""

    state_size = 3

    def call(self, x, states):
        h = pn.tanh(x + states[0])
        return h, [h]


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("cell", [Plain, lambda: [L.GRUCell(2, name="one"), L.GRUCell(3, name="two")]])
def test_cells_give_zeros_at_masked_steps_if_asked_to(cell, go_backwards):
    layer = L.RNN(cell(), return_sequences=True, go_backwards=go_backwards)
    repeated = layer(steps(), mask=MASK).numpy()
    layer.zero_output_for_mask = True
    shown = MASK[:, ::-1] if go_backwards else MASK
    np.testing.assert_array_equal(layer(steps(), mask=MASK).numpy(), repeated * shown[..., None])
    np.testing.assert_array_equal(layer(steps()).numpy(), L.RNN(layer.cell, True, go_backwards=go_backwards)(steps()).numpy())
