"""The same questions to every op of the registry: shapes, values, replay and gradients, on its own samples.

The families' tests ask each op more, and on every CPU target; here no op can be forgotten.
"""

from __future__ import annotations

import numpy as np
import pytest
from op_checks import arrays_of, assert_close, check_gradients, fallback, native, reference

import pynn as pn
from pynn.engine import kernels
from pynn.engine.apply import apply
from pynn.engine.op import REGISTRY, Spec, infer_outputs
from pynn.engine.tape import Tape
from pynn.engine.tensor import Tensor, tensor
from pynn.program.capture import Capture, abstract
from pynn.program.program import Program
from pynn.program.replay import FallbackReplay

# A ufunc has no module in NumPy 1.
OURS = {"pynn", "numpy"}
BUILT_IN = {n: op for n, op in REGISTRY.items() if getattr(op.fallback, "__module__", "numpy").split(".")[0] in OURS and op.address is None}
SAMPLED = sorted(name for name, op in BUILT_IN.items() if op.samples)
# What has no samples, and why.
UNSAMPLED = {
    "identity": "the same memory under another name",
    "elementwise_chain": "made by fusion only, from ops that have samples",
}
# Epsilons of the largest value by which native and fallback may differ; sums of many products in another order.
TOLERANCE = {"power": 64, "sinh": 32, "cosh": 32, "rsqrt": 16}
FAMILY_TOLERANCE = {
    "conv2d": 120,
    "matmul": 64,
    "linear": 64,
    "gru": 400,
    "lstm": 400,
    "simple_rnn": 400,
    "batch_norm": 64,
    "layer_norm": 64,
}
# Step and tolerance of central differences where the default ones don't do.
DIFFERENCES = {"cast": (1e-3, 2e-2)}
DECOMPOSED = sorted(name for name in SAMPLED if BUILT_IN[name].decompose)
DTYPES = (np.float32, np.float64)

only_native = pytest.mark.skipif(not kernels.native_enabled(), reason="bits are promised for the native kernels")


def tolerance_of(name: str) -> float:
    family = next((t for prefix, t in FAMILY_TOLERANCE.items() if name.startswith(prefix)), 32)
    return TOLERANCE.get(name, family)


def samples_of(name: str):
    """(sample, arrays) in both float dtypes."""
    for sample in BUILT_IN[name].samples():
        for dtype in DTYPES:
            yield sample, arrays_of(sample, dtype)


def specs_of(arrays):
    return tuple(None if a is None else Spec(a.shape, a.dtype) for a in arrays)


def visible(op, outputs):
    """What `apply` returns of all outputs, as a tuple."""
    return tuple(outputs[: len(outputs) - op.residuals] if op.residuals else outputs)


def as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def program_of(op, arrays, attrs) -> Program:
    """The program of one call whose present operands are the program's inputs."""
    stand_ins = [None if a is None else abstract(Spec(a.shape, a.dtype), "argument") for a in arrays]
    with Capture() as capture:
        outputs = as_tuple(apply(op, *stand_ins, **attrs))
    return Program(capture, [t for t in stand_ins if t is not None], [t for t in outputs if t is not None])


def eager(op, arrays, attrs) -> list[np.ndarray]:
    return [t.numpy() for t in as_tuple(apply(op, *arrays, **attrs)) if t is not None]


def operands(arrays) -> list[np.ndarray]:
    return [tensor(a).data for a in arrays if a is not None]


def test_every_op_has_samples_and_a_reference_or_says_why_not():
    without = {name for name, op in BUILT_IN.items() if not op.samples}
    assert without == set(UNSAMPLED)
    assert not [name for name in SAMPLED if BUILT_IN[name].reference is None]


@pytest.mark.parametrize("name", SAMPLED)
def test_inferred_specs_are_those_of_the_results(name):
    op = BUILT_IN[name]
    for sample, arrays in samples_of(name):
        inferred = infer_outputs(op, specs_of(arrays), op.complete(sample.attrs))
        with np.errstate(all="ignore"):
            raw = op.fallback(*arrays, **op.complete(sample.attrs))
        for spec, result in zip(inferred, as_tuple(raw), strict=True):
            if spec is not None:
                assert np.shape(result) == spec.shape, sample.attrs
        found = as_tuple(apply(op, *arrays, **sample.attrs)) if not op.effect else ()
        for spec, t in zip(visible(op, inferred) if found else (), found, strict=True):
            assert (t is None) == (spec is None)
            assert t is None or (t.spec == spec and t.numpy().shape == spec.shape and t.numpy().dtype == spec.dtype)


@pytest.mark.parametrize("name", SAMPLED)
def test_native_and_fallback_agree(name):
    op = BUILT_IN[name]
    for sample, arrays in samples_of(name):
        outputs = native(op, arrays, sample.attrs)
        if outputs is not None:
            assert_close(outputs, fallback(op, arrays, sample.attrs), tolerance_of(name), f"{name} {sample.attrs}")


