"""Optimizer steps: formulas, in-place operands, bias correction."""

import numpy as np
import pytest
from op_checks import TARGETS, check_threads, check_values

import pynn as pn
from pynn import _core
from pynn.engine.op import REGISTRY
from pynn.ops import optimizer_steps

UPDATES = sorted(n for n in optimizer_steps.__all__ if n != "adam_rate")


@pytest.mark.parametrize("name", [*UPDATES, "adam_rate"])
def test_every_target_follows_the_formula(name):
    check_values(REGISTRY[name])


@pytest.mark.parametrize("name", UPDATES)
def test_bits_do_not_depend_on_threads(name):
    op = REGISTRY[name]
    rng = np.random.default_rng(3)
    sample = op.samples()[0]
    arrays = [np.array(0.01, np.float32) if np.ndim(a) == 0 else np.abs(rng.normal(size=20011)).astype(np.float32) for a in sample.inputs]
    check_threads(op, arrays, sample.attrs)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [1, 7, 8, 9, 31, 100])
def test_outputs_may_be_the_memory_of_the_inputs(target, size):
    rng = np.random.default_rng(size)
    w, m, v, g = (np.abs(rng.normal(size=size)).astype(np.float32) for _ in range(4))
    alpha = np.array(0.1, np.float32)
    spec, number = ((size,), 0), ((), 0)
    kernel = _core.Kernel("adam_update_f32", [spec] * 4 + [number], [spec] * 3, [], [0.9, 0.999, 1e-7], target)
    apart, _ = kernel.run([w, m, v, g, alpha])
    kernel.run_into([w, m, v, g, alpha], [w, m, v])
    for a, b in zip(apart, (w, m, v), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_over_three_steps_is_keras_formula(nesterov):
    w, v = pn.tensor([1.0, -2.0]), pn.tensor([0.0, 0.0])
    plain, velocity = np.array([1.0, -2.0]), np.zeros(2)
    for g in ([0.5, 1.0], [-1.0, 0.25], [2.0, 2.0]):
        w, v = pn.momentum_update(w, v, pn.tensor(g), 0.1, momentum=0.9, nesterov=nesterov)
        velocity = 0.9 * velocity - 0.1 * np.array(g)
        plain = plain + (0.9 * velocity - 0.1 * np.array(g) if nesterov else velocity)
    np.testing.assert_allclose(w.numpy(), plain, rtol=1e-6)


def test_adam_first_step_moves_by_the_learning_rate():
    alpha = pn.adam_rate(0.001, 0)
    w, m, v = pn.adam_update(pn.tensor([1.0]), pn.tensor([0.0]), pn.tensor([0.0]), pn.tensor([123.0]), alpha)
    np.testing.assert_allclose(w.numpy(), [0.999], rtol=1e-6)


def test_adamax_rate_is_adam_rate_without_second_beta():
    np.testing.assert_allclose(float(pn.adam_rate(0.01, 4, beta_2=0.0)), 0.01 / (1 - 0.9**5), rtol=1e-6)


def test_rates_take_the_dtype_of_the_weight():
    w = pn.sgd_update(np.ones(3), np.ones(3), pn.tensor(0.5))
    assert w.dtype == np.float64 and w.tolist() == [0.5] * 3


def test_wrong_shapes_and_dtypes_are_named():
    with pytest.raises(ValueError, match=r"\[sgd_update\].*w.shape=\(3,\), g.shape=\(2,\)"):
        pn.sgd_update(np.zeros(3), np.zeros(2), 0.1)
    with pytest.raises(TypeError, match=r"\[sgd_update\].*float64"):
        pn.sgd_update(np.zeros(3, np.float32), np.zeros(3), 0.1)
    with pytest.raises(ValueError, match=r"\[sgd_update\] the learning rate"):
        pn.sgd_update(np.zeros(3), np.zeros(3), np.zeros(3))
