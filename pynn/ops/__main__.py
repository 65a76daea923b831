"""The table of all ops as Markdown, read from their records: `python -m pynn.ops > docs/ops.md`."""

from __future__ import annotations

import numpy as np

from pynn import ops
from pynn.dtypes import NATIVE_SUFFIX
from pynn.engine import kernels
from pynn.engine.op import REGISTRY, Op, Spec, infer_outputs

_HEAD = """\
# Ops

Written by `python -m pynn.ops` from the op records; `docs/ops.md` is this text.

- Operands with `?` may be absent, and `*` stands for any number of them; attributes are shown with their defaults.
- Native: the dtypes of the first floating-point operand for which there is a C++ kernel; others run on NumPy. \
"any" is one kernel for all dtypes that the op takes, except int8 and int16: it moves bytes, as `concat` does, converts, or fills. \
"alias" needs no kernel: the output is the input's memory under another shape.
- Gradient: "yes" means by its own rule, "by parts" through the ops that it consists of, "-" none. Rules are written with ops, so they \
have gradients too.
- The last columns give the op's names in TensorFlow.js and ONNX, if it has any.

| op | operands | attributes | native | gradient | TensorFlow.js | ONNX |
|---|---|---|---|---|---|---|
"""


def table() -> str:
    """The table of all built-in ops, sorted by name."""
    rows = (_row(op) for _, op in sorted(REGISTRY.items()) if _is_builtin(op))
    return _HEAD + "\n".join(rows) + "\n"


def _is_builtin(op: Op) -> bool:
    return op.infer.__module__.startswith(ops.__name__)


def _row(op: Op) -> str:
    operands = ", ".join(f"{n}?" if optional else n for n, optional in zip(op.inputs, op.optional, strict=True)).replace("*", r"\*")
    attributes = ", ".join(f"{k}={v!r}" for k, v in op.attrs.items()).replace("|", r"\|")
    gradient = "yes" if op.vjp else "by parts" if op.decompose else "-"
    cells = (f"`{op.name}`", operands, f"`{attributes}`" if attributes else "", native_dtypes(op), gradient, op.tfjs or "", op.onnx or "")
    return f"| {' | '.join(cells)} |"


def native_dtypes(op: Op) -> str:
    """The dtypes for which `op` has a native kernel, as the table has them."""
    if op.alias:
        return "alias"
    if op.kernel in kernels.native_names():
        return "any"
    return " ".join(suffix for dtype, suffix in NATIVE_SUFFIX.items() if _has_kernel(op, dtype, suffix)) or "-"


def _has_kernel(op: Op, dtype: np.dtype, suffix: str) -> bool:
    """Many ops share the elementwise kernel, which says itself what it computes of a dtype."""
    if f"{op.kernel}_{suffix}" not in kernels.native_names():
        return False
    if op.kernel != "elementwise":
        return True
    specs = tuple(Spec((1,), dtype) for _ in op.inputs)
    try:
        return kernels.prepare_native(op, specs, infer_outputs(op, specs, op.attrs), op.attrs) is not None
    except (TypeError, ValueError):
        return False


if __name__ == "__main__":
    print(table(), end="")
