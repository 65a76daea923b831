"""The base class of what calls go to that may need no Python: captured functions, a model's calls on batches, public functions."""

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
