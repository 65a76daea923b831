"""Weights of a model as one safetensors file, by their paths."""

from __future__ import annotations

import json
import os
import re

from pynn.errors import suggestion
from pynn.io import bounded_json
from pynn.io.safetensors import load_file, load_metadata, save_file


def named_weights(model) -> dict:
    """path -> variable; paths are made unique by position where layers share a name.

    Raises:
        ValueError: two weights have one path.
    """
    found: dict = {}
    for variable in model.weights:
        if variable.path in found:
            raise ValueError(f"[{model.label}] two weights are named {variable.path!r}. Give each layer a name of its own.")
        found[variable.path] = variable
    return found


def save_weights(model, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a built model; the file appears whole or not at all.

    Raises:
        ValueError: the model has no weights yet.
    """
    if not model.built:
        raise ValueError(f"[{model.label}] the model has no weights yet. Give its first layer an input_shape, or call it once.")
    weights = named_weights(model)
    save_file({name: v.numpy() for name, v in weights.items()}, path, {"format": "pynn", "order": json.dumps(list(weights))})


def load_weights(model, path: str | os.PathLike[str], *, strict: bool = True) -> None:
    """Sets the weights from a file that `save_weights` wrote, by their paths, or by order if only numbers in layers' names differ.

    Everything is checked first: nothing changes if it doesn't fit.

    Args:
        model: A built model.
        path: The file.
        strict: The file must hold exactly the model's weights; otherwise those that are there are set.

    Raises:
        ValueError: names or shapes don't fit.
    """
    if not model.built:
        raise ValueError(f"[{model.label}] the model has no weights yet. Give its first layer an input_shape, or call it once.")
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
    for name, array in chosen.items():
        if array.shape != weights[name].shape:
            raise ValueError(
                f"[load_weights] the weight {name!r} has another shape in the file. "
                f"Received: {array.shape}. The model's: {weights[name].shape}."
            )
    for name, array in chosen.items():
        weights[name].assign(array)


def _in_order(arrays: dict, metadata: dict[str, str]) -> dict:
    """The arrays in the order of the model that saved them, if the file tells it."""
    order = bounded_json.loads(metadata.get("order", "[]").encode(), source="order")
    known = isinstance(order, list) and all(isinstance(n, str) for n in order) and sorted(order) == sorted(arrays)
    return {n: arrays[n] for n in order} if known else arrays


def _renamed(arrays: dict, weights: dict) -> dict:
    """`arrays` under the model's names if only the layers' automatic names (`dense`, `dense_7`) differ: same order, kinds and shapes."""
    if set(arrays) == set(weights) or len(arrays) != len(weights):
        return arrays
    pairs = list(zip(arrays.items(), weights.items(), strict=True))
    alike = all(_kind(a) == _kind(w) and array.shape == v.shape for (a, array), (w, v) in pairs)
    return {name: array for (_, array), (name, _) in pairs} if alike else arrays


def _kind(path: str) -> str:
    """The path without the numbers of automatic names."""
    return re.sub(r"_\d+(?=/)", "", path)
