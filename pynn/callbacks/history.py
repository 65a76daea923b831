"""What training reached: `History`, and the same as a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pynn.callbacks.base import Callback
from pynn.elsewhere import HISTORY, no_member


class History(Callback):
    """What `fit` returns: `history` maps each name to its values, one per epoch; `epoch` lists the epochs."""

    def __init__(self) -> None:
        self._reset()

    if not TYPE_CHECKING:  # for which every attribute would be there

        def __getattr__(self, name: str):
            raise no_member(self, name, HISTORY)

    def _reset(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self._epochs_of: dict[str, list[int]] = {}  # a validation isn't due in every epoch

    def on_train_begin(self, logs=None) -> None:
        """Starts anew, as one of the callbacks: the one that `fit` returns is another."""
        self._reset()

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Adds the values that are there when its turn comes."""
        self.add(epoch, logs)

    def add(self, epoch: int, logs: dict[str, float]) -> None:
        """Appends the results of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
            self._epochs_of.setdefault(name, []).append(epoch)

    def extend(self, epoch: int, names: Sequence[str], columns: Sequence[list[float]]) -> None:
        """Appends the results of several epochs, `epoch` the first of them: a list of values for each name."""
        epochs = range(epoch, epoch + len(columns[0]))
        self.epoch.extend(epochs)
        for name, column in zip(names, columns, strict=True):
            self.history.setdefault(name, []).extend(column)
            self._epochs_of.setdefault(name, []).extend(epochs)

    def last(self) -> dict[str, float]:
        """The values of the last epoch; none of a validation that wasn't due then."""
        return {name: values[-1] for name, values in self.history.items() if self._epochs_of[name][-1] == self.epoch[-1]}

    def get_state(self):
        """Epochs and values."""
        some = {name: epochs for name, epochs in self._epochs_of.items() if epochs != self.epoch}
        return {"epoch": self.epoch, "history": self.history, "epochs_of": some}

    def set_state(self, state) -> None:
        """Continues from where `get_state` was called."""
        self.epoch, self.history = state["epoch"], state["history"]
        self._epochs_of = {name: list(self.epoch) for name in self.history} | state.get("epochs_of", {})

    def plot(self, names: str | Sequence[str] | None = None, path=None):
        """Draws the curves with matplotlib (the `plot` extra), one panel per name and its validation twin.

        Args:
            names: Which ones; all by default.
            path: Save a PNG there.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there are no values of such a name.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("[History.plot] needs matplotlib. Install it with: pip install matplotlib") from error
        names = self._names_to_draw([names] if isinstance(names, str) else names)
        figure = Figure(figsize=(4.8 * len(names), 3.4), layout="constrained")
        for panel, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
            self._draw(panel, name)
        if path is not None:
            figure.savefig(path, dpi=110)
        return figure

    def _names_to_draw(self, names: Sequence[str] | None) -> list[str]:
        found = list(names or [n for n in self.history if not n.startswith("val_")])
        for name in found or ["loss"]:
            if name not in self.history:
                known = ", ".join(self.history) or "none, as nothing was trained"
                raise ValueError(f"[History.plot] there are no values named {name!r}. Known: {known}.")
        return found

    def _draw(self, panel, name: str) -> None:
        """One value and its validation twin; the scale is logarithmic where the values span more than three powers of ten."""
        curves = [(key, label) for key, label in ((name, "training"), (f"val_{name}", "validation")) if key in self.history]
        for key, label in curves:
            values = self.history[key]
            panel.plot([e + 1 for e in self._epochs_of.get(key, self.epoch)], values, label=label, marker="." if len(values) <= 50 else "")
        everything = np.concatenate([np.asarray(self.history[key], np.float64) for key, _ in curves])
        if everything.min() > 0 and everything.max() > 1000 * everything.min():
            panel.set_yscale("log")
        panel.set(xlabel="epoch", title=name.replace("_", " "))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        if len(curves) > 1:
            panel.legend()

    def __repr__(self) -> str:
        last = ", ".join(f"{k}={v[-1]:.4g}" for k, v in self.history.items() if v)
        return f"History({len(self.epoch)} epochs; {last})"


class CSVLogger(Callback):
    """Writes a line of values after each epoch; NA stands for the values of a validation that wasn't due.

    Args:
        filename: Path of the file.
        separator: Between values.
        append: Append to an existing file instead of replacing it.
    """

    def __init__(self, filename, separator: str = ",", append: bool = False):
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ValueError(f"[CSVLogger] separator is one character between the values. Received: separator={separator!r}. Write ','.")
        self._names: list[str] = []  # of the columns, once there is something to write
        self._keep = 0  # bytes of the file that stay

    def on_train_begin(self, logs=None) -> None:
        """The file changes when there is something to write; its folder is made now, as an epoch may take long."""
        os.makedirs(os.path.dirname(self.filename) or ".", exist_ok=True)
        self._names = []
        self._keep = os.path.getsize(self.filename) if self.append and os.path.exists(self.filename) else 0

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Writes a line and closes the file, because a callback isn't told when training fails."""
        starts = not self._names
        if starts:
            self._names = self._columns_there() if self._keep else self._columns(logs)
            with open(self.filename, "ab") as file:
                file.truncate(self._keep)
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._names, delimiter=self.separator, extrasaction="ignore", restval="NA")
            if starts and not self._keep:
                writer.writeheader()
            writer.writerow({"epoch": epoch, **logs})
            self._keep = file.tell()

    def _columns(self, logs) -> list[str]:
        """The columns, those of the validation last, whether or not this epoch has one."""
        validation = [f"val_{name}" for name in self.model.metrics_names] if self.params.get("validation") else []
        return ["epoch", *(name for name in logs if name not in validation), *validation]

    def _columns_there(self) -> list[str]:
        """Those of the file, under which its lines go on."""
        with open(self.filename, newline="", encoding="utf-8") as file:
            return next(csv.reader(file, delimiter=self.separator))

    def get_state(self):
        """The length of the file, in bytes."""
        return {"bytes": self._keep}

    def set_state(self, state) -> None:
        """Removes the lines written after `get_state` was called; they will be written again."""
        size = os.path.getsize(self.filename) if os.path.exists(self.filename) else 0
        self._keep = min(state["bytes"], size)
