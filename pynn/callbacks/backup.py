"""BackupAndRestore: an interrupted `fit` goes on where it was, in a new process too."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from pynn.callbacks.base import Callback
from pynn.callbacks.checkpoints import checked_frequency, is_idle
from pynn.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


class BackupAndRestore(Callback):
    """Keeps the state of the training in a folder; the same `fit`, called again after an interruption, continues from there.

    The state is everything: weights, the optimizer, random keys and counters, the order of the rows, the history, and what other
    callbacks remember. The resumed training ends with the bits of one that was never interrupted, given the same data. A generator
    starts where the new process starts it.

    Args:
        backup_dir: A folder for the backup alone. Its file is replaced in one step, so the process may be killed at any moment.
        save_freq: "epoch" for the end of each epoch, or a number of batches.
        double_checkpoint: Accepted for compatibility with Keras; one file that is replaced in one step is enough.
        delete_checkpoint: Remove the backup when training has finished.

    Raises:
        DataError: (from `fit`) the backup is of another model, or isn't a backup.

    Example:
        >>> import numpy as np, pynn as pn
        >>> model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> backup = pn.callbacks.BackupAndRestore("backup")
        >>> len(model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0, callbacks=[backup]).epoch)
        3
    """

    runs_last = True
    FILE = "backup.safetensors"

    def __init__(self, backup_dir, save_freq: Any = "epoch", double_checkpoint: bool = False, delete_checkpoint: bool = True):
        self.backup_dir = os.fspath(backup_dir)
        if not self.backup_dir:
            raise ValueError("[BackupAndRestore] backup_dir is empty. Name a folder for the backup.")
        self.save_freq = checked_frequency(self, save_freq)
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self._run: Any = None
        self._epoch = self._batches = 0

    @property
    def path(self) -> Path:
        """The backup's file."""
        from pathlib import Path  # which a first `fit` without backups shouldn't wait for

        return Path(self.backup_dir) / self.FILE

    def overrides(self, hook: str) -> bool:
        """Batch hooks are needed only if batches are counted, epoch hooks if they aren't."""
        return super().overrides(hook) and not is_idle(self, hook, BackupAndRestore)

    def resume(self, run) -> None:
        """Called by `fit` when training has begun: restores the state of an interrupted training."""
        self._run = run
        os.makedirs(self.backup_dir, exist_ok=True)
        for left in self.path.parent.glob(".pynn-*.tmp"):
            left.unlink(missing_ok=True)
        if self.path.exists():
            self._restore(run)

    def on_epoch_begin(self, epoch, logs=None) -> None:
        """Notes the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None) -> None:
        """Saves if so many batches are done."""
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save(self._epoch, batch + 1)

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Saves."""
        if self.save_freq == "epoch":
            self._save(epoch + 1, 0)

    def on_train_end(self, logs=None) -> None:
        """Removes the backup."""
        if self.delete_checkpoint:
            self.path.unlink(missing_ok=True)

    # -- the file ----------------------------------------------------------------------------------------------------------

    def _members(self) -> list[Callback]:
        """What has a state of its own beside the model."""
        return [self._run.history, *(c for c in self._run.callbacks.callbacks if c is not self)]

    def _save(self, epoch: int, batch: int) -> None:
        import json

        from pynn.io.safetensors import save_file
        from pynn.models.state import random_keys, state_variables
        from pynn.random import position
        from pynn.seeds import get_state

        arrays = {name: v.numpy() for name, v in state_variables(self.model, running=batch > 0).items()}
        members = [[type(c).__name__, _words(c.get_state(), arrays, f"callback/{i}")] for i, c in enumerate(self._members())]
        words = {
            "epoch": epoch, "batch": batch, "stop": bool(self.model.stop_training), "keys": random_keys(self.model),
            "random": [*get_state(), position()], "trainer": self._run.trainer.describe(), "callbacks": members,
        }  # fmt: skip
        save_file(arrays, self.path, {"pynn_backup": json.dumps(words, allow_nan=False)})

    def _restore(self, run) -> None:
        from pynn import random, seeds
        from pynn.io import bounded_json
        from pynn.io.safetensors import load_file, load_metadata
        from pynn.models.state import check_state, restore_state

        words = bounded_json.loads(load_metadata(self.path).get("pynn_backup", "null").encode(), source=self.FILE)
        arrays = load_file(self.path)
        what = f"[BackupAndRestore] the backup in {self.backup_dir!r}"
        try:
            epoch, batch, seed, streams, *position = int(words["epoch"]), int(words["batch"]), *map(int, words["random"])
            steps = int(words["trainer"]["steps"] or 0)
            at = np.int64(*(position or [random.position()]))  # older backups have none; one number of 64 bits
            states = [(name, _value(state, arrays)) for name, state in words["callbacks"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{what} isn't valid ({error}). Remove the file, or name another folder.") from None
        run.trainer.build()
        own = {n: a for n, a in arrays.items() if not n.startswith("callback/")}
        pairs = check_state(self.model, own, words["keys"], what, running=batch > 0)
        if batch and words["trainer"] != run.trainer.describe():
            raise DataError(
                f"{what} is from the middle of an epoch of another fit. Received: {run.trainer.describe()}; expected {words['trainer']}. "
                "Call fit as it was called, or remove the file."
            )
        restore_state(self.model, pairs, words["keys"])
        seeds.set_state(seed, streams)
        random.move_to(int(at))
        for callback in self._members():  # those of one class by their order
            place = next((i for i, (name, _) in enumerate(states) if name == type(callback).__name__), None)
            if place is not None:
                name, state = states.pop(place)
                try:
                    callback.set_state(state)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise DataError(
                        f"{what} has a state of {name} that can't be set ({error!r}). Remove the file, or name another folder."
                    ) from error
        run.go_on(epoch, batch, steps)
        self.model.stop_training = bool(words["stop"])


def _words(value, arrays: dict[str, np.ndarray], prefix: str):
    """`value` in the words of JSON; arrays and lists of numbers go to `arrays`, under names that start with `prefix`."""
    if isinstance(value, np.ndarray) and value.ndim:
        name = f"{prefix}/{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {"dict": [[k, _words(v, arrays, prefix)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        if _are_numbers(value):
            return {"list": _words(np.array(value), arrays, prefix)["array"]}
        return [_words(v, arrays, prefix) for v in value]
    return value


def _are_numbers(values: list | tuple) -> bool:
    """Whether an array holds exactly these, as the values of a history, which grow with the epochs."""
    whole = all(type(v) is int and -(1 << 63) <= v < 1 << 63 for v in values)
    return len(values) > 0 and (whole or all(isinstance(v, float) for v in values))


def _value(words, arrays: dict[str, np.ndarray]):
    """What `_words` described."""
    if isinstance(words, list):
        return [_value(w, arrays) for w in words]
    if isinstance(words, dict):
        if "array" in words:
            return arrays[words["array"]]
        if "list" in words:
            return arrays[words["list"]].tolist()
        return float(words["float"]) if "float" in words else {k: _value(v, arrays) for k, v in words["dict"]}
    return words
