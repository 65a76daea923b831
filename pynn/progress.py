"""Progress of long runs: a bar on a terminal, one line an epoch into a pipe or file."""

from __future__ import annotations

import os
import sys
import time

REDRAW_SECONDS = 0.1
BAR_WIDTH = 24


def duration(seconds: float) -> str:
    """`0.42 s`, `12 s`, `3 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def values(logs: dict[str, float]) -> str:
    """`loss 0.1234  accuracy 0.9512`."""
    return "  ".join(f"{name} {_number(value)}" for name, value in logs.items())


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"


def terminal_columns() -> int:
    """Characters in a line of the terminal; 80 where there is none."""
    from shutil import get_terminal_size  # brings the archive formats along, which a first `fit` shouldn't wait for

    return get_terminal_size().columns


def lines(stream) -> tuple[str, str]:
    """A heavy and a light piece of a horizontal line, in characters that the stream's encoding has."""
    try:
        "━─".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "=", "-"
    return "━", "─"


class ProgressBar:
    """Shows epochs. On a terminal the running epoch's line is redrawn at most ten times a second.

    Args:
        verbose: 0 nothing, 1 a bar where the output is a terminal, 2 one line per epoch, "auto" is 1.
        epochs: How many there will be.
    """

    def __init__(self, verbose, epochs: int, stream=None):
        self.stream = stream if stream is not None else sys.stdout
        self.verbose = 1 if verbose == "auto" else int(verbose)
        if self.stream is None:  # a process without a console
            self.verbose = 0
        self.epochs = epochs
        terminal = getattr(self.stream, "isatty", lambda: False)()
        self.live = self.verbose == 1 and terminal and os.environ.get("TERM") != "dumb"
        self.colors = self.live and "NO_COLOR" not in os.environ
        self._drawn = self._started = time.monotonic()

    @property
    def wants_updates(self) -> bool:
        """True if somebody would see the progress within an epoch."""
        return self.live

    def start(self, epoch: int) -> None:
        """An epoch begins."""
        self.epoch = epoch
        self._started = time.monotonic()

    def update(self, done: int, total: int | None, logs: dict[str, float]) -> None:
        """Redraws the line of the running epoch, unless that was a moment ago."""
        now = time.monotonic()
        if not self.live or now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        elapsed = now - self._started
        left = f"  {duration(elapsed / done * (total - done))} left" if total and done else ""
        count = f"{done}/{total}" if total else f"{done} steps"
        self._draw(f"{self._head()} {self._bar(done, total)} {count}{left}  {values(logs)}")

    def finish(self, logs: dict[str, float], steps: int, epoch: int | None = None, seconds: float | None = None) -> None:
        """The epoch's last line."""
        if not self.verbose:
            return
        if epoch is not None:
            self.epoch = epoch
        seconds = time.monotonic() - self._started if seconds is None else seconds
        line = f"{self._head()}  {steps} steps in {duration(seconds)}  {values(logs)}"
        self.stream.write(f"\r\x1b[K{line}\n" if self.live else line + "\n")
        self.stream.flush()

    def interrupt(self) -> None:
        """Leaves the running line as it is, so that what comes next starts on its own."""
        if self.live:
            self.stream.write("\n")
            self.stream.flush()

    def _head(self) -> str:
        width = len(str(self.epochs))
        return f"Epoch {self.epoch + 1:>{width}}/{self.epochs}"

    def _bar(self, done: int, total: int | None) -> str:
        width = max(min(BAR_WIDTH, terminal_columns() // 4), 4)
        filled = min(width, width * done // total) if total else 0
        heavy, light = lines(self.stream)
        bar, rest = heavy * filled, light * (width - filled)
        return f"\x1b[32m{bar}\x1b[0m{rest}" if self.colors else bar + rest

    def _draw(self, line: str) -> None:
        columns = terminal_columns() - 1
        hidden = 9 if "\x1b" in line else 0
        self.stream.write("\r\x1b[K" + line[: columns + hidden])
        self.stream.flush()
