"""Pictures of the comparison: every ratio on one page, and curves over a model's size. Needs matplotlib (`pip install ".[plot]"`)."""

from __future__ import annotations

from pathlib import Path

from .report import GROUP_OF, Row

WON, LOST, LINE = "#2b7bba", "#c8553d", "#888888"
MARKERS = {1: "o", 2: "s"}
TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100, 200, 500, 1000)


def plot_ratios(rows: list[Row], path: Path) -> None:
    """One dot for every row and number of threads, on a logarithmic axis; what we lose is red and left of the line."""
    plt = _pyplot()
    names = list(dict.fromkeys(row.name for row in rows if row.ratio is not None))
    height = {name: len(names) - i for i, name in enumerate(names)}
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.19 * len(names)))
    for row in rows:
        if row.ratio is not None:
            marker = MARKERS.get(row.threads, "D")
            axes.scatter(
                row.ratio,
                height[row.name],
                s=26,
                marker=marker,
                color=LOST if row.is_lost else WON,
                alpha=0.85,
                linewidths=0,
                zorder=3,
            )
    axes.axvline(1, color=LINE, linewidth=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks([ratio for ratio in TICKS if low <= ratio <= high], minor=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel("time of the fastest other library / time of pynn (right of 1: pynn is faster)")
    axes.set_yticks(list(height.values()), list(height), fontsize=7)
    axes.set_ylim(0.2, len(names) + 0.8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6, zorder=0)
    for name in names:
        group = GROUP_OF.get(name.partition(".")[0])
        if height[name] > 1 and group != GROUP_OF.get(names[len(names) - height[name] + 1].partition(".")[0]):
            axes.axhline(height[name] - 0.5, color="#eeeeee", linewidth=0.8, zorder=0)
    _legend(plt, axes, {row.threads for row in rows})
    axes.set_title("pynn and the fastest\nother library", fontsize=10, loc="left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _legend(plt, axes, threads: set[int]) -> None:
    shapes = [plt.Line2D([], [], color=LINE, marker=MARKERS.get(t, "D"), linestyle="", label=f"{t} thread{'s' if t > 1 else ''}")
              for t in sorted(threads)]  # fmt: skip
    colours = [
        plt.Line2D([], [], color=colour, marker="o", linestyle="", label=f"pynn is {word}")
        for colour, word in ((WON, "faster"), (LOST, "slower"))
    ]
    axes.legend(handles=[*shapes, *colours], fontsize=8, ncol=4, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


def plot_curves(curves: dict[str, list[Row]], labels: dict[str, str], path: Path) -> None:
    """A panel for each axis: time of a step over it, ours and the other's, at every number of threads."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, len(curves), figsize=(4.6 * len(curves), 4.2), squeeze=False)
    for axes, (axis, rows) in zip(panels[0], curves.items(), strict=True):
        for threads in sorted({row.threads for row in rows}):
            here = sorted((int(row.name.rpartition("_")[2]), row) for row in rows if row.threads == threads)
            dashes = "-" if threads == 1 else "--"
            values = [value for value, _ in here]
            axes.plot(
                values,
                [row.ours.seconds * 1e6 for _, row in here],
                dashes,
                marker="o",
                markersize=3,
                color=WON,
                label=f"pynn, {threads}",
            )
            fastest = [(value, row.fastest) for value, row in here if row.fastest]
            axes.plot([value for value, _ in fastest], [figure.seconds * 1e6 for _, figure in fastest], dashes, marker="o", markersize=3,
                      color=LOST, label=f"{fastest[0][1].contestant if fastest else 'other'}, {threads}")  # fmt: skip
        axes.set(xscale="log", yscale="log", ylabel="microseconds a step" if axes is panels[0][0] else "")
        axes.set_xlabel(labels[axis], fontsize=9)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(color="#dddddd", linewidth=0.6)
    panels[0][0].legend(fontsize=8, title="library, threads", title_fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _pyplot():
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install ".[plot]"') from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
