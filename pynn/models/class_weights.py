"""Weights of the samples by their classes."""

from __future__ import annotations

import numpy as np


def _largest_label(y: np.ndarray) -> int:
    wrong = y[~(np.isfinite(y) & (y == np.rint(y)) & (y >= 0))]
    if wrong.size:
        raise ValueError(
            f"[fit] class_weight needs labels that are whole numbers, zero or more. Received: {wrong.flat[0]:g} among them. "
            "Number the classes from 0, or pass sample_weight."
        )
    return int(y.max())


def class_table(model, class_weight: dict, targets: list[np.ndarray]) -> np.ndarray:
    """Weights by class index, 1 where the dict says nothing; long enough for the classes in the targets.

    Raises:
        ValueError: a key or a label isn't a class index, there are no targets, or the model has several outputs.
    """
    if len(targets) > 1:
        raise ValueError(
            f"[fit] class_weight is for models with one output. Received: targets for {len(targets)}. "
            "Pass sample_weight, a list or dict with the weights of each output."
        )
    if not targets:
        raise ValueError("[fit] class_weight needs the classes of the rows. Received: no y. Pass y, or leave class_weight out.")
    y = targets[0]
    whole = isinstance(class_weight, dict) and all(isinstance(k, (int, np.integer)) and k >= 0 for k in class_weight)
    if not whole or not class_weight:
        raise ValueError(
            f"[fit] class_weight must be a dict from class index to weight. Received: {class_weight!r}. Write {{0: 1.0, 1: 5.0}}."
        )
    classes = max(class_weight) + 1
    if y.size:
        classes = max(classes, y.shape[-1] if model.objective.has_one_hot_targets(y.shape) else _largest_label(y) + 1)
    table = np.ones(max(classes, 2), np.float32)
    for key, weight in class_weight.items():
        if not isinstance(weight, (int, float, np.number)) or not 0 <= weight < np.inf:
            raise ValueError(
                f"[fit] a class's weight must be a number, zero or more. Received: {weight!r} for class {key}. Write {{0: 1.0, 1: 5.0}}."
            )
        table[int(key)] = float(weight)
    return table
