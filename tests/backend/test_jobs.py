"""Jobs: who comes first, what is heard when, what is kept and for how long."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from serving import MODEL, Served, serving

import boltzformer
from boltzformer import Adjusted, Cancelled, Event, Failed, Prediction, Queued, SliceResult, Started
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.protocol import decode, frames


@contextmanager
def listening(served: Served, job: str, after: int = 0) -> Iterator[Iterator[Event]]:
    """A job's events as they come."""
    with served.http.stream("GET", f"/jobs/{job}/events", params={"after": after}) as response:
        yield map(decode, frames(response.iter_raw(64)))


def begin(served: Served, made: Phantom, prompts: str | list[str] = BRIGHT, **how: object) -> str:
    name = served.upload(made.volume)
    job: str = served.ask(name, made.volume, prompts, **how).raise_for_status().json()["id"]
    return job


def test_the_focus_moves_the_work(served: Served, made: Phantom) -> None:
    job = begin(served, made, start=0)
    with listening(served, job) as events:
        next(event for event in events if isinstance(event, SliceResult))
        assert served.http.post(f"/jobs/{job}/focus", json={"index": 50}).status_code == 204
        order = [0, *(event.index for event in events if isinstance(event, SliceResult))]
    turn = order.index(50)
    assert order[:turn] == list(range(turn))
    assert turn < 40
    assert order[turn : turn + 5] == [50, 49, 51, 48, 52]
    assert sorted(order) == list(range(64))


def test_small_jobs_and_traces_overtake_a_running_volume_and_others_hear_their_place(
    served: Served, made: Phantom, engine: boltzformer.Engine
) -> None:
    name = served.upload(made.volume)
    large, waiting = (served.ask(name, made.volume, [BRIGHT, DARK], seed=seed).json()["id"] for seed in (1, 2))
    with listening(served, large) as events:
        next(event for event in events if isinstance(event, SliceResult))
        *_, end = served.events(served.ask(name, made.volume, DARK, slices=[1, 2, 3]).json()["id"])
        assert isinstance(end, Prediction)
        with served.session() as session:
            session.trace(made.volume, BRIGHT, 30)
        assert served.http.get(f"/jobs/{large}").json()["state"] == "running"
        assert served.http.get(f"/jobs/{waiting}").json()["state"] == "waiting"
        *_, first = events
    places = [event.position for event in served.events(waiting) if isinstance(event, Queued)]
    assert places == [1]
    assert isinstance(first, Prediction)
    *_, alone = engine.segment(made.volume, [BRIGHT, DARK], seed=1)
    assert first.provenance["logits sha256"] == alone.provenance["logits sha256"]


def test_events_can_be_read_again_from_any_that_is_kept(served: Served, small: Phantom) -> None:
    job = begin(served, small)
    with listening(served, job) as events:
        beginning = list(itertools.islice(events, 4))
    again = served.events(job)
    assert [type(event) for event in again[:4]] == [type(event) for event in beginning]
    state = served.http.get(f"/jobs/{job}").json()
    assert (state["state"], state["first_event"], state["last_event"]) == ("ended", 1, len(again))
    assert len(served.events(job, after=len(again) - 2)) == 2
    assert served.events(job, after=len(again)) == []
    assert served.http.get(f"/jobs/{job}/events", params={"after": len(again) + 1}).status_code == 400
    assert served.http.delete(f"/jobs/{job}").status_code == 204
    assert served.http.get(f"/jobs/{job}/events").status_code == 404


def test_a_slow_reader_holds_up_its_job_and_nobody_else(small: Phantom, made: Phantom) -> None:
    with serving(unread_bytes=4_000) as served:
        slow = begin(served, made)
        log = served.backend.jobs.get(slow).log
        while not log.full:
            served.http.get("/health")  # the job is in this process: spinning would keep it from running
        for _ in range(2):  # each of these would have let the slow one go on
            assert isinstance(served.events(begin(served, small, slices=[2]))[-1], Prediction)
        largest = max(len(frame) for frame in log.frames())
        assert log.nbytes < 4_000 + 2 * largest
        assert served.http.get(f"/jobs/{slow}").json()["state"] == "running"
        assert isinstance(served.events(slow)[-1], Prediction)


def test_what_was_read_makes_room_and_then_can_not_be_read_again(made: Phantom) -> None:
    with serving(log_bytes=20_000, unread_bytes=10_000) as served:
        job = begin(served, made)
        assert len(served.events(job)) == 66
        assert served.backend.jobs.get(job).log.nbytes < 20_000 + 10_000
        assert served.http.get(f"/jobs/{job}/events").status_code == 410
        assert "were let go" in served.http.get(f"/jobs/{job}/masks").json()["detail"]


