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
    mask = np.array([[True, False, True, False], [True] * 4])
    layer = L.RNN(cell(), return_sequences=True, go_backwards=go_backwards)
    repeated = layer(steps(), mask=mask).numpy()
    layer.zero_output_for_mask = True
    shown = mask[:, ::-1] if go_backwards else mask
    assert repeated[0].any(axis=-1).sum() > 2
    np.testing.assert_array_equal(layer(steps(), mask=mask).numpy(), repeated * shown[..., None])
    np.testing.assert_array_equal(layer(steps()).numpy(), L.RNN(layer.cell, True, go_backwards=go_backwards)(steps()).numpy())


def merged_inputs():
    """Three inputs masked at steps of their own."""
    a = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, 3)
    b, c = (f(np.arange(24, dtype=np.float32)).reshape(2, 4, 3) for f in (np.cos, np.sin))
    a[0, 2:] = a[1, 0] = b[0, 1:3] = b[1, 3] = c[0, 2] = c[1, 0] = -9
    return a, b, c


MERGED = {  # for each input whether it is masked: the GRU's two ends, and the sum of the outputs times cos(0), cos(1), ...
    "Add": {
        "mm": (-0.946462, -0.168116, 6.23555), "mu": (-0.94721, -1, 23.0829), "um": (-1, -0.3344, -9.16196),
        "mmm": (-0.993641, -0.309023, 6.54389), "mum": (-0.993922, -1, 23.3912), "umm": (-1, -0.373341, -8.85362),
    },
    "Subtract": {
        "mm": (-0.055848, -0.21583, -9.17166), "mu": (-0.05009, -0.379308, -26.019), "um": (-1, -0.220817, -24.5692),
    },
    "Multiply": {
        "mm": (-0.946308, 0.088803, 2.35603), "mu": (-0.94721, -1, -2.75492), "um": (-0.999998, 0.028728, -42.6458),
        "mmm": (0.216135, 0.155981, 1.1727), "mum": (-0.281507, 0.310566, -13.0925), "umm": (-0.69382, -0.249676, -28.0778),
    },
    "Average": {
        "mm": (-0.761277, 0.25075, 3.11778), "mu": (-0.766242, -0.999992, 11.5414), "um": (-1, 0.096044, -4.58098),
        "mmm": (-0.776556, 0.296561, 2.1813), "mum": (-0.795439, -0.999538, 7.79707), "umm": (-1, 0.176134, -2.95121),
    },
    "Maximum": {
        "mm": (-0.939859, 0.331627, 4.63058), "mu": (-0.94721, 0.331627, -9.48657), "um": (-0.94721, 0.331627, -9.48657),
        "mmm": (-0.40224, 0.303377, 1.7194), "mum": (-0.399379, 0.303377, -12.3978), "umm": (-0.399379, 0.303377, -12.3978),
    },
    "Minimum": {
        "mm": (-0.946553, 0.000623, 3.79281), "mu": (-0.94721, -1, 21.5407), "um": (-1, 0.039838, -14.6932),
        "mmm": (-0.99208, -0.325232, 4.47375), "mum": (-0.992204, -1, 20.3594), "umm": (-1, -0.32153, -14.0078),
    },
    "Concatenate": {
        "mm": (-0.946462, -0.168116, -0.31842), "mu": (-0.94721, -1, 41.4189), "um": (-1, -0.3344, -54.3854),
        "mmm": (-0.993641, -0.309023, 4.35456), "mum": (-0.993922, -1, 15.7824), "umm": (-1, -0.373341, -10.4669),
    },
    "Concatenate1": {
        "mm": (-0.785603, -0.181663, 3.36643), "mu": (-0.94721, -1, 10.8778), "um": (-0.778226, -0.184618, -13.5994),
        "mmm": (-0.840093, -0.169075, 8.68082), "mum": (-0.839305, -0.189688, 5.86778), "umm": (-0.840109, -0.169489, -4.05707),
    },
}  # fmt: skip


@pytest.mark.parametrize("name, which", [(name, which) for name in MERGED for which in MERGED[name]])
def test_masks_of_merged_inputs(name, which):
    layer = L.Concatenate(axis=1) if name == "Concatenate1" else getattr(L, name)()
    inputs = [L.Masking(-9.0)(t) if masked == "m" else pn.tensor(t) for masked, t in zip(which, merged_inputs(), strict=False)]
    merged = layer(inputs)
    end = L.GRU(2, kernel_initializer="ones", recurrent_initializer="ones")(merged)
    first, second, total = MERGED[name][which]
    np.testing.assert_allclose(end.numpy(), [[first] * 2, [second] * 2], atol=2e-6)
    assert float((merged.numpy().ravel() * np.cos(np.arange(merged.size))).sum()) == pytest.approx(total, abs=2e-4)


def test_merging_masks_of_inputs_with_fewer_axes():
    long, short = np.ones((2, 4, 3), np.float32), np.full((2, 3), 5, np.float32)
    for cls in (L.Multiply, L.Maximum, L.Add):
        assert cls()([pn.tensor(long), pn.tensor(short)], mask=[MASK, None]).mask is None
    np.testing.assert_array_equal(L.Minimum()([long, short], mask=[MASK, None]).numpy()[..., 0], np.where(MASK, 1, 5))


