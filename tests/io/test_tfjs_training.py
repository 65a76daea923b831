"""Training runs of the real TensorFlow.js, loss by loss: the same models, data and settings give the same numbers here."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import pynn as pn
from pynn.io.weight_names import spellings
from tests.io.tfjs_cases import Case, folders

ROOT = Path(os.environ.get("PYNN_TEST_SHARED", Path(__file__).parents[3] / "shared")) / "tfjs"
TRACES = [p for p in folders(ROOT, "train") if (p / "model.json").exists()]

pytestmark = pytest.mark.skipif(not TRACES, reason="the reference cases of TensorFlow.js are not on this machine")


class Losses(pn.callbacks.Callback):
    """The loss of every batch, computed from the running mean."""

    def __init__(self, rows):
        self.rows, self.values = rows, []

    def on_epoch_begin(self, epoch, logs=None):
        self.total, self.count = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        size = self.rows[batch]
        total = logs["loss"] * (self.count + size)
        self.values.append((total - self.total) / size)
        self.total, self.count = total, self.count + size


def optimizer_of(entry):
    name, config = entry["name"], dict(entry["config"])
    decay = config.pop("decay", None)
    classes = {
        "sgd": pn.optimizers.SGD, "momentum": pn.optimizers.SGD, "adagrad": pn.optimizers.Adagrad, "adadelta": pn.optimizers.Adadelta,
        "adam": pn.optimizers.Adam, "adamax": pn.optimizers.Adamax, "rmsprop": pn.optimizers.RMSprop,
    }  # fmt: skip
    config = {{"use_nesterov": "nesterov"}.get(k, k): v for k, v in config.items()}
    if decay:
        config["learning_rate"] = pn.optimizers.schedules.InverseTimeDecay(config["learning_rate"], 1, decay)
    return classes[name](**config)


def wanted_runs(case):
    """(losses, final weights) that are right: TensorFlow.js's, or Keras's where the two differ."""
    trace = case.description
    yield [s["loss"] for s in trace["steps"]], {e["name"]: case.array(e) for e in trace["final_weights"]}
    alternative = trace.get("keras_alternative")
    if alternative:
        yield alternative["losses"], {e["name"]: case.array(e) for e in alternative["final_weights"]}
    if case.alternative:
        found = case.alternative.description
        yield found["losses"], {e["name"]: case.alternative.array(e) for e in found["final_weights"]}


def problem(model, losses, wanted, trace) -> str:
    """What differs from a wanted run, or an empty string."""
    wanted_losses, weights = wanted
    if not np.allclose(losses, wanted_losses, rtol=trace["loss_rtol"], atol=trace["loss_atol"]):
        return f"losses {losses} instead of {wanted_losses}"
    by_path = {v.path: v.numpy() for v in model.weights}
    for name, want in weights.items():
        got = next(by_path[s] for s in spellings(name) if s in by_path)
        if not np.allclose(got, want, rtol=trace["weight_rtol"], atol=trace["weight_atol"]):
            return f"weight {name} differs by {np.abs(got - want).max():.3g}"
    return ""


@pytest.mark.parametrize("folder", TRACES, ids=lambda p: p.name)
def test_training_equals_tensorflow_js(folder):
    case = Case(folder, "trace.json", "data.bin")
    trace = case.description
    model = pn.load_model(folder)
    if trace["kind"] != "resume":
        model.compile(optimizer_of(trace["optimizer"]), trace["loss"])
    x, y = ([case.array(e) for e in trace[k]] for k in ("x", "y"))
    x = x[0] if len(x) == 1 else x
    y = y[0] if len(y) == 1 else y
    rows = len(x) if not isinstance(x, list) else len(x[0])
    rows -= round(rows * trace.get("validation_split", 0))
    size = trace["batch_size"]
    sizes = [size] * (rows // size) + ([rows % size] if rows % size else [])
    record = Losses(sizes)
    weights = {int(k): v for k, v in trace["class_weight"].items()} if trace.get("class_weight") else None
    model.fit(
        x, y, batch_size=size, epochs=trace["epochs"], shuffle=False, verbose=0, callbacks=[record], class_weight=weights,
        validation_split=trace.get("validation_split", 0.0),
    )  # fmt: skip
    problems = [problem(model, record.values, wanted, trace) for wanted in wanted_runs(case)]
    assert "" in problems, problems
