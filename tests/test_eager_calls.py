"""An op that is computed now: from tensors to tensors in one native call."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn.engine import kernels
from pynn.engine.op import REGISTRY, prepared
from pynn.engine.tensor import Tensor, promote
from pynn.errors import CaptureError

needs_native = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback has no native kernels")


def native_add(*shape):
    """The prepared kernel of `add` for two tensors of a shape, the specs of its result, and the tensors."""
    x, y = pn.tensor(np.arange(np.prod(shape), dtype=np.float32).reshape(shape)), pn.ones(shape)
    op = REGISTRY["add"]
    outputs, kernel = prepared(op, (x.spec, y.spec), op.attrs)
    return kernel, outputs, (x, y)


@needs_native
def test_results_are_read_only_aligned_tensors_of_the_specs_given():
    kernel, outputs, tensors = native_add(3, 5)
    (result,) = kernel.apply(tensors, outputs)
    assert type(result) is Tensor and result.spec is outputs[0]
    assert not result.numpy().flags.writeable and result.numpy().ctypes.data % 64 == 0
    np.testing.assert_array_equal(result, np.arange(15).reshape(3, 5) + 1)


@needs_native
def test_operands_are_checked():
    kernel, outputs, (x, y) = native_add(4)
    with pytest.raises(ValueError, match="number of kernel operands"):
        kernel.apply((x,), outputs)
    with pytest.raises(ValueError, match="number of kernel operands"):
        kernel.apply((x, y), ())
    with pytest.raises(TypeError, match="operands are tensors"):
        kernel.apply((x, y.numpy()), outputs)
    with pytest.raises(ValueError, match="another size"):
        kernel.apply((x, pn.ones((5,))), outputs)
    for wrong in (np.ones(4, np.int32), np.ones(4, ">f4"), np.ones(4, object)):
        with pytest.raises(ValueError, match="another size or dtype"):
            kernel.run([x.numpy(), wrong])


@needs_native
@pytest.mark.parametrize("make", [
    lambda shape: pn.random.normal(shape),
    lambda shape: pn.broadcast_to(pn.ones((1, 1)), shape),
    lambda shape: pn.tile(pn.ones((1, 1)), shape),
    lambda shape: pn.function(lambda: pn.broadcast_to(pn.ones((1, 1)), shape))(),
])  # fmt: skip
def test_what_no_memory_holds_is_an_error(make):
    for shape in ((2**31, 2**30), (2**31, 2**31)):
        with pytest.raises(MemoryError, match="no memory holds a tensor of shape"):
            make(shape)


@needs_native
def test_sizes_beyond_64_bits_are_beyond_memory():
    def padded(x):
        return pn.pad(x, [(2**62, 2**62), (0, 0)])

    for run in (padded, pn.function(padded)):
        with pytest.raises(MemoryError, match="no memory holds a tensor of shape"):
            run(pn.ones((1, 1)))


def test_a_tensor_without_a_value_is_no_operand():
    kept = []
    pn.function(lambda x: kept.append(x * 2) or x)(pn.ones((3,)))
    with pytest.raises(CaptureError, match="multiply"):
        kept[0] + 1.0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("number", [2, 2.5, -1.0, 0.0, -0.0, True, float("nan"), np.float32(3)], ids=repr)
def test_numbers_beside_a_tensor_take_its_dtype_however_often_they_come(number, dtype):
    x = pn.tensor(np.ones(3), dtype=dtype)
    wanted = pn.multiply(*promote(x, number))
    for got in (x * number, number * x, x * number):
        assert got.dtype == wanted.dtype and got.numpy().tobytes() == wanted.numpy().tobytes()


def test_arrays_with_a_dtype_of_their_own_object_are_operands():
    x = np.ones(3, np.dtype(np.float32, metadata={"unit": "m"}))
    np.testing.assert_array_equal(pn.tensor(x) + pn.tensor(x), [2, 2, 2])
    np.testing.assert_array_equal(Tensor(x) + Tensor(x), [2, 2, 2])


def test_large_products_share_a_workspace_and_small_ones_come_after_them():
    rng = np.random.default_rng(0)
    for n in (300, 5, 700, 300, 64):
        a, b = (rng.normal(size=(n, n)).astype(np.float32) for _ in range(2))
        np.testing.assert_allclose(pn.tensor(a) @ pn.tensor(b), a @ b, rtol=0, atol=1e-4 * n**0.5)


def test_threads_compute_at_the_same_time(in_threads):
    rng = np.random.default_rng(1)
    matrices = [pn.tensor(rng.normal(size=(200 + 30 * i, 260)).astype(np.float32)) for i in range(4)]
    wanted = [pn.matmul(m, m, transpose_b=True).numpy().tobytes() for m in matrices]
    wrong = []

    def work(i):
        for _ in range(20):
            if pn.matmul(matrices[i], matrices[i], transpose_b=True).numpy().tobytes() != wanted[i]:
                wrong.append(i)

    in_threads(work)
    assert not wrong


@pytest.mark.parametrize("number", [2, 2.5, True, -0.0])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_numbers_meet_tensors_as_a_promotion_of_all_kinds_would(number, dtype):
    x = pn.tensor(np.ones(3), dtype)
    together, alone = pn.add(x, number), pn.add(x, pn.tensor(number, pn.add(x, number).dtype))
    raised = "float32" if isinstance(number, float) else "int64" if number is not True else "bool"  # beside bools
    expected = raised if dtype == "bool" else "float32" if isinstance(number, float) and x.dtype.kind != "f" else dtype
    assert together.dtype == expected
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("captured", [False, True])
def test_attributes_that_are_zeros_keep_their_signs(captured):
    x = pn.tensor([-1.0, 1.0])
    calls = [lambda x, zero: 1.0 / pn.pad(x, [[1, 1]], zero), lambda x, zero: 1.0 / pn.clip(x, zero, 0.5)]
    for call in calls:
        for zero, first in ((0.0, np.inf), (-0.0, -np.inf), (0.0, np.inf)):
            result = (pn.function(lambda x: call(x, zero)) if captured else lambda x: call(x, zero))(x)  # noqa: B023
            assert result.numpy()[0] == first
