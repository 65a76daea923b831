"""Metrics that are means over samples: accuracies, and the losses as metrics."""

from __future__ import annotations

from pynn import losses, ops
from pynn.engine.tensor import Tensor
from pynn.metrics.base import REGISTER, MeanMetricWrapper
from pynn.serialization import constructor_arguments, described_by_attributes, first_line, snake_case
from pynn.targets import categorical_targets, check_smoothing, dense_targets, sparse_targets

# -- accuracies --------------------------------------------------------------------------------------------------------


def _hits(x: Tensor) -> Tensor:
    return ops.cast(x, "float32")


def _mean_hits(x: Tensor) -> Tensor:
    return ops.mean(_hits(x), axis=-1) if x.ndim > 1 else _hits(x)


def accuracy(y_true, y_pred) -> Tensor:
    """1 where `y_true` equals `y_pred`, else 0; mean over the last axis."""
    return _mean_hits(ops.equal(*dense_targets("accuracy", y_true, y_pred)))


def binary_accuracy(y_true, y_pred, threshold: float = 0.5) -> Tensor:
    """1 where `y_pred > threshold` equals y_true, else 0; mean over the last axis."""
    y_true, y_pred = dense_targets("binary_accuracy", y_true, y_pred)
    return _mean_hits(ops.equal(ops.cast(y_pred > threshold, y_true.dtype), y_true))


def _same_class(labels: Tensor, y_pred: Tensor) -> Tensor:
    # Compared as floats, which have a native kernel and are exact for 2^24 classes.
    return _hits(ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "float32"), ops.cast(labels, "float32")))


def categorical_accuracy(y_true, y_pred) -> Tensor:
    """1 where the largest of `y_pred` is at the largest of `y_true`, else 0; targets one-hot."""
    y_true, y_pred = categorical_targets("categorical_accuracy", y_true, y_pred)
    return _same_class(ops.argmax(y_true, axis=-1), y_pred)


def sparse_categorical_accuracy(y_true, y_pred) -> Tensor:
    """1 where the largest of `y_pred` is at the label `y_true`, else 0; targets integers."""
    labels, y_pred = sparse_targets("sparse_categorical_accuracy", y_true, y_pred)
    return _same_class(labels, y_pred)


def _in_top(one_hot: Tensor, y_pred: Tensor, k: int) -> Tensor:
    target = ops.sum(ops.where(one_hot > 0, y_pred, ops.zeros_like(y_pred)), axis=-1, keepdims=True)
    return _hits(ops.sum(_hits(y_pred > target), axis=-1) < float(k))


def top_k_categorical_accuracy(y_true, y_pred, k: int = 5) -> Tensor:
    """1 where fewer than `k` of `y_pred` are larger than that of the class in `y_true`, else 0; targets one-hot."""
    y_true, y_pred = categorical_targets("top_k_categorical_accuracy", y_true, y_pred)
    return _in_top(ops.one_hot(ops.argmax(y_true, axis=-1), y_pred.shape[-1]), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k: int = 5) -> Tensor:
    """1 where fewer than `k` of `y_pred` are larger than that of the label `y_true`, else 0; targets integers."""
    labels, y_pred = sparse_targets("sparse_top_k_categorical_accuracy", y_true, y_pred)
    return _in_top(ops.one_hot(labels, y_pred.shape[-1]), y_pred, k)


# -- classes -----------------------------------------------------------------------------------------------------------


class _Named(MeanMetricWrapper):
    """The mean of one of the functions; constructor arguments beside the name go to it."""

    _function: staticmethod
    _name = ""  # where Keras has another than the class in snake_case
    direction = "down"

    def __init__(self, name: str | None = None):
        super().__init__(type(self)._function, name or self._name or snake_case(type(self).__name__))

    def get_config(self):
        """The constructor's arguments."""
        words = [a for a in constructor_arguments(type(self)) if a != "name"]
        others = described_by_attributes(self, [a for a in words if a not in self.arguments])  # of a user's subclass
        return {"name": self.name, **{a: self.arguments[a] for a in words if a in self.arguments}, **others}


