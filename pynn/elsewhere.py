"""Names that other packages have, and what they are called here: for the errors about names that a module doesn't have."""

from __future__ import annotations

from collections.abc import Iterable

from pynn.errors import suggestion
from pynn.serialization import normal_form

_NOT_NEEDED = "Nothing has to be freed here: leave it out."
_PACKAGE = {
    **{f"tensor{n}d": "Use pn.tensor(values)." for n in range(1, 7)},
    "scalar": "Use pn.tensor(3.0), or the number itself.",
    "variable": "Use pn.Variable(values).",
    "sequential": "Use pn.Sequential([...]).",
    "model": "Use pn.Model(inputs, outputs).",
    "input": "Use pn.Input(shape).",
    "train": "Use pn.optimizers: pn.train.sgd(0.1) is pn.optimizers.SGD(0.1), pn.train.adam() is pn.optimizers.Adam().",
    "optim": "Use pn.optimizers: pn.optimizers.Adam(0.001).",
    "keras": "It is pn itself: pn.Sequential, pn.layers.Dense.",
    "nn": "Use pn.layers, and pn.relu, pn.softmax and so on for functions.",
    "math": "Use pn itself: pn.exp, pn.sqrt.",
    **dict.fromkeys(("random_normal", "randomNormal", "randomStandardNormal", "randn"), "Use pn.random.normal(shape)."),
    **dict.fromkeys(("random_truncated_normal", "truncatedNormal"), "Use pn.random.truncated_normal(shape)."),
    **dict.fromkeys(("random_uniform", "randomUniform", "rand"), "Use pn.random.uniform(shape)."),
    **dict.fromkeys(("random_integers", "randomUniformInt", "randint"), "Use pn.random.integers(shape, low, high)."),
    "random_bernoulli": "Use pn.random.bernoulli(shape, p).",
    "randperm": "Use pn.random.permutation(n).",
    "gather": "Use pn.take(x, indices, axis=0).",
    "GradientTape": "Gradients are taken of functions: pn.value_and_grads(lambda w, b: cost(x @ w + b, y))(w, b).",
    "loadLayersModel": "Use pn.load_model(folder).",
    "loadGraphModel": "Graph models have no layers to train: convert the Keras model to a layers-model, and pn.load_model(folder).",
    "load": "Use pn.load_model(folder), or model.load_weights(file).",
    "data": "Arrays, generators and objects with __len__ and __getitem__ go into fit as they are; pn.datasets.mnist.load() has MNIST.",
    "no_grad": "Nothing is recorded unless a gradient is asked for: leave it out, or use pn.stop_gradient(x).",
    "device": "There are CPUs only: leave it out.",
    **dict.fromkeys(("tidy", "dispose", "keep", "memory", "disposeVariables"), _NOT_NEEDED),
    **dict.fromkeys(("ready", "setBackend"), "There is nothing to wait for or to choose: leave it out."),
    "customGrad": "Use pn.custom_grad.",
    "callbacks": "Use pn.callbacks.",
    "util": "Shuffling and batching are arguments of fit: fit(x, y, batch_size=32, shuffle=True).",
    "browser": "Images are arrays here: read them with Pillow or imageio, and divide by 255.",
}
_LAYERS = {
    "Linear": "Use pn.layers.Dense(units): the size of the input is inferred.",
    "BatchNorm1d": "Use pn.layers.BatchNormalization().",
    "BatchNorm2d": "Use pn.layers.BatchNormalization().",
    "MaxPool2d": "Use pn.layers.MaxPooling2D(2).",
    **dict.fromkeys(("Attention", "MultiHeadAttention", "AdditiveAttention"), "There are no attention layers."),
    **dict.fromkeys(("CuDNNLSTM", "CuDNNGRU"), "Use pn.layers.LSTM or pn.layers.GRU: they are native."),
    "inputLayer": "Use pn.Input(shape).",
}
_OPTIMIZERS = {"sgd": "Use pn.optimizers.SGD(0.01).", "Momentum": "Use pn.optimizers.SGD(0.01, momentum=0.9)."}
_DATASETS = dict.fromkeys(
    ("cifar10", "cifar100", "imdb", "reuters", "boston_housing", "california_housing"),
    "There are mnist and fashion_mnist; load others with NumPy and pass the arrays to fit.",
)
_TABLES = {"pynn": _PACKAGE, "pynn.layers": _LAYERS, "pynn.optimizers": _OPTIMIZERS, "pynn.datasets": _DATASETS}


def no_attribute(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a name that `module` doesn't have: what it is called here, or what comes close."""
    known = list(known)
    hint = _TABLES.get(module, {}).get(name)
    alike = [k for k in known if normal_form(k) == normal_form(name)]
    same = next((k for k in alike if k[:1].islower() == name[:1].islower()), next(iter(alike), None))
    if hint is None and same is not None:
        hint = f"Use {module.replace('pynn', 'pn', 1)}.{same}."
    words = f"module {module!r} has no attribute {name!r}.{' ' + hint if hint else suggestion(name, known)}"
    return AttributeError(words, name=name)  # with a name, Python adds no suggestion of its own
