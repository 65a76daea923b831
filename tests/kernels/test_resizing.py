"""Images in another size, against the definition pixel by pixel in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import pynn as pn

FLAGS = [{}, {"align_corners": True}, {"half_pixel_centers": True}]
SIZES = [((4, 6), (8, 3)), ((5, 3), (1, 1)), ((1, 1), (3, 2)), ((3, 7), (3, 7)), ((7, 5), (4, 11))]


def place(i, old, new, align_corners=False, half_pixel_centers=False):
    if half_pixel_centers:
        return (i + 0.5) * old / new - 0.5
    return i * (old - 1) / (new - 1) if align_corners and new > 1 else i * old / new


def reference(x, size, nearest, **flags):
    y = np.zeros((len(x), *size, x.shape[3]))
    for i, j in itertools.product(*map(range, size)):
        r, c = (min(max(place(k, n, m, **flags), 0), n - 1) for k, n, m in zip((i, j), x.shape[1:3], size, strict=True))
        if nearest:
            r, c = (math.floor(v + 0.5 * any(flags.values())) for v in (r, c))
        top, left = math.floor(r), math.floor(c)
        bottom, right = math.ceil(r), math.ceil(c)
        above = x[:, top, left] * (1 - (c - left)) + x[:, top, right] * (c - left)
        below = x[:, bottom, left] * (1 - (c - left)) + x[:, bottom, right] * (c - left)
        y[:, i, j] = above * (1 - (r - top)) + below * (r - top)
    return y


@pytest.mark.parametrize("function", [pn.resize_bilinear, pn.resize_nearest_neighbor])
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_values_and_gradients(function, flags, old, new):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, *old, 3)), rng.normal(size=(2, *new, 3))
    nearest = function is pn.resize_nearest_neighbor
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-13)):
        y = function(x.astype(dtype), new, **flags)
        assert y.dtype == dtype
        np.testing.assert_allclose(y.numpy(), reference(x, new, nearest, **flags), rtol=0, atol=tolerance)
    dx = pn.grad(lambda x: (function(x, new, **flags) * weights).sum())(pn.tensor(x)).numpy()
    direction = rng.normal(size=x.shape)  # the function is linear
    np.testing.assert_allclose((dx * direction).sum(), (reference(direction, new, nearest, **flags) * weights).sum(), rtol=1e-10)


def test_dtypes_ranks_and_empty_batches():
    x = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    y = pn.resize_nearest_neighbor(x, (4, 3))
    assert y.dtype == np.uint8 and y.numpy()[..., 0].tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert pn.resize_bilinear(x, (3, 3)).dtype == np.float32 and pn.resize_bilinear(x, (3, 3)).shape == (3, 3, 1)
    for function in (pn.resize_bilinear, pn.resize_nearest_neighbor):
        assert function(np.ones((0, 2, 3, 1)), (4, 5)).shape == (0, 4, 5, 1)
        assert function(np.ones((1, 2, 3, 0)), (4, 5)).shape == (1, 4, 5, 0)
        captured = pn.function(lambda x, f=function: f(x, (5, 2)))
        np.testing.assert_array_equal(captured(x / 7).numpy(), function(x / 7, (5, 2)).numpy())


def test_nearest_pixels_are_copies():
    x = np.array([[[np.nan], [1.0], [np.inf]]])
    assert pn.resize_nearest_neighbor(x, (1, 6)).numpy().ravel().tolist()[2:] == [1.0, 1.0, np.inf, np.inf]
    layer = pn.layers.Resizing(1, 6, interpolation="nearest", dtype="float64")
    assert layer(x[None]).numpy().ravel().tolist()[2:] == [1.0, 1.0, np.inf, np.inf]


@pytest.mark.parametrize("name", ["resize_bilinear", "resize_nearest_neighbor"])
def test_what_cannot_be_resized(name):
    function = getattr(pn, name)
    for call, words in (
        (lambda: function(np.ones((4, 4)), (2, 2)), r"images\.shape=\(4, 4\).*images\[\.\.\., None\]"),
        (lambda: function(np.ones((1, 0, 4, 1)), (2, 2)), "one pixel at least"),
        (lambda: function(np.ones((1, 4, 4, 1)), (2, 0)), r"size=\(2, 0\)"),
        (lambda: function(np.ones((1, 4, 4, 1)), 2), r"size=\(2,\)"),
        (lambda: function(np.ones((1, 4, 4, 1)), (2, 2), True, True), "exclude each other"),
    ):
        with pytest.raises(ValueError, match=rf"\[{name}\] .*{words}"):
            call()
