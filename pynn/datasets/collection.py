"""Image collections in the four files of MNIST: images and labels, for training and for testing."""

from __future__ import annotations

import os
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
        counts: images for training and for testing.
    """

    name: str
    raw_folder: str
    mirrors: tuple[str, ...] = ()
    sha256: dict[str, str] = field(default_factory=dict)
    md5: dict[str, str] = field(default_factory=dict)
    counts: tuple[int, int] = (60_000, 10_000)

    def load(self, data_dir: str | os.PathLike[str] | None, *, download: bool | None, progress: bool) -> Splits:
        """The images and labels from `data_dir`, or from the cache; see `pynn.datasets.mnist.load`."""
        folder = cache_dir() / self.name if data_dir is None else Path(data_dir).expanduser()
        if download is None:
            download = data_dir is None
        paths = [self._path(folder, stem, download, progress) for stem in STEMS]
        train, test = self.counts
        return self._split(paths[:2], train), self._split(paths[2:], test)

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

    def _split(self, paths: list[Path], count: int) -> Split:
        images = read_idx(paths[0], shape=(count, SIDE, SIDE))
        labels = read_idx(paths[1], shape=(count,))
        for path, array in zip(paths, (images, labels), strict=True):
            if array.dtype != np.uint8:
                raise DataError(f"[{self.name}] {path.name} holds {array.dtype}, not uint8.")
        if labels.max(initial=0) >= CLASSES:
            raise DataError(f"[{self.name}] {paths[1].name} has the label {labels.max()}; labels are 0 to {CLASSES - 1}.")
        return images, labels
