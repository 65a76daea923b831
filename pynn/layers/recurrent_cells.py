"""Cells, one step of a recurrence each, and RNN, which runs cells over sequences."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.layers import weight_settings
from pynn.layers.base import InputSpec, Layer
from pynn.layers.names import described_layer
from pynn.layers.recurrences import GatedRecurrence, LongShortTermRecurrence, SimpleRecurrence
from pynn.layers.recurrent_base import OverSequences, as_bool, first_states, kept_states, sequence_shape


class _OneStep:
    """Mixin: a recurrence called for one step, `(x (batch, features), states) -> (output, new states)`."""

    def __init__(self, units, settings: dict, options: dict, common: dict):
        super().__init__(units, settings, {**options, "return_state": True}, common)
        self.input_spec = InputSpec(ndim=2, words="(batch, features)")

    @property
    def state_size(self) -> list[int]:
        """Length of each state."""
        return [self.units] * self.states_count

    @property
    def output_size(self) -> int:
        """Length of the output."""
        return self.units

    def build(self, input_shape):
        shape = tuple(input_shape)
        super().build(shape if len(shape) == 3 else (shape[0], 1, *shape[1:]))
        self.input_spec = InputSpec(ndim=2, axes={-1: shape[-1]}, words="(batch, features)")

    def check_input(self, shapes):
        Layer.check_input(self, shapes)

    def _advice(self, shape):
        return ""

    def call(self, x, states=None, *, training=False):
        states = list(states) if states is not None else [None] * self.states_count
        h, *rest = super().call(ops.expand_dims(x, 1), states, training=training)[1:]
        return h, [h, *rest]

    def compute_output_shape(self, input_shape):
        return [(input_shape[0], self.units)] * (1 + self.states_count)

    @classmethod
    def samples(cls):
        return []


class SimpleRNNCell(_OneStep, SimpleRecurrence):
    """One step of `SimpleRNN`: `cell(x, [h])` gives `(h', [h'])`.

    Arguments as in `SimpleRNN`. Shapes: x (batch, features), h (batch, units).
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        *,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **common,
    ):
        super().__init__(units, *weight_settings.split(locals()), common)


class GRUCell(_OneStep, GatedRecurrence):
    """One step of `GRU`: `cell(x, [h])` gives `(h', [h'])`.

    Arguments as in `GRU`. Shapes: x (batch, features), h (batch, units).
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        reset_after: bool = True,
        **common,
    ):
        super().__init__(units, *weight_settings.split(locals()), common)


class LSTMCell(_OneStep, LongShortTermRecurrence):
    """One step of `LSTM`: `cell(x, [h, c])` gives `(h', [h', c'])`.

    Arguments as in `LSTM`. Shapes: x (batch, features), h and c (batch, units).
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **common,
    ):
        super().__init__(units, *weight_settings.split(locals()), common)


def _cell(value, common: dict) -> Layer:
    """The cell; it may be described by a config."""
    if isinstance(value, dict):
        if not isinstance(value.get("class_name"), str):
            raise TypeError(f"[RNN] a cell's config must have 'class_name' and 'config'. Received: {value!r}. Pass pn.layers.GRUCell(8).")
        value = described_layer(value, common)
    if not isinstance(value, Layer) or not hasattr(value, "state_size"):
        raise TypeError(
            f"[RNN] a cell must be a layer with `state_size` whose call(x, states) returns (output, new states). Received: {value!r}. "
            "Pass one, such as pn.layers.GRUCell(8)."
        )
    return value


def _sizes(cell) -> list[int]:
    size = cell.state_size
    return list(size) if isinstance(size, (list, tuple)) else [size]


class StackedRNNCells(Layer):
    """Cells one above the other, each fed with the output of the one below.

    Args:
        cells: The cells, from the input to the output.
    """

    def __init__(self, cells, **common):
        made = [_cell(c, common) for c in cells]
        common.setdefault("dtype", made[0].dtype)
        super().__init__(**common)
        self.cells = made

    @property
    def state_size(self) -> list[int]:
        """Length of each state of each cell."""
        return [n for cell in self.cells for n in _sizes(cell)]

    @property
    def output_size(self) -> int:
        """Length of the output."""
        return getattr(self.cells[-1], "output_size", _sizes(self.cells[-1])[0])

    def build(self, input_shape):
        shape = tuple(input_shape)
        for i, cell in enumerate(self.cells):
            cell.path = f"{self.path}/RNNCell_{i}"
            cell.build(shape)
            shape = (shape[0], getattr(cell, "output_size", _sizes(cell)[0]))

    def call(self, x, states=None, *, training=False):
        states, new_states = list(states) if states is not None else [None] * len(self.state_size), []
        for cell in self.cells:
            own, states = states[: len(_sizes(cell))], states[len(_sizes(cell)) :]
            x, changed = cell(x, own, training=training)
            new_states.extend(changed)
        return x, new_states

    def compute_output_shape(self, input_shape):
        return [(input_shape[0], n) for n in (self.output_size, *self.state_size)]


