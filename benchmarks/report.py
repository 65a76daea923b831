"""From measurements to tables: medians over rounds, the fastest peer of every row, and rows that are lost shown like those that are won."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from .contestants import workloads

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
KERNEL_GROUPS = ("matmul", "conv", "recurrent", "other")
GROUP_OF = {row: group for group, rows in workloads.GROUPS.items() for row in rows}

# What the rows of the README's table are, for people.
TITLES = {
    "import": "the import statement",
    "cold_start": "a process that trains `mlp_b32` for its first epoch",
    "gd": "linear regression 4-1, 4 rows, SGD",
    "lstm_tiny": "LSTM of 16 units on a number, 2 rows, Adam",
    "mlp_b32": "dense 784-128-10, 32 images, SGD",
    "mlp_b128": "dense 784-128-10, 128 images, SGD",
    "cnn_small_sgd": "two 5x5 convolutions of 8 and 16 filters, 64 images, SGD",
    "cnn_small_adam": "two 5x5 convolutions of 8 and 16 filters, 64 images, Adam",
    "cnn": "two 3x3 convolutions of 32 and 64 filters, 128 images, Adam",
    "gru_b32": "GRU of 64 units over 28 rows, 32 images, Adam",
    "gru_b128": "GRU of 64 units over 28 rows, 128 images, Adam",
    "lstm": "LSTM of 128 units over 28 rows, 128 images, Adam",
    "infer_mlp_b1": "prediction by the dense network, one image",
    "infer_mlp_b256": "prediction by the dense network, 256 images",
    "infer_cnn_b1": "prediction by the network of `cnn`, one image",
    "infer_cnn_b256": "prediction by the network of `cnn`, 256 images",
    "infer_gru_b1": "prediction by the GRU of 64 units, one image",
    "infer_gru_b256": "prediction by the GRU of 64 units, 256 images",
}


@dataclass(frozen=True)
class Figure:
    """A contestant's fastest variant of a row: seconds for a unit of work, and its range over rounds."""

    contestant: str
    variant: str
    seconds: float
    low: float
    high: float
    first_epoch: float | None = None


@dataclass(frozen=True)
class Row:
    """A row at a number of threads: ours and every peer's figure. `ratio` is the fastest peer's time over ours: above one we are faster."""

    name: str
    threads: int
    ours: Figure
    peers: tuple[Figure, ...]
    gflops: float | None
    gigabytes: float | None
    share_of_peak: float | None

    @property
    def fastest(self) -> Figure | None:
        return min(self.peers, key=lambda figure: figure.seconds, default=None)

    @property
    def ratio(self) -> float | None:
        return self.fastest.seconds / self.ours.seconds if self.fastest else None

    @property
    def is_lost(self) -> bool:
        return self.ratio is not None and self.ratio < 1

    @property
    def mark(self) -> str:
        """`faster` or `SLOWER`; with "?" where the two ranges over the rounds overlap, so that another run may turn it."""
        if self.fastest is None:
            return "no peer"
        unsure = self.fastest.low < self.ours.high and self.ours.low < self.fastest.high
        return ("SLOWER" if self.is_lost else "faster") + ("?" if unsure else "")


def rows_of(measurements: Iterable[dict], peaks: dict[int, dict]) -> list[Row]:
    """Every row that we measured, in the order of the workloads."""
    figures = _figures(measurements)
    rows = []
    for (name, threads), by_contestant in figures.items():
        if "pynn" not in by_contestant:
            continue
        ours = by_contestant["pynn"]
        peers = tuple(figure for contestant, figure in by_contestant.items() if contestant != "pynn")
        rows.append(Row(name, threads, ours, peers, *_rates(name, ours.seconds, peaks.get(threads, {}))))
    order = list(workloads.ROWS)
    return sorted(rows, key=lambda row: (order.index(row.name.partition(".")[0]), row.name, row.threads))


