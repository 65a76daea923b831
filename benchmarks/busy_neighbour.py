"""A training step beside a process that keeps one processor busy: two threads against one.

    python benchmarks/busy_neighbour.py [--rounds 3] [--seconds 0.4]

The network is the dense one of the tutorials, 784-128-10, trained by `fit` with batches of 32 and of 128. For each batch the step is
timed on one thread and on two, first with the processors to ourselves, then with a process spinning on one of them. Times are means
over a whole call of `fit` (a mean, because a step that waits for a time slice of somebody else must count), the median of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time

import numpy as np

import pynn as pn

BATCHES = (32, 128)
STEPS_PER_EPOCH = 64


@contextlib.contextmanager
def neighbour(processor: int):
    """A process that spins on one processor."""
    spin = f"import os; os.sched_setaffinity(0, [{processor}]); print(flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


def dense_network():
    """784-128-10 with SGD."""
    model = pn.Sequential([pn.layers.Dense(128, activation="relu"), pn.layers.Dense(10)])
    model.compile(optimizer="sgd", loss=pn.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def microseconds_per_step(model, x, y, batch: int, seconds: float) -> float:
    """Mean time of a step over a call of `fit` that takes about so many seconds."""
    epochs, taken = 2, 0.0
    while True:
        start = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)
        taken = time.perf_counter() - start
        if taken >= 0.5 * seconds:
            return taken / (epochs * STEPS_PER_EPOCH) * 1e6
        epochs = max(2 * epochs, int(epochs * seconds / taken))


def compare(batch: int, rounds: int, seconds: float) -> dict[int, float]:
    """Median step in microseconds for one thread and two, taken in turns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * STEPS_PER_EPOCH, 784)).astype(np.float32)
    y = rng.integers(0, 10, len(x)).astype(np.int32)
    model = dense_network()
    model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads, taken in times.items():
            pn.set_num_threads(threads)
            taken.append(microseconds_per_step(model, x, y, batch, seconds))
    return {threads: statistics.median(taken) for threads, taken in times.items()}


def main() -> None:
    """Prints a line for each batch, alone and beside a neighbour on each of two processors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.4, help="of one call of fit")
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, processors)
    for batch in BATCHES:
        for busy in (None, *processors):
            with contextlib.nullcontext() if busy is None else neighbour(busy):
                times = compare(batch, options.rounds, options.seconds)
            where = "alone" if busy is None else f"neighbour on processor {busy}"
            print(f"batch {batch:3d}, {where:24s} 1 thread {times[1]:7.1f} us   2 threads {times[2]:7.1f} us   {times[2] / times[1]:.2f}x")


if __name__ == "__main__":
    main()
