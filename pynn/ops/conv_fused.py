"""Convolutions together with what follows them: bias, relu, and the 2x2 maximum pooling of image classifiers.

Each equals its `decompose` bit for bit on the native kernels, and so do its gradients.
"""

from __future__ import annotations

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.op import REGISTRY, Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor
from pynn.errors import shapes
from pynn.ops.conv import (
    CONV2D,
    CONV2D_GRAD_FILTER,
    CONV2D_GRAD_INPUT,
    CONV_ATTRS,
    conv_attrs,
    conv_out_shape,
    conv_pack,
)
from pynn.ops.conv_numpy import (
    conv2d_grad_filter_numpy,
    conv2d_grad_input_numpy,
    conv2d_numpy,
    conv2d_reference,
)
from pynn.ops.pool import MAX_POOL2D, MAX_POOL2D_GRAD, POOL_ATTRS

__all__: list[str] = []

DEAD = 4  # residual of a window in which relu let nothing through


def _check_bias(name: str, filter: Spec, bias: Spec) -> None:
    if bias.shape != filter.shape[3:] or bias.dtype != filter.dtype:
        raise ValueError(f"[{name}] the bias must have one number per output channel. Received: {shapes(filter=filter, bias=bias)}.")


# -- convolution + bias + activation --------------------------------------------------------------------------------------


def _infer_bias_act(x: Spec, filter: Spec, bias: Spec, *, activation, **attrs) -> Spec:
    shape = conv_out_shape("conv2d_bias_act", x, filter, **attrs)
    _check_bias("conv2d_bias_act", filter, bias)
    return Spec(shape, x.dtype)


def _bias_act_numpy(x, filter, bias, *, activation, **attrs):
    y = conv2d_numpy(x, filter, **attrs) + bias
    return np.maximum(y, 0) if activation == "relu" else y


def _bias_act_vjp(dys, inputs, outputs, attrs, needs):
    x, filter, _ = inputs
    conv = conv_attrs(attrs)
    dz = dys[0] if attrs["activation"] == "linear" else apply(REGISTRY["relu_grad"], dys[0], outputs[0])
    dx = apply(CONV2D_GRAD_INPUT, dz, filter, input_shape=x.shape, **conv) if needs[0] else None
    dfilter = apply(CONV2D_GRAD_FILTER, x, dz, filter_shape=filter.shape, **conv) if needs[1] else None
    return dx, dfilter, _bias_gradient(dz) if needs[2] else None


def _bias_gradient(dz: Tensor) -> Tensor:
    return call("sum", dz, axis=(0, 1, 2))


def _bias_act_decompose(inputs, attrs):
    x, filter, bias = inputs
    y = call("add", apply(CONV2D, x, filter, **conv_attrs(attrs)), bias)
    return call("relu", y) if attrs["activation"] == "relu" else y


def _bias_act_reference(x, filter, bias, *, activation, **attrs):
    y = conv2d_reference(x, filter, **attrs) + bias
    return np.maximum(y, 0) if activation == "relu" else y


_CASES = [
    ((2, 7, 9, 3), (3, 3, 3, 5), {}),
    ((3, 8, 8, 1), (3, 3, 1, 8), {"padding": "same"}),
    ((3, 12, 11, 1), (5, 5, 1, 40), {}),
    ((2, 9, 6, 8), (3, 2, 8, 17), {"strides": (2, 1), "padding": "same"}),
    ((2, 6, 5, 6), (3, 3, 2, 9), {"groups": 3, "padding": "same"}),
    ((0, 5, 5, 2), (3, 3, 2, 4), {}),
]

CONV2D_BIAS_ACT = define(
    "conv2d_bias_act",
    inputs=("x", "filter", "bias"),
    attrs={**CONV_ATTRS, "activation": "linear"},
    infer=_infer_bias_act,
    fallback=_bias_act_numpy,
    vjp=_bias_act_vjp,
    decompose=_bias_act_decompose,
    pack=conv_pack,
    reference=_bias_act_reference,
    samples=lambda: [
        Sample([x, f, f[3:]], {**attrs, "activation": activation}) for x, f, attrs in _CASES for activation in ("linear", "relu")
    ],
    tfjs="FusedConv2D",
)


# -- convolution + bias + relu + 2x2 maximum ------------------------------------------------------------------------------


