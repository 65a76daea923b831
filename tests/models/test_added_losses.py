"""Models whose layers define the whole loss by `add_loss`: trained, evaluated and validated without targets."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = X[:, :1]


@pn.register_layer
class Reconstruction(pn.Layer):
    """Adds the mean squared distance between its two inputs to the loss, and gives the second back."""

    def call(self, inputs):
        x, decoded = inputs
        self.add_loss(((x - decoded) ** 2).mean())
        return decoded


def autoencoder(**kwargs):
    pn.set_seed(3)
    x = pn.Input((4,))
    model = pn.Model(x, Reconstruction()([x, L.Dense(4)(L.Dense(2)(x))]))
    model.compile("adam", **kwargs)
    return model


class Autoencoder(pn.Model):
    """The same, with the loss in the model's own call."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = L.Dense(2), L.Dense(4)

    def call(self, x):
        decoded = self.decoder(self.encoder(x))
        self.add_loss(((x - decoded) ** 2).mean())
        return decoded


def weights(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


def distance(model, x=X):
    return float(np.mean((model.predict(x, verbose=0) - x) ** 2))


def batches():
    while True:
        yield from (X[i : i + 10] for i in range(0, 50, 10))


def test_training_without_targets_equals_training_on_the_inputs():
    alone, usual = autoencoder(), autoencoder()
    x = usual.inputs[0]
    usual = pn.Model(x, usual.layers[2](usual.layers[1](x)))
    usual.compile("adam", "mean_squared_error")
    histories = [m.fit(*data, epochs=3, batch_size=20, verbose=0).history for m, data in ((alone, (X,)), (usual, (X, X)))]
    assert list(histories[0]) == ["loss"]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(weights(alone), weights(usual), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("eager", [False, True])
def test_every_way_in_gives_the_loss_alone(eager):
    model = autoencoder(run_eagerly=eager)
    before = distance(model)
    assert model.evaluate(X) == pytest.approx(before, rel=1e-5)
    assert model.test_on_batch(X) == pytest.approx(before, rel=1e-5)
    assert [model.train_on_batch(X), model.train_on_batch(X)][0] == pytest.approx(before, rel=1e-5)
    assert model.test_on_batch(X, return_dict=True) == {"loss": pytest.approx(distance(model), rel=1e-5)}
    assert model.metrics_names == ["loss"]


def test_captured_steps_equal_eager_ones():
    captured, eager = autoencoder(), autoencoder(run_eagerly=True)
    histories = [m.fit(X, epochs=3, batch_size=20, validation_split=0.2, verbose=0).history for m in (captured, eager)]
    assert histories[0] == histories[1] and list(histories[0]) == ["loss", "val_loss"]
    np.testing.assert_array_equal(weights(captured), weights(eager))


@pytest.mark.parametrize("item", [lambda x: x, lambda x: (x,), lambda x: (x, None), lambda x: (x, None, None)])
def test_batches_of_inputs_equal_arrays(item):
    arrays, generated = autoencoder(), autoencoder()
    arrays.fit(X, epochs=2, batch_size=10, shuffle=False, verbose=0)
    generated.fit((item(x) for x in batches()), epochs=2, steps_per_epoch=5, verbose=0)
    np.testing.assert_array_equal(weights(arrays), weights(generated))
    assert generated.evaluate((item(x) for x in batches()), steps=5) == pytest.approx(distance(generated), rel=1e-5)


@pytest.mark.parametrize("data", [X, (X,), (X, None), [X[:9]]])
def test_validation_data_may_be_inputs_alone(data):
    model = autoencoder()
    history = model.fit(X, validation_data=data, verbose=0).history
    x = data[0] if isinstance(data, (tuple, list)) else data
    assert history["val_loss"][0] == pytest.approx(distance(model, x), rel=1e-5)


def test_a_model_of_ones_own_is_trained():
    model = Autoencoder()
    model.compile(pn.optimizers.Adam(0.01))
    losses = model.fit(X, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.filterwarnings("ignore:TensorFlow.js")
def test_a_saved_model_is_trained_on(tmp_path):
    functional = autoencoder()
    functional.fit(X, epochs=2, verbose=0)
    functional.save(tmp_path / "m")
    again = pn.load_model(tmp_path / "m")
    for m in (functional, again):
        m.fit(X, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(weights(again), weights(functional))


def test_targets_may_still_be_given_for_metrics():
    history = autoencoder(metrics=["mae"]).fit(X, X, validation_split=0.2, verbose=0).history
    assert list(history) == ["loss", "mae", "val_loss", "val_mae"]


def plain():
    model = pn.Sequential([L.Dense(1, input_shape=(4,))])
    model.compile("sgd")
    return model


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("train", [lambda m: m.fit(X, verbose=0), lambda m: m.fit(X, Y, verbose=0), lambda m: m.evaluate(X),
                                   lambda m: m.train_on_batch(X), lambda m: m.test_on_batch(X, Y)])  # fmt: skip
def test_a_model_with_nothing_to_minimise_is_refused(train, eager):
    model = plain()
    model.run_eagerly = eager
    before = weights(model)
    with pytest.raises(ValueError, match="there is nothing to minimise.*compile.loss=.*add_loss"):
        train(model)
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize(("train", "words"), [
    (lambda m: m.fit(X, sample_weight=np.ones(50), verbose=0), "sample_weight without y"),
    (lambda m: m.fit(X, class_weight={0: 2.0}, verbose=0), "class_weight needs the classes"),
    (lambda m: m.train_on_batch(X, class_weight={0: 2.0}), "class_weight needs the classes"),
])  # fmt: skip
def test_what_needs_targets_says_so(train, words):
    with pytest.raises(ValueError, match=words):
        train(autoencoder())


def test_metrics_need_targets():
    with pytest.raises(ValueError, match="y is missing"):
        autoencoder(metrics=["mae"]).fit(X, verbose=0)


def test_penalties_of_weights_alone_are_minimised():
    model = pn.Sequential([L.Dense(1, input_shape=(4,), kernel_regularizer="l2")])
    model.compile("sgd")
    before = np.abs(model.get_weights()[0]).sum()
    model.fit(X, verbose=0)
    assert np.abs(model.get_weights()[0]).sum() < before


@pytest.mark.parametrize("metrics", [None, ["mae"]])
def test_a_forgotten_loss_is_told_though_weights_have_penalties(metrics):
    model = pn.Sequential([L.Dense(1, input_shape=(4,), kernel_regularizer="l2")])
    model.compile("sgd", metrics=metrics)
    before = weights(model)
    with pytest.raises(ValueError, match="the model has no loss"):
        model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize("eager", [False, True])
def test_a_tensor_that_is_added_counts_as_its_sum(eager):
    class Squares(pn.Layer):
        def call(self, x):
            self.add_loss((x**2).sum(axis=-1))
            return x

    model = pn.Sequential([L.Dense(4, input_shape=(4,)), Squares()])
    model.compile("sgd", run_eagerly=eager)
    assert model.evaluate(X, batch_size=50) == pytest.approx(float(np.sum(model.predict(X, verbose=0) ** 2)), rel=1e-5)
    assert model.train_on_batch(X) > 0


def test_a_list_of_arrays_is_a_batch_of_several_inputs():
    a, b = pn.Input((4,), name="a"), pn.Input((4,), name="b")
    model = pn.Model([a, b], Reconstruction()([a, L.Dense(4)(b)]))
    model.compile("sgd")
    want = model.evaluate([X, X])
    assert model.evaluate(iter([[X, X]])) == pytest.approx(want, rel=1e-5)
    assert model.fit(iter([[X, X]]), verbose=0).history["loss"] == [pytest.approx(want, rel=1e-5)]
