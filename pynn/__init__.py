"""pynn: train small and medium neural networks on CPUs, at the speed of the hardware."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynn.program.loops import repeat  # before the op of this name, for mypy

from pynn import ops
from pynn.config import backend, num_threads, set_num_threads, set_winograd, show_config, winograd
from pynn.custom_op import custom_op  # at once: an import of that module would put the module in the place of the function
from pynn.engine.tensor import Tensor, stop_gradient, tensor
from pynn.engine.variable import Variable
from pynn.errors import CaptureError, DataError, DownloadError, NonFiniteError, PynnError
from pynn.gradients import custom_grad, grad, grads, value_and_grad, value_and_grads, variable_grads
from pynn.ops import *  # noqa: F403

if TYPE_CHECKING:
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
        optimizers,
        random,
        regularizers,
    )
    from pynn.io.layers_model import load_model
    from pynn.layers import Input, Layer
    from pynn.layers.names import register_layer
    from pynn.models import Functional, Model, Sequential
    from pynn.program.function import Function, function
    from pynn.program.loops import repeat, scan
    from pynn.seeds import set_seed

__version__ = "0.1.0"

# Imported on first use, so that `import pynn` stays quick: folders and files of the package,
_SUBMODULES = frozenset(
    "activations callbacks constraints datasets initializers layers losses metrics models optimizers random regularizers".split()
)
# and single names with the module that has them.
_NAMES = {
    "Function": "program.function",
    "Functional": "models",
    "Input": "layers",
    "Layer": "layers",
    "Model": "models",
    "Sequential": "models",
    "function": "program.function",
    "load_model": "io.layers_model",
    "register_layer": "layers.names",
    "repeat": "program.loops",
    "scan": "program.loops",
    "set_seed": "seeds",
}
# pynn.repeat runs steps, and pynn.random draws without a counter; the ops are in pynn.ops.
_OPS_ALONE = {"repeat", *(name for name in ops.__all__ if name.startswith("random_"))}
for _name in _OPS_ALONE:
    del globals()[_name]

__all__ = [
    *(name for name in ops.__all__ if name not in _OPS_ALONE),
    *_SUBMODULES,
    *_NAMES,
    "CaptureError",
    "DataError",
    "DownloadError",
    "NonFiniteError",
    "PynnError",
    "Tensor",
    "Variable",
    "backend",
    "custom_grad",
    "custom_op",
    "grad",
    "grads",
    "num_threads",
    "ops",
    "set_num_threads",
    "set_winograd",
    "show_config",
    "stop_gradient",
    "tensor",
    "value_and_grad",
    "value_and_grads",
    "variable_grads",
    "winograd",
]


if not TYPE_CHECKING:  # for which every name would be there

    def __getattr__(name: str):
        if name in _SUBMODULES:
            return import_module(f"pynn.{name}")
        if name in _NAMES:
            found = getattr(import_module(f"pynn.{_NAMES[name]}"), name)
            globals()[name] = found
            return found
        from pynn.elsewhere import no_attribute

        raise no_attribute("pynn", name, __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
