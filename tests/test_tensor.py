"""Tensors and variables: creation, dtypes, operators, interop, immutability and versions."""

from __future__ import annotations

import copy
import mmap
import operator
import pickle
from pathlib import Path

import numpy as np
import pytest

import pynn as pn
from pynn.dtypes import SUPPORTED, promote_dtypes

ORDER = ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize(
    "value, dtype",
    [(1.5, "float32"), (3, "int64"), (True, "bool"), ([1, 2], "int64"), ([1.0, 2], "float32"), ([], "float32"), ([True, False], "bool")]
    + [(np.zeros(2, d), d) for d in ORDER]
    + [(np.zeros(2, d), w) for d, w in (("float16", "float32"), ("uint16", "int32"), ("uint32", "int64"))]
    + [(np.float64(2), "float64"), (np.int32(2), "int32")],
)  # fmt: skip
def test_dtype_of_a_new_tensor(value, dtype):
    assert pn.tensor(value).dtype == np.dtype(dtype)


def test_a_wanted_dtype():
    assert pn.tensor([1, 2], dtype="float64").dtype == np.float64
    assert pn.tensor(pn.tensor([1.7]), dtype=np.int32).tolist() == [1]
    assert pn.tensor([1.0], dtype=float).dtype == np.float32
    for bad in ("complex64", "S3", object, "no such thing"):
        with pytest.raises(TypeError, match=r"\[dtype\] tensors can't have this dtype"):
            pn.tensor([1.0], dtype=bad)


@pytest.mark.parametrize("value", [["a"], [1j], np.array([None]), np.array(["2020-01-01"], "datetime64[D]")])
def test_only_numbers(value):
    with pytest.raises(TypeError, match=r"\[tensor\] tensors hold numbers"):
        pn.tensor(value)


def test_nested_lists_with_tensors_in_them():
    assert pn.tensor([[pn.tensor(1.0), 2.0], [3.0, pn.tensor(4.0)]]).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_properties():
    t = pn.tensor(np.zeros((2, 3), np.float64))
    assert (t.shape, t.ndim, t.size, t.nbytes, len(t)) == ((2, 3), 2, 6, 48, 2)
    assert t.T.shape == (3, 2) and not t.is_abstract


def base():
    return np.arange(24.0, dtype=np.float32).reshape(4, 6)


def misaligned():
    raw = np.empty(24 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(4, 6)
    raw[...] = base()
    return raw


def read_only():
    array = base()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "make",
    [
        base,
        lambda: np.asfortranarray(base()),
        lambda: np.repeat(base(), 2, axis=1)[:, ::2],
        lambda: base()[::-1][::-1],
        lambda: base().astype(">f4"),
        misaligned,
        read_only,
    ],
    ids=["plain", "fortran", "strided", "backwards", "byte-swapped", "misaligned", "read-only"],
)
def test_every_layout_of_an_input(make):
    array = make()
    t = pn.tensor(array)
    np.testing.assert_array_equal(t.numpy(), base())
    assert t.numpy().flags.c_contiguous and t.dtype.isnative and t.numpy().ctypes.data % 64 == 0
    np.testing.assert_array_equal(pn.add(array, 1.0).numpy(), base() + 1)
    np.testing.assert_array_equal(pn.function(lambda x: x + 1.0)(array).numpy(), base() + 1)


def test_broadcast_and_empty_inputs():
    assert pn.tensor(np.broadcast_to(np.float32(3), (2, 2))).tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert pn.tensor(np.zeros((0, 3), np.float32)).sum(axis=0).tolist() == [0.0, 0.0, 0.0]


def test_a_tensor_is_a_copy_and_its_view_is_read_only():
    array = base()
    t = pn.tensor(array)
    array[:] = -1
    np.testing.assert_array_equal(t.numpy(), base())
    with pytest.raises(ValueError, match="read-only"):
        t.numpy()[0, 0] = 5
    with pytest.raises(TypeError):
        t[0] = 1.0


# -- dtypes meeting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", ORDER)
@pytest.mark.parametrize("right", ORDER)
def test_promotion(left, right):
    a, b = np.dtype(left), np.dtype(right)
    kinds = a.kind + b.kind
    wanted = np.dtype("float64" if np.dtype("float64") in (a, b) else "float32") if "f" in kinds else np.result_type(a, b)
    assert promote_dtypes(a, b) == wanted and wanted in SUPPORTED
    assert (pn.tensor(np.ones(2, a)) + pn.tensor(np.ones(2, b))).dtype == wanted


