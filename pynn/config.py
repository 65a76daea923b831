"""Settings of the process: the backend, the CPU target, threads and Winograd's algorithm, and how to show them."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np

from pynn.dtypes import is_whole

_winograd = os.environ.get("PYNN_WINOGRAD", "1") != "0"


def backend() -> str:
    """`"native"` (the C++ kernels) or `"fallback"` (NumPy and Numba); the environment variable PYNN_BACKEND chooses."""
    from pynn.engine import kernels

    return "native" if kernels.native_enabled() else "fallback"


MAX_THREADS = 1023  # kMaxThreads of csrc/base/threads.h


def set_num_threads(threads: int) -> None:
    """Lets native steps use up to `threads` threads, including the caller's. Results do not depend on the number.

    Raises:
        ValueError: `threads` is below one, or above what the thread pool holds.
    """
    if not is_whole(threads) or not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"[set_num_threads] threads must be a whole number from 1 to {MAX_THREADS}. Received: threads={threads!r}.")
    from pynn.engine import kernels

    kernels.set_num_threads(int(threads))


def num_threads() -> int:
    """The number of threads that a native step may use: PYNN_NUM_THREADS, or else the processors that the process may use."""
    from pynn.engine import kernels

    return kernels.num_threads()


def set_winograd(allowed: bool) -> None:
    """Allows or forbids Winograd's algorithm for 3x3 convolutions in float32; PYNN_WINOGRAD=0 forbids it from the start.

    It is allowed by default and two to three times as fast. Results differ from direct convolution by rounding, up to about 1e-5 of the
    largest value. The choice is made when a convolution is called or captured: what was captured before keeps its own.

    Raises:
        TypeError: `allowed` is not a bool.
    """
    global _winograd
    if not isinstance(allowed, (bool, np.bool_)):
        raise TypeError(f"[set_winograd] allowed must be True or False. Received: allowed={allowed!r}.")
    _winograd = bool(allowed)


def winograd() -> bool:
    """Whether convolutions may use Winograd's algorithm: see `set_winograd`."""
    return _winograd


def show_config() -> str:
    """Prints versions, backend, CPU target, threads and optional packages, and returns the text."""
    from pynn import __version__
    from pynn.engine import kernels, loops

    lines = [
        f"pynn      {__version__}",
        f"backend   {backend()}",
        f"target    {kernels.target()} (compiled and runnable: {', '.join(kernels.targets()) or 'none'})",
        f"kernels   {len(kernels.native_names())} native{'' if kernels.native_enabled() else ', not in use'}",
        f"threads   {num_threads()} of {os.cpu_count()} processors",
        f"winograd  {'allowed' if winograd() else 'forbidden'}",
        f"python    {sys.version.split()[0]} on {platform.system()} {platform.machine()}",
        f"numpy     {np.__version__}",
        f"numba     {_version_of('numba')}{' (compiles loops of the fallback)' if loops.are_compiled() else ''}",
    ]
    settings = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("PYNN_")]
    lines.append(f"settings  {', '.join(settings) or 'none'}")
    text = "\n".join(lines)
    print(text)
    return text


def _version_of(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
