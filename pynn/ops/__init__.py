"""Every op of the package, one file per family. Importing this fills the table that tensor operators call."""

from __future__ import annotations

from pynn.engine.operators import FUNCTIONS
from pynn.ops import (
    activations,
    arithmetic,
    cast,
    comparisons,
    cumulative,
    gather,
    normalization,
    optimizer_steps,
    random,
    recurrent,
    reduce,
    shape,
    slicing,
    softmax,
    transcendental,
)

_FAMILIES: tuple = (
    activations,
    arithmetic,
    cast,
    comparisons,
    cumulative,
    gather,
    normalization,
    optimizer_steps,
    random,
    recurrent,
    reduce,
    shape,
    slicing,
    softmax,
    transcendental,
)

for _family in _FAMILIES:
    for _name in _family.__all__:
        FUNCTIONS[_name] = globals()[_name] = getattr(_family, _name)

__all__ = sorted(n for f in _FAMILIES for n in f.__all__)
