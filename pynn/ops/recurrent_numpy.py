"""NumPy recurrences over whole sequences, forward and backward: what runs where there is no native kernel.

One pass over the steps, each step vectorised over the batch and the gates. Everything per step is kept in the order of
processing; with `go_backwards` step s reads x[:, steps - 1 - s].
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from pynn.ops import recurrent_loops
from pynn.ops.recurrent_activations import ACTIVATIONS


def _in_order(x: np.ndarray | None, go_backwards: bool) -> np.ndarray | None:
    return x[:, ::-1] if x is not None and go_backwards else x


def _state(initial: np.ndarray | None, x: np.ndarray, units: int) -> np.ndarray:
    return np.zeros((x.shape[0], units), x.dtype) if initial is None else initial


def _blocks(z: np.ndarray, units: int) -> list[np.ndarray]:
    """The gates of z (..., gates * units), one array each."""
    return [z[..., i : i + units] for i in range(0, z.shape[-1], units)]


def _project(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """x kernel + bias for all steps at once."""
    z = (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:2], kernel.shape[1])
    return z if bias is None else z + bias


def _keep(mask: np.ndarray | None, step: int, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    return new if mask is None else np.where(mask[:, step, None], new, old)


def _empty_steps(x: np.ndarray, width: int) -> np.ndarray:
    return np.empty((x.shape[0], x.shape[1], width), x.dtype)


def lstm_numpy(
    x,
    kernel,
    recurrent_kernel,
    bias,
    initial_h,
    initial_c,
    mask,
    *,
    activation,
    recurrent_activation,
    go_backwards,
    return_sequences,
    training,
):
    """(h_sequence, h_last, c_last, gates, c_sequence); those that nobody asked for are None."""
    f, gate = ACTIVATIONS[activation].value, ACTIVATIONS[recurrent_activation].value
    x, mask, units = _in_order(x, go_backwards), _in_order(mask, go_backwards), recurrent_kernel.shape[0]
    z_inputs = _project(x, kernel, bias)
    h, c = _state(initial_h, x, units), _state(initial_c, x, units)
    outputs, gates, carried = _empty_steps(x, units), _empty_steps(x, 4 * units), _empty_steps(x, units)
    advance = recurrent_loops.lstm_step if recurrent_loops.suit(activation, recurrent_activation) else partial(_lstm_step, f, gate)
    for step in range(x.shape[1]):
        gates[:, step], new_h, new_c = advance(z_inputs[:, step] + h @ recurrent_kernel, c)
        h, c = _keep(mask, step, new_h, h), _keep(mask, step, new_c, c)
        outputs[:, step], carried[:, step] = h, c
    sequence = outputs if return_sequences or training else None
    return sequence, h, c, gates if training else None, carried if training else None


def _lstm_step(f, gate, z, c):
    i, forget, candidate, o = _blocks(z, c.shape[1])
    i, forget, candidate, o = gate(i), gate(forget), f(candidate), gate(o)
    new_c = forget * c + i * candidate
    return np.concatenate([i, forget, candidate, o], axis=1), o * f(new_c), new_c


def gru_numpy(
    x,
    kernel,
    recurrent_kernel,
    bias,
    initial_h,
    mask,
    *,
    activation,
    recurrent_activation,
    reset_after,
    go_backwards,
    return_sequences,
    training,
):
    """(h_sequence, h_last, gates); those that nobody asked for are None."""
    f, gate = ACTIVATIONS[activation].value, ACTIVATIONS[recurrent_activation].value
    x, mask, units = _in_order(x, go_backwards), _in_order(mask, go_backwards), recurrent_kernel.shape[0]
    input_bias, recurrent_bias = (bias[0], bias[1]) if reset_after and bias is not None else (bias, 0)
    z_inputs = _project(x, kernel, input_bias)
    h = _state(initial_h, x, units)
    outputs, gates = _empty_steps(x, units), _empty_steps(x, (4 if reset_after else 3) * units)
    after = recurrent_loops.gru_step if recurrent_loops.suit(activation, recurrent_activation) else partial(_gru_step_after, f, gate)
    for step in range(x.shape[1]):
        if reset_after:
            gates[:, step], new_h = after(z_inputs[:, step], h @ recurrent_kernel + recurrent_bias, h)
        else:
            gates[:, step], new_h = _gru_step_before(f, gate, recurrent_kernel, z_inputs[:, step], h)
        outputs[:, step] = h = _keep(mask, step, new_h, h)
    return outputs if return_sequences or training else None, h, gates if training else None


def _gru_step_after(f, gate, z_inputs, z_recurrent, h):
    """(gates, new h) of a step that resets what the recurrent kernel has made of h."""
    (update, reset, candidate), (update_h, reset_h, inner) = _blocks(z_inputs, h.shape[1]), _blocks(z_recurrent, h.shape[1])
    update, reset = gate(update + update_h), gate(reset + reset_h)
    candidate = f(candidate + reset * inner)
    return np.concatenate([update, reset, candidate, inner], axis=1), update * h + (1 - update) * candidate


def _gru_step_before(f, gate, recurrent_kernel, z_inputs, h):
    """(gates, new h) of a step that resets h before the recurrent kernel."""
    units = h.shape[1]
    update, reset, candidate = _blocks(z_inputs, units)
    update_h, reset_h = _blocks(h @ recurrent_kernel[:, : 2 * units], units)
    update, reset = gate(update + update_h), gate(reset + reset_h)
    candidate = f(candidate + (reset * h) @ recurrent_kernel[:, 2 * units :])
    return np.concatenate([update, reset, candidate], axis=1), update * h + (1 - update) * candidate


def simple_rnn_numpy(
    x,
    kernel,
    recurrent_kernel,
    bias,
    initial_h,
    mask,
    *,
    activation,
    go_backwards,
    return_sequences,
    training,
):
    """(h_sequence, h_last); the sequence is None if nobody asked for it."""
    f = ACTIVATIONS[activation].value
    x, mask, units = _in_order(x, go_backwards), _in_order(mask, go_backwards), recurrent_kernel.shape[0]
    z_inputs = _project(x, kernel, bias)
    h, outputs = _state(initial_h, x, units), _empty_steps(x, units)
    for step in range(x.shape[1]):
        h = _keep(mask, step, f(z_inputs[:, step] + h @ recurrent_kernel), h)
        outputs[:, step] = h
    return outputs if return_sequences or training else None, h


# ---- backward ----------------------------------------------------------------------------------------------------------


def _before(sequence: np.ndarray, initial: np.ndarray | None) -> np.ndarray:
    """The state that each step started from."""
    first = np.zeros_like(sequence[:, :1]) if initial is None else initial[:, None]
    return np.concatenate([first, sequence[:, :-1]], axis=1) if sequence.shape[1] else sequence


def _steps_back(dh_sequence, like: np.ndarray) -> Iterator[tuple[int, np.ndarray | None]]:
    for step in reversed(range(like.shape[1])):
        yield step, None if dh_sequence is None else dh_sequence[:, step]


def _start(d_last: np.ndarray | None, sequence: np.ndarray) -> np.ndarray:
    return np.zeros((sequence.shape[0], sequence.shape[2]), sequence.dtype) if d_last is None else d_last


def _live(mask: np.ndarray | None, step: int, gradient: np.ndarray) -> np.ndarray:
    return gradient if mask is None else np.where(mask[:, step, None], gradient, gradient.dtype.type(0))


def _through(mask: np.ndarray | None, step: int, gradient: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The gradient with respect to the state before a step: a masked step passes it on unchanged."""
    return gradient if mask is None else np.where(mask[:, step, None], gradient, before)


