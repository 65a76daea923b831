"""Variables and sub-layers of a layer, found in its attributes."""

from __future__ import annotations

from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, NoneType

import numpy as np

from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable, structure
from pynn.layers.context import running

_PLAIN = frozenset({NoneType, bool, int, float, str, FunctionType, BuiltinFunctionType, np.ndarray})  # most attributes


def _add_members(values, kind, seen: set[int], found: list) -> None:
    """Adds those of a kind among values, and in the lists and dicts among them, to `found`: each once."""
    for value in values:
        if type(value) in _PLAIN:
            continue
        if isinstance(value, kind):
            if id(value) not in seen:
                seen.add(id(value))
                found.append(value)
        elif isinstance(value, (list, tuple)):
            _add_members(value, kind, seen, found)
        elif isinstance(value, dict):
            _add_members(value.values(), kind, seen, found)


def _add_containers(values, found: list) -> None:
    """Adds the lists and dicts among values, and those in them, to `found`."""
    for value in values:
        if isinstance(value, (list, dict)):
            found.append(value)
        if isinstance(value, (list, tuple, dict)):
            _add_containers(value.values() if isinstance(value, dict) else value, found)


class Inventory:
    """The layers and weights of a layer, as long as no attribute, list or dict in them changes. A copy of the layer has its own."""

    __slots__ = ("_owner", "_changes", "_containers", "_contents", "layers", "weights")

    def __init__(self, owner: Tracking):
        self._owner = owner
        self._changes = structure.changes
        self.layers = owner._find_layers()
        self._containers: list = []
        for layer in self.layers:
            self._containers += [layer._own_weights, layer._own_states]
            _add_containers(layer._tracked_values(), self._containers)
        self._contents = self._ids()
        found: dict[int, Variable] = {}
        for layer in self.layers:
            found.update((id(w), w) for w in layer._direct_weights())
        self.weights = list(found.values())

    def holds_for(self, owner: Tracking) -> bool:
        """Whether this is what `owner` has now."""
        return self._owner is owner and self._changes == structure.changes and self._contents == self._ids()

    def _ids(self) -> list[int]:
        """Identities of all that the containers hold. Whatever is new has changed the count, so none has come back."""
        return [id(v) for c in self._containers for v in (c.values() if type(c) is dict else c)]

    def __deepcopy__(self, memo) -> None:
        return None

    def __reduce__(self):
        return NoneType, ()


class Tracking:
    """Mixin of `Layer`: everything a layer owns, itself or through the layers in its attributes (lists and dicts included)."""

    # Attributes that refer to things without owning them.
    _untracked = frozenset({"_inbound_nodes", "_own_weights", "_own_states", "_call_losses", "_fixed", "_fleeting", "_inventory"})
    # Attributes that no program depends on, although they are set again and again.
    _unnoticed: frozenset[str] = frozenset({"_last_call", "_home"})

    # Attributes that calls of the layer set: what they remember, no settings.
    _fleeting: frozenset[str] = frozenset()

    _inventory: Inventory | None = None

    def _init_tracking(self) -> None:
        self._own_weights: list[Variable] = []
        self._own_states: list[Variable] = []
        self._fixed: list[Variable] = []  # weights that no setting of `trainable` makes trainable
        self._trainable, self._freezes = True, False

    def __setattr__(self, name: str, value) -> None:
        if name not in self._unnoticed:
            structure.changes += 1
            if running.depth and self.__dict__.get("built"):
                object.__setattr__(self, "_fleeting", self._fleeting | {name})
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        structure.changes += 1
        object.__delattr__(self, name)

    @property
    def layers(self) -> list:
        """The layers that this one owns directly."""
        return self._owned(Tracking, {id(self)})

    def _owned(self, kind, seen: set[int]) -> list:
        """What its attributes hold of a kind, but for those seen already."""
        found: list = []
        _add_members(self._tracked_values(), kind, seen, found)
        return found

    def _tracked_values(self) -> list:
        return [v for k, v in vars(self).items() if k not in self._untracked]

    def _known(self) -> Inventory:
        found = self._inventory
        if found is None or not found.holds_for(self):
            found = Inventory(self)
            object.__setattr__(self, "_inventory", found)  # no change
        return found

    def flattened_layers(self) -> list:
        """This layer and all below it, each once."""
        return list(self._known().layers)

    def _find_layers(self) -> list:
        found, seen = [], set()

        def visit(layer) -> None:
            if id(layer) not in seen:
                seen.add(id(layer))
                found.append(layer)
                for below in layer.layers:
                    visit(below)

        visit(self)
        return found

    def containers(self) -> list:
        """The lists and dicts in which this layer and those below it may keep layers and weights. Of what layers make themselves
        the variables are noticed.
        """
        return [v for layer in self.flattened_layers() for v in layer._tracked_values() if isinstance(v, (list, dict))]

    def _direct_weights(self) -> list[Variable]:
        seen = {id(v) for v in self._own_weights} | {id(v) for v in self._own_states}
        return [*self._own_weights, *self._owned(Variable, seen)]

    @property
    def weights(self) -> list[Variable]:
        """All weights, in order of creation, those of inner layers after its own."""
        return list(self._known().weights)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        return [w for w in self._known().weights if w.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Moving statistics and frozen weights."""
        return [w for w in self._known().weights if not w.trainable]

    @property
    def state_variables(self) -> list[Variable]:
        """What changes without being a weight: random counters, states of stateful recurrent layers."""
        return [v for layer in self._known().layers for v in layer._own_states]

    @property
    def variables(self) -> list[Variable]:
        """Weights and state variables."""
        return [*self.weights, *self.state_variables]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets that of inner layers too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.flattened_layers():
            layer._trainable, layer._freezes = bool(value), False
            for weight in layer._direct_weights():
                if all(weight is not fixed for fixed in layer._fixed):
                    weight.trainable = bool(value)

    def count_params(self) -> int:
        """The number of elements of all weights.

        Raises:
            ValueError: the layer has no weights yet.
        """
        if not self.built:
            raise ValueError(f"[{self.label}] parameters can be counted once the layer is built. Call it, or build(input_shape), first.")
        return sum(w.size for w in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in the order of `weights`."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights) -> None:
        """Sets all weights from arrays in the order of `weights`.

        Raises:
            ValueError: their number or a shape differs.
        """
        if not isinstance(weights, Iterable):
            raise TypeError(f"[{self.label}] set_weights takes a list of arrays. Received: {weights!r}. Pass what get_weights() gives.")
        weights, own = list(weights), self.weights
        if len(weights) != len(own):
            names = ", ".join(f"{w.path} {w.shape}" for w in own) or "none" + ("" if self.built else " (it isn't built yet)")
            raise ValueError(f"[{self.label}] expected {len(own)} arrays. Received: {len(weights)}. The weights are: {names}.")
        arrays = [np.asarray(w.numpy() if isinstance(w, (Tensor, Variable)) else w) for w in weights]
        for variable, array in zip(own, arrays, strict=True):
            if array.dtype.kind not in "biuf":
                raise TypeError(f"[{self.label}] the weight {variable.path!r} must hold numbers. Received: dtype {array.dtype}.")
            if array.shape != variable.shape:
                raise ValueError(
                    f"[{self.label}] the weight {variable.path!r} has another shape. Received: shape={array.shape}, expected "
                    f"{variable.shape}. Pass the arrays in the order of layer.weights."
                )
        for variable, array in zip(own, arrays, strict=True):
            variable.assign(array.astype(variable.dtype))
