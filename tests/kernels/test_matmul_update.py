"""A gradient that is a product, taken by an optimizer's step without ever being in memory, and the guard on such a product."""

import numpy as np
import pytest
from guard import run_guarded
from op_checks import TARGETS, check_threads, check_values, native

from pynn import _core
from pynn.engine import kernels
from pynn.engine.op import REGISTRY, Spec
from pynn.errors import GuardTripped
from pynn.ops.matmul import MATMUL
from pynn.ops.matmul_update import GUARD_PRODUCT, MATMUL_UPDATES, STEPS, gradient_index

NAMES = [step.name for step in STEPS]
SHAPES = [(784, 32, 128), (13, 5, 7), (1, 1, 1), (100, 256, 33), (50, 9, 700), (7, 300, 1030), (37, 600, 5), (3, 20, 10)]


def operands(step, m, k, n, dtype=np.float32, seed=0):
    """(weight and slots, a, b, scalars) for a gradient of shape (m, n)."""
    rng = np.random.default_rng(seed)
    changed = [np.abs(rng.normal(size=(m, n))).astype(dtype) for _ in range(gradient_index(step))]
    a, b = rng.normal(size=(k, m)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    scalars = [np.array(0.1, dtype)] * (len(step.inputs) - gradient_index(step) - 1)
    return changed, a, b, scalars


@pytest.mark.parametrize("name", NAMES)
def test_every_target_follows_the_formula(name):
    check_values(MATMUL_UPDATES[name], tolerance=64)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_the_bits_are_those_of_the_product_and_the_step(name, shape, target):
    step = REGISTRY[name]
    for dtype in (np.float32, np.float64):
        changed, a, b, scalars = operands(step, *shape, dtype)
        (gradient,) = native(MATMUL, [a, b], {"transpose_a": True}, target)
        apart = native(step, [*changed, gradient, *scalars], {}, target)
        together = native(MATMUL_UPDATES[name], [*changed, a, b, *scalars], {"transpose_a": True}, target)
        for x, y in zip(together, apart, strict=True):
            assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("name", ["sgd_update", "momentum_update"])
def test_tails_stay_inside_their_operands(name, shape, target):
    changed, a, b, scalars = operands(REGISTRY[name], *shape)
    run_guarded(MATMUL_UPDATES[name], [*changed, a, b, *scalars], {"transpose_a": True}, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", [(61, 8, 50), (3, 20, 10), (50, 9, 700), (37, 300, 5)])
@pytest.mark.parametrize("name", ["sgd_update", "adam_update"])
def test_outputs_may_be_the_memory_of_the_inputs(name, shape, target):
    changed, a, b, scalars = operands(REGISTRY[name], *shape)
    op = MATMUL_UPDATES[name]
    attrs = op.complete({"transpose_a": True})
    inputs = [*changed, a, b, *scalars]
    specs = tuple(Spec(x.shape, x.dtype) for x in inputs)
    kernel = kernels.prepare_native(op, specs, specs[: len(changed)], attrs, target)
    apart, _ = kernel.run(inputs)
    kernel.run_into(inputs, changed)
    for x, y in zip(apart, changed, strict=True):
        np.testing.assert_array_equal(x, y)


def test_bits_do_not_depend_on_threads():
    changed, a, b, scalars = operands(REGISTRY["sgd_update"], 784, 32, 128)
    check_threads(MATMUL_UPDATES["sgd_update"], [*changed, a, b, *scalars], {"transpose_a": True})


def test_rows_times_columns_must_fit_the_weight():
    with pytest.raises(ValueError, match=r"\[sgd_update\] weight, slots and gradient must have one shape"):
        kernels_specs = [Spec(s, np.dtype(np.float32)) for s in ((4, 5), (3, 4), (3, 6), ())]
        MATMUL_UPDATES["sgd_update"].infer(*kernels_specs, **MATMUL_UPDATES["sgd_update"].complete({"transpose_a": True}))


# -- the guard -----------------------------------------------------------------------------------------------------------


def passes(a, b, target) -> bool:
    try:
        native(GUARD_PRODUCT, [a, b], {"transpose_a": True, "label": 3}, target)
    except GuardTripped as tripped:
        assert tripped.label == 3
        return False
    return True


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_guard_on_a_product_says_what_the_product_says(target, dtype):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(33, 70)).astype(dtype), rng.normal(size=(33, 130)).astype(dtype)
    large = np.finfo(dtype).max / 4
    assert passes(a, b, target)
    for row, column, value in [(0, 0, np.nan), (32, 69, np.inf), (17, 64, -np.inf)]:
        bad = a.copy()
        bad[row, column] = value
        assert not passes(bad, b, target)
        assert not passes(b[:, :9], bad, target)
    only = np.zeros_like(a)
    only[5, 65] = large  # times b's row 5: within the range, though the sums of squares aren't
    assert passes(only, np.clip(b, -1, 1), target)
    only[6, 65] = large
    assert not passes(only, np.full_like(b, 3.9), target)


@pytest.mark.parametrize("target", TARGETS)
def test_an_infinity_that_meets_zeros_only_makes_nan(target):
    a, b = np.zeros((4, 5), np.float32), np.zeros((4, 6), np.float32)
    a[1, 2] = np.inf
    assert not passes(a, b, target)


@pytest.mark.parametrize("target", TARGETS)
def test_the_guard_reads_its_operands_only(target):
    for m, k, n in SHAPES[1:5]:
        a, b = np.full((k, m), 1e19, np.float32), np.full((k, n), 1e-3, np.float32)
        run_guarded(GUARD_PRODUCT, [a, b], {"transpose_a": True}, target)


def test_empty_products_pass():
    assert passes(np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32), _core.target())
