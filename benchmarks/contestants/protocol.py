"""What every contestant shares: its command line, timing, data, and the JSON lines it prints.

A contestant is a script with a function for each kind of row that it can do, which yields `Case`s; `run(kinds, versions)` does the rest.
Only NumPy is needed here. Threads and affinity are set by whoever starts the script.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from watch import Watch
from workloads import ROWS, Net, Train, rows_of

WINDOW_SECONDS = 0.01
MIN_WINDOWS, MAX_WINDOWS = 3, 400


@dataclass
class Case:
    """One way to do a row: `start()` sets up and returns the call that is timed; a call does `calls` units of work (steps, mostly).

    `sync(result)` waits for asynchronous work and closes a window.
    """

    variant: str
    start: Callable[[], Callable[[], object]]
    op: str = ""
    calls: int = 1
    sync: Callable[[object], object] = staticmethod(lambda result: result)


def options() -> argparse.Namespace:
    """The command line of a contestant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=0.3, help="seconds for a measurement of a step; kernels take a third of it")
    parser.add_argument("--compile", action="store_true", help="include variants that compile for many seconds first")
    parser.add_argument("--task", default="run", choices=["run", "cold_start"])
    return parser.parse_args()


def run(kinds: dict[type, Callable[[Any], Iterable[Case]]], versions: dict[str, str]) -> None:
    """Measures every case of every row asked for; prints a JSON line for each, and one with the versions."""
    given, watch = options(), Watch()
    print(json.dumps({"versions": versions}), flush=True)
    if given.task == "cold_start":
        cold_start(kinds[Train])
        return
    for name in rows_of(given.rows):
        row = ROWS[name]
        for case in kinds[type(row)](row) if type(row) in kinds else ():
            budget = given.budget if isinstance(row, (Train, Net)) else given.budget / 3
            found = attempt(case, budget)
            print(json.dumps({"row": name + (f".{case.op}" if case.op else ""), "variant": case.variant, **found}), flush=True)
    print(json.dumps({"others": watch.others()}), flush=True)


def attempt(case: Case, budget: float) -> dict:
    """The measurement, or the error that stands for it: a library that lacks one row still reports the others."""
    try:
        return measure(case, budget)
    except Exception as error:
        print(f"# {case.variant} {case.op}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def measure(case: Case, budget: float) -> dict:
    """Seconds for a unit of work: median and best over windows of at least 10 ms, and `first`, set-up with the first call."""
    clock = time.perf_counter
    began = clock()
    call = case.start()
    case.sync(call())
    first = clock() - began
    took = window(call, case.sync, 1)
    if took < WINDOW_SECONDS:
        took = window(call, case.sync, max(1, int(WINDOW_SECONDS / 4 / max(took, 1e-8))))
    repeats = max(1, round(WINDOW_SECONDS / max(took, 1e-8)))
    times: list[float] = []
    end = clock() + budget
    while len(times) < MIN_WINDOWS or (clock() < end and len(times) < MAX_WINDOWS):
        times.append(window(call, case.sync, repeats) / case.calls)
        if times[0] * case.calls > 2 * budget:
            break
    return {
        "median": float(np.median(times)),
        "best": min(times),
        "windows": len(times),
        "first": first,
        "first_steps": case.calls,
    }


def window(call: Callable[[], object], sync: Callable[[object], object], repeats: int) -> float:
    """Seconds of one call, over `repeats` of them."""
    began = time.perf_counter()
    for _ in range(repeats):
        result = call()
    sync(result)
    return (time.perf_counter() - began) / repeats


def cold_start(train: Callable[[Any], Iterable[Case]]) -> None:
    """The first epoch of mlp_b32 in the first of the library's variants; the process that started this one measures."""
    row = ROWS["mlp_b32"]
    case = next(iter(train(row)))
    call = case.start()
    for _ in range(row.steps_per_epoch // case.calls):
        result = call()
    case.sync(result)
    print(json.dumps({"done": True}), flush=True)


def fit_steps(row: Train) -> int:
    """Steps in one timed `fit`: at most an epoch, about half a second at 100 GFLOP/s, 1000 for the models of a few numbers."""
    return 1000 if row.is_full_batch else max(1, min(row.steps_per_epoch, max(20, int(50e9 / row.flops()))))


def training_data(row: Train) -> tuple[np.ndarray, np.ndarray]:
    """(x, y): images as (samples, 28, 28) with integer labels, or the few numbers of the small models. Random, of MNIST's shape."""
    if row.model == "linear":
        x = np.array([[1, 0.5, -0.2, 0.3], [0.1, 2, 0.4, -0.6], [-0.7, 0.2, 1.5, 0.9], [0.4, -0.3, 0.8, 1.1]], np.float32)
        return x, x @ np.array([[1], [-2], [0.5], [3]], np.float32) + np.float32(0.7)
    if row.model == "lstm_tiny":
        return np.array([[[0.2]], [[0.8]]], np.float32), np.array([[0.2], [0.8]], np.float32)
    return images(row.samples, row.steps), np.random.default_rng(1).integers(0, 10, row.samples)


def net_data(row: Net) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) for all steps: random, inputs and targets in 0..1, words and classes as integers."""
    random = np.random.default_rng(4)
    rows = row.steps * row.batch
    x = random.integers(0, row.vocabulary, (rows, *row.inputs)) if row.vocabulary else random.random((rows, *row.inputs), np.float32)
    return x, random.integers(0, row.classes, rows) if row.classes else random.random((rows, *row.targets), np.float32)


def few_rows() -> tuple[np.ndarray, np.ndarray]:
    """32 rows of 16 numbers, of four classes."""
    return normal(32, 16), np.random.default_rng(5).integers(0, 4, 32)


def images(samples: int, steps: int = 28) -> np.ndarray:
    """(samples, steps, 28) float32 in 0..1; a block of random rows, repeated, because making 60,000 takes longer than some epochs."""
    block = np.random.default_rng(0).random((min(samples, 1024), steps, 28), dtype=np.float32)
    return np.resize(block, (samples, steps, 28))


def normal(*shape: int) -> np.ndarray:
    """Standard normal float32."""
    return np.random.default_rng(2).standard_normal(shape, dtype=np.float32)


def by_parts(fit: Callable, x: np.ndarray, y: np.ndarray, rows: int) -> Callable:
    """A call of `fit(x, y)` for the next `rows` rows, and so on through all of them: none is in a cache because it was just used."""
    starts = itertools.cycle(range(0, len(x) - rows + 1, rows))

    def call():
        first = next(starts)
        return fit(x[first : first + rows], y[first : first + rows])

    return call


class Batches:
    """Row numbers of shuffled batches, epoch after epoch; the rows that don't fill a batch are left out."""

    def __init__(self, samples: int, batch: int, permutation: Callable | None = None):
        permutation = permutation or np.random.default_rng(3).permutation
        self.samples, self.batch, self.permutation = samples, batch, permutation
        self.order, self.at = permutation(samples), 0

    def next(self):
        """The next batch's row numbers."""
        if self.at + self.batch > self.samples:
            self.order, self.at = self.permutation(self.samples), 0
        self.at += self.batch
        return self.order[self.at - self.batch : self.at]
