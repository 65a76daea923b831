"""Data types and the rules by which they combine.

The lattice is JAX's, without demotion: bool < uint8, int8 < int16 < int32 < int64 < float32 < float64. Python scalars are weak:
they take the dtype of the tensor beside them, unless their kind is higher (a float beside integers gives float32).
Integers divided by integers give float32.
"""

from __future__ import annotations

import operator

import numpy as np

bool_ = np.dtype(np.bool_)
uint8 = np.dtype(np.uint8)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)

SUPPORTED = (bool_, uint8, int8, int16, int32, int64, float32, float64)
_SUPPORTED = frozenset(SUPPORTED)
# The codes of csrc/base/kernel.h; dtypes without one run on the fallback kernels.
NATIVE_CODES = {float32: 0, float64: 1, int32: 2, int64: 3, uint8: 4, bool_: 5}
NATIVE_SUFFIX = {float32: "f32", float64: "f64", int32: "i32", int64: "i64", uint8: "u8", bool_: "bool"}
# Foreign dtypes and what a tensor makes of them.
_CONVERTED = {
    np.dtype(np.float16): float32,
    np.dtype(np.uint16): int32,
    np.dtype(np.uint32): int64,
    np.dtype(np.longdouble): float64,
}


def as_dtype(dtype) -> np.dtype:
    """The supported NumPy dtype for a name, a NumPy type or a Python type.

    Raises:
        TypeError: the dtype is none that tensors have.
    """
    if dtype is float:
        return float32
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is not None and not found.isnative:
        found = found.newbyteorder("=")
    if found is not None and found in _SUPPORTED:
        return found
    if found is not None and found in _CONVERTED:
        return _CONVERTED[found]
    names = ", ".join(d.name for d in SUPPORTED)
    lengths = dtype if isinstance(dtype, (tuple, list)) else [dtype]
    shape = " A shape is one argument, (2, 3); values take one by pn.reshape(values, shape)." if all(map(is_whole, lengths)) else ""
    raise TypeError(f"[dtype] tensors can't have this dtype. Received: {dtype!r}. Supported: {names}.{shape}")


def is_float(dtype: np.dtype) -> bool:
    """True for float32 and float64."""
    return dtype.kind == "f"


def is_whole(value) -> bool:
    """True for an integer of Python's or NumPy's; bools aren't numbers of things."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def as_whole(value) -> int | None:
    """`value` as a Python integer: one of Python's or NumPy's, or what else has `__index__`. None for anything else, for bools too."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def fits_float64(value) -> bool:
    """False for an integer that a float64, the attribute of a kernel, would round."""
    return not isinstance(value, (int, np.integer)) or int(float(value)) == int(value)


def promote_dtypes(*dtypes: np.dtype) -> np.dtype:
    """The dtype in which two or more dtypes meet: `promote_dtypes(int64, float32) == float32`."""
    if len(dtypes) == 1 or all(d is dtypes[0] for d in dtypes):
        return dtypes[0]
    kinds = {d.kind for d in dtypes}
    if "f" in kinds:
        return float64 if float64 in dtypes else float32
    return np.result_type(*dtypes)


def weak_dtype(value, *dtypes: np.dtype) -> np.dtype:
    """The dtype a Python scalar takes beside tensors of `dtypes` (alone: bool, int64 or float32)."""
    strong = promote_dtypes(*dtypes) if dtypes else None
    if isinstance(value, bool):
        return strong or bool_
    if isinstance(value, int):
        return strong if strong is not None and strong != bool_ else int64
    return strong if strong is not None and is_float(strong) else float32
