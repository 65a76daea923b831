"""Which weight of a file belongs to which weight of a model: by name, by a shortened name, by position in its layer."""

from __future__ import annotations

import re

import numpy as np

from pynn.engine.variable import Variable
from pynn.errors import DataError
from pynn.io.files import printable
from pynn.serialization import snake_case

_BY_POSITION = re.compile(r"^(?P<owner>.+)/vars/(?P<index>\d{1,4})$")
_SIDES = {"forward_layer": 0, "backward_layer": 1}


def spellings(name: str) -> list[str]:
    """The names under which a file's weight may be known: without model names in front, without the cell's name inside."""
    parts = name.split("/")
    found = []
    for start in range(max(len(parts) - 1, 1)):
        tail = parts[start:]
        found.append("/".join(tail))
        if len(tail) > 2:
            found.append("/".join([*tail[:-2], tail[-1]]))
    return list(dict.fromkeys(found))


def match(model, arrays: dict[str, np.ndarray], *, strict: bool = True) -> list[tuple[Variable, np.ndarray]]:
    """(variable, array) for all weights.

    Raises:
        DataError: a weight is missing, one too many, or of another shape.
    """
    free = {v.path: v for v in model.weights}
    if len(free) != len(model.weights):
        raise DataError("[load_model] two weights of the model have one name. Give each layer a name of its own.")
    pairs, left = [], []
    for name, array in arrays.items():
        path = next((s for s in spellings(name) if s in free), None)
        if path is None:
            left.append((name, array))
        else:
            pairs.append((name, free.pop(path), array))
    for name, array in left:
        variable = _by_position(model, name)
        if variable is not None and variable.path in free:
            pairs.append((name, free.pop(variable.path), array))
        elif strict:
            raise DataError(f"[load_model] the file has a weight {printable(name)} that the model has no place for.")
    if strict and free:
        raise DataError(f"[load_model] the file lacks the weight {next(iter(free))!r}.")
    for name, variable, array in pairs:
        if array.shape != variable.shape:
            raise DataError(f"[load_model] the weight {printable(name)} has the shape {array.shape}; the model needs {variable.shape}.")
    return [(variable, array) for _, variable, array in pairs]


def _by_position(model, name: str) -> Variable | None:
    """For names such as `layers/gru_1/cell/vars/0`: containers number their layers by class, weights by position."""
    found = _BY_POSITION.match(name)
    if not found:
        return None
    layer, side = model, None
    for part in found["owner"].split("/"):
        if part in ("layers", "_layer_checkpoint_dependencies", "cell", "layer"):
            continue
        if part in _SIDES:
            side = _SIDES[part]
            continue
        layer = _numbered(layer).get(part)
        if layer is None:
            return None
    weights = [*layer.trainable_weights, *layer.non_trainable_weights]
    if side is not None:
        half = len(weights) // 2
        weights = weights[:half] if side == 0 else weights[half:]
    index = int(found["index"])
    return weights[index] if index < len(weights) else None


def _numbered(container) -> dict:
    """The layers of a container by snake-cased class with a running number."""
    counts: dict[str, int] = {}
    found = {}
    for layer in container.layers:
        base = snake_case(type(layer).__name__)
        count = counts.get(base, 0)
        counts[base] = count + 1
        found[f"{base}_{count}" if count else base] = layer
    return found
