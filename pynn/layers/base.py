"""The base class of layers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pynn import constraints, initializers, regularizers
from pynn.dtypes import as_dtype, is_float, is_whole
from pynn.elsewhere import LAYER, LAYER_WITHOUT_WEIGHTS, no_member, unknown_argument
from pynn.engine.op import active
from pynn.engine.tape import stand_in
from pynn.engine.tensor import Tensor, as_tensor, holds_numbers
from pynn.engine.variable import Variable
from pynn.layers.arguments import first_shape
from pynn.layers.building import undone_if_it_fails
from pynn.layers.call_arguments import call_refused, call_words, weight_words, with_names
from pynn.layers.context import CallContext, running
from pynn.layers.names import next_name, register_layer
from pynn.layers.structure import flatten, map_structure
from pynn.layers.symbolic import Home, SymbolicTensor, call_symbolic, inferred_shape
from pynn.layers.tracking import Tracking
from pynn.seeds import key_for, next_stream
from pynn.serialization import constructor_arguments, described_by_attributes, is_ours, plain, shown_by_config, word_refusals


class InputSpec(NamedTuple):
    """Requirements on a layer's input: the number of axes, exactly or at least, lengths of some axes, and a description."""

    ndim: int | None = None
    min_ndim: int | None = None
    axes: dict[int, int] | None = None
    words: str = ""

    def problem(self, shape) -> str:
        """What is wrong with `shape`, or an empty string."""
        if self.ndim is not None and len(shape) != self.ndim:
            return f"the input must have {self.ndim} axes{self.words and ' ' + self.words}"
        if self.min_ndim is not None and len(shape) < self.min_ndim:
            return f"the input must have {self.min_ndim} axes or more{self.words and ' ' + self.words}"
        for axis, size in (self.axes or {}).items():
            if shape[axis] is not None and shape[axis] != size:
                return f"axis {axis} of the input must have length {size}, as when the layer was built"
        return ""


# Arguments of Keras's layers that change nothing on one CPU process, and those that we don't have but that may be None or False.
_WITHOUT_EFFECT = frozenset({"autocast", "synchronized", "use_cudnn"})
_ABSENT = frozenset({"lora_alpha", "lora_rank", "quantization_config", "renorm", "weights"})


def one_array(value):
    """Nested lists of numbers as the one array that they are; a list of tensors is several inputs."""
    return as_tensor(value) if isinstance(value, (list, tuple)) and value and holds_numbers(value) else value


