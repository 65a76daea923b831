"""Softmax, its logarithm, and the cross-entropy losses that are computed together with it so that nothing overflows."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.public import PublicFunction
from pynn.engine.tape import ones_like
from pynn.engine.tensor import Tensor, as_tensor, promote
from pynn.errors import shapes
from pynn.ops.gather import checked_indices
from pynn.ops.shape import checked_axis, expand_dims, moveaxis, reshape

__all__ = [
    "log_softmax",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "sparse_softmax_cross_entropy",
]

_LABEL_MESSAGE = (
    "label {0} (of sample {1}) is no class. Received: {2} logits per sample. Labels must be at least 0 and below {2}; "
    "the last layer needs a unit for each class."
)


def _total(x) -> Tensor:
    return call("sum", x, axis=-1, keepdims=True)


def _infer_rows(name: str):
    def infer(x: Spec, *others: Spec, **attrs) -> Spec:
        if not is_float(x.dtype) or not x.shape or x.shape[-1] == 0:
            raise ValueError(f"[{name}] the input must be a float tensor whose last axis holds the classes. Received: {x.dtype}{x.shape}.")
        return x

    return infer


def _row_samples(operands: int):
    def samples() -> list[Sample]:
        row_shapes = [(3, 10), (9, 17), (2, 3, 5), (1, 1), (4,), (0, 6), (2, 131)]
        return [Sample([shape] * operands) for shape in row_shapes]

    return samples


# -- softmax and log_softmax over the last axis -------------------------------------------------------------------------


def _softmax_numpy(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=-1, keepdims=True)


def _softmax_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(SOFTMAX_GRAD, dys[0], outputs[0]),)


def _softmax_grad_numpy(dy, y):
    return (dy - (dy * y).sum(axis=-1, keepdims=True)) * y


def _softmax_grad_vjp(dys, inputs, outputs, attrs, needs):
    g, (dy, y) = dys[0], inputs
    by_y = g * (dy - _total(dy * y)) - dy * _total(g * y) if needs[1] else None
    return apply(SOFTMAX_GRAD, g, y) if needs[0] else None, by_y


def _log_softmax_numpy(x):
    x = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def _log_softmax_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(LOG_SOFTMAX_GRAD, dys[0], outputs[0]),)


def _log_softmax_grad_numpy(dy, y):
    return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)


def _log_softmax_grad_vjp(dys, inputs, outputs, attrs, needs):
    g, (dy, y) = dys[0], inputs
    weighted = g * call("exp", y)
    return g - _total(weighted) if needs[0] else None, -(weighted * _total(dy)) if needs[1] else None


def _define_rows(name: str, inputs: tuple[str, ...], fallback, vjp, **names):
    return define(
        name,
        inputs=inputs,
        infer=_infer_rows(name),
        fallback=fallback,
        vjp=vjp,
        reference=fallback,
        samples=_row_samples(len(inputs)),
        **names,
    )


SOFTMAX = _define_rows("softmax", ("x",), _softmax_numpy, _softmax_vjp, tfjs="Softmax", onnx="Softmax")
SOFTMAX_GRAD = _define_rows("softmax_grad", ("dy", "y"), _softmax_grad_numpy, _softmax_grad_vjp)
LOG_SOFTMAX = _define_rows("log_softmax", ("x",), _log_softmax_numpy, _log_softmax_vjp, tfjs="LogSoftmax", onnx="LogSoftmax")
LOG_SOFTMAX_GRAD = _define_rows("log_softmax_grad", ("dy", "y"), _log_softmax_grad_numpy, _log_softmax_grad_vjp)


def _along(op, x, axis: int) -> Tensor:
    x = as_tensor(x)
    if not is_float(x.dtype):
        x = call("cast", x, "float32")
    axis = checked_axis(op.name, axis, len(x.shape))
    if axis == len(x.shape) - 1:
        return apply(op, x)
    return moveaxis(apply(op, moveaxis(x, axis, -1)), -1, axis)


_values_of_softmax = PublicFunction(lambda x, axis: _along(SOFTMAX, x, axis), __name__)


def softmax(x, axis: int = -1) -> Tensor:
    """`e^x / sum(e^x)` along an axis, without overflow.

    The result remembers `x`, so that a cross-entropy loss of it is computed from the logits.

    Raises:
        ValueError: there is no such axis.

    Example:
        >>> import pynn as pn
        >>> pn.softmax([0.0, 0.0]).numpy().tolist()
        [0.5, 0.5]
    """
    x = as_tensor(x)
    y = _values_of_softmax(x, axis)
    if axis in (-1, len(x.shape) - 1) and x.dtype == y.dtype:
        y.logits, y.logits_of = x, "softmax"
    return y


def log_softmax(x, axis: int = -1) -> Tensor:
    """`x - ln(sum(e^x))` along an axis, without overflow.

    Raises:
        ValueError: there is no such axis.
    """
    return _along(LOG_SOFTMAX, x, axis)


# -- cross entropy with class indices -----------------------------------------------------------------------------------


def _infer_sparse(logits: Spec, labels: Spec) -> tuple[Spec, Spec]:
    _infer_rows("sparse_softmax_cross_entropy")(logits)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"[sparse_softmax_cross_entropy] labels must be class numbers, integers. Received: labels.dtype={labels.dtype}. "
            "For one-hot labels or probabilities use softmax_cross_entropy."
        )
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            "[sparse_softmax_cross_entropy] there must be one label per row of logits. "
            f"Received: {shapes(logits=logits, labels=labels)}. Expected: labels.shape={logits.shape[:-1]}."
        )
    return Spec(labels.shape, logits.dtype), logits


def _checked_labels(name: str, labels, classes: int) -> np.ndarray:
    return checked_indices(name, labels, classes, _LABEL_MESSAGE).reshape(labels.shape)[..., None]


def _loss_and_probabilities(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(shifted)
    total = e.sum(axis=-1, keepdims=True)
    return shifted, np.log(total)[..., 0], e / total


def _sparse_numpy(logits, labels):
    labels = _checked_labels("sparse_softmax_cross_entropy", labels, logits.shape[-1])
    shifted, log_total, p = _loss_and_probabilities(logits)
    return log_total - np.take_along_axis(shifted, labels, axis=-1)[..., 0], p


def _through_probabilities(dlogits, dp, p):
    """Adds what flows back through the probabilities, which only a second derivative does."""
    if dp is None:
        return dlogits
    through = apply(SOFTMAX_GRAD, dp, p)
    return through if dlogits is None else dlogits + through


def _sparse_vjp(dys, inputs, outputs, attrs, needs):
    dloss, dp = dys
    dlogits = None if dloss is None else apply(SPARSE_GRAD, dloss, outputs[1], inputs[1])
    return _through_probabilities(dlogits, dp, outputs[1]), None


def _sparse_samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    cases = [((5, 10), np.int64), ((9, 3), np.int32), ((2, 3, 17), np.int64), ((0, 4), np.int64), ((33, 129), np.int32)]
    return [Sample([shape, rng.integers(0, shape[-1], size=shape[:-1]).astype(kind)]) for shape, kind in cases]


SPARSE = define(
    "sparse_softmax_cross_entropy",
    inputs=("logits", "labels"),
    infer=_infer_sparse,
    fallback=_sparse_numpy,
    vjp=_sparse_vjp,
    residuals=1,
    reference=_sparse_numpy,
    samples=_sparse_samples,
    failures={1: _LABEL_MESSAGE},
)


def _infer_grad(dloss: Spec, p: Spec, labels: Spec, **attrs) -> Spec:
    return p


def _sparse_grad_numpy(dloss, p, labels):
    labels = _checked_labels("sparse_softmax_cross_entropy_grad", labels, p.shape[-1])
    dx = p.copy()
    np.put_along_axis(dx, labels, np.take_along_axis(dx, labels, axis=-1) - 1, axis=-1)
    return dx * dloss[..., None]


def _grad_vjp(op):
    """The gradient, which is `p` and the labels times `dloss`, by `dloss` and `p`."""

    def vjp(dys, inputs, outputs, attrs, needs):
        g, (dloss, p, labels) = dys[0], inputs
        by_dloss = call("sum", g * apply(op(), ones_like(dloss), p, labels, **attrs), axis=-1) if needs[0] else None
        scaled = g * expand_dims(dloss, -1)
        if "label_smoothing" not in attrs:
            return by_dloss, scaled if needs[1] else None, None
        weights = labels * (1 - attrs["label_smoothing"]) + attrs["label_smoothing"] / p.shape[-1]
        by_p = scaled * _total(weights) if needs[1] else None
        by_labels = (_total(scaled * p) - scaled) * (1 - attrs["label_smoothing"]) if needs[2] else None
        return by_dloss, by_p, by_labels

    return vjp


def _sparse_grad_samples() -> list[Sample]:
    return [Sample([s.inputs[0][:-1], s.inputs[0], s.inputs[1]]) for s in _sparse_samples()]


SPARSE_GRAD = define(
    "sparse_softmax_cross_entropy_grad",
    inputs=("dloss", "p", "labels"),
    infer=_infer_grad,
    fallback=_sparse_grad_numpy,
    vjp=_grad_vjp(lambda: SPARSE_GRAD),
    reference=_sparse_grad_numpy,
    samples=_sparse_grad_samples,
    failures={1: _LABEL_MESSAGE},
)


def sparse_softmax_cross_entropy(logits, labels) -> Tensor:
    """`-ln(softmax(logits)[label])` for each row of logits.

    Args:
        logits: Float tensor (..., classes).
        labels: Integers (...) or (..., 1), from 0 to classes - 1.

    Raises:
        TypeError: the labels aren't integers.
        ValueError: the shapes don't fit, or a label is no class.
    """
    logits, labels = as_tensor(logits), as_tensor(labels)
    if labels.shape == (*logits.shape[:-1], 1):
        labels = reshape(labels, logits.shape[:-1])
    if labels.dtype.kind in "iu" and labels.dtype.itemsize < 4:
        labels = call("cast", labels, "int32")
    return apply(SPARSE, logits, labels)


# -- cross entropy with probabilities -----------------------------------------------------------------------------------


def _infer_dense(logits: Spec, labels: Spec, *, label_smoothing: float) -> tuple[Spec, Spec]:
    _infer_rows("softmax_cross_entropy")(logits)
    if labels.shape != logits.shape or labels.dtype != logits.dtype:
        raise ValueError(
            "[softmax_cross_entropy] labels must be one-hot rows or probabilities, in the shape of the logits. "
            f"Received: {shapes(logits=logits, labels=labels)}. "
            "For class numbers use sparse_softmax_cross_entropy (the loss 'sparse_categorical_crossentropy')."
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"[softmax_cross_entropy] label_smoothing must be in [0, 1). Received: label_smoothing={label_smoothing}.")
    return Spec(logits.shape[:-1], logits.dtype), logits


def _smoothed(labels, label_smoothing: float):
    return labels * (1 - label_smoothing) + label_smoothing / labels.shape[-1]


def _dense_numpy(logits, labels, *, label_smoothing):
    weights = _smoothed(labels, label_smoothing)
    shifted, log_total, p = _loss_and_probabilities(logits)
    dots = np.where(weights != 0, weights * shifted, 0).sum(axis=-1)
    return weights.sum(axis=-1) * log_total - dots, p


def _dense_vjp(dys, inputs, outputs, attrs, needs):
    (dloss, dp), (logits, labels) = dys, inputs
    dlogits = None if dloss is None else apply(DENSE_GRAD, dloss, outputs[1], labels, **attrs)
    dlabels = None
    if needs[1] and dloss is not None:
        dlabels = log_softmax(logits) * expand_dims(dloss, -1) * (attrs["label_smoothing"] - 1)
    return _through_probabilities(dlogits, dp, outputs[1]), dlabels


def _dense_samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    cases = [((5, 10), 0.0), ((9, 3), 0.1), ((2, 3, 17), 0.0), ((0, 4), 0.0), ((33, 129), 0.2)]
    return [Sample([shape, rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])], {"label_smoothing": s}) for shape, s in cases]


DENSE = define(
    "softmax_cross_entropy",
    inputs=("logits", "labels"),
    attrs={"label_smoothing": 0.0},
    infer=_infer_dense,
    fallback=_dense_numpy,
    vjp=_dense_vjp,
    residuals=1,
    reference=_dense_numpy,
    samples=_dense_samples,
)


def _dense_grad_numpy(dloss, p, labels, *, label_smoothing):
    weights = _smoothed(labels, label_smoothing)
    return (p * weights.sum(axis=-1, keepdims=True) - weights) * dloss[..., None]


DENSE_GRAD = define(
    "softmax_cross_entropy_grad",
    inputs=("dloss", "p", "labels"),
    attrs={"label_smoothing": 0.0},
    infer=_infer_grad,
    fallback=_dense_grad_numpy,
    vjp=_grad_vjp(lambda: DENSE_GRAD),
    reference=_dense_grad_numpy,
    samples=lambda: [Sample([s.inputs[0][:-1], s.inputs[0], s.inputs[1]], s.attrs) for s in _dense_samples()],
)


def softmax_cross_entropy(logits, labels, *, label_smoothing: float = 0.0) -> Tensor:
    """`-sum(labels * log_softmax(logits))` for each row of logits.

    Args:
        logits: Float tensor (..., classes).
        labels: One-hot rows or probabilities, of the same shape.
        label_smoothing: Share of each label spread evenly over the classes.

    Raises:
        ValueError: the shapes differ, or the smoothing is outside [0, 1).

    Reference: Szegedy et al. 2016 for the smoothing.
    """
    logits, labels = promote(logits, labels)
    return apply(DENSE, logits, labels, label_smoothing=float(label_smoothing))


# -- cross entropy of yes and no ------------------------------------------------------------------------------------------


def _infer_sigmoid(logits: Spec, labels: Spec) -> Spec:
    if labels != logits or not is_float(logits.dtype):
        raise ValueError(
            "[sigmoid_cross_entropy] logits and labels must be float tensors of one shape. "
            f"Received: {shapes(logits=logits, labels=labels)}. Reshape the labels to the logits."
        )
    return logits


def _sigmoid_numpy(logits, labels):
    return np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))


def _sigmoid_vjp(dys, inputs, outputs, attrs, needs):
    logits, labels = inputs
    by_logits = dys[0] * (call("sigmoid", logits) - labels) if needs[0] else None
    return by_logits, -(dys[0] * logits) if needs[1] else None


SIGMOID = define(
    "sigmoid_cross_entropy",
    inputs=("logits", "labels"),
    infer=_infer_sigmoid,
    fallback=_sigmoid_numpy,
    vjp=_sigmoid_vjp,
    reference=_sigmoid_numpy,
    samples=lambda: [Sample([(7,), (7,)]), Sample([(3, 11), (3, 11)]), Sample([(0, 2), (0, 2)]), Sample([(), ()])],
    elementwise=True,
)


def sigmoid_cross_entropy(logits, labels) -> Tensor:
    """`max(x, 0) - x * z + ln(1 + e^-|x|)`: the cross entropy of labels z with `sigmoid(x)`, element by element.

    Raises:
        ValueError: the shapes differ.
    """
    logits, labels = promote(logits, labels)
    return apply(SIGMOID, logits, labels)
