"""What the package saves loads in the real TensorFlow.js and computes the same there, and the other way round.

Needs Node and a folder `node_modules` with @tensorflow/tfjs, which the variable PYNN_TFJS_NODE_MODULES names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

import pynn as pn
from tests.io.node_models import COMPILED, MODELS, OPTIMIZERS, compiled, inputs_for, randomize, trained, training_data

MODULES = Path(os.environ.get("PYNN_TFJS_NODE_MODULES", ""))
SCRIPT = Path(__file__).with_name("predict.js")

needs_node = pytest.mark.skipif(
    not shutil.which("node") or not (MODULES / "@tensorflow" / "tfjs").is_dir(),
    reason="Node or @tensorflow/tfjs is not here; set PYNN_TFJS_NODE_MODULES to a node_modules folder that has it",
)


def entry(array: np.ndarray) -> dict:
    """An array in the words of predict.js."""
    return {"dtype": "int32" if array.dtype.kind == "i" else "float32", "shape": array.shape, "values": array.ravel().tolist()}


def arrays(entries: list[dict]) -> list[np.ndarray]:
    """Arrays from the words of predict.js."""
    return [np.array(e["values"], np.float32).reshape(e["shape"]) for e in entries]


def outputs_of(model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    found = model.predict(inputs[0] if len(inputs) == 1 else inputs, verbose=0)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def write_models(folder: Path) -> tuple[list[dict], dict]:
    """Saves every model; what Node shall do, and for each name (inputs, outputs)."""
    jobs, kept = [], {}
    for name, make in MODELS.items():
        model = make()
        randomize(model)
        inputs = inputs_for(name, model)
        model.save(folder / name)
        kept[name] = inputs, outputs_of(model, inputs)
        jobs.append({"folder": str(folder / name), "inputs": [entry(a) for a in inputs], "resave": str(folder / f"{name}_by_tfjs")})
    x, y = training_data()
    for name in COMPILED:
        compiled(name).save(folder / f"loss_{name}")
        jobs.append({"folder": str(folder / f"loss_{name}"), "inputs": [entry(x)], "y": entry(shares(y))})
    for name, make in OPTIMIZERS.items():
        trained(make()).save(folder / f"optimizer_{name}")
        jobs.append(
            {"folder": str(folder / f"optimizer_{name}"), "inputs": [entry(x)], "y": entry(y),
             "resave": str(folder / f"optimizer_{name}_by_tfjs")}
        )  # fmt: skip
    return jobs, kept


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """(folder, {name: (inputs, outputs)}, what Node computed by folder name)."""
    folder = tmp_path_factory.mktemp("node")
    jobs, kept = write_models(folder)
    request = folder / "request.json"
    request.write_text(json.dumps({"modules": str(MODULES.resolve()), "jobs": jobs}))
    done = subprocess.run(["node", str(SCRIPT), str(request)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, kept, {Path(k).name: v for k, v in json.loads(done.stdout).items()}


@needs_node
@pytest.mark.parametrize("name", MODELS)
def test_tensorflow_js_predicts_the_same(node, name):
    _, kept, results = node
    assert "error" not in results[name], results[name]["error"]
    for got, want in zip(arrays(results[name]["outputs"]), kept[name][1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@needs_node
@pytest.mark.parametrize("name", MODELS)
def test_what_tensorflow_js_saves_loads_here(node, name):
    folder, kept, _ = node
    inputs, wanted = kept[name]
    for got, want in zip(outputs_of(pn.load_model(folder / f"{name}_by_tfjs"), inputs), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def shares(y: np.ndarray) -> np.ndarray:
    """Targets between 0 and 1: others mean something else to TensorFlow.js's divergence."""
    return np.abs(y) / np.abs(y).sum(axis=-1, keepdims=True)


def two_steps(model, targets=lambda y: y) -> list[float]:
    """Losses of two steps over all rows."""
    x, y = training_data()
    y = targets(y)
    return [model.fit(x, y, batch_size=len(x), epochs=1, verbose=0, shuffle=False).history["loss"][0] for _ in range(2)]


