"""Arrays that end where the memory ends: a kernel that reads or writes one byte too far crashes."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np
import pytest

from pynn import _core
from pynn.dtypes import NATIVE_CODES
from pynn.engine import kernels
from pynn.engine.op import Spec, infer_outputs

PROT_NONE = 0


def guarded(shape, dtype) -> np.ndarray:
    """An array whose last byte is the last before a page that can't be touched; filled with NaN (zeros for integers)."""
    if sys.platform == "win32":
        pytest.skip("pages are protected with mprotect")
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64))
    page = mmap.PAGESIZE
    length = -(-max(size * dtype.itemsize, 1) // page) * page
    memory = mmap.mmap(-1, length + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start + length), ctypes.c_size_t(page), PROT_NONE):
        pytest.skip("this system protects no pages")
    array = np.frombuffer(memory, dtype, size, offset=length - size * dtype.itemsize).reshape(shape)
    array[...] = np.nan if dtype.kind == "f" else 0
    return array


def guarded_copy(array: np.ndarray) -> np.ndarray:
    """`array` at the end of the memory."""
    copy = guarded(array.shape, array.dtype)
    copy[...] = array
    return copy


def run_guarded(op, arrays, attrs, target: str = "") -> list[np.ndarray] | None:
    """The native kernel's outputs with every operand at the end of its memory; None where it doesn't cover the call."""
    attrs = op.complete(attrs)
    specs = tuple(None if a is None else Spec(a.shape, a.dtype) for a in arrays)
    outputs = infer_outputs(op, specs, attrs)
    kernel = kernels.prepare_native(op, specs, outputs, attrs, target)
    if kernel is None:
        return None
    assert all(s is None or s.dtype in NATIVE_CODES for s in outputs) and isinstance(kernel, _core.Kernel)
    results = [None if s is None else guarded(s.shape, s.dtype) for s in outputs]
    failure = kernel.run_into([None if a is None else guarded_copy(a) for a in arrays], results)
    assert failure is None
    return results
