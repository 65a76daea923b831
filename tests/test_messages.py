"""What users get wrong, and what they are told: where, what came, what was expected, and one fix."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L

X, Y = np.ones((8, 4), np.float32), np.ones((8, 1), np.float32)
LABELS = np.arange(8) % 3
IMAGES = np.ones((8, 28, 28), np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"


def compiled(*stack, loss="mse", **kwargs):
    model = pn.Sequential(list(stack))
    model.compile(kwargs.pop("optimizer", "sgd"), loss, **kwargs)
    return model


def dense(units=1, loss="mse", shape=(4,), **kwargs):
    return compiled(L.Dense(units, input_shape=shape, **kwargs), loss=loss)


def classifier(loss=SPARSE, units=3):
    return dense(units, loss, activation="softmax")


def fit(model, x=X, y=Y, **kwargs):
    return model.fit(x, y, verbose=0, **kwargs)


def convolutional():
    return compiled(L.Conv2D(4, 3, input_shape=(28, 28, 1)), L.Flatten(), L.Dense(3, activation="softmax"), loss=SPARSE)


def graph():
    x = pn.Input((4,))
    model = pn.Model(x, L.Dense(1)(x))
    model.compile("sgd", "mse")
    return model


class Table:
    """What a DataFrame of pandas has."""

    columns = ("size", "colour")
    dtypes = {"size": np.dtype(float), "colour": np.dtype(object)}

    def __array__(self, dtype=None, copy=None):
        return np.array([[1.0, "red"], [2.0, "blue"]], object)


# name: (what the user does, the error's class, words that the message has)
MISTAKES = {
    # shapes of inputs
    "images without a channel axis": (
        lambda: fit(convolutional(), IMAGES, LABELS),
        ValueError, ["Conv2D", "4 axes", "(8, 28, 28)", "x[..., None]"]),
    "images into a dense layer": (lambda: fit(dense(), IMAGES), ValueError, ["Dense", "(8, 28, 28)", "Flatten()"]),
    "rows into an LSTM": (
        lambda: fit(compiled(L.LSTM(4, input_shape=(1, 1)), L.Dense(1)), np.ones((2, 1)), np.ones((2, 1))),
        ValueError, ["LSTM", "(batch, time, features)", "x[..., None]"]),
    "other features": (lambda: fit(dense(), np.ones((8, 5))), ValueError, ["Dense", "length 4", "(8, 5)"]),
    "other features in batches": (lambda: dense().fit(((X[:, :3], Y) for _ in range(2)), verbose=0), ValueError, ["length 4", "(8, 3)"]),
    "other features to predict": (lambda: dense().predict(np.ones((5, 3))), ValueError, ["Dense", "length 4", "(5, 3)"]),
    "other features for a graph": (lambda: graph().evaluate(X[:5, :3], Y[:5]), ValueError, ["Functional", "(None, 4)", "(5, 3)"]),
    "one row without a batch axis": (lambda: dense().predict(np.ones(4)), ValueError, ["Dense", "shape=(4,)", "x[None]"]),
    "one row of other features": (lambda: dense().predict(np.ones(5)), ValueError, ["Dense", "shape=(5,)", "(1, 3)"]),
    "one row for a graph": (lambda: graph().predict(np.ones(4)), ValueError, ["Functional", "shape=(4,)", "x[None]"]),
    "one image without a batch axis": (
        lambda: convolutional().predict(np.ones((28, 28, 1))), ValueError, ["Conv2D", "(28, 28, 1)", "batch of one: pass x[None]"]),
    "ids without a batch axis": (
        lambda: pn.Sequential([L.Embedding(5, 2, input_length=3), L.Flatten(), L.Dense(1)]).predict(np.zeros(3, int)),
        ValueError, ["Embedding", "2 axes", "shape=(3,)", "x[None]"]),
    "a window larger than the image": (
        lambda: pn.Sequential([L.Conv2D(4, 5, input_shape=(3, 3, 1))]),
        ValueError, ["window of 5", "padding='same'"]),
    "elements don't fit a new shape": (
        lambda: pn.Sequential([L.Reshape((5, 5), input_shape=(24,))]),
        ValueError, ["Reshape", "24", "(5, 5)"]),
    "a recurrent layer behind one that gives its last step": (
        lambda: pn.Sequential([L.LSTM(3, input_shape=(5, 2), name="a"), L.Dropout(0.5), L.LSTM(3, name="b")]),
        ValueError, ["[LSTM 'b']", "3 axes", "(None, 3)", "LSTM 'a' gives its last step only: pass return_sequences=True to it"]),
    "a convolution behind a dense layer": (
        lambda: pn.Sequential([L.Dense(3, input_shape=(4,), name="a"), L.Conv2D(3, 3)]),
        ValueError, ["Conv2D", "4 axes", "(None, 3)", "what Dense 'a' gives", "Reshape"]),
    "a window larger than what comes before": (
        lambda: pn.Sequential([pn.Input((8, 8, 1)), L.MaxPooling2D(4), L.Conv2D(4, 3, name="c")]),
        ValueError, ["[Conv2D 'c']", "window of 3", "padding='same'"]),
    "a stack that doesn't fit its data": (
        lambda: pn.Sequential([L.GRU(3, name="a"), L.GRU(3, name="b")]).predict(np.ones((2, 5, 3))),
        ValueError, ["[GRU 'b']", "GRU 'a'", "return_sequences=True"]),
    "flattened images": (
        lambda: fit(compiled(L.Flatten(input_shape=(28, 28)), L.Dense(1)), IMAGES.reshape(8, 784)),
        ValueError, ["(None, 28, 28)", "(8, 784)", "x.reshape(-1, 28, 28)"]),
    "flattened images into a GRU": (
        lambda: fit(compiled(L.GRU(4, input_shape=(28, 28)), L.Dense(1)), IMAGES.reshape(8, 784)),
        ValueError, ["GRU", "(8, 784)", "x.reshape(-1, 28, 28)"]),
    "numbers into a dense layer": (lambda: fit(dense(shape=(1,)), X[:, 0]), ValueError, ["Dense", "(8,)", "add an axis, x[..., None]"]),
    "channels first": (
        lambda: pn.Sequential([L.Conv2D(4, 3, input_shape=(1, 28, 28))]),
        ValueError, ["Conv2D", "length 1", "x.transpose(0, 2, 3, 1)"]),
    "a shape as text": (lambda: L.Dense(1, input_shape="784"), ValueError, ["input_shape='784'", "(28, 28)"]),
    "a length below zero": (lambda: pn.Input((None, -3)), ValueError, ["(None, -3)", "length"]),
    "a model without layers": (lambda: fit(compiled()), ValueError, ["no layers", "model.add"]),
    "a shape that is none for a model": (lambda: pn.Sequential([L.Dense(1)]).build(3), ValueError, ["Received: 3", "build((None, 3))"]),
    # targets
    "one-hot labels for a sparse loss": (
        lambda: fit(classifier(), X, ONE_HOT),
        ValueError, ["(8, 3)", f"'{CATEGORICAL}'", "argmax"]),
    "labels for a categorical loss": (
        lambda: fit(classifier(CATEGORICAL), X, LABELS),
        ValueError, ["(8,)", f"'{SPARSE}'", "one_hot"]),
    "a label too large": (lambda: fit(classifier(units=2), X, LABELS), ValueError, ["label 2", "at least 0 and below 2"]),
    "a label below zero": (lambda: fit(classifier(), X, LABELS - 1), ValueError, ["label -1", "at least 0 and below 3"]),
    "labels with fractions": (lambda: fit(classifier(), X, LABELS + 0.5), ValueError, [SPARSE, "whole numbers", "0.5"]),
    "classes 1 and 2 for a binary loss": (
        lambda: fit(dense(1, "binary_crossentropy"), X, Y + 1),
        ValueError, ["between 0 and 1", "from 2 to 2"]),
    "classes -1 and 1 for a binary loss": (
        lambda: fit(dense(1, "binary_crossentropy"), X, np.array([-1, 1] * 4)),
        ValueError, ["between 0 and 1", "from -1 to 1", "'hinge'"]),
    "one unit for several classes": (
        lambda: fit(dense(1, CATEGORICAL), X, LABELS), ValueError, ["(8, 1)", "one unit", "'binary_crossentropy'"]),
    "labels without Flatten": (
        lambda: fit(dense(3, SPARSE, activation="softmax", shape=(5, 4)), np.ones((8, 5, 4)), LABELS),
        ValueError, ["(8, 5, 3)", "Flatten()"]),
    "a value for each step": (
        lambda: fit(compiled(L.LSTM(4, return_sequences=True, input_shape=(3, 1)), L.Dense(1)), np.ones((8, 3, 1)), Y),
        ValueError, ["(8, 3, 1)", "return_sequences"]),
    "more outputs than targets": (lambda: fit(dense(3)), ValueError, ["(8, 1)", "(8, 3)", "units"]),
    "no Flatten": (
        lambda: fit(dense(3, CATEGORICAL, activation="softmax", shape=(5, 4)), np.ones((8, 5, 4)), ONE_HOT),
        ValueError, ["(8, 5, 3)", "Flatten()"]),
    # data
    "NaN in the data": (
        lambda: fit(dense(), X * np.nan),
        pn.NonFiniteError, ["epoch 1, batch 1", "input 0", "row 0", "Remove or replace"]),
    "NaN in the targets": (lambda: fit(dense(), X, Y * np.nan), pn.NonFiniteError, ["target 0"]),
    "text": (lambda: fit(dense(), [["a", "b", "c", "d"]], [[1]]), TypeError, ["x must hold numbers", "dtype"]),
    "numbers as text": (lambda: fit(dense(), [["1", "2", "3", "4"]], [[1]]), TypeError, ["np.asarray(values, dtype='float32')"]),
    "a table with a column of text": (lambda: fit(dense(), Table(), Y[:2]), TypeError, ["shape (2, 2), not numbers in 'colour'"]),
    "rows of different lengths": (
        lambda: fit(dense(), [[1, 2], [3]], [1, 2]),
        ValueError, ["rows of x", "length 2, length 1", "Pad"]),
    "more rows than targets": (lambda: fit(dense(), X, Y[:5]), ValueError, ["x.shape=(8, 4), y.shape=(5, 1)"]),
    "no rows": (lambda: fit(dense(), X[:0], Y[:0]), ValueError, ["no rows"]),
    "empty lists": (lambda: fit(dense(), [], []), ValueError, ["no rows", "an empty list"]),
    "an empty list to predict": (lambda: dense().predict([]), ValueError, ["no rows", "an empty list", "Pass an array"]),
    "an empty dict to evaluate": (lambda: dense().evaluate({}, Y), ValueError, ["no rows", "an empty dict"]),
    "no rows to evaluate": (lambda: dense().evaluate(X[:0], Y[:0]), ValueError, ["[evaluate]", "no data"]),
    "a path instead of data": (lambda: dense().predict("data.csv"), TypeError, ["x must hold numbers"]),
    "weights that are NaN": (lambda: fit(dense(), sample_weight=np.full(8, np.nan)), pn.NonFiniteError, ["sample_weight 0", "the data"]),
    "weights of classes that are NaN": (
        lambda: fit(classifier(), X, LABELS, class_weight={0: np.nan}), ValueError, ["[fit]", "nan for class 0"]),
    "a range": (lambda: dense().fit(range(4), range(4)), ValueError, ["a range", "np.array(list(x))"]),
    "as many weights as not": (lambda: fit(dense(), sample_weight=np.ones(3)), ValueError, ["sample_weight.shape=(3,)"]),
    "weights of classes as a list": (
        lambda: fit(classifier(), X, LABELS, class_weight=[1, 2, 3]),
        ValueError, ["dict", "Write {0: 1.0"]),
    "weights of classes for labels below zero": (
        lambda: fit(classifier(), X, LABELS - 1, class_weight={0: 1.0, 1: 2.0}),
        ValueError, ["[fit] class_weight", "zero or more", "-1", "sample_weight"]),
    "weights of classes for labels that are NaN": (
        lambda: fit(classifier(), X, Y * np.nan, class_weight={0: 1.0}), ValueError, ["[fit] class_weight", "nan"]),
    "weights of classes by name": (lambda: fit(classifier(), X, LABELS, class_weight={"a": 1.0}), ValueError, ["class index"]),
    "a generator that ends early": (
        lambda: dense().fit(((X, Y) for _ in range(3)), epochs=3, verbose=0),
        ValueError, ["epoch 2", "only once", "steps_per_epoch"]),
    "batches without targets": (lambda: dense().fit((X for _ in range(3)), verbose=0), ValueError, ["without targets", "(x, y)"]),
    "batches as lists": (lambda: dense().fit(([X.tolist(), Y.tolist()] for _ in range(3)), verbose=0), ValueError, ["a list", "(x, y)"]),
    # compile and fit
    "no compile": (lambda: fit(pn.Sequential([L.Dense(1, input_shape=(4,))])), RuntimeError, ["[fit]", "model.compile("]),
    "no loss": (lambda: fit(compiled(L.Dense(1, input_shape=(4,)), loss=None)), ValueError, ["no loss", "mean_squared_error"]),
    "a rate that diverges": (
        lambda: fit(compiled(L.Dense(1, input_shape=(4,)), optimizer=pn.optimizers.SGD(10.0)), epochs=200),
        pn.NonFiniteError, ["learning rate 10", "Try a tenth", "clipnorm", "weights are those from before"]),
    "options as in JavaScript": (
        lambda: dense().fit(X, Y, {"epochs": 10, "batchSize": 4}),
        TypeError, ["Write fit(x, y, epochs=10, batch_size=4)"]),
    "camel case": (lambda: fit(dense(), batchSize=4), TypeError, ["'batchSize'", "Did you mean 'batch_size'?"]),
    "an old name": (lambda: fit(dense(), nb_epoch=4), TypeError, ["Did you mean 'epochs'?"]),
    "data of JavaScript": (lambda: dense().fit({"xs": X, "ys": Y}), ValueError, ["y is missing", "fit(data['xs'], data['ys'])"]),
    "no rows in a batch": (lambda: fit(dense(), batch_size=0), ValueError, ["batch_size", "above zero", "0"]),
    "no rows in a batch of predictions": (lambda: dense().predict(X, batch_size=0), ValueError, ["[predict]", "batch_size"]),
    "epochs as text": (lambda: fit(dense(), epochs="10"), ValueError, ["epochs", "'10'"]),
    "a share above one": (lambda: fit(dense(), validation_split=1.5), ValueError, ["validation_split", "1.5"]),
    "validation data without targets": (lambda: fit(dense(), validation_data=X), ValueError, ["validation_data", "(8, 4)"]),
    "callbacks of JavaScript": (
        lambda: fit(dense(), callbacks={"onEpochEnd": print}),
        TypeError, ["'onEpochEnd'", "LambdaCallback"]),
    "a function as callback": (lambda: fit(dense(), callbacks=[print]), TypeError, ["LambdaCallback"]),
    "a function alone as callback": (lambda: fit(dense(), callbacks=print), TypeError, ["<built-in function print>", "LambdaCallback"]),
    "a callback's name": (lambda: fit(dense(), callbacks="early"), TypeError, ["Received: 'early'"]),
    "a class as callback": (lambda: fit(dense(), callbacks=[pn.callbacks.EarlyStopping]), TypeError, ["Write EarlyStopping(...)"]),
    "shuffle as text": (lambda: fit(dense(), shuffle="yes"), ValueError, ["shuffle", "'yes'"]),
    "a number as validation data": (lambda: fit(dense(), validation_data=3), ValueError, ["validation_data", "Received: 3"]),
    "a loss that returns nothing": (lambda: fit(dense(loss=lambda y, p: None)), TypeError, ["Received: None", "return"]),
    "a metric that returns text": (
        lambda: fit(compiled(L.Dense(1, input_shape=(4,)), metrics=[lambda y, p: "good"])), TypeError, ["Received: 'good'"]),
    "the weight of a loss as text": (
        lambda: fit(compiled(L.Dense(1, input_shape=(4,)), loss_weights="a")), ValueError, ["loss_weights", "'a'"]),
    "an unknown loss, at once": (lambda: compiled(L.Dense(1), loss="mean_square_error"), ValueError, ["[loss]", "MeanSquaredError"]),
    "a table too narrow": (lambda: dense().summary(5), ValueError, ["line_length", "5"]),
    "nothing to monitor": (
        lambda: fit(dense(), callbacks=[pn.callbacks.EarlyStopping("val_loss")]),
        ValueError, ["EarlyStopping", "val_loss", "validation data"]),
    "verbose as text": (lambda: dense().fit(X, Y, verbose="yes"), ValueError, ["verbose", "'yes'"]),
    "metrics without a list": (
        lambda: compiled(L.Dense(1), metrics="mae"),
        TypeError, ["metrics=['mae']"]),
    "a metric's name": (
        lambda: compiled(L.Dense(1), metrics=["acuracy"]),
        ValueError, ["'acuracy'", "Accuracy"]),
    "a metric's name, of one output": (
        lambda: compiled(L.Dense(1), metrics={"dense": ["mae", "acuracy"]}), ValueError, ["'acuracy'", "Accuracy"]),
    "a number as metric": (lambda: compiled(L.Dense(1), metrics=["mae", 3]), TypeError, ["[metric]", "Received: 3"]),
    "a loss's name": (lambda: fit(dense(1, "mean_square_error")), ValueError, ["'mean_square_error'", "MeanSquaredError"]),
    "an optimizer's name": (lambda: compiled(L.Dense(1), optimizer="adm"), ValueError, ["'adm'", "Adam"]),
    # layers and optimizers
    "the size of the input": (lambda: L.Dense(784, 10), TypeError, ["[activation]", "Received: 10", "Dense(10)"]),
    "an activation's name": (lambda: L.Dense(1, activation="reul"), ValueError, ["'reul'", "Did you mean 'relu'?"]),
    "arguments of JavaScript": (lambda: L.Dense(units=1, inputShape=[4]), TypeError, ["Did you mean 'input_shape'?"]),
    "arguments in a dict": (lambda: L.Dense({"units": 1}), ValueError, ["units", "Dense(units=8)"]),
    "a number as text": (lambda: L.Dense("10"), ValueError, ["Dense", "units='10'"]),
    "a rate in per cent": (lambda: L.Dropout(50), ValueError, ["Dropout", "rate=50", "write 0.5"]),
    "layers without a list": (lambda: pn.Sequential(L.Dense(1), L.Dense(2)), TypeError, ["one list", "Dense, Dense"]),
    "a list for a layer": (lambda: pn.Sequential().add([L.Dense(1)]), TypeError, ["one at a time"]),
    "one side of a graph": (lambda: pn.Model(pn.Input((3,))), TypeError, ["[Model]", "pn.Model(inputs, outputs)"]),
    "a graph as in JavaScript": (lambda: pn.Model({"inputs": 1, "outputs": 2}), TypeError, ["[Model]", "pn.Model(inputs, outputs)"]),
    "NumPy on a symbolic tensor": (lambda: np.exp(pn.Input((3,))), TypeError, ["Received: np.exp", "no value", "Lambda"]),
    "the value of a symbolic tensor": (lambda: float(pn.Input((3,))), TypeError, ["no value"]),
    "a layer's place as text": (lambda: dense().get_layer(index="a"), TypeError, ["get_layer", "index='a'"]),
    "a cell's config": (lambda: L.RNN({"a": 1}), TypeError, ["[RNN]", "GRUCell(8)"]),
    "weights to an optimizer": (
        lambda: pn.optimizers.SGD([pn.Variable(1.0)]), ValueError, ["[SGD] the learning rate", "no list of weights"]),
    "a class for a layer": (lambda: pn.Sequential([L.Dense]), TypeError, ["Write Dense(...)"]),
    "a function for a layer": (lambda: pn.Sequential([abs]), TypeError, ["Activation"]),
    "a layer twice": (lambda: (lambda layer: pn.Sequential([layer, layer]))(L.Dense(1)), ValueError, ["name"]),
    "lr": (lambda: pn.optimizers.SGD(lr=0.1), TypeError, ["Did you mean 'learning_rate'?"]),
    "a rate as text": (lambda: pn.optimizers.SGD("0.1"), ValueError, ["learning rate", "'0.1'"]),
    "an id outside the table": (
        lambda: pn.Sequential([L.Embedding(5, 2, input_length=1)]).predict(np.array([[7]])), ValueError, ["index 7", "5 rows"]),
    "weights that are missing": (
        lambda: dense().set_weights([np.ones((4, 1))]),
        ValueError, ["expected 2", "Received: 1", "bias"]),
    # tensors and gradients
    "weights as text": (lambda: dense().set_weights([np.full((4, 1), "a"), Y[0]]), TypeError, ["kernel", "dtype <U1"]),
    "a number for weights": (lambda: dense().set_weights(3), TypeError, ["set_weights", "Received: 3", "get_weights()"]),
    "matrices that don't fit": (
        lambda: pn.matmul(np.ones((2, 3)), np.ones((2, 3))),
        ValueError, ["[matmul]", "3 and 2", "(2, 3)"]),
    "shapes that don't broadcast": (lambda: pn.ones((2, 3)) + pn.ones((4,)), ValueError, ["[add]", "(2, 3)", "(4,)"]),
    "an integer to a power below zero": (lambda: pn.tensor([2]) ** -1, ValueError, ["[power]", "y=-1", "int64", "astype('float32')"]),
    "integers to powers below zero, captured": (
        lambda: pn.function(lambda x, y: x**y)(pn.tensor([2, 2]), pn.tensor([1, -3])), ValueError, ["[power]", "y=-3"]),
    "a part of an op": (lambda: pn.norm([[1.0]], axis=5), ValueError, ["[norm] there is no such axis", "axis=5"]),
    "a product of vectors": (lambda: pn.dot([1.0, 2.0], [1.0]), ValueError, ["[dot]"]),
    "a function that calls an op": (lambda: pn.function(lambda x: pn.sum(x, axis=5))(X), ValueError, ["[sum] there is no such axis"]),
    "a ragged tensor": (lambda: pn.tensor([[1, 2], [3]]), ValueError, ["[tensor]", "different lengths"]),
    "a tensor of text": (lambda: pn.tensor(["a"]), TypeError, ["[tensor]", "numbers"]),
    "the truth of a tensor": (lambda: bool(pn.tensor([1.0, 2.0])), ValueError, ["ambiguous", ".any() or .all()"]),
    "gradients of a value": (lambda: pn.grads(pn.tensor(1.0)), TypeError, ["must be a function", "pn.grads(lambda w, b"]),
    "gradients as in JavaScript": (lambda: pn.grads(lambda w: w.sum(), [pn.Variable(1.0)]), TypeError, ["pn.grads(f)(w, b)"]),
    "values in a list": (lambda: pn.grads(lambda a, b: a * b)([pn.ones(()), pn.ones(())]), TypeError, ["one by one", "pn.grads(f)(w, b)"]),
    "gradients by nothing": (lambda: pn.grads(lambda a: a)(a=pn.ones(())), TypeError, ["[grads]", "no positional arguments"]),
    "two results": (lambda: pn.grads(lambda a: (a, a))(1.0), TypeError, ["one tensor", "a tuple of 2"]),
    "minimize as in JavaScript": (
        lambda: pn.optimizers.SGD().minimize(lambda: pn.Variable(1.0) * 2.0, True), TypeError, ["list of pn.Variable", "True"]),
    "a loop's body that is none": (lambda: pn.scan(3, 0.0, pn.ones(2)), TypeError, ["[scan]", "function"]),
    "a loop's body that gives one thing": (lambda: pn.scan(lambda c, x: c, 0.0, pn.ones(2)), TypeError, ["[scan]", "return carry, y"]),
    "a seed as text": (lambda: pn.random.normal(2, seed="a"), TypeError, ["seed", "'a'"]),
    "the gradient of a vector": (lambda: pn.grad(lambda x: x * x)(pn.ones(2)), ValueError, ["one number", ".mean() or .sum()"]),
    "the gradient of a Python number": (
        lambda: pn.grad(lambda x: float(x) ** 2)(3.0), TypeError, ["[grad]", "must return a tensor", "a float", "float(x)"]),
    "the gradient of an array": (lambda: pn.variable_grads(lambda: np.ones(())), TypeError, ["[variable_grads]", "ndarray"]),
    "a condition in a captured function": (
        lambda: pn.function(lambda x: 1 if x.sum() > 0 else 2)(pn.ones(1)), pn.CaptureError, ["condition", "pynn.where"]),
    # files
    "no model there": (lambda: pn.load_model("nowhere"), FileNotFoundError, ["'nowhere'", "model.json"]),
    "an address to save to": (lambda: dense().save("file://m"), ValueError, ["[save]", "'file://m'", "Write 'm'"]),
    "an address to load from": (lambda: pn.load_model("https://x/model.json"), ValueError, ["[load_model]", "Download"]),
    "a number for a path": (lambda: dense().save(3), TypeError, ["[save]", "Received: 3"]),
    "a model as .keras": (lambda: dense().save("m.keras"), ValueError, ["folder", ".keras"]),
    "weights as .h5": (lambda: dense().save_weights("m.weights.h5"), ValueError, ["[save_weights]", "a .h5 file", ".safetensors"]),
    "a model without weights": (lambda: pn.Sequential([L.Dense(1)]).save("m"), ValueError, ["no weights", "input_shape"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_explained(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pn.set_seed(0)
    act, kind, words = MISTAKES[name]
    with pytest.raises(kind) as caught:
        act()
    message = str(caught.value)
    assert message.startswith("["), message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("start, what", [(b"\x89HDF\r\n\x1a\n", "HDF5"), (b"PK\x03\x04\x00\x00\x00\x00", "zip")])
def test_files_of_other_formats(tmp_path, start, what):
    (tmp_path / "m").write_bytes(start + bytes(100))
    with pytest.raises(pn.DataError, match=rf"is a.*{what}.*tensorflowjs_converter"):
        pn.load_model(tmp_path / "m")


NAMES = [
    ("tensor2d", "pn.tensor(values)"), ("scalar", "pn.tensor(3.0)"), ("variable", "pn.Variable"), ("sequential", "pn.Sequential"),
    ("model", "pn.Model"), ("input", "pn.Input"), ("train", "pn.optimizers.SGD(0.1)"), ("tidy", "leave it out"), ("nn", "pn.layers"),
    ("keras", "pn.Sequential"), ("GradientTape", "pn.value_and_grads"), ("loadLayersModel", "pn.load_model"), ("matMul", "pn.matmul"),
    ("oneHot", "pn.one_hot"), ("expandDims", "pn.expand_dims"), ("no_grad", "pn.stop_gradient"), ("matmull", "'matmul'"),
    ("layers.dense", "pn.layers.Dense"), ("layers.conv2d", "pn.layers.Conv2D"), ("layers.maxPooling2d", "pn.layers.MaxPooling2D"),
    ("layers.lstm", "pn.layers.LSTM"), ("layers.Linear", "pn.layers.Dense"), ("layers.embedding", "pn.layers.Embedding"),
    ("layers.MultiHeadAttention", "no attention"), ("layers.Desne", "'Dense'"), ("optimizers.adam", "pn.optimizers.Adam"),
    ("optimizers.sgd", "pn.optimizers.SGD(0.01)"), ("optimizers.rmsprop", "pn.optimizers.RMSprop"),
    ("losses.meanSquaredError", "pn.losses.mean_squared_error"), ("metrics.binaryAccuracy", "pn.metrics.binary_accuracy"),
    ("callbacks.earlyStopping", "pn.callbacks.EarlyStopping"), ("datasets.cifar10", "mnist"), ("data.mnist", "pn.datasets.mnist.load()"),
    ("mnist", "pn.datasets.mnist.load()"), ("layers.lstmLayer", "Use pn.layers.LSTM."), ("layers.denseLayer", "Use pn.layers.Dense."),
    ("losses.mse", "pn.losses.mean_squared_error(y_true, y_pred)"), ("metrics.MAE", "pn.metrics.mean_absolute_error(y_true, y_pred)"),
    ("initializers.glorotUniform", "Use pn.initializers.GlorotUniform."), ("initializers.HeNormall", "Did you mean 'HeNormal'?"),
    ("regularizers.l2", "Use pn.regularizers.L2."), ("constraints.max_norm", "Use pn.constraints.MaxNorm."),
    ("activations.reLU", "Use pn.activations.relu."), ("models.load_model", "pn.load_model(folder)"), ("clone_model", "from_config"),
    ("models.clone_model", "copy.deepcopy(model)"), ("models.Sequentail", "Did you mean 'Sequential'?"),
    ("datasets.mnist.training", "(x_train, y_train), (x_test, y_test) = pn.datasets.mnist.load()"),
]  # fmt: skip


@pytest.mark.parametrize("name, hint", NAMES, ids=[n for n, _ in NAMES])
def test_names_of_other_packages(name, hint):
    module, attribute = pn, name
    if "." in name:
        folder, attribute = name.rsplit(".", 1)
        module = __import__(f"pynn.{folder}", fromlist=["_"])
    with pytest.raises(AttributeError) as caught:
        getattr(module, attribute)
    assert repr(attribute) in str(caught.value)
    assert hint in str(caught.value)


def test_a_promise_of_the_end_of_training():
    """As `model.fit(x, y).then(...)` in the GRU's tutorial."""
    with pytest.raises(AttributeError, match=r"'History' object has no attribute 'then'\. fit returns when training is done"):
        pn.callbacks.History().then  # noqa: B018
    assert copy.copy(pn.callbacks.History()).epoch == []


