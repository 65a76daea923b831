"""Pooling kernels against the definition, gradients, ties, messages."""

from __future__ import annotations

import numpy as np
import pytest
from op_checks import TARGETS, check_gradients, check_threads, check_values, native

from pynn.ops.pool import (
    AVERAGE_POOL2D,
    AVERAGE_POOL2D_GRAD,
    MAX_POOL2D,
    MAX_POOL2D_GRAD,
    MAX_POOL2D_TAKE,
    POOL_ATTRS,
    average_pool2d,
    max_pool2d,
)

OPS = [MAX_POOL2D, MAX_POOL2D_GRAD, MAX_POOL2D_TAKE, AVERAGE_POOL2D, AVERAGE_POOL2D_GRAD]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_values(op):
    check_values(op, tolerance=8)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_gradients(op):
    check_gradients(op)


def test_threads_give_the_same_bits():
    x = np.random.default_rng(0).normal(size=(9, 24, 24, 20)).astype(np.float32)
    attrs = {"pool_size": (3, 3), "strides": (2, 2), "padding": "same"}
    check_threads(MAX_POOL2D, (x,), attrs)
    check_threads(AVERAGE_POOL2D, (x,), attrs)
    y, argmax = native(MAX_POOL2D, (x,), attrs)
    check_threads(MAX_POOL2D_GRAD, (y, argmax), {"input_shape": x.shape, **attrs})
    check_threads(AVERAGE_POOL2D_GRAD, (y,), {"input_shape": x.shape, **attrs})


@pytest.mark.parametrize("target", TARGETS)
def test_the_first_of_equals_wins_and_nan_stays(target):
    x = np.zeros((1, 2, 4, 9), np.float32)
    x[0, 1, 2] = np.nan
    x[0, 1, 3] = 5
    y, argmax = native(MAX_POOL2D, (x,), POOL_ATTRS, target)
    assert (argmax[0, 0, 0] == 0).all() and (argmax[0, 0, 1] == 2).all() and np.isnan(y[0, 0, 1]).all()


def test_padding_never_wins_and_is_not_counted():
    x = np.full((1, 3, 3, 2), -4, np.float32)
    np.testing.assert_array_equal(max_pool2d(x, 2, padding="same").numpy(), -4)
    np.testing.assert_array_equal(average_pool2d(x, 2, padding="same").numpy(), -4)


def test_a_window_too_large_for_a_byte():
    x = np.arange(17 * 17, dtype=np.float32).reshape(1, 17, 17, 1)
    assert max_pool2d(x, 17).numpy().item() == 17 * 17 - 1


@pytest.mark.parametrize(
    ("shape", "attrs", "words"),
    [
        ((4, 4, 1), {}, "must have 4 axes"),
        ((1, 2, 2, 1), {"pool_size": 3}, "doesn't fit into the image"),
        ((1, 4, 4, 1), {"padding": ((2, 0), (0, 0))}, "padding must be smaller than the window"),
    ],
)
def test_messages(shape, attrs, words):
    with pytest.raises(ValueError, match=words):
        max_pool2d(np.zeros(shape, np.float32), **attrs)


@pytest.mark.parametrize("pool", [max_pool2d, average_pool2d])
@pytest.mark.parametrize("shape", [(1, 0, 4, 3), (1, 4, 0, 3)])
def test_an_image_without_pixels_is_an_error(pool, shape):
    with pytest.raises(ValueError, match="an image without pixels has no windows"):
        pool(np.ones(shape, np.float32), 2, padding=((1, 1), (1, 1)))
    assert pool(np.ones((0, 4, 4, 3), np.float32), 2).shape == (0, 2, 2, 3)


def test_a_window_whose_size_no_integer_holds():
    x = np.ones((1, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match=r"\[max_pool2d\] pool_size must be below 2\*\*31"):
        max_pool2d(x, 2**32, strides=1, padding="same")
    assert native(MAX_POOL2D, (x,), {"pool_size": (2**32, 2**32), "strides": (1, 1), "padding": "same"}) is None
