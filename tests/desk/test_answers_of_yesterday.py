"""Answers of an earlier day follow the score's threshold, of which masks and scores are known; on the desk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_coming_back import answered, at_work, offered, opened_again, stroke
from test_desk_story import Viewer

from boltzformer import Prompt, SlicePlan, SliceResult
from boltzformer.desk.keeping import remembering
from boltzformer.desk.keeping.bringing_back import put_back
from boltzformer.desk.keeping.remembering import LastWork, annotation_of, masks_of
from boltzformer.desk.keeping.snapshot import Snapshot
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.track import Track
from boltzformer.io.phantom import DARK, Phantom


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))


@pytest.fixture
def kept(small: Phantom, tmp_path: Path) -> Path:
    """Slices 2 and 3 were marked all over, with a score of 0.9."""
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    answered(viewer, image, DARK, 2, 3)
    leave(viewer, image)
    return tmp_path / "kept"


def leave(viewer: Viewer, image: Any) -> None:
    viewer.desk.overview.show_tracks()
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()


def back(small: Phantom, folder: Path) -> tuple[Viewer, Any, Track]:
    viewer, image = opened_again(small.volume, folder)
    viewer.idle()
    return viewer, image, viewer.desk.tracks.of(image)[0]


def answer(track: Track, row: int, score: float, **how: Any) -> None:
    """A square in the middle: (64, 64) is all of the slice, or of the box."""
    plan = SlicePlan.of(track.image.volume.grid, 64, 0, box=how.pop("box", None))
    logits = np.full((1, 64, 64), -64, np.int8)
    logits[0, 20:30, 20:30] = 64
    track.begin_run(plan, 0.5)
    track.answer(plan, SliceResult(plan.canonical_index(row), logits, np.array([score], np.float32), **how), 0, {})


def choose(viewer: Viewer, **at: float) -> None:
    viewer.desk.overview.show_tracks()
    viewer.desk.overview.reapplying.choose(**at)
    viewer.idle()


def test_what_a_person_pointed_at_is_shown_whatever_its_score_another_day_too(small: Phantom, kept: Path) -> None:
    viewer, image, track = back(small, kept)
    answer(track, 5, 0.2, lifted=np.array([True]))
    there = int(track.row(5).sum())
    leave(viewer, image)
    viewer, image, track = back(small, kept)
    choose(viewer, existence=0.6)
    assert 0 < there == track.row(5).sum()


def test_what_is_saved_before_all_slices_have_followed_a_threshold_is_nothing_that_was_pointed_at(
    small: Phantom, kept: Path
) -> None:
    viewer, image, track = back(small, kept)
    viewer.stage.go(image, 9)
    viewer.desk.overview.show_tracks()
    viewer.desk.overview.reapplying.choose(existence=0.95)
    (work,) = masks_of(LastWork("", annotation_of(Snapshot.of(image, [track])), None, {}), image.plan)
    assert (work.gate, bool(work.rows[2].any())) == (0.95, True)
    again = viewer.desk.tracks.new(image, Prompt("again"))
    put_back(again, work)
    earlier = again.kept.recalled(2)
    assert earlier is not None
    assert not earlier.shows(Thresholds(0.95))


def test_around_a_box_only_what_the_threshold_shows_stays(small: Phantom, kept: Path) -> None:
    viewer, _, track = back(small, kept)
    choose(viewer, existence=0.95)
    assert not track.row(2).any()
    answer(track, 2, 0.97, box=((0, 16), (10, 30), (10, 30)))
    assert 0 < track.row(2).sum() <= 400
    choose(viewer, existence=0.5)
    assert track.row(2).sum() > 5000
    choose(viewer, existence=0.99)
    assert not track.row(2).any()


def test_a_mask_of_another_run_is_not_held_to_be_the_one_that_comes_back(small: Phantom, kept: Path) -> None:
    """Their scores are alike."""
    viewer, image, track = back(small, kept)
    whole = int(track.row(2).sum())
    answer(track, 2, 0.9)
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.dialogs.chosen_line = -1
    viewer.desk.keeper.back._ask_earlier(image, lambda: None)
    viewer.idle()
    (track,) = viewer.desk.tracks.of(image)
    assert track.row(2).sum() == whole
    choose(viewer, outline=0.6)
    assert track.row(2).sum() == whole


def test_a_run_that_is_taken_back_leaves_what_the_threshold_shows_now(small: Phantom, kept: Path) -> None:
    viewer, _, track = back(small, kept)
    whole = int(track.row(2).sum())
    choose(viewer, existence=0.95)
    answer(track, 2, 0.97)
    choose(viewer, existence=0.5)
    track.revert()
    assert track.row(2).sum() == whole


def test_what_was_painted_before_yesterday_was_found_is_a_persons(small: Phantom, kept: Path) -> None:
    viewer = at_work(kept)
    image = viewer.open(small.volume)
    track = viewer.desk.tracks.new(image, Prompt(DARK))
    stroke(track, 2, 10)
    viewer.until(lambda: offered(viewer, image) is not None)
    viewer.idle()
    assert track.edited(2)
    choose(viewer, existence=0.95)
    assert track.row(2).sum() == 9
    assert not track.row(3).any()


@pytest.mark.parametrize("known", [True, False], ids=["today", "an older file"])
def test_reset_leads_to_the_models_own_thresholds_another_day_too(
    small: Phantom, kept: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    viewer, image, track = back(small, kept)
    answer(track, 5, 0.2)
    track.note_run({"state": "finished", "prompts": [DARK], "thresholds": {"mask": 0.5, "existence": 0.5}})
    choose(viewer, existence=0.1)
    viewer.idle()
    leave(viewer, image)
    if not known:
        monkeypatch.setattr(remembering, "OWN_GATE", "what nobody wrote")
    viewer, image, track = back(small, kept)
    assert viewer.desk.overview.reapplying.thresholds.existence == 0.1
    assert track.mask(5).any()
    viewer.desk.overview.reapplying.reset()
    viewer.idle()
    assert viewer.desk.overview.reapplying.thresholds == Thresholds(0.5)
    assert not track.mask(5).any()
    assert track.mask(2).any()
    assert image.thresholds is None


def test_what_stays_as_it_was_is_said_the_day_after_the_next_too(small: Phantom, kept: Path) -> None:
    """The file tells at which probability a slice was outlined that did not follow another one."""
    viewer, image, track = back(small, kept)
    choose(viewer, outline=0.7)
    answer(track, 5, 0.8)
    viewer.desk.overview.show_tracks()
    said = viewer.desk.overview.reapplying.totals
    assert said[-1] == "2 restored slices stay as they were: run them again to move their outline"
    leave(viewer, image)
    viewer, image, track = back(small, kept)
    viewer.desk.overview.show_tracks()
    assert viewer.desk.overview.reapplying.totals == said
    choose(viewer, outline=0.5)
    assert viewer.desk.overview.reapplying.totals[-1].startswith("1 restored slice stays as it was")
