"""Gradients of eager functions whose calls need no Python any more: they are what Python's tape gives, bit for bit."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import pynn as pn
from pynn.engine import call_tape, kernels, public
from pynn.engine.call_tape import CallTape
from pynn.engine.op import Node
from pynn.engine.operators import Operators
from pynn.engine.public import PublicFunction
from pynn.engine.tape import Tape

needs_native = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback always goes through Python")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Nothing is known, and everything that comes is captured at its first coming."""
    for function in (*vars(pn.ops).values(), *vars(Operators).values()):
        if isinstance(function, PublicFunction):
            function.forget_all()
    call_tape._gradients.clear()
    call_tape._sightings.clear()
    monkeypatch.setattr(public, "LOOKED_AT", 1)
    monkeypatch.setattr(public, "SIGHTINGS", 1)
    monkeypatch.setattr(call_tape, "SIGHTINGS", 2)  # the first time, Python writes a segment out


def values(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(np.float32)


X, Y, B = pn.tensor(values(4, 3)), pn.tensor(values(4, 3, seed=1)), pn.tensor(values(3, seed=2))
W = pn.tensor(values(3, 4, seed=3))
INDICES = pn.tensor([2, 0, 2], "int32")


def _softmax_loss(x, w, b):
    return -pn.mean(pn.sum(Y * pn.log(pn.softmax(pn.relu(x @ w) @ x + b)), axis=-1))


def _pieces(x, w, b):
    first, second, *_ = pn.unstack(x)
    left, right = pn.split(w, 2, axis=1)
    return pn.sum(first * second) + pn.sum(left * 3.0) * pn.mean(b)  # `right` and two rows are used by nothing


def _shapes(x, w, b):
    wide = pn.concat([x.T, w], axis=1).reshape((-1, 2)) * pn.tile(b[:2], (1,))
    return pn.sum(wide) + pn.sum(pn.pad(x, [[1, 0], [0, 2]], 1.5))


def _values_decide(x, w, b):
    total = pn.sum(x * x)
    return total * 2.0 if float(total) > 1 else total + pn.sum(w)


def _with_convolution(x, w, b):
    image = pn.conv2d(pn.reshape(x * 2.0, (1, 4, 3, 1)), pn.reshape(w, (2, 2, 1, 3)))
    return pn.sum(pn.tanh(image + b) ** 2)


def _custom(x, w, b):
    doubled = pn.custom_grad(lambda t: (t * t, lambda dy: pn.clip(dy * t, -0.4, 0.4)))
    return pn.sum(doubled(x * 0.5) @ w) + pn.sum(b * b)


def _long(x, w, b):
    for i in range(60):
        x = pn.tanh(x * w.T) + b * (i % 3)
    return pn.mean(x)


def _many_operands(x, w, b):
    parts = [x]  # 64 with these: gradients arrive at all of them and at what was made of them, more than a call without Python takes
    for _ in range(63):
        parts.append(pn.tanh(parts[-1]))
    return pn.sum(pn.concat(parts, axis=0) * 0.5) + pn.sum(pn.stack(parts)) + pn.sum(w) + pn.sum(b)


FUNCTIONS = {
    "polynomial": lambda x, w, b: pn.sum(x**3 - 2.0 * x * x + b) + pn.sum(w),
    "linear": lambda x, w, b: pn.mean(pn.square(x @ w @ x + b - Y)),
    "softmax": _softmax_loss,
    "broadcast": lambda x, w, b: pn.sum(b + x) * pn.sum(b * x) + pn.max(w),
    "same_twice": lambda x, w, b: pn.sum(x * x + x) + pn.sum((x + x) @ w) + pn.mean(b + b),
    "chosen": lambda x, w, b: pn.sum(pn.where(x > 0.5, x * 2.0, pn.exp(x))) + pn.sum(pn.abs(w - 0.5)) - pn.min(b),
    "taken": lambda x, w, b: pn.sum(pn.take(x, INDICES) ** 2) + pn.sum(x[1:, ::2]) * w[0, 1] + b[2],
    "reductions": lambda x, w, b: pn.norm(x) * pn.std(w) + pn.logsumexp(b) + pn.prod(w[0]) + pn.var(x),
    "shapes": _shapes,
    "stopped": lambda x, w, b: pn.sum(pn.stop_gradient(x) * x) + pn.sum(pn.floor(w * 3.0) * w) + pn.sum(pn.cast(b * 9.0, "int32")) * 0.1,
    "independent": lambda x, w, b: pn.sum(pn.sin(X) * Y),
    "target_is_a_source": lambda x, w, b: x[0, 0],
    "pieces": _pieces,
    "values_decide": _values_decide,
    "convolution_between": _with_convolution,
    "own_gradient": _custom,
    "long": _long,
    "many_operands": _many_operands,
}  # fmt: skip


def bits(tensors):
    return [(t.shape, t.dtype, t.numpy().tobytes()) for t in tensors]


def by_python(function, *args):
    """Value and gradients by the ops' own records on a tape that takes no segments."""
    sources = [pn.tensor(a.numpy()) for a in args]
    with Tape() as tape:
        for source in sources:
            tape.watch(source)
        value = function(*sources)
    gradients = tape.gradient(value, sources)
    return value, [pn.zeros_like(s) if g is None else g for g, s in zip(gradients, sources, strict=True)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_have_the_bits_of_pythons_tape(name):
    function = FUNCTIONS[name]
    for turn in range(6):
        args = [pn.tensor(values(*t.shape, seed=10 * turn + i)) for i, t in enumerate((X, W, B))]
        value, gradients = pn.value_and_grads(function)(*args)
        expected, expected_gradients = by_python(function, *args)
        assert bits([value, *gradients]) == bits([expected, *expected_gradients])
        assert not any(g.numpy().flags.writeable for g in gradients)


@needs_native
@pytest.mark.parametrize("name", ["polynomial", "softmax", "taken", "reductions", "pieces", "many_operands"])
def test_python_is_not_asked(name, monkeypatch):
    gradient = pn.grads(FUNCTIONS[name])
    for _ in range(6):
        first = gradient(X, W, B)
    asked = []
    for kind, method in ((PublicFunction, "call_python"), (Tape, "record")):
        monkeypatch.setattr(kind, method, lambda self, *args, **kwargs: asked.append(self))
    assert bits(gradient(X, W, B)) == bits(first) and not asked


@needs_native
def test_what_is_on_the_tape():
    def run():
        with CallTape() as tape:
            tape.watch(X)
            y = pn.exp(X * 2.0)
            pn.exp(Y)  # no gradient goes through it
            pn.argmax(y)  # nor through this
            pn.conv2d(pn.reshape(y, (1, 4, 3, 1)), pn.zeros((2, 2, 1, 1)))
            pn.square(y)
        return tape.nodes

    run()
    segment, convolution, after = run()
    assert isinstance(convolution, Node) and not isinstance(segment, Node) and not isinstance(after, Node)
    assert [(operands, result) for _, operands, result in segment.calls()] == [((0,), 1), ((1,), 2), ((2,), 3)]
    assert segment.followed() == (0,) and segment.tensors[0] is X and len(segment.tensors) == 4
    assert [(operands, result) for _, operands, result in after.calls()] == [((0,), 1)]
    assert after.tensors[0] is segment.tensors[2] and after.followed() == (0,)


@needs_native
def test_segments_with_other_wiring_are_others():
    def first(x, y):
        a, b = x * y, x * y
        return pn.sum(a * x) + pn.sum(b)

    def second(x, y):
        a, b = x * y, x * y
        return pn.sum(b * y) + pn.sum(a)

    for _ in range(4):
        for function in (first, second):
            assert bits(pn.grads(function)(X, Y)) == bits(by_python(function, X, Y)[1])
            assert bits(pn.grads(lambda x, f=function: f(x, Y))(X)) == bits(by_python(lambda x, f=function: f(x, Y), X)[1])


def test_second_derivatives():
    def cube(x):
        return pn.sum(x**3)

    slope = pn.grad(lambda x: pn.sum(pn.grad(cube)(x) * 0.5))
    for _ in range(6):
        np.testing.assert_allclose(slope(X).numpy(), 3 * X.numpy(), rtol=1e-6)


def test_variables_that_are_read_assigned_and_read_again():
    w, b, other = (pn.Variable(v, name=n) for v, n in ((values(3, 4), "w"), (values(3), "b"), (values(2), "other")))

    def loss():
        before = pn.sum(w * w)
        w.assign(w * 0.5)
        pn.argmax(other)
        return before + pn.sum(w * 3.0) + pn.sum(b) * 2.0

    for _ in range(6):
        start = w.numpy()
        value, pairs = pn.variable_grads(loss)
        assert [v.name for v, _ in pairs] == ["w", "other", "b"]
        np.testing.assert_allclose(pairs[0][1].numpy(), 2 * start + 3, rtol=1e-6)
        assert pairs[1][1].tolist() == [0, 0] and pairs[2][1].tolist() == [2, 2, 2]
        np.testing.assert_array_equal(w.numpy(), start * np.float32(0.5))


def test_a_value_on_the_tape_outlives_the_assignment_of_its_variable():
    w = pn.Variable([3.0])
    for _ in range(6):
        w.assign([3.0])

        def loss():
            y = w * w
            w.assign([100.0])
            return pn.sum(y)

        assert pn.variable_grads(loss, [w])[1][0][1].tolist() == [6.0]


def test_steps_of_descent_are_those_of_a_captured_step():
    def run(wrap):
        w, b = pn.Variable(values(3, 1)), pn.Variable(np.zeros(1, np.float32))
        optimizer = pn.optimizers.SGD(0.1)
        step = wrap(lambda: optimizer.minimize(lambda: pn.mean(pn.square(X @ w + b - 1.0)), [w, b]))
        return [step().numpy().tobytes() for _ in range(50)], w.numpy().tobytes()

    assert run(lambda f: f) == run(pn.function)


def test_a_function_that_fails_leaves_nothing_behind():
    def failing(x):
        pn.sum(x * 2.0)
        raise RuntimeError("stop")

    for _ in range(4):
        with pytest.raises(RuntimeError, match="stop"):
            pn.grad(failing)(X)
        with pytest.raises(ValueError, match="one number"):
            pn.grad(lambda x: x * 2.0)(X)
        assert pn.grad(lambda x: pn.sum(x * 2.0))(X).tolist() == [[2.0] * 3] * 4


def test_tensors_of_a_tape_are_let_go():
    kept = []

    def loss(x):
        y = pn.exp(x * 2.0)
        kept.append(weakref.ref(y))
        return pn.sum(y * y)

    for _ in range(6):
        pn.grad(loss)(X)
        gc.collect()
        assert kept[-1]() is None


def test_more_gradients_than_are_kept_start_anew(monkeypatch):
    monkeypatch.setattr(call_tape, "MOST_GRADIENTS", 3)
    for _ in range(3):
        for n in range(1, 8):
            x = pn.ones((n,))
            for _ in range(3):
                assert pn.grad(lambda t: pn.sum(t * t))(x).tolist() == [2.0] * n
            assert len(call_tape._gradients) <= 3


def test_threads_have_tapes_of_their_own():
    wrong = []

    def work(k):
        x = pn.tensor(values(5, seed=k))
        for _ in range(200):
            if not np.allclose(pn.grad(lambda t: pn.sum(t * t * float(k)))(x).numpy(), 2 * k * x.numpy(), rtol=1e-6):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


UNARY = [pn.exp, pn.tanh, pn.sigmoid, pn.relu, pn.square, pn.sin, pn.negative, pn.abs, lambda t: t * 0.7, lambda t: t - 0.3,
         lambda t: t.T.T, lambda t: pn.mean(t, axis=0, keepdims=True) + t]  # fmt: skip
BINARY = [pn.add, pn.multiply, pn.subtract, pn.maximum, lambda s, t: s @ t.T @ t, lambda s, t: pn.where(s > t, s, t * 0.5),
          lambda s, t: pn.concat([s, t], axis=0)[2:6]]  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_random_functions(seed):
    """Functions of random calls, some results used often and some never, that change a little from turn to turn."""

    def function_of(rng):
        plan = [(int(rng.integers(len(UNARY) + len(BINARY))), rng.random(2)) for _ in range(rng.integers(3, 40))]

        def function(x, y):
            found = [x, y]
            for which, (a, b) in plan:
                one, two = found[int(a * len(found))], found[int(b * len(found))]
                found.append(UNARY[which](one) if which < len(UNARY) else BINARY[which - len(UNARY)](one, two))
            return pn.sum(pn.tanh(found[-1])) + pn.mean(found[len(found) // 2])

        return function

    functions = [function_of(np.random.default_rng([seed, k])) for k in range(2)]
    for turn in range(6):
        function = functions[turn % 2]
        args = [pn.tensor(values(4, 3, seed=turn)), pn.tensor(values(4, 3, seed=turn + 50))]
        value, gradients = pn.value_and_grads(function)(*args)
        expected, expected_gradients = by_python(function, *args)
        assert bits([value, *gradients]) == bits([expected, *expected_gradients])
