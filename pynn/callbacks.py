"""Callbacks: what happens around epochs and batches of `fit`."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynn.errors import NonFiniteError

__all__ = [
    "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler",
    "ModelCheckpoint", "ReduceLROnPlateau", "TerminateOnNaN",
]  # fmt: skip

_HOOKS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end",
    "on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end", "on_predict_begin", "on_predict_end",
    "on_predict_batch_begin", "on_predict_batch_end",
)  # fmt: skip


class Callback:
    """Base class: override the hooks you need. `self.model` and `self.params` are set before the first one.

    A native run comes back to Python only for hooks that some callback overrides, so per-batch hooks cost what they cost.
    """

    model: Any = None
    params: dict[str, Any] = {}

    def set_model(self, model) -> None:
        """Called once before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training with epochs, steps and verbose."""
        self.params = params

    def overrides(self, hook: str) -> bool:
        """True if this callback does something at `hook`."""
        return getattr(type(self), hook) is not getattr(Callback, hook)


def _add_hooks() -> None:
    for name in _HOOKS:
        counted = "epoch" in name or "batch" in name

        def counted_hook(self, index: int, logs: dict | None = None) -> None: ...

        def plain_hook(self, logs: dict | None = None) -> None: ...

        hook = counted_hook if counted else plain_hook
        hook.__name__ = name
        hook.__doc__ = f"Called at {name[3:].replace('_', ' ')}."
        setattr(Callback, name, hook)


_add_hooks()


class CallbackList:
    """Several callbacks as one."""

    def __init__(self, callbacks: Sequence[Callback], model, params: dict[str, Any]):
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"[fit] callbacks must be Callback objects. Received: {callback!r}.")
            callback.set_model(model)
            callback.set_params(params)

    def any_overrides(self, *hooks: str) -> bool:
        """True if some callback does something at one of these hooks."""
        return any(c.overrides(h) for c in self.callbacks for h in hooks)

    def call(self, hook: str, *args, logs: dict | None = None) -> None:
        """Calls the hook of every callback that overrides it."""
        for callback in self.callbacks:
            if callback.overrides(hook):
                getattr(callback, hook)(*args, logs if logs is not None else {})


class LambdaCallback(Callback):
    """Hooks given as functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: ...)`."""

    def __init__(self, **hooks: Callable):
        for name, hook in hooks.items():
            if name not in _HOOKS:
                from pynn.errors import suggestion

                raise TypeError(f"[LambdaCallback] there is no hook {name!r}.{suggestion(name, _HOOKS)}")
            setattr(self, name, hook)
        self._given = set(hooks)

    def overrides(self, hook: str) -> bool:
        """True for the hooks that were given."""
        return hook in self._given


class History(Callback):
    """What `fit` returns: `history` maps each name to its values, one per epoch; `epoch` lists the epochs."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def add(self, epoch: int, logs: dict[str, float]) -> None:
        """Appends the results of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def extend(self, epoch: int, names: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
        """Appends the results of several epochs, `epoch` the first of them."""
        self.epoch.extend(range(epoch, epoch + len(rows)))
        for name, column in zip(names, zip(*rows, strict=True), strict=True):
            self.history.setdefault(name, []).extend(column)

    def plot(self, names: Sequence[str] | None = None, path=None):
        """Draws the curves with matplotlib (the `plot` extra), one panel per name and its validation twin.

        Args:
            names: Which ones; all by default.
            path: Save a PNG there.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("[History.plot] needs matplotlib. Install it with: pip install matplotlib") from error
        names = list(names or [n for n in self.history if not n.startswith("val_")])
        figure = Figure(figsize=(4.8 * len(names), 3.4), layout="constrained")
        for panel, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                if key in self.history:
                    panel.plot([e + 1 for e in self.epoch], self.history[key], label=label, marker=".")
            panel.set(xlabel="epoch", title=name.replace("_", " "))
            panel.grid(alpha=0.3)
            panel.legend()
        if path is not None:
            figure.savefig(path, dpi=110)
        return figure

    def __repr__(self) -> str:
        last = ", ".join(f"{k}={v[-1]:.4g}" for k, v in self.history.items() if v)
        return f"History({len(self.epoch)} epochs; {last})"


class Monitor(Callback):
    """Base of callbacks that compare a value with the best so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"[{type(self).__name__}] mode is 'auto', 'min' or 'max'. Received: {mode!r}.")
        self.monitor = monitor
        self.larger_is_better = mode == "max" or (mode == "auto" and any(w in monitor for w in ("acc", "auc", "precision", "recall")))
        self.min_delta = abs(min_delta)
        self.best = -np.inf if self.larger_is_better else np.inf

    def value(self, logs: dict[str, float]) -> float:
        """The monitored value of this epoch."""
        if self.monitor not in logs:
            raise ValueError(
                f"[{type(self).__name__}] there is no {self.monitor!r} to monitor. Received: {', '.join(logs) or 'no values'}. "
                "Values named val_... need validation data."
            )
        return logs[self.monitor]

    def improved(self, value: float) -> bool:
        """Whether `value` beats the best by more than min_delta."""
        return value - self.min_delta > self.best if self.larger_is_better else value + self.min_delta < self.best


class EarlyStopping(Monitor):
    """Stops when a value has not improved for `patience` epochs, and can put the best weights back.

    Args:
        monitor: The value's name.
        min_delta: Improvements smaller than this don't count.
        patience: Epochs without improvement before stopping.
        verbose: 1 says when it stops.
        mode: "min", "max", or "auto" by the name.
        baseline: The value must beat this first.
        restore_best_weights: Put the weights of the best epoch back at the end.
        start_from_epoch: Epochs before this one don't count.
    """

    def __init__(
        self, monitor="val_loss", min_delta=0.0, patience=0, verbose=0, mode="auto", baseline=None,
        restore_best_weights=False, start_from_epoch=0,
    ):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.stopped_epoch = 0
        self._reset()

    def _reset(self) -> None:
        self.wait, self.best_epoch, self.best_weights = 0, 0, None
        self.best = -np.inf if self.larger_is_better else np.inf

    def on_train_begin(self, logs=None) -> None:
        """Starts anew."""
        self._reset()

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Compares, counts, stops."""
        value = self.value(logs)
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.improved(value):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or (value > self.baseline if self.larger_is_better else value < self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None) -> None:
        """Restores the best weights if asked to."""
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)
        if self.stopped_epoch and self.verbose:
            print(
                f"Stopped after epoch {self.stopped_epoch + 1}: {self.monitor} was best ({self.best:.5g}) in epoch {self.best_epoch + 1}."
            )


class ModelCheckpoint(Monitor):
    """Saves the model (or its weights only) at the end of epochs; each file appears whole or not at all.

    Args:
        filepath: Path with format fields such as `{epoch:02d}` and `{val_loss:.3f}`. A model is a folder; weights are one
            `.safetensors` file.
        monitor, mode: What counts as better, for `save_best_only`.
        save_best_only: Save improvements only.
        save_weights_only: Save weights only.
        save_freq: "epoch", or every so many epochs as an integer.
        initial_value_threshold: The value that the first save has to beat.
    """

    def __init__(
        self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
        save_freq="epoch", initial_value_threshold=None,
    ):  # fmt: skip
        super().__init__(monitor, mode)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.every = 1 if save_freq == "epoch" else int(save_freq)
        if initial_value_threshold is not None:
            self.best = initial_value_threshold

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Saves if it is time and worth it."""
        if self.save_best_only:
            value = self.value(logs)
            if not self.improved(value):
                return
            self.best = value
        elif (epoch + 1) % self.every:
            return
        path = self.filepath.format(epoch=epoch + 1, **logs)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch: `schedule(epoch)` or `schedule(epoch, current_rate)`."""

    def __init__(self, schedule: Callable, verbose: int = 0):
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None) -> None:
        """Asks the schedule."""
        try:
            rate = self.schedule(epoch, float(self.model.optimizer.learning_rate))
        except TypeError:
            rate = self.schedule(epoch)
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {float(rate):.6g}")


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when a value has not improved for `patience` epochs."""

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0, min_lr=0.0):
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"[ReduceLROnPlateau] factor lies between 0 and 1. Received: {factor!r}.")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooling = 0

    def on_train_begin(self, logs=None) -> None:
        """Starts anew."""
        self.wait = self.cooling = 0
        self.best = -np.inf if self.larger_is_better else np.inf

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Compares, counts, lowers the rate."""
        value = self.value(logs)
        if self.cooling:
            self.cooling -= 1
            self.wait = 0
        if self.improved(value):
            self.best, self.wait = value, 0
            return
        if self.cooling:
            return
        self.wait += 1
        rate = float(self.model.optimizer.learning_rate)
        if self.wait >= self.patience and rate > self.min_lr:
            self.model.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
            self.wait, self.cooling = 0, self.cooldown
            if self.verbose:
                print(f"Epoch {epoch + 1}: learning rate {float(self.model.optimizer.learning_rate):.6g}")


class CSVLogger(Callback):
    """Writes one line of values per epoch, flushed at once.

    Args:
        filename: Path of the file.
        separator: Between values.
        append: Add to a file that is there.
    """

    def __init__(self, filename, separator: str = ",", append: bool = False):
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self._file: Any = None
        self._writer: Any = None

    def on_train_begin(self, logs=None) -> None:
        """Opens the file."""
        self._with_header = not (self.append and os.path.exists(self.filename) and os.path.getsize(self.filename))
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")
        self._writer = None

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Writes a line."""
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, ["epoch", *logs], delimiter=self.separator, extrasaction="ignore")
            if self._with_header:
                self._writer.writeheader()
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def on_train_end(self, logs=None) -> None:
        """Closes the file."""
        self._file.close()


class TerminateOnNaN(Callback):
    """Ends training quietly, instead of with an error, when the loss is no longer finite. The last good weights stay."""

    def caught(self, error: NonFiniteError) -> None:
        """Called by `fit` with the error that would have been raised."""
        print(f"Training stopped: {error}")
        self.model.stop_training = True