def test_modules_of_layers_can_still_be_imported():
    import pynn.layers.dense as module
    from pynn.optimizers import adam

    assert module.Dense is L.Dense
    assert adam.Adam is pn.optimizers.Adam


@pytest.mark.parametrize("name, wanted", [("MaxPool2D", L.MaxPooling2D), ("AvgPool1D", L.AveragePooling1D), ("Convolution2D", L.Conv2D),
                                          ("GlobalAvgPool2D", L.GlobalAveragePooling2D)])  # fmt: skip
def test_short_names_of_keras(name, wanted):
    assert getattr(L, name) is wanted


def test_arguments_without_effect_are_taken():
    L.GRU(2, use_cudnn="auto")
    L.BatchNormalization(synchronized=True)
    L.Dense(1, lora_rank=None, quantization_config=None)
    with pytest.raises(TypeError, match="lora_rank"):
        L.Dense(1, lora_rank=4)


def test_arguments_in_keras_order():
    history = dense().fit(X, Y, 4, 3, 0)
    assert len(history.epoch) == 3
    assert dense().predict(X, 4).shape == (8, 1)


def test_one_callback_needs_no_list():
    assert fit(dense(), epochs=2, callbacks=pn.callbacks.EarlyStopping("loss", patience=5)).epoch == [0, 1]


