"""Ctrl-C at any place: no lock stays held, nothing goes on recording, and what was half made is made again."""

from __future__ import annotations

import inspect
import sys
import threading

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.engine.op import active
from pynn.layers.context import running

X, Y = np.ones((8, 3), np.float32), np.ones((8, 1), np.float32)


class Stochastic(pn.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.dropout = L.Dense(1), L.Dropout(0.5)

    def call(self, x, training=False):
        return self.dropout(self.dense(x), training=training)


WORK = {
    "call": lambda model: model(X),
    "call in training": lambda model: model(X, training=True),
    "predict": lambda model: model.predict(X),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "fit": lambda model: model.fit(X, Y, verbose=0),
    "evaluate": lambda model: model.evaluate(X, Y),
    "weights": lambda model: model.set_weights(model.get_weights()),
    "gradients by variables": lambda model: pn.variable_grads(lambda: model(X).sum()),
    "gradients": lambda model: pn.grads(lambda x: model(x).sum())(X),
    "gradients of what is computed again": lambda _: pn.grads(lambda x: pn.grads(lambda z: pn.cumprod(z, 1).sum())(x)[0].sum())(X),
    "captured": lambda model: pn.function(lambda x: model(x) * 2)(X),
}
WITH_STATE = ("models/locks.py", "layers/context.py", "layers/base.py", "engine/tape.py", "program/capture.py", "pynn/gradients.py",
              "program/function.py", "models/programs.py", "models/model.py")  # fmt: skip


def interrupted_at(number: int, work, files=WITH_STATE) -> bool:
    """Whether `work` has so many calls of Python functions in these files; Ctrl-C comes at the start of the last of them."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        code = frame.f_code
        if event == "call" and code.co_filename.endswith(files) and not code.co_flags & inspect.CO_GENERATOR:
            count += 1
            if count == number:
                raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def works_in_another_thread(model) -> bool:
    done = []
    thread = threading.Thread(target=lambda: done.append((model.train_on_batch(X, Y), model.predict(X))), daemon=True)
    thread.start()
    thread.join(20)
    return bool(done)


@pytest.mark.parametrize("kind", ["own", "ours"])
@pytest.mark.parametrize("work", WORK)
def test_nothing_stays_held_wherever_it_comes(work, kind):
    model = Stochastic() if kind == "own" else pn.Sequential([L.Dense(1, input_shape=(3,)), L.Dropout(0.5)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    number = 1
    while interrupted_at(number, lambda: WORK[work](model)):
        assert not running.depth and not active.tapes and active.capture is None, number
        assert works_in_another_thread(model), number
        number += 1
    assert number > 3


@pytest.mark.parametrize("kind", ["model", "weights"])
def test_a_save_leaves_what_was_there_or_what_is_new(kind, tmp_path):
    model = pn.Sequential([L.Dense(1, input_shape=(3,))])
    path = tmp_path / "m"
    number, found = 1, [0.0]
    model.set_weights([np.full(w.shape, 0.0) for w in model.weights])
    save = model.save if kind == "model" else model.save_weights
    save(path)
    while True:
        model.set_weights([np.full(w.shape, number) for w in model.weights])
        stopped = interrupted_at(number, lambda: save(path), ("io/atomic.py", "shutil.py"))
        assert [p.name for p in tmp_path.iterdir()] == ["m"], number
        again = pn.load_model(path) if kind == "model" else model
        if kind == "weights":
            again.load_weights(path)
        values = {float(v) for w in again.get_weights() for v in w.flat}
        assert len(values) == 1 and values <= {found[-1], float(number)}
        found.append(values.pop())
        number += 1
        if not stopped:
            break
    assert number > 5 and found[-1] == number - 1


def test_an_optimizer_goes_on_building_where_it_was_stopped(monkeypatch):
    variables = [pn.Variable(np.ones(3, np.float32)) for _ in range(3)]
    optimizer = pn.optimizers.Adam(use_ema=True)
    made = []

    def stops_once(*args, **kwargs):
        made.append(args)
        if len(made) == 5:
            raise KeyboardInterrupt
        return pn.Variable(*args, **kwargs)

    monkeypatch.setattr("pynn.optimizers.base.Variable", stops_once)
    with pytest.raises(KeyboardInterrupt):
        optimizer.build(variables)
    optimizer.build(variables)
    monkeypatch.undo()
    assert len(optimizer.variables) == 2 + 3 * 3
    optimizer.apply([pn.ones(3)] * 3, variables)
