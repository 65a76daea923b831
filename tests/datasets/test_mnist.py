import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pynn.datasets import cache_dir, fashion_mnist, mnist, read_idx, write_idx
from pynn.datasets.collection import STEMS
from pynn.errors import DataError, DownloadError

SUBSET_DIGESTS = ["f83ddfb6346264b5", "81018dafcfe18151", "e4b06aa7d06a546c", "6ef716f0c2574b8a"]
"""Start of the SHA-256 of the training images, training labels, test images and test labels."""


def small(tmp_path, module, monkeypatch, **changes):
    """Makes `module` take collections of 30 and 20 images, and four such files in a folder."""
    monkeypatch.setattr(module, "_FULL", replace(module._FULL, counts=(30, 20), sha256={}, md5={}, mirrors=(), **changes))
    folder = tmp_path / "files"
    folder.mkdir()
    for stem in STEMS:
        count = 30 if "train" in stem else 20
        array = np.arange(count) % 10 if "labels" in stem else np.full((count, 28, 28), count)
        write_idx(folder / f"{stem}.gz", array.astype(np.uint8))
    return folder


def test_the_subset_is_balanced_and_what_it_was():
    (x_train, y_train), (x_test, y_test) = mnist.load()
    assert (x_train.shape, x_test.shape) == ((10_000, 28, 28), (2_000, 28, 28))
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(np.bincount(y_train), [1000] * 10)
    np.testing.assert_array_equal(np.bincount(y_test), [200] * 10)
    assert y_train[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    digests = [hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in (x_train, y_train, x_test, y_test)]
    assert digests == SUBSET_DIGESTS


def test_the_subset_is_small_and_has_its_licence():
    folder = Path(mnist.__file__).with_name("mnist_subset")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_700_000
    assert "CC BY-SA 3.0" in folder.with_name("LICENSE-MNIST.md").read_text(encoding="utf-8")


def test_every_call_gives_arrays_of_its_own():
    (first, _), _ = mnist.load()
    first[:] = 0
    assert mnist.load()[0][0].any()


def test_the_full_collection_from_a_folder(shared):
    (x_train, y_train), (x_test, y_test) = mnist.load(data_dir=shared / "data" / "mnist")
    assert (x_train.shape, y_train.shape) == ((60_000, 28, 28), (60_000,))
    assert (x_test.shape, y_test.shape) == ((10_000, 28, 28), (10_000,))
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    for (images, labels), part, count in (((x_train, y_train), 0, 1000), ((x_test, y_test), 1, 200)):
        rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))
        np.testing.assert_array_equal(mnist.load()[part][0], images[rows])
        np.testing.assert_array_equal(mnist.load()[part][1], labels[rows])


