"""What `fit` trains with: data in memory by programs that shuffle, gather and log for themselves, or batches as they come."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pynn.data.arrays import ArrayData
from pynn.data.batches import Batches
from pynn.errors import GuardTripped, NonFiniteError, users_level
from pynn.models import steps
from pynn.models.diagnosis import explain
from pynn.models.programs import EpochPrograms, EpochValues
from pynn.program.schedule import Part, Schedule

BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end")


def _call(run, hook: str, batch: int, logs: dict[str, float] | None = None) -> None:
    """Calls a hook in the middle of an epoch, whose steps are those of the model as it is compiled."""
    objective = run.model.objective
    run.callbacks.call(hook, batch, logs=logs)
    if run.model.objective is not objective:
        raise RuntimeError(
            f"[fit] the model was compiled again in the middle of an epoch, by {hook} of a callback. Received: batch {batch}. "
            "Call compile in on_epoch_begin or on_epoch_end."
        )


def warn_of_few(what: str, steps_per_epoch: int) -> None:
    """Warns of epochs that are shorter than asked for."""
    warnings.warn(
        f"[fit] an epoch has fewer batches than steps_per_epoch. Received: steps_per_epoch={steps_per_epoch}, but {what}. "
        "Leave it out for epochs of all the data.", stacklevel=users_level(),
    )  # fmt: skip


class ArrayTrainer:
    """Trains on data in memory by a schedule of programs."""

    def __init__(self, model, data: ArrayData, *, batch_size: int, shuffle: bool, steps_per_epoch: int | None, class_table):
        self.model, self.data, self.shuffle, self.class_table = model, data, bool(shuffle), class_table
        self.batch_size = min(batch_size, data.rows)
        self._build()
        full, tail = divmod(data.rows, self.batch_size)
        batches = full + (tail > 0)
        self.in_part = steps_per_epoch is not None and steps_per_epoch < batches
        if steps_per_epoch is not None and steps_per_epoch > batches:
            warn_of_few(f"x has {batches}", steps_per_epoch)
        if self.in_part:
            full, tail = steps_per_epoch, 0
        self.full, self.tail = full, tail
        self.steps = self.last_steps = full + (tail > 0)
        self.first = 0  # the batch at which the next epoch starts: above 0 only where an interrupted epoch goes on
        self.order = np.arange(data.rows)
        self.programs: dict[str, Any] = {}

    def _build(self) -> None:
        steps.ensure_built(self.model, self.data, self.batch_size)
        self.model.objective.check_targets(self.data.y)

    def build(self) -> None:
        """The model is built from the data already."""

    def describe(self) -> dict[str, Any]:
        """What has to be the same for an epoch to go on in the middle."""
        return {"rows": self.data.rows, "batch_size": self.batch_size, "steps": self.steps, "shuffle": self.shuffle}

    def go_on(self, epoch: int, batch: int, taken: int) -> None:
        """The next epoch is one that was interrupted after `batch` batches, `taken` before it; the model's state is that of then."""
        self.first = batch
        if not batch:
            return
        if self.shuffle:
            self.order = self.model.shuffling.last(self.data.rows)
        else:
            self.order = self._plain_order(epoch)

    def _programs(self) -> dict[str, Any]:
        key = ("fit", tuple((a.shape, a.dtype) for a in self.data.leaves), self.data.counts, self.batch_size, self.full, self.tail,
               self.model.shuffling.key if self.shuffle else None,
               None if self.class_table is None else self.class_table.tobytes(), self.model.forms.input_keys,
               self.model.state_key())  # fmt: skip
        return self.model.programs.get(key, self._capture)

    def _capture(self) -> dict[str, Any]:
        made = EpochPrograms(self.model, self.data, self.shuffle, self.class_table)
        return {
            "state": made,
            "begin": made.begin(),
            "full": made.step(self.batch_size) if self.full else None,
            "tail": made.step(self.tail) if self.tail else None,
            "end": made.end(),
        }

    def run(self, epoch: int, count: int, run) -> EpochValues:
        """Trains up to `count` epochs and returns the values of each."""
        if not self.model.objective.built:  # a callback has compiled the model again
            self._build()
        if self.model.run_eagerly:
            return EpochValues.of(self._run_by_batches(epoch, run))
        self.programs = self._programs()
        state = self.programs["state"]
        state.clear_log()
        if not self.shuffle:
            state.order.assign(self._plain_order(epoch))
        stops = self.model.stop_training  # at the start of the epoch, which then has one batch
        if self.first or stops or run.callbacks.any_overrides(*BATCH_HOOKS) or self.model.optimizer.has_python_schedule:
            return EpochValues.of(self._run_by_batches(epoch, run))
        try:
            self._run_schedule(epoch, count, run)
        except BaseException:
            run.keep(epoch, state.logged(int(state.log_row.item())))
            raise
        return state.logged(count)

    def _plain_order(self, epoch: int) -> np.ndarray:
        """The rows as they stand; an epoch of fewer steps than there are batches starts where the one before ended."""
        return np.roll(np.arange(self.data.rows), -epoch * self.full * self.batch_size if self.in_part else 0)

    def _parts(self) -> list[Part]:
        programs, leaves = self.programs, self.data.leaves
        steps_ = [Part(programs[k], leaves, n) for k, n in (("full", self.full), ("tail", 1)) if programs[k] is not None]
        return [Part(programs["begin"]), *steps_, Part(programs["end"])]

    def _run_schedule(self, epoch: int, count: int, run) -> None:
        schedule = Schedule(self._parts(), count)
        try:
            while not self._turn(schedule):
                if run.bar.wants_updates:
                    _, part, step = schedule.position
                    done = step + (self.full if part > 1 else 0)
                    run.bar.update(done, self.steps, self.model.objective.results())
        except GuardTripped as tripped:
            turn, part, step = schedule.position
            raise self._explain(tripped, epoch + turn, step + (self.full if part > 1 else 0)) from None
        finally:
            schedule.close()

    def _turn(self, schedule: Schedule) -> bool:
        """Whole steps for a moment; between turns come signals, progress, and predictions in other threads."""
        lock = self.model.locks.steps
        with lock.writing() as turn, turn:
            return schedule.run(lock.turn_seconds)

    def _run_by_batches(self, epoch: int, run) -> dict[str, float]:
        """An epoch, or what is left of it, with the hooks around each step."""
        first, self.first, eager = self.first, 0, self.model.run_eagerly
        self._place(epoch, first)
        for batch in range(first, self.steps):
            _call(run, "on_train_batch_begin", batch)
            if eager:
                rows = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
                self.model.run_batch("train", steps.by_class(self.model, self.data.take(rows), self.class_table))
            else:
                self._step(epoch, batch)
            logs = self.model.objective.results()
            _call(run, "on_train_batch_end", batch, logs)
            run.bar.update(batch + 1, self.steps, logs)
            if self.model.stop_training:
                break
        return self.model.objective.results()

    def _place(self, epoch: int, first: int) -> None:
        """Draws the order of a new epoch; takes one that goes on to its next batch."""
        if self.model.run_eagerly:
            if not first:
                self.order = self.model.shuffling.draw(self.data.rows) if self.shuffle else self._plain_order(epoch)
                self.model.objective.reset()
        elif first:
            self.programs["state"].go_on(self.order, first * self.batch_size)
        else:
            self.programs["begin"].run()

    def _step(self, epoch: int, batch: int) -> None:
        program = self.programs["full"] if batch < self.full else self.programs["tail"]
        self.model.optimizer.refresh_learning_rate()
        try:
            with self.model.locks.steps.writing() as turn, turn:
                program.run(self.data.leaves)
        except GuardTripped as tripped:
            raise self._explain(tripped, epoch, batch) from None

    def _explain(self, tripped: GuardTripped, epoch: int, batch: int) -> NonFiniteError:
        state = self.programs["state"]
        first = int(state.cursor.item())
        rows = state.order.numpy()[first : first + self.batch_size]
        return explain(self.model, tripped, self.data.take(rows), epoch, batch, self.class_table)


