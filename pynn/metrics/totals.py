"""Metrics over all samples at once: thresholds, curves, roots and shares of variance."""

from __future__ import annotations

import numpy as np

from pynn import ops
from pynn.engine.tensor import Tensor
from pynn.metrics.base import MeanState, Metric, double
from pynn.targets import dense_targets, weights_like


class RootMeanSquaredError(MeanState):
    """The root of the mean squared error over all elements."""

    direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = dense_targets(self.name, y_true, y_pred)
        self._add(ops.square(y_pred - y_true), sample_weight)

    def result(self):
        return ops.sqrt(super().result())


class _Counts(Metric):
    """Counts of outputs above thresholds, by whether the target says so."""

    direction = "up"

    def __init__(self, name: str | None, thresholds: int):
        super().__init__(name)
        self.true_positives = self.add_variable("true_positives", (thresholds,))
        self.false_positives = self.add_variable("false_positives", (thresholds,))
        self.false_negatives = self.add_variable("false_negatives", (thresholds,))
        self.true_negatives = self.add_variable("true_negatives", (thresholds,))

    def _count(self, y_true, y_pred, sample_weight, thresholds: np.ndarray) -> None:
        y_true, y_pred = dense_targets(self.name, y_true, y_pred)
        weights = 1.0 if sample_weight is None else ops.reshape(weights_like(self.name, double(sample_weight), double(y_true)), (1, -1))
        said = double(ops.reshape(y_pred, (1, -1)) > np.asarray(thresholds, y_pred.dtype)[:, None])
        true = double(ops.reshape(y_true, (1, -1)) > 0.5)
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
    """True positives / (true + false positives): of the outputs above the threshold, the share whose target is 1.

    Args:
        thresholds: One number, or a list for a value each; 0.5 by default.
        name: Shown in logs.

    Example:
        >>> import pynn as pn
        >>> metric = pn.metrics.Precision()
        >>> metric.update_state([1, 0, 1], [0.9, 0.8, 0.2])
        >>> float(metric.result())
        0.5
    """

    def result(self):
        return self._shaped(_share(self.true_positives.value, self.false_positives.value))


class Recall(_AtThresholds):
    """True positives / (true positives + false negatives): of the targets that are 1, the share whose output is above the threshold.

    Args:
        thresholds: One number, or a list for a value each; 0.5 by default.
        name: Shown in logs.
    """

    def result(self):
        return self._shaped(_share(self.true_positives.value, self.false_negatives.value))


class AUC(_Counts):
    """The area under the curve of true positive rate over false positive rate ("ROC") or precision over recall ("PR").

    The points of a ROC curve are joined by straight lines; between those of a PR curve the counts are interpolated linearly, which
    bends the line (Davis and Goadrich, 2006).

    Args:
        num_thresholds: Number of thresholds at which the curve is measured.
        curve: "ROC" or "PR".
        name: Shown in logs.

    Raises:
        ValueError: another `curve`, or fewer than two thresholds.

    Example:
        >>> import pynn as pn
        >>> metric = pn.metrics.AUC()
        >>> metric.update_state([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9])
        >>> round(float(metric.result()), 3)
        1.0
    """

    def __init__(self, num_thresholds: int = 200, curve: str = "ROC", name: str | None = None):
        if curve not in ("ROC", "PR") or num_thresholds < 2:
            received = f"curve={curve!r}, num_thresholds={num_thresholds}"
            raise ValueError(f"[AUC] curve must be 'ROC' or 'PR', and num_thresholds 2 or more. Received: {received}.")
        self.num_thresholds, self.curve = num_thresholds, curve
        super().__init__(name, num_thresholds)
        between = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        self._thresholds = np.concatenate([[-1e-7], between, [1 + 1e-7]])

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._count(y_true, y_pred, sample_weight, self._thresholds)

    def result(self):
        if self.curve == "PR":
            return self._below_precision()
        x = _share(self.false_positives.value, self.true_negatives.value)
        y = _share(self.true_positives.value, self.false_negatives.value)
        return ops.sum((x[:-1] - x[1:]) * (y[:-1] + y[1:])) * 0.5

    def _below_precision(self) -> Tensor:
        """The integral of precision over recall, the true among the `said` growing by the same share of them between two thresholds."""
        true, said = self.true_positives.value, self.true_positives.value + self.false_positives.value
        grown, more = true[:-1] - true[1:], said[:-1] - said[1:]
        share = ops.where(more > 0, grown / ops.maximum(more, 1e-300), ops.zeros_like(grown))
        rest = true[1:] - share * said[1:]
        ratio = ops.where(said[1:] > 0, said[:-1] / ops.maximum(said[1:], 1e-300), ops.ones_like(grown))
        positives = true[0] + self.false_negatives.value[0]
        return ops.sum(share * (grown + rest * ops.log(ratio))) / ops.maximum(positives, 1e-300)


class R2Score(Metric):
    """1 - sum of squared errors / sum of squared deviations from the mean target; the mean over the outputs' last axis.

    An output whose targets are all the same counts as zero.
    """

    direction = "up"

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
        y_true, y_pred = map(double, dense_targets(self.name, y_true, y_pred))
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
            return double(0.0)
        mean = self.targets.value / ops.maximum(self.weight.value, 1e-300)
        total = self.squares.value - self.targets.value * mean
        varies = total > self.squares.value * 1e-14  # less is what rounding leaves
        return ops.mean(ops.where(varies, 1.0 - self.residuals.value / ops.maximum(total, 1e-300), ops.zeros_like(total)))
