"""Callbacks that watch a value or write it down."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest

import pynn as pn
from pynn import callbacks as C
from pynn import layers as L

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype(np.float32)
Y = (X @ RNG.normal(size=(4, 1))).astype(np.float32)


def line(optimizer="sgd", **kwargs):
    pn.set_seed(3)
    model = pn.Sequential([L.Dense(1, input_shape=(4,))])
    model.compile(optimizer, "mse", **kwargs)
    return model


def turned(monitor, model):
    """Whether the callback holds larger values for better, once the model has run."""
    watch = C.EarlyStopping(monitor)
    watch.set_model(model)
    return watch.larger_is_better


class Gain(pn.metrics.Mean):
    """A metric of a user's own, of which more is better."""

    direction = "up"

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_pred - y_true, sample_weight)


def test_the_direction_is_that_of_the_metric():
    up = [pn.metrics.R2Score(), "cosine_similarity", "accuracy", Gain(), pn.metrics.AUC(name="area"), pn.metrics.Precision(name="p")]
    down = ["mae", "binary_crossentropy", pn.metrics.RootMeanSquaredError(name="no_auc"), pn.losses.CosineSimilarity(name="similarity")]
    model = line(metrics=[*up, *down, pn.metrics.AUC(name="area")])
    model.evaluate(X, (Y > 0).astype(np.float32))
    names = ["r2_score", "cosine_similarity", "accuracy", "gain", "area", "p", "area_1"]
    assert [turned(f"val_{name}", model) for name in names] == [True] * 7
    names = ["mae", "no_auc", "similarity", "binary_crossentropy", "loss"]
    assert [turned(f"val_{name}", model) for name in names] == [False] * 5


def test_an_output_whose_name_holds_acc_is_still_a_loss():
    x = pn.Input((4,))
    model = pn.Model(x, [L.Dense(1, name="acceleration")(x), L.Dense(1, name="speed")(x)])
    model.compile("sgd", "mse", metrics=["mae"])
    stop = C.EarlyStopping("val_acceleration_loss", patience=2)
    history = model.fit(X, [Y, Y], epochs=6, verbose=0, validation_data=(X, [Y, Y]), callbacks=[stop])
    assert len(history.epoch) == 6 and stop.best == min(history.history["val_acceleration_loss"])
    assert not turned("acceleration_mae", model)


def test_without_a_metric_the_name_decides():
    assert turned("val_acc", None) and turned("val_top_5_accuracy_2", None) and turned("val_F1_score", None)
    assert not turned("learning_rate", None) and not turned("val_recall_loss", None) and not turned("val_accident", None)


def test_early_stopping_maximises_the_share_of_variance():
    stop = C.EarlyStopping("val_r2_score", patience=2, restore_best_weights=True)
    history = line(metrics=[pn.metrics.R2Score()]).fit(X, Y, epochs=8, verbose=0, validation_data=(X, Y), callbacks=[stop])
    assert len(history.epoch) == 8 and stop.best == max(history.history["val_r2_score"])


def shown(callback, values, **more):
    """The callback's model, and its learning rate after each epoch, once the callback has seen these losses; weights tell the epoch."""
    model, rates = line(pn.optimizers.SGD(0.1)), []
    callback.set_model(model)
    callback.set_params({"validation": True})
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.set_weights([np.full((4, 1), epoch), [epoch]])
        callback.on_epoch_end(epoch, {"loss": value, **more})
        rates.append(round(float(model.optimizer.learning_rate), 6))
        if model.stop_training:
            break
    callback.on_train_end()
    return model, rates


