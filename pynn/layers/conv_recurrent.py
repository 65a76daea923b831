"""ConvLSTM2D: an LSTM whose products are convolutions."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.layers import weight_settings
from pynn.layers.arguments import fraction
from pynn.layers.base import InputSpec
from pynn.layers.conv import Conv2D
from pynn.layers.noise import dropped
from pynn.layers.recurrent_base import OverSequences, as_bool, first_states, kept_states, open_forget_gate, sequence_shape
from pynn.layers.windows import channels_back, channels_last_shape, from_channels_last, to_channels_last

_WORDS = "(batch, time, height, width, channels)"


class ConvLSTM2D(OverSequences, Conv2D):
    """The LSTM over sequences of images, its products with x and h replaced by convolutions (Shi et al., 2015).

    Args as in `Conv2D`, and those of `LSTM`; the convolution of the state has stride 1 and padding "same". States have the data format
    of the output.

    Shapes: (batch, time, height, width, channels) -> (batch, height', width', filters), or with the time axis for return_sequences.
    Weights: kernel (kh, kw, channels, 4 filters), recurrent_kernel (kh, kw, filters, 4 filters), bias (4 filters,); gates i, f, c, o.
    """

    def __init__(
        self,
        filters: int,
        kernel_size,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        recurrent_initializer: Any = "orthogonal",
        unit_forget_bias: bool = True,
        recurrent_regularizer=None,
        recurrent_constraint=None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **common,
    ):
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias, **common)
        weight_settings.keep(self, locals())
        self.unit_forget_bias, self.seed, self.stateful = unit_forget_bias, seed, stateful
        self.dropout = fraction(self, "dropout", dropout)
        self.recurrent_dropout = fraction(self, "recurrent_dropout", recurrent_dropout)
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.input_spec = InputSpec(ndim=5, words=_WORDS)
        self.states: list = []
        if self.dropout or self.recurrent_dropout:
            self.add_random_state(seed)

    def build(self, input_shape):
        shape = sequence_shape(input_shape)
        image = channels_last_shape((shape[0], *shape[2:]), self.data_format)
        self.kernel = weight_settings.add(self, "kernel", (*self.kernel_size, image[-1], 4 * self.filters))
        recurrent_shape = (*self.kernel_size, self.filters, 4 * self.filters)
        self.recurrent_kernel = weight_settings.add(self, "recurrent_kernel", recurrent_shape, "recurrent")
        if self.use_bias:
            start = open_forget_gate(self.bias_initializer, self.filters) if self.unit_forget_bias else self.bias_initializer
            words = dict(regularizer=self.bias_regularizer, constraint=self.bias_constraint)
            self.bias = self.add_weight("bias", (4 * self.filters,), initializer=start, **words)
        if self.stateful:
            self.states = kept_states(self, shape[0], [(*self.spatial_shape(image), self.filters)] * 2, _WORDS)

    def _from_inputs(self, x):
        """The convolution of all steps, bias included: (batch, time, height', width', 4 filters)."""
        batch, steps = x.shape[:2]
        flat = ops.reshape(x, (batch * steps, *x.shape[2:]))
        z = ops.conv2d(flat, self.kernel, strides=self.strides, padding=self.padding, dilation=self.dilation_rate)
        z = z if self.bias is None else z + self.bias
        return ops.reshape(z, (batch, steps, *z.shape[1:]))

    def _step(self, z, h, c):
        z = z + ops.conv2d(h, self.recurrent_kernel, padding="same")
        i, f, g, o = ops.split(z, 4, axis=-1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        return self.recurrent_activation(o) * self.activation(c), c

    def call(self, x, initial_state=None, *, training=False, mask=None):
        if isinstance(x, (list, tuple)):
            x, initial_state = x[0], list(x[1:]) or initial_state
            mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = as_bool(mask)
        x = x if self.data_format == "channels_last" else ops.moveaxis(x, 2, -1)
        if training and self.dropout:
            x = x * dropped(self, ops.ones_like(x[:, :1]), self.dropout)
        z = self._from_inputs(x)
        h, c = self._first_states(z, initial_state)
        kept = dropped(self, ops.ones_like(h), self.recurrent_dropout) if training and self.recurrent_dropout else None
        outputs = []
        for t in range(z.shape[1])[:: -1 if self.go_backwards else 1]:
            new_h, new_c = self._step(z[:, t], h if kept is None else h * kept, c)
            if mask is not None:
                keep = ops.reshape(mask[:, t], (-1, 1, 1, 1))
                new_h, new_c = ops.where(keep, new_h, h), ops.where(keep, new_c, c)
            h, c = new_h, new_c
            outputs.append(h)
        for variable, value in zip(self.states, (h, c), strict=False):
            variable.assign(value)
        y = ops.stack(outputs, axis=1) if self.return_sequences else h
        if self.data_format == "channels_first":
            y = ops.moveaxis(y, -1, 2 if self.return_sequences else 1)
        return [y, *(from_channels_last(s, self.data_format) for s in (h, c))] if self.return_state else y

    def _first_states(self, z, initial_state) -> list:
        zeros = ops.zeros((*z.shape[:1], *z.shape[2:-1], self.filters), z.dtype)
        states = first_states(self, z.shape[0], initial_state, 2) or [None, None]
        if initial_state is not None:  # as the caller has them
            states = [None if s is None else to_channels_last(s, self.data_format) for s in states]
        return [zeros if s is None else s for s in states]

    def compute_output_shape(self, input_shape):
        shape = sequence_shape(input_shape)
        image = channels_last_shape((shape[0], *shape[2:]), self.data_format)
        state = (shape[0], *self.spatial_shape(image), self.filters)
        one = channels_back(state, self.data_format)
        y = (shape[0], shape[1], *one[1:]) if self.return_sequences else one
        return [y, one, one] if self.return_state else y

    def get_config(self):
        """The constructor's arguments, without those of `Conv2D` that it doesn't take."""
        config = super().get_config()
        config.pop("groups", None)
        return config

    @classmethod
    def samples(cls):
        return [
            dict(filters=2, kernel_size=2, input_shape=(2, 3, 4, 3, 2)),
            dict(filters=2, kernel_size=3, padding="same", return_sequences=True, go_backwards=True, input_shape=(1, 2, 3, 3, 1)),
            dict(filters=3, kernel_size=2, data_format="channels_first", return_state=True, input_shape=(2, 2, 1, 4, 3)),
        ]
