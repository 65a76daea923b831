"""Names that other packages have, and what they are called here: for errors about names that aren't there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pynn.errors import suggestion
from pynn.serialization import normal_form, snake_case

_NOT_NEEDED = "Memory is freed automatically: leave it out."
_MODELS = {
    **dict.fromkeys(("load_model", "loadLayersModel"), "Use pn.load_model(folder)."),
    "save_model": "Use model.save(folder).",
    "clone_model": "Use copy.deepcopy(model), or type(model).from_config(model.get_config()) for fresh weights.",
    **dict.fromkeys(("model_from_json", "modelFromJSON"), "Use type(model).from_config(model.get_config()), or save and load the model."),
    "Input": "Use pn.Input(shape).",
}
_PACKAGE = {
    **_MODELS,
    **{f"tensor{n}d": "Use pn.tensor(values)." for n in range(1, 7)},
    "scalar": "Use pn.tensor(3.0), or the number itself.",
    "variable": "Use pn.Variable(values).",
    "sequential": "Use pn.Sequential([...]).",
    "model": "Use pn.Model(inputs, outputs).",
    "input": "Use pn.Input(shape).",
    "train": "Use pn.optimizers: pn.train.sgd(0.1) is pn.optimizers.SGD(0.1), pn.train.adam() is pn.optimizers.Adam().",
    "optim": "Use pn.optimizers: pn.optimizers.Adam(0.001).",
    "keras": "pn itself has its names: pn.Sequential, pn.layers.Dense.",
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
    "loadGraphModel": "Graph models have no layers to train: convert the Keras model to a layers-model and load that.",
    "load": "Use pn.load_model(folder), or model.load_weights(file).",
    "data": "Arrays, generators and objects with __len__ and __getitem__ go directly into fit; pn.datasets.mnist.load() has MNIST.",
    "mnist": "Use pn.datasets.mnist.load().",
    "no_grad": "Ops are recorded only while a gradient is computed: leave it out, or use pn.stop_gradient(x).",
    "device": "pynn runs on CPUs only: leave it out.",
    **dict.fromkeys(("tidy", "dispose", "keep", "memory", "disposeVariables"), _NOT_NEEDED),
    **dict.fromkeys(("ready", "setBackend"), "The backend is ready at import: leave it out."),
    "customGrad": "Use pn.custom_grad.",
    "callbacks": "Use pn.callbacks.",
    **dict.fromkeys(("mse", "mse_loss", "meanSquaredError"), "Use pn.losses.mean_squared_error(y_true, y_pred)."),
    "cross_entropy": "Use pn.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True).",
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
_LOADED = "Use (x_train, y_train), (x_test, y_test) = pn.datasets.mnist.load()."
_MNIST = dict.fromkeys(("training", "testing", "set", "images", "labels"), _LOADED)
_RANDOM = {
    **dict.fromkeys(("randn", "standard_normal"), "Use pn.random.normal(shape)."),
    **dict.fromkeys(("rand", "random", "random_sample"), "Use pn.random.uniform(shape)."),
    "randint": "Use pn.random.integers(shape, low, high).",
    "shuffle": "Use x[pn.random.permutation(n)].",
    **dict.fromkeys(("seed", "manual_seed"), "Use pn.set_seed(1)."),
}
_MEANS = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "mape": "mean_absolute_percentage_error",
          "msle": "mean_squared_logarithmic_error"}  # fmt: skip


def _means(module: str) -> dict[str, str]:
    return {spelled: f"Use {module}.{name}(y_true, y_pred)." for short, name in _MEANS.items() for spelled in (short, short.upper())}


_TABLES = {
    "pynn": _PACKAGE, "pynn.layers": _LAYERS, "pynn.models": _MODELS, "pynn.optimizers": _OPTIMIZERS, "pynn.datasets": _DATASETS,
    "pynn.datasets.mnist": _MNIST, "pynn.random": _RANDOM,
    "pynn.losses": _means("pn.losses"), "pynn.metrics": _means("pn.metrics"),
}  # fmt: skip

_GRADIENTS = "Gradients are taken of functions: pn.grads(lambda w, b: cost(x @ w + b, y))(w, b)."
_IN_PLACE = "Tensors are immutable; change a variable with w.assign(value), w.assign_add(value) or w.assign_sub(value)."
_CAMEL = {"argMax": "argmax", "argMin": "argmin", "expandDims": "expand_dims", "logSumExp": "logsumexp", "cumSum": "cumsum",
          "clipByValue": "clip", "asType": "astype", "assignSub": "assign_sub", "assignAdd": "assign_add",
          "greaterEqual": "greater_equal", "lessEqual": "less_equal", "notEqual": "not_equal"}  # fmt: skip
TENSOR = {
    **{camel: f"Use .{snake}." for camel, snake in _CAMEL.items()},
    "sub": "Write x - y.", "mul": "Write x * y.", "div": "Write x / y.", "neg": "Write -x.", "pow": "Write x ** y.",
    **dict.fromkeys(("matMul", "mm", "bmm"), "Write x @ y."),
    **dict.fromkeys(("dataSync", "arraySync", "array", "bytes"), "Use x.numpy(), or x.item() for one number."),
    **dict.fromkeys(("data", "val"), "Use w.numpy(), and w.assign(value) to set it."),
    **dict.fromkeys(("detach", "clone"), "Use x.numpy() for an array, pn.stop_gradient(x) for a constant."),
    **dict.fromkeys(("cuda", "cpu", "to", "device"), "pynn runs on CPUs only: leave it out."),
    **dict.fromkeys(("dispose", "tidy"), _NOT_NEEDED),
    **dict.fromkeys(("backward", "grad", "gradient"), _GRADIENTS),
    **dict.fromkeys(("requires_grad", "requires_grad_"), "Ops are recorded only while a gradient is computed: leave it out."),
    **dict.fromkeys(("add_", "sub_", "mul_", "div_", "zero_", "copy_", "fill_"), _IN_PLACE),
    **dict.fromkeys(("view", "as1D", "as2D", "as3D", "as4D", "reshapeAs"), "Use x.reshape(shape)."),
    "permute": "Use x.transpose(axes).", "t": "Use x.T.", "unsqueeze": "Use x.expand_dims(axis).", "gather": "Use x.take(indices, axis=0).",
    **dict.fromkeys(("float", "toFloat"), "Use x.astype('float32')."),
    **dict.fromkeys(("long", "int", "toInt"), "Use x.astype('int64')."),
    "double": "Use x.astype('float64').", "toBool": "Use x.astype('bool').", "asScalar": "Use x.item().",
    **dict.fromkeys(("rank", "dim", "rankType"), "Use x.ndim."), "numel": "Use x.size.", "print": "Use print(x).",
}  # fmt: skip
_CALLED = "Call it: layer(x)."
LAYER = {
    "apply": _CALLED, "forward": f"{_CALLED} A layer of your own defines call(x).",
    **dict.fromkeys(("parameters", "named_parameters"), "Use .trainable_weights, or .get_weights() for arrays."),
    **dict.fromkeys(("train", "eval"), "fit runs in training mode, predict in inference mode; in a call, pass training=True or False."),
    "state_dict": "Use .get_weights(), or model.save_weights(file).",
    "load_state_dict": "Use .set_weights(arrays), or model.load_weights(file).",
    "zero_grad": "Gradients don't accumulate: leave it out.",
    **dict.fromkeys(("to", "cuda", "cpu"), "pynn runs on CPUs only: leave it out."),
    "dispose": _NOT_NEEDED,
    **dict.fromkeys(("fitDataset", "fit_generator"), "Use .fit(batches), where batches yield (x, y)."),
    **dict.fromkeys(("evaluateDataset", "evaluate_generator"), "Use .evaluate(batches), where batches yield (x, y)."),
    "predict_generator": "Use .predict(batches).", "predict_proba": "Use .predict(x).",
    "reset_metrics": "Leave it out: each epoch, evaluate and train_on_batch begins anew.",
    "predict_classes": "Use .predict(x).argmax(axis=1).",
    "input_shape": "Use .input.shape, or .batch_input_shape.", "metrics": "Use .metrics_names; compile(metrics=[...]) sets them.",
    "weight": "Use .kernel, or .get_weights().", "children": "Use .layers.", "modules": "Use .flattened_layers().",
}  # fmt: skip
_WEIGHTS = ("kernel", "bias", "recurrent_kernel", "depthwise_kernel", "gamma", "beta", "moving_mean", "moving_variance", "embeddings")
LAYER_WITHOUT_WEIGHTS = {**LAYER, **dict.fromkeys(_WEIGHTS, "A layer gets its weights when it is first called, or by build(input_shape).")}
OPTIMIZER = {
    "step": "Use optimizer.apply(gradients, variables), or optimizer.minimize(lambda: loss).",
    "zero_grad": "Gradients don't accumulate: leave it out.", "lr": "Use optimizer.learning_rate.",
    "param_groups": "Use optimizer.learning_rate.", "state_dict": "Use optimizer.get_config(); model.save(folder) keeps its state too.",
}  # fmt: skip
HISTORY = {"then": "fit returns when training is done: write what follows on the next line."}

_INFERRED = "The size of the input is inferred: leave it out."
_ARGUMENTS = {  # words of PyTorch, older Keras and TensorFlow.js, and ours, of which one may be an argument of the function at hand
    "lr": ("learning_rate",), "rate": ("learning_rate",), "dim": ("axis", "axes"), "dims": ("axis", "axes", "shape"),
    "keepdim": ("keepdims",),
    "hidden_size": ("units",), "out_features": ("units",), "output_dim": ("units",), "num_units": ("units",), "out_channels": ("filters",),
    "nb_filter": ("filters",), "stride": ("strides",), "subsample": ("strides",), "bias": ("use_bias",), "p": ("rate",), "std": ("stddev",),
    "eps": ("epsilon",), "betas": ("beta_1",), "alpha": ("negative_slope",), "nb_epoch": ("epochs",), "metric": ("metrics",),
    "num_embeddings": ("input_dim",), "embedding_dim": ("output_dim",), "num_classes": ("depth", "num_tokens"), "minval": ("low",),
    "maxval": ("high",), "size": ("shape",), "varList": ("variables",), "patience_epochs": ("patience",), "fn": ("function",),
}  # fmt: skip
_LEFT_OUT = {
    **dict.fromkeys(("in_features", "in_channels", "input_size"), _INFERRED),
    "batch_first": "Sequences are (batch, time, features) here: leave it out.",
    "num_layers": "Stack layers, with return_sequences=True in all but the last.",
    "bidirectional": "Wrap the layer: pn.layers.Bidirectional(layer).",
    "returnCost": "The value is always returned: leave it out.",
    **dict.fromkeys(("device", "requires_grad"), "Leave it out."),
}


def no_attribute(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a name that `module` doesn't have: what it is called here, or what comes close."""
    known = list(known)
    hint = _TABLES.get(module, {}).get(name)
    form = normal_form(name)
    alike = [k for k in known if normal_form(k) in (form, form.removesuffix("layer"))]  # lstmLayer is written for lstm
    same = next((k for k in alike if k[:1].islower() == name[:1].islower()), next(iter(alike), None))
    if hint is None and same is not None:
        hint = f"Use {module.replace('pynn', 'pn', 1)}.{same}."
    words = f"module {module!r} has no attribute {name!r}.{' ' + hint if hint else suggestion(name, known)}"
    return AttributeError(words, name=name)  # with a name, Python adds no suggestion of its own


