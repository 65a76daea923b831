"""An optimizer's steps outside of captures: one by the same variables that comes again and again is captured and goes past Python."""

from __future__ import annotations

from collections.abc import Callable as PythonFunction
from itertools import chain

from pynn.engine import kernels
from pynn.engine.callable import LearningCallable
from pynn.engine.op import active
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable
from pynn.errors import CaptureError
from pynn.program.capture import abstract
from pynn.program.function import capture_function, describe_arguments
from pynn.program.nest import flatten
from pynn.program.replay import NativeReplay

SIGHTINGS = 4  # of a step, before it is captured
MOST_STEPS = 8  # kept at a time


class CapturedSteps(LearningCallable):
    """Called with a list of gradients and a list of what they belong to; `step` does the same in Python."""

    def __init__(self, step: PythonFunction):
        super().__init__(MOST_STEPS)
        self._step = step

    def call_python(self, grads: list, variables: list) -> None:
        """A step that no program serves."""
        self._step(grads, variables)
        if active.capture is None and not active.tapes and kernels.native_enabled():
            self._look_at(grads, variables)

    def _look_at(self, grads: list, variables: list) -> None:
        if not all([g is None or type(g) is Tensor for g in grads]):
            return
        key = tuple([None if g is None else g.spec for g in grads]), tuple(map(id, variables))
        if self.sighted(key) == SIGHTINGS:
            self._capture(grads, variables)

    def _capture(self, grads: list, variables: list) -> None:
        stand_ins = [None if g is None else abstract(g.spec, "gradient") for g in grads]
        structure = flatten(((grads, variables), {}), [])
        present = [t for t in stand_ins if t is not None]
        try:
            program = capture_function(self._step, structure, chain(stand_ins, variables), present, may_create=False).program
        except CaptureError:
            return
        if isinstance(program.replay, NativeReplay):
            self.serve(program.replay.runner, 2, (), describe_arguments([grads, variables]), ("value", None), [], None)


def knows_its_step(optimizer, variables: list[Variable]) -> bool:
    """Whether a step is made of nothing but what comes with the package: code of a user's may do another thing each time."""
    own = [optimizer] if optimizer.schedule is None else [optimizer, optimizer.schedule]
    return all([type(o).__module__.startswith("pynn.") for o in own]) and all([v.constraint is None for v in variables])
