"""Training. Data in memory is trained on by programs that shuffle, gather and log for themselves, whole epochs per native call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from pynn.callbacks import Callback, CallbackList, History, TerminateOnNaN
from pynn.data.arrays import ArrayData
from pynn.data.batches import Batches, is_batches
from pynn.errors import GuardTripped, NonFiniteError
from pynn.models import inference, steps
from pynn.models.diagnosis import explain
from pynn.models.model import class_table
from pynn.models.programs import LOG_ROWS, EpochPrograms, EpochValues
from pynn.program.schedule import Part, Schedule
from pynn.progress import ProgressBar

TURN_SECONDS = 0.1  # a native run comes back this often for signals and progress
BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end")
EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")


def fit(
    model,
    x=None,
    y=None,
    *,
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
    validation_freq: int = 1,
) -> History:
    """Trains a compiled model.

    Args:
        x: Arrays (one, a list, or a dict by input name), or something that yields batches `(x, y)` or `(x, y, sample_weight)`:
            a generator, an iterable, or an object with `__len__` and `__getitem__`.
        y: Targets, like `x`; left out if `x` yields batches.
        batch_size: Rows per step, 32 by default. The last batch of an epoch may be smaller.
        epochs: Number of the last epoch; training goes from `initial_epoch` to it.
        verbose: 0 nothing, 1 a bar on a terminal and a line an epoch elsewhere, 2 a line an epoch.
        callbacks: See `pynn.callbacks`.
        validation_split: Fraction of the rows, taken from the end before shuffling, to validate on.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or batches, to validate on instead.
        shuffle: A new order of rows each epoch.
        class_weight: Weights of the samples by class index.
        sample_weight: Weights of the samples, as many as rows.
        initial_epoch: Where to start counting, as when training goes on.
        steps_per_epoch: Steps that make an epoch; all of the data by default.
        validation_steps: Batches to validate on; all by default.
        validation_batch_size: Rows per validation batch.
        validation_freq: Validate every so many epochs, or after the epochs listed.

    Returns:
        A `History` with the values of every epoch.

    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite; the weights are those before that step.
        ValueError, TypeError: the data don't suit the model.
    """
    model.require_compiled("fit")
    if model.optimizer is None:
        raise RuntimeError("[fit] the model has no optimizer. Call model.compile(optimizer=..., loss=...) first.")
    for name, value in (("epochs", epochs), ("batch_size", 32 if batch_size is None else batch_size)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"[fit] {name} must be a whole number above zero. Received: {value!r}.")
    if x is None:
        raise TypeError("[fit] there is nothing to train on. Call fit(x, y).")
    arguments = dict(batch_size=int(batch_size or 32), shuffle=shuffle, steps_per_epoch=steps_per_epoch)
    validation = None
    if is_batches(x):
        _refuse_with_batches(y, sample_weight, validation_split)
        source: Any = Batches(x, lambda *parts: model.prepare_data(*parts, class_weight=class_weight))
        trainer: Any = BatchTrainer(model, source, **arguments)
    else:
        if y is None:
            raise ValueError("[fit] y is missing. Call fit(x, y) with as many targets as rows in x.")
        data = model.prepare_data(x, y, sample_weight)
        if validation_split:
            data, validation = data.split(validation_split)
        if data.rows == 0:
            raise ValueError("[fit] there are no rows to train on. Received: x with 0 rows.")
        table = class_table(class_weight) if class_weight is not None else None
        trainer = ArrayTrainer(model, data, class_table=table, **arguments)
    if validation_data is not None:
        validation = validation_data
    validator = _Validator(model, validation, validation_batch_size or batch_size, validation_steps, validation_freq)
    return _Run(model, trainer, validator, callbacks or [], epochs, initial_epoch, verbose).go()


def _refuse_with_batches(y, sample_weight, validation_split) -> None:
    for name, value in (("y", y), ("sample_weight", sample_weight), ("validation_split", validation_split or None)):
        if value is not None:
            raise ValueError(
                f"[fit] x yields batches, so {name} can't be given beside it. Yield (x, y) or (x, y, sample_weight) instead."
                + (" Pass validation_data." if name == "validation_split" else "")
            )


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

    def run(self) -> dict[str, float]:
        """The results, named val_..."""
        data = self.data if isinstance(self.data, (ArrayData, tuple)) else (self.data,)
        parts = (data,) if isinstance(data, ArrayData) else data
        results = inference.evaluate(
            self.model, *parts[:2], sample_weight=parts[2] if len(parts) > 2 else None, batch_size=self.batch_size,
            steps=self.steps, verbose=0, return_dict=True,
        )  # fmt: skip
        return {f"val_{k}": v for k, v in results.items()}


class _Run:
    """One call of `fit`: epochs with callbacks, validation, history and progress."""

    def __init__(self, model, trainer, validator, callbacks, epochs: int, initial_epoch: int, verbose):
        self.model, self.trainer, self.validator = model, trainer, validator
        self.epochs, self.initial_epoch = int(epochs), int(initial_epoch)
        self.history = History()
        self.bar = ProgressBar(verbose, self.epochs)
        params = {"epochs": self.epochs, "steps": trainer.steps, "verbose": verbose}
        self.callbacks = CallbackList(callbacks, model, params)

    def go(self) -> History:
        model = self.model
        model.stop_training = False
        model.history = self.history
        self.callbacks.call("on_train_begin")
        try:
            self._epochs()
        except NonFiniteError as error:
            self.bar.interrupt()
            quiet = [c for c in self.callbacks.callbacks if isinstance(c, TerminateOnNaN)]
            if not quiet:
                raise
            quiet[0].caught(error)
        except KeyboardInterrupt:
            self.bar.interrupt()
            raise
        finally:
            self.trainer.close()
        self.callbacks.call("on_train_end", logs=self._last_logs())
        return self.history

    def _last_logs(self) -> dict[str, float]:
        return {k: v[-1] for k, v in self.history.history.items()}

    def _epochs(self) -> None:
        epoch = self.initial_epoch
        while epoch < self.epochs and not self.model.stop_training:
            hooks = self.callbacks.any_overrides(*EPOCH_HOOKS, *BATCH_HOOKS)
            alone = hooks or self.validator.data is not None or self.model.optimizer.has_python_schedule
            count = 1 if alone or self.bar.live else min(self.epochs - epoch, LOG_ROWS)
            started = time.monotonic()
            self.bar.start(epoch)
            self.callbacks.call("on_epoch_begin", epoch)
            values = self.trainer.run(epoch, count, self)
            if alone or self.bar.verbose:
                seconds = (time.monotonic() - started) / max(len(values.rows), 1)
                for i, logs in enumerate(values.dicts()):
                    self._finish_epoch(epoch + i, logs, seconds)
            else:
                self.history.extend(epoch, values.names, values.rows)
            epoch += len(values.rows)

    def _finish_epoch(self, epoch: int, logs: dict[str, float], seconds: float) -> None:
        if self.validator.due(epoch):
            logs.update(self.validator.run())
        self.history.add(epoch, logs)
        self.bar.finish(logs, self.trainer.last_steps, epoch, seconds)
        self.callbacks.call("on_epoch_end", epoch, logs=logs)


class ArrayTrainer:
    """Trains on data in memory by a schedule of programs."""

    def __init__(self, model, data: ArrayData, *, batch_size: int, shuffle: bool, steps_per_epoch: int | None, class_table):
        steps.ensure_built(model, [a[:1] for a in data.x], [a[:1] for a in data.y])
        self.model, self.data, self.shuffle, self.class_table = model, data, bool(shuffle), class_table
        self.batch_size = min(batch_size, data.rows)
        full, tail = divmod(data.rows, self.batch_size)
        if steps_per_epoch is not None and steps_per_epoch < full + (tail > 0):
            full, tail = steps_per_epoch, 0
        self.full, self.tail = full, tail
        self.steps = self.last_steps = full + (tail > 0)
        self.schedule: Schedule | None = None
        self.programs = None if model.run_eagerly else self._programs()

    def _programs(self) -> dict[str, Any]:
        key = ("fit", tuple((a.shape, a.dtype) for a in self.data.leaves), self.data.counts, self.batch_size, self.full, self.tail,
               self.shuffle, None if self.class_table is None else self.class_table.tobytes(), self.model.state_key())  # fmt: skip
        return self.model.programs.get(key, self._capture)

    def _capture(self) -> dict[str, Any]:
        made = EpochPrograms(self.model, self.data, self.batch_size, "train", self.shuffle, self.class_table)
        return {
            "state": made,
            "begin": made.begin(),
            "full": made.step(self.batch_size) if self.full else None,
            "tail": made.step(self.tail) if self.tail else None,
            "end": made.end(),
        }

    def run(self, epoch: int, count: int, run: _Run) -> EpochValues:
        """Trains up to `count` epochs and returns the values of each."""
        if self.programs is None:
            return EpochValues.of(self._run_eagerly(epoch, run))
        state = self.programs["state"]
        state.data = self.data
        state.clear_log()
        if not self.shuffle:
            state.order.assign(np.arange(self.data.rows))
        if run.callbacks.any_overrides(*BATCH_HOOKS) or self.model.optimizer.has_python_schedule:
            return EpochValues.of(self._run_by_batches(epoch, run))
        self._run_schedule(epoch, count, run)
        return state.logged(count)

    def _parts(self) -> list[Part]:
        programs, leaves = self.programs, self.data.leaves
        steps_ = [Part(programs[k], leaves, n) for k, n in (("full", self.full), ("tail", 1)) if programs[k] is not None]
        return [Part(programs["begin"]), *steps_, Part(programs["end"])]

    def _run_schedule(self, epoch: int, count: int, run: _Run) -> None:
        schedule = Schedule(self._parts(), count)
        try:
            while not schedule.run(TURN_SECONDS):
                if run.bar.wants_updates:
                    _, part, step = schedule.position
                    done = step + (self.full if part > 1 else 0)
                    run.bar.update(done, self.steps, self.model.objective.results())
        except GuardTripped as tripped:
            turn, part, step = schedule.position
            raise self._explain(tripped, epoch + turn, step + (self.full if part > 1 else 0)) from None
        finally:
            schedule.close()

    def _run_by_batches(self, epoch: int, run: _Run) -> dict[str, float]:
        programs, leaves = self.programs, self.data.leaves
        programs["begin"].run()
        for batch in range(self.steps):
            run.callbacks.call("on_train_batch_begin", batch)
            program = programs["full"] if batch < self.full else programs["tail"]
            self.model.optimizer.refresh_learning_rate()
            try:
                program.run(leaves)
            except GuardTripped as tripped:
                raise self._explain(tripped, epoch, batch) from None
            logs = self.model.objective.results()
            run.callbacks.call("on_train_batch_end", batch, logs=logs)
            run.bar.update(batch + 1, self.steps, logs)
            if self.model.stop_training:
                break
        return self.model.objective.results()

    def _explain(self, tripped: GuardTripped, epoch: int, batch: int) -> NonFiniteError:
        state = self.programs["state"]
        first = int(state.cursor.item())
        rows = state.order.numpy()[first : first + self.batch_size]
        return explain(self.model, tripped, self.data.take(rows), epoch, batch, self.class_table)

    def _run_eagerly(self, epoch: int, run: _Run) -> dict[str, float]:
        from pynn.engine.operators import call
        from pynn.engine.tensor import as_tensor
        from pynn.random import key_for

        if not hasattr(self, "epochs_drawn"):
            self.epochs_drawn = 0
        order = np.arange(self.data.rows)
        if self.shuffle:
            key0, key1 = key_for("fit shuffle")
            counter = as_tensor(np.array(self.epochs_drawn, np.int64))
            order = np.array(call("permutation", counter, self.data.rows, key0=key0, key1=key1))
            self.epochs_drawn += 1
        self.model.objective.reset()
        for batch in range(self.steps):
            run.callbacks.call("on_train_batch_begin", batch)
            data = self.data.take(order[batch * self.batch_size : (batch + 1) * self.batch_size])
            if self.class_table is not None:
                from pynn.engine.tensor import Tensor

                w = steps.class_weighted([Tensor(a) for a in data.weights], Tensor(data.y[0]), Tensor(self.class_table))[0]
                data = ArrayData(data.x, data.y, [np.array(w)])
            self.model.run_batch("train", data)
            logs = self.model.objective.results()
            run.callbacks.call("on_train_batch_end", batch, logs=logs)
            run.bar.update(batch + 1, self.steps, logs)
        return self.model.objective.results()

    def close(self) -> None:
        """Nothing is held between runs."""


class BatchTrainer:
    """Trains on batches as they come, one captured step each."""

    def __init__(self, model, source: Batches, *, batch_size: int, shuffle: bool, steps_per_epoch: int | None):
        self.model, self.source = model, source
        self.steps_per_epoch = steps_per_epoch
        self.steps = steps_per_epoch or source.steps
        self.last_steps = 0

    def run(self, epoch: int, count: int, run: _Run) -> EpochValues:
        """Trains an epoch and returns its values."""
        return EpochValues.of(self._run_epoch(epoch, run))

    def _run_epoch(self, epoch: int, run: _Run) -> dict[str, float]:
        batch = -1
        for batch, data in enumerate(self.source.epoch(self.steps_per_epoch)):
            if batch == 0:
                self.model.objective_reset(data)
            run.callbacks.call("on_train_batch_begin", batch)
            self._step(epoch, batch, data)
            if run.callbacks.any_overrides("on_train_batch_end") or run.bar.wants_updates:
                logs = self.model.objective.results()
                run.callbacks.call("on_train_batch_end", batch, logs=logs)
                run.bar.update(batch + 1, self.steps, logs)
            if self.model.stop_training:
                break
        if batch < 0:
            raise ValueError(
                f"[fit] the data ended before epoch {epoch + 1} had a batch. A generator can be gone through once only: "
                "pass steps_per_epoch, or an iterable that starts anew."
            )
        self.last_steps = batch + 1
        self.source.epoch_ended()
        return self.model.objective.results()

    def _step(self, epoch: int, batch: int, data: ArrayData) -> None:
        try:
            self.model.run_batch("train", data)
        except NonFiniteError as error:
            raise type(error)(f"epoch {epoch + 1}, batch {batch + 1}: {error}") from None

    def close(self) -> None:
        """Nothing is held between runs."""
