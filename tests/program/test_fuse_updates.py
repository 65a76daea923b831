"""Gradients that go into the optimizer's step: when, when not, and with the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels

pytestmark = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback runs the calls as they were made")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 60)).astype(np.float32)
Y = RNG.normal(size=(32, 40)).astype(np.float32)


def stepped(optimizer, x=X, y=Y, extra=None):
    """(op names of a captured step, weight after three captured steps, after three eager ones)."""
    results, names = [], []
    for captured in (True, False):
        w = pn.Variable(np.linspace(-1, 1, x.shape[1] * y.shape[1], dtype=np.float32).reshape(x.shape[1], y.shape[1]), name="w")
        made = optimizer()
        made.build([w])

        def step(x, y, w=w, made=made):
            (dw,) = pn.grads(lambda w: ((x @ w - y) ** 2).mean())(w.value)
            pn.guard_finite(dw, label=1)
            made.apply([dw], [w])
            return extra(dw) if extra else None

        run = pn.function(step) if captured else step
        for _ in range(3):
            run(pn.tensor(x), pn.tensor(y))
        if captured:
            names = [n.op.name for n in run.program(pn.tensor(x), pn.tensor(y)).nodes]
        results.append(w.numpy())
    return names, *results


@pytest.mark.parametrize(
    "optimizer, op",
    [
        (lambda: pn.optimizers.SGD(0.1), "matmul_sgd_update"),
        (lambda: pn.optimizers.SGD(0.1, momentum=0.9, nesterov=True), "matmul_momentum_update"),
        (lambda: pn.optimizers.Adam(0.1), "matmul_adam_update"),
        (lambda: pn.optimizers.AdamW(0.1), "matmul_adamw_update"),
        (lambda: pn.optimizers.RMSprop(0.1), "matmul_rmsprop_update"),
        (lambda: pn.optimizers.Adagrad(0.1), "matmul_adagrad_update"),
    ],
)
def test_a_step_takes_the_product_in(optimizer, op):
    names, captured, eager = stepped(optimizer)
    assert op in names and "guard_product" in names and "guard_finite" not in names
    np.testing.assert_array_equal(captured, eager)


def test_a_gradient_that_somebody_else_reads_stays():
    names, captured, eager = stepped(lambda: pn.optimizers.SGD(0.1), extra=lambda dw: (dw * dw).sum())
    assert "sgd_update" in names and "guard_finite" in names
    np.testing.assert_array_equal(captured, eager)


def test_a_gradient_that_is_returned_stays():
    names, captured, eager = stepped(lambda: pn.optimizers.SGD(0.1), extra=lambda dw: dw)
    assert "sgd_update" in names
    np.testing.assert_array_equal(captured, eager)


def test_clipping_reads_the_gradient_first():
    names, captured, eager = stepped(lambda: pn.optimizers.SGD(0.1, clipvalue=0.01))
    assert "matmul_sgd_update" not in names
    np.testing.assert_array_equal(captured, eager)


@pytest.mark.parametrize("rows", [1, 257])
def test_long_products_and_large_factors_are_left_alone(rows):
    x, y = (np.resize(a, (rows, a.shape[1])) for a in (X, Y))
    names, captured, eager = stepped(lambda: pn.optimizers.SGD(0.1), x, y)
    assert ("matmul_sgd_update" in names) == (rows == 1)
    np.testing.assert_array_equal(captured, eager)


def test_a_gradient_that_overflows_stops_the_step():
    w = pn.Variable(np.ones((60, 40), np.float32), name="w")
    optimizer = pn.optimizers.SGD(0.1)
    optimizer.build([w])

    @pn.function
    def step(x, dy):
        dw = pn.matmul(x, dy, transpose_a=True)
        pn.guard_finite(dw, label=7)
        optimizer.apply([dw], [w])

    step(pn.tensor(X), pn.tensor(Y))
    before = w.numpy()
    with pytest.raises(pn.errors.GuardTripped):
        step(pn.tensor(X * np.float32(1e30)), pn.tensor(Y * np.float32(1e30)))
    np.testing.assert_array_equal(w.numpy(), before)
