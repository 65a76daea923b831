"""Convolution in NumPy: the fallback kernels, and the references of the tests."""

from __future__ import annotations

import math

import numpy as np

from pynn.ops.windows import image_windows, padded_images, tap_slice

BLOCK_BYTES = 32 << 20  # of windows laid out side by side at a time


def _taps(images_shape, filter_shape, strides, padding, dilation):
    """(windows of both axes, [(kh, kw, index of the padded image positions under that tap)])"""
    rows, cols = image_windows(images_shape, filter_shape[:2], strides, dilation, padding)
    taps = [
        (kh, kw, (slice(None), tap_slice(rows, strides[0], kh * dilation[0]), tap_slice(cols, strides[1], kw * dilation[1])))
        for kh in range(filter_shape[0])
        for kw in range(filter_shape[1])
    ]
    return (rows, cols), taps


def _group_slices(groups: int, depth: int, columns: int):
    """Input channels and output channels of each group."""
    return [(slice(g * depth, (g + 1) * depth), slice(g * columns, (g + 1) * columns)) for g in range(groups)]


def _window_rows(x, filter_shape, windows, strides, dilation):
    """Windows of padded images as rows: (batch, out height, out width, kh * kw * channels)."""
    spans = tuple((k - 1) * d + 1 for k, d in zip(filter_shape, dilation, strict=False))
    view = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(1, 2))
    view = view[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    view = view[:, : windows[0].out_size, : windows[1].out_size]
    return view.transpose(0, 1, 2, 4, 5, 3).reshape(*view.shape[:3], -1)


def conv2d_numpy(x, filter, *, strides, padding, dilation, groups, **_):
    """Windows as rows times the filter as a matrix, a block of images at a time; depthwise tap by tap."""
    windows, taps = _taps(x.shape, filter.shape, strides, padding, dilation)
    kh, kw, depth, out_channels = filter.shape
    y = np.zeros((x.shape[0], windows[0].out_size, windows[1].out_size, out_channels), x.dtype)
    padded = padded_images(x, *windows)
    if groups == x.shape[3] == out_channels:
        for i, j, at in taps:
            y += padded[at] * filter[i, j, 0]
        return y
    images = max(1, BLOCK_BYTES // max(1, y.shape[1] * y.shape[2] * kh * kw * depth * x.itemsize))
    for ins, outs in _group_slices(groups, depth, out_channels // groups):
        matrix = filter[..., outs].reshape(kh * kw * depth, out_channels // groups)
        for n in range(0, x.shape[0], images):
            rows = _window_rows(padded[n : n + images, ..., ins], (kh, kw), windows, strides, dilation)
            y[n : n + images, ..., outs] = rows @ matrix
    return y


def conv2d_grad_input_numpy(dy, filter, *, input_shape, strides, padding, dilation, groups, **_):
    """Each tap hands its share of the output gradient to the pixels it saw."""
    windows, taps = _taps(input_shape, filter.shape, strides, padding, dilation)
    rows, cols = windows
    height, width = input_shape[1:3]
    dx = np.zeros((dy.shape[0], height + rows.before + rows.after, width + cols.before + cols.after, input_shape[3]), dy.dtype)
    for i, j, at in taps:
        if groups == input_shape[3] == filter.shape[3]:
            dx[at] += dy * filter[i, j, 0]
            continue
        for ins, outs in _group_slices(groups, filter.shape[2], filter.shape[3] // groups):
            dx[at][..., ins] += dy[..., outs] @ filter[i, j, :, outs].T
    return dx[:, rows.before : rows.before + height, cols.before : cols.before + width]


def conv2d_grad_filter_numpy(x, dy, *, filter_shape, strides, padding, dilation, groups, **_):
    """For each tap, the pixels it saw (transposed) times the output gradient."""
    windows, taps = _taps(x.shape, filter_shape, strides, padding, dilation)
    padded = padded_images(x, *windows)
    depth, columns, pixels = filter_shape[2], filter_shape[3] // groups, math.prod(dy.shape[:3])
    dfilter = np.zeros(filter_shape, x.dtype)
    for i, j, at in taps:
        seen = padded[at]
        if groups == x.shape[3] == filter_shape[3]:
            dfilter[i, j, 0] = (seen * dy).sum(axis=(0, 1, 2))
            continue
        for ins, outs in _group_slices(groups, depth, columns):
            dfilter[i, j, :, outs] = seen[..., ins].reshape(pixels, depth).T @ dy[..., outs].reshape(pixels, columns)
    return dfilter


def _reference_terms(input_shape, filter_shape, strides, padding, dilation, groups):
    """((oh, ow), (ih, iw), (kh, kw), input channels, output channels) of every product there is."""
    rows, cols = image_windows(input_shape, filter_shape[:2], strides, dilation, padding)
    for oh in range(rows.out_size):
        for ow in range(cols.out_size):
            for kh in range(filter_shape[0]):
                for kw in range(filter_shape[1]):
                    ih = oh * strides[0] - rows.before + kh * dilation[0]
                    iw = ow * strides[1] - cols.before + kw * dilation[1]
                    if 0 <= ih < input_shape[1] and 0 <= iw < input_shape[2]:
                        for ins, outs in _group_slices(groups, filter_shape[2], filter_shape[3] // groups):
                            yield (oh, ow), (ih, iw), (kh, kw), ins, outs


def conv2d_reference(x, filter, *, strides, padding, dilation, groups, **_):
    """The definition, term by term."""
    rows, cols = image_windows(x.shape, filter.shape[:2], strides, dilation, padding)
    y = np.zeros((x.shape[0], rows.out_size, cols.out_size, filter.shape[3]))
    for (oh, ow), (ih, iw), (kh, kw), ins, outs in _reference_terms(x.shape, filter.shape, strides, padding, dilation, groups):
        y[:, oh, ow, outs] += x[:, ih, iw, ins] @ filter[kh, kw, :, outs]
    return y


def conv2d_grad_input_reference(dy, filter, *, input_shape, strides, padding, dilation, groups, **_):
    """The definition, term by term."""
    dx = np.zeros((dy.shape[0], *input_shape[1:]))
    for (oh, ow), (ih, iw), (kh, kw), ins, outs in _reference_terms(input_shape, filter.shape, strides, padding, dilation, groups):
        dx[:, ih, iw, ins] += dy[:, oh, ow, outs] @ filter[kh, kw, :, outs].T
    return dx


def conv2d_grad_filter_reference(x, dy, *, filter_shape, strides, padding, dilation, groups, **_):
    """The definition, term by term."""
    dfilter = np.zeros(filter_shape)
    for (oh, ow), (ih, iw), (kh, kw), ins, outs in _reference_terms(x.shape, filter_shape, strides, padding, dilation, groups):
        dfilter[kh, kw, :, outs] += x[:, ih, iw, ins].T @ dy[:, oh, ow, outs]
    return dfilter
