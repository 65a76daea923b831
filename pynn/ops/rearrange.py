"""Elements picked and placed by whole positions, and blocks of pixels traded with channels or the batch. Made of other ops."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, scalar
from pynn.errors import shapes
from pynn.ops.shape import as_shape, whole_number

__all__ = ["batch_to_space", "depth_to_space", "diag", "gather_nd", "scatter_nd", "space_to_batch", "space_to_depth"]


def diag(x) -> Tensor:
    """A tensor of twice the rank with `x` on its diagonal and zeros elsewhere: `diag(x)[i, i] = x[i]` for a vector."""
    x = as_tensor(x)
    if not x.size:
        return call("reshape", x, (*x.shape, *x.shape))
    # Chosen, not multiplied by 0: an infinity or a NaN stays in its own place.
    square = call("where", call("eye", x.size, dtype="bool"), call("reshape", x, (1, x.size)), scalar(0, x.dtype))
    return call("reshape", square, (*x.shape, *x.shape))


# -- whole positions ------------------------------------------------------------------------------------------------------


def _rows(name: str, indices: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, int]:
    """(row of each position in a tensor of `shape` with its first axes made one, how many axes these are); no row is -1."""
    axes = indices.shape[-1] if indices.shape else 0
    if indices.dtype.kind not in "iu":
        raise TypeError(f"[{name}] positions must be integers. Received: indices.dtype={indices.dtype}. Use pynn.cast.")
    if not 1 <= axes <= len(shape):
        raise ValueError(
            f"[{name}] the last axis of the positions must hold an index for each of the first axes. Received: {shapes(indices=indices)} "
            f"for a tensor of shape {shape}. Give 1 to {len(shape)} indices."
        )
    places = call("cast", indices, "int64")
    limits = call("cast", as_tensor(shape[:axes]), "int64")
    inside = call("all", call("logical_and", places >= 0, places < limits), axis=-1)
    steps = call("cast", as_tensor([prod(shape[i + 1 : axes]) for i in range(axes)]), "int64")
    rows = call("sum", places * steps, axis=-1)
    return call("where", inside, rows, call("full_like", rows, -1)), axes


def gather_nd(x, indices) -> Tensor:
    """Elements or slices at whole positions: `y[p] = x[indices[p, 0], indices[p, 1], ...]`.

    Args:
        x: Tensor.
        indices: Integers (..., k), k at most the rank of `x`.

    Returns:
        (..., rest), where rest are the axes of `x` after the first k.

    Raises:
        ValueError: a position is out of range; it's reported as index -1.
        TypeError: the positions aren't integers.
    """
    x, indices = as_tensor(x), as_tensor(indices)
    rows, axes = _rows("gather_nd", indices, x.shape)
    return call("take", call("reshape", x, (prod(x.shape[:axes]), *x.shape[axes:])), rows, axis=0)


def scatter_nd(indices, updates, shape: Sequence[int]) -> Tensor:
    """Zeros of `shape` with `updates[p]` added at position `indices[p]`; updates of a repeated position add up. The inverse of `gather_nd`.

    Args:
        indices: Integers (..., k).
        updates: (..., rest), one slice for each position.
        shape: Of the result; rest are its axes after the first k.

    Raises:
        ValueError: a position is out of range (it's reported as index -1), or the updates have another shape.
        TypeError: the positions aren't integers.
    """
    indices, updates, shape = as_tensor(indices), as_tensor(updates), as_shape("scatter_nd", shape)
    rows, axes = _rows("scatter_nd", indices, shape)
    zeros = call("zeros", (prod(shape[:axes]), *shape[axes:]), updates.dtype)
    return call("reshape", call("scatter_add", zeros, rows, updates), shape)


# -- blocks of pixels -----------------------------------------------------------------------------------------------------


def _image(name: str, x, block_size: int) -> tuple[Tensor, int]:
    x, block = as_tensor(x), whole_number(name, "block_size", block_size)
    if len(x.shape) != 4 or block < 1:
        raise ValueError(
            f"[{name}] the input must be (batch, height, width, channels), and the block size at least 1. "
            f"Received: {shapes(x=x)}, block_size={block_size}."
        )
    return x, block


def depth_to_space(x, block_size: int) -> Tensor:
    """Channels become pixels: (batch, h, w, b * b * c) -> (batch, h * b, w * b, c); the first b * b groups of channels in row order.

    Raises:
        ValueError: the channels aren't a multiple of `block_size ** 2`.
    """
    x, block = _image("depth_to_space", x, block_size)
    batch, height, width, channels = x.shape
    if channels % block**2:
        raise ValueError(f"[depth_to_space] the channels must be a multiple of {block}^2. Received: {shapes(x=x)}.")
    y = call("reshape", x, (batch, height, width, block, block, channels // block**2))
    y = call("transpose", y, (0, 1, 3, 2, 4, 5))
    return call("reshape", y, (batch, height * block, width * block, channels // block**2))


def space_to_depth(x, block_size: int) -> Tensor:
    """Pixels become channels: (batch, h * b, w * b, c) -> (batch, h, w, b * b * c). The inverse of `depth_to_space`.

    Raises:
        ValueError: height or width aren't a multiple of `block_size`.
    """
    x, block = _image("space_to_depth", x, block_size)
    batch, height, width, channels = x.shape
    if height % block or width % block:
        raise ValueError(f"[space_to_depth] height and width must be multiples of {block}. Received: {shapes(x=x)}.")
    y = call("reshape", x, (batch, height // block, block, width // block, block, channels))
    y = call("transpose", y, (0, 1, 3, 2, 4, 5))
    return call("reshape", y, (batch, height // block, width // block, channels * block**2))


def _check_blocks(name: str, blocks: tuple[int, ...], sides: Sequence[tuple[int, ...]], what: str) -> None:
    if any(b < 1 for b in blocks):
        raise ValueError(f"[{name}] blocks must be at least 1 long. Received: block_shape={blocks}.")
    if any(len(pair) != 2 or min(pair) < 0 for pair in sides):
        raise ValueError(f"[{name}] {what} must be pairs (before, after), none negative. Received: {what}={list(sides)}.")


def batch_to_space(x, block_shape: Sequence[int], crops: Sequence[Sequence[int]]) -> Tensor:
    """Interleaves examples as positions: the batch shrinks by the product of the blocks, each axis after it grows by its block.

    Args:
        x: (batch * product of blocks, lengths..., rest...), as many lengths as blocks.
        block_shape: By how much each of the axes after the batch grows.
        crops: (before, after) cut off each of these axes afterwards.

    Raises:
        ValueError: the batch isn't a multiple of the blocks' product, or the arguments don't fit the input.
    """
    x, blocks, crops = as_tensor(x), as_shape("batch_to_space", block_shape, "block_shape"), [tuple(c) for c in crops]
    _check_blocks("batch_to_space", blocks, crops, "crops")
    count = len(blocks)
    if len(x.shape) <= count or len(crops) != count or x.shape[0] % prod(blocks):
        raise ValueError(
            "[batch_to_space] the batch must be a multiple of the blocks' product, with one axis and one pair of crops per block. "
            f"Received: {shapes(x=x)}, block_shape={blocks}, crops={crops}."
        )
    batch, lengths, rest = x.shape[0] // prod(blocks), x.shape[1 : count + 1], x.shape[count + 1 :]
    if any(sum(pair) > n * b for n, b, pair in zip(lengths, blocks, crops, strict=True)):
        raise ValueError(
            "[batch_to_space] an axis can't be cropped by more than its length times its block. "
            f"Received: {shapes(x=x)}, block_shape={blocks}, crops={crops}."
        )
    y = call("reshape", x, (*blocks, batch, *lengths, *rest))
    pairs = [axis for i in range(count) for axis in (count + 1 + i, i)]
    y = call("transpose", y, (count, *pairs, *range(2 * count + 1, 2 * count + 1 + len(rest))))
    y = call("reshape", y, (batch, *(n * b for n, b in zip(lengths, blocks, strict=True)), *rest))
    cut = tuple(slice(a, n - b) for n, (a, b) in zip(y.shape[1:], crops, strict=False))
    return y[(slice(None), *cut)]


def space_to_batch(x, block_shape: Sequence[int], paddings: Sequence[Sequence[int]]) -> Tensor:
    """Turns positions into examples, taking every block-th position of each padded axis after the batch. The inverse of `batch_to_space`.

    Args:
        x: (batch, lengths..., rest...), as many lengths as blocks.
        block_shape: By how much each of the axes after the batch shrinks.
        paddings: (before, after) zeros around each of these axes before.

    Raises:
        ValueError: a padded axis isn't a multiple of its block, or the arguments don't fit the input.
    """
    x, blocks, sides = as_tensor(x), as_shape("space_to_batch", block_shape, "block_shape"), [tuple(p) for p in paddings]
    _check_blocks("space_to_batch", blocks, sides, "paddings")
    count = len(blocks)
    rest = len(x.shape) - 1 - count
    if rest < 0 or len(sides) != count or any((n + sum(p)) % b for n, p, b in zip(x.shape[1:], sides, blocks, strict=False)):
        raise ValueError(
            "[space_to_batch] each padded axis must be a multiple of its block, with one axis and one pair of paddings per block. "
            f"Received: {shapes(x=x)}, block_shape={blocks}, paddings={sides}."
        )
    y = call("pad", x, [(0, 0), *sides, *[(0, 0)] * rest])
    lengths = [n // b for n, b in zip(y.shape[1:], blocks, strict=False)]
    split = [n for pair in zip(lengths, blocks, strict=True) for n in pair]
    y = call("reshape", y, (x.shape[0], *split, *x.shape[count + 1 :]))
    order = (*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(2 * count + 1, 2 * count + 1 + rest))
    return call("reshape", call("transpose", y, order), (x.shape[0] * prod(blocks), *lengths, *x.shape[count + 1 :]))
