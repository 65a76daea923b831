"""Training: the arguments of `fit`, and its run over epochs with callbacks, validation, history and progress."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

from pynn.callbacks import BackupAndRestore, Callback, CallbackList, History, TerminateOnNaN
from pynn.data.batches import Batches, is_batches, with_parts
from pynn.errors import NonFiniteError
from pynn.models import inference, steps
from pynn.models.arguments import (
    callback_list,
    check_validation,
    checked_frequency,
    checked_shuffle,
    checked_verbose,
    refuse_beside_batches,
    refuse_options_as_targets,
    rows_per_step,
    whole,
)
from pynn.models.class_weights import class_table
from pynn.models.prepared import training_data
from pynn.models.programs import LOG_ROWS, EpochValues, ProgramCache
from pynn.models.trainers import BATCH_HOOKS, ArrayTrainer, BatchTrainer
from pynn.progress import ProgressBar

P = ParamSpec("P")
R = TypeVar("R")

EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")


def _alone(train: Callable[P, R]) -> Callable[P, R]:
    """`fit` while its thread alone trains the model. For one that a callback of fit calls, the epoch around it goes on where it was."""

    @functools.wraps(train)
    def wrapped(model, *args, **kwargs):
        within = model.locks.fitting
        with model.locks.training("fit", model.label) as turn, turn:
            if not within:
                return train(model, *args, **kwargs)
            with _apart(model):
                return train(model, *args, **kwargs)

    return wrapped


@_alone
def fit(
    model,
    x=None,
    y=None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Sequence[Callback] | None = None,
    validation_split: float = 0.0,
    validation_data=None,
    shuffle: bool = True,
    class_weight: dict | None = None,
    sample_weight=None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | Sequence[int] = 1,
) -> History:
    """Trains a compiled model.

    Args:
        x: Arrays (one, a list, or a dict by input name), or something that yields batches `(x, y)` or `(x, y, sample_weight)`:
            a generator, an iterable, or an object with `__len__` and `__getitem__`.
        y: Targets, like `x`; omit it if `x` yields batches. A model that is compiled without losses and metrics needs none here, in
            the batches and in `validation_data`: it minimises what its layers give to `add_loss`.
        batch_size: Rows per step, 32 by default. The last batch of an epoch may be smaller. Omit it if `x` yields batches.
        epochs: Number of the last epoch; training goes from `initial_epoch` to it.
        verbose: 0 nothing, 1 (or "auto") a bar on a terminal and a line an epoch elsewhere, 2 a line an epoch.
        callbacks: See `pynn.callbacks`.
        validation_split: Fraction of the rows, taken from the end before shuffling, to validate on.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or batches, to validate on; then nothing is split off.
        shuffle: A new order of rows each epoch. Batches come in the order in which `x` yields them.
        class_weight: Weights by class index, of the samples or, where each step of a sequence has a class, of the steps.
        sample_weight: Weights of the samples, as many as rows.
        initial_epoch: The number of epochs done before, when training is resumed.
        steps_per_epoch: Steps per epoch; all of the data by default.
        validation_steps: Batches to validate on; all by default.
        validation_batch_size: Rows per validation batch, `batch_size` by default. Omit it if `validation_data` yields batches.
        validation_freq: Validate every this many epochs, or after the listed epochs.

    Returns:
        A `History` with the values of every epoch.

    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite; the weights are those before that step.
        ValueError, TypeError: the data don't suit the model.
    """
    model.require_compiled("fit")
    if model.optimizer is None:
        raise RuntimeError("[fit] the model has no optimizer. Call model.compile(optimizer=..., loss=...) first.")
    epochs = whole("fit", "epochs", epochs, 1)
    batch_size = rows_per_step("fit", x, batch_size)
    validation_batch_size = rows_per_step(
        "fit", validation_data, validation_batch_size, batch_size, what="validation_data", name="validation_batch_size"
    )
    steps_per_epoch = whole("fit", "steps_per_epoch", steps_per_epoch, None)
    validation_steps = whole("fit", "validation_steps", validation_steps, None)
    initial_epoch = whole("fit", "initial_epoch", initial_epoch, 0, least=0)
    validation_freq = checked_frequency(validation_freq)
    if x is None:
        raise TypeError("[fit] there is nothing to train on. Call fit(x, y).")
    refuse_options_as_targets(y, model.output_names)
    check_validation(validation_data, needs_targets=model.objective.needs_targets)
    arguments = dict(batch_size=batch_size, shuffle=checked_shuffle(shuffle), steps_per_epoch=steps_per_epoch)
    validation = None
    if is_batches(x):
        refuse_beside_batches("fit", x, y, sample_weight, validation_split)
        source: Any = Batches(x, lambda *parts: _with_targets(model, *parts, class_weight=class_weight))
        trainer: Any = BatchTrainer(model, source, **arguments)
    else:
        if y is None and model.objective.needs_targets:
            hint = " For this dict: fit(data['xs'], data['ys'])." if isinstance(x, dict) and set(x) == {"xs", "ys"} else ""
            raise ValueError(f"[fit] y is missing. Call fit(x, y) with as many targets as rows in x.{hint}")
        data = training_data(model, x, y, sample_weight)
        if validation_split and validation_data is None:
            data, validation = data.split(validation_split)
        if data.rows == 0:
            raise ValueError("[fit] there are no rows to train on. Received: x with 0 rows.")
        table = class_table(model, class_weight, data.y) if class_weight is not None else None
        trainer = ArrayTrainer(model, data, class_table=table, **arguments)
    if validation_data is not None:
        validation = validation_data
    validator = _Validator(model, validation, validation_batch_size, validation_steps, validation_freq)
    return _Run(model, trainer, validator, callback_list(callbacks), epochs, initial_epoch, checked_verbose("fit", verbose)).go()


def _with_targets(model, x, *rest, class_weight):
    if model.objective.needs_targets:
        x, *rest = with_parts(x, rest)
        if not rest or rest[0] is None:
            raise ValueError(f"[fit] a batch came without targets. Received: a {type(x).__name__}. Yield a tuple (x, y).")
    return training_data(model, x, *rest, class_weight=class_weight)


@contextlib.contextmanager
def _apart(model) -> Iterator[None]:
    """What `fit` sets in the model is afterwards what it was before, the weights aside."""
    around = model.programs, model.history, model.stop_training
    model.programs = ProgramCache()  # programs that take batches from memory know their place in the epoch
    try:
        with steps.undone(model.objective.variables):
            yield
    finally:
        model.programs, model.history, model.stop_training = around


class _Validator:
    """Evaluates after the epochs that ask for it."""

    def __init__(self, model, data, batch_size, steps_, freq):
        self.model, self.data = model, data
        self.batch_size, self.steps, self.freq = batch_size, steps_, freq

    def due(self, epoch: int) -> bool:
        """Whether to validate after this epoch (counted from 0)."""
        if self.data is None:
            return False
        return (epoch + 1) % self.freq == 0 if isinstance(self.freq, int) else epoch + 1 in self.freq

    def run(self, callbacks: CallbackList) -> dict[str, float]:
        """The results, named val_..."""
        parts = self.data if isinstance(self.data, (tuple, list)) else (self.data,)
        results = inference.evaluate(
            self.model, *parts[:2], sample_weight=parts[2] if len(parts) > 2 else None,
            batch_size=None if is_batches(parts[0]) else self.batch_size, steps=self.steps, verbose=0, return_dict=True,
            callbacks=callbacks,
        )  # fmt: skip
        return {f"val_{k}": v for k, v in results.items()}


class _Run:
    """One call of `fit`: epochs with callbacks, validation, history and progress."""

    def __init__(self, model, trainer, validator, callbacks, epochs: int, initial_epoch: int, verbose):
        self.model, self.trainer, self.validator = model, trainer, validator
        self.epochs, self.initial_epoch = epochs, initial_epoch
        self.history = History()
        self.one_by_one = True  # whether there is something to do at the end of each epoch
        self.bar = ProgressBar(verbose, self.epochs)
        params = {"epochs": self.epochs, "steps": trainer.steps, "verbose": verbose, "validation": validator.data is not None}
        self.callbacks = CallbackList(callbacks, model, params)
        self.history.set_params(params)

    def go(self) -> History:
        """Trains."""
        model = self.model
        model.stop_training = False
        model.history = self.history
        self.callbacks.call("on_train_begin")
        try:
            for backup in self.callbacks.of(BackupAndRestore):
                backup.resume(self)
            self._epochs()
        except NonFiniteError as error:
            self.bar.interrupt()
            quiet = self.callbacks.of(TerminateOnNaN)
            if not quiet:
                raise
            quiet[0].caught(error)
        except KeyboardInterrupt:
            self.bar.interrupt()
            raise
        with model.locks.steps.writing() as turn, turn:
            model.optimizer.finalize_variable_values(model.trainable_weights)
        self.callbacks.call("on_train_end", logs=self._last_logs())
        return self.history

    def go_on(self, epoch: int, batch: int, steps_: int) -> None:
        """Starts in this epoch, after so many of its batches: a training that was interrupted there, with epochs of so many steps."""
        before, self.initial_epoch = self.initial_epoch, epoch
        self.trainer.go_on(epoch, batch, (epoch - before) * steps_)

    def _last_logs(self) -> dict[str, float]:
        return self.history.last()

    def _epochs(self) -> None:
        epoch = self.initial_epoch
        while epoch < self.epochs and not self.model.stop_training:
            hooks = self.callbacks.any_overrides(*EPOCH_HOOKS, *BATCH_HOOKS)
            alone = hooks or self.trainer.in_part or self.validator.data is not None or self.model.optimizer.has_python_schedule
            self.one_by_one = alone or bool(self.bar.verbose)
            count = 1 if self.one_by_one else min(self.epochs - epoch, LOG_ROWS)
            started = time.monotonic()
            self.bar.start(epoch)
            self.callbacks.call("on_epoch_begin", epoch)
            values = self.trainer.run(epoch, count, self)
            if self.one_by_one:
                seconds = (time.monotonic() - started) / max(len(values), 1)
                for i, logs in enumerate(values.dicts()):
                    self._finish_epoch(epoch + i, logs, seconds)
            else:
                self.keep(epoch, values)
            epoch += len(values)

    def keep(self, epoch: int, values: EpochValues) -> None:
        """Notes epochs, the first of them `epoch`, that ran on their own: all that were to come, or those before the one that failed."""
        if len(values) and not self.one_by_one:
            self.history.extend(epoch, values.names, values.columns)

    def _finish_epoch(self, epoch: int, logs: dict[str, float], seconds: float) -> None:
        if self.validator.due(epoch):
            logs.update(self.validator.run(self.callbacks))
        self.bar.finish(logs, self.trainer.last_steps, epoch, seconds)
        self.callbacks.call("on_epoch_end", epoch, logs=logs, last=False)
        self.history.add(epoch, logs)  # with what callbacks have put in
        self.callbacks.call("on_epoch_end", epoch, logs=logs, last=True)
