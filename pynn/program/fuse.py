"""Fusion: calls that one kernel does better together become one call, and remember what they stand for.

Two kinds. Patterns (`matmul + add + relu`) turn into an op with its own kernel and gradient; they are applied before
differentiation and once more when the program is complete. Chains join elementwise calls into one pass over memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pynn.dtypes import bool_, int32, int64, is_float, uint8
from pynn.engine.op import REGISTRY, Node, Spec, define, prepared
from pynn.engine.tensor import Tensor
from pynn.ops.conv_fused import can_fuse_pool

MAX_CHAIN = 16
MAX_CHAIN_INPUTS = 8
CAST_IN_CHAINS = (bool_, uint8, int32, int64)


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
    if node.op.name != "max_pool2d" or not can_fuse_pool(node.attrs, node.outputs[0].shape):
        return None
    relu = producers.private(node.inputs[0], "relu")
    found = relu and _bias_chain(relu, producers, "conv2d")
    if not found:
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
    """Elementwise calls that run in one pass: members in order, inputs in order of first use.

    All values are of one float type or bools, which count as 0 and 1; integers come in through a cast only.
    """

    def __init__(self, members: list[Node], dtype: np.dtype | None):
        self.members = members
        self.dtype = dtype  # of the floats, None if there are none

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

    def reads(self, t: Tensor) -> int:
        return sum(x is t for member in self.members for x in member.inputs)

    def after(self, before: _Chain) -> _Chain | None:
        """`before` and this chain as one, None if it can't be or would be too long."""
        if before.output.shape != self.output.shape or (before.dtype and self.dtype and before.dtype != self.dtype):
            return None
        joined = _Chain(before.members + self.members, before.dtype or self.dtype)
        return joined if len(joined.members) <= MAX_CHAIN and len(joined.inputs()) <= MAX_CHAIN_INPUTS else None

    def calls(self, accept: Callable[[Node], bool]) -> list[Node]:
        """The one call that the chain is; its members where no kernel covers it; the casts first where no input has its float type."""
        if len(self.members) == 1:
            return self.members
        if self.dtype is None or any(t.dtype == self.dtype for t in self.inputs()):
            node = self.node()
            return [node] if accept(node) else self.members
        outside = {id(t) for t in self.inputs()}
        casts = [m for m in self.members if m.op.name == "cast" and id(m.inputs[0]) in outside]
        rest = [m for m in self.members if m not in casts]
        return [*casts, *_Chain(rest, self.dtype).calls(accept)] if casts and rest else self.members

    def node(self) -> Node:
        inputs = self.inputs()
        register = {id(t): i for i, t in enumerate(inputs)}
        calls = [member for member in self.members if member.op.name != "cast"]  # the kernel converts what it loads, bools are 0 and 1
        code: list[int] = [len(calls)]
        floats: list[float] = []
        for member in self.members:
            if member.op.name == "cast":
                register[id(member.outputs[0])] = register[id(member.inputs[0])]
                continue
            ints, immediates = member.op.pack(member.attrs)
            operands = [register[id(t)] for t in member.inputs] + [-1] * (3 - len(member.inputs))
            register[id(member.outputs[0])] = len(inputs) + len(floats) // 2
            code += [ints[1], *operands]
            floats += immediates
        code.append(register[id(self.output)])
        spec = self.output.spec
        attrs = dict(program=tuple(code), floats=tuple(floats), shape=spec.shape, dtype=spec.dtype)
        return Node(CHAIN, tuple(inputs), (self.output,), attrs, tuple(self.members))


def _chain_of_one(node: Node) -> _Chain | None:
    if len(node.outputs) != 1 or any(t is None for t in node.inputs):
        return None
    dtype = node.outputs[0].dtype
    if node.op.name == "cast":
        return _Chain([node], dtype) if is_float(dtype) and node.inputs[0].dtype in CAST_IN_CHAINS else None
    floats = {t.dtype for t in (*node.inputs, *node.outputs)} - {bool_}
    if node.op.opcode is None or not node.op.elementwise or len(floats) > 1 or not all(is_float(d) for d in floats):
        return None
    return _Chain([node], next(iter(floats), None))


def fuse_chains(nodes: list[Node], keep: set[int], accept: Callable[[Node], bool]) -> list[Node]:
    """Joins an elementwise call with the ones that make its inputs, where nobody else reads those.

    A chain that `accept` refuses (no kernel covers it) stays the calls that it is made of.
    """
    producers = Producers(nodes, keep)
    chain_of: dict[int, _Chain] = {}
    order: dict[int, Any] = {}  # by identity: what joins a later chain leaves its place

    def grown(chain: _Chain) -> _Chain:
        for t in reversed(chain.inputs()):  # so that members stay in the order of the calls
            before = chain_of.get(id(t))
            if before is None or id(t) in keep or chain.reads(t) != producers.readers[id(t)]:
                continue
            joined = chain.after(before)
            if joined is not None:
                del order[id(before)]
                del chain_of[id(t)]
                return grown(joined)
        return chain

    for node in nodes:
        chain = _chain_of_one(node)
        if chain is not None:
            chain = grown(chain)
            chain_of[id(chain.output)] = chain
        item = node if chain is None else chain
        order[id(item)] = item
    return [node for item in order.values() for node in (item.calls(accept) if isinstance(item, _Chain) else [item])]
