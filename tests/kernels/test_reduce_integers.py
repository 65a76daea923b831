"""Reductions of integers and bools."""

import numpy as np
import pytest
from guard import run_guarded
from op_checks import TARGETS, check_threads, fallback

import pynn as pn
from pynn.engine import kernels
from pynn.engine.op import REGISTRY

KINDS = ("sum", "prod", "max", "min", "any", "all")
NATIVE = ("bool", "uint8", "int32", "int64")
# Rows and columns of one piece and of several, with a rest; axes that lie apart; more columns than go together; nothing at all.
CASES = [
    ((7,), (0,)),
    ((2051,), (0,)),
    ((5, 9), (1,)),
    ((5, 9), (0,)),
    ((300, 70), (0,)),
    ((3, 5, 4), (0, 2)),
    ((140, 3, 2100), (0, 2)),
    ((3, 2, 4), (0, 1, 2)),
    ((1, 1), (0, 1)),
    ((0, 4), (1,)),
]


def values(shape, dtype):
    """Numbers of either sign with a few zeros, so that any and all have something to find."""
    rng = np.random.default_rng(8)
    x = rng.integers(0 if dtype in ("bool", "uint8") else -9, 2 if dtype == "bool" else 9, size=shape)
    return np.where(rng.random(shape) < 0.9, np.where(x == 0, 1, x), 0).astype(dtype)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("name", KINDS)
def test_values_are_numpys_at_the_end_of_memory(name, dtype, target):
    op = REGISTRY[name]
    for shape, axes in CASES:
        x = values(shape, dtype)
        for attrs in ({"axis": axes, "keepdims": False}, {"axis": axes, "keepdims": True}):
            (found,) = run_guarded(op, [x], attrs, target)
            (plain,) = fallback(op, [x], attrs)
            assert found.dtype == plain.dtype
            np.testing.assert_array_equal(found, plain, err_msg=f"{shape} {attrs}")


@pytest.mark.parametrize("target", TARGETS)
def test_sums_of_bytes_of_every_length(target):
    x = np.random.default_rng(9).integers(0, 256, 70_000).astype(np.uint8)
    x[:400] = 255
    for length in (*range(0, 300), 4096, 65_537, 70_000):
        (found,) = run_guarded(REGISTRY["sum"], [x[:length]], {"axis": (0,), "keepdims": False}, target)
        assert found.dtype == np.int64 and int(found) == int(x[:length].astype(np.int64).sum()), length


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_first_of_equal_extremes_is_found(name, dtype, target):
    op = REGISTRY[name]
    for shape, axis in [((2051,), 0), ((5, 9), 1), ((5, 9), 0), ((300, 37), 0), ((3, 7, 18), 1), ((0, 4), 1), ((1, 1), 0)]:
        x = values(shape, dtype)
        (found,) = run_guarded(op, [x], {"axis": (axis,)}, target)
        np.testing.assert_array_equal(found, getattr(np, name)(x, axis), err_msg=f"{shape} {axis}")


@pytest.mark.parametrize("name", KINDS)
def test_the_result_is_the_same_with_more_threads(name):
    for axes in ((0,), (1,), (0, 1)):
        check_threads(REGISTRY[name], [values((900, 400), "int32")], {"axis": axes})


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_dtypes_of_results(dtype):
    x = values((4, 3), dtype)
    for name in KINDS:
        found, wanted = getattr(pn, name)(x, 0), getattr(np, name)(x, 0)
        assert found.dtype == {"sum": "int64", "prod": "int64", "any": "bool", "all": "bool"}.get(name, dtype)
        np.testing.assert_array_equal(found.numpy(), wanted)
    assert pn.mean(x).dtype == np.float32
    np.testing.assert_allclose(float(pn.mean(x)), x.mean(), rtol=1e-6)


def test_sums_and_products_wrap_around():
    x = np.full(5, 2**62)
    assert int(pn.sum(x)) == int(np.sum(x)) and int(pn.prod(x)) == int(np.prod(x))


def test_extremes_of_the_whole_range():
    for dtype in ("int32", "int64", "uint8"):
        limits = np.iinfo(dtype)
        x = np.array([limits.max, limits.min], dtype)
        assert int(pn.max(x)) == limits.max and int(pn.min(x)) == limits.min
        assert int(pn.max(x[1:])) == limits.min and int(pn.min(x[:1])) == limits.max
        assert int(pn.argmax(x)) == 0 and int(pn.argmin(x)) == 1


@pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback has no native calls")
def test_counting_right_answers_is_native_in_a_captured_step():
    right = pn.function(lambda scores, labels: (pn.argmax(scores, 1) == labels).sum())
    scores, labels = np.random.default_rng(9).normal(size=(40, 5)).astype(np.float32), np.arange(40) % 5
    assert int(right(scores, labels)) == int((scores.argmax(1) == labels).sum())
    calls = [line for line in right.program(scores, labels).describe().splitlines() if " = " in line]
    assert calls and all("# native" in line for line in calls)