def test_a_model_without_weights_has_a_summary(capsys):
    pn.Sequential([L.Dense(1)]).summary()
    assert "not yet" in capsys.readouterr().out


@pytest.mark.parametrize("threads", [0, -1, 1024, 2**40, 2**70, 1.5, True])
def test_numbers_of_threads_that_make_no_sense(threads):
    with pytest.raises(ValueError, match=r"\[set_num_threads\] threads must be a whole number from 1 to 1023"):
        pn.set_num_threads(threads)


def test_options_in_the_place_of_targets():
    model = pn.Sequential([L.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    for x in ({"xs": np.ones((2, 2)), "ys": np.ones(2)}, np.ones((2, 2))):
        with pytest.raises(TypeError, match=r"\[fit\] options are keyword arguments here.*Write fit\(x, y, epochs=10, batch_size=4\)"):
            model.fit(x, {"epochs": 10, "batchSize": 4})


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: pn.losses.CategoricalCrossentropy(from_logit=True), r"\[CategoricalCrossentropy\] .* Did you mean 'from_logits'\?"),
        (lambda: pn.metrics.BinaryAccuracy(treshold=0.3), r"\[BinaryAccuracy\] .* Did you mean 'threshold'\? Known: name, threshold"),
        (lambda: pn.callbacks.EarlyStopping(minDelta=1), r"\[EarlyStopping\] unknown argument 'minDelta'. Did you mean 'min_delta'\?"),
        (lambda: pn.initializers.HeNormal(sed=1), r"\[HeNormal\] unknown argument 'sed'. Did you mean 'seed'\? Known: seed"),
        (lambda: pn.initializers.Zeros(seed=1), r"\[Zeros\] unknown argument 'seed'. It takes no arguments"),
        (lambda: pn.initializers.Zeros(1), r"\[Zeros\] takes no arguments. Received: 1"),
        (lambda: pn.regularizers.L2(l=0.1), r"\[L2\] unknown argument 'l'. Did you mean 'l2'\?"),
        (lambda: pn.constraints.MaxNorm(maxValue=2), r"\[MaxNorm\] .* Did you mean 'max_value'\?"),
        (lambda: pn.optimizers.schedules.CosineDecay(0.1, 10, alhpa=0.1), r"\[CosineDecay\] .* Did you mean 'alpha'\?"),
        (lambda: pn.callbacks.Callback(1), r"\[Callback\] takes no arguments. Received: 1"),
    ],
)  # fmt: skip
def test_unknown_arguments_of_what_is_no_layer(make, expected):
    with pytest.raises(TypeError, match=expected):
        make()


