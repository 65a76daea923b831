"""Positions and blocks of pixels, against NumPy's indexing."""

import numpy as np
import pytest

import pynn as pn

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_gather_nd_is_numpys_indexing_and_scatter_nd_its_gradient(axes):
    x = RNG.normal(size=(3, 4, 2))
    positions = np.stack([RNG.integers(0, n, (5, 2)) for n in x.shape[:axes]], axis=-1)
    wanted = x[tuple(np.moveaxis(positions, -1, 0))]
    np.testing.assert_array_equal(pn.gather_nd(x, positions).numpy(), wanted)
    weight = RNG.normal(size=wanted.shape)
    gradient = pn.grad(lambda t: (pn.gather_nd(t, positions) * weight).sum())(x)
    np.testing.assert_allclose(pn.scatter_nd(positions, weight, x.shape).numpy(), gradient.numpy(), rtol=0, atol=1e-14)
    placed = np.zeros_like(x)
    np.add.at(placed, tuple(np.moveaxis(positions, -1, 0)), weight)
    np.testing.assert_allclose(gradient.numpy(), placed, rtol=0, atol=1e-14)


@pytest.mark.parametrize("positions", [[[0, 4]], [[-1, 2]], [[3, 0]]])
def test_positions_outside_are_refused(positions):
    for f in (lambda p: pn.gather_nd(np.zeros((3, 4)), p), lambda p: pn.scatter_nd(p, np.ones(1), (3, 4))):
        with pytest.raises(ValueError, match="out of range"):
            f(np.array(positions))
    with pytest.raises(ValueError, match=r"\[gather_nd\] .*last axis"):
        pn.gather_nd(np.zeros(3), np.array(positions))
    with pytest.raises(TypeError, match=r"\[gather_nd\] .*integers"):
        pn.gather_nd(np.zeros((3, 4)), np.array(positions) * 1.0)


def test_blocks_and_channels():
    x = np.arange(2 * 2 * 3 * 8).reshape(2, 2, 3, 8)
    y = pn.depth_to_space(x, 2).numpy()
    assert y.shape == (2, 4, 6, 2)
    np.testing.assert_array_equal(y[1, 2:4, 4:6].reshape(-1), x[1, 1, 2])
    np.testing.assert_array_equal(pn.space_to_depth(y, 2).numpy(), x)
    with pytest.raises(ValueError, match=r"\[depth_to_space\] .*multiple"):
        pn.depth_to_space(x, 3)
    with pytest.raises(ValueError, match=r"\[space_to_depth\] .*multiples"):
        pn.space_to_depth(x, 2)


@pytest.mark.parametrize(
    "shape, blocks, sides", [((1, 4, 3, 2), (2, 2), ((0, 0), (0, 1))), ((2, 5), (3,), ((1, 0),)), ((1, 2, 4, 6), (1, 2), ((0, 0), (2, 2)))]
)
def test_blocks_and_batch(shape, blocks, sides):
    x = RNG.normal(size=shape)
    y = pn.space_to_batch(x, blocks, sides).numpy()
    padded = np.pad(x, [(0, 0), *sides, *[(0, 0)] * (x.ndim - 1 - len(blocks))])
    for i, offset in enumerate(np.ndindex(*blocks)):
        part = padded[(slice(None), *(slice(o, None, b) for o, b in zip(offset, blocks, strict=True)))]
        np.testing.assert_array_equal(y[i * len(x) : (i + 1) * len(x)], part)
    np.testing.assert_array_equal(pn.batch_to_space(y, blocks, sides).numpy(), x)
    with pytest.raises(ValueError, match=r"\[batch_to_space\]"):
        pn.batch_to_space(y[:-1], blocks, sides)
    with pytest.raises(ValueError, match=r"\[space_to_batch\]"):
        pn.space_to_batch(x, blocks, sides[:-1])


def test_a_diagonal():
    np.testing.assert_array_equal(pn.diag([1.0, 2.0, 3.0]).numpy(), np.diag([1.0, 2.0, 3.0]))
    square = pn.diag(np.array([[1, 2], [3, 4]])).numpy()
    assert square.shape == (2, 2, 2, 2) and square.sum() == 10 and square[1, 0, 1, 0] == 3


@pytest.mark.parametrize("op", ["batch_to_space", "space_to_batch"])
@pytest.mark.parametrize(
    "blocks, sides, words",
    [
        ((0,), [(0, 0)], r"blocks must be at least 1 long.*\(0,\)"),
        ((-2, 2), [(0, 0), (0, 0)], "blocks must be at least 1 long"),
        ((2,), [(-1, 1)], r"none negative.*\[\(-1, 1\)\]"),
        ((2,), [(1,)], "pairs"),
    ],
)
def test_blocks_and_sides_that_make_no_sense(op, blocks, sides, words):
    with pytest.raises(ValueError, match=rf"\[{op}\] .*{words}"):
        getattr(pn, op)(np.zeros((4, 4, 4)), blocks, sides)


def test_crops_end_with_the_axis():
    x = np.zeros((4, 3, 5))
    assert pn.batch_to_space(x, (2,), [(2, 4)]).shape == (2, 0, 5)
    with pytest.raises(ValueError, match=r"\[batch_to_space\] .*cropped"):
        pn.batch_to_space(x, (2,), [(3, 4)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64, np.bool_])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_diagonal_of_every_dtype(dtype, length):
    x = np.arange(1, length + 1).astype(dtype)
    y = pn.diag(x)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.numpy(), np.diag(x))


def test_a_diagonal_keeps_infinities_and_nan_to_itself():
    x = np.array([1.0, np.inf, np.nan])
    np.testing.assert_array_equal(pn.diag(x).numpy(), np.diag(x))
    weight = RNG.normal(size=(3, 3))
    np.testing.assert_array_equal(pn.grad(lambda t: (pn.diag(t) * weight).sum())(x).numpy(), np.diag(weight))


def test_they_can_be_captured():
    x, positions = RNG.normal(size=(2, 2, 2, 4)), np.array([[0, 1], [1, 0]])

    def f(x):
        return pn.depth_to_space(x, 2), pn.gather_nd(x, positions), pn.space_to_batch(x, (2,), [(0, 0)]), pn.diag(x[0, 0, 0])

    for a, b in zip(pn.function(f)(pn.tensor(x)), f(pn.tensor(x)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
