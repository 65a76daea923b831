"""Writes that are there whole or not at all, whatever fails in between: the process, the disk, the power."""

from __future__ import annotations

import contextlib
import errno
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
_NOT_BESIDE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write `path` with; `path` changes in one step at the end of the block, or not at all.

    The bytes go to a temporary file beside `path`, reach the disk (fsync), and take the name. If the block or the disk fails,
    what was at `path` is still there and the temporary file is gone. A symbolic link at `path` stays; the file that it names is
    replaced. The permissions of a file that is replaced are kept.

    Raises:
        OSError: the folder can't be written, or the disk is full.
        ValueError: something that is not a regular file is at `path`, or `path` is empty.

    Example:
        >>> with atomic_file("weights.bin") as file:
        ...     file.write(b"12")
        2
    """
    target = _target(path)
    mode = _mode_of(target)
    temporary = _sibling(target)
    try:
        with _naming(target):
            opened = open(temporary, "xb")
        with opened as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        with _naming(target):
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
    folder that holds other files too (a web site, say), a mount point, a folder whose parent can't be written, and the process's
    working folder get the files one by one, each in one step, `commit` last; files that are `owned` and weren't written again then
    go. If anything fails before that, the folder is as it was.

    Args:
        path: the folder; its parent must be there.
        commit: the file that readers open first and that names the others.
        owned: names of files that belong to the caller and that a new version replaces or removes; folders never do.

    Raises:
        OSError: the folder can't be written, or the disk is full.
        ValueError: something that is not a folder is at `path`, the block wrote a subfolder or no `commit` file, or `path` is empty.

    Example:
        >>> with atomic_folder("model", commit="model.json", owned=["model.json", "weights.bin"]) as folder:
        ...     _ = (folder / "model.json").write_text("{}")
    """
    target = _target(path)
    if target.exists() and not target.is_dir():
        raise ValueError(f"[save] {str(target)!r} exists and is not a folder. Give another path, or remove it.")
    beside = _sibling(target)
    inside = target / beside.name
    try:
        with _naming(target):
            staging = _staging_folder(target, beside, inside)
        yield staging
        names = _sync_files(staging, commit)
        with _naming(target):
            _publish(staging, target, names, commit, owned)
        _remove(beside, inside)
    except BaseException:  # Ctrl-C in the middle of the removal too
        _remove(beside, inside)
        raise
    _sync_folder(target.parent)


def _remove(*folders: Path) -> None:
    import shutil  # brings the archive formats along, which an import of pynn shouldn't wait for

    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _target(path: str | os.PathLike[str]) -> Path:
    if not os.fspath(path):
        raise ValueError("[save] the path is empty. Name the file or folder to write.")
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Errors of the system with the path that the caller knows in place of a temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def _mode_of(target: Path) -> int | None:
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ValueError(f"[save] {str(target)!r} exists and is not a regular file. Give another path, or remove it.")
    return stat.S_IMODE(mode)


def _sibling(target: Path) -> Path:
    return target.with_name(f".pynn-{secrets.token_hex(8)}.tmp")


def _staging_folder(target: Path, beside: Path, inside: Path) -> Path:
    """A new folder to write in: `beside` the target, or `inside` where that can't be or where files can't be moved from there."""
    try:
        beside.mkdir()
    except OSError as error:
        if error.errno not in _NOT_BESIDE or not target.exists():
            raise
        inside.mkdir()
        return inside
    if target.exists() and _is_elsewhere(beside, inside):
        beside.rmdir()
        inside.mkdir()
        return inside
    return beside


def _is_elsewhere(beside: Path, inside: Path) -> bool:
    """Whether a mount lies between: the system alone knows, bind mounts show no other device."""
    try:
        os.rename(beside, inside)
    except OSError as error:
        return error.errno == errno.EXDEV
    os.rename(inside, beside)
    return False


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
    present = list(os.scandir(target))
    mine = [entry.name for entry in present if entry.name in owned and not entry.is_dir(follow_symlinks=False)]
    if len(mine) == len(present) and not _is_working_folder(target) and _exchange(staging, target):
        return
    for name in sorted(names, key=lambda name: name == commit):
        os.replace(staging / name, target / name)
    for name in set(mine).difference(names):
        os.unlink(target / name)
    _sync_folder(target)


def _is_working_folder(target: Path) -> bool:
    """Whether the process works in `target` or below it: an exchange would leave it in the old folder, which is removed."""
    try:
        return Path.cwd().is_relative_to(target)
    except FileNotFoundError:
        return False


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
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
