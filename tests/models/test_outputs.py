"""Losses, metrics and weights of models with several outputs, and under masks."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

ONES = np.ones((2, 1), np.float32)


def two_outputs(**words):
    x = pn.Input((1,))
    a, b = L.Dense(1, name="a", kernel_initializer="ones"), L.Dense(1, name="b", kernel_initializer="zeros")
    model = pn.Model(x, [a(x), b(x)])
    model.compile("sgd", "mse", **words)
    return model


def evaluate(model, *args, **words):
    return model.evaluate(ONES, [3 * ONES] * 2, *args, return_dict=True, **words)


def test_a_metric_of_several_outputs_has_sums_for_each():
    metric = pn.metrics.MeanSquaredError(name="m")
    for _ in range(2):
        found = evaluate(two_outputs(metrics={"a": [metric], "b": metric}))
        assert (found["a_m"], found["b_m"]) == (4.0, 9.0)
    assert metric.name == "m"


def test_a_metric_per_output():
    found = evaluate(two_outputs(metrics=["mae", "mse"]))
    assert {k: v for k, v in found.items() if "loss" not in k} == {"a_mae": 2.0, "b_mse": 9.0}
    assert {"a_mae", "b_mae"} <= set(evaluate(two_outputs(metrics=["mae"])))
    assert {"b_mae", "b_mse"} <= set(evaluate(two_outputs(metrics=[None, ["mae", "mse"]])))
    with pytest.raises(ValueError, match="3 entries for 2 outputs"):
        evaluate(two_outputs(metrics=[["mae"], ["mae"], ["mae"]]))


@pytest.mark.parametrize("loss", [{"b": "mse"}, [None, "mse"]])
def test_an_output_without_a_loss_is_in_no_value(loss):
    model = two_outputs()
    model.compile("sgd", loss, metrics={"a": ["mae"]})
    assert evaluate(model) == {"loss": 9.0, "b_loss": 9.0, "a_mae": 2.0}
    a, b = (model.get_layer(name).get_weights()[0].copy() for name in "ab")
    model.fit(ONES, [3 * ONES] * 2, verbose=0)
    assert model.get_layer("a").get_weights()[0] == a and model.get_layer("b").get_weights()[0] != b


def test_a_metric_that_is_called_like_the_loss_has_a_number():
    model = pn.Sequential([L.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    model.compile("sgd", "mse", metrics=[pn.metrics.MeanAbsoluteError(name="loss"), pn.metrics.MeanAbsoluteError(name="loss")])
    assert model.evaluate(ONES, 3 * ONES, return_dict=True) == {"loss": 9.0, "loss_1": 3.0, "loss_2": 3.0}


@pytest.mark.parametrize("words", [{}, {"metrics": ["mae"]}, {"metrics": ["mae"], "run_eagerly": True}])
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_each_output_needs_targets(words, method):
    with pytest.raises(ValueError, match=r"\[Functional .* targets per output \(a, b\)\. Received: 1 for 2"):
        getattr(two_outputs(**words), method)(ONES, ONES)


def test_class_weights_are_for_one_output():
    calls = [two_outputs().fit, two_outputs().train_on_batch]
    for call in calls:
        with pytest.raises(ValueError, match="one output"):
            call(ONES, [ONES, ONES], class_weight={0: 1.0, 1: 2.0})


@pytest.mark.parametrize("weights", [[np.array([1.0, 1.0]), np.array([0.0, 2.0])], {"a": [1.0, 1.0], "b": [0.0, 2.0]}])
def test_sample_weights_per_output(weights):
    model, y = two_outputs(), [ONES, np.array([[5.0], [3.0]])]
    found = model.evaluate(ONES, y, sample_weight=weights, return_dict=True)
    assert (found["a_loss"], found["b_loss"]) == (0.0, 9.0)
    model.fit(ONES, y, sample_weight=weights, verbose=0)


def test_one_list_of_sample_weights_is_for_all_outputs():
    found = two_outputs().evaluate(ONES, [ONES, np.array([[5.0], [3.0]])], sample_weight=[0.0, 2.0], return_dict=True)
    assert found["b_loss"] == 9.0


def test_metrics_heed_the_mask():
    x = np.array([[[1.0], [2.0], [0.0]], [[3.0], [0.0], [0.0]]])
    model = pn.Sequential([L.Masking(input_shape=(3, 1)), L.Dense(2, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=["mse", "mae", "accuracy"], weighted_metrics=["mse"])
    found = model.evaluate(x, np.arange(12.0).reshape(2, 3, 2), return_dict=True)
    assert found == {"loss": 4.5, "mse": 4.5, "mae": 1.5, "accuracy": 0.0, "weighted_mse": 4.5}  # Keras 3's numbers


def test_a_loss_has_to_be_one_number():
    model = pn.Sequential([L.Dense(1, input_shape=(1,))])
    model.compile("sgd", pn.losses.MeanSquaredError(reduction="none"))
    with pytest.raises(ValueError, match="MeanSquaredError.*reduction='none'.*one number|one number.*reduction='none'"):
        model.fit(ONES, ONES, verbose=0)


def test_each_output_has_a_name_of_its_own():
    x, a = pn.Input((2,)), L.Dense(2, name="a", kernel_initializer="identity")
    several = [a(x), a(a(x)), a(a(a(x)))]
    assert pn.Model(x, several).output_names == ["a", "a_1", "a_2"]
    model = pn.Model(x, [*several, L.Dense(2, name="a_1")(x)])
    assert model.output_names == ["a", "a_2", "a_3", "a_1"]
    model.compile("sgd", {name: "mse" for name in model.output_names}, metrics={"a_3": ["mae", "mae"]})
    x, y = np.ones((2, 2)), {name: i * np.ones((2, 2)) for i, name in enumerate(model.output_names)}
    found = model.evaluate(x, y, return_dict=True)
    assert (found["a_loss"], found["a_2_loss"], found["a_3_loss"]) == (1.0, 0.0, 1.0) and found["a_3_mae"] == found["a_3_mae_1"] == 1.0


def test_weighted_metrics_of_several_outputs_are_named_as_in_keras():
    x = pn.Input((2,))
    model = pn.Model(x, [L.Dense(1, name="a")(x), L.Dense(1, name="b")(x)])
    model.compile("sgd", "mse", metrics=[["mae"], []], weighted_metrics=[["mae"], ["mae"]])
    history = model.fit(np.ones((2, 2)), [np.ones(2), np.ones(2)], verbose=0)
    assert list(history.history) == ["loss", "a_loss", "b_loss", "a_mae", "a_weighted_mae", "b_mae"]


def test_weights_of_some_outputs():
    weights, wanted = np.array([1.0, 3.0]), evaluate(two_outputs(), sample_weight=[np.array([1.0, 3.0]), np.ones(2)])
    assert wanted["loss"] == 4.0 * 2 + 9.0
    for given in ([weights, None], (weights, None), {"a": weights, "b": None}):
        assert evaluate(two_outputs(), sample_weight=given) == wanted
    assert evaluate(two_outputs(), sample_weight=[None, None]) == evaluate(two_outputs())
    assert evaluate(two_outputs(), sample_weight=[None, weights])["loss"] == 4.0 + 9.0 * 2