def _metric_class(name: str, function, *aliases: str, direction: str = "down") -> type:
    doc = f"The mean of `{function.__name__}`: {first_line(function)}"
    words = {"__doc__": doc, "__module__": __name__, "_function": staticmethod(function), "direction": direction}
    cls = type(name, (_Named,), words)
    return REGISTER.add(cls, function.__name__, *aliases)


Accuracy = _metric_class("Accuracy", accuracy, direction="up")
CategoricalAccuracy = _metric_class("CategoricalAccuracy", categorical_accuracy, direction="up")
SparseCategoricalAccuracy = _metric_class("SparseCategoricalAccuracy", sparse_categorical_accuracy, direction="up")
MeanSquaredError = _metric_class("MeanSquaredError", losses.mean_squared_error, "mse")
MeanAbsoluteError = _metric_class("MeanAbsoluteError", losses.mean_absolute_error, "mae")
MeanAbsolutePercentageError = _metric_class("MeanAbsolutePercentageError", losses.mean_absolute_percentage_error, "mape")
MeanSquaredLogarithmicError = _metric_class("MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error, "msle")
LogCoshError = _metric_class("LogCoshError", losses.log_cosh, "logcosh")
LogCoshError._name = "logcosh"
Hinge = _metric_class("Hinge", losses.hinge)
SquaredHinge = _metric_class("SquaredHinge", losses.squared_hinge)
CategoricalHinge = _metric_class("CategoricalHinge", losses.categorical_hinge)
KLDivergence = _metric_class("KLDivergence", losses.kl_divergence, "kullback_leibler_divergence", "kld")
Poisson = _metric_class("Poisson", losses.poisson)


class BinaryAccuracy(_Named):
    """The mean of `binary_accuracy`: how often `y_pred > threshold` is right.

    Example:
        >>> import pynn as pn
        >>> metric = pn.metrics.BinaryAccuracy()
        >>> metric.update_state([[1.0], [0.0]], [[0.7], [0.6]])
        >>> float(metric.result())
        0.5
    """

    _function = staticmethod(binary_accuracy)
    direction = "up"

    def __init__(self, name: str | None = None, threshold: float = 0.5):
        super().__init__(name)
        self.arguments = {"threshold": threshold}


class TopKCategoricalAccuracy(_Named):
    """How often the right class is among the `k` largest outputs, targets one-hot."""

    _function = staticmethod(top_k_categorical_accuracy)
    direction = "up"

    def __init__(self, k: int = 5, name: str | None = None):
        super().__init__(name)
        self.arguments = {"k": k}


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """How often the right class is among the `k` largest outputs, targets integers."""

    _function = staticmethod(sparse_top_k_categorical_accuracy)


class CosineSimilarity(_Named):
    """The mean of `losses.cosine_similarity`: 1 for the same direction; arguments as in that function."""

    _function = staticmethod(losses.cosine_similarity)
    direction = "up"

    def __init__(self, name: str | None = None, axis: int = -1):
        super().__init__(name)
        self.arguments = {"axis": axis}


class _Smoothed(_Named):
    def __init__(self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1):
        super().__init__(name)
        check_smoothing(self.name, label_smoothing)
        self.arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}


class CategoricalCrossentropy(_Smoothed):
    """The mean of `losses.categorical_crossentropy`; arguments as in that function."""

    _function = staticmethod(losses.categorical_crossentropy)


class SparseCategoricalCrossentropy(_Named):
    """The mean of `losses.sparse_categorical_crossentropy`; arguments as in that function."""

    _function = staticmethod(losses.sparse_categorical_crossentropy)

    def __init__(self, name: str | None = None, from_logits: bool = False, axis: int = -1):
        super().__init__(name)
        self.arguments = {"from_logits": from_logits, "axis": axis}


class BinaryCrossentropy(_Smoothed):
    """The mean of `losses.binary_crossentropy`; arguments as in that function."""

    _function = staticmethod(losses.binary_crossentropy)
