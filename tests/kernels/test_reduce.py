"""Reductions: values over every set of axes, the fixed order of sums, indices, gradients, threads."""

import itertools

import numpy as np
import pytest
from op_checks import TARGETS, check_gradients, check_threads, check_values, fallback, native

import pynn as pn
from pynn.engine.op import REGISTRY

REDUCTIONS = ["sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin"]
DIFFERENTIABLE = ["sum", "mean", "max", "min", "prod"]
DTYPES = [np.float32, np.float64]


def reduce(name, x, axes, target="", keepdims=False):
    outputs = native(REGISTRY[name], [x], {"axis": axes, "keepdims": keepdims}, target)
    return None if outputs is None else outputs[0]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_values(name):
    check_values(REGISTRY[name], tolerance=32)


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "cumsum", "cumprod"])
def test_gradients(name):
    check_gradients(REGISTRY[name], tolerance=1e-5)


def canonical_block(x):
    lanes = 64 // x.itemsize
    accumulators = np.zeros((4, lanes), x.dtype)
    padded = np.concatenate([x, np.zeros(-len(x) % (4 * lanes), x.dtype)])
    for step in padded.reshape(-1, 4, lanes):
        accumulators = accumulators + step
    total = (accumulators[0] + accumulators[1]) + (accumulators[2] + accumulators[3])
    while len(total) > 1:
        total = total[: len(total) // 2] + total[len(total) // 2 :]
    return total[0]


def canonical_sum(x):
    """The documented order of a sum of contiguous elements."""
    total = x.dtype.type(0)
    for group in range(0, len(x), 16384):
        partial = x.dtype.type(0)
        for block in range(group, min(group + 16384, len(x)), 1024):
            partial = partial + canonical_block(x[block : min(block + 1024, group + 16384)])
        total = total + partial
    return total


def canonical_columns(x):
    """The documented order of a sum over leading rows."""
    total = None
    for block in range(0, len(x), 128):
        partial = np.zeros(x.shape[1:], x.dtype)
        for row in x[block : block + 128]:
            partial = partial + row
        total = partial if total is None else total + partial
    return total


@pytest.mark.parametrize("n", [1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000, 1023, 1024, 1025, 5000, 16384, 16385, 50001])
def test_contiguous_sums_have_the_documented_order(n):
    rng = np.random.default_rng(n)
    for dtype, target in itertools.product(DTYPES, TARGETS):
        x = rng.normal(size=n).astype(dtype)
        assert reduce("sum", x, (0,), target) == canonical_sum(x)
        rows = np.stack([x, -x, x * 2])
        np.testing.assert_array_equal(reduce("sum", rows, (1,), target), [canonical_sum(r) for r in rows])


@pytest.mark.parametrize("rows, columns", [(1, 5), (3, 1030), (127, 7), (128, 8), (129, 9), (300, 33), (1000, 64), (1000, 2)])
def test_sums_over_rows_have_the_documented_order(rows, columns):
    rng = np.random.default_rng(rows)
    for dtype, target in itertools.product(DTYPES, TARGETS):
        x = rng.normal(size=(rows, columns)).astype(dtype)
        np.testing.assert_array_equal(reduce("sum", x, (0,), target), canonical_columns(x))
        spread = np.stack([x, x + 1])
        wanted = [canonical_columns(s) for s in spread]
        np.testing.assert_array_equal(reduce("sum", spread, (1,), target), wanted)


@pytest.mark.parametrize(
    "shape", [(), (5,), (1, 4), (3, 5), (2, 3, 4), (3, 1, 5), (2, 3, 4, 5), (3, 2, 1, 4, 2), (2, 40, 3, 50), (0, 3), (3, 0)]
)
def test_every_set_of_axes(shape):
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=shape) * 4)
    for count in range(len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            check_axes(x, axes)


def check_axes(x, axes):
    empty = any(x.shape[a] == 0 for a in axes)
    for name, dtype in itertools.product(["sum", "mean", "max", "min", "any", "all"], DTYPES):
        if empty and name in ("max", "min"):
            continue
        with np.errstate(all="ignore"):
            wanted = fallback(REGISTRY[name], [x.astype(dtype)], {"axis": axes, "keepdims": True})[0]
        for target in TARGETS:
            got = reduce(name, x.astype(dtype), axes, target, keepdims=True)
            np.testing.assert_allclose(got, wanted, rtol=1e-6 if dtype == np.float32 else 1e-14, atol=1e-6)
            assert got.shape == wanted.shape


@pytest.mark.parametrize("name", ["max", "min", "prod", "any", "all"])
@pytest.mark.parametrize("target", TARGETS)
def test_rows_of_every_length(name, target):
    rng = np.random.default_rng(1)
    for dtype, n in itertools.product(DTYPES, range(1, 68)):
        x = (np.abs(rng.normal(size=(3, n))) + 0.5).astype(dtype)
        if name in ("max", "any"):
            x = -x if name == "max" else np.where(rng.random(x.shape) < 1 / n, x, 0).astype(dtype)
        if name == "all":
            x = np.where(rng.random(x.shape) < 1 / n, 0, x).astype(dtype)
        numpy = {"max": np.max, "min": np.min, "prod": np.prod, "any": np.any, "all": np.all}[name]
        np.testing.assert_allclose(reduce(name, x, (1,), target), numpy(x, 1), rtol=1e-5)
        np.testing.assert_allclose(reduce(name, np.ascontiguousarray(x.T), (0,), target), numpy(x, 1), rtol=1e-5)


def test_nan_wins():
    for n, target in itertools.product((1, 5, 40, 3000), TARGETS):
        x = np.arange(n, dtype=np.float32)
        x[n // 2] = np.nan
        for name in ("max", "min"):
            assert np.isnan(reduce(name, x, (0,), target))
            assert np.isnan(reduce(name, x[:, None] + np.zeros((1, 3), np.float32), (0,), target)).all()
        for name in ("argmax", "argmin"):
            assert reduce(name, x, (0,), target) == n // 2
    assert reduce("max", np.full(5, -np.inf, np.float32), (0,)) == -np.inf
    assert reduce("argmax", np.full(5, -np.inf, np.float32), (0,)) == 0


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_first_of_equal_extremes_is_found_and_the_first_nan(name):
    rng = np.random.default_rng(2)
    for shape, dtype, target in itertools.product([(7,), (4, 33), (3, 5, 9), (100, 10), (70, 3), (41, 1), (3, 50, 2)], DTYPES, TARGETS):
        x = rng.integers(0, 4, size=shape).astype(dtype)
        for values in (x, np.where(rng.random(shape) < 0.1, np.nan, x).astype(dtype)):
            for axis in range(len(shape)):
                np.testing.assert_array_equal(reduce(name, values, (axis,), target), getattr(np, name)(values, axis))


def test_bits_do_not_depend_on_threads():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(700, 333)).astype(np.float32)
    for name, axes in itertools.product(["sum", "mean", "max", "prod"], [(0,), (1,), (0, 1)]):
        check_threads(REGISTRY[name], [x], {"axis": axes})
    images = rng.normal(size=(20, 30, 31, 7)).astype(np.float32)
    for axes in [(0, 1, 2), (1, 2), (0, 2), (0, 3), (1, 3)]:
        check_threads(REGISTRY["sum"], [images], {"axis": axes})
    check_threads(REGISTRY["argmax"], [x], {"axis": (1,)})


def test_integers_and_bools():
    x = np.arange(12, dtype=np.uint8).reshape(3, 4) + 250
    assert pn.sum(x).dtype == np.int64 and int(pn.sum(x)) == int(x.astype(int).sum())
    assert pn.mean(np.array([1, 2])).dtype == np.float32
    assert pn.max(x).dtype == np.uint8
    flags = np.array([[True, False], [True, True]])
    assert pn.sum(flags, axis=0).tolist() == [2, 1]
    assert pn.all(flags, axis=1).tolist() == [False, True]
    assert pn.any(np.zeros((2, 2), bool)).item() is False


def test_composed_reductions():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4, 5, 6))
    np.testing.assert_allclose(pn.var(x, axis=(0, 2)).numpy(), x.var((0, 2)))
    np.testing.assert_allclose(pn.std(x, axis=1, keepdims=True, ddof=1).numpy(), x.std(1, keepdims=True, ddof=1))
    assert np.isposinf(pn.var(x, axis=0, ddof=5).numpy()).all()  # as in NumPy, never negative
    np.testing.assert_allclose(pn.logsumexp(x * 500, axis=1).numpy(), np.logaddexp.reduce(x * 500, axis=1))
    assert pn.logsumexp(np.full(3, -np.inf)).item() == -np.inf
    for ord in ("euclidean", 1, 2, np.inf, -np.inf):
        wanted = np.linalg.norm(x[0, 0], 2 if ord == "euclidean" else ord)
        np.testing.assert_allclose(pn.norm(x, ord, axis=2).numpy()[0, 0], wanted)
    assert pn.argmax(x).item() == x.argmax()
    assert pn.argmin(x, keepdims=True).shape == (1, 1, 1)


