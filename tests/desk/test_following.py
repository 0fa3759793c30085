"""A mask is followed through the neighbouring slices: each leads the next as long as the model is sure, never into a
person's own slices, and all of it is one step of undo."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Asked, Bench, result

from boltzformer import Grid, Prompt, SlicePlan, Volume
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.desk.keeping.remembering import states_of
from boltzformer.desk.keeping.snapshot import frozen
from boltzformer.desk.masks.pointing import Pointed, Pointing
from boltzformer.desk.runs.follow import doubt, lead
from boltzformer.image.geometry import Array
from boltzformer.io.phantom import BRIGHT, Lesion, Phantom
from boltzformer.types import Prediction, SliceState, Started


def lesion(made: Phantom) -> Lesion:
    return next(one for one in made.lesions if one.kind == BRIGHT)


def clicked(bench: Bench, made: Phantom) -> int:
    """A click on a lesion's middle, answered."""
    one, image = lesion(made), bench.open_volume(made.volume)
    row = image.plan.canonical_index(one.centre[2])
    bench.stage.go(image, row)
    truth = image.plan.view.apply(made.labels.mask(1))[row]
    y, x = np.argwhere(truth)[len(np.argwhere(truth)) // 2].tolist()
    bench.pointing = Pointing((Pointed((row, y, x), True, BRIGHT),), None)
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    return row


def until_followed(bench: Bench) -> None:
    bench.until(lambda: bench.speaker.sentence.startswith(("Followed ", "'")))
    bench.idle()


def test_one_click_is_followed_as_far_as_the_object_goes_and_undone_at_once(bench: Bench, made: Phantom) -> None:
    row = clicked(bench, made)
    (track,) = bench.desk.tracks.chosen()
    before = track.surface.copy()
    assert [one for one in range(track.count) if before[one].any()] == [row]
    bench.desk.follow()
    bench.stage.activate(None)
    until_followed(bench)
    assert bench.stage.active() is track.surface  # what was selected meanwhile, e.g. points, has no undo of it
    found = [one for one in range(track.count) if track.row(one).any()]
    reach = lesion(made).radius
    assert found == list(range(found[0], found[-1] + 1))
    assert len(found) >= 4
    assert row - reach - 2 <= found[0] < row < found[-1] <= row + reach + 2
    assert bench.speaker.sentence.startswith(f"Followed 'bright blob' of slice {row} into {len(found) - 1} slices: ")
    assert "It ends at slice" in bench.speaker.sentence
    view, truth = track.image.plan.view, made.labels.mask(1)
    inside = track.surface.copy() > 0
    assert (inside & view.apply(truth)).sum() > 0.6 * inside.sum()
    assert track.surface.steps == 1  # type: ignore[attr-defined]
    assert [run["state"] for run in track.runs].count("followed") == len(found) - 1
    track.surface.undo()  # type: ignore[attr-defined]
    assert np.array_equal(track.surface.copy(), before)
    assert bench.speaker.sentence == ""  # nothing of it is on screen any more


def test_following_is_the_last_run_and_is_taken_back_before_the_click(bench: Bench, made: Phantom) -> None:
    row = clicked(bench, made)
    (track,) = bench.desk.tracks.chosen()
    before = track.surface.copy()
    bench.desk.follow()
    until_followed(bench)
    found = [one for one in range(track.count) if track.row(one).any()]
    mine = track.mask(found[-1])
    mine[0, 0] = True
    track.surface.paint(found[-1], mine)  # type: ignore[attr-defined]
    bench.desk.revert()
    assert bench.speaker.sentence == f"Took the last run back in {len(found) - 2} mask slices."
    assert np.array_equal(track.mask(found[-1]), mine)  # what was painted since is a person's
    assert [one for one in range(track.count) if track.row(one).any()] == [row, found[-1]]
    assert np.array_equal(track.row(row), before[row])
    assert [run["state"] for run in track.runs].count("followed") == 1
    assert not any(track.belongs_to_a_person(one) for one in found[:-1])
    bench.desk.revert()
    assert bench.speaker.sentence == "Took the last run back in 1 mask slice."
    assert not track.row(row).any()


def test_following_that_was_undone_is_not_taken_back_once_more(bench: Bench, made: Phantom) -> None:
    row = clicked(bench, made)
    (track,) = bench.desk.tracks.chosen()
    bench.desk.follow()
    until_followed(bench)
    surface: Any = track.surface

    def followed() -> int:
        """Steps of which a file would tell."""
        return [run["state"] for run in frozen(track).how_made()["runs"]].count("followed")

    steps = followed()
    assert steps >= 3
    surface.undo()
    assert followed() == 0
    surface.redo()
    assert followed() == steps
    surface.undo()
    bench.desk.follow()
    until_followed(bench)
    assert followed() == steps
    surface.undo()
    bench.desk.revert()
    assert bench.speaker.sentence == "Took the last run back in 1 mask slice."
    assert not track.row(row).any()
    assert not bench.desk.running.can_revert
    assert followed() == 0


def test_following_ends_with_its_mask(bench: Bench, made: Phantom) -> None:
    clicked(bench, made)
    (track,) = bench.desk.tracks.chosen()
    bench.desk.follow()
    bench.until(lambda: ", 2 slices so far" in bench.speaker.sentence)
    bench.stage.remove(track.surface)
    bench.idle()
    assert bench.speaker.sentence == "The mask 'bright blob' was removed: it is followed no further."
    assert not bench.desk.running.runs


def test_it_stops_before_a_persons_own_slice(bench: Bench, made: Phantom) -> None:
    row = clicked(bench, made)
    (track,) = bench.desk.tracks.chosen()
    stroke = np.zeros(track.shape[1:], bool)
    stroke[0, 0] = True
    track.surface.paint(row + 1, stroke)  # type: ignore[attr-defined]
    track.say(row - 2, SliceState.EMPTY)
    bench.desk.follow()
    until_followed(bench)
    assert np.array_equal(track.row(row + 1) > 0, stroke)
    assert not track.row(row + 2).any()
    assert not track.row(row - 2).any()
    assert track.row(row - 1).any()
    assert f"slice {row + 1}: your own work" in bench.speaker.sentence


def test_where_the_image_ends_the_last_slice_is_named(bench: Bench, made: Phantom) -> None:
    image, mask = bench.open_volume(made.volume), np.zeros(made.volume.grid.shape, bool)
    mask[0, 30:40, 30:40] = True
    bench.answered(image, BRIGHT, mask)
    bench.stage.go(image, 0)
    bench.desk.follow()
    until_followed(bench)
    assert "slice 0: the end of the image" in bench.speaker.sentence


def test_cancelled_it_keeps_what_was_found(bench: Bench, made: Phantom) -> None:
    row = clicked(bench, made)
    (track,) = bench.desk.tracks.chosen()
    bench.desk.follow()
    bench.until(lambda: ", 2 slices so far" in bench.speaker.sentence)
    assert not track.row(row + 1).any()  # nothing is written before the end
    bench.desk.running.cancel()
    until_followed(bench)
    assert np.count_nonzero(track.surface.copy().any(axis=(1, 2))) == 3
    assert "into 2 slices: " in bench.speaker.sentence
    bench.desk.follow()  # and it can be gone on with
    until_followed(bench)


def test_there_must_be_something_to_follow_and_somewhere_to_go(bench: Bench, made: Phantom) -> None:
    bench.desk.follow()
    assert bench.speaker.sentence.startswith("There is no mask in this slice to follow")
    picture = bench.open(Grid.pixels((1, 20, 20)))
    bench.answered(picture, "x", np.ones((1, 20, 20), bool))
    bench.desk.follow()
    assert bench.speaker.sentence == "A picture has no other slices to follow a mask into."


def test_what_is_another_object_is_not_followed() -> None:
    one = np.zeros((20, 20), bool)
    one[5:9, 5:9] = True
    assert doubt(one, one, 0.9, 0.5) == ""
    assert doubt(one, one, 0.4, 0.5) == "score 0.40, below 0.50"
    assert doubt(np.zeros_like(one), one, 0.9, 0.5) == "no outline"
    assert doubt(np.roll(one, 4, 0), one, 0.9, 0.5) == "it lies elsewhere"
    assert doubt(np.ones_like(one), one, 0.9, 0.5) == "it is of another size"


def test_a_neighbour_leads_by_the_inside_of_its_objects_and_a_box_around_them(small: Phantom) -> None:
    mask = np.zeros((72, 80), bool)
    mask[10:17, 20:31] = mask[40:43, 50:53] = True
    said = lead(small.volume, BRIGHT, mask, 7)
    view = small.volume.grid.canonical(small.volume.slice_axis)
    seen = np.zeros(small.volume.grid.shape, bool)
    for i, j, k in said.here:
        seen[int(k), int(j), int(i)] = True
    assert np.argwhere(view.apply(seen)).tolist()[1] == [7, 41, 51]
    assert mask[tuple(np.argwhere(view.apply(seen))[0][1:])]
    assert said.box is not None
    (low_i, low_j, _), (high_i, high_j, _) = said.box
    assert (high_i - low_i, high_j - low_j) == (53 - 20 - 1 + 2 * 8.25, 43 - 10 - 1 + 2 * 8.25)


class Scripted:
    """A model that finds the same two objects wherever it is asked."""

    model = "m"

    def __init__(self, found: Array) -> None:
        self._found = found

    def segment(self, volume: Volume, prompts: list[Prompt], *, slices: list[int], **how: Any) -> Asked:
        job, plan = Asked(), SlicePlan.of(volume.grid, max(volume.grid.shape), volume.slice_axis)
        seen = result(plan, plan.canonical_index(slices[0]), self._found, 0.9)
        job.events = [Started(plan, 1, {}), seen, Prediction(tuple(prompts), (seen,), plan)]
        return job


@pytest.mark.without_engine
def test_objects_that_are_hidden_for_their_size_are_not_followed(tmp_path: Path) -> None:
    ball, speck = np.zeros((2, 20, 20), bool)
    ball[4:9, 4:9] = speck[15, 15] = True
    session: Any = Scripted(ball | speck)
    bench = Bench(session, tmp_path)
    image = bench.open(Grid.from_lps((5, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0])))
    blank = np.zeros((20, 20), bool)
    track = bench.answered(image, "x", [blank, blank, ball | speck, blank, blank])
    bench.stage.go(image, 2)
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=20)
    bench.idle()
    bench.desk.follow()
    until_followed(bench)
    assert all(np.array_equal(track.mask(row), ball) for row in range(5))
    assert bench.speaker.sentence.startswith("Followed 'x' of slice 2 into 4 slices: ")
    assert "Objects that the size filter hides were left out." in bench.speaker.sentence
    bench.leave()


