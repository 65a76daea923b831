"""What is asked of every op: the native kernel on each CPU target and the fallback agree with the reference, the bits don't
depend on the number of threads, and gradients agree with differences, to the second order."""

from __future__ import annotations

import numpy as np
from guard import run_guarded

from pynn import _core
from pynn.engine import kernels
from pynn.engine.apply import apply
from pynn.engine.op import Spec, infer_outputs
from pynn.engine.tape import Tape
from pynn.engine.tensor import Tensor, tensor

TARGETS = _core.targets()


def arrays_of(sample, dtype, seed=0) -> list:
    """The sample's inputs as arrays; float ones in `dtype`."""
    rng = np.random.default_rng(seed)
    arrays = []
    for value in sample.inputs:
        if value is None:
            arrays.append(None)
            continue
        array = rng.normal(size=value) if isinstance(value, tuple) else np.asarray(value)
        arrays.append(array.astype(dtype) if array.dtype.kind == "f" else array)
    return arrays


def run_on_arrays(op, kernel, arrays):
    """A prepared kernel's outputs."""
    outputs, failure = kernel.run(arrays)
    if failure is not None:
        raise kernels.failure_error(op, *failure)
    return outputs


def native(op, arrays, attrs, target=""):
    """The native kernel's outputs, or None where it doesn't cover the call."""
    attrs = op.complete(attrs)
    arrays = [None if a is None else tensor(a).data for a in arrays]
    specs = tuple(None if a is None else Spec(a.shape, a.dtype) for a in arrays)
    kernel = kernels.prepare_native(op, specs, infer_outputs(op, specs, attrs), attrs, target)
    return None if kernel is None else run_on_arrays(op, kernel, arrays)


def fallback(op, arrays, attrs):
    """The fallback's outputs, brought to the inferred specs."""
    attrs = op.complete(attrs)
    specs = tuple(None if a is None else Spec(a.shape, a.dtype) for a in arrays)
    return kernels.run_fallback(op, arrays, attrs, infer_outputs(op, specs, attrs))


