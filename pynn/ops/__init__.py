"""Every op of the package, one file per family. Importing this fills the table that tensor operators call.

A family is a module in this folder with `__all__`, the names of its public functions.
"""
# ruff: noqa: F403, F405

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from pynn.elsewhere import TENSOR
from pynn.engine.operators import FUNCTIONS, fill_methods
from pynn.engine.public import PublicFunction


def _families() -> list[str]:
    """The modules in this folder, which may be compiled files alone; where there is no folder but an archive, it is asked."""
    try:
        files = os.listdir(os.path.dirname(__file__))
    except OSError:
        from pkgutil import iter_modules

        files = [f"{found.name}.py" for found in iter_modules(__path__)]
    return sorted({name.partition(".")[0] for name in files if name.endswith((".py", ".pyc")) and not name.startswith("_")})


_modules = [import_module(f"{__name__}.{name}") for name in _families()]

# Arguments alone don't decide what conv2d does, which reads a setting. The others' results know more than their values, and are made
# around a function that is served.
_AS_THEY_ARE = {"conv2d", "sigmoid", "softmax"}


def _public(function):
    return function if function.__name__ in _AS_THEY_ARE else PublicFunction(function, __name__)


if TYPE_CHECKING:  # for which the names must stand here
    from pynn.ops.activations import *
    from pynn.ops.arithmetic import *
    from pynn.ops.cast import *
    from pynn.ops.comparisons import *
    from pynn.ops.composed import *
    from pynn.ops.conv import *
    from pynn.ops.creation import *
    from pynn.ops.cumulative import *
    from pynn.ops.einsum import *
    from pynn.ops.gather import *
    from pynn.ops.guard import *
    from pynn.ops.matmul import *
    from pynn.ops.normalization import *
    from pynn.ops.optimizer_steps import *
    from pynn.ops.pool import *
    from pynn.ops.random import *
    from pynn.ops.rearrange import *
    from pynn.ops.recurrent import *
    from pynn.ops.reduce import *
    from pynn.ops.resizing import *
    from pynn.ops.search import *
    from pynn.ops.shape import *
    from pynn.ops.slicing import *
    from pynn.ops.softmax import *
    from pynn.ops.transcendental import *
else:
    __all__: list[str] = []
    for _module in _modules:
        for _name in getattr(_module, "__all__", ()):
            FUNCTIONS[_name] = globals()[_name] = _public(getattr(_module, _name))
            __all__.append(_name)
fill_methods(_public, TENSOR)
