"""Evaluation and prediction over data in memory or batch by batch."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from pynn.callbacks import CallbackList
from pynn.data.arrays import ArrayData
from pynn.data.batches import Batches, is_batches, with_parts
from pynn.layers.structure import flatten
from pynn.models import steps
from pynn.models.arguments import callback_list, checked_verbose, refuse_beside_batches, rows_per_step, whole
from pynn.models.prepared import prediction_data, training_data
from pynn.models.settings import is_own_code
from pynn.progress import duration, values


def evaluate(
    model, x=None, y=None, batch_size: int | None = None, verbose: int | str = 0, sample_weight=None, steps: int | None = None,
    callbacks=None, return_dict: bool = False,
) -> Any:  # fmt: skip
    """Loss and metrics of the model over data; the model doesn't change.

    Args:
        x, y, sample_weight: As in `fit`; `x` may yield batches.
        batch_size: Rows per step, 32 by default. Omit it if `x` yields batches.
        verbose: Above 0, prints the result.
        steps: Number of batches; all by default.
        callbacks: Their `on_test_...` hooks are called.
        return_dict: Return a dict by name instead of a list.

    Returns:
        The loss, or a list of loss and metrics, or a dict.
    """
    model.require_compiled("evaluate")
    batch_size = rows_per_step("evaluate", x, batch_size)
    steps = whole("evaluate", "steps", steps, None)
    verbose = checked_verbose("evaluate", verbose)
    if x is None:
        raise TypeError("[evaluate] there is nothing to evaluate on. Call evaluate(x, y).")
    if y is None and model.objective.needs_targets and not isinstance(x, ArrayData) and not is_batches(x):
        raise ValueError("[evaluate] y is missing. Received: x alone. Call evaluate(x, y).")
    if is_batches(x):
        refuse_beside_batches("evaluate", x, y, sample_weight)
    if isinstance(callbacks, CallbackList):  # those of the fit around it, which keep its params
        hooks = callbacks
    else:
        hooks = CallbackList(callback_list(callbacks), model, {"steps": steps, "verbose": verbose})
    started = time.monotonic()
    with model.locks.training("evaluate", model.label) as turn, turn:
        count, results = _evaluate(model, _batches(model, x, y, sample_weight, batch_size, steps), hooks)
    if verbose not in (0, "auto"):
        print(f"{count} steps in {duration(time.monotonic() - started)}  {values(results)}")
    return returned(results, return_dict)


def returned(results: dict[str, float], as_dict: bool) -> Any:
    """The results of an evaluation as its caller gets them: a dict by name, or a list, or the only one."""
    if as_dict:
        return results
    values = list(results.values())
    return values[0] if len(values) == 1 else values


def _evaluate(model, batches, hooks) -> tuple[int, dict[str, float]]:
    """How many batches there were, and the results. Within a `fit`, the running values of its epoch stay what they are."""
    with steps.undone(model.objective.variables if model.locks.fitting else ()):
        hooks.call("on_test_begin")
        count = _test(model, batches, hooks)
        results = model.objective.results()
        hooks.call("on_test_end", logs=results)
    return count, results


def _test(model, batches, hooks) -> int:
    count, wants_logs = 0, hooks.any_overrides("on_test_batch_end")
    for count, data in enumerate(batches, 1):
        if not data.y and model.objective.needs_targets:
            raise ValueError("[evaluate] a batch came without targets. Received: x alone. Yield a tuple (x, y).")
        if count == 1:
            model.objective_reset(data)
        model.objective.check_targets(data.y)
        hooks.call("on_test_batch_begin", count - 1)
        model.run_batch("test", data)
        if wants_logs:
            hooks.call("on_test_batch_end", count - 1, logs=model.objective.results())
    if not count:
        raise ValueError(
            "[evaluate] there is no data to evaluate on. Received: no rows. A generator can be iterated only once: pass steps "
            "(validation_steps in fit), or an iterable that starts again each time."
        )
    return count


def _batch(model, x, *rest) -> ArrayData:
    """The rows of one batch of a generator or iterable."""
    if model.objective.needs_targets:
        x, *rest = with_parts(x, rest)
    return training_data(model, x, *rest)


def _batches(model, x, y, sample_weight, batch_size: int, count: int | None):
    if isinstance(x, ArrayData):
        data = x
    elif is_batches(x):
        yield from itertools.islice(Batches(x, lambda *parts: _batch(model, *parts)).epoch(None), count)
        return
    else:
        data = training_data(model, x, y, sample_weight)
    starts = range(0, data.rows, batch_size)
    for start in list(starts)[:count]:
        yield ArrayData(*([a[start : start + batch_size] for a in part] for part in (data.x, data.y, data.weights)))


def predict(model, x=None, batch_size: int | None = None, verbose: int | str = 0, steps: int | None = None, callbacks=None) -> Any:
    """The model's outputs for every row of `x`.

    Args:
        x: Arrays as in `fit`, or something that yields batches of them.
        batch_size: Rows per step, 32 by default. Omit it if `x` yields batches.
        verbose: Above 0, prints how long it took.
        steps: Number of batches; all by default.
        callbacks: Their `on_predict_...` hooks are called.

    Returns:
        One array; for a model with several outputs a list of them, or a dict if its `call` gives one.
    """
    if x is None:
        raise TypeError("[predict] there is nothing to predict. Call predict(x).")
    batch_size = rows_per_step("predict", x, batch_size)
    steps = whole("predict", "steps", steps, None)
    verbose = checked_verbose("predict", verbose)
    hooks = CallbackList(callback_list(callbacks), model, {"steps": steps, "verbose": verbose})
    hooks.call("on_predict_begin")
    started = time.monotonic()
    collected: list[list[np.ndarray]] = []
    for i, leaves in enumerate(_prediction_batches(model, x, batch_size, steps)):
        hooks.call("on_predict_batch_begin", i)
        outputs = _prediction(model, leaves, batch_size)
        collected.append(outputs)
        hooks.call("on_predict_batch_end", i, logs={"outputs": model.forms.outputs(outputs)})
    hooks.call("on_predict_end")
    if not collected:
        raise ValueError("[predict] there is nothing to predict. Received: no batches.")
    if verbose not in (0, "auto"):
        print(f"{len(collected)} steps in {duration(time.monotonic() - started)}")
    joined = [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*collected, strict=True)]
    return model.forms.outputs(joined)


def _prediction_batches(model, x, batch_size: int, count: int | None):
    if is_batches(x):
        for data in itertools.islice(Batches(x, lambda *parts: prediction_data(model, parts[0])).epoch(None), count):
            yield data.x
        return
    data = prediction_data(model, x)
    starts = list(range(0, max(data.rows, 1), batch_size))[:count]
    for start in starts:
        yield [a[start : start + batch_size] for a in data.x]


def _row_by_row(model) -> bool:
    """True if no row has a say in another's outputs, as far as is known: states, functions and layers of the user's may mix them."""
    return not model.stateful and not any(_may_mix_rows(layer) for layer in model.flattened_layers())


def _may_mix_rows(layer) -> bool:
    axis = getattr(layer, "axis", -1)
    axes = () if axis is None else np.atleast_1d(axis)  # from the end, any but the last may be the batch's
    trains = any(node.kwargs.get("training") for node in layer._inbound_nodes)  # a normalization then does
    return not is_own_code(layer) or trains or any(a == 0 or a < -1 for a in axes)


def _prediction(model, leaves: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
    """Predicts a batch. Odd sizes may be padded to a power of two, so that few programs serve every number of rows."""
    rows = leaves[0].shape[0]
    if not model.built:
        steps.ensure_built(model, ArrayData(leaves))
    if model.run_eagerly:
        with model.locks.steps.reading() as turn, turn:
            return [np.array(t) for t in steps.outputs_of(model, leaves, False)]
    padded = min(1 << max(rows - 1, 0).bit_length(), max(batch_size, rows))
    if padded != rows and rows and model.programs.calls.fact(model, _row_by_row):
        leaves = [np.concatenate([a, np.broadcast_to(a[:1], (padded - rows, *a.shape[1:]))]) for a in leaves]
    outputs = flatten(model.predict_on_batch(model.forms.inputs(leaves)))
    return [a[:rows] if leaves[0].shape[0] != rows and a.shape[:1] == (padded,) else a for a in outputs]
