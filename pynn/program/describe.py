"""A program as text, for people, bug reports and the tests' golden files."""

from __future__ import annotations

from pynn.engine.op import Node
from pynn.program.replay import NativeReplay, native_kernel


def _spec(t) -> str:
    return f"{t.dtype.name}[{','.join(map(str, t.shape))}]"


def _place(place) -> str:
    if place.kind == "arena":
        return f"@{place.where}"
    if place.kind == "variable":
        return place.where.path
    return "constant" if place.kind == "constant" else f"{place.kind} {place.where}"


def _runs_on(node: Node, micro_ops: int) -> str:
    kernel = native_kernel(node)
    if kernel is None:
        return "address" if node.op.address is not None else "python"
    if micro_ops:
        return f"native, micro-ops {micro_ops}"
    chunks = "+".join(map(str, kernel.chunks))
    return f"native, variant {kernel.variant}, chunks {chunks}" if kernel.variant else f"native, chunks {chunks}"


def describe(program) -> str:
    """One line per call: outputs = op(inputs) {attributes}, where the outputs live, and on what it runs."""
    plan = program.plan
    native = isinstance(program.replay, NativeReplay)
    names: dict[int, str] = {}

    def name(t) -> str:
        if t is None:
            return "-"
        root = plan.root(t)
        if id(root) not in names:
            place = plan.places.get(id(root))
            foreign = place is not None and place.kind in ("input", "variable") and id(root) not in made
            constant = place is not None and place.kind == "constant"
            names[id(root)] = _place(place) if foreign else f"constant {_spec(root)}" if constant else f"%{len(names)}"
        return names[id(root)]

    made = {id(t) for node in plan.steps for t in node.outputs if t is not None}
    lines = [
        f"program: {len(plan.steps)} calls, {len(plan.copies)} copies, arena {plan.arena_bytes} bytes, "
        f"{'native' if native else 'fallback'} executor"
    ]
    lines += [f"  input {i}: {_spec(t)}" for i, t in enumerate(program.inputs)]
    micro_ops = program.replay.core.micro_ops if native else []
    for i, node in enumerate(plan.steps):
        inputs = ", ".join(name(t) for t in node.inputs)
        outputs = ", ".join(f"{name(t)}:{_spec(t)} in {_place(plan.place(t))}" for t in node.outputs if t is not None)
        fused = f" <{' + '.join(m.op.name for m in node.members)}>" if node.members else ""
        lines.append(f"  {outputs or '()'} = {node.op.name}({inputs}){fused}  # {_runs_on(node, micro_ops[i]) if native else 'fallback'}")
    lines += [f"  copy {name(c.source)} -> {_place(c.place)}" for c in plan.copies]
    return "\n".join(lines)
