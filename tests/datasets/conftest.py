"""A small web server with the faults that downloads meet."""

from __future__ import annotations

import http.server
import re
import threading
from collections import defaultdict

import pytest


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *arguments):
        pass

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        faults = self.server.faults[self.path]
        fault = faults.pop(0) if faults else None
        body = self.server.files.get(self.path)
        self.close_connection = True
        if callable(fault):
            fault(self, body)
        elif body is None or isinstance(fault, int):
            self.answer(fault or 404, b"")
        else:
            self.serve(body)

    def serve(self, body, *, cut=None, ranges=True, tag='"v1"'):
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and ranges and self.headers.get("If-Range") in (None, tag) else 0
        headers = {"Content-Length": len(body) - start}
        if tag:
            headers["ETag"] = tag
        if start > 0 and start >= len(body):
            return self.answer(416, b"")
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.answer(206 if start else 200, body[start:cut], headers)

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in (headers or {"Content-Length": len(body)}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes). `faults[path]` are taken one a request: a status, or a function of the handler and the body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.faults, self.requests = {}, defaultdict(list), []

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
