"""Models as graphs of layer calls between symbolic inputs and outputs."""

from __future__ import annotations

from typing import Any

from pynn.data.arrays import by_name
from pynn.engine.tape import stand_in
from pynn.engine.tensor import as_tensor
from pynn.layers.base import Layer
from pynn.layers.structure import flatten, map_shapes, map_structure
from pynn.layers.symbolic import Node, SymbolicTensor
from pynn.models.forms import keys_of
from pynn.models.model import ONE_EXAMPLE, Model, fits
from pynn.models.objective import numbered


class Functional(Model):
    """A model from symbolic inputs to symbolic outputs; what `Model(inputs, outputs)` makes.

    Example:
        >>> import pynn as pn
        >>> x = pn.Input((4,))
        >>> model = pn.Model(x, pn.layers.Dense(2)(x))
        >>> model.count_params()
        10
    """

    def __init__(self, inputs, outputs, **kwargs):
        super().__init__(**kwargs)
        self.input_structure, self.output_structure = inputs, outputs
        self.inputs: list[SymbolicTensor] = _symbolic(inputs, "inputs", self.label)
        self.outputs: list[SymbolicTensor] = _symbolic(outputs, "outputs", self.label)
        self.nodes = _nodes_between(self.inputs, self.outputs, self.label)
        self.graph_layers = _by_depth(self.nodes, self.outputs)
        names = [layer.name for layer in self.graph_layers]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ValueError(f"[{self.label}] two layers are named {twice!r}. Give each layer its own name.")
        self._was_built(map_structure(lambda t: t.shape, inputs))
        self.forms.take_outputs(outputs)

    def __getstate__(self) -> dict[str, Any]:
        """The calls first, each after those it needs: a copy that finds them one from another goes as deep as the graph."""
        return {"nodes": self.nodes, **vars(self)}

    @property
    def input(self):
        """The symbolic inputs, nested as they were given."""
        return self.input_structure

    @property
    def output(self):
        """The symbolic outputs, nested as they were given."""
        return self.output_structure

    @property
    def layers(self) -> list[Layer]:
        """The layers of the graph, inputs included, those farthest from the outputs first."""
        return self.graph_layers

    @property
    def input_names(self) -> list[str]:
        """Names of the input layers, or the keys of a dict of them."""
        keys = keys_of(self.input_structure)
        return [t.layer.name for t in self.inputs] if keys is None else list(keys)

    @property
    def output_names(self) -> list[str]:
        """The keys of a dict of outputs; else the names of the layers that make them, numbered where one makes several."""
        keys = keys_of(self.output_structure)
        return self.output_layer_names if keys is None else list(keys)

    @property
    def output_layer_names(self) -> list[str]:
        """What files call the outputs: by the layers that make them."""
        return numbered([t.layer.name for t in self.outputs])

    def _in_order(self, given):
        """What the inputs are given, those of a dict by their names."""
        return by_name(given, "x", self.input_names) if isinstance(given, dict) else given

    def _in_form(self, found: list):
        """What there is of each output, as the outputs were given: one alone, a dict, or else a list."""
        if isinstance(self.output_structure, SymbolicTensor):
            return found[0]
        keys = keys_of(self.output_structure)
        return found if keys is None else dict(zip(keys, found, strict=True))

    def _check_count(self, count: int) -> None:
        if count != len(self.inputs):
            raise ValueError(f"[{self.label}] has {len(self.inputs)} inputs ({', '.join(self.input_names)}). Received: {count}.")

    def check_shapes(self, shapes):
        """Raises ValueError if an array, of as many rows as you like, has another shape than its input."""
        if len(shapes) != len(self.inputs):
            return
        for symbolic, shape in zip(self.inputs, shapes, strict=True):
            if not _suits(shape, symbolic):
                raise _misfit(self.label, symbolic, shape)

    def call(self, x, *, training: bool = False, mask=None):
        """Runs the graph.

        Raises:
            ValueError: an input is missing, there are too many, or one has another shape.
        """
        leaves = flatten(self._in_order(x))
        self._check_count(len(leaves))
        masks = [None] * len(leaves) if mask is None else flatten(self._in_order(mask))
        if len(masks) != len(leaves):
            raise ValueError(f"[{self.label}] takes a mask, or None, for each of {len(leaves)} inputs. Received: {len(masks)}.")
        values: dict[int, Any] = {}
        for symbolic, value, given in zip(self.inputs, leaves, masks, strict=True):
            if not _suits(value.shape, symbolic):
                raise _misfit(self.label, symbolic, value.shape)
            if given is not None and given is not value.mask:
                value = stand_in(value)  # the tensor itself is the caller's
                value.mask = as_tensor(given)
            values[id(symbolic)] = value
        for node in self.nodes:
            if node.inputs is not None:
                self._run_node(node, values, training)
        return self._in_form([values[id(t)] for t in self.outputs])

    def _run_node(self, node: Node, values: dict[int, Any], training: bool) -> None:
        def concrete(leaf):
            return values[id(leaf)] if isinstance(leaf, SymbolicTensor) else leaf

        args, kwargs = map_structure(concrete, node.args), map_structure(concrete, node.kwargs)
        if kwargs.get("training") is None:  # what was asked for when the graph was made holds: base(x, training=False)
            kwargs["training"] = training
        outputs = node.layer(*args, **kwargs)
        for symbolic, value in zip(flatten(node.outputs), flatten(outputs), strict=True):
            values[id(symbolic)] = value

    def compute_mask(self, x, mask):
        """The layers have already set it on the tensors."""
        return None

    def compute_output_shape(self, input_shape):
        """The shapes of the outputs for this input."""
        given: list[tuple] = []
        map_shapes(given.append, self._in_order(input_shape))
        self._check_count(len(given))
        batch = given[0][0] if given[0] else None
        return self._in_form([(batch, *t.shape[1:]) for t in self.outputs])

    def get_config(self) -> dict[str, Any]:
        """The graph as Keras and TensorFlow.js write it."""
        from pynn.models.graph_config import graph_config

        return graph_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Functional:
        """A new model with fresh weights."""
        from pynn.models.graph_config import functional_from_config

        return functional_from_config(cls, config)


