"""What a compiled model is trained for: losses and metrics over its outputs, and their running values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynn import losses, metrics
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor
from pynn.engine.variable import Variable
from pynn.errors import suggestion


def per_output(value: Any, names: Sequence[str], what: str) -> list:
    """One entry per output: from a dict by output name, a list, or the same for all."""
    if isinstance(value, dict):
        unknown = [k for k in value if k not in names]
        if unknown:
            raise ValueError(
                f"[compile] {what} names an output {unknown[0]!r} that the model doesn't have."
                f"{suggestion(unknown[0], names)} Outputs: {', '.join(names)}."
            )
        return [value.get(n) for n in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ValueError(f"[compile] {what} has {len(value)} entries for {len(names)} outputs ({', '.join(names)}).")
        return list(value)
    return [value] * len(names)


class Running:
    """A mean over the samples seen so far: float64 sums, weighted by samples."""

    def __init__(self, name: str):
        self.name = name
        self.total = Variable(np.zeros((), np.float64), name=f"{name}_total", trainable=False)
        self.count = Variable(np.zeros((), np.float64), name=f"{name}_count", trainable=False)

    def add(self, mean: Tensor, samples: int) -> None:
        """Adds a batch of `samples` samples whose mean value is `mean`."""
        self.total.assign(self.total + mean.astype(np.float64) * float(samples))
        self.count.assign(self.count + float(samples))

    @property
    def variables(self) -> list[Variable]:
        """The sums."""
        return [self.total, self.count]

    def result(self) -> Tensor:
        """The mean; 0 before the first sample."""
        return call("divide", self.total.value, call("maximum", self.count.value, 1.0))

    def reset_state(self) -> None:
        """Resets the sums to zero."""
        for variable in self.variables:
            variable.assign(np.zeros((), np.float64))


class Objective:
    """Losses, their weights and metrics of a model, bound to its outputs at the first batch."""

    def __init__(self, loss, loss_weights, metric, weighted_metric):
        _check_entries(loss, losses.get)
        for config in metric, weighted_metric:
            if config is not None and not isinstance(config, (dict, list, tuple)):
                raise TypeError(f"[compile] metrics must be a list. Received: {config!r}. Write metrics=[{config!r}].")
            _check_entries(config, metrics.get)
        self.loss_config, self.loss_weights_config = loss, loss_weights
        self.metric_config, self.weighted_metric_config = metric, weighted_metric
        self.built = False
        self.loss_running = Running("loss")
        self.output_running: list[Running] = []
        self.losses: list = []
        self.loss_weights: list[float] = []
        self.metrics: list[tuple[int, bool, Any]] = []  # (output, weighted, metric)
        self.metric_names: list[str] = []  # in logs; a metric's own name stays what it is

    @property
    def needs_targets(self) -> bool:
        """Whether a loss or a metric compares the outputs with targets; without any, what layers add to the loss is all there is."""
        return any(map(_has_entries, (self.loss_config, self.metric_config, self.weighted_metric_config)))

    def build(self, names: Sequence[str], y_true: Sequence, y_pred: Sequence) -> None:
        """Resolves names of losses and metrics, which may depend on the shapes of targets and outputs. Nothing is set if one is wrong."""
        entries = per_output(self.loss_config, names, "loss")
        found = [None if e is None else losses.get(e) for e in entries]
        weights = per_output(self.loss_weights_config, names, "loss_weights")
        loss_weights = [1.0 if w is None else _loss_weight(w) for w in weights]
        self.metrics, self.metric_names = self._metrics(names, found, y_true, y_pred)
        if len(names) > 1:
            self.output_running = [Running(f"{n}_loss") for n, e in zip(names, found, strict=True) if e is not None]
        self.losses, self.loss_weights = found, loss_weights
        self.built = True

    def _metrics(self, names: Sequence[str], losses_: list, y_true: Sequence, y_pred: Sequence) -> tuple[list, list[str]]:
        """(output, weighted, metric) for every metric, and their names in logs."""
        found = [
            (i, weighted, identifier)
            for config, weighted in ((self.metric_config, False), (self.weighted_metric_config, True))
            for i, identifiers in enumerate(_metrics_per_output(config, names))
            for identifier in identifiers
            if identifier is not None
        ]
        made: list[tuple[int, bool, Any]] = []
        logged: list[str] = []
        for (i, weighted, _), identifier in zip(found, _separate([identifier for _, _, identifier in found]), strict=True):
            metric = metrics.get(identifier, loss=losses_[i], target=y_true[i].shape, output=y_pred[i].shape)
            prefix = f"{names[i]}_" if len(names) > 1 else ""
            again = weighted and prefix + metric.name in logged
            logged.append(f"{prefix}weighted_{metric.name}" if again else prefix + metric.name)
            made.append((i, weighted, metric))
        return made, numbered(logged, taken=["loss"])

    @property
    def trackers(self) -> list:
        """Everything with a running value, the loss first."""
        return [self.loss_running, *self.output_running, *(m for _, _, m in self.metrics)]

    @property
    def variables(self) -> list[Variable]:
        """The sums from which the running values are computed."""
        return [v for tracker in self.trackers for v in tracker.variables]

    @property
    def names(self) -> list[str]:
        """Names of the running values."""
        return [self.loss_running.name, *(r.name for r in self.output_running), *self.metric_names]

    def has_one_hot_targets(self, shape: tuple[int, ...]) -> bool:
        """Whether targets of this shape, those of the only output, have a number for each class in their last axis, and not labels."""
        if len(shape) < 2 or shape[-1] == 1:
            return False
        config = list(self.loss_config.values()) if isinstance(self.loss_config, dict) else self.loss_config
        first = config[0] if isinstance(config, (list, tuple)) and config else config
        loss = None if first is None else losses.get(first)
        return not isinstance(loss, losses.SparseCategoricalCrossentropy)

    def direction(self, name: str) -> str | None:
        """Where the metric of this name in the logs is better, "up" or "down"; None if there is none, or nobody knows."""
        return next((m.direction for logged, (*_, m) in zip(self.metric_names, self.metrics, strict=True) if logged == name), None)

    def loss(self, y_true: Sequence, y_pred: Sequence, weights: Sequence) -> tuple[Tensor | None, list[Tensor]]:
        """The total loss without penalties, None if no output has a loss, and the loss of each output that has one."""
        parts = []
        total = None
        for i, loss in enumerate(self.losses):
            if loss is None:
                continue
            value = loss(y_true[i], y_pred[i], sample_weight=_given_weight(i, weights))  # masks are for the loss to heed
            if value.ndim:
                raise ValueError(
                    f"[compile] training needs a loss that is one number. Received: {_label(loss)} gives values of shape {value.shape}. "
                    "Pass reduction='sum_over_batch_size'."
                )
            parts.append(value)
            value = value if self.loss_weights[i] == 1.0 else value * self.loss_weights[i]
            total = value if total is None else total + value
        return total, parts

    def update(self, total: Tensor, parts: Sequence[Tensor], y_true, y_pred, weights, samples: int) -> None:
        """Adds a batch to the running values."""
        self.loss_running.add(total, samples)
        for running, part in zip(self.output_running, parts, strict=False):
            running.add(part, samples)
        for i, weighted, metric in self.metrics:
            weight = _weight(i, weights if weighted else (), y_pred)
            if weight is not None and not weighted and not _heeds_mask(metric, y_true[i], y_pred[i]):
                weight = None
            metric.update_state(y_true[i], y_pred[i], sample_weight=weight)

    def check_targets(self, y_true: Sequence[np.ndarray]) -> None:
        """Raises ValueError for targets in memory that a loss can't mean: labels that aren't whole, shares outside 0 to 1."""
        for y, loss in zip(y_true, self.losses, strict=False):
            if not y.size:
                continue
            if isinstance(loss, losses.SparseCategoricalCrossentropy) and y.dtype.kind == "f" and np.any(y != np.rint(y)):
                wrong = f"{y[y != np.rint(y)].flat[0]:g} among them"
                raise ValueError(f"[{loss.name}] labels must be whole numbers. Received: {wrong}. Round them, or use another loss.")
            if isinstance(loss, losses.BinaryCrossentropy) and (y.min() < 0 or y.max() > 1):
                raise ValueError(
                    f"[{loss.name}] targets must lie between 0 and 1. Received: values from {y.min():g} to {y.max():g}. Use 0 and 1 for "
                    "the two classes, or the loss 'hinge' for -1 and 1."
                )

    def reset(self) -> None:
        """Forgets the running values."""
        for tracker in self.trackers:
            tracker.reset_state()

    def results(self) -> dict[str, float]:
        """The running values as numbers."""
        return {name: float(as_tensor(t.result())) for name, t in zip(self.names, self.trackers, strict=True)}


def _heeds_mask(metric, y_true: Tensor, y_pred: Tensor) -> bool:
    """Whether a metric that isn't weighted leaves out what the output's mask does: those of the user's that give one number can't."""
    return isinstance(metric, metrics.MeanMetricWrapper) and (
        type(metric) is not metrics.MeanMetricWrapper or metric.values(y_true, y_pred).ndim > 0
    )


def _has_entries(config) -> bool:
    entries = config.values() if isinstance(config, dict) else config
    return any(map(_has_entries, entries)) if isinstance(config, (dict, list, tuple)) else config is not None


def _label(loss) -> str:
    reduction = getattr(loss, "reduction", None)
    return f"{type(loss).__name__}({f'reduction={reduction!r}' if reduction else ''})"


def _given_weight(i: int, weights: Sequence):
    return weights[min(i, len(weights) - 1)] if weights else None


def _weight(i: int, weights: Sequence, y_pred: Sequence):
    """The sample weight of output `i`, combined with the output's mask."""
    weight = _given_weight(i, weights)
    mask = y_pred[i].mask
    if mask is None or mask.shape != y_pred[i].shape[: len(mask.shape)]:
        return weight
    mask = mask.astype(y_pred[i].dtype)
    if weight is None:
        return mask
    while weight.ndim < mask.ndim:
        weight = call("expand_dims", weight, -1)
    return weight * mask