@pytest.mark.without_engine
@pytest.mark.parametrize(
    ("marked", "told"),
    [({1, 2}, "4 slices, 3 changed: 0, 3-4."), (set(range(5)), "4 slices, where it was marked already. It ends at")],
    ids=["some", "all"],
)
def test_slices_that_it_was_followed_through_count_though_they_stay(
    tmp_path: Path, marked: set[int], told: str
) -> None:
    ball, blank = np.zeros((2, 20, 20), bool)
    ball[4:9, 4:9] = True
    session: Any = Scripted(ball)
    bench = Bench(session, tmp_path)
    image = bench.open(Grid.from_lps((5, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0])))
    bench.answered(image, "x", [ball if row in marked else blank for row in range(5)])
    bench.stage.go(image, 2)
    bench.desk.follow()
    until_followed(bench)
    assert bench.speaker.sentence.startswith(f"Followed 'x' of slice 2 through {told}")
    bench.leave()


def test_another_image_ends_the_following_and_keeps_what_was_found(bench: Bench, made: Phantom) -> None:
    row = clicked(bench, made)
    (track,) = bench.desk.tracks.chosen()
    bench.desk.follow()
    bench.until(lambda: "2 slices so far" in bench.speaker.sentence)
    bench.desk.patients.open(replace(made.volume, name="another"))
    bench.idle()
    bench.desk.notice.answer(PUT_AWAY, "Undo")
    bench.idle()
    assert bench.desk.tracks.chosen() == [track]
    kept = [one for one in range(track.count) if track.row(one).any()]
    assert row in kept
    assert len(kept) >= 3
    bench.desk.follow()  # the next one is not told that one is under way
    until_followed(bench)
    assert f"of slice {row}" in bench.speaker.sentence


def test_points_and_slice_are_kept_of_an_image_that_goes_in_mid_run(bench: Bench, made: Phantom) -> None:
    row, (image,) = clicked(bench, made), bench.stage.images()
    bench.stage.guide(image, {"points": [[[row, 1.0, 2.0], True, BRIGHT]]})
    bench.desk.running.start([BRIGHT], only_this=False)
    bench.until(lambda: any(run.done for run in bench.desk.running.runs))
    bench.desk.patients.open(replace(made.volume, name="another"))
    bench.idle()
    kept = bench.desk.keeper.folder(image)
    state = next(one for one in states_of(kept, made.volume, "") if one.autosave)
    scene = state.bring().scene
    assert scene.row == row
    assert scene.guides == {"points": [[[row, 1.0, 2.0], True, BRIGHT]]}
