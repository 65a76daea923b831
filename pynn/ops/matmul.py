"""Products of matrices: `matmul`, the fused `linear`, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pynn.dtypes import is_float
from pynn.engine.apply import apply
from pynn.engine.op import REGISTRY, Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, promote, promoted_pair
from pynn.errors import shapes
from pynn.ops.elementwise import unbroadcast
from pynn.ops.shape import axis_number, checked_axes, transpose

__all__ = ["dot", "linear", "matmul", "outer", "tensordot"]

_ACTIVATIONS = ("linear", "relu")


def _matrix(spec: Spec, transposed: bool) -> tuple[int, int]:
    rows, columns = spec.shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _product_spec(name: str, a: Spec, b: Spec, transpose_a: bool, transpose_b: bool) -> Spec:
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise ValueError(f"[{name}] operands must have two axes or more. Received: {shapes(a=a, b=b)}. Reshape vectors to matrices.")
    (m, k), (k_of_b, n) = _matrix(a, transpose_a), _matrix(b, transpose_b)
    if k != k_of_b:
        axes = "last axis of a (first of the two if transposed)", "second last of b (last if transposed)"
        raise ValueError(
            f"[{name}] the inner lengths differ: {k} and {k_of_b}. Received: {shapes(a=a, b=b)}, transpose_a={transpose_a}, "
            f"transpose_b={transpose_b}. The {axes[0]} must equal the {axes[1]}."
        )
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"[{name}] the axes before the last two don't broadcast. Received: {shapes(a=a, b=b)}.") from None
    return Spec((*batch, m, n), a.dtype)


# ---- matmul ----------------------------------------------------------------------------------------------------------


def _infer_matmul(a: Spec, b: Spec, *, transpose_a: bool, transpose_b: bool) -> Spec:
    if a.dtype != b.dtype:
        raise TypeError(f"[matmul] operands must have one dtype. Received: {a.dtype} and {b.dtype}. Cast one of them.")
    return _product_spec("matmul", a, b, transpose_a, transpose_b)


def _matmul_numpy(a, b, *, transpose_a, transpose_b):
    return np.matmul(np.swapaxes(a, -1, -2) if transpose_a else a, np.swapaxes(b, -1, -2) if transpose_b else b)


def _rows(x: Tensor) -> Tensor:
    """All axes but the last as one."""
    return x if x.ndim == 2 else call("reshape", x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _product(a: Tensor, b: Tensor, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    return apply(MATMUL, a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def _grad_a(dy: Tensor, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    da = _product(b, dy, transpose_b, True) if transpose_a else _product(dy, b, False, not transpose_b)
    return unbroadcast(da, a.shape)


def _grad_b(dy: Tensor, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    if b.ndim == 2 and not transpose_a:  # one long product in place of a batch of them that is then summed
        a, dy = _rows(a), _rows(dy)
    db = _product(dy, a, True, transpose_a) if transpose_b else _product(a, dy, not transpose_a, False)
    return unbroadcast(db, b.shape)


def _matmul_vjp(dys, inputs, outputs, attrs, needs):
    arguments = (dys[0], *inputs[:2], attrs["transpose_a"], attrs["transpose_b"])
    return _grad_a(*arguments) if needs[0] else None, _grad_b(*arguments) if needs[1] else None


def _matmul_samples() -> list[Sample]:
    plain = [Sample([(m, k), (k, n)]) for m, k, n in [(1, 1, 1), (4, 4, 1), (2, 16, 64), (7, 5, 17), (33, 300, 10), (1, 40, 9)]]
    turned = [
        Sample([(6, 5) if ta else (5, 6), (3, 6) if tb else (6, 3)], dict(transpose_a=ta, transpose_b=tb))
        for ta in (False, True) for tb in (False, True)
    ]  # fmt: skip
    batched = [Sample([(2, 3, 4), (4, 5)]), Sample([(2, 1, 3, 4), (5, 4, 2)]), Sample([(3, 4, 2), (3, 4, 5)], dict(transpose_a=True))]
    empty = [Sample([(0, 3), (3, 2)]), Sample([(2, 0), (0, 3)]), Sample([(2, 3), (3, 0)])]
    return [*plain, *turned, *batched, *empty]


MATMUL = define(
    "matmul",
    inputs=("a", "b"),
    attrs=dict(transpose_a=False, transpose_b=False),
    infer=_infer_matmul,
    fallback=_matmul_numpy,
    vjp=_matmul_vjp,
    reference=_matmul_numpy,
    samples=_matmul_samples,
    tfjs="matMul",
    onnx="MatMul",
)


def matmul(a, b, *, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The product of matrices: `c[..., i, j] = sum_p a[..., i, p] * b[..., p, j]`.

    The last two axes are the matrices; the axes before them broadcast. A vector on the left is a row, on the right a column, and its
    axis is not in the result, as in NumPy. `transpose_a` and `transpose_b` swap the last two axes of an operand, at no cost.

    Raises:
        ValueError: the inner lengths differ, or an operand has no axis.

    Example:
        >>> import pynn as pn
        >>> pn.matmul([[1.0, 2.0]], [[3.0], [4.0]]).tolist()
        [[11.0]]
    """
    a, b = promoted_pair(a, b)
    if not a.ndim or not b.ndim:
        raise ValueError(f"[matmul] operands must have an axis. Received: {shapes(a=a, b=b)}. Use * to multiply by a number.")
    row, column = a.ndim == 1, b.ndim == 1
    if not (row or column):
        return apply(MATMUL, a, b, transpose_a=bool(transpose_a), transpose_b=bool(transpose_b))
    if (row and transpose_a) or (column and transpose_b):
        raise ValueError(f"[matmul] a vector can't be transposed. Received: {shapes(a=a, b=b)}. Leave transpose_a or transpose_b out.")
    x = call("reshape", a, (1, a.shape[0])) if row else a
    y = call("reshape", b, (b.shape[0], 1)) if column else b
    product = apply(MATMUL, x, y, transpose_a=bool(transpose_a), transpose_b=bool(transpose_b))
    kept = [n for i, n in enumerate(product.shape) if not (row and i == product.ndim - 2) and not (column and i == product.ndim - 1)]
    return call("reshape", product, tuple(kept))


