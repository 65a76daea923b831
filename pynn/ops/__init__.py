"""Every op of the package, one file per family. Importing this fills the table that tensor operators call.

A family is a module in this folder with `__all__`, the names of its public functions.
"""

from __future__ import annotations

import os
from importlib import import_module

from pynn.engine.operators import FUNCTIONS, fill_methods
from pynn.engine.public import PublicFunction

_files = sorted(name for name in os.listdir(os.path.dirname(__file__)) if name.endswith(".py") and not name.startswith("_"))
_modules = [import_module(f"{__name__}.{name[:-3]}") for name in _files]

# Arguments alone don't decide what conv2d does, which reads a setting. The others' results know more than their values, and are made
# around a function that is served.
_AS_THEY_ARE = {"conv2d", "sigmoid", "softmax"}


def _public(function):
    return function if function.__name__ in _AS_THEY_ARE else PublicFunction(function, __name__)


__all__: list[str] = []
for _module in _modules:
    for _name in getattr(_module, "__all__", ()):
        FUNCTIONS[_name] = globals()[_name] = _public(getattr(_module, _name))
        __all__.append(_name)
fill_methods(_public)
