"""The nets of the rows `net_...` in pynn: what they are is said in workloads.py."""

import numpy as np
from protocol import Case, net_data

import pynn as pn
from pynn import layers


def _normalized(filters, **given):
    return [layers.Conv2D(filters, 3, padding="same", use_bias=False, **given), layers.BatchNormalization(), layers.Activation("relu")]


def batch_norm(row):
    front = [*_normalized(32, input_shape=row.inputs), *_normalized(32), layers.MaxPooling2D(2)]
    back = [*_normalized(64), *_normalized(64), layers.MaxPooling2D(2), layers.Flatten()]
    return pn.Sequential([*front, *back, layers.Dense(row.classes, activation="softmax")])


def residual(row):
    image = pn.Input(row.inputs)
    x = image
    for layer in _normalized(16):
        x = layer(x)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = x
        for layer in [*_normalized(filters, strides=strides), *_normalized(filters)[:2]]:
            y = layer(y)
        short = x if strides == 1 else layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x)
        x = layers.Activation("relu")(layers.Add()([y, short]))
    return pn.Model(image, layers.Dense(row.classes, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def separable(row):
    front = [layers.Conv2D(32, 3, padding="same", activation="relu", input_shape=row.inputs)]
    for filters, strides in ((64, 2), (64, 1), (128, 2), (128, 1)):
        front.append(layers.SeparableConv2D(filters, 3, strides=strides, padding="same", activation="relu"))
    return pn.Sequential([*front, layers.GlobalAveragePooling2D(), layers.Dense(row.classes, activation="softmax")])


def strided(row):
    front = [layers.Conv2D(32, 5, strides=2, padding="same", input_shape=row.inputs), layers.LeakyReLU(0.3), layers.Dropout(0.3)]
    back = [layers.Conv2D(64, 5, strides=2, padding="same"), layers.LeakyReLU(0.3), layers.Flatten()]
    return pn.Sequential([*front, *back, layers.Dense(row.classes, activation="softmax")])


def transposed(row):
    front = [layers.Dense(7 * 7 * 32, activation="relu", input_shape=row.inputs), layers.Reshape((7, 7, 32))]
    wide = layers.Conv2DTranspose(32, 5, strides=2, padding="same", activation="relu")
    return pn.Sequential([*front, wide, layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="sigmoid")])


def convolution_1d(row):
    front = [layers.Conv1D(32, 5, activation="relu", input_shape=row.inputs), layers.MaxPooling1D(2)]
    back = [layers.Conv1D(64, 5, activation="relu"), layers.MaxPooling1D(2), layers.Flatten(), layers.Dense(64, activation="relu")]
    return pn.Sequential([*front, *back, layers.Dense(row.classes, activation="softmax")])


def text_convolution(row):
    front = [layers.Embedding(row.vocabulary, 64, input_length=row.inputs[0]), layers.Conv1D(64, 5, activation="relu")]
    return pn.Sequential([*front, layers.GlobalMaxPooling1D(), layers.Dense(row.classes, activation="softmax")])


def text_lstm(row):
    front = [layers.Embedding(row.vocabulary, 64, input_length=row.inputs[0]), layers.LSTM(64)]
    return pn.Sequential([*front, layers.Dense(row.classes, activation="softmax")])


def two_lstm(row):
    return pn.Sequential([layers.LSTM(32, return_sequences=True, input_shape=row.inputs), layers.LSTM(32), layers.Dense(1)])


def bidirectional(row):
    return pn.Sequential([layers.Bidirectional(layers.GRU(32), input_shape=row.inputs), layers.Dense(row.classes, activation="softmax")])


def autoencoder(row):
    narrowing = [layers.Dense(128, activation="relu", input_shape=row.inputs), layers.Dense(32, activation="relu")]
    return pn.Sequential([*narrowing, layers.Dense(128, activation="relu"), layers.Dense(784, activation="sigmoid")])


def layer_norm(row):
    front = [layers.Dense(256, input_shape=row.inputs), layers.LayerNormalization(), layers.Activation("gelu")]
    back = [layers.Dense(256), layers.LayerNormalization(), layers.Activation("gelu")]
    return pn.Sequential([*front, *back, layers.Dense(row.classes, activation="softmax")])


def tabular(row):
    front = [layers.Dense(64, activation="relu", input_shape=row.inputs), layers.Dense(64, activation="relu")]
    return pn.Sequential([*front, layers.Dense(1)])


def net(row):
    """`fit` over the row's data, once."""
    x, y = net_data(row)
    losses = {"classes": "sparse_categorical_crossentropy", "pixels": "binary_crossentropy", "number": "mean_squared_error"}

    def fit():
        model = globals()[row.kind](row)
        model.compile(optimizer=pn.optimizers.Adam(0.001), loss=losses[row.task])
        targets = y.astype(np.int32) if row.task == "classes" else y
        return lambda: model.fit(x, targets, epochs=1, batch_size=row.batch, verbose=0)

    yield Case("fit", fit, calls=row.steps)
