"""The three recurrences: their gates, weights and ops. Layers over sequences and cells of one step build on them."""

from __future__ import annotations

from pynn import ops
from pynn.layers.recurrent_base import Recurrent, activation_word, open_forget_gate


class SimpleRecurrence(Recurrent, register=False):
    """`h_t = activation(x_t kernel + bias + h_{t-1} recurrent_kernel)`."""

    def run(self, x, states, **words):
        activation = activation_word(self.activation)
        return ops.simple_rnn(x, self.kernel, self.recurrent_kernel, self.bias, initial_h=states[0], activation=activation, **words)


class GatedRecurrence(Recurrent, register=False):
    """The recurrence of GRU, gates z, r, h."""

    gates = 3

    def bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def run(self, x, states, **words):
        return ops.gru(
            x,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            initial_h=states[0],
            activation=activation_word(self.activation),
            recurrent_activation=activation_word(self.recurrent_activation),
            reset_after=self.reset_after,
            **words,
        )


class LongShortTermRecurrence(Recurrent, register=False):
    """The recurrence of LSTM, gates i, f, c, o; states h, c."""

    gates = 4
    states_count = 2

    def add_weight(self, name, shape=(), **settings):
        """As in every layer; the bias starts as `unit_forget_bias` says."""
        if name == "bias" and self.unit_forget_bias:
            settings["initializer"] = open_forget_gate(self.bias_initializer, self.units)
        return super().add_weight(name, shape, **settings)

    def run(self, x, states, **words):
        return ops.lstm(
            x,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            initial_h=states[0],
            initial_c=states[1],
            activation=activation_word(self.activation),
            recurrent_activation=activation_word(self.recurrent_activation),
            **words,
        )
