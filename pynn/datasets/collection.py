"""Image collections in the four files of MNIST: images and labels, for training and for testing."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pynn.datasets.cache import cache_dir
from pynn.datasets.idx import read_idx
from pynn.errors import DataError

__all__ = ["Collection", "Split", "Splits"]

Split = tuple[np.ndarray, np.ndarray]
Splits = tuple[Split, Split]

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIDE = 28
CLASSES = 10


@dataclass(frozen=True)
class Collection:
    """28x28 grey images of ten classes.

    Attributes:
        name: the module's name.
        raw_folder: the subfolder of a common root in which others keep the files.
        mirrors: base addresses.
        sha256, md5: by the file's stem, of its uncompressed content and of the `.gz` as it is served.
        not_labels: SHA-256 of the training labels of others, whose files have the same names and sizes -> what they are.
        counts: images for training and for testing.
    """

    name: str
    raw_folder: str
    mirrors: tuple[str, ...] = ()
    sha256: dict[str, str] = field(default_factory=dict)
    md5: dict[str, str] = field(default_factory=dict)
    not_labels: dict[str, str] = field(default_factory=dict)
    counts: tuple[int, int] = (60_000, 10_000)

    def load(self, data_dir: str | os.PathLike[str] | None, *, download: bool | None, progress: bool) -> Splits:
        """The images and labels from `data_dir`, or from the cache; see `pynn.datasets.mnist.load`."""
        folder = cache_dir() / self.name if data_dir is None else Path(data_dir).expanduser()
        if download is None:
            download = data_dir is None
        paths = [self._path(folder, stem, download, progress) for stem in STEMS]
        again = "Remove it to have it downloaded again." if download else "Put a whole one there."
        train, test = (self._split(paths[i : i + 2], count, again) for i, count in zip((0, 2), self.counts, strict=True))
        other = self.not_labels.get(_digest(train[1])) if self.not_labels else None
        if other:
            raise DataError(f"[{self.name}] the files in {str(folder)!r} are those of {other}. Name another folder.")
        return train, test

    def _path(self, folder: Path, stem: str, download: bool, progress: bool) -> Path:
        for place in (folder, folder / "raw", folder / self.raw_folder):
            for spelling in (stem, stem.replace("-idx", ".idx")):
                for path in (place / spelling, place / f"{spelling}.gz"):
                    if path.is_file():
                        return path
        if not download:
            raise FileNotFoundError(
                f"[{self.name}] there is no {stem} or {stem}.gz in {str(folder)!r} or its subfolders raw and {self.raw_folder}. "
                "Put the four files there, or pass download=True to have them downloaded to it."
            )
        return self._download(folder, stem, progress)

    def _download(self, folder: Path, stem: str, progress: bool) -> Path:
        from pynn.datasets.download import RemoteFile, fetch  # a tenth of a second of imports that few need

        count = self.counts[stem.startswith("t10k")]
        return fetch(
            RemoteFile(
                name=f"{stem}.gz",
                urls=tuple(f"{mirror}{stem}.gz" for mirror in self.mirrors),
                content_bytes=16 + count * SIDE * SIDE if "images" in stem else 8 + count,
                sha256=self.sha256.get(stem),
                md5=self.md5.get(stem),
            ),
            folder,
            progress=progress,
        )

    def _split(self, paths: list[Path], count: int, again: str) -> Split:
        images = self._read(paths[0], (count, SIDE, SIDE), again)
        labels = self._read(paths[1], (count,), again)
        if labels.max(initial=0) >= CLASSES:
            raise self._error(paths[1], f"has the label {labels.max()}; labels are 0 to {CLASSES - 1}.", again)
        return images, labels

    def _read(self, path: Path, shape: tuple[int, ...], again: str) -> np.ndarray:
        try:
            array = read_idx(path, shape=shape)
        except DataError as error:
            raise self._error(path, f"can't be read: {error}", again) from None
        if array.dtype != np.uint8:
            raise self._error(path, f"holds {array.dtype}, not uint8.", again)
        return array

    def _error(self, path: Path, problem: str, again: str) -> DataError:
        return DataError(f"[{self.name}] {str(path)!r} {problem} {again}")


def _digest(labels: np.ndarray) -> str:
    """SHA-256 of the IDX file, uncompressed, that holds these labels."""
    import hashlib

    return hashlib.sha256(struct.pack(">2I", 0x801, len(labels)) + labels.tobytes()).hexdigest()
