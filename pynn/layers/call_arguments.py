"""The arguments that a layer's `call` and `add_weight` take: which there are, which of them came without a name, and what doesn't fit."""

from __future__ import annotations

import inspect
from typing import Any

from pynn.serialization import kept_in_class

CONTEXT = ("training", "mask")  # what a layer is given from outside where the call says nothing


@kept_in_class
def call_words(cls: type) -> frozenset[str]:
    """Names of the arguments of `cls.call`; "**" stands for any."""
    parameters = inspect.signature(cls.call).parameters.values()
    return frozenset("**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters)


@kept_in_class
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


def call_refused(layer, error: Exception, args: tuple, kwargs: dict) -> Exception | None:
    """What to raise where a layer's `call` doesn't take these arguments, or Python stumbled over its input; None for other errors."""
    from pynn.refusals import shown, stumbled, unbound

    by_place = call_places(type(layer))[: len(args)]
    context = {k: v for k, v in kwargs.items() if k in CONTEXT and k not in by_place}
    given = {k: v for k, v in kwargs.items() if k not in context}
    refused = unbound(error, layer.label, layer.call, args, given, context=context)
    if refused is None and stumbled(error):
        refused = ValueError(f"[{layer.label}] can't take inputs like these. Received: {shown(args[0])}. help() says what they look like.")
        refused.__cause__ = error
    return refused


def weight_words(layer, place: tuple, name, shape, initializer) -> tuple:
    """Name, shape and initializer of a weight, of which those in `place` came without a name: the first two, or the last two."""
    if len(place) > 2:
        raise TypeError(
            f"[{layer.label}] add_weight takes at most two positional arguments, name and shape or shape and initializer. "
            f"Received: {len(place)}. Write initializer=..., dtype=... for the others."
        )
    if place[0] is None or isinstance(place[0], str):
        return place[0], (*place, shape)[1], initializer
    return name, place[0], (*place, initializer)[1]
