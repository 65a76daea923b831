"""ModelCheckpoint: models or weights kept as training goes on."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pynn.callbacks.monitors import Monitor
from pynn.dtypes import is_whole


class ModelCheckpoint(Monitor):
    """Saves the model (or its weights only) while training; each file appears whole or not at all.

    Args:
        filepath: Path with format fields such as `{epoch:02d}`, `{batch}` and `{val_loss:.3f}`. A model is a folder; weights are one
            `.safetensors` file.
        monitor, mode: The value that `save_best_only` compares, and which is better: see `EarlyStopping`.
        verbose: 1 says what it saves.
        save_best_only: Save improvements only.
        save_weights_only: Save weights only.
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: The value that the first save has to beat.
    """

    def __init__(
        self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
        save_freq: Any = "epoch", initial_value_threshold=None,
    ):  # fmt: skip
        super().__init__(monitor, mode)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = checked_frequency(self, save_freq)
        from pynn.io.files import check_suffix

        # saving would refuse it as well, but after the first epoch only
        hint = "use save_weights_only=True and 'name.safetensors'"
        check_suffix(self.filepath, "ModelCheckpoint", weights=save_weights_only, hint=hint)
        self._batches = self._epoch = 0
        if initial_value_threshold is not None:
            self.best = self._number("initial_value_threshold", initial_value_threshold, least=-np.inf)

    def overrides(self, hook: str) -> bool:
        """Batch hooks are needed only if batches are counted."""
        return super().overrides(hook) and not is_idle(self, hook, ModelCheckpoint)

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
            self._save(dict(logs, epoch=self._epoch + 1, batch=batch + 1), f"Epoch {self._epoch + 1}, batch {batch + 1}")

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Saves if it is worth it."""
        if self.save_freq == "epoch":
            self._save(dict(logs, epoch=epoch + 1), f"Epoch {epoch + 1}")

    def _save(self, fields: dict, where: str) -> None:
        if self.save_best_only:
            value = self.value({k: v for k, v in fields.items() if k not in ("epoch", "batch")})
            if value is None or not self.improved(value):
                return
            self.best = value
        path = self._path(fields)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"{where}: saved {path}")

    def _path(self, fields: dict) -> str:
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"[ModelCheckpoint] the path has a field {error} without a value. Received: filepath={self.filepath!r}. "
                f"Fields: {', '.join(fields)}."
            ) from None

    def get_state(self):
        """The best value, and the batches since the last save."""
        return {"best": self.best, "batches": self._batches}

    def set_state(self, state) -> None:
        """Continues from where `get_state` was called."""
        self.best, self._batches = state["best"], state["batches"]


def is_idle(callback, hook: str, cls: type) -> bool:
    """Whether it is the hook of `cls` which, with this `save_freq`, has nothing to do: the user may have put another in its place."""
    idle = "on_train_batch_end" if callback.save_freq == "epoch" else "on_epoch_end"
    return hook == idle and hook not in vars(callback) and getattr(type(callback), hook) is getattr(cls, hook)


def checked_frequency(callback, save_freq) -> str | int:
    """`save_freq` if it is "epoch" or a number of batches.

    Raises:
        ValueError: it is neither.
    """
    if save_freq == "epoch" or (is_whole(save_freq) and save_freq > 0):
        return save_freq
    raise ValueError(
        f"[{type(callback).__name__}] save_freq must be 'epoch' or a number of batches above zero. Received: save_freq={save_freq!r}."
    )
