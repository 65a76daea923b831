"""The side-by-side runner: what it measures and writes has the right form. No test here looks at how fast anything is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)  # every test starts several processes
ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}


def compare(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.compare", *arguments]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(result, Markdown, path of the JSON) of a minimal comparison with NumPy."""
    folder = tmp_path_factory.mktemp("compare")
    written = [folder / "result.json", folder / "result.md"]
    ran = compare("--peers", "numpy", "--rows", "gd,mm_16", "--threads", "1", "--rounds", "2", "--budget", "0.01",
                  "--json", str(written[0]), "--markdown", str(written[1]))  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(written[0].read_text(encoding="utf-8")), written[1].read_text(encoding="utf-8"), written[0]


def test_every_contestant_did_every_row_in_every_round(run):
    result, _, _ = run
    done = {(m["contestant"], m["row"], m["round"]) for m in result["measurements"]}
    rows = ("gd", "mm_16.nn", "mm_16.nt", "mm_16.tn")
    assert done == {(c, row, turn) for c in ("pynn", "numpy") for row in rows for turn in (0, 1)}
    assert not [m for m in result["measurements"] if "error" in m]


def test_rounds_alternate(run):
    result, _, _ = run
    order = [m["contestant"] for m in result["measurements"] if m["row"] == "mm_16.nn"]
    assert [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name] == ["pynn", "numpy"] * 2


def test_rows_say_who_is_faster(run):
    result, _, _ = run
    assert len(result["rows"]) == 4
    for row in result["rows"]:
        assert row["fastest"] == "numpy" and row["ratio"] > 0
        assert row["lost"] == (row["ratio"] < 1)
        assert row["mark"].rstrip("?") == ("SLOWER" if row["lost"] else "faster")


def test_the_run_describes_itself(run):
    result, _, _ = run
    assert result["machine"]["cores"] >= 1 and result["settings"]["threads"] == [1]
    assert set(result["versions"]) == {"pynn", "numpy"}
    assert "verdict" in result["quiet"] and "1" in result["peak"]


def test_the_page_has_a_line_for_every_row(run):
    result, page, _ = run
    for row in result["rows"]:
        assert re.search(rf"^\| {re.escape(row['name'])} \| 1 \| .*\| {re.escape(row['mark'])} \|", page, re.MULTILINE)
    assert result["quiet"]["verdict"] in page


def measured(contestant: str, row: str, seconds: float, variant: str = "only") -> dict:
    found = {"contestant": contestant, "row": row, "variant": variant, "median": seconds, "best": seconds}
    return {**found, "threads": 1, "others": 0.0, "round": 0}


@pytest.fixture
def loaded(tmp_path):
    """A file of a run in which pynn loses one row of two."""
    found = [measured("pynn", "gd", 1e-6), measured("numpy", "gd", 4e-6, "slow"), measured("numpy", "gd", 3e-6, "quick"),
             measured("pynn", "mm_16.nn", 2e-6), measured("numpy", "mm_16.nn", 1e-6)]  # fmt: skip
    result = {"date": "2000-01-01", "machine": {"processor": "p", "cores": 1, "memory": "1 GiB", "system": "s", "python": "3"},
              "settings": {"rounds": 1}, "versions": {"pynn": {"pynn": "0"}}, "missing": {"torch": "no module"},
              "peak": {"1": {"threads": 1, "gflops": 100.0, "gigabytes": 10.0, "target": "t"}},
              "quiet": {"verdict": "The machine was quiet."}, "measurements": found}  # fmt: skip
    path = tmp_path / "run.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    return path


def test_lost_rows_are_marked_and_listed(loaded, tmp_path):
    ran = compare("--from", str(loaded), "--json", str(tmp_path / "out.json"))
    assert ran.returncode == 0, ran.stderr
    won, lost = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["rows"]
    assert (won["mark"], won["ratio"], won["peers"][0]["variant"]) == ("faster", pytest.approx(3), "quick")
    assert (lost["mark"], lost["ratio"]) == ("SLOWER", pytest.approx(0.5))
    assert lost["share_of_peak"] == pytest.approx(2 * 16**3 / 2e-6 / 1e9 / 100)
    assert "pynn is slower in 1 of 2 rows (row at threads, ratio, the faster library): mm_16.nn at 1 (0.50, numpy)." in ran.stdout
    assert "Not installed, so not measured: torch." in ran.stdout


def test_the_plot_is_a_picture(loaded, tmp_path):
    pytest.importorskip("matplotlib")
    ran = compare("--from", str(loaded), "--plot", str(tmp_path / "plot.png"))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments, message", [
    (("--rows", "nonsense"), "no row or group 'nonsense'"),
    (("--peers", "nobody"), "no peer nobody"),
    (("--rows", "gd", "--threads", "100000"), "the cores this process may use"),
    (("--rows", "gd", "--peers", "numpy", "--python", "torch"), "PEER=PATH"),
])  # fmt: skip
def test_wrong_options_are_explained(arguments, message):
    ran = compare(*arguments)
    assert ran.returncode == 1 and message in ran.stderr


def test_the_readme_has_a_place_for_the_table():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("<!-- benchmarks:begin -->") < text.index("<!-- benchmarks:end -->")
