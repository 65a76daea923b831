"""Where downloaded data is kept, and how processes take turns there."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["cache_dir", "exclusive"]

_POLL_SECONDS = 0.1
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}


def cache_dir() -> Path:
    """The folder that datasets are downloaded to, a subfolder for each; it may not exist yet.

    The environment variable PYNN_DATA_DIR names it. Else it is `pynn` in the user's cache folder: `~/Library/Caches` on macOS,
    `%LOCALAPPDATA%` on Windows, `$XDG_CACHE_HOME` or `~/.cache` elsewhere.
    """
    named = os.environ.get("PYNN_DATA_DIR")
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "pynn"
    if sys.platform == "win32":
        return _absolute("LOCALAPPDATA", "AppData/Local") / "pynn"
    return _absolute("XDG_CACHE_HOME", ".cache") / "pynn"


@contextlib.contextmanager
def exclusive(folder: Path, *, patience: float, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Keeps other processes and threads out of `folder` while the block runs; the lock of a process that dies is free again.

    Args:
        folder: the folder; a file `.lock` stays in it.
        patience: seconds to wait for the others.
        waiting: called once, when there is somebody to wait for.

    Yields:
        True; False if the file system has no locks, so that others may be in there.

    Raises:
        TimeoutError: the others took longer.
    """
    deadline = time.monotonic() + patience
    with open(folder / ".lock", "ab") as file:
        taken = _try_lock(file)
        if taken is False:
            waiting()
        while taken is False:
            if time.monotonic() > deadline:
                raise TimeoutError(f"[datasets] another process has been busy in {str(folder)!r} for {patience:.0f} s.")
            time.sleep(_POLL_SECONDS)
            taken = _try_lock(file)
        try:
            yield taken is True
        finally:
            if taken:
                _unlock(file)


def _absolute(variable: str, default: str) -> Path:
    """The folder that `variable` names, if that is an absolute path; else `default` in the home folder."""
    named = os.environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else Path.home() / default


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool | None:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool | None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NO_LOCKS_HERE:
                return None
            raise
        return True

    def _unlock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
