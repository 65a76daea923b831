"""Batch and layer normalisation: values, both orders of gradients, digits under a large mean, other axes."""

import numpy as np
import pytest
from op_checks import TARGETS, arrays_of, check_gradients, check_threads, check_values, native

import pynn as pn
from pynn.engine.op import REGISTRY

NAMES = ["batch_norm", "batch_norm_grad", "batch_norm_inference", "layer_norm", "layer_norm_grad"]


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    check_values(REGISTRY[name], tolerance=32)


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    check_gradients(REGISTRY[name], tolerance=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bits_do_not_depend_on_threads(name):
    op = REGISTRY[name]
    rng = np.random.default_rng(0)
    long = arrays_of(op.samples()[0], np.float32)
    rows, columns = 2051, 37
    lengths = {2: (rows, columns), 1: (columns,)}
    arrays = [None if a is None else np.abs(rng.normal(size=lengths[a.ndim])).astype(np.float32) for a in long]
    if name == "layer_norm_grad":
        arrays[2], arrays[3] = (rng.normal(size=rows).astype(np.float32) for _ in range(2))
    check_threads(op, arrays, {})


@pytest.mark.parametrize("columns", [1, 2, 7, 8, 9, 31, 32, 33, 64, 65, 100])
@pytest.mark.parametrize("rows", [1, 5, 127, 128, 129, 300])
def test_every_width_and_height(columns, rows):
    x = np.random.default_rng(columns).normal(size=(rows, columns)).astype(np.float32)
    wide = x.astype(np.float64)
    for target in TARGETS:
        y, mean, variance, _ = native(REGISTRY["batch_norm"], [x, None, None], {}, target)
        np.testing.assert_allclose(mean, wide.mean(0), atol=1e-6)
        np.testing.assert_allclose(variance, wide.var(0), atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(y, (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-3), atol=2e-5)


def test_a_large_mean_leaves_the_variance_its_digits():
    x = (np.random.default_rng(0).normal(size=(1000, 5)) + 10_000).astype(np.float32)
    wide = x.astype(np.float64)
    _, mean, variance, _ = native(REGISTRY["batch_norm"], [x, None, None], {})
    np.testing.assert_allclose(mean, wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, wide.var(0), rtol=1e-3)


def test_a_row_of_layer_norm_does_not_depend_on_its_neighbours():
    x = np.random.default_rng(0).normal(size=(9, 21)).astype(np.float32)
    whole = native(REGISTRY["layer_norm"], [x, None, None], {})[0]
    for row in range(9):
        np.testing.assert_array_equal(native(REGISTRY["layer_norm"], [x[row : row + 1], None, None], {})[0][0], whole[row])


def test_beta_gradient_is_the_canonical_column_sum():
    dy = np.random.default_rng(0).normal(size=(300, 19)).astype(np.float32)
    wanted = None
    for first in range(0, 300, 128):
        block = np.zeros(19, np.float32)
        for row in dy[first : first + 128]:
            block = block + row
        wanted = block if wanted is None else wanted + block
    ones = np.ones(19, np.float32)
    np.testing.assert_array_equal(native(REGISTRY["batch_norm_grad"], [dy, dy, ones, ones, None], {})[2], wanted)
    rows = np.ones(300, np.float32)
    np.testing.assert_array_equal(native(REGISTRY["layer_norm_grad"], [dy, dy, rows, rows, None], {})[2], wanted)


def test_other_axes():
    x = np.random.default_rng(0).normal(size=(6, 4, 5))
    y, mean, variance = pn.batch_norm(x, axis=1)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 2)))
    np.testing.assert_allclose(y.numpy().mean((0, 2)), np.zeros(4), atol=1e-12)
    again = pn.batch_norm_inference(x, mean, variance, axis=1)
    np.testing.assert_allclose(again.numpy(), y.numpy(), atol=1e-12)
    gamma, beta = np.arange(20.0).reshape(4, 5), np.ones((4, 5))
    both = pn.layer_norm(x, gamma, beta, axis=(1, 2), epsilon=0.0).numpy()
    flat = x.reshape(6, 20)
    normal = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    np.testing.assert_allclose(both.reshape(6, 20), normal * gamma.ravel() + 1)
    np.testing.assert_allclose(pn.layer_norm(x, axis=0).numpy().mean(0), np.zeros((4, 5)), atol=1e-12)


def test_wrong_operands_are_named():
    with pytest.raises(ValueError, match=r"\[batch_norm\] gamma must be a vector.*Expected: gamma.shape=\(3,\)"):
        pn.batch_norm(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match=r"\[batch_norm\] an empty batch"):
        pn.batch_norm(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"\[layer_norm\] several axes must be the last"):
        pn.layer_norm(np.zeros((2, 3, 4)), axis=(0, 1))
    with pytest.raises(ValueError, match=r"\[batch_norm_inference\] variance"):
        pn.batch_norm_inference(np.zeros((2, 3)), np.zeros(3), np.zeros(2))


def test_rows_without_elements_have_no_mean_and_no_gradient():
    x, vector = pn.ones((3, 0)), pn.ones((0,))
    assert pn.layer_norm(x, vector, vector).shape == (3, 0)
    assert pn.layer_norm(pn.ones((3, 0, 2)), axis=(1, 2)).shape == (3, 0, 2)
    gradients = pn.grads(lambda x, gamma, beta: pn.layer_norm(x, gamma, beta).sum())(x, vector, vector)
    assert [g.shape for g in gradients] == [(3, 0), (0,), (0,)]
    assert pn.grad(lambda x: (pn.grad(lambda x: (pn.layer_norm(x) ** 2).sum())(x) ** 2).sum())(x).shape == (3, 0)
