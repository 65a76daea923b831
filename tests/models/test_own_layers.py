"""Models with layers of the user's own: inner layers, layers that mix rows, masks."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

X = np.arange(6.0, dtype=np.float32).reshape(2, 3)


class Inner(pn.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = L.Dense(3)

    def call(self, x):
        return self.dense(x)


class InnerWithRule(Inner):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


class Same(pn.Layer):
    supports_masking = True

    def call(self, x):
        return x


@pytest.mark.parametrize("block", [Inner, InnerWithRule])
@pytest.mark.parametrize("first", [lambda: L.Dense(3, input_shape=(3,)), lambda: pn.Input((3,))])
def test_inner_layers_are_built_with_the_stack(block, first):
    model = pn.Sequential([first(), block()])
    assert len(model.weights) == 2 * (len(model.layers))
    whole = pn.Sequential([block()])
    whole.build((None, 3))
    assert len(whole.weights) == 2
    assert model.predict(X).shape == (2, 3)


@pytest.mark.parametrize("block", [Inner, InnerWithRule])
def test_inner_layers_are_built_with_the_graph(block):
    x = pn.Input((3,))
    model = pn.Model(x, block()(x))
    assert len(model.weights) == 2 and model.predict(X).shape == (2, 3)


def test_a_layer_that_zeros_do_not_suit_is_built_by_its_call():
    class Sum(InnerWithRule):
        def call(self, x, y):
            return self.dense(x) + y

    x = pn.Input((3,))
    model = pn.Model(x, Sum()(x, x))
    model.run_eagerly = True
    assert model.predict(X).shape == (2, 3) and len(model.weights) == 2


def test_inner_layers_of_a_layer_in_the_middle_are_built():
    model = pn.Sequential([InnerWithRule(), L.Dense(1)])
    model.build((None, 3))
    assert len(model.weights) == 4


def test_a_mask_stays_off_the_tensor_that_was_given():
    x, mask = pn.tensor(np.ones((2, 3, 1))), np.array([[True, False, True]] * 2)
    for layer in (Same(), pn.Sequential([Same()])):
        y = layer(x, mask=mask)
        assert x.mask is None and y is not x
        np.testing.assert_array_equal(y.mask.numpy(), mask)


def test_a_model_takes_a_mask_as_an_array():
    x, mask = np.ones((2, 3, 1)), np.array([[True, False, True], [True, True, False]])
    model = pn.Sequential([L.GRU(2, input_shape=(3, 1))])
    np.testing.assert_array_equal(model(x, mask=mask).numpy(), model.layers[0](x, mask=mask).numpy())
    assert (model(x, mask=mask).numpy() != model(x).numpy()).any()


def test_a_gradient_passes_through_a_layer_that_returns_its_input():
    def total(x):
        return pn.sum(Same()(x, mask=pn.tensor(np.array([[True, False]]))) * 2.0)

    np.testing.assert_array_equal(pn.grad(total)(pn.ones((1, 2, 1))).numpy(), np.full((1, 2, 1), 2.0))


class Centered(pn.Layer):
    def call(self, x):
        return x - pn.mean(x, axis=0, keepdims=True)


class CenteredModel(pn.Model):
    def call(self, x, training=False):
        return x - pn.mean(x, axis=0, keepdims=True)


@pytest.mark.parametrize(
    "model",
    [
        lambda: pn.Sequential([L.Lambda(lambda t: t - pn.mean(t, axis=0, keepdims=True), input_shape=(1,))]),
        lambda: pn.Sequential([L.Activation(lambda t: t - pn.mean(t, axis=0, keepdims=True), input_shape=(1,))]),
        lambda: pn.Sequential([pn.Input((1,)), Centered()]),
        lambda: pn.Sequential([pn.Input((1,)), pn.Sequential([Centered()])]),
        CenteredModel,
    ],
)
def test_rows_that_are_mixed_are_those_of_the_batch(model):
    x = np.array([[1.0], [2.0], [6.0]], np.float32)
    np.testing.assert_allclose(model().predict(x), x - 3.0)


def test_softmax_over_the_batch():
    x = np.zeros((3, 1), np.float32)
    np.testing.assert_allclose(pn.Sequential([L.Softmax(axis=0, input_shape=(1,))]).predict(x), np.full((3, 1), 1 / 3), rtol=1e-6)


def test_plain_layers_are_padded_still():
    model = pn.Sequential([L.Dense(2, activation="relu", input_shape=(3,)), L.GaussianNoise(0.1), L.BatchNormalization()])
    for rows in (5, 6, 7):
        model.predict(np.ones((rows, 3)))
    assert len(model.programs._programs) == 1


class TwoAndTwo(pn.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = L.Dense(1), L.Dense(2)

    def call(self, x, training=False):
        a, b = x
        return self.first(a), self.second(b)


@pytest.mark.parametrize("kind", [list, tuple])
def test_models_without_names_take_several_arrays(kind):
    x, y = kind([np.ones((5, 3)), np.ones((5, 4))]), kind([np.ones((5, 1)), np.ones((5, 2))])
    model = TwoAndTwo()
    model.compile("sgd", "mse")
    history = model.fit(x, y, epochs=3, validation_data=(x, y), verbose=0)
    assert {"loss", "output_0_loss", "val_output_1_loss"} <= set(history.history)
    assert [a.shape for a in model.predict(x)] == [(5, 1), (5, 2)]
    assert [a.shape for a in model.predict_on_batch(x)] == [(5, 1), (5, 2)]
    assert len(model.evaluate(x, y)) == 3


def test_lists_of_lists_are_one_array():
    assert CenteredModel().predict([[1.0], [3.0]]).tolist() == [[-1.0], [1.0]]
    rows = [np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0])]
    assert pn.Sequential([L.Dense(1, input_shape=(3,))]).predict(rows).shape == (2, 1)


@pytest.mark.parametrize("step", ["train_step", "test_step", "compute_loss"])
def test_steps_of_a_models_own_are_refused(step):
    model = type("Own", (CenteredModel,), {step: lambda self, data: None})()
    with pytest.raises(NotImplementedError, match=f"Own.{step}"):
        model.compile("sgd", "mse")


def test_a_layer_that_is_added_is_asked_too():
    model = pn.Sequential([L.Dense(1, kernel_initializer="ones", input_shape=(1,))])
    x = np.array([[1.0], [2.0], [6.0]], np.float32)
    model.predict(x)
    model.add(Centered())
    np.testing.assert_allclose(model.predict(x), x - 3.0)


def test_a_layer_that_does_not_fit_is_not_added():
    model = pn.Sequential([L.Dense(3, input_shape=(3,))])
    with pytest.raises(ValueError, match="Conv2D"):
        model.add(L.Conv2D(3, 3))
    model.add(L.Dense(1))
    assert [type(layer) for layer in model.layers] == [L.Dense, L.Dense] and model.predict(X).shape == (2, 1)


def test_stacks_within_stacks_take_no_more_than_their_layers():
    model = pn.Sequential([pn.Input((3,)), pn.layers.Dense(3)])
    for _ in range(40):  # twice the work for each would not end
        model = pn.Sequential([model, pn.layers.ReLU()])
    assert not model.stateful
    assert model.predict(np.ones((2, 3), np.float32)).shape == (2, 3)


class Forgetful(pn.Model):
    def call(self, x):
        x * 2.0


@pytest.mark.parametrize("use", [
    lambda layer: layer(X),
    lambda layer: layer(pn.Input((3,))),
    lambda layer: pn.Sequential([pn.Input((3,)), layer]),
    lambda layer: pn.Sequential([L.Dense(3), layer]).predict(X),
    lambda layer: pn.grad(lambda x: layer(x))(X),
])  # fmt: skip
@pytest.mark.parametrize("kind", [Forgetful, type("ForgetfulLayer", (pn.Layer,), {"call": Forgetful.call})])
def test_a_forgotten_return_is_named(use, kind):
    with pytest.raises(TypeError, match=rf"\[{kind.__name__} 'mine'\] call\(\) must return the outputs. Received: None"):
        use(kind(name="mine"))


def test_a_model_without_a_return_does_not_train():
    model = Forgetful(name="mine")
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"\[Forgetful 'mine'\] call\(\) must return"):
        model.fit(X, X, verbose=0)


class Twice(pn.Layer):
    """Calls its layers as tutorials do, `training` and `mask` by their place."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop, self.inner = L.Dropout(0.5, seed=1), TrainingFirst()

    def call(self, x, training=False):
        return self.inner(x, training, None)


