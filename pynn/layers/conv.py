"""Convolutions: Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D, Conv2DTranspose."""

from __future__ import annotations

from typing import Any

from pynn import activations, ops
from pynn.engine.apply import apply
from pynn.engine.op import REGISTRY
from pynn.layers import weight_settings
from pynn.layers.arguments import one_of, positive, several
from pynn.layers.base import InputSpec, Layer
from pynn.layers.windows import (
    channels_back,
    channels_last_shape,
    checked_data_format,
    from_channels_last,
    to_channels_last,
    window_length,
)

_AXES = {
    1: "(batch, steps, channels)",
    2: "(batch, height, width, channels)",
    3: "(batch, depth, height, width, channels)",
}


class _Conv(Layer):
    """What convolutions share; `rank` is the number of axes the window moves along."""

    rank = 2
    paddings = ("valid", "same")

    def __init__(self, kernel_size, strides, padding, data_format, dilation_rate, groups, use_bias, common):
        super().__init__(**common)
        self.kernel_size = several(self, "kernel_size", kernel_size, self.rank)
        self.strides = several(self, "strides", strides, self.rank)
        self.dilation_rate = several(self, "dilation_rate", dilation_rate, self.rank)
        self.padding = one_of(self, "padding", str(padding).lower(), self.paddings)
        self.data_format = checked_data_format(self, data_format)
        self.groups = positive(self, "groups", groups)
        self.use_bias = use_bias
        self.bias = None
        self.input_spec = InputSpec(ndim=self.rank + 2, words=self._axes())

    def _axes(self) -> str:
        return _AXES[self.rank] if self.data_format == "channels_last" else "(batch, channels, ...)"

    def _advice(self, shape):
        if len(shape) != self.rank + 1:
            return ""
        return " Add an axis of one channel with x[..., None]."

    def _channels(self, input_shape) -> int:
        axis = -1 if self.data_format == "channels_last" else 1
        channels = input_shape[axis]
        if channels is not None:
            self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels}, words=self._axes())
        return channels

    def build_bias(self, filters: int) -> None:
        """Adds the bias, if there is one."""
        if self.use_bias:
            self.bias = weight_settings.add(self, "bias", (filters,))

    def finish(self, y):
        """Bias and activation, channels brought back to their place."""
        if self.bias is not None:
            y = y + self.bias
        if self.data_format == "channels_last" or activations.is_elementwise(self.activation):
            return from_channels_last(self.activation(y), self.data_format)
        return self.activation(from_channels_last(y, self.data_format))  # sees what the user sees: softmax is along the width

    def spatial_shape(self, shape) -> tuple:
        """Lengths of the output's spatial axes for a channels-last input shape."""
        numbers = zip(shape[1:-1], self.kernel_size, self.strides, self.dilation_rate, strict=True)
        return tuple(window_length(self, n, k, s, self.padding, d) for n, k, s, d in numbers)

    def output_channels(self, channels: int) -> int:
        """Channels of the output for `channels` of the input."""
        return self.filters

    def compute_output_shape(self, input_shape):
        shape = channels_last_shape(input_shape, self.data_format)
        return channels_back((shape[0], *self.spatial_shape(shape), self.output_channels(shape[-1])), self.data_format)


