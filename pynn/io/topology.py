"""Reading architectures: TensorFlow.js and three generations of Keras write the same model in different words.

It goes through a closed table of layer classes; nothing named in a file is imported, evaluated or opened.
"""

from __future__ import annotations

from typing import Any

from pynn import initializers
from pynn.errors import DataError
from pynn.io.files import printable
from pynn.layers import find_class
from pynn.layers.base import Layer
from pynn.models.functional import Functional
from pynn.models.graph_config import functional_from_config, with_own_flag
from pynn.models.sequential import Sequential
from pynn.serialization import accepted

MAX_NESTING = 20
MAX_LAYERS = 5_000
KERAS3_HARD_SIGMOID = "hard_sigmoid_keras3"  # our word in files whose hard_sigmoid is that of TensorFlow.js
OWN_DTYPE = "pynn_dtype"  # beside the dtype of a layer where TensorFlow.js has another
_OLD_NAMES = {
    "BatchNormalizationV1": "BatchNormalization", "UnifiedGRU": "GRU", "UnifiedLSTM": "LSTM", "CuDNNGRU": "GRU", "CuDNNLSTM": "LSTM",
}  # fmt: skip
_MODELS = ("Sequential", "Model", "Functional")
_NULL_ALIKE = ("regularizer", "constraint", "initializer", "activation", "seed")
_NULL_CHOSEN = {("Bidirectional", "merge_mode"), ("Normalization", "axis"), ("UnitNormalization", "axis")}
_RECURRENT = ("GRU", "LSTM", "GRUCell", "LSTMCell", "ConvLSTM2D", "ConvLSTM2DCell")


def _error(problem: str) -> DataError:
    return DataError(f"[load_model] the architecture is not valid: {problem}.")


class Dialect:
    """Who wrote a file, as far as it changes what words mean."""

    def __init__(self, topology: dict[str, Any], shapes: dict[str, tuple[int, ...]]):
        self.shapes = shapes
        self.layers = 0
        version = str(topology.get("keras_version") or "")
        self.tfjs = "tfjs" in version or topology.get("backend") == "tensor_flow.js"
        self.keras3 = version.startswith("3")


def model_from_topology(topology: Any, shapes: dict[str, tuple[int, ...]] | None = None):
    """The model, built where its input shape is known, with weights still to be set.

    Args:
        topology: What the file holds.
        shapes: Shapes of the file's weights by name, for what configs leave out.

    Raises:
        DataError: the file's architecture is malformed or has layers that don't exist here.
    """
    if not isinstance(topology, dict):
        raise _error("modelTopology is not an object")
    dialect = Dialect(topology, shapes or {})
    entry = topology.get("model_config", topology)
    try:
        return _layer(entry, dialect, 0)
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        raise _error(f"{type(error).__name__}: {printable(str(error), 300)}") from error


def _count(number: int, dialect: Dialect) -> None:
    dialect.layers += number
    if dialect.layers > MAX_LAYERS:
        raise _error(f"it has more than {MAX_LAYERS} layers or calls of layers")


def _layer(entry: Any, dialect: Dialect, depth: int) -> Layer:
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        raise _error(f"a layer has no class_name: {printable(entry)}")
    if depth > MAX_NESTING:
        raise _error(f"models are nested more than {MAX_NESTING} deep")
    name = _OLD_NAMES.get(entry["class_name"], entry["class_name"])
    config = entry.get("config")
    if name in _MODELS:
        return _model(name, config, dialect, depth)
    if not isinstance(config, dict):
        raise _error(f"the layer {printable(name)} has no config")
    try:
        cls = find_class(name)
    except ValueError:
        raise DataError(
            f"[load_model] the model has a layer of class {printable(name)}, which pynn doesn't know. "
            "A layer of your own must be registered first: @pynn.register_layer."
        ) from None
    config = {"name": entry["name"], **config} if isinstance(entry.get("name"), str) else config
    return cls.from_config(layer_config(cls, name, config, dialect, depth))


def _model(name: str, config: Any, dialect: Dialect, depth: int):
    if name == "Sequential":
        entries = config if isinstance(config, list) else config.get("layers")
        _count(len(entries), dialect)
        layers = [_layer(e, dialect, depth + 1) for e in entries]
        config = config if isinstance(config, dict) else {}
        return with_own_flag(Sequential(layers, name=config.get("name")), config)
    if "layers" not in config or "input_layers" not in config:
        raise DataError(f"[load_model] {printable(config.get('name'))} is a subclassed model: its file has no architecture.")
    _count(sum(max(len(e.get("inbound_nodes") or []), 1) for e in config["layers"]), dialect)
    return functional_from_config(Functional, config, lambda entry: _layer(entry, dialect, depth + 1))


