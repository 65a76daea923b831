"""The two executors of a program: the native one, and a Python loop over the fallback kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pynn.engine import kernels
from pynn.engine.interrupts import undisturbed
from pynn.engine.op import REGISTRY, Node, prepared
from pynn.engine.tensor import Tensor

try:
    from pynn import _core
except ImportError:
    _core = None

ABSENT, ARENA, EXTERNAL = 0, 1, 2


def native_kernel(node: Node):
    """The prepared native kernel of a call, None if its fallback has to run."""
    specs = tuple(None if t is None else t.spec for t in node.inputs)
    return prepared(node.op, specs, node.attrs)[1]


def _spec_codes(tensors):
    return [None if t is None else kernels.spec_code(t.spec) for t in tensors]


class NativeReplay:
    """Runs a program in C++. Its runner keeps contexts (arena, bound pointers) for the next run."""

    def __init__(self, program):
        self.program = program
        self.externals: list = []  # what each external is bound to: ("input", i), ("output", i), ("constant", t), ("variable", v)
        self._index: dict[tuple, int] = {}
        self.steps: list[Node] = []
        self.core = self._lower()
        self.runner = self._runner()

    def _external(self, kind: str, where) -> int:
        key = (kind, where if isinstance(where, int) else id(where))
        if key not in self._index:
            self._index[key] = len(self.externals)
            self.externals.append((kind, where))
        return self._index[key]

    def _operand(self, t: Tensor | None) -> tuple[int, int]:
        return (ABSENT, 0) if t is None else self._operand_at(self.program.plan.place(t))

    def _operand_at(self, place) -> tuple[int, int]:
        return (ARENA, place.where) if place.kind == "arena" else (EXTERNAL, self._external(place.kind, place.where))

    def _lower(self):
        plan, core = self.program.plan, _core.Program()
        for node, workspace in zip(plan.steps, plan.workspaces, strict=True):
            self._add(core, node, workspace)
        for copy in plan.copies:
            self._add_copy(core, copy)
        core.finish(plan.arena_bytes, len(self.externals))
        return core

    def _add(self, core, node: Node, workspace: int) -> None:
        operands = [self._operand(t) for t in (*node.inputs, *node.outputs)]
        kernel = native_kernel(node)
        self.steps.append(node)
        if kernel is not None:
            core.add_kernel(kernel, operands, workspace, self.program.keeps(node))
        elif node.op.address is not None:
            core.add_address(node.op.address, node.op, _spec_codes(node.inputs), _spec_codes(node.outputs), operands)
        else:
            core.add_python(_python_call(node), _spec_codes(node.inputs), _spec_codes(node.outputs), operands)

    def _add_copy(self, core, copy) -> None:
        place = self.program.plan.places[id(copy.source)]
        code = kernels.spec_code(copy.source.spec)
        kernel = _core.Kernel("copy", [code], [code], [], [])
        core.add_kernel(kernel, [self._operand_at(place), self._operand_at(copy.place)], 0)
        self.steps.append(Node(REGISTRY["identity"], (copy.source,), (), {}))

    def _runner(self):
        program, steps = self.program, self.steps

        def failed(code, instruction, values):
            raise kernels.failure_error(steps[instruction].op, code, values)

        def places(wanted):
            return [(i, where) for i, (kind, where) in enumerate(self.externals) if kind == wanted]

        written = program.plan.written
        return _core.Runner(
            self.core,
            inputs=_spec_codes(program.inputs),
            input_places=places("input"),
            outputs=_spec_codes(program.outputs),
            output_places=places("output"),
            constants=[(i, _in_slot(t)) for i, t in places("constant")],
            variables=[(i, v, id(v) in written) for i, v in places("variable")],
            failed=failed,
        )

    def run(self, arrays: Sequence[np.ndarray], steps: int) -> list[np.ndarray]:
        """See `Program.run`."""
        try:
            return self.runner.run(arrays, steps)
        except MemoryError:
            raise self.too_large() from None

    def too_large(self) -> MemoryError:
        """The error for a run that finds no memory."""
        size = (self.program.plan.arena_bytes + sum(t.spec.nbytes for t in self.program.outputs)) / 2**20
        return MemoryError(
            f"[program] there is no memory for this computation. It needs {size:,.0f} MB beside its data. Take fewer rows at a time, for "
            "example by a smaller batch_size."
        )


def _in_slot(t: Tensor) -> np.ndarray:
    """The elements of a constant; few of them in memory of ours, so that micro-operations can have them as operands where they are."""
    if t.data.nbytes > _core.SLOT_BYTES:
        return t.data
    memory = kernels.empty(t.spec)
    np.copyto(memory, t.data)
    return memory


class NativeContext:
    """The memory of one run: an arena, and arrays bound to the program's externals. For runs that go on after a pause."""

    def __init__(self, replay: NativeReplay, arrays: Sequence[np.ndarray]):
        self.replay = replay
        try:
            self.core = replay.runner.acquire()
            outputs = [kernels.empty(t.spec) for t in replay.program.outputs]
        except MemoryError:
            raise replay.too_large() from None
        self.given = [(i, kind, where) for i, (kind, where) in enumerate(replay.externals) if kind in ("input", "output")]
        for external, kind, where in self.given:
            self.core.bind(external, (arrays if kind == "input" else outputs)[where])

    def bind_variables(self) -> None:
        """Takes the memory that the variables have now."""
        self.replay.runner.bind_variables(self.core)

    def raise_failure(self) -> None:
        """Raises the error for the failure of the last run, if it failed."""
        failure = self.core.failure
        if failure is not None:
            code, instruction, values = failure
            raise kernels.failure_error(self.replay.steps[instruction].op, code, values)

    def close(self) -> None:
        """Gives the memory back; inputs may be a whole data set, which nothing holds on to."""
        for external, *_ in self.given:
            self.core.let_go(external)
        self.replay.runner.release(self.core)


