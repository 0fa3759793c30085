"""Another case is asked for while a run is under way: it opens, a line says when, and no answer is lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Asked, Bench, result, whole

from boltzformer import io
from boltzformer.desk.keeping.case_list import WAITING
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.desk.runs.follow import Step
from boltzformer.io.phantom import BRIGHT, phantom
from boltzformer.types import Prediction

pytestmark = pytest.mark.without_engine


@pytest.fixture
def listed(bench: Bench, tmp_path: Path) -> Bench:
    """Two cases, the first of them open."""
    place = tmp_path / "images"
    place.mkdir()
    for number, name in enumerate("ab", 1):
        io.write_volume(phantom(number, (4, 48, 48)).volume, place / f"{name}.nii.gz")
    bench.desk.cases.show_folder(place)
    bench.idle()
    bench.desk.cases.open_next()
    bench.idle()
    assert on_screen(bench) == "a"
    return bench


def on_screen(bench: Bench) -> str:
    one = bench.desk.cases.on_screen
    return "" if one is None else one.name


def offered(bench: Bench) -> list[str]:
    return [one.sentence for one in bench.speaker.offers if one.topic == WAITING]


def read(bench: Bench) -> None:
    """All that is done beside the viewer, while a run goes on."""
    bench.until(lambda: not bench.desk.work.busy)


def test_an_answer_that_comes_in_a_moment_is_waited_for_and_kept(listed: Bench) -> None:
    desk = listed.desk
    first: Any = desk.stage.chosen()
    job = listed.ask(BRIGHT, every=False)
    desk.cases.open_next()
    read(listed)
    assert offered(listed) == ["b opens as soon as the answer is there."]
    assert on_screen(listed) == "a"
    plan = whole(first)
    answer = result(plan, 2, np.ones((48, 48), bool), 0.9)
    job.events = [answer, Prediction((), (answer,), first.plan)]
    listed.until(lambda: on_screen(listed) == "b")
    listed.idle()
    assert listed.speaker.sentence == "b is open."
    assert not offered(listed)
    desk.notice.answer(PUT_AWAY, "Undo")
    listed.idle()
    assert on_screen(listed) == "a"
    (back,) = desk.tracks.chosen()
    assert back.mask(2).all()


@pytest.mark.parametrize(("label", "there"), [("Open it now", "b"), ("Stay here", "a")])
def test_nobody_has_to_wait(listed: Bench, label: str, there: str) -> None:
    desk = listed.desk
    job = listed.ask(BRIGHT, every=False)
    desk.cases.open(desk.cases.cases[1])
    read(listed)
    desk.notice.answer(WAITING, label)
    if there == "a":
        assert listed.desk.running.runs
        job.cancel()
    listed.idle()
    assert on_screen(listed) == there
    assert not offered(listed)


def test_a_mask_that_is_followed_is_not_waited_for_and_its_steps_are_no_runs_to_tell_of(listed: Bench) -> None:
    desk = listed.desk
    first: Any = desk.stage.chosen()
    listed.ask(BRIGHT, every=False, kind=Step)  # one of many
    desk.cases.open(desk.cases.cases[1])
    assert offered(listed) == ["b opens as soon as it is read."]
    listed.idle()
    assert on_screen(listed) == "b"
    desk.notice.answer(PUT_AWAY, "Keep both")
    second: Any = desk.stage.chosen()
    for image in (second, first):
        desk.stage.choose(image)  # type: ignore[attr-defined]
        listed.ask(BRIGHT, every=False, kind=Step).events += [Prediction((), (), image.plan)]
        listed.idle()
        assert listed.speaker.sentence == ""
    desk.stage.choose(second)  # type: ignore[attr-defined]
    desk.chosen()
    assert listed.speaker.sentence == ""


def test_how_far_a_run_was_is_not_told_of_the_next_image(listed: Bench) -> None:
    desk = listed.desk
    far: list[object] = []
    desk.running.advanced.append(lambda: far.append(desk.under_way.progress))
    listed.ask(BRIGHT, every=True)
    assert far[-1] == (0, 4)
    desk.cases.open(desk.cases.cases[1])
    listed.idle()
    desk.chosen()
    assert far[-1] is None


def test_a_run_through_all_slices_ends_with_it(listed: Bench) -> None:
    desk = listed.desk
    listed.ask(BRIGHT, every=True)
    desk.cases.open(desk.cases.cases[1])
    assert offered(listed) == ["b opens as soon as it is read."]
    listed.idle()
    assert on_screen(listed) == "b"
    assert listed.speaker.sentence == "b is open. The run was stopped; what it had finished is kept."
    assert not offered(listed)


@pytest.mark.parametrize("begun", [True, False])
def test_a_question_that_ends_with_its_image_says_so(listed: Bench, begun: bool) -> None:
    desk = listed.desk
    first: Any = desk.stage.chosen()
    job = listed.ask(BRIGHT, every=False, begun=begun)
    desk.patients.open(io.read(desk.cases.cases[1].path))  # not from the list, which waits for the answer
    job.events = [result(whole(first), 2, np.ones((48, 48), bool), 0.9), Prediction((), (), first.plan)]  # too late
    listed.idle()
    assert listed.speaker.sentence == "'a' left before there was an answer: its question was cancelled."
    assert [one.topic for one in listed.speaker.offers] == [PUT_AWAY]


@pytest.mark.parametrize("from_the_list", [True, False])
def test_learning_that_ends_with_its_image_says_so(
    listed: Bench, from_the_list: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = listed.desk
    first: Any = desk.stage.chosen()
    monkeypatch.setattr(desk.session(), "adapt", lambda *_, **__: Asked())
    track = listed.answered(first, BRIGHT, np.zeros((4, 48, 48), bool))
    for row in (1, 2):
        track.change(row, np.eye(48, dtype=bool))
    desk.stage.activate(track.surface)
    desk.learning.start()
    assert desk.learning.busy
    if from_the_list:
        desk.cases.open(desk.cases.cases[1])
    else:
        desk.patients.open(io.read(desk.cases.cases[1].path))
    listed.idle()
    assert not desk.learning.busy
    stopped = "Learning on 'a' was stopped, and nothing there was changed; it can be started again there."
    assert listed.speaker.sentence == ("b is open. " if from_the_list else "") + stopped
    desk.notice.answer(PUT_AWAY, "Undo")
    listed.idle()
    assert desk.learning.offered
