"""Every op of the package, one file per family. Importing this fills the table that tensor operators call."""

from __future__ import annotations

from pynn.engine.operators import FUNCTIONS
from pynn.ops import cast, conv, conv_fused, gather, normalization, optimizer_steps, pool, random, recurrent, shape, slicing, softmax

_FAMILIES: tuple = (cast, conv, conv_fused, gather, normalization, optimizer_steps, pool, random, recurrent, shape, slicing, softmax)

for _family in _FAMILIES:
    for _name in _family.__all__:
        FUNCTIONS[_name] = globals()[_name] = getattr(_family, _name)

__all__ = sorted(n for f in _FAMILIES for n in f.__all__)
