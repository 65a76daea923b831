"""What keeps threads apart that use one model: trainings exclude each other, predictions see the weights of whole steps."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

from pynn.engine.forks import renewed_in_children

PATIENCE = 0.05  # seconds between looks at who trains
RECENT = 1.0  # a reader that had to wait so many seconds ago makes turns short
LONG_TURN, SHORT_TURN = 0.1, 0.005  # seconds that a native run may take before readers get theirs


class Turn:
    """`with lock.writing() as turn, turn:` holds a lock until the block ends, however it ends.

    It is entered and left twice, the second time without effect: a Ctrl-C that comes before the first line of `__exit__` keeps the inner
    one from leaving, and then the outer one does.
    """

    __slots__ = ("_start", "_stop", "_entered")

    def __init__(self, start: Callable[[object], None], stop: Callable[[object], None]):
        self._start, self._stop, self._entered = start, stop, False

    def __enter__(self) -> Turn:
        if self._entered:
            return self
        try:
            self._start(self)
        except BaseException:
            self._stop(self)
            raise
        self._entered = True
        return self

    def __exit__(self, *exc) -> None:
        self._stop(self)


class StepLock:
    """Many readers or one writer. Those that wait take turns, so that neither a training nor a crowd of predictions starves the other.

    A reader enters itself first and looks for writers then, a writer the other way round: one of the two sees the other. So reading
    costs a few dict operations where nobody writes.

    Each start has a mark of its own, any object, and so has its stop, which may come twice: where Ctrl-C has cut short a start or a
    stop, `except BaseException` stops once more.
    """

    def __init__(self) -> None:
        self._readers: dict[object, None] = {}  # their marks
        self._writes: dict[object, None] = {}  # marks of the thread that writes
        self._busy = False  # somebody writes, or wants to
        self._mutex = threading.RLock()
        self._changed = threading.Condition(self._mutex)
        self._waiting_readers = self._waiting_writers = 0
        self._admitted = 0  # readers that go before the next writer
        self._owner: int | None = None
        self._waited = -RECENT

    @property
    def turn_seconds(self) -> float:
        """How long a run of many steps may keep the lock."""
        return SHORT_TURN if time.monotonic() - self._waited < RECENT else LONG_TURN

    def start_reading(self, mark: object) -> None:
        """Waits until no step is half done."""
        self._readers[mark] = None
        if self._busy:
            self._queue_to_read(mark)

    def _queue_to_read(self, mark: object) -> None:
        with self._mutex:
            if self._owner == threading.get_ident():  # Python that runs inside a step of this thread
                return
            del self._readers[mark]
            self._changed.notify_all()
            self._waited = time.monotonic()
            self._waiting_readers += 1
            try:
                while self._owner is not None or (self._waiting_writers and not self._admitted):
                    self._changed.wait()
                if self._admitted:
                    self._admitted -= 1
                self._readers[mark] = None
            finally:  # without a call, in which Ctrl-C could come
                self._waiting_readers -= 1
                if self._admitted > self._waiting_readers:
                    self._admitted = self._waiting_readers

    def stop_reading(self, mark: object) -> None:
        """The other end of `start_reading`."""
        self._readers.pop(mark, None)
        if self._busy:
            with self._mutex:
                self._changed.notify_all()

    def start_writing(self, mark: object) -> None:
        """Waits until nobody reads and nobody else writes."""
        me = threading.get_ident()
        with self._mutex:
            if self._owner != me:
                self._waiting_writers += 1
                self._busy = True
                try:
                    while self._owner is not None or self._readers or self._admitted:
                        self._changed.wait()
                    self._owner = me
                finally:
                    self._waiting_writers -= 1
                    self._busy = self._owner is not None or self._waiting_writers > 0
            self._writes[mark] = None

    def stop_writing(self, mark: object) -> None:
        """The other end of `start_writing`."""
        me = threading.get_ident()
        with self._mutex:
            self._writes.pop(mark, None)
            if self._owner == me and not self._writes:
                self._owner, self._admitted = None, self._waiting_readers
                self._busy = self._waiting_writers > 0
            if self._owner is None and (self._waiting_readers or self._waiting_writers):
                self._changed.notify_all()

    def reading(self) -> Turn:
        """While entered, the weights don't change."""
        return Turn(self.start_reading, self.stop_reading)

    def writing(self) -> Turn:
        """While entered, nobody else reads or changes the weights."""
        return Turn(self.start_writing, self.stop_writing)


class ModelLocks:
    """The locks of one model. A copy of the model, or a forked child, gets locks that nobody holds."""

    def __init__(self) -> None:
        self.renew_locks()
        renewed_in_children(self)

    def renew_locks(self) -> None:
        """Replaces the locks by free ones."""
        self.steps = StepLock()
        self.building = threading.RLock()
        self._training = threading.RLock()
        self._trainer: int | None = None  # the thread that trains
        self._trainings: dict[object, bool] = {}  # its marks, and whether they are those of a `fit`

    @property
    def fitting(self) -> bool:
        """Whether this thread runs a `fit`."""
        return True in self._trainings.values() and self._trainer == threading.get_ident()

    def start_training(self, what: str, label: str, mark: object) -> None:
        """From here on this thread alone trains or evaluates the model. Single steps wait for each other, nothing waits for a `fit`.

        Raises:
            RuntimeError: `fit` runs in another thread.
        """
        me = threading.get_ident()
        if self._trainer != me:
            while not self._training.acquire(timeout=PATIENCE):
                if True in self._trainings.values():
                    raise RuntimeError(
                        f"[{what}] {label} is being trained by fit in another thread. Only predictions can run at the same time: wait for "
                        "fit to end, or train a copy (copy.deepcopy(model))."
                    )
            self._trainer = me
        self._trainings[mark] = what == "fit"

    def stop_training(self, mark: object) -> None:
        """The other end of `start_training`; as with steps, it may come twice."""
        self._trainings.pop(mark, None)
        if not self._trainings and self._trainer in (None, threading.get_ident()):
            self._trainer = None
            try:
                self._training.release()
            except RuntimeError:  # this thread doesn't hold it, or no longer
                pass

    def training(self, what: str, label: str) -> Turn:
        """While entered, this thread alone trains or evaluates the model; see `start_training`."""
        return Turn(functools.partial(self.start_training, what, label), self.stop_training)

    def __deepcopy__(self, memo) -> ModelLocks:
        return ModelLocks()

    def __reduce__(self):
        return ModelLocks, ()