def test_cancelling_stops_after_the_slice_in_hand_and_again_is_no_error(served: Served, made: Phantom) -> None:
    name = served.upload(made.volume)
    running, waiting = (served.ask(name, made.volume, BRIGHT).json()["id"] for _ in range(2))
    with listening(served, running) as events:
        next(event for event in events if isinstance(event, SliceResult))
        for job in (waiting, running, running):
            assert served.http.post(f"/jobs/{job}/cancel").status_code == 204
        rest = list(events)
    assert isinstance(rest[-1], Cancelled)
    assert len(rest) < 50
    assert served.events(waiting) == [Queued(1), Cancelled()]


def test_there_is_a_limit_to_jobs_and_to_their_time(small: Phantom) -> None:
    with serving(jobs=2, job_seconds=0.5) as served:
        name = served.upload(small.volume, slice(0, 4))
        jobs = [served.ask(name, small.volume, BRIGHT, start=1) for _ in range(3)]
        assert [job.status_code for job in jobs] == [201, 201, 429]
        end = served.events(jobs[0].json()["id"])[-1]
        assert isinstance(end, Failed)
        assert "took longer than" in end.error


def test_results_are_forgotten_when_their_time_is_over_and_a_job_nobody_hears_stops(small: Phantom) -> None:
    with serving(keep_seconds=1, sweep_seconds=0.05) as served:
        done = begin(served, small, slices=[1])
        name = served.upload(small.volume, slice(0, 4))
        unheard = served.ask(name, small.volume, BRIGHT, start=0).json()["id"]
        while served.http.get(f"/jobs/{unheard}").json()["state"] != "ended":
            pass
        assert "Nobody has listened" in served.events(unheard)[-1].error
        for job in (done, unheard):
            while served.http.get(f"/jobs/{job}").status_code != 404:
                pass
        health = served.http.get("/health").json()
        assert (health["jobs"], health["result_bytes"]) == (0, 0)


def test_results_of_ended_jobs_are_kept_under_a_limit(small: Phantom) -> None:
    with serving(results_bytes=1, sweep_seconds=0.02) as served:
        job = begin(served, small, slices=[1])
        while served.http.get(f"/jobs/{job}").status_code != 404:
            pass


def test_masks_are_made_on_demand_at_any_threshold(served: Served, small: Phantom, engine: boltzformer.Engine) -> None:
    job = begin(served, small, [BRIGHT, DARK], seed=3)
    assert isinstance(served.events(job)[-1], Prediction)
    near = boltzformer.segment(small.volume, [BRIGHT, DARK], model=engine, seed=3)
    for query in ({}, {"threshold": 0.2, "existence": 0.1}):
        given = decode(served.http.get(f"/jobs/{job}/masks", params=query).content)
        wanted = near.labels(**query)
        assert np.array_equal(given.layers, wanted.layers)
        assert (given.names, given.grid) == (wanted.names, wanted.grid)
    assert served.http.get(f"/jobs/{job}/masks", params={"threshold": 7}).status_code == 400
    unfinished = served.ask(served.upload(small.volume, slice(0, 1)), small.volume, BRIGHT).json()["id"]
    assert served.http.get(f"/jobs/{unfinished}/masks").status_code == 409
    served.http.delete(f"/jobs/{unfinished}")


def test_a_full_device_gives_up_what_it_can_and_then_says_so(served: Served, small: Phantom) -> None:
    begin(served, small, slices=[0])
    model = served.backend.models.engine(MODEL).model

    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("no room")

    hook = model.decoder.register_forward_pre_hook(full)
    events = served.events(begin(served, small, seed=77))
    hook.remove()
    assert [type(event) for event in events if not isinstance(event, Queued)] == [Started, Adjusted, Failed]
    assert "too little memory" in events[-1].error
    assert isinstance(served.events(begin(served, small, slices=[0]))[-1], Prediction)


def test_an_unexpected_error_is_said_to_its_owner_and_not_to_the_log(
    served: Served, small: Phantom, caplog: pytest.LogCaptureFixture
) -> None:
    model = served.backend.models.engine(MODEL).model

    def broken(*_: object) -> None:
        raise ZeroDivisionError("the image of John Doe")

    hook = model.decoder.register_forward_pre_hook(broken)
    with caplog.at_level(logging.DEBUG):
        end = served.events(begin(served, small, seed=78))[-1]
    hook.remove()
    assert isinstance(end, Failed)
    assert "ZeroDivisionError" in end.error
    assert "ZeroDivisionError at" in caplog.text
    assert "John" not in caplog.text
    assert isinstance(served.events(begin(served, small, slices=[0]))[-1], Prediction)


def test_impossible_requests_end_with_a_sentence(served: Served, small: Phantom) -> None:
    name = served.upload(small.volume)
    for how, sentence in (
        ({"slices": [99]}, "don't exist"),
        ({"axis": 7}, "no array axis 7"),
        ({"slices": []}, "don't exist"),
    ):
        end = served.events(served.ask(name, small.volume, BRIGHT, **how).json()["id"])[-1]
        assert isinstance(end, Failed)
        assert sentence in end.error
