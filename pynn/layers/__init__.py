"""Layers. Each is in the file of its kind; `Layer` is the base class for your own."""

from __future__ import annotations

from typing import Any

from pynn.layers.activation_layers import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from pynn.layers.base import InputSpec, Layer
from pynn.layers.conv import Conv1D, Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D
from pynn.layers.conv1d import Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from pynn.layers.conv3d import AveragePooling3D, Conv3D, Conv3DTranspose, GlobalAveragePooling3D, GlobalMaxPooling3D, MaxPooling3D
from pynn.layers.conv_recurrent import ConvLSTM2D
from pynn.layers.core import ActivityRegularization, GroupNormalization, Identity, Lambda, UnitNormalization
from pynn.layers.dense import Dense
from pynn.layers.embedding import Embedding
from pynn.layers.input import Input, InputLayer
from pynn.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from pynn.layers.names import clear_names, described_layer, find_class, register_layer, registered_layers
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
from pynn.layers.preprocessing import CategoryEncoding, CenterCrop, Normalization, RandomWidth, Resizing
from pynn.layers.recurrent import GRU, LSTM, SimpleRNN
from pynn.layers.recurrent_cells import RNN, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from pynn.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from pynn.layers.resizing import Cropping1D, Cropping2D, Masking, Rescaling, UpSampling1D, UpSampling2D, ZeroPadding1D, ZeroPadding2D
from pynn.layers.wrappers import Bidirectional, TimeDistributed


def get(identifier) -> Layer:
    """The layer for {"class_name", "config"}, a class name or a layer.

    Raises:
        ValueError: the class is unknown.
    """
    if isinstance(identifier, Layer):
        return identifier
    if isinstance(identifier, dict) and isinstance(identifier.get("class_name"), str):
        return described_layer(identifier, {})
    return find_class(identifier)()


__all__ = [
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "CenterCrop",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM2D",
    "Cropping1D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GRU",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "LSTM",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RNN",
    "RandomWidth",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "StackedRNNCells",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UnitNormalization",
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

# Modules whose names differ from a class in case only: `layers.dense(...)` is told what it is called here.
for _module in ("dense", "embedding", "input"):
    globals().pop(_module, None)

_KERAS_ALIASES = {"Convolution": "Conv", "SeparableConvolution": "SeparableConv", "MaxPool": "MaxPooling", "AvgPool": "AveragePooling",
                  "GlobalMaxPool": "GlobalMaxPooling", "GlobalAvgPool": "GlobalAveragePooling"}  # fmt: skip


def __getattr__(name: str) -> Any:
    same = f"{_KERAS_ALIASES.get(name[:-2])}{name[-2:]}"
    if same in __all__:
        return globals()[same]
    from pynn.elsewhere import no_attribute

    raise no_attribute(__name__, name, __all__)
