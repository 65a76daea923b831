"""Programs: what a capture becomes. A flat list of calls with every value placed, run by the native executor or in Python."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pynn.dtypes import NATIVE_CODES
from pynn.engine import kernels
from pynn.engine.op import Node
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable
from pynn.errors import CaptureError
from pynn.program import fuse
from pynn.program.capture import Capture
from pynn.program.fuse_updates import fuse_updates
from pynn.program.plan import Planner
from pynn.program.replay import FallbackReplay, NativeReplay, native_kernel


class Program:
    """What `capture` holds as a computation over `inputs`.

    Attributes:
        inputs: The abstract tensors that stand for the arguments.
        outputs: The tensors that are returned.
        finals: (variable, value) for every variable that changes.
        plan: Where everything lives.
    """

    def __init__(self, capture: Capture, inputs: Sequence[Tensor], outputs: Sequence[Tensor]):
        capture.demand(outputs)
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.finals = capture.finals()
        wanted = [*self.outputs, *(t for _, t in self.finals)]
        nodes = drop_unread(capture.nodes, wanted)
        keep = {id(t) for t in wanted}
        fuse.fuse_patterns(nodes, keep)
        nodes = fuse_updates(nodes, keep, _has_kernel)
        self.nodes = fuse.fuse_chains(nodes, keep, _has_kernel)
        read = {id(t) for n in self.nodes for t in n.inputs if t is not None} | keep
        self.reads = [(v, t) for v, t in capture.reads.values() if id(t) in read]
        changed = {id(v) for v, _ in self.finals}
        computed = [t for n in self.nodes for t in n.outputs if t is not None]
        self._check_origins()
        self._changing = {id(t) for t in (*self.inputs, *computed, *(t for v, t in self.reads if id(v) in changed))}
        self.plan = Planner(self.nodes, self.inputs, self.outputs, self.reads, self.finals, self._workspace_bytes).plan()
        native = kernels.native_enabled() and self._native_dtypes()
        self.replay = NativeReplay(self) if native else FallbackReplay(self)

    def __repr__(self) -> str:
        return f"<Program of {len(self.nodes)} calls; describe() prints them>"

    def _check_origins(self) -> None:
        known = {id(t) for t in (*self.inputs, *(t for _, t in self.reads))}
        known.update(id(t) for n in self.nodes for t in n.outputs)
        readers = [*((n.op.name, t) for n in self.nodes for t in n.inputs), *(("function", t) for t in self.outputs)]
        readers += [("assign", t) for _, t in self.finals]
        for name, t in readers:
            if t is not None and t.is_abstract and id(t) not in known:
                raise CaptureError(
                    f"[{name}] a value belongs to a capture that has ended. Received: {t!r}. Return such values from the captured "
                    "function instead of keeping them."
                )

    def keeps(self, node: Node) -> bool:
        """Whether a call's kernel keeps what it makes of an operand for the next run: the program doesn't change that operand."""
        kernel = native_kernel(node)
        return kernel is not None and kernel.kept_operand >= 0 and id(node.inputs[kernel.kept_operand]) not in self._changing

    def _workspace_bytes(self, node: Node) -> int:
        kernel = native_kernel(node)
        return 0 if kernel is None or self.keeps(node) else kernel.shared_bytes

    def _native_dtypes(self) -> bool:
        tensors = [t for n in self.nodes for t in (*n.inputs, *n.outputs) if t is not None]
        return all(t.dtype in NATIVE_CODES for t in [*tensors, *self.inputs, *self.outputs])

    @property
    def variables(self) -> list[Variable]:
        """Every variable that the program reads or writes."""
        found = {id(v): v for v, _ in [*self.reads, *self.finals]}
        return list(found.values())

    def run(self, arrays: Sequence[np.ndarray] = (), steps: int = 1) -> list[np.ndarray]:
        """Runs the program `steps` times over the same inputs; returns the outputs of the last time."""
        return self.replay.run(arrays, steps)

    def describe(self) -> str:
        """The program as text: calls with the values they read and write, where those live, what was fused."""
        from pynn.program.describe import describe

        return describe(self)


def _has_kernel(node: Node) -> bool:
    return native_kernel(node) is not None


def drop_unread(nodes: list[Node], wanted: Sequence[Tensor]) -> list[Node]:
    """The calls whose outputs or effects are used."""
    needed = {id(t) for t in wanted}
    kept = []
    for node in reversed(nodes):
        if node.op.effect or any(t is not None and id(t) in needed for t in node.outputs):
            kept.append(node)
            needed.update(id(t) for t in node.inputs if t is not None)
    return kept[::-1]
