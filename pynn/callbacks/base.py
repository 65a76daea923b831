"""What callbacks are, and how `fit` calls several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pynn.errors import NonFiniteError, suggestion
from pynn.serialization import constructor_arguments, word_refusals

_HOOKS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end",
    "on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end", "on_predict_begin", "on_predict_end",
    "on_predict_batch_begin", "on_predict_batch_end",
)  # fmt: skip
_SHORTER = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class Callback:
    """Base class: override the hooks you need. `self.model` and `self.params` are set before the first one.

    `on_batch_begin` and `on_batch_end` are other names of `on_train_batch_begin` and `on_train_batch_end`. A native run returns
    to Python only for hooks that some callback overrides, so per-batch hooks slow training down.
    """

    model: Any = None
    params: dict[str, Any] = {}
    runs_last = False  # its hooks are called after those of the others

    def __init__(self):
        """Takes nothing, and says so."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        word_refusals(cls)

    def __repr__(self) -> str:
        given = [name for name in constructor_arguments(type(self)) if name in vars(self)]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in given)})"

    def set_model(self, model) -> None:
        """Called once before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training with epochs, steps and verbose."""
        self.params = params

    def get_state(self) -> dict[str, Any]:
        """What `BackupAndRestore` keeps of this callback: numbers, texts and arrays, in dicts and lists."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from where `get_state` was called; called after `on_train_begin`."""

    def overrides(self, hook: str) -> bool:
        """True if this callback does something at `hook`: its class defines it, or it was set on the object."""
        if hook in vars(self) or getattr(type(self), hook) is not getattr(Callback, hook):
            return True
        return hook in _SHORTER and self.overrides(_SHORTER[hook])


word_refusals(Callback)


def _called(shorter: str) -> Callable:
    def hook(self, index: int, logs: dict | None = None) -> None:
        getattr(self, shorter)(index, logs)

    return hook


def _add_hooks() -> None:
    for name in (*_HOOKS, *_SHORTER.values()):
        counted = "epoch" in name or "batch" in name

        def counted_hook(self, index: int, logs: dict | None = None) -> None: ...

        def plain_hook(self, logs: dict | None = None) -> None: ...

        hook = _called(_SHORTER[name]) if name in _SHORTER else counted_hook if counted else plain_hook
        hook.__name__ = name
        hook.__doc__ = f"Called at {name[3:].replace('_', ' ')}."
        setattr(Callback, name, hook)


_add_hooks()


class CallbackList:
    """Several callbacks as one."""

    def __init__(self, callbacks: Sequence[Callback], model, params: dict[str, Any]):
        self.callbacks = sorted(callbacks, key=lambda callback: getattr(callback, "runs_last", False))
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                is_class = isinstance(callback, type) and issubclass(callback, Callback)
                fix = f"Write {callback.__name__}(...): a callback is an object of the class." if is_class else (
                    "Wrap a function: pn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ...).")  # fmt: skip
                raise TypeError(f"[fit] callbacks must be Callback objects. Received: {callback!r}. {fix}")
            callback.set_model(model)
            callback.set_params(params)

    def of(self, kind: type) -> list:
        """The callbacks of this class."""
        return [c for c in self.callbacks if isinstance(c, kind)]

    def any_overrides(self, *hooks: str) -> bool:
        """True if some callback does something at one of these hooks."""
        return any(c.overrides(h) for c in self.callbacks for h in hooks)

    def call(self, hook: str, *args, logs: dict | None = None, last: bool | None = None) -> None:
        """Calls the hook of every callback that overrides it; with `last`, of those that run last or of the others only."""
        for callback in self.callbacks:
            if callback.overrides(hook) and last in (None, callback.runs_last):
                getattr(callback, hook)(*args, logs if logs is not None else {})


class LambdaCallback(Callback):
    """A callback from functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: ...)`."""

    def __init__(self, **hooks: Callable):
        for name, hook in hooks.items():
            if name not in _HOOKS:
                raise TypeError(f"[LambdaCallback] there is no hook {name!r}.{suggestion(name, _HOOKS)}")
            if hook is not None and not callable(hook):
                raise TypeError(f"[LambdaCallback] a hook must be a function. Received: {name}={hook!r}. Write {name}=lambda ...: ...")
            if hook is not None:
                setattr(self, name, hook)


class TerminateOnNaN(Callback):
    """Ends training quietly, instead of with an error, when the loss is no longer finite. The last good weights stay."""

    def caught(self, error: NonFiniteError) -> None:
        """Called by `fit` with the error that would have been raised."""
        print(f"Training stopped: {error}")
        self.model.stop_training = True
