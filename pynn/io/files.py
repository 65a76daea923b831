"""Opening files that somebody else may have made."""

from __future__ import annotations

import os
import stat
from io import BufferedReader

from pynn.errors import DataError

__all__ = ["as_path", "check_suffix", "open_regular", "printable"]


def printable(text: object, limit: int = 80) -> str:
    """`text` quoted in ASCII and cut to `limit` characters, so that a name from a file can stand in a message.

    Example:
        >>> printable("a\\x1b[31m")
        "'a\\\\x1b[31m'"
    """
    shown = ascii(text if not isinstance(text, str) else text[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "..."


def as_path(function: str, path) -> str:
    """A path as text; the schemes of TensorFlow.js are refused with what to write.

    Raises:
        TypeError: it isn't a path.
        ValueError: it is an address.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"[{function}] a path must be a string or a pathlib.Path. Received: {path!r}.")
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"[{function}] a path must be a string or a pathlib.Path. Received: {path!r}.")
    scheme, found, rest = text.partition("://")
    if found and scheme.isalpha() and not os.path.exists(text):
        here = scheme in ("file", "localstorage", "indexeddb", "downloads")
        fix = f"Write {rest!r}." if here else "Download the files to a folder first."
        raise ValueError(f"[{function}] a path must name a folder or file on this machine, without a scheme. Received: {text!r}. {fix}")
    return text


def check_suffix(path: str | os.PathLike[str], where: str, *, weights: bool, hint: str = "") -> None:
    """Raises ValueError, in the name of `where`, for a path with the suffix of another format than a model's folder or its weights.

    `hint` says how to save the weights alone instead of a model.
    """
    suffix = os.path.splitext(os.fspath(path))[1]
    if suffix.lower() not in (".h5", ".hdf5", ".keras", ".json"):
        return
    what = "weights are saved as a safetensors file" if weights else "a model is saved as a folder, in TensorFlow.js's format"
    fix = "Name it with the suffix .safetensors." if weights else f"Leave the suffix out; for the weights alone {hint}."
    raise ValueError(f"[{where}] {what}, not as a {suffix} file. Received: {os.fspath(path)!r}. {fix}")


def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> BufferedReader:
    """Open a regular file for reading; never waits on a FIFO and never reads a device.

    Args:
        path: the file.
        follow: whether the last component of `path` may be a symbolic link.

    Raises:
        FileNotFoundError: no such file.
        DataError: it is a folder, a FIFO, a device or a socket, or a link although `follow` is False.
    """
    if not follow and os.path.islink(path):
        raise DataError(f"[open] {printable(os.fspath(path))} is a symbolic link; a regular file must be there.")
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    if os.path.isdir(path):
        raise DataError(f"[open] {printable(os.fspath(path))} is a folder; a regular file must be there.")
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"[open] {printable(os.fspath(path))} is not a regular file.")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