# ---- linear ----------------------------------------------------------------------------------------------------------


def _infer_linear(a: Spec, b: Spec, bias: Spec, *, transpose_a: bool, transpose_b: bool, activation: str) -> Spec:
    if activation not in _ACTIVATIONS:
        raise ValueError(f"[linear] activation must be one of {', '.join(_ACTIVATIONS)}. Received: activation={activation!r}.")
    if not a.dtype == b.dtype == bias.dtype:
        raise TypeError(f"[linear] operands must have one dtype. Received: {a.dtype}, {b.dtype} and {bias.dtype}. Cast some of them.")
    product = _product_spec("linear", a, b, transpose_a, transpose_b)
    if bias.shape != product.shape[-1:]:
        raise ValueError(f"[linear] the bias must have one element per column. Received: {shapes(a=a, b=b, bias=bias)}.")
    return product


def _linear_numpy(a, b, bias, *, transpose_a, transpose_b, activation):
    y = _matmul_numpy(a, b, transpose_a=transpose_a, transpose_b=transpose_b) + bias
    return np.maximum(y, 0) if activation == "relu" else y


def _linear_vjp(dys, inputs, outputs, attrs, needs):
    dz = dys[0]
    if attrs["activation"] == "relu":
        dz = apply(REGISTRY["relu_grad"], dz, outputs[0])
    da, db = _matmul_vjp((dz,), inputs, outputs, attrs, needs)
    return da, db, unbroadcast(dz, inputs[2].shape) if needs[2] else None


def _linear_of_ops(inputs, attrs):
    y = _product(inputs[0], inputs[1], attrs["transpose_a"], attrs["transpose_b"]) + inputs[2]
    return call("relu", y) if attrs["activation"] == "relu" else y


def _pack_linear(attrs) -> tuple[list[int], list[float]]:
    return [int(attrs["transpose_a"]), int(attrs["transpose_b"]), _ACTIVATIONS.index(attrs["activation"])], []


