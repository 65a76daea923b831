"""Two-dimensional convolution of NHWC images and its gradients."""

from __future__ import annotations

from typing import Any

from pynn import config
from pynn.dtypes import as_whole, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.tensor import Tensor, promote
from pynn.errors import shapes
from pynn.ops.conv_numpy import (
    conv2d_grad_filter_numpy,
    conv2d_grad_filter_reference,
    conv2d_grad_input_numpy,
    conv2d_grad_input_reference,
    conv2d_numpy,
    conv2d_reference,
)
from pynn.ops.windows import checked_padding, image_windows, padding_ints, pair

__all__ = ["conv2d", "depthwise_conv2d"]

# `winograd`: 0 = direct convolution only, 1 = Winograd's F(4x4, 3x3) where the shape is worth it. `conv2d` fills in what
# `pynn.set_winograd` says, so that a captured call, its fused form and its gradients all have the same.
CONV_ATTRS = dict(strides=(1, 1), padding="valid", dilation=(1, 1), groups=1, winograd=0)


def conv_ints(attrs: dict) -> list[int]:
    """The attributes that every native convolution kernel takes, in its order."""
    padding = padding_ints(attrs["padding"])
    activation = int(attrs.get("activation", "linear") == "relu")
    return [*attrs["strides"], *padding, *attrs["dilation"], attrs["groups"], attrs["winograd"], activation]


def conv_pack(attrs: dict) -> tuple[list[int], list[float]]:
    """`pack` of every convolution record."""
    return conv_ints(attrs), []


def conv_attrs(attrs: dict) -> dict:
    """Those of `attrs` that say how to convolve."""
    return {name: attrs[name] for name in CONV_ATTRS}


def check_conv(name: str, x: Spec, filter: Spec, groups: int) -> None:
    """Raises what is wrong with the operands of a convolution, as the user should read it."""
    got = f"Received: {shapes(x=x, filter=filter)}" + (f", groups={groups}." if groups != 1 else ".")
    if not is_float(x.dtype) or x.dtype != filter.dtype:
        raise TypeError(f"[{name}] x and filter must be of one float type. Received: {x.dtype} and {filter.dtype}. Cast one of them.")
    if len(x.shape) != 4:
        raise ValueError(
            f"[{name}] the input has {len(x.shape)} axes and must have 4: (batch, height, width, channels). {got} "
            "Images without a channel axis get one with expand_dims(x, -1)."
        )
    if len(filter.shape) != 4:
        raise ValueError(f"[{name}] the filter has {len(filter.shape)} axes and must have 4: (kh, kw, in_channels, out_channels). {got}")
    channels, depth, out_channels = x.shape[3], filter.shape[2], filter.shape[3]
    if channels != depth * groups:
        wanted = "the input's last axis" if groups == 1 else "the input's last axis divided by the groups"
        raise ValueError(
            f"[{name}] the input has {channels} channels but the filter expects {depth * groups}. {got} "
            f"The filter's third axis must equal {wanted}."
        )
    if out_channels % groups:
        raise ValueError(f"[{name}] {out_channels} output channels can't be shared by {groups} groups. {got} Make it a multiple.")


def conv_out_shape(name: str, x: Spec, filter: Spec, *, strides, padding, dilation, groups, **_) -> tuple[int, ...]:
    """Shape of the convolution's result, after `check_conv`."""
    check_conv(name, x, filter, groups)
    rows, cols = image_windows(x.shape, filter.shape[:2], strides, dilation, padding)
    if rows.out_size < 1 or cols.out_size < 1:
        raise ValueError(
            f"[{name}] the filter doesn't fit into the image. Received: {shapes(x=x, filter=filter)}, dilation={dilation}, "
            f"padding={padding!r}. Use a smaller filter or padding='same'."
        )
    return (x.shape[0], rows.out_size, cols.out_size, filter.shape[3])


# -- records ------------------------------------------------------------------------------------------------------------


def _infer_conv2d(x: Spec, filter: Spec, **attrs) -> Spec:
    return Spec(conv_out_shape("conv2d", x, filter, **attrs), x.dtype)