@pytest.mark.parametrize("dtype", ORDER)
def test_python_numbers_are_weak(dtype):
    t = pn.tensor(np.ones(2, dtype))
    is_float = np.dtype(dtype).kind == "f"
    assert (t + 1).dtype == (np.int64 if dtype == "bool" else np.dtype(dtype))
    assert (1 + t).dtype == (t + 1).dtype
    assert (t * 0.5).dtype == (np.dtype(dtype) if is_float else np.float32)
    assert (t / 2).dtype == (np.dtype(dtype) if is_float else np.float32)


# -- operators -----------------------------------------------------------------------------------------------------------

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
LEFT = np.array([[1.0, 2.5, 3.0], [4.0, 5.5, 0.5]], np.float32)
OTHERS = [np.float32(2.0), 2.0, 3, LEFT[::-1].copy(), LEFT[0]]


@pytest.mark.parametrize("op", ARITHMETIC + COMPARISONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", OTHERS, ids=["numpy number", "float", "int", "array", "row"])
def test_operators_on_both_sides(op, other):
    for make in (pn.tensor, pn.Variable):
        for got, wanted in ((op(make(LEFT), other), op(LEFT, other)), (op(other, make(LEFT)), op(other, LEFT))):
            assert isinstance(got, pn.Tensor) and got.dtype == (np.bool_ if op in COMPARISONS else np.float32)
            np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-6)


def test_operators_between_tensors_and_variables():
    t, v = pn.tensor(LEFT), pn.Variable(LEFT)
    for op in ARITHMETIC:
        np.testing.assert_allclose(op(t, v).numpy(), op(LEFT, LEFT), rtol=1e-6)
        np.testing.assert_allclose(op(v, t).numpy(), op(LEFT, LEFT), rtol=1e-6)


def test_matrix_products_logic_and_signs():
    t = pn.tensor(LEFT)
    np.testing.assert_allclose((t @ LEFT.T).numpy(), LEFT @ LEFT.T, rtol=1e-6)
    np.testing.assert_allclose((LEFT.T @ t).numpy(), LEFT.T @ LEFT, rtol=1e-6)
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    for op in (operator.and_, operator.or_, operator.xor):
        assert op(pn.tensor(a), b).tolist() == op(a, b).tolist() == op(a, pn.tensor(b)).tolist()
    assert (~pn.tensor(a)).tolist() == (~a).tolist()
    assert (-t).tolist() == (-LEFT).tolist() and abs(-t).tolist() == LEFT.tolist() and (+t) is t


def test_an_array_is_not_changed_in_place_by_a_tensor():
    array = np.ones(3)
    with pytest.raises(TypeError, match=r"\[np.add\] a NumPy array can't be .* in place.* Use array = pn.add\(array, x\), or .*x.numpy"):
        array += pn.ones(3)
    with pytest.raises(TypeError, match=r"\[np.remainder\] .* Use array = pn.mod\(array, x\)"):
        array %= pn.Variable(2.0)
    with pytest.raises(TypeError, match=r"Use pn.mod\(x, y\), or .*np.remainder\(x.numpy\(\), y.numpy\(\)\)"):
        np.remainder(array, pn.ones(3), dtype=np.float32)
    assert array.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("operands", [(pn.tensor([5, 4]), 1), (1, pn.tensor([5, 4])), (np.array([1, 2]), pn.Variable([True, False]))])
def test_there_are_no_bitwise_operators(operands):
    for sign, name, op in (("&", "and", operator.and_), ("|", "or", operator.or_), ("^", "xor", operator.xor)):
        with pytest.raises(TypeError, match=rf"\[\{sign}\] is a logical .* only. Received: dtype=int64. Use pn.logical_{name}\(x, y\)"):
            op(*operands)
    with pytest.raises(TypeError, match=r"\[~\] is a logical .* only. Received: dtype=float32. Use pn.logical_not\(x\)"):
        ~pn.ones(2)
    assert (pn.tensor([True, False]) & True).tolist() == ([True, True] & pn.tensor([True, False])).tolist() == [True, False]


def test_foreign_operands():
    for foreign in ("text", None, {}):
        with pytest.raises(TypeError):
            pn.tensor(1.0) + foreign
    assert (pn.tensor(1.0) == None) is False  # noqa: E711
    with pytest.raises(ValueError, match=r"\[add\]"):
        pn.ones((2,)) + pn.ones((3,))


# -- numbers -------------------------------------------------------------------------------------------------------------


