"""Metrics: values that measure a model during training and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynn import losses
from pynn.errors import absent
from pynn.metrics.base import REGISTER, Mean, MeanMetricWrapper, Metric, Sum
from pynn.metrics.means import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from pynn.metrics.totals import AUC, Precision, R2Score, Recall, RootMeanSquaredError
from pynn.serialization import snake_case

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
    REGISTER.add(_class)
REGISTER.add(CosineSimilarity, "cosine_proximity", "cosine")
REGISTER.add(BinaryCrossentropy, "bce")
REGISTER.add(RootMeanSquaredError, "rmse")

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
        found = MeanMetricWrapper(identifier.call, identifier.name)
        found.direction = "down"
        return found
    found = identifier if isinstance(identifier, Metric) else REGISTER.get(identifier)
    if found is None or isinstance(found, Metric):
        if isinstance(identifier, str):
            found.name = snake_case(identifier)
        return found
    return MeanMetricWrapper(found)


__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "get",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, __all__)
