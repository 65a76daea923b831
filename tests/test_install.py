"""What an installed package does: imports quietly, says what it runs on, and trains the tutorials."""

from __future__ import annotations

import math
import os
import py_compile
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

import pynn as pn
from pynn import cli, tutorials


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """A fresh interpreter that finds this package first."""
    path = os.pathsep.join(filter(None, [str(Path(pn.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    settings = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=100, env=settings)


def test_it_trains_without_docstrings_and_assertions():
    script = (
        "import numpy as np, pynn as pn\n"
        "model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,))])\n"
        "model.compile('adam', pn.losses.MeanSquaredError(), metrics=[pn.metrics.MeanAbsoluteError()])\n"
        "print(len(model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0).history), pn.losses.Hinge.__name__)\n"
    )
    done = run("-OO", "-c", script)
    assert (done.returncode, done.stdout) == (0, "2 Hinge\n"), done.stderr


@pytest.mark.parametrize("form", ["archive", "compiled"])
def test_it_runs_from_an_archive_and_without_sources(form, tmp_path):
    package = Path(pn.__file__).parent
    sources = sorted(package.rglob("*.py"))
    if form == "archive":
        place = tmp_path / "pynn.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for path in sources:
                archive.write(path, path.relative_to(package.parent))
    else:
        place = tmp_path
        for path in sources:
            compiled = tmp_path / path.relative_to(package.parent).with_suffix(".pyc")
            py_compile.compile(str(path), str(compiled), doraise=True)
    script = (
        f"import sys; sys.path.insert(0, {str(place)!r})\n"
        "import pynn as pn\n"
        "print(pn.__file__.startswith(sys.path[0]), pn.exp(pn.zeros(2)).tolist(), len(pn.ops.__all__))\n"
    )
    done = run("-W", "ignore", "-c", script)
    assert (done.returncode, done.stdout) == (0, f"True [1.0, 1.0] {len(pn.ops.__all__)}\n"), done.stderr


def test_import_is_quiet_and_starts_no_thread():
    script = (
        "import threading, os, numpy\n"
        "count = lambda: len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else threading.active_count()\n"
        "before = count()\n"
        "import pynn\n"
        "raise SystemExit(count() - before)\n"
    )
    result = run("-W", "error", "-c", script)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("sources, words", [(True, "from its sources in .*Start Python in another folder"), (False, "Install a C")])
def test_a_package_without_kernels_says_why(tmp_path, sources, words):
    shutil.copytree(Path(pn.__file__).parent, tmp_path / "pynn", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    if sources:
        (tmp_path / "CMakeLists.txt").touch()
    environment = {k: v for k, v in os.environ.items() if k != "PYNN_BACKEND"}
    result = subprocess.run(
        [sys.executable, "-c", "import pynn; print(pynn.backend())"], capture_output=True, text=True, timeout=100,
        env={**environment, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert result.stdout == "fallback\n"
    assert re.search(words, result.stderr), result.stderr


@pytest.mark.parametrize("name, value, taken", [
    ("PYNN_NUM_THREADS", "abc", "a whole number above zero"), ("PYNN_NUM_THREADS", "0", "a whole number above zero"),
    ("PYNN_NUM_THREADS", "-3", "a whole number above zero"), ("PYNN_NUM_THREADS", "1_0", "a whole number above zero"),
    ("PYNN_BACKEND", "natve", "native, fallback"), ("PYNN_MAX_TARGET", "foo", "baseline, avx2, avx512"),
    ("PYNN_NUMBA", "no", "0, 1"), ("PYNN_WINOGRAD", "off", "0, 1"),
])  # fmt: skip
def test_a_setting_that_says_nothing_is_told(name, value, taken):
    result = run("-c", "import pynn", **{name: value})
    assert f"RuntimeWarning: [pynn] {name} is ignored: it takes {taken}. Received: {value!r}." in result.stderr


@pytest.mark.parametrize("name, value", [("PYNN_NUM_THREADS", "2"), ("PYNN_NUM_THREADS", " +02"), ("PYNN_MAX_TARGET", "")])
def test_a_setting_that_is_taken_is_not_told(name, value):
    assert run("-W", "error", "-c", "import pynn", **{name: value}).stderr == ""


def test_import_leaves_optional_packages_alone():
    script = "import sys, pynn; print([n for n in ('numba', 'matplotlib', 'pandas', 'urllib.request', 'ssl') if n in sys.modules])"
    assert run("-c", script).stdout == "[]\n"


def test_time_of_the_import_is_reported(record_property):
    script = "import numpy, time; t = time.perf_counter(); import pynn; print(time.perf_counter() - t)"
    seconds = min(float(run("-c", script).stdout) for _ in range(2))
    record_property("import_seconds_beyond_numpy", seconds)
    print(f"import of pynn beyond NumPy: {1000 * seconds:.0f} ms")
    assert math.isfinite(seconds)


def test_the_package_is_small():
    """Its files, compressed as in a wheel."""
    folder = Path(pn.__file__).parent
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sizes = {path: len(zlib.compress(path.read_bytes())) for path in files}
    largest = [f"{path.relative_to(folder)}: {size / 1e6:.2f} MB" for path, size in sorted(sizes.items(), key=lambda item: -item[1])[:5]]
    assert sum(sizes.values()) < 5e6, f"{sum(sizes.values()) / 1e6:.2f} MB, of which {', '.join(largest)}"


def test_info_of_the_command_line():
    result = run("-m", "pynn", "info")
    assert result.returncode == 0 and not result.stderr
    for part in (pn.__version__, pn.backend(), "threads", "numpy"):
        assert part in result.stdout


def test_unknown_backends_and_commands_are_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main([])
    with pytest.raises(SystemExit):
        cli.main(["tutorials", "--epochs", "0"])
    capsys.readouterr()
    assert cli.main(["tutorials", "nothing"]) == 1
    assert "no tutorial 'nothing'" in capsys.readouterr().err


EPOCHS = {"gradient-descent": 20, "lstm": 20}


@pytest.mark.parametrize("name", tutorials.NAMES)
def test_tutorials_in_short_form(name, capsys):
    if pn.backend() != "native" and name not in (*EPOCHS, "dense"):
        pytest.skip("slow on the fallback kernels")
    assert cli.main(["tutorials", name, "--epochs", str(EPOCHS.get(name, 1))]) == 0
    output = capsys.readouterr().out
    table = output[output.rindex("\ntutorial ") :].splitlines()[2:]
    figures = [float(re.split(r"\s{2,}", line.strip())[-2 if i == 0 else -1]) for i, line in enumerate(table) if line.strip()]
    assert figures and all(map(math.isfinite, figures)), output