def test_tensors_as_numbers():
    t = pn.tensor([[2.5]])
    assert (float(t), int(t), t.item(), bool(t), f"{t:.2f}") == (2.5, 2, 2.5, True, "2.50")
    with pytest.raises(TypeError, match="an index must be an integer tensor"):
        operator.index(pn.tensor(2.0))
    with pytest.raises(ValueError, match=r"\[item\] only a tensor of one element"):
        float(pn.ones((2,)))


def test_the_truth_of_many_elements():
    for many in (pn.ones((2,)), pn.Variable([1.0, 2.0]), pn.zeros((0,))):
        with pytest.raises(ValueError, match=r"ambiguous.*\.any\(\) or \.all\(\)"):
            bool(many)


def test_equality_is_elementwise_and_hashes_are_identity():
    a, b = pn.tensor([1.0, 2.0]), pn.tensor([1.0, 3.0])
    assert (a == b).tolist() == [True, False] and (a != b).tolist() == [False, True]
    assert len({a, b, a}) == 2 and {a: 1}[a] == 1
    v = pn.Variable(1.0)
    assert {v: "v"}[v] == "v"


# -- interop -------------------------------------------------------------------------------------------------------------


def test_numpy_takes_tensors_and_tensors_take_array_likes():
    t = pn.tensor(LEFT)
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert np.array(t).flags.writeable
    np.testing.assert_array_equal(np.asarray(t), LEFT)
    np.testing.assert_array_equal(np.asarray(pn.Variable(LEFT)), LEFT)

    class Frame:
        """Like a table of pandas: no array, but one can be had."""

        def __array__(self, dtype=None, copy=None):
            return LEFT.astype(dtype or np.float64)

    assert pn.tensor(Frame()).shape == (2, 3)
    np.testing.assert_array_equal((pn.tensor(Frame()) * 2).numpy(), LEFT * 2)
    np.testing.assert_array_equal(pn.add(Frame(), t).numpy(), LEFT * 2)


@pytest.mark.parametrize("name", ["all", "any", "max", "mean", "min", "prod", "std", "sum", "var"])
def test_reductions_of_numpy_are_ours(name):
    reduce = getattr(np, name)
    for t in (pn.tensor(LEFT), pn.Variable(LEFT)):
        for words in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}):
            got = reduce(t, **words)
            assert isinstance(got, pn.Tensor)
            np.testing.assert_allclose(got.numpy(), reduce(LEFT, **words), rtol=1e-6)
    with pytest.raises(TypeError, match=rf"\[{name}\] tensors are reduced .*Received: out"):
        reduce(pn.tensor(LEFT), out=np.zeros(()))
    with pytest.raises(TypeError, match=rf"\[{name}\] tensors are reduced .*Received: dtype. Cast"):
        getattr(pn.tensor(LEFT), name)(dtype=np.float64)


def test_gradients_flow_through_reductions_of_numpy():
    assert pn.grad(lambda x: np.mean(x * x))(pn.tensor([1.0, 3.0])).tolist() == [1.0, 3.0]


