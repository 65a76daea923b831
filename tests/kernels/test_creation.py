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
