"""What went wrong when a step met a value that isn't finite: the batch is run again, eagerly, with the same bits, layer by layer."""

from __future__ import annotations

import math

import numpy as np

from pynn.data.arrays import ArrayData
from pynn.engine.op import active
from pynn.engine.tape import Tape
from pynn.engine.tensor import Tensor
from pynn.errors import GuardTripped, NonFiniteError
from pynn.layers.context import observed
from pynn.layers.structure import flatten
from pynn.models import steps


def explain(
    model, tripped: GuardTripped, data: ArrayData, epoch: int | None = None, batch: int | None = None, class_table=None
) -> NonFiniteError:
    """The error for a step that a guard stopped: where, what first, how large the gradient was, and the likely cause."""
    where = f"epoch {epoch + 1}, batch {batch + 1}" if epoch is not None and batch is not None else "this batch"
    with model.locks.steps.writing() as turn, turn, steps.undone(steps.changed_by_calls(model)):
        culprit, norm, loss = _replay(model, data, class_table)
    variables = model.trainable_weights
    what = "the loss" if tripped.label == steps.LOSS_LABEL else f"the gradient of {variables[tripped.label - 1].path!r}"
    first = culprit or f"{what} itself"
    return NonFiniteError(
        f"[fit] {where}: {what} is not finite (loss {loss:.6g}). The first value that isn't: {first}. "
        f"Gradient norm of that step: {norm:.6g}. {_cause(model, data, culprit, norm)} "
        "Nothing of this step was kept: the weights are those from before it."
    )


def _replay(model, data: ArrayData, class_table) -> tuple[str, float, float]:
    """(first thing that isn't finite, gradient norm, loss)."""
    before = _not_finite_before(model, data)
    if before:
        return before, math.nan, math.nan
    data = steps.by_class(model, data, class_table)
    x, y, weights = ([Tensor(a) for a in part] for part in (data.x, data.y, data.weights))
    variables = model.trainable_weights
    watch = _Watch()
    with observed(watch.look), Tape() as tape:
        values = [v.value for v in variables]
        for value in values:
            tape.watch(value)
        loss = steps.forward_loss(model, x, y, weights, True)[0]
    gradients = [None if g is None else np.asarray(g, np.float64) for g in tape.gradient(loss, values)]
    with np.errstate(all="ignore"):
        norm = math.sqrt(sum(float(np.square(g).sum()) for g in gradients if g is not None))
    bad = next((v.path for v, g in zip(variables, gradients, strict=True) if g is not None and not np.isfinite(g).all()), "")
    loss_value = float(np.asarray(loss))
    if watch.culprit:
        return watch.culprit, norm, loss_value
    if not math.isfinite(loss_value):
        return "the loss (every layer's output is finite)", norm, loss_value
    return f"the gradient of {bad!r}" if bad else "", norm, loss_value


def _not_finite_before(model, data: ArrayData) -> str:
    """What of the data or the weights isn't finite before anything is computed, or an empty string."""
    for name, arrays in (("input {} of the model", data.x), ("target {}", data.y), ("sample_weight {}", data.weights)):
        for i, array in enumerate(arrays):
            rows = np.argwhere(~np.isfinite(array))
            if len(rows):
                return f"{name.format(i)} (row {rows[0][0]} of the batch)"
    return next((f"the weight {v.path!r}" for v in model.weights if not np.isfinite(v.storage()).all()), "")


class _Watch:
    """Notes the first layer whose output is not finite."""

    def __init__(self) -> None:
        self.culprit = ""

    def look(self, layer, outputs) -> None:
        """What comes after each call of a layer; those of layers within functions that are captured have no values."""
        if self.culprit or layer.layers or active.capture is not None:
            return
        for t in flatten(outputs):
            if isinstance(t, Tensor) and t.dtype.kind == "f" and not np.isfinite(t.numpy()).all():
                self.culprit = f"the output of {layer.label}"
                return


def _cause(model, data: ArrayData, culprit: str, norm: float) -> str:
    if culprit.startswith(("input", "target", "sample_weight")):
        return "Likely cause: the data. Remove or replace NaN and infinite values before training."
    largest = max((float(np.abs(a).max()) for a in data.x if a.size and a.dtype.kind in "fiu"), default=0.0)
    rate = float(model.optimizer.learning_rate)
    if largest > 100:
        return f"Likely cause: inputs up to {largest:.4g} are too large. Scale them, for example x / 255 for images."
    return (
        f"Likely cause: the learning rate {rate:.4g} is too high and training diverges. Try a tenth of it, or clip gradients with "
        "clipnorm=1.0."
    )