@needs_node
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_tensorflow_js_continues_the_training(node, name):
    folder, _, results = node
    result = results[f"optimizer_{name}"]
    assert "error" not in result, result["error"]
    model = pn.load_model(folder / f"optimizer_{name}")
    np.testing.assert_allclose(two_steps(model), result["losses"], rtol=1e-4, atol=1e-5)
    weights = [w.numpy() for w in [*model.trainable_weights, *model.non_trainable_weights]]
    for got, want in zip(arrays(result["weights"]), weights, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@needs_node
@pytest.mark.parametrize("name", COMPILED)
def test_tensorflow_js_knows_the_loss(node, name):
    folder, _, results = node
    result = results[f"loss_{name}"]
    assert "error" not in result, result["error"]
    np.testing.assert_allclose(two_steps(pn.load_model(folder / f"loss_{name}"), shares), result["losses"], rtol=1e-4, atol=1e-5)


@needs_node
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_continues_from_what_tensorflow_js_saves(node, name):
    folder, _, _ = node
    ours = pn.load_model(folder / f"optimizer_{name}")
    two_steps(ours)
    theirs = pn.load_model(folder / f"optimizer_{name}_by_tfjs")
    assert int(theirs.optimizer.iterations.numpy()) == int(ours.optimizer.iterations.numpy())
    np.testing.assert_allclose(two_steps(theirs), two_steps(ours), rtol=1e-4, atol=1e-5)


def test_a_saved_training_continues_with_the_same_bits(tmp_path):
    for name, make in OPTIMIZERS.items():
        model = trained(make())
        model.save(tmp_path / name)
        again = pn.load_model(tmp_path / name)
        assert two_steps(again) == two_steps(model)
        for got, want in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(got, want, err_msg=name)


@pytest.mark.parametrize(
    "layer, word",
    [
        (pn.layers.GRU(2), "reset_after"), (pn.layers.Subtract(), "Subtract"),
        (pn.layers.Dense(2, activation="exponential"), "exponential"),
        (pn.layers.Dense(2, activity_regularizer="l2"), "activity"), (pn.layers.Conv1D(2, 3, padding="causal"), "causal"),
        (pn.layers.Dense(2, activation="hard_sigmoid"), "Keras 3"), (pn.layers.ELU(alpha=0.5), "ELU"),
        (pn.layers.ReLU(negative_slope=0.1), "negative_slope"), (pn.layers.ReLU(threshold=0.1), "threshold"),
        (pn.layers.GlobalAveragePooling1D(keepdims=True), "keepdims"), (pn.layers.Softmax(axis=1), "Softmax"),
        (pn.layers.Bidirectional(pn.layers.LSTM(2), backward_layer=pn.layers.LSTM(2, go_backwards=True)), "backward_layer"),
        (pn.layers.Bidirectional(pn.layers.RNN([pn.layers.LSTMCell(2)])), "around an RNN"),
        (pn.layers.Dense(2, name="größe"), "layer named 'größe'"), (pn.layers.Dense(2, name="_first"), "layer named '_first'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_saving_says_what_tensorflow_js_cannot_load_and_loads_here(layer, word, tmp_path):
    x = pn.layers.Input((5, 3))
    model = pn.Model(x, layer([x, x] if word == "Subtract" else x))
    with pytest.warns(UserWarning, match=word):
        model.save(tmp_path / "model")
    data = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(pn.load_model(tmp_path / "model").predict(data, verbose=0), model.predict(data, verbose=0))


def test_a_mask_before_the_average_is_said(tmp_path):
    model = pn.Sequential([pn.layers.Masking(input_shape=(5, 3)), pn.layers.GlobalAveragePooling1D()])
    with pytest.warns(UserWarning, match="average over the steps that a mask leaves"):
        model.save(tmp_path / "model")


@pytest.mark.parametrize(
    "shape, layer, word",
    [
        ((4,), pn.layers.Flatten(), "flat already"), ((2, 3, 4, 5), pn.layers.BatchNormalization(), "BatchNormalization of 5 axes"),
        ((2, 3, 4, 5), pn.layers.LayerNormalization(), "LayerNormalization of 5 axes"),
    ],
    ids=["Flatten", "BatchNormalization", "LayerNormalization"],
)
def test_inputs_that_tensorflow_js_refuses_are_said(shape, layer, word, tmp_path):
    with pytest.warns(UserWarning, match=word):
        pn.Sequential([pn.Input(shape), layer]).save(tmp_path / "model")


def test_a_softmax_over_the_last_axis_by_its_number_is_not_warned_of(tmp_path):
    pn.Sequential([pn.Input((5, 3)), pn.layers.Softmax(axis=2)]).save(tmp_path / "model")
    assert pn.load_model(tmp_path / "model").layers[0].axis == -1


def test_a_length_to_be_found_is_written_as_found(tmp_path):
    model = pn.Sequential([pn.Input((4, 6)), pn.layers.Reshape((-1, 3)), pn.layers.Dense(2)])  # TensorFlow.js builds no Dense behind -1
    model.save(tmp_path / "model")
    assert pn.load_model(tmp_path / "model").layers[0].target_shape == (8, 3)
    x = pn.Input((None, 6))
    pn.Model(x, pn.layers.Reshape((-1, 3))(x)).save(tmp_path / "open")
    assert pn.load_model(tmp_path / "open").layers[-1].target_shape == (-1, 3)


def test_models_inside_of_wrappers_are_written_in_the_words_of_tensorflow_js(tmp_path):
    inner = pn.Sequential([pn.Input((4,)), pn.layers.Dense(3, activation="silu")])
    model = pn.Sequential([pn.Input((2, 3, 4)), pn.layers.TimeDistributed(pn.layers.TimeDistributed(inner))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save(tmp_path / "model")
    saved = (tmp_path / "model" / "model.json").read_text()
    assert '"swish"' in saved and "silu" not in saved and '"batch_shape"' not in saved
    x = np.random.default_rng(0).standard_normal((2, 2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(pn.load_model(tmp_path / "model").predict(x, verbose=0), model.predict(x, verbose=0))
