"""The elementwise kernel over whole numbers against NumPy."""

import itertools

import numpy as np
import pytest
from op_checks import TARGETS, check_threads, native

import pynn as pn
from pynn.engine.op import REGISTRY

ARITHMETIC = ["add", "subtract", "multiply", "maximum", "minimum", "mod", "floor_divide"]
TRUTHS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor"]
UNARY = ["negative", "abs", "sign", "square", "logical_not"]
SHAPES = [((5,), (5,)), ((), (7,)), ((40, 3), (3,)), ((4, 1, 6), (5, 1)), ((0, 3), (3,)), ((1,), ())]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("name", ARITHMETIC + TRUTHS)
def test_two_operands(name, dtype):
    rng = np.random.default_rng(0)
    low = 0 if dtype == np.uint8 else -9
    for (first, second), swap in itertools.product(SHAPES, (False, True)):
        x, y = rng.integers(low, 9, size=first).astype(dtype), rng.integers(low, 9, size=second).astype(dtype)
        x, y = (y, x) if swap else (x, y)
        with np.errstate(all="ignore"):
            wanted = getattr(np, name)(x, y)
        for target in TARGETS:
            got = native(REGISTRY[name], [x, y], {}, target)[0]
            np.testing.assert_array_equal(got, wanted)
            assert got.dtype == wanted.dtype


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name, dtype):
    x = np.arange(-6, 7).astype(dtype)
    for target in TARGETS:
        np.testing.assert_array_equal(native(REGISTRY[name], [x], {}, target)[0], getattr(np, name)(x))


def test_the_ends_of_the_range_wrap():
    for dtype in (np.int32, np.int64):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        x, y = np.array([high, low, low, low], dtype), np.array([1, -1, 1, -1], dtype)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(native(REGISTRY["add"], [x, y], {})[0], x + y)
            np.testing.assert_array_equal(native(REGISTRY["multiply"], [x, y], {})[0], x * y)
            np.testing.assert_array_equal(native(REGISTRY["floor_divide"], [x, y], {})[0], [high, low, low, low])
            np.testing.assert_array_equal(native(REGISTRY["mod"], [x, y], {})[0], [0, 0, 0, 0])


def test_bits_do_not_depend_on_threads():
    x = np.random.default_rng(1).integers(0, 99, size=(300, 200))
    check_threads(REGISTRY["add"], [x, x[0]], {})
    check_threads(REGISTRY["equal"], [x, x[:, :1]], {})


def test_counters_stay_integers():
    assert (pn.tensor(np.array(3)) + 1).dtype == np.int64
    assert (pn.tensor([7, 8]) // 2).tolist() == [3, 4]
    assert (pn.tensor([-7]) % 3).tolist() == [2]


def test_255_is_no_minus_one_without_a_sign():
    x, y = np.array([1, 2, 7], np.uint8), np.full(3, 255, np.uint8)
    for name, expected in (("floor_divide", [0, 0, 0]), ("mod", [1, 2, 7])):
        np.testing.assert_array_equal(native(REGISTRY[name], [x, y], {})[0], expected)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 2.5, 0.5, -1.0])
@pytest.mark.parametrize("x", [np.array([1, 2, 50000], np.int32), np.array([1, 2, 200], np.uint8), np.array([True, True])])
def test_a_float_exponent_makes_floats(x, exponent):
    for power in (lambda x: x**exponent, lambda x: pn.function(lambda x, p: x**p)(x, exponent), pn.function(lambda x: x**exponent)):
        found = power(pn.tensor(x))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.numpy(), x.astype(np.float32) ** np.float32(exponent), rtol=1e-5)


def test_a_whole_exponent_keeps_integers():
    for exponent in (1, 2, 3, 4):
        for power in (lambda x, p=exponent: x**p, lambda x, p=exponent: pn.function(lambda x, p: x**p)(x, p)):
            found = power(pn.tensor(np.array([2, -3], np.int32)))
            assert found.dtype == np.int32 and found.tolist() == [2**exponent, (-3) ** exponent]
            assert power(pn.tensor([True, False])).tolist() == [1, 0]
