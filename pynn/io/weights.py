"""Weights of a model as one safetensors file, by their paths."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

import numpy as np

from pynn.errors import suggestion, users_level
from pynn.io import bounded_json
from pynn.io.files import as_path, check_suffix
from pynn.io.safetensors import load_file, load_metadata, save_file
from pynn.io.weight_names import weight_paths


def named_weights(model) -> dict:
    """path -> variable.

    Raises:
        ValueError: there are no weights yet, or two have one path.
    """
    if not model.built:
        raise ValueError(f"[{model.label}] the model has no weights yet. Give its first layer an input_shape, or call it once.")
    found: dict = {}
    for path, variable in weight_paths(model):
        if path in found:
            raise ValueError(f"[{model.label}] two weights are named {path!r}. Give each layer its own name.")
        found[path] = variable
    return found


def save_weights(model, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a built model; the file appears whole or not at all. Makes the folders above it.

    Raises:
        ValueError: the model has no weights yet, or the path has the suffix of another format.
    """
    path = as_path("save_weights", path)
    check_suffix(path, "save_weights", weights=True)
    weights = named_weights(model)
    if path:  # an empty one is refused below
        Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
    save_file({name: v.numpy() for name, v in weights.items()}, path, {"format": "pynn", "order": json.dumps(list(weights))})


def load_weights(model, path: str | os.PathLike[str], *, strict: bool = True) -> None:
    """Sets the weights from a file that `save_weights` wrote, by their paths, or by order if only numbers in layers' names differ.

    Everything is checked first: nothing changes if it doesn't fit.

    Args:
        model: A built model.
        path: The file.
        strict: The file must hold exactly the model's weights; otherwise those that fit by name and shape are set, and a warning
            says what was left out.

    Raises:
        ValueError: names or shapes don't fit, or a value overflows the model's dtype.
    """
    path = as_path("load_weights", path)
    weights = named_weights(model)
    arrays = _renamed(_in_order(load_file(path), load_metadata(path)), weights)
    missing = [n for n in weights if n not in arrays]
    extra = [n for n in arrays if n not in weights]
    if strict and (missing or extra):
        name = (missing or extra)[0]
        hint = suggestion(name, extra if missing else weights)
        what = f"lacks the weight {name!r}" if missing else f"has a weight {name!r} that the model doesn't have"
        raise ValueError(f"[load_weights] {os.fspath(path)} {what}.{hint} Pass strict=False to load what fits.")
    chosen = {n: a for n, a in arrays.items() if n in weights}
    unfit = [n for n, a in chosen.items() if a.shape != weights[n].shape]
    if strict and unfit:
        raise ValueError(f"[load_weights] the weight {_shapes(unfit[0], arrays, weights)}. Pass strict=False to load what fits.")
    for name in unfit:
        del chosen[name]
    for name, array in chosen.items():
        _check_range(name, array, weights[name].dtype)
    if len(chosen) < max(len(weights), len(arrays)):
        _warn_of_rest(os.fspath(path), chosen, arrays, weights, unfit)
    for name, array in chosen.items():
        weights[name].assign(array)


def _shapes(name: str, arrays: dict, weights: dict) -> str:
    return f"{name!r} has another shape in the file. Received: {arrays[name].shape}. Expected: {weights[name].shape}"


def _check_range(name: str, array: np.ndarray, dtype: np.dtype) -> None:
    if array.dtype.kind != "f" or array.dtype.itemsize <= dtype.itemsize:
        return
    with np.errstate(over="ignore"):
        lost = np.isinf(array.astype(dtype)) & np.isfinite(array)
    if lost.any():
        raise ValueError(
            f"[load_weights] the weight {name!r} has values that {dtype} can't hold. Received: {array[lost].flat[0]}. "
            f"Make the layer with dtype={array.dtype.name!r}."
        )


def _warn_of_rest(path: str, chosen: dict, arrays: dict, weights: dict, unfit: list[str]) -> None:
    parts = [_shapes(n, arrays, weights) for n in unfit]
    parts += [f"{n!r} isn't in the file" for n in weights if n not in arrays]
    parts += [f"{n!r} isn't in the model" for n in arrays if n not in weights]
    shown = "; ".join(parts[:5]) + (f"; and {len(parts) - 5} more" if len(parts) > 5 else "")
    how_many = f"{len(chosen)} of the model's {len(weights)} weights were" if chosen else "nothing fits, no weight was"
    warnings.warn(f"{how_many} set from {path}: {shown}.", stacklevel=users_level())


def _in_order(arrays: dict, metadata: dict[str, str]) -> dict:
    """The arrays in the order of the model that saved them, if the file has it."""
    order = bounded_json.loads(metadata.get("order", "[]").encode(), source="order")
    known = isinstance(order, list) and all(isinstance(n, str) for n in order) and sorted(order) == sorted(arrays)
    return {n: arrays[n] for n in order} if known else arrays


def _renamed(arrays: dict, weights: dict) -> dict:
    """`arrays` under the model's names if only the layers' automatic names (`dense`, `dense_7`) differ: same order, kinds and shapes."""
    if set(arrays) == set(weights):
        return arrays
    if len(arrays) != len(weights):
        return _under_new_names(arrays, weights)
    pairs = list(zip(arrays.items(), weights.items(), strict=True))
    if not all(_kind(a) in (_kind(w), _kind(v.path)) and array.shape == v.shape for (a, array), (w, v) in pairs):
        return _under_new_names(arrays, weights)
    return {name: array for (_, array), (name, _) in pairs}


def _under_new_names(arrays: dict, weights: dict) -> dict:
    """Files have named the weights inside of the user's layers by the inner layer alone."""
    new = {v.path: name for name, v in weights.items() if v.path not in weights and name not in arrays}
    return {new.get(name, name): array for name, array in arrays.items()}


def _kind(path: str) -> str:
    """The path without the numbers of automatic names."""
    return re.sub(r"_\d+(?=/)", "", path)
