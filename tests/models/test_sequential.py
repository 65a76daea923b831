"""Sequentials as graphs: their symbolic inputs and outputs, and those of their layers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

X = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def stack(*first):
    words = {} if first else {"input_shape": (5,)}
    return pn.Sequential([*first, L.Dense(4, activation="relu", name="h", **words), L.Dense(1, name="o")])


def features(model):
    return pn.Model(model.inputs, model.get_layer("h").output)


@pytest.mark.parametrize("first", [(), (pn.Input((5,)),)])
def test_what_a_layer_gives_is_the_output_of_another_model(first):
    model = stack(*first)
    found = features(model)
    np.testing.assert_array_equal(found.predict(X), model.get_layer("h")(X).numpy())
    hidden, end = pn.Model(model.input, [model.layers[0].output, model.output]).predict(X)
    np.testing.assert_array_equal(hidden, found.predict(X))
    np.testing.assert_array_equal(end, model.predict(X))
    assert model.layers[0].input is model.input and model.outputs == [model.layers[-1].output]


def test_a_layer_may_be_asked_before_the_model():
    model = stack()
    output = model.get_layer("h").output
    assert pn.Model(model.layers[0].input, output).predict(X).shape == (3, 4)


def test_more_layers_on_a_trained_stack(tmp_path):
    base = pn.Sequential([L.Conv2D(2, 3, input_shape=(6, 6, 1)), L.Flatten()])
    model = pn.Model(base.input, L.Dense(2)(base.output))
    model.compile("sgd", "mse")
    images = np.ones((4, 6, 6, 1), np.float32)
    model.fit(images, np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(pn.load_model(tmp_path / "m").predict(images), model.predict(images))


def test_layers_that_are_added_and_taken_off():
    model = stack()
    assert model.output.shape == (None, 1)
    model.add(L.Dense(7))
    assert model.output.shape == (None, 7)
    model.pop()
    assert model.output.shape == (None, 1) and model.output is model.get_layer("o").output


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("asked", [False, True])
def test_copies_have_a_graph_of_their_own(copied, asked):
    model = stack()
    if asked:
        assert model.output.layer is model.layers[-1]
    twin = copied(model)
    assert twin.get_layer("h").output.layer is twin.layers[0] is not model.layers[0]
    np.testing.assert_array_equal(features(twin).predict(X), features(model).predict(X))


def test_a_layer_of_two_stacks_belongs_to_the_first():
    model = stack()
    other = pn.Sequential(model.layers[:1])
    assert features(model).predict(X).shape == (3, 4)
    assert other.outputs[0].shape == (None, 4)
    with pytest.raises(AttributeError, match=r"\[Dense 'h'\] was called 2 times on symbolic tensors"):
        _ = model.layers[0].output


def test_a_stack_without_a_shape_has_no_inputs_yet():
    model = pn.Sequential([L.Dense(2)])
    assert not hasattr(model, "inputs")
    with pytest.raises(AttributeError, match=r"\[Sequential .* Give the first layer an input_shape"):
        _ = model.outputs
    model.predict(X)
    assert model.inputs[0].shape == (None, 5) and model.layers[0].output is model.output


def test_graphs_have_input_and_output():
    x = pn.Input((5,))
    y = L.Dense(2)(x)
    model = pn.Model(x, [y])
    assert model.input is x and model.output == [y]


def test_layers_by_name_and_place():
    model = pn.Sequential([pn.Input((3,)), L.Dense(2, name="a"), L.Dense(1, name="b")])
    assert model.get_layer("b") is model.get_layer(index=1) is model.get_layer(index=-1) and model.get_layer(index=-2).name == "a"
    for wrong, words in ((dict(name="c"), "has no layer 'c'. Layers: a, b"), (dict(index=2), "has 2 layers. Received: index=2"),
                         (dict(index=-3), "index=-3")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            model.get_layer(**wrong)


def test_a_config_makes_the_same_architecture():
    model = pn.Sequential([L.Dense(2, input_shape=(3,), name="a"), L.Dense(1, activation="relu", name="b")], name="m")
    twin = pn.Sequential.from_config(model.get_config())
    assert twin.get_config() == model.get_config() and [w.shape for w in twin.weights] == [w.shape for w in model.weights]
    x, y = pn.Input((3,), name="x"), pn.Input((2,), name="y")
    graph = pn.Model({"x": x, "y": y}, [L.Concatenate()([x, y]), model(x)])
    again = type(graph).from_config(graph.get_config())
    again.set_weights(graph.get_weights())
    data = {"x": np.ones((4, 3), np.float32), "y": np.ones((4, 2), np.float32)}
    for one, other in zip(graph.predict(data), again.predict(data), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_functional_model_in_front_tells_the_shape(tmp_path):
    x = pn.Input((4,))
    base = pn.Model(x, pn.layers.Dense(3, activation="tanh")(x), name="base")
    model = pn.Sequential([base, pn.layers.Dense(1)])
    assert model.built and model.output.shape == (None, 1)
    data = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    model.save(tmp_path / "model")
    again = pn.load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(data, verbose=0), model.predict(data, verbose=0))
    with pytest.raises(ValueError, match=r"must have shape \(None, 4\)"):
        model.predict(data[:, :2], verbose=0)
