"""What training promises: eager and captured steps give the same bits, so do all numbers of threads, and a bad step changes nothing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

RNG = np.random.default_rng(0)
IMAGES = RNG.random((70, 28, 28), dtype=np.float32)
DIGITS = RNG.integers(0, 10, 70).astype(np.int32)


def same(a, b):
    """Equal bits on the native backend; BLAS of the fallback may sum in another order for another number of rows."""
    if pn.backend() == "native":
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def dense():
    model = pn.Sequential([L.Flatten(input_shape=(28, 28)), L.Dense(128, activation="relu"), L.Dense(10, activation="softmax")])
    return model, IMAGES, np.eye(10, dtype=np.float32)[DIGITS], "categorical_crossentropy", pn.optimizers.SGD(0.01)


def cnn():
    model = pn.Sequential([
        L.Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)), L.MaxPooling2D(2), L.Conv2D(64, 3, activation="relu"),
        L.MaxPooling2D(2), L.Flatten(), L.Dropout(0.5), L.Dense(10, activation="softmax"),
    ])  # fmt: skip
    return model, IMAGES[..., None], DIGITS, "sparse_categorical_crossentropy", "adam"


def gru():
    model = pn.Sequential([L.GRU(64, input_shape=(28, 28)), L.Dense(10, activation="softmax")])
    return model, IMAGES, DIGITS, "sparse_categorical_crossentropy", "adam"


def lstm():
    model = pn.Sequential([L.LSTM(16, input_shape=(1, 1)), L.Dense(1)])
    return model, np.array([[[1.0]], [[2.0]]], np.float32), np.array([[1.0], [2.0]], np.float32), "mean_squared_error", "adam"


def mixed():
    model = pn.Sequential([
        L.Rescaling(2.0, input_shape=(28, 28)), L.Reshape((28, 28, 1)), L.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
        L.BatchNormalization(), L.Activation("silu"), L.AveragePooling2D(3, padding="same"), L.Reshape((25, 6)),
        L.SimpleRNN(9, return_sequences=True, dropout=0.2), L.LayerNormalization(), L.Flatten(),
        L.Dense(10, kernel_regularizer="l2", kernel_constraint="max_norm"),
    ])  # fmt: skip
    loss = pn.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, IMAGES, DIGITS, loss, pn.optimizers.RMSprop(0.001, clipnorm=1.0)


MODELS = [dense, cnn, gru, lstm, mixed]


def trained_weights(make, *, threads=None, run_eagerly=False, epochs=2):
    pn.set_seed(5)
    before = pn.num_threads()
    if threads:
        pn.set_num_threads(threads)
    try:
        model, x, y, loss, optimizer = make()
        model.compile(optimizer, loss, metrics=["accuracy"] if len(x) > 2 else None, run_eagerly=run_eagerly)
        history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    finally:
        pn.set_num_threads(before)
    return [w.tobytes() for w in model.get_weights()], history.history


@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_eager_and_captured_training_give_the_same_bits(make):
    captured, history = trained_weights(make)
    eager, eager_history = trained_weights(make, run_eagerly=True)
    assert captured == eager
    assert history == eager_history


@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_every_number_of_threads_gives_the_same_bits(make):
    if pn.backend() != "native":
        pytest.skip("the fallback has one thread")
    single, _ = trained_weights(make, threads=1)
    for threads in (2, 3, 8):
        assert trained_weights(make, threads=threads)[0] == single


@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_a_seed_fixes_everything(make):
    assert trained_weights(make) == trained_weights(make)


@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_model_call_and_predict_agree(make):
    model, x, *_ = make()
    x = x[:5]
    called = np.asarray(model(x))
    same(called, np.asarray(model.predict_on_batch(x)))
    same(called, model.predict(x, batch_size=32))


def test_a_rows_prediction_does_not_depend_on_its_neighbours():
    for make in (dense, cnn, gru):
        model, x, *_ = make()
        whole = model.predict(x[:33], batch_size=64)
        same(whole[:3], model.predict(x[:3]))
        same(whole[20:21], model.predict(x[20:21]))


def test_a_diverging_rate_is_reported_and_nothing_of_the_step_is_kept():
    x = np.array([[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6], [4, 5, 6, 7]], np.float32)
    y = np.array([[2], [4], [6], [8]], np.float32)
    model = pn.Sequential([L.Dense(1, kernel_initializer="zeros", input_shape=(4,))])
    model.compile(pn.optimizers.SGD(0.1), "mean_squared_error")
    with pytest.raises(pn.NonFiniteError) as caught:
        model.fit(x, y, epochs=100, batch_size=4, shuffle=False, verbose=0)
    message = str(caught.value)
    for part in ("epoch", "batch", "learning rate 0.1", "Gradient norm"):
        assert part in message, message
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_bad_data_is_named():
    model, x, y, loss, optimizer = dense()
    model.compile(optimizer, loss)
    bad = x.copy()
    bad[3, 4, 5] = np.nan
    before = model.get_weights()
    with pytest.raises(pn.NonFiniteError, match="input 0 of the model"):
        model.fit(bad, y, batch_size=70, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("eagerly", [False, True])
def test_statistics_and_random_counters_are_kept_from_a_step_that_fails(eagerly):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    model = pn.Sequential([L.Dense(3, kernel_initializer="ones", input_shape=(4,)), L.BatchNormalization(), L.Dropout(0.5), L.Dense(1)])
    model.compile("sgd", "mean_squared_error", run_eagerly=eagerly)
    model.fit(x, y, batch_size=8, verbose=0)
    before = [v.numpy() for v in model.variables]
    bad = x.copy()
    bad[3] = 3e38
    for train in (model.train_on_batch, lambda x, y: model.fit(x, y, batch_size=8, verbose=0)):
        with pytest.raises(pn.NonFiniteError, match="The first value that isn't: the output of Dense"):
            train(bad, y)
        for old, v in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(old, v.numpy(), err_msg=v.path)


@pytest.mark.parametrize("eagerly", [False, True])
def test_a_constraint_that_fails_leaves_no_half_of_a_step(eagerly):
    fails = []

    def constraint(w):
        if fails:
            raise RuntimeError("no constraint today")
        return w

    model = pn.Sequential([L.Dense(3, input_shape=(4,)), L.Dense(1, kernel_constraint=constraint)])
    model.compile(pn.optimizers.SGD(0.1, momentum=0.9), "mse", run_eagerly=eagerly)
    x, y = np.ones((8, 4), np.float32), np.zeros((8, 1), np.float32)
    model.fit(x, y, verbose=0)
    everything = [*model.variables, *model.optimizer.variables]
    before = [v.numpy() for v in everything]
    fails.append(True)
    model.programs.clear()
    with pytest.raises(RuntimeError, match="no constraint today"):
        model.train_on_batch(x, y)
    for old, v in zip(before, everything, strict=True):
        np.testing.assert_array_equal(old, v.numpy(), err_msg=v.path)


def test_weights_that_are_not_finite_are_named():
    model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    for train, order in ((model.fit, {"shuffle": False}), (model.train_on_batch, {})):
        with pytest.raises(pn.NonFiniteError, match=r"isn't: sample_weight 0 \(row 3 of the batch\).* Likely cause: the data"):
            train(np.ones((16, 2)), np.arange(16) % 2, sample_weight=np.where(np.arange(16) == 3, np.nan, 1.0), **order)


def test_terminate_on_nan_ends_quietly(capsys):
    model, x, y, loss, _ = dense()
    model.compile(pn.optimizers.SGD(1e30), loss)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[pn.callbacks.TerminateOnNaN()])
    assert "Training stopped" in capsys.readouterr().out


@pytest.mark.parametrize("verbose", [0, 2])
def test_the_epochs_before_a_failure_are_in_the_history(verbose):
    x, y = np.ones((4, 1), np.float32), np.ones((4, 1), np.float32)
    for callbacks in ([], [pn.callbacks.TerminateOnNaN()]):
        model = pn.Sequential([pn.layers.Dense(1, input_shape=(1,))])
        model.compile(pn.optimizers.SGD(100.0), "mse")
        try:
            model.fit(x, y, epochs=1000, verbose=verbose, callbacks=callbacks)
            assert callbacks
        except pn.NonFiniteError as error:
            assert f"epoch {len(model.history.epoch) + 1}, batch 1:" in str(error)
        losses = model.history.history["loss"]
        assert 2 < len(losses) < 100 and model.history.epoch == [*range(len(losses))] and np.isfinite(losses).all()
        assert losses[-1] > losses[0] > 0


def test_training_goes_on_bit_for_bit_from_a_saved_model(tmp_path):
    pn.set_seed(1)
    model, x, y, loss, optimizer = dense()
    model.compile(pn.optimizers.Adam(), loss)
    model.fit(x, y, epochs=1, shuffle=False, verbose=0)
    model.save(tmp_path / "m")
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    again = pn.load_model(tmp_path / "m")
    again.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_layer_that_first_gives_what_is_not_finite_is_named(place):
    layers = [L.Dense(2, activation="sigmoid", kernel_initializer="ones", name=name) for name in "abc"]
    layers.insert(place, L.Lambda(lambda x: pn.exp(x * 1000.0), name="broken"))
    model = pn.Sequential([pn.Input((2,)), *layers, L.Dense(1, name="last")])
    model.compile("sgd", "mse")
    with pytest.raises(pn.NonFiniteError, match="The first value that isn't: the output of Lambda 'broken'"):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)


@pytest.mark.parametrize("bad", ["a", "b", "c"])
def test_the_gradient_that_is_not_finite_is_named(bad):
    x = pn.Input((2,))
    broken = {name: L.Lambda(pn.sqrt) if name == bad else L.Lambda(pn.square) for name in "abc"}
    outputs = [broken[name](L.Dense(1, name=name, kernel_initializer="zeros")(x)) for name in "abc"]
    model = pn.Model(x, L.Add()(outputs))
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(pn.NonFiniteError, match=rf"the gradient of '{bad}/kernel' is not finite .*isn't: the gradient of '{bad}/kernel'"):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_weight_that_is_not_finite_is_named_and_large_inputs_are_the_likely_cause():
    model = pn.Sequential([L.Dense(2, name="a", input_shape=(2,)), L.Dense(1, name="b")])
    model.compile("sgd", "mse")
    with pytest.raises(pn.NonFiniteError, match="Likely cause: inputs up to 1e[+]30 are too large"):
        model.fit(np.full((4, 2), 1e30), np.ones((4, 1)), verbose=0)
    model.layers[1].set_weights([np.full((2, 1), np.inf), np.zeros(1)])
    with pytest.raises(pn.NonFiniteError, match="isn't: the weight 'b/kernel'"):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)


GREEDY = """
import resource
import numpy as np, pynn as pn
model = pn.Sequential([pn.layers.Dense(4096, input_shape=(4,)), pn.layers.Dense(1)])
model.compile("sgd", "mse")
x, y = np.zeros((40_000, 4), np.float32), np.zeros((40_000, 1), np.float32)
model.fit(x[:64], y[:64], verbose=0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), -1))
for call in (lambda: model.fit(x, y, batch_size=40_000, verbose=0), lambda: model.train_on_batch(x, y), lambda: model(x),
             lambda: model.predict_on_batch(x), lambda: model.predict_on_batch(x)):
    try:
        call()
    except MemoryError as error:
        print(error)
model.fit(x, y, verbose=0)
print("goes on")
"""


@pytest.mark.skipif(pn.backend() != "native" or sys.platform != "linux", reason="NumPy's words are its own; reads /proc")
def test_a_batch_without_memory_says_what_to_do():
    done = subprocess.run([sys.executable, "-c", GREEDY], capture_output=True, text=True, timeout=100, check=True)
    *refused, last = done.stdout.splitlines()
    assert len(refused) == 5 and last == "goes on"
    assert all("there is no memory for" in line and "batch_size" in line for line in refused), refused


@pytest.mark.parametrize("wrong", [{"optimizer": "adm"}, {"loss": "mean"}, {"metrics": ["acuracy"]}, {"weighted_metrics": "mae"}])
def test_a_compile_that_is_refused_changes_nothing(wrong):
    model = pn.Sequential([pn.layers.Dense(1)])
    model.compile("adam", "mae")
    before = model.optimizer, model.objective, model.compile_arguments
    with pytest.raises((TypeError, ValueError)):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **wrong})
    assert all(a is b for a, b in zip(before, (model.optimizer, model.objective, model.compile_arguments), strict=True))
