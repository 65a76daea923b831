"""Start values: distributions, fans, seeds, names; and regularizers and constraints beside them."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import constraints, initializers, regularizers
from pynn.seeds import generator, key_for

SHAPE = (300, 200)


@pytest.mark.parametrize(
    "initializer, std",
    [
        (initializers.GlorotUniform(1), (2 / 500) ** 0.5),
        (initializers.GlorotNormal(1), (2 / 500) ** 0.5),
        (initializers.HeUniform(1), (2 / 300) ** 0.5),
        (initializers.HeNormal(1), (2 / 300) ** 0.5),
        (initializers.LecunUniform(1), (1 / 300) ** 0.5),
        (initializers.LecunNormal(1), (1 / 300) ** 0.5),
        (initializers.RandomNormal(0, 0.05, 1), 0.05),
        (initializers.TruncatedNormal(0, 0.05, 1), 0.05 * 0.87962566),
        (initializers.RandomUniform(-0.05, 0.05, 1), 0.1 / 12**0.5),
        (initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", 1), (2 / 200) ** 0.5),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, float) else "",
)
def test_mean_and_deviation(initializer, std):
    values = initializer(SHAPE)
    assert values.dtype == np.float32 and values.shape == SHAPE
    assert values.std() == pytest.approx(std, rel=0.01)
    assert abs(values.mean()) < 4 * std / SHAPE[0]


def test_normals_are_cut_at_two_deviations():
    assert np.abs(initializers.TruncatedNormal(0, 1.0, 1)(SHAPE)).max() <= 2


def test_fans_count_the_receptive_field():
    assert initializers.fans((3, 3, 8, 16)) == (72, 144)
    assert initializers.fans((5,)) == (5, 5)
    assert initializers.fans(()) == (1, 1)


@pytest.mark.parametrize("shape", [(6, 6), (8, 3), (3, 8), (2, 3, 4)])
def test_orthogonal_rows_or_columns(shape):
    q = initializers.Orthogonal(gain=2.0, seed=3)(shape, "float64").reshape(-1, shape[-1])
    small = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_constants():
    assert (initializers.Constant(3)((2, 2)) == 3).all()
    np.testing.assert_array_equal(initializers.Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])


def test_own_seeds_repeat_and_the_processs_seed_gives_new_streams():
    assert (initializers.HeNormal(5)((3, 3)) == initializers.HeNormal(5)((3, 3))).all()
    pn.set_seed(1)
    first, second = initializers.HeNormal()((3, 3)), initializers.HeNormal()((3, 3))
    pn.set_seed(1)
    assert (first != second).any() and (initializers.HeNormal()((3, 3)) == first).all()


def test_numpys_global_generator_stays_untouched():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    initializers.HeNormal()((10, 10))
    assert (np.random.get_state()[1] == before).all()


def test_keys_depend_on_seed_and_path_only():
    pn.set_seed(3)
    assert key_for("a") == key_for("a") != key_for("b")
    assert generator(path="a").integers(1 << 30) == generator(path="a").integers(1 << 30)
    assert all(0 <= k < 2**32 for k in key_for("a"))


@pytest.mark.parametrize("name", ["glorot_uniform", "glorotUniform", "GlorotUniform"])
def test_names_in_every_spelling(name):
    assert isinstance(initializers.get(name), initializers.GlorotUniform)


@pytest.mark.parametrize("module", [initializers, regularizers, constraints])
def test_round_trips_and_unknown_names(module):
    for cls in set(module._REGISTER.entries.values()):
        config = cls().get_config()
        again = module.get({"class_name": cls.__name__, "config": config})
        assert type(again) is cls and again.get_config() == config and repr(again)
    assert module.get(None) is None
    with pytest.raises(ValueError, match="Received: 'nonsense'"):
        module.get("nonsense")
    with pytest.raises(ValueError, match="no .* with this name"):
        module.get("scaled")  # a base class is none
    with pytest.raises(TypeError, match="Received: 3"):
        module.get(3)


def test_regularizers():
    w = np.array([[1.0, -2.0]], np.float32)
    assert float(regularizers.L1(0.1)(w)) == pytest.approx(0.3)
    assert float(regularizers.L2(0.1)(w)) == pytest.approx(0.5)
    assert float(regularizers.L1L2(0.1, 0.1)(w)) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="l1 must be a number, zero or more"):
        regularizers.L1(-1)


def test_constraints():
    w = np.array([[3.0, 0.1], [4.0, -0.1]], np.float32)
    np.testing.assert_allclose(np.linalg.norm(constraints.MaxNorm(2)(w).numpy(), axis=0), [2, 0.1 * 2**0.5], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(constraints.UnitNorm()(w).numpy(), axis=0), [1, 1], rtol=1e-5)
    np.testing.assert_allclose(constraints.NonNeg()(w).numpy(), np.maximum(w, 0))
    norms = np.linalg.norm(constraints.MinMaxNorm(1, 3, rate=0.5)(w).numpy(), axis=0)
    np.testing.assert_allclose(norms, [4, (1 + 0.1 * 2**0.5) / 2], rtol=1e-5)


def test_weights_that_are_one_number():
    for name in ("zeros", "ones", "constant", "random_normal", "truncated_normal", "random_uniform", "glorot_uniform", "he_normal"):
        assert initializers.get(name)(()).shape == ()

    class Scale(pn.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(name="factor", shape=(), initializer="ones")

        def call(self, x):
            return x * self.factor

    model = pn.Sequential([pn.Input((1,)), Scale()])
    model.compile(pn.optimizers.SGD(0.5), "mse")
    model.fit(np.ones((2, 1)), np.zeros((2, 1)), verbose=0)
    assert model.layers[0].factor.item() == 0


def test_a_constant_array_is_not_the_weight():
    array = np.full(8, 2, np.float32)
    layer = pn.layers.LSTM(2, bias_initializer=initializers.Constant(array))
    layer.build((None, 3, 2))
    np.testing.assert_array_equal(layer.bias.numpy(), [2, 2, 1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(array, 2)
