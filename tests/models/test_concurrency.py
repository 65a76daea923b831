"""One model used by several threads, copied, pickled, and forked."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.engine.interrupts import undisturbed
from pynn.models.locks import StepLock

X, Y = np.ones((64, 1), np.float32), np.ones((64, 1), np.float32)


class Seesaw(pn.Model):
    """Each training step takes 1 off every element of one weight and adds 1 to the other: their sum is zero between steps."""

    def __init__(self):
        super().__init__()
        self.down = self.add_weight("down", (300_000,), initializer="zeros")
        self.up = self.add_weight("up", (300_000,), initializer="zeros")

    def call(self, x, training=False):
        if training:
            return x * (pn.sum(self.down.value) - pn.sum(self.up.value))
        return x * pn.sum(pn.abs(self.down.value + self.up.value))


def seesaw(**kwargs) -> Seesaw:
    model = Seesaw()
    model.compile(pn.optimizers.SGD(1.0), lambda y, p: p, **kwargs)
    model.train_on_batch(X, Y)
    return model


def small():
    model = pn.Sequential([L.Dense(4, activation="relu", input_shape=(3,)), L.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Background:
    """Calls a function again and again, in threads, while entered."""

    def __init__(self, *functions):
        self.stop, self.results, self.errors = threading.Event(), [], []
        self.threads = [threading.Thread(target=self._run, args=(f,)) for f in functions]

    def _run(self, function):
        try:
            while not self.stop.is_set():
                self.results.append(function())
        except BaseException as error:  # noqa: BLE001
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads)


@pytest.mark.parametrize("arguments", [{}, {"run_eagerly": True}], ids=["captured", "eager"])
def test_predictions_see_whole_steps(arguments):
    model = seesaw(**arguments)

    def weights_agree():
        down, up = model.get_weights()
        return float(np.abs(down + up).max())

    with Background(lambda: model.fit(X, Y, batch_size=1, epochs=2, verbose=0)) as training:
        predicted, deadline = [], time.monotonic() + 1.5
        while time.monotonic() < deadline or len(predicted) <= 30:
            predicted += [float(model.predict(X[:1])[0, 0]), float(np.asarray(model(X[:1]))[0, 0]), weights_agree()]
    assert not training.errors
    assert training.results
    assert set(predicted) == {0.0}


def test_many_predictions_do_not_starve_the_training():
    model = seesaw()
    with Background(*[lambda: model.predict(X[:1])] * 4) as predictions:
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0)
    assert not predictions.errors
    assert all(p[0, 0] == 0 for p in predictions.results)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("arguments", [{}, {"run_eagerly": True}], ids=["captured", "eager"])
def test_an_interrupt_leaves_whole_steps_and_a_model_that_works(arguments):
    model = seesaw(**arguments)
    before = int(model.optimizer.iterations.item())

    def interrupt():
        deadline = time.monotonic() + 60
        while int(model.optimizer.iterations.item()) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    for _ in range(2):
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, batch_size=1, epochs=10_000, verbose=0)
        interrupter.join()
        down, up = model.get_weights()
        steps = int(model.optimizer.iterations.item())
        assert steps > before
        np.testing.assert_array_equal(up, steps)
        np.testing.assert_array_equal(down, -steps)
        assert model.predict(X[:1])[0, 0] == 0
        before = steps


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_is_told_whether_or_not_the_work_succeeds():
    for fails in (False, True):
        reached = []
        with pytest.raises(KeyboardInterrupt) as interrupt:
            with undisturbed():
                signal.raise_signal(signal.SIGINT)
                reached.append(True)
                if fails:
                    raise RuntimeError("half done")
        assert reached and isinstance(interrupt.value.__context__, RuntimeError) == fails
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def started(model):
    """A callback and an event that is set once training runs; each batch takes its time."""
    event = threading.Event()

    def slowly(batch, logs):
        event.set()
        time.sleep(0.02)

    return pn.callbacks.LambdaCallback(on_train_batch_end=slowly), event


@pytest.mark.parametrize("call", [
    lambda m: m.fit(X, Y), lambda m: m.train_on_batch(X, Y), lambda m: m.evaluate(X, Y), lambda m: m.test_on_batch(X, Y),
    lambda m: m.compile("adam", "mse"),
])  # fmt: skip
def test_a_second_training_is_refused(call):
    model = seesaw()
    callback, running = started(model)
    with Background(lambda: model.fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[callback])) as training:
        assert running.wait(30)
        with pytest.raises(RuntimeError, match="is being trained by fit in another thread"):
            call(model)
    assert not training.errors


def test_single_steps_wait_for_each_other():
    model = seesaw()
    before = int(model.optimizer.iterations.item())

    def steps():
        for _ in range(20):
            model.train_on_batch(X[:4], Y[:4])

    threads = [threading.Thread(target=steps) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert int(model.optimizer.iterations.item()) == before + 80
    np.testing.assert_array_equal(model.get_weights()[1], before + 80)


def test_callbacks_may_use_their_model():
    model = small()
    x, y = np.ones((8, 3), np.float32), np.ones((8, 1), np.float32)
    seen = []

    def use(epoch, logs):
        seen.append(model.predict(x).shape)
        model.train_on_batch(x, y)
        thread = threading.Thread(target=lambda: seen.append(model.predict(x).shape))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()

    model.fit(x, y, epochs=2, verbose=0, callbacks=[pn.callbacks.LambdaCallback(on_epoch_end=use)])
    assert len(seen) == 4


def test_many_threads_predict_the_same():
    model = small()
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    wanted = model.predict(x)
    found = []
    threads = [threading.Thread(target=lambda: found.extend(model.predict(x) for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 160
    assert all(np.array_equal(f, wanted) for f in found)


def test_two_threads_build_a_model_once():
    for _ in range(5):
        model = pn.Sequential([L.Dense(50), L.Dense(50), L.Dense(1)])
        barrier, found = threading.Barrier(4), []

        def work(model=model, barrier=barrier, found=found):
            barrier.wait()
            found.append(model.predict(np.ones((2, 3), np.float32)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(model.weights) == 6
        assert all(np.array_equal(f, found[0]) for f in found)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_a_copy_may_be_deeper_than_python_recurs(kind, copied):
    model = pn.Sequential([L.Dense(2, input_shape=(2,)), *(L.Activation("relu") for _ in range(400))])
    if kind == "functional":
        model = pn.Model(model.inputs, model.output)
    else:
        assert model.output.shape == (None, 2)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(copied(model).predict(x), model.predict(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_train_like_the_model_and_leave_it_alone(copied):
    x, y = np.ones((8, 3), np.float32), np.ones((8, 1), np.float32)
    model = pn.Sequential([L.Dense(4, input_shape=(3,), kernel_regularizer="l2", kernel_constraint="max_norm"), L.Dropout(0.5), L.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    twin, before = copied(model), model.get_weights()
    twin.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_reader_inside_a_step_does_not_wait_for_itself():
    lock = StepLock()
    with lock.writing(), lock.reading(), lock.writing():
        pass
    with lock.reading():
        pass


FORKS = {
    "in a generator": """
        def batches():
            for i in range(30):
                if i % 10 == 5:
                    child(lambda: model.predict(x))
                yield x, y

        model.fit(batches(), steps_per_epoch=30, verbose=0)
    """,
    "while another thread trains": """
        thread = threading.Thread(target=lambda: model.fit(x, y, batch_size=1, epochs=400, verbose=0))
        thread.start()
        for _ in range(10):
            time.sleep(0.02)
            child(lambda: model.predict(x))
            child(lambda: model.fit(x, y, epochs=2, verbose=0))
        thread.join()
    """,
    "while others predict": """
        stop = threading.Event()
        threads = [threading.Thread(target=lambda: [model.predict(x) for _ in iter(stop.is_set, True)]) for _ in range(3)]
        for t in threads:
            t.start()
        for _ in range(10):
            child(lambda: (model.train_on_batch(x, y), model.predict(x)))
        stop.set()
        for t in threads:
            t.join()
    """,
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("case", FORKS)
def test_forks_do_not_hang(tmp_path, case):
    if pn.backend() != "native" and case != "in a generator":
        pytest.skip("a fork while another thread is inside NumPy's BLAS may hang in BLAS")
    script = """
        import os, sys, threading, time, warnings
        import numpy as np
        import pynn as pn
        warnings.simplefilter("ignore")

        x, y = np.ones((64, 200), np.float32), np.ones((64, 1), np.float32)
        model = pn.Sequential([pn.layers.Dense(300, input_shape=(200,)), pn.layers.Dropout(0.2), pn.layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, y, verbose=0)

        def child(work):
            pid = os.fork()
            if pid == 0:
                try:
                    work()
                    os._exit(0)
                finally:
                    os._exit(1)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    return
                time.sleep(0.005)
            os.kill(pid, 9)
            sys.stderr.write("a child hangs")
            os._exit(3)
    """
    path = tmp_path / "forks.py"
    path.write_text(textwrap.dedent(script) + textwrap.dedent(FORKS[case]))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
