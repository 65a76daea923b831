"""Ops that move elements: values on every dtype and target, gradients, Python's indexing against NumPy's."""

import numpy as np
import pytest
from guard import run_guarded
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from op_checks import TARGETS, check_gradients, check_threads, check_values, native

import pynn as pn
from pynn import _core
from pynn.engine.op import REGISTRY

MOVES = ["transpose", "slice", "slice_grad", "broadcast_to", "tile", "concat", "pad", "cast"]


@pytest.mark.parametrize("name", MOVES)
def test_values(name):
    check_values(REGISTRY[name], exact=True)


@pytest.mark.parametrize("name", ["transpose", "slice", "slice_grad", "concat", "pad", "reshape", "cast"])
def test_gradients(name):
    check_gradients(REGISTRY[name], tolerance=2e-2 if name == "cast" else 1e-6, step=1e-3 if name == "cast" else 1e-6)


@pytest.mark.parametrize("name", ["broadcast_to", "tile"])
def test_gradients_that_sum(name):
    check_gradients(REGISTRY[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (9, 23), (64, 33), (1, 50), (50, 1)])
def test_transpose_of_every_dtype(dtype, shape):
    x = np.random.default_rng(0).integers(0, 2, size=shape).astype(dtype)
    for target in TARGETS:
        np.testing.assert_array_equal(native(REGISTRY["transpose"], [x], {"axes": (1, 0)}, target)[0], x.T)
        np.testing.assert_array_equal(
            native(REGISTRY["pad"], [x], {"before": (1, 2), "after": (0, 1), "value": 1.0}, target)[0],
            np.pad(x, ((1, 0), (2, 1)), constant_values=x.dtype.type(1)),
        )


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 3, 1, 2), (0, 2, 3, 1), (1, 0, 2, 3), (2, 3, 0, 1)])
def test_transpose_of_four_axes(axes):
    x = np.random.default_rng(0).normal(size=(3, 9, 10, 17)).astype(np.float32)
    np.testing.assert_array_equal(native(REGISTRY["transpose"], [x], {"axes": axes})[0], x.transpose(axes))
    check_threads(REGISTRY["transpose"], [x], {"axes": axes})


