"""Builds of layers: once, and wholly or not at all."""

from __future__ import annotations

import functools
from collections.abc import Callable

from pynn.dtypes import is_whole
from pynn.engine.variable import structure


class _Before:
    """The attributes of a layer, and what its lists and dicts held, before a build that may fail: the next one starts from there."""

    def __init__(self, layer):
        self._attributes, self._values = vars(layer), dict(vars(layer))
        self._held = [(v, v.copy()) for v in self._values.values() if type(v) in (list, dict)]

    def restore(self) -> None:
        """Takes away what the build has added."""
        for name in self._attributes.keys() - self._values.keys():
            del self._attributes[name]
        self._attributes.update(self._values)
        for container, held in self._held:
            container.clear()
            (container.update if isinstance(container, dict) else container.extend)(held)
        structure.changes += 1


def undone_if_it_fails(build: Callable) -> Callable:
    """A layer's `build` that runs once, and leaves nothing behind in the layer and those inside of it where it raises."""

    @functools.wraps(build)
    def wrapped(self, input_shape=None):
        if self._building:  # a call of super().build()
            return build(self, input_shape)
        if self.built:
            return None
        before = [_Before(layer) for layer in self.flattened_layers() if layer is self or not layer.built]
        self._building = True
        try:
            build(self, input_shape)
        except BaseException as error:
            for attributes in before:
                attributes.restore()
            if isinstance(error, Exception):
                _refuse_shape(self, error, input_shape)
            raise
        self._building = False
        self._was_built(input_shape)
        return None

    return wrapped


def _refuse_shape(layer, error: Exception, shape) -> None:
    """Raises an error that says so if `error` came up in `build` because of `shape`."""
    from pynn.refusals import stumbled

    if not stumbled(error):
        return
    if _is_shape(shape):
        raise ValueError(f"[{layer.label}] can't be built for inputs of this shape. Received: shape={shape}.") from error
    raise TypeError(
        f"[{layer.label}] build takes the shape of the input, batch axis included. Received: {shape!r}. "
        "Write build((None, 3)) for three features, or call the layer with data."
    ) from None


def _is_shape(shape) -> bool:
    """Whether this is a shape, or several in a structure."""
    if isinstance(shape, dict):
        return all(map(_is_shape, shape.values()))
    return isinstance(shape, (tuple, list)) and all(n is None or is_whole(n) or _is_shape(n) for n in shape)
