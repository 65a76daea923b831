"""Callbacks that watch a value: EarlyStopping, ReduceLROnPlateau; and the learning rate by epoch."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from pynn.callbacks.base import Callback
from pynn.optimizers.schedules import takes

# How the values end of which more is better, where no metric of the model says so itself.
_RISING = ("acc", "accuracy", "auc", "precision", "recall", "r2_score", "f1_score", "similarity")


class Monitor(Callback):
    """Base of callbacks that compare a value with the best so far, which is None at first."""

    _STATE: tuple[str, ...] = ()  # attributes that a backup keeps

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0):
        if not isinstance(mode, str) or mode not in ("auto", "min", "max"):  # NumPy 1 warns where an array meets a word
            raise ValueError(f"[{type(self).__name__}] mode must be 'auto', 'min' or 'max'. Received: mode={mode!r}.")
        self.monitor, self.mode = monitor, mode
        self.min_delta = abs(self._number("min_delta", min_delta, least=-np.inf))
        self.best: float | None = None

    def _number(self, name: str, value, least: float = 0) -> float:
        if not isinstance(value, (int, float, np.number)) or not value >= least:
            what = "a number" if least < 0 else "a number, zero or more"
            raise ValueError(f"[{type(self).__name__}] {name} must be {what}. Received: {name}={value!r}.")
        return value

    @property
    def larger_is_better(self) -> bool:
        """Whether larger values are better: by `mode`, by the compiled model's metric of that name, or by the name."""
        name = self.monitor.removeprefix("val_")
        if self.mode != "auto" or name.endswith("loss"):
            return self.mode == "max"
        # asked when there is a value: metrics are bound to the outputs at the first batch
        objective = getattr(self.model, "objective", None)
        direction = objective.direction(name) if objective is not None else None
        if direction is not None:
            return direction == "up"
        return re.sub(r"_\d+$", "", name.lower()).endswith(_RISING)

    def value(self, logs: dict[str, float]) -> float | None:
        """The monitored value of this epoch; None if it needs a validation that wasn't due."""
        if self.monitor not in logs:
            name = str(self.monitor)
            if self.params.get("validation") and name[:4] == "val_" and name[4:] in logs:
                return None
            raise ValueError(
                f"[{type(self).__name__}] there is no {self.monitor!r} to monitor. Received: {', '.join(logs) or 'no values'}. "
                "Values named val_... need validation data."
            )
        return logs[self.monitor]

    def improved(self, value: float, best: float | None = None) -> bool:
        """Whether `value` beats the best by more than min_delta; the first number does."""
        best = self.best if best is None else best
        if best is None:
            return not np.isnan(value)
        return value - self.min_delta > best if self.larger_is_better else value + self.min_delta < best

    def get_state(self):
        """The best value, and what else has been counted or kept so far."""
        return {name: getattr(self, name) for name in self._STATE}

    def set_state(self, state) -> None:
        """Continues from where `get_state` was called."""
        for name in self._STATE:
            setattr(self, name, state[name])


class EarlyStopping(Monitor):
    """Stops training when a monitored value has not improved for `patience` epochs; can restore the best weights.

    Args:
        monitor: The value's name.
        min_delta: Improvements smaller than this don't count.
        patience: Epochs without improvement before stopping.
        verbose: 1 says when it stops.
        mode: "min", "max", or "auto", which asks the model's metric of this name, or else guesses from the name.
        baseline: The value must beat this first.
        restore_best_weights: Restore the weights of the best epoch at the end.
        start_from_epoch: Epochs before this one don't count.

    Example:
        >>> import pynn as pn
        >>> model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile(loss="mse", optimizer=pn.optimizers.SGD(0.0))  # which never gets better
        >>> stop = pn.callbacks.EarlyStopping(monitor="loss", patience=2)
        >>> len(model.fit(pn.zeros((4, 2)), pn.ones((4, 1)), epochs=9, verbose=0, callbacks=[stop]).epoch)
        3
    """

    _STATE = ("best", "best_epoch", "wait", "stopped_epoch", "best_weights")

    def __init__(
        self, monitor="val_loss", min_delta=0.0, patience=0, verbose=0, mode="auto", baseline=None,
        restore_best_weights=False, start_from_epoch=0,
    ):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose = self._number("patience", patience), verbose
        self.baseline = None if baseline is None else self._number("baseline", baseline, least=-np.inf)
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, self._number("start_from_epoch", start_from_epoch)
        self._reset()

    def _reset(self) -> None:
        self.wait = self.best_epoch = self.stopped_epoch = 0
        self.best = self.best_weights = None

    def on_train_begin(self, logs=None) -> None:
        """Resets the state."""
        self._reset()

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Compares, counts, stops."""
        value = self.value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.improved(value):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improved(value, self.baseline):
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
            best = "never a number" if self.best is None else f"best ({self.best:.5g}) in epoch {self.best_epoch + 1}"
            print(f"Stopped after epoch {self.stopped_epoch + 1}: {self.monitor} was {best}.")


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch: `schedule(epoch)` or `schedule(epoch, current_rate)`.

    Args:
        schedule: A function that returns the rate, a number.
        verbose: 1 prints the rate.
    """

    def __init__(self, schedule: Callable, verbose: int = 0):
        self.schedule, self.verbose = schedule, verbose
        self._takes_rate = takes(schedule, 2)

    def on_epoch_begin(self, epoch, logs=None) -> None:
        """Calls the schedule."""
        given = (epoch, float(self.model.optimizer.learning_rate)) if self._takes_rate else (epoch,)
        rate = self._number(self.schedule(*given), epoch)
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:.6g}")

    def _number(self, rate, epoch: int) -> float:
        try:
            return float(None if isinstance(rate, str) else rate)
        except (TypeError, ValueError):
            raise TypeError(
                f"[LearningRateScheduler] the schedule must return the learning rate, a number. Received: {rate!r} for epoch {epoch}. "
                "A schedule(epoch, rate) may return the given rate unchanged."
            ) from None

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Adds the epoch's rate to its values, as `learning_rate`."""
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when a monitored value has not improved for `patience` epochs.

    Args:
        monitor: The value's name.
        factor: Between 0 and 1.
        patience: Epochs without improvement before the rate goes down.
        verbose: 1 says when it does.
        mode: "min", "max", or "auto", which asks the model's metric of this name, or else guesses from the name.
        min_delta: Improvements smaller than this don't count.
        cooldown: Epochs after a change that aren't counted.
        min_lr: The rate doesn't go below this.
    """

    _STATE = ("best", "wait", "cooling")

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0, min_lr=0.0):
        super().__init__(monitor, mode, min_delta)
        if not isinstance(factor, (int, float, np.number)) or not 0 < factor < 1:
            raise ValueError(f"[ReduceLROnPlateau] factor must be between 0 and 1. Received: factor={factor!r}.")
        self.factor, self.patience, self.verbose = factor, self._number("patience", patience), verbose
        self.cooldown, self.min_lr = self._number("cooldown", cooldown), self._number("min_lr", min_lr)
        self.wait = self.cooling = 0

    def on_train_begin(self, logs=None) -> None:
        """Resets the state."""
        self.wait = self.cooling = 0
        self.best = None

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Compares, counts, lowers the rate; the rate of the epoch goes into its values, as `learning_rate`."""
        value = self.value(logs)
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        if value is None:
            return
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