def _rows(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1, a.shape[-1])


def _transposed_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """sum over batch and steps of a^T b"""
    return _rows(a).T @ _rows(b)


def _input_gradient(dz: np.ndarray, kernel: np.ndarray, go_backwards: bool) -> np.ndarray:
    dx = (_rows(dz) @ kernel.T).reshape(*dz.shape[:2], kernel.shape[0])
    return np.ascontiguousarray(_in_order(dx, go_backwards))


def lstm_grad_numpy(
    x,
    kernel,
    recurrent_kernel,
    bias,
    initial_h,
    initial_c,
    mask,
    h_sequence,
    gates,
    c_sequence,
    dh_sequence,
    dh_last,
    dc_last,
    *,
    activation,
    recurrent_activation,
    go_backwards,
    needs,
):
    """(d_x, d_kernel, d_recurrent_kernel, d_bias, d_initial_h, d_initial_c); None where `needs` says no."""
    x, mask = _in_order(x, go_backwards), _in_order(mask, go_backwards)
    h_before, c_before = _before(h_sequence, initial_h), _before(c_sequence, initial_c)
    dh, dc, dz = _start(dh_last, h_sequence), _start(dc_last, h_sequence), np.empty_like(gates)
    in_loops = recurrent_loops.suit(activation, recurrent_activation)
    activations = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    back = recurrent_loops.lstm_step_back if in_loops else partial(_lstm_step_back, *activations)
    for step, dh_out in _steps_back(dh_sequence, h_sequence):
        dh = dh if dh_out is None else dh_out + dh
        by_gates, dc_before = back(gates[:, step], c_before[:, step], c_sequence[:, step], dh, dc)
        dz[:, step] = _live(mask, step, by_gates)
        dh = _through(mask, step, dz[:, step] @ recurrent_kernel.T, dh)
        dc = _through(mask, step, dc_before, dc)
    wanted = (
        lambda: _input_gradient(dz, kernel, go_backwards),
        lambda: _transposed_product(x, dz),
        lambda: _transposed_product(h_before, dz),
        lambda: _rows(dz).sum(axis=0),
        lambda: dh,
        lambda: dc,
    )
    return tuple(make() if need else None for make, need in zip(wanted, needs, strict=True))


