"""A real backend process on loopback: events arrive, work stops, deaths are survived."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from serving import MODEL

import boltzformer
from boltzformer import Adjusted, BackendError, Cancelled, Engine, Prediction, Session, SliceResult, Started
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.protocol import decode, encode, frames


def test_the_client_gets_what_the_engine_gives(session: Session, engine: boltzformer.Engine, small: Phantom) -> None:
    far = session.segment(small.volume, [BRIGHT, DARK], seed=2).result()
    *_, near = engine.segment(small.volume, [BRIGHT, DARK], seed=2)
    assert np.array_equal(far.labels().layers, near.labels().layers)
    assert np.array_equal(far.existence, near.existence)
    assert far.provenance["model"] == near.provenance["model"]
    seen = session.trace(small.volume, BRIGHT, 8, seed=2)
    same = engine.trace(small.volume, BRIGHT, 8, seed=2)
    assert all(np.array_equal(a.visited, b.visited) for a, b in zip(seen.layers, same.layers, strict=True))
    alone = session.trace(small.volume, BRIGHT, 8, seed=2, query=3)
    third = engine.trace(small.volume, BRIGHT, 8, seed=2, query=3)
    assert alone.queries == seen.queries == 12
    assert all(np.array_equal(a.visited, b.visited) for a, b in zip(alone.layers, third.layers, strict=True))


def test_cancel_keeps_what_is_done_and_the_session_goes_on(session: Session, made: Phantom) -> None:
    job, events = session.segment(made.volume, BRIGHT, start=10), []
    for event in job:
        events.append(event)
        if isinstance(event, SliceResult) and len(events) == 4:
            job.cancel()
    assert isinstance(events[0], Started)
    assert events[1].index == 10
    assert isinstance(events[-1], Cancelled)
    assert sum(isinstance(event, SliceResult) for event in events) == 3
    assert isinstance(session.segment(made.volume, BRIGHT, slices=[3]).result(), Prediction)


def test_what_the_server_refuses_is_said(session: Session, small: Phantom) -> None:
    assert session.backend().http.post("/volumes", content=b"junk").status_code == 422
    assert session.backend().http.get("/jobs/none/events").status_code == 404
    with pytest.raises(BackendError, match="0 to 15"):
        session.segment(small.volume, BRIGHT, slices=[77]).result()


def test_a_model_that_is_not_there_is_said_by_the_job(small: Phantom) -> None:
    with (
        Session.local(model="nowhere.safetensors") as session,
        pytest.raises(BackendError, match=r"no model at nowhere"),
    ):
        session.segment(small.volume, BRIGHT).result()


def test_a_python_that_is_not_there_is_said(small: Phantom) -> None:
    with Session.local(python="nowhere/python") as session, pytest.raises(BackendError, match="nowhere/python"):
        session.health()
    with pytest.raises(BackendError, match="session is closed"):
        session.health()


def test_a_python_without_the_engine_says_what_to_install(small: Phantom, tmp_path: object) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = os.path.join(str(tmp_path), "Scripts" if os.name == "nt" else "bin", "python")
    with Session.local(python=python) as session, pytest.raises(BackendError, match="did not start"):
        session.segment(small.volume, BRIGHT).result()


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_frames_survive_any_chopping(cut: int, small: Phantom) -> None:
    result = SliceResult(3, np.arange(8, dtype=np.int8).reshape(2, 2, 2), np.array([0.25, 0.5], np.float32))
    stream = encode(result) + encode(Cancelled()) + encode(small.volume)
    chunks = [stream[start : start + cut] for start in range(0, len(stream), cut)] if cut > 1 else [stream]
    back, end, volume = (decode(frame) for frame in frames(chunks))
    assert back.index == 3
    assert np.array_equal(back.logits, result.logits)
    assert end == Cancelled()
    assert decode(encode(Adjusted("less", "it was full"))) == Adjusted("less", "it was full")
    assert volume.grid == small.volume.grid
    assert np.array_equal(volume.array, small.volume.array)
    with pytest.raises(BackendError, match="damaged"):
        decode(stream[:20])


def test_a_session_scouts_as_the_engine_does(session: Session, engine: Engine, made: Phantom) -> None:
    here = boltzformer.segment(made.volume, BRIGHT, model=engine, scout=4)
    there = session.segment(made.volume, BRIGHT, scout=4).result()
    assert isinstance(there, Prediction)
    assert [one.index for one in there.slices] == [one.index for one in here.slices]
    assert len(there.slices) < made.volume.grid.shape[0]
    assert there.provenance["logits sha256"] == here.provenance["logits sha256"]
    assert there.provenance["scout"] == here.provenance["scout"] == {"every": 4, "of slices": len(here.plan.indices)}


@pytest.mark.skipif(os.name == "nt", reason="the engine that never gets ready is a shell script here")
def test_who_closes_it_while_its_engine_starts_does_not_wait_for_that(tmp_path: Path) -> None:
    slow, begun = tmp_path / "slow-python", tmp_path / "begun"
    os.mkfifo(begun)
    slow.write_text(f'#!/bin/sh\necho > "{begun}"\nexec sleep 600\n', encoding="utf-8")
    slow.chmod(0o755)
    session, heard = Session.local(MODEL, python=str(slow)), list[str]()

    def ask() -> None:
        with pytest.raises(BackendError) as refused:
            session.health()
        heard.append(str(refused.value))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    begun.read_text("utf-8")
    closing = threading.Thread(target=session.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    asking.join(60)
    assert heard == ["This session is closed: open a new one with Session.local()."]