def _figures(measurements: Iterable[dict]) -> dict[tuple[str, int], dict[str, Figure]]:
    medians: dict[tuple, list[float]] = defaultdict(list)
    firsts: dict[tuple, list[tuple[float, int]]] = defaultdict(list)
    for found in measurements:
        key = found["row"], found["threads"], found["contestant"], found["variant"]
        if "median" in found:
            medians[key].append(found["median"])
            if "first" in found:
                firsts[key].append((found["first"], found["first_steps"]))
    figures: dict[tuple[str, int], dict[str, Figure]] = {}
    for (row, threads, contestant, variant), times in medians.items():
        seconds = statistics.median(times)
        first = _first_epoch(row, seconds, firsts[row, threads, contestant, variant])
        here = figures.setdefault((row, threads), {})
        if contestant not in here or seconds < here[contestant].seconds:
            here[contestant] = Figure(contestant, variant, seconds, min(times), max(times), first)
    return figures


def _first_epoch(row: str, step: float, firsts: list[tuple[float, int]]) -> float | None:
    """Set-up, capture or compilation and the first steps as measured, the rest of the epoch at the median step."""
    work = workloads.ROWS[row.partition(".")[0]]
    if not isinstance(work, workloads.Train) or work.is_full_batch or not firsts:
        return None
    return statistics.median(first + max(0, work.steps_per_epoch - steps) * step for first, steps in firsts)


def _rates(row: str, seconds: float, peak: dict) -> tuple[float | None, float | None, float | None]:
    flops, size = workloads.cost_of(row)
    gflops, gigabytes = flops / seconds / 1e9 or None, size / seconds / 1e9 or None
    limit = peak.get("gflops") if gflops else peak.get("gigabytes")
    rate = gflops or gigabytes
    return gflops, gigabytes, rate / limit if rate and limit else None


def as_json(row: Row) -> dict:
    """A row with what follows from it."""
    fastest = row.fastest
    return {**asdict(row), "fastest": fastest and fastest.contestant, "ratio": row.ratio, "lost": row.is_lost, "mark": row.mark}


# -- tables --------------------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def figure_text(figure: Figure | None) -> str:
    return f"{duration(figure.seconds)} ({figure.variant})" if figure else "-"


