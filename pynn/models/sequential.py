"""A stack of layers."""

from __future__ import annotations

import math
from typing import Any

from pynn.engine.tape import stand_in
from pynn.layers.base import Layer
from pynn.layers.input import Input, InputLayer
from pynn.layers.structure import flatten, is_shape
from pynn.layers.symbolic import Home, SymbolicTensor, output_shapes
from pynn.models.functional import Functional
from pynn.models.graph_config import own_flag, with_own_flag
from pynn.models.model import ONE_EXAMPLE, Model, fits


class Sequential(Model):
    """Layers one after the other, each with one input and one output.

    Args:
        layers: The layers; more can be added with `add`.

    The weights are made when the shape of the input is known: from the first layer's `input_shape`, an `Input`, or the first data.

    Example:
        >>> import pynn as pn
        >>> model = pn.Sequential([pn.layers.Dense(8, activation="relu", input_shape=(4,)), pn.layers.Dense(1)])
        >>> model.count_params()
        49
    """

    _untracked = Model._untracked | {"_tensors"}
    _unnoticed = Model._unnoticed | {"_tensors"}
    _tensors: list | None = None  # the symbolic input, and what each layer makes of it

    def __init__(self, layers=None, *more, **kwargs):
        super().__init__(**kwargs)
        self.stack: list[Layer] = []
        if more or isinstance(layers, (Layer, str, dict)):
            kinds = ", ".join(type(layer).__name__ for layer in (layers, *more))
            raise TypeError(f"[Sequential] takes one list of layers. Received: {kinds}. Write pn.Sequential([first, second]).")
        for layer in layers or []:
            self.add(layer)
        if not self._trainable:
            self.trainable = False

    def add(self, layer: Layer) -> None:
        """Appends a layer; if it raises, nothing changes.

        Raises:
            TypeError: it isn't a layer.
            ValueError: another layer has its name, or it doesn't fit the output of the previous layers.
        """
        if isinstance(layer, SymbolicTensor):
            layer = layer.layer
        if not isinstance(layer, Layer):
            fix = f"Write {layer.__name__}(...): a layer is an object of the class." if isinstance(layer, type) else (
                "Add one at a time, or pass the list to pn.Sequential." if isinstance(layer, (list, tuple)) else
                "Wrap functions in pn.layers.Activation or a Layer subclass.")  # fmt: skip
            raise TypeError(f"[{self.label}] takes layers. Received: {layer!r}. {fix}")
        if any(other.name == layer.name for other in self.stack):
            raise ValueError(f"[{self.label}] already has a layer named {layer.name!r}. Give each layer its own name.")
        self.stack.append(layer)
        self.stack = self.stack  # tracked again
        self.programs.clear()
        try:
            self._follow(layer)
        except BaseException:
            self.pop()
            raise

    def pop(self) -> Layer:
        """Removes and returns the last layer."""
        if not self.stack:
            raise ValueError(f"[{self.label}] has no layer to remove.")
        self._disconnect()
        layer = self.stack[-1]
        layer._home = Home()
        self.stack = self.stack[:-1]
        self.programs.clear()
        return layer

    def _follow(self, layer: Layer) -> None:
        """Builds as far as the shape is known."""
        self._disconnect()
        if self._build_shape is not None:
            self._fit_in(len(self.stack) - 1, self._shape_before(layer))
        elif self.first_shape() is not None:
            self.build(self.first_shape())
        self._claim([layer])

    def _fit_in(self, place: int, shape):
        """Checks that the layer at this place takes this shape, and builds it; the shape of its output."""
        layer = self.stack[place]
        try:
            layer.check_input(shape)
        except ValueError as error:
            raise _in_the_stack(error, layer, shape, self.stack[:place]) from None
        _build(layer, shape)
        return output_shapes(layer, shape)

    def first_shape(self):
        """The batch input shape that the first layer declares, a list of them for several inputs, None if it doesn't."""
        if not self.stack:
            return None
        first = self.stack[0]
        if isinstance(first, Functional):
            return first._build_shape
        return first.first_shape() if isinstance(first, Sequential) else first.batch_input_shape

    def _shape_before(self, layer: Layer):
        shape = self._build_shape
        for other in self.stack:
            if other is layer:
                return shape
            shape = other.compute_output_shape(shape)
        return shape

    def build(self, input_shape=None) -> None:
        """Makes the weights of all layers."""
        if input_shape is None or not isinstance(input_shape, (tuple, list, dict)):
            raise ValueError(
                f"[{self.label}] build needs the shape of the input, batch axis included. Received: {input_shape!r}. "
                "Write build((None, 3)) for three features."
            )
        shape = tuple(input_shape) if is_shape(input_shape) else input_shape
        for place in range(len(self.stack)):
            shape = self._fit_in(place, shape)

    def check_shapes(self, shapes):
        """Raises ValueError if the first layer doesn't take an array of this shape, or if it has fewer axes than was declared."""
        if not self.stack:
            raise ValueError(f"[{self.label}] has no layers. Add some, for example with model.add(pn.layers.Dense(1)).")
        first = self.stack[0]
        if len(shapes) != 1:
            return
        shape, declared = shapes[0], self.first_shape()
        try:
            if isinstance(first, Model):
                first.check_shapes(shapes)
            first.check_input(shape)
            if declared is not None and len(shape) < len(declared):
                raise ValueError(f"[{first.label}] the input must have {len(declared)} axes, as declared: {declared}. Received: {shape=}.")
        except ValueError as error:
            text = str(error)
            if declared is not None and fits(shape, declared[1:]) and ONE_EXAMPLE not in text:
                text = text.removesuffix(first._advice(shape)) + ONE_EXAMPLE
            elif declared is not None and _is_flattened(shape, declared):
                text = text.removesuffix(first._advice(shape)) + f" Reshape it: x.reshape({', '.join(map(str, (-1, *declared[1:])))})."
            raise self._named(ValueError(text)) from None

    def call(self, x, *, training: bool = False, mask=None):
        """The last layer's output."""
        if mask is not None and hasattr(x, "mask"):
            x = stand_in(x)  # the tensor itself is the caller's
            x.mask = mask
        for layer in self.stack:
            x = layer(x, training=training)
        return x

    def compute_mask(self, x, mask):
        """The layers have already set it on the tensors."""
        return None

    def compute_output_shape(self, input_shape):
        """The last layer's output shape."""
        for layer in self.stack:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # -- as a graph --------------------------------------------------------------------------------------------------

    def _claim(self, layers: list[Layer]) -> None:
        """Lets layers that are in no other Sequential know where they are: their `output` is one of this model."""
        for layer in layers:
            if layer._home.stack is None:
                layer._home = Home(self)

    def __setstate__(self, state) -> None:
        self.__dict__.update(state)
        self._claim(self.stack)

    def connect(self) -> None:
        """Calls the layers one after the other on a symbolic input, once; the model must know the shape of its input."""
        if self._tensors is not None or not self.built or not is_shape(self._build_shape):
            return
        rest = list(self.stack)
        if rest and isinstance(rest[0], InputLayer):
            tensors = [rest.pop(0).output]
        else:
            batch = (self.first_shape() or [None])[0]
            tensors = [Input(self._build_shape[1:], batch, rest[0].dtype if rest else None)]
        for layer in rest:
            tensors.append(layer(tensors[-1]))
        self._tensors = tensors

    def _disconnect(self) -> None:
        """Forgets the calls of `connect`."""
        for output in (self._tensors or [])[1:]:
            node = flatten(output)[0].node
            node.layer._inbound_nodes.remove(node)
        self._tensors = None

    def _connected(self) -> list:
        self.connect()
        if self._tensors is None:
            raise AttributeError(
                f"[{self.label}] inputs and outputs exist once the model knows the shape of its input. Received: no shape yet. "
                "Give the first layer an input_shape, or call the model once."
            )
        return self._tensors

    @property
    def input(self) -> SymbolicTensor:
        """The symbolic input."""
        return self._connected()[0]

    @property
    def output(self):
        """The symbolic output of the last layer, or several, nested as the layer returns them.

        Example:
            >>> import pynn as pn
            >>> model = pn.Sequential([pn.layers.Dense(8, input_shape=(4,), name="features"), pn.layers.Dense(1)])
            >>> pn.Model(model.inputs, model.get_layer("features").output).output.shape
            (None, 8)
        """
        return self._connected()[-1]

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic input in a list."""
        return [self.input]

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs in a list."""
        return flatten(self.output)

    # -- structure ---------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers without Input."""
        return [layer for layer in self.stack if not isinstance(layer, InputLayer)]

    @property
    def input_names(self) -> list[str] | None:
        """The first layer's name."""
        return [self.stack[0].name] if self.stack else None

    @property
    def output_names(self) -> list[str] | None:
        """The last layer's name."""
        return [self.stack[-1].name] if self.stack else None

    def get_config(self) -> dict[str, Any]:
        """Names, classes and arguments of the layers."""
        layers = [{"class_name": type(layer).__name__, "config": layer.get_config()} for layer in self.stack]
        return {"name": self.name, "layers": layers, **own_flag(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        """A new model with fresh weights."""
        from pynn.layers import get

        return with_own_flag(cls([get(entry) for entry in config["layers"]], name=config.get("name")), config)


def _in_the_stack(error: ValueError, layer: Layer, shape, before: list[Layer]) -> ValueError:
    """The error of a layer about its input, with advice about the layers before it instead of about the data."""
    before = [other for other in before if not isinstance(other, InputLayer)]
    if not before or not is_shape(shape):
        return error
    last_step = next((other for other in reversed(before) if getattr(other, "return_sequences", None) is False), None)
    spec = layer.input_spec
    if last_step is not None and spec is not None and not spec.problem((shape[0], None, *shape[1:])):
        advice = f" {last_step.label} gives its last step only: pass return_sequences=True to it."
    else:
        advice = f" That is what {before[-1].label} gives: change it, or put a layer between them, such as pn.layers.Reshape."
    return ValueError(str(error).removesuffix(layer._advice(shape)) + advice)


def _build(layer: Layer, shape) -> None:
    if not layer.built:
        layer.build(shape)
        layer.build_inner(shape)


def _is_flattened(shape, declared) -> bool:
    """Whether rows of this shape have as many elements as those that were declared, and more is missing than an axis of length one."""
    known = len(shape) > 1 and None not in declared[1:] and len(shape) != len(declared)
    return known and math.prod(shape[1:]) == math.prod(declared[1:]) and shape[1:] != declared[1:-1]
