"""The arguments of fit, evaluate and predict."""

from __future__ import annotations

import gc
import io
import weakref

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.models.prepared import training_data
from pynn.progress import ProgressBar, duration

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = (X @ RNG.normal(size=(4, 1))).astype(np.float32)


def line(optimizer="sgd", loss="mean_squared_error", **kwargs):
    pn.set_seed(3)
    model = pn.Sequential([L.Dense(1, input_shape=(4,))])
    model.compile(optimizer, loss, **kwargs)
    return model


def weights(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


def test_history_has_a_value_per_epoch():
    history = line(metrics=["mae"]).fit(X, Y, epochs=4, verbose=0)
    assert history.epoch == [0, 1, 2, 3]
    assert {k: len(v) for k, v in history.history.items()} == {"loss": 4, "mae": 4}
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_many_epochs_are_logged_one_by_one():
    history = line().fit(X[:4], Y[:4], epochs=600, batch_size=4, verbose=0)
    assert len(history.history["loss"]) == 600


def test_validation_split_takes_the_last_rows():
    model = line()
    history = model.fit(X, Y, epochs=1, validation_split=0.2, verbose=0)
    want = model.evaluate(X[40:], Y[40:])
    assert history.history["val_loss"][0] == pytest.approx(want, rel=1e-6)


def test_validation_data_leave_all_rows_to_the_training():
    both, alone = line(), line()
    history = both.fit(X, Y, epochs=2, shuffle=False, validation_split=0.5, validation_data=(X[:8], Y[:8]), verbose=0)
    alone.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(weights(both), weights(alone))
    assert history.history["val_loss"][-1] == both.evaluate(X[:8], Y[:8])


def test_validation_data_and_frequency():
    history = line().fit(X, Y, epochs=4, validation_data=(X[:8], Y[:8]), validation_freq=2, verbose=0)
    assert len(history.history["val_loss"]) == 2


def test_sample_weights_of_zero_leave_rows_out():
    a, b = line(), line()
    weight = np.r_[np.ones(25), np.zeros(25)].astype(np.float32)
    a.fit(X, Y, batch_size=50, shuffle=False, sample_weight=weight * 2, verbose=0)
    b.fit(X[:25], Y[:25], batch_size=25, shuffle=False, verbose=0)
    np.testing.assert_allclose(weights(a), weights(b), rtol=1e-5)


def test_class_weights_equal_sample_weights():
    labels = (X[:, 0] > 0).astype(np.int32)

    def model():
        pn.set_seed(3)
        m = pn.Sequential([L.Dense(2, activation="softmax", input_shape=(4,))])
        m.compile("sgd", "sparse_categorical_crossentropy")
        return m

    a, b = model(), model()
    a.fit(X, labels, class_weight={0: 1.0, 1: 3.0}, shuffle=False, verbose=0)
    b.fit(X, labels, sample_weight=np.where(labels == 1, 3.0, 1.0), shuffle=False, verbose=0)
    np.testing.assert_array_equal(weights(a), weights(b))


STEPS = np.array([[0, 1, 2], [2, 2, 2], [1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("loss, y", [
    ("sparse_categorical_crossentropy", STEPS), (["sparse_categorical_crossentropy"], STEPS.astype(np.float32)),
    (pn.losses.SparseCategoricalCrossentropy(), STEPS[..., None]), ("categorical_crossentropy", np.eye(3)[STEPS]),
])  # fmt: skip
def test_classes_of_steps_have_weights(loss, y, eagerly):
    x, by_row, table = RNG.normal(size=(4, 3, 2)), np.array([1.0, 2.0, 0.5, 3.0]), np.array([10.0, 1.0, 2.0])

    def losses(**more):
        pn.set_seed(3)
        model = pn.Sequential([L.Dense(3, activation="softmax", input_shape=(3, 2))])
        model.compile("sgd", loss, run_eagerly=eagerly)
        return [*model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0, **more).history["loss"],
                model.train_on_batch(x, y, more["sample_weight"], more.get("class_weight"))]  # fmt: skip

    wanted = losses(sample_weight=table[STEPS] * by_row[:, None])
    np.testing.assert_allclose(losses(sample_weight=by_row, class_weight=dict(enumerate(table))), wanted, rtol=1e-5)


def test_initial_epoch_and_steps_per_epoch():
    history = line().fit(X, Y, epochs=5, initial_epoch=3, steps_per_epoch=2, batch_size=10, verbose=0)
    assert history.epoch == [3, 4]


def test_stop_training_from_a_callback():
    class Stop(pn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    assert line().fit(X, Y, epochs=10, callbacks=[Stop()], verbose=0).epoch == [0, 1]


def test_batch_hooks_see_every_batch():
    seen = []

    class Watch(pn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, logs["loss"]))

    a, b = line(), line()
    a.fit(X, Y, batch_size=20, epochs=2, callbacks=[Watch()], verbose=0)
    b.fit(X, Y, batch_size=20, epochs=2, verbose=0)
    assert [s[0] for s in seen] == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(weights(a), weights(b))


def test_early_stopping_restores_the_best_weights():
    model = line(pn.optimizers.SGD(0.9))
    stop = pn.callbacks.EarlyStopping(monitor="loss", patience=2, restore_best_weights=True)
    history = model.fit(X, Y, epochs=50, batch_size=50, callbacks=[stop], verbose=0)
    assert len(history.epoch) < 50


def test_checkpoints_and_csv(tmp_path):
    model = line()
    callbacks = [
        pn.callbacks.ModelCheckpoint(tmp_path / "w-{epoch:02d}.safetensors", save_weights_only=True),
        pn.callbacks.ModelCheckpoint(tmp_path / "best", monitor="loss", save_best_only=True),
        pn.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    model.fit(X, Y, epochs=3, callbacks=callbacks, verbose=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "log.csv"] + [f"w-0{i}.safetensors" for i in (1, 2, 3)]
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "epoch,loss"
    again = line()
    again.load_weights(tmp_path / "w-03.safetensors")
    np.testing.assert_array_equal(weights(again), weights(model))


def test_learning_rate_callbacks():
    model = line()
    model.fit(X, Y, epochs=3, callbacks=[pn.callbacks.LearningRateScheduler(lambda e, lr: lr / 2)], verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01 / 8)
    plateau = pn.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=1e9)
    model.fit(X, Y, epochs=3, callbacks=[plateau], verbose=0)
    assert float(model.optimizer.learning_rate) < 0.01 / 8


def test_schedules_and_python_functions_of_the_step():
    schedule = pn.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    a, b, c = line(pn.optimizers.SGD(schedule)), line(pn.optimizers.SGD(lambda step: 0.1 * 0.5 ** (step / 5))), line()
    for model in (a, b):
        model.fit(X, Y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(weights(a), weights(b), rtol=1e-5)
    c.fit(X, Y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    assert not np.allclose(weights(a), weights(c))


def test_train_and_test_on_batch():
    model = line(metrics=["mae"])
    first = model.train_on_batch(X, Y)
    second = model.test_on_batch(X, Y, return_dict=True)
    assert second["loss"] < first[0]
    assert set(second) == {"loss", "mae"}


def test_evaluate_weighs_a_partial_batch_by_its_rows():
    model = line()
    whole = model.evaluate(X, Y, batch_size=50)
    assert model.evaluate(X, Y, batch_size=15) == pytest.approx(whole, rel=1e-5)


def test_predict_keeps_rows_in_order():
    model = line()
    few, all_at_once = model.predict(X, batch_size=7), model.predict(X, batch_size=50)
    if pn.backend() == "native":
        np.testing.assert_array_equal(few, all_at_once)
    else:  # its BLAS may sum in another order for another number of rows
        np.testing.assert_allclose(few, all_at_once, rtol=1e-5, atol=1e-6)
    assert model.predict(X[:0]).shape == (0, 1)


def test_several_inputs_and_outputs():
    a, b = pn.Input((4,), name="a"), pn.Input((3,), name="b")
    h = L.Dense(5)(L.Concatenate()([a, b]))
    model = pn.Model([a, b], [L.Dense(1, name="p")(h), L.Dense(2, name="q")(h)])
    model.compile("adam", {"p": "mse", "q": "mae"}, loss_weights={"p": 1.0, "q": 0.5}, metrics={"q": ["mse"]})
    data = {"a": X, "b": X[:, :3]}
    history = model.fit(data, {"p": Y, "q": X[:, :2]}, epochs=2, verbose=0)
    assert {"loss", "p_loss", "q_loss"} <= set(history.history)
    p, q = model.predict(data)
    assert p.shape == (50, 1) and q.shape == (50, 2)


def test_subclassed_models_train():
    class Line(pn.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(1)

        def call(self, x, training=False):
            return self.dense(x)

    model = Line()
    model.compile("sgd", "mse")
    history = model.fit(X, Y, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: line().fit(X, Y[:10], verbose=0), ValueError, "same number of rows"),
        (lambda: line().fit(X, verbose=0), ValueError, "y is missing"),
        (lambda: line().fit(X, Y, epochs=0, verbose=0), ValueError, "epochs"),
        (lambda: line().fit(X[:0], Y[:0], verbose=0), ValueError, "no rows"),
        (lambda: line().fit(X, Y, validation_split=1.5, verbose=0), ValueError, "validation_split"),
        (lambda: line().fit(iter([]), Y, verbose=0), ValueError, "yields batches"),
        (lambda: pn.Sequential([L.Dense(1)]).fit(X, Y), RuntimeError, "compile"),
        (lambda: line().fit([["a"]], Y), TypeError, "numbers"),
        (lambda: line().fit(X[:, :3], Y, verbose=0), ValueError, "Dense"),
        (lambda: line().predict(X[:, :3]), ValueError, "Dense"),
        (lambda: line(loss=None).fit(X, Y), ValueError, "loss"),
        (lambda: line().evaluate([(X, Y)].__iter__(), Y), ValueError, "yields batches, so y"),
        (lambda: line().evaluate([(X, Y)].__iter__(), sample_weight=X[:, 0]), ValueError, "yields batches, so sample_weight"),
        (lambda: line().fit(X, Y, validation_data=iter([(X, Y)]), validation_batch_size=4), ValueError, "so validation_batch_size can't"),
        (lambda: line().fit(X, Y, epochs=2, validation_data=iter([(X, Y)]), verbose=0), ValueError, "validation_steps in fit"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_line_an_epoch_in_a_file():
    out = io.StringIO()
    bar = ProgressBar(1, 2, out)
    bar.start(0)
    bar.update(1, 10, {"loss": 1.0})
    bar.finish({"loss": 0.5}, 10)
    assert out.getvalue().count("\n") == 1 and "Epoch 1/2" in out.getvalue() and "\x1b" not in out.getvalue()


def test_values_and_times_are_short():
    out = io.StringIO()
    ProgressBar(1, 2, out).finish({"a": 0.0, "b": 12.34567, "c": 0.00012345, "d": -123456.0, "e": 1e-3}, 10, 0, 200.0)
    assert out.getvalue() == "Epoch 1/2  10 steps in 3 min 20 s  a 0.0000  b 12.3457  c 1.234e-04  d -1.235e+05  e 0.0010\n"
    assert [duration(s) for s in (0.4211, 12.3, 60.0, 3599.9)] == ["0.42 s", "12 s", "1 min 0 s", "59 min 59 s"]


def test_a_process_without_a_console_trains(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert line().fit(X, Y).epoch == [0]


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    bar = ProgressBar(1, 2, out)
    bar.start(0)
    bar._drawn = 0
    bar.update(5, 10, {"loss": 1.0})
    assert "━" in out.getvalue() and "\x1b[32m" not in out.getvalue()


def test_verbose_of_evaluate_and_predict(capsys):
    model = line()
    model.evaluate(X, Y), model.predict(X), model.evaluate(X, Y, verbose="auto"), model.predict(X, verbose="auto")
    assert capsys.readouterr().out == ""
    model.evaluate(X, Y, verbose=1), model.predict(X, verbose=2)
    evaluated, predicted = capsys.readouterr().out.splitlines()
    assert evaluated.startswith("2 steps in 0.") and "loss" in evaluated and predicted.startswith("2 steps in 0.")
    for name, call in (("evaluate", lambda **words: model.evaluate(X, Y, **words)), ("predict", lambda **words: model.predict(X, **words))):
        with pytest.raises(ValueError, match=rf"\[{name}\] verbose must be 'auto', 0 .* Received: verbose='x'"):
            call(verbose="x")


def test_a_summary_counts_the_bytes_of_each_dtype(capsys):
    for dtype, size in (("float32", "1.00 KB"), ("float64", "2.00 KB")):
        pn.Sequential([L.Dense(64, input_shape=(3,), dtype=dtype)]).summary()
        assert f"Total parameters: 256 ({size})" in capsys.readouterr().out


def test_verbose_0_prints_nothing(capsys):
    line().fit(X, Y, epochs=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_a_stateful_model_is_fitted_with_its_batch_size():
    x, y = RNG.normal(size=(12, 3, 2)).astype(np.float32), RNG.normal(size=(12, 1)).astype(np.float32)
    pn.set_seed(0)
    model = pn.Sequential([L.GRU(3, stateful=True, batch_input_shape=(4, 3, 2)), L.Dense(1)])
    model.compile("sgd", "mse")
    first = model.predict(x[:4], batch_size=4)
    model.reset_state()
    model.evaluate(x[:4], y[:4], batch_size=4)
    model.reset_state()
    np.testing.assert_array_equal(model.predict(x[:4], batch_size=4), first)
    assert len(model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).epoch) == 2


def test_building_leaves_states_at_zero():
    x, y = np.ones((4, 3, 2), np.float32), np.ones((4, 1), np.float32)
    model = pn.Sequential([L.SimpleRNN(3, stateful=True), L.Dense(1)])
    model.compile("sgd", "mse")
    model.objective_reset(training_data(model, x, y))
    for state in model.state_variables:
        np.testing.assert_array_equal(state.numpy(), 0)


def test_short_epochs_go_through_all_rows():
    a, b = line(), line()
    a.fit(X[:40], Y[:40], batch_size=10, steps_per_epoch=2, epochs=4, shuffle=False, verbose=0)
    b.fit(X[:40], Y[:40], batch_size=10, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(weights(a), weights(b))


@pytest.mark.parametrize("callback, rates", [
    (pn.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5), [0.005, 0.0025, 0.00125]),
    (pn.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9), [0.01, 0.01, 0.001]),
])  # fmt: skip
def test_learning_rates_are_in_the_history(callback, rates):
    history = line().fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    np.testing.assert_allclose(history.history["learning_rate"], rates, rtol=1e-5)


def test_layers_of_a_graph_are_in_keras_order():
    a, b = pn.Input((5,), name="a"), pn.Input((4,), name="b")
    joined = L.Concatenate()([L.Dense(4, name="left")(a), L.Dense(3, name="right")(b)])
    deep = L.Dense(2, name="deep")(L.Dense(2, name="before")(joined))
    model = pn.Model([a, b], [L.Dense(3, name="p")(joined), deep])
    names = [w.path for w in model.weights if w.path.endswith("kernel")]
    assert names == ["left/kernel", "right/kernel", "before/kernel", "p/kernel", "deep/kernel"]


def test_weighted_metrics_beside_the_same_plain_ones():
    model = line(metrics=["mae"], weighted_metrics=["mae"])
    history = model.fit(X, Y, sample_weight=np.arange(50.0), verbose=0)
    assert list(history.history) == ["loss", "mae", "weighted_mae"]


def test_tables_and_bars_do_without_characters_that_the_output_lacks(monkeypatch, capsys):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    line().summary()
    stream.flush()
    assert b"====" in stream.buffer.getvalue()
    bar = ProgressBar(1, 2, stream)
    assert set(bar._bar(3, 6)) == {"=", "-"}


def test_integers_keep_their_values():
    model = pn.Sequential([L.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    model.compile("sgd", "mae")
    assert model.evaluate([[1.0]], [[3_000_000_000]]) == 3e9
    assert model.evaluate([[1.0]], np.array([[2**63 + 2**40]], np.uint64)) == pytest.approx(2.0**63)
    same = pn.Sequential([L.Activation("linear", input_shape=(1,))])
    assert same.predict(np.array([[2**64 - 1]], np.uint64)) == np.float32(2**64)


def test_labels_that_are_no_class_are_refused():
    model = pn.Sequential([L.Dense(2, activation="softmax", input_shape=(1,))])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="4294967297|NaN|finite"):
        model.fit([[1.0]], [2**32 + 1], verbose=0)


class Noted(pn.callbacks.Callback):
    def __init__(self):
        self.seen = []

    def on_test_begin(self, logs=None):
        self.seen.append(("begin", dict(logs)))

    def on_test_batch_end(self, batch, logs=None):
        self.seen.append((batch, dict(logs)))

    def on_test_end(self, logs=None):
        self.seen.append(("end", dict(logs)))

    def on_predict_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["outputs"].shape))


def test_hooks_of_validation_and_prediction():
    noted = Noted()
    history = line(metrics=["mae"]).fit(X, Y, validation_data=(X[:5], Y[:5]), batch_size=3, verbose=0, callbacks=[noted]).history
    last = {"loss": history["val_loss"][0], "mae": history["val_mae"][0]}
    assert [name for name, _ in noted.seen] == ["begin", 0, 1, "end"]
    assert noted.seen[2][1] == noted.seen[3][1] == last
    assert noted.params["epochs"] == 1
    other = Noted()
    line().predict(X[:5], batch_size=3, callbacks=[other])
    assert other.seen == [(0, (3, 1)), (1, (2, 1))]


@pytest.mark.parametrize("eagerly", [False, True])
def test_stop_training_holds_within_an_epoch(eagerly):
    class Stop(pn.callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            self.model.stop_training = batch == 1

    stop = Stop()
    line(run_eagerly=eagerly).fit(X, Y, batch_size=10, verbose=0, callbacks=[stop])
    assert stop.batches == 2


def labelled():
    model = pn.Sequential([L.Dense(3, activation="softmax", input_shape=(4,))])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


HALVES = np.full(50, 1.5)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: line().fit(X, Y, validation_split=0.5, validation_freq=0, verbose=0), "validation_freq.*above zero"),
        (lambda: line().fit(X, Y, validation_split=0.5, validation_freq=1.5, verbose=0), "validation_freq.*1.5"),
        (lambda: line().fit(X, Y, validation_split=0.5, validation_freq="a", verbose=0), "validation_freq.*'a'"),
        (lambda: line().fit(X, Y, validation_split=0.5, validation_freq=[1, 0.5], verbose=0), "validation_freq.*0.5"),
        (lambda: line().fit(X, Y, validation_split=0.5, validation_steps=0, verbose=0), "validation_steps"),
        (lambda: line().fit(X, Y, validation_split=0.5, validation_steps=2.5, verbose=0), "validation_steps"),
        (lambda: line().fit(X, Y, initial_epoch=-1, verbose=0), "initial_epoch must be a whole number of 0 or more"),
        (lambda: line().fit(X, Y, validation_data=(X, None), verbose=0), "y is missing"),
        (lambda: line().evaluate(X, Y, steps=1.5), "steps"),
        (lambda: line().predict(X, steps=0), "steps"),
        (lambda: line().fit(iter([(X, Y)]), batch_size=8, verbose=0), r"\[fit\] x yields batches.* batch_size=8"),
        (lambda: line().evaluate(iter([(X, Y)]), batch_size=8), r"\[evaluate\] x yields batches.* batch_size=8"),
        (lambda: line().predict(iter([X]), batch_size=8), r"\[predict\] x yields batches.* batch_size=8"),
        (lambda: line().evaluate(X), "y is missing"),
        (lambda: line().evaluate(iter([X])), "without targets"),
        (lambda: line().train_on_batch(X), "y is missing"),
        (lambda: labelled().evaluate(X, HALVES), "whole numbers"),
        (lambda: labelled().fit(X, np.ones(50), validation_data=(X, HALVES), verbose=0), "whole numbers"),
        (lambda: labelled().train_on_batch(X, HALVES), "whole numbers"),
        (lambda: labelled().test_on_batch(X, HALVES), "whole numbers"),
        (lambda: labelled().train_on_batch(X, HALVES, class_weight={0: 1.0}), "whole numbers"),
        (lambda: labelled().fit(iter([(X, np.ones(50)), (X, HALVES)]), verbose=0), "whole numbers"),
    ],
)
def test_arguments_are_checked(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_evaluate_needs_data():
    with pytest.raises(TypeError, match="nothing to evaluate"):
        line().evaluate()


def test_validation_data_may_be_a_list():
    assert "val_loss" in line().fit(X, Y, validation_data=[X, Y], validation_freq=[1], verbose=0).history


def test_none_is_the_default_of_each_number():
    none = dict.fromkeys(["batch_size", "epochs", "initial_epoch", "steps_per_epoch", "validation_steps", "validation_batch_size"])
    history = line().fit(X, Y, validation_data=(X, Y), validation_freq=None, verbose=0, **none)
    assert history.epoch == [0] and history.history == line().fit(X, Y, validation_data=(X, Y), verbose=0).history
    with pytest.raises(ValueError, match=r"\[fit\] epochs must be a whole number above zero. Received: epochs=1.5"):
        line().fit(X, Y, epochs=1.5)


@pytest.mark.parametrize("label, words", [(np.nan, "nan"), (np.inf, "inf"), (-1.0, "-1"), (0.5, "0.5")])
def test_class_weights_are_for_labels_that_are_classes(label, words):
    y = np.where(np.arange(50) == 7, label, 1.0)
    for call in (line().fit, line().train_on_batch):
        with pytest.raises(ValueError, match=rf"\[fit\] class_weight needs labels that are whole numbers.* Received: {words} among them"):
            call(X, y, class_weight={0: 1.0, 1: 2.0})


def test_the_data_is_let_go():
    model = pn.Sequential([L.Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse")
    x, y = np.ones((100, 4), np.float32), np.zeros((100, 1), np.float32)
    for _ in range(2):
        model.fit(x, y, validation_data=(x, y), verbose=0), model.evaluate(x, y), model.predict(x), model.train_on_batch(x, y), model(x)
    alive = weakref.ref(x)
    del x
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("wrong", [{"metrics": {"x": ["mae"]}}, {"loss": {"x": "mse"}}, {"loss": None},
                                   {"loss_weights": [1, 2]}])  # fmt: skip
def test_what_is_wrong_with_compile_is_told_at_each_fit(wrong):
    model = line(**wrong)
    messages = []
    for call in (model.fit, model.fit, model.train_on_batch, model.evaluate):
        with pytest.raises(ValueError) as error:
            call(X, Y)
        messages.append(str(error.value))
    assert len(set(messages)) == 1


def test_a_model_in_float64_sees_all_digits_of_its_data():
    x, y, weights = np.array([[1 + 1e-10], [2.0]]), np.array([[1e-10], [3 + 1e-10]]), np.array([1.0, 1 + 1e-10])
    model = pn.Sequential([L.Dense(1, kernel_initializer="ones", dtype="float64", input_shape=(1,))])
    model.compile(pn.optimizers.SGD(0.0), "mse")
    histories = [model.fit(x, y, sample_weight=weights, verbose=0), model.fit(iter([(x, y, weights)]), verbose=0)]
    losses = [*(h.history["loss"][0] for h in histories), model.evaluate(x, y, sample_weight=weights), model.train_on_batch(x, y, weights)]
    np.testing.assert_allclose(losses, np.mean((x - y) ** 2 * weights[:, None]), rtol=1e-14)
    for call in (model, model.predict, model.predict_on_batch):
        np.testing.assert_array_equal(np.asarray(call(x)), x)
