"""Nested structures of tuples, lists and dicts: their leaves, and the structure put around other leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_LEAF = object()


def flatten(value: Any, leaves: list) -> Any:
    """Appends the leaves of `value` to `leaves` and returns its structure, which is hashable."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return (type(value), tuple(flatten(v, leaves) for v in value))
    if isinstance(value, dict):
        keys = tuple(value)
        return (dict, keys, tuple(flatten(value[k], leaves) for k in keys))
    if hasattr(value, "_fields"):
        return (type(value), None, tuple(flatten(v, leaves) for v in value))
    leaves.append(value)
    return _LEAF


def unflatten(structure: Any, leaves: Iterator) -> Any:
    """The structure with the next leaves in it."""
    if structure is _LEAF:
        return next(leaves)
    if structure[0] is dict:
        return {k: unflatten(s, leaves) for k, s in zip(structure[1], structure[2], strict=True)}
    if len(structure) == 3:
        return structure[0](*(unflatten(s, leaves) for s in structure[2]))
    return structure[0](unflatten(s, leaves) for s in structure[1])


def flatten_like(structure: Any, value: Any, leaves: list) -> bool:
    """Appends the leaves of `value` in the order of `structure`; False if it is nested in another way, but for the order in dicts."""
    if structure is _LEAF:
        leaves.append(value)
        return not isinstance(value, (tuple, list, dict))
    kind, inner = structure[0], structure[-1]
    if kind is dict:
        if not isinstance(value, dict) or value.keys() != set(structure[1]):
            return False
        value = [value[key] for key in structure[1]]
    elif type(value) is not kind or len(value) != len(inner):
        return False
    return all(flatten_like(s, v, leaves) for s, v in zip(inner, value, strict=True))