def test_equal_extremes_share_the_gradient():
    x = pn.tensor([1.0, 3.0, 3.0, 0.0])
    assert pn.grad(lambda t: pn.max(t))(x).tolist() == [0, 0.5, 0.5, 0]
    assert pn.grad(lambda t: pn.maximum(t, 3.0).sum())(x).tolist() == [0, 0.5, 0.5, 0]


@pytest.mark.parametrize("f", [pn.norm, pn.std, lambda t: pn.std(t, ddof=1), lambda t: pn.norm(t, keepdims=True).sum()])
def test_gradient_of_a_root_at_its_minimum_is_zero(f):
    gradient = pn.grad(f)
    for run in (gradient, pn.function(gradient)):
        assert run(pn.tensor(np.zeros(3))).tolist() == [0, 0, 0]
    assert pn.grad(lambda t: gradient(t).sum())(np.zeros(3)).tolist() == [0, 0, 0]


def test_gradient_of_a_root_elsewhere():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0]])
    gradient = pn.grad(lambda t: pn.norm(t, axis=1)[:2].sum())(x).numpy()
    np.testing.assert_allclose(gradient[:2], [[0.6, 0.8], [0, 0]], rtol=1e-15)
    np.testing.assert_array_equal(pn.norm(x, axis=1).numpy(), [5, 0, np.nan])
    second = pn.grad(lambda t: pn.grad(pn.norm)(t)[0])(x[0])
    np.testing.assert_allclose(second.numpy(), [16 / 125, -12 / 125], rtol=1e-14)
    spread = pn.grad(pn.std)(np.array([1.0, 2.0, 6.0])).numpy()
    np.testing.assert_allclose(spread, np.array([-2, -1, 3]) / (3 * np.std([1.0, 2.0, 6.0])), rtol=1e-14)


