"""The captured programs of a model: a step on given batches, and steps that gather their own batches from data in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynn.data.arrays import ArrayData
from pynn.engine.op import Spec
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable
from pynn.models import steps
from pynn.models.calls import ModelCalls
from pynn.program.capture import Capture, abstract
from pynn.program.program import Program

MAX_PROGRAMS = 16
LOG_ROWS = 4096


class ProgramCache:
    """Programs by what they were captured for; the least recently used one makes room."""

    def __init__(self) -> None:
        self._programs: dict[tuple, Any] = {}
        self.calls = ModelCalls()

    def get(self, key: tuple, make: Callable[[], Any]) -> Any:
        """The program for `key`, made if it isn't there."""
        program = self._programs.pop(key, None) or make()
        self._programs[key] = program
        while len(self._programs) > MAX_PROGRAMS:
            for oldest in list(self._programs)[:1]:  # another thread may be at it too
                self._programs.pop(oldest, None)
            self.calls.clear()
        return program

    def __deepcopy__(self, memo) -> ProgramCache:
        return ProgramCache()  # programs are bound to the variables of their model

    def __reduce__(self):
        return ProgramCache, ()

    def clear(self) -> None:
        """Drops all programs, as after a change of the model."""
        self._programs.clear()
        self.calls.clear()


def capture(body: Callable, specs: Sequence[Spec]) -> Program:
    """The program of `body(*tensors)`, which returns a list of tensors."""
    inputs = [abstract(s, "argument") for s in specs]
    with Capture(may_create=False, rates_are_set=True) as recorder, recorder:
        outputs = body(*inputs)
    return Program(recorder, inputs, outputs)


def specs_of(arrays: Sequence[np.ndarray]) -> tuple[Spec, ...]:
    """Shapes and dtypes."""
    return tuple(Spec(a.shape, a.dtype) for a in arrays)


def batch_program(model, mode: str, data: ArrayData, *, alone: bool = False) -> Program:
    """The program of a train, test or predict step whose batch is its input.

    One that is `alone` starts with running values at zero and returns those of its batch, a row of float64.
    """
    specs, counts = specs_of(data.leaves), data.counts

    def body(*leaves):
        x, y, weights = split_leaves(leaves, counts)
        if mode == "predict":
            return steps.outputs_of(model, x, False)
        if alone:
            model.objective.reset()
        step = steps.train_step if mode == "train" else steps.test_step
        loss = step(model, x, y, weights)
        return [result_row(model)] if alone else [loss]

    key = (mode, alone, specs, counts, model.forms.input_keys, model.state_key())
    return model.programs.get(key, lambda: capture(body, specs))


def result_row(model) -> Tensor:
    """The running values of the model's objective, a vector of float64."""
    values = [tracker.result().astype(np.float64).reshape((1,)) for tracker in model.objective.trackers]
    return values[0] if len(values) == 1 else call("concat", values, axis=0)


def split_leaves(leaves: Sequence, counts: tuple[int, int, int]) -> tuple[list, list, list]:
    """x, y and weights of a flat list."""
    nx, ny, _ = counts
    return list(leaves[:nx]), list(leaves[nx : nx + ny]), list(leaves[nx + ny :])


class EpochPrograms:
    """Programs that train on data in memory: they shuffle, gather batches and write the epoch's results down themselves.

    State is in variables: the order of the rows, the place in it, and one row of results per epoch.
    """

    def __init__(self, model, data: ArrayData, shuffle: bool, class_table: np.ndarray | None = None):
        self.model, self.shuffle = model, shuffle
        self.rows, self.specs, self.counts = data.rows, specs_of(data.leaves), data.counts  # not the data, which may be large
        self.class_table = class_table
        self.order = Variable(np.arange(self.rows), name="order", trainable=False)
        self.cursor = Variable(np.zeros((), np.int64), name="cursor", trainable=False)
        self.log_row = Variable(np.zeros((), np.int64), name="log_row", trainable=False)
        self.log = Variable(np.zeros((LOG_ROWS, len(model.objective.trackers))), name="log", trainable=False)

    def begin(self) -> Program:
        """Start of an epoch: a new order, back to its first row, running values at zero."""
        key0, key1 = self.model.shuffling.key
        drawn = self.model.shuffling.drawn

        def body():
            if self.shuffle:
                self.order.assign(call("permutation", drawn.value, self.rows, key0=key0, key1=key1))
                drawn.assign(call("increment", drawn.value, by=1))
            self.cursor.assign(np.zeros((), np.int64))
            self.model.objective.reset()
            return []

        return capture(body, ())

    def end(self) -> Program:
        """End of an epoch: the results become a row of the log."""

        def body():
            row = call("expand_dims", result_row(self.model), 0)
            place = call("reshape", self.log_row.value, (1,))
            self.log.assign(call("scatter_add", self.log.value, place, row))
            self.log_row.assign(call("increment", self.log_row.value, by=1))
            return []

        return capture(body, ())

    def step(self, batch: int) -> Program:
        """A step that takes the next `batch` rows."""
        def body(*leaves):
            gathered = [call("gather_batch", a, self.order.value, self.cursor.value, batch=batch) for a in leaves]
            self.cursor.assign(call("increment", self.cursor.value, by=batch))
            x, y, weights = split_leaves(gathered, self.counts)
            if self.class_table is not None:
                weights = steps.class_weighted(self.model, weights, y[0], Tensor(self.class_table))
            steps.train_step(self.model, x, y, weights)
            return []

        return capture(body, self.specs)

    def go_on(self, order: np.ndarray, cursor: int) -> None:
        """The next step is at row `cursor` of an epoch in this order."""
        self.order.assign(order)
        self.cursor.assign(np.array(cursor, np.int64))

    def clear_log(self) -> None:
        """Empties the log."""
        self.log.assign(np.zeros(self.log.shape))
        self.log_row.assign(np.zeros((), np.int64))

    def logged(self, rows: int) -> EpochValues:
        """The results of the last `rows` epochs."""
        return EpochValues(self.model.objective.names, self.log.numpy()[:rows].T.tolist())


class EpochValues:
    """Results of epochs in a row: names, and for each name its values."""

    def __init__(self, names: Sequence[str], columns: Sequence[list[float]]):
        self.names = list(names)
        self.columns = columns

    @classmethod
    def of(cls, logs: dict[str, float]) -> EpochValues:
        """One epoch."""
        return cls(list(logs), [[value] for value in logs.values()])

    def __len__(self) -> int:
        return len(self.columns[0])

    def dicts(self) -> list[dict[str, float]]:
        """A dict per epoch."""
        return [dict(zip(self.names, row, strict=True)) for row in zip(*self.columns, strict=True)]
