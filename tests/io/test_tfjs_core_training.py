"""Training runs of the real TensorFlow.js without a model: tensors, a loss of `tf.losses` and an optimizer, step by step."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import pynn as pn
from tests.io.tfjs_cases import Case, folders
from tests.io.tfjs_ops import LOSSES

ROOT = Path(os.environ.get("PYNN_TEST_SHARED", Path(__file__).parents[3] / "shared")) / "tfjs"
TRACES = [p for p in folders(ROOT, "train") if not (p / "model.json").exists()]
CORE = [p for p in TRACES if p.name.startswith("core_")]

pytestmark = pytest.mark.skipif(not TRACES, reason="the reference cases of TensorFlow.js are not on this machine")


def loss_of(case):
    """The case's loss of (labels, predictions)."""
    trace = case.description
    function, arguments = LOSSES[trace["loss"].removeprefix("tf.losses.")], dict(trace["loss_args"])
    sigmoid_first = arguments.pop("sigmoidFirst", False)
    arguments |= {"weights": case.array(trace["weights"]) if "weights" in trace else None, "reduction": trace["reduction"]}
    return lambda labels, y: function(labels, pn.sigmoid(y) if sigmoid_first else y, **arguments)


@pytest.mark.parametrize("captured", [False, True], ids=["eager", "captured"])
@pytest.mark.parametrize("folder", CORE, ids=lambda p: p.name)
def test_training_on_tensors_equals_tensorflow_js(folder, captured):
    case = Case(folder, "trace.json", "data.bin")
    trace = case.description
    x, labels = (pn.tensor(case.array(trace[k][0])) for k in "xy")
    w, b = (pn.Variable(case.array(e)) for e in trace["initial"])
    assert trace["optimizer"]["name"] == "sgd"
    optimizer, loss = pn.optimizers.SGD(**trace["optimizer"]["config"]), loss_of(case)

    def step():
        return optimizer.minimize(lambda: loss(labels, x @ w + b), [w, b])

    optimizer.build([w, b])
    step = pn.function(step) if captured else step
    losses = [float(step()) for _ in trace["steps"]]
    np.testing.assert_allclose(losses, [s["loss"] for s in trace["steps"]], rtol=trace["loss_rtol"], atol=trace["loss_atol"])
    for variable, entry in zip((w, b), trace["final_weights"], strict=True):
        want = case.array(entry)
        np.testing.assert_allclose(variable.numpy(), want, rtol=trace["weight_rtol"], atol=trace["weight_atol"], err_msg=entry["name"])


def descend(x, y, rate, steps):
    """Gradient descent on mean((x w + b - y)^2) from zeros: the first gradients, all costs, and where it ended."""
    w, b = pn.Variable(pn.zeros((4, 1))), pn.Variable(pn.zeros((1,)))

    def cost(w, b):
        return ((x @ w + b - y) ** 2).mean()

    @pn.function
    def step(rate):
        value, (dw, db) = pn.value_and_grads(cost)(w, b)
        w.assign(w - rate * dw)
        b.assign(b - rate * db)
        return value

    first = [g.numpy().ravel() for g in pn.grads(cost)(w, b)]
    return first, [float(step(rate)) for _ in range(steps)], w, b


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("folder", [p for p in TRACES if p not in CORE], ids=lambda p: p.name)
def test_gradient_descent_equals_tensorflow_js(folder, rate):
    case = Case(folder, "trace.json", "data.bin")
    trace = case.description
    x, y = (pn.tensor(case.array(trace[k][0])) for k in "xy")
    run = next(r for r in trace["runs"] if r["learning_rate"] == rate)
    first, costs, w, b = descend(x, y, rate, len(run["costs"]))
    np.testing.assert_allclose(first[0], run["first_gradients"]["dw"], rtol=trace["loss_rtol"])
    np.testing.assert_allclose(first[1], run["first_gradients"]["db"], rtol=trace["loss_rtol"])
    finite = np.flatnonzero(np.isfinite(costs))[-1] + 1  # TensorFlow.js adds in float64: a sum overflows later there
    wanted = np.array(run["costs"], float)
    assert finite >= np.isfinite(wanted).sum() - 1
    np.testing.assert_allclose(costs[:finite], wanted[:finite], rtol=trace["loss_rtol"], atol=trace["loss_atol"])
    for got, want in ((w, run["w"]), (b, run["b"])):
        np.testing.assert_allclose(got.numpy().ravel(), want, rtol=trace["loss_rtol"], atol=trace["loss_atol"])
