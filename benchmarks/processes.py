"""Runs contestants: each in a process of its own, in its own interpreter, with the threads stated and the cores bound."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .machine import cores

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SCRIPTS = HERE / "contestants"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "PYNN_NUM_THREADS",
                     "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")  # fmt: skip

# The C library keeps the memory of large arrays. A library that allocates them anew in every step pays for page faults otherwise.
_MALLOC = {"MALLOC_TOP_PAD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}


@dataclass(frozen=True)
class Contestant:
    """A library: the script that does the work, and the import statement that is timed and says whether the library is there."""

    name: str
    script: str
    imports: str
    environment: dict[str, str] = field(default_factory=dict)
    is_library: bool = True  # False: hand-written code, without an import time or a cold start to compare
    needs: str = ""  # a further import that the script can't do without, apart from the library: looked for, not timed
    tunings: dict[str, dict[str, str]] = field(default_factory=lambda: {"": {}})  # suffix of the variants: environment; each a process

    @property
    def uses_node(self) -> bool:
        return self.script.endswith(".js")


PYNN = Contestant("pynn", "pynn_contestant.py", "import pynn")
PEERS = {
    peer.name: peer
    for peer in (
        Contestant("torch", "torch_contestant.py", "import torch", tunings={"": {}, "+malloc": _MALLOC}),
        Contestant("jax", "jax_contestant.py", "import jax, jax.numpy", {"JAX_PLATFORMS": "cpu"}),
        Contestant(
            "keras-tf",
            "keras_contestant.py",
            "import tensorflow, keras",
            {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        ),
        Contestant("keras-jax", "keras_contestant.py", "import jax, keras", {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}),
        Contestant("sklearn", "sklearn_contestant.py", "from sklearn.neural_network import MLPClassifier"),
        Contestant("onnxruntime", "onnxruntime_contestant.py", "import onnxruntime", needs="import onnx"),
        Contestant("numpy", "numpy_contestant.py", "import numpy", is_library=False),
        Contestant("tfjs-wasm", "tfjs_contestant.js", "", {"TFJS_BACKEND": "wasm"}),
        Contestant("tfjs-cpu", "tfjs_contestant.js", "", {"TFJS_BACKEND": "cpu"}),
    )
}


def interpreter_of(contestant: Contestant, given: dict[str, str]) -> str:
    """The program that runs a contestant: given by name, or `PYNN_BENCH_PYTHON_<NAME>`, or this interpreter (Node for TensorFlow.js)."""
    variable = "PYNN_BENCH_PYTHON_" + contestant.name.upper().replace("-", "_")
    return given.get(contestant.name) or os.environ.get(variable) or ("node" if contestant.uses_node else sys.executable)


def missing_reason(contestant: Contestant, interpreter: str) -> str | None:
    """None if the contestant can run, else what is missing."""
    if not shutil.which(interpreter):
        return f"{interpreter} not found"
    script = f"require('{contestant.environment['TFJS_BACKEND']}' === 'wasm' ? '@tensorflow/tfjs-backend-wasm' : '@tensorflow/tfjs')" \
        if contestant.uses_node else f"{contestant.imports}\n{contestant.needs}"  # fmt: skip
    flag = "-e" if contestant.uses_node else "-c"
    ran = subprocess.run(
        [interpreter, flag, script],
        env=environment_of(contestant, 1, interpreter),
        cwd=_empty_folder().name,
        capture_output=True,
        text=True,
    )
    if ran.returncode == 0:
        return None
    lines = [line for line in ran.stderr.splitlines() if "Error" in line]
    return lines[-1] if lines else f"exit status {ran.returncode}"


def environment_of(contestant: Contestant, threads: int, interpreter: str) -> dict[str, str]:
    """The environment of a contestant's process: this one's, with the threads set for every library that reads a variable."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH")}
    environment.update({name: str(threads) for name in _THREAD_VARIABLES})
    environment["OMP_PROC_BIND"] = "true"  # without it OpenMP's threads may share a core and wait milliseconds for each other
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    environment.update(contestant.environment)
    if contestant is PYNN and not _has_pynn(interpreter):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    return environment


@functools.cache
def _empty_folder() -> tempfile.TemporaryDirectory:
    """Where processes start: files that lie there could be imported in the place of a library's own modules."""
    return tempfile.TemporaryDirectory(prefix="pynn_benchmarks_")


