"""Accuracy of the elementary functions in units in the last place, against float64 (float) and extended precision (double)."""

import math
import os

import numpy as np
import pytest
from op_checks import TARGETS, native

from pynn.engine.op import REGISTRY

SMALLEST = {np.float32: 2.0**-126, np.float64: 2.0**-1022}
DIGITS = {np.float32: 24, np.float64: 53}

_erf = np.frompyfunc(math.erf, 1, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (reference, limit in ulp)
FUNCTIONS = {
    "exp": (np.exp, 1.1),
    "expm1": (np.expm1, 2.0),
    "log": (np.log, 1.1),
    "log1p": (np.log1p, 2.0),
    "tanh": (np.tanh, 2.5),
    "sigmoid": (sigmoid, 2.5),
    "sin": (np.sin, 2.3),
    "cos": (np.cos, 2.3),
    "sqrt": (np.sqrt, 0.5001),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 3.0),
}
# Computed in double for floats; the C library's for doubles.
RARE = {
    name: (getattr(np, numpy), 0.501)
    for name, numpy in {
        "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "sinh": "sinh", "cosh": "cosh",
        "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
    }.items()
}  # fmt: skip


def error_in_ulp(got, wanted, dtype):
    """|got - wanted| in units of the last place of wanted, 0 where both are denormal, infinite or NaN alike."""
    wanted = np.asarray(wanted)
    small = SMALLEST[dtype]
    size = np.where(np.isfinite(wanted), np.maximum(np.abs(wanted), small), 1)
    _, exponent = np.frexp(size)
    unit = np.ldexp(np.ones_like(size), exponent - DIGITS[dtype])
    rounded = wanted.astype(dtype)
    same = (np.isnan(wanted) & np.isnan(got)) | (rounded == got) | ((np.abs(wanted) < small) & (np.abs(got) <= small))
    return np.where(same, 0, np.abs(got.astype(size.dtype) - wanted) / unit)


def check(name, x, dtype, target):
    reference, limit = FUNCTIONS.get(name) or RARE[name]
    wide = np.float64 if dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        flushed = np.where(np.abs(x) < SMALLEST[dtype], x * 0, x)  # denormal operands count as zero
        wanted = reference(flushed.astype(wide))
        got = native(REGISTRY[name], [x], {}, target)[0]
        error = error_in_ulp(got, wanted, dtype)
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    assert error[worst] <= limit, f"{name}({x[worst]!r}) = {got[worst]!r}, not {wanted[worst]!r}: {error[worst]} ulp"


def sample_of_all_floats(stride, start=0):
    """Every `stride`-th bit pattern: all signs and exponents, infinities, NaN and denormals among them."""
    return np.arange(start, 2**32, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)


def sample_of_doubles(count):
    rng = np.random.default_rng(0)
    everywhere = rng.integers(0, 2**64, size=count, dtype=np.uint64, endpoint=False).view(np.float64)
    usual = rng.normal(size=count) * np.exp2(rng.integers(-30, 10, size=count))
    return np.concatenate([everywhere, usual, [0.0, -0.0, np.inf, -np.inf, np.nan, 709.7, 709.8, -745.0, 1.0, -1.0]])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", sorted(FUNCTIONS | RARE))
def test_float(name, target):
    check(name, sample_of_all_floats(20011), np.float32, target)


def special_pairs():
    """Pairs of numbers of every size, among them all pairs of those with rules of their own."""
    rng = np.random.default_rng(1)
    special = [0.0, 1.0, 0.5, 2.0, 3.0, 2.5, 1e-30, 1e30, 16777215.0, 16777216.0, 1e10, np.inf]
    special = np.array([*special, *(-v for v in special), np.nan], np.float32)
    x, y = (a.ravel() for a in np.meshgrid(special, special))
    size = rng.uniform(-30, 30, size=(2, 20_000))
    far = np.exp(size).astype(np.float32) * rng.choice(np.float32([-1, 1]), size=size.shape)
    near = np.stack([rng.uniform(0, 3, size=20_000), rng.uniform(-60, 60, size=20_000)]).astype(np.float32)
    return np.concatenate([x, far[0], near[0]]), np.concatenate([y, far[1], near[1]])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name, numpy", [("power", np.power), ("atan2", np.arctan2)])