class Conv2D(_Conv):
    """Convolution (cross-correlation) of images with `filters` learned filters, plus bias, through an activation.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the window, or one number for both.
        strides: Distance between windows.
        padding: "valid" (windows inside the image) or "same" (output length = ceil(input length / stride)).
        data_format: "channels_last" or "channels_first".
        dilation_rate: Distance between the pixels of a window.
        groups: Number of independent groups of channels.
        activation: A name or function.
        use_bias: Whether there is a bias.
        kernel_initializer, bias_initializer: Initial values.
        kernel_regularizer, bias_regularizer: Penalties.
        kernel_constraint, bias_constraint: Applied after each update.

    Shapes: (batch, height, width, channels) -> (batch, height', width', filters); weights kernel (kh, kw, channels / groups, filters),
    bias (filters,).

    Example:
        >>> import pynn as pn
        >>> pn.layers.Conv2D(8, 3, activation="relu")(pn.zeros((2, 28, 28, 1))).shape
        (2, 26, 26, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation=None,
        use_bias: bool = True,
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **common,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, groups, use_bias, common)
        weight_settings.keep(self, locals())
        self.filters = positive(self, "filters", filters)
        if self.filters % self.groups:
            raise ValueError(f"[{self.label}] filters must be a multiple of groups. Received: filters={filters}, groups={groups}.")

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels is not None and channels % self.groups:
            raise ValueError(
                f"[{self.label}] the input's channels must be a multiple of groups. Received: {channels} channels, groups={self.groups}."
            )
        per_group = None if channels is None else channels // self.groups
        self.kernel = weight_settings.add(self, "kernel", (*self.kernel_size, per_group, self.filters))
        self.build_bias(self.filters)

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        words = dict(strides=self.strides, padding=self.padding, dilation=self.dilation_rate, groups=self.groups)
        return self.finish(ops.conv2d(x, self.kernel, **words))

    @classmethod
    def samples(cls):
        return [
            dict(filters=3, kernel_size=3, input_shape=(2, 6, 7, 2)),
            dict(filters=4, kernel_size=(2, 3), strides=2, padding="same", activation="relu", input_shape=(2, 5, 6, 3)),
            dict(filters=4, kernel_size=2, dilation_rate=2, groups=2, use_bias=False, input_shape=(1, 6, 6, 4)),
            dict(filters=2, kernel_size=3, data_format="channels_first", input_shape=(2, 3, 5, 6)),
        ]


class Conv1D(Conv2D):
    """Convolution along the steps of sequences; arguments as in `Conv2D`, and padding "causal": a step sees only itself and earlier ones.

    Shapes: (batch, steps, channels) -> (batch, steps', filters); weights kernel (k, channels / groups, filters), bias (filters,).

    Example:
        >>> import pynn as pn
        >>> pn.layers.Conv1D(4, 3)(pn.zeros((2, 10, 3))).shape
        (2, 8, 4)
    """

    rank = 1
    paddings = ("valid", "same", "causal")

    def call(self, x):
        x = ops.expand_dims(to_channels_last(x, self.data_format), 1)
        (size,), (stride,), (dilation,) = self.kernel_size, self.strides, self.dilation_rate
        padding = ((0, 0), ((size - 1) * dilation, 0)) if self.padding == "causal" else self.padding
        kernel = ops.expand_dims(self.kernel, 0)
        y = ops.conv2d(x, kernel, strides=(1, stride), padding=padding, dilation=(1, dilation), groups=self.groups)
        return self.finish(ops.squeeze(y, 1))

    @classmethod
    def samples(cls):
        return [
            dict(filters=3, kernel_size=3, input_shape=(2, 6, 2)),
            dict(filters=2, kernel_size=2, padding="causal", dilation_rate=2, activation="tanh", input_shape=(2, 5, 3)),
            dict(filters=2, kernel_size=3, strides=2, padding="same", input_shape=(2, 7, 3)),
        ]


class DepthwiseConv2D(_Conv):
    """Convolution of each channel on its own, with `depth_multiplier` filters for each; arguments as in `Conv2D`.

    Weights depthwise_kernel (kh, kw, channels, depth_multiplier), bias (channels * depth_multiplier,).

    Example:
        >>> import pynn as pn
        >>> pn.layers.DepthwiseConv2D(3, padding="same")(pn.zeros((2, 28, 28, 8))).shape
        (2, 28, 28, 8)
    """

    def __init__(
        self,
        kernel_size,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation=None,
        use_bias: bool = True,
        *,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer=None,
        bias_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None,
        **common,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, 1, use_bias, common)
        weight_settings.keep(self, locals())
        self.depth_multiplier = positive(self, "depth_multiplier", depth_multiplier)

    def output_channels(self, channels):
        return channels * self.depth_multiplier

    def build(self, input_shape):
        channels = self._channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = weight_settings.add(self, "depthwise_kernel", shape, "depthwise")
        self.build_bias(channels * self.depth_multiplier)

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        words = dict(strides=self.strides, padding=self.padding, dilation=self.dilation_rate)
        return self.finish(ops.depthwise_conv2d(x, self.depthwise_kernel, **words))

    @classmethod
    def samples(cls):
        return [
            dict(kernel_size=3, input_shape=(2, 5, 6, 2)),
            dict(kernel_size=2, strides=2, depth_multiplier=2, padding="same", input_shape=(2, 5, 5, 3)),
        ]


class SeparableConv2D(_Conv):
    """A depthwise convolution followed by a 1x1 convolution that mixes the channels; arguments as in `Conv2D`.

    Weights depthwise_kernel (kh, kw, channels, depth_multiplier), pointwise_kernel (1, 1, channels * depth_multiplier, filters), bias.

    Example:
        >>> import pynn as pn
        >>> pn.layers.SeparableConv2D(16, 3)(pn.zeros((2, 28, 28, 8))).shape
        (2, 26, 26, 16)
    """

    def __init__(
        self,
        filters: int,
        kernel_size,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation=None,
        use_bias: bool = True,
        *,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer=None,
        pointwise_regularizer=None,
        bias_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None,
        bias_constraint=None,
        **common,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, 1, use_bias, common)
        weight_settings.keep(self, locals())
        self.filters = positive(self, "filters", filters)
        self.depth_multiplier = positive(self, "depth_multiplier", depth_multiplier)

    def build(self, input_shape):
        channels = self._channels(input_shape)
        between = channels * self.depth_multiplier
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = weight_settings.add(self, "depthwise_kernel", shape, "depthwise")
        self.pointwise_kernel = weight_settings.add(self, "pointwise_kernel", self.pointwise_shape(between), "pointwise")
        self.build_bias(self.filters)

    def pointwise_shape(self, between: int) -> tuple[int, ...]:
        """Shape of the kernel that mixes `between` channels."""
        return (1, 1, between, self.filters)

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        words = dict(strides=self.strides, padding=self.padding, dilation=self.dilation_rate)
        y = ops.depthwise_conv2d(x, self.depthwise_kernel, **words)
        return self.finish(ops.conv2d(y, self.pointwise_kernel))

    @classmethod
    def samples(cls):
        return [dict(filters=3, kernel_size=3, depth_multiplier=2, activation="relu", input_shape=(2, 5, 6, 2))]


def conv2d_transpose(x, kernel, shape, strides, padding, dilation):
    """The gradient of a convolution with respect to its input of this shape: kernel (kh, kw, output channels, input channels)."""
    words = dict(input_shape=shape, strides=strides, padding=padding, dilation=dilation)
    return apply(REGISTRY["conv2d_grad_input"], x, kernel, **words)


class Conv2DTranspose(Conv2D):
    """The transpose of a convolution: each input pixel adds a filter-sized patch to the output.

    Args as in `Conv2D`, and:
        output_padding: By how much the output exceeds its shortest length, per axis, below the stride; None for the lengths below.

    Output length: `input * stride` for padding "same", `(input - 1) * stride + kernel` at least for "valid". With `output_padding`
    `(input - 1) * stride + output_padding`, plus the kernel's length for "valid", plus one for "same" if that length is odd.
    Weights kernel (kh, kw, filters, channels), bias (filters,).

    Example:
        >>> import pynn as pn
        >>> pn.layers.Conv2DTranspose(4, 2, strides=2)(pn.zeros((2, 7, 7, 8))).shape
        (2, 14, 14, 4)
    """

    def __init__(self, *args, output_padding=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.output_padding = None if output_padding is None else self._checked(output_padding)

    def _checked(self, output_padding) -> tuple[int, ...]:
        padding = several(self, "output_padding", output_padding, self.rank, minimum=0)
        for p, k, s, d in zip(padding, self.kernel_size, self.strides, self.dilation_rate, strict=True):
            least = int(self.padding == "same" and (k - 1) * d % 2 == 1)
            if not least <= p < s:
                raise ValueError(
                    f"[{self.label}] output_padding must be below the stride and, for padding 'same' with a kernel of even length, above "
                    f"zero. Received: output_padding={output_padding}, strides={self.strides}, kernel_size={self.kernel_size}. "
                    "Leave it out for an output of input * stride."
                )
        return padding

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = weight_settings.add(self, "kernel", (*self.kernel_size, self.filters, channels))
        self.build_bias(self.filters)

    def spatial_shape(self, shape):
        def length(n, k, s, d, beyond):
            if n is None:
                return None
            k = (k - 1) * d + 1
            if beyond is None:
                return n * s if self.padding == "same" else n * s + max(k - s, 0)
            return (n - 1) * s + beyond + (k % 2 if self.padding == "same" else k)

        beyond = self.output_padding or [None] * self.rank
        numbers = zip(shape[1:-1], self.kernel_size, self.strides, self.dilation_rate, beyond, strict=True)
        return tuple(length(*v) for v in numbers)

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        shape = (x.shape[0], *self.spatial_shape(x.shape), self.filters)
        return self.finish(conv2d_transpose(x, self.kernel, shape, self.strides, self.padding, self.dilation_rate))

    @classmethod
    def samples(cls):
        return [
            dict(filters=3, kernel_size=3, input_shape=(2, 4, 5, 2)),
            dict(filters=2, kernel_size=3, strides=2, padding="same", input_shape=(1, 3, 4, 2)),
            dict(filters=2, kernel_size=2, strides=3, input_shape=(1, 3, 3, 2)),
            dict(filters=2, kernel_size=3, strides=2, padding="same", output_padding=0, input_shape=(1, 3, 2, 2)),
        ]
