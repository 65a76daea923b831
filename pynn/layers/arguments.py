"""Checks that constructors share."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import is_whole


def positive(layer, name: str, value) -> int:
    """`value` as an int above zero.

    Raises:
        ValueError: it isn't one.
    """
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not float(value).is_integer() or value < 1:
        fix = f" Arguments go by name: {type(layer).__name__}({name}=8)." if isinstance(value, dict) else ""
        raise ValueError(f"[{layer.label}] {name} must be a whole number above zero. Received: {name}={value!r}.{fix}")
    return int(value)


def several(layer, name: str, value, count: int, *, minimum: int = 1) -> tuple[int, ...]:
    """`value` as a tuple of `count` ints; one int stands for all of them.

    Raises:
        ValueError: it is neither.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
    good = all(is_whole(v) and v >= minimum for v in values)
    if len(values) != count or not good:
        raise ValueError(
            f"[{layer.label}] {name} must be a whole number or {count} of them, at least {minimum}. Received: {name}={value!r}."
        )
    return tuple(int(v) for v in values)


def axis_of(layer, axis: int, shape) -> int:
    """`axis` of an input of this shape, counted from the front.

    Raises:
        ValueError: the input doesn't have it.
    """
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"[{layer.label}] the input has no axis {axis}. Received: shape={tuple(shape)}. Use axis=-1 for its last.")
    return axis % len(shape)


def one_of(layer, name: str, value, choices: tuple):
    """`value` if it is among `choices`.

    Raises:
        ValueError: it isn't.
    """
    if value not in choices:
        raise ValueError(f"[{layer.label}] unknown {name}. Received: {name}={value!r}. Known: {', '.join(map(repr, choices))}.")
    return value


def fraction(layer, name: str, value) -> float:
    """`value` as a float in [0, 1).

    Raises:
        ValueError: it is outside.
    """
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        fix = f" For {value} % write {value / 100:g}." if number and 1 < value < 100 else ""
        raise ValueError(f"[{layer.label}] {name} must be in [0, 1). Received: {name}={value!r}.{fix}")
    return float(value)


def first_shape(layer, input_shape, batch_input_shape, input_dim, batch_size) -> tuple | None:
    """The input's shape that these arguments give, batch axis included; None if they are all None.

    Raises:
        ValueError: it isn't a shape.
    """
    if batch_input_shape is not None:
        return _lengths(layer, "batch_input_shape", batch_input_shape)
    if input_shape is None and input_dim is None:
        return None
    if input_shape is None:
        return (batch_size, *_lengths(layer, "input_dim", (input_dim,)))
    return (batch_size, *_lengths(layer, "input_shape", (input_shape,) if is_whole(input_shape) else input_shape))


def _lengths(layer, word: str, shape) -> tuple:
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) or np.ndim(shape) == 1 else None
    if lengths is None or not all(n is None or (is_whole(n) and n >= 0) for n in lengths):
        raise ValueError(
            f"[{layer.label}] {word} must hold a length or None for each axis. Received: {word}={shape!r}. For example {word}=(28, 28)."
        )
    return tuple(None if n is None else int(n) for n in lengths)
