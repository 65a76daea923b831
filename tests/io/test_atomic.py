import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pynn.io import atomic
from pynn.io.atomic import atomic_file, atomic_folder

OWNED = ("model.json", "a.bin", "b.bin")


def fail_on_call(monkeypatch, name, number):
    """Makes the `number`-th call of `os.<name>` fail with a full disk; gives the list of calls so far."""
    real, calls = getattr(os, name), []

    def failing(*args, **keywords):
        calls.append(args)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **keywords)

    monkeypatch.setattr(os, name, failing)
    return calls


def contents(folder):
    return {entry.name: entry.read_text() for entry in folder.iterdir()}


def save(folder, text, shards=("a.bin",)):
    with atomic_folder(folder, commit="model.json", owned=OWNED) as staging:
        for name in ("model.json", *shards):
            (staging / name).write_text(text)


def test_file_appears_whole(tmp_path):
    with atomic_file(tmp_path / "x") as file:
        file.write(b"new")
        assert not (tmp_path / "x").exists()
    assert contents(tmp_path) == {"x": "new"}


def test_file_is_kept_when_the_block_fails(tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "x") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"x": "old"}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_file_is_kept_when_the_disk_fails(tmp_path, monkeypatch, call):
    (tmp_path / "x").write_text("old")
    fail_on_call(monkeypatch, call, 1)
    with pytest.raises(OSError, match="No space"), atomic_file(tmp_path / "x") as file:
        file.write(b"new")
    assert contents(tmp_path) == {"x": "old"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_file_is_kept_when_a_write_falls_short(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("old")
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OSError), atomic_file(tmp_path / "x") as file:
            file.write(b"n" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert contents(tmp_path) == {"x": "old"}


@pytest.mark.skipif(os.name != "posix", reason="permissions and links as POSIX has them")
def test_file_keeps_its_permissions_and_its_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    with atomic_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


def test_file_refuses_what_is_not_a_file(tmp_path):
    with pytest.raises(ValueError, match=r"\[save\] .* is not a regular file"), atomic_file(tmp_path):
        pass
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "none" / "x"):
        pass
    assert contents(tmp_path) == {}


def test_file_survives_kill_at_any_moment(tmp_path):
    script = textwrap.dedent("""
        import sys
        from pynn.io.atomic import atomic_file
        for turn in range(10**9):
            with atomic_file(sys.argv[1]) as file:
                for _ in range(20):
                    file.write(bytes([turn % 256]) * 5000)
                    file.flush()
            print(flush=True)
    """)
    for delay in (0.0, 0.001, 0.002, 0.005, 0.007):
        child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "x")], stdout=subprocess.PIPE)
        with child:
            child.stdout.readline()
            time.sleep(delay)
            child.kill()
        data = (tmp_path / "x").read_bytes()
        assert len(data) == 100_000
        assert len(set(data)) == 1


