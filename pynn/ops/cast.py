"""Conversion between dtypes."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import as_dtype, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.tensor import Tensor, as_tensor

__all__ = ["astype", "cast"]


def _cast_numpy(x, *, dtype):
    return x.astype(as_dtype(dtype))


def _cast_vjp(dys, inputs, outputs, attrs, needs):
    return (cast(dys[0], inputs[0].dtype) if dys[0] is not None and is_float(dys[0].dtype) else None,)


CAST = define(
    "cast",
    inputs=("x",),
    attrs={"dtype": "float32"},
    infer=lambda x, *, dtype: Spec(x.shape, as_dtype(dtype)),
    fallback=_cast_numpy,
    vjp=_cast_vjp,
    reference=_cast_numpy,
    samples=lambda: [
        Sample([(3, 7)], {"dtype": "float64"}),
        Sample([(19,)], {"dtype": "float32"}),
        Sample([(1000,)], {"dtype": "int32"}, grad=False),
        Sample([np.arange(-20, 20)], {"dtype": "float32"}, grad=False),
        Sample([np.arange(256, dtype=np.uint8)], {"dtype": "float32"}, grad=False),
        Sample([np.array([0.0, 2.0, -0.5])], {"dtype": "bool"}, grad=False),
        Sample([np.array([True, False, True])], {"dtype": "float32"}, grad=False),
        Sample([(0, 3)], {"dtype": "float64"}),
    ],
    tfjs="Cast",
    onnx="Cast",
)


def cast(x, dtype) -> Tensor:
    """`x` converted to another dtype. Floats are rounded towards zero to integers; bools are `x != 0`.

    Raises:
        TypeError: tensors can't have this dtype.

    Example:
        >>> import pynn as pn
        >>> pn.cast([1.7, 0.0], "int32").numpy().tolist()
        [1, 0]
    """
    x, wanted = as_tensor(x), as_dtype(dtype)
    return x if x.dtype == wanted else apply(CAST, x, dtype=wanted.name)


def astype(x, dtype) -> Tensor:
    """`cast` under NumPy's name."""
    return cast(x, dtype)
