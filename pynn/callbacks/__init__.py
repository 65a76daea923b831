"""Callbacks: actions at the start and end of epochs and batches of `fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynn.callbacks.backup import BackupAndRestore
from pynn.callbacks.base import Callback, CallbackList, LambdaCallback, TerminateOnNaN
from pynn.callbacks.checkpoints import ModelCheckpoint
from pynn.callbacks.history import CSVLogger, History
from pynn.callbacks.monitors import EarlyStopping, LearningRateScheduler, Monitor, ReduceLROnPlateau
from pynn.errors import absent

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "Monitor",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]

if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, __all__)
