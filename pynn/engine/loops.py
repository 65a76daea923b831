"""Loops of the fallback kernels, which Numba compiles where it is installed. Elsewhere NumPy's operations on whole arrays do the same."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pynn.engine import kernels


class Loop:
    """A function of contiguous arrays and numbers, written element by element, that Numba compiles at its first call.

    What was compiled is kept on disk for later processes, in the place that Numba chooses (`NUMBA_CACHE_DIR`).
    """

    def __init__(self, function: Callable):
        self.function = function
        self.__doc__ = function.__doc__
        self._compiled: Callable | None = None

    def __call__(self, *arguments):
        if self._compiled is None:
            self._compiled = _compile(self.function)
        return self._compiled(*arguments)


class Either:
    """A fallback kernel of two forms: `loops` where loops are compiled, else `numpy`."""

    def __init__(self, numpy: Callable, loops: Callable):
        self.numpy, self.loops = numpy, loops

    def __call__(self, *arrays, **attrs):
        return (self.loops if are_compiled() else self.numpy)(*arrays, **attrs)


def are_compiled() -> bool:
    """Whether to run loops: on the fallback backend, if Numba is installed and PYNN_NUMBA isn't 0."""
    return not kernels.native_enabled() and os.environ.get("PYNN_NUMBA") != "0" and _has_numba()


def read(*arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays, contiguous and read-only: one type for Numba, which else compiles a loop for each mixture of such properties."""
    views = [np.ascontiguousarray(a).view() for a in arrays]
    for view in views:
        view.flags.writeable = False
    return views


@functools.cache
def _has_numba() -> bool:
    try:
        import numba  # noqa: F401
    except ModuleNotFoundError:
        return False
    except Exception as error:  # such as a NumPy that it doesn't know yet
        text = f"Numba is installed, but can't be imported ({error}). The fallback runs without it; PYNN_NUMBA=0 silences this."
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return False
    return True


def _compile(function: Callable) -> Callable:
    import numba

    words: dict[str, Any] = dict(nogil=True, error_model="numpy")
    try:
        return numba.njit(cache=True, **words)(function)
    except RuntimeError:  # nowhere to write
        return numba.njit(**words)(function)