@pytest.mark.parametrize("words, losses, stopped, kept", [  # as Keras 3 has it
    (dict(), [3, 2, 2, 1], 2, 2),
    (dict(patience=3, min_delta=0.1, baseline=1.0, start_from_epoch=2), [1.7, 1.3, 1.1, 1, 0.5, 0.7, 0.5, 0.1, 0.5, 1, 0.9, 0], 10, 10),
    (dict(patience=3, min_delta=0.1, mode="max", baseline=1.0, restore_best_weights=True), [1.4, 0.4, 0, 2, 1.9, 0.5, 0, 1.5], 6, 3),
    (dict(patience=3, start_from_epoch=2, restore_best_weights=True), [0, 0.05, 1, 2, 0.5, 0.2, 0.9, 1, 1.6, 1.5], 8, 5),
    (dict(patience=3, min_delta=-0.3, restore_best_weights=True), [0.6, 0.4, 0, 0.6, 1.2, 0.2, 0.5], 5, 2),
    (dict(patience=2, baseline=0.1), [1, 0.9, 0.95, 0.8], 2, 2),
    (dict(patience=5, restore_best_weights=True), [3, 1, 2], 0, 1),
    (dict(patience=5), [3, 1, 2], 0, 2),
    (dict(patience=2, restore_best_weights=True), [float("nan"), 2, 3, 4], 3, 1),  # there, nothing is better than no number
])  # fmt: skip
def test_early_stopping(words, losses, stopped, kept):
    stop = C.EarlyStopping("loss", **words)
    model, _ = shown(stop, losses)
    assert stop.stopped_epoch == stopped and model.stop_training == (stopped > 0)
    assert {float(w.flat[0]) for w in model.get_weights()} == {kept}


@pytest.mark.parametrize("words, losses, rates", [  # as Keras 3 has it
    (dict(patience=2, factor=0.5, mode="max", cooldown=2, min_lr=0.02, min_delta=0), [1.2, 2, 0.5, 1.6, 0, 1.5, 0, 1.8, 1, 1, 0.3, 2],
     [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.02, 0.02, 0.02]),
    (dict(patience=2, factor=0.5, cooldown=3, min_delta=0.5), [1.7, 1.3, 1.1, 1, 0.5, 0.7, 0.5, 0.1, 0.5, 1, 0.9, 0],
     [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]),
    (dict(patience=1, factor=0.5, cooldown=3, min_delta=0), [1.5, 0, 1.5, 0.5, 1.3, 0.5, 1.5, 2], [0.1, 0.1] + [0.05] * 3 + [0.025] * 3),
    (dict(), [1] * 11 + [0.5, 0.49995], [0.1] * 10 + [0.01] * 3),
])  # fmt: skip
def test_rates_go_down_on_a_plateau(words, losses, rates):
    assert shown(C.ReduceLROnPlateau("loss", **words), losses)[1] == rates


def test_the_best_models_are_kept_and_no_others(tmp_path):
    keep = C.ModelCheckpoint(tmp_path / "{epoch}.safetensors", "loss", save_best_only=True, save_weights_only=True)
    shown(keep, [3.0, 1.0, 2.0, 1.0, 0.5])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.safetensors", "2.safetensors", "5.safetensors"]
    keep = C.ModelCheckpoint(tmp_path / "{epoch}.safetensors", "val_loss", save_best_only=True, save_weights_only=True)
    shown(keep, [3.0])  # this validation wasn't due


@pytest.mark.parametrize("monitor", ["val_acc", "vloss", "val_"])
def test_a_value_that_never_comes_is_refused_though_there_is_a_validation(monitor):
    with pytest.raises(ValueError, match=rf"\[EarlyStopping\] there is no '{monitor}' to monitor. Received: loss"):
        line().fit(X, Y, verbose=0, validation_data=(X, Y), validation_freq=2, callbacks=[C.EarlyStopping(monitor)])


def test_a_reused_early_stopping_forgets_that_it_stopped(capsys):
    stop = C.EarlyStopping("loss", patience=1, min_delta=1e9, verbose=1)
    line().fit(X, Y, epochs=5, verbose=0, callbacks=[stop])
    assert stop.stopped_epoch == 1 and "Stopped after epoch 2: loss was best" in capsys.readouterr().out
    line().fit(X, Y, epochs=1, verbose=0, callbacks=[stop])
    assert stop.stopped_epoch == 0 and not capsys.readouterr().out


