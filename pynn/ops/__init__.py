"""Every op of the package, one file per family. Importing this fills the table that tensor operators call.

A family is a module in this folder with `__all__`, the names of its public functions.
"""

from __future__ import annotations

import os
from importlib import import_module

from pynn.engine.operators import FUNCTIONS

_files = sorted(name for name in os.listdir(os.path.dirname(__file__)) if name.endswith(".py") and not name.startswith("_"))
_modules = [import_module(f"{__name__}.{name[:-3]}") for name in _files]

__all__: list[str] = []
for _module in _modules:
    for _name in getattr(_module, "__all__", ()):
        FUNCTIONS[_name] = globals()[_name] = getattr(_module, _name)
        __all__.append(_name)
