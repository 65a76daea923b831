"""Gradients of calls that a tape has recorded without Python: a segment's as a program, and which calls can be on a segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pynn.dtypes import is_float
from pynn.engine.call_tape import written_out
from pynn.engine.callable import Callable
from pynn.engine.op import Node, Spec
from pynn.engine.tape import Tape
from pynn.engine.tensor import Tensor
from pynn.errors import CaptureError
from pynn.program.capture import Capture, abstract
from pynn.program.program import Program, drop_unread
from pynn.program.replay import NativeReplay, native_kernel

MOST_RECOMPUTED_NS = 2500  # of a call, by its gradient: about what one op costs by Python


class SegmentGradient(Callable):
    """Called with the tensors at `reads` and then the gradients that have arrived, it gives those of the tensors at `writes`."""

    def __init__(self, program: Program, reads: Sequence[int], writes: Sequence[int]):
        self.reads = reads
        self.writes = writes
        self.kept_bytes = program.plan.arena_bytes
        self._program = program
        arguments = [("array", i) for i in range(len(program.inputs))]
        results = [("output", i) for i in range(len(program.outputs))]
        specs = [t.spec for t in program.outputs]
        self.remember(program.replay.runner, len(arguments), (), arguments, ("list", results), specs, None)

    def call_python(self, *tensors: Tensor) -> list[Tensor]:
        """The same for more tensors than a call without Python takes."""
        return [Tensor(a) for a in self._program.run([t.data for t in tensors])]


@contextmanager
def _captured(calls: Sequence[tuple], specs: Sequence[Spec], followed: Sequence[int]) -> Iterator[tuple[Capture, list[Tensor], Tape]]:
    """A capture with the calls in it over stand-ins, and the tape that has followed them."""
    with Capture(may_create=False) as capture, capture:
        tensors = [abstract(spec, "argument") for spec in specs]
        yield capture, tensors, written_out(calls, tensors, followed)


def segment_gradient(
    calls: Sequence[tuple], specs: Sequence[Spec], followed: Sequence[int], arrived: Mapping[int, Spec]
) -> SegmentGradient | None:
    """The gradients of the tensors at `followed`, given those of the tensors `arrived`. None if this needs Python."""
    try:
        return _captured_gradient(calls, specs, followed, arrived)
    except CaptureError:
        return None


def _captured_gradient(
    calls: Sequence[tuple], specs: Sequence[Spec], followed: Sequence[int], arrived: Mapping[int, Spec]
) -> SegmentGradient | None:
    with _captured(calls, specs, followed) as (capture, tensors, tape):
        given = {i: abstract(spec, "gradient") for i, spec in arrived.items()}
        grads = {id(tensors[i]): dy for i, dy in given.items()}
        tape.walk_back(grads, set())
    found = {i: grads[id(tensors[i])] for i in followed if id(tensors[i]) in grads}
    writes = [i for i, dx in found.items() if dx is not given.get(i)]
    outputs = [found[i] for i in writes]
    read = {id(t) for node in drop_unread(capture.nodes, outputs) for t in (*node.inputs, *outputs)}
    reads = [i for i, t in enumerate(tensors) if id(t) in read]
    program = Program(capture, [*(tensors[i] for i in reads), *given.values()], outputs)
    return SegmentGradient(program, reads, writes) if isinstance(program.replay, NativeReplay) else None


def differentiable_results(recipe, operands: Sequence[Spec], results: Sequence[Spec]) -> tuple[bool, ...] | None:
    """By which results of a call gradients can be taken; None if tapes have to see the ops that it is made of.

    That is so where its gradient would have to make much of the call again, or needs what the call's Python makes besides its results.
    """
    count = len(operands)
    followed = [i for i, spec in enumerate(operands) if is_float(spec.dtype)]
    with _captured([(recipe, range(count), count)], [*operands, *results], followed) as (capture, tensors, tape):
        made = list(capture.nodes)
        reached = tuple(id(t) in tape.tracked for t in tensors[count:])
        grads = {id(t): abstract(t.spec, "gradient") for t in tensors[count:] if id(t) in tape.tracked}
        tape.walk_back(grads, set())
    needed = drop_unread(capture.nodes, [grads[id(t)] for t in tensors[:count] if id(t) in grads])
    return reached if _cost_ns(made, needed) <= MOST_RECOMPUTED_NS else None


def _cost_ns(made: Sequence[Node], needed: Sequence[Node]) -> float:
    again = {id(node) for node in made}
    kernels = [native_kernel(node) for node in needed if id(node) in again and not node.op.alias]
    return float("inf") if None in kernels else sum(kernel.cost_ns for kernel in kernels)