def test_float_functions_of_two(name, numpy, target):
    x, y = special_pairs()
    with np.errstate(all="ignore"):
        wanted = numpy(x.astype(np.float64), y.astype(np.float64))
        got = native(REGISTRY[name], [x, y], {}, target)[0]
        error = error_in_ulp(got, wanted, np.float32)
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    assert error[worst] <= 0.501, f"{name}({x[worst]!r}, {y[worst]!r}) = {got[worst]!r}, not {wanted[worst]!r}"
    whole = (wanted == 0) | np.isinf(wanted)
    assert (np.signbit(got) == np.signbit(wanted))[whole].all()


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="needs a long double that is wider than double")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_double(name, target):
    check(name, sample_of_doubles(50_000), np.float64, target)


@pytest.mark.skipif("PYNN_TEST_EVERY_FLOAT" not in os.environ, reason="takes minutes; set PYNN_TEST_EVERY_FLOAT=1")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "log", "sin", "cos", *sorted(RARE)])
def test_every_float(name):
    for start in range(1024):
        check(name, sample_of_all_floats(1024, start), np.float32, TARGETS[-1])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf_and_gelu(dtype, target):
    epsilon = np.finfo(dtype).eps
    x = np.concatenate([np.linspace(-8, 8, 4001), [0.0, -0.0, 1e-20, -1e-20, 0.99999, 1.00001]]).astype(dtype)
    wide = x.astype(np.float64)
    erf = _erf(wide).astype(np.float64)
    got = native(REGISTRY["erf"], [x], {}, target)[0]
    np.testing.assert_allclose(got, erf, rtol=3 * epsilon)
    # erfc keeps its digits in the left tail, where 1 + erf loses all of them
    normal_cdf = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in wide])
    got = native(REGISTRY["gelu"], [x], {}, target)[0]
    loose = target == "baseline" or dtype == np.float64  # no fma, or a reference that rounds x / sqrt(2)
    np.testing.assert_allclose(got, wide * normal_cdf, rtol=(100 if loose else 12) * epsilon)


@pytest.mark.parametrize("target", TARGETS)
def test_limits(target):
    def call(name, *values):
        return native(REGISTRY[name], [np.array(values, np.float32)], {}, target)[0].tolist()

    infinity = math.inf
    assert call("exp", -infinity, -1000.0, 0.0, -0.0, 1000.0, infinity) == [0, 0, 1, 1, infinity, infinity]
    assert call("log", 0.0, -0.0, 1.0, infinity) == [-infinity, -infinity, 0, infinity]
    assert call("tanh", -infinity, -50.0, 0.0, 50.0, infinity) == [-1, -1, 0, 1, 1]
    assert call("sigmoid", -infinity, -200.0, 0.0, 200.0, infinity) == [0, 0, 0.5, 1, 1]
    assert call("expm1", -infinity, -50.0, 0.0, infinity) == [-1, -1, 0, infinity]
    assert call("log1p", -1.0, 0.0, infinity) == [-infinity, 0, infinity]
    assert call("erf", -infinity, -10.0, 0.0, 10.0, infinity) == [-1, -1, 0, 1, 1]
    assert all(math.isnan(v) for name in FUNCTIONS for v in call(name, math.nan, -math.nan))
    assert all(math.isnan(v) for v in call("log", -1.0, -infinity) + call("log1p", -1.5))
    assert math.copysign(1, call("tanh", -0.0)[0]) == -1


def test_tail_of_the_sigmoid_keeps_its_digits():
    x = -np.linspace(1, 87, 500).astype(np.float32)
    for target in TARGETS:
        np.testing.assert_allclose(native(REGISTRY["sigmoid"], [x], {}, target)[0], sigmoid(x.astype(np.float64)), rtol=3e-7)
