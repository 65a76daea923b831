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
        with pytest.raises(OverflowError, match=rf"\[tensor\] {dtype} ranges from .*Received: the Python integer {value}"):
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


def test_lengths_may_be_zero():
    made = [pn.zeros((0, 3)), pn.ones((2, 0)), pn.full(0, 1.0), pn.eye(0), pn.eye(2, 0), pn.linspace(0.0, 1.0, 0)]
    assert [t.shape for t in made] == [(0, 3), (2, 0), (0,), (0, 0), (2, 0), (0,)]


def test_values_at_equal_distances_and_on_the_diagonal():
    np.testing.assert_array_equal(pn.linspace(1.0, 2.0, 5).numpy(), [1, 1.25, 1.5, 1.75, 2])
    np.testing.assert_array_equal(pn.eye(2, 3).numpy(), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(pn.eye(2).numpy(), np.eye(2))


@pytest.mark.parametrize("make, error, words", [
    (lambda: pn.arange("a"), TypeError, r"\[arange\] stop must be a number. Received: stop='a'"),
    (lambda: pn.arange(0, [1, 2]), TypeError, r"\[arange\] stop must be a number. Received: stop=\[1, 2\]"),
    (lambda: pn.arange(1j, 3), TypeError, r"\[arange\] start"),
    (lambda: pn.arange(0, 5, 0), ValueError, r"\[arange\] a step of 0"),
    (lambda: pn.arange(float("nan")), ValueError, r"\[arange\] stop must be finite. Received: stop=nan"),
    (lambda: pn.arange(0, 1, float("inf")), ValueError, r"\[arange\] step must be finite"),
    (lambda: pn.arange(300, dtype="uint8"), OverflowError, "uint8 ranges from 0 to 255. Received: the Python integer 299"),
    (lambda: pn.linspace("a", 1.0, 3), TypeError, r"\[linspace\] start must be a number. Received: start='a'"),
    (lambda: pn.linspace(0.0, None, 3), TypeError, r"\[linspace\] stop must be a number. Received: stop=None"),
    (lambda: pn.linspace(0, 300, 4, "uint8"), OverflowError, "uint8 ranges from 0 to 255"),
])  # fmt: skip
def test_ranges_are_made_of_numbers(make, error, words):
    with pytest.raises(error, match=words):
        make()


RANGES = [(3,), (2.5,), (True,), (1, 7, 2), (5, 0, -2), (0, None, 2), (0, 4, None), (np.float32(3),), (pn.tensor(3),)]


@pytest.mark.parametrize("bounds", RANGES)
def test_ranges_as_in_numpy(bounds):
    found, wanted = pn.arange(*bounds), np.arange(*(b.item() if isinstance(b, pn.Tensor) else b for b in bounds))
    np.testing.assert_array_equal(found.numpy(), wanted)
    assert found.dtype == (np.float32 if wanted.dtype == np.float64 else np.int64)


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
@pytest.mark.parametrize("fill", [lambda x: pn.full((2, 3), x), lambda x: pn.full_like(pn.ones((2, 3)), x)])
def test_a_tensor_that_fills_another_has_a_gradient(run, fill):
    cost, slope = run(pn.value_and_grad(lambda x: pn.sum(fill(x) * 2.0)))(pn.tensor(3.0))
    assert (float(cost), float(slope)) == (36.0, 12.0)
    assert pn.full((2, 3), pn.Variable([1.0, 2.0, 3.0])).tolist() == [[1.0, 2.0, 3.0]] * 2
