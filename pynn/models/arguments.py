"""The arguments of fit, evaluate and predict: their order, their names, and what is said of those that aren't theirs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from pynn.callbacks import Callback
from pynn.data.batches import is_batches
from pynn.dtypes import is_whole
from pynn.elsewhere import unknown_argument
from pynn.serialization import snake_case

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = frozenset("batch_size callbacks class_weight epochs initial_epoch sample_weight shuffle steps_per_epoch validation_data "
                     "validation_split validation_steps verbose yield_every".split())  # fmt: skip


def as_method(function: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """`function(model, ...)` as a method of models: with its help, and the package's words for arguments that it doesn't take."""
    signature = inspect.signature(function)
    model, *others = signature.parameters.values()
    known = [p.name for p in others]

    def method(self, *args, **kwargs):
        return function(self, **_by_name(function.__name__, known, args, kwargs))

    functools.update_wrapper(method, function)
    method.__module__, method.__qualname__ = "pynn.models.model", f"Model.{function.__name__}"  # where it is found
    method.__signature__ = signature.replace(parameters=[model.replace(name="self"), *others])  # type: ignore[attr-defined]
    return method


def _by_name(function: str, known: list[str], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name.

    Raises:
        TypeError: one is unknown, given twice, or a dict of options as in JavaScript.
    """
    data = known[: known.index("batch_size")]
    if len(args) > len(data) and isinstance(args[len(data)], dict):
        refuse_options(function, data, args[len(data)])
    if len(args) > len(known):
        raise TypeError(f"[{function}] takes at most {len(known)} arguments. Received: {len(args)}.")
    given = dict(zip(known, args, strict=False))
    for word in kwargs:
        if word in given:
            raise TypeError(f"[{function}] the argument {word!r} was given twice. Leave one out.")
        if word not in known:
            raise unknown_argument(function, word, known)
    return {**given, **kwargs}


def named_words(method: Callable) -> Callable:
    """Says of arguments that a method doesn't have what `as_method` says of those of `fit`."""

    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except TypeError as error:
            from pynn.refusals import unbound

            refused = unbound(error, method.__name__, method.__get__(self), args, kwargs)
            if refused is None:
                raise
            raise refused from None

    return wrapped


def refuse_options(name: str, first: Sequence[str], options: dict) -> None:
    """Raises TypeError for a dict of options as in JavaScript, with the line to write."""
    words = ", ".join(f"{snake_case(k)}={v!r}" for k, v in options.items() if isinstance(k, str))
    line = f"{name}({', '.join([*first, words])})"
    raise TypeError(f"[{name}] options are keyword arguments here, not a dict. Received: {options!r}. Write {line}.")


def refuse_options_as_targets(y, outputs: list[str] | None) -> None:
    """For `fit(x, {epochs: 10})`, which leaves the targets out as well.

    Raises:
        TypeError: y is a dict of options as in JavaScript.
    """
    if isinstance(y, dict) and y and all(isinstance(k, str) and snake_case(k) in _OPTIONS and k not in (outputs or ()) for k in y):
        refuse_options("fit", ("x", "y"), y)


def whole(function: str, name: str, value: Any, default: int | None, least: int = 1) -> int | None:
    """`value` as an int of at least 1, or `least`; None is the default.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return default
    if not is_whole(value) or value < least:
        words = "above zero" if least == 1 else f"of {least} or more"
        raise ValueError(f"[{function}] {name} must be a whole number {words}. Received: {name}={value!r}.")
    return int(value)


def rows_per_step(function: str, x: Any, batch_size: Any, default: int = 32, *, what: str = "x", name: str = "batch_size") -> int:
    """`batch_size`, or another argument of this `name`, for the data x, which is the argument `what`.

    Raises:
        ValueError: it isn't a whole number above zero, or x comes in batches.
    """
    if batch_size is not None and is_batches(x):
        raise ValueError(
            f"[{function}] {what} yields batches, so {name} can't be given too. Received: {name}={batch_size!r}. "
            "Leave it out, and yield batches of that size."
        )
    return whole(function, name, batch_size, default)


def refuse_beside_batches(function: str, x: Any, y: Any, sample_weight: Any, validation_split: Any = None) -> None:
    """Raises ValueError for what can't be given where x yields batches."""
    for name, value in (("y", y), ("sample_weight", sample_weight), ("validation_split", validation_split or None)):
        if value is not None:
            raise ValueError(
                f"[{function}] x yields batches, so {name} can't be given too. Received: x is a {type(x).__name__}. Yield (x, y) or "
                "(x, y, sample_weight) instead; if x holds numbers, pass np.array(list(x))."
                + (" Pass validation_data." if name == "validation_split" else "")
            )


