"""Optimizer steps outside of captures: what goes past Python does what Python does, and stops when the optimizer changes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels
from pynn.optimizers import captured_steps
from pynn.optimizers.captured_steps import CapturedSteps

needs_native = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback always goes through Python")

OPTIMIZERS = {
    "sgd": lambda: pn.optimizers.SGD(0.1),
    "momentum": lambda: pn.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: pn.optimizers.Adam(0.01, clipnorm=0.5),
    "amsgrad": lambda: pn.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: pn.optimizers.AdamW(0.01),
    "nadam": lambda: pn.optimizers.Nadam(0.01, clipvalue=0.2),
    "adamax": lambda: pn.optimizers.Adamax(0.01),
    "rmsprop": lambda: pn.optimizers.RMSprop(0.01, global_clipnorm=1.0),
    "adagrad": lambda: pn.optimizers.Adagrad(0.01),
    "adadelta": lambda: pn.optimizers.Adadelta(0.5),
    "averaged": lambda: pn.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    "schedule": lambda: pn.optimizers.SGD(pn.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def variables():
    return [pn.Variable(normal(3, 4), name="w"), pn.Variable(normal(4, seed=1), name="b"), pn.Variable(normal(2, seed=2), name="c")]


def gradients(turn):
    return [pn.tensor(normal(3, 4, seed=10 + turn)), None, pn.tensor(normal(2, seed=20 + turn))]


def after(optimizer, turns=12):
    """Bits of everything after some steps."""
    weights = variables()
    for turn in range(turns):
        optimizer.apply(gradients(turn), weights)
    return [v.numpy().tobytes() for v in (*weights, *optimizer.variables)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bits_are_those_of_python(name, monkeypatch):
    quick = after(OPTIMIZERS[name]())
    monkeypatch.setattr(captured_steps, "SIGHTINGS", 0)  # never reached
    assert after(OPTIMIZERS[name]()) == quick


@needs_native
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_python_is_not_asked(name, monkeypatch):
    optimizer, weights = OPTIMIZERS[name](), variables()
    for turn in range(6):
        optimizer.apply(gradients(turn), weights)
    asked = []
    monkeypatch.setattr(CapturedSteps, "call_python", lambda self, *args: asked.append(args))
    before = weights[0].numpy()
    optimizer.apply(gradients(7), weights)
    assert not asked and not np.array_equal(weights[0].numpy(), before) and int(optimizer.iterations) == 7


def test_a_setting_that_changes_is_heard():
    for change, expected in (("learning_rate", -0.5), ("clipvalue", -0.05), ("weight_decay", -0.1 - 0.5 * 0.1)):
        optimizer, w = pn.optimizers.SGD(0.1), pn.Variable([0.0])
        for _ in range(6):
            w.assign([1.0])
            optimizer.apply([pn.tensor([1.0])], [w])
        w.assign([1.0])
        setattr(optimizer, change, 0.5)
        optimizer.apply([pn.tensor([1.0])], [w])
        assert float(w) == pytest.approx(1 + expected)


def test_a_replaced_schedule_is_heard():
    optimizer, w = pn.optimizers.SGD(pn.optimizers.schedules.ExponentialDecay(0.1, 100, 0.5)), pn.Variable([0.0])
    for _ in range(6):
        optimizer.apply([pn.tensor([1.0])], [w])
    optimizer.learning_rate = pn.optimizers.schedules.ExponentialDecay(3.0, 10**9, 0.5)
    w.assign([0.0])
    optimizer.apply([pn.tensor([1.0])], [w])
    assert float(w) == pytest.approx(-3.0)


def test_a_users_optimizer_constraint_and_rate_run_each_time():
    calls = []

    class Mine(pn.optimizers.SGD):
        def update_step(self, weight, slots, gradient, rates):
            calls.append("step")
            return super().update_step(weight, slots, gradient, rates)

    constrained = pn.Variable([0.0], constraint=lambda v: (calls.append("constraint"), v)[1])
    for _ in range(8):
        Mine(0.1).apply([pn.tensor([1.0])], [pn.Variable([0.0])])
    rated = pn.optimizers.SGD(lambda step: (calls.append("rate"), 0.1)[1])
    mine, plain, w = Mine(0.1), pn.optimizers.SGD(0.1), pn.Variable([0.0])
    for _ in range(8):
        mine.apply([pn.tensor([1.0])], [w])
        rated.apply([pn.tensor([1.0])], [w])
        plain.apply([pn.tensor([1.0])], [constrained])
    assert [calls.count(k) for k in ("step", "rate", "constraint")] == [16, 8, 8]


def test_other_gradients_and_variables_come_in_between():
    optimizer, w, v = pn.optimizers.SGD(1.0), pn.Variable([0.0]), pn.Variable([0.0])
    for _ in range(8):
        optimizer.apply([pn.tensor([1.0])], [w])
        optimizer.apply([pn.tensor([1.0]), None], [v, w])
        optimizer.apply([None, pn.tensor([1.0])], [v, w])
        optimizer.apply([np.ones(1, np.float32)], [w])
    assert float(w) == -24 and float(v) == -8 and int(optimizer.iterations) == 32


def test_copies_and_pickles_step_on_their_own():
    optimizer, w = pn.optimizers.Adam(0.1), pn.Variable([0.0])
    for _ in range(6):
        optimizer.apply([pn.tensor([1.0])], [w])
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        before = w.numpy()
        other.apply([pn.tensor([1.0])])
        assert int(other.iterations) == 7 and int(optimizer.iterations) == 6
        np.testing.assert_array_equal(w.numpy(), before)


def test_steps_keep_what_was_handed_out():
    optimizer, w = pn.optimizers.SGD(1.0), pn.Variable([0.0])
    handed = []
    for _ in range(8):
        optimizer.apply([pn.tensor([1.0])], [w])
        handed.append(w.value)
    assert [float(t) for t in handed] == [-1, -2, -3, -4, -5, -6, -7, -8]


def test_what_is_no_variable_is_refused():
    with pytest.raises(TypeError, match=r"\[SGD\] steps update variables"):
        pn.optimizers.SGD(0.1).apply([pn.tensor([1.0])], [pn.tensor([1.0])])
