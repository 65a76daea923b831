"""Makes the MNIST images that come with pynn, or checks that they are what this script makes.

python tools/make_mnist_subset.py FOLDER          writes pynn/datasets/mnist_subset from the four MNIST files in FOLDER
python tools/make_mnist_subset.py FOLDER --check  compares contents instead; exit status 1 if they differ
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from pynn.datasets import mnist, read_idx, write_idx
from pynn.datasets.ink import pack, unpack

TARGET = Path(mnist.__file__).with_name("mnist_subset")
PER_CLASS = {"train": 1000, "t10k": 200}


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """The indices of the first `count` of every class, in ascending order."""
    chosen = [np.flatnonzero(labels == label)[:count] for label in range(10)]
    return np.sort(np.concatenate(chosen))


def subset(folder: str) -> dict[str, np.ndarray]:
    """File name -> array."""
    arrays = {}
    for part, (images, labels) in zip(PER_CLASS, mnist.load(data_dir=folder), strict=True):
        rows = first_of_each_class(labels, PER_CLASS[part])
        arrays[f"{part}-images.ink"] = images[rows]
        arrays[f"{part}-labels-idx1-ubyte.gz"] = labels[rows]
    return arrays


def write(name: str, array: np.ndarray) -> None:
    """Writes one file of the subset."""
    if name.endswith(".ink"):
        (TARGET / name).write_bytes(pack(array))
    else:
        write_idx(TARGET / name, array)


def read(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What one file of the subset holds."""
    return unpack((TARGET / name).read_bytes(), shape) if name.endswith(".ink") else read_idx(TARGET / name)


def main() -> int:
    """Runs the command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="where the four MNIST files are")
    parser.add_argument("--check", action="store_true", help="compare, don't write")
    options = parser.parse_args()
    arrays = subset(options.folder)
    if options.check:
        different = [name for name, array in arrays.items() if not np.array_equal(read(name, array.shape), array)]
        print("different: " + ", ".join(different) if different else "the same")
        return 1 if different else 0
    TARGET.mkdir(exist_ok=True)
    for name, array in arrays.items():
        write(name, array)
        print(f"{name}: {(TARGET / name).stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
