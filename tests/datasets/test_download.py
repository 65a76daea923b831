import gzip
import hashlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from pynn.datasets.cache import exclusive
from pynn.datasets.download import Patience, RemoteFile, fetch
from pynn.datasets.meter import Meter
from pynn.errors import DownloadError

CONTENT = random.Random(0).randbytes(300_000) + bytes(212_000)
PACKED = gzip.compress(CONTENT, mtime=0)
QUICK = Patience(timeout=2.0, attempts=3, pause=0.01, total=20.0)


def remote(server, *paths, **changes):
    known = {"content_bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return RemoteFile("x.gz", tuple(server.url(path) for path in paths), **(known | changes))


def get(file, folder):
    return fetch(file, folder, progress=False, patience=QUICK)


def ranges(server):
    return [headers.get("Range") for _, headers in server.requests]


def left_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def cut_at(count):
    return lambda handler, body: handler.serve(body, cut=count)


def test_a_file_is_downloaded_once(server, tmp_path):
    server.files["/x.gz"] = PACKED
    path = get(remote(server, "/x.gz"), tmp_path / "new" / "folder")
    assert path.read_bytes() == PACKED
    assert left_in(path.parent) == [".lock", "x.gz"]
    assert get(remote(server, "/x.gz"), path.parent) == path
    assert len(server.requests) == 1


def test_an_uncompressed_body_and_one_of_unknown_length_are_fine(server, tmp_path):
    def unknown_length(handler, body):
        handler.answer(200, body, {"Connection": "close"})

    server.files["/x.gz"] = CONTENT
    server.faults["/x.gz"] = [unknown_length]
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == CONTENT


def test_a_broken_transfer_continues(server, tmp_path):
    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [cut_at(100_000), cut_at(200_000)]
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == PACKED
    assert ranges(server) == [None, "bytes=100000-", "bytes=200000-"]
    assert server.requests[1][1]["If-Range"] == '"v1"'
    assert left_in(tmp_path) == [".lock", "x.gz"]


def test_a_broken_transfer_continues_in_a_later_call(server, tmp_path):
    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [cut_at(90_000), 503, 503]
    with pytest.raises(DownloadError, match="HTTP 503"):
        get(remote(server, "/x.gz"), tmp_path)
    assert left_in(tmp_path) == [".lock", "x.gz.part", "x.gz.part.json"]
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == PACKED
    assert ranges(server)[-1] == "bytes=90000-"


def test_a_part_of_another_address_is_not_continued(server, tmp_path):
    server.files["/a"] = server.files["/b"] = PACKED
    server.faults["/a"] = [cut_at(90_000), 404]
    assert get(remote(server, "/a", "/b"), tmp_path).read_bytes() == PACKED
    assert ranges(server) == [None, "bytes=90000-", None]


@pytest.mark.parametrize("ranged", [True, False], ids=["If-Range fails", "no ranges"])
def test_a_server_that_sends_everything_again_is_fine(server, tmp_path, ranged):
    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [cut_at(90_000), lambda handler, body: handler.serve(body, ranges=ranged, tag='"v2"')]
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == PACKED
    assert len(server.requests) == 2


def test_a_file_that_changed_without_any_sign_is_fetched_anew(server, tmp_path):
    server.files["/x.gz"] = PACKED
    wrong_start = lambda handler, body: handler.serve(b"?" * 50_000 + body[50_000:], cut=90_000, tag=None)  # noqa: E731
    server.faults["/x.gz"] = [wrong_start, lambda handler, body: handler.serve(body, tag=None)]
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == PACKED
    assert ranges(server) == [None, "bytes=90000-", None]


@pytest.mark.parametrize(
    "reply",
    [
        {"Content-Range": "bytes 5-9/10", "Content-Length": 5},
        {"Content-Range": f"bytes 90000-{len(PACKED)}/{len(PACKED) + 1}", "Content-Length": 5},
        {"Content-Range": "nonsense", "Content-Length": 5},
        {"Content-Length": 5},
    ],
)
def test_a_wrong_answer_to_a_range_starts_anew(server, tmp_path, reply):
    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [cut_at(90_000), lambda handler, body: handler.answer(206, b"12345", reply)]
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == PACKED
    assert ranges(server) == [None, "bytes=90000-", None]


def test_a_part_that_is_too_long_already_starts_anew(server, tmp_path):
    server.files["/x.gz"] = PACKED
    note = {"url": server.url("/x.gz"), "validator": '"v1"', "total": len(PACKED)}
    (tmp_path / "x.gz.part").write_bytes(PACKED + b"more")
    (tmp_path / "x.gz.part.json").write_text(json.dumps(note))
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == PACKED
    assert ranges(server) == [f"bytes={len(PACKED) + 4}-", None]


@pytest.mark.parametrize("note", ["", "[]", "{", '{"url": 1}', '{"url": "URL", "validator": "a\\r\\nb"}', '{"url": "URL", "validator": 3}'])
def test_a_damaged_note_starts_anew(server, tmp_path, note):
    server.files["/x.gz"] = PACKED
    (tmp_path / "x.gz.part").write_bytes(b"junk")
    (tmp_path / "x.gz.part.json").write_text(note.replace("URL", server.url("/x.gz")))
    assert get(remote(server, "/x.gz"), tmp_path).read_bytes() == PACKED
    assert ranges(server) == [None]


def test_the_next_mirror_follows_a_refusal_and_the_message_names_all(server, tmp_path):
    server.files["/good"] = PACKED
    server.files["/forged"] = gzip.compress(CONTENT[::-1])
    assert get(remote(server, "/none", "/good"), tmp_path / "a").read_bytes() == PACKED
    with pytest.raises(DownloadError) as caught:
        get(remote(server, "/none", "/forged"), tmp_path / "b")
    message = str(caught.value)
    assert "[datasets] x.gz could not be downloaded" in message
    assert f"{server.url('/none')}: HTTP 404 Not Found" in message
    assert f"{server.url('/forged')}: the received data doesn't have the file's SHA-256" in message
    assert repr(str(tmp_path / "b")) in message
    assert left_in(tmp_path / "b") == [".lock"]
    assert [path for path, _ in server.requests] == ["/none", "/good", "/none", "/forged"]


WRONG = {
    "empty": (b"", "fewer than"),
    "cut": (PACKED[:-9], "the received gzip data is damaged"),
    "damaged": (PACKED[:5000] + b"??" + PACKED[5002:], "the received gzip data is damaged"),
    "tail": (PACKED + b"tail", "the received gzip data is damaged"),
    "bomb": (gzip.compress(bytes(50_000_000)), "more than 512000 bytes"),
    "short": (gzip.compress(CONTENT[:-1]), "fewer than 512000 bytes"),
    "another page": (b"<html>log in first</html>", "fewer than"),
    "long": (b"x" * 700_000, "the server offers 700000 bytes; expected at most 577536"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_the_file_is_refused_and_removed(server, tmp_path, case):
    body, message = WRONG[case]
    server.files["/x.gz"] = body
    with pytest.raises(DownloadError, match=message):
        get(remote(server, "/x.gz"), tmp_path)
    assert left_in(tmp_path) == [".lock"]
    assert len(server.requests) == 1


def test_a_body_without_a_length_is_cut_off_at_the_limit(server, tmp_path):
    def endless(handler, body):
        handler.answer(200, b"", {"Connection": "close"})
        for _ in range(10_000):
            handler.wfile.write(b"x" * 10_000)

    server.files["/x.gz"] = b""
    server.faults["/x.gz"] = [endless]
    with pytest.raises(DownloadError, match="received more than 577536 bytes"):
        get(remote(server, "/x.gz"), tmp_path)
    assert left_in(tmp_path) == [".lock"]


def test_md5_of_the_file_as_served(server, tmp_path):
    server.files["/x.gz"] = PACKED
    served = hashlib.md5(PACKED).hexdigest()
    assert get(remote(server, "/x.gz", sha256=None, md5=served), tmp_path / "a").read_bytes() == PACKED
    with pytest.raises(DownloadError, match="doesn't have the file's MD5"):
        get(remote(server, "/x.gz", sha256=None, md5="0" * 32), tmp_path / "b")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher:x"])
def test_a_redirect_elsewhere_is_refused(server, tmp_path, target):
    server.files["/x.gz"] = b""
    server.faults["/x.gz"] = [lambda handler, body: handler.answer(302, b"", {"Location": target, "Content-Length": 0})]
    with pytest.raises(DownloadError, match="was refused|HTTP 302"):
        get(remote(server, "/x.gz"), tmp_path)
    assert left_in(tmp_path) == [".lock"]


def test_a_redirect_within_http_is_followed_and_a_loop_ends(server, tmp_path):
    def to(path):
        return lambda handler, body: handler.answer(302, b"", {"Location": path, "Content-Length": 0})

    server.files["/x.gz"] = PACKED
    server.faults["/old"] = [to("/x.gz")]
    server.faults["/loop"] = [to("/loop")] * 100
    assert get(remote(server, "/old"), tmp_path / "a").read_bytes() == PACKED
    with pytest.raises(DownloadError, match="HTTP 302"):
        get(remote(server, "/loop"), tmp_path / "b")
    assert len(server.requests) < 20


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_an_address_that_is_not_http_opens_nothing(tmp_path, url):
    with pytest.raises(DownloadError):
        get(RemoteFile("x.gz", (url,), 10), tmp_path)
    assert left_in(tmp_path) == [".lock"]


def test_nobody_listens_and_nobody_answers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        quiet, gone = silent.getsockname()[1], closed.getsockname()[1]
        closed.close()
        patience = Patience(timeout=0.1, attempts=2, pause=0.01, total=5)
        urls = (f"http://127.0.0.1:{gone}/x", f"http://127.0.0.1:{quiet}/x")
        with pytest.raises(DownloadError) as caught:
            fetch(RemoteFile("x.gz", urls, 10), tmp_path, progress=False, patience=patience)
    assert "refused" in str(caught.value)
    assert "timed out" in str(caught.value)


def test_nonsense_instead_of_http(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n" * 10)

        thread = threading.Thread(target=babble)
        thread.start()
        patience = Patience(timeout=2, attempts=2, pause=0.01, total=5)
        with pytest.raises(DownloadError, match="invalid response|no connection"):
            fetch(RemoteFile("x.gz", (f"http://127.0.0.1:{listener.getsockname()[1]}/x",), 10), tmp_path, progress=False, patience=patience)
        thread.join()


def test_a_server_that_drips_is_given_up(server, tmp_path):
    def drip(handler, body):
        handler.answer(200, b"", {"Content-Length": len(body)})
        for byte in body[:200]:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)

    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [drip]
    with pytest.raises(DownloadError, match="too slow"):
        fetch(remote(server, "/x.gz"), tmp_path, progress=False, patience=Patience(timeout=2, attempts=3, pause=0.01, total=0.3))


def test_a_full_disk_is_not_blamed_on_the_mirrors(server, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    server.files["/x.gz"] = PACKED
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        get(remote(server, "/x.gz"), tmp_path)
    assert not isinstance(caught.value, DownloadError)


def test_threads_that_want_the_same_file_download_it_once(server, tmp_path):
    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [lambda handler, body: (time.sleep(0.2), handler.serve(body))]
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(get(remote(server, "/x.gz"), tmp_path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [tmp_path / "x.gz"] * 6
    assert len(server.requests) == 1


def test_processes_that_want_the_same_file_download_it_once(server, tmp_path):
    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [lambda handler, body: (time.sleep(0.5), handler.serve(body))]
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from pynn.datasets.download import RemoteFile, fetch
        fetch(RemoteFile("x.gz", (sys.argv[1],), int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4]), progress=False)
    """)
    file = remote(server, "/x.gz")
    command = [sys.executable, "-c", script, file.urls[0], str(file.content_bytes), file.sha256, str(tmp_path)]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(server.requests) == 1
    assert left_in(tmp_path) == [".lock", "x.gz"]


def test_the_lock_of_a_killed_process_is_free_again(tmp_path):
    script = "import sys,time,pathlib\nfrom pynn.datasets.cache import exclusive\n"
    script += "with exclusive(pathlib.Path(sys.argv[1]), patience=1):\n    print(flush=True)\n    time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        waited = []
        with pytest.raises(TimeoutError, match="another process has been busy"):
            with exclusive(tmp_path, patience=0.2, waiting=lambda: waited.append(1)):
                pass
        assert waited == [1]
        child.kill()
        with exclusive(tmp_path, patience=10) as alone:
            assert alone


def test_without_locks_each_process_has_a_part_of_its_own(server, tmp_path, monkeypatch):
    monkeypatch.setattr("pynn.datasets.cache._try_lock", lambda file: None)
    server.files["/x.gz"] = PACKED
    server.faults["/x.gz"] = [cut_at(90_000)]
    assert get(remote(server, "/x.gz"), tmp_path / "a").read_bytes() == PACKED
    assert left_in(tmp_path / "a") == [".lock", "x.gz"]
    with pytest.raises(DownloadError):
        get(remote(server, "/none"), tmp_path / "b")
    assert left_in(tmp_path / "b") == [".lock"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_outside_a_terminal_a_download_is_one_line(server, tmp_path, capsys):
    server.files["/x.gz"] = PACKED
    fetch(remote(server, "/x.gz"), tmp_path, patience=QUICK)
    fetch(remote(server, "/x.gz"), tmp_path, patience=QUICK)
    output = capsys.readouterr()
    assert output.err == f"Downloading x.gz to {tmp_path}\n"
    assert output.out == ""


def test_on_a_terminal_a_bar_is_redrawn_at_most_ten_times_a_second(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delenv("TERM", raising=False)
    meter = Meter("x.gz", "folder", show=True)
    for done in range(0, 1_000_001, 1000):
        meter.show(done, 1_000_000)
    meter.close()
    lines = stream.getvalue().split("\n")
    assert lines[0] == "Downloading x.gz to folder"
    assert lines[1].endswith("\r[" + "=" * 24 + "] 1.0 of 1.0 MB\x1b[K")
    assert stream.getvalue().count("\r") < 10
    assert stream.getvalue().endswith("\n")


def test_silence_on_request_and_without_stderr(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    Meter("x", "folder", show=False).show(1, None)
    assert stream.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", None)
    meter = Meter("x", "folder", show=True)
    meter.show(1, None)
    meter.close()
