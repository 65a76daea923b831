"""Names of layers: automatic ones (`dense`, `dense_1`), and classes by name for files."""

from __future__ import annotations

from pynn.errors import suggestion
from pynn.serialization import normal_form, snake_case

_counts: dict[str, int] = {}
_classes: dict[str, type] = {}


def clear_names() -> None:
    """Restarts automatic names: the next Dense is called `dense`."""
    _counts.clear()


def next_name(class_name: str) -> str:
    """The next automatic name for a class: `dense`, `dense_1`, ..."""
    base = snake_case(class_name)
    count = _counts.get(base, 0)
    _counts[base] = count + 1
    return f"{base}_{count}" if count else base


def register_layer(cls: type) -> type:
    """Class decorator: registers a layer of your own by its name, so that files that contain it can be opened.

    Raises:
        TypeError: `cls` isn't a class.
    """
    if not isinstance(cls, type):
        raise TypeError(f"[register_layer] takes only the class. Received: {cls!r}. Write @pn.register_layer above it.")
    _classes[cls.__name__] = cls
    return cls


def registered_layers() -> dict[str, type]:
    """Every layer class that can be found by name."""
    return dict(_classes)


def described_layer(description: dict, common: dict):
    """The layer of {"class_name", "config"}; it has the dtype among `common` where its config says none."""
    dtype = {} if common.get("dtype") is None else {"dtype": common["dtype"]}
    return find_class(description["class_name"]).from_config({**dtype, **(description.get("config") or {})})


def find_class(name: str) -> type:
    """The layer class of a name.

    Raises:
        ValueError: no layer has that name.
    """
    if name in _classes:
        return _classes[name]
    for known, cls in _classes.items():
        if normal_form(known) == normal_form(name):
            return cls
    raise ValueError(
        f"[layers] there is no layer class with this name. Received: {name!r}.{suggestion(name, _classes)} "
        "Classes of your own must be registered with @pynn.register_layer."
    )
