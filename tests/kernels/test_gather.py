"""Gathering and scattering rows: values, gradients, and indices that are out of range."""

import numpy as np
import pytest
from op_checks import TARGETS, check_gradients, check_threads, check_values, fallback, native

import pynn as pn
from pynn import _core
from pynn.engine.op import REGISTRY
from pynn.engine.tape import Tape

NAMES = ["take", "gather_rows", "embedding", "take_grad", "gather_batch", "scatter_add", "one_hot"]


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    check_values(REGISTRY[name])


@pytest.mark.parametrize("name", ["take", "embedding", "take_grad", "scatter_add"])
def test_gradients(name):
    check_gradients(REGISTRY[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("width", [(), (1,), (3,), (784,)])
def test_rows_of_every_dtype(dtype, width):
    data = np.random.default_rng(0).integers(0, 2, size=(11, *width)).astype(dtype)
    order = np.array([10, 0, 3, 3, 7])
    for target in TARGETS:
        np.testing.assert_array_equal(native(REGISTRY["take"], [data, order], {"axis": 0}, target)[0], data[order])
        out = native(REGISTRY["gather_batch"], [data, order, np.array(1)], {"batch": 3}, target)[0]
        np.testing.assert_array_equal(out, data[order[1:4]])


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_long_rows_in_groups_of_any_size(count):
    data = np.random.default_rng(0).normal(size=(3, 7, 131)).astype(np.float32)
    order = np.random.default_rng(1).integers(0, 7, size=count)
    for target in TARGETS:
        np.testing.assert_array_equal(native(REGISTRY["take"], [data, order], {"axis": 1}, target)[0], data[:, order])


@pytest.mark.parametrize("wrong", range(9))
def test_the_first_wrong_index_of_long_rows_is_named(wrong):
    ids = np.arange(9) % 5
    ids[wrong:] = [70 + i for i in range(9 - wrong)]
    with pytest.raises(ValueError, match=rf"\[take\] index 70 \(at position {wrong}\) is out of range for 5 rows"):
        native(REGISTRY["take"], [np.zeros((5, 200), np.float32), ids], {"axis": 0})


def test_bits_do_not_depend_on_threads():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 500, size=4000)
    check_threads(REGISTRY["take_grad"], [rng.normal(size=(4000, 37)).astype(np.float32), ids], {"axis": 0, "rows": 500})
    check_threads(REGISTRY["take"], [rng.normal(size=(500, 37)).astype(np.float32), ids], {"axis": 0})


@pytest.mark.parametrize("run", [native, fallback])
@pytest.mark.parametrize("wrong", [5, -1, 2**31 - 1])
def test_an_index_out_of_range_is_an_error(run, wrong):
    ids = np.array([0, wrong, 1])
    with pytest.raises(ValueError, match=rf"\[embedding\] index {wrong} \(at position 1\) is out of range for 5 rows"):
        run(REGISTRY["embedding"], [np.zeros((5, 2), np.float32), ids], {})
    with pytest.raises(ValueError, match=r"\[take_grad\] index"):
        run(REGISTRY["take_grad"], [np.zeros((3, 2), np.float32), ids], {"rows": 5})
    with pytest.raises(ValueError, match=r"\[gather_batch\] index"):
        run(REGISTRY["gather_batch"], [np.zeros((5, 2), np.float32), ids, np.array(0)], {"batch": 3})
    with pytest.raises(ValueError, match=r"\[scatter_add\] index"):
        run(REGISTRY["scatter_add"], [np.zeros((5, 2), np.float32), ids, np.zeros((3, 2), np.float32)], {})


@pytest.mark.parametrize("run", [native, fallback])
@pytest.mark.parametrize("cursor", [-1, 2, 2**62])
def test_a_cursor_that_leaves_the_permutation_is_an_error(run, cursor):
    with pytest.raises(ValueError, match=r"\[gather_batch\] a batch of 3 rows from position"):
        run(REGISTRY["gather_batch"], [np.zeros((5, 2)), np.arange(4), np.array(cursor)], {"batch": 3})


def test_embedding_gradient_sums_repeated_ids():
    table = pn.tensor(np.zeros((4, 2)))
    with Tape() as tape:
        tape.watch(table)
        rows = pn.embedding(table, np.array([[1, 1], [3, 1]]))
    (grad,) = tape.gradient(rows, [table], pn.tensor(np.ones((2, 2, 2))))
    np.testing.assert_array_equal(grad.numpy(), [[0, 0], [3, 3], [0, 0], [1, 1]])


def test_small_integer_indices_and_negative_axis():
    x = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(pn.take(x, np.array([3, 0], np.uint8), axis=-1).numpy(), x[:, [3, 0]])
    np.testing.assert_array_equal(pn.take(x, np.array([11, 5])).numpy(), [11.0, 5.0])


def test_wrong_operands_are_named():
    with pytest.raises(TypeError, match=r"\[take\] indices must be integers"):
        pn.take(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"\[scatter_add\].*updates.shape=\(2,\)"):
        pn.scatter_add(np.zeros((3, 2)), np.array([0, 1]), np.zeros(2))
    with pytest.raises(ValueError, match=r"\[scatter_add\].*, float32. Expected: updates.shape=\(2,\), float64"):
        pn.scatter_add(np.zeros(3), [0, 1], np.zeros(2, np.float32))


def test_updates_in_a_list_take_the_dtype_beside_them():
    assert pn.scatter_add(np.zeros(3), [0, 2, 0], [0.1, 0.2, 0.3]).tolist() == [0.4, 0.0, 0.2]
    assert pn.scatter_add(pn.tensor([1, 2], "int32"), [1], [5]).dtype == np.int32


@pytest.mark.parametrize("values", [{"on": 300}, {"off": -1}, {"on": 2.0**40}, {"off": float("nan")}])
def test_one_hot_does_not_wrap_around(values):
    with pytest.raises(OverflowError, match=r"\[tensor\] uint8 ranges from 0 to 255. Received: the Python"):
        pn.one_hot(pn.tensor([1, 0]), 2, dtype="uint8", **values)


def test_one_hot_of_any_integer_is_exact():
    large = 2**53 + 1
    for one_hot in (pn.one_hot, pn.function(pn.one_hot)):
        assert one_hot(pn.tensor([1, 5]), 2, on=large, dtype="int64").tolist() == [[0, large], [0, 0]]
        assert one_hot(pn.tensor([1, 5]), 2, on=3, off=-large, dtype="int64").tolist() == [[-large, 3], [-large, -large]]


def test_wrong_indices_leave_a_variable_as_it_was():
    v = pn.Variable(np.zeros((4, 3), np.float32))
    add = pn.function(lambda ids: v.assign(pn.scatter_add(v, ids, pn.ones((2, 3)))))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"\[scatter_add\] index 9 \(at position 1\)"):
            add(np.array([0, 9]))
        assert not v.numpy().any()


