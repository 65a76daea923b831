"""The loops that Numba compiles for the fallback, beside NumPy's operations."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from op_checks import arrays_of, assert_close

from pynn.engine import kernels, loops
from pynn.engine.op import REGISTRY
from pynn.ops import recurrent_loops

pytest.importorskip("numba")

EITHER = sorted(name for name, op in REGISTRY.items() if isinstance(op.fallback, loops.Either))
RECURRENT = [name for name in REGISTRY if name.startswith(("lstm", "gru"))]
DTYPES = (np.float32, np.float64)


def cases(name):
    for sample in REGISTRY[name].samples():
        for dtype in DTYPES:
            yield arrays_of(sample, dtype), {**REGISTRY[name].attrs, **sample.attrs}


def as_tuple(found):
    return found if isinstance(found, tuple) else (found,)


def test_pools_and_sums_by_index_are_among_them():
    assert EITHER == ["max_pool2d", "max_pool2d_grad", "max_pool2d_take", "scatter_add", "take_grad"]


@pytest.mark.parametrize("name", EITHER)
def test_both_forms_agree(name):
    fallback = REGISTRY[name].fallback
    for arrays, attrs in cases(name):
        assert_close(as_tuple(fallback.loops(*arrays, **attrs)), as_tuple(fallback.numpy(*arrays, **attrs)), 64, name)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_steps_agree(name, monkeypatch):
    fallback, used = REGISTRY[name].fallback, 0
    for arrays, attrs in cases(name):
        found = []
        for compiled in (True, False):
            monkeypatch.setattr(recurrent_loops, "are_compiled", lambda compiled=compiled: compiled)
            used += recurrent_loops.suit(attrs["activation"], attrs["recurrent_activation"])
            found.append(fallback(*arrays, **attrs))
        assert_close(*found, 400, name)
    assert used


def test_pools_keep_the_first_of_equals_and_nan():
    x = np.zeros((1, 2, 4, 3), np.float32)
    x[0, 1, 2], x[0, 0, 3], x[0, 1, 3] = np.nan, 5, np.nan
    attrs = dict(pool_size=(2, 2), strides=(2, 2), padding="valid")
    y, argmax = REGISTRY["max_pool2d"].fallback.loops(x, **attrs)
    assert (argmax[0, 0, 0] == 0).all() and (argmax[0, 0, 1] == 2).all() and np.isnan(y[0, 0, 1]).all()


def test_an_index_out_of_range_is_refused_before_the_loop():
    rows, indices = np.ones((2, 3), np.float32), np.array([0, 9])
    with pytest.raises(ValueError, match="out of range for 5 rows"):
        REGISTRY["take_grad"].fallback.loops(rows, indices, axis=0, rows=5)
    with pytest.raises(ValueError, match="out of range for 5 rows"):
        REGISTRY["scatter_add"].fallback.loops(np.ones((5, 3), np.float32), indices, rows)


def test_sums_of_integers_and_views():
    updates = np.arange(12).reshape(6, 2)[::2]
    for dtype in (np.int64, np.float32):
        x = np.zeros((4, 2), dtype)
        got = REGISTRY["scatter_add"].fallback.loops(x, np.array([1, 1, 3]), updates.astype(dtype))
        assert got.tolist() == [[0, 0], [4, 6], [0, 0], [8, 9]] and not x.any()


@pytest.fixture
def on_the_fallback(monkeypatch):
    monkeypatch.setattr(kernels, "_native", False)
    monkeypatch.delenv("PYNN_NUMBA", raising=False)
    loops._has_numba.cache_clear()
    yield
    loops._has_numba.cache_clear()


def test_loops_run_on_the_fallback_only(monkeypatch, on_the_fallback):
    assert loops.are_compiled()
    monkeypatch.setenv("PYNN_NUMBA", "0")
    assert not loops.are_compiled()
    monkeypatch.delenv("PYNN_NUMBA")
    monkeypatch.setattr(kernels, "_native", True)
    assert not loops.are_compiled()


def test_without_numba_there_are_no_loops(monkeypatch, on_the_fallback):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not loops.are_compiled()


def test_a_numba_that_is_broken_is_named_once(monkeypatch, on_the_fallback, tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 2.2 or less')")
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning, match=r"NumPy 2\.2 or less.*PYNN_NUMBA=0"):
        assert not loops.are_compiled()
    assert not loops.are_compiled()


def test_a_loop_compiles_where_nothing_can_be_kept(monkeypatch):
    import numba

    njit = numba.njit

    def refusing(*functions, **words):
        if words.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*functions, **words)

    monkeypatch.setattr(numba, "njit", refusing)

    @loops.Loop
    def double(x, y):
        for i in range(x.size):
            y[i] = 2 * x[i]

    y = np.empty(3)
    double(np.arange(3.0), y)
    assert y.tolist() == [0, 2, 4]


def test_training_with_and_without_numba_agrees():
    script = """
import sys, numpy as np, pynn as pn
L = pn.layers
pn.set_seed(1)
x, y = np.random.default_rng(0).random((12, 8, 8, 1)).astype("f4"), np.arange(12) % 3
model = pn.Sequential([L.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)), L.MaxPooling2D(2), L.Reshape((9, 4)), L.LSTM(5,
    return_sequences=True), L.GRU(4), L.Dense(3, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
print(model.fit(x, y, epochs=3, batch_size=5, verbose=0).history["loss"][-1], "numba" in sys.modules)
"""
    found = {}
    for setting in ("0", "1"):
        environment = {**os.environ, "PYNN_BACKEND": "fallback", "PYNN_NUMBA": setting}
        out = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout.split()
        found[setting] = float(out[0])
        assert out[1] == str(setting == "1")
    np.testing.assert_allclose(found["0"], found["1"], rtol=1e-5)
