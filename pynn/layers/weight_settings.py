"""What users set per weight: initializer, regularizer, constraint, as `<weight>_initializer` and so on."""

from __future__ import annotations

from pynn import activations, constraints, initializers, regularizers
from pynn.engine.variable import Variable

_GETTERS = {
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
    "activation": activations.get,
}


def keep(layer, **settings) -> None:
    """Sets attributes of a layer, each resolved by the last word of its name: `kernel_initializer="zeros"` becomes an initializer."""
    for name, value in settings.items():
        setattr(layer, name, _GETTERS[name.rsplit("_", 1)[-1]](value))


def add(layer, name: str, shape, settings: str | None = None) -> Variable:
    """A new weight with the layer's settings for `settings` (the weight's own name by default)."""
    prefix = settings or name
    return layer.add_weight(
        name,
        shape,
        initializer=getattr(layer, f"{prefix}_initializer"),
        regularizer=getattr(layer, f"{prefix}_regularizer", None),
        constraint=getattr(layer, f"{prefix}_constraint", None),
    )
