"""Names of weights in files of other programs, and the weights of a model that they mean."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.io.weight_names import match, spellings


def model():
    return pn.Sequential([
        pn.Input((4, 3)), L.Dense(2, name="a"), L.Dense(2, use_bias=False, name="b"), L.BatchNormalization(name="norm"),
        L.GRU(2, return_sequences=True, name="g"), L.Bidirectional(L.LSTM(2, name="l"), name="both"), L.Dense(1, name="c"),
    ], name="m")  # fmt: skip


BY_POSITION = {
    "a/kernel": "layers/dense/vars/0", "a/bias": "layers/dense/vars/1", "b/kernel": "layers/dense_1/vars/0",
    "norm/gamma": "layers/batch_normalization/vars/0", "norm/beta": "layers/batch_normalization/vars/1",
    "norm/moving_mean": "layers/batch_normalization/vars/2", "norm/moving_variance": "layers/batch_normalization/vars/3",
    "g/kernel": "layers/gru/cell/vars/0", "g/recurrent_kernel": "layers/gru/cell/vars/1", "g/bias": "layers/gru/cell/vars/2",
    "both/forward_l/kernel": "layers/bidirectional/forward_layer/cell/vars/0",
    "both/forward_l/recurrent_kernel": "layers/bidirectional/forward_layer/cell/vars/1",
    "both/forward_l/bias": "layers/bidirectional/forward_layer/cell/vars/2",
    "both/backward_l/kernel": "layers/bidirectional/backward_layer/cell/vars/0",
    "both/backward_l/recurrent_kernel": "layers/bidirectional/backward_layer/cell/vars/1",
    "both/backward_l/bias": "layers/bidirectional/backward_layer/cell/vars/2",
    "c/kernel": "layers/dense_2/vars/0", "c/bias": "layers/dense_2/vars/1",
}  # fmt: skip
WAYS = {
    "paths": lambda path: path,
    "the model's name in front": lambda path: f"m_7/{path}",
    "two names in front": lambda path: f"outer/m_7/{path}",
    "the cell's name inside": lambda path: "/".join([*path.split("/")[:-1], "some_cell", path.split("/")[-1]]),
    "places": BY_POSITION.get,
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_are_found(way):
    m = model()
    wanted = {v.path: np.full(v.shape, i, np.float32) for i, v in enumerate(m.weights)}
    arrays = {WAYS[way](path): wanted[path] for path in reversed(wanted)}
    pairs = match(m, arrays)
    assert len(pairs) == len(m.weights)
    for variable, array in pairs:
        np.testing.assert_array_equal(array, wanted[variable.path], err_msg=variable.path)


@pytest.mark.parametrize("change, words", [
    (lambda arrays: arrays.pop("c/bias"), "lacks the weight 'c/bias'"),
    (lambda arrays: arrays.update({"d/kernel": np.zeros(1)}), "a weight 'd/kernel' that the model doesn't have"),
    (lambda arrays: arrays.update({"layers/dense_3/vars/0": np.zeros(1)}), "that the model doesn't have"),
    (lambda arrays: arrays.update({"layers/dense/vars/2": np.zeros(1)}), "that the model doesn't have"),
    (lambda arrays: arrays.update({"c/bias": np.zeros(2)}), r"'c/bias' has the shape \(2,\); the model needs \(1,\)"),
])  # fmt: skip
def test_what_does_not_fit_is_named(change, words):
    m = model()
    arrays = {v.path: v.numpy() for v in m.weights}
    change(arrays)
    with pytest.raises(pn.DataError, match=words):
        match(m, arrays)
    if "shape" not in words:
        assert len(match(m, arrays, strict=False)) == len([v for v in m.weights if v.path in arrays])


def test_spellings():
    assert spellings("kernel") == ["kernel"]
    assert spellings("a/kernel") == ["a/kernel"]
    assert spellings("m/a/kernel") == ["m/a/kernel", "m/kernel", "a/kernel"]
    assert spellings("o/m/a/kernel") == ["o/m/a/kernel", "o/m/kernel", "m/a/kernel", "m/kernel", "a/kernel"]


@pytest.mark.parametrize("metrics", [["accuracy", "mae"], None])
def test_a_file_of_tensorflow_js_says_how_the_model_was_compiled(tmp_path, metrics):
    m = pn.Sequential([L.Dense(2, input_shape=(3,))])
    m.compile(pn.optimizers.Adam(0.25, beta_1=0.5), "mse", metrics=metrics)
    x, y = np.ones((4, 3)), np.ones((4, 2))
    m.fit(x, y, verbose=0)
    m.save(tmp_path)
    (tmp_path / "pynn_state.safetensors").unlink()
    with pytest.warns(UserWarning, match="not with the same bits"):
        again = pn.load_model(tmp_path)
    assert (again.optimizer.get_config(), int(again.optimizer.iterations)) == (m.optimizer.get_config(), 1)
    assert again.evaluate(x, y, return_dict=True) == pytest.approx(m.evaluate(x, y, return_dict=True))
    for one, other in zip(again.optimizer.slots, m.optimizer.slots, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
