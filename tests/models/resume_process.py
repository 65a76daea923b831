"""Trains a model with dropout and shuffling: whole, in two parts by a saved model, or with a backup. `test_resume.py` runs it."""

from __future__ import annotations

import hashlib
import json
import sys
import time

import numpy as np

import pynn as pn
from pynn import layers as L


def data():
    """Rows and labels, always the same."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(50, 6)).astype(np.float32), generator.integers(0, 3, 50).astype(np.int32)


def small():
    """Dropout of two kinds, Adam with clipping."""
    model = pn.Sequential([L.Dense(8, activation="relu", input_shape=(6,)), L.Dropout(0.4), L.GaussianNoise(0.1), L.Dense(3)])
    loss = pn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(pn.optimizers.Adam(0.01, clipnorm=0.5), loss, metrics=["accuracy"])
    return model


def recurrent():
    """Recurrent dropout, a schedule, AdamW with amsgrad."""
    gru = L.GRU(4, dropout=0.2, recurrent_dropout=0.3)
    model = pn.Sequential([L.Reshape((3, 2), input_shape=(6,)), gru, L.Dense(3, activation="softmax")])
    rate = pn.optimizers.schedules.CosineDecay(0.01, 20)
    model.compile(pn.optimizers.AdamW(rate, amsgrad=True), "sparse_categorical_crossentropy")
    return model


def momentum():
    """A velocity, moving statistics."""
    model = pn.Sequential([L.Dense(8, input_shape=(6,)), L.BatchNormalization(), L.Dropout(0.3, seed=4), L.Dense(3, activation="softmax")])
    model.compile(pn.optimizers.SGD(0.03, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def eager():
    """As `small`, step by step in Python."""
    model = small()
    model.run_eagerly = True
    return model


def double():
    """float64 throughout."""
    model = pn.Sequential([L.Dense(8, input_shape=(6,), dtype="float64"), L.Dropout(0.4, dtype="float64"), L.Dense(3, dtype="float64")])
    loss = pn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("rmsprop", loss)
    return model


MODELS = {"small": small, "recurrent": recurrent, "momentum": momentum, "eager": eager, "double": double}


def digest(model) -> str:
    """A hash of all weights."""
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


class Slow(pn.callbacks.Callback):
    """Gives whoever kills the process something to count."""

    def on_train_batch_end(self, batch, logs=None):
        print("batch", flush=True)
        time.sleep(0.02)


def main(name: str, part: str, folder: str = "", freq: str = "epoch") -> None:
    """One training, or a part of it."""
    x, y = data()
    if part == "second":
        pn.set_seed(99)
        model = pn.load_model(folder)
        model.run_eagerly = name == "eager"
    else:
        pn.set_seed(11)
        model = MODELS[name]()
    epochs = {"first": 2, "backup": 8}.get(part, 4)
    callbacks = []
    if part == "backup":
        backup = pn.callbacks.BackupAndRestore(folder, save_freq=freq if freq == "epoch" else int(freq))
        callbacks = [backup, pn.callbacks.CSVLogger("log.csv"), Slow()]
    history = model.fit(x, y, epochs=epochs, initial_epoch=2 if part == "second" else 0, batch_size=8, verbose=0, callbacks=callbacks)
    if part == "first":
        model.save(folder)
    print(json.dumps({"weights": digest(model), "loss": history.history["loss"], "epochs": len(history.epoch)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
