"""Optimizers: rules that update weights from their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynn.errors import absent
from pynn.optimizers import schedules
from pynn.optimizers.adadelta import Adadelta
from pynn.optimizers.adagrad import Adagrad
from pynn.optimizers.adam import Adam, AdamW
from pynn.optimizers.adamax import Adamax
from pynn.optimizers.base import Optimizer
from pynn.optimizers.nadam import Nadam
from pynn.optimizers.rmsprop import RMSprop
from pynn.optimizers.sgd import SGD
from pynn.serialization import Register


def momentum(learning_rate: Any = 0.01, momentum: float = 0.9, nesterov: bool = False) -> SGD:
    """SGD with momentum, under the name that TensorFlow.js has for it."""
    return SGD(learning_rate, momentum, nesterov)


_REGISTER = Register("optimizer")
for _class in (SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, Adamax, Nadam):
    _REGISTER.add(_class)


def find(name: str) -> type:
    """The optimizer class of a name in any spelling.

    Raises:
        ValueError: the name is unknown.
    """
    return _REGISTER.find(name)


def get(identifier) -> Optimizer:
    """The optimizer for a name (`"adam"`), a config or an optimizer.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str) and identifier.lower() == "momentum":
        return momentum()
    return _REGISTER.get(identifier)


__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "find",
    "get",
    "momentum",
    "schedules",
]

# Modules whose names differ from a class in case only: `optimizers.adam(...)` is told what it is called here.
for _module in ("adadelta", "adagrad", "adam", "adamax", "nadam", "rmsprop", "sgd"):
    globals().pop(_module, None)

if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, __all__)
