"""Layers. Each is in the file of its kind; `Layer` is the base class for your own."""

from __future__ import annotations

from pynn.layers.activation_layers import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from pynn.layers.base import InputSpec, Layer
from pynn.layers.dense import Dense
from pynn.layers.input import Input, InputLayer
from pynn.layers.names import clear_names, find_class, register_layer, registered_layers
from pynn.layers.noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from pynn.layers.reshaping import Flatten, Permute, RepeatVector, Reshape


def get(identifier) -> Layer:
    """The layer for {"class_name", "config"}, a class name or a layer.

    Raises:
        ValueError: the class is unknown.
    """
    if isinstance(identifier, Layer):
        return identifier
    if isinstance(identifier, dict):
        return find_class(identifier["class_name"]).from_config(identifier.get("config") or {})
    return find_class(identifier)()


__all__ = [
    "ELU",
    "Activation",
    "AlphaDropout",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "LeakyReLU",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "ThresholdedReLU",
    "clear_names",
    "find_class",
    "get",
    "register_layer",
    "registered_layers",
]
