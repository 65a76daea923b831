"""The tape of eager gradients: calls that need no Python are recorded as segments, and repeated segments are differentiated in one call.

What a tape has to do on its way back follows from the calls and from how they hang together, not from values. A segment has that
as its `key` (csrc/segment.h), so its gradient is a program to be captured once, as a call of a public function is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pynn.engine import kernels
from pynn.engine.op import Node
from pynn.engine.tape import Tape
from pynn.engine.tensor import Tensor

SIGHTINGS = 4  # of a segment, before its gradient is captured
MOST_GRADIENTS = 256  # kept at a time,
MOST_KEPT_BYTES = 1 << 26  # and their memory between calls


class CallTape(Tape):
    """A tape that takes segments. The tensors by which it differentiates are watched before anything is made of them."""

    __slots__ = ()

    def walk_back(self, grads: dict[int, Tensor], wanted: set[int]) -> None:
        """As that of any tape, over segments as well."""
        for entry in reversed(self.nodes):
            if type(entry) is Node:
                self.step_back(entry, grads, wanted)
            else:
                _walk_back_segment(entry, grads)


kernels.introduce_tape(CallTape)

_gradients: dict[tuple, Any] = {}  # the gradient of a segment, None if Python makes it, by its key and by where gradients have arrived
_sightings: dict[tuple, int] = {}


def _walk_back_segment(segment, grads: dict[int, Tensor]) -> None:
    tensors = segment.tensors
    arrived = tuple([i for i, t in enumerate(tensors) if id(t) in grads])
    if not arrived:
        return
    key = segment.key, arrived
    gradient = _gradients.get(key) or _look_at(key, segment, tensors, grads)
    if gradient is None:
        tape = written_out(segment.calls(), tensors, segment.followed())
        tape.walk_back(grads, set())
        return
    found = gradient(*[tensors[i] for i in gradient.reads], *[grads[id(tensors[i])] for i in arrived])
    for i, dx in zip(gradient.writes, found, strict=True):
        grads[id(tensors[i])] = dx


def _look_at(key: tuple, segment, tensors: Sequence[Tensor], grads: dict[int, Tensor]):
    """The gradient of a segment that has come often enough, else None."""
    if key in _gradients:
        return None
    if len(_sightings) >= 16 * MOST_GRADIENTS:
        _sightings.clear()
    count = _sightings[key] = _sightings.get(key, 0) + 1
    if count < SIGHTINGS:
        return None
    from pynn.program.captured_gradient import segment_gradient

    arrived = {i: grads[id(tensors[i])].spec for i in key[1]}
    gradient = segment_gradient(segment.calls(), [t.spec for t in tensors], segment.followed(), arrived)
    kept = sum([g.kept_bytes for g in (gradient, *list(_gradients.values())) if g is not None])
    if len(_gradients) >= MOST_GRADIENTS or kept > MOST_KEPT_BYTES:
        _gradients.clear()
    _gradients[key] = gradient
    return gradient


def written_out(calls: Sequence[tuple], tensors: Sequence[Tensor], followed: Sequence[int]) -> Tape:
    """A tape with every op of a segment's calls, which Python makes again over these tensors, real ones or stand-ins."""
    tape = Tape()
    tape.tracked.update([id(tensors[i]) for i in followed])
    for recipe, operands, first_result in calls:
        start = len(tape.nodes)
        with tape:
            made = recipe.make([tensors[i] for i in operands])
        results = {id(t): tensors[first_result + i] for i, t in enumerate(made)}
        for node in tape.nodes[start:]:
            node.inputs = tuple([results.get(id(t), t) for t in node.inputs])
            node.outputs = tuple([results.get(id(t), t) for t in node.outputs])
        tape.tracked.update([id(t) for i, t in results.items() if i in tape.tracked])
        tape.tracked.difference_update(results)
    return tape