@pytest.mark.parametrize("callback", [
    C.LearningRateScheduler(lambda epoch, rate: rate / 2),
    C.LearningRateScheduler(lambda epoch: 0.5),
    C.ReduceLROnPlateau("loss", patience=1, min_delta=1e9),
])  # fmt: skip
def test_callbacks_leave_a_schedule_alone(callback):
    model = line(pn.optimizers.SGD(pn.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)))
    with pytest.raises(TypeError, match="the learning rate can't be set"):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])


@pytest.mark.parametrize("freq", [1, 2])
def test_the_csv_file_has_columns_for_a_validation_that_comes_later(tmp_path, freq):
    callbacks = [C.LearningRateScheduler(lambda epoch: 0.5), C.CSVLogger(tmp_path / "log.csv")]
    history = line(metrics=["mae"]).fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y), validation_freq=freq, callbacks=callbacks)
    header, first, second = [row.split(",") for row in (tmp_path / "log.csv").read_text().splitlines()]
    assert header == ["epoch", "loss", "mae", "learning_rate", "val_loss", "val_mae"]
    assert (first[-2:] == ["NA", "NA"]) == (freq == 2)
    assert [float(v) for v in second] == [1, *(history.history[name][-1] for name in header[1:])]


@pytest.mark.parametrize("name", ["x.keras", "x-{epoch}.H5"])
def test_checkpoints_refuse_a_file_for_a_model_at_once(name):
    what = r"not as a \.(keras|H5) file\. Received: 'x"
    with pytest.raises(ValueError, match=rf"\[ModelCheckpoint\] a model is saved as a folder, .*{what}.* save_weights_only=True and"):
        C.ModelCheckpoint(name)
    with pytest.raises(ValueError, match=rf"\[ModelCheckpoint\] weights are saved as a safetensors file, {what}.* Name it with the suffix"):
        C.ModelCheckpoint(name, save_weights_only=True)
    C.ModelCheckpoint("x-{epoch}.safetensors", save_weights_only=True)


@pytest.mark.parametrize("given", [None, "0.1", [0.1, 0.2]])
def test_a_schedule_has_to_give_a_number(given):
    model = pn.Sequential([L.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"\[LearningRateScheduler\] the schedule must return .* a number. Received: .* for epoch 0"):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), callbacks=[C.LearningRateScheduler(lambda epoch: given)], verbose=0)


def test_curves_of_some_epochs_are_drawn_where_they_belong():
    pytest.importorskip("matplotlib")
    history = line().fit(X, Y, epochs=5, verbose=0, validation_data=(X, Y), validation_freq=2)
    (panel,) = history.plot("loss").axes
    assert [curve.get_xdata().tolist() for curve in panel.lines] == [[1, 2, 3, 4, 5], [2, 4]]
    again = C.History()
    again.set_state(history.get_state())
    assert [curve.get_xdata().tolist() for curve in again.plot("loss").axes[0].lines] == [[1, 2, 3, 4, 5], [2, 4]]
    with pytest.raises(ValueError, match=r"\[History.plot\] there are no values named 'nope'. Known: loss, val_loss"):
        history.plot(["nope"])
    with pytest.raises(ValueError, match="nothing was trained"):
        C.History().plot()


def test_the_history_knows_what_it_was_part_of():
    history = line().fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y))
    assert history.params["epochs"] == 2 and history.params["validation"] is True


def test_a_file_that_is_gone_is_begun_anew_by_a_resumed_training(tmp_path):
    logger = C.CSVLogger(tmp_path / "log.csv")
    logger.set_model(line())
    logger.on_train_begin()
    logger.set_state({"bytes": 1000})
    logger.on_epoch_end(3, {"loss": 0.5})
    assert (tmp_path / "log.csv").read_text().split() == ["epoch,loss", "3,0.5"]


