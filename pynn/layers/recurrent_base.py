"""What recurrent layers share: initial and kept states, dropout, masks, the forms of the output."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pynn import activations, initializers, ops
from pynn.engine.tensor import as_tensor
from pynn.layers import weight_settings
from pynn.layers.arguments import fraction, positive
from pynn.layers.base import InputSpec, Layer
from pynn.layers.noise import dropped
from pynn.layers.structure import is_shape
from pynn.ops.recurrent_activations import ACTIVATIONS

_WORDS = "(batch, time, features)"


def activation_word(activation):
    """How recurrent ops are told of an activation: by name, so that one kernel runs the sequence, or as a function of the user's."""
    name = activations.name_of(activation)
    return name if activations.is_builtin(activation) and name in ACTIVATIONS else activation


class OverSequences(Layer, register=False):
    """A layer that goes over a sequence, which comes alone or in a list before the states to begin with."""

    def check_input(self, shapes):
        super().check_input(sequence_shape(shapes))

    def compute_mask(self, x, mask):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        return mask if self.return_sequences else None

    def reset_state(self) -> None:
        """Sets the states of a stateful layer to zero."""
        for state in self.states:
            state.assign(np.zeros(state.shape, state.dtype))


class Recurrent(OverSequences, register=False):
    """Base of SimpleRNN, GRU and LSTM.

    A subclass says how many gates its weights have (`gates`) and how many states it has (`states_count`), and defines
    `run(x, states, **words) -> (sequence or None, state, ...)`. Its constructor passes its arguments, whose names are attributes.
    """

    gates = 1
    states_count = 1
    # What a cell of one step doesn't have.
    option_defaults = dict(
        return_sequences=False, return_state=False, go_backwards=False, stateful=False, unroll=False, zero_output_for_mask=False
    )

    def __init__(self, units, settings: dict, options: dict, common: dict):
        super().__init__(**common)
        self.units = positive(self, "units", units)
        weight_settings.keep(self, settings)
        for name, value in {**self.option_defaults, **options, "units": self.units}.items():
            setattr(self, name, value)
        self.dropout = fraction(self, "dropout", self.dropout)
        self.recurrent_dropout = fraction(self, "recurrent_dropout", self.recurrent_dropout)
        self.bias = None
        self.states: list = []
        self.input_spec = InputSpec(ndim=3, words=_WORDS)
        if self.dropout or self.recurrent_dropout:
            self.add_random_state(self.seed)

    # -- building ------------------------------------------------------------------------------------------------------

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.gates * self.units,)

    def build(self, input_shape):
        shape = sequence_shape(input_shape)
        width = self.gates * self.units
        self.kernel = weight_settings.add(self, "kernel", (shape[-1], width))
        self.recurrent_kernel = weight_settings.add(self, "recurrent_kernel", (self.units, width), "recurrent")
        if self.use_bias:
            self.bias = weight_settings.add(self, "bias", self.bias_shape())
        self.input_spec = InputSpec(ndim=3, axes={-1: shape[-1]}, words=_WORDS)
        if self.stateful:
            self.states = kept_states(self, shape[0], [(self.units,)] * self.states_count, _WORDS)

    def _advice(self, shape):
        return " Expected (batch, time, features): for one feature per step add an axis with x[..., None]." if len(shape) == 2 else ""

    # -- calling -------------------------------------------------------------------------------------------------------

    def call(self, x, initial_state=None, *, training=False, mask=None):
        if isinstance(x, (list, tuple)):
            x, initial_state = x[0], list(x[1:]) or initial_state
            mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        states = first_states(self, x.shape[0], initial_state, self.states_count) or [None] * self.states_count
        words = dict(mask=as_bool(mask), go_backwards=self.go_backwards, return_sequences=self.return_sequences)
        if self.return_sequences and self.zero_output_for_mask:
            words["zero_output_for_mask"] = True
        sequence, *new_states = self.over_sequence(x, states, training, **words)
        for variable, value in zip(self.states, new_states, strict=False):
            variable.assign(value)
        y = sequence if self.return_sequences else new_states[0]
        return [y, *new_states] if self.return_state else y

    def over_sequence(self, x, states: list, training: bool, **words) -> tuple:
        """`run` with the dropout of the layer's settings."""
        if training and self.dropout:
            x = x * ops.expand_dims(dropped(self, ops.ones_like(x[:, 0]), self.dropout), 1)
        if training and self.recurrent_dropout:
            like = ops.broadcast_to(ops.zeros_like(x[:, 0, :1]), (x.shape[0], self.units))
            words["recurrent_mask"] = dropped(self, ops.ones_like(like), self.recurrent_dropout)
        return self.run(x, states, **words)

    def run(self, x, states: list, **words) -> tuple:
        """(sequence or None, state, ...) from the op."""
        raise NotImplementedError(f"[{self.label}] a recurrent layer must define run.")

    # -- shapes and state ----------------------------------------------------------------------------------------------

    def compute_output_shape(self, input_shape):
        batch, steps = sequence_shape(input_shape)[:2]
        shape = (batch, steps, self.units) if self.return_sequences else (batch, self.units)
        return [shape, *[(batch, self.units)] * self.states_count] if self.return_state else shape

    @classmethod
    def samples(cls):
        return [
            dict(units=3, input_shape=(2, 4, 5)),
            dict(units=2, return_sequences=True, go_backwards=True, input_shape=(2, 3, 2)),
            dict(units=2, return_state=True, use_bias=False, input_shape=(1, 5, 3)),
            dict(units=2, activation="softsign", dropout=0.2, recurrent_dropout=0.3, input_shape=(2, 3, 2)),
            dict(units=2, stateful=True, input_shape=(2, 3, 2)),
        ]


