"""Running sums and products, and the gradient of the products."""

import numpy as np
import pytest
from guard import run_guarded
from op_checks import TARGETS, assert_close, check_threads, check_values, fallback, native, reference

import pynn as pn
from pynn.engine import kernels
from pynn.engine.op import REGISTRY

RUNNING = ("cumsum", "cumprod")
# More and fewer lines than go together, in whole vectors and with a rest, along each axis; lines that are empty or don't exist.
SHAPES = [
    *((shape, axis) for shape in [(5, 3), (17, 70), (1, 9), (9, 1), (4, 131)] for axis in (0, 1)),
    ((3, 5, 40), 1),
    ((2, 6, 7), 2),
    ((130,), 0),
    ((0, 4), 0),
    ((4, 0), 1),
]


def attributes(axis):
    return [{"axis": axis, "exclusive": e, "reverse": r} for e in (False, True) for r in (False, True)]


@pytest.mark.parametrize("name", RUNNING)
def test_values_are_those_of_the_fallback_to_the_bit(name):
    check_values(REGISTRY[name], tolerance=32, exact=True)


def test_gradients_of_products():
    check_values(REGISTRY["cumprod_grad"], tolerance=64, exact=True)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("name", RUNNING)
def test_every_layout_at_the_end_of_memory(name, dtype, target):
    check_layouts(REGISTRY[name], dtype, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layout_of_gradients_at_the_end_of_memory(dtype, target):
    check_layouts(REGISTRY["cumprod_grad"], dtype, target)


def check_layouts(op, dtype, target):
    rng = np.random.default_rng(3)
    for shape, axis in SHAPES:
        arrays = [(rng.normal(size=shape) + 2).astype(dtype) for _ in op.inputs]
        for attrs in attributes(axis):
            (found,) = run_guarded(op, arrays, attrs, target)
            (plain,) = fallback(op, arrays, attrs)
            np.testing.assert_array_equal(found, plain, err_msg=f"{shape} {attrs}")


@pytest.mark.parametrize("name", [*RUNNING, "cumprod_grad"])
@pytest.mark.parametrize("shape, axis", [((300, 200), 1), ((300, 200), 0), ((7, 90, 80), 1)])
def test_bits_dont_depend_on_threads(name, shape, axis):
    rng = np.random.default_rng(4)
    op = REGISTRY[name]
    check_threads(op, [rng.uniform(0.9, 1.1, shape).astype(np.float32) for _ in op.inputs], {"axis": axis})


def test_a_long_line():
    x = np.random.default_rng(5).uniform(-1, 1, 100_003)
    (found,) = native(REGISTRY["cumsum"], [x], {"axis": 0})
    np.testing.assert_array_equal(found, np.cumsum(x))


def test_the_gradient_equals_the_ops_that_it_stands_for():
    op = REGISTRY["cumprod_grad"]
    rng = np.random.default_rng(6)
    x, dy = rng.normal(size=(2, 3, 11, 4))
    x[0, 4] = 0
    for attrs in attributes(1):
        (wanted,) = reference(op, [x, dy], attrs)
        assert_close([op.decompose((pn.tensor(x), pn.tensor(dy)), attrs).numpy()], [wanted], 64)
        assert_close([pn.grad(lambda t, attrs=attrs: (pn.cumprod(t, **attrs) * dy).sum())(x).numpy()], [wanted], 64)


def test_signs_of_zeros_and_numbers_that_are_none():
    x = np.array([-0.0, -0.0, np.nan, 1.0, np.inf, -np.inf], np.float32)
    for function, numpy in ((pn.cumsum, np.cumsum), (pn.cumprod, np.cumprod)):
        with np.errstate(invalid="ignore"):
            wanted = numpy(x, dtype=np.float32)
        found = function(x).numpy()
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.signbit(found[:2]), np.signbit(wanted[:2]))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_integers_give_int64_and_wrap_around(dtype):
    x = np.array([[1, 0, 1, 1], [1, 1, 1, 0]], dtype) if dtype == "bool" else np.array([[100, 3, 100, 1], [90, 7, 5, 2]], dtype)
    for axis in (0, 1):
        found = pn.cumsum(x, axis), pn.cumprod(x, axis)
        assert all(t.dtype == np.int64 for t in found)
        np.testing.assert_array_equal(found[0].numpy(), np.cumsum(x, axis, dtype=np.int64))
        np.testing.assert_array_equal(found[1].numpy(), np.cumprod(x, axis, dtype=np.int64))
    large = np.full(3, 2**62)
    np.testing.assert_array_equal(pn.cumsum(large).numpy(), np.cumsum(large))
    np.testing.assert_array_equal(pn.cumprod(large).numpy(), np.cumprod(large))


@pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback has no native calls")
def test_a_captured_program_runs_them_natively():
    def gradient(x):
        (dx,) = pn.grads(lambda t: pn.cumprod(t, 1).sum() + (pn.cumsum(t, 0) ** 2).sum())(x)
        return dx

    step = pn.function(gradient)
    x = np.random.default_rng(7).uniform(0.5, 1.5, (4, 6)).astype(np.float32)
    np.testing.assert_array_equal(step(x).numpy(), gradient(x).numpy())
    calls = [line for line in step.program(x).describe().splitlines() if "cum" in line]
    assert len(calls) == 3 and all("# native" in line for line in calls)