def test_lines_go_on_under_the_columns_that_are_there(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,val_loss,loss\n0,2,1\n")
    line(metrics=["mae"]).fit(X, Y, epochs=2, initial_epoch=1, verbose=0, callbacks=[C.CSVLogger(path, append=True)])
    header, _, row = [text.split(",") for text in path.read_text().splitlines()]
    assert header == ["epoch", "val_loss", "loss"] and row[:2] == ["1", "NA"] and float(row[2]) >= 0 and len(row) == 3


def test_a_history_that_was_filled_by_hand_is_drawn():
    pytest.importorskip("matplotlib")
    history = C.History()
    history.history, history.epoch = {"loss": [2.0, 1.0]}, [0, 1]
    assert history.plot().axes[0].lines[0].get_xdata().tolist() == [1, 2]


def test_the_csv_file_is_closed_when_a_training_fails(tmp_path):
    class Fails(C.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("enough")

    logger = C.CSVLogger(tmp_path / "log.csv")
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            with pytest.raises(RuntimeError, match="enough"):
                line().fit(X, Y, epochs=3, verbose=0, callbacks=[logger, Fails()])
            logger.on_train_begin()
            gc.collect()
        assert not [w for w in caught if "log.csv" in str(w.message)]
        assert [row.split(",")[0] for row in (tmp_path / "log.csv").read_text().splitlines()] == ["epoch", "0", "1"]


def test_a_type_error_within_a_schedule_is_its_own():
    def schedule(epoch, rate):
        return rate + "a tenth"

    model = pn.Sequential([L.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="unsupported operand"):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), callbacks=[C.LearningRateScheduler(schedule)], verbose=0)


@pytest.mark.parametrize("kind", ["arrays", "batches", "eager"])
@pytest.mark.parametrize("word", ["evaluate", "test_on_batch"])
def test_what_a_callback_evaluates_is_no_part_of_the_epoch(word, kind):
    x, y = np.random.default_rng(0).normal(size=(2, 24, 1)).astype(np.float32)
    histories, values = [], []
    for evaluates in (False, True):
        pn.set_seed(1)
        model = pn.Sequential([L.Dense(1, input_shape=(1,))])
        model.compile("sgd", "mse", metrics=["mae"], run_eagerly=kind == "eager")
        call = getattr(model, word)
        look = C.LambdaCallback(on_train_batch_end=lambda batch, logs, call=call: values.append(call(9 * x, y)[0]))
        data = ([(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)].__iter__(),) if kind == "batches" else (x, y)
        words = {} if kind == "batches" else {"batch_size": 8, "shuffle": False}
        histories.append(model.fit(*data, callbacks=[look] if evaluates else [], verbose=0, **words).history)
    assert histories[0] == histories[1]
    assert len(values) == 3 and min(values) > histories[0]["loss"][0]


def test_a_callback_may_fit_its_model_in_the_middle_of_an_epoch():
    words = {"batch_size": 8, "shuffle": False, "verbose": 0}
    histories = []
    for eagerly in (False, True):
        model, inner = line(run_eagerly=eagerly), []

        def fit_once(batch, logs, model=model, inner=inner):
            if not inner:
                inner.append(model.fit(X, Y, **words))
                inner.append(model.fit(X, Y, epochs=5, callbacks=[C.EarlyStopping("loss", min_delta=1e9)], **words))

        outer = model.fit(X, Y, epochs=2, callbacks=[C.LambdaCallback(on_train_batch_end=fit_once)], **words)
        assert model.history is outer and outer.epoch == [0, 1]
        assert int(model.optimizer.iterations.item()) == 3 * (2 + 1 + len(inner[1].epoch))
        histories.append([h.history for h in (outer, *inner)])
    assert histories[0] == histories[1]


def test_a_callback_may_compile_its_model_between_epochs():
    model = line()
    compiles = C.LambdaCallback(on_epoch_end=lambda epoch, logs: model.compile("adam", "mae") if epoch == 1 else None)
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[compiles]).history
    assert len(history["loss"]) == 3 and int(model.optimizer.iterations.item()) == 1
    assert model.evaluate(X, Y) > 0
    late = C.LambdaCallback(on_train_batch_end=lambda batch, logs: model.compile("sgd", "mse"))
    for data in ((X, Y), ([(X, Y)].__iter__(),)):
        with pytest.raises(RuntimeError, match=r"\[fit\] the model was compiled again in the middle of an epoch, by on_train_batch_end"):
            model.fit(*data, verbose=0, callbacks=[late])


