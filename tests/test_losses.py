"""Losses against their formulas in float64, their reductions, and what they say about targets that don't fit."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import activations, losses

rng = np.random.default_rng(0)
T, P = rng.uniform(0.05, 0.95, (5, 3)), rng.uniform(0.05, 0.95, (5, 3))
SIGNS = np.where(T > 0.5, 1.0, -1.0)
ONE_HOT = np.eye(3)[[0, 2, 1, 1, 0]]
BITS = (T > 0.5).astype(float)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def hinge(t, p):
    return np.maximum(1 - t * p, 0)


def huber(e):
    return np.where(np.abs(e) <= 1, e * e / 2, np.abs(e) - 0.5)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


FORMULAS = [
    ("mse", T, P, ((T - P) ** 2).mean(-1)),
    ("mae", T, P, np.abs(T - P).mean(-1)),
    ("mape", T, P, 100 * np.abs((T - P) / T).mean(-1)),
    ("msle", T, P, ((np.log1p(T) - np.log1p(P)) ** 2).mean(-1)),
    ("huber", 3 * T, P, huber(3 * T - P).mean(-1)),
    ("log_cosh", T, P, np.log(np.cosh(P - T)).mean(-1)),
    ("hinge", SIGNS, P, hinge(SIGNS, P).mean(-1)),
    ("hinge", BITS, P, hinge(SIGNS, P).mean(-1)),
    ("squared_hinge", SIGNS, P, (hinge(SIGNS, P) ** 2).mean(-1)),
    ("categorical_hinge", ONE_HOT, P, np.maximum(((1 - ONE_HOT) * P).max(-1) - (ONE_HOT * P).sum(-1) + 1, 0)),
    ("kl_divergence", T, P, (T * np.log(T / P)).sum(-1)),
    ("poisson", T, P, (P - T * np.log(P + 1e-7)).mean(-1)),
    ("cosine_similarity", T, P, -(unit(T) * unit(P)).sum(-1)),
    ("binary_crossentropy", BITS, P, -(BITS * np.log(P) + (1 - BITS) * np.log(1 - P)).mean(-1)),
    ("categorical_crossentropy", ONE_HOT, P, -(ONE_HOT * np.log(P / P.sum(-1, keepdims=True))).sum(-1)),
    ("sparse_categorical_crossentropy", ONE_HOT.argmax(-1), P, -(ONE_HOT * np.log(P / P.sum(-1, keepdims=True))).sum(-1)),
]


@pytest.mark.parametrize("name, y_true, y_pred, wanted", FORMULAS, ids=lambda v: v if isinstance(v, str) else "")
def test_formulas_and_reductions(name, y_true, y_pred, wanted):
    loss = losses.get(name)
    y_pred = pn.tensor(y_pred)
    np.testing.assert_allclose(loss.per_sample(y_true, y_pred).numpy(), wanted, rtol=1e-6, atol=1e-9)
    assert float(loss(y_true, y_pred)) == pytest.approx(wanted.mean(), rel=1e-6)
    weights = np.arange(5.0)
    assert float(loss(y_true, y_pred, sample_weight=weights)) == pytest.approx((wanted * weights).mean(), rel=1e-6)
    kinds = {"sum": (wanted * weights).sum(), "none": wanted * weights, "mean_with_sample_weight": (wanted * weights).sum() / weights.sum()}
    for reduction, value in kinds.items():
        again = losses.get({"class_name": type(loss).__name__, "config": {**loss.get_config(), "reduction": reduction}})
        np.testing.assert_allclose(again(y_true, y_pred, sample_weight=weights).numpy(), value, rtol=1e-6)


@pytest.mark.parametrize("name, y_true, y_pred, wanted", FORMULAS, ids=lambda v: v if isinstance(v, str) else "")
def test_gradients_agree_with_differences(name, y_true, y_pred, wanted):
    loss, direction, step = losses.get(name), np.random.default_rng(1).normal(size=y_pred.shape), 1e-6

    def at(p):
        return float(loss(y_true, pn.tensor(p)))

    slope = float((pn.grad(lambda p: loss(y_true, p))(pn.tensor(y_pred)).numpy() * direction).sum())
    numeric = (at(y_pred + step * direction) - at(y_pred - step * direction)) / (2 * step)
    assert slope == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_probabilities_of_our_own_activations_are_traced_back_to_logits():
    x = pn.tensor(np.array([[1000.0, 0.0, -1000.0]], np.float32))
    target = np.array([[0.0, 0.0, 1.0]], np.float32)
    assert float(losses.get("categorical_crossentropy")(target, activations.softmax(x))) == pytest.approx(2000)
    assert float(losses.get("sparse_categorical_crossentropy")([2], activations.softmax(x))) == pytest.approx(2000)
    z = pn.tensor(np.array([[-200.0]], np.float32))
    assert float(losses.get("binary_crossentropy")([[1.0]], activations.sigmoid(z))) == pytest.approx(200)
    captured = pn.function(lambda x: losses.categorical_crossentropy(target, activations.softmax(x)))
    assert float(captured(x)[0]) == pytest.approx(2000)


def test_logits_smoothing_and_axis():
    x = rng.normal(size=(4, 3))
    target = np.eye(3)[[0, 1, 2, 0]]
    smooth = target * 0.9 + 0.1 / 3
    wanted = -(smooth * np.log(softmax(x))).sum(-1)
    loss = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    np.testing.assert_allclose(loss.per_sample(target, pn.tensor(x)).numpy(), wanted, rtol=1e-6)
    moved = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, axis=1)
    np.testing.assert_allclose(moved.call(target.T[None], pn.tensor(x.T[None])).numpy()[0], wanted, rtol=1e-6)
    bits = losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    y = target * 0.8 + 0.1
    np.testing.assert_allclose(bits.per_sample(target, pn.tensor(x)).numpy(), (np.logaddexp(0, x) - x * y).mean(-1), rtol=1e-6)


def test_ignored_classes_count_zero():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1, reduction="none")
    values = loss(np.array([0, -1]), pn.zeros((2, 4))).numpy()
    np.testing.assert_allclose(values, [np.log(4), 0], rtol=1e-6)


def test_ignored_classes_are_not_in_the_mean():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    assert float(loss(np.array([0, -1, 2]), pn.zeros((3, 4)))) == pytest.approx(np.log(4), rel=1e-6)
    model = pn.Sequential([pn.layers.Dense(4, kernel_initializer="zeros", input_shape=(2,))])
    model.compile("sgd", loss)
    history = model.fit(np.ones((4, 2)), np.array([1, -1, -1, 2]), batch_size=4, verbose=0)
    assert history.history["loss"][0] == pytest.approx(np.log(4), rel=1e-6)


def test_masks_leave_steps_out():
    y_pred = pn.tensor(np.ones((1, 4, 1), np.float32))
    y_pred.mask = pn.tensor(np.array([[True, True, False, False]]))
    y_true = np.array([[[0.0], [2.0], [9.0], [9.0]]], np.float32)
    assert float(losses.get("mse")(y_true, y_pred)) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(
    "name, y_true, y_pred, words",
    [
        ("categorical_crossentropy", np.arange(4), (4, 10), "use the loss 'sparse_categorical_crossentropy'"),
        ("categorical_crossentropy", np.zeros((4, 1), int), (4, 10), "use the loss 'sparse_categorical_crossentropy'"),
        ("categorical_crossentropy", np.zeros((4, 9)), (4, 10), "one-hot over the 10 classes"),
        ("sparse_categorical_crossentropy", np.zeros((4, 10)), (4, 10), "use the loss 'categorical_crossentropy'"),
        ("sparse_categorical_crossentropy", np.zeros((3,), int), (4, 10), r"must have the shape \(4,\)"),
        ("sparse_categorical_crossentropy", np.full((4,), 10), (4, 10), "label 10"),
        ("mse", np.zeros((4, 2)), (4, 3), "as many units as the targets have columns"),
        ("binary_crossentropy", np.zeros((4, 2)), (4, 1), "different shapes"),
    ],
)
def test_targets_that_do_not_fit(name, y_true, y_pred, words):
    with pytest.raises(ValueError, match=words):
        losses.get(name)(y_true, pn.tensor(np.full(y_pred, 0.1, np.float32)))


@pytest.mark.parametrize("shape", [(3,), (4, 1, 2)])
def test_weights_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="Pass one weight per example"):
        losses.get("mse")(np.zeros((4, 2)), pn.zeros((4, 2)), sample_weight=np.ones(shape))


def test_vectors_and_columns_meet():
    assert float(losses.get("mse")(np.array([1.0, 2.0]), pn.tensor([[1.0], [4.0]]))) == 2.0
    assert float(losses.get("mse")(np.array([[1.0], [2.0]]), pn.tensor([1.0, 4.0]))) == 2.0
    assert float(losses.get("sparse_categorical_crossentropy")([[1], [0]], pn.full((2, 4), 0.25))) == pytest.approx(np.log(4), rel=1e-6)
    values = np.arange(8.0).reshape(2, 2, 2)
    for shape in ((2,), (2, 1), (2, 1, 1)):
        weighted = losses.get("mse")(np.zeros((2, 2, 2)), pn.tensor(values), sample_weight=np.reshape([0.0, 2.0], shape))
        assert float(weighted) == pytest.approx((values[1] ** 2).mean())


def test_names():
    for name in ("categoricalCrossentropy", "CategoricalCrossentropy", "categorical_crossentropy"):
        assert isinstance(losses.get(name), losses.CategoricalCrossentropy)
    assert losses.name_of(losses.get("mse")) == "mean_squared_error"
    with pytest.raises(ValueError, match="Did you mean 'mean_squared_error'|Did you mean 'MeanSquaredError'"):
        losses.get("mean_square_error")
    own = losses.get(lambda t, p: pn.sum(pn.abs(p - t), axis=-1))
    assert float(own(np.zeros((2, 3)), pn.ones((2, 3)))) == 3.0
    assert losses.get(losses.huber).get_config()["delta"] == 1.0


def test_a_function_of_ours_is_the_loss_of_its_name():
    for name, y_true, y_pred, _ in FORMULAS:
        function = getattr(losses, name, None)
        if function is not None:
            assert float(losses.get(function)(y_true, y_pred)) == float(losses.get(name)(y_true, y_pred)), name


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_outputs_of_an_activation_are_the_probabilities_that_they_are(name, activation, axis):
    x = rng.normal(size=(4, 3, 3))
    outputs = getattr(activations, activation)(pn.tensor(x))
    labels = rng.integers(0, 3, (4, 3))
    one_hot = np.moveaxis(np.eye(3)[labels], -1, axis)
    function, y_true = getattr(losses, name), labels if name.startswith("sparse") else one_hot
    wanted = function(y_true, pn.tensor(outputs.numpy()), axis=axis)
    np.testing.assert_allclose(function(y_true, outputs, axis=axis).numpy(), wanted.numpy(), rtol=1e-6)


def test_losses_derived_from_those_with_arguments():
    class Scaled(losses.Huber):
        def __init__(self, by, width=0.5):
            super().__init__(delta=width)
            self.by = by

        def call(self, y_true, y_pred):
            return super().call(y_true, y_pred) * self.by

    y_true, y_pred = pn.zeros((2, 2)), pn.tensor([[0.1, 2.0], [3.0, -0.4]])
    assert float(Scaled(3.0)(y_true, y_pred)) == pytest.approx(3 * float(losses.Huber(0.5)(y_true, y_pred)), rel=1e-6)
