"""Targets beside outputs: the shapes that losses and metrics take, and what to say when they don't fit."""

from __future__ import annotations

from collections.abc import Callable

from pynn import ops
from pynn.dtypes import is_float
from pynn.engine.tensor import Tensor, as_tensor


def _float(y_pred) -> Tensor:
    y_pred = as_tensor(y_pred)
    return y_pred if is_float(y_pred.dtype) else ops.cast(y_pred, "float32")


def _received(y_true: Tensor, y_pred: Tensor) -> str:
    return f"Received: y_true.shape={y_true.shape} ({y_true.dtype}), y_pred.shape={y_pred.shape}."


def _position_advice(y_true: Tensor, y_pred: Tensor, labels: bool = False) -> str:
    """For a model that gives outputs for every position or step, where the targets are one for each example; else an empty string."""
    most = 1 if labels else 2
    if y_pred.ndim < 3 or y_true.ndim > most or not y_true.ndim or y_true.shape[0] != y_pred.shape[0]:
        return ""
    if y_true.ndim == 2 and y_true.shape[1] not in (1, y_pred.shape[-1]):
        return ""
    return (
        "The model gives one output per position or step: put pn.layers.Flatten() before its last layer, or leave out "
        "return_sequences in the last recurrent one."
    )


def dense_targets(name: str, y_true, y_pred) -> tuple[Tensor, Tensor]:
    """Both in the outputs' float dtype and one shape; a missing or extra last axis of length one is added or removed.

    Raises:
        ValueError: the shapes differ.
    """
    y_true, y_pred = as_tensor(y_true), _float(y_pred)
    if y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1 and y_true.shape == y_pred.shape[:-1]:
        y_true = ops.expand_dims(y_true, -1)
    elif y_pred.ndim == y_true.ndim - 1 and y_true.shape[-1] == 1 and y_pred.shape == y_true.shape[:-1]:
        y_true = ops.squeeze(y_true, -1)
    if y_true.shape != y_pred.shape:
        advice = _position_advice(y_true, y_pred) or (
            "Give the last layer as many units as the targets have columns, or reshape the targets."
        )
        raise ValueError(f"[{name}] targets and outputs have different shapes. {_received(y_true, y_pred)} {advice}")
    return (y_true if y_true.dtype == y_pred.dtype else ops.cast(y_true, y_pred.dtype)), y_pred


def categorical_targets(name: str, y_true, y_pred, axis: int = -1) -> tuple[Tensor, Tensor]:
    """One-hot targets and outputs of one shape.

    Raises:
        ValueError: the shapes differ; integer labels get advice of their own.
    """
    y_true, y_pred = as_tensor(y_true), _float(y_pred)
    if y_true.shape != y_pred.shape:
        classes = y_pred.shape[axis] if y_pred.shape else 0
        labels = y_true.ndim == y_pred.ndim - 1 or (y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1 and classes > 1)
        advice = (
            _position_advice(y_true, y_pred)
            or ("The last layer has one unit: give it one for each class, or use the loss 'binary_crossentropy' for two classes."
                if classes == 1 else "")
            or ("The targets look like integer labels: use the loss 'sparse_categorical_crossentropy', "
                f"or make them one-hot with pn.one_hot(y, {classes})." if labels else "")
            or f"The targets must be one-hot over the {classes} classes that the last layer gives."
        )  # fmt: skip
        raise ValueError(f"[{name}] targets and outputs have different shapes. {_received(y_true, y_pred)} {advice}")
    return (y_true if y_true.dtype == y_pred.dtype else ops.cast(y_true, y_pred.dtype)), y_pred


def sparse_targets(name: str, y_true, y_pred, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Integer labels in the outputs' shape without the class axis, and the outputs.

    Raises:
        ValueError: the shapes don't fit; one-hot targets get advice of their own.
    """
    y_true, y_pred = as_tensor(y_true), _float(y_pred)
    axis = axis % max(y_pred.ndim, 1)
    expected = y_pred.shape[:axis] + y_pred.shape[axis + 1 :]
    if y_true.shape == (*expected, 1) and y_true.ndim == y_pred.ndim:
        y_true = ops.squeeze(y_true, -1)
    if y_true.shape != expected:
        advice = (
            "The targets look one-hot: use the loss 'categorical_crossentropy', or pass labels with y.argmax(-1)."
            if y_true.shape == y_pred.shape
            else _position_advice(y_true, y_pred, labels=True) or f"The labels must have the shape {expected}."
        )
        raise ValueError(f"[{name}] labels and outputs don't fit. {_received(y_true, y_pred)} {advice}")
    if y_true.dtype.name not in ("int32", "int64"):
        y_true = ops.cast(y_true, "int64" if is_float(y_true.dtype) else "int32")
    return y_true, y_pred


def values_of(name: str, function: Callable, y_true, y_pred, arguments: dict) -> Tensor:
    """What a loss or metric that is a function of the user's gives, as a tensor.

    Raises:
        TypeError: it gives nothing, or something that isn't numbers.
    """
    values = function(y_true, y_pred, **arguments)
    if values is None or isinstance(values, (str, bytes, dict, set)):
        raise TypeError(
            f"[{name}] the function must return a value per example, as a tensor. Received: {values!r}. "
            "End it with return, for example return pn.mean(pn.square(y_true - y_pred), axis=-1)."
        )
    return as_tensor(values)


def weights_like(name: str, sample_weight, values: Tensor) -> Tensor:
    """Weights in the dtype of `values`, with axes added or a last one of length one removed, so that they broadcast.

    Raises:
        ValueError: they don't.
    """
    weights = as_tensor(sample_weight)
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = ops.squeeze(weights, -1)
    given = weights.shape
    if weights.ndim < values.ndim:
        weights = ops.reshape(weights, given + (1,) * (values.ndim - weights.ndim))
    fits = weights.ndim == values.ndim and all(w in (1, n) for w, n in zip(weights.shape, values.shape, strict=True))
    if not fits:
        raise ValueError(
            f"[{name}] the sample weights don't broadcast. Received: sample_weight.shape={given}, for values of shape {values.shape}. "
            + ("Pass one weight per example." if values.ndim else "Let the function give a value per example: pn.mean(..., axis=-1).")
        )
    weights = weights if weights.dtype == values.dtype else ops.cast(weights, values.dtype)
    return weights if weights.shape == values.shape else ops.broadcast_to(weights, values.shape)


def check_smoothing(name: str, label_smoothing: float) -> None:
    """Refuses targets that are smoothed by more than all or less than nothing."""
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"[{name}] label_smoothing must be in [0, 1]. Received: label_smoothing={label_smoothing}.")
