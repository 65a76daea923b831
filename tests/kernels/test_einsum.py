"""Einstein's summation against NumPy's, its gradient, and what it says of equations that don't fit."""

import numpy as np
import pytest

import pynn as pn

SIZES = dict(zip("abcijkmn", (2, 3, 4, 5, 6, 7, 3, 4), strict=True))
EQUATIONS = [
    "ij,jk->ik",
    "ij,kj->ik",
    "ji,jk->ki",
    "ij,jk",
    "aij,ajk->aik",
    "aij,akj->aik",
    "abij,bjk->abik",
    "ij,ij->",
    "i,j->ij",
    "ij,j->i",
    "ij->ji",
    "ijk->j",
    "ij,k->j",
    "ij,jk,km->im",
    "ai,aj,ak->ijk",
    "aij,aij->aij",
    "cba->abc",
]


def operands(equation, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=[SIZES[c] for c in term]) for term in equation.split("->")[0].split(",")]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_values_as_in_numpy(equation):
    arrays = operands(equation)
    wanted = np.einsum(equation, *arrays)
    got = pn.einsum(equation, *arrays)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "aij,akj->aki", "ij,jk,km->im", "ij,k->j"])
def test_gradients_are_those_of_each_factor(equation):
    arrays = operands(equation)
    inputs, output = equation.split("->")
    weight = np.random.default_rng(1).normal(size=[SIZES[c] for c in output])
    for i, term in enumerate(inputs.split(",")):
        others = [*arrays[:i], *arrays[i + 1 :]]
        terms = [t for k, t in enumerate(inputs.split(",")) if k != i]

        def value(x, i=i):
            return (pn.einsum(equation, *arrays[:i], x, *arrays[i + 1 :]) * weight).sum()

        full = np.ones_like(arrays[i])
        wanted = np.einsum(",".join([output, *terms, term]) + "->" + term, weight, *others, full)
        np.testing.assert_allclose(pn.grad(value)(pn.tensor(arrays[i])).numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "equation, shapes, words",
    [
        ("ij,jk->ik", [(2, 3)], ["2 operands", "not 1"]),
        ("ij,jk->ik", [(2, 3), (4, 5)], ["'j'", "3 and 4", "(4, 5)"]),
        ("ij->i", [(2, 3, 4)], ["names 2 axes", "has 3"]),
        ("ii->i", [(2, 2)], ["twice"]),
        ("ij->ik", [(2, 3)], ["'k'"]),
        ("...i->i", [(2, 3)], ["letters", "ellipsis"]),
    ],
)
def test_errors_say_what_came(equation, shapes, words):
    with pytest.raises(ValueError) as error:
        pn.einsum(equation, *[np.ones(s) for s in shapes])
    assert all(word in str(error.value) for word in ["[einsum]", equation, *words])
