"""Op records, what is known of a call before it is computed, and who listens to calls.

An op is defined once, with everything that the package needs to know about it: shape rule, gradient, fallback, reference, samples,
the packing of its attributes for the native kernel. Eager calls, tapes, capture, both executors, tests and file formats read the record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pynn.engine import kernels


class Spec(NamedTuple):
    """Shape and dtype of a tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class Sample:
    """One call worth testing: shapes (filled with random floats) or arrays for the inputs, None for an absent one."""

    inputs: Sequence[Any]
    attrs: dict[str, Any] = field(default_factory=dict)
    grad: bool = True


def pack_in_order(attrs: dict[str, Any]) -> tuple[list[int], list[float]]:
    """Default packing: ints and bools, flattened tuples of them, and floats, each in the order of the record."""
    ints: list[int] = []
    floats: list[float] = []

    def add(value) -> None:
        if isinstance(value, (tuple, list)):
            for item in value:
                add(item)
        elif isinstance(value, (bool, int, np.integer)):
            ints.append(int(value))
        elif isinstance(value, (float, np.floating)):
            floats.append(float(value))

    for value in attrs.values():
        add(value)
    return ints, floats


MAX_RANK = 8  # kMaxRank of csrc/base/kernel.h


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """The record of one operation; made by `define`.

    Attributes:
        name: The op's name, also in messages.
        inputs: Names of the operands; `("*",)` stands for any number of them.
        optional: Of each operand: whether it may be absent (None).
        infer: `(*input specs, **attrs) -> Spec | tuple of Spec`. Raises the errors that a user sees.
        fallback: `(*arrays, **attrs) -> array | tuple of arrays`, in NumPy or Numba.
        attrs: Attribute names with their defaults. Values are static and hashable.
        vjp: `(dys, inputs, outputs, attrs, needs) -> one gradient or None per input`, written with ops. A missing `dy` is None.
        decompose: `(inputs, attrs) -> outputs` in other ops; for fused ops, and where `vjp` can't be differentiated.
        residuals: Number of trailing outputs that only the gradient reads.
        updates: `{output: input}` for outputs that may be written in place of an input.
        pack: `(attrs) -> (ints, floats)` for the native kernel.
        reference: Like `fallback`, an obvious one in float64; tests only.
        samples: `() -> list[Sample]`.
        failures: Message templates for the failure codes of the native kernel.
        kernel: Name of the native kernel, without dtype; empty if there is none.
        opcode: What the elementwise kernel calls this op; such ops can be fused into chains.
        elementwise: The output may overwrite an input of the same size.
        alias: The output is the input's memory under another shape.
        effect: The op is kept although nobody reads its output.
        foreign: The fallback is a user's: it may keep the arrays that it gets.
        address: Address of a compiled C function that serves as the native kernel.
        keep: What has to live as long as the op.
        tfjs: The op's name in TensorFlow.js.
        onnx: The op's name in ONNX.
        cache: What is known of calls by their specs and attributes (`prepared`).
    """

    name: str
    inputs: tuple[str, ...]
    optional: tuple[bool, ...]
    infer: Callable
    fallback: Callable
    attrs: dict[str, Any] = field(default_factory=dict)
    vjp: Callable | None = None
    decompose: Callable | None = None
    residuals: int = 0
    updates: dict[int, int] = field(default_factory=dict)
    pack: Callable = pack_in_order
    reference: Callable | None = None
    samples: Callable | None = None
    failures: dict[int, str] = field(default_factory=dict)
    kernel: str
    opcode: Any = None
    elementwise: bool = False
    alias: bool = False
    effect: bool = False
    foreign: bool = False
    address: int | None = None
    keep: Any = None
    tfjs: str | None = None
    onnx: str | None = None
    cache: dict = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Op({self.name!r})"

    @property
    def variadic(self) -> bool:
        """True if the op takes any number of operands."""
        return self.inputs[:1] == ("*",)

    def complete(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The attributes with the record's defaults, in the record's order."""
        if not attrs:
            return self.attrs
        unknown = [name for name in attrs if name not in self.attrs]
        if unknown:
            raise TypeError(f"[{self.name}] unknown attribute {min(unknown)!r}. Known: {', '.join(self.attrs)}.")
        return {**self.attrs, **attrs}


REGISTRY: dict[str, Op] = {}


def define(name: str, *, inputs: Sequence[str], kernel: str | None = None, **fields: Any) -> Op:
    """Defines an op and enters it in the registry, unless it is foreign: those live as long as somebody has them.

    Args:
        name: The op's name.
        inputs: Names of the operands; a trailing `?` marks one that may be absent, `("*",)` stands for any number of them.
        kernel: Name of the native kernel, without dtype; the op's own name by default, none for a foreign op.
        **fields: The other attributes of `Op`; None stands for the default, which all but `infer` and `fallback` have.
    """
    if name in REGISTRY:
        raise ValueError(f"[define] an op named {name!r} exists already. Choose another name.")
    names, optional = tuple(n.rstrip("?") for n in inputs), tuple(n.endswith("?") for n in inputs)
    kernel = kernel or ("" if fields.get("foreign") else name)
    given = {key: value for key, value in fields.items() if value is not None}
    op = Op(name=name, inputs=names, optional=optional, kernel=kernel, **given)
    if not op.foreign:
        REGISTRY[name] = op
    return op


class Node:
    """One recorded call of an op: what tapes and captures keep."""

    __slots__ = ("op", "inputs", "outputs", "attrs", "members")

    def __init__(self, op: Op, inputs: tuple, outputs: tuple, attrs: dict[str, Any], members: tuple = ()):
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.attrs = attrs
        self.members = members  # the calls that a fused one stands for

    def __repr__(self) -> str:
        return f"Node({self.op.name})"


class _Active(threading.local):
    """What listens to `apply` in this thread: at most one capture, any number of tapes."""

    def __init__(self) -> None:
        self.capture: Any = None
        self.tapes: list[Any] = []

    def __reduce__(self) -> str:
        return "active"  # by name, with functions of this package that are pickled by value: those that wrap a user's


active = _Active()


def infer_outputs(op: Op, specs: Sequence[Spec | None], attrs: dict[str, Any]) -> tuple[Spec | None, ...]:
    """The specs of the op's outputs, residuals included."""
    if not op.variadic:
        _check_operands(op, specs)
    outputs = op.infer(*specs, **attrs)
    outputs = (outputs,) if isinstance(outputs, Spec) else tuple(outputs)
    for spec in outputs:
        if spec is not None and len(spec.shape) > MAX_RANK:
            raise ValueError(f"[{op.name}] tensors have at most {MAX_RANK} axes. Received: {spec.shape}. Merge some with reshape.")
    return outputs


def _check_operands(op: Op, specs: Sequence[Spec | None]) -> None:
    if len(specs) != len(op.inputs):
        raise TypeError(f"[{op.name}] takes {len(op.inputs)} operands ({', '.join(op.inputs)}), not {len(specs)}.")
    for spec, name, optional in zip(specs, op.inputs, op.optional, strict=True):
        if spec is None and not optional:
            raise TypeError(f"[{op.name}] the operand {name!r} is missing. Pass a tensor, an array or a number.")


def _told_apart(value):
    """An attribute as a part of a key: zeros by their sign, which are equal otherwise."""
    if type(value) is float:
        return value or repr(value)
    return tuple([_told_apart(v) for v in value]) if type(value) is tuple else value


def prepared(op: Op, specs: tuple, attrs: dict[str, Any]):
    """(output specs, native kernel or None) for these input specs, kept for the next call that looks the same."""
    key = (specs, tuple([_told_apart(v) for v in attrs.values()]))
    try:
        return op.cache[key]
    except KeyError:
        pass
    outputs = infer_outputs(op, specs, attrs)
    kernel = None
    if kernels.native_enabled() and not op.alias and op.address is None:
        kernel = kernels.prepare_native(op, specs, outputs, attrs)
    if len(op.cache) > 256:
        op.cache.clear()
    op.cache[key] = outputs, kernel
    return outputs, kernel
