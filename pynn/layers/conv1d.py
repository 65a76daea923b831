"""Convolutions along one axis that are made of those of images: SeparableConv1D, DepthwiseConv1D, Conv1DTranspose."""

from __future__ import annotations

from pynn import ops
from pynn.layers.conv import Conv2DTranspose, DepthwiseConv2D, SeparableConv2D, conv2d_transpose
from pynn.layers.windows import to_channels_last


def _padding(layer):
    """The padding of images one row high that does along the row what the layer says."""
    left = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
    return ((0, 0), (left, 0)) if layer.padding == "causal" else layer.padding


def _depthwise(layer, x):
    kernel = ops.expand_dims(layer.depthwise_kernel, 0)
    words = dict(strides=(1, layer.strides[0]), padding=_padding(layer), dilation=(1, layer.dilation_rate[0]))
    return ops.depthwise_conv2d(ops.expand_dims(to_channels_last(x, layer.data_format), 1), kernel, **words)


class DepthwiseConv1D(DepthwiseConv2D):
    """Convolution of each channel of (batch, steps, channels) on its own; arguments as in `DepthwiseConv2D`, padding "causal" too."""

    rank = 1
    paddings = ("valid", "same", "causal")

    def call(self, x):
        return self.finish(ops.squeeze(_depthwise(self, x), 1))

    @classmethod
    def samples(cls):
        return [dict(kernel_size=3, depth_multiplier=2, padding="causal", input_shape=(2, 5, 3))]


class SeparableConv1D(SeparableConv2D):
    """`SeparableConv2D` along one axis: (batch, steps, channels) -> (batch, steps', filters); padding "causal" too.

    Weights depthwise_kernel (k, channels, depth_multiplier), pointwise_kernel (1, channels * depth_multiplier, filters), bias.
    """

    rank = 1
    paddings = ("valid", "same", "causal")

    def pointwise_shape(self, between):
        return (1, between, self.filters)

    def call(self, x):
        y = ops.conv2d(_depthwise(self, x), ops.expand_dims(self.pointwise_kernel, 0))
        return self.finish(ops.squeeze(y, 1))

    @classmethod
    def samples(cls):
        return [dict(filters=3, kernel_size=2, padding="same", activation="relu", input_shape=(2, 5, 2))]


class Conv1DTranspose(Conv2DTranspose):
    """`Conv2DTranspose` along one axis. Weights kernel (k, filters, channels), bias (filters,)."""

    rank = 1

    def call(self, x):
        x = ops.expand_dims(to_channels_last(x, self.data_format), 1)
        (length,) = self.spatial_shape((None, x.shape[2], None))
        shape = (x.shape[0], 1, length, self.filters)
        kernel = ops.expand_dims(self.kernel, 0)
        y = conv2d_transpose(x, kernel, shape, (1, self.strides[0]), self.padding, (1, self.dilation_rate[0]))
        return self.finish(ops.squeeze(y, 1))

    @classmethod
    def samples(cls):
        return [dict(filters=3, kernel_size=3, strides=2, input_shape=(2, 4, 2))]
