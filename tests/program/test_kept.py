"""What kernels keep of an unchanging operand: it is used as long as the operand is the same, bit for bit, and renewed once it isn't."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels

pytestmark = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback keeps nothing")

SHAPES = [
    ((1, 13, 13, 32), (3, 3, 32, 64)),
    ((2, 9, 9, 16), (3, 3, 16, 70)),  # rows and columns that are left to direct convolution; a narrow last panel
    ((40, 12, 12, 24), (3, 3, 24, 48)),
]


def drawn(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def convolution(filter):
    return pn.function(lambda x: pn.conv2d(x, filter, padding="same"))


def check_follows(conv, filter, x):
    assert conv(x).numpy().tobytes() == pn.conv2d(x, filter, padding="same").numpy().tobytes()


def keeping(function, *args):
    program = function.program(*args)
    return [node.op.name for node in program.plan.steps if program.keeps(node)]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_results_follow_the_filter(shapes):
    x, first, second = drawn(0, *shapes, shapes[1])
    filter = pn.Variable(first)
    conv = convolution(filter)
    assert keeping(conv, x) == ["conv2d"]
    for value in (first, first, second, first):
        filter.assign(value)
        check_follows(conv, filter, x)
        check_follows(conv, filter, x)
    for tap, channel, column in [(0, 0, 0), (2, shapes[1][2] - 1, shapes[1][3] - 1), (1, 3, 33)]:
        changed = filter.numpy().copy()
        changed[tap, tap, channel, column] += 1
        filter.assign(changed)
        check_follows(conv, filter, x)


def test_a_filter_of_zeros_first():
    x, other = drawn(1, *SHAPES[0])
    filter = pn.Variable(np.zeros(SHAPES[0][1], np.float32))
    conv = convolution(filter)
    assert not conv(x).numpy().any()
    filter.assign(-filter.numpy())
    check_follows(conv, filter, x)
    filter.assign(other)
    check_follows(conv, filter, x)


def test_a_filter_with_nan():
    x, value = drawn(2, *SHAPES[0])
    filter = pn.Variable(value)
    conv = convolution(filter)
    check_follows(conv, filter, x)
    spoilt = value.copy()
    spoilt[1, 1, 0, 5] = np.nan
    filter.assign(spoilt)
    assert np.isnan(conv(x).numpy()[..., 5]).all() and np.isfinite(conv(x).numpy()[..., 6:]).all()
    filter.assign(value)
    check_follows(conv, filter, x)


def test_only_operands_that_the_program_leaves_alone_are_kept():
    x, value = drawn(3, *SHAPES[0])
    filter = pn.Variable(value)
    constant = pn.tensor(value)
    assert keeping(pn.function(lambda x: pn.conv2d(x, constant)), x) == ["conv2d"]
    assert keeping(pn.function(lambda x, filter: pn.conv2d(x, filter)), x, value) == []
    assert keeping(pn.function(lambda x: pn.conv2d(x, filter * 2.0)), x) == []

    @pn.function
    def changing(x):
        y = pn.conv2d(x, filter)
        filter.assign(filter * 0.5)
        return y

    assert keeping(changing, x) == []


def small_network():
    layers = [
        pn.layers.Input((13, 13, 16)),
        pn.layers.Conv2D(64, 3, activation="relu"),
        pn.layers.MaxPooling2D(2),
        pn.layers.Flatten(),
        pn.layers.Dense(3),
    ]
    model = pn.Sequential(layers)
    model.compile(pn.optimizers.SGD(0.05), "mean_squared_error")
    return model


def test_a_model_predicts_with_the_weights_it_has():
    pn.set_seed(0)
    model, (x, y) = small_network(), drawn(4, (8, 13, 13, 16), (8, 3))
    before = model.predict_on_batch(x)
    initial = model.get_weights()
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    trained, copy = model.predict_on_batch(x), small_network()
    copy.set_weights(model.get_weights())
    assert trained.tobytes() == copy.predict_on_batch(x).tobytes() != before.tobytes()
    model.set_weights(initial)
    assert model.predict_on_batch(x).tobytes() == before.tobytes()


def test_threads_that_predict_side_by_side():
    pn.set_seed(1)
    model, (x,) = small_network(), drawn(5, (3, 13, 13, 16))
    wanted, results = model.predict_on_batch(x).tobytes(), []

    def predict():
        for _ in range(20):
            results.append(model.predict_on_batch(x).tobytes())

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80 and set(results) == {wanted}


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_threads_change_no_bit(shapes):
    x, value, other = drawn(6, *shapes, shapes[1])
    filter = pn.Variable(value)
    conv, before = convolution(filter), pn.num_threads()
    try:
        for threads in (1, 2, 3, 8):
            pn.set_num_threads(threads)
            for weights in (other, value):
                filter.assign(weights)
                check_follows(conv, filter, x)
    finally:
        pn.set_num_threads(before)
