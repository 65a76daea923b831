"""The two executors of a program: the native one, and a Python loop over the fallback kernels."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from pynn.engine import kernels
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
    """Runs a program in C++. Contexts (arena, bound pointers) are kept for the next run."""

    def __init__(self, program):
        self.program = program
        self.externals: list = []  # what each external is bound to: ("input", i), ("output", i), ("constant", t), ("variable", v)
        self._index: dict[tuple, int] = {}
        self._idle: list[NativeContext] = []
        self._lock = threading.Lock()
        self.steps: list[Node] = []
        self.core = self._lower()

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
            core.add_kernel(kernel, operands, workspace)
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

    def context(self) -> NativeContext:
        """An idle context, or a new one."""
        with self._lock:
            return self._idle.pop() if self._idle else NativeContext(self)

    def release(self, context: NativeContext) -> None:
        """Gives a context back."""
        with self._lock:
            if len(self._idle) < 4:
                self._idle.append(context)

    def run(self, arrays: Sequence[np.ndarray], steps: int) -> list[np.ndarray]:
        """See `Program.run`."""
        context = self.context()
        try:
            outputs = context.bind(arrays)
            context.run(steps)
            return outputs
        finally:
            self.release(context)


class NativeContext:
    """The memory of one run: an arena, and arrays bound to the program's externals."""

    def __init__(self, replay: NativeReplay):
        self.replay = replay
        self.core = _core.Context(replay.core)
        self._inputs = [(i, w) for i, (kind, w) in enumerate(replay.externals) if kind == "input"]
        self._outputs = [(i, w) for i, (kind, w) in enumerate(replay.externals) if kind == "output"]
        written = replay.program.plan.written
        self._variables = [[i, w, id(w) in written, None] for i, (kind, w) in enumerate(replay.externals) if kind == "variable"]
        for i, (kind, where) in enumerate(replay.externals):
            if kind == "constant":
                self.core.bind(i, where.data)

    def bind(self, arrays: Sequence[np.ndarray], outputs: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """Binds inputs, variables and outputs (new arrays unless given) and returns the outputs."""
        bind = self.core.bind
        for external, index in self._inputs:
            bind(external, arrays[index])
        for entry in self._variables:
            external, variable, written, bound = entry
            storage = variable.writable_storage() if written else variable.storage()
            if storage is not bound:
                bind(external, storage)
                entry[3] = storage
        if outputs is None:
            outputs = [kernels.empty(t.spec) for t in self.replay.program.outputs]
        for external, index in self._outputs:
            bind(external, outputs[index])
        return list(outputs)

    def run(self, steps: int = 1, seconds: float = 0.0) -> int:
        """Runs up to `steps` steps, for about `seconds` (0: no limit). Returns how many were done."""
        done = self.core.run(steps, seconds)
        self.raise_failure()
        return done

    def raise_failure(self) -> None:
        """Raises the error for the failure of the last run, if it failed."""
        failure = self.core.failure
        if failure is not None:
            code, instruction, values = failure
            raise kernels.failure_error(self.replay.steps[instruction].op, code, values)


def _python_call(node: Node):
    """What a native program calls for an op without a native kernel: the fallback, writing into the given arrays."""
    specs = [None if t is None else t.spec for t in node.outputs]

    def call(inputs, outputs):
        for target, result in zip(outputs, kernels.run_fallback(node.op, inputs, node.attrs, specs), strict=True):
            if target is not None:
                np.copyto(target, result)

    return call


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
        values.update((id(t), v.storage()) for v, t in program.reads)
        for node in program.nodes:
            self._run_node(node, values)
        results = [np.array(_value(t, values)) for t in program.outputs]
        new = [(v, np.array(_value(t, values))) for v, t in program.finals]
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
