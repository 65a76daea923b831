"""What users set per weight: initializer, regularizer, constraint, as `<weight>_initializer` and so on; and activations."""

from __future__ import annotations

from pynn import activations, constraints, initializers, regularizers
from pynn.engine.variable import Variable

_GETTERS = {
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
    "activation": activations.get,
}


def _kind(name: str) -> str:
    return name.rsplit("_", 1)[-1]


def split(arguments: dict) -> tuple[dict, dict]:
    """The arguments of a layer's constructor, its `locals()`, as (settings of weights, and activations; its other arguments of its own)."""
    own = {k: v for k, v in arguments.items() if k not in ("self", "common", "__class__")}
    settings = {k: v for k, v in own.items() if _kind(k) in _GETTERS}
    return settings, {k: v for k, v in own.items() if k not in settings}


def keep(layer, arguments: dict) -> None:
    """Sets attributes of a layer from the settings among its constructor's `locals()`, each resolved by the last word of its name:
    `kernel_initializer="zeros"` becomes an initializer.
    """
    for name, value in split(arguments)[0].items():
        setattr(layer, name, _GETTERS[_kind(name)](value))


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
