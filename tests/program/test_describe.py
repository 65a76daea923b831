"""Programs as text. `tests/golden/*.txt` hold the train steps of five small models.

After a change that is meant to change the programs, write them anew and read the difference before it is committed:

    PYNN_UPDATE_GOLDEN=1 python -m pytest tests/program/test_describe.py
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.layers import names
from pynn.models.prepared import training_data
from pynn.models.programs import batch_program

GOLDEN = Path(__file__).parents[1] / "golden"


def dense():
    return [L.Dense(16, activation="relu", input_shape=(12,)), L.Dense(3, activation="softmax")], (12,), pn.optimizers.SGD(0.01)


def cnn():
    stack = [
        L.Conv2D(4, 3, activation="relu", input_shape=(10, 10, 1)), L.MaxPooling2D(2), L.Conv2D(6, 3, activation="relu"),
        L.Flatten(), L.Dropout(0.5), L.Dense(3, activation="softmax"),
    ]  # fmt: skip
    return stack, (10, 10, 1), pn.optimizers.Adam()


def gru():
    return [L.GRU(8, input_shape=(5, 4)), L.Dense(3, activation="softmax")], (5, 4), pn.optimizers.Adam()


def lstm():
    return [L.LSTM(8, return_sequences=True, input_shape=(5, 4)), L.LSTM(6), L.Dense(3)], (5, 4), pn.optimizers.RMSprop()


def mixed():
    stack = [
        L.Conv2D(4, 3, strides=2, padding="same", use_bias=False, input_shape=(8, 8, 2)), L.BatchNormalization(), L.Activation("silu"),
        L.AveragePooling2D(2), L.Reshape((4, 4)), L.SimpleRNN(5, return_sequences=True), L.LayerNormalization(), L.Flatten(),
        L.Dense(3, kernel_regularizer="l2"),
    ]  # fmt: skip
    return stack, (8, 8, 2), pn.optimizers.SGD(0.01, momentum=0.9, clipnorm=1.0)


MODELS = [dense, cnn, gru, lstm, mixed]


@pytest.fixture(autouse=True)
def first_names(monkeypatch):
    """Layers are called `dense`, `dense_1`, ... whatever was made before."""
    monkeypatch.setattr(names, "_counts", {})


def train_program(make):
    pn.set_seed(1)
    stack, shape, optimizer = make()
    model = pn.Sequential(stack)
    logits = make in (lstm, mixed)
    model.compile(optimizer, pn.losses.SparseCategoricalCrossentropy(from_logits=logits), metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, *shape)).astype(np.float32), rng.integers(0, 3, 7).astype(np.int32)
    model.train_on_batch(x, y)  # builds the model and what its optimizer and its metrics remember
    return batch_program(model, "train", training_data(model, x, y))


def normalized(text: str) -> str:
    """Without what depends on the CPU: kernel variants and chunks, workspace, and so offsets in the arena."""
    lines = [line.split("  #")[0].rstrip() for line in text.splitlines()]
    return re.sub(r"arena \d+ bytes", "arena", re.sub(r"@\d+", "@", "\n".join(lines))) + "\n"


@pytest.mark.skipif(pn.backend() != "native", reason="what is fused depends on the native kernels")
@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_train_steps_are_as_they_were(make):
    found = normalized(train_program(make).describe())
    path = GOLDEN / f"{make.__name__}.txt"
    if "PYNN_UPDATE_GOLDEN" in os.environ:
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_every_call_and_variable_is_shown(make):
    program = train_program(make)
    text = program.describe()
    for node in program.plan.steps:
        assert f"= {node.op.name}(" in text
    assert f"program: {len(program.plan.steps)} calls" in text
    assert len(text.splitlines()) == 1 + len(program.inputs) + len(program.plan.steps) + len(program.plan.copies)


def test_what_a_call_runs_on():
    odd = pn.custom_op(lambda x: x + 1, name="described_op")
    text = pn.function(lambda x: odd(pn.tanh(x))).program(np.ones(3, np.float32)).describe()
    runs = [re.sub(r", (variant|chunks) [\d+]+", "", line.split("  # ")[1]) for line in text.splitlines() if "  # " in line]
    if pn.backend() == "native":
        assert runs == ["native", "python"] and "native executor" in text
    else:
        assert runs == ["fallback", "fallback"] and "fallback executor" in text