def test_other_functions_of_numpy_say_what_to_use():
    t = pn.tensor(LEFT)
    with pytest.raises(TypeError, match=r"\[np.sqrt\] .*Use pn.sqrt\(x\), or .*np.sqrt\(x.numpy\(\)\)"):
        np.sqrt(t)
    with pytest.raises(TypeError, match=r"\[np.cbrt\] .*np.cbrt\(x.numpy\(\)\)"):
        np.cbrt(pn.Variable(LEFT))
    with pytest.raises(TypeError, match=r"\[np.add\]"):
        np.add(LEFT, t, out=np.empty_like(LEFT))
    assert isinstance(np.add(LEFT, t), pn.Tensor) and isinstance(np.float32(2) * t, pn.Tensor)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_dlpack_both_ways(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    t = pn.tensor(array)
    out = np.from_dlpack(t)
    np.testing.assert_array_equal(out, array)
    assert out.dtype == array.dtype and t.__dlpack_device__() == (1, 0)

    class OnlyDLPack:
        def __dlpack__(self, **kwargs):
            return array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return array.__dlpack_device__()

    np.testing.assert_array_equal(pn.tensor(OnlyDLPack()).numpy(), array)
    np.testing.assert_array_equal(np.from_dlpack(pn.Variable(array)), array)


def test_pickles_and_copies():
    t = pn.tensor(LEFT)
    again = pickle.loads(pickle.dumps(t))
    assert again.dtype == t.dtype and again.tolist() == t.tolist()
    assert copy.copy(t) is t and copy.deepcopy(t) is t
    v = pn.Variable(LEFT, name="v", trainable=False)
    for twin in (pickle.loads(pickle.dumps(v)), copy.deepcopy(v)):
        assert (twin.name, twin.trainable, twin.dtype) == ("v", False, v.dtype)
        twin.assign(twin * 0)
        np.testing.assert_array_equal(v.numpy(), LEFT)


def test_reprs():
    assert repr(pn.tensor([1.0, 2.0])) == "Tensor([1., 2.], shape=(2,), dtype=float32)"
    assert repr(pn.Variable(1, name="n")) == "Variable(1, name='n', shape=(), dtype=int64)"
    assert len(repr(pn.zeros((1000, 1000)))) < 1000
    shown = []
    pn.function(lambda x: shown.append(repr(x)) or x)(pn.ones((2,)))
    assert shown == ["Tensor(shape=(2,), dtype=float32, abstract)"]


# -- variables -----------------------------------------------------------------------------------------------------------


def test_a_value_read_before_an_assignment_keeps_its_contents():
    v = pn.Variable([1.0, 2.0])
    old, view = v.value, v.value.numpy()
    v.assign([5.0, 6.0])
    assert old.tolist() == [1.0, 2.0] and view.tolist() == [1.0, 2.0] and v.value.tolist() == [5.0, 6.0]
    v.assign_add(1.0)
    v.assign_sub([0.0, 1.0])
    assert v.numpy().tolist() == [6.0, 6.0] and old.tolist() == [1.0, 2.0]


def test_an_array_outlives_the_value_that_it_is_a_view_of():
    v = pn.Variable(np.zeros(64, np.float32))
    view = v.value.numpy()
    v.assign(np.ones(64, np.float32))
    assert view.sum() in (0.0, 64.0)
    kept = v.value
    view = kept.numpy()
    pn.repeat(pn.function(lambda: v.assign_add(1.0)), 5)
    assert view.tolist() == [1.0] * 64 and v.numpy().tolist() == [6.0] * 64


def test_variables_keep_shape_and_dtype():
    v = pn.Variable(np.zeros(2, np.float32), name="w")
    v.assign(np.array([1, 2], np.int64))
    assert v.dtype == np.float32 and v.numpy().tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"\[assign\] the variable 'w' keeps its shape.*\(3,\)"):
        v.assign([1.0, 2.0, 3.0])
    copied = v.numpy()
    copied[:] = 9
    assert v.numpy().tolist() == [1.0, 2.0]


def test_an_abstract_value_cannot_leave_its_capture():
    kept = []
    pn.function(lambda x: kept.append(x * 2) or x)(1.0)
    with pytest.raises(pn.CaptureError, match="belongs to a capture that has ended"):
        pn.Variable(0.0).assign(kept[0])


def test_large_memory_comes_back_only_when_nothing_looks_at_it():
    core = pytest.importorskip("pynn._core")
    spec = ((1 << 18,), 0)
    first = core.empty(spec)
    address, view = first.ctypes.data, first[5:]
    del first
    assert core.empty(spec).ctypes.data != address
    del view
    assert core.empty(spec).ctypes.data == address


def lazily_freed_bytes() -> int:
    """What the system may take of this process's memory."""
    try:
        lines = Path("/proc/self/smaps").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("LazyFree:"))


def system_takes_memory_back() -> bool:
    """Found out with memory of Python's: what pynn does is what the test is about."""
    if not hasattr(mmap, "MADV_FREE"):
        return False
    size, before = 8 << 20, lazily_freed_bytes()
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"x" * size)
        try:
            memory.madvise(mmap.MADV_FREE)
        except OSError:
            return False
        return lazily_freed_bytes() - before >= size // 2


@pytest.mark.skipif(not system_takes_memory_back(), reason="this system doesn't take memory back later, or doesn't say so")
def test_the_system_may_take_huge_memory_that_is_kept():
    core = pytest.importorskip("pynn._core")
    spec, size = ((12 << 20,), 0), 48 << 20
    array = core.empty(spec)
    array[:] = 3
    address, before = array.ctypes.data, lazily_freed_bytes()
    del array
    assert lazily_freed_bytes() - before >= size // 2
    array = core.empty(spec)
    assert array.ctypes.data == address
    array[:] = 4
    assert lazily_freed_bytes() - before < size // 2 and (array == 4).all()


