"""Planning: where every value of a program lives. Lifetimes, writing in place, offsets in one arena.

The rules, each stated by a test:
- a value lives from the call that makes it to the last call that reads it;
- an elementwise or update call may write over an input of the same size that dies there;
- a variable is written in place by the call that makes its new value if nobody reads the old one afterwards and no guard can still
  stop the step; otherwise the new value is copied at the end;
- outputs are written where the caller wants them; a second name for the same value is a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pynn.engine.op import Node
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable

ALIGNMENT = 64


@dataclass(frozen=True)
class Place:
    """Where a value lives: kind is arena (offset), input, output (index), constant or variable (the object)."""

    kind: str
    where: object


@dataclass
class Copy:
    """A copy at the end of a step."""

    source: Tensor
    place: Place


@dataclass
class Plan:
    """Everything the executors need beside the calls themselves."""

    steps: list[Node]
    places: dict[int, Place]
    copies: list[Copy]
    arena_bytes: int
    workspaces: list[int]
    written: set[int]
    root_of: dict[int, Tensor]

    def root(self, t: Tensor) -> Tensor:
        """The tensor whose memory `t` is."""
        return self.root_of.get(id(t), t)

    def place(self, t: Tensor) -> Place:
        """Where `t` lives."""
        return self.places[id(self.root(t))]


@dataclass(eq=False)  # two blocks of the same size and time are still two
class _Block:
    """A piece of the arena: bytes and the steps between which it is in use."""

    nbytes: int
    first: int
    last: int
    offset: int = -1


def round_up(nbytes: int) -> int:
    """The next multiple of the alignment."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Planner:
    """Plans one program; see the module's docstring for the rules."""

    def __init__(self, nodes: list[Node], inputs, outputs, reads, finals, workspace_bytes):
        self.root_of: dict[int, Tensor] = {}
        self.steps: list[Node] = []
        for node in nodes:
            if node.op.alias:
                self.root_of[id(node.outputs[0])] = self.root(node.inputs[0])
            else:
                self.steps.append(node)
        self.workspace_bytes = workspace_bytes
        self.outputs = outputs
        self.finals: list[tuple[Variable, Tensor]] = finals
        self.places: dict[int, Place] = {}
        self.copies: list[Copy] = []
        self.written: set[int] = set()
        self.made_at: dict[int, int] = {}
        self.last_read: dict[int, int] = {}
        self._place_foreign(inputs, reads)
        self._measure_lifetimes()

    def root(self, t: Tensor) -> Tensor:
        return self.root_of.get(id(t), t)

    # -- values that have a home already -----------------------------------------------------------------------------

    def _place_foreign(self, inputs, reads) -> None:
        for i, t in enumerate(inputs):
            self.places[id(t)] = Place("input", i)
        self.start_of: dict[int, Tensor] = {}
        for variable, t in reads:
            self.places[id(t)] = Place("variable", variable)
            self.start_of[id(variable)] = t
        constants = [t for node in self.steps for t in node.inputs if t is not None]
        for t in [*constants, *self.outputs, *(t for _, t in self.finals)]:
            root = self.root(t)
            if not root.is_abstract:
                self.places.setdefault(id(root), Place("constant", root))

    def _measure_lifetimes(self) -> None:
        self.guard = -1
        for i, node in enumerate(self.steps):
            if node.op.effect:
                self.guard = i
            for t in node.outputs:
                if t is not None:
                    self.made_at[id(t)] = self.last_read[id(t)] = i
            for t in node.inputs:
                if t is not None:
                    self.last_read[id(self.root(t))] = i
        end = len(self.steps)
        for t in (*self.outputs, *(t for _, t in self.finals)):
            if id(self.root(t)) not in self.made_at:
                self.last_read[id(self.root(t))] = end

    # -- outputs and variables ---------------------------------------------------------------------------------------

    def _place_finals(self) -> None:
        taken: set[int] = {id(self.root(t)) for t in self.outputs}
        late: list[Copy] = []
        for variable, t in self.finals:
            root = self.root(t)
            place = Place("variable", variable)
            self.written.add(id(variable))
            if id(root) not in taken and self._may_write(variable, root):
                self.places[id(root)] = place
                taken.add(id(root))
            else:
                late.append(Copy(root, place))
        self._order_copies(late)

    def _may_write(self, variable: Variable, root: Tensor) -> bool:
        made = self.made_at.get(id(root))
        if made is None or made <= self.guard:
            return False
        start = self.start_of.get(id(variable))
        if start is None:
            return True
        last = self.last_read.get(id(start), -1)
        return last < made or (last == made and self._may_overwrite(self.steps[made], root, start))

    def _may_overwrite(self, node: Node, output: Tensor, value: Tensor) -> bool:
        """Whether `node` may write `output` over its input `value`, which it reads for the last time."""
        reading = [i for i, t in enumerate(node.inputs) if t is not None and self.root(t) is value]
        if len(reading) != 1 or node.inputs[reading[0]].spec.nbytes != output.spec.nbytes:
            return False
        index = next(i for i, t in enumerate(node.outputs) if t is output)
        if node.op.updates:
            return node.op.updates.get(index) == reading[0]
        same = node.inputs[reading[0]].shape == output.shape and node.inputs[reading[0]].dtype == output.dtype
        return node.op.elementwise and same

    def _order_copies(self, copies: list[Copy]) -> None:
        """Values that are another variable's old memory are taken to safety before any variable is written."""
        end = len(self.steps)
        self.rescued: list[tuple[Tensor, Tensor]] = []
        for copy in copies:
            place = self.places.get(id(copy.source))
            if place is not None and place.kind == "variable":
                safe = Tensor(None, copy.source.spec)
                self.rescued.append((copy.source, safe))
                self.made_at[id(safe)], self.last_read[id(safe)] = end, end + 1
                copy = Copy(safe, copy.place)
            elif id(copy.source) in self.made_at:
                self.last_read[id(copy.source)] = end + 1
            self.copies.append(copy)

    def _place_outputs(self) -> list[Copy]:
        copies = []
        for i, t in enumerate(self.outputs):
            root = self.root(t)
            if id(root) in self.places or id(root) not in self.made_at:
                copies.append(Copy(root, Place("output", i)))
                self.last_read[id(root)] = len(self.steps)
            else:
                self.places[id(root)] = Place("output", i)
        return copies

    # -- the arena ---------------------------------------------------------------------------------------------------

    def _place_temporaries(self) -> tuple[int, list[int]]:
        blocks: list[_Block] = []
        block_of: dict[int, _Block] = {}
        for i, node in enumerate(self.steps):
            for t in node.outputs:
                if t is None or id(t) in self.places:
                    continue
                block = self._in_place_block(i, node, t, block_of)
                if block is None:
                    block = _Block(round_up(t.nbytes), i, i)
                    blocks.append(block)
                block.last = max(block.last, self.last_read[id(t)])
                block_of[id(t)] = block
        for _, safe in self.rescued:
            block_of[id(safe)] = _Block(round_up(safe.nbytes), len(self.steps), len(self.steps) + 1)
            blocks.append(block_of[id(safe)])
        workspaces = [_Block(round_up(n), i, i) for i, n in enumerate(self.workspace_bytes(s) for s in self.steps)]
        arena = assign_offsets([b for b in blocks + workspaces if b.nbytes])
        for key, block in block_of.items():
            self.places[key] = Place("arena", max(block.offset, 0))
        return arena, [max(w.offset, 0) for w in workspaces]

    def _in_place_block(self, i: int, node: Node, output: Tensor, block_of: dict[int, _Block]) -> _Block | None:
        for t in node.inputs:
            root = self.root(t) if t is not None else None
            block = block_of.get(id(root))
            if block is not None and block.last == i and self._may_overwrite(node, output, root):
                return block
        return None

    def plan(self) -> Plan:
        """Runs all the rules."""
        self._place_finals()
        output_copies = self._place_outputs()
        arena, workspaces = self._place_temporaries()
        rescues = [Copy(source, self.places[id(safe)]) for source, safe in self.rescued]
        return Plan(self.steps, self.places, output_copies + rescues + self.copies, arena, workspaces, self.written, self.root_of)


