"""Ctrl-C and work that must not be left half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, so that what Python does in it is whole; a second one doesn't."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    caught: list[tuple] = []

    def note(*arguments) -> None:
        caught.append(arguments)
        if len(caught) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught and callable(before):  # whatever the block has raised: what stopped it doesn't stop the program
            before(*caught[0])
