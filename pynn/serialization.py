"""Objects that are described by a class name and a config, and the registers in which their names are looked up."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pynn.errors import suggestion


def snake_case(name: str) -> str:
    """`MaxPooling2D` -> `max_pooling2d`, `categoricalCrossentropy` -> `categorical_crossentropy`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def normal_form(name: str) -> str:
    """What all spellings of a name share: `categorical_crossentropy`, `categoricalCrossentropy`, `CategoricalCrossentropy`."""
    return name.replace("_", "").replace(" ", "").lower()


def is_ours(value: Any) -> bool:
    """Whether a class or function comes with this package."""
    return getattr(value, "__module__", "").startswith("pynn.")


def first_line(documented: Any) -> str:
    """The first line of a docstring; nothing under `python -OO`, which has none."""
    return (documented.__doc__ or "").strip().partition("\n")[0]


def kept_in_class(compute: Callable[..., Any]) -> Callable[..., Any]:
    """`compute(cls, *others)`, once per class and others. The class keeps what came out: a table of classes would keep them for ever."""
    name = f"_{compute.__name__}"

    @functools.wraps(compute)
    def found(cls: type, *others):
        try:
            return cls.__dict__[name][others]  # not a base's
        except KeyError:
            made = compute(cls, *others)
            setattr(cls, name, {**cls.__dict__.get(name, {}), others: made})
            return made

    return found


@kept_in_class
def constructor_arguments(cls: type, until: type = object) -> tuple[str, ...]:
    """Names of the arguments that `cls(...)` takes, including those of base classes (below `until`) passed through `**kwargs`.

    A base whose constructor takes a dict `common` is a detail of its subclasses, and its arguments are not the user's.
    """
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base is until:
            break
        init = base.__dict__.get("__init__")
        if init is None or base is object:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        if any(p.name == "common" and p.kind is not p.VAR_KEYWORD for p in parameters):
            continue
        names.update((p.name, None) for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return tuple(names)


def word_refusals(cls: type) -> None:
    """Lets the constructor that a class of this package defines say in the package's words which arguments it can't take."""
    init = cls.__dict__.get("__init__")
    if init is None or not is_ours(cls):
        return

    @functools.wraps(init)
    def wrapped(self, *args, **kwargs):
        try:
            init(self, *args, **kwargs)
        except Exception as error:
            from pynn.refusals import refusal

            refused = refusal(error, type(self).__name__, init.__get__(self), args, kwargs, constructor_arguments(cls))
            if refused is None:
                raise
            raise refused from refused.__cause__

    cls.__init__ = wrapped  # type: ignore[misc]


def accepted(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """The entries of `config` that `cls(...)` takes: files hold more than we know."""
    known = constructor_arguments(cls)
    return {k: v for k, v in config.items() if k in known}


def plain(value):
    """`value` as JSON values: objects as {"class_name", "config"}, functions and classes by name, tuples as lists."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "get_config") and not isinstance(value, type):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    return getattr(value, "__name__", value) if callable(value) else value


def described_by_attributes(owner, names: Iterable[str]) -> dict[str, Any]:
    """The constructor's arguments, each kept in an attribute of the same name, in the words of JSON.

    Raises:
        AttributeError: one isn't kept.
    """
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise AttributeError(
            f"[{type(owner).__name__}] get_config reads each argument of the constructor from an attribute of the same name. "
            f"Received: no attribute {missing[0]!r}. Write self.{missing[0]} = {missing[0]} in __init__, or a get_config of its own."
        )
    return {name: plain(getattr(owner, name)) for name in names}


def shown_by_config(owner, without: tuple[str, ...] = ()) -> str:
    """What `repr` gives: the class and its config; of a user's class that has none that can be had, the name."""
    try:
        config = owner.get_config()
    except Exception:  # whatever a user's code raises: a debugger shows the object all the same
        config = {"name": vars(owner)["name"]} if "name" in vars(owner) else {}
    return f"{type(owner).__name__}({', '.join(f'{k}={v!r}' for k, v in config.items() if k not in without)})"


class Configurable:
    """Base of objects that `get_config` describes and `from_config` makes again.

    A subclass keeps each constructor argument in an attribute of the same name. Where a base has a `_register`, the classes of this
    package on top of it enter it.
    """

    _register: Register | None = None

    def __init__(self):
        """Takes nothing, and says so."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        word_refusals(cls)
        if cls._register is not None and "_register" not in cls.__dict__ and is_ours(cls) and not cls.__name__.startswith("_"):
            cls._register.add(cls)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values."""
        return described_by_attributes(self, constructor_arguments(type(self)))

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        """A new object like the one whose `get_config` gave `config`."""
        return cls(**config)

    def __repr__(self) -> str:
        return shown_by_config(self)


word_refusals(Configurable)


class Register:
    """Names of one kind of thing (`initializer`, `loss`, ...) and what they stand for: classes or functions."""

    def __init__(self, kind: str):
        self.kind = kind
        self.entries: dict[str, Any] = {}
        self._by_form: dict[str, Any] = {}

    def add(self, entry, *aliases: str):
        """Enters a class or function under its own name and under aliases; returns it."""
        self.entries[entry.__name__] = entry
        for name in (entry.__name__, *aliases):
            self._by_form[normal_form(name)] = entry
        return entry

    def find(self, name: str):
        """The class or function for a name in any spelling.

        Raises:
            ValueError: nothing has that name.
        """
        try:
            return self._by_form[normal_form(name)]
        except KeyError:
            pass
        known = sorted(self.entries)
        near = suggestion(name, known) or suggestion(name, [snake_case(k) for k in known])
        raise ValueError(f"[{self.kind}] there is no {self.kind} with this name. Received: {name!r}.{near} Known: {', '.join(known)}.")

    def get(self, identifier, base: type | None = None):
        """The object that `identifier` means: a name, {"class_name", "config"}, a class, an instance or a function; None stays None.

        Raises:
            ValueError: the name is unknown.
            TypeError: `identifier` is none of these.
        """
        if identifier is None:
            return None
        if isinstance(identifier, str):
            return _instance(self.find(identifier), {})
        if isinstance(identifier, dict) and "class_name" in identifier:
            return _instance(self.find(identifier["class_name"]), identifier.get("config") or {})
        if isinstance(identifier, type):
            return identifier()
        if callable(identifier) or (base is not None and isinstance(identifier, base)):
            return identifier
        raise TypeError(
            f"[{self.kind}] this is no {self.kind}. Received: {identifier!r}. "
            f"Pass a name, an object, a function, or a dict with 'class_name' and 'config'."
        )


def _instance(entry, config: dict[str, Any]):
    return entry.from_config(config) if isinstance(entry, type) else entry