@pytest.mark.parametrize("name", SAMPLED)
def test_values_are_those_of_the_float64_reference(name):
    op = BUILT_IN[name]
    for sample, arrays in samples_of(name):
        outputs = native(op, arrays, sample.attrs)
        outputs = fallback(op, arrays, sample.attrs) if outputs is None else outputs
        assert_close(outputs, reference(op, arrays, sample.attrs), tolerance_of(name), f"{name} {sample.attrs}")


@only_native
@pytest.mark.parametrize("name", [n for n in SAMPLED if not BUILT_IN[n].effect])
def test_a_replayed_call_has_the_bits_of_an_eager_one(name):
    op = BUILT_IN[name]
    for sample, arrays in samples_of(name):
        replayed = program_of(op, arrays, sample.attrs).run(operands(arrays))
        for a, b in zip(replayed, eager(op, arrays, sample.attrs), strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            assert a.tobytes() == b.tobytes(), sample.attrs


@pytest.mark.parametrize("name", [n for n in SAMPLED if not BUILT_IN[n].effect])
def test_the_fallback_executor_agrees(name):
    op = BUILT_IN[name]
    for sample, arrays in samples_of(name):
        replayed = FallbackReplay(program_of(op, arrays, sample.attrs)).run(operands(arrays), 1)
        assert_close(replayed, eager(op, arrays, sample.attrs), tolerance_of(name), f"{name} {sample.attrs}")


DIFFERENTIABLE = [n for n in SAMPLED if BUILT_IN[n].vjp or BUILT_IN[n].decompose]


@pytest.mark.parametrize("name", [n for n in DIFFERENTIABLE if any(s.grad for s in BUILT_IN[n].samples())])
def test_first_derivatives(name):
    step, tolerance = DIFFERENCES.get(name, (1e-6, 2e-5))
    check_gradients(BUILT_IN[name], second=False, step=step, tolerance=tolerance)


def gradients(call, inputs, weights):
    """Outputs of `call(inputs)` and the gradients of their weighted sums by the float inputs."""
    with Tape() as tape:
        sources = [t for t in inputs if t is not None and t.dtype.kind == "f"]
        for t in sources:
            tape.watch(t)
        outputs = as_tuple(call(inputs))
    found = []
    for output, weight in zip(outputs, weights, strict=False):
        if output is not None and output.dtype.kind == "f":
            found += tape.gradient(output, sources, weight)
    return outputs, found


def weights_for(outputs):
    rng = np.random.default_rng(4)
    return [None if t is None else tensor(rng.normal(size=t.shape).astype(t.dtype)) for t in outputs]


def same_bits(a: Tensor | None, b: Tensor | None, what) -> None:
    """Equal bits; zeros may differ in sign, since a sum of no terms has none."""
    assert (a is None) == (b is None), what
    if a is not None:
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=str(what))


@only_native
@pytest.mark.parametrize("name", [n for n in DECOMPOSED if any(s.grad for s in BUILT_IN[n].samples())])
def test_a_fused_op_equals_the_ops_that_it_stands_for(name):
    op = BUILT_IN[name]
    for sample, arrays in samples_of(name):
        attrs = op.complete(sample.attrs)
        inputs = tuple(None if a is None else tensor(a) for a in arrays)
        weights = weights_for(as_tuple(apply(op, *inputs, **attrs)))
        outputs, found = gradients(lambda xs, attrs=attrs: apply(op, *xs, **attrs), inputs, weights)
        plain, wanted = gradients(lambda xs, attrs=attrs: op.decompose(xs, attrs), inputs, weights)
        for a, b in zip(outputs, plain, strict=False):
            same_bits(a, b, (sample.attrs, "value"))
        if op.vjp is not None:
            for a, b in zip(found, wanted, strict=True):
                same_bits(a, b, (sample.attrs, "gradient"))


@only_native
def test_public_functions_hide_residuals():
    for name in SAMPLED:
        op = BUILT_IN[name]
        if op.residuals:
            sample = op.samples()[0]
            arrays = arrays_of(sample, np.float32)
            inferred = infer_outputs(op, specs_of(arrays), op.complete(sample.attrs))
            assert len(as_tuple(apply(op, *arrays, **sample.attrs))) == len(inferred) - op.residuals


def test_an_unknown_attribute_and_a_missing_operand_are_named():
    with pytest.raises(TypeError, match=r"\[softmax\] unknown attribute 'axes'"):
        apply(REGISTRY["softmax"], np.ones((2, 3)), axes=1)
    with pytest.raises(TypeError, match=r"\[matmul\] the operand 'b' is missing|\[matmul\] the operand"):
        apply(REGISTRY["matmul"], np.ones((2, 3)), None)
    with pytest.raises(TypeError, match=r"\[matmul\] takes 2 operands"):
        apply(REGISTRY["matmul"], np.ones((2, 3)))


def test_op_names_are_taken_once():
    from pynn.engine.op import define

    with pytest.raises(ValueError, match="an op named 'matmul' exists already"):
        define("matmul", inputs=("x",), infer=lambda x: x, fallback=lambda x: x)
    assert pn.ops.matmul is pn.matmul
