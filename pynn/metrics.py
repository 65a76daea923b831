"""Metrics: what is watched while training. State is kept in float64 sums, weighted by samples, and updated with ops, so that a
captured step updates it in place."""

from __future__ import annotations

import numpy as np

from pynn import losses, ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.engine.variable import Variable
from pynn.serialization import Configurable, Register, constructor_arguments, plain, snake_case
from pynn.targets import categorical_targets, dense_targets, sparse_targets, weights_like

_REGISTER = Register("metric")


def _double(x) -> Tensor:
    return ops.cast(as_tensor(x), "float64")


class Metric(Configurable):
    """Base class. Subclasses add sums with `add_variable` and define `update_state` and `result`, with ops.

    Args:
        name: Shown in logs.
    """

    def __init__(self, name: str | None = None):
        self.name = name or snake_case(type(self).__name__)
        self._sums: list[Variable] = []

    def add_variable(self, name: str, shape=()) -> Variable:
        """A float64 sum that starts at zero."""
        variable = Variable(np.zeros(shape, np.float64), name=f"{self.name}/{name}", trainable=False)
        self._sums.append(variable)
        return variable

    @property
    def variables(self) -> list[Variable]:
        """The sums."""
        return list(self._sums)

    def build(self, target, output) -> None:
        """Adds the sums whose shape follows from the shapes of targets and outputs; called before a step is captured."""

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Adds a batch."""
        raise NotImplementedError(f"[{type(self).__name__}] a metric must define update_state.")

    def result(self) -> Tensor:
        """The value over everything added since the last reset, a float64 scalar."""
        raise NotImplementedError(f"[{type(self).__name__}] a metric must define result.")

    def reset_state(self) -> None:
        """Forgets everything."""
        for variable in self._sums:
            variable.assign(np.zeros(variable.shape, np.float64))

    def __call__(self, *args, **kwargs) -> Tensor:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()


def _mean(total: Variable, count: Variable) -> Tensor:
    return total.value / ops.maximum(count.value, 1e-300)


class _MeanState(Metric):
    def __init__(self, name: str | None = None):
        super().__init__(name)
        self.total = self.add_variable("total")
        self.count = self.add_variable("count")

    def _add(self, values: Tensor, sample_weight) -> None:
        values = _double(values)
        if sample_weight is None:
            self.count.assign(self.count + float(values.size))
        else:
            weights = weights_like(self.name, sample_weight, values)
            values = values * weights
            self.count.assign(self.count + ops.sum(weights))
        self.total.assign(self.total + ops.sum(values))

    def result(self):
        return _mean(self.total, self.count)


class Mean(_MeanState):
    """The mean of the values given to `update_state(values, sample_weight=None)`."""

    def update_state(self, values, sample_weight=None):
        """Adds values of any shape."""
        self._add(as_tensor(values), sample_weight)


class Sum(_MeanState):
    """The sum of the values given to `update_state(values, sample_weight=None)`."""

    def update_state(self, values, sample_weight=None):
        """Adds values of any shape."""
        self._add(as_tensor(values), sample_weight)

    def result(self):
        return self.total.value


class MeanMetricWrapper(_MeanState):
    """The mean of `fn(y_true, y_pred, **arguments)`, a function that gives a value per example."""

    def __init__(self, fn, name: str | None = None, **arguments):
        super().__init__(name or getattr(fn, "__name__", "metric"))
        self.fn, self.arguments = fn, arguments

    def values(self, y_true, y_pred) -> Tensor:
        """One value per example, of shape (batch, ...)."""
        return as_tensor(self.fn(y_true, y_pred, **self.arguments))

    def per_sample(self, y_true, y_pred) -> Tensor:
        """One value per example, of shape (batch,)."""
        values = self.values(y_true, y_pred)
        return ops.mean(values, axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = self.values(y_true, y_pred)
        self._add(values if values.ndim else ops.reshape(values, (1,)), sample_weight)

    def get_config(self):
        """The function's name and arguments."""
        return {"fn": plain(self.fn), "name": self.name, **self.arguments}


# -- accuracies --------------------------------------------------------------------------------------------------------


def _hits(x: Tensor) -> Tensor:
    return ops.cast(x, "float32")


def _mean_hits(x: Tensor) -> Tensor:
    return ops.mean(_hits(x), axis=-1) if x.ndim > 1 else _hits(x)


def accuracy(y_true, y_pred) -> Tensor:
    """Where the two are equal; mean over the last axis."""
    return _mean_hits(ops.equal(*dense_targets("accuracy", y_true, y_pred)))


