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


# -- the tables in the README and in docs/benchmarks.md -------------------------------------------------------------------

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def section_of(path: Path) -> str:
    """What stands between the markers of a file."""
    return path.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def cells_of(section: str, head: str) -> list[list[str]]:
    """The lines of the table that has such a first cell."""
    lines = section.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def report(monkeypatch):
    """The module that writes tables."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import report

    return report


def test_both_tables_are_written_between_their_markers(report, loaded, tmp_path):
    (tmp_path / "docs").mkdir()
    pages = [tmp_path / "README.md", tmp_path / "docs" / "benchmarks.md"]
    for page in pages:
        page.write_text(f"before\n{BEGIN}\nof another run\n{END}\nafter\n", encoding="utf-8")
    result = report.load([loaded])
    report.write_sections(tmp_path, result, report.rows_of(result["measurements"], {}))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"\n{END}\nafter\n") and "of another run" not in text
        assert "slower in 1 of 2 rows" in text
    assert cells_of(section_of(pages[0]), "what") == [["`gd`: linear regression 4-1, 4 rows, SGD", "1 µs", "numpy 3.00"]]
    assert cells_of(section_of(pages[1]), "row") == [["gd", "1", "1 µs", "3 µs", "3.00", "faster"]]


def test_a_page_without_markers_is_an_error_and_nothing_is_written(report, loaded, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(f"{BEGIN}\nof another run\n{END}\n", encoding="utf-8")
    (tmp_path / "docs" / "benchmarks.md").write_text("no place\n", encoding="utf-8")
    result = report.load([loaded])
    with pytest.raises(ValueError, match="benchmarks:begin"):
        report.write_sections(tmp_path, result, report.rows_of(result["measurements"], {}))
    assert "of another run" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_tables_say_the_same_and_what_is_said_of_them():
    readme, docs = section_of(ROOT / "README.md"), section_of(ROOT / "docs" / "benchmarks.md")
    short, full = cells_of(readme, "what"), cells_of(docs, "row")
    ratios = {(cells[0], cells[1]): cells[-2:] for cells in full}
    assert len(ratios) == len(full) == 2 * len(short) > 0
    for what, *cells in short:
        name = re.match("`([^`]+)`", what).group(1)
        for threads, time, peer in zip(("1", "2"), cells[:2], cells[2:], strict=True):
            ratio, mark = ratios[name, threads]
            assert peer.split()[1].rstrip("?") == ratio and ("?" in peer) == ("?" in mark) and ("SLOWER" in peer) == ("SLOWER" in mark)
            assert [name, threads, time] in [line[:3] for line in full]
    lost = [(name, threads, ratio) for (name, threads), (ratio, mark) in ratios.items() if "SLOWER" in mark]
    for section in (readme, docs):
        if lost:
            assert f"pynn is slower in {len(lost)} of " in section
            assert all(f"{name} at {threads} ({ratio}, " in section for name, threads, ratio in lost)
        else:
            assert "pynn is slower in no row of this run." in section
    assert "](docs/benchmarks.png)" in readme


@pytest.mark.parametrize("disturbed, loud", [(0, False), (2, False), (60, False), (80, True)])
def test_the_verdict_on_a_run_grows_with_what_was_disturbed(monkeypatch, disturbed, loud):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.compare import verdict_on

    verdict = verdict_on(disturbed, 1460, 0.06)
    assert ("NOT QUIET" in verdict) == loud
    assert f"{disturbed} of 1460 measurements were disturbed (more than 5 %" in verdict if disturbed else "was quiet" in verdict
