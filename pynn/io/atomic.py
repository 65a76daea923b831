"""Writes that are there whole or not at all, whatever fails in between: the process, the disk, the power."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import secrets
import stat
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_file", "atomic_folder"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write `path` with; `path` changes in one step at the end of the block, or not at all.

    The bytes go to a temporary file beside `path`, reach the disk (fsync), and take the name. If the block or the disk fails,
    what was at `path` is still there and the temporary file is gone. A symbolic link at `path` stays; the file that it names is
    replaced. The permissions of a file that is replaced are kept.

    Raises:
        OSError: the folder can't be written, or the disk is full.
        ValueError: something that is not a regular file is at `path`.

    Example:
        >>> with atomic_file("weights.bin") as file:
        ...     file.write(b"12")
        2
    """
    target = Path(os.path.realpath(path))
    mode = _mode_of(target)
    temporary = _sibling(target)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str], *, commit: str, owned: Collection[str] = ()) -> Iterator[Path]:
    """An empty folder to write files in; at the end of the block they become the folder `path`.

    A new folder appears in one step. On Linux, so does the next version of a folder with nothing but `owned` files in it. A
    folder that holds other files too (a web site, say) gets the files one by one, each in one step, `commit` last; files that
    are `owned` and weren't written again then go. If anything fails before that, the folder is as it was.

    Args:
        path: the folder; its parent must be there.
        commit: the file that readers open first and that names the others.
        owned: patterns (`fnmatch`) of file names that belong to the caller and that a new version replaces or removes.

    Raises:
        OSError: the folder can't be written, or the disk is full.
        ValueError: something that is not a folder is at `path`, or the block wrote a subfolder or no `commit` file.

    Example:
        >>> with atomic_folder("model", commit="model.json", owned=["model.json", "*.bin"]) as folder:
        ...     _ = (folder / "model.json").write_text("{}")
    """
    import shutil  # brings the archive formats along, which an import of pynn shouldn't wait for

    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise ValueError(f"[save] {str(target)!r} is there and is not a folder. Give another path, or remove it.")
    staging = _sibling(target)
    staging.mkdir()
    try:
        yield staging
        names = _sync_files(staging, commit)
        _publish(staging, target, names, commit, owned)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _sync_folder(target.parent)


def _mode_of(target: Path) -> int | None:
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ValueError(f"[save] {str(target)!r} is there and is not a regular file. Give another path, or remove it.")
    return stat.S_IMODE(mode)


def _sibling(target: Path) -> Path:
    return target.with_name(f".pynn-{secrets.token_hex(8)}.tmp")


def _sync_files(staging: Path, commit: str) -> list[str]:
    names = sorted(entry.name for entry in os.scandir(staging))
    if commit not in names:
        raise ValueError(f"[save] the file {commit!r} was not written.")
    for name in names:
        if (staging / name).is_symlink() or not (staging / name).is_file():
            raise ValueError(f"[save] {name!r} is not a regular file; a saved folder holds plain files only.")
        with open(staging / name, "rb+") as file:
            os.fsync(file.fileno())
    _sync_folder(staging)
    return names


def _publish(staging: Path, target: Path, names: list[str], commit: str, owned: Collection[str]) -> None:
    if not target.exists():
        os.rename(staging, target)
        return
    present = [entry.name for entry in os.scandir(target)]
    mine = [name for name in present if any(fnmatch.fnmatchcase(name, pattern) for pattern in owned)]
    if len(mine) == len(present) and _exchange(staging, target):
        return
    for name in sorted(names, key=lambda name: name == commit):
        os.replace(staging / name, target / name)
    for name in set(mine).difference(names):
        os.unlink(target / name)
    _sync_folder(target)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two folders in one step; False where the system can't (another system, an old kernel, a mount point)."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    os.chmod(first, stat.S_IMODE(os.stat(second).st_mode))
    return bool(rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)


def _sync_folder(folder: Path) -> None:
    """Makes renames in `folder` survive a power cut, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
