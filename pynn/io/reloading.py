"""What loading would not find again in a model: files name classes and functions, and hold no code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pynn import activations, constraints, initializers, regularizers
from pynn.layers.base import Layer
from pynn.layers.core import Lambda
from pynn.layers.names import find_class
from pynn.models.functional import Functional
from pynn.models.sequential import Sequential
from pynn.serialization import is_ours

_KINDS = {"activation": activations, "initializer": initializers, "regularizer": regularizers, "constraint": constraints}


def not_found_again(model) -> list[str]:
    """Functions and classes of the user's own in a model that loading has no name for.

    Raises:
        ValueError: one of them has the name of another that loading would take in its place.
    """
    layers = [layer for layer in model.flattened_layers() if not isinstance(layer, (Sequential, Functional))]
    return list(dict.fromkeys(problem for layer in layers for problem in _problems(layer)))


def _problems(layer) -> Iterator[str]:
    name = type(layer).__name__
    if isinstance(layer, Lambda):
        yield "a Lambda layer (write a layer of your own and register it with @pynn.register_layer)"
    elif not _is_found(_named(find_class, name), type(layer), f"layer class {name}") and not is_ours(type(layer)):
        yield f"the layer class {name} (unless it is registered with @pynn.register_layer)"
    for word, written in layer.get_config().items():
        kind = word.rsplit("_", 1)[-1]
        value = getattr(layer, word, None) if is_ours(type(layer)) else written
        if kind not in _KINDS or value is None or isinstance(value, (str, bool, int, float, dict)):
            continue
        if isinstance(value, Layer):
            raise ValueError(f"[save] {layer.name} has a layer as its {word}: {value.name}. Put that layer after it in the model.")
        own = value if hasattr(value, "__name__") else type(value)
        if not _is_found(_named(_KINDS[kind]._REGISTER.find, own.__name__), own, f"{kind} {own.__name__}"):
            yield f"the {kind} {own.__name__} of {layer.name} (write a layer of your own and register it with @pynn.register_layer)"


def _named(find: Callable[[str], Any], name: str) -> Any:
    try:
        return find(name)
    except ValueError:
        return None


def _is_found(found: Any, value: Any, what: str) -> bool:
    """Whether a register has `value` under its name: itself, an op that it stands for, or what it was before it was defined again."""
    if found is None:
        return False
    if found is value or is_ours(value) or (found.__module__, found.__qualname__) == (value.__module__, value.__qualname__):
        return True
    raise ValueError(
        f"[save] this model's {what} has the name of another one: loading would use that one, and the model would compute something else. "
        "Rename yours."
    )
