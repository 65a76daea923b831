"""Writing architectures in the words of TensorFlow.js, as far as it has words."""

from __future__ import annotations

import re
from typing import Any

from pynn.io.topology import KERAS3_HARD_SIGMOID, OWN_DTYPE
from pynn.layers.base import Layer
from pynn.layers.structure import is_shape
from pynn.layers.wrappers import TimeDistributed
from pynn.models.functional import Functional
from pynn.models.graph_config import own_flag
from pynn.models.sequential import Sequential

KNOWN_LAYERS = frozenset(
    """
    Activation Add AlphaDropout Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional
    CategoryEncoding CenterCrop Concatenate Conv1D Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM2D ConvLSTM2DCell Cropping2D
    Dense DepthwiseConv2D Dot Dropout ELU Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking Maximum
    MaxPooling1D MaxPooling2D MaxPooling3D Minimum Multiply PReLU Permute RNN RandomWidth ReLU RepeatVector Rescaling Reshape Resizing
    SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D StackedRNNCells ThresholdedReLU TimeDistributed UpSampling2D
    ZeroPadding2D
    """.split()
)
KNOWN_ACTIVATIONS = frozenset(
    "elu relu relu6 linear sigmoid hard_sigmoid softplus softsign tanh softmax log_softmax swish mish gelu selu".split()
)
_ACTIVATIONS = {"hard_sigmoid_keras2": "hard_sigmoid", "hard_sigmoid": KERAS3_HARD_SIGMOID, "silu": "swish"}
_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_./]*")
_DTYPES = {"float64": "float32", "int64": "int32"}  # in which TensorFlow.js computes what these would
_INITIALIZERS = {"LecunNormal": "LeCunNormal", "LecunUniform": "LeCunUniform"}


