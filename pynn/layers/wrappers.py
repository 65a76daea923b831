"""Layers around layers: Bidirectional and TimeDistributed."""

from __future__ import annotations

import numpy as np

from pynn import ops
from pynn.layers.arguments import one_of
from pynn.layers.base import InputSpec, Layer
from pynn.layers.names import described_layer
from pynn.layers.recurrent_base import as_bool, sequence_shape


def _as_layer(wrapper: str, layer, common: dict) -> Layer:
    """The layer to wrap; it may be described by a config."""
    if isinstance(layer, dict):
        return described_layer(layer, common)
    if not isinstance(layer, Layer):
        raise TypeError(f"[{wrapper}] must wrap a layer. Received: {layer!r}.")
    return layer


def _copied(layer: Layer, **changes) -> Layer:
    """A layer like this one, with fresh weights. What its config gives by name only, such as a user's function, is kept."""
    config = layer.get_config()
    kept = {name: _kept(getattr(layer, name, None), described) for name, described in config.items()}
    return type(layer).from_config({**kept, **changes})


def _kept(value, described):
    if isinstance(value, Layer):
        return _copied(value)
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, Layer) for v in value):
        return [_copied(v) for v in value]
    return value if callable(value) else described


class Bidirectional(Layer):
    """A recurrent layer over the sequence and a copy of it over the reversed sequence, their outputs merged.

    Of a sequence of outputs, masked steps are zero, whatever `zero_output_for_mask` the layer has.

    Args:
        layer: A recurrent layer; copies of it with fresh weights are used.
        merge_mode: "concat", "sum", "mul", "ave", or None for a list of both outputs.
        backward_layer: A separate layer for the reversed sequence; it must have `go_backwards=True`.

    Weights: those of `forward_layer`, then those of `backward_layer`.

    Shapes: (batch, time, features) -> those of the inner layer's output, twice as long in the last axis for "concat".

    Example:
        >>> import pynn as pn
        >>> pn.layers.Bidirectional(pn.layers.LSTM(16))(pn.zeros((2, 28, 8))).shape
        (2, 32)
    """

    supports_masking = True
    _untracked = Layer._untracked | {"layer"}

    def __init__(self, layer, merge_mode: str | None = "concat", weights=None, backward_layer=None, **common):
        layer = _as_layer("Bidirectional", layer, common)
        if not hasattr(layer, "go_backwards"):
            raise ValueError(f"[Bidirectional] must wrap a recurrent layer. Received: {layer!r}.")
        common.setdefault("batch_input_shape", layer.batch_input_shape)
        common.setdefault("dtype", layer.dtype)
        super().__init__(**common)
        self.merge_mode = one_of(self, "merge_mode", merge_mode, ("concat", "sum", "mul", "ave", None))
        self.layer = layer
        base = layer.name.removeprefix("forward_")
        self.forward_layer = self._copy(layer, f"forward_{base}", layer.go_backwards)
        if backward_layer is None:
            self.backward_layer = self._copy(layer, f"backward_{base}", not layer.go_backwards)
        else:
            back = _as_layer("Bidirectional", backward_layer, common)
            if back.go_backwards == layer.go_backwards:
                raise ValueError("[Bidirectional] the two layers must run in opposite directions. Set go_backwards=True on one.")
            self.backward_layer = self._copy(back, f"backward_{back.name.removeprefix('backward_')}", back.go_backwards)
        self.backward_given = backward_layer is not None
        self.input_spec = InputSpec(ndim=3, words="(batch, time, features)")
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state
        self._start = weights

    def _copy(self, layer: Layer, name: str, go_backwards: bool) -> Layer:
        copy = _copied(layer, name=name, go_backwards=go_backwards)
        copy.path = f"{self.path}/{name}"
        if hasattr(copy, "zero_output_for_mask"):  # what either way repeats at a masked step is of different steps
            copy.zero_output_for_mask = copy.return_sequences
        return copy

    def check_input(self, shapes):
        super().check_input(sequence_shape(shapes))

    def build(self, input_shape):
        shape = sequence_shape(input_shape)
        self.forward_layer.build(shape)
        self.backward_layer.build(shape)
        if self._start is not None:
            self.set_weights([np.asarray(w) for w in self._start])
            self._start = None

    def call(self, x, initial_state=None, *, training=False, mask=None):
        if isinstance(x, (list, tuple)):
            x, initial_state = x[0], list(x[1:]) or initial_state
            mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        half = len(initial_state) // 2 if initial_state is not None else 0
        starts = (initial_state[:half], initial_state[half:]) if half else (None, None)
        sides = (self.forward_layer, self.backward_layer)
        results = [s(x, initial_state=i, training=training, mask=mask) for s, i in zip(sides, starts, strict=True)]
        (forward, *first), (backward, *second) = results if self.return_state else ([r] for r in results)
        if self.return_sequences:
            backward = ops.flip(backward, axis=1)
        y = self._merged(forward, backward)
        return [*(y if isinstance(y, list) else [y]), *first, *second] if self.return_state else y

    def _merged(self, forward, backward):
        if self.merge_mode is None:
            return [forward, backward]
        if self.merge_mode == "concat":
            return ops.concat([forward, backward], axis=-1)
        if self.merge_mode == "mul":
            return forward * backward
        return forward + backward if self.merge_mode == "sum" else (forward + backward) * 0.5

    def compute_output_shape(self, input_shape):
        shapes = [s.compute_output_shape(input_shape) for s in (self.forward_layer, self.backward_layer)]
        (forward, *first), (backward, *second) = shapes if self.return_state else ([s] for s in shapes)
        merged = [forward, backward] if self.merge_mode is None else [forward]
        if self.merge_mode == "concat":
            merged = [(*forward[:-1], forward[-1] + backward[-1])]
        return [*merged, *first, *second] if self.return_state or self.merge_mode is None else merged[0]

    def compute_mask(self, x, mask):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if not self.return_sequences:
            return None
        return [mask, mask] if self.merge_mode is None else mask

    def get_config(self):
        """The constructor's arguments; the inner layer by class and config."""
        config = super().get_config()
        config.pop("weights", None)
        if not self.backward_given:
            config.pop("backward_layer", None)
        for side in ("forward", "backward"):
            described = config.get("layer" if side == "forward" else "backward_layer")
            if described is not None:
                described["config"]["trainable"] = getattr(self, f"{side}_layer").trainable
        return config

    @classmethod
    def samples(cls):
        return [
            dict(layer={"class_name": "GRU", "config": {"units": 2}}, input_shape=(2, 3, 2)),
            dict(
                layer={"class_name": "LSTM", "config": {"units": 2, "return_sequences": True}},
                merge_mode="sum",
                input_shape=(2, 3, 2),
            ),
        ]


