"""Capture: Python runs once over abstract tensors, and what it calls is written down."""

from __future__ import annotations

from collections.abc import Sequence

from pynn.engine.apply import compute
from pynn.engine.op import Node, Op, active, prepared
from pynn.engine.tape import IDENTITY, Tape
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable
from pynn.errors import CaptureError
from pynn.program import fuse


class Capture:
    """Records calls while it is entered. Reads of variables are values, assignments are effects in order.

    `with Capture() as capture, capture:` ends it for sure: Ctrl-C can keep one `__exit__` from its first line, not both.

    Args:
        may_create: Whether variables may be made meanwhile.
        rates_are_set: Whether those who run what is captured set learning rates that Python computes before each step.
    """

    def __init__(self, *, may_create: bool = True, rates_are_set: bool = False):
        self.nodes: list[Node] = []
        self.reads: dict[int, tuple[Variable, Tensor]] = {}
        self.current: dict[int, tuple[Variable, Tensor]] = {}
        self.seen: dict[int, Tensor] = {}  # what reads give, by variable, since its last assignment
        self.fused_away: dict[int, Node] = {}
        self.may_create = may_create
        self.rates_are_set = rates_are_set

    def __enter__(self) -> Capture:
        if active.capture is self:
            return self
        if active.capture is not None:
            raise CaptureError("[capture] a capture is running already. Call one captured function from the other instead.")
        active.capture = self
        return self

    def __exit__(self, *exc) -> None:
        if active.capture is self:
            active.capture = None

    # -- called by the engine ----------------------------------------------------------------------------------------

    def record(self, op: Op, tensors: tuple, attrs: dict) -> tuple:
        """Writes a call down and returns abstract outputs. A call on constants alone is computed at once."""
        if tensors and not op.effect and all(t is None or not t.is_abstract for t in tensors):
            return compute(op, tensors, attrs)
        if self.fused_away:
            self.demand(tensors)
        specs = tuple(None if t is None else t.spec for t in tensors)
        outputs = tuple(None if s is None else abstract(s, op.name) for s in prepared(op, specs, attrs)[0])
        self.nodes.append(Node(op, tensors, outputs, attrs))
        return outputs

    def read(self, variable: Variable) -> Tensor:
        """The variable's value as of the assignments so far."""
        key = id(variable)
        found = self.current.get(key)
        if found is None:
            found = (variable, abstract(variable.spec, variable.name))
            self.reads[key] = self.current[key] = found
            self.seen[key] = found[1]
        elif key not in self.seen:
            self.seen[key] = self.detach(found[1])  # a new value, as eagerly: no gradient flows through an assignment
        return self.seen[key]

    def assign(self, variable: Variable, value: Tensor) -> None:
        """Reads after this see `value`; the memory changes when the program ends or nobody reads the old value any more."""
        self.current[id(variable)] = (variable, value)
        self.seen.pop(id(variable), None)

    def detach(self, x: Tensor) -> Tensor:
        """`x` under another name that no tape follows."""
        tapes, active.tapes = active.tapes, []
        try:
            return self.record(IDENTITY, (x,), {})[0]
        finally:
            active.tapes = tapes

    def saw_creation(self, name: str) -> None:
        """Variables may be created in the first capture of a function only, or with these objects: later ones would create them again."""
        if not self.may_create:
            raise CaptureError(
                f"[function] the variable {name!r} was created in a later call of a captured function. "
                "Create variables once, outside of the function: call a new layer on its input, or build(...) it or the optimizer, before."
            )

    def before_gradient(self, tape: Tape) -> None:
        """Fuses the calls that the tape is about to differentiate, so that fused ops are differentiated by their own kernels."""
        if active.tapes:
            return  # an outer tape needs the calls as they were made
        assigned = {id(value) for _, value in self.current.values()}
        taped = {id(t): node.op for node in tape.nodes for t in node.outputs}

        def followed(member: Node) -> bool:
            """False for a call that the tape was kept from seeing: a fused call would let gradients through it."""
            op = taped.get(id(member.outputs[0]))
            return op is member.op or (op is None and not any(id(t) in tape.tracked for t in member.inputs))

        fused = fuse.fuse_patterns(self.nodes, keep=assigned | tape.watched_ids(), may_join=followed)
        for node in fused:
            for member in node.members:
                for t in member.outputs:
                    if t is not None and all(t is not o for o in node.outputs):
                        self.fused_away[id(t)] = member
        tape.nodes = fuse.replace_members(tape.nodes, fused)

    # -- the result --------------------------------------------------------------------------------------------------

    def finals(self) -> list[tuple[Variable, Tensor]]:
        """(variable, value) for every variable whose value at the end is another than at the start."""
        result = []
        for key, (variable, value) in self.current.items():
            start = self.reads.get(key)
            if start is None or start[1] is not value:
                result.append((variable, value))
        self.demand([value for _, value in result])
        return result

    def demand(self, tensors: Sequence[Tensor | None]) -> None:
        """Makes sure that values which a fusion made disappear are computed after all."""
        for t in tensors:
            if id(t) in self.fused_away:
                member = self.fused_away[id(t)]
                for made in member.outputs:
                    self.fused_away.pop(id(made), None)
                self.demand(member.inputs)
                self.nodes.append(member)


def abstract(spec, source: str = "") -> Tensor:
    """A tensor that stands for a value known only at run time."""
    t = Tensor(None, spec)
    t.source = source
    return t
