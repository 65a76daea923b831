"""Fashion-MNIST: 28x28 grey images of clothes, in the format and the sizes of MNIST (H. Xiao, K. Rasul and R. Vollgraf, 2017).

Nothing of it comes with pynn. The data is Zalando's, under the MIT licence.
"""

from __future__ import annotations

import os

from pynn.datasets.collection import Collection, Splits

__all__ = ["CLASS_NAMES", "load", "load_data"]

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""What the labels 0 to 9 mean."""

_FULL = Collection(
    name="fashion_mnist",
    raw_folder="FashionMNIST/raw",
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    md5={
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    not_labels={"65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "MNIST, handwritten digits"},
)


def load(*, data_dir: str | os.PathLike[str] | None = None, download: bool | None = None, progress: bool = True) -> Splits:
    """Load Fashion-MNIST from a folder, or from the cache folder, to which it is downloaded (30 MB) the first time.

    Downloads are checked by the MD5 that the makers published: enough against damage, not against forgery.

    Args:
        data_dir: a folder with the four IDX files under their usual names, plain or `.gz`; instead of the cache folder.
        download: whether to download files that aren't there. By default only to pynn's own cache folder.
        progress: show downloads, a bar on a terminal and one line a file elsewhere, on stderr.

    Returns:
        `(x_train, y_train), (x_test, y_test)` as `pynn.datasets.mnist.load` with `full=True`.

    Raises:
        FileNotFoundError: a file is missing and may not be downloaded.
        DataError: a file is damaged, has another size than Fashion-MNIST's, or the files are MNIST's.
        DownloadError: no mirror had the file.
    """
    return _FULL.load(data_dir, download=download, progress=progress)


def load_data() -> Splits:
    """The same as `load()`, under the name that Keras has for it."""
    return load()
