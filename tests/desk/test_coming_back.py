"""Earlier work comes back by itself, whole, and none of it is saved over unseen; on the desk, without a window."""

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_desk_story import Viewer

from boltzformer import Grid, Prompt, Session, SlicePlan, SliceResult, Volume
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping import remembering
from boltzformer.desk.keeping.bringing_back import about
from boltzformer.desk.keeping.remembering import EDITED, states_of
from boltzformer.desk.keeping.scene import Scene
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.lanes import State
from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.desk.words import local
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.types import SliceState

GUESSED = "This model never saw 'bright'. Treat the result as a guess."


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def at_work(folder: Path, model: str = "mine") -> Viewer:
    """Nobody is asked: the engine stays away."""
    viewer = Viewer(Session.connect("http://127.0.0.1:9", "none", model), folder)
    viewer.desk.settings.folder = str(folder)
    return viewer


def answered(viewer: Viewer, image: Any, name: str, *rows: int) -> Any:
    """A mask that a model has filled in some slices."""
    track, plan = viewer.desk.tracks.new(image, Prompt(name)), SlicePlan.of(image.volume.grid, 64, 0)
    track.begin_run(plan, 0.5)
    for row in rows:
        logits, score = np.full((1, 64, 64), 64, np.int8), np.array([0.9], np.float32)
        track.answer(plan, SliceResult(plan.canonical_index(row), logits, score), 0, {"seed": 7})
    return track


def stroke(track: Any, row: int, at: int) -> None:
    mask = np.zeros(track.shape[1:], bool)
    mask[at : at + 3, at : at + 3] = True
    track.surface.paint(row, mask)


def offered(viewer: Viewer, image: Any) -> Any:
    return next((one for one in viewer.desk.notice.offers if one.topic == about(image)), None)


def opened_again(volume: Any, folder: Path, model: str = "mine") -> tuple[Viewer, Any]:
    viewer = at_work(folder, model)
    image = viewer.open(volume)
    viewer.until(lambda: offered(viewer, image) is not None)
    return viewer, image


@pytest.fixture
def yesterday(small: Phantom, tmp_path: Path) -> tuple[Any, Path, dict[str, Any]]:
    """Two prompts, strokes, an accepted slice, thresholds, points; then all ended without a word."""
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    dark, bright = answered(viewer, image, DARK, 2, 3), answered(viewer, image, BRIGHT, 2)
    bright.warning = GUESSED
    image.typed = [BRIGHT, DARK, "not asked yet"]
    stroke(dark, 5, 10)
    stroke(dark, 6, 10)
    viewer.stage.go(image, 3)
    viewer.desk.keeper.accept()
    viewer.stage.guide(image, {"points": [[[3.0, 1.0, 2.0], True, DARK]]})
    viewer.desk.overview.reapplying.choose(outline=0.7)
    viewer.stage.go(image, 5)
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    rows = {track.name: track.surface.copy() > 0 for track in viewer.desk.tracks.of(image)}
    assert bright.scores
    viewer.desk.leave()
    return small.volume, tmp_path / "kept", rows


def test_all_of_it_is_back_without_a_press(yesterday: tuple[Any, Path, dict[str, Any]]) -> None:
    volume, folder, rows = yesterday
    viewer = at_work(folder)
    prompts: list[str] = []
    viewer.desk.keeper.back.restored.append(lambda _, texts: prompts.extend(texts))
    image = viewer.open(volume)
    viewer.until(lambda: offered(viewer, image) is not None)
    tracks = viewer.desk.tracks.of(image)
    assert [track.name for track in tracks] == list(rows)
    assert all(np.array_equal(track.surface.copy() > 0, rows[track.name]) for track in tracks)
    assert tracks[0].edited_rows() == [5, 6]
    assert tracks[0].state(3) is SliceState.REVIEWED
    assert [track.warning for track in tracks] == ["", GUESSED]  # a guess stays one overnight
    assert prompts == [BRIGHT, DARK, "not asked yet"]
    assert viewer.stage.row(image) == 5
    assert image.thresholds == Thresholds(0.5, 0.7)
    assert viewer.stage.guides(image) == {"points": [[[3.0, 1.0, 2.0], True, DARK]]}
    offer = offered(viewer, image)
    assert offer.sentence == f"Restored from {local(_last(volume, folder).time)}: 2 painted slices, 1 accepted."
    assert [label for label, _ in offer.answers] == ["Start afresh", "Earlier…"]

    viewer.desk.notice.say("Looked in 16 slices.")  # no sentence takes its place
    assert offered(viewer, image) is offer
    assert viewer.speaker.offers == [offer]
    viewer.desk.leave()


