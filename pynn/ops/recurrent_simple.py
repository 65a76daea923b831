"""The fully connected recurrence over whole sequences: the op, its gradient, and the public function."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, active, define, infer_outputs
from pynn.engine.tensor import Tensor
from pynn.ops.recurrent_activations import NUMBERS
from pynn.ops.recurrent_checks import check_activation, check_dtypes, check_sequence, check_state, check_weights, gradient_specs
from pynn.ops.recurrent_numpy import simple_rnn_grad_numpy, simple_rnn_numpy
from pynn.ops.recurrent_operands import CASES, as_tensors, sample_arrays, visible_sequence
from pynn.ops.recurrent_reference import complex_step_gradient, simple_rnn_reference
from pynn.ops.recurrent_steps import gradients_of_steps, simple_rnn_steps

_ATTRS = dict(activation="tanh", go_backwards=False)
_INPUTS = ("x", "kernel", "recurrent_kernel", "bias?", "initial_h?", "mask?")


def _infer(x, kernel, recurrent_kernel, bias, initial_h, mask, *, activation, go_backwards, return_sequences, training):
    check_sequence("simple_rnn", x, mask)
    dtype = check_dtypes("simple_rnn", x=x, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias, initial_h=initial_h)
    check_activation("simple_rnn", "activation", activation)
    units = check_weights("simple_rnn", 1, x, kernel, recurrent_kernel, bias)
    check_state("simple_rnn", "initial_h", initial_h, x, units)
    batch, steps, _ = x.shape
    return Spec((batch, steps, units), dtype) if return_sequences or training else None, Spec((batch, units), dtype)


def _pack(attrs):
    return [NUMBERS[attrs["activation"]], int(attrs["go_backwards"])], []


def _cell(attrs):
    return {name: attrs[name] for name in _ATTRS}


def _vjp(dys, inputs, outputs, attrs, needs):
    sequence = outputs[0]
    if sequence is None:
        return (*gradients_of_steps(_steps(inputs, attrs), inputs[:5], dys, needs[:5]), None)
    gradients = apply(SIMPLE_RNN_GRAD, *inputs, sequence, *dys, **_cell(attrs), needs=tuple(needs[:5]))
    return (*gradients, None)


def _reference(*inputs, return_sequences=True, training=True, **attrs):
    sequence, h = simple_rnn_reference(*inputs, **attrs)
    return sequence if return_sequences or training else None, h


def _arrays(sizes, there):
    batch, steps, features, units = sizes
    return sample_arrays([(batch, steps, features), (features, units), (units, units), (units,), (batch, units)], sizes, **there)


def _samples():
    samples = [Sample(_arrays(sizes, there), attrs) for sizes, there, attrs in CASES]
    return samples + [Sample(samples[0].inputs, {"training": False, "return_sequences": False}, grad=False)]


SIMPLE_RNN = define(
    "simple_rnn",
    inputs=_INPUTS,
    attrs=dict(**_ATTRS, return_sequences=True, training=True),
    infer=_infer,
    fallback=simple_rnn_numpy,
    vjp=_vjp,
    pack=_pack,
    reference=_reference,
    samples=_samples,
    onnx="RNN",
)


# ---- the gradient ------------------------------------------------------------------------------------------------------


def _infer_grad(x, kernel, recurrent_kernel, bias, *_, needs, **attrs):
    return gradient_specs(x, kernel, recurrent_kernel, bias, 1, needs)


def _steps(inputs, attrs):
    """The outputs (h_sequence, h_last) as a function of the first five inputs, in plain ops."""
    return lambda *tensors: simple_rnn_steps(*tensors, inputs[5], **_cell(attrs))


def _decompose_grad(inputs, attrs):
    return gradients_of_steps(_steps(inputs, attrs), inputs[:5], inputs[7:9], attrs["needs"])


def _reference_grad(*inputs, needs, **attrs):
    def function(*tensors):
        return simple_rnn_reference(*tensors, inputs[5], **attrs)

    return tuple(complex_step_gradient(function, inputs[:5], i, inputs[7:]) if need else None for i, need in enumerate(needs))


def _sample_grad(sizes, there, attrs):
    inputs = _arrays(sizes, there)
    sequence, h = simple_rnn_reference(*inputs, **{**_ATTRS, **attrs})
    rng = np.random.default_rng(sizes)
    needs = tuple(t is not None for t in inputs[:5])
    return Sample([*inputs, sequence, rng.normal(size=sequence.shape), rng.normal(size=h.shape)], {**attrs, "needs": needs}, grad=False)


def _samples_grad():
    samples = [_sample_grad(*case) for case in CASES]
    attrs, (*inputs, dh_sequence, dh_last) = samples[3].attrs, samples[3].inputs
    return samples + [
        Sample([*inputs, dh_sequence, None], {**attrs, "needs": (False, True, True, True, False)}, grad=False),
        Sample([*inputs, None, dh_last], {**attrs, "needs": (True, False, False, True, True)}, grad=False),
    ]


SIMPLE_RNN_GRAD = define(
    "simple_rnn_grad",
    inputs=(*_INPUTS, "h_sequence", "dh_sequence?", "dh_last?"),
    attrs=dict(**_ATTRS, needs=(True,) * 5),
    infer=_infer_grad,
    fallback=simple_rnn_grad_numpy,
    decompose=_decompose_grad,
    pack=_pack,
    reference=_reference_grad,
    samples=_samples_grad,
)


# ---- the public function -----------------------------------------------------------------------------------------------


def simple_rnn(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    *,
    initial_h=None,
    mask=None,
    recurrent_mask=None,
    activation: Any = "tanh",
    go_backwards=False,
    return_sequences=True,
    zero_output_for_mask=False,
) -> tuple[Tensor | None, Tensor]:
    """The fully connected recurrence over a whole sequence.

    For each step, with h starting from zeros: h = activation(x_t kernel + bias + h recurrent_kernel).

    Args:
        x: (batch, steps, features).
        kernel: (features, units).
        recurrent_kernel: (units, units).
        bias: (units).
        initial_h: The first h, (batch, units).
        mask: (batch, steps) of booleans; where it is False a row keeps its state and repeats its last output.
        recurrent_mask: (batch, units); multiplies h at the start of each step, for recurrent dropout.
        activation: A name, or a function of a tensor. Names run as one op, functions step by step.
        go_backwards: Processes the steps from the last to the first; h_sequence is then in that order.
        return_sequences: Whether h after every step is wanted.
        zero_output_for_mask: Zeros in h_sequence where the mask is False.

    Returns:
        (h_sequence, h_last): (batch, steps, units), or None without `return_sequences`, and (batch, units).

    Raises:
        ValueError: shapes that don't fit, or an unknown activation.
        TypeError: operands of several dtypes, or a mask that isn't boolean.

    Reference: Elman 1990.
    """
    *operands, recurrent_mask = as_tensors(x, kernel, recurrent_kernel, bias, initial_h, mask, recurrent_mask)
    attrs = dict(activation=activation, go_backwards=bool(go_backwards))
    if recurrent_mask is not None or callable(activation):
        infer_outputs(SIMPLE_RNN, [None if t is None else t.spec for t in operands], SIMPLE_RNN.attrs)
        sequence, h = simple_rnn_steps(*operands, **attrs, recurrent_mask=recurrent_mask)
    else:
        sequence, h = apply(SIMPLE_RNN, *operands, **attrs, return_sequences=bool(return_sequences), training=bool(active.tapes))
    return visible_sequence(sequence, operands[5], return_sequences, zero_output_for_mask, go_backwards), h
