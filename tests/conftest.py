"""What every test gets: the backend in the header, small data that is not in the repository, and calm hypothesis settings."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import pynn
from pynn.engine import call_tape, public
from pynn.optimizers import captured_steps

ROOT = Path(__file__).resolve().parents[1]

# Processes that tests start import the package that is tested: an installed one, even where the sources lie in the working folder.
INSTALLED = str(Path(pynn.__file__).resolve().parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [INSTALLED, os.environ.get("PYTHONPATH")]))
os.environ["PYTHONSAFEPATH"] = "1"  # known from Python 3.11 on

if os.environ.get("PYNN_TEST_SERVED"):  # public functions are captured at the first call that can be, not where it pays
    public.LOOKED_AT = public.SIGHTINGS = call_tape.SIGHTINGS = captured_steps.SIGHTINGS = 1

settings.register_profile(
    "pynn", deadline=None, max_examples=50, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "pynn"))


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_sources(tmp_path_factory):
    """Python 3.10 lets started processes find packages in the working folder first: there, that is a folder without any."""
    if sys.version_info < (3, 11):
        os.chdir(tmp_path_factory.mktemp("working_folder"))


def pytest_report_header() -> str:
    extension = "built" if importlib.util.find_spec("pynn._core") else "not built"
    return f"pynn: PYNN_BACKEND={os.environ.get('PYNN_BACKEND', '(default)')}, extension {extension}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test data that is too large for the repository; the test is skipped where there is none."""
    named = os.environ.get("PYNN_TEST_SHARED")
    candidates = [Path(named)] if named else [ROOT.parent / "shared", ROOT.parents[1] / "shared"]
    for candidate in candidates:
        if (candidate / "data").is_dir():
            return candidate
    pytest.skip(f"no shared test data in {' or '.join(map(str, candidates))}; set PYNN_TEST_SHARED to its folder")


@pytest.fixture(scope="session")
def in_threads() -> Callable[[Callable[[int], None]], None]:
    """Runs `work(0)` to `work(3)` in threads of their own at once, and waits for them."""

    def run(work: Callable[[int], None]) -> None:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run


@pytest.fixture
def interruptible():
    """Python's own reaction to an interrupt, also where the process was started with interrupts ignored (in the background)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
