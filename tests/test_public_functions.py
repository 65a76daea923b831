"""Public functions whose calls, once they have come often enough, go past Python: they give what they gave before."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import weakref

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels, public
from pynn.engine.operators import Operators
from pynn.engine.public import MOST_SIGNATURES, PublicFunction, Signature
from pynn.engine.tensor import Tensor

needs_native = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback always goes through Python")
ENOUGH = 2 * public.LOOKED_AT * public.SIGHTINGS


@pytest.fixture(autouse=True)
def _nothing_served():
    """What other tests have called is forgotten."""
    for function in (*vars(pn.ops).values(), *vars(Operators).values()):
        if isinstance(function, PublicFunction):
            function.forget_all()


def values(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(np.float32)


X, Y, B = pn.tensor(values(4, 3)), pn.tensor(values(4, 3, seed=1)), pn.tensor(values(3))
INDICES = pn.tensor([2, 0, 2], "int32")

CALLS = {
    "add": lambda: pn.add(X, Y),
    "add_same": lambda: pn.add(X, X),
    "subtract": lambda: X - B,
    "multiply": lambda: 2.5 * X,
    "divide": lambda: X / 3,
    "power": lambda: X**2,
    "matmul": lambda: pn.matmul(X, Y, transpose_b=True),
    "negative": lambda: -X,
    "greater": lambda: X > 0.5,
    "logical_and": lambda: (X > 0.2) & (Y > 0.2),
    "exp": lambda: pn.exp(X),
    "relu": lambda: pn.relu(X - 0.5),
    "leaky_relu": lambda: pn.leaky_relu(X - 0.5, 0.1),
    "clip": lambda: X.clip(0.3, 0.6),
    "where": lambda: pn.where(X > Y, X, 0.0),
    "sum": lambda: X.sum(),
    "mean": lambda: pn.mean(X, axis=0, keepdims=True),
    "max": lambda: X.max(axis=-1),
    "argmax": lambda: pn.argmax(X, axis=1),
    "logsumexp": lambda: pn.logsumexp(X, 1),
    "norm": lambda: pn.norm(X),
    "std": lambda: pn.std(X, axis=(0, 1)),
    "cumsum": lambda: pn.cumsum(X, axis=1),
    "reshape": lambda: pn.reshape(X, (2, -1)),
    "transpose": lambda: X.T,
    "expand_dims": lambda: X.expand_dims(1),
    "concat": lambda: pn.concat([X, Y], axis=1),
    "stack": lambda: pn.stack((X, Y)),
    "tile": lambda: pn.tile(X, (2, 1)),
    "pad": lambda: pn.pad(X, [[1, 0], [0, 2]], 1.5),
    "take": lambda: pn.take(X, INDICES),
    "one_hot": lambda: pn.one_hot(INDICES, 4),
    "cast": lambda: pn.cast(X * 10, "int32"),
    "softmax": lambda: pn.softmax(X),
    "softmax_columns": lambda: pn.softmax(X, axis=0),
    "sigmoid": lambda: pn.sigmoid(X),
    "getitem_row": lambda: X[1],
    "getitem_last": lambda: X[..., -1],
    "getitem_slices": lambda: X[1:3, ::2],
    "getitem_axis": lambda: X[None, :, 0],
    "getitem_taken": lambda: X[INDICES],
    "zeros": lambda: pn.zeros((2, 3)),
    "ones_like": lambda: pn.ones_like(X),
    "linspace": lambda: pn.linspace(0.0, 1.0, 5),
    "random_normal": lambda: pn.ops.random_normal(7, (5,), key0=3),
    "einsum": lambda: pn.einsum("ij,kj->ik", X, Y),
    "layer_norm": lambda: pn.layer_norm(X, B, B),
    "in_words": lambda: pn.mean(x=X, axis=1),
}
# Calls that keep their way: their results are operands, or values decide.
UNSERVED = {
    "same_dtype": lambda: X.astype("float32"),
    "whole": lambda: pn.flip(X, axis=()),
    "array": lambda: X + values(4, 3),
    "numpy_number": lambda: X + np.float32(2),
    "bound_by_a_tensor": lambda: X[: pn.tensor(2)],
}


def bits(result):
    if isinstance(result, (list, tuple)):
        return [bits(r) for r in result]
    assert type(result) is Tensor
    return result.shape, result.dtype, result.numpy().tobytes()


@pytest.mark.parametrize("name", CALLS)
def test_the_hundredth_call_gives_the_bits_of_the_first(name):
    first = bits(CALLS[name]())
    for _ in range(ENOUGH):
        result = CALLS[name]()
    assert bits(result) == first
    assert not result.numpy().flags.writeable


@needs_native
@pytest.mark.parametrize("name", CALLS)
def test_calls_are_served(name, monkeypatch):
    for _ in range(ENOUGH):
        CALLS[name]()
    asked = []
    monkeypatch.setattr(PublicFunction, "call_python", lambda self, *args, **kwargs: asked.append(self))
    result = CALLS[name]()
    assert isinstance(result, Tensor) and not asked


@pytest.mark.parametrize("name", UNSERVED)
def test_other_calls_are_not(name):
    first = bits(UNSERVED[name]())
    for _ in range(ENOUGH):
        result = UNSERVED[name]()
    assert bits(result) == first
    assert not any(f.served() for f in (pn.ops.astype, pn.ops.flip, Tensor.__add__, Tensor.__mul__, Tensor.__getitem__))


def test_lists_of_results():
    for _ in range(ENOUGH):
        rows, halves = pn.unstack(X), pn.split(X, 2)
    assert [r.tolist() for r in rows] == X.tolist()
    assert bits(pn.concat(halves)) == bits(X)


def test_results_that_know_their_logits_still_do():
    for _ in range(ENOUGH):
        y, p = pn.sigmoid(X), pn.softmax(X)
    assert y.logits is X and p.logits is X


def test_a_function_that_gives_its_operand_gives_that_very_object():
    for _ in range(ENOUGH):
        assert X.astype("float32") is X


def test_variables_are_read_when_they_are_operands():
    v = pn.Variable([1.0, 2.0])
    for i in range(ENOUGH):
        assert (v + 1.0).tolist() == [2.0 + i, 3.0 + i]
        v.assign_add(pn.ones((2,)))
    held = v + 0.0
    v.assign([0.0, 0.0])
    assert held.tolist() == [1.0 + ENOUGH, 2.0 + ENOUGH] and (v + 0.0).tolist() == [0.0, 0.0]


def test_operands_are_not_kept_alive():
    v, function = pn.Variable([1.0, 2.0]), pn.ops.add
    for _ in range(ENOUGH):
        function(v, v)
    gone = weakref.ref(v)
    del v
    gc.collect()
    assert gone() is None and function.served() == int(kernels.native_enabled())


@pytest.mark.parametrize("first, second", [(0.0, -0.0), (1, 1.0), (1, True), (float("nan"), 2.0), (2, 3), ("float32", "int32")], ids=repr)
def test_python_values_are_told_apart(first, second):
    def call(value):
        return pn.cast(X, value) if isinstance(value, str) else pn.divide(X, value)

    wanted = [bits(call(first)), bits(call(second))]
    for _ in range(ENOUGH):
        call(first)
    assert [bits(call(first)), bits(call(second))] == wanted
    for _ in range(ENOUGH):
        call(second)
    assert [bits(call(first)), bits(call(second))] == wanted


def test_shapes_dtypes_and_keywords_are_told_apart():
    operands = [X, Y[:2], X.astype("float64"), (X * 10).astype("int32"), B, pn.zeros((0, 3))]
    wanted = [[bits(pn.sum(x)), bits(pn.sum(x, axis=0)), bits(pn.sum(x, keepdims=True))] for x in operands]
    for _ in range(ENOUGH):
        got = [[bits(pn.sum(x)), bits(pn.sum(x, axis=0)), bits(pn.sum(x, keepdims=True))] for x in operands]
    assert got == wanted


def test_indices_are_told_apart():
    for _ in range(ENOUGH):
        assert X[1].shape == (3,) and X[1:2].shape == (1, 3) and X[1:3].shape == (2, 3)
    with pytest.raises(TypeError, match="getitem"):
        X[True]
    for stop in (1, 2, 3):
        assert X[1 : pn.tensor(stop)].shape == (stop - 1, 3)
    with pytest.raises(IndexError, match="out of range"):
        X[4]


def test_comparisons_with_what_is_no_number():
    for _ in range(ENOUGH):
        assert (X == None) is False and (X != "x") is True  # noqa: E711
    with pytest.raises(TypeError, match="unsupported operand"):
        X + None


def test_gradients_and_captures_see_every_call():
    for _ in range(ENOUGH):
        pn.exp(X * 2.0).sum()
    (dx,) = pn.grads(lambda x: pn.exp(x * 2.0).sum())(X)
    np.testing.assert_allclose(dx, 2 * np.exp(2 * X.numpy()), rtol=1e-6)
    f = pn.function(lambda x: pn.exp(x * 2.0).sum())
    assert bits(f(X)) == bits(pn.exp(X * 2.0).sum())
    assert [node.op.name for node in f.program(X).nodes] != []


def test_errors_stay_as_they_are():
    far = pn.tensor([2, 99, 0], "int32")
    with pytest.raises(ValueError, match="99") as before:
        pn.take(X, far)
    for _ in range(ENOUGH):
        pn.take(X, INDICES)
    with pytest.raises(type(before.value)) as after:
        pn.take(X, far)
    assert str(after.value) == str(before.value)
    with pytest.raises(ValueError, match="broadcast"):
        pn.add(X, pn.ones((5,)))


def test_settings_are_read_in_each_call():
    x, w = pn.tensor(values(1, 14, 14, 32)), pn.tensor(values(3, 3, 32, 32, seed=2))
    with_winograd = bits(pn.conv2d(x, w))
    for _ in range(ENOUGH):
        pn.conv2d(x, w)
    pn.set_winograd(False)
    try:
        without = bits(pn.conv2d(x, w))
        assert without == bits(pn.conv2d(x, w, winograd=False))
    finally:
        pn.set_winograd(True)
    assert bits(pn.conv2d(x, w)) == with_winograd


@needs_native
def test_large_operands_and_results_are_left_to_python():
    large = pn.zeros((public.MOST_BYTES // 4 + 1,))
    for _ in range(ENOUGH):
        pn.negative(large)
        pn.zeros((public.MOST_BYTES // 4 + 1,))
        pn.ones((public.MOST_KEPT_BYTES // 4 + 1,))  # a constant, which would stay in memory
        pn.tile(X, (public.MOST_BYTES // 16, 1))
    assert not pn.ops.negative.served() and not pn.ops.zeros.served() and not pn.ops.tile.served() and not pn.ops.ones.served()


@needs_native
def test_more_signatures_than_are_served_start_anew():
    for n in range(1, MOST_SIGNATURES + 4):
        for _ in range(public.LOOKED_AT * public.SIGHTINGS):
            pn.negative(pn.ones((n,)))
        assert 0 < pn.ops.negative.served() <= MOST_SIGNATURES
    assert pn.ops.negative.served() < 8
    assert pn.negative(pn.ones((2,))).tolist() == [-1, -1]


def test_threads_call_the_same_functions(in_threads):
    wrong = []

    def work(i):
        x = pn.full((3 + i,), float(i))
        for _ in range(300):
            if (x * 2.0 + 1.0).tolist() != [2.0 * i + 1] * (3 + i):
                wrong.append(i)

    in_threads(work)
    assert not wrong


def test_they_look_like_functions():
    assert pn.exp.__name__ == "exp" and repr(pn.exp) == "<function pynn.ops.exp>"
    assert inspect.signature(pn.mean).parameters["axis"].default is None
    assert inspect.isroutine(pn.exp) and "power" in inspect.getdoc(pn.exp)
    assert pickle.loads(pickle.dumps(pn.exp)) is pn.exp and copy.deepcopy(pn.exp) is pn.exp

    class Layer:
        activation = pn.relu

    assert Layer().activation is not pn.relu and Layer.activation is pn.relu  # bound, as functions are
    assert Tensor.__add__.__name__ == "__add__" and Tensor.sum is pn.sum


ODD = [object(), {1, 2}, np.ones(3), np.float32(1), slice(0.5), slice(None, pn.tensor(1)), [object()]]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_signatures_refuse_what_only_python_can_look_at(value):
    with pytest.raises(LookupError):
        Signature().of(value)
