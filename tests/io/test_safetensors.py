import errno
import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynn.errors import DataError
from pynn.io.safetensors import load_file, load_metadata, save_file

DTYPES = ["?", "u1", "i1", "<i2", "<u2", "<f2", "<i4", "<u4", "<f4", "<f8", "<i8", "<u8"]


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def pack(header, data=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


HOSTILE = {
    "empty file": (b"", "the file has 0 bytes"),
    "seven bytes": (b"\0" * 7, "the file has 7 bytes"),
    "no header": (pack(b""), "does not start with '{'"),
    "length u64-max": (pack({}, length=2**64 - 1), "the header says 18446744073709551615 bytes"),
    "length wraps when 8 is added": (pack({}, length=2**64 - 8), "the header says 18446744073709551608 bytes"),
    "length one past the end": (pack({}, b"", length=3), "the header says 3 bytes; the file has 2"),
    "length over the cap": (struct.pack("<Q", 17 << 20) + b"{}" + b" " * (17 << 20), "the limit is 16777216"),
    "length cuts the header": (pack({"a": entry()}, length=5), "not JSON"),
    "not an object": (pack(b"[]"), "does not start with '{'"),
    "space first": (pack(b" {}", b""), "does not start with '{'"),
    "not UTF-8": (pack(b'{"\xff": 1}'), "not UTF-8"),
    "duplicate tensor": (pack(b'{"a": 1, "a": 2}'), "'a' appears twice"),
    "duplicate key": (pack(b'{"a": {"dtype": "F32", "dtype": "F64"}}'), "'dtype' appears twice"),
    "duplicate metadata": (pack(b'{"__metadata__": {}, "__metadata__": {}}'), "'__metadata__' appears twice"),
    "deep nesting": (pack(b'{"a":' * 50_000 + b"0" + b"}" * 50_000), "nest more than 3 deep"),
    "NaN": (pack(b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 8]}}'), "NaN is not"),
    "Infinity in offsets": (pack(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1e999]}}'), "does not fit"),
    "huge integer": (pack(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 8]}}'), "64 bits"),
    "tensor is a list": (pack({"a": []}), "must have dtype, shape and data_offsets"),
    "dtype missing": (pack({"a": {"shape": [2], "data_offsets": [0, 8]}}), "must have dtype, shape and data_offsets"),
    "key too many": (pack({"a": entry() | {"path": "/etc/passwd"}}), "and nothing else"),
    "unknown dtype": (pack({"a": entry("F8_E4M3", (8,))}), "has the dtype 'F8_E4M3'"),
    "dtype in small letters": (pack({"a": entry("f32")}), "has the dtype 'f32'"),
    "dtype is a list": (pack({"a": entry(["F32"])}), "has the dtype ['F32']"),
    "negative size": (pack({"a": entry(shape=(-1, -2))}), "has the shape [-1, -2]"),
    "fractional size": (pack({"a": entry(shape=(2.0,))}), "has the shape [2.0]"),
    "boolean size": (pack({"a": entry(shape=(True, 2))}), "has the shape [True, 2]"),
    "text size": (pack({"a": entry(shape=("2",))}), "has the shape ['2']"),
    "size beyond 63 bits": (pack({"a": entry(shape=(2**63,))}), "has the shape"),
    "rank 33": (pack({"a": entry(shape=(1,) * 32 + (2,))}), "at most 32"),
    "shape product wraps to 2": (pack({"a": entry(shape=(2**32, 2**32, 2))}), "which overflows"),
    "empty shape overflows": (pack({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}, b""), "which overflows"),
    "bytes wrap": (pack({"a": entry("F64", (2**61 + 1,))}), "which overflows"),
    "shape bomb": (pack({"a": entry(shape=(2**40,))}), "takes 8 bytes; F32 of shape [1099511627776] needs 4398046511104"),
    "span too long": (pack({"a": entry(shape=(1,))}), "takes 8 bytes; F32 of shape [1] needs 4"),
    "span too short": (pack({"a": entry("F64", (2,))}), "needs 16"),
    "begin after end": (pack({"a": entry(offsets=(8, 0))}), "they are [begin, end]"),
    "negative begin": (pack({"a": entry(offsets=(-8, 0))}), "they are [begin, end]"),
    "three offsets": (pack({"a": entry(offsets=(0, 8, 8))}), "they are [begin, end]"),
    "offsets of text": (pack({"a": entry(offsets=("0", "8"))}), "they are [begin, end]"),
    "past the end": (pack({"a": entry(shape=(4,), offsets=(0, 16))}), "the tensors take 16 bytes, but 8 follow"),
    "bytes left over": (pack({"a": entry(shape=(1,), offsets=(0, 4))}), "the tensors take 4 bytes, but 8 follow"),
    "gap at the start": (pack({"a": entry(shape=(1,), offsets=(4, 8))}), "starts at byte 4, not 0: it leaves a gap"),
    "gap between": (pack({"a": entry("U8", (1,), (0, 1)), "b": entry("U8", (4,), (4, 8))}), "it leaves a gap"),
    "overlap": (pack({"a": entry("U8", (5,), (0, 5)), "b": entry("U8", (4,), (4, 8))}), "it overlaps the one before"),
    "alias": (pack({"a": entry(), "b": entry()}), "it overlaps the one before"),
    "empty tensor inside another": (pack({"a": entry(), "b": entry(shape=(0,), offsets=(4, 4))}), "it overlaps"),
    "empty tensor past the end": (pack({"a": entry(), "b": entry(shape=(0,), offsets=(9, 9))}), "it leaves a gap"),
    "metadata is a list": (pack({"__metadata__": []}, b""), "must map strings to strings"),
    "metadata of numbers": (pack({"__metadata__": {"a": 1}}, b""), "must map strings to strings"),
    "data without tensors": (pack({}), "the tensors take 0 bytes, but 8 follow"),
    "BOOL of 2": (pack({"a": entry("BOOL", (8,))}, b"\1\0\1\0\1\0\1\2"), "bytes other than 0 and 1"),
    "terminal escape": (pack({"\x1b[31m": entry("\x07")}), "tensor '\\x1b[31m' has the dtype '\\x07'"),
}


