"""`apply`: the one way in which anything is ever computed."""

from __future__ import annotations

from typing import Any

from pynn.engine import kernels
from pynn.engine.op import Op, active, prepared
from pynn.engine.tensor import Tensor, as_tensor
from pynn.engine.variable import Variable

kernels.introduce(Tensor, Variable, active)


def apply(op: Op, *inputs, **attrs):
    """Computes (or, while a capture runs, records) `op` and tells the tapes.

    Inputs are tensors, variables, arrays or Python numbers, None for an absent optional one. Returns the op's output, or a
    tuple of them when there are several; residuals are left out.
    """
    tensors = tuple([x if x is None or type(x) is Tensor else as_tensor(x) for x in inputs])
    attrs = op.complete(attrs)
    capture = active.capture
    outputs = compute(op, tensors, attrs) if capture is None else capture.record(op, tensors, attrs)
    for tape in active.tapes:
        tape.record(op, tensors, outputs, attrs)
    visible = outputs[: len(outputs) - op.residuals] if op.residuals else outputs
    return visible[0] if len(visible) == 1 else visible


def compute(op: Op, tensors: tuple, attrs: dict[str, Any]) -> tuple:
    """Runs the op now."""
    specs = tuple([None if t is None else t.spec for t in tensors])
    outputs, kernel = prepared(op, specs, attrs)
    if kernel is not None:
        return kernels.run_native(op, kernel, tensors, outputs)
    if op.alias:
        return (Tensor(tensors[0].data.reshape(outputs[0].shape)),)
    results = kernels.run_fallback(op, [None if t is None else t.data for t in tensors], attrs, outputs)
    return tuple(None if r is None else Tensor(r) for r in results)
