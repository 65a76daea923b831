"""The ops of TensorFlow.js in pynn's words: what a call of one becomes here. Each takes the inputs and TensorFlow.js's arguments."""

from __future__ import annotations

import pynn as pn

# The same function under the same or another name, without arguments beside its inputs.
NAMES = {
    **{
        name: name
        for name in "acos asin elu erf log relu6 rsqrt sigmoid sinh square tan floor sign prelu relu softplus add maximum minimum".split()
    },
    "isInf": "isinf", "isNaN": "isnan", "sub": "subtract", "mul": "multiply", "div": "divide", "atan2": "atan2", "floorDiv": "floor_divide",
    "divNoNan": "divide_no_nan", "notEqual": "not_equal", "lessEqual": "less_equal", "logicalAnd": "logical_and", "logicalOr": "logical_or",
    "logSoftmax": "log_softmax",
}  # fmt: skip

# Cases of what pynn doesn't have under any name, and what that is called in TensorFlow.js.
MISSING = {
    "linalg_qr": "tf.linalg.qr",
    "signal_hannWindow": "tf.signal.hannWindow",
    "signal_stft": "tf.signal.stft",
}


def _reduced(function):
    def call(x, axis=None, keepDims=False):
        return function(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepDims)

    return call


def _window(strides, pad, dilations=1):
    return dict(strides=strides, padding=pad, dilation=dilations)


def _conv2d_transpose(x, filter, outputShape, strides, pad):
    layer = pn.layers.Conv2DTranspose(filter.shape[2], filter.shape[:2], strides=strides, padding=pad, use_bias=False)
    layer.build(x.shape)
    layer.kernel = filter
    y = layer.call(x)
    assert list(y.shape) == outputShape
    return y


def _resized(function):
    return lambda x, size, alignCorners, halfPixelCenters: function(x, size, alignCorners, halfPixelCenters)


def _norm(x, ord, axis):
    return pn.norm(x, float(ord.replace("Infinity", "inf")), axis)


def _strided_slice(x, begin, end, strides):
    return x[tuple(map(slice, begin, end, strides))]


def weighted(values, weights, reduction):
    """`tf.losses.computeWeightedLoss`; weights None are ones."""
    weights = pn.ones_like(values) if weights is None else pn.broadcast_to(weights, values.shape)
    values = values * weights
    if reduction == "NONE":
        return values
    return pn.sum(values) / (pn.sum(weights) if reduction == "MEAN" else pn.cast(pn.count_nonzero(weights), "float32"))


def _element_by_element(function, **fixed):
    """A loss of `tf.losses`, which has a value per element: ours over a last axis of length one."""

    def call(labels, predictions, weights=None, reduction="SUM_BY_NONZERO_WEIGHTS", **smoothing):
        values = function(labels[..., None], predictions[..., None], **fixed, **_smoothing(**smoothing))
        return weighted(values, weights, reduction)

    return call


def _smoothing(labelSmoothing=0.0):
    return {"label_smoothing": labelSmoothing} if labelSmoothing else {}


def _softmax_cross_entropy(labels, predictions, weights=None, reduction="SUM_BY_NONZERO_WEIGHTS", **smoothing):
    values = pn.losses.categorical_crossentropy(labels, predictions, from_logits=True, **_smoothing(**smoothing))
    return weighted(values, weights, reduction)


def _r2_score(labels, predictions):
    metric = pn.metrics.R2Score()
    metric.update_state(pn.reshape(labels, (-1, 1)), pn.reshape(predictions, (-1, 1)))
    return pn.cast(metric.result(), "float32")


LOSSES = {
    "absoluteDifference": _element_by_element(pn.losses.mean_absolute_error),
    "meanSquaredError": _element_by_element(pn.losses.mean_squared_error),
    "hingeLoss": _element_by_element(pn.losses.hinge),
    "logLoss": _element_by_element(pn.losses.binary_crossentropy),
    "sigmoidCrossEntropy": _element_by_element(pn.losses.binary_crossentropy, from_logits=True),
    "softmaxCrossEntropy": _softmax_cross_entropy,
}


def _value_and_grads(a, b):
    value, grads = pn.value_and_grads(lambda a, b: pn.sum(pn.tanh(a @ b)))(a, b)
    return (value, *grads)