def _python_call(node: Node):
    """What a native program calls for an op without a native kernel: the fallback, writing into the given arrays."""
    specs = [None if t is None else t.spec for t in node.outputs]
    own = _copies if node.op.foreign else list

    def call(inputs, outputs):
        inputs = own(inputs)
        for target, result in zip(outputs, kernels.run_fallback(node.op, inputs, node.attrs, specs), strict=True):
            if target is not None:
                np.copyto(target, result)

    return call


def _copies(arrays: list) -> list:
    """For a user's kernel, which may keep what it gets: the memory of a program is written again."""
    copies = [None if a is None else a.copy() for a in arrays]
    for a in copies:
        if a is not None:
            a.flags.writeable = False
    return copies


class FallbackReplay:
    """Runs the same calls in Python, each by its fallback kernel; fused calls run as the members they stand for."""

    def __init__(self, program):
        self.program = program

    def run(self, arrays: Sequence[np.ndarray], steps: int) -> list[np.ndarray]:
        """See `Program.run`."""
        outputs: list[np.ndarray] = []
        for _ in range(steps):
            outputs = self._run_once(arrays)
        return outputs

    def _run_once(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        program = self.program
        values = {id(t): a for t, a in zip(program.inputs, arrays, strict=True)}
        values.update((id(t), v.snapshot().data) for v, t in program.reads)
        for node in program.nodes:
            self._run_node(node, values)
        results = [np.array(_value(t, values)) for t in program.outputs]
        new = [(v, np.array(_value(t, values))) for v, t in program.finals]
        values.clear()  # who still reads the variables now keeps their old memory
        with undisturbed():
            for variable, value in new:
                np.copyto(variable.writable_storage(copy=False), value.reshape(variable.shape))
        return results

    def _run_node(self, node: Node, values: dict[int, np.ndarray]) -> None:
        # A fused call whose residuals the gradient reads has to run as itself.
        members = node.members if node.members and not node.op.residuals else (node,)
        for member in members:
            inputs = [None if t is None else _value(t, values) for t in member.inputs]
            if member.op.alias:
                values[id(member.outputs[0])] = inputs[0].reshape(member.outputs[0].shape)
                continue
            specs = [None if t is None else t.spec for t in member.outputs]
            for t, result in zip(member.outputs, kernels.run_fallback(member.op, inputs, member.attrs, specs), strict=True):
                if t is not None:
                    values[id(t)] = result


def _value(t: Tensor, values: dict[int, np.ndarray]) -> np.ndarray:
    return values[id(t)] if t.is_abstract else t.data
