"""What layers compute, against formulas in NumPy; recurrent ones have files of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

RNG = np.random.default_rng(0)
ROWS, STEPS, IMAGES, VOLUMES = (RNG.normal(size=shape).astype(np.float32) for shape in ((3, 4), (2, 5, 4), (2, 5, 6, 4), (2, 3, 4, 5, 2)))
OTHER = RNG.normal(size=(2, 5, 4)).astype(np.float32)
IDS = np.array([[0, 2, 2], [1, 0, 1]])
MASK = np.array([[True, True, False, False, False], [True, False, True, True, False]])


def first(x):
    """Channels where "channels_first" has them."""
    return np.moveaxis(x, -1, 1)


def windows(x, size, strides, reduce):
    """A value for each window of (batch, ..., channels)."""
    lengths = x.shape[1:-1]
    counts = [(n - k) // s + 1 for n, k, s in zip(lengths, size, strides, strict=True)]
    y = np.empty((len(x), *counts, x.shape[-1]), x.dtype)
    for place in np.ndindex(*counts):
        cut = tuple(slice(p * s, p * s + k) for p, s, k in zip(place, strides, size, strict=True))
        y[(slice(None), *place)] = reduce(x[(slice(None), *cut)], axis=tuple(range(1, 1 + len(size))))
    return y


def unit(x, axis=-1):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def normal_form(x, axes, epsilon=1e-3):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def grouped(x, groups):
    parts = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    return normal_form(parts, (1, 3)).reshape(x.shape)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


CASES = {
    # elementwise
    "Rescaling": (L.Rescaling(2.0), ROWS, 2 * ROWS),
    "Rescaling with an offset": (L.Rescaling(2.0, -0.5), ROWS, 2 * ROWS - 0.5),
    "Rescaling by channels": (L.Rescaling([1.0, 2, 3, 4], [0.0, 1, 0, 1]), ROWS, ROWS * [1, 2, 3, 4] + [0, 1, 0, 1]),
    "ReLU": (L.ReLU(), ROWS, np.maximum(ROWS, 0)),
    "ReLU with a ceiling": (L.ReLU(0.5, 0.1, 0.2), ROWS, np.where(ROWS >= 0.2, np.minimum(ROWS, 0.5), 0.1 * (ROWS - 0.2))),
    "LeakyReLU": (L.LeakyReLU(), ROWS, np.where(ROWS > 0, ROWS, 0.3 * ROWS)),
    "ELU": (L.ELU(0.5), ROWS, np.where(ROWS > 0, ROWS, 0.5 * np.expm1(ROWS))),
    "ThresholdedReLU": (L.ThresholdedReLU(0.4), ROWS, np.where(ROWS > 0.4, ROWS, 0)),
    "PReLU": (L.PReLU("ones", shared_axes=[1]), STEPS, STEPS),
    "Softmax": (L.Softmax(1), STEPS, softmax(STEPS, 1)),
    "Identity": (L.Identity(), ROWS, ROWS),
    "Masking": (L.Masking(1.0), np.array([[[1.0, 1], [1, 0]]], np.float32), [[[0, 0], [1, 0]]]),
    "Lambda": (L.Lambda(lambda x, by: x * by, arguments={"by": 3.0}), ROWS, 3 * ROWS),
    # normalisation
    "BatchNormalization": (L.BatchNormalization(), ROWS, ROWS / math.sqrt(1.001)),
    "LayerNormalization": (L.LayerNormalization(), STEPS, normal_form(STEPS, -1)),
    "LayerNormalization over two axes": (L.LayerNormalization([1, 2], epsilon=0.1), STEPS, normal_form(STEPS, (1, 2), 0.1)),
    "LayerNormalization over the steps": (L.LayerNormalization(1), STEPS, normal_form(STEPS, 1)),
    "GroupNormalization": (L.GroupNormalization(2), IMAGES, grouped(IMAGES, 2)),
    "GroupNormalization by channels": (L.GroupNormalization(-1), IMAGES, grouped(IMAGES, 4)),
    "UnitNormalization": (L.UnitNormalization(), ROWS, unit(ROWS)),
    "UnitNormalization over the steps": (L.UnitNormalization(1), STEPS, unit(STEPS, 1)),
    "Normalization": (L.Normalization(mean=[0, 1, 2, 3], variance=[4, 4, 1, 1]), ROWS, (ROWS - [0, 1, 2, 3]) / [2, 2, 1, 1]),
    "Normalization of all": (L.Normalization(None, mean=1.0, variance=4.0), ROWS, (ROWS - 1) / 2),
    "Normalization of steps": (L.Normalization(1, mean=range(5), variance=[4] * 5), STEPS, (STEPS - np.arange(5)[:, None]) / 2),
    # several inputs
    "Add": (L.Add(), [STEPS, OTHER, STEPS], STEPS + OTHER + STEPS),
    "Subtract": (L.Subtract(), [STEPS, OTHER], STEPS - OTHER),
    "Multiply": (L.Multiply(), [STEPS, OTHER], STEPS * OTHER),
    "Average": (L.Average(), [STEPS, OTHER, STEPS], (STEPS + OTHER + STEPS) / 3),
    "Maximum": (L.Maximum(), [STEPS, OTHER], np.maximum(STEPS, OTHER)),
    "Minimum": (L.Minimum(), [STEPS, OTHER], np.minimum(STEPS, OTHER)),
    "Add of fewer axes": (L.Add(), [STEPS, OTHER[:, 0]], STEPS + OTHER[:, :1]),
    "Concatenate": (L.Concatenate(), [STEPS, OTHER], np.concatenate([STEPS, OTHER], -1)),
    "Concatenate of steps": (L.Concatenate(1), [STEPS, OTHER], np.concatenate([STEPS, OTHER], 1)),
    "Dot": (L.Dot(-1), [STEPS[:, 0], OTHER[:, 0]], (STEPS * OTHER).sum(-1)[:, :1]),
    "Dot of sequences": (L.Dot((2, 2)), [STEPS, OTHER], np.einsum("bik,bjk->bij", STEPS, OTHER)),
    "Dot over the steps": (L.Dot(1), [STEPS, OTHER], np.einsum("bki,bkj->bij", STEPS, OTHER)),
    "Dot normalized": (L.Dot(2, normalize=True), [STEPS, OTHER], np.einsum("bik,bjk->bij", unit(STEPS), unit(OTHER))),
    # shapes
    "Flatten": (L.Flatten(), IMAGES, IMAGES.reshape(2, -1)),
    "Flatten channels first": (L.Flatten("channels_first"), first(IMAGES), IMAGES.reshape(2, -1)),
    "Reshape": (L.Reshape((-1, 2)), STEPS, STEPS.reshape(2, 10, 2)),
    "Permute": (L.Permute((2, 1)), STEPS, STEPS.transpose(0, 2, 1)),
    "RepeatVector": (L.RepeatVector(3), ROWS, np.repeat(ROWS[:, None], 3, 1)),
    "ZeroPadding1D": (L.ZeroPadding1D((1, 2)), STEPS, np.pad(STEPS, [(0, 0), (1, 2), (0, 0)])),
    "ZeroPadding2D": (L.ZeroPadding2D(((1, 0), (2, 3))), IMAGES, np.pad(IMAGES, [(0, 0), (1, 0), (2, 3), (0, 0)])),
    "ZeroPadding2D by axis": (L.ZeroPadding2D((1, 2)), IMAGES, np.pad(IMAGES, [(0, 0), (1, 1), (2, 2), (0, 0)])),
    "Cropping1D": (L.Cropping1D((1, 2)), STEPS, STEPS[:, 1:3]),
    "Cropping2D": (L.Cropping2D(((1, 0), (2, 1)), "channels_first"), first(IMAGES), first(IMAGES[:, 1:, 2:5])),
    "CenterCrop": (L.CenterCrop(3, 3), IMAGES, IMAGES[:, 1:4, 1:4]),
    "UpSampling1D": (L.UpSampling1D(3), STEPS, STEPS.repeat(3, 1)),
    "UpSampling2D": (L.UpSampling2D((2, 3), "channels_first"), first(IMAGES), first(IMAGES.repeat(2, 1).repeat(3, 2))),
    "Resizing to half": (L.Resizing(1, 2), IMAGES[:, :2, :4], windows(IMAGES[:, :2, :4], (2, 2), (2, 2), np.mean)),
    "Resizing to twice": (L.Resizing(1, 4), ROWS[:1, None, :2, None],
                          (ROWS[:1, :2] @ [[1, 0.75, 0.25, 0], [0, 0.25, 0.75, 1]])[:, None, :, None]),
    "Resizing by nearest": (L.Resizing(10, 3, "nearest"), IMAGES, IMAGES.repeat(2, 1)[:, :, 1::2]),
    "Resizing what fits": (L.Resizing(4, 4, crop_to_aspect_ratio=True), IMAGES[:, :4], IMAGES[:, :4, 1:5]),
    # pooling
    "MaxPooling1D": (L.MaxPooling1D(2), STEPS, windows(STEPS, (2,), (2,), np.max)),
    "AveragePooling1D": (L.AveragePooling1D(3, 1), STEPS, windows(STEPS, (3,), (1,), np.mean)),
    "MaxPooling2D": (L.MaxPooling2D((2, 3), (1, 2)), IMAGES, windows(IMAGES, (2, 3), (1, 2), np.max)),
    "AveragePooling2D": (L.AveragePooling2D(2, (1, 2)), IMAGES, windows(IMAGES, (2, 2), (1, 2), np.mean)),
    "MaxPooling2D channels first": (L.MaxPooling2D(2, data_format="channels_first"), first(IMAGES),
                                    first(windows(IMAGES, (2, 2), (2, 2), np.max))),
    "MaxPooling3D": (L.MaxPooling3D((1, 2, 2)), VOLUMES, windows(VOLUMES, (1, 2, 2), (1, 2, 2), np.max)),
    "AveragePooling3D": (L.AveragePooling3D(2, (1, 2, 3)), VOLUMES, windows(VOLUMES, (2, 2, 2), (1, 2, 3), np.mean)),
    "GlobalMaxPooling1D": (L.GlobalMaxPooling1D(), STEPS, STEPS.max(1)),
    "GlobalAveragePooling1D": (L.GlobalAveragePooling1D(keepdims=True), STEPS, STEPS.mean(1, keepdims=True)),
    "GlobalMaxPooling2D": (L.GlobalMaxPooling2D("channels_first"), first(IMAGES), IMAGES.max((1, 2))),
    "GlobalAveragePooling2D": (L.GlobalAveragePooling2D(), IMAGES, IMAGES.mean((1, 2))),
    "GlobalMaxPooling3D": (L.GlobalMaxPooling3D(), VOLUMES, VOLUMES.max((1, 2, 3))),
    "GlobalAveragePooling3D": (L.GlobalAveragePooling3D(), VOLUMES, VOLUMES.mean((1, 2, 3))),
    # numbers of classes
    "CategoryEncoding": (L.CategoryEncoding(3), IDS, [[1, 0, 1], [1, 1, 0]]),
    "CategoryEncoding counts": (L.CategoryEncoding(3, "count"), IDS, [[1, 0, 2], [1, 2, 0]]),
    "CategoryEncoding one-hot": (L.CategoryEncoding(3, "one_hot"), IDS[:, :1], [[1, 0, 0], [0, 1, 0]]),
    "CategoryEncoding one-hot of rows": (L.CategoryEncoding(3, "one_hot"), IDS, np.eye(3)[IDS]),
    # layers of layers
    "TimeDistributed": (L.TimeDistributed(L.Rescaling(2.0)), STEPS, 2 * STEPS),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_values(case):
    layer, x, wanted = CASES[case]
    y = layer(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), wanted, rtol=2e-5, atol=2e-6)
    shape = [a.shape for a in x] if isinstance(x, list) else x.shape
    assert tuple(layer.compute_output_shape(shape)) == y.shape


@pytest.mark.parametrize("shapes, wanted", [
    ([(None, 3), (5, 3)], (None, 5, 3)), ([(5, 3), (None, 3)], (None, 5, 3)), ([(None, 1), (None, 3)], (None, None, 3)),
    ([(5, 1), (1, 3)], (None, 5, 3)), ([(3,), (5, 3)], (None, 5, 3)), ([(2, None), (None,)], (None, 2, None)),
])  # fmt: skip
def test_lengths_that_are_not_known_yet(shapes, wanted):
    assert L.Add()([pn.Input(shape) for shape in shapes]).shape == wanted


def test_counts_have_weights():
    counts = L.CategoryEncoding(3, "count")(IDS, count_weights=np.array([[1.0, 2, 3], [4, 5, 6]]))
    np.testing.assert_array_equal(counts, [[1, 0, 5], [5, 10, 0]])


def test_statistics_of_data():
    layer = L.Normalization()
    layer.adapt(STEPS)
    np.testing.assert_allclose(layer(STEPS).numpy(), normal_form(STEPS, (0, 1), 0), rtol=1e-4, atol=1e-5)


def test_means_leave_masked_steps_out():
    wanted = [STEPS[i][MASK[i]].mean(0) for i in range(2)]
    np.testing.assert_allclose(L.GlobalAveragePooling1D()(STEPS, mask=MASK).numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("layer, mean, deviation", [
    (L.GaussianNoise(0.5, seed=1), 2.0, 0.5),
    (L.GaussianDropout(0.2, seed=1), 2.0, 2 * math.sqrt(0.25)),
    (L.Dropout(0.2, seed=1), 2.0, 2 * math.sqrt(0.25)),
])  # fmt: skip
def test_noise_has_the_moments_that_it_says(layer, mean, deviation):
    x = np.full((400, 500), 2.0, np.float32)
    y = layer(x, training=True).numpy().astype(np.float64)
    assert y.mean() == pytest.approx(mean, abs=0.01) and y.std() == pytest.approx(deviation, rel=0.01)
    np.testing.assert_array_equal(layer(x).numpy(), x)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    x = RNG.normal(size=(400, 500)).astype(np.float32)
    y = L.AlphaDropout(rate, seed=1)(x, training=True).numpy().astype(np.float64)
    assert y.mean() == pytest.approx(0, abs=0.01) and y.std() == pytest.approx(1, rel=0.01)
    values, counts = np.unique(y, return_counts=True)
    assert counts.max() / y.size == pytest.approx(rate, abs=0.01)  # what is dropped has one value


@pytest.mark.parametrize("layer, shared", [
    (L.Dropout(0.5, noise_shape=(None, 1, None), seed=1), 1), (L.SpatialDropout1D(0.5, seed=1), 1),
    (L.AlphaDropout(0.5, noise_shape=(None, 1, None), seed=1), 1), (L.SpatialDropout2D(0.5, seed=1), (1, 2)),
    (L.SpatialDropout2D(0.5, "channels_first", seed=1), (2, 3)),
])  # fmt: skip
def test_dropout_is_shared_along_axes(layer, shared):
    x = np.ones((8, 6, 16) if shared == 1 else (8, 6, 5, 6), np.float32)
    y = layer(x, training=True).numpy()
    assert len(np.unique(y)) == 2 and not (y.max(shared) - y.min(shared)).any()


def test_penalties_of_activities():
    layer = L.ActivityRegularization(l1=0.1, l2=0.01)
    np.testing.assert_array_equal(layer(ROWS).numpy(), ROWS)
    assert float(layer.losses[0]) == pytest.approx((0.1 * np.abs(ROWS).sum() + 0.01 * (ROWS**2).sum()) / 3, rel=1e-5)


def test_a_random_width_lies_within_the_factor():
    layer, x = L.RandomWidth(0.5, seed=1), np.ones((1, 3, 20, 1), np.float32)
    widths = {layer(x, training=True).shape[2] for _ in range(50)}
    assert len(widths) > 5 and min(widths) >= 10 and max(widths) <= 30 and layer(x).shape == x.shape
    drawn = [[made(x, training=True).shape[2] for _ in range(5)] for made in (L.RandomWidth(0.5, seed=s) for s in (2, 2, 3))]
    assert drawn[0] == drawn[1] != drawn[2]


def convolved(x, kernel, strides, dilation=1, groups=1):
    """The sum of products over the windows of (batch, ..., channels), for each group of channels."""
    rank, out = x.ndim - 2, kernel.shape[-1]
    spread = [(k - 1) * dilation + 1 for k in kernel.shape[:rank]]
    counts = [(n - k) // strides + 1 for n, k in zip(x.shape[1:-1], spread, strict=True)]
    y = np.zeros((len(x), *counts, out))
    each = kernel.shape[-2]
    for place in np.ndindex(*counts):
        cut = tuple(slice(p * strides, p * strides + k, dilation) for p, k in zip(place, spread, strict=True))
        part = x[(slice(None), *cut)]
        for g in range(groups):
            own = slice(g * out // groups, (g + 1) * out // groups)
            axes = tuple(range(1, rank + 2)), tuple(range(rank + 1))
            y[(slice(None), *place, own)] = np.tensordot(part[..., g * each : (g + 1) * each], kernel[..., own], axes)
    return y


def depthwise(kernel):
    """The same as a kernel of as many groups as channels."""
    return kernel.reshape(*kernel.shape[:-2], 1, -1)


CONVOLUTIONS = {
    "Conv1D": (L.Conv1D(3, 2, dilation_rate=2), STEPS, lambda x, k: convolved(x, k, 1, 2)),
    "Conv1D causal": (L.Conv1D(3, 2, padding="causal"), STEPS, lambda x, k: convolved(np.pad(x, [(0, 0), (1, 0), (0, 0)]), k, 1)),
    "Conv2D": (L.Conv2D(3, (2, 3), strides=2), IMAGES, lambda x, k: convolved(x, k, 2)),
    "Conv2D same": (L.Conv2D(3, 3, padding="same"), IMAGES, lambda x, k: convolved(np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), k, 1)),
    "Conv2D in groups": (L.Conv2D(6, 2, groups=2), IMAGES, lambda x, k: convolved(x, k, 1, groups=2)),
    "Conv2D channels first": (L.Conv2D(3, 2, data_format="channels_first"), first(IMAGES),
                              lambda x, k: first(convolved(np.moveaxis(x, 1, -1), k, 1))),
    "Conv3D": (L.Conv3D(3, 2), VOLUMES, lambda x, k: convolved(x, k, 1)),
    "DepthwiseConv1D": (L.DepthwiseConv1D(2, depth_multiplier=2), STEPS, lambda x, k: convolved(x, depthwise(k), 1, groups=4)),
    "DepthwiseConv2D": (L.DepthwiseConv2D(2, depth_multiplier=2), IMAGES, lambda x, k: convolved(x, depthwise(k), 1, groups=4)),
    "SeparableConv1D": (L.SeparableConv1D(3, 2), STEPS, lambda x, k, p: convolved(convolved(x, depthwise(k), 1, groups=4), p, 1)),
    "SeparableConv2D": (L.SeparableConv2D(3, 2), IMAGES, lambda x, k, p: convolved(convolved(x, depthwise(k), 1, groups=4), p, 1)),
}  # fmt: skip


@pytest.mark.parametrize("make", [L.Conv2D, L.Conv2DTranspose, L.SeparableConv2D], ids=lambda v: v.__name__)
@pytest.mark.parametrize("activation", ["softmax", "log_softmax", lambda x: x - pn.max(x, -1, True)], ids=["softmax", "log", "own"])
def test_activations_along_an_axis_see_channels_where_they_are(make, activation):
    layer, plain = (make(3, 2, data_format="channels_first", activation=a) for a in (activation, None))
    layer(first(IMAGES)), plain(first(IMAGES))
    plain.set_weights(layer.get_weights())
    want = pn.layers.Activation(activation)(plain(first(IMAGES)))  # along the width, as in Keras and TensorFlow.js
    np.testing.assert_allclose(layer(first(IMAGES)).numpy(), want.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case):
    layer, x, formula = CONVOLUTIONS[case]
    layer(x)
    *kernels, bias = [RNG.normal(size=w.shape).astype(np.float32) for w in layer.weights]
    layer.set_weights([*kernels, bias])
    bias = bias[:, None, None] if "first" in case else bias
    np.testing.assert_allclose(layer(x).numpy(), formula(x, *kernels) + bias, rtol=1e-4, atol=1e-4)


def test_dense_and_embedding():
    dense, table = L.Dense(3, activation="tanh"), L.Embedding(3, 2)
    dense(STEPS), table(IDS)
    kernel, bias, rows = RNG.normal(size=(4, 3)), RNG.normal(size=3), RNG.normal(size=(3, 2))
    dense.set_weights([kernel, bias]), table.set_weights([rows])
    np.testing.assert_allclose(dense(STEPS).numpy(), np.tanh(STEPS @ kernel + bias), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table(IDS).numpy(), rows[IDS], rtol=1e-6)
    assert pn.Sequential([L.Dense(3, use_bias=False, input_shape=(4,))]).count_params() == 12


def test_images_of_other_proportions_keep_a_pixel():
    x = np.arange(24, dtype=np.float32).reshape(1, 4, 6, 1)
    assert (pn.layers.Resizing(1, 8, crop_to_aspect_ratio=True)(x[:, :, :4]).numpy() >= 6).all()  # the second row
    assert pn.layers.Resizing(8, 1, crop_to_aspect_ratio=True)(x[:, :3, :4]).shape == (1, 8, 1, 1)
    assert pn.layers.CenterCrop(7, 2)(x[:, :, :3]).shape == (1, 7, 2, 1)
    assert pn.layers.CenterCrop(9, 1)(x[:, :3, :4]).shape == (1, 9, 1, 1)
