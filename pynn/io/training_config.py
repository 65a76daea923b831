"""How a model was compiled, and its optimizer's state, in the words of TensorFlow.js."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn import losses, optimizers
from pynn.errors import DataError
from pynn.io.files import printable
from pynn.io.weight_names import weight_paths
from pynn.serialization import snake_case

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


def training_config(model) -> tuple[dict[str, Any] | None, str]:
    """(`trainingConfig`, reason why there is none)."""
    optimizer = model.optimizer
    name = {"RMSprop": "RMSProp"}.get(type(optimizer).__name__, type(optimizer).__name__)
    config = optimizer.get_config()
    if name == "SGD" and config.get("momentum"):
        name = "Momentum"
    if name not in _FIELDS or not isinstance(config["learning_rate"], float) or len(optimizer.slots_in_use()) > len(_STATE_NAMES[name]):
        return None, f"it has no {type(optimizer).__name__} with these settings"
    loss = _plain_names(model.compile_arguments["loss"])
    metrics = _plain_names(model.compile_arguments["metrics"] or [])
    if loss is None or metrics is None:
        return None, "it has no word for a loss or metric of the model"
    fields = {theirs: config[ours] for ours, theirs in _FIELDS[name].items() if ours in config}
    return {"loss": loss, "metrics": metrics, "optimizer_config": {"class_name": name, "config": fields}}, ""


def _plain_names(value) -> Any:
    """Names of losses and metrics, nested as they are; None if one has no name."""
    if isinstance(value, str):
        return snake_case(value)
    if isinstance(value, (list, tuple)):
        found = [_plain_names(v) for v in value]
        return None if None in found else found
    if isinstance(value, dict):
        entries = {k: _plain_names(v) for k, v in value.items()}
        return None if None in entries.values() else entries
    if value is not None and type(value).__module__.startswith("pynn."):
        config = value.get_config() if hasattr(value, "get_config") else {}
        plain = not config.get("from_logits") and not config.get("label_smoothing")
        return snake_case(type(value).__name__) if plain else None
    return None


def optimizer_state(model) -> list[tuple[str, np.ndarray]]:
    """The optimizer's state by TensorFlow.js's names: `iter`, then slot by slot for all variables."""
    optimizer = model.optimizer
    name = type(optimizer).__name__.replace("RMSprop", "RMSProp")
    name = "Momentum" if name == "SGD" and optimizer.slots else name
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
        from pynn.serialization import accepted

        _check_losses(config.get("loss"))
        optimizer = cls(**accepted(cls, fields))
        model.compile(optimizer, config.get("loss"), metrics=config.get("metrics") or None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"[load_model] trainingConfig is not valid: {printable(str(error), 300)}. Pass compile=False to do without it."
        ) from error
    set_optimizer_state(model, state)


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
        raise DataError(f"[load_model] the optimizer's state has {len(arrays)} weights; {type(optimizer).__name__} needs {len(slots)}.")
    unit = _momentum_unit(optimizer)
    arrays = [(a * unit).astype(np.float32) for a in arrays]
    for slot, array in zip(slots, arrays, strict=True):
        slot.assign(array)
    if iterations:
        optimizer.iterations.assign(iterations[0].astype(np.int64).reshape(()))
