"""Arguments and lengths of layers that slide a window: convolutions and pooling."""

from __future__ import annotations

from pynn import ops
from pynn.layers.arguments import one_of

FORMATS = ("channels_last", "channels_first")


def checked_data_format(layer, value: str | None) -> str:
    """`value` as one of "channels_last", "channels_first"; TensorFlow.js's spelling is understood."""
    value = {None: "channels_last", "channelsLast": "channels_last", "channelsFirst": "channels_first"}.get(value, value)
    return one_of(layer, "data_format", value, FORMATS)


def window_length(layer, length: int | None, size: int, stride: int, padding: str, dilation: int = 1) -> int | None:
    """Number of windows along an axis.

    Raises:
        ValueError: none fits.
    """
    if length is None:
        return None
    if padding in ("same", "causal"):
        return -(-length // stride)
    reach = (size - 1) * dilation + 1
    if length < reach:
        first = " If that axis is the channels, move them to the end: x.transpose(0, 2, 3, 1)." if length in (1, 3) else ""
        raise ValueError(
            f"[{layer.label}] a window of {reach} doesn't fit into an axis of length {length}. "
            f"Make the window smaller, or set padding='same'.{first if '2D' in type(layer).__name__ else ''}"
        )
    return (length - reach) // stride + 1


def channels_last_shape(shape, data_format: str) -> tuple:
    """A shape (batch, channels, ...) as (batch, ..., channels), if it is the former."""
    return tuple(shape) if data_format == "channels_last" else (shape[0], *shape[2:], shape[1])


def channels_back(shape, data_format: str) -> tuple:
    """The inverse of `channels_last_shape`."""
    return tuple(shape) if data_format == "channels_last" else (shape[0], shape[-1], *shape[1:-1])


def to_channels_last(x, data_format: str):
    """The tensor with its channels at the end."""
    return x if data_format == "channels_last" else ops.moveaxis(x, 1, -1)


def from_channels_last(x, data_format: str):
    """The tensor with its channels where the user has them."""
    return x if data_format == "channels_last" else ops.moveaxis(x, -1, 1)