def test_the_subset_is_made_again_byte_for_byte(shared, tmp_path):
    tool = Path(__file__).parents[2] / "tools" / "make_mnist_subset.py"
    command = [sys.executable, str(tool), str(shared / "data" / "mnist"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr


def test_the_hashes_are_those_of_the_files(shared):
    for stem, digest in mnist._FULL.sha256.items():
        with gzip.open(shared / "data" / "mnist" / f"{stem}.gz") as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest


@pytest.mark.parametrize("spelling", ["{}.gz", "{}", "raw/{}", "MNIST/raw/{}.gz", "{dotted}", "{dotted}.gz"])
def test_any_usual_name_in_a_folder_is_found(tmp_path, monkeypatch, spelling):
    folder, other = small(tmp_path, mnist, monkeypatch), tmp_path / "other"
    for stem in STEMS:
        target = other / spelling.format(stem, dotted=stem.replace("-idx", ".idx"))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".gz":
            shutil.copy(folder / f"{stem}.gz", target)
        else:
            write_idx(target, read_idx(folder / f"{stem}.gz"))
    (x_train, y_train), (x_test, _) = mnist.load(data_dir=other)
    assert (x_train.max(), len(y_train), x_test.max()) == (30, 30, 20)


def test_a_missing_file_is_named_and_nothing_is_downloaded_to_a_folder_unasked(tmp_path, monkeypatch):
    folder = small(tmp_path, mnist, monkeypatch)
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"\[mnist\] there is no t10k-images-idx3-ubyte .*download=True") as caught:
        mnist.load(data_dir=folder)
    assert repr(str(folder)) in str(caught.value)
    with pytest.raises(FileNotFoundError):
        mnist.load(data_dir=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("stem", "array", "message"),
    [
        (1, np.full(30, 10, np.uint8), "has the label 10; labels are 0 to 9"),
        (1, np.zeros(29, np.uint8), r"has the shape \(29,\); expected \(30,\)"),
        (0, np.zeros((30, 28, 27), np.uint8), r"expected \(30, 28, 28\)"),
        (0, np.zeros((30, 28, 28), np.int16), "holds int16, not uint8"),
    ],
)
def test_files_that_do_not_fit_are_rejected(tmp_path, monkeypatch, stem, array, message):
    folder = small(tmp_path, mnist, monkeypatch)
    write_idx(folder / f"{STEMS[stem]}.gz", array)
    with pytest.raises(DataError, match=message):
        mnist.load(data_dir=folder)


def test_a_path_in_the_place_of_full_is_refused(tmp_path):
    for path in ("folder", tmp_path):
        with pytest.raises(TypeError, match=r"\[mnist\] full must be True or False. Received: .* data_dir="):
            mnist.load(path)


def test_a_damaged_file_is_named_with_its_fix(tmp_path, monkeypatch):
    folder = small(tmp_path, mnist, monkeypatch)
    damaged = tmp_path / "mnist" / f"{STEMS[0]}.gz"
    shutil.copytree(folder, tmp_path / "mnist")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    monkeypatch.setenv("PYNN_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match="damaged or cut short.* Remove it to have it downloaded again[.]$") as caught:
        mnist.load(full=True)
    assert repr(str(damaged)) in str(caught.value)
    with pytest.raises(DataError, match="Put a whole one there[.]$"):
        mnist.load(data_dir=tmp_path / "mnist")


def test_digits_are_not_clothes(tmp_path, monkeypatch):
    folder = small(tmp_path, fashion_mnist, monkeypatch)
    fashion_mnist.load(data_dir=folder)
    with gzip.open(folder / f"{STEMS[1]}.gz") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert list(fashion_mnist._FULL.not_labels) == [mnist._FULL.sha256[STEMS[1]]]
    monkeypatch.setattr(fashion_mnist, "_FULL", replace(fashion_mnist._FULL, not_labels={digest: "MNIST"}))
    with pytest.raises(DataError, match=r"\[fashion_mnist\] the files in .* are those of MNIST[.] Name another folder"):
        fashion_mnist.load(data_dir=folder)


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_the_full_collection_is_downloaded_once_to_the_cache(server, tmp_path, monkeypatch, module, capsys):
    folder = small(tmp_path, module, monkeypatch)
    mirrors = (server.url("/gone/"), server.url("/"))
    monkeypatch.setattr(module, "_FULL", replace(module._FULL, mirrors=mirrors))
    monkeypatch.setenv("PYNN_DATA_DIR", str(tmp_path / "cache"))
    server.files = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}
    (x_train, y_train), (x_test, y_test) = module.load_data()
    assert [len(array) for array in (x_train, y_train, x_test, y_test)] == [30, 30, 20, 20]
    assert len(server.requests) == 8
    assert capsys.readouterr().err.count("\n") == 4
    module.load_data()
    assert len(server.requests) == 8
    assert capsys.readouterr().err == ""
    name = module.__name__.rpartition(".")[2]
    assert sorted(path.name for path in (tmp_path / "cache" / name).glob("*.gz")) == sorted(f"{stem}.gz" for stem in STEMS)
    with pytest.raises(FileNotFoundError):
        module.load(data_dir=tmp_path / "own")
    module.load(data_dir=tmp_path / "own", download=True, progress=False)
    assert len(server.requests) == 16
    assert capsys.readouterr().err == ""


def test_a_download_that_fails_tells_what_was_tried(server, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_FULL", replace(mnist._FULL, mirrors=(server.url("/a/"), server.url("/b/"))))
    with pytest.raises(DownloadError, match=r"(?s)/a/train-images-idx3-ubyte.gz: HTTP 404.*/b/train-images-idx3-ubyte.gz: HTTP 404"):
        mnist.load(data_dir=tmp_path, download=True, progress=False)


def test_mirrors_are_plain_addresses():
    for module in (mnist, fashion_mnist):
        assert all(mirror.startswith(("https://", "http://")) and mirror.endswith("/") for mirror in module._FULL.mirrors)
        assert {len(digest) for digest in (module._FULL.sha256 | module._FULL.md5).values()} <= {64, 32}
        assert set(module._FULL.sha256 or module._FULL.md5) == set(STEMS)
    assert len(fashion_mnist.CLASS_NAMES) == 10


def test_the_cache_folder_follows_the_environment_and_the_platform(monkeypatch):
    home = Path.home()
    monkeypatch.setenv("PYNN_DATA_DIR", "~/data")
    assert cache_dir() == home / "data"
    monkeypatch.delenv("PYNN_DATA_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == home / ".cache" / "pynn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "elsewhere"))
    assert cache_dir() == home / "elsewhere" / "pynn"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_dir() == home / "Library" / "Caches" / "pynn"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert cache_dir() == home / "AppData" / "Local" / "pynn"


def test_the_network_is_not_even_imported_until_it_is_needed():
    code = "import sys, pynn.datasets as d; d.mnist.load(); print({'urllib.request', 'ssl', 'http.client'} & set(sys.modules))"
    environment = os.environ | {"PYNN_BACKEND": "fallback"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "set()\n"


def test_without_a_network_the_embedded_images_are_named(monkeypatch):
    def unreachable(self, *args, **kwargs):
        raise DownloadError("[datasets] no mirror answered.")

    monkeypatch.setattr(type(mnist._FULL), "load", unreachable)
    with pytest.raises(DownloadError, match=r"no mirror answered\. Without a network, use mnist\.load\(\)"):
        mnist.load_data()
