"""The base classes of what calls go to that may need no Python: captured functions, a model's calls on batches, public functions, steps."""

from __future__ import annotations

from types import MethodType

from pynn.engine import kernels


class PythonCallable:
    """What `Callable` is without the extension: every call goes to `call_python`."""

    def __call__(self, *args, **kwargs):
        return self.call_python(*args, **kwargs)

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)

    def remember(self, *signature) -> bool:
        """Nothing is remembered."""
        return False


Callable = PythonCallable if kernels.native_callable is None else kernels.native_callable


class LearningCallable(Callable):
    """Finds out by itself which signatures are frequent enough to be served, at most `most` at a time; then it starts over."""

    def __init__(self, most: int):
        self._most = most
        self._sightings: dict[tuple, int] = {}
        self._served: list = []  # runners

    def sighted(self, key: tuple) -> int:
        """How often a signature has come so far, with this time."""
        if len(self._sightings) >= 16 * self._most:
            self._sightings.clear()
        count = self._sightings[key] = self._sightings.get(key, 0) + 1
        return count

    def serve(self, runner, *signature) -> None:
        """`remember`, for as long as there is room."""
        if len(self._served) >= self._most:
            self.forget_all()
        if self.remember(runner, *signature):
            self._served.append(runner)

    def forget_all(self) -> None:
        """Every call goes to Python again."""
        for runner in self._served:
            self.forget(runner)
        self._served.clear()
        self._sightings.clear()
