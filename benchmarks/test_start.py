"""How long it takes to get going: the import beyond NumPy's, and a process that trains an epoch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pynn

TIMED_IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
FIRST_EPOCH = """
import numpy as np, pynn as pn
random = np.random.default_rng(0)
x, y = np.resize(random.random((1000, 28, 28), dtype=np.float32), (60000, 28, 28)), random.integers(0, 10, 60000)
L = pn.layers
model = pn.Sequential([L.Flatten(input_shape=(28, 28)), L.Dense(128, activation="relu"), L.Dense(10, activation="softmax")])
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
model.fit(x, y, epochs=1, batch_size=32, verbose=0)
"""


def run(code: str) -> str:
    """Output of a fresh interpreter, which may keep its compiled bytecode: without it every import compiles again."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    folder = str(Path(pynn.__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, environment.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout


def import_seconds(modules: str) -> float:
    return float(run(TIMED_IMPORT.format(modules)))


def test_import(benchmark):
    """`import pynn`, NumPy with it; what it adds to NumPy's own import is in extra_info, the median of five pairs."""
    import_seconds("pynn")
    numpy, both = zip(*((import_seconds("numpy"), import_seconds("pynn")) for _ in range(5)), strict=True)
    benchmark.extra_info["milliseconds_over_numpy"] = round(1e3 * sorted(b - n for n, b in zip(numpy, both, strict=True))[2], 2)
    benchmark.extra_info["milliseconds_numpy"] = round(1e3 * sorted(numpy)[2], 2)
    benchmark.pedantic(run, ("import pynn",), rounds=5)


def test_import_of_all_that_is_lazy(benchmark):
    benchmark.pedantic(run, ("import pynn; [getattr(pynn, name) for name in pynn.__all__]",), warmup_rounds=1, rounds=5)


def test_cold_start(benchmark):
    """From the start of a process to the end of the dense tutorial's first epoch over 60,000 rows, the data made in it included."""
    benchmark.pedantic(run, (FIRST_EPOCH,), warmup_rounds=1, rounds=3)
