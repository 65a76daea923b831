"""Calls of captured functions whose signature is known: they go past Python, and nobody can tell but by the clock."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections import namedtuple

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels
from pynn.errors import GuardTripped

native = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback looks at every call in Python")


def counted(python_function):
    """The captured function and a list that grows with every call that needs Python."""
    f = pn.function(python_function)
    seen = []
    plain = f.call_python

    def call_python(*args, **kwargs):
        seen.append(args)
        return plain(*args, **kwargs)

    f.call_python = call_python
    return f, seen


@native
def test_the_second_call_of_a_signature_needs_no_python():
    f, seen = counted(lambda x, rate=1.0: x * rate)
    x = pn.tensor([1.0, 2.0])
    for _ in range(3):
        assert f(x, 0.5).tolist() == [0.5, 1.0]
    assert len(seen) == 1
    assert f(x.numpy(), 2.0).tolist() == [2.0, 4.0]
    assert len(seen) == 1
    for _ in range(2):
        assert f(x, rate=3.0).tolist() == [3.0, 6.0]
    assert len(seen) == 2


@native
def test_another_signature_is_seen():
    f, seen = counted(lambda x, n=None: (x * 2, n))
    cases = [
        ((pn.ones((2,)),), (2,), "float32", None), ((pn.ones((3,)),), (3,), "float32", None), ((pn.ones((1, 2)),), (1, 2), "float32", None),
        ((pn.ones((2,), dtype="float64"),), (2,), "float64", None), ((pn.ones((2,)), 1), (2,), "float32", 1),
        ((pn.ones((2,)), True), (2,), "float32", True), ((pn.ones((2,)), "a"), (2,), "float32", "a"),
    ]  # fmt: skip
    for turn in range(2):
        for args, shape, dtype, n in cases:
            doubled, got = f(*args)
            assert (doubled.shape, doubled.dtype, got) == (shape, dtype, n) and type(got) is type(n)
            assert (doubled.numpy() == 2).all()
        assert len(seen) == len(cases), turn


@native
@pytest.mark.parametrize("value", [np.float32(3.0), np.float64(3.0), np.arange(6.0)[::2], [np.ones(2)], {"a": 1.0}, 1e39])
def test_what_has_to_be_converted_goes_by_python(value):
    first = (lambda v: v["a"]) if isinstance(value, dict) else (lambda v: v[0]) if isinstance(value, list) else (lambda v: v)
    f, _ = counted(lambda v: first(v) * 1.0)
    wanted = np.asarray(first(value))
    with np.errstate(over="ignore"):
        for _ in range(3):
            result = f(value).numpy()
            np.testing.assert_array_equal(result, wanted.astype(result.dtype))


@native
def test_structures_of_arguments_and_results():
    pair = namedtuple("pair", "a b")

    def body(items, flag, *, scale):
        x, (y, how) = items
        z = (x + y) * scale if flag else x
        return {"z": z, "rest": [pair(y * 2, how), None, (3, z - 1)]}

    f, seen = counted(body)
    x, y = pn.ones((2,)), pn.tensor([2.0, 3.0])
    for _ in range(3):
        result = f([x, (y, "how")], True, scale=2.0)
        assert result["z"].tolist() == [6.0, 8.0]
        rest = result["rest"]
        assert isinstance(rest, list) and isinstance(rest[0], pair) and rest[0].a.tolist() == [4.0, 6.0] and rest[0].b == "how"
        assert rest[1] is None and rest[2][0] == 3 and rest[2][1].tolist() == [5.0, 7.0]
    assert len(seen) == 1
    f((x, (y, "how")), True, scale=2.0)
    f([x, (y, "other")], True, scale=2.0)
    f([x, (y, "how"), 1][:2], True, scale=2.0)
    assert len(seen) == 3


@native
def test_under_a_tape_and_in_a_capture_it_is_still_plain_python():
    f, _ = counted(lambda x: x**3)
    f(2.0), f(2.0)
    assert float(pn.grad(f)(2.0)) == pytest.approx(12.0)
    assert float(pn.function(lambda x: f(x) + 1)(2.0)) == 9.0
    assert float(f(2.0)) == 8.0


@native
def test_variables_that_moved_are_found():
    v = pn.Variable([1.0, 2.0])
    f, seen = counted(lambda x: v.assign_add(x))
    x = pn.ones((2,))
    kept = []
    for _ in range(4):
        f(x)
        kept.append(v.value)  # its memory is taken: the next step goes to another
    v.assign([10.0, 20.0])
    f(x)
    assert [t.tolist() for t in kept] == [[2.0, 3.0], [3.0, 4.0], [4.0, 5.0], [5.0, 6.0]]
    assert v.numpy().tolist() == [11.0, 21.0] and len(seen) == 1
    f(v.value)
    assert v.numpy().tolist() == [22.0, 42.0]


@native
def test_results_have_memory_of_their_own():
    f, seen = counted(lambda x: x + 1.0)
    results = [f(pn.tensor([float(i)])) for i in range(50)]
    assert [float(r[0]) for r in results] == [i + 1.0 for i in range(50)] and len(seen) == 1
    array = results[0].numpy()
    assert not array.flags.writeable and array.ctypes.data % 64 == 0
    assert not results[0].is_abstract and results[0].mask is None and results[0].exact is None and results[0].source == ""
    view = array[:]
    del results, array
    gc.collect()
    again = [f(pn.tensor([float(i)])) for i in range(50)]
    assert view.tolist() == [1.0] and len(again) == 50


@native
def test_a_failing_call_raises_and_the_next_one_works():
    v = pn.Variable(1.0)

    def body(x):
        from pynn.ops.guard import guard_finite

        new = v / x
        guard_finite(new, label=3)
        v.assign(new)

    f, seen = counted(body)
    f(pn.tensor(2.0))
    for _ in range(3):
        with pytest.raises(GuardTripped):
            f(pn.tensor(0.0))
    f(pn.tensor(0.5))
    assert float(v) == 1.0 and len(seen) == 1


def python_op(name, fallback):
    from pynn.engine.apply import apply
    from pynn.engine.op import define

    op = define(name, inputs=("x",), infer=lambda x: x, fallback=fallback)
    return lambda x: apply(op, x)


@native
def test_an_error_in_a_step_that_calls_python(request):
    from pynn.engine.op import REGISTRY

    def fallback(x):
        if x[0] < 0:
            raise KeyError("below zero")
        return x * 2

    request.addfinalizer(lambda: REGISTRY.pop("calls_python"))
    double = python_op("calls_python", fallback)
    f, seen = counted(lambda x: double(x) + 1.0)
    assert f(pn.ones((1,))).tolist() == [3.0]
    for _ in range(3):
        with pytest.raises(KeyError, match="below zero"):
            f(-pn.ones((1,)))
        assert f(pn.ones((1,))).tolist() == [3.0]
    assert len(seen) == 1


@native
def test_a_call_inside_a_call_of_the_same_function(request):
    from pynn.engine.op import REGISTRY

    request.addfinalizer(lambda: REGISTRY.pop("calls_again"))
    again = python_op("calls_again", lambda x: f(pn.tensor(x - 1)).numpy() if x[0] > 0 else x)
    f, _ = counted(lambda x: again(x) + 1.0)
    assert [f(pn.tensor([3.0])).tolist() for _ in range(3)] == [[4.0]] * 3


@native
def test_threads_share_a_function(in_threads):
    weight = pn.tensor(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32))
    f, seen = counted(lambda x: pn.tanh(x @ weight) @ weight)
    inputs = [pn.tensor(np.full((96, 64), i, np.float32)) for i in range(4)]
    wanted = [f(x).numpy() for x in inputs]
    wrong = []

    def work(i):
        for _ in range(40):
            if not np.array_equal(f(inputs[i]).numpy(), wanted[i]):
                wrong.append(i)

    in_threads(work)
    assert not wrong and len(seen) == 1


@native
def test_the_least_recently_called_program_makes_room():
    f, seen = counted(lambda n: pn.ones((n,)) * 2)
    with pytest.warns(UserWarning, match="captured 8 times"):
        for n in range(1, 17):
            f(n)
    for _ in range(3):
        f(1)
    del seen[:]
    f(17)
    f(1)
    assert len(seen) == 1
    assert f(2).shape == (2,) and len(seen) == 2


def test_functions_are_collected():
    class Owner:
        def __init__(self):
            self.step = pn.function(lambda owner, x: (x + 1.0, owner))

    owner = Owner()
    for _ in range(2):
        owner.step(owner, pn.ones((2,)))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


@native
def test_calls_leave_nothing_behind():
    v = pn.Variable(np.zeros(8, np.float32))

    @pn.function
    def step(x, rate):
        v.assign(v + x * rate)
        return v.value, {"x": x * 2}

    x, array, text = pn.ones((8,)), np.ones(8, np.float32), "static"
    f = pn.function(lambda x, how: (x + 1, [how]))

    def calls():
        for _ in range(200):
            step(x, 0.5)
            step(array, 0.25)
            f(x, text)

    calls()
    tracemalloc.start()
    calls()
    before, counts = tracemalloc.get_traced_memory()[0], [sys.getrefcount(o) for o in (x, array, text, x.data, None.__class__)]
    for _ in range(5):
        calls()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert counts == [sys.getrefcount(o) for o in (x, array, text, x.data, None.__class__)]
    assert after - before < 4096
