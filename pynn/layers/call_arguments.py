"""The arguments that a layer's `call` and `add_weight` take: which there are, and which of them came without a name."""

from __future__ import annotations

import functools
import inspect
from typing import Any

CONTEXT = ("training", "mask")  # what a layer is given from outside where the call says nothing


@functools.cache
def call_words(cls: type) -> frozenset[str]:
    """Names of the arguments of `cls.call`; "**" stands for any."""
    parameters = inspect.signature(cls.call).parameters.values()
    return frozenset("**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters)


@functools.cache
def call_places(cls: type) -> tuple[str, ...]:
    """Names of the arguments of `cls.call` that may come without one, in order, `self` not among them."""
    parameters = list(inspect.signature(cls.call).parameters.values())[1:]
    return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)


def with_names(cls: type, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """The same arguments, `training` and `mask` by name although they came by place: `layer(x, True)`."""
    places = call_places(cls)[: len(args)]
    first = next((i for i, name in enumerate(places) if i and name in CONTEXT and name not in kwargs), len(args))
    if len(args) > len(places) or any(name in kwargs for name in places[first:]):
        return args, kwargs  # more than `call` takes, or one twice: Python says so
    return args[:first], {**kwargs, **dict(zip(places[first:], args[first:], strict=True))}


def weight_words(layer, place: tuple, name, shape, initializer) -> tuple:
    """Name, shape and initializer of a weight, of which those in `place` came without a name: the first two, or the last two."""
    if len(place) > 2:
        raise TypeError(
            f"[{layer.label}] add_weight takes two arguments without a name, name and shape or shape and initializer. "
            f"Received: {len(place)}. Write initializer=..., dtype=... for the others."
        )
    if place[0] is None or isinstance(place[0], str):
        return place[0], (*place, shape)[1], initializer
    return name, place[0], (*place, initializer)[1]