class RNN(OverSequences):
    """Runs a cell (or a list of cells, one above the other) over sequences.

    A cell of your own is a layer with `state_size` (a number or a list) whose `call(x, states)` gives `(output, new states)`.
    The cells of this package run as whole-sequence ops, others step by step.

    Args:
        cell: The cell.
        return_sequences, return_state, go_backwards, stateful, unroll, zero_output_for_mask: As in `SimpleRNN`.

    Shapes: (batch, time, features) -> (batch, output), or (batch, time, output) with return_sequences.
    """

    def __init__(
        self,
        cell,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **common,
    ):
        made = StackedRNNCells([_cell(c, common) for c in cell]) if isinstance(cell, (list, tuple)) else _cell(cell, common)
        common.setdefault("dtype", made.dtype)
        super().__init__(**common)
        self.cell = made
        self.cell.path = self.path
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.stateful, self.unroll, self.zero_output_for_mask = stateful, unroll, zero_output_for_mask
        self.input_spec = InputSpec(ndim=3, words="(batch, time, features)")
        self.states: list = []

    @property
    def state_size(self) -> list[int]:
        """Length of each state."""
        return _sizes(self.cell)

    @property
    def output_size(self) -> int:
        """Length of the output."""
        return getattr(self.cell, "output_size", self.state_size[0])

    def build(self, input_shape):
        shape = sequence_shape(input_shape)
        self.cell.build((shape[0], *shape[2:]))
        if self.stateful:
            self.states = kept_states(self, shape[0], [(n,) for n in self.state_size], "(batch, time, features)")

    def call(self, x, initial_state=None, *, training=False, mask=None):
        if isinstance(x, (list, tuple)):
            x, initial_state = x[0], list(x[1:]) or initial_state
            mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        states = first_states(self, x.shape[0], initial_state, len(self.state_size))
        states = [ops.zeros((x.shape[0], n), x.dtype) for n in self.state_size] if states is None else states
        mask = as_bool(mask)
        cells = self.cell.cells if isinstance(self.cell, StackedRNNCells) else [self.cell]
        if all(isinstance(c, _OneStep) for c in cells):
            sequence, last, states = self._by_ops(cells, x, states, training, mask)
        else:
            sequence, last, states = self._by_steps(x, states, training, mask)
        for variable, value in zip(self.states, states, strict=False):
            variable.assign(value)
        y = self._zeroed(sequence, mask) if self.return_sequences else last
        return [y, *states] if self.return_state else y

    def _zeroed(self, sequence, mask):
        if mask is None or not self.zero_output_for_mask:
            return sequence
        mask = ops.flip(mask, axis=1) if self.go_backwards else mask
        return ops.where(ops.expand_dims(mask, -1), sequence, ops.zeros_like(sequence))

    def _by_ops(self, cells, x, states, training, mask):
        new_states, backwards = [], self.go_backwards
        for cell in cells:
            own, states = states[: cell.states_count], states[cell.states_count :]
            x, *changed = cell.over_sequence(x, own, training, mask=mask, go_backwards=backwards, return_sequences=True)
            new_states.extend(changed)
            if backwards and mask is not None:
                mask = ops.flip(mask, axis=1)
            backwards = False
        return x, x[:, -1], new_states

    def _by_steps(self, x, states, training, mask):
        outputs, previous = [], None
        for t in range(x.shape[1])[:: -1 if self.go_backwards else 1]:
            y, changed = self.cell(x[:, t], states, training=training)
            changed = list(changed) if isinstance(changed, (list, tuple)) else [changed]
            if mask is not None:
                keep = ops.expand_dims(mask[:, t], -1)
                changed = [ops.where(keep, new, old) for new, old in zip(changed, states, strict=True)]
                y = ops.where(keep, y, ops.zeros_like(y) if previous is None else previous)
            states = changed
            previous = y
            outputs.append(y)
        return ops.stack(outputs, axis=1) if self.return_sequences else None, previous, states

    def compute_output_shape(self, input_shape):
        batch, steps = sequence_shape(input_shape)[:2]
        shape = (batch, steps, self.output_size) if self.return_sequences else (batch, self.output_size)
        return [shape, *((batch, n) for n in self.state_size)] if self.return_state else shape

    @classmethod
    def samples(cls):
        lstm, gru = ({"class_name": n, "config": {"units": 3, "name": n.lower()}} for n in ("LSTMCell", "GRUCell"))
        stack = {"class_name": "StackedRNNCells", "config": {"cells": [lstm, gru], "name": "stack"}}
        return [
            dict(cell=lstm, return_state=True, input_shape=(2, 3, 2)),
            dict(cell=stack, return_sequences=True, go_backwards=True, input_shape=(2, 3, 2)),
        ]
