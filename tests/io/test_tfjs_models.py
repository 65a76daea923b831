"""Models that TensorFlow.js and Keras saved: outputs and gradients equal theirs, and saving and loading again changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import pynn as pn
from pynn.engine.tape import Tape
from pynn.engine.tensor import Tensor
from tests.io.tfjs_cases import Case, folders

ROOT = Path(os.environ.get("PYNN_TEST_SHARED", Path(__file__).parents[3] / "shared")) / "tfjs"
MODELS = [*folders(ROOT, "models"), *folders(ROOT, "keras3")]

# Layers that change nothing at inference here as in Keras, while TensorFlow.js's do.
IDENTITIES = {"random_width_inference"}

pytestmark = pytest.mark.skipif(not MODELS, reason="the reference cases of TensorFlow.js are not on this machine")


def as_input(model, i, array):
    """Ids are stored as floats."""
    dtype = model.inputs[i].dtype if hasattr(model, "inputs") else None
    return array.astype(dtype) if dtype is not None and dtype.kind in "iu" else array


def outputs_of(model, inputs):
    found = model(inputs[0] if len(inputs) == 1 else inputs)
    return [np.asarray(t) for t in (found if isinstance(found, (list, tuple)) else [found])]


def wanted_outputs(case, call, inputs):
    """TensorFlow.js's, or Keras's where the two differ."""
    if case.name in IDENTITIES:
        return inputs
    if case.alternative and "outputs" in case.alternative.description:
        return [case.alternative.array(e) for e in case.alternative.description["outputs"]]
    return [case.array(e) for e in call["outputs"]]


def close(got, want, rtol, atol, what):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=what)


@pytest.mark.parametrize("folder", MODELS, ids=lambda p: p.name)
def test_model_equals_tensorflow_js(folder, tmp_path, recwarn):
    case = Case(folder, "io.json", "io.bin")
    io = case.description
    model = pn.load_model(folder)
    rtol, atol = io.get("rtol", 1e-4), io.get("atol", 1e-5)
    for call in io.get("calls") or [io]:
        if call.get("reset_before"):
            model.reset_state()
        inputs = [as_input(model, i, case.array(e)) for i, e in enumerate(call.get("inputs") or io["inputs"])]
        wanted = wanted_outputs(case, call, inputs)
        got = outputs_of(model, inputs)
        for g, w in zip(got, wanted, strict=True):
            close(g, w, rtol, atol, "outputs")
    if io.get("calls"):
        return
    check_gradients(case, model, inputs)
    model.save(tmp_path / "again")
    again = pn.load_model(tmp_path / "again")
    for g, w in zip(outputs_of(again, inputs), got, strict=True):
        np.testing.assert_array_equal(g, w)


def gradient_lists(case):
    grad = case.description.get("grad") or {}
    wrong = grad.get("tfjs_wrong") or []
    for kind in ("inputs", "weights"):
        if case.alternative and f"grad_{kind}" in case.alternative.description:
            yield kind, case.alternative, case.alternative.description[f"grad_{kind}"]
        elif grad.get(kind) and kind not in wrong:
            yield kind, case, grad[kind]


def check_gradients(case, model, inputs):
    grad = case.description.get("grad")
    if not grad:
        return
    cotangents = [Tensor(case.array(e)) for e in grad["cotangents"]]
    xs = [Tensor(a) for a in inputs]
    weights = model.trainable_weights
    with Tape() as tape:
        for x in xs:
            tape.watch(x)
        values = [w.value for w in weights]
        for v in values:
            tape.watch(v)
        out = model(xs[0] if len(xs) == 1 else xs)
        outs = out if isinstance(out, (list, tuple)) else [out]
        total = None
        for o, c in zip(outs, cotangents, strict=True):
            part = (o * c).sum()
            total = part if total is None else total + part
    found = tape.gradient(total, [*xs, *values])
    rtol, atol = case.description.get("grad_rtol", 1e-3), case.description.get("grad_atol", 1e-4)
    by_name = dict(zip((w.path for w in weights), found[len(xs) :], strict=True))
    for kind, source, entries in gradient_lists(case):
        for i, entry in enumerate(entries):
            if entry is None:
                continue
            from pynn.io.weight_names import spellings

            name = entry.get("name")
            got = found[i] if kind == "inputs" else next((by_name[s] for s in spellings(name) if s in by_name), None)
            want = source.array(entry)
            got = np.zeros_like(want) if got is None else np.asarray(got)
            close(got, want, rtol, atol, f"gradient by {kind} {name or i}")
