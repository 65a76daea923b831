"""Datasets from public mirrors: checked by their hash, and in the folder whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import os
import secrets
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from pynn.datasets.cache import exclusive
from pynn.datasets.idx import open_content
from pynn.datasets.meter import Meter
from pynn.datasets.transfer import TransferError, discard, transfer
from pynn.errors import DataError, DownloadError
from pynn.io.files import open_regular

__all__ = ["RemoteFile", "fetch"]

_BLOCK = 1 << 20
_OVERHEAD = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file to download.

    Attributes:
        name: its name in the folder.
        urls: where it can be had, in the order of trying.
        content_bytes: the exact size of its content, uncompressed.
        sha256: of its content, uncompressed.
        md5: of the file as it is served, for data whose makers published nothing else. It shows damage; against somebody who forges
            the data on purpose it doesn't help, the https of the mirror does.
    """

    name: str
    urls: tuple[str, ...]
    content_bytes: int
    sha256: str | None = None
    md5: str | None = None


@dataclass(frozen=True)
class Patience:
    """How long a download keeps trying; all times in seconds."""

    timeout: float = 30.0
    """Without a byte, before a connection counts as broken."""
    attempts: int = 4
    """Connections to each mirror."""
    pause: float = 0.5
    """Before the second attempt; doubled for each one after."""
    total: float = 1800.0
    """For one mirror, and for another process that is downloading the same."""


def fetch(file: RemoteFile, folder: Path, *, progress: bool = True, patience: Patience | None = None) -> Path:
    """The path of `file` in `folder`, downloaded if it isn't there.

    A transfer that breaks is continued, in this call or a later one. What comes is checked, then takes its name in one step.
    Processes that want the same folder take turns.

    Args:
        file: what to download.
        folder: where to; made if need be.
        progress: show a bar if stderr is a terminal, else print one line to it; False prints nothing.
        patience: limits of time.

    Raises:
        DownloadError: no mirror had it; the message says what each one answered.
        OSError: the folder can't be written.
    """
    patience = patience or Patience()
    target = folder / file.name
    folder.mkdir(parents=True, exist_ok=True)
    meter = Meter(file.name, str(folder), show=progress)
    with exclusive(folder, patience=patience.total, waiting=meter.wait) as alone:
        if target.is_file():
            return target
        part = folder / (f"{file.name}.part" if alone else f".{secrets.token_hex(8)}.part")
        try:
            _from_any_mirror(file, part, meter, patience)
            os.replace(part, target)
            discard(part)
        finally:
            meter.close()
            if not alone:
                discard(part)
    return target


def _from_any_mirror(file: RemoteFile, part: Path, meter: Meter, patience: Patience) -> None:
    """Leaves the checked file in `part`."""
    answers = []
    for url in file.urls:
        try:
            return _from_mirror(url, file, part, meter, patience)
        except (TransferError, DataError) as problem:
            answers.append(f"\n  {url}: {problem}")
    raise DownloadError(
        f"[datasets] {file.name} could not be downloaded. Tried:{''.join(answers)}\n"
        f"Check the network, or put the file into {str(part.parent)!r} by other means."
    )


def _from_mirror(url: str, file: RemoteFile, part: Path, meter: Meter, patience: Patience) -> None:
    deadline = time.monotonic() + patience.total
    for attempt in range(patience.attempts):
        last = attempt == patience.attempts - 1
        continued = False
        try:
            continued = transfer(
                url,
                part,
                limit=file.content_bytes + _OVERHEAD,
                timeout=patience.timeout,
                deadline=deadline,
                report=meter.show,
            )
            return _check(file, part)
        except DataError:
            discard(part)
            if last or not continued:
                raise
        except TransferError as problem:
            if last or not problem.retry:
                raise
            time.sleep(patience.pause * 2**attempt)


def _check(file: RemoteFile, part: Path) -> None:
    """Reads the file once, its content never beyond the size that is known.

    Raises:
        DataError: it isn't the file that it should be.
    """
    if file.md5 is not None and _md5(part) != file.md5:
        raise DataError("the received data doesn't have the file's MD5")
    digest, size = hashlib.sha256(), 0
    try:
        with open_regular(part) as opened:
            content, _ = open_content(opened)
            while size <= file.content_bytes and (block := content.read(_BLOCK)):
                digest.update(block)
                size += len(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the received gzip data is damaged ({error})") from None
    if size != file.content_bytes:
        raise DataError(f"the received content has {'more' if size > file.content_bytes else 'fewer'} than {file.content_bytes} bytes")
    if file.sha256 is not None and digest.hexdigest() != file.sha256:
        raise DataError("the received data doesn't have the file's SHA-256")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
