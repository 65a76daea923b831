"""SimpleRNN, GRU and LSTM."""

from __future__ import annotations

from typing import Any

from pynn.layers import weight_settings
from pynn.layers.recurrences import GatedRecurrence, LongShortTermRecurrence, SimpleRecurrence


class SimpleRNN(SimpleRecurrence):
    """The fully connected recurrence: `h_t = activation(x_t kernel + bias + h_{t-1} recurrent_kernel)`.

    Args:
        units: Length of the state.
        activation: A name or function.
        use_bias: Whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Initial values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties.
        kernel_constraint, recurrent_constraint, bias_constraint: Applied after each update.
        dropout: Share of the input's features to drop while training, the same at all steps.
        recurrent_dropout: The same for the state.
        seed: Seed of the dropout.
        return_sequences: Whether the output is that of each step, or of the last.
        return_state: Whether the last states are returned too: `[output, state, ...]`.
        go_backwards: Whether the steps are processed from the last to the first.
        stateful: Whether a batch starts with the final states of the previous one.
        unroll: Accepted; the whole sequence is one op in any case.
        zero_output_for_mask: Whether masked steps output zeros instead of repeating the previous output.

    Shapes: (batch, time, features) -> (batch, units), or (batch, time, units) with return_sequences.
    Weights: kernel (features, units), recurrent_kernel (units, units), bias (units,).

    Example:
        >>> import pynn as pn
        >>> pn.layers.SimpleRNN(16)(pn.zeros((2, 28, 8))).shape
        (2, 16)
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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **common,
    ):
        super().__init__(units, *weight_settings.split(locals()), common)


class GRU(GatedRecurrence):
    """The gated recurrent unit (Cho et al., 2014); arguments as in `SimpleRNN`, and:

    Args:
        recurrent_activation: The activation of the gates.
        reset_after: Whether the reset gate comes after the product with the recurrent kernel (cuDNN's variant) or before.

    See `pynn.gru` for the formulas. Weights: kernel (features, 3 units), recurrent_kernel (units, 3 units), bias (2, 3 units) with
    reset_after, else (3 units,); gates z, r, h in column blocks.

    Example:
        >>> import pynn as pn
        >>> pn.layers.GRU(16)(pn.zeros((2, 28, 8))).shape
        (2, 16)
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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        zero_output_for_mask: bool = False,
        **common,
    ):
        super().__init__(units, *weight_settings.split(locals()), common)

    @classmethod
    def samples(cls):
        before = dict(units=2, reset_after=False, recurrent_activation="hard_sigmoid", input_shape=(2, 3, 2))
        return [*super().samples(), before]


class LSTM(LongShortTermRecurrence):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997); arguments as in `SimpleRNN`, and:

    Args:
        recurrent_activation: The activation of the gates.
        unit_forget_bias: Whether the forget gate's bias starts at one.

    See `pynn.lstm` for the formulas. Weights: kernel (features, 4 units), recurrent_kernel (units, 4 units), bias (4 units,); gates
    i, f, c, o in column blocks. States: h, c.

    Example:
        >>> import pynn as pn
        >>> pn.layers.LSTM(16, return_sequences=True)(pn.zeros((2, 28, 8))).shape
        (2, 28, 16)
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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **common,
    ):
        super().__init__(units, *weight_settings.split(locals()), common)
