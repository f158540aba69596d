"""A web server for the tests of downloads, which can fail in the ways that servers fail."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bana.data.downloads import Archive


class FlakyServer(ThreadingHTTPServer):
    """Serves `files`; each request takes the next of `faults`, none when the list is empty.

    A fault is a status to answer with, "cut" to break off after half of what was asked for, or
    "whole" to ignore the request's Range.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list[int | str] = []
        self.requests: list[tuple[str, str | None]] = []

    def offer(self, name: str, content: bytes) -> Archive:
        """Serve a file; returns the archive that names it and its checksum."""
        self.files[name] = content
        return Archive(self.url(name), name, hashlib.md5(content).hexdigest(), 1)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: FlakyServer

    def do_GET(self) -> None:
        name = Path(self.path).name
        asked = self.headers.get("Range")
        self.server.requests.append((name, asked))
        fault = self.server.faults.pop(0) if self.server.faults else None
        content = self.server.files.get(name)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if content is None or isinstance(fault, int):
            return self.send_error(fault if isinstance(fault, int) else 404)
        if fault == "whole":
            start = 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)
        return None

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def flaky_server() -> Iterator[FlakyServer]:
    server = FlakyServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
