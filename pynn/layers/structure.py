"""Nested lists, tuples and dicts of tensors: what layers take and give."""

from __future__ import annotations

from collections.abc import Callable

_NESTED = (list, tuple, dict)


def flatten(structure) -> list:
    """The leaves of `structure`, in order; None is a leaf."""
    if not isinstance(structure, _NESTED):
        return [structure]
    found: list = []
    for item in structure.values() if isinstance(structure, dict) else structure:
        found += flatten(item)
    return found


def map_structure(f: Callable, structure):
    """The same nesting with `f(leaf)` in place of each leaf."""
    if not isinstance(structure, _NESTED):
        return f(structure)
    if isinstance(structure, dict):
        return {key: map_structure(f, item) for key, item in structure.items()}
    items = [map_structure(f, item) for item in structure]
    return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)


def is_shape(value) -> bool:
    """True for one shape: a tuple or list of whole numbers and None."""
    return isinstance(value, (tuple, list)) and all([n is None or isinstance(n, int) for n in value])


def map_shapes(f: Callable, shapes):
    """`f` on each shape of one shape or a nesting of shapes."""
    if is_shape(shapes):
        return f(tuple(shapes))
    if isinstance(shapes, dict):
        return {key: map_shapes(f, item) for key, item in shapes.items()}
    return [map_shapes(f, item) for item in shapes]
