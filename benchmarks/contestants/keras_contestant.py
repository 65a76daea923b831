"""Keras 3 on the backend that KERAS_BACKEND names: `fit`, `fit` with many steps an execution, `train_on_batch`; no kernels of its own."""

import os

import keras
import numpy as np
from keras import layers
from protocol import Batches, Case, by_parts, fit_steps, images, options, run, training_data
from workloads import Infer, Train

GIVEN = options()
BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(GIVEN.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(GIVEN.threads)
    ENGINE = {"tensorflow": tensorflow.__version__}
else:
    import jax

    ENGINE = {"jax": jax.__version__}


def model_of(row, unroll=False):
    if row.model == "linear":
        return keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    if row.model == "lstm_tiny":
        return keras.Sequential([keras.Input((1, 1)), layers.LSTM(row.units), layers.Dense(1)])
    if row.model == "mlp":
        front = [keras.Input((28, 28)), layers.Flatten(), layers.Dense(row.units, "relu")]
    elif row.model.startswith("cnn"):
        kernel, first, second = (5, 8, 16) if row.model == "cnn_small" else (3, 32, 64)
        front = [keras.Input((28, 28, 1)), layers.Conv2D(first, kernel, activation="relu"), layers.MaxPooling2D(),
                 layers.Conv2D(second, kernel, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
                 *([layers.Dropout(0.5)] if row.model == "cnn" else [])]  # fmt: skip
    else:
        cell = layers.GRU if row.model == "gru" else layers.LSTM
        front = [keras.Input((row.steps, 28)), cell(row.units, unroll=unroll)]
    return keras.Sequential([*front, layers.Dense(10, "softmax")])


def compiled(row, **settings):
    model = model_of(row)
    optimizer = keras.optimizers.SGD(0.01) if row.optimizer == "sgd" else keras.optimizers.Adam(0.001)
    model.compile(optimizer, "mse" if row.is_full_batch else "sparse_categorical_crossentropy", **settings)
    return model


def train(row):
    x, y = training_data(row)
    x, steps = (x[..., None] if row.model.startswith("cnn") else x), min(fit_steps(row), 320)

    def fit(**settings):
        model = compiled(row, **settings)
        if row.is_full_batch:
            return lambda: model.fit(x, y, batch_size=row.batch, epochs=20, verbose=0)
        return by_parts(lambda x, y: model.fit(x, y, batch_size=row.batch, epochs=1, verbose=0), x, y, steps * row.batch)

    def train_on_batch():
        model, batches = compiled(row), Batches(len(x), row.batch)
        if row.is_full_batch:
            return lambda: model.train_on_batch(x, y)

        def step():
            rows = batches.next()
            return model.train_on_batch(x[rows], y[rows])

        return step

    calls = 20 if row.is_full_batch else steps
    yield Case("fit", fit, calls=calls)
    if not row.is_full_batch:
        yield Case("fit_32_steps", lambda: fit(steps_per_execution=32), calls=calls)
    yield Case("train_on_batch", train_on_batch)
    if BACKEND == "tensorflow":
        yield Case("tf_function_xla", lambda: by_hand(row, x, y), sync=lambda loss: loss.numpy())


def by_hand(row, x, y):
    """A compiled step over a gradient tape."""
    model, batches = model_of(row), Batches(len(x), row.batch)
    optimizer = keras.optimizers.SGD(0.01) if row.optimizer == "sgd" else keras.optimizers.Adam(0.001)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.MeanSquaredError() if row.is_full_batch else keras.losses.SparseCategoricalCrossentropy()

    @tensorflow.function(jit_compile=True)
    def update(a, b):
        with tensorflow.GradientTape() as tape:
            loss = loss_of(b, model(a, training=True))
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    def step():
        if row.is_full_batch:
            return update(x, y)
        rows = batches.next()
        return update(x[rows], y[rows])

    return step


def infer(row):
    x = images(row.batch, row.steps)
    x = x[..., None] if row.model.startswith("cnn") else x
    model = model_of(row)
    yield Case("predict_on_batch", lambda: lambda: model.predict_on_batch(x))
    if BACKEND == "tensorflow":
        forward = tensorflow.function(lambda x: model(x, training=False))
        held = tensorflow.constant(x)
        yield Case("tf_function", lambda: lambda: forward(held).numpy())


KINDS = {Train: train, Infer: infer}


if __name__ == "__main__":
    run(
        KINDS,
        {"keras": keras.__version__, **ENGINE, "numpy": np.__version__, "backend": os.environ.get("KERAS_BACKEND", BACKEND)},
    )
