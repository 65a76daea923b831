"""Programs drawn at random: a captured function gives the bits of the eager one, twice in a row, with the same variables after it."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels

SHAPE = (4, 6)
UNARY = (pn.tanh, pn.abs, pn.square, pn.sigmoid, pn.relu, pn.negative, lambda x: pn.sqrt(pn.abs(x)), lambda x: pn.clip(x, -0.5, 2.0))
BINARY = (pn.add, pn.subtract, pn.multiply, pn.maximum, lambda x, y: x / (pn.abs(y) + 1.0))
COMPARISONS = (pn.less, pn.less_equal, pn.greater, pn.equal, pn.not_equal)
LOGIC = (pn.logical_and, pn.logical_or, lambda a, b: pn.logical_not(a))


class Draw:
    """The values that a program has made so far, and the calls that make more of them. Equal seeds make equal programs."""

    def __init__(self, seed: int, x, row, labels, variable):
        self.rng = np.random.default_rng(seed)
        self.variable = variable
        self.floats, self.bools, self.integers = [x, row, x.sum(1, keepdims=True)], [x > 0.0], [labels]

    def one(self, of):
        return of[self.rng.integers(len(of))]

    def unary(self):
        self.floats.append(self.one(UNARY)(self.one(self.floats)))

    def binary(self):
        self.floats.append(self.one(BINARY)(self.one(self.floats), self.one([*self.floats, 0.75])))

    def compare(self):
        self.bools.append(self.one(COMPARISONS)(self.one(self.floats), self.one([*self.floats, 0.25])))

    def logic(self):
        self.bools.append(self.one(LOGIC)(self.one(self.bools), self.one(self.bools)))

    def choose(self):
        self.floats.append(pn.where(self.one(self.bools), self.one(self.floats), self.one([*self.floats, 0.0])))

    def cast(self):
        self.floats.append(pn.cast(self.one([*self.bools, *self.integers]), "float32"))

    def cast_back(self):
        self.integers.append(pn.cast(pn.clip(self.one(self.floats), -9.0, 9.0), self.one(["int32", "int64", "uint8"])))

    def count(self):
        self.integers.append(pn.sum(self.one([*self.bools, *self.integers]), self.one([0, 1]), keepdims=True))

    def reduce(self):
        self.floats.append(self.one([pn.sum, pn.max, pn.mean])(self.one(self.floats), -1, keepdims=True))

    def widen(self):
        self.floats.append(pn.cast(pn.cast(self.one(self.floats), "float64") * 0.5, "float32"))

    def assign(self):
        self.variable.assign(self.one(self.floats) + pn.zeros(SHAPE))
        self.floats.append(self.variable.value)

    def gradient(self):
        a, mask = self.one(self.floats), self.one(self.bools)
        self.floats.append(pn.grad(lambda t: pn.where(mask, t * 0.5, pn.tanh(t)).sum())(a))


KINDS = (
    *(Draw.unary, Draw.binary, Draw.compare, Draw.choose) * 3,
    *(Draw.logic, Draw.cast, Draw.cast_back, Draw.count, Draw.reduce, Draw.widen, Draw.assign, Draw.gradient),
)


def program(seed: int, variable):
    def body(x, row, labels):
        draw = Draw(seed, x, row, labels, variable)
        for _ in range(draw.rng.integers(5, 40)):
            draw.one(KINDS)(draw)
        kept = [draw.one(draw.floats), draw.one(draw.bools), draw.one(draw.integers), draw.floats[-1]]
        return kept[: draw.rng.integers(1, 5)]

    return body


def variable():
    return pn.Variable(np.linspace(-1, 1, 24, dtype=np.float32).reshape(SHAPE))


@pytest.mark.parametrize("seed", range(150))
def test_captured_equals_eager(seed):
    rng = np.random.default_rng(seed)
    x, row = rng.normal(size=SHAPE).astype(np.float32), rng.normal(size=(1, 6)).astype(np.float32)
    operands = x, row, rng.integers(0, 5, SHAPE).astype(np.int32)
    first, second = variable(), variable()
    eager, captured = program(seed, first), pn.function(program(seed, second))
    compare = np.testing.assert_array_equal if kernels.native_enabled() else np.testing.assert_allclose
    for _ in range(2):
        wanted, found = eager(*(pn.tensor(t) for t in operands)), captured(*operands)
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == b.dtype
            compare(a.numpy(), b.numpy())
        compare(second.numpy(), first.numpy())
