"""Small models, between them every layer class that TensorFlow.js knows, and data for each.

Left out is where TensorFlow.js 4.22 itself is wrong: BatchNormalization over another axis than the last, bilinear up-sampling,
Resizing, RandomWidth (random at inference), and the steps of Adadelta (it divides by the accumulator of the step
before) and of centered RMSprop (it subtracts epsilon).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import pynn as pn
from pynn import layers as L


def sequential(shape, *layers, **words) -> Callable[[], pn.Model]:
    """A builder of a Sequential model whose first layer takes `shape`."""
    return lambda: pn.Sequential([L.InputLayer(input_shape=shape, **words), *[make() for make in layers]])


def layer(name: str, **config) -> Callable[[], L.Layer]:
    """A builder of one layer."""
    return lambda: getattr(L, name)(**config)


def implicit_input() -> pn.Model:
    """The first layer says the input's shape."""
    return pn.Sequential([L.Dense(4, activation="tanh", input_shape=(3,)), L.Dense(2)])


def two_inputs() -> pn.Model:
    """Two inputs, a shared layer, a residual connection, two outputs."""
    a, b = L.Input((4,), name="left"), L.Input((4,), name="right")
    shared = L.Dense(4, activation="relu")
    x, y = shared(a), shared(b)
    joined = L.Concatenate()([L.Add()([x, a]), L.Multiply()([y, b])])
    return pn.Model([a, b], [L.Dense(3, activation="softmax")(joined), L.Average()([x, y])])


def float64_input() -> pn.Model:
    """A functional model in float64."""
    x = L.Input((4,), dtype="float64")
    return pn.Model(x, L.Dense(2, dtype="float64")(x))


def merging() -> pn.Model:
    """Every merging layer."""
    a, b = L.Input((3, 4)), L.Input((3, 4))
    parts = [L.Maximum()([a, b]), L.Minimum()([a, b]), L.Average()([a, b]), L.Concatenate(axis=-2)([a, b])]
    dot = L.Dot(axes=2)([a, b])
    normalized = L.Dot(axes=[2, 2], normalize=True)([a, b])
    return pn.Model([a, b], [L.Flatten()(L.Concatenate(axis=1)(parts)), dot, normalized])


def nested() -> pn.Model:
    """Models as layers, one of them called twice."""
    inner_input = L.Input((5,))
    inner = pn.Model(inner_input, L.Dense(5, activation="tanh")(inner_input), name="inner")
    stack = pn.Sequential([L.Dense(3, input_shape=(5,)), L.BatchNormalization()], name="stack")
    x = L.Input((5,))
    return pn.Model(x, stack(inner(inner(x))))


def nested_first() -> pn.Model:
    """A Sequential that starts with a Sequential."""
    return pn.Sequential([pn.Sequential([L.Dense(4, input_shape=(3,)), L.ReLU()]), L.Dense(2)])


def states() -> pn.Model:
    """An LSTM whose states start another one."""
    x = L.Input((4, 3))
    sequence, h, c = L.LSTM(2, return_sequences=True, return_state=True)(x)
    return pn.Model(x, [sequence, L.LSTM(2)(x, initial_state=[h, c])])


def stacked_cells() -> pn.Model:
    """RNN over a stack of cells."""
    cells = [L.GRUCell(3, reset_after=False), L.LSTMCell(2), L.SimpleRNNCell(4)]
    return pn.Sequential([L.InputLayer(input_shape=(4, 3)), L.RNN(L.StackedRNNCells(cells), return_sequences=True)])


def embedded() -> pn.Model:
    """Masked ids through a recurrent layer."""
    return pn.Sequential([L.Embedding(7, 3, mask_zero=True, input_length=5), L.LSTM(4), L.Dense(2, activation="sigmoid")])


def frozen() -> pn.Model:
    """A layer that training leaves alone, in the middle."""
    middle = L.Dense(4, trainable=False)
    return pn.Sequential([L.InputLayer(input_shape=(3,)), L.Dense(4), middle, L.BatchNormalization(), L.Dense(2)])


def initializers() -> pn.Model:
    """Every initializer, regularizer and constraint in one file."""
    i, r, c = pn.initializers, pn.regularizers, pn.constraints
    kinds = [
        i.Zeros(), i.Ones(), i.Constant(0.2), i.RandomNormal(0.1, 0.2, seed=1), i.RandomUniform(-1, 1), i.TruncatedNormal(),
        i.VarianceScaling(2.0, "fan_out", "uniform"), i.GlorotNormal(), i.GlorotUniform(seed=3), i.HeNormal(), i.HeUniform(),
        i.LecunNormal(), i.LecunUniform(), i.Orthogonal(), i.Identity(),
    ]  # fmt: skip
    words = [
        dict(kernel_regularizer=r.L1(0.1)), dict(kernel_regularizer=r.L2(0.1), bias_regularizer="l2"),
        dict(kernel_regularizer=r.L1L2(0.1, 0.2)), dict(kernel_constraint=c.MaxNorm(2, axis=0)),
        dict(kernel_constraint=c.UnitNorm()), dict(bias_constraint=c.NonNeg()), dict(kernel_constraint=c.MinMaxNorm(0.1, 1.0)),
    ]  # fmt: skip
    words += [{}] * (len(kinds) - len(words))
    return pn.Sequential(
        [L.InputLayer(input_shape=(4,)), *[L.Dense(4, kernel_initializer=k, **w) for k, w in zip(kinds, words, strict=True)]]
    )


