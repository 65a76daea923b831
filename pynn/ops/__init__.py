"""Every op of the package, one file per family. Importing this fills the table that tensor operators call.

A family is a module in this folder with `__all__`, the names of its public functions.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from pynn.engine.operators import FUNCTIONS

_modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]

__all__: list[str] = []
for _module in _modules:
    for _name in getattr(_module, "__all__", ()):
        FUNCTIONS[_name] = globals()[_name] = getattr(_module, _name)
        __all__.append(_name)
