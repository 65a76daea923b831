"""Ops of the real TensorFlow.js: the same inputs give the same outputs and gradients here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pynn.engine.tape import Tape
from pynn.engine.tensor import Tensor
from tests.io.tfjs_cases import Case
from tests.io.tfjs_ops import CALLS, MISSING

ROOT = Path(os.environ.get("PYNN_TEST_SHARED", Path(__file__).parents[3] / "shared")) / "tfjs" / "ops"

pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="the reference cases of TensorFlow.js are not on this machine")
# TensorFlow.js computes in float64 and stores float32; ours are short sums in float32. In epsilons of the largest value, at least 1.
OUTPUTS, GRADIENTS = 16, 64


def entries() -> dict[str, dict]:
    """The cases by name."""
    return {c["id"]: c for c in json.loads((ROOT / "ops.json").read_text())["cases"]} if ROOT.is_dir() else {}


ENTRIES = entries()


@pytest.fixture(scope="module")
def case() -> Case:
    """What the entries point into."""
    return Case(ROOT, "ops.json", "ops.bin")


def name_of(entry) -> str:
    return entry["op"].removeprefix("tf.")


def run(entry, inputs) -> list[Tensor]:
    inputs = [x for x in inputs if x.shape != (0,)]
    found = CALLS[name_of(entry)](*inputs, **entry["attrs"])
    return list(found) if isinstance(found, (list, tuple)) else [found]


def assert_near(got, want, epsilons, what):
    got = np.asarray(got)
    assert got.shape == want.shape, what
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    assert got.dtype == np.float32
    largest = np.max(np.abs(want[np.isfinite(want)]), initial=1.0)
    np.testing.assert_allclose(got, want, rtol=0, atol=epsilons * np.finfo(np.float32).eps * largest, err_msg=what)


def wanted_gradients(case, entry):
    """(indices of inputs, values): TensorFlow.js's, or JAX's where it has none or wrong ones."""
    other = case.alternative.description["cases"].get(entry["id"])
    if other:
        return other["wrt"], [case.alternative.array(e) for e in other["values"]]
    return entry["grad"]["wrt"], [case.array(e) for e in entry["grad"]["values"]]


@pytest.mark.parametrize("name", ENTRIES)
def test_op_equals_tensorflow_js(case, name):
    entry = ENTRIES[name]
    if name in MISSING:
        pytest.skip(f"pynn has no {MISSING[name]}")
    inputs = [Tensor(case.array(e)) for e in entry["inputs"]]
    with Tape() as tape:
        for x in inputs:
            tape.watch(x)
        outputs = run(entry, inputs)
    for got, want in zip(outputs, entry["outputs"], strict=True):
        assert_near(got, case.array(want), OUTPUTS, "output")
    if entry.get("grad"):
        check_gradients(case, entry, tape, inputs, outputs)


def check_gradients(case, entry, tape, inputs, outputs):
    cotangents = [case.array(e) for e in entry["grad"]["cotangents"]]
    which, wanted = wanted_gradients(case, entry)
    found = [np.zeros(inputs[i].shape, np.float32) for i in which]
    for output, cotangent in zip((t for t in outputs if t.dtype.kind == "f"), cotangents, strict=True):
        for total, part in zip(found, tape.gradient(output, [inputs[i] for i in which], Tensor(cotangent)), strict=True):
            total += 0 if part is None else np.asarray(part)
    for i, got, want in zip(which, found, wanted, strict=True):
        assert_near(got, want, GRADIENTS, f"gradient by input {i}")


def test_only_what_is_named_as_missing_is_left_out():
    missing = {name for name, entry in ENTRIES.items() if name_of(entry) not in CALLS}
    assert missing == MISSING.keys()
