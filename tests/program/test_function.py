"""`pn.function`: what is an input, what is part of the signature, what is baked in, and what variables see."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import signal
import sys
import threading
from collections import namedtuple

import numpy as np
import pytest

import pynn as pn
from pynn.errors import GuardTripped


def captures(function) -> int:
    return len(function._programs)


def test_a_signature_is_captured_once():
    bodies = []

    @pn.function
    def double(x):
        bodies.append(x.shape)
        return x * 2

    assert double(pn.ones((2,))).tolist() == [2.0, 2.0]
    assert double(pn.zeros((2,))).tolist() == [0.0, 0.0]
    assert double(np.ones((3,), np.float32)).tolist() == [2.0, 2.0, 2.0]
    assert double(np.ones((3,), np.float64)).dtype == np.float64
    assert bodies == [(2,), (3,), (3,)]


def test_floats_are_inputs():
    f = pn.function(lambda x, rate: x * rate)
    x = pn.ones((2,))
    assert [f(x, rate).tolist() for rate in (0.5, 2.0, -1.0)] == [[0.5] * 2, [2.0] * 2, [-1.0] * 2]
    assert captures(f) == 1


def test_a_float_takes_the_dtype_of_the_tensor_beside_it():
    assert pn.function(lambda x, rate: x * rate)(pn.ones((2,), dtype="float64"), 0.5).dtype == np.float64


def test_integers_booleans_strings_and_none_are_part_of_the_signature():
    f = pn.function(lambda x, n, flag=False, how="sum", extra=None: getattr(x, how)(axis=n) + (1.0 if flag else 0.0))
    x = pn.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert f(x, 0).tolist() == [4.0, 6.0]
    assert f(x, 1).tolist() == [3.0, 7.0]
    assert f(x, 1, flag=True).tolist() == [4.0, 8.0]
    assert f(x, 1, how="max").tolist() == [2.0, 4.0]
    assert captures(f) == 4


def test_values_from_outside_are_baked_in():
    outside = {"rate": 2.0}
    f = pn.function(lambda x: x * outside["rate"])
    assert float(f(3.0)) == 6.0
    outside["rate"] = 5.0
    assert float(f(3.0)) == 6.0


def test_variables_are_read_and_assigned_in_order():
    v = pn.Variable(1.0)

    @pn.function
    def step(x):
        before = v.value
        v.assign(v * x)
        middle = v.value
        v.assign_add(1.0)
        return before, middle, v.value

    assert [float(t) for t in step(3.0)] == [1.0, 3.0, 4.0]
    v.assign(10.0)
    assert [float(t) for t in step(3.0)] == [10.0, 30.0, 31.0]
    assert float(v) == 31.0


def test_variables_can_be_swapped():
    a, b = pn.Variable([1.0, 2.0]), pn.Variable([3.0, 4.0])

    @pn.function
    def swap():
        first, second = a.value, b.value
        a.assign(second)
        b.assign(first)

    assert swap() is None
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([3.0, 4.0], [1.0, 2.0])
    swap()
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([1.0, 2.0], [3.0, 4.0])


def test_a_value_read_before_a_step_keeps_its_contents():
    v = pn.Variable(np.zeros(40, np.float32))
    step = pn.function(lambda: v.assign_add(1.0))
    old = v.value
    view = old.numpy()
    step()
    assert not old.numpy().any() and not view.any()
    assert v.numpy().tolist() == [1.0] * 40


def test_a_returned_variable_is_its_new_value():
    v = pn.Variable(1.0)

    def body(x):
        v.assign(v + x)
        return {"v": v}

    f = pn.function(body)
    assert float(f(2.0)["v"]) == 3.0
    assert float(f(2.0)["v"]) == 5.0


def test_variables_are_created_in_the_first_capture_only():
    made = []

    @pn.function
    def f(x):
        made.append(pn.Variable(2.0, name="late"))
        return x * made[-1]

    assert float(f(3.0)) == 6.0
    with pytest.raises(pn.CaptureError, match="'late' was created in a later call"):
        f(pn.ones((2,)))
    assert float(f(4.0)) == 8.0


@pytest.mark.parametrize(
    "use", [lambda t: bool(t), lambda t: list(t), lambda t: t.numpy(), lambda t: float(t), lambda t: t.item(), lambda t: np.asarray(t)]
)
def test_asking_for_a_value_names_the_op_that_makes_it(use):
    with pytest.raises(pn.CaptureError, match=r"\[tanh\]"):
        pn.function(lambda x: use(pn.tanh(x)))(pn.ones(()))
    assert float(pn.function(lambda x: x + 1)(1.0)) == 2.0  # the failed capture has ended


def test_captured_functions_inside_each_other_are_one_program():
    inner = pn.function(lambda x: pn.tanh(x) * 2)
    outer = pn.function(lambda x: inner(x) + 1)
    x = pn.tensor([0.5, -0.5])
    np.testing.assert_allclose(outer(x).numpy(), np.tanh(x.numpy()) * 2 + 1, rtol=1e-5)
    assert captures(inner) == 0


def test_under_a_tape_it_is_plain_python():
    f = pn.function(lambda x: x**3)
    assert float(pn.grad(f)(2.0)) == pytest.approx(12.0)
    assert captures(f) == 0
    assert float(pn.function(pn.grad(f))(2.0)) == pytest.approx(12.0)


def test_results_keep_their_structure():
    pair = namedtuple("pair", "first second")

    @pn.function
    def f(data):
        return {"a": [data["x"], 3], "b": (None, pair(data["y"][0] + 1, "text"))}

    result = f({"x": pn.ones((2,)), "y": [pn.zeros(())]})
    assert result["a"][0].tolist() == [1.0, 1.0] and result["a"][1] == 3
    assert isinstance(result["b"], tuple) and result["b"][0] is None
    assert isinstance(result["b"][1], pair) and float(result["b"][1].first) == 1.0 and result["b"][1].second == "text"


def test_methods_are_captured_for_each_object():
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        @pn.function
        def __call__(self, x):
            return x * self.factor

    for factor in range(6):  # each object goes where the one before was in memory
        assert float(Scale(float(factor))(3.0)) == 3.0 * factor


def test_the_eighth_capture_warns_and_sixteen_are_kept():
    f = pn.function(lambda n: pn.ones((n,)) * 2)
    for n in range(1, 8):
        f(n)
    with pytest.warns(UserWarning, match="captured 8 times"):
        f(8)
    for n in range(9, 21):
        f(n)
    assert captures(f) == 16
    assert f(1).shape == (1,)


def test_repeat_runs_steps():
    count = pn.Variable(0.0)

    def step(x):
        count.assign_add(x)
        return count.value

    assert float(pn.repeat(pn.function(step), 1000, 2.0)) == 2000.0
    assert float(count) == 2000.0
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=r"\[repeat\] n must be"):
            pn.repeat(step, bad)


def test_scan_and_its_gradients():
    def loss(w, xs):
        last, ys = pn.scan(lambda c, x: (c * w + x, c), 1.0, xs)
        return last + pn.sum(ys)

    xs = pn.tensor([1.0, 2.0, 3.0])
    w = 0.5
    c1, c2 = w + 1, w * (w + 1) + 2
    value, (dw, dxs) = pn.value_and_grads(loss)(w, xs)
    assert float(value) == pytest.approx(w * c2 + 3 + 1 + c1 + c2)
    assert float(dw) == pytest.approx(3 * w**2 + 2 * w + 2 + 1 + 2 * w + 1)
    np.testing.assert_allclose(dxs.numpy(), [w * w + 1 + w, w + 1, 1], rtol=1e-6)
    again = pn.function(pn.grads(loss))(w, xs)
    np.testing.assert_allclose(again[1].numpy(), dxs.numpy(), rtol=1e-6)


def test_scan_without_xs_and_with_bad_ones():
    carry, ys = pn.scan(lambda c, x: (c + 1, None), 0.0, length=4)
    assert float(carry) == 4.0 and ys is None
    with pytest.raises(ValueError, match="common leading axis"):
        pn.scan(lambda c, x: (c, c), 0.0, (pn.ones((2,)), pn.ones((3,))))


def test_several_threads_may_run_one_function(in_threads):
    weight = pn.tensor(np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32))
    f = pn.function(lambda x: pn.tanh(x @ weight).sum(axis=1))
    inputs = [np.full((16, 32), i, np.float32) for i in range(4)]
    wanted = [f(x).numpy() for x in inputs]
    wrong = []

    def work(i):
        for _ in range(30):
            if not np.array_equal(f(inputs[i]).numpy(), wanted[i]):
                wrong.append(i)

    in_threads(work)
    assert not wrong


def test_a_failing_step_commits_nothing():
    from pynn.engine.apply import apply
    from pynn.engine.op import REGISTRY

    v = pn.Variable([1.0, 2.0])
    count = pn.Variable(0.0)
    guard = REGISTRY["guard_finite"]
    sample = guard.samples()[0]

    @pn.function
    def step(x):
        count.assign_add(1.0)
        v.assign(v / x)
        apply(guard, *([v.value / x] * len(sample.inputs)), **sample.attrs)

    step(pn.tensor(2.0))
    with pytest.raises(GuardTripped, match="is not finite"):
        step(pn.tensor(0.0))
    assert v.numpy().tolist() == [0.5, 1.0] and float(count) == 1.0


def test_only_functions_are_captured():
    with pytest.raises(TypeError, match=r"\[function\] expects a function"):
        pn.function(3)
    f = pn.function(lambda x: x)
    assert pn.function(f) is f


def test_python_floats_keep_their_digits_beside_float64():
    scaled = pn.function(lambda x, r: x * r)
    x = pn.tensor(np.ones(2))
    for rate in (0.1, 0.2, 0.3, 1e300):  # the later ones go past Python
        assert scaled(x, rate).tolist() == [rate, rate]
    assert scaled(pn.ones(2), 0.1).dtype == np.float32
    assert pn.function(lambda r: pn.exp(r))(0.5).dtype == np.float32
    assert pn.function(lambda r: r)(0.5).dtype == np.float32
    assert pn.function(lambda n, r: n * r)(pn.tensor([1, 2]), 0.5).dtype == np.float32


def test_reading_a_variable_as_an_array_is_refused_while_captured():
    v = pn.Variable([1.0], name="v")
    for read in (lambda: v.numpy(), lambda: np.asarray(v), lambda: v.item(), lambda: np.from_dlpack(v)):
        with pytest.raises(pn.CaptureError):
            pn.function(lambda read=read: pn.tensor(read()))()


def test_values_of_an_ended_capture_are_refused():
    kept = []
    pn.function(lambda x: kept.append(x * 2) or x)(pn.ones(2))
    with pytest.raises(pn.CaptureError, match=r"\[add\] a value belongs to a capture that has ended"):
        pn.function(lambda x: x + kept[0])(pn.ones(2))
    with pytest.raises(pn.CaptureError, match="belongs to a capture that has ended"):
        pn.function(lambda: kept[0])()


def test_results_are_tensors_in_tuples_lists_and_dicts():
    class Pair:
        def __init__(self, value):
            self.value = value

    for result in (lambda x: {x * 2}, lambda x: Pair(x * 2)):
        with pytest.raises(pn.CaptureError, match=r"\[function\] results must be tensors, or tuples, lists and dicts"):
            pn.function(result)(pn.ones(2))


@pytest.mark.parametrize("body, received", [
    (lambda c, x: c, "tensor"), (lambda c, x: (c,), r"\(tensor,\)"), (lambda c, x: [c, x, x], r"\[tensor, tensor, tensor\]"),
    (lambda c, x: None, "None"),
])  # fmt: skip
def test_scan_wants_a_pair(body, received):
    with pytest.raises(TypeError, match=rf"\[scan\] body must return a pair \(carry, y\). Received: {received}. Write return carry, y"):
        pn.scan(body, pn.ones(2), pn.ones(3))
    with pytest.raises(TypeError, match=r"\[scan\] the body must be a function of \(carry, x\). Received: Tensor"):
        pn.scan(pn.ones(2), body, pn.ones(3))


def test_scan_over_structures_with_nothing_in_them():
    carry, (sums, nothing) = pn.scan(lambda c, x: (c + x, (c, None)), 0.0, pn.ones(3))
    assert (float(carry), sums.tolist(), nothing) == (3.0, [0.0, 1.0, 2.0], None)
    assert pn.scan(lambda c, x: (c, x), None, pn.ones(2))[0] is None
    with pytest.raises(ValueError, match=r"\[scan\] length must be a whole number, zero or more.*-2"):
        pn.scan(lambda c, x: (c, c), 0.0, length=-2)
    with pytest.raises(ValueError, match=r"\[scan\] every tensor of xs needs a leading axis.*pn\.tensor\(values\)"):
        pn.scan(lambda c, x: (c, c), 0.0, [1.0, 2.0])


def test_tensors_of_native_calls_are_whole():
    plus = pn.function(lambda x: x + 1)
    found = [plus(pn.tensor([1, 2, 3])) for _ in range(3)][-1]  # the later calls go past Python
    for slot in pn.Tensor.__slots__[:-1]:
        getattr(found, slot)
    assert (found * 0.5).tolist() == [1.0, 1.5, 2.0]


def test_values_of_an_ended_capture_are_not_assigned():
    kept, v = [], pn.Variable([0.0, 0.0])
    pn.function(lambda x: kept.append(x * 2) or x)(pn.ones(2))
    with pytest.raises(pn.CaptureError, match="belongs to a capture that has ended"):
        pn.function(lambda: v.assign(kept[0]))()


def test_python_floats_become_tensors_with_all_their_digits():
    assert pn.function(lambda a: pn.tensor(a, "float64"))(0.1).item() == 0.1


def test_a_method_of_several_objects_makes_the_variables_of_each():
    class Fitted(pn.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.steps = pn.layers.Dense(1), pn.optimizers.SGD(0.05, momentum=0.5)

        def call(self, x):
            return self.dense(x)

        @pn.function
        def step(self, x, y):
            return self.steps.minimize(lambda: pn.mean((self(x) - y) ** 2), self.trainable_weights if self.built else None)

    x, y = np.ones((2, 4), np.float32), np.ones((2, 1), np.float32)
    for _ in range(3):
        model = Fitted()
        model(x)
        losses = [float(model.step(x, y)) for _ in range(20)]
        assert losses[-1] < 1e-2 * max(losses[0], 1.0)


@pytest.mark.usefixtures("interruptible")
def test_a_long_repeat_can_be_interrupted():
    v = pn.Variable(0.0, dtype="float64")
    step = pn.function(lambda: v.assign_add(1.0))
    pn.repeat(step, 5)
    assert v.item() == 5.0
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        pn.repeat(step, 10**11)
    timer.join()
    done = v.item()
    pn.repeat(step, 5)
    assert v.item() == done + 5


@pytest.mark.filterwarnings("ignore:.*has been captured")
def test_threads_that_drop_programs_of_a_function_at_the_same_time(in_threads):
    f, wrong = pn.function(lambda x: x + 1), []

    def call(seed):
        for n in np.random.default_rng(seed).integers(1, 30, 1500):
            if not np.array_equal(f(np.zeros(n, np.float32)), np.ones(n)):
                wrong.append(n)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(call)
    finally:
        sys.setswitchinterval(before)
    assert not wrong


def test_scan_knows_the_entries_of_dicts_by_their_keys():
    def body(count, x):
        return count + 1, {"a": x, "b": (10 * x, None)} if count % 2 else {"b": (10 * x, None), "a": x}

    _, ys = pn.scan(body, 0, pn.tensor([1.0, 2.0, 3.0]))
    assert ys["a"].tolist() == [1.0, 2.0, 3.0] and ys["b"][0].tolist() == [10.0, 20.0, 30.0] and ys["b"][1] is None


@pytest.mark.parametrize("then, words", [
    (lambda x: {"a": x}, "{'a': tensor}"), (lambda x: {"a": x, "c": x}, "{'a': tensor, 'c': tensor}"), (lambda x: x, "tensor"),
    (lambda x: {"a": x, "b": [x]}, r"{'a': tensor, 'b': \[tensor\]}"), (lambda x: {"a": x, "b": None}, "{'a': tensor, 'b': None}"),
])  # fmt: skip
def test_scan_wants_one_structure_in_every_turn(then, words):
    turns = iter([lambda x: {"a": x, "b": x}, then])
    with pytest.raises(ValueError, match=rf"\[scan\] .* Received: {words} in iteration 1, {{'a': tensor, 'b': tensor}} in iteration 0"):
        pn.scan(lambda c, x: (c, next(turns)(x)), 0.0, pn.ones(2))


def test_a_copy_of_a_function_captures_for_itself():
    class Doubling(pn.Model):
        def __init__(self):
            super().__init__()
            self.factor = pn.Variable(2.0)
            self.plain, self.bound = pn.function(lambda x: x * 2.0), pn.function(self.scaled)

        def scaled(self, x):
            return x * self.factor

    model = Doubling()
    assert float(model.plain(3.0)) == float(model.bound(3.0)) == 6.0
    twin = copy.deepcopy(model)
    twin.factor.assign(5.0)
    assert twin.plain is not model.plain and isinstance(twin.plain, pn.Function) and twin.plain.__name__ == "<lambda>"
    assert (float(twin.plain(3.0)), float(twin.bound(3.0)), float(model.bound(3.0))) == (6.0, 15.0, 6.0)


def test_what_a_fusion_takes_away_is_there_for_those_who_read_it_later():
    rng = np.random.default_rng(0)
    x, w, b = (pn.tensor(rng.normal(size=shape).astype(np.float32)) for shape in ((5, 4), (4, 3), (3,)))
    seen = pn.Variable(np.zeros((5, 3), np.float32))

    def step(x, w, b):
        inside = []

        def cost(w, b):
            product = x @ w
            inside.extend([product, product + b])
            return (pn.relu(inside[1]) ** 2).sum()

        value, grads = pn.value_and_grads(cost)(w, b)
        seen.assign(inside[1])
        return value, grads, inside[0], inside[1] * 2.0

    eager, assigned = step(x, w, b), seen.numpy()
    seen.assign(np.zeros((5, 3)))
    captured = pn.function(step)(x, w, b)
    np.testing.assert_array_equal(seen.numpy(), assigned)
    for one, other in zip((*eager[1], *eager[::2], eager[3]), (*captured[1], *captured[::2], captured[3]), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_repeat_inside_a_captured_function_is_a_loop():
    count = pn.Variable(0.0)

    def add(by):
        count.assign_add(by)
        return count * 2.0

    assert float(pn.function(lambda by: pn.repeat(add, 3, by))(2.0)) == 12.0 and count.item() == 6.0


@pn.function
def doubled(x):
    return x * 2


def tripled(x):
    return x * 3


def test_a_function_is_pickled_by_its_name_or_that_of_its_python():
    again = pickle.loads(pickle.dumps(doubled))
    assert again is doubled and copy.copy(doubled) is doubled
    other = pickle.loads(pickle.dumps(pn.function(tripled)))
    assert other.python_function is tripled and float(other(2.0)) == 6.0
    assert float(pickle.loads(pickle.dumps(pn.function(functools.partial(tripled))))(2.0)) == 6.0


def test_cloudpickle_gets_the_python_of_what_a_script_captures(monkeypatch):
    of_script = pn.function(tripled)
    of_script.__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "tripled", of_script, raising=False)
    assert of_script.__reduce__() == "tripled"
    asked = {"__name__": "joblib.externals.cloudpickle.cloudpickle", "reduced": []}
    exec("def ask(f): reduced.append(f.__reduce__())", asked)
    asked["ask"](of_script)
    asked["ask"](doubled)
    assert asked["reduced"] == [(pn.Function, (tripled,)), "doubled"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_forked_while_another_thread_looks_for_a_program_can_call():
    double = pn.function(lambda x, times=2: x * times)
    held = double._changing
    with held:
        child = os.fork()
        if not child:
            signal.alarm(30)
            os._exit(0 if double._changing is not held and double(pn.ones((2,)), times=3).numpy()[0] == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
