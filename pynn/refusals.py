"""What is said of arguments that a function can't take: words that it doesn't have, and values over which Python or NumPy stumble."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Container, Sequence

import numpy as np

from pynn.elsewhere import unknown_argument
from pynn.errors import PynnError
from pynn.serialization import snake_case

# What Python, NumPy and the extension raise where a value is of the wrong kind.
_STUMBLES = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError)
_DELIBERATE = (PynnError, NotImplementedError, RecursionError, FloatingPointError)
_RENAMED = (ValueError, TypeError, OverflowError)  # those of captures name what made a tensor, not what was called
_LONGEST = 60  # characters of a value in a message


def refusal(
    error: Exception, label: str, function: Callable, args: Sequence, words: dict, known: Sequence[str] = ()
) -> Exception | None:  # fmt: skip
    """The error to raise instead of `error`, which a call of `function` has raised; None if that one says it already.

    `function` was called with just these arguments, a method as that of its object; `known` are those that it takes through `**kwargs`.
    """
    unfit = unbound(error, label, function, args, words, known)
    if unfit is None and not stumbled(error):
        return None
    options = _options(label, function, args, known)
    if unfit is not None or options is not None:
        return options or unfit
    kind = TypeError if isinstance(error, (TypeError, AttributeError)) else ValueError
    refused = kind(f"[{label}] these arguments are not valid. Received: {_given(function, args, words)}. help() says what each may be.")
    refused.__cause__ = error  # says where, if the fault is ours
    return refused


def unbound(
    error: Exception, label: str, function: Callable, args: Sequence, words: dict, known: Sequence[str] = (), context: dict | None = None
) -> TypeError | None:  # fmt: skip
    """As `refusal`, for arguments that Python could not bind; None if it could. `context` came with them, but not from the user."""
    if not isinstance(error, TypeError) or _has_own_words(error):
        return None
    try:
        inspect.signature(function).bind(*args, **words, **(context or {}))
    except TypeError:
        return _unfit(label, function, args, words, known)
    return None


def _options(label: str, function: Callable, args: Sequence, known: Sequence[str]) -> TypeError | None:
    """For the one dict of options that is given in JavaScript."""
    if len(args) != 1 or not isinstance(args[0], dict) or not args[0] or not all(isinstance(k, str) for k in args[0]):
        return None
    names = {*known, *inspect.signature(function).parameters}
    words = {snake_case(k): v for k, v in args[0].items()}
    if not words.keys() <= names:
        return None
    line = ", ".join(f"{k}={shown(v)}" for k, v in words.items())
    return TypeError(f"[{label}] options are keyword arguments here, not a dict. Received: {shown(args[0])}. Write {label}({line}).")


def stumbled(error: Exception) -> bool:
    """Whether this is an error of Python or NumPy that came up in code of this package, not one with words of its own or in a user's."""
    if not isinstance(error, _STUMBLES) or isinstance(error, _DELIBERATE) or _has_own_words(error):
        return False
    frame = error.__traceback__
    while frame is not None:
        if not _ours(frame.tb_frame.f_globals.get("__name__", "")):
            return False
        frame = frame.tb_next
    return True


def rename(error: Exception, label: str, parts: Container[str]) -> None:
    """Makes an error that names one of these functions name `label`, which called it on the user's behalf."""
    if type(error) not in _RENAMED or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    part, bracket, words = error.args[0].partition("] ")
    if bracket and part[:1] == "[" and part[1:] != label and part[1:] in parts:
        error.args = (f"[{label}] {words}",)


def _has_own_words(error: Exception) -> bool:
    return str(error).startswith("[")


def _ours(module: str) -> bool:
    head = module.partition(".")[0]
    return head in ("pynn", "numpy") or (head != "__main__" and head in sys.stdlib_module_names)


def _unfit(label: str, function: Callable, args: Sequence, words: dict, known: Sequence[str]) -> TypeError:
    """For a call that Python could not bind."""
    parameters = list(inspect.signature(function).parameters.values())
    names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names += [k for k in known if k not in names and not k.startswith("_")]
    by_place = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    listed = f" Known: {', '.join(names)}." if names else " It takes no arguments."
    unknown = next((word for word in words if word not in names), None)
    if unknown is not None:
        return unknown_argument(label, unknown, names)
    if args and not names:
        return TypeError(f"[{label}] takes no arguments. Received: {', '.join(map(shown, args))}.")
    if len(args) > len(by_place):
        by_name = names[len(by_place) :]
        fix = f" Pass the others by name: {by_name[0]}=..." if by_name else ""
        most = f"{len(by_place)} positional argument{'s' if len(by_place) != 1 else ''}"
        return TypeError(f"[{label}] takes at most {most}. Received: {len(args)}.{fix}{listed}")
    twice = next((word for word in words if word in by_place[: len(args)]), None)
    if twice is not None:
        return TypeError(f"[{label}] the argument {twice!r} was given twice. Received: {twice}={shown(words[twice])}. Leave one out.")
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [name for name in needed if name not in by_place[: len(args)] and name not in words]
    received = _given(function, args, words) or "no arguments"
    return TypeError(f"[{label}] {' and '.join(map(repr, missing))} must be given. Received: {received}.{listed}")


def _given(function: Callable, args: Sequence, words: dict) -> str:
    names = list(inspect.signature(function).parameters)
    names += [f"argument {i}" for i in range(len(names), len(args))]
    return ", ".join(f"{name}={shown(value)}" for name, value in [*zip(names, args, strict=False), *words.items()])


def shown(value) -> str:
    """A value in a message: of arrays the shape, of others no more than a line."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and not isinstance(value, np.generic):
        return f"{type(value).__name__} of shape {shape}"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
