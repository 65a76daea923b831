"""Training steps and inference of the tutorials' models, and what it costs to capture them."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import layers

from .contestants.workloads import GROUPS, Infer, Train

STEPS = 20
TRAINED = {name: row for group in GROUPS.values() for name, row in group.items() if isinstance(row, Train)}
INFERRED = {name: row for name, row in GROUPS["infer"].items() if isinstance(row, Infer)}
RANDOM = np.random.default_rng(0)


def model_of(row: Train | Infer) -> pn.Sequential:
    """The model of a tutorial, compiled."""
    if row.model == "linear":
        stack = [layers.Dense(1, input_shape=(4,))]
    elif row.model == "lstm_tiny":
        stack = [layers.LSTM(row.units, input_shape=(1, 1)), layers.Dense(1)]
    elif row.model.startswith("cnn"):
        kernel, first, second = (5, 8, 16) if row.model == "cnn_small" else (3, 32, 64)
        stack = [layers.Conv2D(first, kernel, activation="relu", input_shape=(28, 28, 1)), layers.MaxPooling2D(2),
                 layers.Conv2D(second, kernel, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(),
                 *([layers.Dropout(0.5)] if row.model == "cnn" else []), layers.Dense(10, activation="softmax")]  # fmt: skip
    elif row.model == "mlp":
        stack = [layers.Flatten(input_shape=(28, 28)), layers.Dense(row.units, activation="relu"), layers.Dense(10, activation="softmax")]
    else:
        cell = layers.GRU if row.model == "gru" else layers.LSTM
        stack = [cell(row.units, input_shape=(28, 28)), layers.Dense(10, activation="softmax")]
    model = pn.Sequential(stack)
    if isinstance(row, Train):
        model.compile(optimizer=row.optimizer, loss="mean_squared_error" if row.is_full_batch else "sparse_categorical_crossentropy")
    return model


def data_of(row: Train | Infer, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs and targets of the model's shape."""
    shapes = {"linear": (4,), "lstm_tiny": (1, 1), "cnn": (28, 28, 1), "cnn_small": (28, 28, 1)}
    x = RANDOM.random((rows, *shapes.get(row.model, (28, 28))), dtype=np.float32)
    if row.model in ("linear", "lstm_tiny"):
        return x, RANDOM.random((rows, 1), dtype=np.float32)
    return x, RANDOM.integers(0, 10, rows).astype(np.int32)


@pytest.mark.parametrize("name", TRAINED)
def test_step(name, timed):
    """`fit` over 20 batches."""
    row = TRAINED[name]
    model, (x, y) = model_of(row), data_of(row, STEPS * row.batch)
    model.fit(x, y, batch_size=row.batch, epochs=1, verbose=0)
    timed(lambda: model.fit(x, y, batch_size=row.batch, epochs=1, verbose=0), flops=row.flops() * STEPS, count=STEPS)


@pytest.mark.parametrize("name", TRAINED)
def test_train_on_batch(name, timed):
    row = TRAINED[name]
    model, (x, y) = model_of(row), data_of(row, row.batch)
    model.train_on_batch(x, y)
    timed(lambda: model.train_on_batch(x, y), flops=row.flops())


@pytest.mark.parametrize("name", TRAINED)
def test_first_step_with_capture(name, benchmark):
    """Everything before the second step: the weights, the capture, the plan and the first step."""
    row = TRAINED[name]
    x, y = data_of(row, row.batch)
    benchmark.pedantic(lambda model: model.train_on_batch(x, y), setup=lambda: ((model_of(row),), {}), rounds=10)


@pytest.mark.parametrize("name", INFERRED)
def test_predict_on_batch(name, timed):
    row = INFERRED[name]
    model, (x, _) = model_of(row), data_of(row, row.batch)
    model.predict_on_batch(x)
    timed(lambda: model.predict_on_batch(x), flops=row.flops())


@pytest.mark.parametrize("rows", [1, 1000])
def test_evaluate(rows, timed):
    row = TRAINED["mlp_b32"]
    model, (x, y) = model_of(row), data_of(row, rows)
    model.evaluate(x, y, verbose=0)
    timed(lambda: model.evaluate(x, y, verbose=0))