def test_gradient_of_a_product_with_zeros():
    gradient = pn.grad(lambda t: pn.prod(t, axis=-1).sum())
    np.testing.assert_allclose(
        gradient(pn.tensor([[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0]])).numpy(), [[12, 8, 6], [0, 8, 0], [0, 0, 0]]
    )
    for x in ([2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 5.0]):
        by_hand = [np.cumprod([1.0 if k == i else v for k, v in enumerate(x)])[i:].sum() for i in range(3)]
        np.testing.assert_allclose(pn.grad(lambda t: pn.cumprod(t).sum())(pn.tensor(x)).numpy(), by_hand)


def by_differences(f, x, step=1e-5):
    """The gradient of `f` by central differences."""
    steps = np.eye(x.size).reshape(x.size, *x.shape) * step
    return np.array([(f(x + s).item() - f(x - s).item()) / (2 * step) for s in steps]).reshape(x.shape)


def test_second_derivative_of_a_product_with_a_zero():
    second = pn.grad(lambda t: pn.grad(pn.prod)(t)[0])
    for run in (second, pn.function(second)):
        np.testing.assert_array_equal(run(pn.tensor(np.array([1.0, 0.0, 2.0, 3.0]))).numpy(), [0, 6, 0, 0])
    third = pn.grad(lambda t: second(t)[1])
    np.testing.assert_array_equal(third(np.array([1.0, 0.0, 0.0, 3.0])).numpy(), [0, 0, 3, 0])