@pytest.mark.parametrize("map_file", [False, True])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_rejected_by_name(tmp_path, case, map_file):
    data, message = HOSTILE[case]
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        load_file(path, map_file=map_file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
    assert peak < 3 * len(data) + (8 << 20)


def samples():
    rng = np.random.default_rng(0)
    arrays = {f"{dtype} {shape}": (rng.random(shape) * 3).astype(dtype) for dtype in DTYPES for shape in [(3, 5), (1,), (), (0, 4)]}
    return arrays | {"d\N{LATIN SMALL LETTER E WITH ACUTE}j/a:\n": np.arange(3.0)}


@pytest.mark.parametrize("map_file", [False, True])
def test_round_trip_of_every_dtype_and_shape(tmp_path, map_file):
    path, arrays = tmp_path / "w.safetensors", samples()
    save_file(arrays, path, {"b": "2", "a": "\N{GREEK SMALL LETTER PI}"})
    loaded = load_file(path, map_file=map_file)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()
        assert loaded[name].flags.aligned
        assert loaded[name].flags.writeable is not map_file
    assert load_metadata(path) == {"a": "\N{GREEK SMALL LETTER PI}", "b": "2"}


def test_layout_is_the_same_for_the_same_arrays_and_aligned(tmp_path):
    arrays = samples()
    save_file(arrays, tmp_path / "a")
    save_file(dict(reversed(arrays.items())), tmp_path / "b")
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    for name, value in json.loads(data[8 : 8 + length]).items():
        assert value["data_offsets"][0] % arrays[name].dtype.itemsize == 0


def test_exact_bytes(tmp_path):
    save_file({"b": np.array([[1, 2]], np.uint8), "a": np.float32([1.5])}, tmp_path / "w", {"k": "v"})
    header = (
        b'{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"b":{"dtype":"U8","shape":[1,2],"data_offsets":[4,6]}}'
    )
    header += b" " * (-len(header) % 8)
    assert (tmp_path / "w").read_bytes() == struct.pack("<Q", len(header)) + header + b"\0\0\xc0\x3f\1\2"


def test_reads_bfloat16_and_files_of_others(tmp_path):
    header = {"h": entry("BF16", (2, 2)), "e": entry("F32", (0,), (8, 8)), "m": entry("F32", (1,), (8, 12))}
    (tmp_path / "w").write_bytes(pack(header, struct.pack("<4Hf", 0x3F80, 0xC000, 0x7F80, 0x0001, 2.5)))
    for map_file in (False, True):
        loaded = load_file(tmp_path / "w", map_file=map_file)
        assert loaded["h"].dtype == np.float32
        np.testing.assert_array_equal(loaded["h"], np.float32([[1, -2], [np.inf, 2.0**-133]]))
        np.testing.assert_array_equal(loaded["m"], [2.5])
        assert loaded["m"].flags.aligned
        assert loaded["e"].shape == (0,)


def test_nothing_inside_is_fine(tmp_path):
    save_file({}, tmp_path / "w")
    assert load_file(tmp_path / "w") == {}
    assert load_file(tmp_path / "w", map_file=True) == {}
    assert load_metadata(tmp_path / "w") == {}


def test_arrays_of_any_layout_are_written_as_their_values(tmp_path):
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    read_only = base.copy()
    read_only.flags.writeable = False
    arrays = {
        "fortran": np.asfortranarray(base), "reversed": base[::-1, ::-2], "big-endian": base.astype(">f4"),
        "broadcast": np.broadcast_to(np.float32(3), (2, 3)), "read-only": read_only, "list": [1.0, 2.0], "scalar": 3,
    }  # fmt: skip
    save_file(arrays, tmp_path / "w")
    for name, array in load_file(tmp_path / "w").items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype.isnative


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({"a": np.array([object()])}, None, TypeError, "has the dtype object"),
        ({"a": np.array(["text"])}, None, TypeError, "has the dtype <U4"),
        ({"a": np.zeros(2, complex)}, None, TypeError, "has the dtype complex128"),
        ({1: np.zeros(2)}, None, TypeError, "a name must be a string. Received: 1"),
        ({"__metadata__": np.zeros(2)}, None, ValueError, "can't have the name"),
        ({"\ud800": np.zeros(2)}, None, ValueError, "lone surrogate"),
        ({}, {"a": 1}, TypeError, "a metadata value must be a string"),
        ({}, {2: "a"}, TypeError, "a metadata key must be a string"),
        ({}, {"a": "x" * (17 << 20)}, ValueError, "the limit is 16777216"),
    ],
)
def test_writer_refuses_what_the_format_cannot_hold(tmp_path, tensors, metadata, error, message):
    with pytest.raises(error, match="safetensors") as caught:
        save_file(tensors, tmp_path / "w", metadata)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch):
    save_file({"a": np.ones(3)}, tmp_path / "w")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_file({"a": np.zeros(3)}, tmp_path / "w")
    np.testing.assert_array_equal(load_file(tmp_path / "w")["a"], np.ones(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]


def test_a_file_cut_while_it_is_read_is_an_error(tmp_path, monkeypatch):
    save_file({"a": np.ones(1000)}, tmp_path / "w")
    real = os.fstat

    class Grown:
        def __init__(self, status):
            self.st_mode, self.st_size = status.st_mode, status.st_size + 8000

    header = {"a": entry("F64", (2000,), (0, 16000))}
    (tmp_path / "w").write_bytes(pack(header, b"\0" * 8000))
    monkeypatch.setattr(os, "fstat", lambda descriptor: Grown(real(descriptor)))
    with pytest.raises(DataError, match="became shorter"):
        load_file(tmp_path / "w")


@given(st.data())
def test_any_damage_gives_arrays_or_a_data_error(tmp_path, data):
    path = tmp_path / "w.safetensors"
    save_file({"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.ones(2, bool), "c": np.zeros((0, 2))}, path, {"k": "v"})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255) | st.sampled_from(b'0129-[]{},":'))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        loaded = load_file(path)
    except DataError as error:
        assert str(error).isprintable()
    else:
        assert sum(array.nbytes for array in loaded.values()) <= len(content)


@given(st.binary(max_size=120))
def test_any_header_gives_arrays_or_a_data_error(tmp_path, noise):
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack(b"{" + noise, b"\0" * 8))
    try:
        load_file(path)
    except DataError:
        pass