def test_batches_have_the_shorter_names_of_their_hooks():
    seen = []

    class Short(C.Callback):
        def on_batch_begin(self, batch, logs=None):
            seen.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            seen.append(("end", batch, sorted(logs)))

    line().fit(X, Y, batch_size=12, verbose=0, callbacks=[Short()])
    assert seen == [("begin", 0), ("end", 0, ["loss"]), ("begin", 1), ("end", 1, ["loss"])]


@pytest.mark.parametrize("make", [
    lambda: C.ModelCheckpoint("best.safetensors", save_weights_only=True),
    lambda: C.ModelCheckpoint("best.safetensors", save_weights_only=True, save_freq=3),
    lambda: C.BackupAndRestore("backup"),
    lambda: C.BackupAndRestore("backup", save_freq=3),
    lambda: C.LambdaCallback(on_epoch_begin=lambda epoch, logs: None),
    C.Callback,
])  # fmt: skip
@pytest.mark.parametrize("on", ["class", "object"])
def test_every_hook_that_is_defined_is_called(tmp_path, monkeypatch, make, on):
    monkeypatch.chdir(tmp_path)
    callback, seen = make(), []
    callback.__class__ = type("Own", (type(callback),), {})
    owner = type(callback) if on == "class" else callback
    for name in ("on_train_begin", "on_epoch_end", "on_train_batch_end", "on_train_end"):
        usual = getattr(owner, name)

        def hook(*args, name=name, usual=usual):
            seen.append(name)
            return usual(*args)

        setattr(owner, name, hook)
    line().fit(X, Y, batch_size=12, epochs=2, verbose=0, callbacks=[callback])
    assert seen == ["on_train_begin", *["on_train_batch_end", "on_train_batch_end", "on_epoch_end"] * 2, "on_train_end"]


def test_a_stop_before_an_epoch_ends_it_after_one_batch():
    def stop(epoch, logs):
        model.stop_training = epoch == 1

    for words in ({}, {"run_eagerly": True}):
        model = line(**words)
        history = model.fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[C.LambdaCallback(on_epoch_begin=stop)])
        assert history.epoch == [0, 1] and int(model.optimizer.iterations) == 7


def test_the_end_is_told_the_last_epoch_alone():
    ends, validated = [], {"validation_data": (X, Y), "validation_freq": 2}
    for epochs in (2, 3):
        line().fit(X, Y, epochs=epochs, verbose=0, callbacks=[C.LambdaCallback(on_train_end=ends.append)], **validated)
    assert [sorted(logs) for logs in ends] == [["loss", "val_loss"], ["loss"]]


@pytest.mark.parametrize("make, words", [
    (lambda: C.EarlyStopping(baseline="low"), r"\[EarlyStopping\] baseline must be a number. Received: baseline='low'"),
    (lambda: C.ModelCheckpoint("m", initial_value_threshold="low"), r"\[ModelCheckpoint\] initial_value_threshold must be a number"),
    (lambda: C.CSVLogger("log.csv", separator=", "), r"\[CSVLogger\] separator is one character.*separator=', '"),
    (lambda: line().fit(X, Y, verbose=0, callbacks=[C.EarlyStopping(None)]), r"\[EarlyStopping\] there is no None to monitor"),
    (lambda: line().fit(X, Y, verbose=0, validation_split="0.2"), r"\[fit\] validation_split must be.*validation_split='0.2'"),
])  # fmt: skip
def test_what_no_callback_can_use_is_refused_at_once(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_log_makes_its_folder(tmp_path):
    line().fit(X, Y, verbose=0, callbacks=[C.CSVLogger(tmp_path / "runs" / "1" / "log.csv")])
    assert (tmp_path / "runs" / "1" / "log.csv").read_text().startswith("epoch,loss\n0,")


def test_a_history_among_the_callbacks_is_one_too():
    own, model = C.History(), line()
    for _ in range(2):
        history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[own], validation_data=(X, Y), validation_freq=2)
        assert own.epoch == [0, 1, 2] and own.history == history.history and own is not history