def test_who_ends_in_another_plane_goes_on_at_the_slice_that_was_looked_at(
    small: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In coronal, sagittal and 3-D none of its slices is on screen; also on the third day, where none was at all."""
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    answered(viewer, image, BRIGHT, 2)
    viewer.stage.go(image, 5)
    viewer.desk.scrolled()
    for _ in range(2):
        monkeypatch.setattr(viewer.stage, "shows", lambda _: False)
        viewer.desk.keeper.touch(image)
        viewer.desk.keeper.leave()
        viewer.desk.leave()
        viewer, image = opened_again(small.volume, tmp_path / "kept")
        assert viewer.stage.row(image) == 5
    viewer.desk.leave()


def test_every_mask_is_back_in_the_colour_that_it_had(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    first, _ = answered(viewer, image, BRIGHT, 2), answered(viewer, image, DARK, 2)
    viewer.stage.remove(first.surface)  # a mistake; and another prompt takes the colour that is free
    for name in ("left kidney", BRIGHT):
        answered(viewer, image, name, 2)
    colours = {track.name: track.colour for track in viewer.desk.tracks.of(image)}
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()
    later, back = opened_again(small.volume, tmp_path / "kept")
    assert len(colours) == 3
    assert {track.name: track.colour for track in later.desk.tracks.of(back)} == colours


def test_an_eye_that_was_closed_stays_closed(small: Phantom, tmp_path: Path) -> None:
    """Whichever of many is shown by itself; work of before that says nothing of it comes back in sight."""
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    for name in (DARK, BRIGHT):
        answered(viewer, image, name, 2)
    viewer.desk.tracks.of(image)[0].surface.shown = False
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()
    later, back = opened_again(small.volume, tmp_path / "kept")
    assert [one.surface.shown for one in later.desk.tracks.of(back)] == [False, True]
    later.desk.tracks.of(back)[0].surface.shown = True  # and nothing else
    later.desk.keeper.leave()
    later.desk.leave()
    assert Scene.of(_last(small.volume, tmp_path / "kept").provenance).hidden == ()
    assert Scene.of({"scene": {}}).hidden is None


def test_a_mask_that_nobody_has_answered_is_not_told_as_the_models(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    answered(viewer, image, BRIGHT)  # e.g. killed before the first slice
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()
    again, image = opened_again(small.volume, tmp_path / "kept")
    time = local(_last(small.volume, tmp_path / "kept").time)
    assert offered(again, image).sentence == f"Restored from {time}: prompts without an answer yet."


def test_work_of_another_model_says_so_and_offers_it(yesterday: tuple[Any, Path, dict[str, Any]]) -> None:
    volume, folder, _ = yesterday
    viewer, image = opened_again(volume, folder, model="default")
    wanted: list[str] = []
    viewer.desk.keeper.back.wanted.append(wanted.append)
    assert offered(viewer, image).sentence.endswith("It was made with the model 'mine'.")
    viewer.desk.notice.answer(about(image), "Use 'mine'")
    assert wanted == ["mine"]
    viewer.desk.leave()


def test_the_model_that_made_it_is_offered_as_long_as_another_one_is_in_use(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, _ = yesterday
    viewer, image = opened_again(volume, folder, model="default")
    said = offered(viewer, image).sentence
    for model, sentence in (("mine", said.removesuffix(" It was made with the model 'mine'.")), ("default", said)):
        viewer.desk.session().model = model
        viewer.desk.knowledge = Knowledge()
        now = offered(viewer, image)
        assert now.sentence == sentence
        assert ("Use 'mine'" in dict(now.answers)) == (model == "default")
        assert {"Start afresh", "Earlier…"} <= dict(now.answers).keys()
    viewer.desk.leave()


def test_starting_afresh_keeps_the_state_that_was_there_and_a_list_brings_it_back(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, rows = yesterday
    viewer, image = opened_again(volume, folder)
    viewer.desk.notice.answer(about(image), "Start afresh")
    assert viewer.desk.tracks.of(image) == []
    assert image.thresholds is None
    assert viewer.stage.guides(image) == {}
    track = answered(viewer, image, BRIGHT, 9)
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.dialogs.chosen_line = None
    viewer.desk.notice.answer(about(image), "Earlier…")
    viewer.idle()
    assert len(viewer.dialogs.lines) == 2  # yesterday's, what was accepted: today's is on screen
    found = next(n for n, line in enumerate(viewer.dialogs.lines) if "2 painted slices" in line)
    assert DARK in viewer.dialogs.lines[found]
    assert "accepted, nothing else; " in viewer.dialogs.lines[1 - found]
    assert "UTC" not in viewer.dialogs.lines[found]
    viewer.dialogs.chosen_line = found
    viewer.desk.notice.answer(about(image), "Earlier…")  # it is still offered: nothing was chosen the first time
    viewer.until(lambda: bool(viewer.desk.tracks.of(image)) and track not in viewer.desk.tracks.of(image))
    back = {track.name: track.surface.copy() > 0 for track in viewer.desk.tracks.of(image)}
    assert all(np.array_equal(back[name], rows[name]) for name in rows)
    viewer.desk.leave()


def test_who_looks_at_the_list_and_chooses_nothing_is_offered_the_same_again(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, rows = yesterday
    viewer, image = opened_again(volume, folder, model="default")
    before = offered(viewer, image)
    viewer.dialogs.chosen_line = None
    for _ in range(2):
        viewer.desk.notice.answer(about(image), "Earlier…")
        viewer.idle()
        again = offered(viewer, image)
        assert again is not None
        assert again.sentence == before.sentence
        assert [label for label, _ in again.answers] == ["Start afresh", "Earlier…", "Use 'mine'"]
    assert [track.name for track in viewer.desk.tracks.of(image)] == list(rows)
    viewer.desk.leave()


def test_states_that_would_read_alike_are_listed_with_their_seconds() -> None:
    def state(time: str, painted: int) -> remembering.State:
        return remembering.State(time, painted, 1, ("cell",), lambda: None)

    states = [state(f"2026-11-28T12:10:{second}+00:00", 3) for second in ("41", "05")]
    lines = remembering.State.told_apart([*states, state("2026-11-28T12:10:00+00:00", 2)])
    assert len(set(lines)) == 3
    assert [":41: 3 painted" in lines[0], ":05: 3 painted" in lines[1]] == [True, True]
    assert lines[2] == state("2026-11-28T12:10:00+00:00", 2).words  # no more is said than it takes


def test_what_was_accepted_comes_back_whatever_was_saved_after_it(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, rows = yesterday
    viewer, image = opened_again(volume, folder)
    viewer.desk.notice.answer(about(image), "Start afresh")
    answered(viewer, image, DARK, 3, 9)
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()
    again, image = opened_again(volume, folder)
    (dark,) = [track for track in again.desk.tracks.of(image) if track.name == DARK]
    assert dark.state(3) is SliceState.REVIEWED
    assert np.array_equal(dark.mask(3), rows[DARK][3])
    assert dark.row(9).any()
    again.desk.leave()


def test_what_is_told_as_accepted_comes_back_so_and_not_a_slice_that_was_painted_on_again(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, _ = yesterday
    viewer, image = opened_again(volume, folder)
    dark = viewer.desk.tracks.of(image)[0]
    dark.surface.paint(3, dark.mask(2), 0)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()
    again, image = opened_again(volume, folder)
    marks = [one.state(3) is SliceState.REVIEWED for one in again.desk.tracks.of(image)]
    assert not any(marks)
    assert offered(again, image).sentence.endswith(": 3 painted slices.")
    again.desk.keeper.autosave()
    stroke(again.desk.tracks.of(image)[0], 7, 30)
    assert any(": 3 painted slices; " in line for line in lines_of_earlier(again, image))
    again.desk.leave()


def test_what_was_accepted_since_comes_back_with_an_earlier_state_that_is_chosen(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, rows = yesterday
    told = _last(volume, folder).folder / "revision.json"
    told.write_text(re.sub('"time": ".{4}', '"time": "2020', told.read_text("utf-8")), "utf-8")
    (viewer, image), before = opened_again(volume, folder), rows[DARK].copy()
    stroke(dark := viewer.desk.tracks.of(image)[0], 5, 30)  # slice 5 had other strokes
    viewer.stage.go(image, 5)
    viewer.desk.keeper.accept()
    viewer.desk.keeper.autosave()
    viewer.idle()
    now = dark.mask(5).copy()
    viewer.desk.leave()
    again, image = opened_again(volume, folder)
    again.dialogs.chosen_line = next(n for n, line in enumerate(lines_of_earlier(again, image)) if "2020" in line)
    assert "2 painted slices, 2 accepted; " in again.dialogs.lines[again.dialogs.chosen_line]
    again.desk.keeper.back._ask_earlier(image, lambda: None)
    again.until(lambda: "2020" in getattr(offered(again, image), "sentence", ""))
    assert "2 painted slices, 2 accepted." in offered(again, image).sentence
    (dark,) = [track for track in again.desk.tracks.of(image) if track.name == DARK]
    assert [row for row in range(dark.count) if dark.state(row) is SliceState.REVIEWED] == [3, 5]
    assert np.array_equal(dark.mask(5), now)
    assert not np.array_equal(now, before[5])
    assert np.array_equal(dark.mask(6), before[6])  # painted then, and by nobody accepted
    again.desk.leave()


@pytest.mark.parametrize("row", [5, 9])
def test_the_slice_that_was_looked_at_last_is_kept_when_the_viewer_closes(
    yesterday: tuple[Any, Path, dict[str, Any]], row: int
) -> None:
    volume, folder, _ = yesterday
    viewer, image = opened_again(volume, folder)
    image.typed, before = [BRIGHT, DARK, "not asked yet"], _last(volume, folder).number
    viewer.stage.go(image, row)  # and nothing else is done
    viewer.desk.keeper.leave()
    viewer.desk.leave()
    assert _last(volume, folder).number == before + (row != 5)
    again, image = opened_again(volume, folder)
    assert again.stage.row(image) == row
    again.desk.leave()


def test_a_viewer_that_is_taken_down_is_not_read_for_the_slice_and_the_colours(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, _ = yesterday
    viewer, image = opened_again(volume, folder)
    tracks = viewer.desk.tracks.of(image)
    viewer.stage.go(image, 9)
    viewer.desk.keeper.leave()  # its window is hidden
    viewer.idle()
    scene = Scene.of(_last(volume, folder).provenance)
    stroke(tracks[0], 7, 10)  # a run under way finds something still
    viewer.desk.keeper.touch(image)
    for track in tracks:  # one thing after the other
        viewer.stage.remove(track.surface)
        viewer.desk.keeper.mask_left(track)
    viewer.stage.guide(image, {})
    viewer.stage.go(image, 11)
    viewer.stage.close(image)
    viewer.desk.leave()
    last = _last(volume, folder)
    assert 7 in last.provenance[EDITED][DARK]
    assert Scene.of(last.provenance) == scene
    assert (scene.row, len(scene.colours), len(scene.guides)) == (9, 2, 1)


def test_what_was_chosen_since_the_last_autosave_goes_with_an_image_that_is_removed(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, _ = yesterday
    viewer, image = opened_again(volume, folder)
    image.typed = [BRIGHT, "asked a moment ago"]
    viewer.desk.overview.reapplying.choose(existence=0.25)
    viewer.desk.keeper.mask_left(viewer.desk.tracks.of(image)[0])
    viewer.stage.close(image)
    viewer.desk.leave()
    scene = Scene.of(_last(volume, folder).provenance)
    assert (scene.prompts, scene.row, len(scene.guides)) == ((BRIGHT, "asked a moment ago"), 5, 1)
    assert scene.thresholds is not None
    assert scene.thresholds.existence == 0.25


def test_what_was_accepted_is_read_once(
    yesterday: tuple[Any, Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, folder, _ = yesterday
    read, accepted_work = [], remembering.accepted_work
    monkeypatch.setattr(remembering, "accepted_work", lambda kept: read.append(kept) or accepted_work(kept))
    last = remembering.last_work(folder, volume)
    assert last is not None
    assert (last.autosave, len(read)) == (True, 1)


def test_today_beside_what_a_threshold_hid_of_yesterday_is_no_trouble(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    answered(viewer, image, BRIGHT, 2, 3)
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.leave()
    viewer.desk.leave()
    viewer, image = opened_again(small.volume, tmp_path / "kept")
    viewer.desk.overview.reapplying.choose(existence=0.95)
    viewer.idle()
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.leave()
    viewer.desk.leave()
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    track = answered(viewer, image, BRIGHT, 3)  # before yesterday is found
    viewer.until(lambda: offered(viewer, image) is not None)
    assert track.scores.keys() == {2, 3}
    assert 3 in track.kept.rows
    viewer.desk.leave()


def test_a_new_run_never_saves_over_work_that_was_not_seen(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    volume, folder, _ = yesterday
    before = _last(volume, folder)
    viewer = at_work(folder)
    image = viewer.open(volume)
    answered(viewer, image, BRIGHT, 9)  # before anybody knew of yesterday
    viewer.desk.keeper.put_by(image)
    viewer.stage.close(image)
    viewer.idle()
    viewer.desk.leave()
    states = states_of(folder, volume)
    assert before.time in {one.time for one in states}
    assert any(one.painted == 2 for one in states)


def test_a_mask_that_a_person_removed_is_among_the_earlier_states(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    answered(viewer, image, DARK, 2)
    gone = answered(viewer, image, BRIGHT, 2)
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    stroke(gone, 5, 10)  # not saved yet
    viewer.stage.remove(gone.surface)
    viewer.desk.keeper.mask_left(gone, removed=True)
    for _ in range(3):
        viewer.idle()
        viewer.desk.keeper.touch(image)
        viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()
    viewer, image = opened_again(small.volume, tmp_path / "kept")
    assert [one.prompt.text for one in viewer.desk.tracks.of(image)] == [DARK]
    viewer.desk.notice.answer(about(image), "Earlier…")
    viewer.until(lambda: len(viewer.desk.tracks.of(image)) == 2)
    assert viewer.desk.tracks.of(image)[1].edited_rows() == [5]
    viewer.desk.leave()


def removed(viewer: Viewer, *tracks: Any) -> None:
    """By a person, in one turn of the viewer's; saved since."""
    for track in tracks:
        viewer.stage.remove(track.surface)
        viewer.desk.keeper.mask_left(track, removed=True)
    viewer.idle()
    viewer.desk.keeper.autosave()
    viewer.idle()


def test_masks_that_are_removed_one_by_one_push_no_earlier_state_out(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    wrong = [answered(viewer, image, f"wrong {number}", 2) for number in range(3)]
    mine, also_mine = answered(viewer, image, DARK, 2), answered(viewer, image, BRIGHT, 2)
    answered(viewer, image, "stays", 2)
    stroke(mine, 5, 10)
    stroke(also_mine, 6, 10)
    viewer.desk.keeper.autosave()
    viewer.idle()
    store = Dataset(tmp_path / "kept")
    case = store.case_of(small.volume)
    for track in wrong:
        removed(viewer, track)
    assert not store.earlier(case)  # a prompt brings those back
    removed(viewer, mine)
    removed(viewer, also_mine)
    assert len(store.earlier(case)) == 1  # in which both are
    last = answered(viewer, image, DARK, 2)
    stroke(last, 7, 10)
    removed(viewer, last)
    assert len(store.earlier(case)) == 2
    viewer.desk.leave()


def test_last_strokes_are_set_aside_whatever_else_is_removed_in_the_same_turn(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    track, blank = answered(viewer, image, BRIGHT, 2), answered(viewer, image, DARK)
    answered(viewer, image, "stays", 2)
    blank.scores[2] = 0.1  # asked for, and not found
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    stroke(track, 5, 10)  # not saved yet
    removed(viewer, track, blank)
    store = Dataset(tmp_path / "kept")
    (earlier,) = store.earlier(store.case_of(small.volume))
    assert 5 in earlier.provenance[EDITED][BRIGHT]
    viewer.desk.leave()


def test_so_many_states_are_kept_and_old_ones_without_a_scene_come_back(small: Phantom, tmp_path: Path) -> None:
    for number in range(11):
        viewer = at_work(tmp_path / "kept")
        image = viewer.open(small.volume)
        viewer.idle()
        track = next(iter(viewer.desk.tracks.of(image)), None) or answered(viewer, image, BRIGHT, 2)
        stroke(track, 7, 5 + number)
        viewer.desk.keeper.autosave()
        viewer.idle()
        viewer.desk.leave()
    store = Dataset(tmp_path / "kept")
    case = store.case_of(small.volume)
    assert len(store.earlier(case)) == 8
    assert Scene.of({}) == Scene.of({"scene": "?"}) == Scene()


def test_times_are_told_as_the_clock_on_the_wall_tells_them() -> None:
    at = datetime(2020, 11, 28, 17, 40).astimezone()
    assert local(at.isoformat()) == "28 Nov 2020, 17:40"
    assert local(datetime.now().astimezone().replace(month=1, day=3, hour=9, minute=5).isoformat()) == "3 Jan, 09:05"


def _last(volume: Any, folder: Path) -> Any:
    store = Dataset(folder)
    draft = store.draft(store.case_of(volume))
    assert draft is not None
    return draft


def test_an_offer_about_an_image_goes_with_it(yesterday: tuple[Any, Path, dict[str, Any]], small: Phantom) -> None:
    viewer, image = opened_again(small.volume, yesterday[1])
    viewer.stage.close(image)
    viewer.desk.image_left(image)  # "Start afresh" would be about nothing that can be seen
    assert offered(viewer, image) is None
    viewer.desk.leave()


def test_the_score_acts_on_slices_of_an_earlier_day_and_what_it_hides_comes_back_another_day(
    yesterday: tuple[Any, Path, dict[str, Any]],
) -> None:
    """Their masks and scores are known, though no outline at another probability is."""
    volume, folder, rows = yesterday
    viewer, image = opened_again(volume, folder)
    dark, hidden = viewer.desk.tracks.of(image)[0], rows[DARK].copy()
    hidden[2] = False  # 3 is accepted, 5 and 6 are painted
    reapplying = viewer.desk.overview.reapplying
    reapplying.choose(existence=0.95)
    viewer.idle()
    assert np.array_equal(dark.surface.copy() > 0, hidden)
    assert not any("stay as" in line for line in reapplying.totals)
    assert dark.kept.mark(2).hidden
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()

    viewer, image = opened_again(volume, folder)
    dark, reapplying = viewer.desk.tracks.of(image)[0], viewer.desk.overview.reapplying
    assert np.array_equal(dark.surface.copy() > 0, hidden)
    reapplying.choose(existence=0.5)
    viewer.idle()
    assert np.array_equal(dark.surface.copy() > 0, rows[DARK])
    assert dark.edited_rows() == [5, 6]
    reapplying.choose(outline=0.9)
    viewer.idle()
    assert "2 restored slices stay as they were: run them again to move their outline" in reapplying.totals
    assert np.array_equal(dark.surface.copy() > 0, rows[DARK])


def test_who_comes_back_without_having_ended_finds_answers_that_follow_each_threshold(
    yesterday: tuple[Any, Path, dict[str, Any]], made: Phantom
) -> None:
    volume, folder, _ = yesterday
    viewer = at_work(folder)
    first = viewer.open(volume)
    viewer.desk.patients.came(first)
    viewer.until(lambda: offered(viewer, first) is not None)
    (track, _) = viewer.desk.tracks.of(first)
    plan = SlicePlan.of(volume.grid, 64, 0)
    logits = np.linspace(-64, 64, 64 * 64).reshape(1, 64, 64).astype(np.int8)
    track.begin_run(plan, 0.5)
    track.answer(plan, SliceResult(plan.canonical_index(1), logits, np.array([0.8], np.float32)), 0, {"seed": 7})
    viewer.desk.keeper.touch(first)
    wide = track.surface.copy() > 0
    viewer.desk.patients.came(viewer.open(made.volume))
    viewer.idle()
    again = viewer.open(volume)
    viewer.desk.patients.came(again)
    viewer.until(lambda: offered(viewer, again) is not None)
    viewer.idle()
    (track, _) = viewer.desk.tracks.of(again)
    assert again is not first
    assert np.array_equal(track.surface.copy() > 0, wide)
    assert set(track.kept.rows) == {1}  # the others are of yesterday
    viewer.desk.overview.reapplying.choose(outline=0.95)
    viewer.idle()
    assert 0 < track.row(1).sum() < wide[1].sum()
    assert np.array_equal(np.delete(track.surface.copy() > 0, 1, 0), np.delete(wide, 1, 0))


@pytest.mark.parametrize("then", [False, True])
def test_what_touches_in_a_picture_of_an_earlier_day_is_not_parted_without_a_word(tmp_path: Path, then: bool) -> None:
    """Its probabilities are gone. What was parted then is still."""
    volume = Volume(np.zeros((1, 64, 64), np.uint8), Grid.pixels((1, 64, 64)), name="cells")
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(volume)
    answered(viewer, image, BRIGHT, 0)
    viewer.idle()
    viewer.desk.chosen()
    viewer.desk.overview.reapplying.choose_objects(apart=then)
    viewer.idle()
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()

    again, image = opened_again(volume, tmp_path / "kept")
    reapplying = again.desk.overview.reapplying
    assert reapplying.thresholds.apart == then
    assert len(reapplying.totals) == 1
    reapplying.choose_objects(apart=True)
    again.idle()
    said = "Restored objects stay as they were: run it again to part those that touch"
    assert (said in reapplying.totals) is not then
    reapplying.choose(outline=0.9)
    again.idle()
    assert "The restored mask stays as it was: run it again to move its thresholds" in reapplying.totals


def test_an_offer_says_of_which_image_it_is_where_two_are_open(
    yesterday: tuple[Any, Path, dict[str, Any]], small: Phantom
) -> None:
    viewer, image = opened_again(small.volume, yesterday[1])
    alone = offered(viewer, image).sentence
    assert alone.startswith("Restored from ")
    other = viewer.open(replace(small.volume, array=small.volume.array + 1, name="another"))
    assert offered(viewer, image).sentence == f"'{image.name}': {alone}"
    assert viewer.speaker.offers == [offered(viewer, image)]
    viewer.stage.close(other)
    viewer.desk.chosen()
    assert offered(viewer, image).sentence == alone
    viewer.desk.leave()


def test_the_slice_bar_shows_again_what_was_looked_at_and_what_a_threshold_hid(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    track = answered(viewer, image, BRIGHT, 2)
    plan = track.plan
    for row, logit in ((3, 64), (4, -64)):  # outlined but unlikely, and nothing at all
        logits, score = np.full((1, 64, 64), logit, np.int8), np.array([0.2], np.float32)
        track.answer(plan, SliceResult(plan.canonical_index(row), logits, score), 0, {"seed": 7})
    viewer.desk.overview.show_tracks()
    shown = [State.UNKNOWN, State.FOUND, State.HIDDEN, State.NOTHING]
    assert states(viewer) == shown
    viewer.desk.keeper.touch(image)
    viewer.desk.keeper.autosave()
    viewer.idle()
    viewer.desk.leave()
    for _ in range(2):  # also when what came back is saved anew
        viewer, image = opened_again(small.volume, tmp_path / "kept")
        assert states(viewer) == shown
        (lane,) = viewer.desk.overview.bar.lanes
        assert lane.words(3) == f"{BRIGHT}: hidden by a threshold, score 0.20"
        viewer.desk.keeper.touch(image)
        viewer.desk.keeper.autosave()
        viewer.idle()
        viewer.desk.leave()


def states(viewer: Viewer) -> list[State]:
    """Of slices 1 to 4."""
    (lane,) = viewer.desk.overview.bar.lanes
    return [lane.state(row) for row in range(1, 5)]


def lines_of_earlier(viewer: Viewer, image: Any) -> list[str]:
    """The states that are offered; none of them is chosen."""
    viewer.dialogs.lines, viewer.dialogs.chosen_line = [], None
    viewer.desk.keeper.back._ask_earlier(image, lambda: None)
    viewer.idle()
    return viewer.dialogs.lines


def test_what_is_on_screen_is_no_earlier_state_of_itself(yesterday: tuple[Any, Path, dict[str, Any]]) -> None:
    volume, folder, _ = yesterday
    for _ in range(2):  # opened, looked at and left: nothing is kept a second time
        viewer, image = opened_again(volume, folder)
        assert lines_of_earlier(viewer, image) == [_words(viewer, image, 1)]
        viewer.stage.go(image, viewer.stage.row(image) + 1)
        viewer.desk.keeper.autosave()
        viewer.desk.keeper.put_by(image)
        viewer.idle()
        assert lines_of_earlier(viewer, image) == [_words(viewer, image, 1)]
        viewer.desk.leave()
    viewer, image = opened_again(volume, folder)
    stroke(viewer.desk.tracks.of(image)[0], 7, 3)
    assert len(lines_of_earlier(viewer, image)) == 2  # as it was restored is another state now
    viewer.desk.keeper.autosave()
    viewer.idle()
    lines = lines_of_earlier(viewer, image)
    assert len(lines) == 2
    assert not any("3 painted slices" in line for line in lines)  # which was saved just now
    viewer.desk.leave()


def test_the_list_tells_of_what_was_accepted_all_that_comes_back_with_it(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "kept")
    image = viewer.open(small.volume)
    viewer.idle()
    track = viewer.desk.tracks.new(image, Prompt(DARK))
    for row in (5, 6, 7):
        stroke(track, row, 10)
    for row in (5, 6):  # two revisions; the third slice is in neither
        viewer.stage.go(image, row)
        viewer.desk.keeper.accept()
        viewer.idle()
    viewer.dialogs.chosen_line = next(
        at for at, line in enumerate(lines_of_earlier(viewer, image)) if "nothing else" in line
    )
    line = viewer.dialogs.lines[viewer.dialogs.chosen_line]
    assert "2 painted slices, 2 accepted, nothing else" in line
    viewer.desk.keeper.back._ask_earlier(image, lambda: None)
    viewer.until(lambda: offered(viewer, image) is not None)
    assert offered(viewer, image).sentence == f"Restored from {line.split(', nothing else')[0]}."
    (back,) = viewer.desk.tracks.of(image)
    assert back.edited_rows() == [5, 6]
    viewer.desk.leave()


def _words(viewer: Viewer, image: Any, accepted: int) -> str:
    """Of what was accepted."""
    (line,) = [one.words for one in states_of(viewer.desk.keeper.folder(image), image.volume) if not one.autosave]
    assert f"{accepted} accepted" in line
    return line
