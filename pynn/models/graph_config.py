"""The config of a functional model: layers, and for each of their calls where its inputs come from."""

from __future__ import annotations

import inspect
from collections import deque
from typing import Any

from pynn.data.arrays import by_name
from pynn.layers import find_class
from pynn.layers.call_arguments import call_places
from pynn.layers.input import InputLayer
from pynn.layers.structure import flatten, map_structure
from pynn.layers.symbolic import SymbolicTensor
from pynn.models.forms import keys_of
from pynn.models.model import Model

_INPUT_KEYS, _OUTPUT_KEYS = "input_keys", "output_keys"  # of dicts, beside the lists that TensorFlow.js reads


def first_call(layer) -> int:
    """The number that files give to a layer's first call: a nested model has a hidden call 0, its own construction."""
    return 1 if isinstance(layer, Model) else 0


def own_flag(model) -> dict[str, Any]:
    """What the config of a frozen model says of the model itself; each layer's config tells of the layer."""
    return {} if model.trainable else {"trainable": False}


def with_own_flag(model, config: dict[str, Any]):
    """The model, itself frozen if the config says so; its layers stay as theirs say, some may be trained again."""
    if config.get("trainable") is False:
        model._trainable = False
    return model


def graph_config(model) -> dict[str, Any]:
    """`{"name", "layers", "input_layers", "output_layers"}` with list-form inbound nodes, and the keys of inputs or outputs in a dict."""
    number: dict[int, int] = {}
    calls: dict[int, list] = {}
    for node in model.nodes:
        calls.setdefault(id(node.layer), []).append(node)
        number[id(node)] = len(calls[id(node.layer)]) - 1 + first_call(node.layer)

    def reference(t: SymbolicTensor) -> list:
        return [t.layer.name, number[id(t.node)], t.index]

    def written(leaf):
        """An argument after the inputs: a tensor as Keras 3 writes it."""
        if not isinstance(leaf, SymbolicTensor):
            return leaf
        return {"class_name": "__keras_tensor__", "config": {"keras_history": reference(leaf)}}

    def inbound(node) -> list:
        tensors, words = _arguments(node)
        return [[*reference(t), map_structure(written, words) if i == 0 else {}] for i, t in enumerate(tensors)]

    layers = [
        {
            "name": layer.name,
            "class_name": type(layer).__name__,
            "config": layer.get_config(),
            "inbound_nodes": [inbound(node) for node in calls[id(layer)] if node.inputs is not None],
        }
        for layer in model.layers
    ]
    keys = {_INPUT_KEYS: keys_of(model.input_structure), _OUTPUT_KEYS: keys_of(model.output_structure)}
    return {
        "name": model.name,
        "layers": layers,
        "input_layers": [reference(t) for t in model.inputs],
        "output_layers": [reference(t) for t in model.outputs],
        **{word: list(found) for word, found in keys.items() if found is not None},
        **own_flag(model),
    }


def _arguments(node) -> tuple[list[SymbolicTensor], dict[str, Any]]:
    """The inputs of a call, followed by initial states, and its further arguments by name."""
    places = call_places(type(node.layer))
    words = {**dict(zip(places[1:], node.args[1:], strict=False)), **node.kwargs}
    first = node.args[0]
    if isinstance(first, dict) and isinstance(node.layer, Model) and node.layer.input_names:
        first = by_name(first, "x", node.layer.input_names)
    tensors = _tensors((first, node.args[max(len(places), 1) :]))
    if _tensors(words.get("initial_state")):
        tensors += _tensors(words.pop("initial_state"))
    return tensors, {k: v for k, v in words.items() if v is not None}


def _tensors(value) -> list[SymbolicTensor]:
    return [leaf for leaf in flatten(value) if isinstance(leaf, SymbolicTensor)]