class Layer(Tracking):
    """Weights and a computation. Subclasses define `build(input_shape)`, which adds weights, and `call(x)`.

    Args:
        name: The layer's name; by default its class in snake_case, with a number from the second on.
        trainable: Whether training changes its weights.
        dtype: "float32" or "float64"; float inputs are cast to it.
        input_shape: Shape of the input without the batch axis, for the first layer of a Sequential.
        batch_input_shape: The same with the batch axis.
        input_dim: The same for an input of one axis.
        batch_size: The length of the batch axis, beside `input_shape`.
        activity_regularizer: A regularizer of the output, added to the loss.

    Example:
        >>> import pynn as pn
        >>> class Scale(pn.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight("factor", input_shape[-1:], initializer="ones")
        ...     def call(self, x):
        ...         return x * self.factor
        >>> Scale()([[1.0, 2.0]])
        Tensor([[1., 2.]], shape=(1, 2), dtype=float32)
    """

    input_spec: InputSpec | None = None
    supports_masking = False
    _home = Home()  # the Sequential to which the layer was added
    makes_mask = False  # True: `compute_mask` is asked although no mask came
    casts_inputs = True  # ids, for example, stay integers

    def __init_subclass__(cls, register: bool = True, **kwargs):
        super().__init_subclass__(**kwargs)
        word_refusals(cls)
        if "build" in cls.__dict__:
            cls.build = undone_if_it_fails(cls.__dict__["build"])
        if "compute_mask" in cls.__dict__ and not is_ours(cls):
            cls.makes_mask = cls.__dict__.get("makes_mask", True)
        if register and is_ours(cls) and not cls.__name__.startswith("_"):
            register_layer(cls)

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype=None,
        input_shape=None,
        batch_input_shape=None,
        input_dim: int | None = None,
        batch_size: int | None = None,
        activity_regularizer=None,
        **unknown,
    ):
        unknown = [word for word, value in unknown.items() if word not in _WITHOUT_EFFECT and (value or word not in _ABSENT)]
        if unknown:
            raise unknown_argument(type(self).__name__, unknown[0], constructor_arguments(type(self)))
        # files of TensorFlow.js and Keras 2 have names such as expanded_conv/project
        if name is not None and (not isinstance(name, str) or not name or ("/" in name and running.loading is None)):
            raise ValueError(f"[{type(self).__name__}] a layer's name must be a string without '/'. Received: name={name!r}.")
        self._init_tracking()
        self.name = name or next_name(type(self).__name__)
        self.path = self.name  # in front of the weights' names
        self._trainable = bool(trainable)
        self._freezes = not self._trainable  # what is inside, once it is there
        self.dtype = _layer_dtype(dtype)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.batch_input_shape = first_shape(self, input_shape, batch_input_shape, input_dim, batch_size)
        self.built = False
        self._building = False
        self._build_shape = None
        self._inbound_nodes: list = []
        self._call_losses: list[Tensor] = []
        self._losses_of = self._last_call = 0

    if not TYPE_CHECKING:  # for which every attribute would be there

        def __getattr__(self, name: str):
            if "_own_weights" not in self.__dict__ and not name.startswith("__"):
                raise TypeError(f"[{type(self).__name__}] call super().__init__(**kwargs) first in the layer's __init__.")
            attribute = getattr(type(self), name, None)
            if isinstance(attribute, property):  # it has raised AttributeError, and says why
                return attribute.fget(self)
            raise no_member(self, name, LAYER if self.__dict__.get("built") else LAYER_WITHOUT_WEIGHTS)

    if TYPE_CHECKING:  # those of a layer of your own may take other arguments

        def build(self, *args: Any, **kwargs: Any) -> None: ...
        def call(self, *args: Any, **kwargs: Any) -> Any: ...
    else:

        def build(self, input_shape=None) -> None:
            """Adds the weights for an input of this shape (batch axis included, None where unknown)."""
            self._was_built(input_shape)

        def call(self, x, *, training: bool = False):
            """The computation, written with ops. May take `training` and `mask`."""
            hint = " It has forward(x): call that one call(x)." if hasattr(type(self), "forward") else ""
            raise NotImplementedError(f"[{self.label}] a layer must define call(x).{hint}")

    @property
    def label(self) -> str:
        """The layer in messages: `Dense 'dense_1'`."""
        return f"{type(self).__name__} {self.name!r}"

    # -- building ----------------------------------------------------------------------------------------------------

    def _was_built(self, input_shape) -> None:
        self.built = True
        self._build_shape = input_shape
        if self._freezes:
            self.trainable = False

    def build_inner(self, input_shape) -> None:
        """Builds the layers inside of a built one that `build` has left to the first call, by a call on zeros."""
        if any(not layer.built for layer in self.flattened_layers()):
            with contextlib.suppress(TypeError, ValueError):  # it wants more than zeros: then it's built by the call that brings it
                inferred_shape(self, input_shape)

    def add_weight(
        self,
        *place,
        name: str | None = None,
        shape=(),
        initializer: Any = "glorot_uniform",
        regularizer=None,
        constraint=None,
        trainable: bool = True,
        dtype=None,
    ) -> Variable:
        """A new weight of this layer, a Variable with the path `<layer>/<name>`.

        Args:
            place: Arguments without a name are name and shape, or shape and initializer as in Keras.
            name: Name of the weight within the layer; `weight`, `weight_1`, ... by default.
            shape: Its shape; every axis must be known.
            initializer: Initial values, see `pynn.initializers`.
            regularizer: A penalty added to the loss.
            constraint: Applied after each update.
            trainable: Whether training changes it.
            dtype: The layer's by default.

        Raises:
            ValueError: a length is unknown, or the initializer gives another shape.
        """
        if place:
            name, shape, initializer = weight_words(self, place, name, shape, initializer)
        if name is None:
            name = f"weight_{len(self._own_weights)}" if self._own_weights else "weight"
        shape = (shape,) if isinstance(shape, int) else tuple(shape or ())
        if not all(is_whole(n) and n >= 0 for n in shape):
            raise ValueError(
                f"[{self.label}] the weight {name!r} needs a length for each axis. Received: shape={shape}. "
                "Give the input's last axes a length, for example by input_shape."
            )
        dtype = self.dtype if dtype is None else as_dtype(dtype)
        if running.loading is not None:
            running.loading.spend(f"{self.path}/{name}", shape)
            initializer = "zeros"
        variable = Variable(
            self._start_values(name, initializer, shape, dtype),
            dtype,
            name=name,
            trainable=trainable and self._trainable,
            regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
        )
        variable.path = f"{self.path}/{name}"
        self._own_weights.append(variable)
        if not trainable:
            self._fixed.append(variable)
        return variable

    def _start_values(self, name: str, initializer, shape: tuple, dtype):
        try:
            values = initializers.get(initializer)(shape, dtype)
        except (ValueError, TypeError) as error:
            raise self._named(error) from error.__cause__
        if tuple(np.shape(values)) != shape:
            raise ValueError(
                f"[{self.label}] the initializer of the weight {name!r} must give an array of shape {shape}. Received: "
                f"shape={tuple(np.shape(values))}. Return an array of the shape that the initializer is called with."
            )
        return values

    def add_state(self, name: str, value) -> Variable:
        """Adds a variable that changes but is not a weight."""
        if running.loading is not None:
            running.loading.spend_state(f"{self.path}/{name}", np.shape(value))
        variable = Variable(value, name=name, trainable=False)
        variable.path = f"{self.path}/{name}"
        self._own_states.append(variable)
        return variable

    def add_random_state(self, seed: int | None) -> Variable:
        """Gives the layer `seed_key`, the key of its random stream, and `seed_counter`, which counts its calls."""
        self.seed_key = key_for("layer", seed) if seed is not None else key_for(f"layer {next_stream()}")
        self.seed_counter = self.add_state("seed_counter", np.zeros((), np.int64))
        return self.seed_counter

    # -- calling -----------------------------------------------------------------------------------------------------

    def __call__(self, *args, **kwargs) -> Any:
        """The layer's output for tensors or arrays; for the symbolic tensors of a functional model, a symbolic one."""
        if not args:
            raise TypeError(f"[{self.label}] a layer must be called with its input.")
        if len(args) > 1:
            args, kwargs = with_names(type(self), args, kwargs)
        if any([isinstance(leaf, SymbolicTensor) for leaf in [*flatten(args), *flatten(kwargs)]]):
            return call_symbolic(self, args, kwargs)
        args = (map_structure(self._convert, one_array(args[0])), *args[1:])
        shapes = map_structure(lambda t: t.shape, args[0])
        self.check_input(shapes)
        context = CallContext(kwargs.pop("training", None))
        try:
            context.enter()
            outputs = self._call_in(context, shapes, args, kwargs)
            context.leave()
        except BaseException:
            context.leave()
            raise
        return outputs

    def _call_in(self, context: CallContext, shapes, args: tuple, kwargs: dict):
        if not self.built:
            self.build(shapes)
        mask = kwargs.pop("mask", None)
        if mask is None:
            mask = map_structure(lambda t: t.mask, args[0])
        elif isinstance(mask, np.ndarray):
            mask = as_tensor(mask)
        self._last_call = running.number
        outputs = self._run(args, kwargs, context.training, mask)
        if context.observer is not None:
            context.observer(self, outputs)
        if self.activity_regularizer is not None:
            for leaf in flatten(outputs):
                # per example, so that the strength doesn't depend on the size of the batch
                self.add_loss(self.activity_regularizer(leaf) / float(max(leaf.shape[0], 1) if leaf.ndim else 1))
        return outputs

    def _run(self, args, kwargs, training: bool, mask):
        words = call_words(type(self))
        if "training" in words or "**" in words:
            kwargs["training"] = training
        if "mask" in words:
            kwargs["mask"] = mask
        try:
            outputs = self.call(*args, **kwargs)
        except Exception as error:
            refused = call_refused(self, error, args, kwargs)
            if refused is not None:
                raise refused from refused.__cause__
            if not isinstance(error, (ValueError, TypeError)):
                raise
            raise self._named(error) from error.__cause__
        if outputs is None:
            raise TypeError(f"[{self.label}] call() must return the outputs. Received: None. End it with `return y`.")
        return self._pass_mask(args[0], mask, outputs)

    def _named(self, error: Exception) -> Exception:
        text = str(error)
        if type(error) not in (ValueError, TypeError) or getattr(error, "names_layer", False) or not text.startswith("["):
            return error
        named = type(error)(text if text.startswith(f"[{self.label}]") else f"[{self.label}] {text}")
        named.names_layer = True
        return named.with_traceback(error.__traceback__)

    def _convert(self, value):
        x = as_tensor(value)
        if self.casts_inputs and x.dtype != self.dtype and (is_float(x.dtype) or x.dtype.kind in "iu"):
            mask, x = x.mask, x.astype(self.dtype)
            x.mask = mask
        return x

    def _pass_mask(self, inputs, mask, outputs):
        """`outputs` with their masks. An output that is an input too is the caller's: its mask goes onto another tensor."""
        if not self.makes_mask and all([m is None for m in flatten(mask)]):
            return outputs
        masks = iter(flatten(self.compute_mask(inputs, mask)))
        given = [id(leaf) for leaf in flatten(inputs)]

        def masked(output):
            found = next(masks, None)
            if found is None or found is output.mask:
                return output
            output = stand_in(output) if id(output) in given else output
            output.mask = found
            return output

        return map_structure(masked, outputs)

    def check_input(self, shapes) -> None:
        """Raises ValueError if inputs of these shapes don't match `input_spec`."""
        spec = self.input_spec
        if spec is None:
            return
        if not isinstance(shapes, tuple) or (shapes and isinstance(shapes[0], tuple)):
            raise ValueError(f"[{self.label}] expects one input. Received: {len(shapes)}. Concatenate or add them first.")
        problem = spec.problem(shapes)
        if problem:
            raise ValueError(f"[{self.label}] {problem}. Received: shape={tuple(shapes)}.{self._advice(shapes)}")

    def _advice(self, shape) -> str:
        return ""

    def compute_mask(self, x, mask):
        """The mask of the output: the input's where the layer `supports_masking`, else none.

        If a layer of your own defines it, it is called in every call of the layer; `mask` is None if there is none.
        """
        return mask if self.supports_masking else None

    @property
    def has_shape_rule(self) -> bool:
        """Whether the class defines the shape of its output."""
        return type(self).compute_output_shape is not Layer.compute_output_shape

    def compute_output_shape(self, input_shape):
        """The output's shape, or a list of them, for an input shape with None where unknown.

        A layer of your own may define it. One that doesn't is called on zeros to find out.
        """
        return inferred_shape(self, input_shape)

    def output_dtype(self, input_dtype) -> np.dtype:
        """The output's dtype."""
        return self.dtype

    # -- what it adds to the loss --------------------------------------------------------------------------------------

    def add_loss(self, value) -> None:
        """Adds a scalar, or the sum of a tensor, to the loss of the call that is running."""
        if self._losses_of != running.number:
            self._call_losses, self._losses_of = [], running.number
        self._call_losses.append(as_tensor(value))

    @property
    def losses(self) -> list[Tensor]:
        """Penalties of the weights, and whatever the last call added, as scalars; nothing of a captured step, which has no values here."""
        penalties = [w.regularizer(w.value) for w in self.trainable_weights if w.regularizer is not None]
        for layer in self.flattened_layers():
            if layer._losses_of == self._last_call:
                penalties.extend(added for added in layer._call_losses if active.capture is not None or not added.is_abstract)
        return penalties

    # -- state and description -----------------------------------------------------------------------------------------

    def reset_state(self) -> None:
        """Resets the states of stateful recurrent layers, here and in inner layers."""
        for layer in self.layers:
            layer.reset_state()

    reset_states = reset_state

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values."""
        config = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype.name}
        if self.batch_input_shape is not None:
            config["batch_input_shape"] = list(self.batch_input_shape)
        config |= described_by_attributes(self, constructor_arguments(type(self), Layer))
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = plain(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        """A new layer like the one whose `get_config` gave `config`, with fresh weights."""
        return cls(**config)

    @classmethod
    def samples(cls) -> list[dict[str, Any]]:
        """Constructor arguments, each with an `input_shape` (batch axis included), that are worth testing."""
        return []

    @property
    def input(self):
        """The symbolic input of the layer's only call in a functional model or a Sequential."""
        return self._only_node().inputs

    @property
    def output(self):
        """The symbolic output of the layer's only call in a functional model or a Sequential."""
        return self._only_node().outputs

    @property
    def input_shape(self):
        """The shape of `input` with None where unknown, or shapes nested as the inputs are."""
        return map_structure(lambda t: t.shape, self.input)

    @property
    def output_shape(self):
        """The shape of `output` with None where unknown, or shapes nested as the outputs are."""
        return map_structure(lambda t: t.shape, self.output)

    def _only_node(self):
        if not self._inbound_nodes and self._home.stack is not None:
            self._home.stack.connect()
        if len(self._inbound_nodes) != 1:
            raise AttributeError(f"[{self.label}] was called {len(self._inbound_nodes)} times on symbolic tensors, not once.")
        return self._inbound_nodes[0]

    def __repr__(self) -> str:
        return shown_by_config(self, ("trainable", "dtype"))


word_refusals(Layer)


class SameShape(Layer, register=False):
    """A layer whose output has the shape of its input, and its mask."""

    supports_masking = True

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


def _layer_dtype(dtype) -> np.dtype:
    if isinstance(dtype, dict):  # a policy, as Keras 3 writes it
        dtype = dtype.get("config", {}).get("name", "float32")
    found = as_dtype("float32" if dtype is None else dtype)
    if not is_float(found) and found.kind not in "iu":
        raise TypeError(f"[layers] a layer's dtype must be float32 or float64. Received: dtype={dtype!r}.")
    return found
