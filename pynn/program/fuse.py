"""Fusion: calls that one kernel does better together become one call, and remember what they stand for.

Two kinds. Patterns (`matmul + add + relu`) turn into an op with its own kernel and gradient; they are applied before
differentiation and once more when the program is complete. Chains join elementwise calls into one pass over memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pynn.dtypes import bool_, is_float
from pynn.engine.op import REGISTRY, Node, Spec, define
from pynn.engine.tensor import Tensor

MAX_CHAIN = 16
MAX_CHAIN_INPUTS = 8


class Producers:
    """Who makes a tensor and how many calls read it."""

    def __init__(self, nodes: Iterable[Node], keep: set[int]):
        self.by_output: dict[int, Node] = {}
        self.readers: Counter[int] = Counter()
        self.keep = keep
        for node in nodes:
            for t in node.outputs:
                if t is not None:
                    self.by_output[id(t)] = node
            for t in node.inputs:
                if t is not None:
                    self.readers[id(t)] += 1

    def private(self, t: Tensor | None, op_name: str) -> Node | None:
        """The call that makes `t`, if it is of that op and nobody but the asker reads its output."""
        node = self.by_output.get(id(t)) if t is not None else None
        if node is None or node.op.name != op_name or id(t) in self.keep or self.readers[id(t)] != 1:
            return None
        return node if t is node.outputs[0] else None


# ---- patterns ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """A group of calls, in order, and the fused call for them. The last member's first output is the fused op's first output."""

    members: tuple[Node, ...]
    op_name: str
    inputs: tuple
    attrs: dict[str, Any]


def _with_bias(node: Node, producers: Producers, op_name: str) -> tuple[Node, Tensor] | None:
    """For `add(op(...), bias)` in either order: the producing call and the bias, a vector along the last axis."""
    for value, bias in (node.inputs, node.inputs[::-1]):
        made = producers.private(value, op_name)
        if made is not None and bias.shape == made.outputs[0].shape[-1:] and bias.dtype == value.dtype:
            return made, bias
    return None


def _bias_chain(node: Node, producers: Producers, op_name: str):
    """Matches `op + bias` or `relu(op + bias)` ending at `node`: (members, op's call, bias, activation)."""
    if node.op.name == "add":
        found = _with_bias(node, producers, op_name)
        return found and ((found[0], node), *found, "linear")
    if node.op.name == "relu":
        add = producers.private(node.inputs[0], "add")
        found = add and _with_bias(add, producers, op_name)
        return found and ((found[0], add, node), *found, "relu")
    return None


def _match_linear(node: Node, producers: Producers) -> Match | None:
    found = _bias_chain(node, producers, "matmul")
    if not found:
        return None
    members, matmul, bias, activation = found
    if len(matmul.inputs[1].shape) != 2 or matmul.attrs["transpose_a"]:
        return None
    return Match(members, "linear", (*matmul.inputs, bias), {**matmul.attrs, "activation": activation})


def _match_conv(node: Node, producers: Producers) -> Match | None:
    found = _bias_chain(node, producers, "conv2d")
    if not found:
        return None
    members, conv, bias, activation = found
    return Match(members, "conv2d_bias_act", (*conv.inputs, bias), {**conv.attrs, "activation": activation})


def _match_conv_pool(node: Node, producers: Producers) -> Match | None:
    if node.op.name != "max_pool2d" or "conv2d_bias_relu_pool" not in REGISTRY:
        return None
    relu = producers.private(node.inputs[0], "relu")
    found = relu and _bias_chain(relu, producers, "conv2d")
    if not found or not REGISTRY["conv2d_bias_relu_pool"].opcode(found[1].attrs, node.attrs, node.outputs[0].shape):
        return None
    members, conv, bias, _ = found
    return Match((*members, node), "conv2d_bias_relu_pool", (*conv.inputs, bias), dict(conv.attrs))


# Larger patterns first: a smaller one must not take their pieces.
_MATCHERS = (_match_conv_pool, _match_conv, _match_linear)


def fuse_patterns(nodes: list[Node], keep: set[int], may_join: Callable[[Node], bool] = lambda member: True) -> list[Node]:
    """Replaces matched groups in `nodes`, in place; values in `keep` stay, and so do groups with a call that `may_join` refuses.

    Returns:
        The fused calls.
    """
    fused: list[Node] = []
    for matcher in _MATCHERS:
        producers = Producers(nodes, keep)
        taken: set[int] = set()
        # Backwards, so that `relu(x @ w + b)` is seen before the `x @ w + b` in it.
        for node in reversed(nodes):
            match = None if id(node) in taken else matcher(node, producers)
            if match is None or match.op_name not in REGISTRY or any(id(m) in taken or not may_join(m) for m in match.members):
                continue
            taken.update(id(m) for m in match.members)
            fused.append(_fused_node(match))
        nodes[:] = replace_members(nodes, fused)
    return fused


def _fused_node(match: Match) -> Node:
    from pynn.engine.op import prepared

    op = REGISTRY[match.op_name]
    attrs = op.complete(match.attrs)
    specs = tuple(None if t is None else t.spec for t in match.inputs)
    outputs = [None if s is None else Tensor(None, s) for s in prepared(op, specs, attrs)[0]]
    outputs[0] = match.members[-1].outputs[0]
    return Node(op, match.inputs, tuple(outputs), attrs, match.members)


def replace_members(nodes: list[Node], fused: list[Node]) -> list[Node]:
    """`nodes` with every fused group's members taken out and the fused call put where the last of them was."""
    by_last = {id(node.members[-1].outputs[0]): node for node in fused}
    gone = {id(t) for node in fused for m in node.members for t in m.outputs if t is not None}
    result = []
    for node in nodes:
        if node.members and node in fused:
            result.append(node)
        elif node.outputs and id(node.outputs[0]) in gone:
            replacement = by_last.get(id(node.outputs[0]))
            if replacement is not None and replacement not in result:
                result.append(replacement)
        else:
            result.append(node)
    return result


# ---- chains --------------------------------------------------------------------------------------------------------


def _infer_chain(*specs: Spec, program, floats, shape, dtype) -> Spec:
    return Spec(shape, dtype)


def _chain_fallback(*arrays, **attrs):
    raise NotImplementedError("[elementwise_chain] the fallback replays the members of a chain")


CHAIN = define(
    "elementwise_chain",
    inputs=("*",),
    attrs=dict(program=(), floats=(), shape=(), dtype=None),
    infer=_infer_chain,
    fallback=_chain_fallback,
    pack=lambda attrs: (list(attrs["program"]), list(attrs["floats"])),
    kernel="elementwise",
    elementwise=True,
)


class _Chain:
    """Elementwise calls that run in one pass: members in order, inputs in order of first use."""

    def __init__(self, node: Node):
        self.members: list[Node] = [node]

    @property
    def output(self) -> Tensor:
        return self.members[-1].outputs[0]

    def inputs(self) -> list[Tensor]:
        made = {id(m.outputs[0]) for m in self.members}
        found: dict[int, Tensor] = {}
        for member in self.members:
            for t in member.inputs:
                if id(t) not in made:
                    found.setdefault(id(t), t)
        return list(found.values())

    def node(self) -> Node:
        if len(self.members) == 1:
            return self.members[0]
        inputs = self.inputs()
        register = {id(t): i for i, t in enumerate(inputs)}
        code: list[int] = [len(self.members)]
        floats: list[float] = []
        for i, member in enumerate(self.members):
            ints, immediates = member.op.pack(member.attrs)
            operands = [register[id(t)] for t in member.inputs] + [-1] * (3 - len(member.inputs))
            code += [ints[1], *operands]
            floats += immediates
            register[id(member.outputs[0])] = len(inputs) + i
        code.append(register[id(self.output)])
        spec = self.output.spec
        attrs = dict(program=tuple(code), floats=tuple(floats), shape=spec.shape, dtype=spec.dtype)
        return Node(CHAIN, tuple(inputs), (self.output,), attrs, tuple(self.members))


def _chainable(node: Node) -> bool:
    if node.op.opcode is None or not node.op.elementwise or len(node.outputs) != 1:
        return False
    dtype = node.outputs[0].dtype
    return (
        is_float(dtype)
        and all(t is not None and t.dtype in (dtype, bool_) for t in node.inputs)
        and any(t.dtype == dtype for t in node.inputs)
    )


def fuse_chains(nodes: list[Node], keep: set[int], accept: Callable[[Node], bool]) -> list[Node]:
    """Joins an elementwise call with the ones that make its inputs, where nobody else reads those.

    A chain that `accept` refuses (no kernel covers it) stays the calls that it is made of.
    """
    producers = Producers(nodes, keep)
    chain_of: dict[int, _Chain] = {}
    order: list[Any] = []
    for node in nodes:
        if not _chainable(node):
            order.append(node)
            continue
        chain = _Chain(node)
        for t in node.inputs:
            before = chain_of.get(id(t))
            if before is None or id(t) in keep or producers.readers[id(t)] != 1 or t.spec != node.outputs[0].spec:
                continue
            joined = _Chain(node)
            joined.members = before.members + chain.members
            if len(joined.members) <= MAX_CHAIN and len(joined.inputs()) <= MAX_CHAIN_INPUTS:
                order.remove(before)
                chain = joined
                del chain_of[id(t)]
        chain_of[id(node.outputs[0])] = chain
        order.append(chain)
    result: list[Node] = []
    for item in order:
        node = item.node() if isinstance(item, _Chain) else item
        result.extend([node] if node is item or len(item.members) == 1 or accept(node) else item.members)
    return result
