"""Philox and what is drawn from it: known vectors, the same bits everywhere, moments of the distributions."""

import numpy as np
import pytest
from op_checks import TARGETS, check_gradients, check_threads, check_values, fallback, native

import pynn as pn
from pynn.engine.op import REGISTRY
from pynn.ops.random import philox_words

EXACT = ["random_uniform", "random_bernoulli", "random_integers", "permutation", "increment", "dropout"]
ONES = 2**32 - 1


def test_known_vectors_of_the_generator():
    # The zero and the all-ones counter and key, from the authors' test vectors.
    assert [hex(w) for w in philox_words(0, 0, 0, 4)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    zero = native(REGISTRY["random_integers"], [np.array(0)], {"span": 2**32, "shape": (4,)})[0]
    assert [hex(w) for w in zero] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def _philox(counter, key):
    """One block in Python's integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & ONES, (p0 >> 32) ^ c[3] ^ k[1], p0 & ONES]
        k = [(k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES]
    return c


def test_the_plain_generator_meets_the_published_vectors():
    assert _philox([ONES] * 4, [ONES] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    assert _philox(pi, [0xA4093822, 0x299F31D0]) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize("target", TARGETS)
def test_words_are_those_of_the_plain_generator(target):
    counter = (7 << 32) + 9
    wanted = np.ravel([_philox([b, 0, 9, 7], [5, ONES]) for b in range(75)])[:299]
    attrs = {"key0": 5, "key1": ONES, "span": 2**32, "shape": (299,)}
    np.testing.assert_array_equal(native(REGISTRY["random_integers"], [np.array(counter)], attrs, target)[0], wanted)
    np.testing.assert_array_equal(philox_words(5, ONES, counter, 299), wanted)


@pytest.mark.parametrize("name", EXACT)
def test_native_and_fallback_have_the_same_bits(name):
    check_values(REGISTRY[name], exact=True)


@pytest.mark.parametrize("name", ["random_normal", "random_truncated_normal"])
def test_native_and_fallback_agree(name):
    check_values(REGISTRY[name])


@pytest.mark.parametrize("name", ["random_uniform", "random_normal", "random_integers"])
def test_bits_do_not_depend_on_threads(name):
    check_threads(REGISTRY[name], [np.array(4)], {"shape": (33, 1001), "key0": 3})


def test_dropout_bits_do_not_depend_on_threads_or_shape():
    op, x = REGISTRY["dropout"], np.random.default_rng(0).normal(size=50021).astype(np.float32)
    check_threads(op, [x, np.array(9)], {"rate": 0.3})
    whole = pn.dropout(x, 9, rate=0.3, key0=1).numpy()
    np.testing.assert_array_equal(pn.dropout(x[:777], 9, rate=0.3, key0=1).numpy(), whole[:777])


def test_dropout_gradient_has_the_mask_of_the_forward_pass():
    check_gradients(REGISTRY["dropout"])


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 1.0])
def test_dropout_keeps_the_mean(rate):
    y = pn.dropout(np.ones(200_000, np.float32), 1, rate=rate, key0=5).numpy()
    assert abs(np.mean(y == 0) - rate) < 0.005
    if rate < 1:
        np.testing.assert_array_equal(y[y != 0], np.float32(1 / (1 - rate)))


def test_moments():
    n = 400_000
    uniform = pn.ops.random_uniform(1, (n,), low=-2, high=4, dtype="float64").numpy()
    assert uniform.min() >= -2 and uniform.max() < 4
    assert abs(uniform.mean() - 1) < 0.02 and abs(uniform.var() - 3) < 0.02
    normal = pn.ops.random_normal(2, (n,), mean=1, stddev=2).numpy()
    assert abs(normal.mean() - 1) < 0.02 and abs(normal.std() - 2) < 0.02
    assert abs(np.mean((normal - 1) ** 4) / 16 - 3) < 0.1
    cut = pn.ops.random_truncated_normal(3, (n,), stddev=1).numpy()
    assert np.abs(cut).max() <= 2 and abs(cut.mean()) < 0.01 and abs(cut.std() - 0.8796) < 0.01
    coins = pn.ops.random_bernoulli(4, (n,), p=0.3).numpy()
    assert abs(coins.mean() - 0.3) < 0.005 and set(np.unique(coins)) == {0.0, 1.0}
    dice = pn.ops.random_integers(5, (n,), low=1, high=7).numpy()
    np.testing.assert_allclose(np.bincount(dice, minlength=7)[1:] / n, 1 / 6, atol=0.005)


@pytest.mark.parametrize("dtype, high", [("float32", 1001.0), ("float64", 2.0**52 + 1)])
def test_uniform_numbers_stay_below_high_where_the_sum_is_rounded(dtype, high):
    low = high - 1
    drawn = pn.ops.random_uniform(1, (100_000,), low=low, high=high, dtype=dtype).numpy()
    raw = fallback(REGISTRY["random_uniform"], [np.array(1)], {"low": low, "high": high, "shape": (100_000,), "dtype": dtype})[0]
    assert raw.max() == high and low <= drawn.min() and drawn.max() < high
    np.testing.assert_array_equal(drawn[raw < high], raw[raw < high])
    step = pn.function(lambda: pn.ops.random_uniform(1, (100_000,), low=low, high=high, dtype=dtype))
    np.testing.assert_array_equal(step().numpy(), drawn)


def test_uniform_numbers_between_one_number_and_itself():
    assert pn.ops.random_uniform(1, (3,), low=2.0, high=2.0).tolist() == [2.0] * 3
    assert pn.ops.random_uniform(1, (3,), low=2.0**24, high=2.0**24 + 1).tolist() == [2.0**24] * 3


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutation_has_every_number_once(n):
    order = pn.permutation(3, n, key0=8).numpy()
    assert sorted(order.tolist()) == list(range(n))
    assert n < 3 or (order != pn.permutation(4, n, key0=8).numpy()).any()


def test_permutation_places_are_equally_likely():
    counts = np.zeros((4, 4))
    for counter in range(4000):
        counts[np.arange(4), fallback(REGISTRY["permutation"], [np.array(counter)], {"n": 4})[0]] += 1
    np.testing.assert_allclose(counts / 4000, 0.25, atol=0.03)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"\[dropout\].*rate=1.5"):
        pn.dropout(np.zeros(3), 0, rate=1.5)
    with pytest.raises(TypeError, match=r"\[random_uniform\] the counter"):
        pn.ops.random_uniform(np.zeros(2), (3,))
    with pytest.raises(ValueError, match=r"\[random_integers\]"):
        pn.ops.random_integers(0, (3,), low=2, high=2)
    with pytest.raises(ValueError, match=r"\[permutation\]"):
        pn.permutation(0, -1)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_integers_beyond_the_dtype_are_refused(dtype):
    first, last = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    for low, high in ((last, last + 2), (first - 1, first + 1), (last + 7, last + 8)):
        with pytest.raises(ValueError, match=rf"\[random_integers\] the dtype must hold .*dtype={dtype}"):
            pn.ops.random_integers(0, (3,), low=low, high=high, dtype=dtype)
    assert pn.ops.random_integers(0, (3,), low=last, high=last + 1, dtype=dtype).tolist() == [last] * 3
    assert pn.ops.random_integers(0, (3,), low=first, high=first + 1, dtype=dtype).tolist() == [first] * 3
