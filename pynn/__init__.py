"""pynn: train small and medium neural networks on CPUs, at the speed of the hardware."""

from pynn import (
    activations,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
)
from pynn.config import backend, num_threads, set_num_threads, show_config
from pynn.custom_op import custom_op
from pynn.engine.tensor import Tensor, stop_gradient, tensor
from pynn.engine.variable import Variable
from pynn.errors import CaptureError, DataError, DownloadError, NonFiniteError, PynnError
from pynn.gradients import custom_grad, grad, grads, value_and_grad, value_and_grads, variable_grads
from pynn.io.layers_model import load_model
from pynn.layers import Input, Layer
from pynn.layers.names import register_layer
from pynn.models import Functional, Model, Sequential
from pynn.ops import *  # noqa: F403
from pynn.program.function import Function, function, repeat, scan
from pynn.random import set_seed

__version__ = "0.1.0"

__all__ = [
    *(name for name in ops.__all__ if name != "repeat"),  # pynn.repeat runs steps; the op is pynn.ops.repeat
    "CaptureError",
    "DataError",
    "DownloadError",
    "Function",
    "Functional",
    "Input",
    "Layer",
    "Model",
    "NonFiniteError",
    "PynnError",
    "Sequential",
    "Tensor",
    "Variable",
    "activations",
    "backend",
    "callbacks",
    "constraints",
    "custom_grad",
    "custom_op",
    "datasets",
    "function",
    "grad",
    "grads",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "num_threads",
    "ops",
    "optimizers",
    "register_layer",
    "regularizers",
    "repeat",
    "scan",
    "set_num_threads",
    "set_seed",
    "show_config",
    "stop_gradient",
    "tensor",
    "value_and_grad",
    "value_and_grads",
    "variable_grads",
]
