"""What breaks, and what the user hears: processes that die, lines that are cut."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from serving import MODEL, Line, Served

import boltzformer
from boltzformer import BackendError, Cancelled, Failed, Grid, Prediction, Session, SliceResult, Started, Volume
from boltzformer.image.hashing import hash_of_voxels
from boltzformer.io.phantom import BRIGHT, DARK, Phantom

OWNER = f"""
import sys
from boltzformer import Session, SliceResult
from boltzformer.io.phantom import BRIGHT, phantom
session = Session.local("{MODEL}")
for event in session.segment(phantom(1, (400, 96, 96)).volume, BRIGHT):  # so long that it can't end before
    if isinstance(event, SliceResult):
        print(session.backend().process.pid, flush=True)
        sys.stdin.read()
"""


def test_a_backend_killed_in_the_middle_is_said_and_the_next_call_gets_a_fresh_one(
    made: Phantom, engine: boltzformer.Engine
) -> None:
    with Session.local(MODEL) as session:
        job = session.segment(made.volume, [BRIGHT, DARK])
        seen = next(event for event in job if isinstance(event, SliceResult))
        process = session.backend().process
        process.kill()
        *_, last = job
        assert isinstance(last, Failed)
        assert "Finished slices are kept; run again, and a fresh engine starts." in last.error
        process.wait()
        again = session.segment(made.volume, [BRIGHT, DARK], slices=[seen.index, 3]).result()
        near = boltzformer.segment(made.volume, [BRIGHT, DARK], model=engine, slices=[seen.index, 3])
        assert again.provenance == near.provenance
        assert len(session.trace(made.volume, BRIGHT, 3).layers) == 9
        session.backend().process.kill()
        session.backend().process.wait()
        assert len(session.trace(made.volume, BRIGHT, 3).layers) == 9


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watching a foreign process without waiting needs Linux")
def test_a_backend_is_gone_within_5_s_when_its_owner_is_killed_in_the_middle_of_a_job() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    watch = os.pidfd_open(int(owner.stdout.readline()))
    owner.send_signal(signal.SIGKILL)
    assert select.select([watch], [], [], 5)[0], "the backend outlived its owner by 5 s"
    owner.wait()
    os.close(watch)


def test_a_line_that_is_cut_goes_on_where_it_was(served: Served, made: Phantom, engine: boltzformer.Engine) -> None:
    line = Line(served.address)
    with served.session(line.address) as session:
        events, seen = [], 0
        for event in session.segment(made.volume, [BRIGHT, DARK], seed=4):
            events.append(event)
            if isinstance(event, SliceResult):
                seen += 1
                if seen in (1, 2, 20):
                    line.cut()
    line.close()
    near = boltzformer.segment(made.volume, [BRIGHT, DARK], model=engine, seed=4)
    assert isinstance(events[-1], Prediction)
    assert events[-1].provenance == near.provenance
    assert sum(isinstance(event, Started) for event in events) == 1
    assert sorted(event.index for event in events if isinstance(event, SliceResult)) == list(range(64))
    assert line.connections > 3


def test_a_line_that_is_cut_during_the_upload_goes_on_where_it_was(served: Served) -> None:
    """The image is large enough for several requests; the line breaks whenever something was sent through it."""
    array = np.random.default_rng(1).integers(0, 999, (48, 512, 512)).astype(np.int16)
    volume, line = Volume(array, Grid.pixels(array.shape)), Line(served.address)
    over = threading.Event()

    def cut_now_and_then() -> None:
        while not over.wait(0.05):
            line.cut()
            if line.connections > 8:
                return

    with served.session(line.address) as session:
        session.health()
        threading.Thread(target=cut_now_and_then).start()
        prediction = session.segment(volume, BRIGHT, slices=[40, 2]).result()
    over.set()
    line.close()
    assert sorted(one.index for one in prediction.slices) == [2, 40]
    assert prediction.provenance["image"]["sha256"] == hash_of_voxels(array)


def test_a_session_that_is_closed_ends_its_jobs(made: Phantom, small: Phantom) -> None:
    session = Session.local(MODEL)
    job = session.segment(made.volume, BRIGHT)
    next(event for event in job if isinstance(event, SliceResult))
    session.close()
    *_, last = job
    assert isinstance(last, Failed)
    with pytest.raises(BackendError, match="session is closed"):
        session.segment(small.volume, BRIGHT).result()


def test_a_server_that_is_not_there_is_said(small: Phantom) -> None:
    with Session.connect("http://127.0.0.1:9", "token") as session, pytest.raises(BackendError, match="connection"):
        session.segment(small.volume, BRIGHT).result()


def test_what_is_no_http_is_refused_and_the_server_serves_on(served: Served) -> None:
    host, port = served.address.removeprefix("http://").split(":")
    right = f"Host: {host}\r\nAuthorization: Bearer {served.token}\r\n"
    for sent in (
        "\x00\x16\x03\x01 no http\r\n\r\n",
        f"GET /v1/health HTTP/1.1\r\n{right}no colon\r\n\r\n",
        f"GET /v1/health HTTP/1.1\r\n{right}X: {'x' * 200_000}\r\n\r\n",
        f"POST /v1/volumes HTTP/1.1\r\n{right}Content-Length: -5\r\n\r\n",
        f"POST /v1/volumes HTTP/1.1\r\n{right}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}",
        f"POST /v1/volumes HTTP/1.1\r\n{right}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"POST /v1/volumes HTTP/1.1\r\n{right}Content-Length: 6\r\n\r\n[[[[[[",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(sent.encode())
            assert line.recv(100).startswith((b"HTTP/1.1 400", b"HTTP/1.1 422")), sent[:200]
    deep = "[" * 100_000
    assert served.http.post("/volumes", content=deep).status_code in (400, 422)
    assert served.http.get("/health").json()["state"] == "ready"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows can't halt a process")
def test_a_viewer_never_waits_for_a_backend_that_hangs(made: Phantom) -> None:
    """The backend is halted: polling, moving the focus and cancelling come back at once all the same."""
    with Session.local(MODEL) as session:
        job = session.segment(made.volume, BRIGHT)
        next(event for event in job if isinstance(event, SliceResult))
        process = session.backend().process
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        for index in range(50):
            job.poll()
            job.focus(index)
        spent = time.monotonic() - began
        job.cancel()
        rest = list(job)
        process.send_signal(signal.SIGCONT)
        assert spent < 1
        assert isinstance(rest[-1], Cancelled)
        assert isinstance(session.segment(made.volume, BRIGHT, slices=[2]).result(), Prediction)


def test_a_scroll_begins_one_thread_and_not_one_for_every_slice(made: Phantom) -> None:
    """Beginning a thread waits until it runs: a millisecond or two of every step, which the user would feel."""
    with Session.local(MODEL) as session:
        job = session.segment(made.volume, BRIGHT)
        next(event for event in job if isinstance(event, SliceResult))
        before = _threads_so_far()
        for index in range(20):
            job.focus(index)
            deadline = time.monotonic() + 10
            while job._focus is not None:  # it is on its way before the next
                assert time.monotonic() < deadline
        assert _threads_so_far() - before <= 2  # that one, and the one that counts
        job.cancel()


def _threads_so_far() -> int:
    """Those of this process, by the number in the name of a new one."""
    return int(threading.Thread().name.removeprefix("Thread-"))
