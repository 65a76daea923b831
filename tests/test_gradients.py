"""Gradients of Python functions, and what their errors say."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import pynn as pn
from pynn.engine.op import active

X = pn.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
W = pn.tensor([[0.5], [-0.5]])


def cost(w, b):
    return ((X @ w + b) ** 2).mean()


def test_grad_by_one_argument():
    assert float(pn.grad(lambda x: x * x)(3.0)) == 6.0
    assert float(pn.grad(lambda a, b: a * b, argnum=1)(2.0, 5.0)) == 2.0
    value, slope = pn.value_and_grad(lambda a, b: a * b, 0)(2.0, 5.0)
    assert (float(value), float(slope)) == (10.0, 5.0)


def test_grads_by_all_arguments():
    dw, db = pn.grads(cost)(W, 1.0)
    residual = X.numpy() @ W.numpy() + 1.0
    np.testing.assert_allclose(dw.numpy(), 2 * X.numpy().T @ residual / 3, rtol=1e-6)
    np.testing.assert_allclose(float(db), 2 * residual.mean(), rtol=1e-6)
    value, both = pn.value_and_grads(cost)(W, 1.0)
    assert float(value) == pytest.approx(float((residual**2).mean()))
    assert isinstance(both, tuple) and both[0].tolist() == dw.tolist()


def test_arguments_may_be_arrays_numbers_and_variables():
    v = pn.Variable([1.0, 2.0])
    for value in (v, v.value, v.numpy(), [1.0, 2.0]):
        assert pn.grad(lambda x: pn.sum(pn.square(x)))(value).tolist() == [2.0, 4.0]
    assert pn.grad(lambda x: pn.sum(x * x))(np.array([1.0, 2.0])).dtype == np.float64


def test_keyword_arguments_pass_through():
    assert float(pn.grad(lambda x, *, power: x**power)(2.0, power=3)) == 12.0


def test_an_argument_without_influence_gets_zeros():
    da, db = pn.grads(lambda a, b: pn.sum(a))(pn.ones((2,)), pn.ones((3,)))
    assert da.tolist() == [1.0, 1.0] and db.tolist() == [0.0, 0.0, 0.0]


def test_an_argument_used_twice_and_passed_twice():
    x = pn.tensor(3.0)
    assert float(pn.grad(lambda a: a * a + a)(x)) == 7.0
    da, db = pn.grads(lambda a, b: a * a * b)(x, x)
    assert (float(da), float(db)) == (18.0, 9.0)


def test_variable_grads_sees_trainable_variables_that_were_read():
    w, b = pn.Variable([1.0, 2.0], name="w"), pn.Variable(1.0, name="b")
    frozen, other = pn.Variable(5.0, trainable=False), pn.Variable(7.0)
    value, pairs = pn.variable_grads(lambda: pn.sum(w * w) * frozen + b)
    assert float(value) == 26.0
    assert {v.name: g.tolist() for v, g in pairs} == {"w": [10.0, 20.0], "b": 1.0}
    _, chosen = pn.variable_grads(lambda: pn.sum(w * w) + b, [other, b])
    assert [v is u for (v, _), u in zip(chosen, (other, b), strict=True)] == [True, True]
    assert [float(g) for _, g in chosen] == [0.0, 1.0]


def test_stop_gradient_makes_a_constant():
    assert float(pn.grad(lambda x: x * pn.stop_gradient(x))(3.0)) == 3.0
    assert float(pn.function(pn.grad(lambda x: x * pn.stop_gradient(x)))(3.0)) == 3.0
    assert float(pn.grad(lambda x: pn.stop_gradient(x * x))(3.0)) == 0.0


def test_custom_grad_replaces_the_gradient():
    @pn.custom_grad
    def clipped(x):
        return x * x, lambda dy: pn.clip(2 * x * dy, -1.0, 1.0)

    assert float(clipped(5.0)) == 25.0
    assert float(pn.grad(clipped)(5.0)) == 1.0
    assert float(pn.grad(lambda x: clipped(x) * 3)(0.1)) == pytest.approx(0.6)
    assert float(pn.function(pn.grad(clipped))(5.0)) == 1.0


def test_custom_grad_of_two_arguments_and_of_the_wrong_number():
    @pn.custom_grad
    def product(a, b):
        return a * b, lambda dy: (dy * 10.0, dy * 20.0)

    assert [float(g) for g in pn.grads(product)(2.0, 3.0)] == [10.0, 20.0]
    wrong = pn.custom_grad(lambda a, b: (a * b, lambda dy: dy))
    with pytest.raises(ValueError, match="one gradient per argument"):
        pn.grads(wrong)(2.0, 3.0)


def test_higher_orders():
    f = lambda x: pn.sin(x) * x**3  # noqa: E731
    x = np.float64(0.7)
    s, c = np.sin(x), np.cos(x)
    np.testing.assert_allclose(float(pn.grad(f)(x)), c * x**3 + 3 * s * x**2)
    np.testing.assert_allclose(float(pn.grad(pn.grad(f))(x)), -s * x**3 + 6 * c * x**2 + 6 * s * x)
    third = -c * x**3 - 9 * s * x**2 + 18 * c * x + 6 * s
    np.testing.assert_allclose(float(pn.grad(pn.grad(pn.grad(f)))(x)), third)
    np.testing.assert_allclose(float(pn.function(pn.grad(pn.grad(f)))(x)), -s * x**3 + 6 * c * x**2 + 6 * s * x)


def test_a_product_of_the_hessian_through_a_network():
    rng = np.random.default_rng(0)
    x, w, direction = rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=(3, 5))

    def loss(w):
        return pn.sum(pn.logsumexp(pn.tanh(pn.tensor(x) @ w), axis=1))

    product = pn.grad(lambda w: pn.sum(pn.grad(loss)(w) * direction))(w).numpy()
    step = 1e-5
    by_difference = (pn.grad(loss)(w + step * direction).numpy() - pn.grad(loss)(w - step * direction).numpy()) / (2 * step)
    np.testing.assert_allclose(product, by_difference, atol=1e-8)


@pytest.mark.parametrize("name", ["grad", "grads", "value_and_grad", "value_and_grads", "variable_grads"])
def test_a_tensor_instead_of_a_function(name):
    with pytest.raises(TypeError) as caught:
        getattr(pn, name)(cost(W, 1.0))
    message = str(caught.value)
    assert f"[{name}]" in message and "a computed tensor" in message
    line = "lambda: cost(x @ w + b, y))" if name == "variable_grads" else "lambda w, b: cost(x @ w + b, y))(w, b)"
    assert f"pn.{name}({line}" in message


def test_results_that_cannot_be_differentiated():
    with pytest.raises(ValueError, match=r"\[grad\] the function must return one number. Received: shape=\(2,\)"):
        pn.grad(lambda x: x * x)(pn.ones((2,)))
    with pytest.raises(TypeError, match="returned nothing"):
        pn.grad(lambda x: None)(1.0)
    with pytest.raises(TypeError, match="only float results"):
        pn.grad(lambda x: pn.argmax(x))(pn.ones((2,)))
    assert pn.grad(lambda x: x * 2)(pn.ones((1, 1))).tolist() == [[2.0]]


def test_a_number_is_no_result_but_a_constant_tensor_is():
    v = pn.Variable(3.0)
    with pytest.raises(TypeError, match=r"\[variable_grads\] the function must return a tensor.* Received: a float"):
        pn.variable_grads(lambda: float(v) ** 2)
    for left in (lambda x: x.item(), lambda x: x.numpy() ** 2, lambda x: np.float32(x), lambda x: 2):
        with pytest.raises(TypeError, match=r"\[grad\] the function must return a tensor"):
            pn.grad(left)(3.0)
    for left in (lambda x: [float(x)], lambda x: ([x.item() * 2],), lambda x: [x.numpy()]):
        with pytest.raises(TypeError, match=r"\[grad\] the function must return a tensor.* Received: a \w+ without a tensor in it"):
            pn.grad(left)(3.0)
    assert float(pn.grad(lambda x: pn.tensor(2.0))(3.0)) == 0.0
    assert float(pn.grad(lambda x: [x])(3.0)) == 1.0
    assert float(pn.variable_grads(lambda: v)[1][0][1]) == 1.0


def test_integer_arguments():
    with pytest.raises(TypeError, match=r"\[grad\] gradients are taken with respect to float tensors only.*argument 0 with dtype int64"):
        pn.grad(lambda x: x * 2.0)(3)
    with pytest.raises(TypeError, match="argument 1 with dtype bool"):
        pn.grads(lambda x, m: x)(1.0, pn.tensor(True))


def test_a_failure_leaves_no_tape_behind():
    from pynn.engine.op import active

    def fails(x):
        raise KeyError("no")

    with pytest.raises(KeyError):
        pn.grad(fails)(1.0)
    assert not active.tapes


def test_argnum_counts_from_either_end_and_is_checked():
    assert float(pn.grad(lambda x, y: x * y * y, -1)(2.0, 3.0)) == 12.0
    with pytest.raises(ValueError, match=r"\[grad\] argnum must be the index of a positional argument.*argnum=5 with 2 positional"):
        pn.grad(lambda x, y: x * y, 5)(1.0, 2.0)
    with pytest.raises(ValueError, match="argnum=0 with 0"):
        pn.value_and_grad(lambda x: x * x)(x=2.0)
    with pytest.raises(TypeError, match=r"argnum must be the index of one argument.*argnum=.*pn\.grads"):
        pn.grad(lambda x, y: x * y, (0, 1))(1.0, 2.0)


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_no_gradient_flows_through_an_assignment(run):
    v = pn.Variable(2.0)

    def slope(x):
        def loss(x):
            v.assign(x * 3.0)
            return v * x

        return pn.grad(loss)(x)

    assert float(run(slope)(pn.tensor(5.0))) == 15.0


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_a_variable_that_is_assigned_in_between_has_one_gradient(run):
    v = pn.Variable(2.0)

    def loss():
        a = v * 2.0
        v.assign(a)
        return v * a

    def slopes():
        return [g for _, g in pn.variable_grads(loss)[1]]

    assert [float(g) for g in run(slopes)()] == [12.0]  # 4 by the first read times 2, and 4 by the second


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_a_fused_call_hides_no_custom_gradient(run):
    w, x, b = pn.ones((3, 2)), pn.ones((4, 3)), pn.zeros((2,))

    @pn.custom_grad
    def product(x, w):
        return x @ w, lambda dy: (pn.zeros_like(x), pn.zeros_like(w) + 7.0)

    def slope(w, b):
        return pn.grads(lambda w, b: pn.relu(product(x, w) + b).sum())(w, b)[0]

    np.testing.assert_array_equal(run(slope)(w, b), np.full((3, 2), 7.0))


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_work_before_the_gradient_is_a_constant_to_it(run):
    w, x, b = pn.Variable(np.full((3, 2), 0.5, np.float32)), pn.ones((4, 3)), pn.zeros((2,))

    def slope():
        h = x @ w
        return pn.variable_grads(lambda: ((h + b) * pn.sum(w)).sum())[1][0][1]

    np.testing.assert_array_equal(run(slope)(), np.full((3, 2), 12.0))


def test_what_a_custom_gradient_returns_is_checked():
    found = pn.grad(pn.custom_grad(lambda x: (x * x, lambda dy: 3.0)))(2.0)
    assert isinstance(found, pn.Tensor)
    assert found.dtype == np.float32
    wrong = pn.custom_grad(lambda x: (x * x, lambda dy: pn.ones(7)))
    with pytest.raises(ValueError, match=r"\[custom_grad\] a gradient must have the shape.*\(7,\) for operand 0 of shape \(3,\)"):
        pn.grad(lambda x: wrong(x).sum())(pn.ones(3))


def test_variable_grads_takes_trainable_variables():
    frozen = pn.Variable(1.0, trainable=False)
    with pytest.raises(ValueError, match=r"\[variable_grads\] a variable to differentiate must be trainable.*'variable'"):
        pn.variable_grads(lambda: frozen * 2.0, [frozen])
    with pytest.raises(TypeError, match=r"\[variable_grads\] variables must be a list of pn\.Variable.*Tensor"):
        pn.variable_grads(lambda: frozen * 2.0, [pn.ones(2)])


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_a_copy_of_a_variable_is_another_variable_to_gradients(run):
    w, target = pn.Variable([[1.0], [2.0]]), pn.Variable([[0.0], [0.0]], trainable=False)
    a, b = pn.Variable([0.0, 0.0]), pn.Variable([0.0, 0.0])

    def follow(x):
        target.assign(w)
        loss, slopes = pn.variable_grads(lambda: ((x @ w - 0.5 * (x @ target)) ** 2).sum(), [w])
        w.assign(w - 0.125 * slopes[0][1])
        return loss

    def both(x):
        a.assign(x)
        b.assign(x)
        return [g for _, g in pn.variable_grads(lambda: (a * a * b).sum(), [a, b])[1]]

    assert [float(run(follow)(pn.ones((1, 2)))) for _ in range(2)] == [2.25, 1.265625]
    assert [g.tolist() for g in run(both)(pn.tensor([1.0, 2.0]))] == [[2.0, 8.0], [1.0, 4.0]]


def test_gradients_that_nobody_asks_for_are_not_looked_at():
    scaled = pn.custom_grad(lambda x, b: (x * b, lambda dy: (dy * b, dy * x)))
    assert pn.grad(lambda t: scaled(t, pn.tensor([2.0])).sum())(pn.tensor([1.0, 2.0, 3.0])).tolist() == [2.0, 2.0, 2.0]
    one = pn.custom_grad(lambda x: (x * x, lambda dy: pn.reshape(2 * x * dy, (1,))))
    assert pn.grad(one)(3.0).shape == ()


def test_variables_come_in_any_iterable():
    v = pn.Variable(2.0)
    assert [float(g) for _, g in pn.variable_grads(lambda: v * v, (v for _ in range(1)))[1]] == [4.0]


@pytest.mark.parametrize("result, what", [
    (lambda x: x * x, "Tensor"), (lambda x: (x, x), "tuple of Tensor, Tensor"), (lambda x: [x], "list of Tensor"),
    (lambda x: None, "NoneType"), (lambda x: (), "tuple of nothing"),
])  # fmt: skip
def test_a_custom_gradient_comes_with_its_value(result, what):
    for x in (2.0, pn.ones(2)):
        with pytest.raises(TypeError, match=rf"\[custom_grad\] the function must return \(value, gradient\).* Received: {what}\. Write"):
            pn.custom_grad(result)(x)


LOST = {
    "float": lambda w, b: pn.tensor([float(w * 2.0)]).sum() + b,
    "item": lambda w, b: b * (w * w).item(),
    "numpy": lambda w, b: pn.sum(pn.tensor((w * 1.0).numpy() ** 2)) * b,
    "list": lambda w, b: b + pn.reshape(w, (1,)).tolist()[0],
    "a function of NumPy's": lambda w, b: b + np.dot(w * 1.0, 2.0),
}


@pytest.mark.parametrize("cost", LOST.values(), ids=LOST)
def test_a_gradient_that_is_lost_in_python_is_warned_of(cost):
    for _ in range(6):  # without Python after a few
        with pytest.warns(UserWarning, match=r"\[grads\] a gradient of the result is 0 because the values .* Compute with pynn ops"):
            dw, db = pn.grads(cost)(3.0, 2.0)
        assert float(dw) == 0.0 and float(db) != 0.0
    w, b = pn.Variable(3.0), pn.Variable(2.0)
    with pytest.warns(UserWarning, match=r"\[variable_grads\] a gradient of the result is 0"):
        pn.variable_grads(lambda: cost(w, b))


def test_looking_at_values_is_no_loss():
    def cost(w, b):
        print(float(w * b), (w + 1.0).numpy(), w)
        return w * w * (2.0 if float(w) > 0 else 1.0) + pn.tensor([float(pn.tensor(2.0))]).sum()

    assert [float(g) for g in pn.grads(lambda w: cost(w, 1.0))(3.0)] == [12.0]
    assert float(pn.grad(lambda w: pn.grad(lambda v: cost(v, 2.0))(w))(3.0)) == 4.0
    w = pn.Variable(3.0)
    assert float(pn.variable_grads(lambda: cost(w, 1.0))[1][0][1]) == 12.0


def test_what_wraps_an_object_has_its_name_but_not_its_state():
    square = pn.function(lambda x: x * x)
    square.__name__ = "square"
    model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,), name="last")])
    for wrap in (pn.grad, pn.grads, pn.value_and_grad, pn.value_and_grads, pn.custom_grad):
        assert wrap(square).__name__ == "square" and set(vars(wrap(square))) == {"__wrapped__"}
        assert set(vars(wrap(model))) == {"__wrapped__"}
    cost.unit = "metres"
    assert pn.grad(cost).unit == "metres" and pn.grad(cost).__name__ == "cost"
    del cost.unit


def test_what_listens_to_calls_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(active)) is active  # as a part of functions that cloudpickle writes whole
