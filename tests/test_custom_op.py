"""Ops of a user: NumPy kernels and compiled ones, eagerly, in captured steps, in layers and in training."""

from __future__ import annotations

import ctypes
import functools
import gc
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest

import pynn as pn
from pynn.engine.op import REGISTRY
from pynn.errors import CaptureError


@pytest.fixture
def cube():
    @pn.custom_op(gradient=lambda dy, inputs, y: dy * 3.0 * inputs[0] ** 2)
    def cube(x):
        """The third power."""
        return x**3

    return cube


def test_eager_and_captured(cube):
    x = pn.tensor([1.0, -2.0, 3.0])
    assert cube(x).tolist() == [1.0, -8.0, 27.0]
    assert cube.__doc__ == "The third power." and cube.__name__ == "cube"
    f = pn.function(lambda x: pn.exp(cube(x * 0.5)) + 1)
    np.testing.assert_allclose(f(x).numpy(), np.exp((x.numpy() / 2) ** 3) + 1, rtol=1e-6)
    assert "cube" in f.program(x).describe()


def test_gradients_to_the_second_order(cube):
    assert float(pn.grad(cube)(2.0)) == 12.0
    assert float(pn.grad(pn.grad(cube))(2.0)) == 12.0
    assert float(pn.function(pn.grad(cube))(2.0)) == 12.0


def test_the_output_may_have_another_spec():
    from pynn.engine.op import Spec

    count = pn.custom_op(lambda x: np.count_nonzero(x, axis=1), name="count_rows", output=lambda x: Spec((x.shape[0],), np.dtype(np.int64)))
    x = pn.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert count(x).tolist() == [1, 2] and count(x).dtype == np.int64
    assert pn.function(count)(x).tolist() == [1, 2]


def test_two_inputs():
    hypot = pn.custom_op(np.hypot, name="hypot", gradient=lambda dy, inputs, y: (dy * inputs[0] / y, dy * inputs[1] / y))
    assert float(hypot(3.0, 4.0)) == 5.0
    assert [float(g) for g in pn.grads(hypot)(3.0, 4.0)] == pytest.approx([0.6, 0.8])


def test_without_a_gradient_it_is_a_constant():
    plain = pn.custom_op(lambda x: x * 2, name="plain")
    assert float(pn.grad(lambda x: plain(x) + x)(3.0)) == 1.0


def test_ops_live_as_long_as_somebody_has_them():
    before = set(REGISTRY)
    first, second = (pn.custom_op(lambda x: x, name="same_name") for _ in range(2))
    assert first.op is not second.op and first.op.name == second.op.name == "same_name" and set(REGISTRY) == before
    gone = weakref.ref(first.op)
    del first
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name, wanted", [("add", "add_2"), ("copy", "copy"), ("elementwise", "elementwise")])
@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_no_other_kernel_is_taken_for_the_users(name, wanted, run):
    op = pn.custom_op(lambda x: x * 2, name=name)
    assert op.op.name == wanted
    assert run(lambda x: pn.relu(op(x)))(pn.ones(3)).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_the_number_of_operands_is_checked(run):
    scaled = pn.custom_op(lambda x, by, *, bias=1: x * by + bias, name="scaled")
    with pytest.raises(TypeError, match=r"\[scaled\] takes 2 operands \(x, by\), not 1"):
        run(lambda x: scaled(x))(pn.ones(3))
    assert run(scaled)(pn.ones(3), pn.ones(3)).tolist() == [2.0, 2.0, 2.0]
    for any_number in (lambda *xs: sum(xs), lambda x, y=1: x + y, np.add):
        assert run(pn.custom_op(any_number, name="plus"))(pn.ones(3), pn.ones(3)).tolist() == [2.0, 2.0, 2.0]