def test_constructors_of_the_users_own_take_what_they_like():
    class Own(pn.losses.Loss):
        def __init__(self, factor, **rest):
            super().__init__(reduction=rest.pop("how"), **rest)
            self.factor = factor

    class Quiet(pn.callbacks.Callback):
        def __init__(self, *, every):
            self.every = every

    assert Own(2, how="sum", name="own").reduction == "sum"
    assert Quiet(every=3).every == 3


def test_graphs_where_none_is_taken():
    class Own(pn.Model):
        def __init__(self, graph):
            super().__init__(inputs=graph[0], outputs=graph[1])

    class Graph(pn.Functional):
        def __init__(self, units):
            x = pn.Input((4,))
            super().__init__(x, L.Dense(units)(x))
            self.units = units

    x = pn.Input((4,))
    with pytest.raises(TypeError, match=r"\[Own\] .* Define call, or make it a class on top of pn.Functional"):
        Own([x, L.Dense(1)(x)])
    with pytest.raises(TypeError, match=r"\[Model\] .* Write pn.Model\(inputs, outputs\)"):
        pn.Model(inputs=x)
    assert Graph(3)(X).shape == (8, 3)


def test_weights_by_place():
    layer = L.Layer()
    np.testing.assert_array_equal(layer.add_weight((2, 3), "ones", name="kernel").numpy(), np.ones((2, 3)))
    np.testing.assert_array_equal(layer.add_weight("bias", (3,), initializer="zeros").numpy(), np.zeros(3))
    assert layer.add_weight((2,)).name == "weight_2" and [w.name for w in layer.weights][:2] == ["kernel", "bias"]
    with pytest.raises(TypeError, match=r"add_weight takes at most two positional arguments.* Received: 3\. Write initializer="):
        layer.add_weight("kernel", (3,), "ones")


