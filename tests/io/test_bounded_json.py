import json
import os
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynn.errors import DataError
from pynn.io import bounded_json

REJECTED = {
    "empty": (b"", "not JSON"),
    "trailing": (b"{} {}", "Extra data"),
    "duplicate key": (b'{"a": 1, "a": 2}', "'a' appears twice"),
    "duplicate key by escape": (b'{"a": 1, "\\u0061": 2}', "'a' appears twice"),
    "nested duplicate": (b'[{"x": {"k": 1, "k": 1}}]', "'k' appears twice"),
    "NaN": (b"[NaN]", "NaN is not a JSON number"),
    "Infinity": (b"[Infinity]", "Infinity is not"),
    "-Infinity": (b"[-Infinity]", "-Infinity is not"),
    "float overflow": (b"[1e999]", "does not fit in a float64"),
    "long float": (b"[0." + b"1" * 100_000 + b"]", "does not fit in a float64"),
    "million digits": (b"[" + b"9" * 1_000_000 + b"]", "an integer of 1000000 characters"),
    "2**64": (b"[18446744073709551616]", "does not fit in 64 bits"),
    "-2**63-1": (b"[-9223372036854775809]", "does not fit in 64 bits"),
    "bad UTF-8": (b'["\xff"]', "byte 2 is not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "lone surrogate": (b'{"a": ["\\ud800"]}', "lone surrogate"),
    "lone low surrogate as key": (b'{"\\udc00": 1}', "lone surrogate"),
    "raw control character": (b'["\x01"]', "Invalid control character"),
    "deep arrays": (b"[" * 100_000, "nest more than 100 deep"),
    "deep objects": (b'{"a":' * 100_000, "nest more than 100 deep"),
    "deep behind a string of brackets": (b'["]]]]]", ' + b"[" * 200 + b"]" * 201, "nest more than 100 deep"),
    "deep behind escaped quotes": (b'["\\"]", "\\\\",' + b"[" * 200, "nest more than 100 deep"),
    "deep after closing more than was opened": (b"]" * 300_000 + b"[" * 300_000, "more than 250000 values"),
    "closing only": (b"[" * 101 + b"]" * 500_000, "nest more than 100 deep"),
    "deep in the second block": (b'["' + b"[" * 300_000 + b'",' + b"[" * 150, "nest more than 100 deep"),
    "too many values": (b"[" + b"0," * 1_000_000 + b"0]", "more than 250000 values"),
    "too many empty arrays": (b"[" + b"[]," * 600_000 + b"[]]", "more than 250000 values"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_hostile_text_is_rejected_by_name(case):
    data, message = REJECTED[case]
    started = time.perf_counter()
    with pytest.raises(DataError) as caught:
        bounded_json.loads(data, source="model.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("[json] 'model.json': ")
    assert len(str(caught.value)) < 300
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "text",
    ['"' + "x" * 4_000_000, '"' + '\\"' * 2_000_000, "\\" * 4_000_001, '"\\\\' * 1_000_000, "[]," * 400_000, '"",' * 200_000],
)
def test_rejection_takes_linear_time_and_bounded_memory(text):
    data = (b"[" * 101) + text.encode()
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(DataError):
        bounded_json.loads(data)
    elapsed, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert elapsed < 2
    assert peak < 3 * len(data) + (16 << 20)


def test_limits_are_exact():
    assert bounded_json.loads(b"[" * 100 + b"]" * 100)
    assert bounded_json.loads(b"[1,2,3]", max_bytes=7, max_values=4) == [1, 2, 3]
    with pytest.raises(DataError, match="8 bytes; the limit is 7"):
        bounded_json.loads(b"[1,2,3] ", max_bytes=7)
    with pytest.raises(DataError, match="more than 3 values"):
        bounded_json.loads(b"[1,2,3]", max_values=3)
    assert bounded_json.loads(b'["[[[[", ",,,,"]', max_depth=1, max_values=3) == ["[[[[", ",,,,"]
    assert bounded_json.loads(b"[18446744073709551615, -9223372036854775808]") == [2**64 - 1, -(2**63)]
    assert bounded_json.loads(b'["\\ud83d\\ude00"]') == ["\N{GRINNING FACE}"]


def test_names_from_the_file_cannot_drive_a_terminal():
    with pytest.raises(DataError) as caught:
        bounded_json.loads(b'{"\\u001b[31m": 1, "\\u001b[31m": 2}', source="\x1b]0;x")
    assert "\x1b" not in str(caught.value)


def test_load_reads_a_file_within_the_limit(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1.5, null, true]}')
    assert bounded_json.load(path) == {"a": [1.5, None, True]}
    with pytest.raises(DataError, match="'a.json': the file has more than 10 bytes"):
        bounded_json.load(path, max_bytes=10)
    with pytest.raises(DataError, match="is a folder"):
        bounded_json.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        bounded_json.load(tmp_path / "none.json")


@pytest.mark.skipif(os.name != "posix", reason="FIFOs and links as POSIX has them")
def test_load_never_waits_on_a_fifo_nor_follows_a_forbidden_link(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match="not a regular file"):
        bounded_json.load(tmp_path / "fifo")
    with pytest.raises(DataError, match="not a regular file"):
        bounded_json.load("/dev/zero")
    (tmp_path / "real.json").write_text("1")
    (tmp_path / "link.json").symlink_to("real.json")
    assert bounded_json.load(tmp_path / "link.json") == 1
    with pytest.raises(DataError, match="is a symbolic link"):
        bounded_json.load(tmp_path / "link.json", follow=False)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_agrees_with_the_standard_parser_on_what_it_accepts(value, escaped):
    try:
        data = json.dumps(value, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        return
    if "\\ud" not in data.decode():
        assert bounded_json.loads(data, max_depth=20, max_values=2000) == value


@given(st.binary(max_size=200) | st.text('[]{}",:\\u0d8 1e-.9tfn', max_size=200).map(str.encode))
def test_any_bytes_give_a_value_or_a_data_error(data):
    try:
        bounded_json.loads(data, max_depth=5, max_values=30)
    except DataError:
        pass