ACTIVATIONS = (
    "elu", "relu", "relu6", "linear", "sigmoid", "hard_sigmoid_keras2", "softplus", "softsign", "tanh", "softmax", "log_softmax",
    "swish", "mish", "gelu", "selu",
)  # fmt: skip

MODELS: dict[str, Callable[[], pn.Model]] = {
    "implicit_input": implicit_input, "two_inputs": two_inputs, "merging": merging, "nested": nested, "nested_first": nested_first,
    "states": states, "stacked_cells": stacked_cells, "embedded": embedded, "frozen": frozen, "initializers": initializers,
    **{f"activation_{a}": sequential((4,), layer("Dense", units=3, activation=a), layer("Activation", activation=a)) for a in ACTIVATIONS},
    "activation_layers": sequential(
        (3, 4), layer("ReLU", max_value=0.8), layer("LeakyReLU", negative_slope=0.1), layer("PReLU", shared_axes=[1]),
        layer("ELU"), layer("ThresholdedReLU", theta=0.2), layer("Softmax"),
    ),
    "cnn": sequential(
        (8, 9, 2), layer("Conv2D", filters=3, kernel_size=3, padding="same", activation="relu"), layer("MaxPooling2D"),
        layer("BatchNormalization"), layer("Conv2D", filters=2, kernel_size=(2, 3), strides=(2, 1), use_bias=False),
        layer("AveragePooling2D", pool_size=(1, 2), padding="same"), layer("Flatten"), layer("Dense", units=3, activation="softmax"),
    ),
    "conv1d": sequential(
        (9, 2), layer("Conv1D", filters=3, kernel_size=3, padding="same"), layer("Conv1D", filters=2, kernel_size=2, dilation_rate=2),
        layer("MaxPooling1D", pool_size=2), layer("AveragePooling1D", pool_size=2, strides=1, padding="same"),
    ),
    "conv3d": sequential(
        (5, 4, 4, 1), layer("Conv3D", filters=2, kernel_size=2), layer("MaxPooling3D", pool_size=(2, 1, 1)),
        layer("AveragePooling3D", pool_size=(1, 2, 2), strides=1), layer("Conv3DTranspose", filters=1, kernel_size=2, strides=2),
    ),
    "depthwise": sequential(
        (6, 6, 2), layer("DepthwiseConv2D", kernel_size=3, depth_multiplier=2), layer("SeparableConv2D", filters=3, kernel_size=2),
        layer("SeparableConv2D", filters=2, kernel_size=2, depth_multiplier=2, padding="same"),
    ),
    "transposed": sequential(
        (4, 3, 2), layer("Conv2DTranspose", filters=3, kernel_size=3, strides=2, padding="same"),
        layer("Conv2DTranspose", filters=2, kernel_size=2),
    ),
    "dilated": sequential((7, 7, 1), layer("Conv2D", filters=2, kernel_size=3, dilation_rate=2)),
    "resizing": sequential(
        (4, 5, 2), layer("UpSampling2D", size=(2, 3)), layer("Cropping2D", cropping=((1, 0), (2, 1))),
        layer("ZeroPadding2D", padding=((1, 2), (0, 1))), layer("CenterCrop", height=4, width=6), layer("Rescaling", scale=0.5, offset=1.0),
    ),
    "global_max": sequential((4, 4, 3), layer("GlobalMaxPooling2D")),
    "global_average": sequential((4, 4, 3), layer("GlobalAveragePooling2D")),
    "global_max_1d": sequential((4, 3), layer("GlobalMaxPooling1D")),
    "global_average_1d": sequential((4, 3), layer("GlobalAveragePooling1D")),
    "shapes": sequential(
        (2, 6), layer("Reshape", target_shape=(3, 4)), layer("Permute", dims=(2, 1)), layer("Flatten"), layer("RepeatVector", n=2),
    ),
    "layer_norm": sequential((3, 4), layer("LayerNormalization", epsilon=0.01)),
    "batch_norm_scale": sequential((3, 4), layer("BatchNormalization", scale=False)),
    "batch_norm_center": sequential((3, 4), layer("BatchNormalization", center=False)),
    "noise": sequential(
        (4, 3), layer("Dropout", rate=0.5), layer("SpatialDropout1D", rate=0.2), layer("GaussianNoise", stddev=0.1),
        layer("GaussianDropout", rate=0.1), layer("AlphaDropout", rate=0.1), layer("Dense", units=2),
    ),
    "gru": sequential((4, 3), layer("GRU", units=3, reset_after=False, return_sequences=True), layer("GRU", units=2, reset_after=False)),
    "gru_hard": sequential((4, 3), layer("GRU", units=3, reset_after=False, recurrent_activation="hard_sigmoid_keras2")),
    "lstm": sequential((4, 3), layer("LSTM", units=3, return_sequences=True, go_backwards=True), layer("LSTM", units=2, use_bias=False)),
    "simple_rnn": sequential((4, 3), layer("SimpleRNN", units=3, return_sequences=True), layer("SimpleRNN", units=2, activation="relu")),
    "conv_lstm": sequential((3, 5, 5, 2), layer("ConvLSTM2D", filters=2, kernel_size=3, padding="same", return_sequences=True)),
    "rnn_cell": sequential((4, 3), lambda: L.RNN(L.LSTMCell(3))),
    "bidirectional": sequential(
        (4, 3), lambda: L.Bidirectional(L.LSTM(2, return_sequences=True)),
        lambda: L.Bidirectional(L.GRU(2, reset_after=False), merge_mode="sum"),
    ),
    "time_distributed": sequential((3, 4), lambda: L.TimeDistributed(L.Dense(2, activation="relu"))),
    "time_distributed_model": sequential(
        (3, 4), lambda: L.TimeDistributed(pn.Sequential([L.Input((4,)), L.Dense(3, activation="silu"), L.Dense(2)])),
        layer("Flatten"),
    ),
    "float64": sequential((4,), layer("Dense", units=3, dtype="float64"), layer("Dense", units=2, dtype="float64")),
    "float64_input": float64_input,
    "masking": sequential((4, 3), layer("Masking", mask_value=0.0), layer("SimpleRNN", units=2)),
    "category": sequential((5,), layer("CategoryEncoding", num_tokens=5, output_mode="multi_hot")),
}  # fmt: skip

