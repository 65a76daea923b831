"""What is said of arguments that don't suit: no text of Python's, NumPy's or the extension's comes to the user."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

import pynn as pn
from pynn import refusals

MODULES = (pn.layers, pn.losses, pn.metrics, pn.optimizers, pn.callbacks, pn.initializers, pn.regularizers, pn.constraints)
X = np.ones((2, 3), np.float32)
GOOD = {
    "units": 3, "filters": 3, "kernel_size": 2, "rate": 0.5, "shape": (2, 3), "indices": np.array([0, 1]), "depth": 3, "axis": 0,
    "equation": "ij->ji", "fn": abs, "function": abs, "n": 3, "number": 3, "dtype": "float32", "target_shape": (3,), "input_dim": 4,
    "output_dim": 2, "num_tokens": 4, "dims": (1,), "height": 4, "width": 4, "schedule": abs, "condition": np.array([[True]]),
    "filepath": "m", "backup_dir": "b", "filename": "f", "thresholds": 0.5, "groups": 1, "reps": 2, "rows": 3, "start": 0, "stop": 3,
    "activation": "relu", "padding": 1, "cropping": 1, "size": 2, "value": 1.0, "name": "n",
}  # fmt: skip
BAD = (None, "abc", [[1, 2], [3]], {"a": 1}, object(), np.array("x"), -1, 10**30, float("nan"))


def classes():
    for module in MODULES:
        for name, found in sorted(vars(module).items()):
            own = inspect.isclass(found) and found.__module__.startswith(module.__name__)
            if own and not name.startswith("_") and name not in ("CallbackList", "InputSpec"):
                yield found


def required(function) -> dict:
    parameters = inspect.signature(function).parameters.values()
    arguments = {p.name: GOOD.get(p.name, X) for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
    if "layer" in arguments:
        arguments["layer"] = pn.layers.LSTM(2)
    if "cell" in arguments:
        arguments["cell"] = pn.layers.LSTMCell(2)
    if "cells" in arguments:
        arguments["cells"] = [pn.layers.LSTMCell(2)]
    return arguments


def refused(function, arguments: dict) -> None:
    try:
        function(**arguments)
    except (FileNotFoundError, MemoryError, NotImplementedError):
        return
    except Exception as error:  # whatever it is, it must have words of this package
        assert str(error).startswith("["), f"{type(error).__name__}: {error}, for {arguments}"


@pytest.mark.parametrize("cls", [*classes()], ids=lambda c: c.__name__)
def test_constructors_refuse_in_words_of_their_own(cls):
    arguments = required(cls)
    for name in inspect.signature(cls).parameters:
        if name in ("common", "kwargs", "arguments", "hooks"):
            continue
        for value in BAD:
            refused(cls, {**arguments, name: value})


@pytest.mark.parametrize("name", pn.ops.__all__)
def test_ops_refuse_in_words_of_their_own(name):
    function = getattr(pn.ops, name)
    arguments = required(function)
    for word in arguments.keys() | inspect.signature(function).parameters.keys():
        for value in BAD:
            if inspect.signature(function).parameters[word].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
                refused(function, {**arguments, word: value})


@pytest.mark.parametrize("cls", [c for c in classes() if c is not pn.callbacks.LambdaCallback], ids=lambda c: c.__name__)
def test_constructors_name_unknown_arguments(cls):
    if cls.__init__ is object.__init__ or any(p.name == "arguments" for p in inspect.signature(cls).parameters.values()):
        return  # they go to a function of the user's
    with pytest.raises(TypeError, match=rf"^\[{cls.__name__}\] .*'nosuchword'"):
        cls(**required(cls), nosuchword=1)


@pytest.mark.parametrize("act, words", [
    (lambda: pn.mean(X, keepDims=True), ["[mean] unknown argument 'keepDims'. Did you mean 'keepdims'? Known: x, axis, keepdims."]),
    (lambda: pn.tensor(X).mean(dim=1), ["[mean]", "Did you mean 'axis'?"]),
    (lambda: pn.linspace(0, 1), ["[linspace] 'number' must be given. Received: start=0, stop=1."]),
    (lambda: pn.relu(X, 1, 2, 3), ["[relu] takes at most 1", "Received: 4"]),
    (lambda: pn.relu(X, x=X), ["[relu] the argument 'x' was given twice", "Leave one out"]),
    (lambda: pn.std(X, ddof="a"), ["[std] these arguments are not valid. Received: x=ndarray of shape (2, 3), ddof='a'"]),
    (lambda: pn.layers.Conv2D(filters=8, kernelSize=3), ["[Conv2D] unknown argument 'kernelSize'. Did you mean 'kernel_size'?"]),
    (lambda: pn.layers.Dense(), ["[Dense] 'units' must be given"]),
    (lambda: pn.layers.Flatten({"inputShape": [28, 28]}), ["options are keyword arguments here", "Write Flatten(input_shape=[28, 28])."]),
    (lambda: pn.layers.LSTM(input_size=28, hidden_size=64), ["'input_size'. The size of the input is inferred"]),
    (lambda: pn.layers.LSTM(64, batch_first=True), ["(batch, time, features) here: leave it out"]),
    (lambda: pn.layers.Dense(4)(X, X), ["[Dense ", "takes at most 1 positional argument. Received: 2"]),
    (lambda: pn.layers.Dense(4)(X, trainnig=True), ["[Dense ", "unknown argument 'trainnig'"]),
    (lambda: pn.layers.Dense(4).build(3), ["[Dense ", "the shape of the input", "Received: 3", "build((None, 3))"]),
    (lambda: pn.losses.CategoricalCrossentropy(fromLogits=True), ["[CategoricalCrossentropy]", "Did you mean 'from_logits'?"]),
    (lambda: pn.callbacks.EarlyStopping(montior="loss"), ["[EarlyStopping]", "Did you mean 'monitor'?"]),
    (lambda: pn.Sequential().compile("sgd", "mse", metric=["mae"]), ["[compile] unknown argument 'metric'. Did you mean 'metrics'?"]),
    (lambda: pn.Sequential().fit(X, x=X), ["[fit] the argument 'x' was given twice", "Leave one out"]),
    (lambda: pn.Sequential().compile({"optimizer": "sgd", "loss": "mse"}),
     ["[compile] options", "Write compile(optimizer='sgd', loss='mse')"]),
    (lambda: pn.optimizers.SGD([pn.Variable(1.0)], lr=0.1), ["[SGD]", "Did you mean 'learning_rate'?"]),
    (lambda: pn.Tensor([1.0, 2.0]), ["[Tensor]", "Received: list. Write pn.tensor(values)"]),
    (lambda: pn.callbacks.LambdaCallback(on_epoch_end=3), ["[LambdaCallback] a hook must be a function", "on_epoch_end=3"]),
    (lambda: pn.register_layer("mine"), ["[register_layer]", "'mine'", "@pn.register_layer"]),
    (lambda: pn.optimizers.SGD().apply(None, [pn.Variable(1.0)]), ["[SGD]", "apply([dw, db], [w, b])"]),
    (lambda: pn.optimizers.SGD().apply_gradients(None), ["[SGD]", "zip(gradients, variables)"]),
    (lambda: pn.tensor([1, 2, 3, 4], [2, 2]), ["[dtype]", "pn.reshape(values, shape)"]),
])  # fmt: skip
def test_calls_that_other_packages_would_take(act, words):
    with pytest.raises(TypeError) as caught:
        act()
    for part in words:
        assert part in str(caught.value), caught.value


@pytest.mark.parametrize("layer, x", [
    (pn.layers.LayerNormalization, -1.0), (pn.layers.GroupNormalization, -1.0), (pn.layers.Softmax, []), (pn.layers.Add, []),
    (lambda: pn.layers.CenterCrop(2, 2), np.ones((2, 3))), (lambda: pn.layers.Embedding(3, 2), []),
    (pn.layers.BatchNormalization, {"a": X}),
])  # fmt: skip
def test_inputs_of_a_strange_kind_name_the_layer(layer, x):
    layer = layer()
    with pytest.raises(ValueError, match=rf"^\[{layer.label}\] .*Received"):
        layer(x)


def test_errors_of_a_users_own_code_stay_as_they_are():
    class Own(pn.Layer):
        def call(self, x):
            return x.shape[7]

    class Careless(pn.Layer):
        def __init__(self, size):
            super().__init__()
            self.size = int(size)

        def build(self, input_shape):
            self.w = self.add_weight("w", (input_shape[5],))

    with pytest.raises(IndexError, match="tuple index out of range"):
        Own()(X)
    with pytest.raises(IndexError, match="tuple index out of range"):
        pn.Sequential([pn.Input((3,)), Careless(2)])
    with pytest.raises(ValueError, match="invalid literal"):
        Careless("a")
    assert not refusals.stumbled(ValueError("[op] with words of its own"))


def test_layers_of_ones_own_are_told_what_is_missing():
    class Torch(pn.Layer):
        def forward(self, x):
            return x

    class Text(pn.Layer):
        def build(self, input_shape):
            self.w = self.add_weight("w", (2, "a"))

    with pytest.raises(NotImplementedError, match=r"must define call\(x\)\. It has forward\(x\)"):
        Torch()(X)
    with pytest.raises(ValueError, match=r"the weight 'w' needs a length for each axis. Received: shape=\(2, 'a'\)"):
        Text()(X)


def test_signatures_are_those_that_were_written():
    assert list(inspect.signature(pn.layers.Dense).parameters)[:3] == ["units", "activation", "use_bias"]
    assert "patience" in inspect.signature(pn.callbacks.EarlyStopping).parameters
    assert "metrics" in inspect.signature(pn.Model.compile).parameters


ATTRIBUTES = [
    (pn.ones(2), "matMul", "Write x @ y."), (pn.ones(2), "sub", "Write x - y."), (pn.ones(2), "dataSync", "x.numpy()"),
    (pn.ones(2), "expandDims", "Use .expand_dims."), (pn.ones(2), "asType", "Use .astype."), (pn.ones(2), "backward", "pn.grads("),
    (pn.Variable(1.0), "assignSub", "Use .assign_sub."), (pn.Variable(1.0), "grad", "pn.grads("),
    (pn.layers.Dense(1), "kernel", "build(input_shape)"), (pn.layers.Dense(1), "apply", "Call it"),
    (pn.Sequential(), "forward", "Call it"), (pn.Sequential(), "parameters", ".trainable_weights"),
    (pn.Sequential(), "fitDataset", ".fit(batches)"),
    (pn.Sequential(), "reset_metrics", "begins anew"),
    (pn.Sequential(), "getWeights", "Use .get_weights."), (pn.Sequential(), "state_dict", "save_weights"),
    (pn.optimizers.SGD(), "step", "optimizer.apply("), (pn.optimizers.SGD(), "applyGradients", "Use .apply_gradients."),
    (pn.random, "randn", "pn.random.normal"), (pn, "mse", "pn.losses.mean_squared_error"),
]  # fmt: skip


@pytest.mark.parametrize("owner, name, hint", ATTRIBUTES, ids=[name for _, name, _ in ATTRIBUTES])
def test_attributes_of_other_packages(owner, name, hint):
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    assert repr(name) in str(caught.value) and hint in str(caught.value)
    assert not hasattr(owner, name)


def test_elements_can_not_be_set():
    for x in (pn.ones(2), pn.Variable([1.0, 2.0])):
        with pytest.raises(TypeError, match=r"\[setitem\].* can't be assigned to.*v\.assign"):
            x[0] = 1.0


def test_methods_for_type_checkers_are_those_that_there_are():
    import ast

    from pynn.engine import operators

    tree = ast.parse(inspect.getsource(operators))
    written = {t.id for node in ast.walk(tree) if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
               for assign in node.body if isinstance(assign, ast.Assign) for t in assign.targets}  # fmt: skip
    assert written == set(operators.METHODS)


def test_names_for_type_checkers_are_those_that_there_are():
    import ast
    from pathlib import Path

    tree = ast.parse(Path(pn.ops.__file__).read_text(encoding="utf-8"))
    written = {node.module.rsplit(".", 1)[1] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"}
    families = {m.__name__.rsplit(".", 1)[1] for m in pn.ops._modules if getattr(m, "__all__", ())}
    assert written == families


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict"])
def test_help_shows_the_arguments_of_what_models_do(name):
    from pynn.models import fit, inference

    function = getattr(fit if name == "fit" else inference, name)
    method = getattr(pn.Model, name)
    assert list(inspect.signature(method).parameters) == ["self", *list(inspect.signature(function).parameters)[1:]]
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in inspect.signature(method).parameters.values())
    assert method.__doc__ == function.__doc__ and "Args:" in method.__doc__
    assert pickle.loads(pickle.dumps(method)) is method


@pytest.mark.parametrize("make, words", [
    (lambda: pn.callbacks.EarlyStopping(patience="3"), "patience must be a number, zero or more. Received: patience='3'"),
    (lambda: pn.callbacks.EarlyStopping(min_delta=None), "min_delta must be a number. Received: min_delta=None"),
    (lambda: pn.callbacks.ReduceLROnPlateau(cooldown=-1), "cooldown must be a number, zero or more"),
    (lambda: pn.callbacks.ReduceLROnPlateau(factor="a"), "factor must be between 0 and 1. Received: factor='a'"),
])  # fmt: skip
def test_callbacks_that_monitor_check_their_numbers_at_once(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_representations_say_what_it_is():
    model = pn.Sequential([pn.layers.Flatten(input_shape=(2, 2), name="f"), pn.layers.Dense(1, name="d")], name="m")
    assert repr(model) == "Sequential(name='m', layers=[Flatten 'f', Dense 'd'])"
    assert repr(pn.callbacks.EarlyStopping("loss", patience=3)).startswith("EarlyStopping(monitor='loss', min_delta=0.0, patience=3,")

    def step(x):
        return x * 2.0

    captured = pn.function(step)
    program = captured.program(X)
    assert repr(captured).startswith("<captured function") and "step, 1 programs" in repr(captured)
    assert repr(program) == "<Program of 1 calls; describe() prints them>"
