"""One batch: the train, test and predict steps as plain Python over ops, which `fit` captures or, if asked to, runs as they are."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from pynn.data.arrays import ArrayData
from pynn.engine.call_tape import CallTape
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor
from pynn.engine.variable import Variable
from pynn.errors import users_level
from pynn.ops.guard import guard_finite

LOSS_LABEL = 0  # guard labels: the loss, then 1 + the index of the trainable weight


def outputs_of(model, x: Sequence, training: bool) -> list[Tensor]:
    """The model's outputs for the leaves of its inputs, as a list."""
    return model.forms.take_outputs(model.call_now(model.forms.inputs(list(x)), training=training))


def look_at_outputs(model, x: Sequence) -> None:
    """Finds out by a call on one row what the outputs are called."""
    with model.locks.building:
        _tried(model, _first_rows(model, x))


def ensure_built(model, data: ArrayData, rows: int | None = None) -> None:
    """Builds the model's weights, the objective and the optimizer's slots from the first row of the data, outside of any capture; for a
    stateful model, which keeps its batch size, from the first `rows` (all by default).
    """
    with model.locks.building:
        _build(model, *(_first_rows(model, part, rows) for part in (data.x, data.y)))


def _first_rows(model, arrays: Sequence, rows: int | None = None) -> list[Tensor]:
    return [as_tensor(a[: rows if model.stateful else 1]) for a in arrays]


def changed_by_calls(model) -> list[Variable]:
    """What a call of the model in training may change: moving statistics, counters of random numbers, states."""
    return [*model.non_trainable_weights, *model.state_variables]


@contextlib.contextmanager
def undone(variables: Sequence[Variable], *, on_error_only: bool = False) -> Iterator[None]:
    """After the block, or if it raises, the variables are what they were before it."""
    before, failed = [(v, v.numpy()) for v in variables], True
    try:
        yield
        failed = False
    finally:
        if failed or not on_error_only:
            for variable, value in before:
                variable.assign(value)


def train_eagerly(model, x: Sequence[Tensor], y: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """`train_step` run as it is, and undone if it fails: layers change what they keep before the guards look at the gradients, and a
    constraint or an optimizer of the user's may fail between two weights.
    """
    with undone([*changed_by_calls(model), *model.trainable_weights, *model.optimizer.variables], on_error_only=True):
        return train_step(model, x, y, weights)


def _build(model, x: list[Tensor], y: Sequence[Tensor]) -> None:
    trains = bool(y) or (model.objective is not None and not model.objective.needs_targets)
    if not model.built or (trains and not model.objective.built):
        y_pred = _tried(model, x)
        if trains and not model.objective.built:
            _check_count(model, y, y_pred)
            model.objective.build(model.output_names_for(len(y_pred)), y, y_pred)
    if trains and model.optimizer is not None:
        model.optimizer.build(model.trainable_weights)


def _tried(model, x: list[Tensor]) -> list[Tensor]:
    """The outputs for a small batch, by a call that moves no state."""
    states = [(v, v.numpy()) for v in model.state_variables]
    outputs = outputs_of(model, x, False)
    for variable, value in states or [(v, np.zeros(v.shape, v.dtype)) for v in model.state_variables]:
        variable.assign(value)
    return outputs


def _check_count(model, y: Sequence, y_pred: Sequence) -> None:
    if len(y) != len(y_pred) and (y or model.objective.needs_targets):
        names = ", ".join(model.output_names_for(len(y_pred)))
        raise ValueError(
            f"[{model.label}] a model needs one array of targets per output ({names}). Received: {len(y)} for {len(y_pred)}. "
            "Pass y as a list of them."
        )


def forward_loss(model, x, y, weights, training: bool):
    """(loss with penalties, losses per output, outputs)."""
    y_pred = outputs_of(model, x, training)
    _check_count(model, y, y_pred)
    total, parts = model.objective.loss(y, y_pred, weights)
    added = model.losses
    if total is None and (not added or (y and len(added) == _weights_with_penalties(model))):  # whoever passes targets forgot the loss
        raise ValueError(
            f"[{model.label}] there is nothing to minimise: the model has no loss. Received: none from compile, and none from its layers. "
            "Pass one, for example compile(loss='mean_squared_error'), or call self.add_loss in call()."
        )
    for penalty in added:
        penalty = penalty.sum() if penalty.ndim else penalty  # as Keras has it
        total = penalty if total is None else total + penalty.astype(total.dtype)
    return total, parts, y_pred


def _weights_with_penalties(model) -> int:
    return sum(weight.regularizer is not None for weight in model.trainable_weights)


def train_step(model, x: Sequence[Tensor], y: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """One optimizer step: forward, backward, guards, then everything that changes. Returns the loss."""
    variables = model.trainable_weights
    with CallTape() as tape:
        values = [v.value for v in variables]
        for value in values:
            tape.watch(value)
        loss, parts, y_pred = forward_loss(model, x, y, weights, True)
    gradients = tape.gradient(loss, values)
    guard_finite(loss, label=LOSS_LABEL)
    for i, gradient in enumerate(gradients):
        if gradient is not None:
            guard_finite(gradient, label=LOSS_LABEL + 1 + i)
    present = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    if not present and variables:
        raise ValueError(
            f"[{model.label}] the loss depends on none of the {len(variables)} trainable weights. "
            "Check that call() uses the layers, and that nothing stops the gradient."
        )
    if present:
        model.optimizer.apply([g for g, _ in present], [v for _, v in present])
    elif model.weights:
        warnings.warn(
            f"[{model.label}] none of the {len(model.weights)} weights is trainable, so training changes none of them. "
            "Set trainable = True on the model or on some of its layers.", stacklevel=users_level(),
        )  # fmt: skip
    model.objective.update(loss, parts, y, y_pred, weights, x[0].shape[0])
    return loss


def test_step(model, x: Sequence[Tensor], y: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Loss and metrics of one batch; nothing else changes."""
    loss, parts, y_pred = forward_loss(model, x, y, weights, False)
    model.objective.update(loss, parts, y, y_pred, weights, x[0].shape[0])
    return loss


def by_class(model, data: ArrayData, table: np.ndarray | None) -> ArrayData:
    """The data with sample weights multiplied by those of `class_table`; as they are without one."""
    if table is None:
        return data
    (weights,) = class_weighted(model, [Tensor(w) for w in data.weights], Tensor(data.y[0]), Tensor(table))
    return ArrayData(data.x, data.y, [np.array(weights)])


def class_weighted(model, weights: Sequence[Tensor], y: Tensor, table: Tensor) -> list[Tensor]:
    """Sample weights multiplied by the weight of each class in `y`, which holds labels or one-hot rows: of a sample, or of its steps."""
    if model.objective.has_one_hot_targets(y.shape):
        classes = call("argmax", y, axis=-1)
    else:
        classes = (call("reshape", y, y.shape[:-1]) if y.ndim > 1 and y.shape[-1] == 1 else y).astype("int64")
    by_class = call("take", table, classes)
    if not weights:
        return [by_class]
    weight = weights[0]
    while weight.ndim < by_class.ndim:
        weight = call("expand_dims", weight, -1)
    return [by_class * weight]