def checked_frequency(value: Any) -> int | list[int]:
    """`validation_freq`: every so many epochs, or the epochs.

    Raises:
        ValueError: it is neither.
    """
    if np.iterable(value) and not isinstance(value, str):
        return [whole("fit", "each epoch in validation_freq", epoch, None) for epoch in value]
    return whole("fit", "validation_freq", value, 1)


def checked_verbose(function: str, value: Any) -> int | str:
    """`value` if it is "auto", 0, 1 or 2.

    Raises:
        ValueError: it is something else.
    """
    if value in ("auto", 0, 1, 2):
        return value
    raise ValueError(f"[{function}] verbose must be 'auto', 0 (nothing), 1 (a bar) or 2 (a line per epoch). Received: verbose={value!r}.")


def checked_shuffle(value: Any) -> bool:
    """Whether to shuffle; Keras's "batch" means the same as True.

    Raises:
        ValueError: it is another text.
    """
    if isinstance(value, str) and value != "batch":
        raise ValueError(f"[fit] shuffle must be True or False. Received: shuffle={value!r}.")
    return bool(value)


def callback_list(callbacks: Any) -> list:
    """Callbacks as a list; one alone will do.

    Raises:
        TypeError: it is a dict, as in JavaScript.
    """
    if isinstance(callbacks, Callback):
        return [callbacks]
    if isinstance(callbacks, dict):
        raise TypeError(
            f"[fit] callbacks must be a list of callbacks. Received: a dict with {', '.join(map(repr, callbacks))}. "
            "Write callbacks=[pn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ...)]."
        )
    if callbacks is not None and (isinstance(callbacks, (str, type)) or not np.iterable(callbacks)):
        return [callbacks]  # which is refused with the others that are none
    return list(callbacks or [])


def too_large(error: MemoryError) -> MemoryError:
    """The error for a batch that finds no memory, where it says nothing itself."""
    if str(error).startswith("["):
        return error
    words = str(error) or "there is no memory for a batch of this size"
    return MemoryError(f"[model] {words}. Pass fewer rows at a time, or call fit or predict with a batch_size.")


def check_validation(data: Any, *, needs_targets: bool) -> None:
    """Raises ValueError for validation data without targets, where they are needed, and for what is no data."""
    if not needs_targets and (hasattr(data, "__array__") or isinstance(data, dict) or (isinstance(data, (tuple, list)) and len(data) == 1)):
        return
    if hasattr(data, "__array__") or (isinstance(data, (tuple, list)) and len(data) not in (2, 3)):
        what = f"an array of shape {np.shape(data)}" if hasattr(data, "__array__") else f"{type(data).__name__} of {len(data)}"
        raise ValueError(f"[fit] validation_data must be (x, y), (x, y, sample_weight) or batches. Received: {what}.")
    if data is not None and not isinstance(data, (tuple, list)) and not is_batches(data):
        what = f"a dict with {', '.join(map(repr, data)) or 'nothing'}" if isinstance(data, dict) else repr(data)  # not its arrays
        raise ValueError(f"[fit] validation_data must be (x, y), (x, y, sample_weight) or batches. Received: {what}.")
    if isinstance(data, (tuple, list)) and data[1] is None and needs_targets:
        raise ValueError("[fit] y is missing in validation_data. Received: (x, None). Pass (x, y).")
