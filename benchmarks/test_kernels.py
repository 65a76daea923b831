"""Every family of ops, from one element to more than the caches hold, forward and with its gradients, inside a captured step."""

from __future__ import annotations

import time

import pytest

import pynn as pn

from .kernel_cases import FAMILIES, KernelCase

ENOUGH_SECONDS = 2e-4


def parameters() -> list:
    """A pytest parameter per case and direction."""
    return [
        pytest.param(case, backward, id=f"{family.__name__}-{case.name}-{'with_gradient' if backward else 'forward'}")
        for family in FAMILIES
        for case in family()
        for backward in ((False, True) if case.wrt else (False,))
    ]


def step_of(case: KernelCase, backward: bool):
    """The op as a function of its operands; backward: the sum of its result, with the gradients of that sum."""
    if not backward:
        return case.f

    def value_and_gradients(*operands):
        constants = operands[case.wrt :]
        return pn.value_and_grads(lambda *watched: pn.sum(case.f(*watched, *constants)))(*operands[: case.wrt])

    return value_and_gradients


@pytest.mark.parametrize("case, backward", parameters())
def test_kernel(case, backward, timed):
    """Rates: operations where the case counts them (three times the forward pass's with gradients), else bytes in and out, forward."""
    step, operands = pn.function(step_of(case, backward)), [pn.tensor(x.make()) for x in case.operands]
    result = step(*operands)
    began = time.perf_counter()
    step(*operands)
    count = max(1, int(ENOUGH_SECONDS / (time.perf_counter() - began))) * 8 if case.operands[0].size < 100_000 else 1
    moved = 0 if case.flops or backward else sum(x.numpy().nbytes for x in (*operands, result))
    timed(lambda: pn.repeat(step, count, *operands), flops=case.flops * count * (3 if backward else 1), bytes=moved * count, count=count)
