"""Lines that say nothing, or not enough: they are let go, and never keep the owner out."""

import io
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from processes import ended
from serving import MODEL, Served, serving

from boltzformer import Session
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.server.guard import Limits
from boltzformer.server.process import Bounded

SILENCE = 0.5


@pytest.fixture(scope="module")
def impatient() -> Iterator[Served]:
    with serving(silence_seconds=SILENCE) as served:
        yield served


def lines(served: Served, count: int, stack: ExitStack, said: bytes = b"") -> list[socket.socket]:
    host, port = served.address.removeprefix("http://").split(":")
    made = []
    for _ in range(count):
        made.append(stack.enter_context(socket.create_connection((host, int(port)), timeout=30)))
        made[-1].sendall(said)
    return made


def head(served: Served, length: int, token: str) -> bytes:
    host = served.address.removeprefix("http://")
    lines = (
        f"POST /v1/volumes HTTP/1.1\r\nHost: {host}",
        f"Authorization: Bearer {token}",
        f"Content-Length: {length}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def heard_until_the_end(line: socket.socket) -> bytes:
    heard = b""
    try:
        while more := line.recv(2**16):
            heard += more
    except ConnectionResetError:
        pass
    return heard


def test_the_patience_of_a_real_server_is_ten_seconds() -> None:
    assert Limits().silence_seconds == 10


@pytest.mark.parametrize("said", ["nothing", "half a head", "half a body", "a stranger's half body"])
def test_silent_and_half_sent_requests_are_let_go(impatient: Served, said: str) -> None:
    half = {
        "nothing": b"",
        "half a head": b"GET /v1/health HTTP/1.1\r\nHost: ",
        "half a body": head(impatient, 100, impatient.token) + b"{",
        "a stranger's half body": head(impatient, 100, "guess") + b"{",
    }[said]
    with ExitStack() as stack:
        began = time.monotonic()
        [line] = lines(impatient, 1, stack, half)
        heard = heard_until_the_end(line)
        assert SILENCE * 0.9 < time.monotonic() - began < SILENCE + 2
        assert heard[:12] == (b"HTTP/1.1 401" if "stranger" in said else b"")


@pytest.mark.parametrize("what", ["a head", "a stranger's body"])
def test_who_sends_a_byte_now_and_then_is_let_go_as_well(impatient: Served, what: str) -> None:
    start = b"GET /v1/health HTTP/1.1\r\nX: " if what == "a head" else head(impatient, 10**6, "guess")
    with ExitStack() as stack:
        [line] = lines(impatient, 1, stack, start)
        line.settimeout(SILENCE / 5)
        began, broken = time.monotonic(), False
        while not broken and time.monotonic() - began < 10:
            try:
                line.sendall(b"x")
                broken = not line.recv(2**16)
            except TimeoutError:
                pass
            except OSError:
                broken = True
        assert broken
        assert time.monotonic() - began < 3 * SILENCE + 2


def test_who_waits_for_us_and_who_sends_slowly_is_not_let_go(impatient: Served, small: Phantom) -> None:
    name = impatient.upload(small.volume, slice(0, 4))
    job = impatient.ask(name, small.volume, BRIGHT, start=1).json()["id"]

    def slowly() -> Iterator[bytes]:
        for plane in small.volume.array[4:8]:
            time.sleep(SILENCE * 0.6)  # the very thing: slower together than the patience, each part within it
            yield plane.tobytes()

    with impatient.http.stream("GET", f"/jobs/{job}/events") as response:  # waits for slices that don't come
        sent = impatient.http.put(f"/volumes/{name}/slices/4", content=slowly())
        assert sent.json()["missing"] == [[8, 16]]
        impatient.http.delete(f"/jobs/{job}")
        assert b"Cancelled" in response.read()


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """So many may be open in this process, if the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"{count} open files are needed for this, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_the_owner_gets_through_where_3000_silent_lines_are_held_open(tmp_path: Path) -> None:
    """In a process of its own, which may open no more files than usual."""
    token, log = tmp_path / "token.json", tmp_path / "log"
    command = [sys.executable, "-m", "boltzformer", "serve", "--token-file", str(token), "--model", MODEL]
    limited = f"import os, resource as r; r.setrlimit(r.RLIMIT_NOFILE, (256, 256)); os.execv(sys.executable, {command})"
    limited = f"import sys; {limited}"
    with many_files(4000), log.open("wb") as said, ExitStack() as stack:
        server = subprocess.Popen([sys.executable, "-c", limited], stdout=subprocess.PIPE, stderr=said, text=True)
        with ended(server):
            assert server.stdout is not None
            assert server.stdout.readline().startswith("Serving")
            told = httpx.Response(200, text=token.read_text("utf-8")).json()
            with Session.connect(told["address"], told["token"], MODEL) as session:
                session.load_model(MODEL)  # answered once the server's own first loading is over
                assert session.health()["state"] == "ready"
            host, port = told["address"].removeprefix("http://").split(":")
            for number in range(3000):
                line = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
                if number % 3 == 0:
                    line.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX: ")
            for _ in range(5):
                began = time.monotonic()
                answer = httpx.get(
                    f"{told['address']}/v1/health",
                    headers={"Authorization": f"Bearer {told['token']}"},
                    trust_env=False,
                    timeout=30,
                )
                assert answer.status_code == 200
                assert time.monotonic() - began < 2
            server.terminate()
            assert server.wait(30) == 0
    assert log.stat().st_size < 10_000


def test_a_head_has_a_limit_whether_it_comes_at_once_or_not(impatient: Served) -> None:
    most = impatient.backend.limits.header_bytes
    for size in (most // 2, most + 1000, most * 8):
        try:
            code = impatient.http.get("/health", headers={"X": "x" * size}).status_code
        except httpx.TransportError:
            code = 0  # closed while it was still being sent
        assert (code == 200) == (size < most)
        assert code in (0, 200, 400, 431)
    assert impatient.http.get("/health", params={"x": "y" * most}).status_code in (400, 431)
    with ExitStack() as stack:
        [line] = lines(impatient, 1, stack, b"GET /v1/health HTTP/1.1\r\n")
        try:
            for _ in range(2 * most // 1000):
                line.send(b"X: " + b"x" * 1000 + b"\r\n")
        except OSError:
            pass
        assert heard_until_the_end(line)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")  # not b"", as for the slow


def test_standard_error_is_bounded() -> None:
    kept = io.StringIO()
    bounded = Bounded(kept, most=1000, within_seconds=60)
    for _ in range(10_000):
        bounded.write("x" * 99 + "\n")
    assert len(kept.getvalue()) < 1100
    assert kept.getvalue().count("left out") == 1
    again = Bounded(kept, most=1000, within_seconds=0)
    again.write("afterwards it is heard again")
    assert kept.getvalue().endswith("heard again")
