"""Functions made of other ops, against NumPy."""

import numpy as np

import pynn as pn

X = np.array([-3.0, -0.5, 0.0, 0.5, 2.0, np.inf, -np.inf])
Y = np.array([1.0, -0.5, 0.0, 0.5000001, 2.1, np.inf, 3.0])


def test_logarithms():
    positive = np.array([0.125, 1.0, 10.0, 1000.0])
    np.testing.assert_allclose(pn.log2(positive).numpy(), np.log2(positive))
    np.testing.assert_allclose(pn.log10(positive).numpy(), np.log10(positive))
    np.testing.assert_allclose(pn.logaddexp(X, Y).numpy(), np.logaddexp(X, Y))
    np.testing.assert_allclose(pn.logaddexp(pn.tensor([-np.inf]), pn.tensor([-np.inf])).numpy(), [-np.inf])


def test_gradients_of_logaddexp_are_shares():
    x, y = pn.tensor([1.0, 3.0, np.inf, -np.inf, np.inf]), pn.tensor([1.0, 1.0, np.inf, -np.inf, -np.inf])
    dx, dy = pn.grads(lambda x, y: pn.logaddexp(x, y).sum())(x, y)
    np.testing.assert_allclose(dx.numpy()[:2], [0.5, 1 / (1 + np.exp(-2))], rtol=1e-6)
    np.testing.assert_array_equal(dx + dy, np.ones(5))
    second = pn.grad(lambda x: pn.grad(lambda x: pn.logaddexp(x, 1.0).sum())(x).sum())(x)
    np.testing.assert_allclose(second.numpy()[0], 0.25, rtol=1e-6)


def test_closeness():
    np.testing.assert_array_equal(pn.isclose(X, Y).numpy(), np.isclose(X, Y))
    assert not pn.allclose(X, Y)
    assert pn.allclose(X, X + 0.0)
    assert not pn.isclose(np.array([np.nan]), np.array([np.nan])).item()


def test_numbers_take_the_dtype_of_the_tensor_beside_them():
    x = pn.tensor([0.1, 0.3], "float64")
    np.testing.assert_allclose(pn.logaddexp(x, 0.1).numpy(), np.logaddexp([0.1, 0.3], 0.1), rtol=1e-15)
    assert pn.logaddexp(pn.tensor([1], "int32"), 2).dtype == np.float32
    assert pn.isclose(x, 0.1, rtol=0, atol=1e-12).tolist() == [True, False]
    assert pn.function(lambda x, y: pn.isclose(x, y, rtol=0, atol=1e-12))(x, 0.1).tolist() == [True, False]
    assert pn.isclose(pn.tensor([200], "uint8"), 300, atol=99).tolist() == [False]


def test_closeness_of_integers_is_exact():
    assert not pn.allclose([2**40], [2**40 + 1], 0, 0)
    assert pn.isclose([2**62, 5, 7], [2**62 + 1, 5, 5], 0, 0).tolist() == [False, True, False]
    assert pn.isclose([2**63 - 1, -(2**63)], [-(2**63), 2**63 - 1]).tolist() == [False, False]
    assert pn.isclose(pn.tensor([3], "uint8"), pn.tensor([4], "uint8"), 0, 1).item()
    assert pn.isclose([True, False], [True, True]).tolist() == [True, False]


def test_counts():
    x = np.array([[0, 1, 2], [0, 0, 3]])
    assert pn.count_nonzero(x).item() == 3
    assert pn.count_nonzero(x > 1, axis=1).tolist() == [1, 1]


def test_activations():
    x = X[:5]
    np.testing.assert_allclose(pn.celu(x, 0.5).numpy(), np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0) / 0.5)))
    np.testing.assert_array_equal(pn.hard_tanh(x).numpy(), np.clip(x, -1, 1))
    np.testing.assert_allclose(pn.prelu(x, 0.1).numpy(), np.where(x > 0, x, 0.1 * x))
    gradient = pn.grad(lambda slope: pn.prelu(pn.tensor(x), slope).sum())(pn.tensor(np.full(5, 0.1)))
    np.testing.assert_allclose(gradient.numpy(), np.minimum(x, 0))


def test_celu_is_smooth_at_zero():
    x = pn.tensor([-0.5, 0.0, -0.0, 0.5])
    np.testing.assert_allclose(pn.grad(lambda x: pn.celu(x, 0.5).sum())(x).numpy(), [np.exp(-1.0), 1, 1, 1], rtol=1e-6)