class _Graph:
    """Calls layers on symbolic tensors as a config says; a call waits until its inputs are there."""

    def __init__(self, config: dict[str, Any], make_layer):
        self.layers = {entry["name"]: make_layer(entry) for entry in config["layers"]}
        if len(self.layers) != len(config["layers"]):
            raise ValueError("[Model] two layers of the config have the same name.")
        self.made: dict[tuple[str, int], list[SymbolicTensor]] = {}
        self.pending: dict[str, list] = {}
        for entry in config["layers"]:
            layer = self.layers[entry["name"]]
            if isinstance(layer, InputLayer):
                self.made[layer.name, 0] = [layer.output]
            else:
                self.pending[layer.name] = list(enumerate(entry.get("inbound_nodes") or []))

    def connect(self) -> None:
        """Makes all calls.

        Raises:
            ValueError: some never get their inputs (a cycle, or a name that isn't there).
        """
        queue, waiting = deque(self.pending), {}
        while queue:
            name = queue.popleft()
            if self._advance(name):
                queue.extend(waiting.pop(name, ()))
            if self.pending[name]:
                waiting.setdefault(self._awaited(name), []).append(name)
            else:
                del self.pending[name]
        if self.pending:
            raise ValueError(
                f"[Model] the layer {next(iter(self.pending))!r} never gets its inputs: the config has a cycle, or names a "
                "layer or call that doesn't exist."
            )

    def _awaited(self, name: str) -> str:
        """The layer whose call the layer's next call waits for."""
        return next(r[0] for r in references(self.pending[name][0][1]) if self.find(r) is None)

    def _advance(self, name: str) -> bool:
        layer, advanced = self.layers[name], False
        while self.pending[name] and self._ready(self.pending[name][0][1]):
            index, call = self.pending[name].pop(0)
            outputs = self._call(layer, call)
            self.made[name, index + first_call(layer)] = flatten(outputs)
            advanced = True
        return advanced

    def _ready(self, call) -> bool:
        return all(self.find(r) is not None for r in references(call))

    def find(self, reference) -> SymbolicTensor | None:
        """The tensor of [layer, call, index], None if it isn't made yet."""
        name, node, index = reference[:3]
        layer = self.layers.get(name)
        if layer is None:
            raise ValueError(f"[Model] the config refers to a layer {name!r} that doesn't exist.")
        outputs = self.made.get((name, node))
        if outputs is None and isinstance(layer, Model):  # Keras 3 has no hidden call
            outputs = self.made.get((name, node + 1)) if (name, 0) not in self.made else None
        return outputs[index] if outputs is not None and 0 <= index < len(outputs) else None

    def _resolve(self, leaf):
        return self.find(leaf.reference) if isinstance(leaf, _Reference) else leaf

    def _call(self, layer, call):
        if isinstance(call, dict):
            args, kwargs = (map_structure(self._resolve, _wrap(call[part])) for part in ("args", "kwargs"))
            kwargs = {k: v for k, v in kwargs.items() if v is not None}
            _check_words(layer, kwargs)
            return layer(*args, **kwargs)
        tensors = [self.find(r) for r in call]
        kwargs = {k: map_structure(self._resolve, _wrap(v)) for k, v in (call[0][3] if len(call[0]) > 3 else {}).items()}
        states = kwargs.pop("initial_state", None)
        if states is not None:
            kwargs["initial_state"] = [self.find(r) for r in states]
        elif len(tensors) > 1 and "initial_state" in inspect.signature(type(layer).call).parameters:
            tensors, kwargs["initial_state"] = tensors[:1], tensors[1:]
        _check_words(layer, kwargs)
        return layer(tensors[0] if len(tensors) == 1 else tensors, **kwargs)


def _check_words(layer, kwargs: dict[str, Any]) -> None:
    parameters = inspect.signature(type(layer).call).parameters
    unknown = kwargs.keys() - parameters.keys() - {"training", "mask"}
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise ValueError(f"[{layer.label}] the config calls the layer with {sorted(unknown)[0]!r}, which it doesn't take.")


class _Reference:
    """Where an argument comes from: [layer, call, index]."""

    def __init__(self, reference):
        self.reference = reference


def _wrap(value):
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return _Reference(value["config"]["keras_history"])
    if isinstance(value, (list, tuple)):
        return [_wrap(v) for v in value]
    if isinstance(value, dict):
        return {k: _wrap(v) for k, v in value.items()}
    return value


def references(call) -> list:
    """All [layer, call, index] that a call of a config needs."""
    if isinstance(call, dict):
        leaves = flatten([_wrap(call.get("args") or []), _wrap(call.get("kwargs") or {})])
        return [leaf.reference for leaf in leaves if isinstance(leaf, _Reference)]
    found = list(call)
    if call and len(call[0]) > 3 and isinstance(call[0][3], dict):
        found += list(call[0][3].get("initial_state") or [])
        found += [leaf.reference for leaf in flatten(_wrap(call[0][3])) if isinstance(leaf, _Reference)]
    return found


def reference_list(value) -> list:
    """`input_layers` or `output_layers` as a list of references: Keras 3 leaves the outer list out of one entry, and writes dicts."""
    if isinstance(value, dict):
        return list(value.values())
    return [value] if value and isinstance(value[0], str) else list(value)


def _nested(tensors: list[SymbolicTensor], references, keys):
    """One tensor, a dict if there are keys, in Keras 3's way or in ours, or else a list."""
    keys = list(references) if isinstance(references, dict) else keys
    if keys is not None:
        if not isinstance(keys, list) or len(keys) != len(set(map(str, keys))) or len(keys) != len(tensors):
            raise ValueError("[Model] the config needs one key for each of the inputs or outputs that it says are in a dict.")
        return dict(zip(map(str, keys), tensors, strict=True))
    return tensors[0] if len(tensors) == 1 else tensors


def functional_from_config(cls, config: dict[str, Any], make_layer=None):
    """A functional model from a config; `make_layer(entry)` makes its layers."""

    def default(entry):
        return find_class(entry["class_name"]).from_config({"name": entry["name"], **entry["config"]})

    graph = _Graph(config, make_layer or default)
    graph.connect()
    inputs = [graph.find(r) for r in reference_list(config["input_layers"])]
    outputs = [graph.find(r) for r in reference_list(config["output_layers"])]
    if not inputs or not outputs or any(t is None for t in [*inputs, *outputs]):
        raise ValueError("[Model] the config names an input or output that no layer makes, or none at all.")
    nested = [
        _nested(tensors, config[layers], config.get(keys))
        for tensors, layers, keys in ((inputs, "input_layers", _INPUT_KEYS), (outputs, "output_layers", _OUTPUT_KEYS))
    ]
    return with_own_flag(cls(*nested, name=config.get("name")), config)
