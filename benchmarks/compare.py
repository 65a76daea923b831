"""pynn beside the libraries that are installed, each in its own process, in turn, round after round.

    python -m benchmarks.compare                                           # whatever is installed here, all rows, 1 and 2 threads
    python -m benchmarks.compare --python torch=/path/to/python --rows mlp,cnn --rounds 1
    python -m benchmarks.compare --from result.json --readme               # tables again from measurements that are there

Rows that pynn loses are shown like those it wins, and marked. See docs/benchmarks.md for what a row does.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import machine, report
from .contestants import workloads
from .processes import PEERS, PYNN, ROOT, Contestant, Runner, interpreter_of, missing_reason

LOUD_SHARE = 0.05  # of the measurements: from here on a report says in capitals that they were disturbed


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known.add_argument("--peers", default="auto", help=f"comma-separated; auto: all that can be imported ({', '.join(PEERS)})")
    known.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="a peer's interpreter; may be repeated")
    known.add_argument("--rows", default="all", help=f"rows or groups ({', '.join(workloads.GROUPS)}), comma-separated")
    known.add_argument("--threads", default="", help="comma-separated; default 1 and 2, as far as there are cores")
    known.add_argument("--rounds", type=int, default=3)
    known.add_argument("--budget", type=float, default=0.3, help="seconds for a measurement of a step; kernels take a third (0.3)")
    known.add_argument("--retries", type=int, default=1, help="how often a process disturbed by other programs is repeated (1)")
    known.add_argument("--compile", action="store_true", help="also variants that compile for long (torch.compile)")
    known.add_argument("--launcher", default="", help="command put before every process that is timed, such as 'nice -n -10'")
    known.add_argument("--from", dest="files", nargs="+", type=Path, metavar="JSON", help="measure nothing, report these runs")
    known.add_argument("--json", type=Path, metavar="FILE", help="write measurements and rows")
    known.add_argument("--markdown", type=Path, metavar="FILE", help="write the full tables")
    known.add_argument("--readme", action="store_true", help="write the tables between the markers of README.md and docs/benchmarks.md")
    known.add_argument("--plot", type=Path, metavar="PNG", help="write a plot of all ratios (needs matplotlib)")
    known.add_argument(
        "--curves", action="store_true", help="instead of rows: pynn's step and torch's over batch, width and length, into docs/curves.md"
    )
    return known


def main(arguments: list[str] | None = None) -> int:
    """Measures or loads, then writes what was asked for; returns the exit status."""
    options = parser().parse_args(arguments)
    if options.curves:
        from .curves import run_curves

        return run_curves(options, lambda rows, peers: measure(options, rows, peers))
    try:
        result = report.load(options.files) if options.files else measure(options, workloads.rows_of(options.rows), chosen_peers(options))
    except (KeyError, ValueError, OSError) as error:
        print(f"compare: {error.args[0] if error.args else error}", file=sys.stderr)
        return 1
    rows = report.rows_of(result["measurements"], {int(t): p for t, p in result["peak"].items()})
    result["rows"] = [report.as_json(row) for row in rows]
    print(report.page(result, rows))
    write(options, result, rows)
    return 0


def write(options: argparse.Namespace, result: dict, rows: list[report.Row]) -> None:
    """The files that were asked for."""
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.page(result, rows), encoding="utf-8")
    if options.readme:
        report.write_sections(ROOT, result, rows)
    if options.plot:
        from .plots import plot_ratios

        plot_ratios(rows, options.plot)


def chosen_peers(options: argparse.Namespace) -> list[Contestant]:
    """The peers named, or all. Raises KeyError for a name that is none."""
    if options.peers == "auto":
        return list(PEERS.values())
    unknown = [name for name in options.peers.split(",") if name and name not in PEERS]
    if unknown:
        raise KeyError(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return [PEERS[name] for name in options.peers.split(",") if name]


def interpreters(options: argparse.Namespace) -> dict[str, str]:
    """{peer: interpreter} of the --python options. Raises ValueError for one that isn't NAME=PATH."""
    pairs = [entry.partition("=") for entry in options.python]
    if not all(sign for _, sign, _ in pairs):
        raise ValueError("--python is written PEER=PATH")
    return {name: path for name, _, path in pairs}


def threads_of(options: argparse.Namespace) -> list[int]:
    """The numbers of threads to measure at. Raises ValueError for more than there are cores."""
    if not options.threads:
        return [threads for threads in (1, 2) if threads <= len(machine.cores())]
    threads = [int(word) for word in options.threads.split(",")]
    if min(threads) < 1 or max(threads) > len(machine.cores()):
        raise ValueError(f"--threads must be from 1 to {len(machine.cores())}, the cores this process may use")
    return threads


