"""Loops over captured functions and over the rows of tensors: `pn.repeat` and `pn.scan`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pynn.dtypes import is_whole
from pynn.engine.op import active
from pynn.engine.operators import Operators, call
from pynn.engine.tensor import Tensor, as_tensor, tensor
from pynn.program.function import function
from pynn.program.nest import flatten, flatten_like, unflatten

__all__ = ["repeat", "scan"]


def repeat(step: Callable, n: int, *args) -> Any:
    """Calls `step(*args)` `n` times in one native run and returns the last result. State lives in variables.

    Raises:
        ValueError: `n` isn't a whole number above zero.

    Example:
        >>> import pynn as pn
        >>> count = pn.Variable(0.0)
        >>> pn.repeat(pn.function(lambda: count.assign_add(1.0)), 1000)
        >>> float(count)
        1000.0
    """
    if not is_whole(n) or n < 1:
        raise ValueError(f"[repeat] n must be a whole number above zero. Received: n={n!r}.")
    if active.capture is not None or active.tapes:
        result = None
        for _ in range(int(n)):
            result = step(*args)
        return result
    return function(step).run_steps(int(n), *args)


def scan(body: Callable, carry, xs=None, length: int | None = None) -> tuple[Any, Any]:
    """Loops over the leading axis: `carry, y = body(carry, x)` for every `x` in `xs`; returns `(carry, stacked ys)`.

    Gradients flow to everything that `body` uses, as in any other computation.

    Args:
        body: `(carry, x) -> (carry, y)`; both may be nested structures, with None among the leaves.
        carry: The first carry.
        xs: A tensor or a nested structure of tensors with a common leading axis; None with `length`.
        length: Number of iterations if `xs` is None. If it is 0, `body` isn't called and the stacked ys are None.

    Raises:
        TypeError: `body` isn't a function, or doesn't return a pair.
        ValueError: the leading axes differ, or the structure of `body`'s y differs from that in the first iteration.

    Example:
        >>> import pynn as pn
        >>> total, sums = pn.scan(lambda c, x: (c + x, c + x), 0.0, pn.tensor([1.0, 2.0, 3.0]))
        >>> sums.tolist()
        [1.0, 3.0, 6.0]
    """
    if not callable(body):
        raise TypeError(f"[scan] the body must be a function of (carry, x). Received: {type(body).__name__}. Call scan(body, carry, xs).")
    leaves: list = []
    structure = flatten(xs, leaves) if xs is not None else None
    tensors = [as_tensor(x) for x in leaves]
    turns = _turns(tensors, length)
    carry = _tensors(carry)
    rows: list[list] = []
    y_structure = None
    for i in range(turns):
        x = unflatten(structure, iter([t[i] for t in tensors])) if structure is not None else None
        carry, y = _pair(body(carry, x))
        if i == 0:
            rows.append([])
            y_structure = flatten(y, rows[0])
        else:
            rows.append(_row(y, i, y_structure, rows[0]))
    if not rows:
        return carry, None
    stacked = [None if rows[0][k] is None else call("stack", [as_tensor(row[k]) for row in rows]) for k in range(len(rows[0]))]
    return carry, unflatten(y_structure, iter(stacked))


def _pair(made) -> tuple:
    """(carry, y): a tensor of two rows is none, though it can be taken apart."""
    if isinstance(made, (tuple, list)) and len(made) == 2:
        return tuple(made)
    raise TypeError(f"[scan] body must return a pair (carry, y). Received: {_outline(made)}. Write return carry, y, or carry, None.")


def _row(y, turn: int, structure, first: list) -> list:
    """The leaves of what a turn gave, in the order of those of the first turn."""
    row: list = []
    if not flatten_like(structure, y, row) or any((a is None) != (b is None) for a, b in zip(row, first, strict=True)):
        raise ValueError(
            f"[scan] body must return a y of the same structure in every iteration. Received: {_outline(y)} in iteration {turn}, "
            f"{_outline(unflatten(structure, iter(first)))} in iteration 0. Return the same names, or as many tensors, each time."
        )
    return row


def _outline(value) -> str:
    leaves: list = []
    structure = flatten(value, leaves)
    return str(unflatten(structure, iter(["tensor" if leaf is not None else None for leaf in leaves]))).replace("'tensor'", "tensor")


def _turns(xs: list[Tensor], length) -> int:
    if length is not None and (not is_whole(length) or length < 0):
        raise ValueError(f"[scan] length must be a whole number, zero or more. Received: length={length!r}.")
    if not all(x.shape for x in xs):
        raise ValueError(
            "[scan] every tensor of xs needs a leading axis to loop over. Received: one without axes; a list is a structure of tensors, "
            "so pass pn.tensor(values) for a list of numbers."
        )
    lengths = {x.shape[0] for x in xs} | (set() if length is None else {int(length)})
    if len(lengths) != 1:
        raise ValueError(f"[scan] xs need a common leading axis, or give length. Received: lengths {sorted(lengths)}.")
    return lengths.pop()


def _tensors(value):
    leaves: list = []
    structure = flatten(value, leaves)
    return unflatten(structure, iter([v if v is None or isinstance(v, Operators) else tensor(v) for v in leaves]))