ALIASES = {
    "stop_gradient": pn.stop_gradient,
    "reshape": lambda v: pn.reshape(v, (4,)),
    "flatten": pn.flatten,
    "expand_dims": lambda v: pn.expand_dims(v, 0),
    "transpose of a row": lambda v: pn.transpose(pn.reshape(v, (1, 4))),
    "a slice of all": lambda v: v[:],
    "stack of one": lambda v: pn.stack([v]),
    "tile once": lambda v: pn.tile(v, (1, 1)),
    "plus": lambda v: +v,
    "an array": lambda v: np.asarray(v.value),
    "a view of an array": lambda v: v.value.numpy().T,
    "a memoryview": lambda v: np.frombuffer(memoryview(v.value.numpy()), np.float32),
}


@pytest.mark.parametrize("name", ALIASES)
@pytest.mark.parametrize("change", ["assign", "program"])
def test_what_was_made_of_a_variable_stays_when_it_changes(name, change):
    v = pn.Variable([[1.0, 2.0], [3.0, 4.0]])
    made = ALIASES[name](v)
    before = np.array(made)
    if change == "assign":
        v.assign(v * 10)
    else:
        pn.function(lambda: v.assign(v * 10))()
    np.testing.assert_array_equal(made, before)
    np.testing.assert_array_equal(v.numpy(), [[10.0, 20.0], [30.0, 40.0]])


def test_a_variable_keeps_its_memory_while_nobody_looks():
    v = pn.Variable(np.zeros(100, np.float32))
    place = v.storage().ctypes.data
    for _ in range(3):
        assert v.value is not None
        v.assign(v + 1.0)
        assert v.storage().ctypes.data == place
    seen = v.value.numpy()[3:]
    v.assign(v + 1.0)
    assert v.storage().ctypes.data != place
    assert seen.tolist() == [3.0] * 97


def test_a_read_is_one_tensor_for_all_readers():
    v = pn.Variable([1.0])
    array = v.value.numpy()
    first = v.value
    assert v.value is first
    assert np.shares_memory(first.numpy(), array)


def test_lists_keep_the_axes_and_the_dtype_of_what_is_in_them():
    assert pn.tensor([pn.ones((1,)), pn.ones((1,))]).shape == (2, 1)
    assert pn.tensor([[pn.ones((1, 1))]]).shape == (1, 1, 1, 1)
    assert pn.tensor([pn.tensor(1.0), 2.0]).dtype == np.float32
    assert pn.tensor([np.zeros(3), np.ones(3)]).dtype == np.float64
    assert pn.tensor([np.float64(0.1), 2]).dtype == np.float64
    assert pn.tensor([np.float32(0.1), 2.0]).dtype == np.float32
    assert pn.tensor([pn.Variable(1.0), pn.Variable(2.0)]).tolist() == [1.0, 2.0]


def test_gradients_flow_through_a_list_of_tensors():
    def f(x):
        return (pn.tensor([[x, 2.0], [3 * x, x]]) * pn.tensor([[1.0, 10.0], [100.0, 1000.0]])).sum()

    assert float(pn.grad(f)(1.0)) == 1301.0
    assert float(pn.function(pn.grad(f))(pn.tensor(1.0))) == 1301.0


def test_more_axes_than_there_may_be():
    x = pn.ones((1,) * 8)
    assert (x + x).ndim == 8
    for make, op in ((lambda: pn.reshape(x, (1,) * 9), "reshape"), (lambda: pn.tensor(np.ones((1,) * 9)), "tensor")):
        with pytest.raises(ValueError, match=rf"\[{op}\] tensors have at most 8 axes"):
            make()
    with pytest.raises(ValueError, match="at most 8 axes"):
        pn.Variable(np.ones((1,) * 9))


class Foreign:
    """As of a library that has dtypes of its own."""

    dtype = "torch.float32"

    def __init__(self, values):
        self.values = np.array(values, np.float32)

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __len__(self):
        return len(self.values)


def test_lists_of_other_libraries_tensors_are_stacked():
    rows = [Foreign([1.5, 2.0]), Foreign([3.0, 4.0])]
    found = pn.tensor(rows)
    assert found.dtype == np.float32 and found.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert pn.tensor([[rows[0], pn.ones(2)]]).tolist() == [[[1.5, 2.0], [1.0, 1.0]]]
    assert pn.tensor(rows, "int32").tolist() == [[1, 2], [3, 4]]


def test_numbers_that_come_one_by_one_are_listed_first():
    for values in ({1, 2}, (v for v in (1, 2))):
        with pytest.raises(TypeError, match=r"tensors hold numbers. Received: .* with dtype object. Convert it first, .* list\(values\)"):
            pn.tensor(values)


