"""The ops that `test_kernels.py` measures: a case is an op with operands of one size, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import pynn as pn

from .contestants import workloads

SIZES = (1, 17, 1000, 65_536, 4_194_304)
MATRICES = ((1, 1), (7, 13), (128, 10), (128, 1000), (4096, 1024))


@dataclass(frozen=True)
class Operand:
    """An array that is made when it is needed: float32 normal times `scale`, or int32 below `high`, or zeros."""

    shape: tuple[int, ...]
    scale: float = 1
    high: int = 0
    is_positive: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def make(self) -> np.ndarray:
        """The array, the same every time."""
        random = np.random.default_rng(0)
        if self.high:
            return random.integers(0, self.high, self.shape).astype(np.int32 if self.shape else np.int64)  # a scalar counts draws
        x = random.standard_normal(self.shape, dtype=np.float32) * np.float32(self.scale)
        return np.abs(x) + np.float32(0.5) if self.is_positive else x


@dataclass(frozen=True)
class KernelCase:
    """`f(*operands)` -> a tensor. `wrt` counts the leading operands that a gradient is wanted for; `flops` are the forward pass's."""

    name: str
    f: Callable
    operands: tuple[Operand, ...]
    flops: float = 0
    wrt: int = 1


def normal(*shape: int, scale: float = 1) -> Operand:
    return Operand(shape, scale)


def positive(*shape: int) -> Operand:
    return Operand(shape, is_positive=True)


def integers(high: int, *shape: int) -> Operand:
    return Operand(shape, high=high)


def elementwise() -> Iterator[KernelCase]:
    """One cheap op, one with a division, the transcendental ones, and a chain that is fused."""
    for n in SIZES:
        for name in ("relu", "exp", "log", "sin", "tanh", "sigmoid", "gelu", "sqrt"):
            yield KernelCase(f"{name}-{n}", getattr(pn, name), (positive(n),))
        for name in ("add", "divide", "maximum", "power"):
            yield KernelCase(f"{name}-{n}", getattr(pn, name), (positive(n), positive(n)), wrt=2)
        yield KernelCase(f"where-{n}", lambda x, y: pn.where(x > y, x, y), (normal(n), positive(n)), wrt=2)
        yield KernelCase(f"chain_of_6-{n}", lambda x, y: pn.tanh(x * y + 1) * pn.relu(x) - y, (normal(n), normal(n)), wrt=2)
        yield KernelCase(f"cast_i32-{n}", lambda x: pn.cast(x, "int32"), (normal(n),), wrt=0)


def reductions() -> Iterator[KernelCase]:
    for n in SIZES:
        yield KernelCase(f"sum_all-{n}", pn.sum, (normal(n),))
        yield KernelCase(f"max_all-{n}", pn.max, (normal(n),))
    for rows, columns in MATRICES:
        for name in ("sum", "max", "mean"):
            for axis in (0, 1):
                reduce = getattr(pn, name)
                yield KernelCase(f"{name}_axis{axis}-{rows}x{columns}", lambda x, r=reduce, a=axis: r(x, axis=a), (normal(rows, columns),))
        yield KernelCase(f"argmax-{rows}x{columns}", lambda x: pn.argmax(x, axis=1), (normal(rows, columns),), wrt=0)
        yield KernelCase(f"cumsum-{rows}x{columns}", lambda x: pn.cumsum(x, axis=1), (normal(rows, columns),))
        yield KernelCase(f"cumprod-{rows}x{columns}", lambda x: pn.cumprod(x, axis=1), (positive(rows, columns),))
        yield KernelCase(f"count-{rows}x{columns}", lambda x: pn.sum(x > 0.0), (normal(rows, columns),), wrt=0)


def rows_of_logits() -> Iterator[KernelCase]:
    for rows, classes in MATRICES:
        x, labels = normal(rows, classes), integers(classes, rows)
        yield KernelCase(f"softmax-{rows}x{classes}", pn.softmax, (x,))
        yield KernelCase(f"log_softmax-{rows}x{classes}", pn.log_softmax, (x,))
        yield KernelCase(f"sparse_softmax_cross_entropy-{rows}x{classes}", pn.sparse_softmax_cross_entropy, (x, labels))
        yield KernelCase(f"layer_norm-{rows}x{classes}", lambda x: pn.layer_norm(x), (x,))
        yield KernelCase(f"batch_norm-{rows}x{classes}", lambda x: pn.batch_norm(x)[0], (x,))


def products() -> Iterator[KernelCase]:
    shapes = [(1, 1, 1), (1, 784, 128), (7, 13, 5), (16, 16, 16), (32, 784, 128), (128, 128, 128), (256, 256, 256), (1024, 1024, 1024)]
    for m, k, n in shapes:
        flops = workloads.MatMul(m, k, n).flops("nn")
        yield KernelCase(f"matmul-{m}x{k}x{n}", pn.matmul, (normal(m, k), normal(k, n)), flops, wrt=2)
        relu = lambda a, b, c: pn.linear(a, b, c, activation="relu")  # noqa: E731
        yield KernelCase(f"linear_relu-{m}x{k}x{n}", relu, (normal(m, k), normal(k, n), normal(n)), flops, wrt=3)