def _loss_weight(value) -> float:
    number = hasattr(value, "__float__") and np.ndim(value) == 0 and np.isfinite(float(value))
    if not number:
        raise ValueError(f"[compile] loss_weights must be numbers, one per output. Received: {value!r}. Write loss_weights=[1.0, 0.5].")
    return float(value)


def _check_entries(config: Any, get: Callable[[Any], Any]) -> None:
    """Looks up what `loss` or `metrics` names, at any depth: what there isn't is refused at once, not at the first batch."""
    if isinstance(config, (list, tuple)) or (isinstance(config, dict) and "class_name" not in config):
        for entry in config.values() if isinstance(config, dict) else config:
            _check_entries(entry, get)
    elif not callable(config):
        get(config)


def _metrics_per_output(config, names: Sequence[str]) -> list[list]:
    if config is None:
        return [[] for _ in names]
    if isinstance(config, dict):
        return [_listed(e) for e in per_output(config, names, "metrics")]
    nested = any(isinstance(e, (list, tuple)) for e in config)
    if len(config) == len(names) and (len(names) > 1 or nested):
        return [_listed(e) for e in config]
    if nested:
        raise ValueError(f"[compile] metrics has {len(config)} entries for {len(names)} outputs ({', '.join(names)}).")
    return [list(config) for _ in names]


def _listed(entry) -> list:
    return list(entry) if isinstance(entry, (list, tuple)) else [] if entry is None else [entry]


def _separate(identifiers: list) -> list:
    """The same, with copies in place of a metric that is there already: its sums are those of one output."""
    seen: set[int] = set()
    found = []
    for identifier in identifiers:
        repeated = isinstance(identifier, metrics.Metric) and id(identifier) in seen
        seen.add(id(identifier))
        found.append(copy.deepcopy(identifier) if repeated else identifier)
    return found


def numbered(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """The names, with numbers behind those that are taken or there already; no number makes a name that another one has."""
    found: list[str] = []
    for name in names:
        free, count = name, 0
        while free in taken or free in found or (count and free in names):
            count += 1
            free = f"{name}_{count}"
        found.append(free)
    return found