def _linear_samples() -> list[Sample]:
    sizes = [((4, 4), (4, 1), (1,)), ((5, 7), (7, 17), (17,)), ((2, 3, 4), (4, 5), (5,)), ((0, 3), (3, 2), (2,))]
    plain = [Sample(list(s), dict(activation=a)) for s in sizes for a in _ACTIVATIONS]
    sizes = [((7, 19), (7, 1), (1,)), ((1, 7), (19, 7), (19,)), ((7, 1), (19, 7), (19,)), ((7, 5), (6, 7), (6,))]
    flags = [dict(transpose_a=s[0][0] == 7, transpose_b=s[1][-1] == 7, activation=a) for s in sizes for a in _ACTIVATIONS]
    return plain + [Sample(list(sizes[i // 2]), attrs) for i, attrs in enumerate(flags)]


LINEAR = define(
    "linear",
    inputs=("a", "b", "bias"),
    attrs=dict(transpose_a=False, transpose_b=False, activation="linear"),
    infer=_infer_linear,
    fallback=_linear_numpy,
    vjp=_linear_vjp,
    decompose=_linear_of_ops,
    pack=_pack_linear,
    reference=_linear_numpy,
    samples=_linear_samples,
    tfjs="fused.matMul",
    onnx="Gemm",
)


def linear(a, b, bias=None, *, activation: str = "linear") -> Tensor:
    """`activation(a @ b + bias)` in one pass; the same bits as the three ops one after the other.

    Args:
        a: (..., rows, k).
        b: (k, columns).
        bias: (columns,); None adds nothing.
        activation: "linear" or "relu".

    Raises:
        ValueError: shapes don't fit, or the activation is neither.
    """
    if bias is None:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"[linear] activation must be one of {', '.join(_ACTIVATIONS)}. Received: activation={activation!r}.")
        product = matmul(a, b)
        return call("relu", product) if activation == "relu" else product
    a, b, bias = promote(a, b, bias)
    if not is_float(a.dtype):
        a, b, bias = (x.astype("float32") for x in (a, b, bias))
    return apply(LINEAR, a, b, bias, activation=activation)


# ---- made of matmul --------------------------------------------------------------------------------------------------


def dot(a, b) -> Tensor:
    """The inner product of vectors; `matmul` for operands of more axes.

    Raises:
        ValueError: the inner lengths differ.
    """
    return matmul(a, b)


def outer(a, b) -> Tensor:
    """`c[i, j] = a[i] * b[j]` for vectors.

    Raises:
        ValueError: an operand isn't a vector.
    """
    a, b = promote(a, b)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"[outer] operands must be vectors. Received: {shapes(a=a, b=b)}. Flatten them first.")
    return call("reshape", a, (a.shape[0], 1)) * call("reshape", b, (1, b.shape[0]))


def _inner_axes_meet(a: Tensor, b: Tensor, axes) -> tuple[Tensor, Tensor, int]:
    """`a` with its axes of the pair `axes` moved to the end, `b` with its own to the front, and how many these are."""
    if len(axes) != 2:
        raise ValueError(f"[tensordot] axes must be a number, or a pair: the axes of a and those of b. Received: axes={axes}.")
    first, second = checked_axes("tensordot", axes[0], a.ndim), checked_axes("tensordot", axes[1], b.ndim)
    if [a.shape[i] for i in first] != [b.shape[i] for i in second]:
        raise ValueError(f"[tensordot] the axes of a must have the lengths of those of b. Received: {shapes(a=a, b=b)}, axes={axes}.")
    a = transpose(a, (*(i for i in range(a.ndim) if i not in first), *first))
    return a, transpose(b, (*second, *(i for i in range(b.ndim) if i not in second))), len(first)


def tensordot(a, b, axes: int | Sequence = 2) -> Tensor:
    """Sums products over the last `axes` axes of `a` and the first `axes` axes of `b`, or over a pair `(axes of a, axes of b)`.

    Raises:
        ValueError: those axes have other lengths.
    """
    a, b = promote(a, b)
    if np.iterable(axes):
        a, b, axes = _inner_axes_meet(a, b, axes)
    axes = axis_number("tensordot", axes)
    if not 0 <= axes <= min(a.ndim, b.ndim) or a.shape[a.ndim - axes :] != b.shape[:axes]:
        raise ValueError(f"[tensordot] the last {axes} axes of a must equal the first {axes} of b. Received: {shapes(a=a, b=b)}.")
    left, inner, right = a.shape[: a.ndim - axes], b.shape[:axes], b.shape[axes:]
    product = matmul(call("reshape", a, (math.prod(left), math.prod(inner))), call("reshape", b, (math.prod(inner), math.prod(right))))
    return call("reshape", product, (*left, *right))
