"""Schedules: programs in turn, each a number of steps, the whole round a number of times, in native calls that come back in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from pynn.program.program import Program
from pynn.program.replay import NativeContext, NativeReplay

try:
    from pynn import _core
except ImportError:
    _core = None


class Part:
    """A program with its inputs, to be run `steps` times per round."""

    def __init__(self, program: Program, arrays: Sequence[np.ndarray] = (), steps: int = 1):
        self.program = program
        self.arrays = list(arrays)
        self.steps = steps


class Schedule:
    """Runs rounds of parts: an epoch is shuffle, full batches, the last partial batch, the log.

    `run(seconds)` works for about that long, whole steps, and says whether everything is done, so that Python can look after
    signals and progress in between.
    """

    def __init__(self, parts: Sequence[Part], rounds: int = 1):
        self.parts = [p for p in parts if p.steps > 0]
        self.rounds = rounds
        native = all(isinstance(p.program.replay, NativeReplay) for p in self.parts)
        self._runner = _NativeRunner(self.parts, rounds) if native and self.parts else _PythonRunner(self.parts, rounds)

    def run(self, seconds: float = 0.0) -> bool:
        """Runs on; True when all rounds are done. Raises what a failing step raises."""
        return self._runner.run(seconds)

    @property
    def position(self) -> tuple[int, int, int]:
        """(round, part, step) that comes next."""
        return self._runner.position

    def close(self) -> None:
        """Gives the memory back."""
        self._runner.close()


class _NativeRunner:
    def __init__(self, parts: list[Part], rounds: int):
        self.contexts = [NativeContext(p.program.replay, p.arrays) for p in parts]
        self.core = _core.Schedule([(c.core, p.steps) for c, p in zip(self.contexts, parts, strict=True)], rounds)

    def run(self, seconds: float) -> bool:
        # Values of variables that Python has looked at in between keep their memory: the variables may have moved.
        for context in self.contexts:
            context.bind_variables()
        done = self.core.run(seconds)
        for context in self.contexts:
            if context.core is self.core.failed:
                context.raise_failure()
        return done

    @property
    def position(self) -> tuple[int, int, int]:
        return self.core.round, self.core.part, self.core.step

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts = []


class _PythonRunner:
    def __init__(self, parts: list[Part], rounds: int):
        self.position = (0, 0, 0)
        self._steps = self._all_steps(parts, rounds)

    def run(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds if seconds else float("inf")
        for _ in self._steps:
            if time.monotonic() >= deadline:
                return False
        return True

    def _all_steps(self, parts: list[Part], rounds: int) -> Iterator[None]:
        for turn in range(rounds):
            for index, part in enumerate(parts):
                for step in range(part.steps):
                    self.position = (turn, index, step)  # what an error names
                    part.program.run(part.arrays)
                    self.position = (turn, index, step + 1)
                    yield
        self.position = (rounds, 0, 0)

    def close(self) -> None:
        pass
