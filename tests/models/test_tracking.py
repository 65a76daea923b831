"""What a layer owns is found again whenever it may have changed, and only then."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pynn as pn
from pynn.layers import tracking


class Blocks(pn.layers.Layer):
    """Layers in a list, in a list within a tuple, and in a dict."""

    def __init__(self):
        super().__init__()
        self.row = [dense(1), dense(2)]
        self.nested = ([dense(3)], "a word")
        self.named = {"one": dense(4)}

    def call(self, x):
        return x


def dense(units):
    layer = pn.layers.Dense(units, use_bias=False)
    layer.build((None, 1))
    return layer


def widths(layer):
    return [w.shape[1] for w in layer.weights]


def test_changes_of_lists_and_dicts_are_seen():
    blocks, spare = Blocks(), [dense(n) for n in (5, 6, 7, 8)]
    assert widths(blocks) == [1, 2, 3, 4]
    blocks.row[0] = spare[0]
    assert widths(blocks) == [5, 2, 3, 4]
    blocks.row.reverse()
    assert widths(blocks) == [2, 5, 3, 4]
    blocks.nested[0][0] = spare[1]
    assert widths(blocks) == [2, 5, 6, 4]
    blocks.nested[0].append(spare[2])
    assert widths(blocks) == [2, 5, 6, 7, 4]
    blocks.named["one"] = spare[3]
    assert widths(blocks) == [2, 5, 6, 7, 8]
    blocks.row.pop()
    blocks.row.append(dense(9))
    assert widths(blocks) == [2, 9, 6, 7, 8]
    del blocks.named
    assert widths(blocks) == [2, 9, 6, 7]
    blocks.more = {"deep": [{"deeper": spare[0]}]}
    assert widths(blocks) == [2, 9, 6, 7, 5]
    blocks.more["deep"][0]["deeper"] = spare[3]
    assert widths(blocks) == [2, 9, 6, 7, 8] and len(blocks.flattened_layers()) == 6


def test_a_layer_inside_that_changes_is_seen():
    model = pn.Sequential([pn.layers.Dense(2, input_shape=(3,)), Blocks()])
    assert len(model.weights) == 6
    model.layers[1].row.append(dense(9))
    assert len(model.weights) == 7
    model.layers[0].extra = pn.Variable([1.0])
    assert len(model.weights) == 8
    model.layers[0].trainable = False
    assert len(model.trainable_weights) == 5 and len(model.non_trainable_weights) == 3


def test_what_is_given_out_is_the_callers():
    blocks = Blocks()
    blocks.weights.clear()
    blocks.flattened_layers().clear()
    blocks.trainable_weights.clear()
    assert len(blocks.weights) == 4 and len(blocks.flattened_layers()) == 5


def test_copies_own_what_is_theirs():
    blocks = Blocks()
    assert len(blocks.weights) == 4
    for other in (copy.deepcopy(blocks), pickle.loads(pickle.dumps(blocks))):
        assert widths(other) == [1, 2, 3, 4]
        assert not {id(w) for w in other.weights} & {id(w) for w in blocks.weights}
        other.weights[0].assign([[5.0]])
        assert blocks.weights[0].numpy()[0, 0] != 5
    alike = copy.copy(blocks)
    alike.named = {}
    assert widths(alike) == [1, 2, 3] and widths(blocks) == [1, 2, 3, 4]


@pytest.mark.parametrize("training", [False, True])
def test_calls_and_steps_change_nothing(training, monkeypatch):
    model = pn.Sequential([pn.layers.Dense(3, input_shape=(2,)), pn.layers.BatchNormalization(), pn.layers.Dropout(0.5)])
    x, optimizer = pn.tensor(np.ones((4, 2), np.float32)), pn.optimizers.Adam()

    def step():
        optimizer.minimize(lambda: (model(x, training=training) ** 2).mean(), model.trainable_weights)

    step()
    assert len(model.weights) == 6
    monkeypatch.setattr(tracking, "Inventory", None)  # nothing is looked for any more
    step()
    assert len(model.weights) == 6


def test_a_build_that_fails_leaves_nothing_behind():
    class Grows(pn.layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts, self.dense = [], pn.layers.Dense(2)

        def build(self, input_shape):
            self.parts.append(self.add_weight("first", (2,), trainable=False))
            self.counter = self.add_state("counter", np.zeros((), np.int64))
            self.dense.build(input_shape)
            if input_shape[-1] == 3:
                raise RuntimeError("not three")

        def call(self, x):
            return self.dense(x)

    layer = Grows()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="not three"):
            layer(np.ones((1, 3)))
        assert layer.weights == layer.state_variables == layer.parts == [] and not layer.built and not layer.dense.built
    assert layer(np.ones((1, 4))).shape == (1, 2)
    assert [w.shape for w in layer.weights] == [(2,), (4, 2), (2,)] and len(layer.state_variables) == 1


@pytest.mark.parametrize("initializer, message", [
    (pn.initializers.Constant([1, 2]), r"\[Constant\] the value must be a number or broadcast to .* \(3,\). Received: shape=\(2,\)"),
    ("orthogonal", r"\[Orthogonal\] the shape must have two axes"),
    (lambda shape, dtype: np.ones(1, dtype), r"initializer of the weight 'bias' .* shape \(3,\). Received: shape=\(1,\)"),
])  # fmt: skip
def test_start_values_of_a_wrong_shape_are_told(initializer, message):
    layer = pn.layers.Dense(3, bias_initializer=initializer, name="d")
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"^\[Dense 'd'\] .*{message}"):
            layer(np.ones((2, 4)))
    assert layer.weights == []


@pytest.mark.parametrize("first", [{"input_shape": (3,)}, {}], ids=["known from the first layer", "known from data"])
def test_a_sequential_does_not_keep_a_layer_that_it_refuses(first):
    model = pn.Sequential([pn.layers.Dense(4, **first)])
    model(np.ones((2, 3)))
    for _ in range(2):
        with pytest.raises(ValueError, match="4 channels don't divide into 3 groups"):
            model.add(pn.layers.GroupNormalization(groups=3, name="groups"))
        assert len(model.layers) == 1 and model.predict(np.ones((2, 3))).shape == (2, 4)
    model.add(pn.layers.GroupNormalization(groups=2, name="groups"))
    assert model.predict(np.ones((2, 3))).shape == (2, 4) and len(model.weights) == 4


class Block(pn.layers.Layer):
    """A layer made at once, and one made in `build`."""

    def __init__(self, **common):
        super().__init__(**common)
        self.first = pn.layers.Dense(3)

    def build(self, input_shape):
        self.second = pn.layers.BatchNormalization()
        self.scale = self.add_weight("scale", (1,))

    def call(self, x, *, training=False):
        return self.second(self.first(x), training=training) * self.scale


def functional(**words):
    x = pn.Input((4,))
    return pn.Model(x, pn.layers.Dense(2)(x), **words)


@pytest.mark.parametrize(
    "make",
    [
        Block, functional, lambda **words: pn.Sequential([pn.layers.Dense(2, input_shape=(4,)), pn.layers.Dense(1)], **words),
        lambda **words: pn.Sequential([pn.layers.Dense(2)], **words),
    ],
    ids=["block", "functional", "sequential", "unbuilt"],
)  # fmt: skip
def test_layers_frozen_from_the_start_freeze_what_is_inside(make):
    model = pn.Sequential([pn.Input((4,)), make(trainable=False), pn.layers.Dense(1)])
    frozen = model.layers[0]
    assert frozen.trainable is False and frozen.weights and not frozen.trainable_weights
    before = frozen.get_weights()
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4)), np.zeros((8, 1)), epochs=2, verbose=0)
    for got, want in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)
    frozen.trainable = True
    assert frozen.trainable_weights


def test_what_is_unfrozen_before_the_build_stays_so():
    model = pn.Sequential([pn.layers.Dense(2), pn.layers.Dense(1)])
    model.trainable = False
    model.layers[-1].trainable = True
    model.build((None, 4))
    assert model.trainable_weights == model.layers[-1].weights


def test_training_a_frozen_model_warns_that_nothing_changes():
    frozen = pn.Sequential([pn.layers.Dense(2, input_shape=(3,))])
    frozen.trainable = False
    frozen.compile(loss="mse", optimizer="sgd")
    x, y = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    before = frozen.get_weights()
    for train in (lambda: frozen.fit(x, y, verbose=0), lambda: frozen.train_on_batch(x, y)):
        with pytest.warns(UserWarning, match="none of the 2 weights is trainable") as caught:
            train()
        assert caught[0].filename == __file__  # the user's line, not one of the package
    assert all((a == b).all() for a, b in zip(before, frozen.get_weights(), strict=True))