def test_bits_do_not_depend_on_threads():
    x = np.random.default_rng(0).normal(size=(64, 33, 31)).astype(np.float32)
    check_threads(REGISTRY["slice"], [x], {"begin": (1, 2, 30), "size": (60, 30, 31), "step": (1, 1, -1)})
    check_threads(REGISTRY["pad"], [x], {"before": (1, 1, 1), "after": (0, 2, 0), "value": 3.0})
    check_threads(REGISTRY["concat"], [x, x], {"axis": 2})
    check_threads(REGISTRY["tile"], [x], {"repeats": (1, 3, 2)})


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_concat_of_rows_of_every_length(dtype):
    for length in range(0, 72):
        x = (np.arange(13 * length).reshape(13, length) % 251).astype(dtype)
        y = np.full((13, 3), 7, dtype)
        for target in TARGETS:
            (out,) = run_guarded(REGISTRY["concat"], [x, y, x], {"axis": 1}, target)
            np.testing.assert_array_equal(out, np.concatenate([x, y, x], 1), err_msg=f"rows of {length}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_rows_turned_round(dtype):
    for n in (1, 7, 8, 9, 16, 31):
        x = (np.arange(3 * n).reshape(3, n) % 251).astype(dtype)
        for target in TARGETS:
            (out,) = run_guarded(REGISTRY["slice"], [x], {"begin": (0, n - 1), "size": (3, n), "step": (1, -1)}, target)
            np.testing.assert_array_equal(out, x[:, ::-1])
        if x.dtype.kind == "f":
            weight = np.random.default_rng(n).normal(size=x.shape).astype(dtype)
            np.testing.assert_array_equal(pn.grad(lambda t, w=weight: (pn.flip(t, 1) * w).sum())(x).numpy(), weight[:, ::-1])


def test_casts_of_all_pairs():
    names = ["float32", "float64", "int32", "int64", "uint8", "bool"]
    for source in names:
        x = np.array([0, 1, 2, 3, 100, 0, 7, 9, 11, 1, 0, 255, 254, 1.75, 0.25, 0, 8, 0, 0, 5, 6]).astype(source)
        for wanted in names:
            for target in TARGETS:
                (out,) = run_guarded(REGISTRY["cast"], [x], {"dtype": wanted}, target)
                np.testing.assert_array_equal(out, x.astype(wanted))
                assert out.dtype == wanted


@pytest.mark.parametrize("source", ["float32", "float64", "int32", "int64"])
def test_casts_of_negative_numbers_and_of_what_is_almost_zero(source):
    x = np.array([-1.7, -0.0, -3, -129, 1e-30, -1e-30, -300, 70000, -1]).repeat(3).astype(source)
    for wanted in ("int32", "int64", "bool"):
        for target in TARGETS:
            (out,) = native(REGISTRY["cast"], [x], {"dtype": wanted}, target)
            np.testing.assert_array_equal(out, x.astype(wanted))
    for target in TARGETS:  # the low byte of the integer
        (out,) = native(REGISTRY["cast"], [x], {"dtype": "uint8"}, target)
        np.testing.assert_array_equal(out, x.astype("int64").astype("uint8"))


def test_floats_become_integers_towards_zero():
    assert pn.cast(np.array([-1.7, 1.7]), "int32").tolist() == [-1, 1]


KEYS = [
    0,
    -1,
    (1, 2),
    (slice(None), -2),
    slice(None, None, -1),
    (slice(0, 0), ...),
    (..., slice(1, 5, 2)),
    (..., None, 0),
    (None, slice(2, None, -2), 1),
    (slice(-1, None, -1), slice(3, 0, -1)),
    np.array([2, 0, 0]),
    (slice(1, None), np.array([[0, 3]])),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_numpys(key):
    x = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    np.testing.assert_array_equal(pn.tensor(x)[key].numpy(), x[key])


@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=6))
def test_any_slice_is_numpys(data, shape):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    np.testing.assert_array_equal(pn.tensor(x)[key].numpy(), x[key])


@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=5, min_side=1, max_side=9))
def test_any_transpose_is_numpys(data, shape):
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    axes = data.draw(st.permutations(range(len(shape))))
    np.testing.assert_array_equal(pn.transpose(x, axes).numpy(), x.transpose(axes))


