"""Counts, places in sorted numbers and different values, against NumPy; and rows picked with indices of their own."""

from __future__ import annotations

import numpy as np
import pytest
from op_checks import assert_close, fallback, reference

import pynn as pn
from pynn.engine.op import REGISTRY

RNG = np.random.default_rng(0)


def test_counts():
    x = RNG.integers(0, 9, 200)
    assert pn.bincount(x).dtype == np.int64
    for dtype in ("uint8", "int16", "int32", "int64"):
        np.testing.assert_array_equal(pn.bincount(x.astype(dtype)).numpy(), np.bincount(x))
    np.testing.assert_array_equal(pn.bincount(x, size=300).numpy(), np.bincount(x, minlength=300))
    np.testing.assert_array_equal(pn.bincount(x.astype(np.uint8), size=4).numpy(), np.bincount(x)[:4])
    np.testing.assert_array_equal(pn.bincount(x[:3], size=9, binary_output=True).numpy(), np.bincount(x[:3], minlength=9) > 0)
    weights = RNG.normal(size=200)
    np.testing.assert_allclose(pn.bincount(x, weights).numpy(), np.bincount(x, weights), rtol=1e-12)
    rows = x.reshape(8, 25)
    np.testing.assert_array_equal(pn.bincount(rows, size=5).numpy(), [np.bincount(r, minlength=9)[:5] for r in rows])
    assert pn.bincount(np.zeros((0,), int)).shape == (0,) and pn.bincount(np.zeros((2, 0), int), size=3).tolist() == [[0] * 3] * 2


def test_counted_weights_have_gradients():
    dw = pn.grad(lambda w: (pn.bincount([2, 0, 7, 2], w, 3) * [1.0, 10.0, 100.0]).sum())(pn.tensor([1.0, 2.0, 3.0, 4.0]))
    assert dw.tolist() == [100.0, 1.0, 0.0, 100.0]


