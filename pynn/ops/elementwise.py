"""How elementwise ops are defined: their numbers in the native kernel, and one-line forms that make a record and its public function.

One native kernel, `elementwise`, runs them all: it executes a small program over blocks that stay in the cache. A single op is a
program of one instruction; the planner joins chains of ops into longer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynn.dtypes import bool_, float32, int64, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Op, Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, promoted_pair, tensor
from pynn.errors import shapes

_UNARY = (
    "identity negative abs sign square sqrt rsqrt reciprocal exp expm1 log log1p sin cos tan asin acos atan sinh cosh asinh acosh atanh "
    "erf tanh sigmoid hard_sigmoid hard_sigmoid_keras2 relu relu6 leaky_relu elu selu softplus softsign silu gelu gelu_tanh mish hard_silu "
    "log_sigmoid floor ceil round trunc clip logical_not isnan isinf isfinite"
).split()
_BINARY = (
    "add subtract multiply divide maximum minimum power mod floor_divide atan2 equal not_equal less less_equal greater greater_equal "
    "logical_and logical_or logical_xor squared_difference divide_no_nan relu_grad relu6_grad leaky_relu_grad elu_grad selu_grad "
    "sigmoid_grad tanh_grad hard_sigmoid_grad silu_grad gelu_grad clip_grad"
).split()
_TERNARY = "where tie_share".split()

# Mirrors csrc/kernels/elementwise_opcodes.h.
OPCODES = {
    **{name: i for i, name in enumerate(_UNARY)},
    **{name: 64 + i for i, name in enumerate(_BINARY)},
    **{name: 112 + i for i, name in enumerate(_TERNARY)},
}


def unbroadcast(dy: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`dy` summed over the axes along which an operand of this shape was repeated."""
    found = dy.spec.shape
    if found == shape:
        return dy
    extra = len(found) - len(shape)
    axes = tuple([i for i, n in enumerate(found) if i < extra or (shape[i - extra] == 1 and n != 1)])
    return call("reshape", call("sum", dy, axis=axes) if axes else dy, shape)


def as_float(x) -> Tensor:
    """`x` as a tensor of floats; integers and bools become float32."""
    x = as_tensor(x)
    return x if is_float(x.dtype) else call("cast", x, float32)


def broadcast_shape(name: str, **specs: Spec) -> tuple[int, ...]:
    """The shape in which operands meet.

    Raises:
        ValueError: they don't broadcast.
    """
    first, *others = [s.shape for s in specs.values()]
    if all(shape == first for shape in others):
        return first
    try:
        return np.broadcast_shapes(first, *others)
    except ValueError:
        raise ValueError(
            f"[{name}] the shapes don't broadcast. Received: {shapes(**specs)}. "
            "Counted from the last axis, the lengths must be equal or one of them 1."
        ) from None


def _pack(name: str, arity: int) -> Callable:
    operands = [0, 1, 2][:arity] + [-1] * (3 - arity)

    def pack(attrs: dict[str, Any]) -> tuple[list[int], list[float]]:
        immediates = [float(v) for v in attrs.values()]
        return [1, OPCODES[name], *operands, arity], immediates + [0.0] * (2 - len(immediates))

    return pack


def _define(name: str, inputs: Sequence[str], infer: Callable, numpy: Callable, **fields) -> Op:
    fields.setdefault("reference", numpy)
    return define(
        name,
        inputs=inputs,
        infer=infer,
        fallback=numpy,
        pack=_pack(name, len(inputs)),
        kernel="elementwise",
        opcode=OPCODES[name],
        elementwise=True,
        **fields,
    )


# ---- one operand ------------------------------------------------------------------------------------------------------


def _unary_samples(values: Callable, attrs: dict, grad: bool) -> Callable:
    def samples() -> list[Sample]:
        rng = np.random.default_rng(3)
        return [Sample([values(rng, shape)], attrs, grad) for shape in ((3, 7), (19,), (1030,), (0, 3), ())]

    return samples


def normal(rng, shape):
    """Samples of both signs."""
    return rng.normal(size=shape) * 2


def positive(rng, shape):
    """Samples above zero."""
    return rng.uniform(0.05, 5, size=shape)


def inside_one(rng, shape):
    """Samples between -1 and 1."""
    return rng.uniform(-0.95, 0.95, size=shape)


def unary_record(
    name: str,
    numpy: Callable,
    *,
    grad: Callable | None = None,
    attrs: dict[str, float] | None = None,
    values: Callable = normal,
    to_bool: bool = False,
    **fields,
) -> Op:
    """A record of one operand. `numpy(x, **attrs)` is the fallback; `grad(dy, x, y, **attrs)` the gradient with respect to x, in ops."""

    def infer(x: Spec, **_) -> Spec:
        return Spec(x.shape, bool_) if to_bool else x

    def vjp(dys, inputs, outputs, attrs, needs):
        return (grad(dys[0], inputs[0], outputs[0], **attrs),)

    fields.setdefault("samples", _unary_samples(values, dict(attrs or {}), grad is not None))
    return _define(name, ("x",), infer, numpy, attrs=attrs, vjp=vjp if grad else None, **fields)


