"""The steps of LSTM and GRU as loops, for the usual activations: one pass over the gates, where NumPy needs one for each operation.

Exponentials and hyperbolic tangents come from NumPy, which computes several at a time; a loop calls them one by one.
"""

from __future__ import annotations

import numpy as np

from pynn.engine.loops import Loop, are_compiled, read


def suit(activation: str, recurrent_activation: str) -> bool:
    """Whether these loops run: for tanh and sigmoid, where loops are compiled."""
    return activation == "tanh" and recurrent_activation == "sigmoid" and are_compiled()


@Loop
def _lstm_gates(z, small, candidate, c, gates, new_c):
    """Gates and cell state; `small` holds exp(-|z|)."""
    one, units = z.dtype.type(1), c.shape[1]
    for n in range(c.shape[0]):
        for j in range(units):
            f_at, o_at = units + j, 3 * units + j
            i = (one if z[n, j] >= 0 else small[n, j]) / (one + small[n, j])
            f = (one if z[n, f_at] >= 0 else small[n, f_at]) / (one + small[n, f_at])
            o = (one if z[n, o_at] >= 0 else small[n, o_at]) / (one + small[n, o_at])
            gates[n, j], gates[n, f_at], gates[n, 2 * units + j], gates[n, o_at] = i, f, candidate[n, j], o
            new_c[n, j] = f * c[n, j] + i * candidate[n, j]


def lstm_step(z, c):
    """(gates, new h, new c) of a step whose pre-activations are z."""
    units = c.shape[1]
    gates, new_c = np.empty_like(z), np.empty(c.shape, c.dtype)
    candidate = np.tanh(z[:, 2 * units : 3 * units])
    _lstm_gates(*read(z, np.exp(-np.abs(z)), candidate, c), gates, new_c)
    return gates, gates[:, 3 * units :] * np.tanh(new_c), new_c


@Loop
def _lstm_gates_back(gates, c_before, out, dh, dc, dz, dc_before):
    one, units = out.dtype.type(1), out.shape[1]
    for n in range(out.shape[0]):
        for j in range(units):
            f_at, g_at, o_at = units + j, 2 * units + j, 3 * units + j
            i, f, g, o = gates[n, j], gates[n, f_at], gates[n, g_at], gates[n, o_at]
            d_cell = dc[n, j] + dh[n, j] * o * (one - out[n, j] * out[n, j])
            dz[n, j] = d_cell * g * (i * (one - i))
            dz[n, f_at] = d_cell * c_before[n, j] * (f * (one - f))
            dz[n, g_at] = d_cell * i * (one - g * g)
            dz[n, o_at] = dh[n, j] * out[n, j] * (o * (one - o))
            dc_before[n, j] = d_cell * f


def lstm_step_back(gates, c_before, c, dh, dc):
    """(gradient by the pre-activations, by c before) of a step."""
    dz, dc_before = np.empty(gates.shape, gates.dtype), np.empty(c.shape, c.dtype)
    _lstm_gates_back(*read(gates, c_before, np.tanh(c), dh, dc), dz, dc_before)
    return dz, dc_before


@Loop
def _gru_gates(z, small, z_candidate, inner, gates, candidate):
    """Gates, and the candidate before its activation; `small` holds exp(-|z|)."""
    one, units = z.dtype.type(1), inner.shape[1]
    for n in range(inner.shape[0]):
        for j in range(units):
            r_at = units + j
            reset = (one if z[n, r_at] >= 0 else small[n, r_at]) / (one + small[n, r_at])
            gates[n, j] = (one if z[n, j] >= 0 else small[n, j]) / (one + small[n, j])
            gates[n, r_at] = reset
            gates[n, 3 * units + j] = inner[n, j]
            candidate[n, j] = z_candidate[n, j] + reset * inner[n, j]


def gru_step(z_inputs, z_recurrent, h):
    """(gates, new h) of a step with `reset_after`, whose pre-activations are the sum of these, but for the candidate's."""
    units = h.shape[1]
    z = z_inputs[:, : 2 * units] + z_recurrent[:, : 2 * units]
    gates, candidate = np.empty((h.shape[0], 4 * units), h.dtype), np.empty(h.shape, h.dtype)
    _gru_gates(*read(z, np.exp(-np.abs(z)), z_inputs[:, 2 * units :], z_recurrent[:, 2 * units :]), gates, candidate)
    np.tanh(candidate, out=candidate)
    gates[:, 2 * units : 3 * units] = candidate
    return gates, candidate + gates[:, :units] * (h - candidate)


@Loop
def _gru_gates_back(gates, before, dh, d_inputs, d_recurrent):
    one, units = dh.dtype.type(1), dh.shape[1]
    for n in range(dh.shape[0]):
        for j in range(units):
            r_at, g_at = units + j, 2 * units + j
            update, reset, candidate, inner = gates[n, j], gates[n, r_at], gates[n, g_at], gates[n, 3 * units + j]
            d_candidate = dh[n, j] * (one - update) * (one - candidate * candidate)
            d_update = dh[n, j] * (before[n, j] - candidate) * (update * (one - update))
            d_reset = d_candidate * inner * (reset * (one - reset))
            d_inputs[n, j], d_inputs[n, r_at], d_inputs[n, g_at] = d_update, d_reset, d_candidate
            d_recurrent[n, j], d_recurrent[n, r_at], d_recurrent[n, g_at] = d_update, d_reset, d_candidate * reset


def gru_step_back(gates, before, dh):
    """Gradients by both parts of the pre-activations of a step with `reset_after`: (by the inputs' part, by the state's part)."""
    d_inputs, d_recurrent = np.empty((2, dh.shape[0], 3 * dh.shape[1]), dh.dtype)
    _gru_gates_back(*read(gates, before, dh), d_inputs, d_recurrent)
    return d_inputs, d_recurrent
