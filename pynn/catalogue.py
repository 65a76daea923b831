"""The list of layers, losses, metrics and so on as Markdown, from their docstrings: `python -m pynn.catalogue > docs/layers.md`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType

from pynn import activations, callbacks, constraints, initializers, layers, losses, metrics, optimizers, regularizers
from pynn.optimizers import schedules

_HEAD = """\
# Layers, losses, metrics, optimizers and callbacks

Written by `python -m pynn.catalogue` from the docstrings' first lines; `docs/layers.md` is this text. For the rest, such as \
the arguments, see `help(pn.layers.Dense)`. Instead of an object, its name may be given: `Dense(8, "relu")`, `model.compile("adam", "mse")`.
"""

_SECTIONS = (
    ("Layers", layers, "pn.layers"),
    ("Activations", activations, "pn.activations"),
    ("Losses", losses, "pn.losses"),
    ("Metrics", metrics, "pn.metrics"),
    ("Optimizers", optimizers, "pn.optimizers"),
    ("Learning rates", schedules, "pn.optimizers.schedules"),
    ("Callbacks", callbacks, "pn.callbacks"),
    ("Initializers", initializers, "pn.initializers"),
    ("Regularizers", regularizers, "pn.regularizers"),
    ("Constraints", constraints, "pn.constraints"),
)
_LOOKING_UP = ("get", "is_builtin", "is_elementwise", "name_of")


def page() -> str:
    """All sections, each a table of names and what they are."""
    return _HEAD + "".join(_section(*section) for section in _SECTIONS)


def _section(title: str, module: ModuleType, path: str) -> str:
    rows = (f"| `{name}` | {_summary(found)} |" for name, found in _public(module))
    return f"\n## {title}\n\n| `{path}.` | |\n|---|---|\n" + "\n".join(rows) + "\n"


def _public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Classes of the module, whichever file they are in, and for activations the functions: by name, without what looks them up."""
    for name in sorted(getattr(module, "__all__", None) or vars(module)):
        found = getattr(module, name)
        own = getattr(found, "__module__", "").startswith(module.__name__)
        wanted = inspect.isfunction(found) and name not in _LOOKING_UP if module is activations else name[0].isupper()
        if own and wanted and not name.startswith("_") and callable(found):
            yield name, found


def _summary(found: object) -> str:
    """The docstring's first paragraph, without what it says of arguments."""
    line = inspect.getdoc(found).partition("\n\n")[0].replace("\n", " ")
    line = re.sub(r"[;.,] (see|arguments as|other arguments) .*", ".", line, flags=re.IGNORECASE)
    return line.rstrip(",:").replace("|", r"\|")


if __name__ == "__main__":
    print(page(), end="")
