"""Learning from the case as any viewer offers it: a few corrected slices teach the rest, and none of them changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL
from viewer_of_memory import Viewer

from boltzformer import Session
from boltzformer.desk.masks.track import Track
from boltzformer.desk.teaching.far import Far
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from boltzformer.masks.lessons import Learning
from boltzformer.types import SliceState

UNKNOWN = "left atrium in cardiac MRI"
"""The phantom model was never taught it, and marks bright blobs: lessons make it mean the dark one."""


@pytest.fixture(scope="module")
def made() -> Phantom:
    return phantom(11, (40, 96, 96), (DARK, DARK, DARK, BRIGHT))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    with Session.local(PHANTOM_MODEL) as one:
        yield one


def truth_of(image: Any, made: Phantom) -> np.ndarray:
    found: np.ndarray = image.plan.view.apply(made.labels.mask(2))
    return found


def corrected(track: Track, truth: np.ndarray, rows: list[int]) -> None:
    """As a person corrects: all of the slice, in one stroke."""
    for row in rows:
        track.change(row, truth[row])


def spread(truth: np.ndarray, count: int) -> list[int]:
    there = np.flatnonzero(truth.sum((1, 2)) >= 8)
    return [int(there[round(n)]) for n in np.linspace(0, len(there) - 1, count + 2)[1:-1]]


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


def test_three_corrected_slices_teach_the_rest_and_it_can_be_taken_back(
    session: Session, made: Phantom, tmp_path: Path
) -> None:
    viewer = Viewer(session, tmp_path / "kept")
    desk, image = viewer.desk, viewer.open(made.volume)
    learning, truth = desk.learning, truth_of(viewer.stage.chosen(), made)
    desk.settings.learning_seconds = 6.0
    viewer.idle()
    learning.start()
    assert viewer.speaker.sentence.startswith("There is nothing to learn from")

    desk.running.start([UNKNOWN], only_this=False)
    viewer.idle()
    (track,) = desk.tracks.chosen()
    alone = track.surface.copy() > 0
    assert not learning.offered
    rows = spread(truth, 3)
    corrected(track, truth, rows)
    viewer.until(lambda: learning.offered)
    track.say(0, SliceState.EMPTY)
    assert [one.index for one in learning.lessons(track)] == [image.plan.canonical_index(row) for row in [*rows, 0]]

    assert learning.standing.startswith("You have corrected or accepted 4 slices of ")
    learning.start()
    assert learning.busy
    assert learning.standing.startswith("Learning from 4 slices of ")
    assert viewer.speaker.action == ""  # its own button stops it
    viewer.idle()
    assert viewer.speaker.sentence.startswith("Learnt from 4 slices, ")
    assert f"Looked in {image.count - 4} slices; found " in viewer.speaker.sentence
    taught = track.surface.copy() > 0
    others = [row for row in range(image.count) if row not in (*rows, 0)]
    assert dice(taught[others], truth[others]) > dice(alone[others], truth[others]) + 0.2
    assert all(np.array_equal(taught[row], truth[row]) for row in (*rows, 0))
    assert learning.learnt(track) is not None
    assert not learning.offered
    assert track.runs[-1]["adapter"]["lessons"]

    # Before and now: what the model alone had said is there to be shown; a person's slices have no before.
    other = others[0]
    was = learning.before(track, other)
    assert was is not None
    assert np.array_equal(was, alone[other])
    assert learning.before(track, rows[0]) is None
    telling = learning.most_telling(track)
    assert telling in others
    desk.keeper.next_doubtful()
    assert viewer.stage.row(image) == telling
    assert "teaches most here" in viewer.speaker.sentence

    # It goes with its image when another one is opened, and comes back with it.
    back = viewer.stage.close(image)
    desk.image_left(image)
    back()
    desk.chosen()
    assert learning.learnt(track) is not None
    assert not learning.offered
    assert np.array_equal(learning.before(track, other), was)

    # A prompt that taught is asked with what it taught; another one is not.
    desk.running.start([UNKNOWN, BRIGHT], only_this=True)
    assert [("adapter" in run.how, len(run.prompts)) for run in desk.running.runs] == [(False, 1), (True, 1)]
    viewer.idle()

    # Another day it is all there again.
    desk.keeper.autosave()
    viewer.idle()
    again = Viewer(session, tmp_path / "kept")
    again.open(made.volume)
    again.until(lambda: bool(again.speaker.offers))
    back = next(one for one in again.desk.tracks.chosen() if one.prompt.text == UNKNOWN)
    again.stage.activate(back.surface)
    again.until(lambda: again.desk.learning.learnt(back) is not None)
    assert again.desk.learning.learnt(back).id == learning.learnt(track).id  # type: ignore[union-attr]
    assert not again.desk.learning.offered
    again.desk.learning.forget()
    again.idle()
    assert np.array_equal((back.surface.copy() > 0)[others], alone[others])
    again.desk.leave()

    # Forgotten, the model's own answers are back.
    viewer.stage.activate(track.surface)
    learning.forget()
    viewer.idle()
    assert learning.learnt(track) is None
    assert np.array_equal((track.surface.copy() > 0)[others], alone[others])
    assert not list((tmp_path / "home").rglob("*.learnt"))
    desk.leave()


def test_how_far_learning_is_is_told_from_its_first_second_and_never_goes_back() -> None:
    far, told = Far(16.0), list[int]()
    steps = [(0, 0, 16), (0, 0, 12), (1, 0, 10), (4, 0, 8), (4, 10, 8), (7, 10, 4), (10, 10, 0)]
    for step, of, left in steps:
        far.hear(Learning(step, of, seconds_left=left))
        told.append(far.hundredths)
    assert told == [0, 12, 19, 25, 25, 62, 100]
    far.hear(Learning(10, 12))
    assert far.hundredths == 100
    slow = Far(16.0)
    for left in (16, 1, 0):  # the steps to come take their time all the same
        slow.hear(Learning(3, 0, seconds_left=left))
    assert slow.hundredths == 50


def test_how_long_learning_still_takes_goes_by_the_pace_of_its_steps_and_is_never_nothing() -> None:
    now = [0.0]
    far, told = Far(10.0, lambda: now[0]), list[str]()
    for step, of, given in ((0, 0, 10), (1, 0, 6), (2, 0, 4), (3, 9, 2), (4, 9, 0), (7, 9, 0), (8, 9, 0), (9, 9, 0)):
        now[0] = 2.0 * step + 5
        far.hear(Learning(step, of, seconds_left=given))
        told.append(far.left)
    assert told == ["", "", "", "", ", about 10 s left", ", about 4 s left", ", about 2 s left", ""]


def test_learning_is_stopped_within_a_step_and_changes_nothing(session: Session, made: Phantom, tmp_path: Path) -> None:
    viewer = Viewer(session, tmp_path / "kept")
    desk, image = viewer.desk, viewer.open(made.volume)
    viewer.idle()
    desk.running.start([UNKNOWN], only_this=True)
    viewer.idle()
    (track,) = desk.tracks.chosen()
    truth = truth_of(image, made)
    corrected(track, truth, spread(truth, 2))
    before = track.surface.copy()
    far: list[tuple[int, int] | None] = []
    desk.learning.advanced.append(lambda: far.append(desk.under_way.progress))
    desk.learning.start()
    assert far == [None]  # and not how far the run before it was
    viewer.until(lambda: desk.under_way.progress is not None and desk.under_way.progress[0] > 1)
    assert desk.under_way.busy
    desk.under_way.stop()
    assert not desk.under_way.busy
    assert far[-1] is None
    shares = [steps[0] / steps[1] for steps in far if steps is not None]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert viewer.speaker.sentence == "Stopped learning; nothing was changed."
    assert not desk.learning.busy
    assert np.array_equal(track.surface.copy(), before)
    assert desk.learning.learnt(track) is None
    viewer.until(lambda: desk.learning.offered)
    desk.leave()


@pytest.mark.slow
def test_as_i_go_it_learns_when_a_slice_is_corrected(session: Session, made: Phantom, tmp_path: Path) -> None:
    viewer = Viewer(session, tmp_path / "kept")
    desk, image = viewer.desk, viewer.open(made.volume)
    desk.settings.learn_as_i_go, desk.settings.learning_seconds = True, 2.0
    viewer.idle()
    desk.running.start([UNKNOWN], only_this=True)
    viewer.idle()
    (track,) = desk.tracks.chosen()
    truth = truth_of(image, made)
    rows = spread(truth, 3)
    corrected(track, truth, rows[:2])
    viewer.until(lambda: desk.learning.learnt(track) is not None)
    corrected(track, truth, rows[2:])
    viewer.until(lambda: len(desk.learning.learnt(track).lessons) == 3)  # type: ignore[union-attr]
    desk.leave()
