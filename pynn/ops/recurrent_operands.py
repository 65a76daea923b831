"""What the public recurrent functions do to operands before and after the op, and the operands of test samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor


def as_tensors(*values) -> tuple[Tensor | None, ...]:
    """Each value as a tensor; None stays None."""
    return tuple(None if value is None else as_tensor(value) for value in values)


def visible_sequence(sequence: Tensor, mask: Tensor | None, return_sequences: bool, zero_output_for_mask: bool, go_backwards: bool):
    """h_sequence as the caller asked for it: None, or with zeros where the mask is False."""
    if not return_sequences:
        return None
    if mask is None or not zero_output_for_mask:
        return sequence
    in_order = call("flip", mask, 1) if go_backwards else mask
    return call("where", call("expand_dims", in_order, 2), sequence, 0.0)


def sample_arrays(
    shapes: Sequence[tuple[int, ...]], sizes: tuple[int, int, int, int], *, bias=True, states=False, mask=False
) -> list[np.ndarray | None]:
    """Float64 arrays for x, kernel, recurrent_kernel, bias and states, small enough that gates don't saturate, and a mask."""
    rng = np.random.default_rng(sizes)
    there = (True, True, True, bias, *(states for _ in shapes[4:]))
    arrays = [rng.normal(scale=0.5, size=shape) if wanted else None for shape, wanted in zip(shapes, there, strict=True)]
    return [*arrays, rng.random(sizes[:2]) < 0.6 if mask else None]


# Samples as ((batch, steps, features, units), what is there, attributes): one unit, odd units, whole vectors and tails, one step,
# no step, no row.
CASES = (
    ((2, 3, 2, 3), {}, {}),
    ((1, 1, 1, 1), {}, {}),
    ((2, 1, 3, 16), {"states": True}, {}),
    ((3, 4, 2, 5), {"states": True, "mask": True}, {"go_backwards": True}),
    ((2, 3, 1, 17), {"bias": False}, {"activation": "relu"}),
    ((2, 2, 3, 2), {"mask": True}, {"activation": "softsign"}),
    ((0, 2, 3, 2), {}, {}),
    ((2, 0, 3, 2), {"states": True}, {}),
)
# With a second activation.
GATED_CASES = (
    *CASES,
    ((2, 2, 1, 2), {}, {"recurrent_activation": "hard_sigmoid"}),
    ((2, 2, 2, 4), {}, {"recurrent_activation": "hard_sigmoid_keras2"}),
)
