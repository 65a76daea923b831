"""Batch normalisation and layer normalisation, with statistics that keep their digits when the mean is large."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pynn.dtypes import is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tape import gradients_through
from pynn.engine.tensor import Tensor, as_tensor
from pynn.errors import shapes
from pynn.ops.shape import checked_axes, checked_axis, expand_dims, moveaxis, reshape

__all__ = ["batch_norm", "batch_norm_inference", "layer_norm"]


def _through(compose: Callable) -> Callable:
    """A gradient rule by differentiating `compose(*inputs, **attrs)`, the same computation in other ops."""

    def vjp(dys, inputs, outputs, attrs, needs):
        return gradients_through(lambda *copies: compose(*copies, **attrs), inputs, dys, needs)

    return vjp


def _check(name: str, x: Spec, **vectors: Spec | None) -> None:
    if not x.shape or not is_float(x.dtype):
        raise ValueError(f"[{name}] the input must be a float tensor with axes. Received: {x.dtype}{x.shape}.")
    for key, v in vectors.items():
        if v is not None and (v.shape != x.shape[-1:] or v.dtype != x.dtype):
            raise ValueError(
                f"[{name}] {key} must be a vector over the normalised axis, of the input's dtype. "
                f"Received: {shapes(x=x)} {x.dtype}, {key}.shape={v.shape} {v.dtype}. Expected: {key}.shape={x.shape[-1:]}."
            )


def _lead(x) -> tuple[int, ...]:
    return tuple(range(len(x.shape) - 1))


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


# -- batch_norm over all axes but the last --------------------------------------------------------------------------------


def _infer_batch_norm(x: Spec, gamma: Spec | None, beta: Spec | None, *, epsilon: float) -> tuple[Spec, ...]:
    _check("batch_norm", x, gamma=gamma, beta=beta)
    if x.size == 0:
        raise ValueError(f"[batch_norm] an empty batch has no mean. Received: {shapes(x=x)}. Skip batches without samples.")
    vector = Spec(x.shape[-1:], x.dtype)
    return x, vector, vector, vector


def _scaled(normal, gamma, beta):
    normal = normal if gamma is None else normal * gamma
    return normal if beta is None else normal + beta


def _batch_norm_numpy(x, gamma, beta, *, epsilon):
    axes = _lead(x)
    mean = x.mean(axis=axes)
    variance = ((x - mean) ** 2).mean(axis=axes)
    inverse = 1 / np.sqrt(variance + epsilon)
    return _scaled((x - mean) * inverse, gamma, beta), mean, variance, inverse


def _batch_norm_vjp(dys, inputs, outputs, attrs, needs):
    (dy, dmean, dvariance, dinverse), (x, gamma, _beta), (_, mean, _, inverse) = dys, inputs, outputs
    dx = dgamma = dbeta = None
    if dy is not None:
        dx, dgamma, dbeta = apply(BATCH_NORM_GRAD, dy, x, mean, inverse, gamma)
    share = x.shape[-1] / x.size
    if dinverse is not None:
        dvariance = _add(dvariance, dinverse * (inverse * inverse * inverse) * -0.5)
    if dvariance is not None:
        dx = _add(dx, (x - mean) * (dvariance * (2 * share)))
    if dmean is not None:
        dx = _add(dx, call("broadcast_to", dmean * share, x.shape))
    return dx, dgamma, dbeta


def _norm_samples(vectors: int, *, empty: bool = False):
    def samples() -> list[Sample]:
        cases = [(5, 3), (4, 8, 17), (200, 33), (129, 1), (2, 70)] + ([(0, 3)] if empty else [])
        return [Sample([s, *[s[-1:]] * vectors]) for s in cases] + [Sample([(6, 5), *[None] * vectors])]

    return samples


BATCH_NORM = define(
    "batch_norm",
    inputs=("x", "gamma?", "beta?"),
    attrs={"epsilon": 1e-3},
    infer=_infer_batch_norm,
    fallback=_batch_norm_numpy,
    vjp=_batch_norm_vjp,
    residuals=1,
    reference=_batch_norm_numpy,
    samples=_norm_samples(2),
)


def _infer_batch_norm_grad(dy: Spec, x: Spec, mean: Spec, inverse: Spec, gamma: Spec | None) -> tuple[Spec, ...]:
    return x, mean, mean


def _batch_norm_grad_numpy(dy, x, mean, inverse, gamma):
    axes = _lead(x)
    normal = (x - mean) * inverse
    dbeta, dgamma = dy.sum(axis=axes), (dy * normal).sum(axis=axes)
    share = x.shape[-1] / x.size
    dx = (dy - dbeta * share - normal * (dgamma * share)) * (inverse if gamma is None else inverse * gamma)
    return dx, dgamma, dbeta


def _batch_norm_grad_composed(dy, x, mean, inverse, gamma):
    axes = _lead(x)
    normal = (x - mean) * inverse
    dbeta, dgamma = call("sum", dy, axis=axes), call("sum", dy * normal, axis=axes)
    share = x.shape[-1] / x.size
    dx = (dy - dbeta * share - normal * (dgamma * share)) * (inverse if gamma is None else inverse * gamma)
    return dx, dgamma, dbeta


def _grad_samples(statistics: Callable) -> Callable:
    def samples() -> list[Sample]:
        rng = np.random.default_rng(0)
        cases = []
        for s in [(5, 3), (4, 8, 17), (200, 33), (129, 2)]:
            x = rng.normal(size=s)
            mean, inverse = statistics(x)
            cases.append(Sample([rng.normal(size=s), x, mean, inverse, rng.normal(size=s[-1:])]))
            cases.append(Sample([rng.normal(size=s), x, mean, inverse, None]))
        return cases

    return samples


def _column_statistics(x):
    return x.mean(axis=_lead(x)), 1 / np.sqrt(x.var(axis=_lead(x)) + 1e-3)


BATCH_NORM_GRAD = define(
    "batch_norm_grad",
    inputs=("dy", "x", "mean", "inverse", "gamma?"),
    infer=_infer_batch_norm_grad,
    fallback=_batch_norm_grad_numpy,
    vjp=_through(_batch_norm_grad_composed),
    reference=_batch_norm_grad_numpy,
    samples=_grad_samples(_column_statistics),
)


def _last(x, axis: int, name: str) -> tuple[Tensor, int]:
    """`x` with the axis moved to the end, and where it was."""
    x = as_tensor(x)
    axis = checked_axis(name, axis, len(x.shape))
    return (x if axis == len(x.shape) - 1 else moveaxis(x, axis, -1)), axis


def batch_norm(x, gamma=None, beta=None, *, epsilon: float = 1e-3, axis: int = -1) -> tuple[Tensor, Tensor, Tensor]:
    """`(y, mean, variance)`: `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, statistics over all axes but one.

    Args:
        x: Float tensor.
        gamma: Scale for each index of `axis`; None is 1.
        beta: Offset for each index of `axis`; None is 0.
        epsilon: Added to the variance.
        axis: The axis that keeps its own statistics.

    The variance is the biased one (divided by n).

    Raises:
        ValueError: gamma or beta don't fit the axis, or the batch is empty.

    Reference: Ioffe and Szegedy 2015.
    """
    x, place = _last(x, axis, "batch_norm")
    y, mean, variance = apply(BATCH_NORM, x, gamma, beta, epsilon=float(epsilon))
    return y if place == len(x.shape) - 1 else moveaxis(y, -1, place), mean, variance


# -- batch_norm with given statistics -----------------------------------------------------------------------------------


def _infer_inference(x: Spec, mean: Spec, variance: Spec, gamma, beta, *, epsilon: float) -> Spec:
    _check("batch_norm_inference", x, mean=mean, variance=variance, gamma=gamma, beta=beta)
    return x


def _inference_numpy(x, mean, variance, gamma, beta, *, epsilon):
    return _scaled((x - mean) / np.sqrt(variance + epsilon), gamma, beta)


def _inference_composed(x, mean, variance, gamma, beta, *, epsilon):
    return (_scaled((x - mean) * call("rsqrt", variance + epsilon), gamma, beta),)


def _inference_samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    cases = [s.inputs for s in _norm_samples(2, empty=True)()]
    return [Sample([x, x[-1:], rng.uniform(0.5, 2, x[-1:]), *vectors]) for x, *vectors in cases]


BATCH_NORM_INFERENCE = define(
    "batch_norm_inference",
    inputs=("x", "mean", "variance", "gamma?", "beta?"),
    attrs={"epsilon": 1e-3},
    infer=_infer_inference,
    fallback=_inference_numpy,
    vjp=_through(_inference_composed),
    reference=_inference_numpy,
    samples=_inference_samples,
    tfjs="FusedBatchNormV3",
    onnx="BatchNormalization",
)


def batch_norm_inference(x, mean, variance, gamma=None, beta=None, *, epsilon: float = 1e-3, axis: int = -1) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` with given statistics for each index of an axis.

    Raises:
        ValueError: a vector doesn't fit the axis.
    """
    x, place = _last(x, axis, "batch_norm_inference")
    y = apply(BATCH_NORM_INFERENCE, x, mean, variance, gamma, beta, epsilon=float(epsilon))
    return y if place == len(x.shape) - 1 else moveaxis(y, -1, place)


# -- layer_norm over the last axis ----------------------------------------------------------------------------------------


def _infer_layer_norm(x: Spec, gamma: Spec | None, beta: Spec | None, *, epsilon: float) -> tuple[Spec, ...]:
    _check("layer_norm", x, gamma=gamma, beta=beta)
    row = Spec(x.shape[:-1], x.dtype)
    return x, row, row


def _row_mean(x: np.ndarray) -> np.ndarray:
    """The mean of each row, as a column; 0 of rows without elements."""
    return x.sum(axis=-1, keepdims=True) / max(x.shape[-1], 1)


def _layer_norm_numpy(x, gamma, beta, *, epsilon):
    mean = _row_mean(x)
    inverse = 1 / np.sqrt(_row_mean((x - mean) ** 2) + epsilon)
    return _scaled((x - mean) * inverse, gamma, beta), mean[..., 0], inverse[..., 0]


def _layer_norm_vjp(dys, inputs, outputs, attrs, needs):
    (dy, dmean, dinverse), (x, gamma, _beta), (_, mean, inverse) = dys, inputs, outputs
    dx = dgamma = dbeta = None
    if dy is not None:
        dx, dgamma, dbeta = apply(LAYER_NORM_GRAD, dy, x, mean, inverse, gamma)
    if dinverse is not None:
        slope = dinverse * (inverse * inverse * inverse) * (-1 / max(x.shape[-1], 1))
        dx = _add(dx, (x - expand_dims(mean, -1)) * expand_dims(slope, -1))
    if dmean is not None:
        dx = _add(dx, call("broadcast_to", expand_dims(dmean * (1 / max(x.shape[-1], 1)), -1), x.shape))
    return dx, dgamma, dbeta


LAYER_NORM = define(
    "layer_norm",
    inputs=("x", "gamma?", "beta?"),
    attrs={"epsilon": 1e-3},
    infer=_infer_layer_norm,
    fallback=_layer_norm_numpy,
    vjp=_layer_norm_vjp,
    residuals=2,
    reference=_layer_norm_numpy,
    samples=_norm_samples(2, empty=True),
    onnx="LayerNormalization",
)


def _infer_layer_norm_grad(dy: Spec, x: Spec, mean: Spec, inverse: Spec, gamma: Spec | None) -> tuple[Spec, ...]:
    vector = Spec(x.shape[-1:], x.dtype)
    return x, vector, vector


def _layer_norm_grad_numpy(dy, x, mean, inverse, gamma):
    normal = (x - mean[..., None]) * inverse[..., None]
    g = dy if gamma is None else dy * gamma
    dx = (g - _row_mean(g) - normal * _row_mean(g * normal)) * inverse[..., None]
    return dx, (dy * normal).sum(axis=_lead(x)), dy.sum(axis=_lead(x))


def _layer_norm_grad_composed(dy, x, mean, inverse, gamma):
    inverse = expand_dims(inverse, -1)
    normal = (x - expand_dims(mean, -1)) * inverse
    g = dy if gamma is None else dy * gamma
    share = 1 / max(x.shape[-1], 1)
    products = call("sum", g * normal, axis=-1, keepdims=True) * share
    dx = (g - call("sum", g, axis=-1, keepdims=True) * share - normal * products) * inverse
    return dx, call("sum", dy * normal, axis=_lead(x)), call("sum", dy, axis=_lead(x))


def _row_statistics(x):
    return x.mean(axis=-1), 1 / np.sqrt(x.var(axis=-1) + 1e-3)


LAYER_NORM_GRAD = define(
    "layer_norm_grad",
    inputs=("dy", "x", "mean", "inverse", "gamma?"),
    infer=_infer_layer_norm_grad,
    fallback=_layer_norm_grad_numpy,
    vjp=_through(_layer_norm_grad_composed),
    reference=_layer_norm_grad_numpy,
    samples=_grad_samples(_row_statistics),
)


def layer_norm(x, gamma=None, beta=None, *, epsilon: float = 1e-3, axis: int | Sequence[int] = -1) -> Tensor:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, statistics over one or several trailing axes of each sample.

    Args:
        x: Float tensor.
        gamma: Scale, with the lengths of the normalised axes; None is 1.
        beta: Offset of the same shape; None is 0.
        epsilon: Added to the (biased) variance.
        axis: The last axis, or the last few; another single axis is moved to the end and back.

    Rows without elements stay as they are.

    Raises:
        ValueError: several axes aren't the last ones, or gamma or beta don't fit.

    Reference: Ba, Kiros and Hinton 2016.
    """
    x = as_tensor(x)
    axes = sorted(checked_axes("layer_norm", axis, len(x.shape)))
    if len(axes) == 1:
        moved = moveaxis(x, axes[0], -1)
        return moveaxis(apply(LAYER_NORM, moved, gamma, beta, epsilon=float(epsilon)), -1, axes[0])
    if axes != list(range(len(x.shape) - len(axes), len(x.shape))):
        raise ValueError(f"[layer_norm] several axes must be the last ones. Received: {shapes(x=x)}, axis={axis}. Transpose first.")
    width = math.prod(x.shape[axes[0] :])
    gamma, beta = (None if v is None else reshape(v, (width,)) for v in (gamma, beta))
    flat = reshape(x, (*x.shape[: axes[0]], width))
    return reshape(apply(LAYER_NORM, flat, gamma, beta, epsilon=float(epsilon)), x.shape)