def sequence_shape(shapes) -> tuple:
    """The sequence's shape among those of (sequence, state, ...)."""
    return tuple(shapes) if is_shape(shapes) else tuple(shapes[0])


def open_forget_gate(initializer, units: int) -> Callable:
    """An initializer of an LSTM's bias like this one, but one for the forget gate, the second of those of so many units each."""

    def initial(shape, dtype) -> np.ndarray:
        values = initializers.get(initializer)(shape, dtype)
        values[units : 2 * units] = 1
        return values

    return initial


def kept_states(layer, batch: int | None, shapes: list[tuple[int, ...]], words: str) -> list:
    """The states of a stateful layer, zero at first; each of these shapes for every example.

    Raises:
        ValueError: the batch size isn't known; `words` name the axes of the input.
    """
    if batch is None:
        raise ValueError(
            f"[{layer.label}] a stateful layer needs to know the batch size. Received: batch axis None. "
            f"Pass batch_input_shape={words}, or batch_size in Input."
        )
    return [layer.add_state(f"state_{i}", np.zeros((batch, *shape), layer.dtype)) for i, shape in enumerate(shapes)]


def first_states(layer, batch: int, initial_state, count: int) -> list | None:
    """What a call begins with: the states given to it, as many as `count`, else those of a stateful layer, else None.

    Raises:
        ValueError: their number is another, or the layer's are of another batch size.
    """
    if initial_state is None:
        if not layer.states:
            return None
        if layer.states[0].shape[0] != batch:
            raise ValueError(
                f"[{layer.label}] a stateful layer keeps its batch size. Received: a batch of {batch}, built for "
                f"{layer.states[0].shape[0]}."
            )
        return [s.value for s in layer.states]
    states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
    if len(states) != count:
        raise ValueError(f"[{layer.label}] has {count} states. Received: {len(states)} initial states.")
    return [None if s is None else layer._convert(as_tensor(s)) for s in states]


def as_bool(mask):
    """A mask as booleans; None stays None."""
    if mask is None:
        return None
    mask = as_tensor(mask)
    return mask if mask.dtype == bool else ops.not_equal(mask, 0)
