"""Maximum pooling as loops: one pass over the images, where NumPy needs several for each position of the window."""

from __future__ import annotations

import numpy as np

from pynn.engine.loops import Loop


@Loop
def largest(x, y, argmax, window, strides, before):
    """The largest value of each window into `y`, its number in the window into `argmax`; the first NaN wins."""
    height, width, channels = x.shape[1:]
    for n in range(y.shape[0]):
        for oh in range(y.shape[1]):
            for ow in range(y.shape[2]):
                found = False
                for kh in range(window[0]):
                    ih = oh * strides[0] - before[0] + kh
                    for kw in range(window[1]):
                        iw = ow * strides[1] - before[1] + kw
                        if ih < 0 or ih >= height or iw < 0 or iw >= width:
                            continue
                        number = kh * window[1] + kw
                        for c in range(channels):
                            value, best = x[n, ih, iw, c], y[n, oh, ow, c]
                            better = not found or value > best or (value != value and best == best)
                            y[n, oh, ow, c] = value if better else best
                            argmax[n, oh, ow, c] = number if better else argmax[n, oh, ow, c]
                        found = True


@Loop
def give_back(dy, argmax, dx, window, strides, before):
    """Adds each gradient in `dy` to the pixel of `dx` that `argmax` names."""
    height, width = dx.shape[1:3]
    for n in range(dy.shape[0]):
        for oh in range(dy.shape[1]):
            for ow in range(dy.shape[2]):
                for c in range(dy.shape[3]):
                    number = np.int64(argmax[n, oh, ow, c])
                    if 0 <= number < window[0] * window[1]:
                        ih = oh * strides[0] - before[0] + number // window[1]
                        iw = ow * strides[1] - before[1] + number % window[1]
                        if 0 <= ih < height and 0 <= iw < width:
                            dx[n, ih, iw, c] += dy[n, oh, ow, c]


@Loop
def take(x, argmax, y, window, strides, before):
    """The pixel of `x` that `argmax` names, for each window; 0 where there is none."""
    height, width = x.shape[1:3]
    for n in range(y.shape[0]):
        for oh in range(y.shape[1]):
            for ow in range(y.shape[2]):
                for c in range(y.shape[3]):
                    number = np.int64(argmax[n, oh, ow, c])
                    y[n, oh, ow, c] = 0
                    if 0 <= number < window[0] * window[1]:
                        ih = oh * strides[0] - before[0] + number // window[1]
                        iw = ow * strides[1] - before[1] + number % window[1]
                        if 0 <= ih < height and 0 <= iw < width:
                            y[n, oh, ow, c] = x[n, ih, iw, c]
