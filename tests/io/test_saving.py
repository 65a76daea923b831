"""What saving writes, what it leaves alone, and what it says about models that can't come back as they are."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

import pynn as pn

X, Y = np.ones((8, 4), np.float32), np.zeros((8, 2), np.float32)


def small(**kwargs):
    return pn.Sequential([pn.layers.Dense(3, input_shape=(4,), **kwargs), pn.layers.Dense(2)])


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def description(folder):
    return json.loads((folder / "model.json").read_text())


# -- the folder --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "[]", '{"weightsManifest": 3}', '{"weightsManifest": [{"paths": [["x"]], "weights": []}]}'])
def test_a_folder_without_a_model_keeps_its_files(tmp_path, text):
    (tmp_path / "data.bin").write_text("mine")
    (tmp_path / "folder.bin").mkdir()
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    small().save(tmp_path)
    assert names(tmp_path) == ["data.bin", "folder.bin", "model.json", "weights.bin"]
    pn.load_model(tmp_path)


def test_shards_of_the_model_before_go_and_files_of_others_stay(tmp_path):
    small().save(tmp_path)
    (tmp_path / "weights.bin").rename(tmp_path / "group1-shard1of1.bin")
    before = description(tmp_path)
    before["weightsManifest"][0]["paths"] = ["group1-shard1of1.bin"]
    (tmp_path / "model.json").write_text(json.dumps(before))
    (tmp_path / "data.bin").write_text("mine")
    small().save(tmp_path)
    assert names(tmp_path) == ["data.bin", "model.json", "weights.bin"]


# -- the training ------------------------------------------------------------------------------------------------------


def trained(optimizer="adam", loss="mse", **kwargs):
    model = small()
    model.compile(optimizer, loss, **kwargs)
    model.fit(X, Y, verbose=0)
    return model


def freeze(model):
    model.layers[0].trainable = False


def freeze_all(model):
    model.trainable = False


def unfreeze(model):
    freeze(model)
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = True


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum", "rmsprop"])
@pytest.mark.parametrize("change", [freeze, freeze_all, unfreeze])
def test_freezing_after_training_keeps_the_optimizer(tmp_path, change, optimizer):
    model = trained(optimizer)
    change(model)
    with pytest.warns(UserWarning, match="without its optimizer: layers were frozen or unfrozen"):
        model.save(tmp_path / "m")
    again = pn.load_model(tmp_path / "m")
    assert [v.path for v in again.optimizer.variables] == [v.path for v in model.optimizer.variables]
    assert "trainingConfig" not in description(tmp_path / "m")
    for m in (model, again):
        m.trainable = True
        m.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_optimizer_of_weights_that_are_gone_is_left_out(tmp_path):
    model = trained()
    other = pn.Variable(np.ones(2, np.float32), name="elsewhere")
    model.optimizer.build([other])
    with pytest.warns(UserWarning, match="trained weights that the model no longer has|layers were frozen"):
        model.save(tmp_path / "m")
    assert pn.load_model(tmp_path / "m").optimizer is None


LOSSES = [("mse", "mean_squared_error"), ("kl_divergence", "kullback_leibler_divergence"), ("log_cosh", "logcosh"),
          ("cosine_similarity", "cosine_proximity"), ("bce", "binary_crossentropy"), (pn.losses.mean_absolute_error, "mean_absolute_error"),
          (pn.losses.SquaredHinge(), "squared_hinge"),
          ("categoricalHinge", "categorical_hinge"), (["mae"], ["mean_absolute_error"])]  # fmt: skip


@pytest.mark.parametrize("loss, word", LOSSES, ids=lambda v: str(v)[:20])
def test_losses_get_the_word_of_tensorflow_js(tmp_path, loss, word):
    trained(loss=loss).save(tmp_path / "m")
    assert description(tmp_path / "m")["trainingConfig"]["loss"] == word
    (tmp_path / "m" / "pynn_state.safetensors").unlink()
    with pytest.warns(UserWarning, match="not with the same bits"):
        assert pn.load_model(tmp_path / "m").optimizer is not None


METRICS = [(["mean_squared_error", "acc", "accuracy"], ["mse", "acc", "accuracy"]), ([pn.metrics.MeanAbsoluteError(name="x")], ["mae"]),
           ([pn.metrics.CategoricalAccuracy()], ["categorical_accuracy"]), ([pn.metrics.CategoricalAccuracy], ["categorical_accuracy"]),
           ({"dense_1": ["binary_accuracy"]}, {"dense_1": ["binaryAccuracy"]})]  # fmt: skip


@pytest.mark.parametrize("given, words", METRICS, ids=lambda v: str(v)[:30])
def test_metrics_get_the_word_of_tensorflow_js(tmp_path, given, words):
    if isinstance(given, dict):
        model = pn.Sequential([pn.layers.Dense(3, input_shape=(4,)), pn.layers.Dense(2, name="dense_1")])
        model.compile("adam", "mse", metrics=given)
        model.fit(X, Y, verbose=0)
    else:
        model = trained(metrics=given)
    model.save(tmp_path / "m")
    assert description(tmp_path / "m")["trainingConfig"]["metrics"] == words
    assert pn.load_model(tmp_path / "m").optimizer is not None


UNKNOWN = [{"loss": "huber"}, {"loss": pn.losses.MeanSquaredError(reduction="sum")}, {"loss": pn.losses.Huber(2.0)},
           {"loss": pn.losses.BinaryCrossentropy(from_logits=True)}, {"metrics": ["auc"]}, {"metrics": ["cosine_similarity"]},
           {"metrics": [pn.metrics.BinaryAccuracy(threshold=0.3)]}, {"loss_weights": [0.5]},
           *({"optimizer": pn.optimizers.Adam(**{k: v})} for k, v in
             {"clipnorm": 1.0, "clipvalue": 1.0, "global_clipnorm": 1.0, "weight_decay": 0.1, "use_ema": True}.items())]  # fmt: skip


def test_metrics_of_several_outputs_keep_their_places(tmp_path):
    x = pn.Input((4,))
    model = pn.Model(x, [pn.layers.Dense(2, name="a")(x), pn.layers.Dense(2, name="b")(x)])
    model.compile("sgd", "mse", metrics=["mse", "mae"])  # one for each
    model.fit(X, [Y, Y], verbose=0)
    model.save(tmp_path / "model")
    saved = description(tmp_path / "model")
    assert saved["trainingConfig"]["metrics"] == {"a": ["mse"], "b": ["mae"]}
    del saved["pynnState"]
    saved["trainingConfig"]["metrics"] = ["mse", "mae"]  # as TensorFlow.js writes that each output has both
    (tmp_path / "model" / "model.json").write_text(json.dumps(saved))
    history = pn.load_model(tmp_path / "model").fit(X, [Y, Y], verbose=0).history
    assert sorted(history) == ["a_loss", "a_mae", "a_mse", "b_loss", "b_mae", "b_mse", "loss"]


@pytest.mark.parametrize("arguments", UNKNOWN, ids=lambda v: str(v)[:60])
def test_what_tensorflow_js_lacks_gives_no_training_config(tmp_path, arguments):
    model = trained(**arguments)
    with pytest.warns(UserWarning, match="TensorFlow.js will load this model without its optimizer"):
        model.save(tmp_path / "m")
    assert "trainingConfig" not in description(tmp_path / "m")
    assert pn.load_model(tmp_path / "m").optimizer is not None


# -- functions and classes of one's own --------------------------------------------------------------------------------


def relu(x):
    return -x


def swish(x):
    return -x


def mine(x):
    return -x


class Ones(pn.initializers.Initializer):
    def __call__(self, shape, dtype="float32"):
        return np.zeros(shape, dtype)


TAKEN = [lambda: small(activation=relu), lambda: small(activation=swish), lambda: small(kernel_initializer=Ones()),
         lambda: pn.Sequential([type("Dense", (pn.layers.Dense,), {})(2, input_shape=(4,))]),
         lambda: pn.Sequential([pn.layers.TimeDistributed(pn.layers.Dense(2, activation=relu), input_shape=(3, 4))])]  # fmt: skip


@pytest.mark.parametrize("make", TAKEN)
def test_a_name_that_is_taken_is_refused(tmp_path, make):
    with pytest.raises(ValueError, match=r"\[save\] this model's .* has the name of another one.* Rename yours"):
        make().save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_layer_as_activation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has a layer as its activation: leaky_re_lu.* Put that layer after it"):
        small(activation=pn.layers.LeakyReLU(0.3)).save(tmp_path / "m")


UNKNOWN_NAMES = [(lambda: small(activation=lambda x: x), "<lambda>"), (lambda: small(activation=mine), "mine"),
                 (lambda: small(kernel_initializer=lambda shape, dtype=None: np.zeros(shape)), "<lambda>"),
                 (lambda: small(kernel_constraint=lambda x: x), "<lambda>"), (lambda: small(bias_regularizer=mine), "mine"),
                 (lambda: pn.Sequential([pn.layers.Lambda(mine, input_shape=(4,))]), "a Lambda layer"),
                 (lambda: pn.Sequential([type("Mine", (pn.layers.Dense,), {})(2, input_shape=(4,))]), "layer class Mine")]  # fmt: skip


@pytest.mark.parametrize("make, word", UNKNOWN_NAMES, ids=lambda v: v if isinstance(v, str) else "")
def test_what_loading_does_not_find_is_said(tmp_path, make, word):
    with pytest.warns(UserWarning, match=f"can't be loaded again: .*{word}") as caught:
        make().save(tmp_path / "m")
    assert not [w for w in caught if "pynn.load_model can" in str(w.message)]
    with pytest.raises(pn.DataError):
        pn.load_model(tmp_path / "m")


# -- metadata ----------------------------------------------------------------------------------------------------------


def nested(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("make", [lambda: [0] * 250_001, lambda: nested(101), lambda: nested(300), lambda: 2**70, lambda: float("nan"),
                                  lambda: {1, 2}, lambda: {1: 2, "1": 3}])  # fmt: skip
def test_metadata_that_could_not_be_read_is_refused(tmp_path, make):
    small().save(tmp_path / "m")
    before = (tmp_path / "m" / "model.json").read_bytes()
    model = small()
    model.user_defined_metadata = make()
    with pytest.raises(ValueError, match=r"\[save\] model.json could not be read again"):
        model.save(tmp_path / "m")
    assert (tmp_path / "m" / "model.json").read_bytes() == before


@pytest.mark.parametrize("value", [{}, [], 0, "", False, {"a": [1, None]}, None], ids=repr)
def test_metadata_comes_back(tmp_path, value):
    model = small()
    assert model.user_defined_metadata is None
    model.user_defined_metadata = value
    model.save(tmp_path / "m")
    assert pn.load_model(tmp_path / "m").user_defined_metadata == value


# -- weights alone -----------------------------------------------------------------------------------------------------


def headed(units, **kwargs):
    return pn.Sequential([pn.layers.Dense(3, input_shape=(4,), name="body", **kwargs), pn.layers.Dense(units, name="head", **kwargs)])


def test_a_changed_head_is_left_out(tmp_path):
    old, new = headed(2), headed(5)
    head = new.layers[1].get_weights()
    old.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="'head/kernel' has another shape.*strict=False"):
        new.load_weights(tmp_path / "w.safetensors")
    with pytest.warns(
        UserWarning, match=r"^2 of the model's 4 weights were set from .*'head/kernel' has another shape.*'head/bias'"
    ) as caught:
        new.load_weights(tmp_path / "w.safetensors", strict=False)
    assert caught[0].filename == __file__
    for a, b in zip(old.layers[0].get_weights() + head, new.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_that_fits_is_said(tmp_path):
    pn.Sequential([pn.layers.Dense(1, input_shape=(7,), name="other")]).save_weights(tmp_path / "w.safetensors")
    model = headed(2)
    before = model.get_weights()
    with pytest.warns(UserWarning, match="^nothing fits, no weight was set .*'other/kernel' isn't in the model"):
        model.load_weights(tmp_path / "w.safetensors", strict=False)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_values_that_overflow_are_refused(tmp_path):
    model = headed(2, dtype="float64")
    model.layers[0].set_weights([np.full((4, 3), 1e300), np.zeros(3)])
    model.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="'body/kernel' has values that float32 can't hold. Received: 1e[+]300"):
        headed(2).load_weights(tmp_path / "w.safetensors")


def test_float64_layers_come_back_as_they_are(tmp_path):
    x = pn.layers.Input((4,), dtype="float64")
    model = pn.Model(x, pn.layers.TimeDistributed(pn.layers.Dense(2, dtype="float64"), dtype="float64")(pn.layers.RepeatVector(2)(x)))
    model.save(tmp_path / "m")
    assert '"dtype": "float64"' not in (tmp_path / "m" / "model.json").read_text()
    again = pn.load_model(tmp_path / "m")
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]


@pytest.mark.parametrize("name", ["relu", "sigmoid", "softmax", "gelu", "tanh"])
def test_ops_as_activations_are_saved_under_their_names(tmp_path, name):
    model = small(activation=getattr(pn.ops, name))
    model.save(tmp_path / "m")
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_allclose(pn.load_model(tmp_path / "m").predict(x), model.predict(x), rtol=1e-6)


def test_a_users_layer_may_hold_a_layer_as_its_activation(tmp_path):
    @pn.register_layer
    class Activated(pn.Layer):
        def __init__(self, units, activation="relu", use_activation=True, **words):
            super().__init__(**words)
            self.units, self.word, self.use_activation = units, activation, use_activation
            self.dense, self.activation = pn.layers.Dense(units), pn.layers.Activation(activation)

        def call(self, x):
            return self.activation(self.dense(x))

        def get_config(self):
            return {**super().get_config(), "units": self.units, "activation": self.word, "use_activation": True}

    model = pn.Sequential([pn.Input((4,)), Activated(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*TensorFlow.js.*")
        model.save(tmp_path / "m")
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(pn.load_model(tmp_path / "m").predict(x), model.predict(x))


def test_a_class_defined_again_is_still_saved(tmp_path):
    def define():
        @pn.register_layer
        class Again(pn.Layer):
            def call(self, x):
                return x * 2.0

        return Again

    model = pn.Sequential([pn.Input((4,)), define()()])
    define()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "m")
    assert pn.load_model(tmp_path / "m").predict(np.ones((1, 4), np.float32)).tolist() == [[2.0] * 4]


@pytest.mark.parametrize("layers", [5, 6, 8])
def test_what_was_left_out_is_told_up_to_a_length(tmp_path, layers):
    def model(count):
        pn.set_seed(1)
        return pn.Sequential([pn.Input((1,)), *(pn.layers.Dense(1, use_bias=False, name=f"d{i}") for i in range(count))])

    model(layers + 1).save_weights(tmp_path / "w.safetensors")
    rest = f"'d5/kernel' isn't in the model; and {layers - 5} more." if layers > 5 else "'d5/kernel' isn't in the model."
    with pytest.warns(UserWarning, match=rf"1 of the model's 1 weights were set from .*; {rest}$"):
        model(1).load_weights(tmp_path / "w.safetensors", strict=False)


def stateful_by_data():
    model = pn.Sequential([pn.layers.LSTM(2, stateful=True)])
    model.build((2, 3, 4))
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: pn.Sequential([pn.Input(batch_shape=(2, 3, 4)), pn.layers.LSTM(2, stateful=True)]),
        lambda: pn.Sequential([pn.Input(batch_shape=(2, 3, 4)), pn.layers.Bidirectional(pn.layers.LSTM(2, stateful=True))]),
        lambda: pn.Sequential([pn.Input(batch_shape=(2, 3, 4)), pn.Sequential([pn.layers.LSTM(2, stateful=True)])]),
        stateful_by_data,
    ],
    ids=["input", "bidirectional", "nested", "built"],
)
def test_a_stateful_stack_keeps_its_batch_size(make, tmp_path):
    model = make()
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    model.save(tmp_path / "model")
    again = pn.load_model(tmp_path / "model")
    for _ in range(2):
        np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_the_input_of_a_stack_keeps_its_name_and_dtype(tmp_path):
    model = pn.Sequential([pn.Input((3,), dtype="int32", name="counts"), pn.layers.Dense(2)])
    model.save(tmp_path / "model")
    again = pn.load_model(tmp_path / "model")
    assert again.get_config() == model.get_config()
    x = np.full((1, 3), 1.7)  # an input of integers drops the fraction
    np.testing.assert_array_equal(again.predict({"counts": x}, verbose=0), model.predict({"counts": x}, verbose=0))


def test_names_with_slashes_in_files_are_read(tmp_path):
    model = pn.Sequential([pn.layers.Dense(2, input_shape=(3,), name="stem"), pn.layers.Dense(1, name="expanded_conv-project")])
    model.save(tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    file.write_text(file.read_text().replace("expanded_conv-project", "stem/project"))
    again = pn.load_model(tmp_path / "model")
    assert [layer.name for layer in again.layers] == ["stem", "stem/project"]
    again.save(tmp_path / "again")
    x = np.ones((2, 3), np.float32)
    for found in (again, pn.load_model(tmp_path / "again")):
        np.testing.assert_array_equal(found.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    "make, outputs",
    [
        (lambda: pn.layers.Bidirectional(pn.layers.LSTM(2), merge_mode=None), 2),
        (lambda: pn.layers.Normalization(axis=None, mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]), 1),
        (lambda: pn.layers.UnitNormalization(axis=None), 1),
    ],
    ids=["merge_mode", "mean", "norm"],
)
@pytest.mark.filterwarnings("ignore:TensorFlow.js can't load")
def test_none_where_it_is_no_default_comes_back(make, outputs, tmp_path):
    x = pn.Input((4, 3))
    model = pn.Model(x, make()(x))
    model.save(tmp_path / "model")
    again = pn.load_model(tmp_path / "model")
    assert len(again.outputs) == outputs and again.get_config() == model.get_config()
    data = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    for got, want in zip(again.predict(data, verbose=0), model.predict(data, verbose=0), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "make",
    [
        lambda **words: pn.layers.Bidirectional(pn.layers.LSTM(2, return_sequences=True), **words),
        lambda **words: pn.layers.TimeDistributed(pn.layers.Dense(2), **words),
        lambda **words: pn.layers.RNN([pn.layers.LSTMCell(2), pn.layers.SimpleRNNCell(3)], return_sequences=True, **words),
    ],
    ids=["bidirectional", "time_distributed", "cells"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_frozen_layers_around_layers_stay_frozen(make, at_once, tmp_path):
    layer = make(trainable=False) if at_once else make()
    if not at_once:
        layer.trainable = False
    model = pn.Sequential([pn.Input((4, 3)), layer, pn.layers.Flatten(), pn.layers.Dense(2)])
    assert [w.path.split("/")[0] for w in model.trainable_weights] == [model.layers[-1].name] * 2
    model.compile("adam", "mse")
    model.fit(np.ones((4, 4, 3)), np.zeros((4, 2)), verbose=0)
    model.save(tmp_path / "model")
    again = pn.load_model(tmp_path / "model")
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    assert len(again.optimizer.slots) == len(model.optimizer.slots) == 4
    assert "\"trainable\": true" not in json.dumps(description(tmp_path / "model")["modelTopology"]["config"]["layers"][1])



def test_a_regularizer_that_tensorflow_js_writes_as_constraint_is_read(tmp_path):
    layer = pn.layers.DepthwiseConv2D(2, depthwise_regularizer=pn.regularizers.L2(0.5), input_shape=(4, 4, 1))
    pn.Sequential([layer]).save(tmp_path / "model")
    saved = description(tmp_path / "model")
    config = saved["modelTopology"]["config"]["layers"][0]["config"]
    config["depthwise_constraint"] = config["depthwise_regularizer"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(saved))
    again = pn.load_model(tmp_path / "model").layers[0]
    assert again.depthwise_constraint is None and again.depthwise_regularizer.get_config()["l2"] == 0.5


def test_a_state_that_does_not_fit_the_optimizer_is_told_with_a_way_out(tmp_path):
    trained().save(tmp_path / "model")
    saved = description(tmp_path / "model")
    del saved["pynnState"]
    saved["trainingConfig"]["optimizer_config"] = {"class_name": "Adagrad", "config": {"learningRate": 0.1}}
    (tmp_path / "model" / "model.json").write_text(json.dumps(saved))
    with pytest.raises(pn.DataError, match=r"has 8 weights.*Adagrad needs 4.*Pass compile=False"):
        pn.load_model(tmp_path / "model")
    assert pn.load_model(tmp_path / "model", compile=False).optimizer is None
