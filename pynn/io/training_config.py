"""How a model was compiled, and its optimizer's state, in the words of TensorFlow.js."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn import losses, metrics, optimizers
from pynn.errors import DataError
from pynn.io.files import printable
from pynn.io.weight_names import weight_paths
from pynn.serialization import accepted, is_ours

_TO_OURS = {
    "learningRate": "learning_rate", "lr": "learning_rate", "beta1": "beta_1", "beta2": "beta_2", "useNesterov": "nesterov",
    "initialAccumulatorValue": "initial_accumulator_value", "decay": "rho",
}  # fmt: skip
_CLASSES = {"RMSProp": "RMSprop", "Momentum": "SGD"}
# class -> (our words, their words); what isn't here keeps its name
_FIELDS = {
    "SGD": {"learning_rate": "learningRate"},
    "Momentum": {"learning_rate": "learningRate", "momentum": "momentum", "nesterov": "useNesterov"},
    "Adagrad": {"learning_rate": "learningRate", "initial_accumulator_value": "initialAccumulatorValue"},
    "Adadelta": {"learning_rate": "learningRate", "rho": "rho", "epsilon": "epsilon"},
    "Adam": {"learning_rate": "learningRate", "beta_1": "beta1", "beta_2": "beta2", "epsilon": "epsilon"},
    "RMSProp": {"learning_rate": "learningRate", "rho": "decay", "momentum": "momentum", "epsilon": "epsilon", "centered": "centered"},
}
_STATE_NAMES = {
    "Momentum": ("momentum",), "Adagrad": ("accumulator",), "Adadelta": ("accum_grad", "accum_var"), "Adam": ("m", "v"),
    "RMSProp": ("rms", "momentum", "mg"), "SGD": (),
}  # fmt: skip


# Losses and metrics that mean the same there: our word -> theirs.
_LOSSES = {
    **{word: word for word in (
        "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "squared_hinge",
        "hinge", "categorical_hinge", "categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy", "poisson",
    )},
    "log_cosh": "logcosh", "kl_divergence": "kullback_leibler_divergence", "cosine_similarity": "cosine_proximity",
}  # fmt: skip
_METRICS = {
    "BinaryAccuracy": "binary_accuracy", "CategoricalAccuracy": "categorical_accuracy", "MeanSquaredError": "mse",
    "MeanAbsoluteError": "mae", "MeanAbsolutePercentageError": "mape", "CategoricalCrossentropy": "categorical_crossentropy",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
}  # fmt: skip
_BY_LOSS = ("accuracy", "acc", "crossentropy", "ce")  # the loss says which one, there as here
_UNKNOWN_SETTINGS = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema")
MOST_THRESHOLDS = 100_000


def training_config(model) -> tuple[dict[str, Any] | None, str]:
    """(`trainingConfig`, reason why there is none)."""
    optimizer = model.optimizer
    name, ours = _their_name(optimizer), is_ours(type(optimizer))
    config = optimizer.get_config() if ours else {}  # nobody else needs one
    if not ours or not _has_optimizer(name, optimizer, config):
        return None, f"it has no {type(optimizer).__name__} with these settings"
    if not trains_all(model):
        return None, "layers were frozen or unfrozen since the training began"
    loss = _each(_renamed(model, model.compile_arguments["loss"]), _loss_word)
    metrics_words = _metric_words(_renamed(model, _by_output(model, model.compile_arguments["metrics"])))
    if loss is None or metrics_words is None or model.compile_arguments["loss_weights"] is not None:
        return None, "it lacks one of the model's losses or metrics, or loss_weights"
    fields = {theirs: config[ours] for ours, theirs in _FIELDS[name].items() if ours in config}
    return {"loss": loss, "metrics": metrics_words, "optimizer_config": {"class_name": name, "config": fields}}, ""


def _renamed(model, value, *, loading: bool = False) -> Any:
    """A dict by output under the names that files give to outputs, or the other way round; anything else as it is."""
    if not isinstance(value, dict) or "class_name" in value:
        return value
    names = model.output_names or [], getattr(model, "output_layer_names", None) or []
    there = dict(zip(*reversed(names) if loading else names, strict=False))
    return {there.get(name, name): entry for name, entry in value.items()}


def _their_name(optimizer) -> str:
    name = type(optimizer).__name__
    if name == "SGD" and optimizer.slots_in_use():
        return "Momentum"
    return "RMSProp" if name == "RMSprop" else name


def _has_optimizer(name: str, optimizer, config: dict[str, Any]) -> bool:
    return (
        name in _FIELDS
        and isinstance(config["learning_rate"], float)
        and not any(config.get(setting) for setting in _UNKNOWN_SETTINGS)
        and len(optimizer.slots_in_use()) <= len(_STATE_NAMES[name])
    )


def trained_variables(model) -> list:
    """The variables that the optimizer has slots for, in their order."""
    return list(model.optimizer._trained)


def trains_all(model) -> bool:
    """Whether the optimizer's slots belong to what is trainable now, as files say without further words."""
    return [id(v) for v in trained_variables(model)] == [id(v) for v in model.trainable_weights]


