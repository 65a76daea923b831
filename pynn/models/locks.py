"""What keeps threads apart that use one model: trainings exclude each other, predictions see the weights of whole steps."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterator

PATIENCE = 0.05  # seconds between looks at who trains
RECENT = 1.0  # a reader that had to wait so many seconds ago makes turns short
LONG_TURN, SHORT_TURN = 0.1, 0.005  # seconds that a native run may take before readers get theirs


class StepLock:
    """Many readers or one writer. Those that wait take turns, so that neither a training nor a crowd of predictions starves the other.

    A reader enters itself first and looks for writers then, a writer the other way round: one of the two sees the other. So reading
    costs a few list operations where nobody writes.
    """

    def __init__(self) -> None:
        self._inside: list[None] = []  # an entry per reader
        self._busy = False  # somebody writes, or wants to
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._waiting_readers = self._waiting_writers = 0
        self._admitted = 0  # readers that go before the next writer
        self._owner: int | None = None
        self._depth = 0
        self._waited = -RECENT

    @property
    def turn_seconds(self) -> float:
        """How long a run of many steps may keep the lock."""
        return SHORT_TURN if time.monotonic() - self._waited < RECENT else LONG_TURN

    def start_reading(self) -> None:
        """Waits until no step is half done."""
        self._inside.append(None)
        if self._busy:
            self._queue_to_read()

    def _queue_to_read(self) -> None:
        with self._mutex:
            if self._owner == threading.get_ident():  # Python that runs inside a step of this thread
                return
            self._inside.pop()
            self._changed.notify_all()
            self._waited = time.monotonic()
            self._waiting_readers += 1
            try:
                while self._owner is not None or (self._waiting_writers and not self._admitted):
                    self._changed.wait()
                self._admitted = max(self._admitted - 1, 0)
                self._inside.append(None)
            finally:
                self._waiting_readers -= 1
                self._admitted = min(self._admitted, self._waiting_readers)

    def stop_reading(self) -> None:
        """The other end of `start_reading`."""
        self._inside.pop()
        if self._busy:
            with self._mutex:
                self._changed.notify_all()

    def start_writing(self) -> None:
        """Waits until nobody reads and nobody else writes."""
        me = threading.get_ident()
        with self._mutex:
            if self._owner == me:
                self._depth += 1
                return
            self._waiting_writers += 1
            self._busy = True
            try:
                while self._owner is not None or self._inside or self._admitted:
                    self._changed.wait()
                self._owner, self._depth = me, 1
            finally:
                self._waiting_writers -= 1
                self._busy = self._owner is not None or self._waiting_writers > 0

    def stop_writing(self) -> None:
        """The other end of `start_writing`."""
        with self._mutex:
            self._depth -= 1
            if not self._depth:
                self._owner, self._admitted = None, self._waiting_readers
                self._busy = self._waiting_writers > 0
                if self._waiting_readers or self._waiting_writers:
                    self._changed.notify_all()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While entered, the weights don't change."""
        self.start_reading()
        try:
            yield
        finally:
            self.stop_reading()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """While entered, nobody else reads or changes the weights."""
        self.start_writing()
        try:
            yield
        finally:
            self.stop_writing()


class ModelLocks:
    """The locks of one model. A copy of the model, or a forked child, gets locks that nobody holds."""

    _all: weakref.WeakSet[ModelLocks] = weakref.WeakSet()

    def __init__(self) -> None:
        self.renew()
        ModelLocks._all.add(self)

    def renew(self) -> None:
        """Puts free locks in the place of those that there are."""
        self.steps = StepLock()
        self.building = threading.RLock()
        self._training = threading.RLock()
        self._fitting: int | None = None  # the thread that runs `fit`

    def start_training(self, what: str, label: str) -> int | None:
        """From here on this thread alone trains or evaluates the model. Single steps wait for each other, nothing waits for a `fit`.

        Returns:
            What `stop_training` takes.

        Raises:
            RuntimeError: `fit` runs in another thread.
        """
        while not self._training.acquire(timeout=PATIENCE):
            if self._fitting is not None:
                raise RuntimeError(
                    f"[{what}] {label} is being trained by fit in another thread. Only predictions can run beside it: wait for fit to "
                    "end, or train a copy (copy.deepcopy(model))."
                )
        before = self._fitting
        if what == "fit":
            self._fitting = threading.get_ident()
        return before

    def stop_training(self, before: int | None) -> None:
        """The other end of `start_training`."""
        self._fitting = before
        self._training.release()

    @contextlib.contextmanager
    def training(self, what: str, label: str) -> Iterator[None]:
        """While entered, this thread alone trains or evaluates the model; see `start_training`."""
        before = self.start_training(what, label)
        try:
            yield
        finally:
            self.stop_training(before)

    def __deepcopy__(self, memo) -> ModelLocks:
        return ModelLocks()

    def __reduce__(self):
        return ModelLocks, ()


def _renew_all() -> None:
    for locks in list(ModelLocks._all):
        locks.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