def assign_offsets(blocks: list[_Block]) -> int:
    """Gives every block an offset such that blocks in use at the same time don't overlap; returns the arena's size.

    Largest blocks first, each into the smallest gap between the placed blocks it meets in time.
    """
    placed = _Placed(len(blocks))
    for block in sorted(blocks, key=lambda b: (-b.nbytes, b.first)):
        block.offset = placed.offset_for(block.nbytes, block.first, block.last)
        placed.add(block)
    return max((block.offset + block.nbytes for block in blocks), default=0)


class _Placed:
    """The blocks that have an offset, in the order of their offsets; as arrays, as a long loop's steps have thousands of blocks."""

    def __init__(self, room: int):
        self.columns = np.zeros((4, room), np.int64)  # offset, end, first and last step
        self.count = 0

    def offset_for(self, nbytes: int, first: int, last: int) -> int:
        """Where the smallest gap begins that is large enough, else where the last of the blocks that it meets in time ends."""
        offsets, ends, since, until = self.columns[:, : self.count]
        met = ((since <= last) & (until >= first)).nonzero()[0]
        if not len(met):
            return 0
        tops = np.maximum.accumulate(ends[met])
        gaps = offsets[met]
        gaps[1:] -= tops[:-1]
        wide = (gaps >= nbytes).nonzero()[0]
        if not len(wide):
            return int(tops[-1])
        best = wide[gaps[wide].argmin()]
        return int(tops[best - 1]) if best else 0

    def add(self, block: _Block) -> None:
        at = self.columns[0, : self.count].searchsorted(block.offset)
        self.columns[:, at + 1 : self.count + 1] = self.columns[:, at : self.count]
        self.columns[:, at] = block.offset, block.offset + block.nbytes, block.first, block.last
        self.count += 1
