"""Reads the reference cases that the real TensorFlow.js computed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

_DTYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4"), "bool": np.dtype(np.uint8)}


class Case:
    """A folder with a description and a binary that its entries point into."""

    def __init__(self, folder: Path, description: str, binary: str):
        self.folder = folder
        self.name = folder.name
        self.description = json.loads((folder / description).read_text())
        self._data = (folder / binary).read_bytes()
        self.alternative = None
        if (folder / "alt.json").exists():
            self.alternative = Case.__new__(Case)
            self.alternative.description = json.loads((folder / "alt.json").read_text())
            self.alternative._data = (folder / "alt.bin").read_bytes()

    def array(self, entry) -> np.ndarray:
        """The values of an entry."""
        dtype = _DTYPES[entry["dtype"]]
        found = np.frombuffer(self._data, dtype, entry["bytes"] // dtype.itemsize, entry["offset"]).reshape(entry["shape"])
        return found.astype(bool) if entry["dtype"] == "bool" else found.copy()

    def __repr__(self) -> str:
        return self.name


def folders(root: Path, name: str) -> list[Path]:
    """The cases of one kind."""
    base = root / name
    return sorted(p for p in base.iterdir() if p.is_dir()) if base.is_dir() else []
