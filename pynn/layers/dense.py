"""Dense: every output from every input."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.layers import weight_settings
from pynn.layers.arguments import positive
from pynn.layers.base import InputSpec, Layer


class Dense(Layer):
    """`activation(x @ kernel + bias)` along the last axis.

    Args:
        units: Length of the output's last axis.
        activation: A name or function; none by default.
        use_bias: Whether there is a bias.
        kernel_initializer, bias_initializer: Initial values.
        kernel_regularizer, bias_regularizer: Penalties.
        kernel_constraint, bias_constraint: Applied after each update.

    Shapes: (batch, ..., inputs) -> (batch, ..., units); weights kernel (inputs, units), bias (units,).

    Example:
        >>> import pynn as pn
        >>> pn.layers.Dense(4, activation="relu")(pn.zeros((2, 3))).shape
        (2, 4)
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation=None,
        use_bias: bool = True,
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **common,
    ):
        super().__init__(**common)
        self.units = positive(self, "units", units)
        weight_settings.keep(self, locals())
        self.use_bias = use_bias
        self.input_spec = InputSpec(min_ndim=2, words="(batch, ..., inputs)")
        self.bias = None

    def build(self, input_shape):
        inputs = input_shape[-1]
        self.kernel = weight_settings.add(self, "kernel", (inputs, self.units))
        if self.use_bias:
            self.bias = weight_settings.add(self, "bias", (self.units,))
        self.input_spec = InputSpec(min_ndim=2, axes={-1: inputs}, words="(batch, ..., inputs)")

    def _advice(self, shape):
        if len(shape) == 1:
            return " For one input per example add an axis, x[..., None]; one example of three inputs has shape (1, 3)."
        if not shape:
            return " Pass a batch: one example of three inputs has shape (1, 3)."
        return " Put pn.layers.Flatten() before it, or pass other data." if len(shape) > 2 and self.built else ""

    def call(self, x):
        y = ops.matmul(x, self.kernel)
        if self.bias is not None:
            y = y + self.bias
        return self.activation(y)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    @classmethod
    def samples(cls):
        return [
            dict(units=3, input_shape=(4, 5)),
            dict(units=2, activation="tanh", use_bias=False, input_shape=(2, 3, 4)),
            dict(units=1, activation="sigmoid", kernel_regularizer="l2", bias_constraint="non_neg", input_shape=(3, 2)),
        ]
