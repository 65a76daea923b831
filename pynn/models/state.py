"""The state of a training: everything besides the data that its next steps depend on, as named arrays and a few words of JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pynn.engine.operators import call
from pynn.engine.tensor import as_tensor
from pynn.engine.variable import Variable
from pynn.errors import DataError
from pynn.seeds import key_for, seedings

_PLACE = re.compile(r"^(weight|state|optimizer|metric|shuffle)/\d{1,6}/")


class Shuffling:
    """The orders in which `fit` takes the rows: permutations under a key, one per epoch, counted for the life of the model.

    The key follows from the process's seed at the first epoch; `set_seed` restarts it, a loaded state continues.
    """

    def __init__(self) -> None:
        self.drawn = Variable(np.zeros((), np.int64), name="shuffle_counter", trainable=False)
        self._key = (0, 0)
        self._seeding = -1

    @property
    def key(self) -> tuple[int, int]:
        """The key of the permutations."""
        if self._seeding != seedings():
            self.go_on(key_for("fit shuffle"), 0)
        return self._key

    def go_on(self, key: tuple[int, int], drawn: int) -> None:
        """Sets key and count, as a file has them."""
        self._key, self._seeding = (int(key[0]), int(key[1])), seedings()
        self.drawn.assign(np.array(drawn, np.int64))

    def draw(self, rows: int) -> np.ndarray:
        """The next order."""
        key0, key1 = self.key
        order = call("permutation", self.drawn.value, rows, key0=key0, key1=key1)
        self.drawn.assign(call("increment", self.drawn.value, by=1))
        return np.array(order)

    def last(self, rows: int) -> np.ndarray:
        """The order drawn last."""
        key0, key1 = self.key
        counter = as_tensor(np.array(int(self.drawn.item()) - 1, np.int64))
        return np.array(call("permutation", counter, rows, key0=key0, key1=key1))


def state_variables(model, *, running: bool = False) -> dict[str, Variable]:
    """What training changes, by kind, number and path; with `running`, also the sums of the current epoch's running values."""
    groups = {"weight": model.weights, "state": model.state_variables, "shuffle": [model.shuffling.drawn]}
    if model.optimizer is not None and model.optimizer.built:
        groups["optimizer"] = model.optimizer.variables
    if running and model.objective is not None:
        groups["metric"] = model.objective.variables
    return {f"{kind}/{i}/{v.path}": v for kind, variables in groups.items() for i, v in enumerate(variables)}


def _random_layers(model) -> list:
    return [layer for layer in model.flattened_layers() if hasattr(layer, "seed_key")]


def random_keys(model) -> dict[str, Any]:
    """The keys of all random streams of a model, in the words of JSON."""
    return {"layers": [list(layer.seed_key) for layer in _random_layers(model)], "shuffle": list(model.shuffling.key)}


def check_state(
    model, arrays: Mapping[str, np.ndarray], keys: Any, what: str, *, running: bool = False, needed: Callable | None = None
) -> list[tuple[Variable, np.ndarray]]:
    """(variable, array) for arrays named by `state_variables`; numbers in automatic names of layers may differ.

    `needed(name, variable)` says whether there has to be an array; for all by default.

    Raises:
        DataError: it is the state of another model, or a part of one.
    """
    variables = {_place(name): (name, v) for name, v in state_variables(model, running=running).items()}
    pairs = []
    for name, array in arrays.items():
        own, variable = variables.get(_place(name), ("", None))
        if variable is None or _plain(own) != _plain(name) or array.shape != variable.shape or array.dtype != variable.dtype:
            expected = f"expected {own!r} {variable.shape} {variable.dtype}" if variable is not None else "there is no such variable"
            raise DataError(
                f"{what} belongs to another model. Received: {ascii(name[:80])} {array.shape} {array.dtype}; {expected}. "
                "Build and compile the model as it was, or start without this state."
            )
        pairs.append((variable, array))
    _check_complete(arrays, variables, what, needed)
    _checked_keys(model, keys, what)
    return pairs


def _check_complete(arrays: Mapping, variables: dict[str, tuple[str, Variable]], what: str, needed: Callable | None) -> None:
    places = set(map(_place, arrays))
    missing = [(n, v) for place, (n, v) in variables.items() if place not in places and (needed is None or needed(n, v))]
    if missing:
        name, variable = missing[0]
        raise DataError(
            f"{what} is incomplete. Received: {len(arrays)} variables; expected {name!r} {variable.shape} {variable.dtype} among them. "
            "Build and compile the model as it was, or start without this state."
        )


def _place(name: str) -> str:
    found = _PLACE.match(name)
    return found[0] if found else ""


def _plain(name: str) -> str:
    """The name without the numbers of automatic names."""
    return re.sub(r"_\d+(?=/|$)", "", name)


def _checked_keys(model, keys: Any, what: str) -> None:
    layers = keys.get("layers") if isinstance(keys, dict) else None
    pairs = [*layers, keys.get("shuffle")] if isinstance(layers, list) else [None]
    valid = all(isinstance(p, list) and len(p) == 2 and all(type(n) is int and 0 <= n < 1 << 32 for n in p) for p in pairs)
    if not valid or len(layers) != len(_random_layers(model)):
        raise DataError(f"{what} doesn't have the random keys of this model. Build the model as it was, or start without this state.")


def restore_state(model, pairs: list[tuple[Variable, np.ndarray]], keys: dict[str, Any]) -> None:
    """Sets what `check_state` found; captured programs, which have keys in them, are dropped."""
    for layer, key in zip(_random_layers(model), keys["layers"], strict=True):
        layer.seed_key = tuple(key)
    model.shuffling.go_on(tuple(keys["shuffle"]), 0)
    for variable, array in pairs:
        variable.assign(array)
    model.programs.clear()