class TrainingFirst(pn.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = L.Dropout(0.5, seed=1)

    def call(self, x, training, mask=None):
        assert mask is None or mask.dtype == bool
        return self.drop(x)


class AddsNone(pn.Layer):
    def call(self, x, training):
        return x + None


def test_training_and_mask_by_their_place():
    x = np.ones((4, 50), np.float32)
    for block in (Twice(), TrainingFirst()):
        np.testing.assert_array_equal(block(x, False).numpy(), x)
        assert set(np.unique(block(x, True).numpy())) == {0, 2}
        assert set(np.unique(block(x, training=True).numpy())) == {0, 2}
    assert TrainingFirst()(x, False, np.ones((4, 50), bool)).shape == (4, 50)
    with pytest.raises(TypeError, match=r"\[TrainingFirst '.*'\] the argument 'training' was given twice"):
        TrainingFirst()(x, True, training=True)
    with pytest.raises(TypeError, match="^unsupported operand"):  # in the layer's own words: all its arguments came
        AddsNone()(x)
    inputs = pn.Input((50,))
    model = pn.Model(inputs, Twice()(inputs, True))
    assert set(np.unique(model(x).numpy())) == {0, 2}


class Around(pn.Layer):
    def __init__(self, model, **words):
        super().__init__()
        self.model, self.words = model, words

    def call(self, x):
        return self.model(x, **self.words)


@pytest.mark.parametrize("graph", [False, True])
def test_a_model_in_a_layer_trains_with_it(graph):
    inputs, drop = pn.Input((50,)), L.Dropout(0.5)
    inner = pn.Model(inputs, drop(inputs)) if graph else pn.Sequential([inputs.layer, drop])
    x = np.ones((2, 50), np.float32)
    for _ in range(2):  # the second time there is a program that doesn't train
        np.testing.assert_array_equal(Around(inner)(x).numpy(), x)
        assert set(np.unique(Around(inner)(x, training=True).numpy())) == {0, 2}
        np.testing.assert_array_equal(Around(inner, training=False)(x, training=True).numpy(), x)
    assert set(np.unique(pn.Sequential([Around(inner)])(x, training=True).numpy())) == {0, 2}


def _layer_class():
    class Scaled(pn.Layer):
        def __init__(self, by=2.0, **kwargs):
            super().__init__(**kwargs)
            self.by = by

        def call(self, x, *, training=False):
            return x * self.by

    return Scaled


def _loss_class():
    class Shifted(pn.losses.MeanSquaredError):
        def __init__(self, by=0.0):
            super().__init__()
            self.by = by

        def call(self, y_true, y_pred):
            return super().call(y_true + self.by, y_pred)

    return Shifted


def test_classes_that_nobody_has_any_more_are_let_go():
    left = []
    for _ in range(3):
        scaled, shifted = _layer_class(), _loss_class()
        model = pn.Sequential([scaled(input_shape=(3,)), L.Dense(1)])
        model.compile("sgd", shifted())
        model.fit(X, X[:, :1], verbose=0)
        assert model.layers[0].get_config()["by"] == 2.0 and repr(model.layers[0])
        left += [weakref.ref(scaled), weakref.ref(shifted)]
        del scaled, shifted, model
    gc.collect()
    assert [c() for c in left] == [None] * 6


def test_a_subclass_has_arguments_of_its_own():
    base = _layer_class()
    assert base(by=3.0).get_config()["by"] == 3.0

    class Sum(base):
        def __init__(self, plus=1.0, **kwargs):
            super().__init__(**kwargs)
            self.plus = plus

        def call(self, x, training=False):
            return x * self.by + self.plus + (100.0 if training else 0.0)

    config = Sum(by=3.0, plus=0.5).get_config()
    assert (config["by"], config["plus"]) == (3.0, 0.5)
    assert Sum()(X, True).tolist() == (X * 2 + 101).tolist() and base()(X).tolist() == (X * 2).tolist()


class Reticent(pn.Layer):
    def __init__(self, units):
        super().__init__(name="reticent")
        self.dense = L.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_a_layer_that_keeps_no_arguments_is_shown_and_says_why_it_has_no_config(tmp_path):
    layer = Reticent(2)
    assert repr(layer) == "Reticent(name='reticent')"
    model = pn.Sequential([layer])
    model(X)
    for describe in (layer.get_config, lambda: model.save(tmp_path / "m")):
        with pytest.raises(AttributeError, match=r"\[Reticent\] get_config reads .* no attribute 'units'. Write self.units = units in"):
            describe()


def test_a_model_is_saved_with_an_optimizer_and_metrics_that_keep_no_arguments(tmp_path):
    class Own(pn.optimizers.SGD):
        def __init__(self, rate):
            super().__init__(learning_rate=rate)

    class Above(pn.metrics.BinaryAccuracy):
        def __init__(self, at, unit="%"):
            super().__init__(threshold=at)
            self.unit, self.at = unit, at

    assert repr(Own(0.5)) == "Own(name='own')" and Above(0.25).get_config() == {"name": "above", "at": 0.25, "unit": "%"}
    model = pn.Sequential([L.Dense(1, input_shape=(3,))])
    model.compile(Own(0.5), "mse", metrics=[Above(0.25)])
    model.fit(X, X[:, :1], verbose=0)
    with pytest.warns(UserWarning, match="saved without the optimizer|without its optimizer: it has no Own"):
        model.save(tmp_path / "m")
    np.testing.assert_array_equal(pn.load_model(tmp_path / "m").predict(X, verbose=0), model.predict(X, verbose=0))