@pytest.mark.parametrize("axis", [None, 0, (0, 2), (-1, 1)])
def test_derivatives_of_products_over_axes_with_zeros(axis):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2, 3, 2))
    x[0, 0, 0] = x[1, 0, 1] = x[1, 2, 0] = 0.0
    weight = rng.normal(size=x.shape)
    first = pn.grad(lambda t: pn.sin(pn.prod(t, axis)).sum())
    np.testing.assert_allclose(first(x).numpy(), by_differences(lambda t: pn.sin(pn.prod(t, axis)).sum(), x), atol=1e-9)

    def bent(t):
        return (first(t) * weight).sum()

    np.testing.assert_allclose(pn.grad(bent)(x).numpy(), by_differences(bent, x), atol=1e-8)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_derivatives_of_running_products_with_zeros(length, exclusive, reverse):
    rng = np.random.default_rng(length)
    x, weight, turned = rng.normal(size=(3, 2, length, 2))
    x[:, length // 3] = 0.0
    x[0, -1] = 0.0

    def value(t):
        return (pn.cumprod(t, 1, exclusive, reverse) * weight).sum()

    np.testing.assert_allclose(pn.grad(value)(x).numpy(), by_differences(value, x), atol=1e-9)

    def bent(t):
        return (pn.grad(value)(t) * turned).sum()

    np.testing.assert_allclose(pn.grad(bent)(x).numpy(), by_differences(bent, x), atol=1e-8)


def test_gradients_of_empty_products():
    for axis in (0, 1):
        assert pn.grad(lambda t, axis=axis: pn.prod(t, axis).sum())(np.zeros((0, 3))).shape == (0, 3)
        assert pn.grad(lambda t, axis=axis: pn.cumprod(t, axis).sum())(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pn.sum(np.zeros((2, 3)), axis=2), r"\[sum\] there is no such axis. Received: axis=2 for 2 axes"),
        (lambda: pn.mean(np.zeros((2, 3)), axis=(0, -2)), r"\[mean\] an axis is named twice"),
        (lambda: pn.max(np.zeros((0, 3)), axis=0), r"\[max\] there is nothing to reduce. Received: x.shape=\(0, 3\)"),
        (lambda: pn.argmax(np.zeros((0,))), r"\[argmax\] there is nothing to reduce"),
        (lambda: pn.logsumexp(np.zeros((2, 0)), axis=1), r"\[logsumexp\] there is nothing to reduce. Received: x.shape=\(2, 0\)"),
        (lambda: pn.norm(np.zeros((0,)), np.inf), r"\[norm\] there is nothing to reduce"),
        (lambda: pn.norm(np.zeros(3), ord=3), r"\[norm\] unknown norm. Received: ord=3"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", [n for n in REDUCTIONS if not n.startswith("arg")])
@pytest.mark.parametrize("shape, axis", [((129, 0), (0,)), ((3, 20000, 0), (1,)), ((0, 300), (1,)), ((300, 0, 300), (0, 2))])
def test_nothing_is_left_beside_a_long_axis(name, shape, axis):
    kept = tuple(n for i, n in enumerate(shape) if i not in axis)
    for dtype in (np.float32, np.int64, np.bool_) if name != "mean" else DTYPES:
        for target in TARGETS:
            assert reduce(name, np.zeros(shape, dtype), axis, target).shape == kept