def layer_config(cls: type, name: str, config: dict[str, Any], dialect: Dialect, depth: int) -> dict[str, Any]:
    """A layer's config in our words."""
    config = {key: _value(key, value, dialect, depth) for key, value in config.items()}
    for key in ("batch_input_shape", "batch_shape", "input_shape"):
        _check_shape(name, config.get(key))
    if "batch_shape" in config and name != "InputLayer":
        config["batch_input_shape"] = config.pop("batch_shape")
    if name == "InputLayer" and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    if name in _RECURRENT:
        _recurrent_defaults(name, config, dialect)
    if OWN_DTYPE in config:
        config["dtype"] = config.pop(OWN_DTYPE)
    if name == "LeakyReLU" and "alpha" in config:
        config["negative_slope"] = config.pop("alpha")
    if name == "Reshape" and isinstance(config.get("target_shape"), tuple):
        config["target_shape"] = tuple(-1 if n is None else n for n in config["target_shape"])
    if name == "SeparableConv2D" and "depth_multiplier" not in config:
        kernel = dialect.shapes.get(f"{config.get('name')}/depthwise_kernel")
        config["depth_multiplier"] = kernel[-1] if kernel else 1
    if name == "DepthwiseConv2D" and config.get("depthwise_constraint") == config.get("depthwise_regularizer"):
        config.pop("depthwise_constraint", None)  # TensorFlow.js writes the regularizer under both names
    if name == "BatchNormalization" and isinstance(config.get("axis"), list):
        config["axis"] = config["axis"][0]
    config.pop("implementation", None)
    known = accepted(cls, config)
    # null stands for "unset" in files, except where a constructor's default says the same, or takes None for a choice of its own
    return {k: v for k, v in known.items() if v is not None or k.endswith(_NULL_ALIKE) or (name, k) in _NULL_CHOSEN}


def _check_shape(name: str, shape: Any) -> None:
    valid = isinstance(shape, tuple) and all(n is None or (type(n) is int and 0 <= n < 1 << 40) for n in shape)
    if shape is not None and not valid:
        raise _error(f"the layer {printable(name)} has the input shape {printable(shape)}")


def _recurrent_defaults(name: str, config: dict[str, Any], dialect: Dialect) -> None:
    if dialect.tfjs:
        config.setdefault("recurrent_activation", "hard_sigmoid_keras2")
        if name.startswith("GRU"):
            config.setdefault("reset_after", False)
    if name.startswith(("LSTM", "ConvLSTM")) and (config.get("unit_forget_bias") is None and dialect.tfjs):
        config["unit_forget_bias"] = False


def _value(key: str, value: Any, dialect: Dialect, depth: int) -> Any:
    if isinstance(value, dict) and value.get("type") == "ndarray":
        return value.get("value")
    if key == "dtype" and isinstance(value, dict):
        return (value.get("config") or {}).get("name", "float32")
    if key in ("activation", "recurrent_activation"):
        return _activation(value, dialect)
    if key.endswith("_initializer") and isinstance(value, dict):
        return _initializer(value)
    if isinstance(value, dict) and "class_name" in value:
        if key in ("layer", "backward_layer", "cell"):
            return _inner_layer(value, dialect, depth)
        return {"class_name": value["class_name"], "config": value.get("config") or {}}
    if key == "cells" and isinstance(value, list):
        return [_inner_layer(v, dialect, depth) for v in value]
    if isinstance(value, list) and key not in ("config",):
        return tuple(value) if all(isinstance(v, (int, float, type(None))) for v in value) else value
    return value


def _inner_layer(entry: dict[str, Any], dialect: Dialect, depth: int):
    if depth >= MAX_NESTING:
        raise _error(f"layers are nested more than {MAX_NESTING} deep")
    return _layer(entry, dialect, depth + 1)


def _activation(value: Any, dialect: Dialect) -> Any:
    if isinstance(value, dict):
        value = (value.get("config") or {}).get("name") or value.get("class_name")
    if value == "hard_sigmoid" and not dialect.keras3:
        return "hard_sigmoid_keras2"
    return "hard_sigmoid" if value == KERAS3_HARD_SIGMOID else value


def _initializer(value: dict[str, Any]) -> dict[str, Any]:
    name = value.get("class_name")
    name = "Identity" if name == "IdentityInitializer" else name
    return {"class_name": name, "config": accepted(initializers.find(name), value.get("config") or {})}
