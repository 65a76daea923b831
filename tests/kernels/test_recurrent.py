"""Whole-sequence recurrent kernels: against references, across targets, threads and batch sizes, and their messages."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from guard import run_guarded
from op_checks import fallback, native

from pynn.engine import kernels
from pynn.engine.op import Spec, infer_outputs
from pynn.ops.recurrent_gru import GRU, GRU_GRAD
from pynn.ops.recurrent_lstm import LSTM, LSTM_GRAD
from pynn.ops.recurrent_reference import complex_step_gradient
from pynn.ops.recurrent_simple import SIMPLE_RNN, SIMPLE_RNN_GRAD

OPS = {"lstm": (LSTM, LSTM_GRAD), "gru": (GRU, GRU_GRAD), "simple_rnn": (SIMPLE_RNN, SIMPLE_RNN_GRAD)}
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
NUM_STATES = {"lstm": 2, "gru": 1, "simple_rnn": 1}
ALL = [op for pair in OPS.values() for op in pair]
BACKENDS = ["fallback", *kernels.targets()]
EPSILONS = 40  # of the dtype, relative to the largest element of a result


def cast(array, dtype):
    if array is None or np.asarray(array).dtype == bool:
        return array
    return np.ascontiguousarray(array, dtype)


def run(op, arrays, attrs, backend=""):
    """The op's outputs on one backend, "" for the native one in use; None where it has no kernel for this."""
    return fallback(op, arrays, attrs) if backend == "fallback" else native(op, arrays, attrs, backend)


def assert_close(results, wanted, dtype):
    for got, want in zip(results, wanted, strict=True):
        assert (got is None) == (want is None)
        if got is None:
            continue
        assert got.shape == want.shape
        assert got.dtype == dtype
        if got.size:
            scale = 1 + np.abs(want).max()
            assert np.abs(got - want).max() <= EPSILONS * np.finfo(dtype).eps * scale


def problem(cell, sizes, *, reset_after=True, bias=True, states=False, mask=False, seed=0):
    """Float64 inputs (x, kernel, recurrent_kernel, bias, states..., mask) of a cell."""
    batch, steps, features, units = sizes
    rng = np.random.default_rng([seed, *sizes])
    width = GATES[cell] * units
    bias_shape = (2, width) if cell == "gru" and reset_after else (width,)
    shapes = [(batch, steps, features), (features, width), (units, width), bias_shape, *[(batch, units)] * NUM_STATES[cell]]
    there = [True, True, True, bias, *[states] * NUM_STATES[cell]]
    arrays = [rng.normal(scale=0.3, size=s) if wanted else None for s, wanted in zip(shapes, there, strict=True)]
    return [*arrays, rng.random((batch, steps)) < 0.6 if mask else None]


def grad_inputs(cell, inputs, outputs, dys):
    """The operands of the gradient op: inputs, h_sequence, residuals and incoming gradients."""
    residuals = outputs[1 + NUM_STATES[cell] :]
    return [*inputs, outputs[0], *residuals, *dys]


def gradients_from(cell, inputs, seed=1):
    rng = np.random.default_rng(seed)
    batch, steps, _ = inputs[0].shape
    units = inputs[2].shape[0]
    return [rng.normal(size=s) for s in [(batch, steps, units), *[(batch, units)] * NUM_STATES[cell]]]


