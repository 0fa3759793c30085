"""A server on loopback that speaks the hub's protocol: announcing a file, sending it in ranges, and refusing it.

As on the real hub, large files lie on another host, to which the announcement points; here that is another name of the
same machine.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import pytest

BLOBS = "clinic/blobs:blobs.safetensors"
"""A place on the hub of tests, as a person types it."""
BLOBS_CONTENT = "/content/clinic/blobs/blobs.safetensors"
_CARD = b"---\nlicense: cc-by-4.0\n---\n# Blobs\nOnly for tests, by nobody.\n"
COMMIT = "c0ffee" * 6 + "c0ff"
BLOCK = 2**16


@dataclass
class Hub:
    """What the hub holds and how it behaves. `requests` tells what it was asked: (method, path, range, token)."""

    files: Mapping[str, bytes | Path]
    """'owner/repo/file' → content."""
    gated: frozenset[str] = frozenset()
    """Repositories that want a token."""
    token: str = "let-me-in"
    checksum: str = ""
    """Announced instead of the true one."""
    cuts: list[int] = field(default_factory=list)
    """After so many bytes each further answer is cut off; then no more."""
    ranges: bool = True
    requests: list[tuple[str, str, str, str]] = field(default_factory=list)

    def __enter__(self) -> Hub:
        hub = self

        class Handler(_Handler):
            of = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ranges_asked(self) -> list[str]:
        """Of every request for the content of a large file."""
        return [asked for method, path, asked, _ in self.requests if method == "GET" and path.startswith("/content/")]


class _Handler(BaseHTTPRequestHandler):
    of: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urlsplit(self.path).path
        asked, token = self.headers.get("Range", ""), self.headers.get("Authorization", "")
        self.of.requests.append((self.command, path, asked, token))
        if path.startswith("/content/"):
            self.send(self.of.files[path.removeprefix("/content/")], asked)
            return
        if "/resolve/main/" not in path:
            self.refuse(404, "")
            return
        owner, repo, _, _, file = path.lstrip("/").split("/", 4)
        content = self.of.files.get(f"{owner}/{repo}/{file}")
        known = any(name.startswith(f"{owner}/{repo}/") for name in self.of.files)
        if not known:
            self.refuse(401 if not token else 404, "RepoNotFound")
        elif f"{owner}/{repo}" in self.of.gated and file != "README.md" and token != f"Bearer {self.of.token}":
            self.refuse(403 if token else 401, "GatedRepo")
        elif content is None:
            self.refuse(404, "EntryNotFound")
        elif file == "README.md":
            body = content if isinstance(content, bytes) else content.read_bytes()
            sha1 = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
            self.head(200, {"ETag": f'"{sha1}"', "Content-Length": str(len(body))})
            if self.command == "GET":
                self.wfile.write(body)
        else:
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            self.head(
                302,
                {
                    "X-Linked-Etag": f'"{self.of.checksum or sha256(content)}"',
                    "X-Linked-Size": str(size),
                    "Location": f"http://localhost:{self.of.port}/content/{owner}/{repo}/{file}",
                    "Content-Length": "0",
                },
            )

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def refuse(self, status: int, code: str) -> None:
        self.head(status, {"X-Error-Code": code, "Content-Length": "0"})

    def send(self, content: bytes | Path, asked: str) -> None:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.of.ranges else 0
        self.head(206 if start else 200, {"Content-Length": str(size - start)})
        left = self.of.cuts.pop(0) if self.of.cuts else size
        if isinstance(content, bytes):
            self.wfile.write(content[start : start + left])
        else:
            with content.open("rb") as file:
                file.seek(start)
                while left > 0 and (block := file.read(min(BLOCK * 16, left))):
                    self.wfile.write(block)
                    left -= len(block)
        self.close_connection = True


@cache
def sha256(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hub_of_blobs(patch: pytest.MonkeyPatch, content: bytes) -> Iterator[Hub]:
    """A hub with one model, which programs that begin now take for the real one."""
    files = {"clinic/blobs/blobs.safetensors": content, "clinic/blobs/README.md": _CARD}
    patch.setenv("HF_TOKEN", "")
    for name in ("BOLTZFORMER_OFFLINE", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
        patch.delenv(name, raising=False)
    with Hub(files) as running:
        patch.setenv("HF_ENDPOINT", running.address)
        yield running
