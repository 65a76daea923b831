"""Data that comes in batches: generators, iterables and indexable objects, for `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

import pynn as pn
from pynn import layers as L
from pynn.data.arrays import to_array

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = (X @ RNG.normal(size=(4, 1))).astype(np.float32)
PARTS = [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 50, 10)]


class Indexed:
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return PARTS[i]


class Iterable:
    def __iter__(self):
        return iter(PARTS)


def line(**kwargs):
    pn.set_seed(3)
    model = pn.Sequential([L.Dense(1, input_shape=(4,))])
    model.compile("sgd", "mean_squared_error", **kwargs)
    return model


def weights(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


def test_generators_equal_arrays():
    a, b = line(), line()
    a.fit(X, Y, batch_size=10, epochs=2, shuffle=False, verbose=0)

    def batches():
        while True:
            for i in range(0, 50, 10):
                yield X[i : i + 10], Y[i : i + 10]

    b.fit(batches(), epochs=2, steps_per_epoch=5, verbose=0)
    np.testing.assert_array_equal(weights(a), weights(b))


@pytest.mark.parametrize("source", [Indexed, Iterable])
@pytest.mark.parametrize("steps", [None, 3, 5, 7, 10])
def test_iterables_and_indexable_objects_go_around(source, steps):
    """An epoch of all batches starts anew, one of so many steps goes on where the last one ended."""
    model, want = line(), line()
    model.fit(source(), epochs=3, steps_per_epoch=steps, verbose=0)
    for i in range(3 * (steps or 5)):
        want.train_on_batch(*PARTS[i % 5])
    np.testing.assert_array_equal(weights(model), weights(want))


def test_no_batch_is_evaluated_or_predicted_twice():
    model = line()
    assert model.predict(Iterable(), steps=7).shape == (50, 1) and model.predict(Iterable(), steps=2).shape == (20, 1)
    assert model.evaluate(Iterable(), steps=7) == model.evaluate(X, Y, batch_size=10)
    assert model.evaluate(Indexed(), steps=2) == model.evaluate(X[:20], Y[:20], batch_size=10)


def test_an_exhausted_generator_says_so():
    with pytest.raises(ValueError, match="steps_per_epoch"):
        line().fit(iter([(X, Y)]), epochs=2, verbose=0)


def test_batches_are_numbered_from_zero():
    begun = []
    hooks = {f"on_{kind}_batch_begin": lambda batch, logs, kind=kind: begun.append((kind, batch)) for kind in ("train", "test", "predict")}
    model, callbacks = line(), [pn.callbacks.LambdaCallback(**hooks)]
    for source in (X, Iterable()):
        y, words = (Y, {"batch_size": 20}) if source is X else (None, {})
        model.fit(source, y, epochs=2, verbose=0, callbacks=callbacks, **words)
        model.evaluate(source, y, callbacks=callbacks, **words)
        model.predict(source, callbacks=callbacks, **words)
        kinds = ["train"] * 2 + ["test", "predict"]
        assert begun == [(kind, batch) for kind in kinds for batch in range(3 if source is X else 5)]
        begun.clear()


@pytest.mark.parametrize("arguments", [dict(), dict(run_eagerly=True)], ids=["captured", "eager"])
def test_values_so_far_come_with_each_batch(arguments):
    found = []
    note = pn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: found.append((batch, logs["loss"])))
    histories = [line(**arguments).fit(*data, batch_size=size, shuffle=False, epochs=2, verbose=0, callbacks=[note]).history["loss"]
                 for data, size in (((X, Y), 10), ((Iterable(),), None))]  # fmt: skip
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)
    assert [batch for batch, _ in found] == [*range(5)] * 4
    assert [found[i][1] for i in (4, 9, 14, 19)] == [*histories[0], *histories[1]]
    assert found[0][1] == pytest.approx(line().evaluate(X[:10], Y[:10]), rel=1e-5)


def test_data_that_want_to_know_are_told_of_the_end_of_an_epoch():
    class Shuffled(Indexed):
        ends = 0

        def on_epoch_end(self):
            self.ends += 1

    data = Shuffled()
    line().fit(data, epochs=3, verbose=0)
    assert data.ends == 3


def test_nothing_to_evaluate_or_predict_on():
    for call in (line().evaluate, line().predict):
        with pytest.raises(ValueError, match="there is no data to evaluate on|there is nothing to predict"):
            call(iter([]))


def test_validation_may_come_in_batches_where_training_has_a_size():
    history = line().fit(X, Y, batch_size=8, validation_data=((X, Y) for _ in range(2)), validation_steps=1, epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2


def test_a_batch_is_a_tuple_or_the_object_of_tensorflow_js():
    model, want = line(), line()
    model.fit(iter([{"xs": X[:10], "ys": Y[:10]}]), verbose=0)
    want.train_on_batch(X[:10], Y[:10])
    np.testing.assert_array_equal(weights(model), weights(want))
    for item, words in ((X, "came without targets"), ((X, None), "came without targets"), ((X, Y, None, None), "a tuple of 4")):
        with pytest.raises(ValueError, match=words):
            line().fit(iter([item]), verbose=0)


def test_a_list_of_arrays_is_a_batch_with_its_targets():
    model, want = line(), line()
    parts = [(X[:10], Y[:10]), (X[10:20], Y[10:20])]
    got = model.fit(iter([list(part) for part in parts]), validation_data=iter([[X, Y]]), verbose=0).history
    assert got == want.fit(iter(parts), validation_data=iter([(X, Y)]), verbose=0).history
    np.testing.assert_array_equal(weights(model), weights(want))
    assert model.evaluate(iter([[X, Y]])) == want.evaluate(iter([(X, Y)]))


def test_a_batch_that_is_not_finite_is_named():
    broken = [*PARTS[:2], (X[:10] * np.nan, Y[:10])]
    model, want = line(), line()
    with pytest.raises(pn.NonFiniteError, match="epoch 1, batch 3: .*input 0 of the model"):
        model.fit(iter(broken), verbose=0)
    for part in PARTS[:2]:
        want.train_on_batch(*part)
    np.testing.assert_array_equal(weights(model), weights(want))


def test_training_stops_after_the_batch_that_says_so():
    class Stop(pn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model, source = line(), iter(PARTS)
    model.fit(source, epochs=3, verbose=0, callbacks=[Stop()])
    assert int(model.optimizer.iterations) == 2 and len(list(source)) == 3


def test_epochs_that_are_shorter_than_asked_for_are_no_secret():
    for source in ((X, Y), (iter(PARTS[:3]),)):
        words = {"batch_size": 20} if source[0] is X else {}
        with pytest.warns(UserWarning, match=r"fewer batches than steps_per_epoch. Received: steps_per_epoch=5, but .* 3\. Leave") as found:
            line().fit(*source, steps_per_epoch=5, verbose=0, **words)
        assert len(found) == 1 and found[0].filename == __file__
    stop = pn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", True))
    model = line()
    model.fit(iter(PARTS), steps_per_epoch=3, verbose=0, callbacks=[stop])


class Sparse:
    """As in SciPy: an iterable of rows that has a shape, and no length."""

    shape = (4, 2)

    def __iter__(self):
        return iter(np.eye(4, 2, dtype=np.float32))

    def __len__(self):
        raise TypeError("sparse array length is ambiguous; use getnnz() or shape[0]")

    def toarray(self):
        return np.eye(4, 2, dtype=np.float32)


def test_what_is_sparse_or_masked_is_no_data():
    model, y = line(), np.zeros((4, 1), np.float32)
    masked = np.ma.masked_greater(np.arange(16.0).reshape(4, 4), 14.5)
    calls = [lambda x: model.fit(x, y, verbose=0), lambda x: model.predict(x, verbose=0), lambda x: model.train_on_batch(x, y), pn.tensor]
    for call in calls:
        with pytest.raises(TypeError, match=r"must be dense. Received: a Sparse of shape \(4, 2\). Pass .*toarray\(\)"):
            call(Sparse())
        with pytest.raises(ValueError, match=r"elements without a value. Received: a MaskedArray with 1 of 16 masked. Pass .*filled\(0\)"):
            call(masked)
    unmasked = np.ma.masked_array(masked.data, mask=False)
    np.testing.assert_array_equal(model.predict(unmasked, verbose=0), model.predict(masked.data, verbose=0))


def test_validation_data_in_a_dict_are_named_not_shown():
    x, y = np.zeros((4, 4), np.float32), np.zeros((4, 1), np.float32)
    with pytest.raises(ValueError, match=r"validation_data must be \(x, y\).*Received: a dict with 'x', 'y'\.$"):
        line().fit(x, y, validation_data={"x": x, "y": y}, verbose=0)


def test_memory_of_numbers_is_data():
    model, x = line(), np.arange(16, dtype=np.float32).reshape(4, 4)
    wanted = model.predict(x, verbose=0)
    np.testing.assert_array_equal(model.predict(memoryview(x), verbose=0), wanted)
    assert model.fit(memoryview(x), array("f", [0.0] * 4), verbose=0).history["loss"]
    with pytest.raises(TypeError, match=r"\[data\] x must hold numbers. Received: dtype"):
        model.predict(x.tobytes(), verbose=0)


def test_tables_of_nullable_columns_are_data():
    pandas = pytest.importorskip("pandas")
    model, x = line(), np.arange(16, dtype=np.float32).reshape(4, 4)
    wanted = model.predict(x, verbose=0)
    for dtype in ("Float32", "Int64", "boolean"):
        table = pandas.DataFrame(x if dtype != "boolean" else x > 5).astype(dtype)
        expected = model.predict(table.to_numpy(np.float32), verbose=0)
        np.testing.assert_array_equal(model.predict(table, verbose=0), expected)
    assert to_array(pandas.DataFrame({"a": [2**60 + 1, 2], "b": [1, 2]}).astype("Int64"), "x").tolist() == [[2**60 + 1, 1], [2, 2]]
    missing = pandas.DataFrame(x).astype("Int64")
    missing.iloc[1, 2] = pandas.NA
    found = model.predict(missing, verbose=0)
    assert np.isnan(found[1, 0])
    np.testing.assert_array_equal(np.delete(found, 1, 0), np.delete(wanted, 1, 0))
    with pytest.raises(TypeError, match=r"x must hold numbers.* not numbers in 'a'"):
        model.predict(pandas.DataFrame({"a": ["u", "v"], "b": pandas.array([1, 2], dtype="Int64")}), verbose=0)
