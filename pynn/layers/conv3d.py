"""Convolution and pooling of volumes, composed of those of images: the depth axis is unrolled into channels or frames."""

from __future__ import annotations

from pynn import ops
from pynn.layers.conv import Conv2D, Conv2DTranspose, conv2d_transpose
from pynn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from pynn.layers.windows import from_channels_last, to_channels_last, window_length
from pynn.ops.windows import axis_windows


class Conv3D(Conv2D):
    """Convolution of volumes; arguments as in `Conv2D`, windows with three lengths.

    Shapes: (batch, depth, height, width, channels) -> (batch, depth', height', width', filters);
    weights kernel (kd, kh, kw, channels / groups, filters), bias (filters,).
    """

    rank = 3

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        batch, depth, height, width, channels = x.shape
        taps, stride, dilation = self.kernel_size[0], self.strides[0], self.dilation_rate[0]
        if self.padding == "same":
            _, *sides = axis_windows(depth, taps, stride, dilation, self.padding, 0)
            x = ops.pad(x, [(0, 0), sides, (0, 0), (0, 0), (0, 0)])
        frames = window_length(self, depth, taps, stride, self.padding, dilation)
        last = (frames - 1) * stride + 1
        # Every output frame sees its taps as channels, the taps of a group of channels side by side.
        seen = ops.stack([x[:, k * dilation : k * dilation + last : stride] for k in range(taps)], axis=-1)
        seen = ops.reshape(seen, (batch * frames, height, width, channels * taps))
        kernel = ops.transpose(self.kernel, (1, 2, 3, 0, 4))
        kernel = ops.reshape(kernel, (*self.kernel_size[1:], -1, self.filters))
        words = dict(strides=self.strides[1:], padding=self.padding, dilation=self.dilation_rate[1:], groups=self.groups)
        y = ops.conv2d(seen, kernel, **words)
        return self.finish(ops.reshape(y, (batch, frames, *y.shape[1:])))

    @classmethod
    def samples(cls):
        return [
            dict(filters=3, kernel_size=2, input_shape=(2, 3, 4, 5, 2)),
            dict(filters=4, kernel_size=3, strides=2, padding="same", groups=2, input_shape=(1, 5, 4, 5, 2)),
            dict(filters=2, kernel_size=2, dilation_rate=(2, 1, 1), data_format="channels_first", input_shape=(1, 2, 4, 3, 3)),
        ]


class Conv3DTranspose(Conv2DTranspose):
    """The transpose of `Conv3D`; arguments as in `Conv2DTranspose`. Weights kernel (kd, kh, kw, filters, channels), bias (filters,)."""

    rank = 3

    def _frames_of_tap(self, x, k: int, image: tuple[int, int], total: int):
        """What tap k adds: transposed images, `stride` apart, shifted by the tap."""
        batch, depth = x.shape[:2]
        stride, shift = self.strides[0], k * self.dilation_rate[0]
        flat = ops.reshape(x, (batch * depth, *x.shape[2:]))
        shape = (batch * depth, *image, self.filters)
        y = conv2d_transpose(flat, self.kernel[k], shape, self.strides[1:], self.padding, self.dilation_rate[1:])
        y = ops.reshape(y, (batch, depth, 1, *shape[1:]))
        y = ops.pad(y, [(0, 0), (0, 0), (0, stride - 1), (0, 0), (0, 0), (0, 0)])
        y = ops.reshape(y, (batch, depth * stride, *shape[1:]))[:, : (depth - 1) * stride + 1]
        after = total - shift - y.shape[1]
        return ops.pad(y, [(0, 0), (shift, after), (0, 0), (0, 0), (0, 0)])

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        frames, *image = self.spatial_shape(x.shape)
        taps, stride, dilation = self.kernel_size[0], self.strides[0], self.dilation_rate[0]
        before = axis_windows(frames, taps, stride, dilation, self.padding, 0).before
        total = max((x.shape[1] - 1) * stride + (taps - 1) * dilation + 1, before + frames)
        y = self._frames_of_tap(x, 0, tuple(image), total)
        for k in range(1, taps):
            y = y + self._frames_of_tap(x, k, tuple(image), total)
        return self.finish(y[:, before : before + frames])

    @classmethod
    def samples(cls):
        return [
            dict(filters=3, kernel_size=2, input_shape=(2, 2, 3, 3, 2)),
            dict(filters=2, kernel_size=3, strides=2, padding="same", input_shape=(1, 2, 3, 2, 2)),
        ]


class MaxPooling3D(MaxPooling2D):
    """The largest value of each window of volumes; arguments as in `MaxPooling2D`."""

    rank = 3

    def call(self, x):
        x = to_channels_last(x, self.data_format)
        batch, depth, _, _, channels = x.shape
        y = self.pooled(ops.reshape(x, (batch * depth, *x.shape[2:])), self.pool_size[1:], self.strides[1:])
        image = y.shape[1:3]
        y = ops.reshape(y, (batch, depth, image[0] * image[1], channels))
        y = self.pooled(y, (self.pool_size[0], 1), (self.strides[0], 1))
        return from_channels_last(ops.reshape(y, (batch, y.shape[1], *image, channels)), self.data_format)

    @classmethod
    def samples(cls):
        return [
            dict(input_shape=(2, 4, 5, 4, 3)),
            dict(pool_size=3, strides=2, padding="same", input_shape=(1, 4, 5, 3, 2)),
        ]


class AveragePooling3D(AveragePooling2D):
    """The mean of each window of volumes; padding doesn't count. Arguments as in `MaxPooling2D`."""

    rank = 3
    call = MaxPooling3D.call

    @classmethod
    def samples(cls):
        return MaxPooling3D.samples()


class GlobalMaxPooling3D(GlobalMaxPooling2D):
    """The largest value of each channel: (batch, depth, height, width, channels) -> (batch, channels).

    `keepdims` keeps the reduced axes with length 1.
    """

    rank = 3

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 2, 3, 2, 3))]


class GlobalAveragePooling3D(GlobalAveragePooling2D):
    """The mean of each channel: (batch, depth, height, width, channels) -> (batch, channels).

    `keepdims` keeps the reduced axes with length 1.
    """

    rank = 3

    @classmethod
    def samples(cls):
        return [dict(input_shape=(2, 2, 3, 2, 3))]
