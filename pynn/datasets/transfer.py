"""One HTTP download into a file, continued where an earlier one broke off."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from pynn.errors import DataError
from pynn.io import bounded_json

__all__ = ["TransferError", "discard", "transfer"]

Report = Callable[[int, "int | None"], None]

_CHUNK = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)$")
_TRANSIENT = {408, 416, 425, 429, 500, 502, 503, 504}


class TransferError(Exception):
    """A download failed; `retry` tells whether the same address may do better next time."""

    def __init__(self, reason: str, *, retry: bool):
        super().__init__(reason)
        self.retry = retry


def transfer(url: str, part: Path, *, limit: int, timeout: float, deadline: float, report: Report) -> bool:
    """Brings the body of `url` into the file `part`, which stays, with a note beside it, if the connection breaks.

    If `part` holds the start of an earlier transfer of the same address, only the rest is asked for (`Range`), on condition that the
    server still has the same version (`If-Range`, and the total size); a server that sends everything again is fine too.

    Args:
        url: http or https; redirects may only lead to these, and not from https to http.
        part: the file.
        limit: the most bytes to take.
        timeout: seconds without a byte before the connection counts as broken.
        deadline: the value of `time.monotonic()` at which to give up.
        report: called with the bytes that are there and the total, if known.

    Returns:
        Whether an earlier transfer was continued.

    Raises:
        TransferError: no answer, a refusal, a broken connection, or more than `limit` bytes.
        OSError: `part` can't be written.
    """
    note = _read_note(part, url)
    request = _request(url, part, note)
    with _open(request, part, timeout) as response:
        start, total = _position(response, part, note)
        if total is not None and total > limit:
            discard(part)
            raise TransferError(f"the server offers {total} bytes; expected at most {limit}", retry=False)
        with open(part, "r+b" if start else "wb") as out:
            out.seek(start)
            if not start:
                _write_note(part, url, response, total)
            end = _copy(response, out, start, limit, deadline, lambda done: report(done, total))
            out.flush()
            os.fsync(out.fileno())
    if end > limit:
        discard(part)
        raise TransferError(f"received more than {limit} bytes", retry=False)
    if total is not None and end != total:
        raise TransferError(f"the connection broke after {end} of {total} bytes", retry=True)
    return start > 0


def discard(part: Path) -> None:
    """Removes a part and its note."""
    for path in (part, _note_path(part)):
        path.unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to http or https only, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before == "https" and after == "http"):
            raise TransferError(f"a redirect from {before} to {after[:20]!r} was refused", retry=False)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Speaks http and https and nothing else: no files, no FTP."""
    opener = urllib.request.OpenerDirector()
    for name in (
        "ProxyHandler",
        "HTTPHandler",
        "HTTPSHandler",
        "HTTPDefaultErrorHandler",
        "HTTPErrorProcessor",
        "UnknownHandler",
    ):
        handler = getattr(urllib.request, name, None)
        if handler is not None:
            opener.add_handler(handler())
    opener.add_handler(_Redirects())
    return opener


def _request(url: str, part: Path, note: dict[str, Any]) -> urllib.request.Request:
    request = urllib.request.Request(url, headers={"User-Agent": "pynn", "Accept-Encoding": "identity"})
    if note:
        request.add_header("Range", f"bytes={part.stat().st_size}-")
        if note.get("validator"):
            request.add_header("If-Range", note["validator"])
    return request


def _open(request: urllib.request.Request, part: Path, timeout: float) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = _opener().open(request, timeout=timeout)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            discard(part)
        raise TransferError(f"HTTP {error.code} {error.reason}", retry=error.code in _TRANSIENT) from None
    except urllib.error.URLError as error:
        raise TransferError(f"no connection ({error.reason})", retry=True) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransferError(f"invalid response ({type(error).__name__}: {error})", retry=True) from None


def _position(response: http.client.HTTPResponse, part: Path, note: dict[str, Any]) -> tuple[int, int | None]:
    """Where the body belongs in the file, and the total size, if known."""
    if response.status == 200:
        return 0, response.length
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    start = part.stat().st_size if note else -1
    if response.status != 206 or not found or int(found[1]) != start:
        discard(part)
        raise TransferError(f"HTTP {response.status} with another part of the file than the one requested", retry=True)
    total = note.get("total") if found[2] == "*" else int(found[2])
    if total != note.get("total"):
        discard(part)
        raise TransferError("the file changed on the server since the transfer began", retry=True)
    return start, total


def _copy(response: http.client.HTTPResponse, out: BinaryIO, done: int, limit: int, deadline: float, report: Callable[[int], None]) -> int:
    """Copies until the body ends or `limit` is passed; gives the size of the file then."""
    while done <= limit:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise TransferError(f"the connection broke after {done} bytes ({type(error).__name__})", retry=True) from None
        if not chunk:
            break
        out.write(chunk)
        done += len(chunk)
        report(done)
        if time.monotonic() > deadline:
            raise TransferError(f"too slow: {done} bytes within the time limit", retry=False)
    return done


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path, url: str) -> dict[str, Any]:
    """What is known of the transfer that left `part`; empty if it can't be continued."""
    with contextlib.suppress(OSError, DataError):
        note = bounded_json.load(_note_path(part), max_bytes=10_000)
        if isinstance(note, dict) and note.get("url") == url and part.stat().st_size > 0 and _is_header(note.get("validator")):
            return note
    return {}


def _is_header(text: Any) -> bool:
    return text is None or (isinstance(text, str) and text.isascii() and text.isprintable())


def _write_note(part: Path, url: str, response: http.client.HTTPResponse, total: int | None) -> None:
    tag = response.headers.get("ETag", "")
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    _note_path(part).write_text(json.dumps({"url": url, "validator": validator, "total": total}), encoding="utf-8")