def can_fuse_pool(pool: dict, pooled_shape: tuple[int, ...]) -> bool:
    """Whether a pooling with these attributes makes one `conv2d_bias_relu_pool` with the convolution before it.

    Of one channel they don't: `sum` adds its pixels as one row, and the fused gradient of the bias as a column.
    """
    return pool["pool_size"] == (2, 2) and pool["strides"] == (2, 2) and pool["padding"] == "valid" and pooled_shape[3] != 1


def _pooled(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[1] // 2, shape[2] // 2, shape[3])


def _infer_pool(x: Spec, filter: Spec, bias: Spec, **attrs) -> tuple[Spec, Spec]:
    shape = _pooled(conv_out_shape("conv2d_bias_relu_pool", x, filter, **attrs))
    _check_bias("conv2d_bias_relu_pool", filter, bias)
    if shape[1] < 1 or shape[2] < 1:
        raise ValueError(f"[conv2d_bias_relu_pool] the result is too small to be pooled. Received: {shapes(x=x, filter=filter)}.")
    return Spec(shape, x.dtype), Spec(shape, np.dtype(np.uint8))


def _pool_numpy(x, filter, bias, **attrs):
    z = np.maximum(conv2d_numpy(x, filter, **attrs) + bias, 0)
    y, argmax = MAX_POOL2D.fallback(z, **POOL_ATTRS)
    return y, np.where(y > 0, argmax, DEAD).astype(np.uint8)


def _pool_vjp(dys, inputs, outputs, attrs, needs):
    x, filter, _ = inputs
    dy, residual = dys[0], outputs[1]
    dx = apply(POOL_GRAD_INPUT, dy, residual, filter, input_shape=x.shape, **attrs) if needs[0] else None
    dfilter = dbias = None
    if needs[1] or needs[2]:
        dfilter, dbias = apply(POOL_GRAD_PARAMS, x, dy, residual, filter_shape=filter.shape, **attrs)
    return dx, dfilter, dbias


def _pool_decompose(inputs, attrs):
    return apply(MAX_POOL2D, _bias_act_decompose(inputs, {**attrs, "activation": "relu"}), **POOL_ATTRS)


def _pool_reference(x, filter, bias, **attrs):
    y, argmax = MAX_POOL2D.reference(_bias_act_reference(x, filter, bias, activation="relu", **attrs), **POOL_ATTRS)
    return y, np.where(y > 0, argmax, DEAD)


_POOL_CASES = _CASES + [((2, 5, 5, 16), (2, 2, 16, 16), {"dilation": (1, 2)}), ((5, 4, 4, 2), (1, 1, 2, 3), {"padding": ((1, 0), (0, 0))})]

CONV2D_BIAS_RELU_POOL = define(
    "conv2d_bias_relu_pool",
    inputs=("x", "filter", "bias"),
    attrs=CONV_ATTRS,
    infer=_infer_pool,
    fallback=_pool_numpy,
    vjp=_pool_vjp,
    decompose=_pool_decompose,
    residuals=1,
    pack=conv_pack,
    reference=_pool_reference,
    samples=lambda: [Sample([x, f, f[3:]], attrs) for x, f, attrs in _POOL_CASES],
)


# -- its gradients --------------------------------------------------------------------------------------------------------


def _expanded(dy, residual, x_shape, filter_shape, dtype, attrs):
    """The gradient of the convolution's result: `dy` at the place that the residual names, nowhere where relu was shut."""
    shape = conv_out_shape("conv2d_bias_relu_pool", Spec(tuple(x_shape), dtype), Spec(tuple(filter_shape), dtype), **attrs)
    return dict(input_shape=shape, **POOL_ATTRS), (dy, residual)


def _expand(dy: Tensor, residual: Tensor, x_shape, filter_shape, attrs) -> Tensor:
    pool, operands = _expanded(dy, residual, x_shape, filter_shape, dy.dtype, attrs)
    return apply(MAX_POOL2D_GRAD, *operands, **pool)


def _expand_numpy(dy, residual, x_shape, filter_shape, attrs, kernel="fallback"):
    pool, operands = _expanded(dy, residual, x_shape, filter_shape, dy.dtype, attrs)
    return getattr(MAX_POOL2D_GRAD, kernel)(*operands, **pool)


def _check_grads(name: str, dy: Spec, residual: Spec, wanted: tuple[int, ...]) -> None:
    if dy.shape != wanted or residual.shape != wanted:
        raise ValueError(f"[{name}] dy must have the shape of the pooled result. Received: {shapes(dy=dy)}, not {wanted}.")


def _infer_grad_params(x: Spec, dy: Spec, residual: Spec, *, filter_shape, **attrs) -> tuple[Spec, Spec]:
    wanted = _pooled(conv_out_shape("conv2d_bias_relu_pool_grad_params", x, Spec(tuple(filter_shape), x.dtype), **attrs))
    _check_grads("conv2d_bias_relu_pool_grad_params", dy, residual, wanted)
    return Spec(tuple(filter_shape), x.dtype), Spec(tuple(filter_shape[3:]), x.dtype)


def _grad_params_numpy(x, dy, residual, *, filter_shape, **attrs):
    dz = _expand_numpy(dy, residual, x.shape, filter_shape, attrs)
    return conv2d_grad_filter_numpy(x, dz, filter_shape=filter_shape, **attrs), dz.sum(axis=(0, 1, 2))


def _grad_params_decompose(inputs, attrs):
    x, dy, residual = inputs
    conv = conv_attrs(attrs)
    dz = _expand(dy, residual, x.shape, attrs["filter_shape"], conv)
    return apply(CONV2D_GRAD_FILTER, x, dz, filter_shape=attrs["filter_shape"], **conv), _bias_gradient(dz)


def _grad_params_reference(x, dy, residual, *, filter_shape, **attrs):
    dz = _expand_numpy(dy, residual, x.shape, filter_shape, attrs, "reference")
    return CONV2D_GRAD_FILTER.reference(x, dz, filter_shape=filter_shape, **attrs), dz.sum(axis=(0, 1, 2))


def _infer_grad_input(dy: Spec, residual: Spec, filter: Spec, *, input_shape, **attrs) -> Spec:
    dx = Spec(tuple(input_shape), dy.dtype)
    wanted = _pooled(conv_out_shape("conv2d_bias_relu_pool_grad_input", dx, filter, **attrs))
    _check_grads("conv2d_bias_relu_pool_grad_input", dy, residual, wanted)
    return dx


def _grad_input_numpy(dy, residual, filter, *, input_shape, **attrs):
    dz = _expand_numpy(dy, residual, input_shape, filter.shape, attrs)
    return conv2d_grad_input_numpy(dz, filter, input_shape=input_shape, **attrs)


def _grad_input_decompose(inputs, attrs):
    dy, residual, filter = inputs
    conv = conv_attrs(attrs)
    dz = _expand(dy, residual, attrs["input_shape"], filter.shape, conv)
    return apply(CONV2D_GRAD_INPUT, dz, filter, input_shape=attrs["input_shape"], **conv)


def _grad_input_reference(dy, residual, filter, *, input_shape, **attrs):
    dz = _expand_numpy(dy, residual, input_shape, filter.shape, attrs, "reference")
    return CONV2D_GRAD_INPUT.reference(dz, filter, input_shape=input_shape, **attrs)


def _grad_samples(of_params: bool) -> list[Sample]:
    samples = []
    rng = np.random.default_rng(0)
    for x, f, attrs in _POOL_CASES:
        complete = {**CONV_ATTRS, **attrs}
        dtype = np.dtype(np.float64)
        shape = _pooled(conv_out_shape("conv2d_bias_relu_pool", Spec(x, dtype), Spec(f, dtype), **complete))
        residual = rng.integers(0, DEAD + 1, size=shape, dtype=np.uint8)
        if of_params:
            samples.append(Sample([x, shape, residual], {"filter_shape": f, **complete}))
        else:
            samples.append(Sample([shape, residual, f], {"input_shape": x, **complete}))
    return samples


POOL_GRAD_PARAMS = define(
    "conv2d_bias_relu_pool_grad_params",
    inputs=("x", "dy", "residual"),
    attrs={"filter_shape": (), **CONV_ATTRS},
    infer=_infer_grad_params,
    fallback=_grad_params_numpy,
    decompose=_grad_params_decompose,
    pack=conv_pack,
    reference=_grad_params_reference,
    samples=lambda: _grad_samples(True),
)

POOL_GRAD_INPUT = define(
    "conv2d_bias_relu_pool_grad_input",
    inputs=("dy", "residual", "filter"),
    attrs={"input_shape": (), **CONV_ATTRS},
    infer=_infer_grad_input,
    fallback=_grad_input_numpy,
    decompose=_grad_input_decompose,
    pack=conv_pack,
    reference=_grad_input_reference,
    samples=lambda: _grad_samples(False),
)
