"""Batches of known shape go past Python; what a model is may still change between two of them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.engine import kernels
from pynn.errors import NonFiniteError
from pynn.models.calls import BatchCall

native = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback looks at every batch in Python")
X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def line(**kwargs):
    model = pn.Sequential([L.Dense(3, activation="tanh", input_shape=(4,)), L.Dense(1)])
    model.compile(optimizer=pn.optimizers.SGD(0.05), loss="mean_squared_error", **kwargs)
    return model


def twins(**kwargs):
    """Two models of the same weights; the second runs op by op."""
    model, plain = line(**kwargs), line(run_eagerly=True, **kwargs)
    plain.set_weights(model.get_weights())
    return model, plain


@pytest.fixture
def looked_at(monkeypatch):
    seen = []
    original = BatchCall.call_python

    def call_python(self, *values):
        seen.append(self._method)
        return original(self, *values)

    monkeypatch.setattr(BatchCall, "call_python", call_python)
    return seen


@native
def test_known_batches_need_no_python(looked_at):
    model = line()
    for _ in range(3):
        model(X), model(pn.tensor(X)), model(X, training=False), model.predict_on_batch(X)
        model.train_on_batch(X, Y), model.test_on_batch(X, Y), model.train_on_batch(X, Y, np.ones(6, np.float32))
    assert sorted(looked_at) == ["call_on_batch", "predict_alone", "test_alone", "train_alone", "train_alone"]
    model(X[:3]), model(X.astype(np.float64)), model(X.astype(np.float64)), model(X[::2])
    assert len(looked_at) == 9


@pytest.mark.parametrize("return_dict", [False, True])
def test_steps_give_what_eager_ones_give(return_dict):
    model, plain = twins(metrics=["mae"])
    for _ in range(4):
        got, wanted = (m.train_on_batch(X, Y, return_dict=return_dict) for m in (model, plain))
        assert got == wanted
    assert model.test_on_batch(X, Y) == plain.test_on_batch(X, Y)
    assert model.train_on_batch(X, Y, class_weight=None) == plain.train_on_batch(X, Y)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model(X).numpy(), plain(X).numpy())
    assert model.objective.results() == plain.objective.results()


def test_results_of_calls_are_new_arrays():
    model = line()
    first = model.predict_on_batch(X)
    kept = first.copy()
    first_tensor = model(X)
    model.train_on_batch(X, Y)
    second = model.predict_on_batch(X)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(first_tensor.numpy(), kept)
    assert not np.array_equal(first, second) and second.flags.writeable
    second[:] = 0
    assert model.predict_on_batch(X).any()


def test_what_is_trainable_may_change():
    model = line()
    model.train_on_batch(X, Y)
    model.layers[0].trainable = False
    before = model.get_weights()
    model.train_on_batch(X, Y)
    after = model.get_weights()
    assert np.array_equal(before[0], after[0]) and not np.array_equal(before[2], after[2])
    model.layers[0].kernel.trainable = True
    model.train_on_batch(X, Y)
    assert not np.array_equal(model.get_weights()[0], after[0])


def test_layers_may_be_added_and_taken_off():
    model = line()
    assert model(X).shape == (6, 1) and model.predict_on_batch(X).shape == (6, 1)
    model.add(L.Dense(5))
    assert model(X).shape == (6, 5) and model.predict_on_batch(X).shape == (6, 5)
    model.pop()
    assert model(X).shape == (6, 1)


def test_layers_in_a_list_of_a_model():
    class Stack(pn.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [L.Dense(3)]

        def call(self, x, training=False):
            for block in self.blocks:
                x = block(x)
            return x

    other = L.Dense(2)
    other(np.ones((1, 3), np.float32))
    model = Stack()
    assert model(X).shape == (6, 3) == model(X).shape
    model.blocks.append(other)
    assert model(X).shape == (6, 2)


def test_compile_and_run_eagerly_are_seen():
    model = line()
    model.train_on_batch(X, Y)
    model.compile(optimizer=pn.optimizers.SGD(0.0), loss="mean_absolute_error")
    before = model.get_weights()
    assert model.train_on_batch(X, Y) == pytest.approx(float(np.abs(model(X).numpy() - Y).mean()), rel=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.run_eagerly = True
    assert model(X).shape == (6, 1) and model.predict_on_batch(X).shape == (6, 1)


def test_a_batch_that_is_not_finite_is_explained():
    model = line()
    for _ in range(2):
        model.train_on_batch(X, Y)
    before = model.get_weights()
    for _ in range(2):
        with pytest.raises(NonFiniteError):
            model.train_on_batch(X * np.float32("inf"), Y)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert np.isfinite(model.train_on_batch(X, Y))


def test_a_rate_that_python_computes():
    rates = []

    def schedule(step):
        rates.append(step)
        return 0.1 / (1 + step)

    model = pn.Sequential([L.Dense(1, input_shape=(4,))])
    model.compile(optimizer=pn.optimizers.SGD(schedule), loss="mean_squared_error")
    for _ in range(3):
        model.train_on_batch(X, Y)
    assert rates[-3:] == [0, 1, 2]


def test_models_go_away():
    model = line()
    for _ in range(2):
        model(X), model.train_on_batch(X, Y)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def difference():
    a, b = pn.Input((1,), name="a"), pn.Input((1,), name="b")
    return pn.Model([a, b], L.Subtract(name="minus")([a, b]), name="difference")


FIVE, TWO = np.array([[5.0]], np.float32), np.array([[2.0]], np.float32)


def test_inputs_in_a_dict_are_found_by_their_names():
    model = difference()
    p, q = pn.Input((1,), name="p"), pn.Input((1,), name="q")
    around = pn.Model([p, q], model({"b": q, "a": p}))
    for x in ({"a": FIVE, "b": TWO}, {"b": TWO, "a": FIVE}):
        assert model(x).tolist() == model.predict(x).tolist() == [[3.0]]
        assert pn.grads(lambda a, b: model({"b": b, "a": a}).sum())(x["a"], x["b"])[1].tolist() == [[-1.0]]
    assert around([FIVE, TWO]).tolist() == [[3.0]]


def test_wrong_inputs_are_told_with_the_names():
    model, wrong = difference(), {"a": FIVE, "c": TWO}
    symbolic = {"a": pn.Input((1,)), "c": pn.Input((1,))}
    for call in (lambda: model(wrong), lambda: pn.grad(lambda a: model({"a": a, "c": TWO}).sum())(FIVE), lambda: model(symbolic)):
        with pytest.raises(ValueError, match=r"x has no entry 'b'. Received: \['a', 'c'\]. Expected: \['a', 'b'\]"):
            call()
    for count in (1, 3):
        for x in ([FIVE] * count, [pn.Input((1,))] * count):
            with pytest.raises(ValueError, match=rf"\[Functional 'difference'\] has 2 inputs \(a, b\). Received: {count}"):
                model(x)
        with pytest.raises(ValueError, match=rf"has 2 inputs \(a, b\). Received: {count}"):
            pn.grad(lambda x, count=count: model([x] * count).sum())(FIVE)


def test_a_model_without_names_gets_a_dict_as_it_is():
    class Difference(pn.Model):
        def call(self, x):
            return x["a"] - x["b"]

    model = Difference()
    for _ in range(3):
        assert model({"b": TWO, "a": FIVE}).tolist() == [[3.0]]


def test_what_a_graph_says_of_training_holds_in_every_call():
    base = pn.Sequential([pn.Input((4,)), pn.layers.Dense(3), pn.layers.BatchNormalization(momentum=0.5)], name="base")
    inputs = pn.Input((4,))
    model = pn.Model(inputs, pn.layers.Dense(1)(base(inputs, training=False)))
    model.compile("sgd", "mse")
    before = base.layers[0].get_weights()[0]
    model.fit(np.random.default_rng(0).normal(size=(8, 4)), np.zeros((8, 1)), verbose=0)
    np.testing.assert_array_equal(base.layers[-1].moving_mean.numpy(), 0)
    assert (base.layers[0].get_weights()[0] != before).all()


def test_layers_that_train_in_predictions_too(tmp_path):
    inputs = pn.Input((50,))
    model = pn.Model(inputs, pn.layers.Dropout(0.5)(inputs, training=True))
    model.save(tmp_path / "dropout")
    x = np.ones((3, 50), np.float32)
    for m in (model, pn.load_model(tmp_path / "dropout")):
        drawn = [m(x).numpy(), m(x).numpy(), m.predict(x), m.predict(x), m(x, training=False).numpy()]
        assert all(set(np.unique(y)) == {0, 2} for y in drawn)
        assert len({y.tobytes() for y in drawn}) == len(drawn)
    norm = pn.layers.BatchNormalization()
    model = pn.Model(inputs, norm(inputs, training=True))
    x = np.random.default_rng(0).normal(size=(5, 50)).astype(np.float32)  # of five rows, no sixth or eighth beside them
    np.testing.assert_allclose(model.predict(x), (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), atol=1e-5)


def test_masks_given_to_a_functional_model():
    first, second = pn.Input((3, 2)), pn.Input((3, 2))
    lstm = pn.layers.LSTM(2)
    one, two = pn.Model(first, lstm(first)), pn.Model([first, second], [lstm(first), lstm(second)])
    x, mask = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32), np.array([[1, 1, 0], [1, 0, 0]], bool)
    expected = lstm(x, mask=mask).numpy()
    np.testing.assert_array_equal(one(x, mask=mask).numpy(), expected)
    np.testing.assert_array_equal(two([x, x], mask=[None, mask])[1].numpy(), expected)
    np.testing.assert_array_equal(two([x, x], mask=[None, mask])[0].numpy(), lstm(x).numpy())
    with pytest.raises(ValueError, match=r"takes a mask, or None, for each of 2 inputs\. Received: 1"):
        two([x, x], mask=mask)


def test_losses_after_a_call_have_values():
    model = pn.Sequential([pn.Input((4,)), pn.layers.Dense(3, activity_regularizer="l2", kernel_regularizer="l2")])
    model.compile("sgd", "mse")
    once, again, larger = ([float(v) for v in (model(x), model.losses)[1]] for x in (X, X, 2 * X))
    assert len(once) == 2 and once == again
    assert larger[1] == pytest.approx(4 * once[1])
    model.fit(X, np.zeros((6, 3)), verbose=0)
    assert [float(v) for v in model.losses] == pytest.approx([0.01 * (model.get_weights()[0] ** 2).sum()])


def with_batch_size(rows, kind):
    """A model whose input has a batch size."""
    x = pn.Input((4, 3), batch_size=rows)
    model = pn.Model(x, pn.layers.Dense(1)(pn.layers.LSTM(2)(pn.layers.TimeDistributed(pn.layers.Dense(2))(x))))
    return pn.Sequential([pn.Input((4, 3)), model]) if kind == "nested" else model


@pytest.mark.parametrize("kind", ["model", "nested"])
def test_an_input_with_a_batch_size_takes_other_batches(kind):
    model = with_batch_size(3, kind)
    x, y = np.random.default_rng(0).standard_normal((7, 4, 3)).astype(np.float32), np.ones((7, 1), np.float32)
    whole = model.predict(x, verbose=0)
    np.testing.assert_allclose(np.concatenate([model(x[i : i + 1]).numpy() for i in range(7)]), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.predict(x, batch_size=3, verbose=0), whole)
    model.compile("sgd", "mse")
    before = model.evaluate(x, y, batch_size=3, verbose=0)
    model.fit(x, y, batch_size=3, epochs=3, verbose=0)
    assert model.evaluate(x, y, batch_size=3, verbose=0) < before


def test_a_stateful_model_keeps_the_batch_size_of_its_input():
    x = pn.Input((4, 3), batch_size=3)
    model = pn.Model(x, pn.layers.LSTM(2, stateful=True)(x))
    assert model.predict(np.ones((6, 4, 3)), batch_size=3, verbose=0).shape == (6, 2)
    with pytest.raises(ValueError, match="keeps its batch size. Received: a batch of 2, built for 3"):
        model(np.ones((2, 4, 3)))
