"""Gradients behind a 2 x 2 maximum leave out what is multiplied by zero, and have the bits of the sums that don't."""

import numpy as np
import pytest
from op_checks import TARGETS, check_threads, native

from pynn.engine.op import Spec
from pynn.ops.conv import CONV2D_GRAD_FILTER, CONV2D_GRAD_INPUT, CONV_ATTRS, conv_out_shape
from pynn.ops.conv_fused import DEAD, POOL_GRAD_INPUT, POOL_GRAD_PARAMS

CASES = {
    "first layer of a small net": ((9, 28, 28, 1), (5, 5, 1, 8), {}),
    "second layer of a small net": ((9, 12, 12, 8), (5, 5, 8, 16), {}),
    "odd sizes, borders": ((3, 13, 15, 3), (5, 4, 3, 9), {"padding": "same"}),
    "more channels than a panel has": ((2, 11, 10, 2), (5, 5, 2, 70), {"padding": "same"}),
    "more taps than a tile has": ((2, 12, 14, 32), (5, 5, 32, 24), {}),
    "seven rows of taps": ((2, 17, 12, 3), (7, 7, 3, 20), {"padding": "same"}),
    "rows longer than a block": ((2, 7, 300, 1), (5, 5, 1, 6), {}),
    "strides": ((3, 21, 22, 4), (5, 5, 4, 8), {"strides": (2, 3), "padding": "same"}),
    "dilated rows": ((3, 19, 12, 6), (4, 5, 6, 10), {"dilation": (2, 1), "padding": "same"}),
    "strides beyond the window": ((2, 20, 20, 5), (2, 3, 5, 12), {"strides": (3, 4)}),
    "padding beyond the window": ((2, 5, 6, 4), (3, 4, 4, 8), {"padding": ((6, 5), (5, 7))}),
    "one image in bands": ((1, 40, 33, 8), (5, 5, 8, 8), {"padding": "same"}),
    "one cell": ((4, 6, 6, 2), (5, 5, 2, 5), {}),
    "no image": ((0, 12, 12, 8), (5, 5, 8, 16), {}),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def gradients_behind(case, dtype, seed=0):
    """x, filter, the pooled gradient with its residual, and the dense gradient that they stand for."""
    x_shape, filter_shape, attrs = case
    rng = np.random.default_rng(seed)
    x, filter = (rng.normal(size=shape).astype(dtype) for shape in (x_shape, filter_shape))
    shape = conv_out_shape("conv2d", Spec(x_shape, x.dtype), Spec(filter_shape, x.dtype), **{**CONV_ATTRS, **attrs})
    pooled = (shape[0], shape[1] // 2, shape[2] // 2, shape[3])
    residual = rng.integers(0, DEAD + 1, size=pooled, dtype=np.uint8)
    dy = rng.normal(size=pooled).astype(dtype)
    dz = np.zeros(shape, dtype)
    for place in range(4):
        row, column = divmod(place, 2)
        dz[:, row : 2 * pooled[1] : 2, column : 2 * pooled[2] : 2] = np.where(residual == place, dy, 0)
    return x, filter, dy, residual, dz


def check_bits(case, x, filter, dy, residual, dz, target):
    x_shape, filter_shape, attrs = case
    sparse = native(POOL_GRAD_PARAMS, (x, dy, residual), {"filter_shape": filter_shape, **attrs}, target)[0]
    np.testing.assert_array_equal(sparse, native(CONV2D_GRAD_FILTER, (x, dz), {"filter_shape": filter_shape, **attrs}, target)[0])
    sparse = native(POOL_GRAD_INPUT, (dy, residual, filter), {"input_shape": x_shape, **attrs}, target)[0]
    np.testing.assert_array_equal(sparse, native(CONV2D_GRAD_INPUT, (dz, filter), {"input_shape": x_shape, **attrs}, target)[0])


@cases
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", TARGETS)
def test_bits_of_the_dense_sums(target, dtype, case):
    check_bits(case, *gradients_behind(case, dtype), target)


@cases
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_products_by_zero_of_what_is_not_finite(value, case):
    x, filter, dy, residual, dz = gradients_behind(case, np.float32)
    for array in (x, filter, dy):
        if array.size == 0:
            continue
        spoiled = [a.copy() if a is array else a for a in (x, filter, dy)]
        next(b for a, b in zip((x, filter, dy), spoiled, strict=True) if a is array).flat[array.size // 2] = value
        if array is dy:  # where it went in the dense gradient
            dense = gradients_behind(case, np.float32)[4]
            dense[dz == dy.flat[dy.size // 2]] = value
        with np.errstate(invalid="ignore"):
            check_bits(case, spoiled[0], spoiled[1], spoiled[2], residual, dense if array is dy else dz, "")


@cases
def test_bits_do_not_depend_on_threads(case):
    x_shape, filter_shape, attrs = case
    x, filter, dy, residual, _ = gradients_behind(case, np.float32)
    check_threads(POOL_GRAD_PARAMS, (x, dy, residual), {"filter_shape": filter_shape, **attrs})
    check_threads(POOL_GRAD_INPUT, (dy, residual, filter), {"input_shape": x_shape, **attrs})


@pytest.mark.parametrize("dead", [True, False])
def test_a_gradient_that_nothing_or_everything_let_through(dead):
    case = CASES["second layer of a small net"]
    x, filter, dy, residual, dz = gradients_behind(case, np.float32)
    residual[:] = DEAD if dead else 3
    dz[:] = 0
    if not dead:
        dz[:, 1::2, 1::2] = dy
    check_bits(case, x, filter, dy, residual, dz, "")