def reference(op, arrays, attrs):
    """The reference's outputs in float64."""
    wide = [None if a is None else a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    with np.errstate(all="ignore"):
        outputs = op.reference(*wide, **op.complete(attrs))
    return outputs if isinstance(outputs, tuple) else (outputs,)


def assert_close(actual, wanted, tolerance, what=""):
    """Equal to within `tolerance` epsilons of the largest wanted value (at least 1)."""
    assert len(actual) == len(wanted)
    for a, w in zip(actual, wanted, strict=True):
        if w is None:
            continue
        assert a.shape == np.shape(w), what
        if a.dtype.kind != "f" or not a.size:
            np.testing.assert_array_equal(a, w, err_msg=what)
            continue
        scale = max(1.0, float(np.max(np.abs(np.where(np.isfinite(w), w, 0)))))
        epsilon = np.finfo(a.dtype).eps
        np.testing.assert_allclose(a, w, rtol=0, atol=tolerance * epsilon * scale, err_msg=what)


def assert_same_at_the_end_of_memory(op, arrays, attrs, target, outputs):
    """Operands that end where the memory does, at any alignment, give the same bits."""
    for at_the_end, anywhere in zip(run_guarded(op, arrays, attrs, target), outputs, strict=True):
        assert at_the_end is anywhere is None or at_the_end.tobytes() == anywhere.tobytes(), f"{op.name} {target} {attrs}"


def check_values(op, *, dtypes=(np.float32, np.float64), tolerance=8, exact=False):
    """Native (each target) and fallback against the reference, for all samples; `exact`: the two have the same bits."""
    covered = 0
    for sample in op.samples():
        for dtype in dtypes:
            arrays = arrays_of(sample, dtype)
            wanted = reference(op, arrays, sample.attrs)
            plain = fallback(op, arrays, sample.attrs)
            assert_close(plain, wanted, tolerance, f"{op.name} fallback {sample.attrs}")
            for target in TARGETS:
                outputs = native(op, arrays, sample.attrs, target)
                if outputs is None:
                    continue
                covered += 1
                assert_close(outputs, wanted, tolerance, f"{op.name} {target} {sample.attrs}")
                assert_same_at_the_end_of_memory(op, arrays, sample.attrs, target, outputs)
                if exact:
                    for a, b in zip(outputs, plain, strict=True):
                        np.testing.assert_array_equal(a, b)
    assert covered, f"no native kernel ran for {op.name}"


def check_threads(op, arrays, attrs):
    """One and four threads give the same bits."""
    before = _core.num_threads()
    try:
        _core.set_num_threads(1)
        single = native(op, arrays, attrs)
        _core.set_num_threads(4)
        for _ in range(3):
            for a, b in zip(single, native(op, arrays, attrs), strict=True):
                assert a.tobytes() == b.tobytes()
    finally:
        _core.set_num_threads(before)


def _first_float(outputs) -> Tensor:
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return next(t for t in outputs if t.dtype.kind == "f")


def _float_inputs(arrays) -> list[int]:
    return [i for i, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]


def _directional(f, arrays, which, directions, step):
    moved = [[a + sign * step * directions[i] if i in which else a for i, a in enumerate(arrays)] for sign in (1.0, -1.0)]
    return (f(moved[0]) - f(moved[1])) / (2 * step)


def check_gradients(op, *, second=True, step=1e-6, tolerance=1e-6):
    """Gradients in float64 against central differences along a random direction, first and second order."""
    rng = np.random.default_rng(1)
    for sample in op.samples():
        arrays = arrays_of(sample, np.float64)
        which = _float_inputs(arrays)
        if not sample.grad or not which or any(a is not None and a.size == 0 for a in arrays):
            continue
        directions = {i: rng.normal(size=arrays[i].shape) for i in which}
        weight = rng.normal(size=_first_float(apply(op, *arrays, **sample.attrs)).shape)
        seconds = {i: rng.normal(size=arrays[i].shape) for i in which}

        def value(xs, sample=sample, weight=weight):
            return float(np.sum(_first_float(apply(op, *xs, **sample.attrs)).numpy() * weight))

        def gradients(xs, sample=sample, weight=weight, which=which):
            inputs = [None if a is None else tensor(a) for a in xs]
            with Tape() as tape:
                for i in which:
                    tape.watch(inputs[i])
                out = _first_float(apply(op, *inputs, **sample.attrs))
            return inputs, tape.gradient(out, [inputs[i] for i in which], tensor(weight))

        def slope(xs, which=which, seconds=seconds):
            _, found = gradients(xs)
            return sum(float(np.sum(g.numpy() * seconds[i])) for i, g in zip(which, found, strict=True) if g is not None)

        _, first = gradients(arrays)
        got = sum(float(np.sum(g.numpy() * directions[i])) for i, g in zip(which, first, strict=True) if g is not None)
        wanted = _directional(value, arrays, which, directions, step)
        assert abs(got - wanted) <= tolerance * max(1.0, abs(wanted)), f"{op.name} {sample.attrs}: {got} {wanted}"
        if not second:
            continue
        got = _second(op, sample, arrays, which, weight, directions, seconds)
        wanted = _directional(slope, arrays, which, directions, step)
        assert abs(got - wanted) <= tolerance * max(1.0, abs(wanted)), f"{op.name} {sample.attrs} 2nd: {got} {wanted}"


def _second(op, sample, arrays, which, weight, directions, seconds) -> float:
    """seconds . (d gradient / d input) . directions"""
    inputs = [None if a is None else tensor(a) for a in arrays]
    with Tape() as outer:
        for i in which:
            outer.watch(inputs[i])
        with Tape() as inner:
            for i in which:
                inner.watch(inputs[i])
            out = _first_float(apply(op, *inputs, **sample.attrs))
        first = inner.gradient(out, [inputs[i] for i in which], tensor(weight))
    total = 0.0
    for i, g in zip(which, first, strict=True):
        if g is None:
            continue
        again = outer.gradient(g, [inputs[k] for k in which], tensor(seconds[i]))
        total += sum(float(np.sum(h.numpy() * directions[k])) for k, h in zip(which, again, strict=True) if h is not None)
    return total