def binary_accuracy(y_true, y_pred, threshold: float = 0.5) -> Tensor:
    """Where `y_pred > threshold` equals y_true; mean over the last axis."""
    y_true, y_pred = dense_targets("binary_accuracy", y_true, y_pred)
    return _mean_hits(ops.equal(ops.cast(y_pred > threshold, y_true.dtype), y_true))


def _same_class(labels: Tensor, y_pred: Tensor) -> Tensor:
    # Compared as floats, which have a native kernel and are exact for 2^24 classes.
    return _hits(ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "float32"), ops.cast(labels, "float32")))


def categorical_accuracy(y_true, y_pred) -> Tensor:
    """Where the largest output is at the largest target, targets one-hot."""
    y_true, y_pred = categorical_targets("categorical_accuracy", y_true, y_pred)
    return _same_class(ops.argmax(y_true, axis=-1), y_pred)


def sparse_categorical_accuracy(y_true, y_pred) -> Tensor:
    """Where the largest output is at the label, targets integers."""
    labels, y_pred = sparse_targets("sparse_categorical_accuracy", y_true, y_pred)
    return _same_class(labels, y_pred)


def _in_top(one_hot: Tensor, y_pred: Tensor, k: int) -> Tensor:
    target = ops.sum(ops.where(one_hot > 0, y_pred, ops.zeros_like(y_pred)), axis=-1, keepdims=True)
    return _hits(ops.sum(_hits(y_pred > target), axis=-1) < float(k))


def top_k_categorical_accuracy(y_true, y_pred, k: int = 5) -> Tensor:
    """Where fewer than `k` outputs are larger than the right one, targets one-hot."""
    y_true, y_pred = categorical_targets("top_k_categorical_accuracy", y_true, y_pred)
    return _in_top(ops.one_hot(ops.argmax(y_true, axis=-1), y_pred.shape[-1]), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k: int = 5) -> Tensor:
    """Where fewer than `k` outputs are larger than that of the label, targets integers."""
    labels, y_pred = sparse_targets("sparse_top_k_categorical_accuracy", y_true, y_pred)
    return _in_top(ops.one_hot(labels, y_pred.shape[-1]), y_pred, k)


class _Named(MeanMetricWrapper):
    """The mean of one of the functions; constructor arguments beside the name go to it."""

    _function: staticmethod

    def __init__(self, name: str | None = None):
        super().__init__(type(self)._function, name or snake_case(type(self).__name__))

    def get_config(self):
        """The constructor's arguments."""
        words = [a for a in constructor_arguments(type(self)) if a != "name"]
        return {"name": self.name, **{a: self.arguments[a] for a in words}}


def _metric_class(name: str, function, *aliases: str) -> type:
    doc = f"The mean of `{function.__name__}`: {(function.__doc__ or '').strip().splitlines()[0]}"
    cls = type(name, (_Named,), {"__doc__": doc, "__module__": __name__, "_function": staticmethod(function)})
    return _REGISTER.add(cls, function.__name__, *aliases)


