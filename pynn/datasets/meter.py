"""How far a download is: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

import os
import sys
import time

__all__ = ["Meter"]

_REDRAW_SECONDS = 0.1
_BAR_WIDTH = 24


class Meter:
    """Shows one download on stderr, at most ten times a second.

    Args:
        name: the file's name.
        folder: where it goes.
        show: False keeps everything silent.
    """

    def __init__(self, name: str, folder: str, *, show: bool):
        self.name = name
        self.folder = folder
        self.stream = sys.stderr if show else None
        self.live = show and self.stream is not None and self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self._announced = False
        self._drawn = 0.0

    def wait(self) -> None:
        """Another process is at work; say so."""
        self._line(f"Waiting for another process that downloads to {self.folder}")

    def show(self, done: int, total: int | None) -> None:
        """`done` of `total` bytes are there."""
        if not self._announced:
            self._announced = True
            self._line(f"Downloading {self.name} to {self.folder}")
        now = time.monotonic()
        if self.live and self.stream is not None and (now - self._drawn >= _REDRAW_SECONDS or done == total):
            self._drawn = now
            self.stream.write(f"\r{_bar(done, total)}\x1b[K")
            self.stream.flush()

    def close(self) -> None:
        """Ends the bar's line."""
        if self.live and self._drawn:
            self._line("")

    def _line(self, text: str) -> None:
        if self.stream is not None:
            self.stream.write(text + "\n")
            self.stream.flush()


def _bar(done: int, total: int | None) -> str:
    """`[======------] 4.8 of 9.7 MB`"""
    if not total:
        return f"{done / 1e6:.1f} MB"
    filled = round(_BAR_WIDTH * min(done / total, 1))
    return f"[{'=' * filled}{'-' * (_BAR_WIDTH - filled)}] {done / 1e6:.1f} of {total / 1e6:.1f} MB"
