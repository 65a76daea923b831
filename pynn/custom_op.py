"""`custom_op`: a user's own op, with a NumPy or Numba kernel and a gradient, wherever ops of the package can be used."""

from __future__ import annotations

import ctypes
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynn.dtypes import as_dtype
from pynn.engine import kernels
from pynn.engine.apply import apply
from pynn.engine.op import REGISTRY, Op, Spec, define
from pynn.engine.tape import checked_gradients
from pynn.engine.tensor import as_tensor

__all__ = ["custom_op"]


def custom_op(
    kernel: Callable | None = None,
    *,
    name: str | None = None,
    output: Callable | None = None,
    gradient: Callable | None = None,
    fallback: Callable | None = None,
) -> Any:
    """Makes an op from a function on NumPy arrays, or from a compiled `numba.cfunc`.

    The op works eagerly, in layers, and inside captured steps. A native step calls a NumPy function through Python; a `numba.cfunc`
    runs inside the step by its address, without Python; eagerly, it is called by its address too.

    Args:
        kernel: `f(*arrays) -> array`, or a `numba.cfunc` with the signature
            `void(CPointer(CPointer(dtype)), CPointer(int64))`: operand pointers (inputs, then the output), and the lengths of
            all axes of all operands, one after another.
        name: The op's name; the function's by default.
        output: `(*input specs) -> Spec` with `.shape` and `.dtype`; the first input's by default.
        gradient: `(dy, inputs, y) -> one gradient per input`, written with pynn ops; without it the op isn't differentiable.
        fallback: For a `numba.cfunc`: the same on NumPy arrays, for the fallback backend.

    Returns:
        A function of tensors.

    Raises:
        TypeError: the kernel can't be called, a `numba.cfunc` came without `fallback`; or, of the op, it got another number of operands.

    Example:
        >>> import numpy as np, pynn as pn
        >>> @pn.custom_op(gradient=lambda dy, inputs, y: dy * 3.0 * inputs[0] ** 2)
        ... def cube(x):
        ...     return x**3
        >>> float(cube(2.0)), float(pn.grad(cube)(2.0))
        (8.0, 12.0)
    """
    if kernel is None:
        return lambda k: custom_op(k, name=name, output=output, gradient=gradient, fallback=fallback)
    op = _define(kernel, name, output, gradient, fallback)

    def call(*inputs):
        tensors = [as_tensor(x) for x in inputs]
        return apply(op, *tensors)

    functools.update_wrapper(call, inspect.unwrap(kernel), ("__module__", "__qualname__", "__doc__"), ())
    call.__name__ = op.name
    call.op = op
    return call


def _define(kernel, name: str | None, output, gradient, fallback) -> Op:
    address = getattr(kernel, "address", None)
    if address is not None and fallback is None:
        raise TypeError("[custom_op] a numba.cfunc needs fallback=, the same computation on NumPy arrays, for the fallback backend.")
    if address is None and not callable(kernel):
        raise TypeError(f"[custom_op] the kernel must be a function on arrays or a numba.cfunc. Received: {kernel!r}.")
    compute = fallback if address is not None else kernel
    base = name or getattr(compute, "__name__", "custom_op")
    infer = _inference(output, None if address is None else _element_type(kernel), base)
    return define(
        _free_name(base),
        inputs=_operands(compute),
        infer=infer,
        fallback=_checked(base, _owned(compute) if address is None else _by_address(address, compute, infer), infer),
        vjp=None if gradient is None else _vjp(base, gradient),
        foreign=True,
        address=address,
        keep=kernel,  # the compiled code
    )


def _operands(compute: Callable) -> tuple[str, ...]:
    """The names of a kernel's arguments; "*" where their number isn't fixed, or nobody knows it."""
    try:
        parameters = list(inspect.signature(compute).parameters.values())
    except (TypeError, ValueError):
        return ("*",)
    needed = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    fixed = all(p.name in needed or p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters)
    return tuple(needed) if needed and fixed else ("*",)


