"""Softmax and the cross-entropy losses: values, stability, gradients of both orders, labels that are no class."""

import numpy as np
import pytest
from guard import run_guarded
from op_checks import TARGETS, check_gradients, check_threads, check_values, fallback, native

import pynn as pn
from pynn.engine.op import REGISTRY

ROWS = ["softmax", "log_softmax", "softmax_grad", "log_softmax_grad"]
LOSSES = [
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "sparse_softmax_cross_entropy",
    "sparse_softmax_cross_entropy_grad",
    "sigmoid_cross_entropy",
]


@pytest.mark.parametrize("name", ROWS + LOSSES)
def test_values(name):
    check_values(REGISTRY[name])


@pytest.mark.parametrize("name", ROWS + LOSSES)
def test_gradients(name):
    check_gradients(REGISTRY[name])


@pytest.mark.parametrize("columns", [*range(1, 36), 63, 64, 65, 130])
def test_every_width(columns):
    x = np.random.default_rng(columns).normal(size=(3, columns)).astype(np.float32) * 5
    wide = x.astype(np.float64)
    wanted = np.exp(wide - wide.max(-1, keepdims=True))
    wanted /= wanted.sum(-1, keepdims=True)
    for target in TARGETS:
        (y,) = native(REGISTRY["softmax"], [x], {}, target)
        np.testing.assert_allclose(y, wanted, rtol=2e-6, atol=1e-7)
        (guarded,) = run_guarded(REGISTRY["softmax"], [x], {}, target)
        np.testing.assert_array_equal(guarded, y)


@pytest.mark.parametrize("columns", [1, 5, 8, 15, 16, 17, 40])
def test_one_nan_makes_its_row_nan(columns):
    x = np.random.default_rng(columns).normal(size=(columns + 1, columns)).astype(np.float32)
    x[range(columns), range(columns)] = np.nan
    labels = np.zeros(columns + 1, np.int64)
    for target in TARGETS:
        (y,) = native(REGISTRY["softmax"], [x], {}, target)
        loss, p = native(REGISTRY["sparse_softmax_cross_entropy"], [x, labels], {}, target)
        for result in (y, p, loss[:, None]):
            assert np.isnan(result[:-1]).all()
            assert np.isfinite(result[-1]).all()


@pytest.mark.parametrize("target", TARGETS)
def test_a_row_does_not_depend_on_its_neighbours(target):
    x = np.random.default_rng(0).normal(size=(21, 10)).astype(np.float32)
    labels = np.arange(21) % 10
    for name, inputs in (("softmax", [x]), ("sparse_softmax_cross_entropy", [x, labels])):
        whole = native(REGISTRY[name], inputs, {}, target)
        for row in range(21):
            alone = native(REGISTRY[name], [a[row : row + 1] for a in inputs], {}, target)
            for a, b in zip(alone, whole, strict=True):
                np.testing.assert_array_equal(a[0], b[row])


def test_bits_do_not_depend_on_threads():
    x = np.random.default_rng(0).normal(size=(500, 37)).astype(np.float32)
    check_threads(REGISTRY["softmax"], [x], {})
    check_threads(REGISTRY["sparse_softmax_cross_entropy"], [x, np.arange(500) % 37], {})
    check_threads(REGISTRY["softmax_cross_entropy"], [x, np.abs(x)], {"label_smoothing": 0.1})


@pytest.mark.parametrize("run", [native, fallback])
def test_large_logits_stay_finite(run):
    x = np.array([[1000.0, 0.0, -1000.0], [-1e4, -1e4, -1e4]], np.float32)
    np.testing.assert_allclose(run(REGISTRY["softmax"], [x], {})[0], [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    loss = run(REGISTRY["sparse_softmax_cross_entropy"], [x, np.array([1, 2])], {})[0]
    np.testing.assert_allclose(loss, [1000.0, np.log(3)], rtol=1e-6)
    dense = run(REGISTRY["softmax_cross_entropy"], [x, np.eye(3, dtype=np.float32)[[1, 2]]], {})[0]
    np.testing.assert_allclose(dense, loss, rtol=1e-6)
    binary = run(REGISTRY["sigmoid_cross_entropy"], [x, np.ones_like(x)], {})[0]
    np.testing.assert_allclose(binary, [[0, np.log(2), 1000], [1e4] * 3], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("run", [native, fallback])
def test_masked_classes_and_nan(run):
    x = np.array([[0.0, -np.inf, 0.0], [0.0, np.nan, 1.0]], np.float32)
    y = run(REGISTRY["softmax"], [x], {})[0]
    np.testing.assert_allclose(y[0], [0.5, 0, 0.5])
    assert np.isnan(y[1]).all()
    loss = run(REGISTRY["softmax_cross_entropy"], [x[:1], np.array([[1, 0, 0]], np.float32)], {})[0]
    np.testing.assert_allclose(loss, [np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("run", [native, fallback])
@pytest.mark.parametrize("wrong", [4, -1])
def test_a_label_that_is_no_class_is_an_error(run, wrong):
    message = rf"\[sparse_softmax_cross_entropy\] label {wrong} \(of sample 1\) is no class. Received: 4 logits"
    with pytest.raises(ValueError, match=message):
        run(REGISTRY["sparse_softmax_cross_entropy"], [np.zeros((3, 4), np.float32), np.array([0, wrong, 2])], {})


def test_other_axes_and_remembered_logits():
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    np.testing.assert_allclose(pn.softmax(x, axis=1).numpy().sum(1), np.ones((3, 5)))
    np.testing.assert_allclose(np.exp(pn.log_softmax(x, axis=0).numpy()).sum(0), np.ones((4, 5)))
    t = pn.tensor(x)
    assert pn.softmax(t).logits is t
    assert pn.softmax(t, axis=0).logits is None


def test_labels_of_a_column_and_small_integers():
    logits = np.random.default_rng(0).normal(size=(4, 3))
    wanted = pn.sparse_softmax_cross_entropy(logits, np.array([0, 2, 1, 1])).numpy()
    column = np.array([[0], [2], [1], [1]], np.uint8)
    np.testing.assert_array_equal(pn.sparse_softmax_cross_entropy(logits, column).numpy(), wanted)


def test_wrong_operands_are_named():
    with pytest.raises(TypeError, match=r"labels must be class numbers"):
        pn.sparse_softmax_cross_entropy(np.zeros((2, 3)), np.zeros((2,)))
    with pytest.raises(ValueError, match=r"labels.shape=\(3,\). Expected: labels.shape=\(2,\)"):
        pn.sparse_softmax_cross_entropy(np.zeros((2, 3)), np.zeros((3,), int))
    with pytest.raises(ValueError, match=r"sparse_softmax_cross_entropy"):
        pn.softmax_cross_entropy(np.zeros((2, 3)), np.zeros((2,)))
    with pytest.raises(ValueError, match=r"label_smoothing"):
        pn.softmax_cross_entropy(np.zeros((2, 3)), np.zeros((2, 3)), label_smoothing=1.0)
    with pytest.raises(ValueError, match=r"\[softmax\] there is no such axis"):
        pn.softmax(np.zeros((2, 3)), axis=2)
    with pytest.raises(ValueError, match=r"\[sigmoid_cross_entropy\]"):
        pn.sigmoid_cross_entropy(np.zeros((2, 3)), np.zeros((2,)))