def test_counts_in_captured_functions_need_a_size():
    assert pn.function(lambda x: pn.bincount(x, size=3))(pn.tensor([2, 2, 5])).tolist() == [0, 0, 2]
    with pytest.raises(pn.CaptureError, match=r"\[bincount\] .*Pass size="):
        pn.function(lambda x: pn.bincount(x))(pn.tensor([2, 2, 5]))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pn.bincount([[1, 2], [0, -1]], size=3), ValueError, "index -1"),
        (lambda: pn.bincount([1.0]), TypeError, r"\[bincount\] .*integers.*float32"),
        (lambda: pn.bincount(3), ValueError, r"\[bincount\] .*x\.shape=\(\)"),
        (lambda: pn.bincount([1, 2], [1.0]), ValueError, r"one weight per number.*weights\.shape=\(1,\)"),
        (lambda: pn.bincount([1], size=-1), ValueError, "size=-1"),
        (lambda: pn.searchsorted([1, 2], [1], "middle"), ValueError, "side='middle'"),
        (lambda: pn.searchsorted(np.ones((2, 3)), np.ones((3, 3))), ValueError, r"\[searchsorted\] .*values\.shape=\(3, 3\)"),
        (lambda: pn.unique([1, 2], axis=1), ValueError, r"\[unique\] there is no such axis"),
        (lambda: pn.function(pn.unique)(pn.tensor([1, 2])), pn.CaptureError, r"\[unique\] .*depends on values"),
        (lambda: pn.take(np.ones((2, 3)), np.ones((3, 1), int), 1, 1), ValueError, r"\[take\] .*indices\.shape=\(3, 1\)"),
        (lambda: pn.take(np.ones((2, 3)), np.ones((2, 1), int), 0, 1), ValueError, r"\[take\] .*axis=0, batch_dims=1"),
        (lambda: pn.take(np.ones((2, 3)), np.ones((2, 1)), 1, 1), TypeError, r"\[take\] indices must be integers"),
        (lambda: pn.take(np.ones((2, 3)), [[1], [-1]], 1, 1), ValueError, "index -1"),
        (lambda: pn.take(np.ones((2, 3)), [[3], [0]], 1, 1), ValueError, "index -1"),
    ],
)
def test_what_cannot_be_counted_found_or_picked(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_places_in_sorted_numbers():
    op = REGISTRY["searchsorted"]
    for sample in op.samples():
        arrays = [RNG.normal(size=a) if isinstance(a, tuple) else a for a in sample.inputs]
        assert_close(fallback(op, arrays, sample.attrs), reference(op, arrays, sample.attrs), 0)
    assert pn.searchsorted([1, 2, 2, 4], [2, 5, 0]).tolist() == [1, 4, 0]
    assert pn.searchsorted([1, 2, 2, 4], 2, "right").item() == 3
    assert pn.searchsorted([1, 2], [1.5, np.nan]).tolist() == [1, 2]
    assert pn.searchsorted(np.ones((0, 3)), np.ones((0, 2))).shape == (0, 2)
    assert pn.function(lambda x, v: pn.searchsorted(x, v))([1.0, 3.0], [2.0]).tolist() == [1]


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_different_values_come_in_their_order(dtype, axis):
    x = RNG.integers(0, 2, (6, 3)).astype(dtype)
    values, indices = pn.unique(x, axis)
    assert values.dtype == dtype
    np.testing.assert_array_equal(pn.take(values, indices, axis).numpy(), x)
    assert values.shape == np.unique(x, axis=axis).shape
    firsts = list(dict.fromkeys(indices.numpy().ravel().tolist()))
    assert firsts == list(range(len(firsts)))


def test_different_values_of_few():
    found = pn.unique([3.0, np.nan, 3.0, np.nan])
    assert found.indices.tolist() == [0, 1, 0, 1] and found.values.tolist()[0] == 3.0
    assert [t.shape for t in pn.unique(np.zeros((0,)))] == [(0,), (0,)]
    assert [t.shape for t in pn.unique(np.zeros((3, 0)), 0)] == [(1, 0), (3,)]
    assert [t.shape for t in pn.unique(np.zeros((3, 0)), 1)] == [(3, 0), (0,)]
    assert pn.unique(5).values.tolist() == [5] and pn.unique(5).indices.shape == ()
    assert pn.grad(lambda x: (pn.unique(x).values * [1.0, 10.0]).sum())(pn.tensor([4.0, 4.0, 2.0])).tolist() == [1.0, 0.0, 10.0]
    for _ in range(100):  # nor is it captured behind the user's back
        assert pn.unique(pn.tensor([1, 1])).values.tolist() == [1]


OWN_INDICES = [((2, 5), (2, 3), 1), ((2, 4, 5), (2, 3, 2), 2), ((2, 5, 3), (2,), 1), ((0, 5), (0, 2), 1)]


@pytest.mark.parametrize(("shape", "indices", "axis"), OWN_INDICES)
def test_each_example_has_indices_of_its_own(shape, indices, axis):
    x, ids = RNG.normal(size=shape), RNG.integers(0, 4, indices)
    wanted = [np.take(row, i, axis=axis - 1) for row, i in zip(x, ids, strict=True)]
    wanted = np.stack(wanted) if wanted else np.zeros((0, 2))
    np.testing.assert_array_equal(pn.take(x, ids, axis, batch_dims=1).numpy(), wanted)
    weights = RNG.normal(size=wanted.shape)
    dx = pn.grad(lambda x: (pn.take(x, ids.astype(np.int32), axis, 1) * weights).sum())(pn.tensor(x)).numpy()
    np.testing.assert_allclose((dx * x).sum(), (wanted * weights).sum(), atol=1e-12)  # it is linear


def test_several_axes_are_shared():
    x, ids = RNG.normal(size=(2, 3, 4)), RNG.integers(0, 4, (2, 3, 5))
    np.testing.assert_array_equal(pn.take(x, ids, batch_dims=2).numpy(), np.take_along_axis(x, ids, -1))