def _each(value, word) -> Any:
    """`word` of each loss, nested as they are; None if one has none."""
    if isinstance(value, (list, tuple)):
        found = [_each(v, word) for v in value]
        return None if None in found else found
    if isinstance(value, dict) and "class_name" not in value:
        entries = {k: _each(v, word) for k, v in value.items()}
        return None if None in entries.values() else entries
    return word(value)


def _loss_word(value) -> str | None:
    loss = losses.get(value)
    return _LOSSES.get(losses.name_of(loss)) if loss is not None and _as_registered(loss, losses) else None


def _by_output(model, value) -> Any:
    """Metrics by output where each entry of a list belongs to one: in TensorFlow.js it belongs to all."""
    names = model.output_names or []
    alike = isinstance(value, (list, tuple)) and len(value) == len(names) > 1
    return dict(zip(names, value, strict=True)) if alike else value


def _for_all_outputs(model, value) -> Any:
    """The metrics of a file, in whose list each entry belongs to all outputs."""
    names = model.output_names or []
    alike = isinstance(value, list) and len(names) > 1 and not any(isinstance(entry, list) for entry in value)
    return dict.fromkeys(names, value) if alike and value else value


def _metric_words(value) -> Any:
    """The metrics' words: one list for all outputs, or a dict by output; TensorFlow.js has no list of lists."""
    if isinstance(value, dict):
        entries = {k: _metric_words(v) for k, v in value.items()}
        # it brings words into its spelling in the outer list only
        return None if None in entries.values() else {k: [_camel_case(word) for word in words] for k, words in entries.items()}
    found = [_metric_word(v) for v in (value if isinstance(value, (list, tuple)) else [value] if value is not None else [])]
    return None if None in found else found


def _metric_word(value) -> str | None:
    if isinstance(value, str) and value in _BY_LOSS:
        return value
    metric = None if isinstance(value, (list, tuple)) else metrics.get(value)
    return _METRICS.get(type(metric).__name__) if metric is not None and _as_registered(metric, metrics) else None


def _as_registered(value, register) -> bool:
    """Whether the name of its class alone makes `value` again: a class of ours, with its default settings."""
    if not is_ours(type(value)) or (hasattr(value, "fn") and not hasattr(type(value), "_function")):
        return False
    default = register.get(type(value).__name__)
    return all(value.get_config()[k] == v for k, v in default.get_config().items() if k != "name")


def _camel_case(word: str) -> str:
    first, *rest = word.split("_")
    return first + "".join(part.capitalize() for part in rest)