def needs_of(inputs):
    return tuple(a is not None for a in inputs[:-1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_samples_agree_with_the_reference(op, dtype, backend):
    compared = 0
    for sample in op.samples():
        arrays = [cast(a, dtype) for a in sample.inputs]
        results = run(op, arrays, sample.attrs, backend)
        if results is None:
            assert "softsign" in sample.attrs.values()  # the kernels leave it to the fallback
            continue
        wanted = op.reference(*[cast(a, np.float64) for a in arrays], **op.complete(sample.attrs))
        assert_close(results, wanted, dtype)
        compared += 1
    assert compared >= 8


ACTIVATIONS = ["linear", "relu", "tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_keras2"]
SIZES = [(13, 5, 7, 17), (40, 3, 3, 33), (33, 2, 40, 64), (1, 4, 1, 1)]


@pytest.mark.parametrize("target", kernels.targets())
@pytest.mark.parametrize("cell", OPS)
def test_native_agrees_with_the_fallback_in_all_variants(cell, target):
    forward, backward = OPS[cell]
    variants = itertools.product([False, True], [False, True], [False, True], [False, True] if cell == "gru" else [True])
    for number, (states, mask, backwards, reset_after) in enumerate(variants):
        sizes, dtype = SIZES[number % len(SIZES)], (np.float32, np.float64)[number % 2]
        inputs = [cast(a, dtype) for a in problem(cell, sizes, reset_after=reset_after, states=states, mask=mask)]
        attrs = {"activation": ACTIVATIONS[number % 6], "go_backwards": backwards}
        if cell != "simple_rnn":
            attrs["recurrent_activation"] = ACTIVATIONS[(number + 3) % 6]
        if cell == "gru":
            attrs["reset_after"] = reset_after
        precise = [cast(a, np.float64) for a in inputs]
        wanted = run(forward, precise, attrs, "fallback")
        assert_close(run(forward, inputs, attrs, target), wanted, dtype)
        dys = gradients_from(cell, inputs)
        dys[number % len(dys)] = None
        operands = grad_inputs(cell, inputs, [cast(a, dtype) for a in wanted], [cast(d, dtype) for d in dys])
        attrs = {**attrs, "needs": needs_of(inputs)}
        wanted = run(backward, [cast(a, np.float64) for a in operands], attrs, "fallback")
        assert_close(run(backward, operands, attrs, target), wanted, dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", OPS)
def test_gradients_agree_with_central_differences(cell, backend):
    forward, backward = OPS[cell]
    inputs = problem(cell, (2, 3, 2, 3), states=True, mask=True)
    dys = gradients_from(cell, inputs)

    def total(arrays):
        return sum(float((o * d).sum()) for o, d in zip(run(forward, arrays, {}, backend), dys, strict=False))

    outputs = run(forward, inputs, {}, backend)
    gradients = run(backward, grad_inputs(cell, inputs, outputs, dys), {"needs": needs_of(inputs)}, backend)
    rng = np.random.default_rng(2)
    for index, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        ends = [[a + sign * 1e-6 * direction if i == index else a for i, a in enumerate(inputs)] for sign in (1, -1)]
        slope = (total(ends[0]) - total(ends[1])) / 2e-6
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-7, abs=1e-9)


@pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback has one thread")
@pytest.mark.parametrize("cell", OPS)
def test_threads_do_not_change_a_bit(cell):
    forward, backward = OPS[cell]
    inputs = [cast(a, np.float32) for a in problem(cell, (37, 9, 5, 40), mask=True)]
    before, seen = kernels.num_threads(), []
    try:
        for threads in (1, 2, 4):
            kernels.set_num_threads(threads)
            outputs = run(forward, inputs, {})
            dys = [cast(d, np.float32) for d in gradients_from(cell, inputs)]
            operands = grad_inputs(cell, inputs, outputs, dys)
            seen.append(outputs + run(backward, operands, {"needs": needs_of(inputs)}))
    finally:
        kernels.set_num_threads(before)
    for results in seen[1:]:
        for one, other in zip(seen[0], results, strict=True):
            assert one is other is None or one.tobytes() == other.tobytes()


@pytest.mark.parametrize("target", kernels.targets())
@pytest.mark.parametrize("sizes", [(25, 3, 4, 9), (25, 30, 5, 96)], ids=["small", "more than L2 holds"])
@pytest.mark.parametrize("cell", OPS)
def test_a_row_does_not_depend_on_its_neighbours(cell, sizes, target):
    forward, backward = OPS[cell]
    inputs = [cast(a, np.float32) for a in problem(cell, sizes, states=True)]
    by_row = [0, *range(4, len(inputs) - 1)]  # x and the states; the rest are weights
    outputs = run(forward, inputs, {}, target)
    dys = [cast(d, np.float32) for d in gradients_from(cell, inputs)]
    needs = tuple(i in by_row for i in range(len(inputs) - 1))
    whole = run(backward, grad_inputs(cell, inputs, outputs, dys), {"needs": needs}, target)
    for first, last in ((0, 1), (3, 10), (24, 25)):
        some = [a[first:last] if i in by_row else a for i, a in enumerate(inputs)]
        part = run(forward, some, {}, target)
        for one, all_rows in zip(part, outputs, strict=True):
            assert one.tobytes() == all_rows[first:last].tobytes()
        part = run(backward, grad_inputs(cell, some, part, [d[first:last] for d in dys]), {"needs": needs}, target)
        for one, all_rows in zip(part, whole, strict=True):
            assert one is None or one.tobytes() == all_rows[first:last].tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", OPS)
def test_without_residuals_the_states_are_the_same(cell, backend):
    forward, _ = OPS[cell]
    inputs = [cast(a, np.float32) for a in problem(cell, (5, 4, 3, 6))]
    full = run(forward, inputs, {}, backend)
    lean = run(forward, inputs, {"training": False, "return_sequences": False}, backend)
    count = NUM_STATES[cell]
    assert lean[0] is None
    assert all(r is None for r in lean[1 + count :])
    for one, other in zip(full[1 : 1 + count], lean[1 : 1 + count], strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", OPS)
def test_backwards_is_forwards_over_the_reversed_sequence(cell, backend):
    forward, _ = OPS[cell]
    inputs = problem(cell, (3, 5, 2, 4), mask=True)
    turned = [np.ascontiguousarray(inputs[0][:, ::-1]), *inputs[1:-1], np.ascontiguousarray(inputs[-1][:, ::-1])]
    for one, other in zip(run(forward, inputs, {"go_backwards": True}, backend), run(forward, turned, {}, backend), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", OPS)
def test_a_masked_step_repeats_and_passes_gradients_through(cell, backend):
    forward, backward = OPS[cell]
    inputs = problem(cell, (3, 4, 2, 5), states=True)
    inputs[-1] = np.zeros((3, 4), bool)
    outputs = run(forward, inputs, {}, backend)
    states = inputs[4:-1]
    np.testing.assert_array_equal(outputs[0], np.repeat(states[0][:, None], 4, axis=1))
    for last, initial in zip(outputs[1:], states, strict=False):
        np.testing.assert_array_equal(last, initial)
    dys = gradients_from(cell, inputs)
    gradients = run(backward, grad_inputs(cell, inputs, outputs, dys), {"needs": needs_of(inputs)}, backend)
    for by_weight in gradients[:4]:
        assert not by_weight.any()
    np.testing.assert_allclose(gradients[4], dys[0].sum(axis=1) + dys[1], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", OPS)
def test_long_sums_of_weight_gradients(cell, backend):
    """More rows than a block of the reduction, against the reference's sums."""
    forward, backward = OPS[cell]
    inputs = problem(cell, (60, 9, 2, 2))
    outputs = run(forward, inputs, {}, backend)
    dys = gradients_from(cell, inputs)
    gradients = run(backward, grad_inputs(cell, inputs, outputs, dys), {"needs": needs_of(inputs)}, backend)
    attrs = forward.complete({})
    wanted = complex_step_gradient(lambda *a: forward.reference(*a, inputs[-1], **attrs), inputs[:-1], 2, dys)
    np.testing.assert_allclose(gradients[2], wanted, rtol=1e-11, atol=1e-11)


# ---- messages -----------------------------------------------------------------------------------------------------------


def specs_of(cell, **changes):
    """Specs of a good call with some replaced: a shape, a Spec, or None."""
    op = OPS[cell][0]
    specs = {
        n: None if a is None else Spec(a.shape, a.dtype) for n, a in zip(op.inputs, problem(cell, (2, 3, 4, 5)), strict=True)
    }
    for name, change in changes.items():
        specs[name] = Spec(change, np.dtype(np.float64)) if type(change) is tuple else change
    return op, list(specs.values())


MESSAGES = [
    ({"x": (8, 28)}, {}, ValueError, r"\[lstm\] expects the axes \(batch, steps, features\), got rank 2.*x\[:, None, :\]"),
    ({"x": (2, 3, 6)}, {}, ValueError, r"x has 6 features but the kernel expects 4"),
    ({"kernel": (4, 19)}, {}, ValueError, r"kernel must have the shape \(features, 4 \* units\), here \(features, 20\)"),
    ({"recurrent_kernel": (5, 19)}, {}, ValueError, r"recurrent_kernel must have the shape \(units, 4 \* units\)"),
    ({"bias": (5,)}, {}, ValueError, r"bias must have the shape \(20,\)"),
    ({"initial_h": (3, 5)}, {}, ValueError, r"initial_h must have the shape \(batch, units\) = \(2, 5\)"),
    ({"mask": Spec((2, 4), np.dtype(bool))}, {}, ValueError, r"shape must be \(batch, steps\) = \(2, 3\)"),
    ({"mask": (2, 3)}, {}, TypeError, r"mask must be boolean.*mask.dtype=float64"),
    ({"kernel": Spec((4, 20), np.dtype(np.float32))}, {}, TypeError, r"same float dtype.*kernel.dtype=float32"),
    ({}, {"activation": "tan"}, ValueError, r"no activation with this name.*activation='tan'.*tanh"),
]


@pytest.mark.parametrize(("changes", "attrs", "kind", "message"), MESSAGES)
def test_messages(changes, attrs, kind, message):
    op, specs = specs_of("lstm", **changes)
    with pytest.raises(kind, match=message):
        infer_outputs(op, specs, op.complete(attrs))


def test_a_bias_of_the_other_gru_says_so():
    op, specs = specs_of("gru", bias=(15,))
    with pytest.raises(ValueError, match="goes with reset_after=False"):
        infer_outputs(op, specs, op.complete({}))


TAILS = [
    (1, 2, 1, 1), (2, 2, 3, 5), (3, 2, 4, 8), (4, 3, 5, 16), (5, 2, 7, 17), (7, 2, 9, 31), (8, 2, 12, 32), (9, 2, 31, 33),
    (13, 1, 33, 40), (17, 2, 16, 64), (4, 2, 8, 64), (1, 2, 8, 128), (70, 4, 28, 20),
]  # fmt: skip


@pytest.mark.parametrize("target", kernels.targets())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", OPS)
def test_nothing_behind_an_operand_is_touched(cell, dtype, target):
    forward, backward = OPS[cell]
    for sizes in TAILS:
        inputs = [cast(a, dtype) for a in problem(cell, sizes)]
        outputs = run(forward, inputs, {}, target)
        assert_same_bits(run_guarded(forward, inputs, {}, target), outputs)
        dys = [cast(d, dtype) for d in gradients_from(cell, inputs)]
        operands, attrs = grad_inputs(cell, inputs, outputs, dys), {"needs": needs_of(inputs)}
        assert_same_bits(run_guarded(backward, operands, attrs, target), run(backward, operands, attrs, target))


def assert_same_bits(results, wanted):
    for got, want in zip(results, wanted, strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            assert np.isfinite(want).all()
            np.testing.assert_array_equal(got, want)
