"""Indexing as in NumPy: blocks, steps, new axes, and integers in lists, arrays and tensors."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn

CUBE = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "key",
    [
        0, -1, slice(None), slice(1, 3), slice(None, None, 2), (0, 1), (slice(None), -1), (..., 0), (0, ...), (None, 0),
        (slice(None), slice(None, None, -1)), (1, slice(None), slice(3, 0, -2)), (slice(5, 9),), (0, 1, 2), (slice(0, 1), None), (),
    ],
)  # fmt: skip
def test_basic_indexing(key):
    np.testing.assert_array_equal(pn.tensor(CUBE)[key].numpy(), CUBE[key])
    np.testing.assert_array_equal(pn.Variable(CUBE)[key].numpy(), CUBE[key])
    np.testing.assert_array_equal(pn.function(lambda x: x[key])(CUBE).numpy(), CUBE[key])


def test_indexing_by_integers_in_arrays():
    rows = np.array([1, 0, 1])
    np.testing.assert_array_equal(pn.tensor(CUBE)[rows].numpy(), CUBE[rows])
    np.testing.assert_array_equal(pn.tensor(CUBE)[pn.tensor(rows)].numpy(), CUBE[rows])
    assert [10, 20, 30][pn.tensor(1)] == 20


LISTS = [[-1, 0], np.array([[-1, 1], [0, -2]], np.int8), (0, [-1, 2]), (slice(None), np.uint8([2, 0]), None), (..., [])]


@pytest.mark.parametrize("key", LISTS, ids=repr)
def test_indices_of_lists_and_arrays_count_from_either_end(key):
    kept = tuple(np.int64(k) if isinstance(k, list) else k for k in key) if isinstance(key, tuple) else key
    for get in (lambda x: x[key], pn.function(lambda x: x[key])):
        np.testing.assert_array_equal(get(pn.tensor(CUBE)).numpy(), CUBE[kept])
    for bad, axis in (([2], 0), ((0, [0, -4]), 1), ((0, None, np.array([3])), 1)):
        with pytest.raises(IndexError, match=rf"\[getitem\] index -?\d is out of range for axis {axis} with length"):
            pn.tensor(CUBE)[bad]


def test_elements_are_not_assigned_to():
    for holder in (pn.tensor(CUBE), pn.Variable(CUBE)):
        with pytest.raises(TypeError, match=r"\[setitem\] .* Received: a (Tensor|Variable) of shape \(2, 3, 4\).* v.assign\(pn.where"):
            holder[0] = 1.0


@pytest.mark.parametrize("key", [2, -3, (0, 3), (0, 0, 0, 0), 0.5, "a"])
def test_bad_indices(key):
    with pytest.raises((IndexError, ValueError, TypeError), match=r"\["):
        pn.tensor(CUBE)[key]


def test_iteration_ends():
    assert [row.tolist() for row in pn.tensor([[1.0], [2.0]])] == [[1.0], [2.0]]
    for use in (len, iter):
        with pytest.raises(TypeError, match="without axes"):
            use(pn.tensor(1.0))
