import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynn.datasets import read_idx, write_idx
from pynn.errors import DataError

DTYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]
GOOD = bytes([0, 0, 8, 2]) + struct.pack(">2I", 2, 3) + b"abcdef"
HOSTILE = {
    "empty": (b"", "not an IDX file: it starts with nothing"),
    "three bytes": (GOOD[:3], "not an IDX file: it starts with 00 00 08"),
    "wrong magic": (b"PK" + GOOD[2:], "it starts with 50 4b 08 02"),
    "unknown dtype": (GOOD[:2] + b"\x0a" + GOOD[3:], "it starts with 00 00 0a 02"),
    "rank 0": (b"\0\0\x08\0a", "not an IDX file"),
    "rank 9": (b"\0\0\x08\x09" + b"\0\0\0\1" * 9 + b"a", "not an IDX file"),
    "header cut": (GOOD[:9], "the header is cut short"),
    "values cut": (GOOD[:-1], "the header promises 18 bytes; there can be at most 17"),
    "one byte more": (GOOD + b"g", "bytes are left over"),
    "huge count": (GOOD[:4] + b"\xff" * 8 + GOOD[12:], "the header promises 18446744065119617037 bytes"),
    "count wraps to 6": (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 4) + b"abcdef", "the header promises"),
    "empty but overflowing": (bytes([0, 0, 8, 4]) + b"\xff" * 12 + b"\0" * 4, "overflows"),
    "text": (b"<html>404</html>", "it starts with 3c 68 74 6d"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_rejected_by_name(tmp_path, case, packed):
    data, message = HOSTILE[case]
    if packed:
        data = gzip.compress(data)
        message = "cut short" if case == "values cut" else message
    (tmp_path / "x").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message in str(caught.value)
    assert str(caught.value).startswith("[idx] 'x': ")
    assert peak < 2_500_000


PACKED = gzip.compress(GOOD, mtime=0)
DAMAGED = {
    "one byte short": (PACKED[:-1], "damaged or cut short"),
    "header only": (PACKED[:11], "damaged or cut short"),
    "wrong checksum": (PACKED[:-5] + b"?" + PACKED[-4:], "damaged or cut short"),
    "magic only": (b"\x1f\x8b" + b"nonsense" * 10, "damaged or cut short"),
    "tail": (PACKED + b"tail", "damaged or cut short"),
    "second member": (PACKED + gzip.compress(b"more"), "bytes are left over"),
    "bomb": (gzip.compress(GOOD + b"\0" * 100_000_000), "bytes are left over"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_gzip_and_bombs_are_rejected(tmp_path, case):
    data, message = DAMAGED[case]
    (tmp_path / "x.gz").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "x.gz")
    assert tracemalloc.get_traced_memory()[1] < 2_500_000
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 28, 28), (3, 0)])
def test_round_trip(tmp_path, dtype, shape, suffix):
    array = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    path = tmp_path / f"x{suffix}"
    write_idx(path, array)
    first = path.read_bytes()
    loaded = read_idx(path, shape=shape)
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype
    assert loaded.flags.writeable
    write_idx(path, np.asfortranarray(array))
    assert path.read_bytes() == first


def test_limits(tmp_path):
    write_idx(tmp_path / "x.gz", np.zeros((100, 100), np.uint8))
    assert read_idx(tmp_path / "x.gz", max_bytes=10_000).shape == (100, 100)
    with pytest.raises(DataError, match=r"promises 10012 bytes; there can be at most 936"):
        read_idx(tmp_path / "x.gz", max_bytes=900)
    with pytest.raises(DataError, match=r"has the shape \(100, 100\); expected \(60000, 28, 28\)"):
        read_idx(tmp_path / "x.gz", shape=(60000, 28, 28))
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")
    with pytest.raises(DataError, match="is a folder"):
        read_idx(tmp_path)


def test_writer_refuses_what_idx_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match=r"\[idx\] IDX has no complex128"):
        write_idx(tmp_path / "x", np.zeros(3, complex))
    with pytest.raises(ValueError, match="the rank must be 1 to 8"):
        write_idx(tmp_path / "x", np.zeros((), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="FIFOs as POSIX has them")
def test_never_waits_on_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(DataError, match="not a regular file"):
        read_idx(tmp_path / "x")


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_give_an_array_or_a_data_error(tmp_path, noise, packed):
    data = GOOD[:3] + noise
    (tmp_path / "x").write_bytes(gzip.compress(data) if packed else data)
    try:
        assert read_idx(tmp_path / "x").nbytes <= len(data)
    except DataError:
        pass
