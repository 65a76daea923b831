"""The seed of the process, and the streams of random numbers that follow from it.

A stream is Philox under a key; keys are hashes of the seed and a name, so that streams don't depend on one another. NumPy's global
generator is never touched.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

import numpy as np

from pynn.dtypes import is_whole

__all__ = ["generator", "get_seed", "get_state", "key_for", "next_stream", "restarts", "seedings", "set_seed", "set_state"]


restarts: list[Callable[[], None]] = []  # called after the seed was set, by those that keep a place in a stream


class _State:
    seed = secrets.randbits(63)
    streams = 0
    seedings = 0


def set_seed(seed: int) -> None:
    """Sets the seed of the process: from here on, initial weights, dropout, shuffling and `pn.random` repeat, at any number of threads.

    Raises:
        TypeError: `seed` isn't a whole number.

    Example:
        >>> import pynn as pn
        >>> pn.set_seed(1)
        >>> first = pn.layers.Dense(2, input_shape=(3,)).get_weights()
    """
    if not is_whole(seed):
        raise TypeError(f"[set_seed] the seed must be a whole number. Received: seed={seed!r}. Pass an int.")
    _State.seed = int(seed)
    _State.streams = 0
    _State.seedings += 1
    for restart in restarts:
        restart()


def get_seed() -> int:
    """The seed in use; drawn by chance when the process started, unless `set_seed` was called."""
    return _State.seed


def seedings() -> int:
    """How often `set_seed` was called: what was drawn under an earlier seed is drawn again."""
    return _State.seedings


def get_state() -> tuple[int, int]:
    """(seed, number of streams drawn from it), for `set_state` in another process."""
    return _State.seed, _State.streams


def set_state(seed: int, streams: int) -> None:
    """Continues from where `get_state` was called; unlike `set_seed`, it restarts nothing that exists."""
    _State.seed, _State.streams = int(seed), int(streams)


def next_stream() -> int:
    """The number of a new stream: 0, 1, ... since the seed was set."""
    number = _State.streams
    _State.streams += 1
    return number


def _digest(name: str, seed: int | None) -> bytes:
    text = f"{_State.seed if seed is None else seed}/{name}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def key_for(path: str, seed: int | None = None) -> tuple[int, int]:
    """Two 32-bit integers, the key of the stream `path` under the process's seed (or under `seed`)."""
    digest = _digest(path, seed)
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def generator(seed: int | None = None, path: str | None = None) -> np.random.Generator:
    """A NumPy generator (Philox): always the same one for a `seed` or, under the process's seed, for a `path`; else a new stream."""
    if seed is None and path is None:
        path = f"stream {next_stream()}"
    key = int.from_bytes(_digest(path or "", seed), "little")
    return np.random.Generator(np.random.Philox(key=key))
