"""Models in TensorFlow.js's layers-model format: a folder with `model.json` and the weights beside it.

Reading takes what TensorFlow.js, its Python converter and three generations of Keras write. What is written loads in TensorFlow.js.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pynn.errors import DataError, users_level
from pynn.io import bounded_json
from pynn.io.atomic import atomic_folder
from pynn.io.files import as_path, check_suffix, open_regular, printable
from pynn.io.manifest import encode, parse_manifest, read_groups
from pynn.io.reloading import not_found_again
from pynn.io.topology import model_from_topology
from pynn.io.topology_writer import Writer
from pynn.io.training_config import compile_from_config, optimizer_state, same_units, set_optimizer_state, training_config
from pynn.io.training_state import STATE_FILE, SavedState, compile_words, save_state
from pynn.io.weight_names import match, weight_paths
from pynn.layers.context import loading

if TYPE_CHECKING:
    from pynn.models import Model

KERAS_VERSION = "tfjs-layers 4.22.0"
WEIGHTS_FILE = "weights.bin"
STATE_ENTRY = "pynnState"  # in model.json, where STATE_FILE belongs to it


def load_model(path: str | os.PathLike[str], *, compile: bool = True, strict: bool = True) -> Model:
    """The model in a folder (or in its `model.json`), with weights and, if the file has it, optimizer state.

    Opening a model runs no code of it, reads no file outside of its folder, and allocates no more than the file's size justifies.

    Args:
        path: The folder, or the JSON file in it.
        compile: Compile the model as the file says.
        strict: Weights must fit the architecture exactly.

    Raises:
        DataError: the files aren't a valid layers-model.
        FileNotFoundError: there is no model.
    """
    file = Path(as_path("load_model", path))
    file = file / "model.json" if file.is_dir() else file
    if not file.exists():
        raise FileNotFoundError(
            f"[load_model] there is no model at {printable(os.fspath(path), 300)}. A model is a folder with model.json and its weights, as "
            "model.save(folder) writes it."
        )
    _refuse_other_formats(file)
    description = bounded_json.load(file)
    if not isinstance(description, dict):
        raise DataError("[load_model] model.json does not hold an object.")
    _check_format(description)
    groups = parse_manifest(description.get("weightsManifest", []))
    budget = sum(e.size for _, entries in groups for e in entries if e.group != "optimizer")
    shapes = {e.name: e.shape for _, entries in groups for e in entries}
    weights = read_groups(groups, file.parent)
    with loading(budget):
        model = model_from_topology(description.get("modelTopology"), shapes)
    arrays = {e.name: a for e, a in weights if e.group != "optimizer"}
    _build_if_needed(model)
    for variable, array in match(model, arrays, strict=strict):
        variable.assign(array)
    saved = _saved_state(description, file.parent)
    state = [(e.name, a) for e, a in weights if e.group == "optimizer"]
    if compile:
        _compile(model, description.get("trainingConfig"), saved, state)
    if saved is not None:
        compiled = model.optimizer is not None
        saved.restore(model, compiled=compiled, optimizer_kept=compiled and bool(state) and same_units(model))
    model.user_defined_metadata = description.get("userDefinedMetadata")
    return model


def _refuse_other_formats(file: Path) -> None:
    with open_regular(file) as opened:
        start = opened.read(8)
    kinds = {b"\x89HDF": "an HDF5 file (.h5)", b"PK\x03\x04": "a zip archive (.keras)"}
    if start[:4] in kinds:
        raise DataError(
            f"[load_model] {printable(file.name)} is {kinds[start[:4]]}. Only TensorFlow.js's layers-model format is read: convert it with "
            "tensorflowjs_converter."
        )


def _saved_state(description: dict[str, Any], folder: Path) -> SavedState | None:
    if description.get(STATE_ENTRY) != STATE_FILE:
        return None
    if not (folder / STATE_FILE).exists():
        warnings.warn(f"{STATE_FILE} isn't beside model.json: training can go on, but not with the same bits.", stacklevel=users_level())
        return None
    return SavedState(folder)


def _compile(model, config: Any, saved: SavedState | None, state: list[tuple[str, np.ndarray]]) -> None:
    if saved is not None and saved.words:
        saved.compile(model)
        set_optimizer_state(model, state)
    elif isinstance(config, dict) and config.get("optimizer_config"):
        compile_from_config(model, config, state)


def _check_format(description: dict[str, Any]) -> None:
    kind = description.get("format")
    architecture = description.get("modelTopology")
    if kind == "graph-model" or (isinstance(architecture, dict) and "node" in architecture):
        raise DataError(
            "[load_model] this is a graph model (a converted SavedModel): it has no layers and can't be trained. "
            "Convert the original Keras model to the layers-model format instead."
        )
    if kind not in (None, "layers-model"):
        raise DataError(f"[load_model] expected the format 'layers-model'. Received: {printable(kind)}.")


def _build_if_needed(model) -> None:
    if not model.built:
        raise DataError("[load_model] the architecture doesn't give the shape of the input (batch_input_shape of the first layer).")


def topology(model) -> tuple[dict[str, Any], list[str]]:
    """`modelTopology` of a model, and what in it TensorFlow.js has no words for."""
    writer = Writer()
    entry = writer.model(model)
    return {**entry, "keras_version": KERAS_VERSION, "backend": "tensor_flow.js"}, writer.inexpressible


def topology_json(model) -> str:
    """The architecture as JSON text."""
    return json.dumps(topology(model)[0])


def save_model(model, path: str | os.PathLike[str], *, include_optimizer: bool = True) -> None:
    """Writes a built model as a folder; a folder that is there is replaced in one step, or not at all.

    Warns if TensorFlow.js can't load the result because it has no words for something, or nobody can, because something in it is a
    function or class of the user's own.

    Raises:
        ValueError: something of the user's own has the name of something else in pynn, the model is subclassed or has no weights yet,
            the path is empty, or model.user_defined_metadata is not JSON that can be read again.
    """
    if not model.built:
        raise ValueError(f"[save] {model.label} has no weights yet. Give its first layer an input_shape, or call it once.")
    path = as_path("save", path)
    check_suffix(path, "save", weights=False, hint="use save_weights('name.safetensors')")
    unknown = not_found_again(model)
    model_topology, missing = topology(model)
    if unknown:
        warnings.warn(
            f"this model can't be loaded again: files hold no code, and loading won't find {unknown[0]}.", stacklevel=users_level()
        )
    elif missing:
        warnings.warn(f"TensorFlow.js can't load this model: it has no {missing[0]}. pynn.load_model can.", stacklevel=users_level())
    description: dict[str, Any] = {
        "format": "layers-model",
        "generatedBy": "pynn",
        "convertedBy": None,
        "modelTopology": model_topology,
    }
    entries, data = _weights(model)
    words, kept = None, False
    if include_optimizer and model.optimizer is not None and model.optimizer.built:
        words, kept = _add_training(model, description, entries, data)
    if model.user_defined_metadata is not None:
        description["userDefinedMetadata"] = model.user_defined_metadata
    description["weightsManifest"] = [{"paths": [WEIGHTS_FILE], "weights": entries}]
    if os.fspath(path):  # an empty one is refused below
        Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path, commit="model.json", owned=_files_of_model(Path(path))) as folder:
        (folder / WEIGHTS_FILE).write_bytes(b"".join(data))
        if save_state(model, folder, words, kept):
            description[STATE_ENTRY] = STATE_FILE
        (folder / "model.json").write_bytes(_readable(description))


def _add_training(model, description: dict[str, Any], entries: list, data: list[bytes]) -> tuple[dict[str, Any] | None, bool]:
    """Adds what TensorFlow.js has words for; returns `compile_words`, and whether the optimizer's variables are kept to the last bit."""
    words, reason = compile_words(model)
    if words is None:
        warnings.warn(f"saved without the optimizer: {reason}.", stacklevel=users_level())
    config, reason = training_config(model)
    if config is None:
        warnings.warn(f"TensorFlow.js will load this model without its optimizer: {reason}.", stacklevel=users_level())
        return words, False
    description["trainingConfig"] = config
    _append(optimizer_state(model), "optimizer", entries, data)
    return words, same_units(model)


