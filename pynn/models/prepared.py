"""The arguments of `fit` and similar methods as arrays, checked against the model."""

from __future__ import annotations

import numpy as np

from pynn.data.arrays import ArrayData, named_leaves, without_gaps
from pynn.models import steps
from pynn.models.class_weights import class_table
from pynn.models.settings import dtype_of_floats


def prediction_data(model, x) -> ArrayData:
    """The argument of `predict` and similar methods."""
    data = ArrayData(_input_leaves(model, x))
    model.check_shapes([a.shape for a in data.x])
    return data


def training_data(model, x, y=None, sample_weight=None, class_weight=None) -> ArrayData:
    """The arguments of `fit` and similar methods; class weights become weights of samples."""
    leaves = _input_leaves(model, x)
    if isinstance(y, dict) and model.output_names is None:
        steps.look_at_outputs(model, leaves)
    floats = float_dtype(model)
    targets = [] if y is None else named_leaves(y, "y", model.output_names, labels=True, dtype=floats)
    if y is None and sample_weight is not None:
        raise ValueError(
            "[data] sample_weight weighs losses and metrics of compile, which need targets. Received: sample_weight without y. "
            "Pass y, or make the weights an input of the model and use them where add_loss is called."
        )
    sample_weight = without_gaps(sample_weight, leaves)
    names = None if _is_numbers(sample_weight) else model.output_names
    weights = [] if sample_weight is None else named_leaves(sample_weight, "sample_weight", names, dtype=floats)
    weights = [w if w.dtype.kind == "f" else w.astype(np.float32) for w in weights]
    data = ArrayData(leaves, targets, weights)
    model.check_shapes([a.shape for a in leaves])
    return data if class_weight is None else steps.by_class(model, data, class_table(model, class_weight, targets))


def _input_leaves(model, x) -> list[np.ndarray]:
    if isinstance(x, (list, tuple, dict)) and not x:
        raise ValueError(f"[data] there are no rows. Received: x is an empty {type(x).__name__}. Pass an array with rows.")
    names = model.input_names
    if names is None:
        model.forms.take_inputs(x)
        names = list(x) if isinstance(x, dict) else None
    return named_leaves(x, "x", names, dtype=float_dtype(model))


def float_dtype(model) -> np.dtype:
    """What floats in data become."""
    return model.programs.calls.fact(model, dtype_of_floats)


def _is_numbers(sample_weight) -> bool:
    """Whether it is a list of numbers: weights of rows, not of outputs."""
    return isinstance(sample_weight, (list, tuple)) and np.ndim(sample_weight[:1]) == 1