class TimeDistributed(Layer):
    """Applies a layer to each step of (batch, time, ...).

    A mask of shape (batch, time, steps) goes to the inner layer. If that layer returns no mask, a step of the output is unmasked if any
    of its inner steps was.

    Example:
        >>> import pynn as pn
        >>> pn.layers.TimeDistributed(pn.layers.Dense(4))(pn.zeros((2, 28, 8))).shape
        (2, 28, 4)
    """

    supports_masking = True
    input_spec = InputSpec(min_ndim=3, words="(batch, time, ...)")

    def __init__(self, layer, **common):
        layer = _as_layer("TimeDistributed", layer, common)
        common.setdefault("dtype", layer.dtype)
        super().__init__(**common)
        self.layer = layer
        self.layer.path = self.path

    def build(self, input_shape):
        self.layer.build((input_shape[0], *input_shape[2:]))

    def call(self, x, *, training=False, mask=None):
        batch, steps = x.shape[:2]
        inner_mask = None if mask is None or mask.ndim < 3 else ops.reshape(as_bool(mask), (batch * steps, *mask.shape[2:]))
        inner = self.layer(ops.reshape(x, (batch * steps, *x.shape[2:])), training=training, mask=inner_mask)
        y = ops.reshape(inner, (batch, steps, *inner.shape[1:]))
        if inner_mask is not None:
            kept = ops.any(inner_mask, axis=tuple(range(1, inner_mask.ndim))) if inner.mask is None else inner.mask
            y.mask = ops.reshape(kept, (batch, steps, *kept.shape[1:]))
        return y

    def compute_mask(self, x, mask):
        """That of the steps; `call` has passed on what is finer."""
        return None if mask is None or mask.ndim > 2 else mask

    def compute_output_shape(self, input_shape):
        inner = self.layer.compute_output_shape((input_shape[0], *input_shape[2:]))
        return (*input_shape[:2], *inner[1:])

    @classmethod
    def samples(cls):
        return [dict(layer={"class_name": "Dense", "config": {"units": 3}}, input_shape=(2, 3, 4))]