def _lstm_step_back(state, gate, gates, c_before, c, dh, dc):
    i, forget, candidate, o = _blocks(gates, c.shape[1])
    out = state.value(c)
    d_cell = dc + dh * o * state.slope(out)
    by_gate = [
        d_cell * candidate * gate.slope(i),
        d_cell * c_before * gate.slope(forget),
        d_cell * i * state.slope(candidate),
        dh * out * gate.slope(o),
    ]
    return np.concatenate(by_gate, axis=1), d_cell * forget


def gru_grad_numpy(
    x,
    kernel,
    recurrent_kernel,
    bias,
    initial_h,
    mask,
    h_sequence,
    gates,
    dh_sequence,
    dh_last,
    *,
    activation,
    recurrent_activation,
    reset_after,
    go_backwards,
    needs,
):
    """(d_x, d_kernel, d_recurrent_kernel, d_bias, d_initial_h); None where `needs` says no."""
    slopes = ACTIVATIONS[activation].slope, ACTIVATIONS[recurrent_activation].slope
    x, mask, units = _in_order(x, go_backwards), _in_order(mask, go_backwards), recurrent_kernel.shape[0]
    h_before, dh = _before(h_sequence, initial_h), _start(dh_last, h_sequence)
    dzx, dzh = np.empty((2, *h_sequence.shape[:2], 3 * units), x.dtype)
    in_loops = recurrent_loops.suit(activation, recurrent_activation)
    after = recurrent_loops.gru_step_back if in_loops else partial(_gru_step_after_back, *slopes)
    for step, dh_out in _steps_back(dh_sequence, h_sequence):
        dh = dh if dh_out is None else dh_out + dh
        if reset_after:
            by_inputs, by_state = after(gates[:, step], h_before[:, step], dh)
            product = by_state @ recurrent_kernel.T
        else:
            by_inputs, product = _gru_step_before_back(*slopes, recurrent_kernel, gates[:, step], h_before[:, step], dh)
            by_state = by_inputs
        dzx[:, step], dzh[:, step] = _live(mask, step, by_inputs), _live(mask, step, by_state)
        dh = _through(mask, step, dh * gates[:, step, :units] + product, dh)
    wanted = (
        lambda: _input_gradient(dzx, kernel, go_backwards),
        lambda: _transposed_product(x, dzx),
        lambda: _gru_recurrent_gradient(h_before, gates, dzh, reset_after),
        lambda: np.stack([_rows(dzx).sum(axis=0), _rows(dzh).sum(axis=0)]) if reset_after else _rows(dzx).sum(axis=0),
        lambda: dh,
    )
    return tuple(make() if need else None for make, need in zip(wanted, needs, strict=True))


