"""One user's afternoon, headless, through a real backend; then the same with the backend killed in the middle."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serving import MODEL

import boltzformer
from boltzformer import Annotation, Cancelled, Failed, Guidance, Prediction, Session, SliceResult, SliceState, Started
from boltzformer.dataset import Dataset
from boltzformer.io.phantom import BRIGHT, DARK, Phantom


def indices(events: list[object]) -> list[int]:
    return [event.index for event in events if isinstance(event, SliceResult)]


def kill(session: Session) -> None:
    session.backend().process.kill()
    session.backend().process.wait()


@pytest.mark.parametrize(
    "disturb",
    [pytest.param(lambda _: None, marks=pytest.mark.slow), kill],
    ids=["undisturbed", "killed in the middle"],
)
def test_the_story(
    made: Phantom, engine: boltzformer.Engine, tmp_path: Path, disturb: Callable[[Session], None]
) -> None:
    volume, prompts = made.volume, [BRIGHT, DARK]
    (i, j, k), near = made.lesions[0].centre, boltzformer.segment(made.volume, prompts, model=engine)
    with Session.local(MODEL) as session:
        # Two prompts: slices arrive live, the visible one first; the user scrolls, the work follows; then stops.
        job, events = session.segment(volume, prompts, start=20), []
        for event in job:
            events.append(event)
            if indices(events) == [20, 19, 21]:
                job.focus(60)
            if isinstance(event, SliceResult) and event.index == 61:
                job.cancel()
        assert isinstance(events[0], Started)
        assert indices(events)[:3] == [20, 19, 21]
        assert indices(events)[-3:] == [60, 59, 61]
        assert isinstance(events[-1], Cancelled)

        disturb(session)

        # All slices. What the engine alone would have said, to the bit.
        job = session.segment(volume, prompts, start=20)
        everything = list(job)
        assert sorted(indices(everything)) == list(range(64))
        answer = everything[-1]
        assert isinstance(answer, Prediction)
        assert answer.provenance == near.provenance
        assert np.array_equal(answer.labels().layers, near.labels().layers)

        # A look at the sampler, a hand on it, another prompt on what is seen already.
        assert len(session.trace(volume, BRIGHT, k).layers) == 9
        here = Guidance(here=((i, j, k),))
        led = session.segment(volume, BRIGHT, slices=[k], guidance=here).result()
        beside = boltzformer.segment(volume, BRIGHT, model=engine, slices=[k], guidance=here)
        assert led.provenance == beside.provenance
        assert led.slices[0].lifted is not None
        assert len(session.trace(volume, BRIGHT, k, guidance=here).layers) == 9
        other = session.segment(volume, DARK, slices=[k], seed=1).result()
        same = boltzformer.segment(volume, DARK, model=engine, slices=[k], seed=1)
        assert other.provenance == same.provenance

        # And once more, killed while it works: what was finished stays, the next run is whole.
        job = session.segment(volume, prompts, start=k)
        kept = next(event for event in job if isinstance(event, SliceResult))
        if disturb is kill:
            disturb(session)
            *_, end = job
            assert isinstance(end, Failed)
            job = session.segment(volume, prompts, start=k)
        again = job.result()
        assert again.provenance == near.provenance
        (twin,) = (one for one in again.slices if one.index == kept.index)
        assert np.array_equal(twin.logits, kept.logits)

        # What the user corrected and accepted is on the disk, whatever becomes of the backend.
        labels = again.labels()
        layers = labels.layers.copy()
        layers[0, k, :3, :3] = 1
        unseen, reviewed = SliceState.UNSEEN, SliceState.REVIEWED
        states = tuple(reviewed if index == k else unseen for index in range(64))
        annotation = Annotation(
            volume,
            replace(labels, layers=layers),
            again.prompts,
            dict.fromkeys(labels.names.values(), states),
            again.provenance,
        )
        kept = Dataset.at(tmp_path / "mine").add(annotation, answer=labels)
        disturb(session)
    store = Dataset(tmp_path / "mine")
    (case,) = store.cases()
    name = labels.names[1]
    assert np.array_equal(case.mask(name)[k], layers[0, k] == 1)
    assert not case.mask(name)[:k].any()  # nobody spoke of the others
    assert case.revisions[0].changes[name] == {"added": 9, "removed": 0}
    assert case.revisions[0].model_sha256 == near.provenance["model"]["sha256"]
    assert (case.revisions[0].number, kept.number) == (1, 1)