def test_folder_appears_and_is_replaced_whole(tmp_path):
    save(tmp_path / "m", "one", ["a.bin", "b.bin"])
    assert contents(tmp_path / "m") == {"model.json": "one", "a.bin": "one", "b.bin": "one"}
    save(tmp_path / "m", "two")
    assert contents(tmp_path / "m") == {"model.json": "two", "a.bin": "two"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_folder_leaves_the_files_of_others(tmp_path):
    save(tmp_path / "m", "one", ["a.bin", "b.bin"])
    (tmp_path / "m" / "index.html").write_text("mine")
    save(tmp_path / "m", "two")
    assert contents(tmp_path / "m") == {"model.json": "two", "a.bin": "two", "index.html": "mine"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_folder_works_without_the_exchange_call(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    save(tmp_path / "m", "one", ["a.bin", "b.bin"])
    save(tmp_path / "m", "two")
    assert contents(tmp_path / "m") == {"model.json": "two", "a.bin": "two"}


def test_folder_commits_its_first_file_last(tmp_path, monkeypatch):
    save(tmp_path / "m", "one")
    (tmp_path / "m" / "index.html").write_text("mine")
    calls = fail_on_call(monkeypatch, "replace", 2)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / "m", "two")
    assert [os.path.basename(call[1]) for call in calls] == ["a.bin", "model.json"]
    assert contents(tmp_path / "m")["model.json"] == "one"


@pytest.mark.parametrize("number", [1, 2])
def test_folder_is_kept_when_the_disk_fails(tmp_path, monkeypatch, number):
    save(tmp_path / "m", "one")
    with monkeypatch.context() as patched:
        fail_on_call(patched, "fsync", number)
        with pytest.raises(OSError, match="No space"):
            save(tmp_path / "m", "two")
    assert contents(tmp_path / "m") == {"model.json": "one", "a.bin": "one"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_folder_is_kept_when_the_block_fails_or_forgets_the_commit_file(tmp_path):
    save(tmp_path / "m", "one")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "m", commit="model.json", owned=OWNED) as staging:
        (staging / "model.json").write_text("two")
        raise RuntimeError
    with pytest.raises(ValueError, match="'model.json' was not written"):
        with atomic_folder(tmp_path / "m", commit="model.json", owned=OWNED):
            pass
    with pytest.raises(ValueError, match="'sub' is not a regular file"):
        with atomic_folder(tmp_path / "m", commit="model.json", owned=OWNED) as staging:
            (staging / "model.json").write_text("two")
            (staging / "sub").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is not a folder"):
        save(tmp_path / "file", "two")
    assert contents(tmp_path / "m") == {"model.json": "one", "a.bin": "one"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "m"]


def test_folder_leaves_files_and_folders_that_are_not_owned(tmp_path):
    save(tmp_path / "m", "one", ["a.bin", "b.bin"])
    (tmp_path / "m" / "theirs.bin").write_text("mine")
    (tmp_path / "m" / "b.bin").unlink()
    (tmp_path / "m" / "b.bin").mkdir()
    save(tmp_path / "m", "two")
    assert sorted(entry.name for entry in (tmp_path / "m").iterdir()) == ["a.bin", "b.bin", "model.json", "theirs.bin"]
    assert (tmp_path / "m" / "theirs.bin").read_text() == "mine"


def test_the_working_folder_stays(tmp_path, monkeypatch):
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path / "m")
    before = os.stat(".").st_ino
    for text in ("one", "two"):
        save(".", text)
        assert os.stat(tmp_path / "m").st_ino == before
        assert contents(tmp_path / "m") == {"model.json": text, "a.bin": text}


def test_folder_under_a_parent_that_is_not_writable(tmp_path, monkeypatch):
    save(tmp_path / "m", "one", ["a.bin", "b.bin"])
    real = Path.mkdir

    def mkdir(path, *args, **keywords):
        if path.parent == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **keywords)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    save(tmp_path / "m", "two")
    assert contents(tmp_path / "m") == {"model.json": "two", "a.bin": "two"}
    with pytest.raises(PermissionError) as caught:
        save(tmp_path / "new", "two")
    assert caught.value.filename == str(tmp_path / "new")


def test_folder_at_a_mount_point(tmp_path, monkeypatch):
    save(tmp_path / "m", "one", ["a.bin", "b.bin"])

    def across(real):
        def move(first, second):
            if os.path.dirname(first) != os.path.dirname(second) and os.path.dirname(first) == str(tmp_path):
                raise OSError(errno.EXDEV, "Invalid cross-device link", str(first), None, str(second))
            return real(first, second)

        return move

    monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    monkeypatch.setattr(os, "rename", across(os.rename))
    monkeypatch.setattr(os, "replace", across(os.replace))
    save(tmp_path / "m", "two")
    assert contents(tmp_path / "m") == {"model.json": "two", "a.bin": "two"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_errors_name_the_path_of_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_file(tmp_path / "none" / "x"):
        pass
    assert caught.value.filename == str(tmp_path / "none" / "x")
    with pytest.raises(FileNotFoundError) as caught:
        save(tmp_path / "none" / "m", "one")
    assert caught.value.filename == str(tmp_path / "none" / "m")


def test_an_empty_path_is_refused():
    with pytest.raises(ValueError, match="the path is empty"):
        save("", "one")
    with pytest.raises(ValueError, match="the path is empty"), atomic_file(""):
        pass
