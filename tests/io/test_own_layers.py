"""Files of models with layers of the user's own that make inner layers."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.layers import names
from pynn.layers.names import clear_names

pytestmark = pytest.mark.filterwarnings("ignore:TensorFlow.js can't load this model")
X = np.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def block():
    @pn.register_layer
    class Block(pn.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = L.Dense(3, bias_initializer="uniform")
            self.more = {"stack": [pn.Sequential([L.Dense(3, bias_initializer="uniform")]), L.TimeDistributed(L.Dense(2))]}

        def call(self, x):
            stack, steps = self.more["stack"]
            y = stack(self.inner(x))
            return pn.concat([y[:, :1], steps(pn.expand_dims(y, 1))[:, 0]], axis=-1)

    yield Block
    names._classes.pop("Block")


def model_of(block):
    second, first = block(), block()
    return pn.Sequential([pn.Input((3,)), first, second, L.Dense(1, name="head")])


def paths(folder):
    groups = json.loads((folder / "model.json").read_text())["weightsManifest"]
    return [entry["name"] for entry in groups[0]["weights"]]


@pytest.mark.parametrize("fresh", [False, True])
def test_inner_weights_find_their_places(block, tmp_path, fresh):
    model = model_of(block)
    model.compile("adam", "mse")
    model.fit(X, np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "m")
    if fresh:
        clear_names()
    again = pn.load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    inner = ["inner/kernel", "inner/bias", "more/stack/0/0/kernel", "more/stack/0/0/bias", "more/stack/1/layer/kernel"]
    assert paths(tmp_path / "m")[:5] == [f"{model.layers[0].name}/{name}" for name in inner]


def test_a_stack_that_starts_with_a_plain_layer(block, tmp_path):
    model = pn.Sequential([L.Dense(3, input_shape=(3,)), block(), L.Dense(1)])
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(pn.load_model(tmp_path / "m").predict(X), model.predict(X))
    assert [paths(tmp_path / "m")[0], paths(tmp_path / "m")[-1]] == [f"{model.layers[0].name}/kernel", f"{model.layers[2].name}/bias"]


def test_files_with_automatic_names_inside_are_read(block, tmp_path):
    model = model_of(block)
    model.save(tmp_path / "m")
    description = json.loads((tmp_path / "m" / "model.json").read_text())
    for entry, weight in zip(description["weightsManifest"][0]["weights"], model.weights, strict=True):
        entry["name"] = weight.path
    (tmp_path / "m" / "model.json").write_text(json.dumps(description))
    np.testing.assert_array_equal(pn.load_model(tmp_path / "m").predict(X), model.predict(X))


@pytest.mark.parametrize("fresh", [False, True])
def test_weights_files(block, tmp_path, fresh):
    block()  # so that the automatic names of the model's blocks are others than those of the first two there are
    model = model_of(block)
    model.save_weights(tmp_path / "w")
    if fresh:
        clear_names()
    first = block()
    other = pn.Sequential([pn.Input((3,)), first, block(), L.Dense(1, name="head")])
    other.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_names_that_agree_decide_whatever_the_order(tmp_path):
    def outputs(turned):
        clear_names()
        x = pn.Input((3,))
        a, b = L.Dense(1)(x), L.Dense(1)(x)
        return pn.Model(x, [b, a] if turned else [a, b])

    model, other = outputs(False), outputs(True)
    model.save_weights(tmp_path / "w")
    other.load_weights(tmp_path / "w")
    for found, expected in zip(other.predict(X)[::-1], model.predict(X), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_names_that_were_given_hold_in_any_order(tmp_path):
    model = pn.Sequential([pn.Input((3,)), L.Dense(3, name="part_1"), L.Dense(3, name="part_2")])
    model.save_weights(tmp_path / "w")
    other = pn.Sequential([pn.Input((3,)), L.Dense(3, name="part_2"), L.Dense(3, name="part_1")])
    other.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(other.layers[0].get_weights()[0], model.layers[1].get_weights()[0])


@pytest.fixture
def mix():
    @pn.register_layer
    class Mix(pn.Layer):
        def call(self, x, other, factor=1.0, training=False):
            return x * factor + pn.sum(other, axis=-1, keepdims=True) * (2.0 if training else 1.0)

    yield Mix
    names._classes.pop("Mix")


def test_calls_with_several_arguments(mix, tmp_path):
    x, other = pn.Input((3,)), pn.Input((2,))
    for symbolic, expected in (
        (mix()(x, other), 1 + 10),
        (mix()(x, other=other), 1 + 10),
        (mix()(x, other, 3.0), 3 + 10),
        (mix()(x, L.Rescaling(2.0)(other), factor=3.0, training=True), 3 + 40),
        (mix()(x, L.Rescaling(2.0)(other), 3.0, True), 3 + 40),
    ):
        assert symbolic.shape == (None, 3)
        model = pn.Model([x, other], symbolic)
        model.save(tmp_path / "model")
        for m in (model, pn.load_model(tmp_path / "model"), pn.Model.from_config(model.get_config())):
            np.testing.assert_array_equal(m.predict([np.ones((2, 3)), np.full((2, 2), 5)]), np.full((2, 3), expected))


def test_masks_as_inputs(tmp_path):
    rng = np.random.default_rng(0)
    steps, mask = rng.normal(size=(3, 4, 2)).astype(np.float32), rng.random((3, 4)) < 0.6
    x, given = pn.Input((4, 2)), pn.Input((4,), dtype="bool")
    for layer in (L.GlobalAveragePooling1D(), L.LSTM(3), L.Bidirectional(L.GRU(2))):
        model = pn.Model([x, given], layer(x, mask=given))
        model.save(tmp_path / "model")
        for m in (model, pn.load_model(tmp_path / "model")):
            np.testing.assert_array_equal(m.predict([steps, mask]), layer(steps, mask=mask).numpy())
