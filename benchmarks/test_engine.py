"""What there is around the kernels: an eager op, a call of a captured function, an instruction of the executor, a capture."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn

ONE = pn.tensor(np.ones(1, np.float32))


@pytest.mark.parametrize("name", ["add", "matmul", "reshape"])
def test_eager_op(name, benchmark):
    """One op on one element: all of it is overhead."""
    square = ONE.reshape(1, 1)
    calls = {
        "add": lambda: ONE + ONE,
        "matmul": lambda: pn.matmul(square, square),
        "reshape": lambda: pn.reshape(ONE, (1, 1)),
    }
    benchmark(calls[name])


def test_eager_gradient(benchmark):
    benchmark(pn.grad(lambda x: pn.sum(x * x)), ONE)


@pytest.mark.parametrize("inputs", [0, 1, 8])
def test_function_call(inputs, benchmark):
    """A captured function of some inputs that does next to nothing."""
    step = pn.function(lambda *xs: sum(xs[1:], xs[0]) if xs else ONE + ONE)
    operands = [ONE] * inputs
    step(*operands)
    benchmark(step, *operands)


@pytest.mark.parametrize("instructions", [1, 10, 100])
def test_executor(instructions, timed):
    """Nanoseconds an instruction: products of 1 x 1 matrices, each of which waits for what the one before has stored."""
    product = pn.function(lambda x: chain(x, instructions))
    x, steps = ONE.reshape(1, 1), 10_000 // instructions
    product(x)
    timed(lambda: pn.repeat(product, steps, x), count=instructions * steps)


def test_executor_apart(timed):
    """The same of sums of four numbers, none of which needs another."""
    four = pn.tensor(np.ones(4, np.float32))
    variables = [pn.Variable(pn.zeros(4)) for _ in range(100)]

    @pn.function
    def add(x):
        for variable in variables:
            variable.assign_add(x)

    add(four)
    timed(lambda: pn.repeat(add, 100, four), count=100 * len(variables))


@pytest.mark.parametrize("instructions", [1, 10, 100])
def test_capture(instructions, benchmark):
    """Tracing, planning and the first run of a function of so many ops."""
    x = ONE.reshape(1, 1)
    benchmark.pedantic(lambda step: step(x), setup=lambda: ((pn.function(lambda x: chain(x, instructions)),), {}), rounds=20)


def chain(x, length: int):
    """x to the power of `length` + 1, by products of matrices."""
    y = x
    for _ in range(length):
        y = pn.matmul(y, x)
    return y