def _readable(description: dict[str, Any]) -> bytes:
    """The description as JSON text that our own reader takes."""
    try:
        text = json.dumps(description, allow_nan=False).encode()
        bounded_json.loads(text, source="model.json")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"[save] model.json could not be read again: {printable(str(error), 300)} "
            "Keep model.user_defined_metadata within the limits of JSON files, or save it in a separate file."
        ) from error
    return text


def _files_of_model(folder: Path) -> set[str]:
    """Names of the files of the model in a folder, as its `model.json` lists them; none without a valid one."""
    try:
        description = bounded_json.load(folder / "model.json")
        groups = parse_manifest(description["weightsManifest"])
    except (OSError, DataError, KeyError, TypeError):
        return set()
    return {"model.json", WEIGHTS_FILE, STATE_FILE, *(name for names, _ in groups for name in names if isinstance(name, str))}


def _append(named: list[tuple[str, np.ndarray]], group: str | None, entries: list[dict[str, Any]], data: list[bytes]) -> None:
    for name, array in named:
        entry, raw = encode(array, name, group)
        entries.append(entry)
        data.append(raw)


def _weights(model) -> tuple[list[dict[str, Any]], list[bytes]]:
    entries, data = [], []
    names = {id(v): name for name, v in weight_paths(model)}
    twice = next((n for n, count in Counter(names.values()).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"[save] two weights are named {twice!r}. Give each layer its own name.")
    for variable in [*model.trainable_weights, *model.non_trainable_weights]:
        entry, raw = encode(np.asarray(variable.numpy()), names[id(variable)])
        entries.append(entry)
        data.append(raw)
    return entries, data