def _conv2d_vjp(dys, inputs, outputs, attrs, needs):
    x, filter = inputs
    dx = apply(CONV2D_GRAD_INPUT, dys[0], filter, input_shape=x.shape, **attrs) if needs[0] else None
    dfilter = apply(CONV2D_GRAD_FILTER, x, dys[0], filter_shape=filter.shape, **attrs) if needs[1] else None
    return dx, dfilter


def _infer_grad_input(dy: Spec, filter: Spec, *, input_shape, **attrs) -> Spec:
    dx = Spec(tuple(input_shape), dy.dtype)
    wanted = conv_out_shape("conv2d_grad_input", dx, filter, **attrs)
    if dy.shape != wanted:
        raise ValueError(f"[conv2d_grad_input] dy must have the shape of conv2d's result. Received: {shapes(dy=dy)}, not {wanted}.")
    return dx


def _grad_input_vjp(dys, inputs, outputs, attrs, needs):
    dy, filter = inputs
    conv = conv_attrs(attrs)
    ddy = apply(CONV2D, dys[0], filter, **conv) if needs[0] else None
    dfilter = apply(CONV2D_GRAD_FILTER, dys[0], dy, filter_shape=filter.shape, **conv) if needs[1] else None
    return ddy, dfilter


def _infer_grad_filter(x: Spec, dy: Spec, *, filter_shape, **attrs) -> Spec:
    dfilter = Spec(tuple(filter_shape), x.dtype)
    wanted = conv_out_shape("conv2d_grad_filter", x, dfilter, **attrs)
    if dy.shape != wanted:
        raise ValueError(f"[conv2d_grad_filter] dy must have the shape of conv2d's result. Received: {shapes(dy=dy)}, not {wanted}.")
    return dfilter


def _grad_filter_vjp(dys, inputs, outputs, attrs, needs):
    x, dy = inputs
    conv = conv_attrs(attrs)
    dx = apply(CONV2D_GRAD_INPUT, dy, dys[0], input_shape=x.shape, **conv) if needs[0] else None
    ddy = apply(CONV2D, x, dys[0], **conv) if needs[1] else None
    return dx, ddy


# Input shape, filter shape, attributes.
_CASES = [
    ((2, 7, 9, 3), (3, 3, 3, 5), {}),
    ((3, 8, 8, 1), (3, 3, 1, 8), {"padding": "same"}),
    ((2, 9, 6, 8), (3, 2, 8, 17), {"strides": (2, 1), "padding": "same"}),
    ((7, 5, 5, 4), (3, 3, 4, 16), {"padding": ((2, 0), (1, 3))}),
    ((2, 10, 9, 2), (2, 3, 2, 4), {"dilation": (2, 3), "strides": (1, 2)}),
    ((1, 3, 3, 2), (5, 5, 2, 3), {"padding": "same"}),
    ((2, 1, 1, 6), (1, 1, 6, 33), {}),
    ((2, 6, 5, 6), (3, 3, 2, 9), {"groups": 3, "padding": "same"}),
    ((2, 6, 7, 19), (3, 3, 1, 19), {"groups": 19, "strides": (2, 2)}),
    ((0, 5, 5, 2), (3, 3, 2, 4), {}),
]


def _out_shape(x_shape, filter_shape, attrs):
    attrs = {**CONV_ATTRS, **attrs}
    rows, cols = image_windows(x_shape, filter_shape[:2], attrs["strides"], attrs["dilation"], attrs["padding"])
    return (x_shape[0], rows.out_size, cols.out_size, filter_shape[3])


CONV2D = define(
    "conv2d",
    inputs=("x", "filter"),
    attrs=CONV_ATTRS,
    infer=_infer_conv2d,
    fallback=conv2d_numpy,
    vjp=_conv2d_vjp,
    pack=conv_pack,
    reference=conv2d_reference,
    samples=lambda: [Sample([x, f], attrs) for x, f, attrs in _CASES],
    tfjs="Conv2D",
    onnx="Conv",
)

CONV2D_GRAD_INPUT = define(
    "conv2d_grad_input",
    inputs=("dy", "filter"),
    attrs={"input_shape": (), **CONV_ATTRS},
    infer=_infer_grad_input,
    fallback=conv2d_grad_input_numpy,
    vjp=_grad_input_vjp,
    pack=conv_pack,
    reference=conv2d_grad_input_reference,
    samples=lambda: [Sample([_out_shape(x, f, attrs), f], {"input_shape": x, **attrs}) for x, f, attrs in _CASES],
    tfjs="Conv2DBackpropInput",
    onnx="ConvTranspose",
)

