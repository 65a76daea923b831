"""Gated recurrent unit over whole sequences: the op, its gradient, and the public function."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, active, define, infer_outputs
from pynn.engine.tensor import Tensor
from pynn.ops.recurrent_activations import NUMBERS
from pynn.ops.recurrent_checks import check_activation, check_dtypes, check_sequence, check_state, check_weights, gradient_specs
from pynn.ops.recurrent_numpy import gru_grad_numpy, gru_numpy
from pynn.ops.recurrent_operands import GATED_CASES, as_tensors, sample_arrays, visible_sequence
from pynn.ops.recurrent_reference import complex_step_gradient, gru_reference
from pynn.ops.recurrent_steps import gradients_of_steps, gru_steps

_ATTRS = dict(activation="tanh", recurrent_activation="sigmoid", reset_after=True, go_backwards=False)
_INPUTS = ("x", "kernel", "recurrent_kernel", "bias?", "initial_h?", "mask?")


def _infer(
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
    check_sequence("gru", x, mask)
    dtype = check_dtypes("gru", x=x, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias, initial_h=initial_h)
    check_activation("gru", "activation", activation)
    check_activation("gru", "recurrent_activation", recurrent_activation)
    units = check_weights("gru", 3, x, kernel, recurrent_kernel, bias, bias_rows=2 if reset_after else 1)
    check_state("gru", "initial_h", initial_h, x, units)
    batch, steps, _ = x.shape
    sequence = Spec((batch, steps, units), dtype)
    gates = Spec((batch, steps, (4 if reset_after else 3) * units), dtype)
    return sequence if return_sequences or training else None, Spec((batch, units), dtype), gates if training else None


def _pack(attrs):
    numbers = [NUMBERS[attrs["activation"]], NUMBERS[attrs["recurrent_activation"]]]
    return [*numbers, int(attrs["reset_after"]), int(attrs["go_backwards"])], []


def _cell(attrs):
    return {name: attrs[name] for name in _ATTRS}


def _vjp(dys, inputs, outputs, attrs, needs):
    sequence, _, gates = outputs
    if gates is None:
        return (*gradients_of_steps(_steps(inputs, attrs), inputs[:5], dys[:2], needs[:5]), None)
    gradients = apply(GRU_GRAD, *inputs, sequence, gates, *dys[:2], **_cell(attrs), needs=tuple(needs[:5]))
    return (*gradients, None)


def _reference(*inputs, return_sequences=True, training=True, **attrs):
    sequence, h, gates = gru_reference(*inputs, **attrs)
    return sequence if return_sequences or training else None, h, gates if training else None


def _arrays(sizes, there, attrs):
    batch, steps, features, units = sizes
    bias = (2, 3 * units) if attrs.get("reset_after", True) else (3 * units,)
    return sample_arrays([(batch, steps, features), (features, 3 * units), (units, 3 * units), bias, (batch, units)], sizes, **there)


_CASES = tuple((sizes, there, {**attrs, "reset_after": after}) for sizes, there, attrs in GATED_CASES for after in (True, False))


def _samples():
    samples = [Sample(_arrays(*case), case[2]) for case in _CASES]
    lean = ({"training": False}, {"training": False, "return_sequences": False})
    return samples + [Sample(samples[0].inputs, attrs, grad=False) for attrs in lean]


GRU = define(
    "gru",
    inputs=_INPUTS,
    attrs=dict(**_ATTRS, return_sequences=True, training=True),
    infer=_infer,
    fallback=gru_numpy,
    vjp=_vjp,
    residuals=1,
    pack=_pack,
    reference=_reference,
    samples=_samples,
    onnx="GRU",
)


# ---- the gradient ------------------------------------------------------------------------------------------------------


def _infer_grad(x, kernel, recurrent_kernel, bias, *_, needs, **attrs):
    return gradient_specs(x, kernel, recurrent_kernel, bias, 1, needs)


def _steps(inputs, attrs):
    """The outputs (h_sequence, h_last) as a function of the first five inputs, in plain ops."""
    return lambda *tensors: gru_steps(*tensors, inputs[5], **_cell(attrs))


def _decompose_grad(inputs, attrs):
    return gradients_of_steps(_steps(inputs, attrs), inputs[:5], inputs[8:10], attrs["needs"])


def _reference_grad(*inputs, needs, **attrs):
    def function(*tensors):
        return gru_reference(*tensors, inputs[5], **attrs)

    return tuple(complex_step_gradient(function, inputs[:5], i, inputs[8:]) if need else None for i, need in enumerate(needs))


def _sample_grad(sizes, there, attrs):
    inputs = _arrays(sizes, there, attrs)
    sequence, h, gates = gru_reference(*inputs, **{**_ATTRS, **attrs})
    rng = np.random.default_rng(sizes)
    needs = tuple(t is not None for t in inputs[:5])
    return Sample(
        [*inputs, sequence, gates, rng.normal(size=sequence.shape), rng.normal(size=h.shape)],
        {**attrs, "needs": needs},
        grad=False,
    )


def _samples_grad():
    samples = [_sample_grad(*case) for case in _CASES]
    partly = []
    for sample in samples[6:8]:
        *inputs, dh_sequence, dh_last = sample.inputs
        partly.append(Sample([*inputs, dh_sequence, None], {**sample.attrs, "needs": (False, True, True, True, False)}, grad=False))
        partly.append(Sample([*inputs, None, dh_last], {**sample.attrs, "needs": (True, False, False, True, True)}, grad=False))
    return samples + partly


GRU_GRAD = define(
    "gru_grad",
    inputs=(*_INPUTS, "h_sequence", "gates", "dh_sequence?", "dh_last?"),
    attrs=dict(**_ATTRS, needs=(True,) * 5),
    infer=_infer_grad,
    fallback=gru_grad_numpy,
    decompose=_decompose_grad,
    pack=_pack,
    reference=_reference_grad,
    samples=_samples_grad,
)


# ---- the public function -----------------------------------------------------------------------------------------------


def gru(
    x,
    kernel,
    recurrent_kernel,
    bias=None,
    *,
    initial_h=None,
    mask=None,
    recurrent_mask=None,
    activation: Any = "tanh",
    recurrent_activation: Any = "sigmoid",
    reset_after=True,
    go_backwards=False,
    return_sequences=True,
    zero_output_for_mask=False,
) -> tuple[Tensor | None, Tensor]:
    """Gated recurrent unit over a whole sequence.

    For each step, with the gates z, r, h in column blocks of the weights and h starting from zeros:

        z = gate(x_t kernel_z + h recurrent_kernel_z),  r = gate(x_t kernel_r + h recurrent_kernel_r)
        candidate = activation(x_t kernel_h + r (h recurrent_kernel_h))     with reset_after
        candidate = activation(x_t kernel_h + (r h) recurrent_kernel_h)     without
        h = z h + (1 - z) candidate

    Args:
        x: (batch, steps, features).
        kernel: (features, 3 units).
        recurrent_kernel: (units, 3 units).
        bias: (2, 3 units) with `reset_after`, one row for each product; else (3 units), for x_t kernel.
        initial_h: The first h, (batch, units).
        mask: (batch, steps) of booleans; where it is False a row keeps its state and repeats its last output.
        recurrent_mask: (batch, units); multiplies h at the start of each step, for recurrent dropout.
        activation: A name, or a function of a tensor. Names run as one op, functions step by step.
        recurrent_activation: The `gate` above; as `activation`.
        reset_after: Whether the reset gate is applied after the product with the recurrent kernel.
        go_backwards: Processes the steps from the last to the first; h_sequence is then in that order.
        return_sequences: Whether h after every step is wanted.
        zero_output_for_mask: Zeros in h_sequence where the mask is False.

    Returns:
        (h_sequence, h_last): (batch, steps, units), or None without `return_sequences`, and (batch, units).

    Raises:
        ValueError: shapes that don't fit, or an unknown activation.
        TypeError: operands of several dtypes, or a mask that isn't boolean.

    Reference: Cho et al. 2014; `reset_after` is the variant of cuDNN and the default of Keras.
    """
    *operands, recurrent_mask = as_tensors(x, kernel, recurrent_kernel, bias, initial_h, mask, recurrent_mask)
    attrs = dict(
        activation=activation,
        recurrent_activation=recurrent_activation,
        reset_after=bool(reset_after),
        go_backwards=bool(go_backwards),
    )
    if recurrent_mask is not None or callable(activation) or callable(recurrent_activation):
        infer_outputs(GRU, [None if t is None else t.spec for t in operands], {**GRU.attrs, "reset_after": bool(reset_after)})
        sequence, h = gru_steps(*operands, **attrs, recurrent_mask=recurrent_mask)
    else:
        sequence, h = apply(GRU, *operands, **attrs, return_sequences=bool(return_sequences), training=bool(active.tapes))
    return visible_sequence(sequence, operands[5], return_sequences, zero_output_for_mask, go_backwards), h
