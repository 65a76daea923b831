"""The same recurrences written with plain ops, one step after the other.

They serve where a whole-sequence op can't: activations given as functions, dropout of the recurrent input, and derivatives of the
second order, which differentiate what is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pynn.engine.operators import call
from pynn.engine.tape import gradients_through
from pynn.engine.tensor import Tensor, scalar
from pynn.ops.activations import SELU_ALPHA, SELU_SCALE


def _below(z: Tensor) -> Tensor:
    """`min(z, 0)`, with the whole gradient at 0."""
    return call("where", z > 0.0, 0.0, z)


_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "relu": lambda z: call("relu", z),
    "tanh": lambda z: call("tanh", z),
    "sigmoid": lambda z: call("sigmoid", z),
    "hard_sigmoid": lambda z: call("clip", z + 3.0, 0.0, 6.0) / 6.0,
    "hard_sigmoid_keras2": lambda z: call("clip", z * 0.2 + 0.5, 0.0, 1.0),
    "softsign": lambda z: z / (call("abs", z) + 1.0),
    "elu": lambda z: call("where", z > 0.0, z, call("expm1", _below(z))),
    "selu": lambda z: SELU_SCALE * call("where", z > 0.0, z, SELU_ALPHA * call("expm1", _below(z))),
    "softplus": lambda z: call("softplus", z),
    "relu6": lambda z: call("clip", z, 0.0, 6.0),
    "exponential": lambda z: call("exp", z),
}


def _function(activation) -> Callable[[Tensor], Tensor]:
    return _PLAIN[activation] if isinstance(activation, str) else activation


def _state(initial: Tensor | None, x: Tensor, units: int) -> Tensor:
    if initial is not None:
        return initial
    return call("broadcast_to", scalar(0, x.dtype), (x.shape[0], units))


def _parts(z: Tensor, units: int) -> list[Tensor]:
    return [z[:, i : i + units] for i in range(0, z.shape[1], units)]


def _plus(product: Tensor, bias: Tensor | None) -> Tensor:
    return product if bias is None else product + bias


def _over_steps(cell: Callable, x: Tensor, states: list[Tensor], mask: Tensor | None, go_backwards: bool, units: int):
    """`cell(x_t, states) -> states` over the steps: (h_sequence, last states)."""
    order = range(x.shape[1])
    outputs = []
    for t in reversed(order) if go_backwards else order:
        new = cell(x[:, t], states)
        if mask is not None:
            live = call("expand_dims", mask[:, t], 1)
            new = [call("where", live, n, s) for n, s in zip(new, states, strict=True)]
        states = new
        outputs.append(states[0])
    return _stacked(outputs, x, units), states


def _stacked(steps: list[Tensor], x: Tensor, width: int) -> Tensor:
    if not steps:
        return call("broadcast_to", scalar(0, x.dtype), (x.shape[0], 0, width))
    return call("stack", steps, axis=1)


def lstm_steps(
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
    recurrent_mask=None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(h_sequence, h_last, c_last); activations are names or functions of a tensor."""
    f, gate, units = _function(activation), _function(recurrent_activation), recurrent_kernel.shape[0]

    def cell(x_t, states):
        h, c = states
        h = h if recurrent_mask is None else h * recurrent_mask
        i, forget, candidate, o = _parts(_plus(x_t @ kernel, bias) + h @ recurrent_kernel, units)
        c = gate(forget) * c + gate(i) * f(candidate)
        return [gate(o) * f(c), c]

    sequence, (h, c) = _over_steps(cell, x, [_state(s, x, units) for s in (initial_h, initial_c)], mask, go_backwards, units)
    return sequence, h, c


def gru_steps(
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
    recurrent_mask=None,
) -> tuple[Tensor, Tensor]:
    """(h_sequence, h_last). A `recurrent_mask` multiplies the state for all that a step does with it, as in Keras."""
    f, gate, units = _function(activation), _function(recurrent_activation), recurrent_kernel.shape[0]
    input_bias, recurrent_bias = (bias[0], bias[1]) if reset_after and bias is not None else (bias, None)

    def cell(x_t, states):
        h = states[0] if recurrent_mask is None else states[0] * recurrent_mask
        update, reset, candidate = _parts(_plus(x_t @ kernel, input_bias), units)
        if reset_after:
            update_h, reset_h, inner = _parts(_plus(h @ recurrent_kernel, recurrent_bias), units)
            update, reset = gate(update + update_h), gate(reset + reset_h)
            candidate = f(candidate + reset * inner)
        else:
            update_h, reset_h = _parts(h @ recurrent_kernel[:, : 2 * units], units)
            update, reset = gate(update + update_h), gate(reset + reset_h)
            candidate = f(candidate + (reset * h) @ recurrent_kernel[:, 2 * units :])
        return [update * h + (1.0 - update) * candidate]

    sequence, (h,) = _over_steps(cell, x, [_state(initial_h, x, units)], mask, go_backwards, units)
    return sequence, h


def simple_rnn_steps(
    x, kernel, recurrent_kernel, bias, initial_h, mask, *, activation, go_backwards, recurrent_mask=None
) -> tuple[Tensor, Tensor]:
    """(h_sequence, h_last)."""
    f, units = _function(activation), recurrent_kernel.shape[0]

    def cell(x_t, states):
        h = states[0] if recurrent_mask is None else states[0] * recurrent_mask
        return [f(_plus(x_t @ kernel, bias) + h @ recurrent_kernel)]

    sequence, (h,) = _over_steps(cell, x, [_state(initial_h, x, units)], mask, go_backwards, units)
    return sequence, h


def gradients_of_steps(steps: Callable, inputs: Sequence[Tensor | None], dys: Sequence[Tensor | None], needs: Sequence[bool]):
    """d sum_i sum(outputs[i] * dys[i]) / d input for each input that `needs` names, else None; itself made of plain ops."""
    found = gradients_through(steps, inputs, dys, needs)
    return tuple((call("zeros_like", t) if dx is None else dx) if need else None for t, dx, need in zip(inputs, found, needs, strict=True))