def optimizer_state(model) -> list[tuple[str, np.ndarray]]:
    """The optimizer's state by TensorFlow.js's names: `iter`, then slot by slot for all variables."""
    optimizer = model.optimizer
    name = _their_name(optimizer)
    state = [("iter", optimizer.iterations.numpy().astype(np.int32))]
    variables = model.trainable_weights
    paths = {id(v): path for path, v in weight_paths(model)}
    kinds = _STATE_NAMES[name]
    slots = optimizer.slots
    unit = _momentum_unit(optimizer)
    for k in range(len(slots) // max(len(variables), 1)):
        for i, variable in enumerate(variables):
            state.append((f"{paths[id(variable)]}/{kinds[k]}", slots[k * len(variables) + i].numpy() / unit))
    if name == "RMSProp" and slots and "momentum" not in optimizer.slots_in_use():
        state += [(f"{paths[id(v)]}/momentum", np.zeros(v.shape, np.float32)) for v in variables]
    return state


def _momentum_unit(optimizer) -> np.float64:
    """What a velocity is counted in: here it is the next step, in TensorFlow.js a sum of gradients, `-1 / learning rate` of it."""
    rate = float(np.asarray(optimizer.learning_rate))
    return np.float64(-rate if isinstance(optimizer, optimizers.SGD) and rate else 1.0)


def same_units(model) -> bool:
    """Whether TensorFlow.js keeps the optimizer's state to the last bit: a velocity counted in another unit is rounded."""
    return not isinstance(model.optimizer, optimizers.SGD) and not model.optimizer.use_ema


def compile_from_config(model, config: Any, state: list[tuple[str, np.ndarray]]) -> None:
    """Compiles a loaded model as its file says and sets the optimizer's state.

    Raises:
        DataError: names or shapes don't fit.
    """
    try:
        entry = config["optimizer_config"]
        fields = {_TO_OURS.get(k, k): v for k, v in entry["config"].items()}
        name = _CLASSES.get(entry["class_name"], entry["class_name"])
        cls = optimizers.find(name)
        check_sizes(config)
        _check_losses(config.get("loss"))
        optimizer = cls(**accepted(cls, fields))
        loss, metric = (_renamed(model, config.get(word), loading=True) for word in ("loss", "metrics"))
        model.compile(optimizer, loss, metrics=_for_all_outputs(model, metric) or None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"[load_model] trainingConfig is not valid: {printable(str(error), 300)}. Pass compile=False to ignore it."
        ) from error
    set_optimizer_state(model, state)


def check_sizes(value: Any) -> None:
    """Raises ValueError for settings in a file that would make objects allocate without bound."""
    if isinstance(value, dict):
        count = value.get("num_thresholds", 0)
        if not isinstance(count, int) or count > MOST_THRESHOLDS:
            raise ValueError(f"num_thresholds must be a whole number, at most {MOST_THRESHOLDS}. Received: {printable(count)}")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_sizes(item)


def _check_losses(value: Any) -> None:
    """Raises what `losses.get` raises for a loss in the file, which may be one for each output."""
    if isinstance(value, dict) and "class_name" not in value:
        value = list(value.values())
    for loss in value if isinstance(value, list) else [value]:
        losses.get(loss)


def set_optimizer_state(model, state: list[tuple[str, np.ndarray]]) -> None:
    """Sets what `optimizer_state` gave; nothing if that is empty.

    Raises:
        DataError: the number or the shapes don't fit.
    """
    if not state:
        return
    optimizer = model.optimizer
    optimizer.build(model.trainable_weights)
    arrays = [a for n, a in state if n != "iter"]
    iterations = [a for n, a in state if n == "iter"]
    slots = optimizer.slots
    if "momentum" not in optimizer.slots_in_use() and len(arrays) > len(slots):
        arrays = [a for n, a in state if n != "iter" and not n.endswith("/momentum")]
    if len(arrays) != len(slots) or any(a.shape != s.shape for a, s in zip(arrays, slots, strict=True)):
        raise DataError(
            f"[load_model] the optimizer's state has {len(arrays)} weights of these shapes: {printable([a.shape for a in arrays])}. "
            f"{type(optimizer).__name__} needs {len(slots)}: {printable([s.shape for s in slots])}. Pass compile=False to do without it."
        )
    unit = _momentum_unit(optimizer)
    arrays = [(a * unit).astype(np.float32) for a in arrays]
    for slot, array in zip(slots, arrays, strict=True):
        slot.assign(array)
    if iterations:
        optimizer.iterations.assign(iterations[0].astype(np.int64).reshape(()))
