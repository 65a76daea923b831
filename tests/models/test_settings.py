"""What a model does follows what its Python says now: attributes that are set, code of the user's, statistics that are measured again."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

X, Y = np.ones((2, 4), np.float32), np.zeros((2, 1), np.float32)


def ones(**words):
    model = pn.Sequential([L.Dense(1, kernel_initializer="ones", input_shape=(4,), **words)])
    model.compile(pn.optimizers.SGD(0.1), "mse")
    return model


class Scaled(pn.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.scale, self.calls = L.Dense(1, kernel_initializer="ones"), 1.0, 0

    def call(self, x):
        self.calls += 1
        return self.dense(x) * self.scale


def all_ways(model):
    """The first output as each of the ways to call a model gives it, often enough for the quickest of each."""
    for _ in range(3):
        found = [np.asarray(f(X))[0, 0] for f in (model, model.predict, model.predict_on_batch)]
    assert len(set(found)) == 1
    return float(found[0])


def test_attributes_that_are_set_count_from_the_next_call_on():
    model = Scaled()
    assert all_ways(model) == 4
    model.scale = 10.0
    assert all_ways(model) == 40
    plain = ones()
    assert all_ways(plain) == 4
    plain.layers[0].activation = pn.activations.get("relu6")
    plain.layers[0].kernel.assign(2 * plain.layers[0].kernel)
    assert all_ways(plain) == 6


def test_what_calls_remember_makes_no_new_programs():
    model = Scaled()
    for _ in range(5):
        model.predict(X)
    assert model.calls <= 3
    before = model.calls
    for _ in range(5):
        model(X)
        model.predict(X)
    assert model.calls == before + 5


def test_calls_of_ones_own_code_run_as_python():
    class Branching(pn.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(1)

        def call(self, x):
            y = self.dense(x)
            return y if float(pn.sum(y)) > 0 else -y

    model = Branching()
    assert all(float(model(x)[0, 0]) > 0 for x in (X, X, -X, X))


def test_statistics_that_are_measured_again():
    layer = L.Normalization()
    layer.adapt(np.array([[0.0], [2.0]]))
    model = pn.Sequential([layer])
    x = np.ones((2, 1), np.float32)
    for mean in (1.0, 5.0):
        layer.adapt(np.array([[mean - 1], [mean + 1]]))
        for _ in range(3):
            np.testing.assert_allclose(model.predict(x), 1 - mean)
            np.testing.assert_allclose(model(x), 1 - mean)


def test_another_optimizer_another_setting_of_it_and_another_penalty():
    model = ones()
    for _ in range(2):
        model.fit(X, Y, verbose=0)
        model.train_on_batch(X, Y)
    for change, moved in (
        (lambda: setattr(model, "optimizer", pn.optimizers.SGD(0.0)), 0.0),
        (lambda: setattr(model, "optimizer", pn.optimizers.SGD(1.0, clipvalue=0.25)), 0.25),
        (lambda: setattr(model.optimizer, "clipvalue", 0.5), 0.5),
    ):
        change()
        for train in (lambda: model.fit(X, Y, verbose=0), lambda: model.train_on_batch(X, Y)):
            model.set_weights([np.full((4, 1), 3.0), np.zeros(1)])
            train()
            np.testing.assert_allclose(model.get_weights()[0], 3 - moved, rtol=1e-6)
    before = model.evaluate(X, Y)
    model.layers[0].kernel.regularizer = pn.regularizers.L2(1.0)
    weights = model.get_weights()[0]
    assert model.evaluate(X, Y) == pytest.approx(before + float(np.square(weights).sum()), rel=1e-5)


def test_switching_back_and_forth_takes_the_programs_that_there_are():
    model = ones()
    for rate in (0.5, 1.0) * 4:
        model.layers[0].name_of_rate = rate
        model.predict(X)
    assert len(model.programs._programs) == 2


@pytest.mark.parametrize("train", [
    lambda model: model.fit(X, Y, verbose=0),
    lambda model: model.train_on_batch(X, Y),
    lambda model: model.fit([(X, Y)].__iter__(), verbose=0),
])  # fmt: skip
def test_a_schedule_that_is_set_counts_from_the_next_step_on(train):
    model = ones()
    rates = []
    for rate in (0.1, pn.optimizers.schedules.PiecewiseConstantDecay([1], [0.2, 0.3]), lambda step: 0.4, lambda step: 0.5):
        model.optimizer.learning_rate = rate
        model.layers[0].set_weights([np.ones((4, 1)), np.zeros(1)])
        train(model)
        rates.append(float(-model.layers[0].bias.numpy()[0]) / 8)  # the error is 4, its gradient 8
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.4, 0.5], rtol=1e-5)
