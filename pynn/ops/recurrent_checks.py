"""Shape rules of recurrent ops and their gradients, and the messages where they don't hold."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import bool_, is_float
from pynn.engine.op import Spec
from pynn.errors import shapes
from pynn.ops.recurrent_activations import ACTIVATIONS


def check_activation(op: str, argument: str, name: str) -> None:
    """Raises ValueError unless `name` is one of `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise ValueError(
            f"[{op}] there is no {argument} with this name. Received: {argument}={name!r}. "
            f"Use one of {', '.join(ACTIVATIONS)}, or pass a function of a tensor."
        )


def check_sequence(op: str, x: Spec, mask: Spec | None) -> None:
    """Raises unless x is (batch, steps, features) and the mask, where there is one, a boolean (batch, steps)."""
    if len(x.shape) != 3:
        raise ValueError(
            f"[{op}] expects the axes (batch, steps, features), got rank {len(x.shape)}. Received: x.shape={x.shape}. "
            "Add an axis: x[:, None, :] for one step, or x.reshape(batch, steps, features)."
        )
    if mask is None:
        return
    if mask.dtype != bool_:
        raise TypeError(f"[{op}] the mask must be boolean. Received: mask.dtype={mask.dtype}. Compare first, for example mask != 0.")
    if mask.shape != x.shape[:2]:
        raise ValueError(
            f"[{op}] the mask must have a bool for each step of each row. Received: {shapes(x=x, mask=mask)}. "
            f"Its shape must be (batch, steps) = {x.shape[:2]}."
        )


def check_weights(op: str, gates: int, x: Spec, kernel: Spec, recurrent_kernel: Spec, bias: Spec | None, bias_rows: int = 1) -> int:
    """Raises unless the weights fit x and each other. Returns the units.

    kernel (features, gates * units), recurrent_kernel (units, gates * units), bias (gates * units), or (bias_rows, gates * units)
    if bias_rows > 1.
    """
    received = shapes(x=x, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias)
    names = f"{gates} * units" if gates > 1 else "units"
    if len(recurrent_kernel.shape) != 2 or recurrent_kernel.shape[0] * gates != recurrent_kernel.shape[1] or not recurrent_kernel.shape[0]:
        raise ValueError(f"[{op}] the recurrent_kernel must have the shape (units, {names}). Received: {received}.")
    units = recurrent_kernel.shape[0]
    if len(kernel.shape) != 2 or kernel.shape[1] != gates * units:
        raise ValueError(
            f"[{op}] the kernel must have the shape (features, {names}), here (features, {gates * units}). Received: {received}."
        )
    if kernel.shape[0] != x.shape[2]:
        raise ValueError(
            f"[{op}] x has {x.shape[2]} features but the kernel expects {kernel.shape[0]}. Received: {received}. "
            "The kernel's first axis must equal x's last axis."
        )
    wanted = (gates * units,) if bias_rows == 1 else (bias_rows, gates * units)
    if bias is not None and bias.shape != wanted:
        raise ValueError(f"[{op}] the bias must have the shape {wanted}. Received: {received}.{_bias_hint(op, bias, gates * units)}")
    return units


def _bias_hint(op: str, bias: Spec, width: int) -> str:
    if op != "gru" or bias.shape not in ((width,), (2, width)):
        return ""
    return f" A bias of this shape goes with reset_after={len(bias.shape) == 2}."


def check_state(op: str, name: str, state: Spec | None, x: Spec, units: int) -> None:
    """Raises unless the initial state is (batch, units)."""
    if state is not None and state.shape != (x.shape[0], units):
        raise ValueError(
            f"[{op}] {name} must have the shape (batch, units) = ({x.shape[0]}, {units}). "
            f"Received: {shapes(x=x, **{name: state})}."
        )


def gradient_specs(x: Spec, kernel: Spec, recurrent_kernel: Spec, bias: Spec | None, states: int, needs) -> tuple[Spec | None, ...]:
    """The specs of the gradients by x, the weights and so many initial states, None where nobody `needs` one."""
    state = Spec((x.shape[0], recurrent_kernel.shape[0]), x.dtype)
    specs = (x, kernel, recurrent_kernel, bias, *[state] * states)
    return tuple(spec if need else None for spec, need in zip(specs, needs, strict=True))


def check_dtypes(op: str, **specs: Spec | None) -> np.dtype:
    """Raises TypeError unless all operands that are there share one float dtype. Returns it."""
    dtypes = {name: spec.dtype for name, spec in specs.items() if spec is not None}
    found = set(dtypes.values())
    if len(found) > 1 or not is_float(next(iter(found))):
        received = ", ".join(f"{name}.dtype={dtype}" for name, dtype in dtypes.items())
        raise TypeError(
            f"[{op}] all operands must have the same float dtype. Received: {received}. Cast them, for example x.astype('float32')."
        )
    return next(iter(found))
