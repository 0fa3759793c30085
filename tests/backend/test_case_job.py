"""Learning from a case in the backend: patient, one at a time, and what it learnt is used by id."""

import os
import signal

import numpy as np
import pytest
from serving import MODEL, Served

import boltzformer
from boltzformer import Adapted, BackendError, Cancelled, Learning, Lesson, Prediction, Session
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.protocol import encode
from boltzformer.server.work import Worker

UNKNOWN = "left atrium"


def lessons(small: Phantom) -> list[Lesson]:
    """Discs in three slices, and an empty one."""
    y, x = np.ogrid[:72, :80]
    found = [Lesson(index, (y - 36) ** 2 + (x - 40) ** 2 <= 64) for index in (4, 8, 11)]
    return [*found, Lesson(1, np.zeros((72, 80), bool))]


@pytest.fixture(scope="module")
def done(session: Session, small: Phantom) -> Adapted:
    events = list(session.adapt(small.volume, UNKNOWN, lessons(small), steps=10, seed=5))
    assert isinstance(events[0], Learning)
    assert events[0].memory > 0
    assert isinstance(events[-1], Adapted)
    return events[-1]


def test_the_session_learns_and_answers_the_same_bits_as_the_engine(
    session: Session, engine: boltzformer.Engine, small: Phantom, done: Adapted
) -> None:
    *_, near = boltzformer.adapt(engine, small.volume, UNKNOWN, lessons(small), steps=10, seed=5)
    assert isinstance(near, Adapted)
    assert near.adapter.id == done.adapter.id
    far = session.segment(small.volume, UNKNOWN, slices=[3, 4, 5], adapter=done.adapter).result()
    here = boltzformer.segment(small.volume, UNKNOWN, model=engine.adapted(near.adapter), slices=[3, 4, 5])
    assert far.provenance["logits sha256"] == here.provenance["logits sha256"]
    assert far.provenance["adapter"]["id"] == done.adapter.id
    given = far.labels().mask(1)[4]
    assert np.array_equal(given, engine.plan(small.volume).view.undo(np.stack([lessons(small)[0].mask] * 16))[4])


def test_nobodys_slices_are_asked_again_from_the_visible_one_outwards(
    session: Session, small: Phantom, done: Adapted
) -> None:
    nobodys = [index for index in range(16) if index not in (1, 4, 8, 11)]
    nobodys.sort(key=lambda index: (abs(index - 7), index))
    job = session.segment(small.volume, UNKNOWN, start=7, slices=nobodys, adapter=done.adapter)
    assert [event.index for event in job if isinstance(event, boltzformer.SliceResult)] == nobodys


@pytest.mark.slow
def test_an_engine_that_died_gets_back_what_was_learnt(small: Phantom, done: Adapted) -> None:
    with Session.local(MODEL) as session:
        session.health()
        process = session.backend().process
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert session.segment(small.volume, UNKNOWN, slices=[3], adapter=done.adapter).result().slices


@pytest.mark.slow
def test_killed_in_the_midst_of_learning_it_says_so_and_learns_again(small: Phantom) -> None:
    with Session.local(MODEL) as session:
        given = lessons(small)
        job = session.adapt(small.volume, UNKNOWN, given, steps=200)
        for event in job:
            if isinstance(event, Learning) and event.step == 2:
                os.kill(session.backend().process.pid, signal.SIGKILL)
        assert isinstance(event, boltzformer.Failed)
        assert "stopped unexpectedly" in event.error
        assert isinstance(session.adapt(small.volume, UNKNOWN, given, steps=10).adapted(), Adapted)


def test_this_slice_overtakes_a_learning_at_its_next_step(session: Session, small: Phantom) -> None:
    job = session.adapt(small.volume, UNKNOWN, lessons(small), steps=400)
    for event in job:
        if isinstance(event, Learning) and event.step == 2:
            break
    slice_job = session.segment(small.volume, BRIGHT, slices=[6])
    assert isinstance(slice_job.result(), Prediction)
    during = [event for event in job.poll(1000) if isinstance(event, Learning)]
    assert during[-1].step < 400
    job.cancel()
    assert isinstance(list(job)[-1], Cancelled)


def test_the_newest_lessons_win(session: Session, small: Phantom) -> None:
    first = session.adapt(small.volume, UNKNOWN, lessons(small), steps=400)
    for event in first:
        if isinstance(event, Learning) and event.step == 1:
            break
    second = session.adapt(small.volume, UNKNOWN, lessons(small)[:3], steps=10)
    assert isinstance(list(first)[-1], Cancelled)
    assert len(second.adapted().adapter.lessons) == 3


def test_what_can_not_teach_is_refused_in_one_sentence(session: Session, small: Phantom, done: Adapted) -> None:
    empty = Lesson(3, np.zeros((72, 80), bool))
    for given, said in (
        ([empty], "All lessons are empty"),
        ([], "There is no lesson"),
        ([Lesson(3, np.ones((30, 30), bool))], "30×30 pixels, the image's slices have 72×80"),
    ):
        with pytest.raises(BackendError, match=said):
            session.adapt(small.volume, UNKNOWN, given).adapted()
    with pytest.raises(BackendError, match="is about 'left atrium'"):
        session.segment(small.volume, BRIGHT, adapter=done.adapter).result()
    with pytest.raises(BackendError, match="it learns"):
        session.adapt(small.volume, UNKNOWN, lessons(small), steps=10).result()


def test_nothing_but_what_was_learnt_can_be_brought(served: Served, small: Phantom, done: Adapted) -> None:
    for junk in (b"", b"junk", encode(small.volume), encode(done.adapter)[:-1]):
        answer = served.http.put("/adapters", content=junk)
        assert answer.status_code == 400
        assert "nothing that was learnt" in answer.json()["detail"]
    assert served.http.put("/adapters", content=encode(done.adapter)).json() == {"id": done.adapter.id}
    unknown = served.ask(served.upload(small.volume), small.volume, UNKNOWN, adapter="0" * 64)
    assert unknown.status_code == 404


def test_patient_work_is_done_when_nothing_else_can_be() -> None:
    done: list[str] = []

    class Task:
        def __init__(self, name: str, small: bool, patient: bool) -> None:
            self.name, self.small, self.patient, self.left = name, small, patient, 2

        def ready(self) -> bool:
            return go

        def step(self) -> bool:
            done.append(self.name)
            self.left -= 1
            return self.left == 0

        def waits(self, position: int) -> None:
            pass

    go = False
    worker = Worker()
    for task in (Task("learning", False, True), Task("volume", False, False), Task("slice", True, False)):
        worker.submit(task)
    go = True
    worker.wake()
    while len(done) < 6:
        worker.wake()
    worker.stop()
    assert done == ["slice", "slice", "volume", "volume", "learning", "learning"]