def _symbolic(value, what: str, label: str) -> list[SymbolicTensor]:
    leaves = flatten(value)
    for leaf in leaves:
        if not isinstance(leaf, SymbolicTensor):
            raise TypeError(
                f"[{label}] {what} must be symbolic tensors. Received: {type(leaf).__name__}. "
                "Start from pn.Input(shape) and call layers on it."
            )
    return leaves


def _by_depth(nodes: list[Node], outputs: list[SymbolicTensor]) -> list[Layer]:
    """The layers in Keras's order, which is that of the weights: farthest from the outputs first, then as a walk from the outputs
    meets them.
    """
    met: dict[int, int] = {}
    stack, seen = [t.node for t in reversed(outputs)], set()
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            met.setdefault(id(node.layer), len(met))
            stack.extend(t.node for t in reversed(node.parents))
    depths: dict[int, int] = {}
    layers: dict[int, tuple[int, Layer]] = {}
    for node in reversed(nodes):
        depth = max(depths.get(id(node), 0), layers.get(id(node.layer), (0,))[0])
        layers[id(node.layer)] = (depth, node.layer)
        for t in node.parents:
            depths[id(t.node)] = max(depth + 1, depths.get(id(t.node), 0))
    return [layer for _, layer in sorted(layers.values(), key=lambda entry: (-entry[0], met.get(id(entry[1]), -1)))]


def _nodes_between(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor], label: str) -> list[Node]:
    """The calls that lead from inputs to outputs, each after those it needs; without recursion, graphs may be deep."""
    stop = {id(t) for t in inputs}
    order: list[Node] = [t.node for t in inputs]
    done = {id(node) for node in order}
    stack: list[tuple[Node, bool]] = [(t.node, False) for t in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            order.append(node)
            continue
        parents = [t for t in node.parents if id(t) not in stop]
        if node.inputs is None:
            raise ValueError(f"[{label}] the outputs depend on the input {node.layer.name!r}, which is not among `inputs`.")
        stack.append((node, True))
        stack.extend((t.node, False) for t in parents if id(t.node) not in done)
    return order


def _suits(shape, symbolic: SymbolicTensor) -> bool:
    """Whether an input may have this shape, in as many rows as you like: an `Input` with a batch size tells it to stateful layers alone."""
    return fits(shape, (None, *symbolic.shape[1:]))


def _misfit(label: str, symbolic: SymbolicTensor, shape) -> ValueError:
    advice = ONE_EXAMPLE if fits(shape, symbolic.shape[1:]) else ""
    if fits((*shape, 1), (None, *symbolic.shape[1:])):
        advice = " Add the last axis: pass x[..., None]."
    wanted, shape = (None, *symbolic.shape[1:]), tuple(shape)
    return ValueError(f"[{label}] the input {symbolic.name!r} must have shape {wanted} (None: any). Received: {shape=}.{advice}")
