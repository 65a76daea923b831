"""The native executor: nothing allocated in a step, small problems by their shorter ways, failures that don't depend on threads."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels
from pynn.engine.op import REGISTRY, prepared
from pynn.program.replay import NativeReplay

native = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback has no executor in C++")


class _MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]


def heap_meter():
    """A function that gives the bytes of the C heap in use, mapped blocks included; None where the libc doesn't tell."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return None
    mallinfo2.restype = _MallInfo

    def in_use():
        info = mallinfo2()
        return info.uordblks + info.hblkhd

    in_use()
    return in_use


def training_step():
    rng = np.random.default_rng(0)
    w, b = pn.Variable(rng.normal(size=(6, 3)).astype(np.float32)), pn.Variable(np.zeros(3, np.float32))
    x, y = pn.tensor(rng.normal(size=(5, 6)).astype(np.float32)), pn.tensor(rng.normal(size=(5, 3)).astype(np.float32))

    @pn.function
    def step():
        cost, (dw, db) = pn.value_and_grads(lambda w, b: (pn.tanh(x @ w + b) - y).square().mean())(w, b)
        w.assign(w - 0.1 * dw)
        b.assign(b - 0.1 * db)
        return cost

    return step


@native
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc for the heap's size")
def test_steps_leave_nothing_on_the_heap():
    in_use = heap_meter()
    if in_use is None:
        pytest.skip("this libc doesn't tell the heap's size")
    step = training_step()
    pn.repeat(step, 10)
    replay = step.program().replay
    assert isinstance(replay, NativeReplay)
    context = replay.runner.acquire()
    for external, (kind, where) in enumerate(replay.externals):
        if kind == "output":
            context.bind(external, kernels.empty(replay.program.outputs[where].spec))
    replay.runner.bind_variables(context)
    context.run(10)
    before = in_use()
    context.run(20000)
    assert in_use() - before < 512


@native
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shapes", [((), ()), ((1,), ()), ((4, 1), ()), ((4, 3), (3,)), ((4, 3), (4, 1)), ((4, 1), (1, 3)), ((17, 5), (5,)), ((2, 3, 4), (3, 1))]
)
def test_small_broadcasts_have_the_values_of_large_ones(shapes, dtype):
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=s).astype(dtype) for s in shapes)

    def body(x, y):
        return pn.where(x > y, pn.tanh(x) * y + x, y - x), (x * y) > 0.0, pn.exp(y) * 2.0

    values = [t.numpy() for t in pn.function(body)(x, y)]
    tall = [np.broadcast_to(a, np.broadcast_shapes(x.shape, y.shape)) for a in (x, y)]
    repeated = [np.ascontiguousarray(np.broadcast_to(a, (700, *tall[0].shape))) for a in tall]
    wanted = [t.numpy()[5] for t in pn.function(body)(*repeated)]
    for got, want in zip(values[:2], wanted[:2], strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.broadcast_to(values[2], wanted[2].shape), wanted[2])


@native
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("shape, axis", [((), None), ((1,), 0), ((4, 1), None), ((5, 33), 1), ((5, 33), 0),
                                         ((3, 70), 0), ((2, 3, 4), (0, 2)),
                                         ((200, 3), 0), ((300,), 0), ((5000,), 0), ((0, 3), 1)])  # fmt: skip
def test_reductions_of_all_sizes(name, shape, axis):
    x = np.random.default_rng(2).normal(size=shape)
    got = getattr(pn, name)(pn.tensor(x), axis=axis).numpy()
    np.testing.assert_allclose(got, getattr(np, name)(x, axis=axis), rtol=1e-12, atol=1e-13)


@native
def test_the_lowest_failing_chunk_is_reported():
    op = REGISTRY["gather"] if "gather" in REGISTRY else REGISTRY["take"]
    table = np.zeros((10, 512), np.float32)
    indices = np.zeros(4096, np.int64)
    bad = {700: 11, 1500: 12, 4000: 13}
    for place, index in bad.items():
        indices[place] = index
    threads = pn.get_num_threads() if hasattr(pn, "get_num_threads") else kernels.num_threads()
    _, kernel = prepared(op, tuple(pn.tensor(a).spec for a in (table, indices)), op.complete({}))
    try:
        for count in (1, 2, 4):
            pn.set_num_threads(count)
            for _ in range(10):
                _, failure = kernel.run([table, indices])
                assert failure is not None and failure[1][0] == 11, count
    finally:
        pn.set_num_threads(threads)