def unary(
    name: str, doc: str, numpy: Callable, *, floats: bool = True, example: tuple[str, str] | None = None, **fields
) -> Callable[[Any], Tensor]:
    """A record of one operand and its public function. `floats`: integers become float32 first. `example`: as in `public`."""
    op = unary_record(name, numpy, **fields)

    def function(x) -> Tensor:
        x = as_float(x) if floats else as_tensor(x)
        _check_numbers(name, {"x": x.spec}, True)
        return apply(op, x)

    return public(function, name, doc, example)


def public(function: Callable, name: str, doc: str, example: tuple[str, str] | None) -> Callable:
    """`function` under its public name and with its docstring. `example` is an expression of `pn`, and what printing it shows."""
    function.__name__ = function.__qualname__ = name
    shown = "" if example is None else "\n\nExample:\n    >>> import pynn as pn\n    >>> print(pn.{})\n    {}".format(*example)
    function.__doc__ = doc + shown
    return function


# ---- two and three operands -------------------------------------------------------------------------------------------


def _check_numbers(name: str, specs: dict[str, Spec], arithmetic: bool) -> None:
    dtypes = {s.dtype for s in specs.values()}
    if len(dtypes) > 1:
        found = ", ".join(f"{n}.dtype={s.dtype}" for n, s in specs.items())
        raise TypeError(f"[{name}] the operands must have one dtype. Received: {found}. Convert one of them with .astype(...).")
    if arithmetic and bool_ in dtypes:
        raise TypeError(f"[{name}] bools are not numbers here. Received: dtype=bool. Convert them, for example with .astype('int32').")


_BINARY_SHAPES = (((3, 7), (3, 7)), ((19,), ()), ((), (5,)), ((6, 33), (33,)), ((1030,), (1030,)), ((4, 1), (1, 5)), ((2, 9, 3), (9, 1)))


def _binary_samples(values: Callable, second: Callable, attrs: dict, grad: bool) -> Callable:
    def samples() -> list[Sample]:
        rng = np.random.default_rng(4)
        cases = [Sample([values(rng, a), second(rng, b)], attrs, grad) for a, b in _BINARY_SHAPES]
        return [*cases, Sample([(0, 3), (3,)], attrs, False)]

    return samples


def _vjp_of(grads: Sequence[Callable | None]) -> Callable:
    def vjp(dys, inputs, outputs, attrs, needs):
        return tuple([
            unbroadcast(g(dys[0], *inputs, outputs[0], **attrs), x.spec.shape) if need and g else None
            for g, x, need in zip(grads, inputs, needs, strict=True)
        ])

    return vjp


def binary_record(
    name: str,
    numpy: Callable,
    *,
    names: Sequence[str] = ("x", "y"),
    grads: Sequence[Callable | None] | None = None,
    attrs: dict[str, float] | None = None,
    values: Callable = normal,
    second: Callable | None = None,
    to_bool: bool = False,
    bools: bool = True,
    **fields,
) -> Op:
    """A record of two operands that broadcast. `grads` are `(dy, x, y, output, **attrs) -> gradient` by x and by y, in ops."""

    def infer(x: Spec, y: Spec, **_) -> Spec:
        specs = dict(zip(names, (x, y), strict=True))
        _check_numbers(name, specs, not bools)
        return Spec(broadcast_shape(name, **specs), bool_ if to_bool else x.dtype)

    fields.setdefault("samples", _binary_samples(values, second or values, dict(attrs or {}), grads is not None))
    return _define(name, names, infer, numpy, attrs=attrs, vjp=_vjp_of(grads) if grads else None, **fields)


def comparable(x, y) -> tuple[Tensor, Tensor]:
    """`promoted_pair(x, y)`, where an integer beyond the range of the tensor beside it is int64: what is true doesn't depend on a dtype."""
    try:
        return promoted_pair(x, y)
    except OverflowError:
        x, y = (tensor(v, int64) if type(v) is int else v for v in (x, y))
        return promoted_pair(x, y)


def binary(
    name: str, doc: str, numpy: Callable, *, floats: bool = False, example: tuple[str, str] | None = None, **fields
) -> Callable[[Any, Any], Tensor]:
    """A record of two operands and its public function. `floats`: integers become float32 first. `example`: as in `public`."""
    op = binary_record(name, numpy, **fields)

    pair = comparable if fields.get("to_bool") or floats else promoted_pair  # neither gives a number of the integers' dtype

    def function(x, y) -> Tensor:
        x, y = pair(x, y)
        return apply(op, as_float(x), as_float(y)) if floats else apply(op, x, y)

    return public(function, name, f"{doc}\n\nRaises:\n    ValueError: the shapes don't broadcast.", example)


def ternary_record(name: str, numpy: Callable, *, names: Sequence[str], infer: Callable, grads: Sequence[Callable | None], **fields) -> Op:
    """A record of three operands that broadcast."""
    return _define(name, names, infer, numpy, vjp=_vjp_of(grads), **fields)


def gradient_record(name: str, numpy: Callable, *, grad_y: Callable | None = None, **fields) -> Op:
    """A record `(dy, y) -> dy f'(y)`, linear in `dy`. `grad_y(ddx, dy, y, dx, **attrs)`: that of `y`, absent where it is zero."""
    holder: list[Op] = []

    def by_dy(ddx, dy, y, dx, **attrs):
        return apply(holder[0], ddx, y, **attrs)

    holder.append(binary_record(name, numpy, names=("dy", "y"), grads=(by_dy, grad_y), **fields))
    return holder[0]
