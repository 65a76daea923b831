"""Tensors made from nothing: their dtypes, and what is said where there is no such tensor."""

import numpy as np
import pytest

import pynn as pn


@pytest.mark.parametrize("value, dtype", [(2, "int64"), (2.5, "float32"), (True, "bool"), ([1.5, 2], "float32"), (np.int16(3), "int16")])
def test_a_filled_tensor_has_the_dtype_of_its_value(value, dtype):
    filled = pn.full((3, 2), value)
    assert filled.dtype == dtype
    np.testing.assert_array_equal(filled.numpy(), np.full((3, 2), value))


@pytest.mark.parametrize("value, dtype", [(300, "uint8"), (-1, "uint8"), (2**31, "int32")])
def test_a_value_beyond_the_dtype_is_refused_as_by_tensor(value, dtype):
    for make in (lambda: pn.full((2,), value, dtype), lambda: pn.full_like(pn.ones((2,), dtype), value)):
        with pytest.raises(OverflowError, match=rf"\[tensor\] {dtype} goes from .*Received: the Python integer {value}"):
            make()


@pytest.mark.parametrize("make, words", [
    (lambda: pn.zeros((-1,)), r"\[zeros\] an axis can't have a negative length. Received: shape=\(-1,\)"),
    (lambda: pn.ones((2, -1)), r"\[ones\]"),
    (lambda: pn.full(-3, 1.0), r"\[full\]"),
    (lambda: pn.eye(-1), r"\[eye\] rows can't be negative. Received: rows=-1"),
    (lambda: pn.eye(2, -1), r"\[eye\] columns"),
    (lambda: pn.linspace(0.0, 1.0, -2), r"\[linspace\] number"),
])  # fmt: skip
def test_negative_lengths_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("arguments", [(5,), (2, 7), (0, 1, 0.25), (5, 0, -2), (0,), (3, 1), (2.5,), (1.0, 3), (np.int32(2), np.int32(4))])
def test_numbers_in_a_row(arguments):
    made, wanted = pn.arange(*arguments), np.arange(*arguments)
    np.testing.assert_array_equal(made.numpy(), wanted)
    assert made.dtype == (np.float32 if wanted.dtype.kind == "f" else wanted.dtype)
    np.testing.assert_array_equal(pn.arange(*arguments, dtype="float64").numpy(), wanted.astype(np.float64))


def test_a_step_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"\[arange\] the step can't be zero. Received: step=0"):
        pn.arange(1, 5, 0)


def test_lengths_may_be_zero():
    made = [pn.zeros((0, 3)), pn.ones((2, 0)), pn.full(0, 1.0), pn.eye(0), pn.eye(2, 0), pn.linspace(0.0, 1.0, 0)]
    assert [t.shape for t in made] == [(0, 3), (2, 0), (0,), (0, 0), (2, 0), (0,)]


def test_values_at_equal_distances_and_on_the_diagonal():
    np.testing.assert_array_equal(pn.linspace(1.0, 2.0, 5).numpy(), [1, 1.25, 1.5, 1.75, 2])
    np.testing.assert_array_equal(pn.eye(2, 3).numpy(), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(pn.eye(2).numpy(), np.eye(2))