def _argument_hint(word: str, known: Sequence[str]) -> str:
    """For an argument that a function doesn't have: ` Did you mean 'axis'?`, or what to do without it, or an empty string."""
    if word in _LEFT_OUT:
        return f" {_LEFT_OUT[word]}"
    here = next((name for name in _ARGUMENTS.get(word, ()) if name in known), None)
    return f" Did you mean {here!r}?" if here is not None else suggestion(snake_case(word), known)


def unknown_argument(label: str, word: str, known: Sequence[str]) -> TypeError:
    """The error for an argument that `label` doesn't have."""
    names = ", ".join(name for name in known if not name.startswith("_"))
    listed = f"Known: {names}." if names else "It takes no arguments."
    return TypeError(f"[{label}] unknown argument {word!r}.{_argument_hint(word, known)} {listed}")


def no_member(owner, name: str, table: dict[str, str]) -> AttributeError:
    """The error for an attribute that an object doesn't have. It must be quick, as absent attributes are looked up often."""
    hint = table.get(name)
    if hint is None and not name.islower():
        alike = next((n for n in (snake_case(name), name.lower()) if hasattr(type(owner), n)), None)
        hint = alike and f"Use .{alike}."
    words = f"{type(owner).__name__!r} object has no attribute {name!r}"
    return AttributeError(f"{words}. {hint}", name=name) if hint else AttributeError(words)  # Python looks for one that is alike
