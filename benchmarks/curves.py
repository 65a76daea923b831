"""`--curves`: the time of a training step over batch, width and sequence length, ours beside torch's, into docs/curves.md."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable

from . import report
from .contestants.workloads import CURVES
from .processes import PEERS, ROOT

TITLES = {
    "batch": "batch (dense 784-128-10, SGD)",
    "width": "units of the hidden layer (dense 784-units-10, batch 128, SGD)",
    "steps": "sequence length (GRU 64 on 28 features, batch 32, Adam)",
}

NOTE = (
    "Compared with PyTorch only. On the dense steps and the GRU, JAX is faster than PyTorch ([benchmarks](benchmarks.md#the-table)), so "
    "the ratios to the fastest peer would be smaller. In parentheses is the fastest variant: of pynn `fit`, or `train_on_batch`, a call "
    "from Python for each step; of PyTorch `loop_fused`, a loop with autograd and a fused optimizer, or `manual`, the dense step with "
    "hand-written gradients; `+malloc` is the same with the C library set to keep the memory of large arrays."
)


def run_curves(options: Namespace, measure: Callable[[list[str], list], dict]) -> int:
    """Measures the curves, or loads them with `--from`, and writes the page and its picture. Returns the exit status."""
    names = [f"curve_{axis}_{value}" for axis, points in CURVES.items() for value in points]
    result = report.load(options.files) if options.files else measure(names, [PEERS["torch"]])
    rows = report.rows_of(result["measurements"], {int(t): p for t, p in result["peak"].items()})
    curves = {axis: [row for row in rows if row.name.startswith(f"curve_{axis}_")] for axis in CURVES}
    if options.json:
        result["rows"] = [report.as_json(row) for row in rows]
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    write_page(result, {axis: found for axis, found in curves.items() if found})
    return 0


def write_page(result: dict, curves: dict[str, list[report.Row]]) -> None:
    """docs/curves.md and docs/curves.png."""
    from .plots import plot_curves

    plot_curves(curves, TITLES, ROOT / "docs" / "curves.png")
    parts = [
        "# A training step over batch, width and sequence length",
        "Written by `python -m benchmarks.compare --curves`. " + report.headline(result),
        NOTE,
        "![Time of a step over batch, width and sequence length](curves.png)",
    ]
    for axis, rows in curves.items():
        parts += [f"## Over {TITLES[axis]}", report.lost_list(rows), curve_table(rows)]
    (ROOT / "docs" / "curves.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def curve_table(rows: list[report.Row]) -> str:
    """One line a point and number of threads."""
    head = ["at", "threads", "pynn", "torch", "torch / pynn", "pynn is"]
    ordered = sorted(rows, key=lambda row: (row.threads, int(row.name.rpartition("_")[2])))
    body = []
    for row in ordered:
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else "-"
        at = row.name.rpartition("_")[2]
        body.append([at, str(row.threads), report.figure_text(row.ours), report.figure_text(row.fastest), ratio, row.mark])
    return report.table(head, body)
