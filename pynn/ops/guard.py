"""Guards: a step in which a watched value is not finite stops before anything of it is committed."""

from __future__ import annotations

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.errors import GuardTripped

__all__ = ["guard_finite"]


def _infer(x: Spec, *, label: int) -> tuple:
    return ()


def _fallback(x, *, label):
    if not np.isfinite(x).all():
        raise GuardTripped(label)
    return ()


GUARD_FINITE = define(
    "guard_finite",
    inputs=("x",),
    attrs=dict(label=0),
    infer=_infer,
    fallback=_fallback,
    reference=_fallback,
    samples=lambda: [Sample([(3, 5)], grad=False), Sample([(0,)], grad=False)],
    failures={1: GuardTripped},
    effect=True,
)


def guard_finite(x, *, label: int = 0) -> None:
    """Stops the step with `GuardTripped(label)` if an element of `x` is NaN or infinite.

    In a captured step no variable changes then, not even those assigned before the guard.
    """
    apply(GUARD_FINITE, x, label=int(label))