def test_in_a_layer_and_in_training(cube):
    class Cubed(pn.Layer):
        def call(self, x):
            return cube(x)

    model = pn.Sequential([pn.layers.Dense(4, input_shape=(3,)), Cubed(), pn.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    pn.set_seed(0)
    model.compile(pn.optimizers.Adam(0.01), "mean_squared_error")
    history = model.fit(x, y, epochs=20, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert model.predict(x).shape == (32, 1)


def test_errors():
    with pytest.raises(TypeError, match="must be a function on arrays or a numba.cfunc"):
        pn.custom_op(3)
    with pytest.raises(TypeError, match="the kernel returned nothing"):
        pn.custom_op(lambda x: None, name="nothing")(1.0)
    wrong = pn.custom_op(lambda a, b: a + b, name="wrong", gradient=lambda dy, inputs, y: dy)
    with pytest.raises(ValueError, match="one gradient per input"):
        pn.grads(wrong)(1.0, 2.0)


def test_an_error_in_the_kernel_reaches_the_caller_of_a_step():
    def fails(x):
        raise RuntimeError("out of luck")

    op = pn.custom_op(fails, name="fails")
    v = pn.Variable(1.0)

    @pn.function
    def step(x):
        v.assign(v + op(x))

    with pytest.raises(RuntimeError, match="out of luck"):
        step(2.0)
    assert float(v) == 1.0


def test_a_kernel_is_not_called_while_a_step_is_captured():
    op = pn.custom_op(lambda x: x * 2, name="twice")
    with pytest.raises(CaptureError, match=r"\[twice\]"):
        pn.function(lambda x: float(op(x)))(1.0)


def compiled():
    """A `numba.cfunc` that computes `x * x + 1` on float64."""
    numba = pytest.importorskip("numba")
    from numba import carray, cfunc, types

    signature = types.void(types.CPointer(types.CPointer(types.float64)), types.CPointer(types.int64))

    @cfunc(signature)
    def kernel(operands, lengths):
        x, y = carray(operands[0], lengths[0]), carray(operands[1], lengths[0])
        for i in range(lengths[0]):
            y[i] = x[i] * x[i] + 1.0

    assert numba
    return kernel


def test_a_compiled_kernel_runs_inside_a_step():
    kernel = compiled()
    op = pn.custom_op(kernel, name="square_and_one", fallback=lambda x: x * x + 1, gradient=lambda dy, inputs, y: 2 * inputs[0] * dy)
    x = np.arange(5.0)
    f = pn.function(lambda x: pn.sum(op(x) * 2.0))
    assert op(x).tolist() == [1.0, 2.0, 5.0, 10.0, 17.0]
    assert float(f(x)) == 70.0
    if pn.backend() == "native":
        assert "# address" in f.program(x).describe()
    assert pn.function(pn.grad(f))(x).tolist() == [0.0, 4.0, 8.0, 12.0, 16.0]


def test_any_address_of_c_code_will_do():
    calls = []
    pointer_to_pointers = ctypes.POINTER(ctypes.POINTER(ctypes.c_float))

    @functools.partial(ctypes.CFUNCTYPE(None, pointer_to_pointers, ctypes.POINTER(ctypes.c_int64)))
    def negate(operands, lengths):
        calls.append(lengths[0])
        for i in range(lengths[0]):
            operands[1][i] = -operands[0][i]

    class Kernel:
        address = ctypes.cast(negate, ctypes.c_void_p).value
        keep = negate

    op = pn.custom_op(Kernel(), name="negate", fallback=np.negative)
    assert pn.function(lambda x: op(x) * 2)(pn.tensor([1.0, 2.0])).tolist() == [-2.0, -4.0]
    assert calls == ([2] if pn.backend() == "native" else [])
    assert op(pn.tensor([[3.0], [-1.0], [0.5]])).tolist() == [[-3.0], [1.0], [-0.5]]
    assert calls == ([2, 3] if pn.backend() == "native" else [])


def test_a_compiled_kernel_needs_a_fallback():
    class Kernel:
        address = 1

    with pytest.raises(TypeError, match="needs fallback="):
        pn.custom_op(Kernel())


def test_a_kernel_may_keep_what_it_gets_but_not_change_it():
    kept = []

    @pn.custom_op
    def keep(x):
        kept.append(x)
        return x * 1

    run = pn.function(lambda x: keep(x * 2.0) + 1.0)
    run(np.ones(1000, np.float32))
    run(np.zeros(1000, np.float32))
    del run
    assert [a.sum() for a in kept] == [2000.0, 0.0]

    @pn.custom_op
    def change(x):
        x += 1
        return x * 1

    v, t = pn.Variable([1.0]), pn.ones(1)
    for f, args in ((lambda: change(v), ()), (change, (t,)), (pn.function(lambda: change(v)), ()), (pn.function(change), (t,))):
        with pytest.raises(ValueError, match="read-only"):
            f(*args)
    assert v.numpy().tolist() == t.tolist() == [1.0]


def test_the_kernels_result_must_be_what_was_said():
    with pytest.raises(ValueError, match=r"\[turned\] the kernel's result must have shape \(2, 3\).*Received: shape \(3, 2\)"):
        pn.custom_op(lambda x: x.T, name="turned")(pn.ones((2, 3)))
    with pytest.raises(ValueError, match="dtype complex64"):
        pn.custom_op(lambda x: x * 1j)(pn.ones((2, 3)))
    assert pn.custom_op(lambda x: x.astype("f8"))(pn.ones(3)).dtype == np.float32
    with pytest.raises(TypeError, match="takes at least one operand"):
        pn.custom_op(lambda: np.ones(3), name="nothing")()
    wrong = pn.custom_op(lambda x: x * 2, name="double", gradient=lambda dy, inputs, y: pn.ones(7))
    with pytest.raises(ValueError, match=r"\[double\] a gradient must have the shape"):
        pn.grad(lambda x: wrong(x).sum())(pn.ones(3))


def test_a_compiled_kernel_runs_on_its_dtype_only():
    numba = pytest.importorskip("numba")
    from numba import types

    @numba.cfunc(types.void(types.CPointer(types.CPointer(types.float32)), types.CPointer(types.int64)))
    def twice(operands, shape):
        for i in range(shape[0] or 1):
            operands[1][i] = operands[0][i] * 2

    op = pn.custom_op(twice, name="twice", fallback=lambda x: x * 2)
    assert op(1.0).tolist() == 2.0
    assert op(pn.ones(3)).tolist() == [2.0, 2.0, 2.0]
    assert op(pn.ones((1, 1))).tolist() == [[2.0]]
    for other in (np.ones(3), np.ones(3, np.int8)):
        with pytest.raises(TypeError, match=r"\[twice\] the kernel is compiled for float32. Received: dtype (float64|int8)"):
            op(pn.tensor(other))


@pytest.mark.parametrize("first", ["from pynn.custom_op import custom_op", "import pynn.custom_op", "import pynn"])
def test_the_name_stays_a_function(first):
    code = f"{first}\nimport pynn as pn\nprint(float(pn.custom_op(lambda x: x + 1.0, name='one_more')(2.0)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "3.0\n"


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_a_kernel_may_write_its_result_into_a_buffer_of_its_own(run):
    buffer = np.zeros(3, np.float32)

    @pn.custom_op
    def twice(a):
        return np.multiply(a, 2, out=buffer)

    call = run(lambda x: twice(x))
    first = call(pn.tensor([1.0, 2.0, 3.0]))
    call(pn.tensor([10.0, 10.0, 10.0]))
    assert first.tolist() == [2.0, 4.0, 6.0]


def test_numpy_within_a_captured_function_keeps_denormals_as_it_does_elsewhere():
    @pn.custom_op
    def there_and_back(x):
        return (x * np.float32(1e-20)) * np.float32(1e20)

    x = pn.tensor([1e-20], "float32")
    once, captured = there_and_back(x), pn.function(lambda x: there_and_back(x))
    for _ in range(3):
        assert captured(x).tolist() == once.tolist() != [0.0]


def test_a_buffer_is_known_however_python_counts_its_references():
    code = """
import sys
count = sys.getrefcount
sys.getrefcount = lambda value: count(value) - 3  # 1 for an array that nobody else has, as from CPython 3.14 on
import numpy as np, pynn as pn
buffer = np.zeros(3, np.float32)
op = pn.custom_op(lambda x: np.add(x, 1, out=buffer), name="into_a_buffer")
first = op(pn.ones(3))
op(pn.zeros(3))
kept = []
from pynn.custom_op import _owned
result = _owned(lambda x: kept.append(id(y := x + 1)) or y)(np.ones(3))
print(first.tolist(), kept == [id(result)])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "[2.0, 2.0, 2.0] True\n"


@pn.custom_op
def halved(x):
    """Half of it."""
    return x / 2


def test_an_op_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(halved)) is halved
    assert (halved.__module__, halved.__qualname__, halved.__doc__) == (__name__, "halved", "Half of it.")
    again = pickle.loads(pickle.dumps(pn.Sequential([pn.layers.Dense(2, activation=halved, input_shape=(2,))])))
    assert again.layers[0].activation is halved