class BatchTrainer:
    """Trains on batches as they come, one captured step each."""

    def __init__(self, model, source: Batches, *, batch_size: int, shuffle: bool, steps_per_epoch: int | None):
        self.model, self.source = model, source
        self.steps_per_epoch = steps_per_epoch
        self.steps = steps_per_epoch or source.steps
        self.last_steps = 0
        self.first = 0
        self.in_part = False

    def build(self) -> None:
        """Builds the model from the first batch."""
        data = self.source.peek()
        if data is not None:
            self.model.objective_reset(data)

    def describe(self) -> dict[str, Any]:
        """What has to be the same for an epoch to go on in the middle."""
        return {"steps": self.steps}

    def go_on(self, epoch: int, batch: int, taken: int) -> None:
        """The next epoch is one that was interrupted after `batch` batches, which are skipped, as are the `taken` of epochs before it."""
        self.first = batch
        self.source.skip(taken)

    def run(self, epoch: int, count: int, run) -> EpochValues:
        """Trains an epoch and returns its values."""
        return EpochValues.of(self._run_epoch(epoch, run))

    def _run_epoch(self, epoch: int, run) -> dict[str, float]:
        batch, first, self.first = -1, self.first, 0
        for batch, data in enumerate(self.source.epoch(self.steps_per_epoch)):
            if batch < first:
                continue
            if batch == 0:
                self.model.objective_reset(data)
            _call(run, "on_train_batch_begin", batch)
            self._step(epoch, batch, data)
            if run.callbacks.any_overrides("on_train_batch_end") or run.bar.wants_updates:
                logs = self.model.objective.results()
                _call(run, "on_train_batch_end", batch, logs)
                run.bar.update(batch + 1, self.steps, logs)
            if self.model.stop_training:
                break
        if batch < 0:
            raise ValueError(
                f"[fit] the data ended before epoch {epoch + 1} had a batch. A generator can be iterated only once: "
                "pass steps_per_epoch, or an iterable that starts again each time."
            )
        self.last_steps = batch + 1
        if self.last_steps < (self.steps_per_epoch or 0) and not self.model.stop_training:
            warn_of_few(f"the data ended in epoch {epoch + 1} after {self.last_steps}", self.steps_per_epoch)
        self.source.epoch_ended()
        return self.model.objective.results()

    def _step(self, epoch: int, batch: int, data: ArrayData) -> None:
        self.model.objective.check_targets(data.y)
        try:
            self.model.run_batch("train", data)
        except NonFiniteError as error:
            raise type(error)(f"epoch {epoch + 1}, batch {batch + 1}: {error}") from None
