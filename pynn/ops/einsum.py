"""Einstein's summation: any product of tensors with sums over some axes, as transposes, reshapes and matrix products."""

from __future__ import annotations

import math

from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, promote
from pynn.errors import shapes

__all__ = ["einsum"]


def _parse(equation: str, count: int) -> tuple[list[str], str]:
    """The letters of each operand and of the result."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    letters = left.replace(",", "")
    if not arrow:
        output = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    if len(inputs) != count:
        raise ValueError(f"[einsum] the equation names {len(inputs)} operands, not {count}. Received: equation={equation!r}.")
    for term in (*inputs, output):
        if term and not (term.isascii() and term.isalpha()):
            raise ValueError(f"[einsum] axes are named by letters. Received: equation={equation!r}. Write out an ellipsis.")
        if len(set(term)) < len(term):
            raise ValueError(f"[einsum] {term!r} names an axis twice; diagonals aren't taken. Received: equation={equation!r}.")
    missing = sorted(set(output) - set(letters))
    if missing:
        raise ValueError(f"[einsum] no operand has the result's axis {missing[0]!r}. Received: equation={equation!r}.")
    return inputs, output


def _sizes(equation: str, terms: list[str], operands: tuple[Tensor, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    received = f"Received: equation={equation!r}, " + shapes(**{f"operand {i}": x for i, x in enumerate(operands)})
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        if len(term) != x.ndim:
            raise ValueError(f"[einsum] {term!r} names {len(term)} axes, operand {i} has {x.ndim}. {received}.")
        for letter, size in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"[einsum] the axis {letter!r} has the lengths {sizes[letter]} and {size}. {received}.")
    return sizes


def _arranged(x: Tensor, term: str, wanted: str) -> Tensor:
    return call("transpose", x, tuple(term.index(c) for c in wanted))


def _summed(x: Tensor, term: str, kept: set[str]) -> tuple[Tensor, str]:
    """`x` summed over the axes that are not in `kept`, and the letters of those that stay."""
    axes = tuple(i for i, c in enumerate(term) if c not in kept)
    return (call("sum", x, axis=axes) if axes else x), "".join(c for c in term if c in kept)


def _pick(term: str, letters: set[str]) -> str:
    return "".join(c for c in term if c in letters)


def _contract(x: Tensor, x_term: str, y: Tensor, y_term: str, later: set[str], sizes: dict[str, int]) -> tuple[Tensor, str]:
    """The product of two operands, summed over what neither the result nor a later operand names."""
    x, x_term = _summed(x, x_term, set(y_term) | later)
    y, y_term = _summed(y, y_term, set(x_term) | later)
    common = set(x_term) & set(y_term)
    batch, inner = _pick(x_term, common & later), _pick(x_term, common - later)
    rows, columns = _pick(x_term, set(x_term) - common), _pick(y_term, set(y_term) - common)
    lengths = [math.prod(sizes[c] for c in part) for part in (rows, inner, columns)]
    outer = tuple(sizes[c] for c in batch)
    transpose_x = x_term == batch + inner + rows and bool(inner)
    transpose_y = y_term == batch + columns + inner and bool(inner)
    x = _arranged(x, x_term, batch + (inner + rows if transpose_x else rows + inner))
    y = _arranged(y, y_term, batch + (columns + inner if transpose_y else inner + columns))
    product = call(
        "matmul",
        call("reshape", x, (*outer, *((lengths[1], lengths[0]) if transpose_x else (lengths[0], lengths[1])))),
        call("reshape", y, (*outer, *((lengths[2], lengths[1]) if transpose_y else (lengths[1], lengths[2])))),
        transpose_a=transpose_x,
        transpose_b=transpose_y,
    )
    term = batch + rows + columns
    return call("reshape", product, tuple(sizes[c] for c in term)), term


def einsum(equation: str, *operands) -> Tensor:
    """Products of the operands, summed over the axes that the result does not name.

    `einsum("ij,jk->ik", a, b)[i, k] = sum_j a[i, j] * b[j, k]`. Each operand's axes are named by letters, a letter that occurs in
    several is one axis; without `->` the result has the letters that occur once, in alphabetical order. Operands are taken
    from the left to the right, two at a time, each pair as one matrix product.

    Raises:
        ValueError: the equation doesn't fit the operands, or names an axis twice in one of them.

    Example:
        >>> import pynn as pn
        >>> pn.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 10.0]).tolist()
        [21.0, 43.0]
    """
    terms, output = _parse(equation, len(operands))
    tensors = promote(*operands)
    sizes = _sizes(equation, terms, tensors)
    x, term = tensors[0], terms[0]
    for i in range(1, len(tensors)):
        later = set(output).union(*terms[i + 1 :])
        x, term = _contract(x, term, tensors[i], terms[i], later, sizes)
    x, term = _summed(x, term, set(output))
    return _arranged(x, term, output)