def _gru_step_after_back(slope, gate_slope, gates, before, dh):
    """The gradients by the pre-activations of `_gru_step_after`: by what comes from the inputs, by what comes from h."""
    update, reset, candidate, inner = _blocks(gates, dh.shape[1])
    d_candidate = dh * (1 - update) * slope(candidate)
    d_update = dh * (before - candidate) * gate_slope(update)
    d_reset = d_candidate * inner * gate_slope(reset)
    d_gates = np.concatenate([d_update, d_reset], axis=1)
    return np.concatenate([d_gates, d_candidate], axis=1), np.concatenate([d_gates, d_candidate * reset], axis=1)


def _gru_step_before_back(slope, gate_slope, recurrent_kernel, gates, before, dh):
    """The gradients by the pre-activations of `_gru_step_before`, and by h through the recurrent kernel."""
    units = dh.shape[1]
    update, reset, candidate = _blocks(gates, units)
    d_candidate = dh * (1 - update) * slope(candidate)
    d_update = dh * (before - candidate) * gate_slope(update)
    d_product = d_candidate @ recurrent_kernel[:, 2 * units :].T
    d_gates = np.concatenate([d_update, d_product * before * gate_slope(reset)], axis=1)
    return np.concatenate([d_gates, d_candidate], axis=1), d_gates @ recurrent_kernel[:, : 2 * units].T + d_product * reset


def _gru_recurrent_gradient(h_before: np.ndarray, gates: np.ndarray, dzh: np.ndarray, reset_after: bool) -> np.ndarray:
    if reset_after:
        return _transposed_product(h_before, dzh)
    units = h_before.shape[-1]
    reset_h = gates[..., units : 2 * units] * h_before
    by_gates = _transposed_product(h_before, dzh[..., : 2 * units])
    return np.concatenate([by_gates, _transposed_product(reset_h, dzh[..., 2 * units :])], axis=1)


def simple_rnn_grad_numpy(
    x,
    kernel,
    recurrent_kernel,
    bias,
    initial_h,
    mask,
    h_sequence,
    dh_sequence,
    dh_last,
    *,
    activation,
    go_backwards,
    needs,
):
    """(d_x, d_kernel, d_recurrent_kernel, d_bias, d_initial_h); None where `needs` says no."""
    slope = ACTIVATIONS[activation].slope
    x, mask = _in_order(x, go_backwards), _in_order(mask, go_backwards)
    h_before, dh, dz = _before(h_sequence, initial_h), _start(dh_last, h_sequence), np.empty_like(h_sequence)
    for step, dh_out in _steps_back(dh_sequence, h_sequence):
        dh = dh if dh_out is None else dh_out + dh
        dz[:, step] = _live(mask, step, dh * slope(h_sequence[:, step]))
        dh = _through(mask, step, dz[:, step] @ recurrent_kernel.T, dh)
    wanted = (
        lambda: _input_gradient(dz, kernel, go_backwards),
        lambda: _transposed_product(x, dz),
        lambda: _transposed_product(h_before, dz),
        lambda: _rows(dz).sum(axis=0),
        lambda: dh,
    )
    return tuple(make() if need else None for make, need in zip(wanted, needs, strict=True))