def test_integers_beyond_the_dtype_beside_them():
    with pytest.raises(OverflowError, match=r"\[uint8\] the Python integer 300 takes the dtype .* and is out of its range.*astype"):
        pn.tensor(np.array([1, 2], np.uint8)) + 300


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_quotients_by_integers_beyond_the_dtype_beside_them(run):
    pixels = np.array([1, 2, 255], np.uint8)
    for f in (lambda x: x / 256, lambda x: -300 / x, lambda x: pn.divide_no_nan(x, -(2**40))):
        found = run(f)(pn.tensor(pixels))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.numpy(), f(pn.tensor(pixels.astype(np.float64))).numpy(), rtol=1e-7)
    np.testing.assert_allclose(run(lambda x: pn.logaddexp(x, 300))(pn.tensor(pixels)).numpy(), np.logaddexp(pixels, 300.0), rtol=1e-6)


@pytest.mark.parametrize("dtype, number", [("uint8", 256), ("uint8", -1), ("int32", 2**31), ("int32", -(2**40)), ("int8", 200)])
def test_comparisons_with_integers_beyond_the_dtype_beside_them(dtype, number):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    array = np.array([low, 0, high], dtype)
    compare = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
    for f in compare:
        wanted = np.array([f(int(v), number) for v in array])
        captured = pn.function(lambda x, f=f: f(x, number))
        for got in (f(pn.tensor(array), number), captured(pn.tensor(array))):
            np.testing.assert_array_equal(got.numpy(), wanted)
        np.testing.assert_array_equal(f(number, pn.tensor(array)).numpy(), [f(number, int(v)) for v in array])
    with pytest.raises(OverflowError, match="int64 ranges from"):
        operator.lt(pn.tensor(array), 2**63)


@pytest.mark.parametrize("value, dtype", [(300, "uint8"), (-1, "uint8"), ([0, 128], "int8"), ([[1], [2**31]], "int32"), (2**63, "int64")])
def test_python_integers_do_not_wrap_around(value, dtype):
    with pytest.raises(OverflowError, match=rf"\[tensor\] {dtype} ranges from .*Received: the Python integer .*dtype="):
        pn.tensor(value, dtype)
    with pytest.raises(OverflowError, match=dtype):
        pn.Variable(value, dtype=dtype)
    assert pn.tensor([255, 0], "uint8").numpy().tolist() == [255, 0]
    assert pn.tensor(np.array([300]), "uint8").numpy().tolist() == [44]  # an array's elements are cast as NumPy casts them
    assert pn.tensor([], "uint8").shape == (0,)


@pytest.mark.parametrize("value, dtype", [(300.7, "uint8"), (-1.0, "uint8"), ([0.5, 1e30], "int32"), (np.nan, "int64"), (2.0**63, "int64")])
def test_python_floats_do_not_wrap_around(value, dtype):
    for make in (pn.tensor, pn.Variable, lambda v, d: pn.full(2, v, d), lambda v, d: pn.Variable(np.zeros(np.shape(v), d)).assign(v)):
        with pytest.raises(OverflowError, match=rf"\[tensor\] {dtype} ranges from .*Received: the Python float .*dtype="):
            make(value, dtype)
    assert pn.tensor([255.9, -0.9], "uint8").numpy().tolist() == [255, 0]
    assert pn.tensor(-(2.0**63), "int64").item() == -(2**63)


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_an_assigned_python_float_has_all_its_digits(run):
    number, vector = pn.Variable(0.0, "float64"), pn.Variable(np.zeros(2))

    def step(rate):
        number.assign(rate)
        vector.assign([0.1, 0.2])

    run(step)(0.1)
    assert number.item() == 0.1
    assert vector.numpy().tolist() == [0.1, 0.2]


def test_none_is_no_dtype():
    with pytest.raises(TypeError, match=r"\[dtype\].*Received: None"):
        pn.zeros(3, None)


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_lists_meet_in_one_dtype(run):
    whole, double = pn.tensor([7], "int32"), pn.tensor(np.array([0.1]))
    assert run(lambda t: pn.tensor([t[0], 5]))(whole).dtype == np.int32
    assert run(lambda t: pn.tensor([t[0], 2**40], dtype="int64"))(whole).tolist() == [7, 2**40]
    assert run(lambda t: pn.tensor([[0.1], [t[0]]]))(double).tolist() == [[0.1], [0.1]]
    assert (pn.ones(2) * np.float64(0.1)).dtype == np.float32
