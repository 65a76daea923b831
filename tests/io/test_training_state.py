"""The file of the training state: what it holds, and what happens when it isn't what it should be."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

import pynn as pn
from pynn.io.safetensors import load_file, load_metadata, save_file
from pynn.io.training_state import STATE_FILE

X, Y = np.ones((8, 3), np.float32), np.zeros((8, 2), np.float32)


def trained(optimizer="adam", loss="mse", **kwargs):
    model = pn.Sequential([pn.layers.Dense(4, input_shape=(3,), **kwargs), pn.layers.Dropout(0.5), pn.layers.Dense(2, **kwargs)])
    model.compile(optimizer, loss)
    model.fit(X, Y, verbose=0)
    return model


@pytest.fixture
def folder(tmp_path):
    trained().save(tmp_path / "m")
    return tmp_path / "m"


def rewrite(folder, change) -> None:
    """Writes the file anew after `change(arrays, metadata)`."""
    arrays, metadata = load_file(folder / STATE_FILE), load_metadata(folder / STATE_FILE)
    change(arrays, metadata)
    save_file(arrays, folder / STATE_FILE, metadata)


def test_adams_moments_are_not_written_twice(folder):
    assert sorted(n.split("/")[-1] for n in load_file(folder / STATE_FILE)) == ["iterations", "seed_counter", "shuffle_counter"]


def test_a_model_that_was_not_compiled_has_no_such_file(tmp_path):
    pn.Sequential([pn.layers.Dense(2, input_shape=(3,))]).save(tmp_path / "m")
    assert not (tmp_path / "m" / STATE_FILE).exists()


def test_float64_weights_come_back_exactly(tmp_path):
    model = trained(dtype="float64")
    model.save(tmp_path / "m", include_optimizer=False)
    for a, b in zip(model.get_weights(), pn.load_model(tmp_path / "m").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:TensorFlow.js will load this model without its optimizer")
@pytest.mark.parametrize("make", [
    lambda: pn.optimizers.AdamW(0.01), lambda: pn.optimizers.Nadam(), lambda: pn.optimizers.Adam(amsgrad=True, global_clipnorm=1.0),
    lambda: pn.optimizers.RMSprop(centered=True, momentum=0.5), lambda: pn.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    lambda: pn.optimizers.SGD(pn.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)), lambda: pn.optimizers.Adamax(clipvalue=0.1),
    lambda: pn.optimizers.Adagrad(weight_decay=0.1), lambda: pn.optimizers.Adadelta(),
    lambda: pn.optimizers.Adam(use_ema=True, ema_overwrite_frequency=2),
])  # fmt: skip
def test_every_optimizer_goes_on(tmp_path, make):
    model = trained(make(), pn.losses.Huber(0.3))
    model.save(tmp_path / "m")
    again = pn.load_model(tmp_path / "m")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for m in (model, again):
        m.fit(X, Y, epochs=3, batch_size=3, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:TensorFlow.js will load this model without its optimizer")
@pytest.mark.parametrize("make, setting, value", [
    (pn.optimizers.SGD, "momentum", 0.9), (pn.optimizers.Adam, "amsgrad", True), (pn.optimizers.RMSprop, "centered", True),
    (pn.optimizers.Adam, "use_ema", True), (lambda: pn.optimizers.SGD(momentum=0.9), "momentum", 0.0),
])  # fmt: skip
def test_an_optimizer_whose_settings_changed_goes_on(tmp_path, make, setting, value):
    model = trained(make(), "mse")
    setattr(model.optimizer, setting, value)
    for _ in range(2):
        model.save(tmp_path / "m")
        again = pn.load_model(tmp_path / "m")
        for m in (model, again):
            m.fit(X, Y, verbose=0)
        for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:saved without the optimizer", "ignore:TensorFlow.js will load")
def test_a_loss_of_ones_own_is_left_out(tmp_path):
    trained(loss=lambda y, p: pn.mean((y - p) ** 4, axis=-1)).save(tmp_path / "m")
    assert pn.load_model(tmp_path / "m").optimizer is None


def test_a_missing_file_warns(folder):
    (folder / STATE_FILE).unlink()
    with pytest.warns(UserWarning, match="not with the same bits"):
        assert pn.load_model(folder).optimizer is not None


def test_compile_false(folder):
    assert pn.load_model(folder, compile=False).optimizer is None


def test_a_file_beside_it_is_not_read_unless_named(folder):
    description = json.loads((folder / "model.json").read_text())
    del description["pynnState"]
    (folder / "model.json").write_text(json.dumps(description))
    (folder / STATE_FILE).write_bytes(b"nonsense")
    pn.load_model(folder)


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_is_refused(folder, tmp_path):
    shutil.move(folder / STATE_FILE, tmp_path / "outside")
    (folder / STATE_FILE).symlink_to(tmp_path / "outside")
    with pytest.raises(pn.DataError, match="symbolic link"):
        pn.load_model(folder)


KEYS = [None, [], {}, {"layers": []}, {"layers": [[1, 2]], "shuffle": [1]}, {"layers": [[1, -2]], "shuffle": [1, 2]},
        {"layers": [[1, 2.0]], "shuffle": [1, 2]}, {"layers": [[1, 2], [1, 2]], "shuffle": [1, 2]},
        {"layers": [[1, 1 << 32]], "shuffle": [1, 2]}, {"layers": [[True, 2]], "shuffle": [1, 2]}]  # fmt: skip


@pytest.mark.parametrize("keys", KEYS, ids=repr)
def test_keys_are_checked(folder, keys):
    rewrite(folder, lambda arrays, metadata: metadata.update(keys=json.dumps(keys)))
    with pytest.raises(pn.DataError, match="random keys"):
        pn.load_model(folder)


WORDS = [{}, [], 3, "x", {"optimizer": "adam"}, {"optimizer": {"class_name": "os.system", "config": {}}},
         {"optimizer": {"class_name": "Adam", "config": {"learning_rate": {"class_name": "eval", "config": {}}}}},
         {"optimizer": {"class_name": "Adam", "config": {"x": 1}}}, {"optimizer": "adam", "loss": {"class_name": "exec"}},
         {"optimizer": "adam", "loss": ["eval"]}, {"optimizer": "adam", "loss": "mse",
          "metrics": [{"class_name": "__import__"}]}]  # fmt: skip


@pytest.mark.parametrize("words", WORDS[3:], ids=repr)
def test_settings_are_checked(folder, words):
    full = {"loss": None, "loss_weights": None, "metrics": None, "weighted_metrics": None, **words} if isinstance(words, dict) else words
    full = {k: v for k, v in full.items() if k != "loss"} if words == WORDS[4] else full
    rewrite(folder, lambda arrays, metadata: metadata.update(compile=json.dumps(full)))
    with pytest.raises(pn.DataError):
        pn.load_model(folder)


def compiled_with(**words):
    return {"optimizer": "adam", "loss": "mse", "loss_weights": None, "metrics": None, "weighted_metrics": None, **words}


@pytest.mark.parametrize("count", [20_000_000, 10**12, 1e12, "x", None])
def test_thresholds_are_bounded(folder, count):
    auc = [{"class_name": "AUC", "config": {"num_thresholds": count, "curve": "ROC", "name": "auc"}}]
    rewrite(folder, lambda arrays, metadata: metadata.update(compile=json.dumps(compiled_with(metrics=auc))))
    with pytest.raises(pn.DataError, match="num_thresholds"):
        pn.load_model(folder)


def test_thresholds_are_bounded_in_a_training_config(folder):
    description = json.loads((folder / "model.json").read_text())
    del description["pynnState"]
    description["trainingConfig"]["metrics"] = [{"class_name": "AUC", "config": {"num_thresholds": 10**12}}]
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(pn.DataError, match="num_thresholds"):
        pn.load_model(folder)


@pytest.mark.parametrize("paths", [["x"], [3], [[]], 3, "x"], ids=repr)
def test_paths_of_trained_weights_are_checked(folder, paths):
    rewrite(folder, lambda arrays, metadata: metadata.update(compile=json.dumps(compiled_with(trained=paths))))
    with pytest.raises(pn.DataError):
        pn.load_model(folder)


@pytest.mark.parametrize("name", ["state/0/x", "state/1/dropout/seed_counter", "weight/99/x", "evil", "optimizer/0/iterations/x"])
def test_strange_arrays_are_refused(folder, name):
    rewrite(folder, lambda arrays, metadata: arrays.update({name: np.zeros(3, np.float32)}))
    with pytest.raises(pn.DataError, match="another model"):
        pn.load_model(folder)


@pytest.mark.filterwarnings("ignore:TensorFlow.js will load this model without its optimizer")
@pytest.mark.parametrize("make", [pn.optimizers.Adam, lambda: pn.optimizers.SGD(0.1, momentum=0.9), pn.optimizers.Nadam])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_part_of_the_state_is_refused(tmp_path, make, dtype):
    trained(make(), dtype=dtype).save(tmp_path / "m")
    shutil.copy(tmp_path / "m" / STATE_FILE, tmp_path / "whole")
    for name in load_file(tmp_path / "whole"):
        shutil.copy(tmp_path / "whole", tmp_path / "m" / STATE_FILE)
        pn.load_model(tmp_path / "m")
        rewrite(tmp_path / "m", lambda arrays, metadata, name=name: arrays.pop(name))
        with pytest.raises(pn.DataError, match=r"is incomplete. Received: \d+ variables; expected '.* among them"):
            pn.load_model(tmp_path / "m")


def test_a_save_makes_the_folders_above(tmp_path):
    model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,))])
    model.save(tmp_path / "no" / "parent" / "m")
    assert (pn.load_model(tmp_path / "no" / "parent" / "m").get_weights()[0] == model.get_weights()[0]).all()


def test_save_weights_makes_the_folders_above(tmp_path):
    model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,))])
    path = tmp_path / "no" / "parent" / "w.safetensors"
    model.save_weights(path)
    before = model.get_weights()
    model.set_weights([w + 1 for w in before])
    model.load_weights(path)
    assert (model.get_weights()[0] == before[0]).all()


def test_refused_weights_leave_no_folders(tmp_path):
    with pytest.raises(ValueError, match="has no weights yet"):
        pn.Sequential([pn.layers.Dense(1)]).save_weights(tmp_path / "no" / "w.safetensors")
    assert not (tmp_path / "no").exists()


def _nested(kind):
    base = [pn.layers.Dense(3, input_shape=(2,), name="a"), pn.layers.Dense(3, name="b")]
    inner = pn.Sequential(base, name="inner")
    if kind == "functional":
        x = pn.Input((2,))
        inner = pn.Model(x, base[1](base[0](x)), name="inner")
    return pn.Sequential([inner, pn.layers.Dense(1)])


@pytest.mark.parametrize("kind", ["sequential", "functional"])
@pytest.mark.parametrize("way", ["file", "config"])
def test_a_frozen_inner_model_says_so_when_it_is_made_again(tmp_path, kind, way):
    model = _nested(kind)
    inner = model.get_layer("inner")
    inner.trainable = False
    inner.get_layer("b").trainable = True  # frozen as a whole, but for this layer
    if way == "file":
        model.save(tmp_path / "m")
        again = pn.load_model(tmp_path / "m")
    else:
        again = pn.Sequential.from_config(model.get_config())
    assert [again.get_layer("inner").get_layer(name).trainable for name in ("a", "b")] == [False, True]
    assert again.trainable and not again.get_layer("inner").trainable
    assert [w.trainable for w in again.weights] == [w.trainable for w in model.weights]