def _free_name(base: str) -> str:
    """`base`, with a number if an op of the package, which passes know by its name, has it."""
    name, count = base, 1
    while name in REGISTRY:
        count += 1
        name = f"{base}_{count}"
    return name


def _element_type(kernel) -> np.dtype | None:
    """The dtype that a `numba.cfunc` was compiled for; None where the object doesn't say."""
    try:
        return np.dtype(str(kernel._sig.args[0].dtype.dtype))
    except (AttributeError, IndexError, TypeError):
        return None


def _inference(output: Callable | None, compiled: np.dtype | None, name: str) -> Callable:
    def infer(*specs: Spec) -> Spec:
        if not specs:
            raise TypeError(f"[{name}] takes at least one operand. Received: none.")
        found: Any = specs[0] if output is None else output(*specs)
        shape, dtype = (found.shape, found.dtype) if hasattr(found, "shape") else found
        result = Spec(tuple(shape), as_dtype(dtype))
        for spec in (*specs, result):
            if compiled is not None and spec.dtype != compiled:
                raise TypeError(
                    f"[{name}] the kernel is compiled for {compiled}. Received: dtype {spec.dtype}. Cast the operands first, or compile "
                    "a kernel for that dtype."
                )
        return result

    return infer


def _by_address(address: int, fallback: Callable, infer: Callable) -> Callable:
    """The compiled kernel for eager calls; `fallback` where the native backend is off."""
    compiled = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)

    def run(*arrays):
        if not kernels.native_enabled():
            return fallback(*arrays)
        arrays = [np.asarray(a, order="C") for a in arrays]
        result = kernels.empty(infer(*(Spec(a.shape, a.dtype) for a in arrays)))
        pointers = np.array([a.ctypes.data for a in (*arrays, result)], np.uint64)
        lengths = np.array([n for a in (*arrays, result) for n in a.shape] or [0], np.int64)
        compiled(pointers.ctypes.data, lengths.ctypes.data)
        return result

    return run


def _checked(name: str, compute: Callable, infer: Callable) -> Callable:
    def run(*arrays):
        result = compute(*arrays)
        if result is None:
            raise TypeError(f"[{name}] the kernel returned nothing. Return an array.")
        result = np.asarray(result)
        wanted = infer(*(Spec(a.shape, a.dtype) for a in arrays))
        if result.shape != wanted.shape or result.dtype.kind not in "biuf":
            raise ValueError(
                f"[{name}] the kernel's result must have shape {wanted.shape} and dtype {wanted.dtype}. Received: shape {result.shape}, "
                f"dtype {result.dtype}. Describe the kernel's result with output=."
            )
        return result

    return run


def _counted(compute: Callable, arrays: Sequence) -> tuple[Any, int]:
    """The kernel's result, and the references to it that are counted here."""
    result = compute(*arrays)
    return result, sys.getrefcount(result)


_ALONE = _counted(np.empty, (0,))[1]  # of an array that nobody else has: versions of Python count the name and the argument differently


def _owned(compute: Callable) -> Callable:
    """The kernel's result in memory that nobody else has: it may be a buffer that the kernel writes again."""

    def run(*arrays):
        result, references = _counted(compute, arrays)
        shared = isinstance(result, np.ndarray) and (result.base is not None or references > _ALONE)
        return np.array(result) if shared else result

    return run


def _vjp(name: str, gradient: Callable) -> Callable:
    def vjp(dys, inputs, outputs, attrs, needs):
        found = gradient(dys[0], inputs, outputs[0])
        found = tuple(found) if isinstance(found, Sequence) else (found,)
        if len(found) != len(inputs):
            raise ValueError(f"[{name}] gradient must return one gradient per input. Received: {len(found)} for {len(inputs)}.")
        return checked_gradients(name, found, inputs, needs)

    return vjp
