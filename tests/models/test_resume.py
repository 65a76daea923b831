"""A training that was saved, or killed, goes on in another process with the bits of one that never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from pynn.io.safetensors import load_file, load_metadata, save_file
from tests.models import resume_process
from tests.models.resume_process import MODELS, data, digest


def run(tmp_path, *arguments: str, **kwargs) -> subprocess.CompletedProcess:
    """The script in a process of its own."""
    command = [sys.executable, resume_process.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path, **kwargs)


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_in_a_new_process(tmp_path, name):
    whole = json.loads(run(tmp_path, name, "whole").stdout)
    first = json.loads(run(tmp_path, name, "first", str(tmp_path / "m")).stdout)
    second = json.loads(run(tmp_path, name, "second", str(tmp_path / "m")).stdout)
    assert second["weights"] == whole["weights"]
    assert first["loss"] + second["loss"] == whole["loss"]


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
@pytest.mark.parametrize("freq", ["epoch", "3"])
def test_killed_again_and_again(tmp_path, freq):
    whole = json.loads(run(tmp_path, "small", "backup", str(tmp_path / "none"), freq).stdout.splitlines()[-1])
    assert not (tmp_path / "none" / BackupAndRestore.FILE).exists()
    (tmp_path / "log.csv").rename(tmp_path / "whole.csv")
    draw = random.Random(4)
    command = [sys.executable, resume_process.__file__, "small", "backup", str(tmp_path / "backup"), freq]
    kills = 0
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
            if kills < 4:
                for _ in range(draw.randrange(1, 25)):
                    process.stdout.readline()
                process.send_signal(signal.SIGKILL)
            output = process.communicate()[0].splitlines()[-1:]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills
    resumed = json.loads(output[0])
    assert resumed == whole
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "whole.csv").read_text()


class Interrupt(pn.callbacks.Callback):
    """Stops the training as Ctrl-C does, after the given batch."""

    def __init__(self, epoch, batch):
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def trained(name, backup=None, interrupt=None, callbacks=(), **kwargs):
    """(digest of the weights, history) of 5 epochs, interrupted and started anew if asked to."""
    x, y = data()
    for stop in [interrupt, None] if interrupt else [None]:
        pn.set_seed(11)
        model = MODELS[name]()
        extra = [BackupAndRestore(backup, save_freq=kwargs.get("freq", "epoch"))] if backup else []
        extra += [Interrupt(*stop)] if stop else []
        made = [make() for make in callbacks]
        arguments = dict(epochs=5, batch_size=16, verbose=0, validation_split=0.2, callbacks=[*extra, *made])
        try:
            history = model.fit(x, y, **arguments)
        except KeyboardInterrupt:
            assert stop
    return digest(model), history.history


@pytest.mark.parametrize("freq", ["epoch", 2])
@pytest.mark.parametrize("name", MODELS)
def test_resumed_after_an_interruption(tmp_path, name, freq):
    assert trained(name, tmp_path / "b", (3, 1), freq=freq) == trained(name)


@pytest.mark.parametrize("at", [(2, 0), (2, 1), (3, 0)])
@pytest.mark.parametrize("freq", [1, 2, 3, 7])
def test_resumed_after_any_batch(tmp_path, freq, at):
    assert trained("small", tmp_path / "b", at, freq=freq) == trained("small")


def test_batches_are_counted_and_ends_of_epochs_are_not(tmp_path, monkeypatch):
    saves = []
    monkeypatch.setattr(BackupAndRestore, "_save", lambda self, epoch, batch: saves.append((epoch, batch)))
    x, y = data()
    for freq in (3, "epoch"):
        MODELS["small"]().fit(x[:32], y[:32], batch_size=16, epochs=4, verbose=0, callbacks=[BackupAndRestore(tmp_path, save_freq=freq)])
    assert saves == [(1, 1), (2, 2), (1, 0), (2, 0), (3, 0), (4, 0)]


def test_a_long_history_comes_back(tmp_path):
    class Long(pn.callbacks.Callback):
        def __init__(self):
            self.state = {}

        def get_state(self):
            return {"floats": [0.5, float("nan")] * 150_000, "whole": [*range(300_000)], "mixed": [1, 2.0, None, True]}

        def set_state(self, state):
            self.state = state

    x, y = data()
    with pytest.raises(KeyboardInterrupt):
        MODELS["small"]().fit(x, y, verbose=0, epochs=3, callbacks=[Long(), BackupAndRestore(tmp_path), Interrupt(1, 0)])
    long = Long()
    history = MODELS["small"]().fit(x, y, verbose=0, epochs=3, callbacks=[long, BackupAndRestore(tmp_path)])
    assert history.epoch == [0, 1, 2]
    assert all(type(epoch) is int for epoch in history.epoch)
    assert repr(long.state["floats"]) == repr(long.get_state()["floats"])
    assert [repr(long.state[k]) for k in ("whole", "mixed")] == [repr(long.get_state()[k]) for k in ("whole", "mixed")]


def test_callbacks_go_on(tmp_path):
    callbacks = [
        lambda: EarlyStopping("val_loss", patience=2, restore_best_weights=True, min_delta=0.5),
        lambda: ReduceLROnPlateau("val_loss", patience=1, min_delta=10),
        lambda: ModelCheckpoint(str(tmp_path / "best.safetensors"), save_best_only=True, save_weights_only=True),
    ]
    assert trained("small", tmp_path / "b", (2, 0), callbacks) == trained("small", callbacks=callbacks)


class Rows:
    def __len__(self):
        return 4

    def __getitem__(self, i):
        x, y = data()
        return x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]


class Iterable:
    def __iter__(self):
        return (Rows()[i] for i in range(4))


@pytest.mark.parametrize("freq", [3, "epoch"])
@pytest.mark.parametrize("source, steps", [(Rows, None), (Rows, 3), (Iterable, None), (Iterable, 3), (Iterable, 7)])
def test_batches_that_come_one_by_one(tmp_path, source, steps, freq):
    def weights(*stops):
        for stop in [*stops, None]:
            pn.set_seed(2)
            model = MODELS["small"]()
            callbacks = [BackupAndRestore(tmp_path / "rows", save_freq=freq)] if stops else []
            callbacks += [Interrupt(*stop)] if stop else []
            try:
                model.fit(source(), epochs=4, steps_per_epoch=steps, verbose=0, callbacks=callbacks)
            except KeyboardInterrupt:
                assert stop
        return digest(model)

    assert weights((1, 2), (3, 1)) == weights()


def test_a_backup_of_another_model_is_refused(tmp_path):
    x, y = data()
    with pytest.raises(KeyboardInterrupt):
        MODELS["small"]().fit(x, y, verbose=0, epochs=3, callbacks=[BackupAndRestore(tmp_path), Interrupt(1, 0)])
    other = pn.Sequential([L.Dense(5, input_shape=(6,)), L.Dense(3, activation="softmax")])
    other.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(pn.DataError, match="belongs to another model"):
        other.fit(x, y, verbose=0, callbacks=[BackupAndRestore(tmp_path)])


@pytest.mark.parametrize("stop", [(1, 0), (2, 1)], ids=["after an epoch", "within an epoch"])
def test_a_part_of_a_backup_is_refused(tmp_path, stop):
    def fit(*callbacks):
        MODELS["small"]().fit(*data(), verbose=0, epochs=3, callbacks=[BackupAndRestore(tmp_path, save_freq=freq), *callbacks])

    freq, file = ("epoch", 2)[stop[1]], tmp_path / BackupAndRestore.FILE
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupt(*stop))
    arrays, metadata = load_file(file), load_metadata(file)
    names = [name for name in arrays if not name.startswith("callback/")]
    assert {name.split("/")[0] for name in names} >= {"weight", "state", "optimizer", "shuffle"} | ({"metric"} if stop[1] else set())
    for name in names:
        save_file({n: a for n, a in arrays.items() if n != name}, file, metadata)
        place = "/".join(name.split("/")[:2])  # the layers have other numbers in their names
        with pytest.raises(pn.DataError, match=rf"is incomplete. Received: {len(names) - 1} variables; expected '{place}/"):
            fit()


def test_something_else_in_the_folder_is_refused(tmp_path):
    x, y = data()
    (tmp_path / BackupAndRestore.FILE).write_bytes(b"nonsense")
    with pytest.raises(pn.DataError):
        MODELS["small"]().fit(x, y, verbose=0, callbacks=[BackupAndRestore(tmp_path)])


class Stops(pn.callbacks.Callback):
    """Interrupts the second epoch, and tells a state that `EarlyStopping` has not."""

    def __init__(self, state):
        self.state = state

    def get_state(self):
        return self.state

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("state", [{}, {"model": 1}, [1], 7])
def test_a_state_that_a_callback_cannot_take_is_named(state, tmp_path):
    x, y = data()
    kind = type("EarlyStopping", (Stops,), {})
    with pytest.raises(KeyboardInterrupt):
        MODELS["small"]().fit(x, y, epochs=3, verbose=0, callbacks=[kind(state), BackupAndRestore(tmp_path)])
    with pytest.raises(pn.DataError, match=r"has a state of EarlyStopping that can't be set .* Remove the file"):
        MODELS["small"]().fit(x, y, epochs=3, verbose=0, callbacks=[EarlyStopping("loss"), BackupAndRestore(tmp_path)])


def test_a_seed_set_again_starts_the_orders_anew():
    found = []
    model = MODELS["small"]()
    for _ in range(2):
        pn.set_seed(5)
        found.append(model.shuffling.draw(10).tolist())
        model.shuffling.draw(10)
    assert found[0] == found[1]
    assert np.array_equal(np.sort(found[0]), np.arange(10))


def test_checkpoints_by_batches(tmp_path):
    x, y = data()
    path = str(tmp_path / "w-{epoch}-{batch}.safetensors")
    MODELS["small"]().fit(x, y, epochs=2, batch_size=20, verbose=0, callbacks=[ModelCheckpoint(path, save_weights_only=True, save_freq=2)])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"w-{e}-{b}.safetensors" for e, b in ((1, 2), (2, 1), (2, 3))]


def test_a_checkpoint_beats_the_threshold(tmp_path):
    x, y = data()
    checkpoint = ModelCheckpoint(str(tmp_path / "m"), monitor="loss", save_best_only=True, initial_value_threshold=-1.0)
    MODELS["small"]().fit(x, y, verbose=0, callbacks=[checkpoint])
    assert not list(tmp_path.iterdir())


def test_an_unknown_field_is_named(tmp_path):
    x, y = data()
    with pytest.raises(ValueError, match=r"\[ModelCheckpoint\] the path has a field 'val_acc' without a value.*Fields: loss"):
        MODELS["small"]().fit(x, y, verbose=0, callbacks=[ModelCheckpoint(str(tmp_path / "{val_acc}"))])


@pytest.mark.parametrize("freq", [0, -1, 1.5, True, "batch"])
def test_save_freq_is_checked(freq):
    with pytest.raises(ValueError, match="save_freq must be 'epoch' or a number of batches"):
        ModelCheckpoint("x", save_freq=freq)
    with pytest.raises(ValueError, match="save_freq"):
        BackupAndRestore("x", save_freq=freq)


def test_values_of_validations_that_are_not_due_are_skipped(tmp_path):
    x, y = data()
    stop = EarlyStopping("val_loss", patience=1)
    history = MODELS["small"]().fit(x, y, epochs=3, validation_split=0.2, validation_freq=2, verbose=0, callbacks=[stop])
    assert len(history.history["val_loss"]) == 1


def test_a_csv_file_is_appended_to(tmp_path):
    x, y = data()
    model = MODELS["small"]()
    for append in (False, True):
        model.fit(x, y, epochs=1, verbose=0, callbacks=[CSVLogger(tmp_path / "log.csv", append=append)])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