CALLS = {
    "addN": lambda *xs: sum(xs[1:], xs[0]),
    "all": _reduced(pn.all),
    "argMax": lambda x, axis: pn.argmax(x, axis),
    "avgPool": lambda x, filterSize, strides, pad: pn.average_pool2d(x, filterSize, strides=strides, padding=pad),
    "avgPool3d": lambda x, filterSize, strides, pad: pn.layers.AveragePooling3D(filterSize, strides, pad)(x),
    "batchNorm": lambda x, mean, variance, offset, scale, varianceEpsilon: pn.batch_norm_inference(
        x, mean, variance, scale, offset, epsilon=varianceEpsilon
    ),
    "batchToSpaceND": lambda x, blockShape, crops: pn.batch_to_space(x, blockShape, crops),
    "broadcastTo": lambda x, shape: pn.broadcast_to(x, shape),
    "cast": lambda x, dtype: pn.cast(x, dtype),
    "conv2d": lambda x, filter, **window: pn.conv2d(x, filter, **_window(**window)),
    "conv2dTranspose": _conv2d_transpose,
    "cumprod": pn.cumprod,
    "cumsum": pn.cumsum,
    "denseBincount": lambda x, size, binaryOutput: pn.cast(pn.bincount(x, None, size, binaryOutput), "float32"),
    "depthToSpace": lambda x, blockSize, dataFormat: pn.depth_to_space(x, blockSize),
    "depthwiseConv2d": lambda x, filter, **window: pn.depthwise_conv2d(x, filter, **_window(**window)),
    "diag": pn.diag,
    "einsum": lambda *xs, equation: pn.einsum(equation, *xs),
    "expandDims": lambda x, axis: pn.expand_dims(x, axis),
    "eye": lambda numRows, numColumns: pn.eye(numRows, numColumns),
    "fused.depthwiseConv2d": lambda x, filter, bias, activation, **window: pn.activations.get(activation)(
        pn.depthwise_conv2d(x, filter, **_window(**window)) + bias
    ),
    "gather": lambda x, indices, axis=0, batchDims=0: pn.take(x, indices, axis, batchDims),
    "gatherND": pn.gather_nd,
    "image.flipLeftRight": lambda x: pn.flip(x, 2),
    "image.resizeBilinear": _resized(pn.resize_bilinear),
    "image.resizeNearestNeighbor": _resized(pn.resize_nearest_neighbor),
    "logSumExp": _reduced(pn.logsumexp),
    "matMul": lambda a, b, transposeA=False, transposeB=False: pn.matmul(a, b, transpose_a=transposeA, transpose_b=transposeB),
    "max": _reduced(pn.max),
    "maxPool": lambda x, filterSize, strides, pad: pn.max_pool2d(x, filterSize, strides=strides, padding=pad),
    "maxPool3d": lambda x, filterSize, strides, pad: pn.layers.MaxPooling3D(filterSize, strides, pad)(x),
    "mean": _reduced(pn.mean),
    "metrics.binaryAccuracy": pn.metrics.binary_accuracy,
    "metrics.meanSquaredError": pn.losses.mean_squared_error,
    "metrics.r2Score": _r2_score,
    "moments": lambda x, axis: (pn.mean(x, tuple(axis)), pn.var(x, tuple(axis))),
    "norm": _norm,
    "oneHot": lambda x, depth, onValue, offValue: pn.one_hot(x, depth, on=onValue, off=offValue, dtype="int32"),
    "prod": _reduced(pn.prod),
    "scatterND": pn.scatter_nd,
    "searchSorted": lambda x, values, side: pn.searchsorted(x, values, side),
    "split": lambda x, numOrSizeSplits, axis: pn.split(x, numOrSizeSplits, axis),
    "stack": lambda *xs, axis: pn.stack(xs, axis),
    "stridedSlice": _strided_slice,
    "unique": pn.unique,
    "unstack": lambda x, axis: pn.unstack(x, axis),
    "valueAndGrads": _value_and_grads,
    **{name: getattr(pn, ours) for name, ours in NAMES.items()},
    **{f"losses.{name}": loss for name, loss in LOSSES.items()},
}
