"""What the planner makes of a weight's gradient `op(a) @ op(b)` that only a guard and an optimizer's step read.

`matmul_update` is the product and the step in one: the gradient is never in memory. `guard_product` says whether the product would
be finite, as a rule from the sizes of its operands alone. Both are for programs; they aren't called by hand.
"""

from __future__ import annotations

import numpy as np

from pynn.engine.op import Op, Sample, Spec, define, infer_outputs, pack_in_order
from pynn.errors import GuardTripped
from pynn.ops import optimizer_steps
from pynn.ops.matmul import MATMUL

__all__: list[str] = []

# The steps that the kernel knows, in its order.
STEPS = (
    optimizer_steps.SGD_UPDATE,
    optimizer_steps.MOMENTUM_UPDATE,
    optimizer_steps.ADAM_UPDATE,
    optimizer_steps.ADAMW_UPDATE,
    optimizer_steps.RMSPROP_UPDATE,
    optimizer_steps.ADAGRAD_UPDATE,
)

_TRANSPOSED = dict(transpose_a=False, transpose_b=False)


def gradient_index(step: Op) -> int:
    """Which operand of an optimizer's step is the gradient: the one after the tensors that change."""
    return len(step.updates)


def _split(step: Op, operands: tuple) -> tuple[tuple, tuple, tuple]:
    """(weight and slots, (a, b), scalars)."""
    first = gradient_index(step)
    return operands[:first], operands[first : first + 2], operands[first + 2 :]


def _step_attrs(step: Op, attrs: dict) -> dict:
    return {name: attrs[name] for name in step.attrs}


def _product_attrs(attrs: dict) -> dict:
    return {name: attrs[name] for name in _TRANSPOSED}


def _define(index: int, step: Op) -> Op:
    def infer(*specs: Spec, **attrs):
        tensors, factors, scalars = _split(step, specs)
        gradient = infer_outputs(MATMUL, factors, _product_attrs(attrs))
        return infer_outputs(step, (*tensors, *gradient, *scalars), _step_attrs(step, attrs))

    def compute(*arrays, **attrs):
        tensors, factors, scalars = _split(step, arrays)
        gradient = MATMUL.fallback(*factors, **_product_attrs(attrs))
        return step.fallback(*tensors, gradient, *scalars, **_step_attrs(step, attrs))

    def pack(attrs: dict):
        ints, floats = pack_in_order(_step_attrs(step, attrs))
        return [int(attrs["transpose_a"]), int(attrs["transpose_b"]), index, *ints], floats

    tensors, scalars = step.inputs[: gradient_index(step)], step.inputs[gradient_index(step) + 1 :]
    return define(
        f"matmul_{step.name}",
        inputs=(*tensors, "a", "b", *scalars),
        attrs={**_TRANSPOSED, **step.attrs},
        infer=infer,
        fallback=compute,
        updates=dict(step.updates),
        pack=pack,
        reference=compute,
        samples=lambda: _samples(len(tensors), len(scalars)),
        kernel="matmul_update",
    )


def _samples(tensors: int, scalars: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    cases = []
    for m, k, n, ta, tb in [(5, 3, 2, 1, 0), (40, 7, 33, 1, 0), (13, 32, 10, 0, 1), (3, 300, 700, 1, 1), (0, 4, 3, 1, 0), (3, 0, 4, 1, 0)]:
        changed = [np.abs(rng.normal(size=(m, n))) for _ in range(tensors)]
        a, b = rng.normal(size=(k, m) if ta else (m, k)), rng.normal(size=(n, k) if tb else (k, n))
        rates = [np.array(0.01 * (i + 1)) for i in range(scalars)]
        cases.append(Sample([*changed, a, b, *rates], dict(transpose_a=bool(ta), transpose_b=bool(tb)), grad=False))
    return cases


MATMUL_UPDATES = {step.name: _define(index, step) for index, step in enumerate(STEPS)}


def _infer_guard(a: Spec, b: Spec, *, label: int, **transposed) -> tuple:
    infer_outputs(MATMUL, (a, b), transposed)
    return ()


def _guard_numpy(a, b, *, label: int, **transposed) -> tuple:
    if not np.isfinite(MATMUL.fallback(a, b, **transposed)).all():
        raise GuardTripped(label)
    return ()


GUARD_PRODUCT = define(
    "guard_product",
    inputs=("a", "b"),
    attrs={**_TRANSPOSED, "label": 0},
    infer=_infer_guard,
    fallback=_guard_numpy,
    reference=_guard_numpy,
    samples=lambda: [Sample([(3, 5), (5, 70)], grad=False), Sample([(4, 0), (3, 4)], dict(transpose_a=True, transpose_b=True), grad=False)],
    failures={1: GuardTripped},
    effect=True,
)
