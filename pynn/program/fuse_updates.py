"""Fusion of a weight's gradient with the optimizer's step that takes it.

Where a gradient is a product of two matrices and nobody but its guard and an optimizer's step read it, it never has to be in memory:
the product goes into the step (`matmul_sgd_update` and so on), and the guard asks the factors instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from pynn.engine.op import Node
from pynn.engine.tensor import Tensor
from pynn.ops.guard import GUARD_FINITE
from pynn.ops.matmul_update import GUARD_PRODUCT, MATMUL_UPDATES, gradient_index

LONGEST_INNER = 256  # above it the arithmetic hides the memory
MOST_FACTORS = 2  # sizes of the factors, which the guard reads, over the gradient's


def fuse_updates(nodes: list[Node], keep: set[int], accept: Callable[[Node], bool]) -> list[Node]:
    """`nodes` with the products of gradients moved into the steps that take them. A call that `accept` refuses isn't made."""
    readers: dict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        for t in node.inputs:
            if t is not None:
                readers[id(t)].append(node)
    replaced: dict[int, list[Node]] = {}
    for node in nodes:
        if node.op.name == "matmul" and id(node.outputs[0]) not in keep and _worthwhile(node):
            replaced.update(_fused(node, readers[id(node.outputs[0])], accept))
    return [new for node in nodes for new in replaced.get(id(node), [node])]


def _worthwhile(product: Node) -> bool:
    (a, b), gradient = product.inputs, product.outputs[0]
    if len(a.shape) != 2 or len(b.shape) != 2:
        return False
    inner = a.shape[0 if product.attrs["transpose_a"] else 1]
    return inner <= LONGEST_INNER and a.spec.size + b.spec.size <= MOST_FACTORS * gradient.spec.size


def _fused(product: Node, readers: list[Node], accept: Callable[[Node], bool]) -> dict[int, list[Node]]:
    """What takes the place of the product, its guards and its step, by the id of the call; nothing if they don't fit."""
    gradient = product.outputs[0]
    guards = [n for n in readers if n.op is GUARD_FINITE]
    steps = [n for n in readers if n.op.name in MATMUL_UPDATES and _is_gradient(n, gradient)]
    if len(steps) != 1 or len(guards) + 1 != len(readers):
        return {}
    new = {id(g): Node(GUARD_PRODUCT, product.inputs, (), {**product.attrs, "label": g.attrs["label"]}) for g in guards}
    new[id(steps[0])] = _step(product, steps[0])
    if not all(accept(node) for node in new.values()):
        return {}
    return {id(product): [], **{key: [node] for key, node in new.items()}}


def _is_gradient(step: Node, t: Tensor) -> bool:
    return [i for i, x in enumerate(step.inputs) if x is t] == [gradient_index(step.op)]


def _step(product: Node, step: Node) -> Node:
    at = gradient_index(step.op)
    inputs = (*step.inputs[:at], *product.inputs, *step.inputs[at + 1 :])
    op = MATMUL_UPDATES[step.op.name]
    return Node(op, inputs, step.outputs, op.complete({**product.attrs, **step.attrs}), (product, step))
