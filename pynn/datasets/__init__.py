"""Datasets to learn with. `mnist.load()` needs no network; nothing is downloaded unless a call asks for it."""

from typing import TYPE_CHECKING

from pynn.datasets import fashion_mnist, mnist
from pynn.datasets.cache import cache_dir
from pynn.datasets.idx import read_idx, write_idx
from pynn.errors import absent

__all__ = ["cache_dir", "fashion_mnist", "mnist", "read_idx", "write_idx"]

if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, __all__)