@pytest.mark.parametrize("run", [native, fallback])
def test_no_index_is_right_where_there_are_no_rows(run):
    with pytest.raises(ValueError, match=r"\[scatter_add\] index 4 \(at position 0\)"):
        run(REGISTRY["scatter_add"], [np.zeros((0, 3), np.float32), np.array([4, 5]), np.ones((2, 3), np.float32)], {})
    with pytest.raises(ValueError, match=r"\[take_grad\] index 4"):
        run(REGISTRY["take_grad"], [np.ones((2, 3), np.float32), np.array([4, 5])], {"rows": 0})


@pytest.mark.parametrize("index", [2**63 - 1, -(2**63)])
def test_an_index_at_the_end_of_its_range_is_an_error_of_a_gradient(index):
    take_grad = REGISTRY["take_grad"]
    with pytest.raises(ValueError, match=str(index)):
        native(take_grad, (np.ones((3, 1, 2), np.float32), np.array([index])), {"axis": 1, "rows": 4})


# Kernel, (shape, dtype code) of the inputs and the output, ints.
BEYOND = [
    ("take", [((4, 6), 0), ((3,), 3)], ((3, 6), 0), [2]),
    ("take", [((4, 6), 0), ((3,), 3)], ((2, 6), 0), [0]),
    ("one_hot", [((3,), 3)], ((3, 4), 0), [5]),
    ("gather_batch", [((4, 6), 0), ((8,), 3), ((), 3)], ((3, 5), 0), []),
    ("take_grad_f32", [((3, 6), 0), ((3,), 3)], ((4, 7), 0), [0]),
    ("scatter_add_f32", [((4, 6), 0), ((3,), 3), ((3, 5), 0)], ((4, 6), 0), []),
]  # fmt: skip


@pytest.mark.parametrize("case", BEYOND, ids=lambda case: f"{case[0]}-{case[3]}")
def test_shapes_that_do_not_belong_together_are_not_covered(case):
    name, inputs, output, ints = case
    assert not _core.Kernel(name, inputs, [output], ints, [1.0, 0.0]).supported
