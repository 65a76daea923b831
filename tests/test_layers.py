"""Every registered layer against its own samples: config, shapes, seeds, gradients, weights; and what layers say when misused."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import pynn as pn
from pynn.engine.tape import Tape
from pynn.layers.names import registered_layers
from pynn.layers.structure import flatten, is_shape, map_shapes, map_structure
from pynn.serialization import constructor_arguments

SAMPLES = [(cls, i) for cls in registered_layers().values() for i in range(len(cls.samples()))]
RANDOM = ("dropout", "noise")


def sample_of(cls, index):
    sample = dict(cls.samples()[index])
    return sample, sample.pop("input_shape"), sample.pop("integers", None)


def inputs_for(shape, integers, dtype, seed=0):
    rng = np.random.default_rng(seed)
    draw = (lambda s: rng.integers(0, integers, s)) if integers else (lambda s: rng.normal(size=s).astype(dtype))
    return map_shapes(draw, shape)


def shapes_of(outputs):
    return map_structure(lambda t: t.shape, outputs)


def as_shapes(shape):
    return map_shapes(tuple, shape)


def is_random(layer) -> bool:
    return any(v.name == "seed_counter" for v in layer.state_variables)


@pytest.fixture(params=SAMPLES, ids=lambda p: f"{p[0].__name__}-{p[1]}")
def case(request):
    return request.param


def test_the_config_round_trip_keeps_everything(case):
    cls, index = case
    sample, shape, integers = sample_of(cls, index)
    layer = cls(**sample)
    config = layer.get_config()
    assert json.loads(json.dumps(config)) == config
    again = cls.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert repr(layer).startswith(cls.__name__)


def test_the_shape_rule_agrees_with_the_call(case):
    cls, index = case
    sample, shape, integers = sample_of(cls, index)
    layer = cls(**sample)
    outputs = layer(inputs_for(shape, integers, np.float32))
    assert shapes_of(outputs) == as_shapes(layer.compute_output_shape(shape))
    assert all(t.dtype == np.float32 for t in flatten(outputs))
    open_batch = map_shapes(lambda s: (None, *s[1:]), shape)
    from_open, from_known = (flatten_shapes(layer.compute_output_shape(given)) for given in (open_batch, shape))
    for got, want in zip(from_open, from_known, strict=True):
        assert got[0] is None and got[1:] == want[1:]
    if not getattr(layer, "stateful", False):
        none = map_structure(lambda x: x[:0], inputs_for(shape, integers, np.float32))
        assert all(t.shape[0] == 0 for t in flatten(layer(none)))


def flatten_shapes(shapes):
    return [tuple(shapes)] if is_shape(shapes) else [tuple(s) for s in shapes]


def test_a_seed_makes_building_and_training_calls_repeat(case):
    cls, index = case
    sample, shape, integers = sample_of(cls, index)
    runs = []
    for _ in range(2):
        pn.set_seed(7)
        layer = cls(**sample)
        outputs = layer(inputs_for(shape, integers, np.float32), training=True)
        runs.append([*layer.get_weights(), *(t.numpy() for t in flatten(outputs))])
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second)


def test_weights_move_from_one_layer_to_another(case):
    cls, index = case
    sample, shape, integers = sample_of(cls, index)
    x = inputs_for(shape, integers, np.float32)
    first, second = cls(**sample), cls(**sample)
    first(x), second(x)
    first.reset_state(), second.reset_state()
    second.set_weights(first.get_weights())
    for a, b in zip(flatten(first(x)), flatten(second(x)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    paths = [w.path for w in first.weights]
    assert len(set(paths)) == len(paths) and all(p.startswith(first.name + "/") for p in paths)
    assert first.count_params() == sum(w.size for w in first.weights)


def projected_loss(layer, x, training):
    """Sum of outputs times fixed numbers, and nothing else that is random."""
    layer.reset_state()
    for variable in layer.state_variables:
        if variable.name == "seed_counter":
            variable.assign(np.zeros((), np.int64))
    total = None
    for i, y in enumerate(flatten(layer(x, training=training))):
        weights = np.random.default_rng(100 + i).normal(size=y.shape)
        term = pn.sum(y * pn.tensor(weights))
        total = term if total is None else total + term
    return total


@pytest.mark.parametrize("training", [False, True])
def test_gradients_agree_with_differences(case, training):
    cls, index = case
    sample, shape, integers = sample_of(cls, index)
    layer = cls(**{**sample, "dtype": "float64"})
    x = inputs_for(shape, integers, np.float64)
    projected_loss(layer, x, False)
    rng = np.random.default_rng(3)
    for weight in layer.weights:
        weight.assign(weight.numpy() + 0.1 * rng.uniform(0.2, 1, weight.shape))
    moving = [w.numpy() for w in layer.non_trainable_weights]

    def loss(*values):
        for weight, value in zip(layer.non_trainable_weights, moving, strict=True):
            weight.assign(value)
        return projected_loss(layer, values[0] if is_shape(shape) else list(values), training)

    leaves = [] if integers else [pn.tensor(leaf) for leaf in flatten(x)]
    if leaves:
        gradients = pn.grads(loss)(*leaves)
        check_direction(lambda vs: float(loss(*vs)), [leaf.numpy() for leaf in leaves], [g.numpy() for g in gradients])
    variables = layer.trainable_weights
    if variables:
        fixed = leaves or [x]
        with Tape() as tape:
            reads = [v.value for v in variables]
            for read in reads:
                tape.watch(read)
            value = loss(*fixed)
        gradients = [g.numpy() for g in tape.gradient(value, reads)]

        def at(values):
            for variable, new in zip(variables, values, strict=True):
                variable.assign(new)
            return float(loss(*fixed))

        check_direction(at, [v.numpy() for v in variables], gradients)


def check_direction(f, values, gradients):
    """The slope along a random direction against a central difference."""
    rng = np.random.default_rng(11)
    step = 1e-6
    directions = [rng.normal(size=v.shape) for v in values]
    ahead = f([v + step * d for v, d in zip(values, directions, strict=True)])
    behind = f([v - step * d for v, d in zip(values, directions, strict=True)])
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    f(values)
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=2e-5, abs=2e-6)


def test_a_captured_call_equals_the_eager_one(case):
    cls, index = case
    sample, shape, integers = sample_of(cls, index)
    layer = cls(**sample)
    leaves = [pn.tensor(leaf) for leaf in flatten(inputs_for(shape, integers, np.float32))]

    def run(*values):
        return list(flatten(layer(values[0] if is_shape(shape) else list(values))))

    eager = run(*leaves)
    layer.reset_state()
    eager = run(*leaves)
    layer.reset_state()
    for a, b in zip(eager, pn.function(run)(*leaves), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


# -- the base class ----------------------------------------------------------------------------------------------------


def test_names_count_and_paths_follow():
    pn.layers.clear_names()
    first, second = pn.layers.Dense(2), pn.layers.Dense(2)
    assert (first.name, second.name) == ("dense", "dense_1")
    assert pn.layers.MaxPooling2D().name == "max_pooling2d"
    second.build((None, 3))
    assert [w.path for w in second.weights] == ["dense_1/kernel", "dense_1/bias"]


def test_user_layers_find_weights_and_layers_in_lists_and_dicts():
    class Block(pn.layers.Layer):
        def __init__(self, **common):
            super().__init__(**common)
            self.steps = [pn.layers.Dense(3), pn.layers.Dense(2)]
            self.more = {"scale": pn.Variable([2.0], name="scale")}

        def call(self, x):
            for step in self.steps:
                x = step(x)
            return x * self.more["scale"]

    block = Block()
    assert block(np.ones((4, 5), np.float32)).shape == (4, 2)
    assert len(block.layers) == 2 and len(block.weights) == 5
    block.trainable = False
    assert not block.trainable_weights and not block.steps[0].kernel.trainable
    block.trainable = True
    assert len(block.trainable_weights) == 5
    assert block.compute_output_shape((None, 5)) == (None, 2)


def test_layers_written_for_keras():
    class Linear(pn.layers.Layer):
        def __init__(self, units=3):
            super().__init__()
            self.units = units

        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True)
            self.b = self.add_weight((self.units,), initializer="zeros")

        def call(self, inputs, training=None):
            return pn.matmul(inputs, self.w) + self.b

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], self.units)

    layer = Linear()
    assert layer(pn.layers.Input((4,))).shape == (None, 3)
    assert [w.name for w in layer.weights] == ["weight", "weight_1"]
    assert layer.count_params() == 15


def test_a_forgotten_super_init_is_named():
    class Forgetful(pn.layers.Layer):
        def __init__(self):
            self.inner = pn.layers.Dense(2)

    with pytest.raises(TypeError, match=r"call super\(\).__init__"):
        Forgetful()(np.ones((1, 2), np.float32))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_layers_are_copied_with_their_weights(way):
    layer = pn.layers.BatchNormalization()
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    layer(x, training=True)
    again = way(layer)
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())
    again.trainable = False
    again.trainable = True
    assert [w.name for w in again.trainable_weights] == ["gamma", "beta"]
    again(x, training=True)
    assert (again.moving_mean.numpy() != layer.moving_mean.numpy()).any()


def test_training_reaches_inner_layers():
    class Block(pn.layers.Layer):
        def __init__(self):
            super().__init__()
            self.drop = pn.layers.Dropout(0.5, seed=1)

        def call(self, x):
            return self.drop(x)

    block, x = Block(), np.ones((8, 8), np.float32)
    assert (block(x).numpy() == 1).all()
    assert (block(x, training=True).numpy() == 0).any()


def test_penalties_of_weights_and_activities_are_losses():
    penalties = dict(kernel_regularizer="l2", activity_regularizer=pn.regularizers.L1(0.5))
    layer = pn.layers.Dense(2, kernel_initializer="ones", use_bias=False, **penalties)
    layer(np.ones((1, 3), np.float32))
    assert [float(v) for v in layer.losses] == pytest.approx([0.06, 3.0])
    layer.trainable = False
    layer(np.ones((1, 3), np.float32))
    assert len(layer.losses) == 1


def test_masks_travel_and_stop():
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    embedded = pn.layers.Embedding(5, 4, mask_zero=True)(ids)
    assert embedded.mask.numpy().tolist() == [[True, True, False], [True, False, False]]
    dense = pn.layers.Dense(3)(embedded)
    assert dense.mask is not None
    assert pn.layers.LSTM(2, return_sequences=True)(dense).mask is not None
    assert pn.layers.LSTM(2)(dense).mask is None
    mean = pn.layers.GlobalAveragePooling1D()(dense)
    np.testing.assert_allclose(mean.numpy()[1], dense.numpy()[1, 0], rtol=1e-6)


def test_frozen_batch_normalization_uses_its_moving_statistics():
    layer = pn.layers.BatchNormalization(momentum=0.5)
    x = np.random.default_rng(0).normal(3, 2, (64, 2)).astype(np.float32)
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x.mean(0) / 2, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.5 + x.var(0) / 2, rtol=1e-5)
    layer.trainable = False
    np.testing.assert_array_equal(layer(x, training=True).numpy(), layer(x).numpy())


def test_dropout_scales_what_it_keeps_and_draws_anew():
    layer = pn.layers.Dropout(0.25)
    x = np.ones((200, 200), np.float32)
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert abs((first == 0).mean() - 0.25) < 0.01 and (first != second).any()
    assert layer.weights == [] and layer.state_variables[0].path.endswith("/seed_counter")


def test_stateful_layers_go_on_where_they_were():
    layer = pn.layers.LSTM(3, stateful=True)
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    layer(x[:, :3])
    halves = layer(x[:, 3:]).numpy()
    layer.reset_state()
    np.testing.assert_allclose(layer(x).numpy(), halves, atol=1e-6)


class Leaky(pn.layers.Layer):
    """A cell of a user: h = 0.5 h + x w."""

    state_size = 3

    def build(self, input_shape):
        self.w = self.add_weight("w", (input_shape[-1], 3))

    def call(self, x, states):
        h = states[0] * 0.5 + pn.matmul(x, self.w)
        return h, [h]


def test_cells_of_the_users_own_run_step_by_step():
    layer = pn.layers.RNN(Leaky(), return_sequences=True)
    x = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    y = layer(x).numpy()
    h = 0
    for t in range(4):
        h = 0.5 * h + x[:, t] @ layer.cell.w.numpy()
        np.testing.assert_allclose(y[:, t], h, rtol=1e-5, atol=1e-6)
    assert [w.path for w in layer.weights] == [f"{layer.name}/w"]
    masked = layer(x, mask=np.array([[True, True, False, False]] * 2)).numpy()
    np.testing.assert_array_equal(masked[:, 3], y[:, 1])


def test_stacked_cells_equal_layers_one_after_the_other():
    x = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    stack = pn.layers.RNN([pn.layers.LSTMCell(3), pn.layers.GRUCell(2)], name="s")
    y = stack(x)
    first, second = pn.layers.LSTM(3, return_sequences=True), pn.layers.GRU(2)
    first.build(x.shape), second.build((2, 4, 3))
    first.set_weights(stack.get_weights()[:3]), second.set_weights(stack.get_weights()[3:])
    np.testing.assert_array_equal(y.numpy(), second(first(x)).numpy())
    assert [w.path for w in stack.weights][:2] == ["s/RNNCell_0/kernel", "s/RNNCell_0/recurrent_kernel"]


def test_both_ways_keep_functions_of_the_users_own():
    def gated(z):
        return z * pn.sigmoid(2.0 * z)

    def rising(shape, dtype=None):
        return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)

    layer = pn.layers.Bidirectional(pn.layers.LSTM(2, activation=gated, kernel_initializer=rising, kernel_regularizer=pn.sum))
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    y = layer(x).numpy()
    for side, half, way in ((layer.forward_layer, y[:, :2], x), (layer.backward_layer, y[:, 2:], x[:, ::-1])):
        alone = pn.layers.LSTM(2, activation=gated)
        alone.build(x.shape)
        alone.set_weights(side.get_weights())
        np.testing.assert_allclose(alone(np.ascontiguousarray(way)).numpy(), half, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(side.kernel.numpy(), rising(side.kernel.shape))
    assert len(layer.losses) == 2
    ways = [w.numpy() for w in layer.weights if w.path.endswith("recurrent_kernel")]
    assert len(ways) == 2 and not np.array_equal(*ways)


def test_both_ways_have_cells_of_their_own():
    layer = pn.layers.Bidirectional(pn.layers.RNN([Leaky(), pn.layers.GRUCell(2, activation=lambda z: pn.tanh(z) * 0.5)]))
    assert layer(np.ones((2, 4, 5), np.float32)).shape == (2, 4)
    assert len({id(w) for w in layer.weights}) == 8


def test_a_cell_is_one_step_of_its_layer():
    x = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    cell = pn.layers.LSTMCell(3)
    h, states = cell(x, [np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)])
    layer = pn.layers.LSTM(3, return_state=True)
    layer.build((2, 1, 5))
    layer.set_weights(cell.get_weights())
    for a, b in zip([h, *states], layer(x[:, None]), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_symbolic_calls_infer_shapes_and_record_nodes():
    x = pn.layers.Input((4, 3))
    sequence, h, c = pn.layers.LSTM(5, return_sequences=True, return_state=True)(x)
    assert sequence.shape == (None, 4, 5) and c.shape == (None, 5)
    y = pn.layers.LSTM(5)(sequence, initial_state=[h, c])
    assert y.node.parents == [sequence, h, c]
    assert pn.layers.Add()([y, h]).shape == (None, 5) and (y + h).shape == (None, 5)


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: pn.layers.Dense(3, activaton="relu"), "Did you mean 'activation'"),
        (lambda: pn.layers.Dense(3, activation="rely"), "Did you mean 'relu'"),
        (lambda: pn.layers.Dense(0), "units must be a whole number above zero"),
        (lambda: pn.layers.Dropout(1.5), r"rate must be in \[0, 1\)"),
        (lambda: pn.layers.Conv2D(3, (1, 2, 3)), "kernel_size must be a whole number or 2"),
        (lambda: pn.layers.Conv2D(3, 3, padding="some"), "Known: 'valid', 'same'"),
        (lambda: pn.layers.Dense(3, kernel_initializer="glorot"), "no initializer with this name"),
        (lambda: pn.layers.Dense(3, name="a/b"), "without '/'"),
        (lambda: pn.layers.find_class("Danse"), "Did you mean 'Dense'"),
    ],
)
def test_constructors_explain(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize(
    "layer, shape, words",
    [
        (lambda: pn.layers.Dense(3, name="d"), (4,), r"\[Dense 'd'\] the input must have 2 axes or more"),
        (lambda: pn.layers.LSTM(3, name="r"), (4, 5), r"\[LSTM 'r'\] the input must have 3 axes \(batch, time, features\)"),
        (lambda: pn.layers.Conv2D(3, 3, name="c"), (4, 28, 28), r"Add an axis of one channel with x\[\.\.\., None\]"),
        (lambda: pn.layers.Conv2D(3, 9, name="c"), (4, 8, 8, 1), r"\[Conv2D 'c'\]"),
        (lambda: pn.layers.Add(name="a"), (4, 8), r"\[Add 'a'\] expects a list"),
        (lambda: pn.layers.Reshape((5,), name="s"), (4, 8), "8 elements per example doesn't fit"),
        (lambda: pn.layers.LSTM(3, stateful=True, name="r"), (None, 5, 2), "needs to know the batch size"),
    ],
)
def test_calls_name_the_layer(layer, shape, words):
    with pytest.raises(ValueError, match=words):
        if None in shape:
            layer()(pn.layers.Input(batch_shape=shape))
        else:
            layer()(np.zeros(shape, np.float32))


@pytest.mark.parametrize("use", [
    lambda h: h * 2, lambda h: 2 * h, lambda h: 1.0 - h, lambda h: h / 2, lambda h: h @ np.ones((4, 2)), lambda h: np.float32(2) * h,
    lambda h: h**2, lambda h: -h, lambda h: h[:, 0], lambda h: h > 0, lambda h: h + pn.ones(4), lambda h: pn.ones(4) + h, abs,
])  # fmt: skip
def test_symbolic_tensors_say_what_to_use(use):
    with pytest.raises(TypeError, match=r"\[h\] a symbolic tensor has no value.* Use layers on it"):
        use(pn.Input((4,), name="h"))


def test_another_length_than_at_building_is_refused():
    layer = pn.layers.Dense(3)
    layer(np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match="axis -1 of the input must have length 5"):
        layer(np.zeros((2, 6), np.float32))


def test_set_weights_explains():
    layer = pn.layers.Dense(3, name="d")
    layer.build((None, 2))
    with pytest.raises(ValueError, match="expected 2 arrays. Received: 1.*d/kernel"):
        layer.set_weights([np.zeros((2, 3))])
    with pytest.raises(ValueError, match="'d/kernel' has another shape"):
        layer.set_weights([np.zeros((3, 2)), np.zeros(3)])


def test_ids_outside_the_table_are_refused():
    with pytest.raises(ValueError, match="out of range"):
        pn.layers.Embedding(3, 2)(np.array([[0, 3]]))


def test_batch_normalization_keeps_statistics_along_one_axis_that_is_there():
    with pytest.raises(ValueError, match=r"\[BatchNormalization .* statistics are kept along one axis. Received: axis=\[1, 2\]"):
        pn.layers.BatchNormalization(axis=[1, 2])
    with pytest.raises(ValueError, match=r"\[BatchNormalization .* the input has no axis 5. Received: shape=\(2, 3\)"):
        pn.layers.BatchNormalization(axis=5)(np.ones((2, 3), np.float32))
    assert pn.layers.BatchNormalization(axis=[1]).axis == 1


@pytest.mark.parametrize("make, shape, words", [
    (lambda: pn.layers.LayerNormalization(axis=3), (3, 4), "the input has no axis 3"),
    (lambda: pn.layers.LayerNormalization(axis=[1, -4]), (3, 4), "the input has no axis -4"),
    (lambda: pn.layers.Normalization(axis=3, mean=0.0, variance=[1.0] * 4), (3, 4), "the input has no axis 3"),
    (lambda: pn.layers.Concatenate(axis=3), [(3, 4)] * 2, "the input has no axis 3"),
    (lambda: pn.layers.Dot(axes=2), [(3,)] * 2, "the input has no axis 2"),
    (lambda: pn.layers.Dot(axes=(1, 0)), [(3,)] * 2, "axes must come after the batch axis"),
    (lambda: pn.layers.Cropping1D((2, 1)), (3, 4), "nothing is left of the input"),
    (lambda: pn.layers.Cropping2D(2), (4, 5, 1), "nothing is left of the input"),
    (lambda: pn.layers.Resizing(2, 2), (3,), "must have 3 axes or more"),
    (lambda: pn.layers.CenterCrop(2, 2), (3,), "must have 3 axes or more"),
    (lambda: pn.layers.RandomWidth(0.1), (4, 5), "must have 4 axes"),
])  # fmt: skip
@pytest.mark.parametrize("symbolic", [False, True])
def test_layers_refuse_axes_that_are_not_there(make, shape, words, symbolic):
    made = [pn.Input(s) if symbolic else np.ones((2, *s), np.float32) for s in (shape if isinstance(shape, list) else [shape])]
    layer = make()
    with pytest.raises(ValueError, match=rf"\[{type(layer).__name__} .*\] .*{words}.* Received: "):
        layer(made if len(made) > 1 else made[0])


@pytest.mark.parametrize("cls, lengths, kernel, strides, padding, more, wanted, total", [  # total: the outputs times cos(0), cos(1), ...
    (pn.layers.Conv2DTranspose, (2, 2), 3, 2, "same", 0, (3, 3), 14.944821),
    (pn.layers.Conv2DTranspose, (2, 2), 3, 2, "same", 1, (4, 4), -15.292882),
    (pn.layers.Conv2DTranspose, (2, 3), 3, (3, 2), "same", (1, 0), (5, 5), -15.354429),
    (pn.layers.Conv2DTranspose, (2, 2), 2, 2, "same", 1, (3, 3), 4.187656),
    (pn.layers.Conv2DTranspose, (2, 3), 4, 3, "same", (1, 2), (4, 8), -17.213374),
    (pn.layers.Conv2DTranspose, (2, 3), 5, 4, "same", (1, 2), (6, 11), 53.136360),
    (pn.layers.Conv2DTranspose, (2, 3), 2, 3, "valid", 1, (6, 9), -8.924413),
    (pn.layers.Conv2DTranspose, (2, 3), 2, 3, "valid", 0, (5, 8), 27.417069),
    (pn.layers.Conv2DTranspose, (2, 3), 3, 2, "valid", (1, 0), (6, 7), 91.785358),
    (pn.layers.Conv1DTranspose, (4,), 3, 2, "same", 0, (7,), 1.574101),
    (pn.layers.Conv1DTranspose, (4,), 3, 3, "valid", 1, (13,), -6.269983),
    (pn.layers.Conv3DTranspose, (2, 2, 3), 3, 2, "same", 0, (3, 3, 5), 75.796273),
    (pn.layers.Conv3DTranspose, (2, 2, 3), 4, 3, "same", (1, 2, 1), (4, 5, 7), 405.689088),
    (pn.layers.Conv3DTranspose, (2, 2, 3), 2, 3, "valid", (1, 0, 2), (6, 5, 10), -215.473576),
])  # fmt: skip
def test_output_padding_as_keras_has_it(cls, lengths, kernel, strides, padding, more, wanted, total):
    def counted(shape):
        return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)

    layer, x = cls(1, kernel, strides, padding, output_padding=more, use_bias=False), counted((1, *lengths, 1))
    layer.build(x.shape)
    layer.set_weights([counted(layer.kernel.shape)])
    y = layer(x).numpy()
    assert y.shape == layer.compute_output_shape(x.shape) == (1, *wanted, 1)
    assert (y.ravel() * np.cos(np.arange(y.size))).sum() == pytest.approx(total, abs=2e-4)


@pytest.mark.parametrize("words", [dict(output_padding=2), dict(kernel_size=2, output_padding=0), dict(output_padding=-1)])
def test_output_padding_that_no_output_has(words):
    with pytest.raises(ValueError, match=r"\[Conv2DTranspose .* output_padding"):
        pn.layers.Conv2DTranspose(1, **{"kernel_size": 3, **words}, strides=2, padding="same")


def test_nested_lists_of_numbers_are_one_input():
    dense = pn.layers.Dense(2, kernel_initializer="ones")
    assert dense([[1.0, 2.0]]).tolist() == [[3.0, 3.0]]
    model = pn.Sequential([pn.Input((2,)), dense])
    assert model([[1.0, 2.0]]).tolist() == model.predict([[1.0, 2.0]]).tolist() == [[3.0, 3.0]]
    assert pn.layers.Add()([pn.ones((1, 2)), pn.ones((1, 2))]).tolist() == [[2.0, 2.0]]


def test_numbers_beside_tensors_are_several_inputs():
    class Scaled(pn.Layer):
        def call(self, x):
            return x[0] * x[1]

    assert Scaled()([2.0, pn.ones((1, 2))]).tolist() == [[2.0, 2.0]]


def test_data_formats_in_both_spellings_and_no_others():
    classes = [cls for cls in registered_layers().values() if "data_format" in constructor_arguments(cls)]
    assert {pn.layers.Conv2D, pn.layers.SpatialDropout2D, pn.layers.Flatten, pn.layers.CenterCrop} <= set(classes)
    for cls in classes:
        sample = sample_of(cls, 0)[0]
        for spelling, wanted in (("channelsLast", "channels_last"), ("channelsFirst", "channels_first"), (None, "channels_last")):
            assert cls(**{**sample, "data_format": spelling}).data_format == wanted
        with pytest.raises(ValueError, match=rf"\[{cls.__name__} .* unknown data_format. Received: data_format='nonsense'"):
            cls(**{**sample, "data_format": "nonsense"})
    assert pn.layers.SpatialDropout2D(0.5, data_format="channelsLast").noise_shape == (None, 1, 1, None)


def test_softmax_over_several_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    for axis, axes in (([1, 2], (1, 2)), ((-1, 1), (3, 1)), ([2], (2,)), ([3, 1, 2], (1, 2, 3))):
        e = np.exp(x)
        np.testing.assert_allclose(pn.layers.Softmax(axis=axis)(x).numpy(), e / e.sum(axes, keepdims=True), rtol=1e-5)
    for wrong in ([], None, "last", [1.0], True):
        with pytest.raises(ValueError, match=r"\[Softmax .* axis must be a whole number or a list of them"):
            pn.layers.Softmax(axis=wrong)
    for wrong, message in (([1, -3], "named twice"), ([1, 4], "no such axis")):
        with pytest.raises(ValueError, match=message):
            pn.layers.Softmax(axis=wrong)(x)
