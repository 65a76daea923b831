"""Layers. Each is in the file of its kind; `Layer` is the base class for your own."""

from __future__ import annotations

from pynn.layers.activation_layers import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from pynn.layers.base import InputSpec, Layer
from pynn.layers.conv import Conv1D, Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D
from pynn.layers.dense import Dense
from pynn.layers.embedding import Embedding
from pynn.layers.input import Input, InputLayer
from pynn.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from pynn.layers.names import clear_names, find_class, register_layer, registered_layers
from pynn.layers.noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from pynn.layers.normalization import BatchNormalization, LayerNormalization
from pynn.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from pynn.layers.recurrent import GRU, LSTM, SimpleRNN
from pynn.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from pynn.layers.resizing import (
    Cropping1D,
    Cropping2D,
    Masking,
    Rescaling,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from pynn.layers.wrappers import Bidirectional, TimeDistributed


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
    "GRU",
    "LSTM",
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "SimpleRNN",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling1D",
    "UpSampling2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "clear_names",
    "find_class",
    "get",
    "register_layer",
    "registered_layers",
]
