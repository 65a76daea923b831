"""Exceptions and the wording of messages: what happened, what came, what was expected, one fix."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable


class PynnError(Exception):
    """Base class of the errors that are not plain `ValueError` or `TypeError`."""


class NonFiniteError(PynnError, FloatingPointError):
    """The loss or a gradient became NaN or infinite in training. That step changed nothing."""


class GuardTripped(PynnError):
    """A guard stopped the step: the value with this number was not finite."""

    def __init__(self, label: int, *_):
        super().__init__(f"[guard] the value {label} is not finite")
        self.label = int(label)


class CaptureError(PynnError, RuntimeError):
    """Python asked an abstract tensor for a value while a step was being captured."""


class DataError(PynnError, ValueError):
    """A file or an array from outside is not what it claims to be."""


class DownloadError(PynnError, OSError):
    """No mirror of a dataset delivered a valid file."""


def shapes(**tensors) -> str:
    """`x.shape=(2, 3), filter.shape=(3, 3, 1, 8)` for things that have a shape; absent ones are left out."""
    return ", ".join(f"{name}.shape={tuple(t.shape)}" for name, t in tensors.items() if t is not None)


def suggestion(word: str, known) -> str:
    """` Did you mean 'relu'?` for a near miss, else an empty string."""
    import difflib

    close = difflib.get_close_matches(str(word), [str(k) for k in known], n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def absent(module: str, known: Iterable[str]) -> Callable[[str], None]:
    """The `__getattr__` of a module that has the names `known`: it says what a name of another package is called there."""

    def __getattr__(name: str):
        from pynn.elsewhere import no_attribute

        raise no_attribute(module, name, [k for k in known if k in vars(sys.modules[module])])

    return __getattr__


def users_level() -> int:
    """The `stacklevel` with which a warning of the caller points to the line outside of the package that led to it."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pynn":
        level, frame = level + 1, frame.f_back
    return level
