"""Which weight of a file belongs to which weight of a model: by name, by a shortened name, by position in its layer."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from pynn.engine.variable import Variable
from pynn.errors import DataError
from pynn.io.files import printable
from pynn.layers.tracking import Tracking
from pynn.serialization import is_ours, snake_case

_BY_POSITION = re.compile(r"^(?P<owner>.+)/vars/(?P<index>\d{1,4})$")
_SIDES = {"forward_layer": 0, "backward_layer": 1}


def weight_paths(model) -> list[tuple[str, Variable]]:
    """(name in a file, variable) for all weights, in the order of `weights`.

    The name is the weight's path. Inside a user's layer it gives the attributes that lead there, `block/inner/kernel`: the
    automatic names of the layers it makes for itself are others in the next process.
    """
    names: dict[int, str] = {}
    seen: set[int] = set()

    def visit(layer, prefix: str | None) -> None:
        seen.add(id(layer))
        for variable in layer._own_weights:
            names.setdefault(id(variable), variable.path if prefix is None else f"{prefix}/{variable.name}")
        inside = prefix or (layer.path if layer is not model and _is_users(layer) else None)
        for name, variable in _members(layer, Variable):
            names.setdefault(id(variable), f"{inside}/{name}" if inside else variable.path)
        for name, below in _inner_layers(layer):
            if id(below) not in seen:
                visit(below, f"{inside}/{name}" if inside else None)

    visit(model, None)
    return [(names[id(v)], v) for v in model.weights]


def _is_users(layer) -> bool:
    """True for a layer that makes inner layers itself; stacks and graphs have theirs from a config, with their names."""
    return not is_ours(type(layer)) and not _numbers_layers(layer)


def _numbers_layers(layer) -> bool:
    return type(layer).layers is not Tracking.layers


def _inner_layers(layer) -> Iterator[tuple[str, Tracking]]:
    return ((str(i), below) for i, below in enumerate(layer.layers)) if _numbers_layers(layer) else _members(layer, Tracking)


def _members(layer, kind: type) -> Iterator[tuple[str, object]]:
    """What the attributes of `layer` hold of a kind, with the way there: `attribute`, `attribute/0`, `attribute/key`."""

    def members(value, name: str):
        if isinstance(value, kind):
            yield name, value
        elif isinstance(value, (list, tuple, dict)):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from members(item, f"{name}/{key}")

    for attribute, value in vars(layer).items():
        if attribute not in layer._untracked:
            yield from members(value, attribute)


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
    free = dict(weight_paths(model))
    if len(free) != len(model.weights):
        raise DataError("[load_model] two weights of the model have the same name. Give each layer its own name.")
    names = {id(v): n for n, v in free.items()}
    ways = (
        lambda name: name,
        lambda name: next((s for s in spellings(name) if s in free), None),
        lambda name: names.get(id(_by_position(model, name))),
    )
    pairs, left = [], list(arrays.items())
    for way in ways:
        tried, left = left, []
        for name, array in tried:
            path = way(name)
            if path in free:
                pairs.append((name, free.pop(path), array))
            else:
                left.append((name, array))
    former = _in_order(model, left, free)
    if strict and left and not former:
        raise DataError(f"[load_model] the file has a weight {printable(left[0][0])} that the model doesn't have.")
    if strict and len(free) > len(former):
        raise DataError(f"[load_model] the file lacks the weight {next(iter(free))!r}.")
    pairs += former
    for name, variable, array in pairs:
        if array.shape != variable.shape:
            raise DataError(f"[load_model] the weight {printable(name)} has the shape {array.shape}; the model needs {variable.shape}.")
    return [(variable, array) for _, variable, array in pairs]


def _in_order(model, left: list[tuple[str, np.ndarray]], free: dict[str, Variable]) -> list[tuple[str, Variable, np.ndarray]]:
    """What is left on both sides, where it agrees in order, last names and shapes.

    Files have named the weights inside of the user's layers by automatic names.
    """
    names = {id(v): n for n, v in free.items()}
    places = [v for v in [*model.trainable_weights, *model.non_trainable_weights] if id(v) in names]
    if len(left) != len(places):
        return []
    pairs = [(name, v, array) for (name, array), v in zip(left, places, strict=True)]
    alike = all(names[id(v)] != v.path and _last(name) == _last(v.path) and array.shape == v.shape for name, v, array in pairs)
    return pairs if alike else []


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


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