def table(head: list[str], body: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def full_table(rows: list[Row]) -> str:
    """Every row: ours, the fastest peer, the ratio and its mark, our rate, our first epoch and the fastest peer's."""
    head = ["row", "threads", "pynn", "fastest peer", "fastest peer / pynn", "pynn is", "rate (of peak)", "first epoch, pynn / peer"]
    return table(head, [[row.name, str(row.threads), figure_text(row.ours), _peer_text(row), _ratio_text(row), row.mark, _rate_text(row),
                         _first_text(row)] for row in rows])  # fmt: skip


def _peer_text(row: Row) -> str:
    return f"{row.fastest.contestant} {figure_text(row.fastest)}" if row.fastest else "-"


def _ratio_text(row: Row) -> str:
    return f"{row.ratio:.2f}" if row.ratio is not None else "-"


def _rate_text(row: Row) -> str:
    if row.gflops is None and row.gigabytes is None:
        return "-"
    rate = f"{row.gflops:.3g} GFLOP/s" if row.gflops else f"{row.gigabytes:.3g} GB/s"
    return rate + (f" ({100 * row.share_of_peak:.0f} %)" if row.share_of_peak else "")


def _first_text(row: Row) -> str:
    if row.ours.first_epoch is None:
        return "-"
    peer = row.fastest.first_epoch if row.fastest else None
    return f"{duration(row.ours.first_epoch)} / {duration(peer) if peer is not None else '-'}"


def short_table(rows: list[Row]) -> str:
    """Training, inference and start at a glance: one line a row, our time and the fastest peer at every number of threads."""
    by_name: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in _model_rows(rows):
        by_name[row.name][row.threads] = row
    threads = sorted({row.threads for row in rows})
    head = ["what", *(f"pynn, {_threads_text(t)}" for t in threads), *(f"fastest peer, {_threads_text(t)}" for t in threads)]
    body = []
    for name, found in by_name.items():
        title = f"`{name}`" + (f": {TITLES[name]}" if name in TITLES else "")
        times = [duration(found[t].ours.seconds) if t in found else "-" for t in threads]
        body.append([title, *times, *(_short_peer_text(found[t]) if t in found else "-" for t in threads)])
    return table(head, body)


def _short_peer_text(row: Row) -> str:
    if row.fastest is None:
        return "-"
    return f"{row.fastest.contestant} {_ratio_text(row)}{'?' if '?' in row.mark else ''}{' SLOWER' if row.is_lost else ''}"


def _model_rows(rows: list[Row]) -> list[Row]:
    return [row for row in rows if GROUP_OF.get(row.name.partition(".")[0]) not in (*KERNEL_GROUPS, None)]


def summary_table(rows: list[Row]) -> str:
    """Training, inference and start with all libraries: one line a row and number of threads, one column a library."""
    shown = _model_rows(rows)
    names = list(dict.fromkeys(figure.contestant for row in shown for figure in row.peers))
    body = []
    for row in shown:
        by_name = {figure.contestant: figure for figure in row.peers}
        cells = [duration(by_name[name].seconds) if name in by_name else "-" for name in names]
        body.append([row.name, str(row.threads), duration(row.ours.seconds), *cells, _ratio_text(row), row.mark])
    return table(["row", "threads", "pynn", *names, "fastest peer / pynn", "pynn is"], body)


def family_table(rows: list[Row]) -> str:
    """The kernels by family and threads: how many rows, the median and the worst ratio, and how many are lost."""
    families: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        group = GROUP_OF.get(row.name.partition(".")[0])
        if group in KERNEL_GROUPS and row.ratio is not None:
            families[group, row.threads].append(row)
    body = []
    for (group, threads), members in sorted(families.items(), key=lambda item: (KERNEL_GROUPS.index(item[0][0]), item[0][1])):
        worst = min(members, key=lambda row: row.ratio)
        lost = sum(row.is_lost for row in members)
        body.append([group, str(threads), str(len(members)), f"{statistics.median(row.ratio for row in members):.2f}",
                     f"{worst.ratio:.2f} ({worst.name})", str(lost)])  # fmt: skip
    if not body:
        return ""
    return table(["kernels", "threads", "rows", "median ratio", "worst ratio", "rows where pynn is slower"], body)


def lost_list(rows: list[Row]) -> str:
    """The rows where a peer is faster, the worst first."""
    lost = sorted((row for row in rows if row.is_lost), key=lambda row: row.ratio)
    if not lost:
        return "pynn is slower in no row of this run."
    named = ", ".join(
        f"{row.name} at {row.threads} ({row.ratio:.2f}, {row.fastest.contestant}{'?' if '?' in row.mark else ''})" for row in lost
    )
    return f"pynn is slower in {len(lost)} of {len(rows)} rows (row at threads, ratio, the faster library): {named}."


def headline(result: dict) -> str:
    """Machine, versions, peak, settings and quietness of a run, in a few lines."""
    machine, settings = result["machine"], result["settings"]
    versions = "; ".join(_version_text(name, found) for name, found in result["versions"].items())
    peaks = "; ".join(
        f"{_threads_text(t)} {p['gflops']:.0f} GFLOP/s, {p['gigabytes']:.0f} GB/s"
        if p.get("gflops")
        else f"{_threads_text(t)} not measured"
        for t, p in result["peak"].items()
    )
    missing = f" Not installed, so not measured: {', '.join(result['missing'])}." if result["missing"] else ""
    quiet = result["quiet"]
    return (
        f"Measured {result['date']} on {machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}. "
        f"{versions}. Peak measured in this run: {peaks}. Medians over {_rounds_text(settings['rounds'])}; processes bound to as many "
        f"cores as threads.{missing} {quiet['verdict']}"
    )


def _version_text(name: str, found: dict[str, str]) -> str:
    """ "torch 2.13.0 (blas MKL)": the library's own version first."""
    own = next((key for key in found if key in (name, "scikit-learn", "keras", "tfjs")), None)
    rest = ", ".join(f"{key} {value}" for key, value in found.items() if key != own)
    return f"{name} {found.get(own, '')}".strip() + (f" ({rest})" if rest else "")


def _threads_text(threads: int | str) -> str:
    return "1 thread" if int(threads) == 1 else f"{threads} threads"


def _rounds_text(rounds: int) -> str:
    return "one round" if rounds == 1 else f"{rounds} alternating rounds"


def page(result: dict, rows: list[Row]) -> str:
    """The full report."""
    return _joined("# Side by side", headline(result), lost_list(rows), family_table(rows), full_table(rows)) + "\n"


def readme_section(result: dict, rows: list[Row]) -> str:
    """What stands in the README between the markers: the plot and a line for each row."""
    machine = result["machine"]
    peers = ", ".join(f"{name} {found.get(name, '')}".strip() for name, found in result["versions"].items())
    head = (
        f"Measured {result['date']} on {machine['processor']}, {machine['cores']} cores: {peers}. Details of the run and the times "
        "of all libraries are in [benchmarks](docs/benchmarks.md#the-table)."
    )
    plot = "![Time of the fastest other library divided by pynn's](docs/benchmarks.png)"
    ratio = "The number after the fastest peer's name is its time divided by pynn's: above 1, pynn is faster."
    note = f"{_what_is_timed(result)} {ratio} {_UNSURE}"
    return _joined(head, plot, note, _lost(rows, "docs/design/10-limits.md"), short_table(rows), family_table(rows))


def docs_section(result: dict, rows: list[Row]) -> str:
    """What stands in docs/benchmarks.md between the markers: the whole table."""
    note = f"{_what_is_timed(result)} The last but one column is the fastest peer's time over pynn's: above 1 pynn is faster. {_UNSURE}"
    return _joined(headline(result), note, _lost(rows, "design/10-limits.md"), summary_table(rows), family_table(rows))


_UNSURE = '"?": the ranges of the rounds overlap, so another run may give the opposite order.'


def _what_is_timed(result: dict) -> str:
    untried = "" if result["settings"].get("compile") else " (`torch.compile` was not tried)"
    return (
        "Time of one training step (`gd` to `lstm`), one call (`infer`), the import statement, or a process up to the end of its first "
        f"epoch. Each library is represented by its fastest variant{untried}; in `cold_start`, by its usual training loop."
    )


def _lost(rows: list[Row], limits: str) -> str:
    return f"{lost_list(rows)} Single kernels where it is slower are in [limits]({limits})."


def _joined(*parts: str) -> str:
    return "\n\n".join(filter(None, parts))


def write_sections(root: Path, result: dict, rows: list[Row]) -> None:
    """The README's table and the page's. Raises ValueError if one of the files has no place for it, and writes neither then."""
    sections = {root / "README.md": readme_section(result, rows), root / "docs" / "benchmarks.md": docs_section(result, rows)}
    written = {path: between_markers(path, text) for path, text in sections.items()}
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")


def between_markers(path: Path, text: str) -> str:
    """The file's text with `text` between its markers. Raises ValueError if it lacks them."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def load(paths: Iterable[Path]) -> dict:
    """One result from the files of one or more runs: the first one's description, all verdicts and measurements, the highest peaks.

    Runs of the same rows with the same libraries are rounds of one.
    """
    results = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    merged = results[0]
    merged["quiet"]["verdict"] = " ".join(dict.fromkeys(result["quiet"]["verdict"] for result in results))
    for other in results[1:]:
        if other["settings"]["rows"] == merged["settings"]["rows"] and other["versions"].keys() == merged["versions"].keys():
            merged["settings"]["rounds"] += other["settings"]["rounds"]
        merged["measurements"] += other["measurements"]
        merged["versions"] |= other["versions"]
        for threads, peak in other["peak"].items():
            mine = merged["peak"].get(threads)
            if not mine or (peak.get("gflops") or 0) > (mine.get("gflops") or 0):
                merged["peak"][threads] = peak
    return merged
