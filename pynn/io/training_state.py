"""The training state beside a saved model: what TensorFlow.js's format has no words for, so that a training goes on with the same bits.

A safetensors file that TensorFlow.js ignores holds the counters and keys of random streams, states of layers, weights that the format
would round, and the optimizer's variables where it has other units or none; its metadata say how the model was compiled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pynn import losses, metrics, optimizers
from pynn.errors import DataError
from pynn.io import bounded_json
from pynn.io.files import printable
from pynn.io.safetensors import load_file, load_metadata, save_file
from pynn.io.training_config import check_sizes, trained_variables, trains_all
from pynn.io.weight_names import weight_paths
from pynn.models.state import check_state, random_keys, restore_state, state_variables
from pynn.serialization import is_ours, plain

STATE_FILE = "pynn_state.safetensors"
_KEPT = {np.dtype(d) for d in (np.float32, np.int32, np.bool_)}  # dtypes that the format holds as they are


def compile_words(model) -> tuple[dict[str, Any] | None, str]:
    """(how the model was compiled, in our words; reason why there are none)."""
    arguments = model.compile_arguments
    named = [model.optimizer, *_leaves([arguments[k] for k in ("loss", "metrics", "weighted_metrics")])]
    schedule = model.optimizer.schedule
    if not all(_has_words(value) for value in [*named, schedule]):
        return None, "the optimizer, the loss, a metric or the schedule is a function or class of your own"
    words = {"optimizer": plain(model.optimizer), **{k: plain(v) for k, v in arguments.items()}}
    if trains_all(model):
        return words, ""
    trained, own = trained_variables(model), {id(v) for v in model.weights}
    if not all(id(v) in own for v in trained):
        return None, "it trained weights that the model no longer has"
    names = {id(v): name for name, v in weight_paths(model)}
    return {**words, "trained": [names[id(v)] for v in trained]}, ""


def _leaves(value) -> list:
    if isinstance(value, dict):
        return _leaves(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _has_words(value) -> bool:
    """Whether loading finds this again: a name, or an object, class or function of ours."""
    if value is None or isinstance(value, str):
        return True
    return is_ours(value) and type(value) not in (losses.FunctionLoss, metrics.MeanMetricWrapper)


def save_state(model, folder: Path, words: dict[str, Any] | None, optimizer_kept: bool) -> bool:
    """Writes the state file if there is anything to keep; says whether it did.

    Args:
        model: A built model.
        folder: Where the model's other files are.
        words: `compile_words` of the model; None leaves the training out.
        optimizer_kept: Whether `model.json` has the optimizer's variables with all their bits.
    """
    arrays = {name: v.numpy() for name, v in state_variables(model).items() if _needed(name, v, words, optimizer_kept)}
    if words is None and not arrays:
        return False
    save_file(arrays, folder / STATE_FILE, {"keys": json.dumps(random_keys(model)), "compile": json.dumps(words)})
    return True


def _needed(name: str, variable, words: dict[str, Any] | None, optimizer_kept: bool) -> bool:
    """Whether `save_state` with these arguments writes a variable."""
    kind = name.split("/")[0]
    if kind == "weight":
        return variable.dtype not in _KEPT
    if words is None or kind != "optimizer":
        return words is not None
    return not optimizer_kept or variable.dtype not in _KEPT


class SavedState:
    """A state file that was read and can be set on a model.

    Raises:
        DataError: the file isn't valid.
    """

    def __init__(self, folder: Path):
        path = folder / STATE_FILE
        metadata = load_metadata(path, follow=False)
        self.keys, self.words = (bounded_json.loads(metadata.get(k, "null").encode(), source=STATE_FILE) for k in ("keys", "compile"))
        self.arrays = load_file(path, follow=False)

    def compile(self, model) -> None:
        """Compiles the model as it was."""
        words = self.words
        try:
            check_sizes(words)
            named = {k: _objects(words[k], metrics.get) for k in ("metrics", "weighted_metrics")}
            loss = _objects(words["loss"], losses.get)
            model.compile(optimizers.get(words["optimizer"]), loss, loss_weights=words["loss_weights"], **named)
            model.optimizer.build(_trained(model, words.get("trained")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"[load_model] {STATE_FILE} is not valid: {printable(str(error), 300)}. Pass compile=False to ignore it."
            ) from error

    def restore(self, model, *, compiled: bool, optimizer_kept: bool) -> None:
        """Sets counters, keys, exact weights and, for a compiled model, the optimizer's variables.

        Raises:
            DataError: they are those of another model, or not all; `optimizer_kept` as for `save_state`.
        """
        arrays = {n: a for n, a in self.arrays.items() if compiled or not n.startswith("optimizer/")}
        what = f"[load_model] {STATE_FILE}"
        pairs = check_state(model, arrays, self.keys, what, needed=lambda n, v: _needed(n, v, self.words, optimizer_kept))
        restore_state(model, pairs, self.keys)


def _trained(model, paths: list[str] | None) -> list:
    """The variables that the optimizer had slots for: those of `paths`, by default all that are trainable."""
    if paths is None:
        return model.trainable_weights
    by_path = dict(weight_paths(model))
    return [by_path[path] for path in paths]


def _objects(value: Any, get) -> Any:
    """`value` with what its configs describe in their place; names, which may depend on shapes, stay once they are known to exist."""
    if isinstance(value, dict):
        return get(value) if "class_name" in value else {k: _objects(v, get) for k, v in value.items()}
    if isinstance(value, list):
        return [_objects(v, get) for v in value]
    get(value)
    return value
