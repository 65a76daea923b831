"""Models whose inputs or outputs are dicts."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

RNG = np.random.default_rng(0)
WIDE, NARROW = RNG.random((5, 3)).astype(np.float32), RNG.random((5, 2)).astype(np.float32)
X = {"narrow": NARROW, "wide": WIDE}  # in another order than the model's
Y = {"second": np.ones((5, 1)), "first": np.zeros((5, 2))}


def functional():
    """A model whose keys are not its layers' names."""
    a, b = pn.Input((3,), name="a"), pn.Input((2,), name="b")
    joined = L.Concatenate()([a, b])
    return pn.Model({"wide": a, "narrow": b}, {"first": L.Dense(2, name="o")(joined), "second": L.Dense(1, name="p")(joined)})


class Subclass(pn.Model):
    """The same, as code."""

    def __init__(self):
        super().__init__()
        self.o, self.p = L.Dense(2), L.Dense(1)

    def call(self, x):
        joined = pn.concat([x["wide"], x["narrow"]], axis=-1)
        return {"first": self.o(joined), "second": self.p(joined)}


def compiled(make, **words):
    model = make()
    model.compile("sgd", {"second": "mse", "first": "mae"}, metrics={"second": ["mae"]}, **words)
    return model


ROUNDING = {"rtol": 1e-6, "atol": 1e-6 if pn.backend() == "fallback" else 0}  # sums near zero keep fewer digits


def assert_alike(made, expected):
    """The same keys in the same order and the same bits; of the fallback to rounding: NumPy's depends on where the operands lie."""
    assert list(made) == list(expected)
    for key, value in expected.items():
        if pn.backend() == "fallback":
            np.testing.assert_allclose(made[key], value, **ROUNDING)
        else:
            np.testing.assert_array_equal(made[key], value)


both = pytest.mark.parametrize("make", [functional, Subclass])


@both
@pytest.mark.parametrize("eager", [False, True])
def test_outputs_have_their_keys_in_every_call(make, eager):
    model = compiled(make, run_eagerly=eager)
    expected = {key: np.array(value) for key, value in model(X).items()}
    assert list(expected) == ["first", "second"]
    for _ in range(3):  # the first one looks at the batch, the next ones are served
        for made in model(X), model.predict_on_batch(X), model.predict(X):
            assert_alike(made, expected)
    batches = model.predict(X, batch_size=2)
    for key, value in expected.items():
        np.testing.assert_allclose(batches[key], value, **ROUNDING)


@both
@pytest.mark.parametrize("eager", [False, True])
def test_targets_losses_and_metrics_by_key(make, eager):
    model = compiled(make, run_eagerly=eager)
    first, second = model.predict(X).values()
    found = model.evaluate(X, Y, return_dict=True)
    assert set(found) == {"loss", "first_loss", "second_loss", "second_mae"}
    np.testing.assert_allclose(found["first_loss"], np.abs(first).mean(), rtol=1e-5)
    np.testing.assert_allclose(found["second_loss"], np.square(second - 1).mean(), rtol=1e-5)
    before = found["loss"]
    model.fit(X, Y, epochs=5, batch_size=2, validation_data=(X, Y), verbose=0)
    model.fit(((X, Y) for _ in range(2)), verbose=0)
    model.train_on_batch(X, Y, sample_weight={"first": np.ones(5), "second": np.zeros(5)})
    assert model.evaluate(X, Y, return_dict=True)["loss"] < before
    with pytest.raises(ValueError, match=r"y has no entry 'first'.*\['second'\]"):
        model.fit(X, {"second": Y["second"]}, verbose=0)


def test_one_output_in_a_dict_stays_in_it():
    x = pn.Input((3,))
    model = pn.Model(x, {"only": L.Dense(2)(x)})
    assert list(model.predict(WIDE)) == list(model(WIDE)) == list(model.predict(WIDE)) == ["only"]


def test_a_subclass_goes_by_the_form_of_the_data():
    class Either(pn.Model):
        def call(self, x):
            return x["a"] * 2 if isinstance(x, dict) else x * 3

    model = Either()
    for _ in range(2):
        np.testing.assert_array_equal(model.predict({"a": WIDE}), WIDE * 2)
        np.testing.assert_array_equal(model.predict(WIDE), WIDE * 3)


def test_callbacks_see_outputs_by_key():
    seen = []

    class Look(pn.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            seen.append(list(logs["outputs"]))

    functional().predict(X, callbacks=[Look()])
    assert seen == [["first", "second"]]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: pn.Model.from_config(m.get_config())])
def test_copies_keep_the_keys(again):
    model = functional()
    other = again(model)
    other.set_weights(model.get_weights())
    assert (other.input_names, other.output_names) == (["wide", "narrow"], ["first", "second"])
    assert_alike(other.predict(X), model.predict(X))


def test_files_keep_the_keys_beside_what_tensorflow_js_reads(tmp_path):
    model = compiled(functional)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    topology = json.loads((tmp_path / "m" / "model.json").read_text())
    config = topology["modelTopology"]["config"]
    assert [entry[0] for entry in config["input_layers"]] == ["a", "b"] and [entry[0] for entry in config["output_layers"]] == ["o", "p"]
    assert topology["trainingConfig"]["loss"] == {"p": "mean_squared_error", "o": "mean_absolute_error"}  # outputs by their layers
    loaded = pn.load_model(tmp_path / "m")
    assert_alike(loaded.predict(X), model.predict(X))
    assert loaded.evaluate(X, Y, return_dict=True) == model.evaluate(X, Y, return_dict=True)


def test_keras_writes_dicts_of_layers():
    config = functional().get_config()
    for word, keys in (("input_layers", config.pop("input_keys")), ("output_layers", config.pop("output_keys"))):
        config[word] = dict(zip(keys, config[word], strict=True))
    model = pn.Model.from_config(config)
    assert (model.input_names, model.output_names) == (["wide", "narrow"], ["first", "second"])


@pytest.mark.parametrize("keys", [["first"], ["first", "first"], "first", {"first": 0, "second": 1}])
def test_keys_in_a_config_suit_the_outputs(keys):
    with pytest.raises(ValueError, match="one key for each"):
        pn.Model.from_config({**functional().get_config(), "output_keys": keys})


def test_a_nested_model_gets_its_inputs_by_key_from_files_too():
    inner, narrow, wide = functional(), pn.Input((2,)), pn.Input((3,))
    made = inner({"narrow": narrow, "wide": wide})
    outer = pn.Model([narrow, wide], made["first"])
    again = pn.Model.from_config(outer.get_config())
    again.set_weights(outer.get_weights())
    np.testing.assert_array_equal(again.predict([NARROW, WIDE]), outer.predict([NARROW, WIDE]))


def test_shapes_of_inputs_and_outputs():
    model = functional()
    assert model.input_shape == {"wide": (None, 3), "narrow": (None, 2)}
    assert model.output_shape == {"first": (None, 2), "second": (None, 1)}
    assert (model.get_layer("o").input_shape, model.get_layer("o").output_shape) == ((None, 5), (None, 2))
    stack = pn.Sequential([L.Dense(2, input_shape=(3,)), L.Reshape((2, 1))])
    assert (stack.input_shape, stack.output_shape, stack.layers[1].input_shape) == ((None, 3), (None, 2, 1), (None, 2))
    assert not hasattr(L.Dense(2), "output_shape") and not hasattr(Subclass(), "output_shape")