class Writer:
    """Configs in the words of TensorFlow.js; notes what it has no words for."""

    def __init__(self) -> None:
        self.inexpressible: list[str] = []
        self._masks = False  # whether a layer so far made a mask

    def model(self, model) -> dict[str, Any]:
        """`{"class_name", "config"}` of a Sequential or functional model.

        Raises:
            ValueError: the model is subclassed.
        """
        if isinstance(model, Sequential):
            return {"class_name": "Sequential", "config": self._sequential(model)}
        if not isinstance(model, Functional):
            raise ValueError(
                f"[save] {model.label} is a subclassed model: its call() is Python, which files can't hold. "
                "Use save_weights, or build the model with Sequential or pn.Model(inputs, outputs)."
            )
        config = model.get_config()
        by_name = {layer.name: layer for layer in model.layers}
        for entry in config["layers"]:
            entry.update(self.layer(by_name[entry["name"]]))
        return {"class_name": "Model", "config": config}

    def _sequential(self, model) -> dict[str, Any]:
        entries = [self.layer(layer) for layer in model.stack]
        if entries and model._build_shape is not None:
            first, shape = entries[0]["config"], model._build_shape
            if entries[0]["class_name"] not in ("Sequential", "Model"):
                first.setdefault("batch_input_shape", [shape[0] if model.stateful else None, *shape[1:]])
        return {"name": model.name, "layers": entries, **own_flag(model)}

    def layer(self, layer: Layer) -> dict[str, Any]:
        """`{"class_name", "config"}` of a layer."""
        if isinstance(layer, (Sequential, Functional)):
            return self.model(layer)
        if not _NAME.fullmatch(layer.name):
            self.inexpressible.append(f"layer named {layer.name!r}: letters, digits and -_./ only, the first a letter or digit")
        name, config = type(layer).__name__, layer.get_config()
        if name == "InputLayer":
            config = {"batch_input_shape": config["batch_shape"], "dtype": config["dtype"], "sparse": False, "name": layer.name}
            return {"class_name": name, "config": _with_known_dtype(config)}
        if name == "Concatenate" and config["axis"] < -1 and len(layer._inbound_nodes) == 1:
            config["axis"] += len(layer.output.shape)  # TensorFlow.js takes any axis below zero for the last
        if is_shape(layer._build_shape):
            self._by_shape(name, config, layer)
        inner = getattr(layer, "layer", None)
        whole = {"layer": self.layer(inner)} if isinstance(inner, (Sequential, Functional, TimeDistributed)) else {}
        rest = {key: value for key, value in config.items() if key not in whole}
        return {"class_name": name, "config": {**self._config(name, rest), **whole}}

    def _by_shape(self, name: str, config: dict[str, Any], layer: Layer) -> None:
        """What TensorFlow.js wants to be told otherwise, or lacks, for inputs of this shape."""
        shape, once = layer._build_shape, len(layer._inbound_nodes) <= 1
        if name == "Softmax" and once and config["axis"] == len(shape) - 1:
            config["axis"] = -1
        if name == "Reshape" and once and None not in shape[1:]:
            config["target_shape"] = list(layer.compute_output_shape(shape)[1:])  # of a -1 its next layer would know nothing
        if name == "Flatten" and len(shape) == 2:
            self.inexpressible.append("Flatten of what is flat already (leave it out)")
        if name in ("BatchNormalization", "LayerNormalization") and len(shape) > 4:
            self.inexpressible.append(f"{name} of {len(shape)} axes")

    def _config(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        problem = _problem(name, config)
        if problem:
            self.inexpressible.append(problem)
        self._masks |= name == "Masking" or bool(config.get("mask_zero"))
        if name == "GlobalAveragePooling1D" and self._masks:
            self.inexpressible.append("average over the steps that a mask leaves: its GlobalAveragePooling1D counts all")
        config = {key: self._value(key, value) for key, value in config.items()}
        if name == "LeakyReLU":
            config["alpha"] = config.pop("negative_slope")
        return _with_known_dtype(config)

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, Layer):
            return self.layer(value)
        if key in ("activation", "recurrent_activation"):
            return self._activation(value)
        if key == "cells":
            return [self._inner(v) for v in value]
        if not isinstance(value, dict) or "class_name" not in value:
            return value
        if key in ("layer", "backward_layer", "cell"):
            return self._inner(value)
        if key.endswith("initializer"):
            return self._initializer(value)
        if value["class_name"] in ("L1", "L2"):
            kind = value["class_name"].lower()
            return {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.0, kind: value["config"][kind]}}
        return value

    def _inner(self, value: Any) -> Any:
        if isinstance(value, Layer):
            return self.layer(value)
        return {"class_name": value["class_name"], "config": self._config(value["class_name"], value["config"])}

    def _initializer(self, value: dict[str, Any]) -> dict[str, Any]:
        if value["config"].get("distribution") == "untruncated_normal":
            self.inexpressible.append("initializer with distribution='untruncated_normal'")
        return {**value, "class_name": _INITIALIZERS.get(value["class_name"], value["class_name"])}

    def _activation(self, value: Any) -> Any:
        word = _ACTIVATIONS.get(value, value) if isinstance(value, str) else value
        if word == KERAS3_HARD_SIGMOID:
            self.inexpressible.append("hard_sigmoid as Keras 3 has it (hard_sigmoid_keras2 is its own)")
        elif word is not None and word not in KNOWN_ACTIVATIONS:
            self.inexpressible.append(f"activation {word!r}")
        return word


def _with_known_dtype(config: dict[str, Any]) -> dict[str, Any]:
    dtype = config.get("dtype")
    return {**config, "dtype": _DTYPES[dtype], OWN_DTYPE: dtype} if dtype in _DTYPES else config


def _problem(name: str, config: dict[str, Any]) -> str:
    """What TensorFlow.js lacks for this layer, or an empty string."""
    if name not in KNOWN_LAYERS:
        return f"layer class {name}"
    if config.get("reset_after"):
        return "GRU with reset_after=True"
    if config.get("output_padding") is not None:
        return f"{name} with output_padding"
    if config.get("groups", 1) != 1:
        return "grouped convolution"
    if config.get("activity_regularizer"):
        return "activity regularizer"
    if name == "Conv1D" and config.get("padding") == "causal":
        return "causal convolution"
    if name == "ELU" and config.get("alpha", 1.0) != 1.0:
        return "ELU layer with an alpha other than 1"
    if name == "ReLU" and (config.get("negative_slope") or config.get("threshold")):
        return "ReLU layer with a negative_slope or threshold"
    if name.startswith("Global") and config.get("keepdims"):
        return f"{name} with keepdims=True"
    if name == "Softmax" and config.get("axis", -1) != -1:
        return "Softmax layer over another axis than the last"
    if name == "Bidirectional" and config.get("backward_layer"):
        return "Bidirectional with a backward_layer of its own"
    if name == "Bidirectional" and config["layer"]["class_name"] == "RNN":
        return "Bidirectional around an RNN of cells"
    return ""