def convolutions() -> Iterator[KernelCase]:
    one = workloads.Conv(1, 3, 1, 3, 1, padding="valid")
    for name, row in {"one_value": one, **workloads.GROUPS["conv"]}.items():
        groups = row.in_channels if row.depthwise else 1
        x = normal(row.batch, row.size, row.size, row.in_channels)
        w = normal(row.kernel, row.kernel, row.in_channels // groups, row.filters)

        def f(x, w, row=row, groups=groups):
            return pn.conv2d(x, w, strides=row.stride, padding=row.padding, groups=groups)

        yield KernelCase(f"conv2d-{name.removeprefix('conv_')}", f, (x, w), row.flops("fwd"), wrt=2)
    for batch, size, channels in ((1, 2, 1), (8, 7, 5), (128, 26, 32)):
        x = normal(batch, size, size, channels)
        yield KernelCase(f"max_pool2d-{batch}x{size}x{channels}", pn.max_pool2d, (x,))
        yield KernelCase(f"average_pool2d-{batch}x{size}x{channels}", pn.average_pool2d, (x,))


def sequences() -> Iterator[KernelCase]:
    one = {f"{cell}_1x1x1x1": workloads.Recurrent(cell, 1, 1, 1, 1) for cell in ("lstm", "gru")}
    for name, row in {**one, **workloads.GROUPS["recurrent"]}.items():
        gates, layer = (4, pn.lstm) if row.cell == "lstm" else (3, pn.gru)
        bias = normal(*((gates * row.units,) if row.cell == "lstm" else (2, gates * row.units)))
        weights = normal(row.inputs, gates * row.units, scale=0.1), normal(row.units, gates * row.units, scale=0.1), bias
        f = lambda *operands, layer=layer: layer(*operands)[0]  # noqa: E731
        yield KernelCase(name.replace("_", "-", 1), f, (normal(row.batch, row.steps, row.inputs), *weights), row.flops("fwd"), wrt=4)
    operands = normal(32, 28, 28), normal(28, 64, scale=0.1), normal(64, 64, scale=0.1), normal(64)
    yield KernelCase("simple_rnn-32x28x28x64", lambda *operands: pn.simple_rnn(*operands)[0], operands, 2 * 32 * 28 * 92 * 64, wrt=4)


def movements() -> Iterator[KernelCase]:
    """Ops that only move data."""
    for rows, columns in MATRICES:
        x, size = normal(rows, columns), f"{rows}x{columns}"
        yield KernelCase(f"transpose-{size}", pn.transpose, (x,))
        yield KernelCase(f"concat-{size}", lambda x, y: pn.concat([x, y], axis=1), (x, x), wrt=2)
        yield KernelCase(f"pad-{size}", lambda x: pn.pad(x, ((1, 1), (1, 1))), (x,))
        yield KernelCase(f"slice-{size}", lambda x: x[:, : (x.shape[1] + 1) // 2], (x,))
        yield KernelCase(f"flip-{size}", lambda x: pn.flip(x, 1), (x,))
        yield KernelCase(f"broadcast_add-{size}", pn.add, (x, normal(columns)), wrt=2)
        yield KernelCase(f"take-{size}", lambda x, i: pn.take(x, i, axis=0), (x, integers(rows, rows)))
        yield KernelCase(f"embedding-{size}", pn.embedding, (x, integers(rows, 64)))
        yield KernelCase(f"one_hot-{size}", lambda i, n=columns: pn.one_hot(i, n), (integers(columns, rows),), wrt=0)


def randomness() -> Iterator[KernelCase]:
    counter = integers(1)
    for n in SIZES:
        yield KernelCase(f"dropout-{n}", lambda x, c: pn.dropout(x, c, rate=0.5), (normal(n), counter))
        yield KernelCase(f"random_normal-{n}", lambda c, n=n: pn.ops.random_normal(c, (n,)), (counter,), wrt=0)
        yield KernelCase(f"random_uniform-{n}", lambda c, n=n: pn.ops.random_uniform(c, (n,)), (counter,), wrt=0)


def updates() -> Iterator[KernelCase]:
    for n in SIZES:
        w, rate = normal(n), normal(scale=1e-3)
        yield KernelCase(f"sgd_update-{n}", lambda w, g, rate: pn.sgd_update(w, g, rate), (w, w, rate), wrt=0)
        adam = lambda w, m, v, g, rate: pn.adam_update(w, m, v, g, rate)[0]  # noqa: E731
        yield KernelCase(f"adam_update-{n}", adam, (w, w, positive(n), w, rate), wrt=0)


FAMILIES = (elementwise, reductions, rows_of_logits, products, convolutions, sequences, movements, randomness, updates)