OPTIMIZERS: dict[str, Callable] = {
    "sgd": lambda: pn.optimizers.SGD(0.05),
    "momentum": lambda: pn.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: pn.optimizers.SGD(0.05, momentum=0.8, nesterov=True),
    "adam": lambda: pn.optimizers.Adam(0.01, beta_1=0.8),
    "rmsprop": lambda: pn.optimizers.RMSprop(0.01),
    "rmsprop_momentum": lambda: pn.optimizers.RMSprop(0.01, momentum=0.5),
    "adagrad": lambda: pn.optimizers.Adagrad(0.05),
}


# Losses and metrics that TensorFlow.js has under another name than the one given.
COMPILED: dict[str, tuple] = {
    "mse": ("mse", ["acc", "mean_squared_error"]),
    "kl_divergence": (pn.losses.KLDivergence(), {"last": ["binary_accuracy", "mae"]}),
    "log_cosh": ("log_cosh", [pn.metrics.CategoricalAccuracy()]),
    "cosine_similarity": ("cosine_similarity", None),
    "squared_hinge": (pn.losses.squared_hinge, ["mape"]),
}


def compiled(name: str) -> pn.Model:
    """A model after two epochs with one of these."""
    loss, metrics = COMPILED[name]
    model = pn.Sequential([L.Dense(5, activation="tanh", input_shape=(4,)), L.Dense(2, name="last")])
    model.compile("adam", loss, metrics=metrics)
    model.fit(*training_data(), epochs=2, verbose=0, shuffle=False)
    return model


def trained(optimizer) -> pn.Model:
    """A compiled model after three steps, so that the optimizer's state isn't at its start."""
    model = pn.Sequential([L.Dense(5, activation="tanh", input_shape=(4,)), L.BatchNormalization(), L.Dense(2)])
    model.compile(optimizer, "mean_squared_error", metrics=["mae"])
    model.fit(*training_data(), batch_size=4, epochs=1, verbose=0, shuffle=False)
    return model


def training_data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets for `trained`."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((12, 4), np.float32), rng.standard_normal((12, 2), np.float32)


def inputs_for(name: str, model: pn.Model) -> list[np.ndarray]:
    """Reproducible inputs of two or three rows."""
    rng = np.random.default_rng(7)
    if name == "embedded":
        return [np.array([[1, 2, 3, 0, 0], [6, 5, 4, 3, 2]], np.int32)]
    if name == "category":
        return [np.array([[0, 1, 4, 1, 1], [2, 2, 3, 2, 3]], np.float32)]
    symbolic = getattr(model, "inputs", None)
    shapes = [tuple(t.shape[1:]) for t in symbolic] if symbolic else [model._build_shape[1:]]
    found = [rng.standard_normal((2, *shape)).astype(np.float32) for shape in shapes]
    if name == "masking":
        found[0][0, 2:] = 0
    return found


def randomize(model: pn.Model) -> None:
    """Weights that no initializer gives: moving statistics away from 0 and 1, biases away from 0."""
    rng = np.random.default_rng(11)
    model.set_weights([(0.4 * rng.standard_normal(w.shape) + 0.2 * (w.ndim == 1)).astype(np.float32) for w in model.get_weights()])
    for weight in model.weights:
        if weight.path.endswith("moving_variance"):
            weight.assign(np.abs(weight.numpy()) + 0.5)
        if weight.constraint is not None:  # TensorFlow.js applies it on loading
            weight.assign(weight.constraint(weight.value))
