"""Losses: what training minimizes. Each compares targets with outputs and returns one number.

The functions (`mean_squared_error`, ...) return a value per example, reduced over the last axis; the classes reduce these to one number.
`y_true` and `y_pred` must have one shape, or, for integer labels, one that lacks the classes' axis: others raise ValueError.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from pynn import ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.errors import absent
from pynn.serialization import Configurable, Register, first_line, kept_in_class, plain, snake_case
from pynn.targets import categorical_targets, check_smoothing, dense_targets, sparse_targets, values_of, weights_like

_REGISTER = Register("loss")
_EPSILON = 1e-7
_REDUCTIONS = ("sum_over_batch_size", "sum", "none", "mean", "mean_with_sample_weight")


def _mean_last(x: Tensor) -> Tensor:
    return ops.mean(x, axis=-1) if x.ndim > 1 else x


# -- functions ---------------------------------------------------------------------------------------------------------


def mean_squared_error(y_true, y_pred) -> Tensor:
    """mean((y_true - y_pred)^2) over the last axis.

    Example:
        >>> import pynn as pn
        >>> pn.losses.mean_squared_error([[1.0, 2.0], [0.0, 0.0]], [[1.0, 4.0], [1.0, 1.0]]).numpy().tolist()
        [2.0, 1.0]
    """
    y_true, y_pred = dense_targets("mean_squared_error", y_true, y_pred)
    return _mean_last(ops.square(y_pred - y_true))


def mean_absolute_error(y_true, y_pred) -> Tensor:
    """mean(|y_true - y_pred|) over the last axis.

    Example:
        >>> import pynn as pn
        >>> pn.losses.mean_absolute_error([[1.0, 2.0], [0.0, 0.0]], [[1.0, 4.0], [1.0, 1.0]]).numpy().tolist()
        [1.0, 1.0]
    """
    y_true, y_pred = dense_targets("mean_absolute_error", y_true, y_pred)
    return _mean_last(ops.abs(y_true - y_pred))


def mean_absolute_percentage_error(y_true, y_pred) -> Tensor:
    """100 mean(|y_true - y_pred| / max(|y_true|, 1e-7)) over the last axis."""
    y_true, y_pred = dense_targets("mean_absolute_percentage_error", y_true, y_pred)
    return _mean_last(ops.abs((y_true - y_pred) / ops.maximum(ops.abs(y_true), _EPSILON))) * 100.0


def mean_squared_logarithmic_error(y_true, y_pred) -> Tensor:
    """mean((log(1 + y_true) - log(1 + y_pred))^2) over the last axis; values below 1e-7 count as that."""
    y_true, y_pred = dense_targets("mean_squared_logarithmic_error", y_true, y_pred)
    difference = ops.log(ops.maximum(y_pred, _EPSILON) + 1.0) - ops.log(ops.maximum(y_true, _EPSILON) + 1.0)
    return _mean_last(ops.square(difference))


def huber(y_true, y_pred, delta: float = 1.0) -> Tensor:
    """`error^2 / 2` where `|error| <= delta`, else `delta * (|error| - delta / 2)`; mean over the last axis.

    Example:
        >>> import pynn as pn
        >>> pn.losses.huber([[0.0, 0.0]], [[0.5, 3.0]]).numpy().tolist()
        [1.3125]
    """
    y_true, y_pred = dense_targets("huber", y_true, y_pred)
    error = ops.abs(y_true - y_pred)
    return _mean_last(ops.where(error <= delta, ops.square(error) * 0.5, error * delta - 0.5 * delta**2))


def log_cosh(y_true, y_pred) -> Tensor:
    """mean(log(cosh(y_pred - y_true))) over the last axis, without overflow."""
    y_true, y_pred = dense_targets("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return _mean_last(error + ops.softplus(error * -2.0) - math.log(2))


def _signs(y_true: Tensor) -> Tensor:
    """Targets 0 and 1 as -1 and 1; targets that hold -1 already stay."""
    has_zero_one_only = ops.all(ops.logical_or(ops.equal(y_true, 0.0), ops.equal(y_true, 1.0)))
    return ops.where(has_zero_one_only, y_true * 2.0 - 1.0, y_true)


def hinge(y_true, y_pred) -> Tensor:
    """mean(max(1 - y_true * y_pred, 0)) over the last axis, targets -1 and 1 (or 0 and 1)."""
    y_true, y_pred = dense_targets("hinge", y_true, y_pred)
    return _mean_last(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0))


def squared_hinge(y_true, y_pred) -> Tensor:
    """mean(max(1 - y_true * y_pred, 0)^2) over the last axis, targets -1 and 1 (or 0 and 1)."""
    y_true, y_pred = dense_targets("squared_hinge", y_true, y_pred)
    return _mean_last(ops.square(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)))


def categorical_hinge(y_true, y_pred) -> Tensor:
    """max(max((1 - y_true) * y_pred) - sum(y_true * y_pred) + 1, 0) over the last axis, targets one-hot."""
    y_true, y_pred = categorical_targets("categorical_hinge", y_true, y_pred)
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(wrong - right + 1.0, 0.0)


def kl_divergence(y_true, y_pred) -> Tensor:
    """sum(y_true * log(y_true / y_pred)) over the last axis, both clipped to [1e-7, 1]."""
    y_true, y_pred = dense_targets("kl_divergence", y_true, y_pred)
    y_true, y_pred = ops.clip(y_true, _EPSILON, 1.0), ops.clip(y_pred, _EPSILON, 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true, y_pred) -> Tensor:
    """mean(y_pred - y_true * log(y_pred + 1e-7)) over the last axis."""
    y_true, y_pred = dense_targets("poisson", y_true, y_pred)
    return _mean_last(y_pred - y_true * ops.log(y_pred + _EPSILON))


def cosine_similarity(y_true, y_pred, axis: int = -1) -> Tensor:
    """sum(a * b), where a and b are y_true and y_pred scaled to length one along `axis`: 1 for the same direction.

    Example:
        >>> import pynn as pn
        >>> pn.losses.cosine_similarity([[1.0, 0.0]], [[2.0, 0.0]]).numpy().tolist()
        [1.0]
    """
    y_true, y_pred = dense_targets("cosine_similarity", y_true, y_pred)

    def unit(x):
        return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))

    return ops.sum(unit(y_true) * unit(y_pred), axis=axis)


def _logits_of(y_pred, from_logits: bool, activation: str, axis: int = -1):
    """What `activation`, of the last axis, was given to make y_pred; None if it was another, or goes along another axis."""
    if from_logits:
        return as_tensor(y_pred)
    if not isinstance(y_pred, Tensor) or y_pred.logits_of != activation or axis not in (-1, y_pred.ndim - 1):
        return None
    return y_pred.logits


def binary_crossentropy(y_true, y_pred, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1) -> Tensor:
    """mean(-y log(p) - (1 - y) log(1 - p)) along `axis`.

    Args:
        y_true: Targets between 0 and 1, in the shape of y_pred.
        y_pred: Probabilities.
        from_logits: y_pred is the input of a sigmoid. The output of `activations.sigmoid` is traced back to its logits automatically.
        label_smoothing: s makes the targets `(1 - s) y + s / 2`.
        axis: The axis of the mean.

    Example:
        >>> import pynn as pn
        >>> round(float(pn.losses.binary_crossentropy([[1.0], [0.0]], [[0.5], [0.5]])[0]), 4)
        0.6931
    """
    logits = _logits_of(y_pred, from_logits, "sigmoid")
    y_true, y_pred = dense_targets("binary_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if logits is not None and logits.shape == y_pred.shape:
        values = ops.sigmoid_cross_entropy(logits, y_true)
    else:
        p = ops.clip(y_pred, _EPSILON, 1.0 - _EPSILON)
        values = ops.negative(y_true * ops.log(p) + (1.0 - y_true) * ops.log(1.0 - p))
    return ops.mean(values, axis=axis) if values.ndim > 1 else values


def _last(x: Tensor, axis: int) -> Tensor:
    return x if axis in (-1, x.ndim - 1) else ops.moveaxis(x, axis, -1)


def categorical_crossentropy(y_true, y_pred, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1) -> Tensor:
    """-sum(y_true * log(p)) along `axis`, for one-hot targets (or probabilities).

    Args:
        y_true: Targets in the shape of y_pred.
        y_pred: Probabilities.
        from_logits: y_pred is the input of a softmax. The output of `activations.softmax` is traced back to its logits automatically.
        label_smoothing: s makes the targets `(1 - s) y + s / classes`.
        axis: The axis of the classes.

    Example:
        >>> import pynn as pn
        >>> round(float(pn.losses.categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])[0]), 4)
        0.6931
    """
    logits = _logits_of(y_pred, from_logits, "softmax", axis)
    y_true, y_pred = categorical_targets("categorical_crossentropy", y_true, y_pred, axis)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]
    if logits is not None:
        return ops.softmax_cross_entropy(_last(logits, axis), _last(y_true, axis))
    p = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
    return ops.negative(ops.sum(y_true * ops.log(ops.clip(p, _EPSILON, 1.0 - _EPSILON)), axis=axis))


def sparse_categorical_crossentropy(y_true, y_pred, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1) -> Tensor:
    """-log(p[label]) for integer labels.

    Args:
        y_true: Labels from 0 to classes - 1, in the shape of y_pred without the axis of the classes.
        y_pred: Probabilities.
        from_logits: y_pred is the input of a softmax. The output of `activations.softmax` is traced back to its logits automatically.
        ignore_class: Examples of this label don't count.
        axis: The axis of the classes.

    Example:
        >>> import pynn as pn
        >>> round(float(pn.losses.sparse_categorical_crossentropy([1], [[0.5, 0.5]])[0]), 4)
        0.6931
    """
    logits = _logits_of(y_pred, from_logits, "softmax", axis)
    labels, y_pred = sparse_targets("sparse_categorical_crossentropy", y_true, y_pred, axis)
    if logits is None:
        logits = ops.log(ops.clip(y_pred, _EPSILON, 1.0 - _EPSILON))
    logits = _last(logits, axis)
    if ignore_class is None:
        return ops.sparse_softmax_cross_entropy(logits, labels)
    counts = ops.not_equal(labels, ignore_class)
    values = ops.sparse_softmax_cross_entropy(logits, ops.where(counts, labels, ops.zeros_like(labels)))
    values = ops.where(counts, values, ops.zeros_like(values))
    values.mask = counts
    return values


# -- classes -----------------------------------------------------------------------------------------------------------


class Loss(Configurable):
    """Base class. Subclasses define `call(y_true, y_pred)`, which gives a value per example (batch, ...).

    Args:
        reduction: "sum_over_batch_size" (the mean), "sum", "none", or "mean_with_sample_weight" (divided by the sum of the weights).
        name: Shown in logs.
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None):
        reduction = "none" if reduction is None else reduction
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"[{type(self).__name__}] unknown reduction. Received: reduction={reduction!r}. Known: {', '.join(_REDUCTIONS)}."
            )
        self.reduction = reduction
        self.name = name or snake_case(type(self).__name__)

    def call(self, y_true, y_pred) -> Tensor:
        """The loss of each example, of shape (batch, ...)."""
        raise NotImplementedError(f"[{type(self).__name__}] a loss must define call(y_true, y_pred).")

    def per_sample(self, y_true, y_pred) -> Tensor:
        """The loss of each example, of shape (batch,): the mean over all further axes."""
        values = self.call(y_true, y_pred)
        if values.ndim == 0:
            raise ValueError(f"[{self.name}] a loss must give one value per example. Received: shape=(). Don't reduce over the batch axis.")
        return ops.mean(values, axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values

    def __call__(self, y_true, y_pred, sample_weight=None) -> Tensor:
        """The reduced loss; `sample_weight` has the shape of the values or fewer axes. The mask of `y_pred` counts as weights."""
        values = self.call(y_true, y_pred)
        mask = getattr(y_pred, "mask", None) if values.mask is None else values.mask
        weights = None if sample_weight is None else weights_like(self.name, sample_weight, values)
        if mask is not None and values.ndim:  # one number for all of them can't leave any out
            kept = self._kept(mask, values)
            if self.reduction in ("sum_over_batch_size", "mean"):
                kept = kept * (float(kept.size) / (ops.sum(kept) + _EPSILON))
            weights = kept if weights is None else weights * kept
        return self._reduce(values if weights is None else values * weights, weights)

    def _kept(self, mask, values: Tensor) -> Tensor:
        if mask.ndim > values.ndim:
            raise ValueError(
                f"[{self.name}] the outputs have a mask over more axes than the loss has values for. Received: mask.shape={mask.shape}, "
                f"for values of shape {values.shape}. Let it give a value for each step: pn.mean(..., axis=-1)."
            )
        return weights_like(self.name, mask, values)

    def _reduce(self, values: Tensor, weights: Tensor | None) -> Tensor:
        if self.reduction == "none":
            return values
        total = ops.sum(values)
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return total / ops.maximum(ops.sum(ops.broadcast_to(weights, values.shape)), _EPSILON)
        return total / float(max(values.size, 1))


class FunctionLoss(Loss):
    """A loss from a function of (y_true, y_pred) that gives a value per example.

    Args:
        fn: `fn(y_true, y_pred, **arguments)`, written with ops.
        reduction, name: As in `Loss`.
        arguments: Further arguments of `fn`.
    """

    def __init__(self, fn, reduction: Any = "sum_over_batch_size", name: str | None = None, **arguments):
        super().__init__(reduction, name or getattr(fn, "__name__", "loss"))
        self.fn, self.arguments = fn, arguments

    def call(self, y_true, y_pred):
        return values_of(self.name, self.fn, y_true, y_pred, self.arguments)

    def get_config(self):
        """The function's name and arguments."""
        return {"fn": plain(self.fn), "reduction": self.reduction, "name": self.name, **self.arguments}


class _Named(Loss):
    """A loss over one of the functions above. What it takes beside y_true and y_pred is here an attribute of the same name."""

    _function: staticmethod

    def call(self, y_true, y_pred):
        words = [a for a in _more_words(type(self)) if hasattr(self, a)]
        return type(self)._function(y_true, y_pred, **{a: getattr(self, a) for a in words})


@kept_in_class
def _more_words(cls: type[_Named]) -> tuple[str, ...]:
    """Names of the arguments of the loss's function beside y_true and y_pred: a user's subclass may have others."""
    return tuple(inspect.signature(cls._function).parameters)[2:]


def _loss_class(name: str, function, *aliases: str) -> type:
    doc = f"{first_line(function)} See `pynn.losses.{function.__name__}`."
    cls = type(name, (_Named,), {"__doc__": doc, "__module__": __name__, "_function": staticmethod(function)})
    return _REGISTER.add(cls, function.__name__, *aliases)


MeanSquaredError = _loss_class("MeanSquaredError", mean_squared_error, "mse")
MeanAbsoluteError = _loss_class("MeanAbsoluteError", mean_absolute_error, "mae")
MeanAbsolutePercentageError = _loss_class("MeanAbsolutePercentageError", mean_absolute_percentage_error, "mape")
MeanSquaredLogarithmicError = _loss_class("MeanSquaredLogarithmicError", mean_squared_logarithmic_error, "msle")
LogCosh = _loss_class("LogCosh", log_cosh, "logcosh")
Hinge = _loss_class("Hinge", hinge)
SquaredHinge = _loss_class("SquaredHinge", squared_hinge)
CategoricalHinge = _loss_class("CategoricalHinge", categorical_hinge)
KLDivergence = _loss_class("KLDivergence", kl_divergence, "kullback_leibler_divergence", "kld")
Poisson = _loss_class("Poisson", poisson)


class Huber(_Named):
    """Squared near zero, absolute beyond `delta`. See `pynn.losses.huber`."""

    _function = staticmethod(huber)

    def __init__(self, delta: float = 1.0, reduction: Any = "sum_over_batch_size", name: str | None = None):
        super().__init__(reduction, name)
        self.delta = delta


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between the two: -1 for the same direction."""

    def __init__(self, axis: int = -1, reduction: Any = "sum_over_batch_size", name: str | None = None):
        super().__init__(reduction, name)
        self.axis = axis

    def call(self, y_true, y_pred):
        return ops.negative(cosine_similarity(y_true, y_pred, self.axis))


class _Crossentropy(_Named):
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = None,
    ):
        super().__init__(reduction, name)
        check_smoothing(self.name, label_smoothing)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class BinaryCrossentropy(_Crossentropy):
    """For two classes: targets 0 or 1, outputs the probability of 1. See `pynn.losses.binary_crossentropy`."""

    _function = staticmethod(binary_crossentropy)


class CategoricalCrossentropy(_Crossentropy):
    """For several classes, targets one-hot. See `pynn.losses.categorical_crossentropy`."""

    _function = staticmethod(categorical_crossentropy)


class SparseCategoricalCrossentropy(_Named):
    """For several classes, targets integer labels. See `pynn.losses.sparse_categorical_crossentropy`."""

    _function = staticmethod(sparse_categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        reduction: Any = "sum_over_batch_size",
        name: str | None = None,
    ):
        super().__init__(reduction, name)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis


for _class in (Huber, CosineSimilarity, BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy):
    _REGISTER.add(_class, snake_case(_class.__name__))
_REGISTER.add(BinaryCrossentropy, "sigmoid_cross_entropy", "bce")
_REGISTER.add(CategoricalCrossentropy, "softmax_cross_entropy")
_REGISTER.add(Huber, "huber_loss")
_REGISTER.add(CosineSimilarity, "cosine_proximity")
_FUNCTIONS = {c._function: c for c in _REGISTER.entries.values() if hasattr(c, "_function")}
_FUNCTIONS[cosine_similarity] = CosineSimilarity  # a loss that grew with the likeness would be trained away from it


def get(identifier) -> Loss | None:
    """The loss for a name (`"mse"`, `"categoricalCrossentropy"`), a config, a loss, or a function of (y_true, y_pred).

    Raises:
        ValueError: the name is unknown.
    """
    found = _REGISTER.get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    return _FUNCTIONS[found]() if found in _FUNCTIONS else FunctionLoss(found)


def name_of(loss: Loss) -> str:
    """The name under which files keep a loss: `categorical_crossentropy`."""
    function = getattr(type(loss), "_function", None)
    return function.__name__ if function is not None else snake_case(type(loss).__name__)


if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, [name for name in globals() if not name.startswith("_")])