@functools.cache
def _has_pynn(interpreter: str) -> bool:
    """Whether the interpreter, started elsewhere, finds pynn; if not, the one in this checkout is measured."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    ran = subprocess.run([interpreter, "-c", "import pynn"], cwd=_empty_folder().name, env=environment, capture_output=True)
    return ran.returncode == 0


@dataclass
class Runner:
    """Starts the processes of one comparison."""

    interpreters: dict[str, str]
    budget: float
    compile: bool
    launcher: Sequence[str] = ()
    timeout: float = 300

    def rows(self, contestant: Contestant, rows: Sequence[str], threads: int, tuning: str = "") -> tuple[list[dict], dict]:
        """(measurements, versions) of rows; each measurement has the contestant, the threads and the others' share of the processors."""
        arguments = ["--rows", ",".join(rows), "--threads", str(threads), "--budget", str(self.budget)]
        arguments += ["--compile"] if self.compile else []
        lines, complaints = self._lines(contestant, threads, [self._script(contestant), *arguments], contestant.tunings[tuning])
        others = next((line["others"] for line in lines if "others" in line), None)
        found = [{"contestant": contestant.name, "threads": threads, "others": others, **line} for line in lines if "row" in line]
        for one in found:
            one["variant"] += tuning
        versions = next((line["versions"] for line in lines if "versions" in line), {})
        if not versions:
            print(f"  {contestant.name}: no result. {complaints[-400:]}", file=sys.stderr)
        return found, versions

    def cold_start(self, contestant: Contestant, threads: int) -> dict | None:
        """Seconds from the start of a process to the end of its first epoch of mlp_b32: the better of two in a row, as memory that lay idle
        costs the first one page faults which on a virtual machine the host has to answer."""
        found = [self._first_epoch(contestant, threads) for _ in range(2)]
        return self._one("cold_start", contestant, threads, None if None in found else min(found))

    def _first_epoch(self, contestant: Contestant, threads: int) -> float | None:
        with _bound_to(threads):
            began = time.perf_counter()
            process = self._start(contestant, threads, [self._script(contestant), "--task", "cold_start", "--threads", str(threads)], {})
        seconds = None
        for line in process.stdout:
            if '"done"' in line:
                seconds = time.perf_counter() - began
        process.wait()
        return seconds

    def import_time(self, contestant: Contestant, threads: int, repeats: int = 3) -> dict | None:
        """Seconds of the import statement in a fresh process: the best of some, after one that compiles what is not compiled."""
        if contestant.uses_node:
            return None
        code = f"import time\nstart = time.perf_counter()\n{contestant.imports}\nprint('{{\"s\":', time.perf_counter() - start, '}}')"
        found = [self._lines(contestant, threads, ["-c", code])[0] for _ in range(repeats + 1)]
        seconds = [lines[-1]["s"] for lines in found[1:] if lines]
        return self._one("import", contestant, threads, min(seconds, default=None))

    def peak(self, threads: Sequence[int], seconds: float) -> list[dict]:
        """The machine's limits, as pynn's extension measures them."""
        arguments = [str(HERE / "peak.py"), "--json", "--seconds", str(seconds), "--threads", ",".join(map(str, threads))]
        return self._lines(PYNN, max(threads), arguments)[0]

    def _one(self, row: str, contestant: Contestant, threads: int, seconds: float | None) -> dict | None:
        if seconds is None:
            return None
        return {"contestant": contestant.name, "threads": threads, "others": None, "row": row, "variant": "process",
                "median": seconds, "best": seconds, "windows": 1}  # fmt: skip

    def _script(self, contestant: Contestant) -> str:
        return str(SCRIPTS / contestant.script)

    def _start(self, contestant: Contestant, threads: int, arguments: Sequence[str], tuning: dict[str, str]) -> subprocess.Popen:
        interpreter = interpreter_of(contestant, self.interpreters)
        environment = environment_of(contestant, threads, interpreter) | tuning
        return subprocess.Popen([*self.launcher, interpreter, *arguments], env=environment, cwd=_empty_folder().name, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def _lines(
        self, contestant: Contestant, threads: int, arguments: Sequence[str], tuning: dict[str, str] | None = None
    ) -> tuple[list[dict], str]:
        with _bound_to(threads):
            process = self._start(contestant, threads, arguments, tuning or {})
        try:
            out, complaints = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, complaints = process.communicate()
            complaints += f"\nstopped after {self.timeout:.0f} s"
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")], complaints


class _bound_to:
    """Processes started inside run on the last `threads` cores that are there, where the system can bind them."""

    def __init__(self, threads: int):
        self.threads = threads

    def __enter__(self) -> None:
        self.before = cores()
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.before[-self.threads :])

    def __exit__(self, *_) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.before)
