"""MNIST: 28x28 grey images of handwritten digits (Y. LeCun, C. Cortes and C. Burges, 1998).

10,000 training and 2,000 test images come with pynn, as many of each digit, under the licence CC BY-SA 3.0 (see LICENSE-MNIST.md in
this folder). All 70,000 are read from a folder or downloaded on request.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pynn.datasets.collection import SIDE, Collection, Split, Splits
from pynn.datasets.idx import read_idx
from pynn.datasets.ink import unpack
from pynn.errors import DownloadError, absent

__all__ = ["load", "load_data"]

_SUBSET_COUNTS = {"train": 10_000, "t10k": 2_000}
_SUBSET_FOLDER = Path(__file__).with_name("mnist_subset")
_FULL = Collection(
    name="mnist",
    raw_folder="MNIST/raw",
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)


def load(
    full: bool = False,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool | None = None,
    progress: bool = True,
) -> Splits:
    """Load MNIST: by default the 12,000 images that come with pynn, without any network.

    Args:
        full: all 70,000 images, from the cache folder (`pynn.datasets.cache_dir()`) or `data_dir`.
        data_dir: a folder with the four IDX files under their usual names, plain or `.gz`; implies `full`, as `download=True` does.
        download: whether to download files that aren't there (11 MB in all). By default only to pynn's own cache folder.
        progress: show downloads, a bar on a terminal and one line a file elsewhere, on stderr.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 of shape (n, 28, 28), 0 is paper and 255 ink; labels uint8 of
        shape (n,), 0 to 9. The arrays are new; n is 10,000 and 2,000, or 60,000 and 10,000.

    Raises:
        FileNotFoundError: a file is missing and may not be downloaded.
        DataError: a file is damaged, or has another size than MNIST's.
        TypeError: `full` is a path.
        DownloadError: no mirror had the file.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load()
        >>> x_train.shape, y_test.shape
        ((10000, 28, 28), (2000,))
    """
    if isinstance(full, (str, os.PathLike)):
        raise TypeError(f"[mnist] full must be True or False. Received: full={os.fspath(full)!r}. Name a folder with data_dir=.")
    if full or data_dir is not None or download:
        try:
            return _FULL.load(data_dir, download=download, progress=progress)
        except DownloadError as error:
            raise DownloadError(f"{error} Without a network, use mnist.load(): its 12,000 images are part of the package.") from None
    train, test = (_subset(part, count) for part, count in _SUBSET_COUNTS.items())
    return train, test


def _subset(part: str, count: int) -> Split:
    """The images and labels of one part of the subset."""
    images = unpack((_SUBSET_FOLDER / f"{part}-images.ink").read_bytes(), (count, SIDE, SIDE))
    return images, read_idx(_SUBSET_FOLDER / f"{part}-labels-idx1-ubyte.gz", shape=(count,))


def load_data() -> Splits:
    """All 70,000 images, under the name that Keras has for it; the same as `load(full=True)`."""
    return load(full=True)


if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, __all__)