def measure(options: argparse.Namespace, rows: list[str], peers: list[Contestant]) -> dict:
    """All rounds; returns the whole result."""
    runner = Runner(interpreters(options), options.budget, options.compile, shlex.split(options.launcher))
    reasons = {peer.name: missing_reason(peer, interpreter_of(peer, runner.interpreters)) for peer in peers}
    contestants = [PYNN, *(peer for peer in peers if reasons[peer.name] is None)]
    threads = threads_of(options)
    before = machine.probe()
    log(f"{', '.join(c.name for c in contestants)}; threads {threads}; {before}")
    for name, why in reasons.items():
        if why:
            log(f"  without {name}: {why}")
    session = Session(runner, contestants, threads, options.retries)
    session.measure_peak()
    began = time.perf_counter()
    for turn in range(options.rounds):
        log(f"round {turn + 1} of {options.rounds}, {time.perf_counter() - began:.0f} s")
        session.round(turn, rows)
    session.measure_peak()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "settings": {"rows": options.rows, "threads": threads, "rounds": options.rounds, "budget": options.budget,
                     "compile": options.compile, "seconds": round(time.perf_counter() - began)},
        "versions": session.versions,
        "missing": {name: why for name, why in reasons.items() if why},
        "peak": session.peaks,
        "quiet": session.quietness(before),
        "measurements": session.measurements,
    }  # fmt: skip


class Session:
    """The measurements of one comparison while they come in."""

    def __init__(self, runner: Runner, contestants: list[Contestant], threads: list[int], retries: int = 0):
        self.runner, self.contestants, self.threads, self.retries = runner, contestants, threads, retries
        self.measurements: list[dict] = []
        self.versions: dict[str, dict] = {}
        self.peaks: dict[int, dict] = {}
        self.probes: list[machine.Quietness] = []

    def measure_peak(self) -> None:
        """Keeps the highest limits seen."""
        for found in self.runner.peak(self.threads, min(0.3, 2 * self.runner.budget)):
            known = self.peaks.setdefault(found["threads"], found)
            for kind in ("gflops", "gigabytes"):
                known[kind] = max(filter(None, (known[kind], found[kind])), default=None)

    def round(self, turn: int, rows: list[str]) -> None:
        """Every group of rows at every number of threads, by one contestant after the other."""
        for group in grouped(rows):
            self.probes.append(machine.probe())
            for threads in self.threads:
                for contestant in self.contestants:
                    for found in self._measure(contestant, group, threads):
                        found["round"] = turn
                        self.measurements.append(found)
            log(f"  {group[0]}{' ...' if len(group) > 1 else ''} done; {self.probes[-1]}")

    def _measure(self, contestant: Contestant, rows: list[str], threads: int) -> Iterator[dict]:
        works = [workloads.ROWS[row] for row in rows]
        if isinstance(works[0], workloads.Start):
            for work in works if contestant.is_library else []:
                found = (self.runner.import_time if work.task == "import" else self.runner.cold_start)(contestant, threads)
                if found:
                    yield found
            return
        for tuning in contestant.tunings:
            found, versions = self._quietest(contestant, rows, threads, tuning)
            self.versions.setdefault(contestant.name, {}).update(versions)
            yield from found

    def _quietest(self, contestant: Contestant, rows: list[str], threads: int, tuning: str) -> tuple[list[dict], dict]:
        """The first process that ran undisturbed, or the least disturbed of all tries: chosen by the others' work, never by the times."""
        tries = []
        for _ in range(1 + self.retries):
            found, versions = self.runner.rows(contestant, rows, threads, tuning)
            others = (found[0]["others"] or 0.0) if found else 0.0
            tries.append((others, found, versions))
            if others <= machine.QUIET_OTHERS:
                break
        return min(tries, key=lambda one: one[0])[1:]

    def quietness(self, before: machine.Quietness) -> dict:
        """What others used of the processors while a contestant ran; where the system doesn't tell, the probes between the groups."""
        shares = [m["others"] for m in self.measurements if m["others"] is not None]
        loud, disturbed = sum(not probe.is_quiet for probe in self.probes), sum(share > machine.QUIET_OTHERS for share in shares)
        if shares:
            verdict = verdict_on(disturbed, len(shares), max(shares))
        else:
            verdict = (
                f"{loud} of {len(self.probes)} probes of the machine between the measurements were NOT QUIET." if loud else "Quiet probes."
            )
        return {
            "before": str(before),
            "probes": len(self.probes),
            "loud_probes": loud,
            "disturbed_measurements": disturbed,
            "verdict": verdict,
        }


def verdict_on(disturbed: int, measured: int, most: float) -> str:
    """One sentence on a run of so many measurements, by how many of them others disturbed; `most` is the largest share that they used."""
    if not disturbed:
        return f"The machine was quiet while it was measured (other programs used up to {100 * most:.0f} % of the processors)."
    loud = "THE MACHINE WAS NOT QUIET: " if disturbed > LOUD_SHARE * measured else ""
    limit = f"more than {100 * machine.QUIET_OTHERS:.0f} % of the processors used by others"
    return f"{loud}{disturbed} of {measured} measurements were disturbed ({limit})."


def grouped(rows: list[str]) -> list[list[str]]:
    """The rows by group: what runs in one process."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(report.GROUP_OF.get(row, row.rpartition("_")[0]), []).append(row)
    return list(groups.values())


def log(line: str) -> None:
    """Progress, apart from the report."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
