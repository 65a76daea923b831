"""From an op and its operands to arrays: the native kernel where there is one, else the op's fallback."""

from __future__ import annotations

import os
import warnings

import numpy as np

from pynn.dtypes import NATIVE_CODES, NATIVE_SUFFIX, is_float


def _without_kernels(folder: str) -> str:
    """What to say where a package in this folder has no compiled kernels: its sources come before an installed one."""
    if os.path.exists(os.path.join(folder, "CMakeLists.txt")):
        return (
            f"pynn was imported from its sources in {folder!r}, which have no compiled kernels, and runs on NumPy, many times slower. "
            "Start Python in another folder, so that the installed package is found, or set PYNN_BACKEND=fallback to silence this."
        )
    return (
        "pynn was installed without its compiled kernels and runs on NumPy, many times slower. "
        "Install a C++17 compiler and reinstall, or set PYNN_BACKEND=fallback to silence this."
    )


_SETTINGS = {  # what each takes in the environment; "" is as if it were not there
    "PYNN_BACKEND": ("native", "fallback"),
    "PYNN_MAX_TARGET": ("baseline", "avx2", "avx512"),
    "PYNN_NUMBA": ("0", "1"),
    "PYNN_WINOGRAD": ("0", "1"),
}


def _is_count(text: str) -> bool:
    """Whether the extension takes it for a number of threads."""
    digits = text.lstrip().removeprefix("+")
    return digits.isascii() and digits.isdigit() and bool(digits.strip("0"))


def _warn_of_settings() -> None:
    """Warns of values in the environment that say nothing, and so are ignored."""
    for name, taken in _SETTINGS.items():
        value = os.environ.get(name, "")
        if value and value not in taken:
            warnings.warn(f"[pynn] {name} is ignored: it takes {', '.join(taken)}. Received: {value!r}.", RuntimeWarning, stacklevel=2)
    value = os.environ.get("PYNN_NUM_THREADS", "")
    if value and not _is_count(value):
        warnings.warn(
            f"[pynn] PYNN_NUM_THREADS is ignored: it takes a whole number above zero. Received: {value!r}.", RuntimeWarning, stacklevel=2
        )


_warn_of_settings()
try:
    from pynn import _core
except ImportError as error:  # a build without a compiler: the fallback kernels serve
    _core = None
    if os.environ.get("PYNN_BACKEND") == "native":
        raise ImportError("PYNN_BACKEND=native, but the compiled extension is missing or broken") from error
    if os.environ.get("PYNN_BACKEND") != "fallback":
        warnings.warn(_without_kernels(os.path.abspath(os.path.join(__file__, "../../.."))), RuntimeWarning, stacklevel=2)

_native = _core is not None and os.environ.get("PYNN_BACKEND", "native") != "fallback"
_names = frozenset(_core.kernel_names()) if _core is not None else frozenset()
_fallback_threads = 1
native_callable = None if _core is None else _core.Callable


def native_enabled() -> bool:
    """True if calls go to the compiled kernels."""
    return _native


def native_names() -> frozenset[str]:
    """Names of the compiled kernels, `<op>_<dtype>`; empty when the extension is not there."""
    return _names


def targets() -> list[str]:
    """CPU targets that are compiled in and that this machine runs."""
    return _core.targets() if _core is not None else []


def target() -> str:
    """The CPU target in use."""
    return _core.target() if _native else "none"


def num_threads() -> int:
    """Threads of a native call; the fallback has one."""
    return _core.num_threads() if _native else _fallback_threads


def set_num_threads(threads: int) -> None:
    """See `pynn.set_num_threads`; without native kernels it has nothing to do."""
    if _native:
        _core.set_num_threads(threads)


def spec_code(spec):
    """The (shape, dtype code) pair that the extension takes, None for an absent operand."""
    return None if spec is None else (spec.shape, NATIVE_CODES[spec.dtype])


def kernel_name(op, inputs) -> str | None:
    """Name of the native kernel for these input specs, None if there can't be one."""
    present = [s for s in inputs if s is not None]
    if any(s.dtype not in NATIVE_CODES for s in present):
        return None
    leading = next((s for s in present if is_float(s.dtype)), present[0] if present else None)
    suffix = NATIVE_SUFFIX[leading.dtype] if leading is not None else "f32"
    for name in (f"{op.kernel}_{suffix}", op.kernel):
        if name in _names:
            return name
    return None


def prepare_native(op, inputs, outputs, attrs, target: str = ""):
    """The prepared native kernel for these specs and attributes, None where the op has none that covers them."""
    if _core is None:
        return None
    name = kernel_name(op, inputs)
    if name is None or any(s is not None and s.dtype not in NATIVE_CODES for s in outputs):
        return None
    ints, floats = op.pack(attrs)
    if ints and not -(2**63) <= min(ints) <= max(ints) < 2**63:
        return None
    kernel = _core.Kernel(name, [spec_code(s) for s in inputs], [spec_code(s) for s in outputs], ints, floats, target)
    return kernel if kernel.supported else None


def introduce(tensor: type, variable: type, active) -> None:
    """Tells the extension of the classes and of the record of listeners that calls without Python look into."""
    if _core is not None:
        _core.set_python_types(tensor, variable, active)


def introduce_tape(tape: type) -> None:
    """Tells the extension of the class of tapes that take segments."""
    if _core is not None:
        _core.set_tape_type(tape)


def run_native(op, kernel, tensors: tuple, outputs: tuple) -> tuple:
    """Runs a prepared kernel on tensors; its outputs, of the specs `outputs`, as new tensors."""
    try:
        return kernel.apply(tensors, outputs)
    except _core.KernelFailure as failure:
        raise failure_error(op, *failure.args) from None


def run_fallback(op, arrays, attrs, outputs):
    """Runs the op's fallback and brings its results to the specs `outputs`."""
    with np.errstate(all="ignore"):
        results = op.fallback(*arrays, **attrs)
    if not isinstance(results, tuple):
        results = (results,)
    return [None if s is None else np.ascontiguousarray(r, dtype=s.dtype).reshape(s.shape) for r, s in zip(results, outputs, strict=True)]


def failure_error(op, code: int, values) -> Exception:
    """The exception for a failure that a kernel reported."""
    template = op.failures.get(code, "the kernel failed with code {code}")
    if callable(template):
        return template(*values)
    return ValueError(f"[{op.name}] " + template.format(*values, code=code))


def empty(spec) -> np.ndarray:
    """An uninitialised C-contiguous array, 64-byte aligned on the native backend."""
    if _core is not None and spec.dtype in NATIVE_CODES:
        return _core.empty(spec_code(spec))
    return np.empty(spec.shape, spec.dtype)
