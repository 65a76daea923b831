"""The functional API: tensors without values, and the calls of layers that lead from one to the next."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from pynn.engine.op import active
from pynn.layers.names import find_class
from pynn.layers.structure import flatten, is_shape, map_shapes, map_structure


def _no_operator(symbol: str):
    def operator(self, *others):
        raise TypeError(
            f"[{self.name or 'Input'}] a symbolic tensor has no value to compute with. Received: {symbol}"
            f"{''.join(f' and {type(other).__name__}' for other in others[:1])}. "
            "Use layers on it, such as pn.layers.Lambda(lambda x: ...), and ops inside a layer's call()."
        )

    return operator


class SymbolicTensor:
    """What a layer will give: a shape (None where unknown), a dtype, and the call that makes it.

    Attributes:
        shape: With the batch axis.
        dtype: NumPy dtype.
        node: The call that makes it.
        index: Which of the call's outputs it is.
    """

    __slots__ = ("shape", "dtype", "name", "node", "index")

    def __init__(self, shape, dtype, *, name: str = "", node: Node | None = None, index: int = 0):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.name = name
        self.node = node
        self.index = index

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def layer(self):
        """The layer whose call makes it."""
        return self.node.layer

    def _merge(self, other, layer: str, symbol: str):
        if not isinstance(other, SymbolicTensor):
            _no_operator(symbol)(self, other)
        return find_class(layer)()([self, other])

    def __add__(self, other):
        return self._merge(other, "Add", "+")

    def __mul__(self, other):
        return self._merge(other, "Multiply", "*")

    def __sub__(self, other):
        return self._merge(other, "Subtract", "-")

    __radd__, __rmul__, __rsub__ = _no_operator("+"), _no_operator("*"), _no_operator("-")
    __truediv__ = __rtruediv__ = _no_operator("/")
    __floordiv__ = __rfloordiv__ = _no_operator("//")
    __mod__ = __rmod__ = _no_operator("%")
    __pow__ = __rpow__ = _no_operator("**")
    __matmul__ = __rmatmul__ = _no_operator("@")
    __lt__, __le__, __gt__, __ge__ = _no_operator("<"), _no_operator("<="), _no_operator(">"), _no_operator(">=")
    __neg__, __abs__, __getitem__ = _no_operator("-"), _no_operator("abs()"), _no_operator("[]")

    def __bool__(self):
        raise TypeError(f"[{self.name or 'Input'}] a symbolic tensor has no value. Build a Model from it, and call that with data.")

    __float__ = __bool__

    def __iter__(self):
        raise TypeError(
            f"[{self.name or 'Input'}] a symbolic tensor can't be iterated over. Build a Model from it, and call that with data."
        )

    def __array__(self, *args, **kwargs):
        raise TypeError(f"[{self.name or 'Input'}] a symbolic tensor has no value. Use layers on it, and ops inside a layer's call().")

    def __array_ufunc__(self, ufunc, *args, **kwargs):
        raise TypeError(
            f"[{self.name or 'Input'}] a symbolic tensor has no value to compute with. Received: np.{ufunc.__name__}. Use layers on it, "
            "such as pn.layers.Lambda(lambda x: ...), and ops inside a layer's call()."
        )

    def __repr__(self) -> str:
        return f"SymbolicTensor(shape={self.shape}, dtype={self.dtype}, name={self.name!r})"


class Node:
    """One call of a layer on symbolic tensors.

    Attributes:
        layer: The layer.
        args, kwargs: What it was called with; symbolic tensors stand for the tensors to come.
        inputs: The first argument.
        outputs: What it gives, nested as the layer's `call` nests it.
        index: The number of this call among the layer's.
    """

    __slots__ = ("layer", "args", "kwargs", "outputs", "index")

    def __init__(self, layer, args: tuple, kwargs: dict[str, Any]):
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.outputs: Any = None
        self.index = len(layer._inbound_nodes)
        layer._inbound_nodes.append(self)

    @property
    def inputs(self):
        """The first argument of the call; None for an Input."""
        return self.args[0] if self.args else None

    @property
    def parents(self) -> list[SymbolicTensor]:
        """All symbolic tensors among the arguments, in order."""
        return [leaf for leaf in flatten((self.args, self.kwargs)) if isinstance(leaf, SymbolicTensor)]

    def __repr__(self) -> str:
        return f"Node({self.layer.name!r}, call {self.index})"


class Home:
    """The Sequential in which a layer lies, for as long as there is one. A copy of the layer has none, unless its model says so."""

    __slots__ = ("_stack",)

    def __init__(self, stack=None):
        self._stack = None if stack is None else weakref.ref(stack)

    @property
    def stack(self):
        """The Sequential, or None."""
        return self._stack and self._stack()

    def __reduce__(self):
        return Home, ()


def make_outputs(node: Node, shapes, dtype):
    """Gives the node one symbolic output per shape, and returns them nested as the shapes are."""
    single = is_shape(shapes)
    made: list[SymbolicTensor] = []

    def make(shape):
        name = node.layer.name if single else f"{node.layer.name}:{len(made)}"
        made.append(SymbolicTensor(shape, dtype, name=name, node=node, index=len(made)))
        return made[-1]

    node.outputs = map_shapes(make, shapes)
    return node.outputs


def call_symbolic(layer, args: tuple, kwargs: dict[str, Any]):
    """Builds the layer if need be, and records the call."""
    shapes = map_structure(lambda t: tuple(t.shape), args[0])
    layer.check_input(shapes)
    if not layer.built:
        layer.build(shapes)
    out_shapes = output_shapes(layer, shapes, args[1:], kwargs)
    first = next(t for t in flatten(args) if hasattr(t, "dtype"))
    return make_outputs(Node(layer, args, kwargs), out_shapes, layer.output_dtype(first.dtype))


def output_shapes(layer, shapes, args: tuple = (), kwargs: dict[str, Any] | None = None):
    """`layer.compute_output_shape`, whose errors name the layer; without a rule for it, of a call with all the arguments."""
    try:
        if not layer.has_shape_rule:
            return inferred_shape(layer, shapes, args, kwargs or {})
        if layer.built:
            layer.build_inner(shapes)  # which a rule alone would not do
        return layer.compute_output_shape(shapes)
    except (ValueError, TypeError) as error:
        raise layer._named(error) from error.__cause__


def inferred_shape(layer, input_shape, args: tuple = (), kwargs: dict[str, Any] | None = None):
    """The output shape of a layer without a rule of its own: it is called on zeros, twice where axes are unknown."""
    words = {k: v for k, v in (kwargs or {}).items() if k != "training"}  # zeros are nothing to learn from
    capture, active.capture, tapes, active.tapes = active.capture, None, active.tapes, []
    try:
        first, second = (_shapes_for(layer, input_shape, args, words, n) for n in (2, 3))
    finally:
        active.capture, active.tapes = capture, tapes
    if is_shape(first):
        return _common(first, second)
    return [_common(a, b) for a, b in zip(first, second, strict=True)]


def _shapes_for(layer, input_shape, args: tuple, kwargs: dict[str, Any], unknown: int):
    def zeros(shape, dtype=np.float32):
        return np.zeros([unknown if n is None else n for n in shape], dtype)

    def concrete(leaf):
        return zeros(leaf.shape, leaf.dtype) if isinstance(leaf, SymbolicTensor) else leaf

    outputs = layer(map_shapes(zeros, input_shape), *map_structure(concrete, args), **map_structure(concrete, kwargs))
    return outputs.shape if hasattr(outputs, "shape") else [t.shape for t in flatten(outputs)]


def _common(first, second):
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