CONV2D_GRAD_FILTER = define(
    "conv2d_grad_filter",
    inputs=("x", "dy"),
    attrs={"filter_shape": (), **CONV_ATTRS},
    infer=_infer_grad_filter,
    fallback=conv2d_grad_filter_numpy,
    vjp=_grad_filter_vjp,
    pack=conv_pack,
    reference=conv2d_grad_filter_reference,
    samples=lambda: [Sample([x, _out_shape(x, f, attrs)], {"filter_shape": f, **attrs}) for x, f, attrs in _CASES],
)


# -- functions ----------------------------------------------------------------------------------------------------------


def checked_conv_attrs(name: str, strides, padding, dilation, groups, winograd) -> dict:
    """The attributes of a convolution as records keep them."""
    count = as_whole(groups)
    if count is None or count < 1:
        raise ValueError(f"[{name}] groups must be a whole number above 0. Received: groups={groups!r}.")
    return dict(
        strides=pair(name, "strides", strides),
        padding=checked_padding(name, padding),
        dilation=pair(name, "dilation", dilation),
        groups=count,
        winograd=int(config.winograd() if winograd is None else winograd),
    )


def conv2d(
    x, filter, *, strides: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1, winograd: bool | None = None
) -> Tensor:  # fmt: skip
    """Cross-correlation of images with a filter.

    `y[n, oh, ow, co] = sum over kh, kw, ci of x[n, oh * sh - top + kh * dh, ow * sw - left + kw * dw, ci] * filter[kh, kw, ci, co]`,
    terms in the padding left out. With groups, output channels of group g see input channels of group g only.

    Args:
        x: Images (batch, height, width, in_channels).
        filter: (kh, kw, in_channels / groups, out_channels).
        strides: Distance between windows, in pixels; one number or (rows, columns).
        padding: `"valid"`, `"same"`, or `((top, bottom), (left, right))`.
        dilation: Distance between the taps of a window, in pixels.
        groups: Number of independent groups of channels.
        winograd: Whether Winograd's algorithm may be used for float32 3x3 filters of stride 1, where it is faster and results differ by
            rounding; None for what `pynn.set_winograd` says.

    Returns:
        (batch, out_height, out_width, out_channels).

    Raises:
        ValueError: channels don't match, or no window fits.

    Example:
        >>> import pynn as pn
        >>> pn.conv2d(pn.ones((1, 28, 28, 1)), pn.ones((3, 3, 1, 8))).shape
        (1, 26, 26, 8)

    Reference:
        Lavin and Gray (2016), "Fast algorithms for convolutional neural networks", for `winograd`.
    """
    x, filter = promote(x, filter)
    return apply(CONV2D, x, filter, **checked_conv_attrs("conv2d", strides, padding, dilation, groups, winograd))


def depthwise_conv2d(x, filter, *, strides: Any = 1, padding: Any = "valid", dilation: Any = 1) -> Tensor:
    """Convolution of each channel on its own: output channel `c * multiplier + m` sees input channel `c`.

    Args:
        x: Images (batch, height, width, channels).
        filter: (kh, kw, channels, multiplier).
        strides, padding, dilation: As for `conv2d`.

    Returns:
        (batch, out_height, out_width, channels * multiplier).

    Raises:
        ValueError: channels don't match, or no window fits.
    """
    x, filter = promote(x, filter)
    if len(x.shape) != 4 or len(filter.shape) != 4 or filter.shape[2] != x.shape[3]:
        raise ValueError(
            f"[depthwise_conv2d] the filter must be (kh, kw, channels, multiplier) with the input's channels. "
            f"Received: {shapes(x=x, filter=filter)}."
        )
    kh, kw, channels, multiplier = filter.shape
    flat = filter.reshape((kh, kw, 1, channels * multiplier))
    return apply(CONV2D, x, flat, **checked_conv_attrs("depthwise_conv2d", strides, padding, dilation, channels, False))
