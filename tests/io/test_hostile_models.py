"""Model files made to harm: each is refused with a clear message, soon, without reading or leaving anything elsewhere."""

from __future__ import annotations

import copy
import json
import os
import re
import resource
import time
from pathlib import Path

import numpy as np
import pytest

import pynn as pn
from pynn.errors import DataError

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs links and FIFOs")
SECONDS = 20.0  # of the processor, where a hundredth is usual: what an attack must not make minutes of


def small_model() -> pn.Model:
    model = pn.Sequential([pn.layers.Dense(3, activation="relu", input_shape=(4,)), pn.layers.Dense(2)], name="small")
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4), np.float32), np.ones((4, 2), np.float32), verbose=0)
    return model


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> tuple[dict, bytes]:
    """(description, weights) of a valid model as TensorFlow.js has them: without our own state file."""
    folder = tmp_path_factory.mktemp("good") / "model"
    small_model().save(folder)
    description = json.loads((folder / "model.json").read_text())
    del description["pynnState"]
    return description, (folder / "weights.bin").read_bytes()


@pytest.fixture
def model(good, tmp_path) -> dict:
    """The description of a valid model whose shard lies in `tmp_path / "model"`; the test spoils it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(good[1])
    return copy.deepcopy(good[0])


def refused(tmp_path: Path, description, match: str | None = None, kind=DataError) -> str:
    """Writes the description, expects that it is refused soon and in bounded memory, returns the message."""
    folder = tmp_path / "model"
    text = description if isinstance(description, bytes) else json.dumps(description).encode()
    (folder / "model.json").write_bytes(text)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(kind, match=match) as error:
        pn.load_model(folder)
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 400_000
    assert before == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    message = str(error.value)
    assert message.isprintable() and message.isascii() and len(message) < 1500
    return message


def layers_of(description: dict) -> list[dict]:
    return description["modelTopology"]["config"]["layers"]


def weights_of(description: dict) -> list[dict]:
    return description["weightsManifest"][0]["weights"]


def test_the_unspoiled_model_opens(model, tmp_path):
    (tmp_path / "model" / "model.json").write_text(json.dumps(model))
    assert pn.load_model(tmp_path / "model").predict(np.ones((1, 4), np.float32), verbose=0).shape == (1, 2)


# -- shards --------------------------------------------------------------------------------------------------------------

PATHS = [
    "../weights.bin", "a/../../weights.bin", "/etc/passwd", "..\\weights.bin", "C:\\weights.bin", "C:weights.bin", "weights.bin\0.txt",
    "http://localhost/weights.bin", "file:///etc/passwd", "//host/share", "", ".", "./weights.bin", "a//b", 3, None, ["weights.bin"],
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_shard_names_stay_in_the_folder(model, tmp_path, path):
    (tmp_path / "weights.bin").write_bytes((tmp_path / "model" / "weights.bin").read_bytes())
    model["weightsManifest"][0]["paths"] = [path]
    refused(tmp_path, model, "shard")


def shard(tmp_path: Path) -> Path:
    (tmp_path / "model" / "weights.bin").rename(tmp_path / "outside.bin")
    return tmp_path / "model" / "weights.bin"


@needs_posix
def test_a_link_out_of_the_folder_is_refused(model, tmp_path):
    shard(tmp_path).symlink_to(tmp_path / "outside.bin")
    refused(tmp_path, model, "leads out")


@needs_posix
def test_a_linked_folder_inside_is_refused(model, tmp_path):
    shard(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "outside.bin").rename(tmp_path / "elsewhere" / "weights.bin")
    (tmp_path / "model" / "sub").symlink_to(tmp_path / "elsewhere")
    model["weightsManifest"][0]["paths"] = ["sub/weights.bin"]
    refused(tmp_path, model, "leads out")


@needs_posix
def test_a_fifo_is_refused_without_waiting(model, tmp_path):
    os.mkfifo(shard(tmp_path))
    refused(tmp_path, model, "not a regular file")


@needs_posix
def test_a_fifo_as_model_json_is_refused_without_waiting(tmp_path):
    (tmp_path / "model").mkdir()
    os.mkfifo(tmp_path / "model" / "model.json")
    with pytest.raises(DataError, match="not a regular file"):
        pn.load_model(tmp_path / "model")


def test_a_folder_as_shard_is_refused(model, tmp_path):
    shard(tmp_path).mkdir()
    refused(tmp_path, model, "is a folder")


def test_shards_that_are_missing_short_or_long(model, tmp_path):
    data = (tmp_path / "model" / "weights.bin").read_bytes()
    for content in (b"", data[:-1], data + b"\0", data * 2):
        (tmp_path / "model" / "weights.bin").write_bytes(content)
        refused(tmp_path, model, "bytes")
    (tmp_path / "model" / "weights.bin").unlink()
    refused(tmp_path, model, "missing")


def test_a_shard_may_not_be_named_twice(model, tmp_path):
    model["weightsManifest"][0]["paths"] *= 2
    refused(tmp_path, model, "twice")


# -- the manifest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [[-4, 3], [4.0, 3], [True, 12], ["4", 3], [4, None], [2**63, 2], [2**32, 2**32], [10**9, 10**9], [1] * 40,
     None, "4x3", {"0": 4}, [[4, 3]]],
    ids=repr,
)  # fmt: skip
def test_shapes(model, tmp_path, shape):
    weights_of(model)[0]["shape"] = shape
    refused(tmp_path, model, "shape")


@pytest.mark.parametrize("shape", [[3, 4], [12], [4, 3, 1], [0, 3]], ids=repr)
def test_shapes_of_another_model(model, tmp_path, shape):
    weights_of(model)[0]["shape"] = shape
    refused(tmp_path, model)


def test_names(model, tmp_path):
    spoiled = copy.deepcopy(model)
    weights_of(spoiled)[1]["name"] = weights_of(spoiled)[0]["name"]
    refused(tmp_path, spoiled, "twice")
    spoiled = copy.deepcopy(model)
    weights_of(spoiled)[0]["name"] = "dense/other"
    refused(tmp_path, spoiled, "other")
    for name in ("", None, 3, ["dense/kernel"]):
        weights_of(spoiled)[0]["name"] = name
        refused(tmp_path, spoiled, "no name")


def test_a_weight_too_many_and_one_too_few(model, tmp_path):
    spoiled = copy.deepcopy(model)
    weights_of(spoiled).append({"name": "dense/extra", "shape": [0], "dtype": "float32"})
    refused(tmp_path, spoiled, "that the model doesn't have")
    size = 4 * int(np.prod(weights_of(model)[0]["shape"]))
    data = (tmp_path / "model" / "weights.bin").read_bytes()
    del weights_of(model)[0]
    (tmp_path / "model" / "weights.bin").write_bytes(data[size:])
    refused(tmp_path, model)


@pytest.mark.parametrize(
    "dtype", ["float99", "object", "string", "complex64", None, 4, "__import__('os')", ["float32"], {"a": 1}], ids=repr
)
def test_dtypes(model, tmp_path, dtype):
    weights_of(model)[0]["dtype"] = dtype
    refused(tmp_path, model, "dtype")


@pytest.mark.parametrize(
    "quantization",
    [
        {"dtype": "uint32", "scale": 1, "min": 0}, {"dtype": "uint8"}, {"dtype": "uint8", "scale": 0, "min": 0}, "uint8", [],
        {"dtype": "uint8", "scale": -1, "min": 0}, {"dtype": "uint8", "scale": "1", "min": 0}, {"dtype": "uint8", "scale": True, "min": 0},
        {"dtype": "uint16", "scale": 1e300, "min": 0}, {"dtype": "uint8", "scale": 1, "min": -1e39}, {"dtype": ["uint8"]},
        {"dtype": "uint8", "scale": 10**18, "min": 10**18, "original_dtype": {}},
    ],
    ids=repr,
)  # fmt: skip
def test_quantization(model, tmp_path, quantization):
    weights_of(model)[0]["quantization"] = quantization
    refused(tmp_path, model)


@pytest.mark.parametrize(
    "manifest", [None, {}, "x", [3], [{}], [{"paths": "weights.bin", "weights": []}], [{"paths": [], "weights": {}}], []], ids=repr
)
def test_manifests(model, tmp_path, manifest):
    model["weightsManifest"] = manifest
    refused(tmp_path, model)


# -- sizes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [10**9, 2**40, 10**18, -3, 0, 2.5, True, "7", None, [3], {"class_name": "Dense"}], ids=repr)
def test_a_layer_larger_than_its_weights(model, tmp_path, units):
    layers_of(model)[0]["config"]["units"] = units
    refused(tmp_path, model)


def test_a_manifest_larger_than_its_shards(model, tmp_path):
    layers_of(model)[0]["config"]["units"] = 10**9
    for entry in weights_of(model):
        entry["shape"] = [10**9 if n == 3 else n for n in entry["shape"]]
    refused(tmp_path, model, "bytes")


@pytest.mark.parametrize(
    "shape", [[None, 2**62], [None, 10**9, 10**9], [None, -4], [None, 4.0], [None, True], "x", [], 3, [None, [4]]], ids=repr
)
def test_input_shapes(model, tmp_path, shape):
    layers_of(model)[0]["config"]["batch_input_shape"] = shape
    refused(tmp_path, model)


def test_a_stateful_layer_with_a_huge_batch(tmp_path):
    small = pn.Sequential([pn.layers.LSTM(4, stateful=True, batch_input_shape=(2, 3, 2))])
    small.save(tmp_path / "model")
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    layers_of(description)[0]["config"]["batch_input_shape"] = [10**9, 3, 2]
    refused(tmp_path, description)


# -- JSON ------------------------------------------------------------------------------------------------------------------

JSON = [
    b"", b"{", b"null", b"3", b'"x"', b"[]", b"{}", b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b"{'a': 1}",
    b'{"format": "layers-model", "format": "layers-model"}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}',
    b'{"a": ' + b"9" * 10**6 + b"}",
    b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b'{"a": 1} x', b"\0", b"[" + b"1," * 10**6 + b"1]",
]  # fmt: skip


@pytest.mark.parametrize("text", JSON, ids=lambda t: repr(t[:20]))
def test_json(tmp_path, text):
    (tmp_path / "model").mkdir()
    refused(tmp_path, text)


def test_a_key_given_twice_is_refused(model, tmp_path):
    text = json.dumps(model).replace('"units": 3', '"units": 3, "units": 1000000', 1)
    refused(tmp_path, text.encode(), "twice")


# -- names of code -----------------------------------------------------------------------------------------------------------

NAMES = [
    "os.system", "__import__('os').system('touch pwned')", "builtins.eval", "eval", "subprocess.Popen", "pynn.layers.Dense", "../Dense", "",
    "keras.src.models.model", "TFOpLambda", "SlicingOpLambda", "__class__", "Layer", "Recurrent", "\x1b[31mDense",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_class_names_are_never_resolved(model, tmp_path, name):
    layers_of(model)[0]["class_name"] = name
    refused(tmp_path, model)


CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAAABAAAA", "defaults": None, "closure": None}}
FIELDS = [
    ("activation", "eval"), ("activation", "os.system"), ("activation", CODE), ("activation", {"class_name": "function", "config": "exec"}),
    ("activation", 3), ("activation", ["relu"]), ("kernel_initializer", "numpy.load"), ("kernel_initializer", CODE),
    ("kernel_initializer", {"module": "os", "class_name": "system", "config": {"command": "x"}, "registered_name": "x>y"}),
    ("kernel_initializer", {"class_name": ["Zeros"], "config": {}}), ("kernel_regularizer", {"class_name": "eval", "config": {}}),
    ("kernel_regularizer", "os.system"), ("kernel_constraint", {"class_name": "Lambda", "config": {}}), ("bias_initializer", 7),
]  # fmt: skip


@pytest.mark.parametrize("field, value", FIELDS, ids=repr)
def test_fields_are_never_resolved(model, tmp_path, field, value):
    layers_of(model)[0]["config"][field] = value
    refused(tmp_path, model)


@pytest.mark.parametrize(
    "function", [CODE, "eval", ["4wEAAAAB", None, None], {"class_name": "function", "config": "print"}, None], ids=repr
)
def test_a_lambda_is_refused(model, tmp_path, function):
    layers_of(model).append({"class_name": "Lambda", "config": {"name": "f", "function": function, "function_type": "lambda"}})
    refused(tmp_path, model, "Lambda")


@pytest.mark.parametrize("key, value", [("vocabulary", "/etc/passwd"), ("weights", "http://localhost/w.npy"), ("file", "/etc/passwd")])
def test_paths_in_configs_are_never_opened(model, tmp_path, key, value, monkeypatch):
    layers_of(model)[0]["config"][key] = value
    (tmp_path / "model" / "model.json").write_text(json.dumps(model))
    opened = record_opens(monkeypatch)
    pn.load_model(tmp_path / "model")
    assert {Path(p).parent for p in opened} == {tmp_path / "model"}


def record_opens(monkeypatch) -> list[str]:
    """Every path that is opened from now on."""
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *args, **kwargs: (opened.append(os.fspath(path)), real(path, *args, **kwargs))[1])
    return opened


OPTIMIZERS = [
    {"class_name": "os.system", "config": {}}, {"class_name": "SGD", "config": 3}, {"class_name": 3, "config": {}}, {"config": {}},
    {"class_name": "Adam", "config": {"learningRate": "x"}}, {"class_name": "Adam", "config": {"learningRate": []}}, ["SGD"], "Adam",
]  # fmt: skip


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=repr)
def test_optimizers(model, tmp_path, entry):
    model["trainingConfig"]["optimizer_config"] = entry
    refused(tmp_path, model, "trainingConfig")


@pytest.mark.parametrize("loss", ["eval", 3, {"class_name": "os"}, [["mse"]], CODE], ids=repr)
def test_losses(model, tmp_path, loss):
    model["trainingConfig"]["loss"] = loss
    refused(tmp_path, model, "trainingConfig")


def test_optimizer_state_of_another_shape(model, tmp_path):
    state = [w for w in weights_of(model) if w.get("group") == "optimizer" and len(w["shape"]) == 2]
    state[0]["shape"] = state[0]["shape"][::-1]
    refused(tmp_path, model, "optimizer")


# -- graphs ------------------------------------------------------------------------------------------------------------------


def graph(*layers, outputs) -> dict:
    entries = [
        {
            "name": "x",
            "class_name": "InputLayer",
            "config": {"name": "x", "batch_input_shape": [None, 4], "dtype": "float32"},
            "inbound_nodes": [],
        }
    ]
    entries += [{"name": n, "class_name": c, "config": {"name": n, **config}, "inbound_nodes": nodes} for n, c, config, nodes in layers]
    config = {"name": "g", "layers": entries, "input_layers": [["x", 0, 0]], "output_layers": outputs}
    return {"modelTopology": {"class_name": "Model", "config": config}, "weightsManifest": []}


def relu(name: str, *sources) -> tuple:
    return name, "ReLU", {}, [[[*s, {}] for s in sources]]


GRAPHS = {
    "self": [relu("a", ("a", 0, 0))],
    "cycle": [relu("a", ("b", 0, 0)), relu("b", ("a", 0, 0))],
    "unknown layer": [relu("a", ("nowhere", 0, 0))],
    "unknown call": [relu("a", ("x", 7, 0))],
    "unknown output": [relu("a", ("x", 0, 5))],
    "negative": [relu("a", ("x", -1, -1))],
    "huge index": [relu("a", ("x", 2**62, 2**62))],
    "float index": [relu("a", ("x", 0, 0.5))],
    "list as name": [relu("a", (["x"], 0, 0))],
    "two names": [relu("a", ("x", 0, 0)), relu("a", ("x", 0, 0))],
    "no references": [("a", "ReLU", {}, [[]])],
    "not lists": [("a", "ReLU", {}, [{"b": 1}])],
    "words": [("a", "ReLU", {}, "xyz")],
    "unknown words": [("a", "ReLU", {}, [[["x", 0, 0, {"__class__": 1}]]])],
    "numbers": [("a", "ReLU", {}, [[3]])],
    "no nodes": [("a", "ReLU", {}, [])],
    "shared layer, clashing shapes": [
        ("f", "RepeatVector", {"n": 3}, [[["x", 0, 0, {}]]]), ("a", "Dense", {"units": 2}, [[["x", 0, 0, {}]], [["f", 0, 0, {}]]]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(tmp_path, name):
    (tmp_path / "model").mkdir()
    refused(tmp_path, graph(*GRAPHS[name], outputs=[["a", 0, 0]]))


@pytest.mark.parametrize("outputs", [[], None, [["a", 1, 0]], [["zzz", 0, 0]], [[]], ["a"], 3, [["a", 0]], [[{}, 0, 0]]], ids=repr)
def test_outputs(tmp_path, outputs):
    (tmp_path / "model").mkdir()
    refused(tmp_path, graph(relu("a", ("x", 0, 0)), outputs=outputs))


def chain(count: int, backwards: bool) -> dict:
    layers = [relu(f"a{i}", (f"a{i - 1}", 0, 0) if i else ("x", 0, 0)) for i in range(count)]
    return graph(*(layers[::-1] if backwards else layers), outputs=[[f"a{count - 1}", 0, 0]])


@pytest.mark.parametrize("backwards", [False, True])
def test_very_many_layers_are_refused(tmp_path, backwards):
    (tmp_path / "model").mkdir()
    refused(tmp_path, chain(8_000, backwards), "layers")


def test_very_many_layers_in_a_sequential(model, tmp_path):
    layers_of(model)[:] = [layers_of(model)[0]] + [{"class_name": "ReLU", "config": {}}] * 50_000
    refused(tmp_path, model, "layers")


def test_very_many_calls_of_one_layer(tmp_path):
    (tmp_path / "model").mkdir()
    calls = ("a", "ReLU", {}, [[["x", 0, 0, {}]]] * 20_000)
    refused(tmp_path, graph(calls, outputs=[["a", 0, 0]]), "layers")


def test_a_long_chain_that_is_written_backwards_opens_soon(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text(json.dumps(chain(500, True)))
    start = time.process_time()
    assert len(pn.load_model(tmp_path / "model").layers) == 501
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("depth", [25, 45, 2_000])
def test_models_nested_deep(model, tmp_path, depth):
    entry = layers_of(model)[0]
    text = json.dumps(entry)
    for _ in range(depth):
        text = '{"class_name": "Sequential", "config": {"name": "s", "layers": [' + text + "]}}"
    refused(tmp_path, b'{"modelTopology": ' + text.encode() + b', "weightsManifest": []}', "deep")


@pytest.mark.parametrize("depth", [25, 45])
def test_wrappers_nested_deep(model, tmp_path, depth):
    entry = {"class_name": "Dense", "config": {"units": 2}}
    for _ in range(depth):
        entry = {"class_name": "TimeDistributed", "config": {"layer": entry}}
    layers_of(model)[:] = [entry]
    refused(tmp_path, model, "deep")


def sequential(config) -> dict:
    return {"class_name": "Sequential", "config": config}


TOPOLOGIES = [
    None, 3, [], {}, "x", {"class_name": "Sequential"}, {"class_name": "Model"}, {"class_name": "Model", "config": 3}, {"model_config": {}},
    {"model_config": "x"}, {"node": []}, {"class_name": "Model", "config": {"layers": 3, "input_layers": 3}}, sequential({"layers": 3}),
    sequential({"layers": []}), sequential({"layers": [3]}), sequential({"layers": [{"class_name": "Dense"}]}),
]  # fmt: skip


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=repr)
def test_topologies(model, tmp_path, topology):
    model["modelTopology"] = topology
    refused(tmp_path, model)


# -- messages and names --------------------------------------------------------------------------------------------------------


def test_control_characters_in_messages_are_escaped(model, tmp_path):
    evil = "\x1b]0;pwned\x07\x1b[31m\u202e\r\n" + "x" * 10_000
    for spoil in (
        lambda m: layers_of(m)[0]["config"].update(activation=evil),
        lambda m: layers_of(m)[0].update(class_name=evil),
        lambda m: layers_of(m)[0]["config"].update(name=evil, units=10**9),
        lambda m: weights_of(m)[0].update(name=evil),
        lambda m: weights_of(m)[0].update(dtype=evil),
        lambda m: m.update(format=evil),
        lambda m: m["weightsManifest"][0].update(paths=[evil]),
        lambda m: m["trainingConfig"].update(loss=evil),
    ):
        spoiled = copy.deepcopy(model)
        spoil(spoiled)
        refused(tmp_path, spoiled)


@pytest.mark.parametrize("name", ["../a", "a/b", "", 3, ["a"]], ids=repr)
def test_layer_names_with_separators_are_refused(model, tmp_path, name):
    layers_of(model)[0]["config"]["name"] = name
    refused(tmp_path, model)


def test_a_graph_model_says_what_it_is(model, tmp_path):
    model["format"] = "graph-model"
    assert "converted SavedModel" in refused(tmp_path, model)


def test_no_model_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        pn.load_model(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        pn.load_model(tmp_path / "empty")


# -- weights files and saving ----------------------------------------------------------------------------------------------------


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


ENTRY = b'{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
WEIGHT_FILES = [
    b"", b"\0" * 7, (2**64 - 1).to_bytes(8, "little"), (10**9).to_bytes(8, "little") + b"{}", safetensors(b"[" * 10_000),
    safetensors(b"{}", b"x"),
    safetensors(b'{"a": ' + ENTRY + b', "a": ' + ENTRY + b"}", b"1234"),
    safetensors(b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4]}}', b"1234"),
    safetensors(b'{"a": {"dtype": "PY", "shape": [1], "data_offsets": [0, 4]}}', b"1234"),
    safetensors(b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}', b"1234"),
    b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n",
]  # fmt: skip


@pytest.mark.parametrize("content", WEIGHT_FILES, ids=lambda c: repr(c[:24]))
def test_weights_files(tmp_path, content):
    model = small_model()
    kept = model.get_weights()
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(DataError):
        model.load_weights(tmp_path / "w.safetensors")
    for got, want in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(got, want)


def test_an_interrupted_save_leaves_the_old_model(tmp_path, monkeypatch):
    model = small_model()
    model.save(tmp_path / "model")
    before = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    model.set_weights([w + 1 for w in model.get_weights()])
    for target in ("write_bytes", "fsync", "rename"):
        with monkeypatch.context() as patch:
            fail_on(patch, target)
            with pytest.raises(OSError, match="no space"):
                model.save(tmp_path / ("model" if target != "rename" else "new"))
        assert before == {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
        assert [p.name for p in tmp_path.iterdir()] == ["model"]


def fail_on(patch, target: str) -> None:
    def fail(*args, **kwargs):
        raise OSError(28, "no space left")

    patch.setattr(Path if target == "write_bytes" else os, target, fail)


@pytest.mark.filterwarnings("ignore:TensorFlow.js can.t load this model")
def test_saved_names_are_fixed(tmp_path):
    model = pn.Sequential([pn.layers.Dense(2, input_shape=(3,), name="..\\..\\evil")])
    model.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["model.json", "weights.bin"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert not re.search(r"evil", " ".join(p.name for p in tmp_path.rglob("*")))
