"""Convolution kernels: against the definition, over odd shapes, on every target; fused against unfused, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from op_checks import TARGETS, assert_close, assert_same_at_the_end_of_memory, check_gradients, check_threads, check_values, native

from pynn import config
from pynn.engine import kernels
from pynn.engine.apply import apply
from pynn.engine.op import Spec, infer_outputs
from pynn.engine.tape import Tape
from pynn.engine.tensor import tensor
from pynn.ops.conv import CONV2D, CONV2D_GRAD_FILTER, CONV2D_GRAD_INPUT, CONV_ATTRS, conv2d, depthwise_conv2d
from pynn.ops.conv_fused import CONV2D_BIAS_ACT, CONV2D_BIAS_RELU_POOL, DEAD, POOL_GRAD_INPUT, POOL_GRAD_PARAMS
from pynn.ops.pool import MAX_POOL2D, MAX_POOL2D_GRAD, POOL_ATTRS
from pynn.program.function import function

PLAIN = [CONV2D, CONV2D_GRAD_INPUT, CONV2D_GRAD_FILTER]
FUSED = [CONV2D_BIAS_ACT, CONV2D_BIAS_RELU_POOL, POOL_GRAD_PARAMS, POOL_GRAD_INPUT]

# x, filter, attributes: what the samples of the records leave out.
SHAPES = [
    ((13, 6, 6, 16), (3, 3, 16, 33), {}),
    ((3, 30, 30, 24), (3, 3, 24, 8), {"padding": "same"}),
    ((2, 5, 6, 1), (5, 5, 1, 70), {"padding": "same"}),
    ((1, 1, 1, 4), (3, 3, 4, 7), {"padding": "same"}),
    ((5, 4, 4, 3), (4, 4, 3, 9), {}),
    ((9, 1, 12, 5), (1, 5, 5, 6), {"strides": (1, 3)}),
    ((2, 11, 8, 4), (3, 3, 4, 5), {"strides": (3, 2), "dilation": (2, 1), "padding": ((2, 1), (0, 3))}),
    ((2, 8, 8, 2), (2, 2, 2, 3), {"strides": (3, 3), "padding": "same"}),
    ((2, 6, 6, 8), (3, 3, 4, 8), {"groups": 2, "strides": (2, 1), "dilation": (1, 2), "padding": "same"}),
    ((2, 7, 6, 40), (3, 3, 1, 40), {"groups": 40, "padding": "same"}),
    ((2, 7, 6, 3), (3, 3, 1, 6), {"groups": 3}),
    ((9, 12, 11, 70), (7, 7, 1, 70), {"groups": 70, "padding": "same"}),
    ((2, 3, 2, 19), (5, 7, 1, 19), {"groups": 19, "padding": "same"}),
    ((3, 9, 14, 33), (3, 5, 1, 33), {"groups": 33, "strides": (2, 3), "padding": ((0, 2), (3, 1))}),
    ((2, 10, 9, 16), (3, 4, 1, 16), {"groups": 16, "dilation": (2, 3), "padding": "same"}),
    ((1, 9, 9, 64), (3, 3, 1, 64), {"groups": 64}),
    ((2, 4, 5, 8), (2, 2, 1, 8), {"groups": 8, "padding": ((3, 3), (4, 4))}),
    ((2, 90, 70, 16), (3, 3, 16, 4), {"padding": "same"}),
    ((2, 9, 10, 150), (1, 1, 150, 300), {}),
    ((3, 7, 9, 5), (2, 3, 5, 330), {"strides": (2, 2), "padding": "same"}),
    ((2, 5, 6, 12), (3, 3, 3, 280), {"groups": 4, "padding": "same"}),
    ((1, 28, 7, 1), (3, 3, 1, 1), {}),
    ((1, 87, 5, 1), (3, 3, 1, 1), {}),
    ((3, 9, 8, 19), (3, 3, 19, 1), {"padding": "same"}),
    ((3, 6, 9, 17), (5, 3, 17, 3), {"padding": ((5, 0), (0, 4))}),
    ((2, 11, 9, 3), (3, 4, 3, 40), {"dilation": (2, 3), "padding": "same"}),
    ((2, 12, 9, 30), (3, 2, 30, 4), {"dilation": (3, 2), "padding": ((4, 0), (0, 3))}),
    ((2, 7, 8, 23), (2, 3, 23, 34), {"strides": (2, 1), "padding": "same"}),
    ((5, 8, 7, 33), (1, 1, 33, 2), {}),
    ((3, 9, 7, 8), (1, 1, 8, 19), {}),
    ((2, 31, 17, 7), (1, 1, 7, 1), {"padding": "same"}),
    ((2, 7, 9, 40), (3, 2, 20, 6), {"groups": 2}),
    ((2, 9, 8, 18), (3, 3, 18, 7), {"dilation": (1, 2), "strides": (2, 1)}),
    # small images with many channels, of which nearly every pixel has taps of its own
    ((1, 6, 5, 40), (5, 5, 40, 70), {"padding": "same"}),
    ((2, 5, 7, 33), (4, 5, 33, 40), {"strides": (2, 1), "padding": "same"}),
    ((1, 4, 6, 64), (3, 3, 64, 50), {"dilation": (2, 1), "padding": "same"}),
    ((2, 4, 3, 40), (3, 5, 20, 36), {"groups": 2, "padding": "same"}),
]


def normal(shape, dtype=np.float32, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def operands(x_shape, filter_shape, attrs, dtype):
    """x, filter and an output gradient."""
    x, filter = normal(x_shape, dtype), normal(filter_shape, dtype, 1)
    out = infer_outputs(CONV2D, (Spec(x.shape, x.dtype), Spec(filter.shape, x.dtype)), CONV2D.complete(attrs))[0]
    return x, filter, normal(out.shape, dtype, 2)


def calls(x, filter, dy, attrs):
    """The three passes of a convolution: (record, operands, attributes)."""
    return [
        (CONV2D, (x, filter), attrs),
        (CONV2D_GRAD_INPUT, (dy, filter), {"input_shape": x.shape, **attrs}),
        (CONV2D_GRAD_FILTER, (x, dy), {"filter_shape": filter.shape, **attrs}),
    ]


@pytest.mark.parametrize("op", PLAIN + FUSED, ids=lambda op: op.name)
def test_values_of_samples(op):
    check_values(op, tolerance=60)


@pytest.mark.parametrize("op", PLAIN + [CONV2D_BIAS_ACT, POOL_GRAD_PARAMS, POOL_GRAD_INPUT], ids=lambda op: op.name)
def test_gradients(op):
    check_gradients(op, second=op in PLAIN)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", SHAPES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_odd_shapes(case, dtype, target):
    x_shape, filter_shape, attrs = case
    for op, inputs, all_attrs in calls(*operands(x_shape, filter_shape, attrs, dtype), attrs):
        wide = [a.astype(np.float64) for a in inputs]
        wanted = op.fallback(*wide, **op.complete(all_attrs))
        found = native(op, inputs, all_attrs, target)
        assert_close(found, (wanted,), 100, op.name)
        assert_same_at_the_end_of_memory(op, inputs, all_attrs, target, found)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("padding", ["same", "valid", ((1, 0), (1, 0)), ((0, 2), (0, 1)), ((1, 1), (3, 2))], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_rows_of_any_width(stride, padding, target):
    """Sliding windows with and without borders: full tiles, small ones, and rows that are too short for either."""
    attrs = {"groups": 48, "strides": (stride, stride), "padding": padding}
    for width in range(3, 24):
        for op, inputs, all_attrs in calls(*operands((2, 4, width, 48), (3, 3, 1, 48), attrs, np.float32), attrs):
            wanted = op.fallback(*[a.astype(np.float64) for a in inputs], **op.complete(all_attrs))
            assert_close(native(op, inputs, all_attrs, target), (wanted,), 100, f"{op.name} of width {width}")


@pytest.mark.parametrize("target", TARGETS)
def test_depthwise_beyond_the_caches(target):
    x_shape, filter_shape, attrs = (1, 150, 250, 64), (3, 3, 1, 64), {"groups": 64, "padding": "same"}
    for op, inputs, all_attrs in calls(*operands(x_shape, filter_shape, attrs, np.float32), attrs):
        wanted = op.fallback(*[a.astype(np.float64) for a in inputs], **op.complete(all_attrs))
        assert_close(native(op, inputs, all_attrs, target), (wanted,), 200, op.name)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", SHAPES[-4:], ids=lambda case: f"{case[0]}-{case[1]}")
def test_an_image_alone_has_the_bits_that_it_has_among_others(case, target):
    x_shape, filter_shape, attrs = case
    x, filter, dy = operands((40, *x_shape[1:]), filter_shape, attrs, np.float32)
    many, one = (calls(images, filter, gradient, attrs)[:2] for images, gradient in ((x, dy), (x[:1].copy(), dy[:1].copy())))
    for (op, inputs, all_attrs), (_, alone, its_attrs) in zip(many, one, strict=True):
        assert native(op, alone, its_attrs, target)[0].tobytes() == native(op, inputs, all_attrs, target)[0][:1].tobytes(), op.name


THREADED = [
    ((9, 13, 13, 32), (3, 3, 32, 64), {}),
    ((2, 28, 28, 8), (3, 3, 8, 24), {"padding": "same"}),
    ((5, 30, 28, 40), (3, 3, 1, 40), {"groups": 40, "padding": "same"}),
    ((5, 8, 9, 24), (3, 3, 24, 300), {"strides": (2, 2), "padding": "same"}),
    ((1, 9, 8, 40), (5, 5, 40, 200), {"padding": "same"}),
]


@pytest.mark.parametrize("case", THREADED, ids=lambda case: f"{case[0]}-{case[1]}")
def test_threads_give_the_same_bits(case):
    x_shape, filter_shape, attrs = case
    for op, inputs, all_attrs in calls(*operands(x_shape, filter_shape, attrs, np.float32), attrs):
        check_threads(op, inputs, all_attrs)


FEW_OUTPUTS = [
    ((3, 11, 9, 8), (3, 3, 8, 16), {"padding": "same"}),
    ((9, 6, 7, 6), (5, 5, 6, 16), {}),
    ((5, 8, 8, 33), (1, 1, 33, 16), {"strides": (2, 2)}),
    ((2, 9, 8, 20), (2, 2, 20, 16), {"dilation": (2, 2)}),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", FEW_OUTPUTS, ids=lambda case: f"{case[0]}-{case[1]}")
def test_the_gradient_by_few_outputs_has_the_bits_of_the_one_by_many(case, target):
    """A vector holds inputs in one and outputs in the other."""
    x_shape, filter_shape, attrs = case
    x, _, dy = operands(x_shape, filter_shape, attrs, np.float32)
    whole = native(CONV2D_GRAD_FILTER, (x, dy), {"filter_shape": filter_shape, **attrs}, target)[0]
    for columns in range(1, 8):
        few_attrs = {"filter_shape": (*filter_shape[:3], columns), **attrs}
        few = native(CONV2D_GRAD_FILTER, (x, np.ascontiguousarray(dy[..., :columns])), few_attrs, target)[0]
        assert few.tobytes() == np.ascontiguousarray(whole[..., :columns]).tobytes()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "case", [((3, 9, 7, 33), (1, 1, 33, 8), {}), ((2, 19, 16, 21), (3, 2, 21, 8), {"strides": (2, 2), "padding": "same"})], ids=str
)
def test_few_columns_have_the_bits_of_many(case, dtype, target):
    """A vector holds pixels in one and columns in the other; biases and relu included."""
    x_shape, filter_shape, attrs = case
    x, filter, bias = normal(x_shape, dtype), normal(filter_shape, dtype, 1), normal(filter_shape[3:], dtype, 2)
    attrs = {**attrs, "activation": "relu"}
    whole = native(CONV2D_BIAS_ACT, (x, filter, bias), attrs, target)[0]
    for columns in range(1, 8):
        few = native(CONV2D_BIAS_ACT, (x, np.ascontiguousarray(filter[..., :columns]), bias[:columns]), attrs, target)[0]
        assert few.tobytes() == np.ascontiguousarray(whole[..., :columns]).tobytes()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("window", [(3, 3), (1, 1)])
@pytest.mark.parametrize("shape", [(0, 4, 8), (2, 0, 8), (2, 4, 0), (2, 64, 0)], ids=str)
def test_nothing_to_convolve(shape, window, target):
    """No images, or no channels on either side."""
    batch, ins, outs = shape
    attrs = {"padding": "same"}
    for op, inputs, all_attrs in calls(*operands((batch, 12, 12, ins), (*window, ins, outs), attrs, np.float32), attrs):
        wanted = op.fallback(*inputs, **op.complete(all_attrs))
        np.testing.assert_array_equal(native(op, inputs, all_attrs, target)[0], wanted)


def test_rows_do_not_depend_on_the_batch():
    x, filter = normal((11, 9, 7, 5)), normal((3, 3, 5, 12))
    whole = native(CONV2D, (x, filter), {"padding": "same"})[0]
    for n in (1, 2, 7):
        part = native(CONV2D, (x[:n], filter), {"padding": "same"})[0]
        assert part.tobytes() == whole[:n].tobytes()


# -- fused ------------------------------------------------------------------------------------------------------------

POOLED = [
    ((4, 28, 28, 1), (3, 3, 1, 32), {}),
    ((7, 13, 13, 8), (3, 3, 8, 20), {}),
    ((2, 30, 31, 4), (5, 5, 4, 8), {"padding": "same"}),
    ((3, 9, 9, 2), (2, 2, 2, 3), {"strides": (2, 1), "dilation": (1, 2)}),
    ((5, 11, 9, 12), (3, 3, 12, 3), {"padding": "same"}),
    ((3, 12, 13, 21), (5, 4, 21, 1), {"padding": ((1, 3), (0, 2))}),
    ((9, 6, 7, 18), (5, 5, 18, 20), {"padding": "same"}),
    ((5, 9, 13, 20), (3, 3, 20, 56), {"padding": "same", "winograd": 1}),
    ((6, 13, 13, 32), (3, 3, 32, 64), {"winograd": 1}),
    ((3, 22, 18, 32), (3, 3, 32, 40), {"padding": "same", "winograd": 1}),
]


def unfused(x, filter, bias, attrs, target):
    """conv2d, + bias, relu, then pooling; each on its own."""
    z = native(CONV2D, (x, filter), attrs, target)[0] + bias
    return np.maximum(z, 0), z


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", POOLED, ids=lambda case: f"{case[0]}-{case[1]}")
def test_bias_and_relu_are_fused_without_a_change_of_bits(case, target):
    x, filter, _ = operands(*case, np.float32)
    bias = normal(filter.shape[3:], seed=3)
    relu, linear = unfused(x, filter, bias, case[2], target)
    for activation, wanted in (("relu", relu), ("linear", linear)):
        fused = native(CONV2D_BIAS_ACT, (x, filter, bias), {**case[2], "activation": activation}, target)[0]
        np.testing.assert_array_equal(fused, wanted)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", POOLED, ids=lambda case: f"{case[0]}-{case[1]}")
def test_pool_is_fused_without_a_change_of_bits(case, target):
    x_shape, filter_shape, attrs = case
    x, filter, _ = operands(x_shape, filter_shape, attrs, np.float32)
    bias = normal(filter_shape[3:], seed=3)
    activated, _ = unfused(x, filter, bias, attrs, target)
    y, argmax = native(MAX_POOL2D, (activated,), POOL_ATTRS, target)
    fused, residual = native(CONV2D_BIAS_RELU_POOL, (x, filter, bias), attrs, target)
    np.testing.assert_array_equal(fused, y)
    np.testing.assert_array_equal(residual, np.where(y > 0, argmax, DEAD))

    dy = normal(y.shape, seed=4)
    dz = native(MAX_POOL2D_GRAD, (dy, argmax), {"input_shape": activated.shape, **POOL_ATTRS}, target)[0]
    dz = np.where(activated > 0, dz, np.float32(0))
    dfilter, dbias = native(POOL_GRAD_PARAMS, (x, dy, residual), {"filter_shape": filter_shape, **attrs}, target)
    np.testing.assert_array_equal(
        dfilter, native(CONV2D_GRAD_FILTER, (x, dz), {"filter_shape": filter_shape, **attrs}, target)[0]
    )
    np.testing.assert_array_equal(dbias, canonical_column_sum(dz.reshape(-1, filter_shape[3])))
    dx = native(POOL_GRAD_INPUT, (dy, residual, filter), {"input_shape": x_shape, **attrs}, target)[0]
    np.testing.assert_array_equal(dx, native(CONV2D_GRAD_INPUT, (dz, filter), {"input_shape": x_shape, **attrs}, target)[0])


def canonical_column_sum(rows):
    """Blocks of 128 rows, row by row from zero, then block by block."""
    partials = []
    for start in range(0, len(rows), 128):
        total = np.zeros(rows.shape[1], rows.dtype)
        for row in rows[start : start + 128]:
            total = total + row
        partials.append(total)
    total = partials[0]
    for partial in partials[1:]:
        total = total + partial
    return total


def test_fused_kernels_give_the_same_bits_on_any_number_of_threads():
    x, filter, _ = operands((9, 14, 14, 16), (3, 3, 16, 32), {}, np.float32)
    bias = normal((32,))
    check_threads(CONV2D_BIAS_ACT, (x, filter, bias), {"activation": "relu"})
    check_threads(CONV2D_BIAS_RELU_POOL, (x, filter, bias), {})
    y, residual = native(CONV2D_BIAS_RELU_POOL, (x, filter, bias), {})
    dy = normal(y.shape)
    check_threads(POOL_GRAD_PARAMS, (x, dy, residual), {"filter_shape": filter.shape})
    check_threads(POOL_GRAD_INPUT, (dy, residual, filter), {"input_shape": x.shape})


def test_nan_in_an_image_reaches_the_pooled_result():
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 1, 0] = np.nan
    y, residual = native(CONV2D_BIAS_RELU_POOL, (x, np.ones((1, 1, 1, 9), np.float32), np.zeros(9, np.float32)), {})
    assert np.isnan(y[0, 0, 0]).all() and (residual[0, 0, 0] == DEAD).all() and not y[0, 1].any()


@pytest.mark.parametrize("case", POOLED, ids=lambda case: f"{case[0]}-{case[1]}")
@pytest.mark.parametrize("op", [CONV2D_BIAS_ACT, CONV2D_BIAS_RELU_POOL], ids=lambda op: op.name)
def test_gradients_are_fused_without_a_change_of_bits(op, case):
    x_shape, filter_shape, attrs = case
    attrs = {**CONV_ATTRS, **attrs} | ({"activation": "relu"} if op is CONV2D_BIAS_ACT else {})
    arrays = [normal(x_shape), normal(filter_shape, seed=1), normal(filter_shape[3:], seed=3)]
    found = []
    for call in (lambda inputs: apply(op, *inputs, **attrs), lambda inputs: op.decompose(inputs, attrs)):
        inputs = tuple(tensor(a) for a in arrays)
        with Tape() as tape:
            for t in inputs:
                tape.watch(t)
            y = call(inputs)
        found.append([y, *tape.gradient(y, inputs, tensor(normal(y.shape, seed=4)))])
    for fused, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(fused.numpy(), plain.numpy())


# -- Winograd -----------------------------------------------------------------------------------------------------------

WINOGRAD = [
    ((2, 13, 13, 32), (3, 3, 32, 64), {}),
    ((3, 9, 10, 16), (3, 3, 16, 64), {"padding": "same"}),
    ((1, 8, 7, 40), (3, 3, 40, 37), {"padding": ((1, 0), (2, 1))}),
    ((9, 4, 4, 96), (3, 3, 96, 24), {"padding": "same"}),
    ((11, 13, 17, 24), (3, 3, 24, 48), {"padding": "same"}),
    ((1, 8, 8, 128), (3, 3, 128, 40), {"padding": "same"}),
    ((5, 12, 11, 150), (3, 3, 150, 72), {}),
    # many tiles of 128 channels and more go point by point in the gradient by the filter
    ((6, 30, 30, 130), (3, 3, 130, 33), {"padding": "same"}),
    ((2, 5, 4, 390), (3, 3, 390, 340), {"padding": "same"}),  # a transformed filter of 19 MB, which nobody keeps
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", WINOGRAD, ids=lambda case: f"{case[0]}-{case[1]}")
def test_winograd_agrees_with_the_definition(case, target):
    x_shape, filter_shape, attrs = case
    for op, inputs, all_attrs in calls(*operands(x_shape, filter_shape, attrs, np.float32), attrs):
        wide = [a.astype(np.float64) for a in inputs]
        wanted = op.fallback(*wide, **op.complete(all_attrs))
        direct = native(op, inputs, all_attrs, target)[0]
        got = native(op, inputs, {**all_attrs, "winograd": 1}, target)[0]
        assert got.tobytes() != direct.tobytes(), "the direct kernel ran"
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max(), err_msg=op.name)


def test_float64_is_always_direct():
    x, filter, dy = operands((2, 13, 13, 32), (3, 3, 32, 64), {}, np.float64)
    for op, inputs, attrs in calls(x, filter, dy, {}):
        assert native(op, inputs, attrs)[0].tobytes() == native(op, inputs, {**attrs, "winograd": 1})[0].tobytes()


def test_winograd_is_a_choice_of_the_process_and_of_the_call():
    x, filter, _ = operands((2, 13, 13, 32), (3, 3, 32, 64), {}, np.float32)
    fast, exact = conv2d(x, filter, winograd=True).numpy(), conv2d(x, filter, winograd=False).numpy()
    assert (fast.tobytes() != exact.tobytes()) == kernels.native_enabled()  # the fallback has the direct way only
    before = config.winograd()
    try:
        for allowed, wanted in ((True, fast), (False, exact)):
            config.set_winograd(allowed)
            assert conv2d(x, filter).numpy().tobytes() == wanted.tobytes()
            assert function(lambda x, filter: conv2d(x, filter))(x, filter).numpy().tobytes() == wanted.tobytes()
    finally:
        config.set_winograd(before)
    with pytest.raises(TypeError, match=r"\[set_winograd\] allowed must be True or False. Received: allowed=2."):
        config.set_winograd(2)


def test_winograd_gives_the_same_bits_on_any_number_of_threads_and_in_any_batch():
    x, filter, dy = operands((9, 13, 13, 32), (3, 3, 32, 64), {}, np.float32)
    for op, inputs, attrs in calls(x, filter, dy, {"winograd": 1}):
        check_threads(op, inputs, attrs)
    for batch in (3, 9):
        many = operands((batch, 14, 14, 256), (3, 3, 256, 72), {"padding": "same"}, np.float32)
        for op, inputs, attrs in calls(*many, {"padding": "same", "winograd": 1}):
            check_threads(op, inputs, attrs)
    whole = native(CONV2D, (x, filter), {"winograd": 1})[0]
    part = native(CONV2D, (x[:2], filter), {"winograd": 1})[0]
    assert part.tobytes() == whole[:2].tobytes()


# -- messages -----------------------------------------------------------------------------------------------------------


def test_channels_that_do_not_match():
    with pytest.raises(ValueError) as error:
        conv2d(normal((8, 28, 28, 3)), normal((3, 3, 4, 16)))
    assert str(error.value) == (
        "[conv2d] the input has 3 channels but the filter expects 4. Received: x.shape=(8, 28, 28, 3), "
        "filter.shape=(3, 3, 4, 16). The filter's third axis must equal the input's last axis."
    )


@pytest.mark.parametrize(
    ("x", "filter", "attrs", "words"),
    [
        ((28, 28, 1), (3, 3, 1, 8), {}, "the input has 3 axes and must have 4"),
        ((1, 28, 28, 1), (3, 3, 8), {}, "the filter has 3 axes and must have 4"),
        ((1, 2, 2, 1), (3, 3, 1, 8), {}, "doesn't fit into the image"),
        ((1, 5, 5, 4), (3, 3, 2, 3), {"groups": 2}, "3 output channels can't be shared by 2 groups"),
        ((1, 5, 5, 4), (3, 3, 4, 3), {"padding": "full"}, "unknown padding"),
        ((1, 5, 5, 4), (3, 3, 4, 3), {"padding": ((1.9, 0), (0, 0))}, "unknown padding"),
        ((1, 5, 5, 4), (3, 3, 4, 3), {"strides": 0}, "strides must be at least 1"),
        ((1, 5, 5, 4), (3, 3, 4, 3), {"groups": 1.0}, "groups must be a whole number above 0"),
        ((1, 5, 5, 4), (3, 3, 4, 3), {"groups": True}, "groups must be a whole number above 0"),
    ],
)
def test_messages(x, filter, attrs, words):
    with pytest.raises(ValueError, match=words):
        conv2d(normal(x), normal(filter), **attrs)


def test_numbers_of_windows_and_groups_may_be_numpys():
    x, filter = normal((1, 5, 5, 4)), normal((3, 3, 2, 6))
    numpys = conv2d(x, filter, strides=np.int32(2), padding=np.array([[1, 0], [0, 1]]), groups=np.int64(2)).numpy()
    np.testing.assert_array_equal(numpys, conv2d(x, filter, strides=2, padding=((1, 0), (0, 1)), groups=2).numpy())


def test_depthwise_is_a_convolution_of_each_channel():
    x, filter = normal((2, 6, 6, 3)), normal((3, 3, 3, 2))
    y = depthwise_conv2d(x, filter, padding="same").numpy()
    for c in range(3):
        alone = apply(CONV2D, x[..., c : c + 1], filter[:, :, c : c + 1], **{**CONV_ATTRS, "padding": "same"}).numpy()
        np.testing.assert_allclose(y[..., 2 * c : 2 * c + 2], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [2**20, 2**31 - 1])
@pytest.mark.parametrize("op", PLAIN, ids=lambda op: op.name)
def test_strides_far_beyond_the_image_leave_one_window(op, stride):
    rng = np.random.default_rng(5)
    x, filter, dy = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 5, 5, 3), (3, 3, 3, 4), (2, 1, 1, 4)))
    operands = {CONV2D: (x, filter), CONV2D_GRAD_INPUT: (dy, filter), CONV2D_GRAD_FILTER: (x, dy)}[op]
    shapes = {CONV2D: {}, CONV2D_GRAD_INPUT: {"input_shape": x.shape}, CONV2D_GRAD_FILTER: {"filter_shape": filter.shape}}[op]
    far, near = (native(op, operands, {"strides": (s, s), "padding": "same", **shapes}) for s in (stride, 5))
    np.testing.assert_array_equal(far[0], near[0])


def test_taps_far_beyond_the_image():
    x, filter, dy = (np.ones(shape, np.float32) for shape in ((2, 5, 5, 3), (3, 3, 3, 4), (2, 5, 5, 4)))
    attrs = {"dilation": (2**31 - 1, 2**31 - 1), "padding": "same"}
    np.testing.assert_array_equal(native(CONV2D, (x, filter), attrs)[0], np.full(dy.shape, 3, np.float32))  # the middle one alone
    with pytest.raises(MemoryError, match="there is no memory for .* bytes"):
        native(CONV2D_GRAD_FILTER, (x, dy), {**attrs, "filter_shape": filter.shape})


@pytest.mark.parametrize("name", ["strides", "dilation"])
def test_steps_that_no_image_has(name):
    x, filter = np.ones((1, 5, 5, 1), np.float32), np.ones((3, 3, 1, 1), np.float32)
    for steps in (2**31, 2**63):
        with pytest.raises(ValueError, match=rf"\[conv2d\] {name} must be below 2\*\*31"):
            conv2d(x, filter, padding="same", **{name: steps})
    with pytest.raises(ValueError, match="unknown padding"):
        conv2d(x, filter, padding=((2**31, 0), (0, 0)))
    assert native(CONV2D, (x, filter), {"padding": "same", name: (2**62, 2**62)}) is None  # whoever asks without these checks
