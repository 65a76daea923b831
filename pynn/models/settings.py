"""What the programs of a model depend on beside shapes: what of it is trained, and the settings of its layers and its optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn.activations import is_builtin
from pynn.program.same import Same
from pynn.serialization import is_ours

_PLAIN = (type(None), bool, int, float, str)


def settings_of(model) -> tuple:
    """A value that compares equal as long as programs captured with it do what the model's Python would do."""
    owners = model.flattened_layers() if model.optimizer is None else [*model.flattened_layers(), model.optimizer]
    weights = tuple([(v.trainable, _seen(v.regularizer), _seen(v.constraint)) for v in model.weights])
    schedule = Same(getattr(model.optimizer, "schedule", None))  # not among its attributes; a number is in a variable
    return model.stateful, weights, schedule, tuple([(Same(owner), _attributes(owner)) for owner in owners])


def _attributes(owner) -> tuple:
    others = {*getattr(owner, "_fleeting", ()), *getattr(owner, "_unnoticed", ())}
    return tuple([(name, _seen(value)) for name, value in vars(owner).items() if name[0] != "_" and name not in others])


def _seen(value: Any):
    """Plain values and what lists, tuples and dicts of them hold; anything else as itself."""
    if type(value) in _PLAIN:
        return type(value), value
    if type(value) in (list, tuple):
        return type(value), tuple([_seen(v) for v in value])
    if type(value) is dict:
        return dict, tuple([(k, _seen(v)) for k, v in value.items()])
    return Same(value)


def dtype_of_floats(model) -> np.dtype:
    """What floats in data become: float64 if some layer computes in it, which float32 would have rounded."""
    return np.dtype(np.float64 if any(layer.dtype == np.float64 for layer in model.flattened_layers()) else np.float32)


def is_own_code(layer) -> bool:
    """True if a call of the layer runs no code of the user's: neither a class nor a function of theirs."""
    if not is_ours(type(layer)) or type(layer).__name__ == "Lambda":
        return False
    functions = (getattr(layer, "activation", None), getattr(layer, "recurrent_activation", None))
    return not any(callable(f) and not is_builtin(f) for f in functions)


def runs_own_code(model) -> bool:
    """True if that holds for the model and all its layers."""
    return all(is_own_code(layer) for layer in model.flattened_layers())


def adds_to_losses(model) -> bool:
    """True if a call of the model adds to `model.losses` what it gives."""
    return any(layer.activity_regularizer is not None for layer in model.flattened_layers())