def test_built_ops_are_numpys():
    x = np.arange(24.0).reshape(2, 3, 4)
    t = pn.tensor(x)
    np.testing.assert_array_equal(pn.flip(t, 1).numpy(), np.flip(x, 1))
    np.testing.assert_array_equal(pn.flip(t).numpy(), np.flip(x))
    np.testing.assert_array_equal(t.repeat(3, axis=1).numpy(), np.repeat(x, 3, axis=1))
    np.testing.assert_array_equal(pn.tile(t, (2, 1, 1, 3)).numpy(), np.tile(x, (2, 1, 1, 3)))
    np.testing.assert_array_equal(pn.tile(t, 2).numpy(), np.tile(x, 2))
    np.testing.assert_array_equal(pn.stack([t, t], -1).numpy(), np.stack([x, x], -1))
    np.testing.assert_array_equal(pn.moveaxis(t, 0, -1).numpy(), np.moveaxis(x, 0, -1))
    np.testing.assert_array_equal(pn.swapaxes(t, 0, 2).numpy(), np.swapaxes(x, 0, 2))
    np.testing.assert_array_equal(pn.concat([t, t], 2).numpy(), np.concatenate([x, x], 2))
    for mode in ("reflect", "symmetric"):
        np.testing.assert_array_equal(
            pn.pad(t, [(0, 0), (2, 1), (1, 3)], mode=mode).numpy(), np.pad(x, [(0, 0), (2, 1), (1, 3)], mode=mode)
        )
    for a, b in zip(pn.split(t, [1, 2], 1), np.split(x, [1], 1), strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    assert [u.shape for u in pn.unstack(t, 2)] == [(2, 3)] * 4
    assert pn.expand_dims(t, (0, -1)).shape == (1, 2, 3, 4, 1)
    assert pn.squeeze(pn.expand_dims(t, 1)).shape == (2, 3, 4)
    assert pn.slice(t, (0, 2, 3), (-1, 1, -1), (1, 1, -1)).numpy().tolist() == x[:, 2:3, ::-1].tolist()


def test_joined_tensors_and_numbers_meet_in_one_dtype():
    for number, dtype in ((2, "int32"), (2.5, "float32"), (True, "int32")):
        y = pn.stack([pn.tensor(1, "int32"), number])
        assert y.dtype == dtype and y.tolist() == [1, number]
    assert pn.stack([1, 2.5]).dtype == np.float32
    assert pn.stack(n for n in (1, 2)).tolist() == [1, 2]
    assert pn.concat(pn.ones((n,)) for n in (1, 2)).shape == (3,)


def test_a_shape_may_be_a_tensor():
    x, shape = pn.ones((2, 3)), pn.tensor([3, 2])
    for found in (pn.reshape(x, shape), pn.zeros(shape), pn.broadcast_to(1.0, shape), pn.slice(pn.ones((4, 4)), pn.tensor([1, 0]), shape)):
        assert found.shape == (3, 2)


def test_reshape_shares_the_memory():
    t = pn.tensor(np.arange(6.0))
    assert np.shares_memory(pn.reshape(t, (2, 3)).numpy(), t.numpy())
    assert t.reshape(3, -1).shape == (3, 2)


WRONG = [
    (lambda x: pn.reshape(x, (4, 4)), ValueError, r"\[reshape\].*x.shape=\(2, 3\) with 6 elements"),
    (lambda x: pn.reshape(x, (-1, -1)), ValueError, r"\[reshape\]"),
    (lambda x: pn.transpose(x, (0, 0)), ValueError, r"\[transpose\]"),
    (lambda x: pn.transpose(x, (-5, 0)), ValueError, r"\[transpose\] there is no such axis. Received: axis=-5 for 2 axes"),
    (lambda x: pn.take(x, [0], axis=-5), ValueError, r"\[take\] there is no such axis. Received: axis=-5 for 2 axes"),
    (lambda x: pn.unstack(x[0, 0]), ValueError, r"\[unstack\] there is no such axis. Received: axis=0 for 0 axes"),
    (lambda x: pn.unstack(x, -3), ValueError, r"\[unstack\] there is no such axis. Received: axis=-3"),
    (lambda x: pn.broadcast_to(x, (2, 4)), ValueError, r"\[broadcast_to\]"),
    (lambda x: pn.broadcast_to(x, (-1, 2, 3)), ValueError, r"\[broadcast_to\].*shape=\(-1, 2, 3\)"),
    (lambda x: pn.ops.repeat(x, -1, 0), ValueError, r"\[repeat\] .*repeats=-1"),
    (lambda x: pn.pad(x, [(1, 0), (0, 0)], "a"), TypeError, r"\[pad\] the value must be a number. Received: value='a'"),
    (lambda x: range(x), TypeError, r"\[index\] an index must be an integer tensor"),
    (lambda x: range(pn.cast(x, "int32")), TypeError, r"\[index\] .*Received: shape=\(2, 3\), dtype=int32"),
    (lambda x: pn.squeeze(x, 0), ValueError, r"\[squeeze\]"),
    (lambda x: pn.concat([x, np.zeros((2, 3, 1))]), ValueError, r"\[concat\].*float64\(2, 3\), float64\(2, 3, 1\)"),
    (lambda x: pn.concat([]), ValueError, r"\[concat\]"),
    (lambda x: pn.stack([]), ValueError, r"\[stack\] there is nothing to join"),
    (lambda x: pn.stack([x, x, x[0]]), ValueError, r"\[stack\].*shape \(2, 3\) first, \(3,\) at place 2"),
    (lambda x: pn.split(x, 2, 1), ValueError, r"\[split\]"),
    (lambda x: pn.slice(x, (0, 0), (3, 1)), ValueError, r"\[slice\]"),
    (lambda x: pn.pad(x, [(0, 0), (4, 0)], mode="reflect"), ValueError, r"\[pad\]"),
    (lambda x: pn.pad(x, [(0, 0)]), ValueError, r"\[pad\]"),
    (lambda x: x[5], IndexError, r"\[getitem\] index 5 is out of range for axis 0"),
    (lambda x: x[0, 0, 0], IndexError, r"\[getitem\] too many"),
    (lambda x: x["a"], TypeError, r"\[getitem\]"),
    (lambda x: x[np.array([True, False])], TypeError, r"\[getitem\] a mask"),
    (lambda x: pn.expand_dims(x, (0, 0)), ValueError, r"\[expand_dims\] an axis is named twice.*\(0, 0\) for 4 axes"),
    (lambda x: pn.expand_dims(x, (0, -4)), ValueError, r"\[expand_dims\] an axis is named twice"),
    (lambda x: pn.squeeze(x[:1], (0, 0)), ValueError, r"\[squeeze\] an axis is named twice"),
    (lambda x: pn.split(x, np.int64(2), 1), ValueError, r"\[split\]"),
    (lambda x: pn.flip(x, 2), ValueError, r"\[flip\]"),
    (lambda x: pn.cast(x, "complex64"), TypeError, r"\[dtype\]"),
]


AXES = {
    "sum": pn.sum,
    "argmax": pn.argmax,
    "cumsum": pn.cumsum,
    "logsumexp": pn.logsumexp,
    "expand_dims": pn.expand_dims,
    "squeeze": pn.squeeze,
    "flip": pn.flip,
    "concat": lambda x, axis: pn.concat([x, x], axis),
    "split": lambda x, axis: pn.split(x, 1, axis),
    "repeat": lambda x, axis: x.repeat(2, axis),
    "take": lambda x, axis: pn.take(x, [0], axis),
    "transpose": lambda x, axis: pn.transpose(x, (0, axis)),
    "softmax": pn.softmax,
    "layer_norm": lambda x, axis: pn.layer_norm(x, axis=axis),
}


@pytest.mark.parametrize("name", AXES)
def test_an_axis_is_an_integer(name):
    x = pn.tensor(np.arange(6.0).reshape(2, 3)[:, :1])
    for axis in (1.7, 1.0, True, np.float64(1), np.True_, "1"):
        with pytest.raises(TypeError, match=rf"\[{name}\] an axis must be an integer. Received: axis="):
            AXES[name](x, axis)
    for axis in (np.int32(1), np.array(1)):
        for a, b in zip(pn.stack(AXES[name](x, axis)).numpy(), pn.stack(AXES[name](x, 1)).numpy(), strict=True):
            np.testing.assert_array_equal(a, b)


WHOLE = {  # of an op: a call with a number that has to be 2
    "reshape": lambda x, two: (pn.reshape(x, (two, 3)), pn.reshape(x, two, 3), pn.reshape(x, (-1, two, 3))),
    "broadcast_to": lambda x, two: pn.broadcast_to(x[:1], (two, 3)),
    "tile": lambda x, two: (pn.tile(x, two), pn.tile(x, (two, 1))),
    "repeat": lambda x, two: x.repeat(two, axis=0),
    "slice": lambda x, two: (pn.slice(x, (0, two), (1, 1)), pn.slice(x, (0, 0), (two, 1)), pn.slice(x, (0, 0), (1, 2), (1, two))),
    "pad": lambda x, two: (pn.pad(x, [(two, 0), (0, 0)]), pn.pad(x, [(0, 0), (0, two)], mode="reflect")),
    "split": lambda x, two: (pn.split(x, two), pn.split(x, [two, 1], axis=1)),
    "zeros": lambda x, two: (pn.zeros(two), pn.zeros((two, 3))),
    "full": lambda x, two: pn.full([two], 1.5),
    "eye": lambda x, two: (pn.eye(two), pn.eye(3, two)),
    "linspace": lambda x, two: pn.linspace(0.0, 1.0, two),
    "one_hot": lambda x, two: pn.one_hot([1], two),
    "gather_batch": lambda x, two: pn.ops.gather_batch(x, [0, 1], pn.tensor(0), batch=two),
    "increment": lambda x, two: pn.ops.increment(0, two),
    "random_uniform": lambda x, two: (pn.ops.random_uniform(0, two), pn.ops.random_uniform(0, (two, 3))),
    "random_integers": lambda x, two: (pn.ops.random_integers(0, 3, low=two, high=9), pn.ops.random_integers(0, 3, high=two)),
    "permutation": lambda x, two: pn.permutation(0, two),
    "depth_to_space": lambda x, two: pn.depth_to_space(pn.ones((1, 1, 1, 4)), two),
    "scatter_nd": lambda x, two: pn.scatter_nd([[1]], [1.0], (two,)),
    "space_to_batch": lambda x, two: pn.space_to_batch(pn.ones((1, 2, 1)), (two,), [(0, 0)]),
    "conv2d": lambda x, two: pn.conv2d(pn.ones((1, 4, 4, 2)), pn.ones((1, 1, 2, 2)), strides=two, padding=((two, 0), (0, 0))),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("two", [2.0, 2.7, "2", np.float32(2), None, True], ids=repr)
def test_fractions_and_text_are_no_whole_numbers(name, two):
    if (name, two) == ("eye", None):
        return  # as many columns as rows
    with pytest.raises(TypeError, match=rf"\[{name}\] .*must be a.*Received: "):
        WHOLE[name](pn.tensor(np.arange(6.0).reshape(2, 3)), two)


class Two:
    def __index__(self):
        return 2


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("two", [np.int64(2), np.uint8(2), np.array(2), pn.tensor(2), Two()], ids=lambda two: type(two).__name__)
def test_whole_numbers_may_be_numpys_tensors_and_what_else_is_an_index(name, two):
    def arrays(results):
        return [results.numpy()] if isinstance(results, pn.Tensor) else [a for r in results for a in arrays(r)]

    x = pn.tensor(np.arange(6.0).reshape(2, 3))
    for got, wanted in zip(arrays(WHOLE[name](x, two)), arrays(WHOLE[name](x, 2)), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("text", ["23", [(2,), 3], {2.5}], ids=repr)
def test_text_and_nested_sequences_are_no_shapes(text):
    for make in (lambda: pn.reshape(np.ones(6), text), lambda: pn.zeros(text), lambda: pn.random.normal(text)):
        with pytest.raises(TypeError, match=r"shape must be a whole number or several"):
            make()


def test_paddings_are_pairs():
    for paddings in (3, [1, 2], [(1,), (1, 2)], [(1, 2, 3), (0, 0)]):
        with pytest.raises(TypeError, match=r"\[pad\] there must be two widths"):
            pn.pad(np.ones((2, 3)), paddings)


def test_empty_lists_pick_nothing():
    x = np.arange(12.0).reshape(3, 4)
    for key in ([], (slice(None), []), [[]], (1, [])):
        np.testing.assert_array_equal(pn.tensor(x)[key].numpy(), x[key])
    assert pn.tensor(x[:0])[[]].shape == (0, 4)
    np.testing.assert_array_equal(pn.grad(lambda t: t[[]].sum())(x).numpy(), np.zeros((3, 4)))


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, np.int64(2**62 + 1), 7])
def test_padding_with_any_integer_is_exact(value):
    x = np.array([[2**53 + 1, 3]])
    for pad in (lambda x: pn.pad(x, [(1, 0), (0, 2)], value), pn.function(lambda x: pn.pad(x, [(1, 0), (0, 2)], value))):
        np.testing.assert_array_equal(pad(x).numpy(), np.pad(x, [(1, 0), (0, 2)], constant_values=value))


@pytest.mark.parametrize("dtype, value", [("int64", np.nan), ("int64", 2.0**63), ("int32", -np.inf), ("int8", 128), ("uint8", 300.7),
                                          ("uint8", -1), ("uint8", 0.5), ("bool", np.nan), ("bool", 2)])  # fmt: skip
def test_padding_with_what_the_dtype_does_not_hold_is_refused(dtype, value):
    x = pn.ones((2,), dtype)
    for pad in (lambda x: pn.pad(x, [(1, 0)], value), pn.function(lambda x: pn.pad(x, [(1, 0)], value))):
        with pytest.raises(ValueError, match=rf"\[pad\] a tensor of {dtype} holds whole numbers from .* Received: value="):
            pad(x)


@pytest.mark.parametrize("dtype, value", [("int64", 3.0), ("uint8", 255), ("int8", np.float32(-128)), ("bool", True), ("bool", 1.0),
                                          ("float32", np.inf), ("int32", np.array(7))])  # fmt: skip
def test_padding_with_what_the_dtype_holds(dtype, value):
    y = pn.pad(pn.ones((1,), dtype), [(1, 0)], value)
    assert y.dtype == dtype and y.tolist() == [value, 1]


def test_a_number_of_parts_may_be_numpys():
    assert [p.tolist() for p in pn.split(np.arange(4), np.int64(2))] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("call,kind,message", WRONG)
def test_wrong_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call(pn.tensor(np.zeros((2, 3))))


# Kernel, shapes of the inputs and the output, ints: what would read or write beyond a tensor.
BEYOND = [
    ("slice", [(4, 6)], (2, 3), [0, 4, 1, 1]),
    ("slice", [(4, 6)], (2, 3), [4, 0, 1, 1]),
    ("slice", [(4, 6)], (2, 3), [0, 1, 1, -1]),
    ("slice", [(4, 6)], (2, 3), [0, 0, 1, 2**62]),
    ("slice", [(4, 6)], (2,), [0, 0, 1, 1]),
    ("place", [(2, 3)], (4, 6), [3, 0, 1, 1]),
    ("place", [(2, 3)], (4, 6), [0, -1, 1, 1]),
    ("transpose", [(4, 6)], (6, 6), [1, 0]),
    ("transpose", [(4, 6)], (6, 4), [1, 2]),
    ("transpose", [(4, 4)], (4, 4), [1, 1]),
    ("broadcast_to", [(2, 3)], (4, 3), []),
    ("broadcast_to", [(1, 2, 3)], (2, 3), []),
    ("tile", [(2, 3)], (4, 6), [2, 3]),
    ("tile", [(2, 3)], (4, 6), [2, -2]),
    ("concat", [(2, 3), (2, 4)], (2, 8), [1]),
    ("concat", [(2, 3), (3, 4)], (2, 7), [1]),
    ("concat", [(2, 3), (2, 4)], (2, 7), [2]),
]  # fmt: skip


@pytest.mark.parametrize("case", BEYOND, ids=lambda case: f"{case[0]}-{case[3]}")
def test_what_lies_beyond_a_tensor_is_not_covered(case):
    name, inputs, output, ints = case
    assert not _core.Kernel(name, [(shape, 0) for shape in inputs], [(output, 0)], ints, []).supported


def test_the_step_of_a_lone_element_is_any():
    x = np.arange(24.0).reshape(4, 6)
    np.testing.assert_array_equal(pn.tensor(x)[:: 2**62, :: -(2**62)].numpy(), x[:: 2**62, :: -(2**62)])