def test_a_column_given_as_a_vector_is_told_to_add_the_axis():
    column = pn.Input((1,), name="category")
    model = pn.Model(column, pn.layers.Dense(1)(column))
    with pytest.raises(ValueError, match=r"Received: shape=\(5,\)\. Add the last axis: pass x\[\.\.\., None\]"):
        model(np.ones(5, np.float32))


def many_signatures():
    function = pn.function(lambda x: x + 1.0)
    for n in range(1, 40):
        function(np.ones(n, np.float32))


def own_layer():
    class Own(pn.Layer):
        def call(self, x):
            return x

    return Own()


def minimize_in_part():
    w, b = pn.Variable(2.0), pn.Variable(1.0)
    pn.optimizers.SGD(0.1).minimize(lambda: pn.tensor(float(w) ** 2) + b, [w, b])


def trained_with_own_loss():
    model = dense(loss=lambda y_true, y_pred: (y_true - y_pred).mean())
    fit(model)
    return model


WARNED = {
    "few rows": lambda folder: fit(dense(), steps_per_epoch=50),
    "few batches": lambda folder: dense().fit(((X, Y) for _ in range(3)), steps_per_epoch=5, verbose=0),
    "a value that was read": lambda folder: pn.grads(lambda w: pn.tensor(float(w) ** 2))(pn.Variable(2.0)),
    "a value that was read in minimize": lambda folder: minimize_in_part(),
    "captures": lambda folder: many_signatures(),
    "own layer": lambda folder: compiled(L.Dense(1, input_shape=(4,)), own_layer()).save(folder / "m"),
    "own loss": lambda folder: trained_with_own_loss().save(folder / "m"),
    "frozen": lambda folder: fit(compiled(L.Dense(1, input_shape=(4,), trainable=False))),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNED)
def test_warnings_point_to_the_users_line(name, tmp_path):
    with pytest.warns(UserWarning) as caught:
        WARNED[name](tmp_path)
    assert {warning.filename for warning in caught} == {__file__}