Accuracy = _metric_class("Accuracy", accuracy)
CategoricalAccuracy = _metric_class("CategoricalAccuracy", categorical_accuracy)
SparseCategoricalAccuracy = _metric_class("SparseCategoricalAccuracy", sparse_categorical_accuracy)
MeanSquaredError = _metric_class("MeanSquaredError", losses.mean_squared_error, "mse")
MeanAbsoluteError = _metric_class("MeanAbsoluteError", losses.mean_absolute_error, "mae")
MeanAbsolutePercentageError = _metric_class("MeanAbsolutePercentageError", losses.mean_absolute_percentage_error, "mape")
MeanSquaredLogarithmicError = _metric_class("MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error, "msle")
LogCoshError = _metric_class("LogCoshError", losses.log_cosh, "logcosh")
Hinge = _metric_class("Hinge", losses.hinge)
SquaredHinge = _metric_class("SquaredHinge", losses.squared_hinge)
CategoricalHinge = _metric_class("CategoricalHinge", losses.categorical_hinge)
KLDivergence = _metric_class("KLDivergence", losses.kl_divergence, "kullback_leibler_divergence", "kld")
Poisson = _metric_class("Poisson", losses.poisson)


class BinaryAccuracy(_Named):
    """The mean of `binary_accuracy`: how often `y_pred > threshold` is right."""

    _function = staticmethod(binary_accuracy)

    def __init__(self, name: str | None = None, threshold: float = 0.5):
        super().__init__(name)
        self.arguments = {"threshold": threshold}


class TopKCategoricalAccuracy(_Named):
    """How often the right class is among the `k` largest outputs, targets one-hot."""

    _function = staticmethod(top_k_categorical_accuracy)

    def __init__(self, k: int = 5, name: str | None = None):
        super().__init__(name)
        self.arguments = {"k": k}


class SparseTopKCategoricalAccuracy(_Named):
    """How often the right class is among the `k` largest outputs, targets integers."""

    _function = staticmethod(sparse_top_k_categorical_accuracy)

    def __init__(self, k: int = 5, name: str | None = None):
        super().__init__(name)
        self.arguments = {"k": k}


class CosineSimilarity(_Named):
    """The mean of `losses.cosine_similarity`: 1 for the same direction."""

    _function = staticmethod(losses.cosine_similarity)

    def __init__(self, name: str | None = None, axis: int = -1):
        super().__init__(name)
        self.arguments = {"axis": axis}


class _Crossentropy(_Named):
    def __init__(self, name: str | None = None, from_logits: bool = False, axis: int = -1):
        super().__init__(name)
        self.arguments = {"from_logits": from_logits, "axis": axis}


class CategoricalCrossentropy(_Crossentropy):
    """The mean of `losses.categorical_crossentropy`."""

    _function = staticmethod(losses.categorical_crossentropy)


class SparseCategoricalCrossentropy(_Crossentropy):
    """The mean of `losses.sparse_categorical_crossentropy`."""

    _function = staticmethod(losses.sparse_categorical_crossentropy)


class BinaryCrossentropy(_Crossentropy):
    """The mean of `losses.binary_crossentropy`."""

    _function = staticmethod(losses.binary_crossentropy)


# -- over everything, not by example -----------------------------------------------------------------------------------


class RootMeanSquaredError(_MeanState):
    """The root of the mean squared error over all elements."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = dense_targets(self.name, y_true, y_pred)
        self._add(ops.square(y_pred - y_true), sample_weight)

    def result(self):
        return ops.sqrt(super().result())


class _Counts(Metric):
    """Counts of outputs above thresholds, by whether the target says so."""

    def __init__(self, name: str | None, thresholds: int):
        super().__init__(name)
        self.true_positives = self.add_variable("true_positives", (thresholds,))
        self.false_positives = self.add_variable("false_positives", (thresholds,))
        self.false_negatives = self.add_variable("false_negatives", (thresholds,))
        self.true_negatives = self.add_variable("true_negatives", (thresholds,))

    def _count(self, y_true, y_pred, sample_weight, thresholds: np.ndarray) -> None:
        y_true, y_pred = dense_targets(self.name, y_true, y_pred)
        weights = 1.0 if sample_weight is None else ops.reshape(weights_like(self.name, _double(sample_weight), _double(y_true)), (1, -1))
        said = _double(ops.reshape(y_pred, (1, -1)) > np.asarray(thresholds, y_pred.dtype)[:, None])
        true = _double(ops.reshape(y_true, (1, -1)) > 0.5)
        for sums, counted in (
            (self.true_positives, said * true),
            (self.false_positives, said * (1.0 - true)),
            (self.false_negatives, (1.0 - said) * true),
            (self.true_negatives, (1.0 - said) * (1.0 - true)),
        ):
            sums.assign(sums + ops.sum(counted * weights, axis=1))


def _share(part: Tensor, rest: Tensor) -> Tensor:
    return part / ops.maximum(part + rest, 1e-300)


class _AtThresholds(_Counts):
    def __init__(self, thresholds=None, name: str | None = None):
        self.thresholds = 0.5 if thresholds is None else thresholds
        super().__init__(name, np.size(self.thresholds))

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._count(y_true, y_pred, sample_weight, np.atleast_1d(self.thresholds))

    def _shaped(self, value: Tensor) -> Tensor:
        return ops.reshape(value, ()) if np.ndim(self.thresholds) == 0 else value


class Precision(_AtThresholds):
    """Of the outputs above the threshold, the share whose target is 1."""

    def result(self):
        return self._shaped(_share(self.true_positives.value, self.false_positives.value))


class Recall(_AtThresholds):
    """Of the targets that are 1, the share whose output is above the threshold."""

    def result(self):
        return self._shaped(_share(self.true_positives.value, self.false_negatives.value))


class AUC(_Counts):
    """The area under the curve of true positives over false positives ("ROC") or precision over recall ("PR").

    Both are measured at `num_thresholds` thresholds and joined by straight lines.
    """

    def __init__(self, num_thresholds: int = 200, curve: str = "ROC", name: str | None = None):
        if curve not in ("ROC", "PR") or num_thresholds < 2:
            raise ValueError(f"[AUC] curve is 'ROC' or 'PR', num_thresholds 2 or more. Received: {curve!r}, {num_thresholds}.")
        self.num_thresholds, self.curve = num_thresholds, curve
        super().__init__(name, num_thresholds)
        between = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        self._thresholds = np.concatenate([[-1e-7], between, [1 + 1e-7]])

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._count(y_true, y_pred, sample_weight, self._thresholds)

    def result(self):
        positives, negatives = self.true_positives.value, self.false_positives.value
        recall = _share(positives, self.false_negatives.value)
        x = _share(negatives, self.true_negatives.value) if self.curve == "ROC" else recall
        y = recall if self.curve == "ROC" else _share(positives, negatives)
        return ops.sum((x[:-1] - x[1:]) * (y[:-1] + y[1:])) * 0.5


class R2Score(Metric):
    """1 - sum of squared errors / sum of squared deviations from the mean target; the mean over the outputs' last axis."""

    def __init__(self, name: str | None = None):
        super().__init__(name)
        self._columns: int | None = None

    def build(self, target, output):
        if self._columns is not None:
            return
        self._columns = columns = output[-1] if len(output) > 1 else 1
        self.squares = self.add_variable("squares", (columns,))
        self.targets = self.add_variable("targets", (columns,))
        self.residuals = self.add_variable("residuals", (columns,))
        self.weight = self.add_variable("weight", (columns,))

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = map(_double, dense_targets(self.name, y_true, y_pred))
        self.build(y_true.shape, y_pred.shape)
        y_true, y_pred = (ops.reshape(y, (-1, self._columns)) for y in (y_true, y_pred))
        weights = ops.ones_like(y_true) if sample_weight is None else weights_like(self.name, sample_weight, y_true)
        for sums, values in (
            (self.squares, ops.square(y_true)),
            (self.targets, y_true),
            (self.residuals, ops.square(y_true - y_pred)),
            (self.weight, ops.ones_like(y_true)),
        ):
            sums.assign(sums + ops.sum(values * weights, axis=0))

    def result(self):
        if self._columns is None:
            return _double(0.0)
        mean = self.targets.value / ops.maximum(self.weight.value, 1e-300)
        total = self.squares.value - self.targets.value * mean
        return ops.mean(1.0 - self.residuals.value / ops.maximum(total, 1e-300))


for _class in (
    Mean,
    Sum,
    BinaryAccuracy,
    TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    CosineSimilarity,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryCrossentropy,
    RootMeanSquaredError,
    Precision,
    Recall,
    AUC,
    R2Score,
):
    _REGISTER.add(_class)
_REGISTER.add(CosineSimilarity, "cosine_proximity", "cosine")
_REGISTER.add(BinaryCrossentropy, "bce")
_REGISTER.add(RootMeanSquaredError, "rmse")

_BY_LOSS = {
    "accuracy": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "crossentropy": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
}


def _by_loss(word: str, loss, target, output) -> Metric:
    """The accuracy (or cross entropy) that suits the loss, or else the shapes of targets and outputs."""
    binary, sparse, categorical = _BY_LOSS["accuracy" if word in ("accuracy", "acc") else "crossentropy"]
    if isinstance(loss, losses.BinaryCrossentropy):
        cls = binary
    elif isinstance(loss, losses.SparseCategoricalCrossentropy):
        cls = sparse
    elif isinstance(loss, losses.CategoricalCrossentropy):
        cls = categorical
    elif output is not None and (not output or output[-1] == 1):
        cls = binary
    elif output is not None and target is not None and (len(target) < len(output) or target[-1] == 1):
        cls = sparse
    else:
        cls = categorical
    return cls(name=word)


def get(identifier, loss=None, target=None, output=None) -> Metric | None:
    """The metric for a name, a config, a metric, or a function of (y_true, y_pred).

    Args:
        identifier: What is meant. "accuracy" ("acc") and "crossentropy" ("ce") choose the kind by the loss, else by the shapes.
        loss: The loss of this output.
        target, output: Shapes of targets and outputs, for that choice.

    Raises:
        ValueError: the name is unknown.
    """
    metric = _find(identifier, loss, target, output)
    if metric is not None and target is not None and output is not None:
        metric.build(tuple(target), tuple(output))
    return metric


def _find(identifier, loss, target, output) -> Metric | None:
    if isinstance(identifier, str) and identifier in ("accuracy", "acc", "crossentropy", "ce"):
        return _by_loss(identifier, loss, target, output)
    if isinstance(identifier, losses.Loss):
        return MeanMetricWrapper(identifier.call, identifier.name)
    found = identifier if isinstance(identifier, Metric) else _REGISTER.get(identifier)
    if found is None or isinstance(found, Metric):
        if isinstance(identifier, str) and found is not None:
            found.name = snake_case(identifier)
        return found
    return MeanMetricWrapper(found)
