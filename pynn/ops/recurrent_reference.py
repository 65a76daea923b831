"""Obvious float64 recurrences and their gradients by complex steps; the tests hold every kernel against these.

`f(x + i h)` has the imaginary part `h f'(x)` without any cancellation, so with `h = 1e-30` a derivative is exact to rounding
(Squire and Trapp, 1998). All functions take leading axes before the batch and complex numbers, one perturbed copy each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

STEP = 1e-30


def _where_positive(z, positive, other):
    return np.where(np.real(z) > 0, positive, other)


def _clip(z, low: float, high: float):
    return np.where(np.real(z) <= low, low, np.where(np.real(z) >= high, high, z))


_REFERENCE_ACTIVATIONS: dict[str, Callable] = {
    "linear": lambda z: z,
    "relu": lambda z: _where_positive(z, z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "hard_sigmoid": lambda z: _clip(z / 6 + 0.5, 0, 1),
    "hard_sigmoid_keras2": lambda z: _clip(0.2 * z + 0.5, 0, 1),
    "softsign": lambda z: z / (1 + _where_positive(z, z, -z)),
    "elu": lambda z: _where_positive(z, z, np.exp(z) - 1),
    "selu": lambda z: 1.0507009873554805 * _where_positive(z, z, 1.6732632423543772 * (np.exp(z) - 1)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "relu6": lambda z: _clip(z, 0, 6),
    "exponential": np.exp,
}


def _row(bias):
    return 0 if bias is None else bias[..., None, :]


def _scan(cell: Callable, x, states: Sequence, mask, go_backwards: bool):
    """`cell(x_t, states) -> (states, gates)` over the steps: (outputs, gates, the last state of each step, the last states)."""
    outputs, gates, carried = [], [], []
    order = range(x.shape[-2])
    for t in reversed(order) if go_backwards else order:
        new, gate = cell(x[..., t, :], states)
        if mask is not None:
            new = [np.where(mask[:, t, None], n, s) for n, s in zip(new, states, strict=True)]
        states = new
        outputs.append(states[0])
        gates.append(gate)
        carried.append(states[-1])
    return outputs, gates, carried, states


def _stacked(steps: list, like, width: int):
    if not steps:
        return np.zeros((*like.shape[:-2], 0, width), like.dtype)
    shape = np.broadcast_shapes(*(s.shape for s in steps))
    return np.stack([np.broadcast_to(s, shape) for s in steps], axis=-2)


def _zeros(x, units: int):
    return np.zeros((*x.shape[:-2], units), x.dtype)


def lstm_reference(x, kernel, recurrent_kernel, bias, initial_h, initial_c, mask, *, activation, recurrent_activation, go_backwards, **_):
    """(h_sequence, h_last, c_last, gates, c_sequence) of a long short-term memory (Hochreiter and Schmidhuber, 1997)."""
    f, gate = _REFERENCE_ACTIVATIONS[activation], _REFERENCE_ACTIVATIONS[recurrent_activation]
    units = recurrent_kernel.shape[-2]

    def cell(x_t, states):
        h, c = states
        z = x_t @ kernel + h @ recurrent_kernel + _row(bias)
        i, o = gate(z[..., :units]), gate(z[..., 3 * units :])
        forget, candidate = gate(z[..., units : 2 * units]), f(z[..., 2 * units : 3 * units])
        c = forget * c + i * candidate
        return [o * f(c), c], np.concatenate([i, forget, candidate, o], axis=-1)

    states = [_zeros(x, units) if s is None else s for s in (initial_h, initial_c)]
    outputs, gates, carried, (h, c) = _scan(cell, x, states, mask, go_backwards)
    return _stacked(outputs, x, units), h, c, _stacked(gates, x, 4 * units), _stacked(carried, x, units)


def gru_reference(x, kernel, recurrent_kernel, bias, initial_h, mask, *, activation, recurrent_activation, reset_after, go_backwards, **_):
    """(h_sequence, h_last, gates) of a gated recurrent unit (Cho et al., 2014)."""
    f, gate = _REFERENCE_ACTIVATIONS[activation], _REFERENCE_ACTIVATIONS[recurrent_activation]
    units = recurrent_kernel.shape[-2]
    input_bias, recurrent_bias = (bias[..., 0, :], bias[..., 1, :]) if reset_after and bias is not None else (bias, None)

    def cell(x_t, states):
        h = states[0]
        zx = x_t @ kernel + _row(input_bias)
        zh = h @ recurrent_kernel[..., : 2 * units] + _row(None if recurrent_bias is None else recurrent_bias[..., : 2 * units])
        update = gate(zx[..., :units] + zh[..., :units])
        reset = gate(zx[..., units : 2 * units] + zh[..., units:])
        last = recurrent_kernel[..., 2 * units :]
        if reset_after:
            inner = h @ last + _row(None if recurrent_bias is None else recurrent_bias[..., 2 * units :])
            candidate = f(zx[..., 2 * units :] + reset * inner)
            kept = [update, reset, candidate, inner]
        else:
            candidate = f(zx[..., 2 * units :] + (reset * h) @ last)
            kept = [update, reset, candidate]
        shape = candidate.shape
        return [update * h + (1 - update) * candidate], np.concatenate([np.broadcast_to(k, shape) for k in kept], axis=-1)

    states = [_zeros(x, units) if initial_h is None else initial_h]
    outputs, gates, _, (h,) = _scan(cell, x, states, mask, go_backwards)
    return _stacked(outputs, x, units), h, _stacked(gates, x, (4 if reset_after else 3) * units)


def simple_rnn_reference(x, kernel, recurrent_kernel, bias, initial_h, mask, *, activation, go_backwards, **_):
    """(h_sequence, h_last) of the fully connected recurrence (Elman, 1990)."""
    f = _REFERENCE_ACTIVATIONS[activation]
    units = recurrent_kernel.shape[-2]

    def cell(x_t, states):
        h = f(x_t @ kernel + states[0] @ recurrent_kernel + _row(bias))
        return [h], h

    states = [_zeros(x, units) if initial_h is None else initial_h]
    outputs, _, _, (h,) = _scan(cell, x, states, mask, go_backwards)
    return _stacked(outputs, x, units), h


def complex_step_gradient(function: Callable, inputs: Sequence, index: int, cotangents: Sequence):
    """d sum_i sum(outputs[i] * cotangents[i]) / d inputs[index], one perturbed copy of the input for each of its elements."""
    value = np.asarray(inputs[index], np.float64)
    if value.size == 0:
        return np.zeros_like(value)
    directions = np.eye(value.size).reshape(value.size, *value.shape)
    perturbed = [i for i in inputs]
    perturbed[index] = value + 1j * STEP * directions
    outputs = function(*perturbed)
    total = np.zeros(value.size)
    for output, cotangent in zip(outputs, cotangents, strict=False):
        if cotangent is not None:
            product = np.broadcast_to(np.imag(output), (value.size, *cotangent.shape)) * cotangent
            total += product.reshape(value.size, -1).sum(axis=1)
    return (total / STEP).reshape(value.shape)
