"""Long short-term memory over whole sequences: the op, its gradient, and the public function."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, active, define, infer_outputs
from pynn.engine.tensor import Tensor
from pynn.ops.recurrent_activations import NUMBERS
from pynn.ops.recurrent_checks import check_activation, check_dtypes, check_sequence, check_state, check_weights, gradient_specs
from pynn.ops.recurrent_numpy import lstm_grad_numpy, lstm_numpy
from pynn.ops.recurrent_operands import GATED_CASES, as_tensors, sample_arrays, visible_sequence
from pynn.ops.recurrent_reference import complex_step_gradient, lstm_reference
from pynn.ops.recurrent_steps import gradients_of_steps, lstm_steps

_ATTRS = dict(activation="tanh", recurrent_activation="sigmoid", go_backwards=False)
_INPUTS = ("x", "kernel", "recurrent_kernel", "bias?", "initial_h?", "initial_c?", "mask?")


def _infer(
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
    check_sequence("lstm", x, mask)
    dtype = check_dtypes("lstm", x=x, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias, initial_h=initial_h, initial_c=initial_c)
    check_activation("lstm", "activation", activation)
    check_activation("lstm", "recurrent_activation", recurrent_activation)
    units = check_weights("lstm", 4, x, kernel, recurrent_kernel, bias)
    check_state("lstm", "initial_h", initial_h, x, units)
    check_state("lstm", "initial_c", initial_c, x, units)
    batch, steps, _ = x.shape
    sequence, state = Spec((batch, steps, units), dtype), Spec((batch, units), dtype)
    return (
        sequence if return_sequences or training else None,
        state,
        state,
        Spec((batch, steps, 4 * units), dtype) if training else None,
        sequence if training else None,
    )


def _pack(attrs):
    return [NUMBERS[attrs["activation"]], NUMBERS[attrs["recurrent_activation"]], int(attrs["go_backwards"])], []


def _cell(attrs):
    return {name: attrs[name] for name in _ATTRS}


def _vjp(dys, inputs, outputs, attrs, needs):
    sequence, _, _, gates, c_sequence = outputs
    if gates is None:
        return (*gradients_of_steps(_steps(inputs, attrs), inputs[:6], dys[:3], needs[:6]), None)
    gradients = apply(LSTM_GRAD, *inputs, sequence, gates, c_sequence, *dys[:3], **_cell(attrs), needs=tuple(needs[:6]))
    return (*gradients, None)


def _reference(*inputs, return_sequences=True, training=True, **attrs):
    sequence, h, c, gates, c_sequence = lstm_reference(*inputs, **attrs)
    kept = (gates, c_sequence) if training else (None, None)
    return (sequence if return_sequences or training else None, h, c, *kept)


def _arrays(sizes, there):
    batch, steps, features, units = sizes
    shapes = [(batch, steps, features), (features, 4 * units), (units, 4 * units), (4 * units,), (batch, units), (batch, units)]
    return sample_arrays(shapes, sizes, **there)


def _samples():
    samples = [Sample(_arrays(sizes, there), attrs) for sizes, there, attrs in GATED_CASES]
    lean = ({"training": False}, {"training": False, "return_sequences": False})
    return samples + [Sample(samples[0].inputs, attrs, grad=False) for attrs in lean]


LSTM = define(
    "lstm",
    inputs=_INPUTS,
    attrs=dict(**_ATTRS, return_sequences=True, training=True),
    infer=_infer,
    fallback=lstm_numpy,
    vjp=_vjp,
    residuals=2,
    pack=_pack,
    reference=_reference,
    samples=_samples,
    onnx="LSTM",
)


# ---- the gradient ------------------------------------------------------------------------------------------------------


def _infer_grad(x, kernel, recurrent_kernel, bias, *_, needs, **attrs):
    return gradient_specs(x, kernel, recurrent_kernel, bias, 2, needs)


def _steps(inputs, attrs):
    """The outputs (h_sequence, h_last, c_last) as a function of the first six inputs, in plain ops."""
    return lambda *tensors: lstm_steps(*tensors, inputs[6], **_cell(attrs))


def _decompose_grad(inputs, attrs):
    return gradients_of_steps(_steps(inputs, attrs), inputs[:6], inputs[10:13], attrs["needs"])


def _reference_grad(*inputs, needs, **attrs):
    def function(*tensors):
        return lstm_reference(*tensors, inputs[6], **attrs)

    return tuple(complex_step_gradient(function, inputs[:6], i, inputs[10:]) if need else None for i, need in enumerate(needs))


def _sample_grad(sizes, there, attrs):
    inputs = _arrays(sizes, there)
    sequence, h, c, gates, c_sequence = lstm_reference(*inputs, **{**_ATTRS, **attrs})
    rng = np.random.default_rng(sizes)
    dys = [rng.normal(size=t.shape) for t in (sequence, h, c)]
    needs = tuple(t is not None for t in inputs[:6])
    return Sample([*inputs, sequence, gates, c_sequence, *dys], {**attrs, "needs": needs}, grad=False)


def _samples_grad():
    samples = [_sample_grad(*case) for case in GATED_CASES]
    attrs, (*inputs, dh_sequence, dh_last, dc_last) = samples[3].attrs, samples[3].inputs
    partly = (
        ((dh_sequence, None, None), (False, True, True, True, False, False)),
        ((None, dh_last, None), (True,) * 6),
        ((None, None, dc_last), (True, False, False, False, False, True)),
    )
    return samples + [Sample([*inputs, *dys], {**attrs, "needs": needs}, grad=False) for dys, needs in partly]


LSTM_GRAD = define(
    "lstm_grad",
    inputs=(*_INPUTS, "h_sequence", "gates", "c_sequence", "dh_sequence?", "dh_last?", "dc_last?"),
    attrs=dict(**_ATTRS, needs=(True,) * 6),
    infer=_infer_grad,
    fallback=lstm_grad_numpy,
    decompose=_decompose_grad,
    pack=_pack,
    reference=_reference_grad,
    samples=_samples_grad,
)


# ---- the public function -----------------------------------------------------------------------------------------------


def lstm(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    *,
    initial_h=None,
    initial_c=None,
    mask=None,
    recurrent_mask=None,
    activation: Any = "tanh",
    recurrent_activation: Any = "sigmoid",
    go_backwards=False,
    return_sequences=True,
    zero_output_for_mask=False,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Long short-term memory over a whole sequence.

    For each step, with the gates i, f, g, o in column blocks of the weights and h, c starting from zeros:

        [i f g o] = x_t kernel + bias + h recurrent_kernel
        c = gate(f) c + gate(i) activation(g)
        h = gate(o) activation(c)

    Args:
        x: (batch, steps, features).
        kernel: (features, 4 units).
        recurrent_kernel: (units, 4 units).
        bias: (4 units).
        initial_h: The first h, (batch, units).
        initial_c: The first c, (batch, units).
        mask: (batch, steps) of booleans; where it is False a row keeps its state and repeats its last output.
        recurrent_mask: (batch, units); multiplies h before the product with recurrent_kernel, for recurrent dropout.
        activation: A name, or a function of a tensor. Names run as one op, functions step by step.
        recurrent_activation: The `gate` above; as `activation`.
        go_backwards: Processes the steps from the last to the first; h_sequence is then in that order.
        return_sequences: Whether h after every step is wanted.
        zero_output_for_mask: Zeros in h_sequence where the mask is False.

    Returns:
        (h_sequence, h_last, c_last): (batch, steps, units), or None without `return_sequences`, and twice (batch, units).

    Raises:
        ValueError: shapes that don't fit, or an unknown activation.
        TypeError: operands of several dtypes, or a mask that isn't boolean.

    Reference: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    *operands, recurrent_mask = as_tensors(x, kernel, recurrent_kernel, bias, initial_h, initial_c, mask, recurrent_mask)
    attrs = dict(activation=activation, recurrent_activation=recurrent_activation, go_backwards=bool(go_backwards))
    if recurrent_mask is not None or callable(activation) or callable(recurrent_activation):
        infer_outputs(LSTM, [None if t is None else t.spec for t in operands], LSTM.attrs)
        sequence, h, c = lstm_steps(*operands, **attrs, recurrent_mask=recurrent_mask)
    else:
        sequence, h, c = apply(LSTM, *operands, **attrs, return_sequences=bool(return_sequences), training=bool(active.tapes))
    return visible_sequence(sequence, operands[6], return_sequences, zero_output_for_mask, go_backwards), h, c
