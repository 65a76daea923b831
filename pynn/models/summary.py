"""The table that `model.summary()` prints."""

from __future__ import annotations

import sys

from pynn.progress import lines, terminal_columns

LEAST_WIDTH = 40  # characters, for three columns


def _shape(layer) -> str:
    try:
        if layer._build_shape is None:
            return "?"
        return str(layer.compute_output_shape(layer._build_shape))
    except (ValueError, TypeError, NotImplementedError):
        return "?"


def width() -> int:
    """Characters of a line that suit the terminal."""
    return min(max(terminal_columns(), 50), 78)


def _size(weights) -> str:
    size = sum(v.size * v.dtype.itemsize for v in weights)
    return f"{size / 1024:.2f} KB" if size < 1 << 20 else f"{size / (1 << 20):.2f} MB"


def summary_text(model, line_length: int) -> str:
    """Layers with their output shapes and numbers of parameters, and the totals."""
    first, last = int(line_length * 0.44), 14
    middle = line_length - first - last
    rows = [(f"{la.name} ({type(la).__name__})", _shape(la), f"{la.count_params():,}" if la.built else "not yet") for la in model.layers]

    def line(cells) -> str:
        return f"{cells[0][: first - 1]:<{first}}{cells[1][: middle - 1]:<{middle}}{cells[2]:>{last}}"

    trainable = sum(v.size for v in model.trainable_weights)
    fixed = sum(v.size for v in model.weights) - trainable
    heavy, light = (piece * line_length for piece in lines(sys.stdout))
    text = [
        f'Model: "{model.name}"',
        heavy,
        line(("Layer (type)", "Output shape", "Parameters")),
        light,
        *map(line, rows),
        heavy,
        f"Total parameters: {trainable + fixed:,} ({_size(model.weights)})",
        f"Trainable: {trainable:,}, not trainable: {fixed:,}",
    ]
    if not model.built:
        text.append("The weights are made with the first data, or by model.build((None, ...)).")
    return "\n".join(text)