def test_dot_has_no_mask():
    x = L.Masking(-9.0)(steps())
    assert L.Dot(axes=1)([x, x]).mask is None


def test_a_metric_of_one_number_is_no_matter_of_masks():
    def whole(y, p):
        return pn.mean(pn.abs(y - p))

    model = pn.Sequential([pn.Input((4,)), pn.layers.Embedding(5, 3, mask_zero=True), pn.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[whole, "mae"])
    x = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    results = model.evaluate(x, np.ones((2, 4, 1), np.float32), return_dict=True)
    assert results["whole"] == pytest.approx(float(np.abs(1 - model.predict(x)).mean()), rel=1e-5)
    assert results["mae"] == pytest.approx(float(np.abs(1 - model.predict(x))[x > 0].mean()), rel=1e-5)


def test_a_loss_of_one_number_is_no_matter_of_masks():
    x, y = np.array([[1, 2, 0, 0], [3, 0, 0, 0]]), np.ones((2, 4, 1), np.float32)
    model = pn.Sequential([pn.Input((4,)), pn.layers.Embedding(5, 3, mask_zero=True), pn.layers.Dense(1)])
    model.compile("sgd", lambda y, p: pn.mean(pn.abs(y - p)))
    assert model.evaluate(x, y) == pytest.approx(float(np.abs(1 - model.predict(x)).mean()), rel=1e-5)
    with pytest.raises(ValueError, match=r"weights don't broadcast.*\(2,\), for values of shape \(\). Let the function give a value"):
        model.evaluate(x, y, sample_weight=np.ones(2))
    model.compile("sgd", lambda y, p: pn.mean(pn.abs(y - p), axis=(1, 2)))
    with pytest.raises(ValueError, match=r"a mask over more axes.*mask.shape=\(2, 4\), for values of shape \(2,\). Let it give"):
        model.fit(x, y, verbose=0)


def test_softmax_under_a_mask_that_broadcasts():
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    causal = np.tril(np.ones((4, 4), bool))
    expected = L.Softmax()(scores, mask=np.broadcast_to(causal, scores.shape)).numpy()
    assert (expected[..., ~causal] == 0).all()
    for mask in (causal, causal[None, None], causal.astype(np.float32)):
        np.testing.assert_array_equal(L.Softmax()(scores, mask=mask).numpy(), expected)
        np.testing.assert_array_equal(L.Softmax()(scores, pn.tensor(mask)).numpy(), expected)
    steps_only = L.Masking(-9.0)(steps())  # its mask says something of steps, not of the numbers in them
    np.testing.assert_array_equal(L.Softmax()(steps_only).numpy(), L.Softmax()(steps_only.numpy()).numpy())
    with pytest.raises(ValueError, match=r"Softmax.*the mask must have the input's shape or broadcast to it.*\(2, 4\)"):
        L.Softmax()(scores, mask=np.ones((2, 4), bool))


def test_the_steps_of_a_step_have_masks_of_their_own():
    ids = np.array([[[1, 2, 0], [3, 0, 0]], [[4, 5, 6], [0, 0, 0]]])  # (document, sentence, word)
    embedding, words, sentences = L.Embedding(7, 4, mask_zero=True), L.LSTM(3), L.LSTM(2)
    x = embedding(ids)
    y = L.TimeDistributed(words)(x)
    np.testing.assert_allclose(y.numpy(), np.stack([words(embedding(document)).numpy() for document in ids]), atol=1e-7)
    np.testing.assert_array_equal(y.mask.numpy(), [[True, True], [True, False]])
    np.testing.assert_allclose(sentences(y).numpy()[1], sentences(y.numpy()[1:, :1]).numpy()[0], atol=1e-7)
    each = L.TimeDistributed(L.LSTM(3, return_sequences=True))(x)
    np.testing.assert_array_equal(each.mask.numpy(), ids > 0)
    model = pn.Sequential([pn.Input((2, 3)), embedding, L.TimeDistributed(words), sentences, L.Dense(1)])
    model.compile("sgd", "mse")
    longer = np.pad(ids, [(0, 0), (0, 1), (0, 2)])  # more padding changes nothing
    np.testing.assert_allclose(model.predict(ids), model.predict(longer), rtol=1e-6)
    model.fit(ids, np.ones((2, 1)), verbose=0)


class Present(pn.Layer):
    """Makes a mask, as layers do in Keras, without being told to elsewhere."""

    def call(self, x):
        return x

    def compute_mask(self, x, mask=None):
        return pn.any(pn.not_equal(x, 0.0), axis=-1)


def test_masks_of_the_users_own():
    x = steps()
    x[0, 2:] = 0
    lstm = L.LSTM(2)
    expected = lstm(x, mask=MASK).numpy()
    np.testing.assert_array_equal(lstm(Present()(x)).numpy(), expected)
    inputs = pn.Input((4, 3))
    np.testing.assert_array_equal(pn.Model(inputs, lstm(Present()(inputs))).predict(x), expected)
