"""What this machine can do: fused multiply-adds a second and memory bandwidth, measured, not read from a data sheet.

    python benchmarks/peak.py --threads 1,2

GFLOP/s: twelve independent chains of vector multiply-adds on every thread, of the widest target that pynn uses (`PYNN_MAX_TARGET`
caps it). GB/s: `out = a + x * b` over arrays much larger than the caches, counted as three arrays (two reads, one write) as STREAM
counts them. Each figure is the best of many short windows: it is an upper limit, so that a share of it is never flattering.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

FMA_ROUNDS = 4000
TRIAD_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class Peak:
    """The machine's limits at a number of threads; None without the extension."""

    threads: int
    gflops: float | None
    gigabytes: float | None
    target: str


def measure(threads: int, seconds: float = 0.3) -> Peak:
    """Measures both limits; takes about twice `seconds`. Leaves pynn's number of threads as it was."""
    try:
        from pynn import _core
    except ImportError:
        return Peak(threads, None, None, "none")
    before = _core.num_threads()
    _core.set_num_threads(threads)
    try:
        return Peak(threads, _gflops(_core, threads, seconds), _gigabytes(_core, seconds), _core.target())
    finally:
        _core.set_num_threads(before)


def _gflops(core, threads: int, seconds: float) -> float:
    chunks = 8 * threads
    kernel = core.Kernel("peak_fma_f32", [((2,), 0)], [((chunks, 2), 0)], [FMA_ROUNDS], [])
    factor_and_term, out = np.array([0.5, 1.0], np.float32), np.zeros((chunks, 2), np.float32)
    best = _best_seconds(lambda: kernel.run_into([factor_and_term], [out]), seconds)
    return float(out[:, 1].sum(dtype=np.float64)) / best / 1e9


def _gigabytes(core, seconds: float) -> float:
    spec = ((TRIAD_ELEMENTS,), 0)
    kernel = core.Kernel("peak_triad_f32", [spec, spec, ((), 0)], [spec], [], [])
    a, b, out = (np.full(TRIAD_ELEMENTS, value, np.float32) for value in (1, 2, 0))
    factor = np.array(3, np.float32)
    best = _best_seconds(lambda: kernel.run_into([a, b, factor], [out]), seconds)
    return 3 * a.nbytes / best / 1e9


def _best_seconds(call: Callable[[], object], seconds: float) -> float:
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Prints the limits, one line (or JSON object) per number of threads."""
    parser = argparse.ArgumentParser(description="Measure the machine's peak.")
    parser.add_argument("--threads", default="1", help="numbers of threads, separated by commas")
    parser.add_argument("--seconds", type=float, default=0.3, help="seconds for each figure (0.3)")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    options = parser.parse_args()
    for threads in map(int, options.threads.split(",")):
        peak = measure(threads, options.seconds)
        if options.json:
            print(json.dumps(asdict(peak)))
        elif peak.gflops is None:
            print("pynn's extension is not installed: the peak can't be measured")
        else:
            print(f"{threads} threads: {peak.gflops:.1f} GFLOP/s ({peak.target}), {peak.gigabytes:.1f} GB/s")


if __name__ == "__main__":
    main()
