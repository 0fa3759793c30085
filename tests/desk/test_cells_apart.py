"""One label per object on the desk: touching objects of a picture are parted as a threshold is moved, and put together
again; clicks split and join, each a step of undo; counts, sizes, table and export follow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench
from PIL import Image

from boltzformer import Grid, io
from boltzformer.desk.keeping.bringing_back import put_back
from boltzformer.desk.keeping.cases import cases_in
from boltzformer.desk.keeping.remembering import LastWork, annotation_of, masks_of
from boltzformer.desk.keeping.snapshot import Snapshot
from boltzformer.desk.keeping.stories import is_export, masks_in
from boltzformer.desk.masks import sizes
from boltzformer.desk.masks.track import Track
from boltzformer.desk.settings import Settings
from boltzformer.knowledge.suggestions import may_be_cells
from boltzformer.masks.cells import numbered, parted
from boltzformer.masks.objects import pieces

pytestmark = pytest.mark.without_engine

SHAPE = 80, 120
GRID = Grid.pixels((1, *SHAPE))


def touching() -> np.ndarray:
    """Three pairs of cells that touch would be too simple: three in a heap, one alone, one speck."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    places = ((30, 30, 12), (30, 51, 12), (50, 40, 11), (20, 95, 9), (70, 100, 2))
    return np.any([(y - row) ** 2 + (x - column) ** 2 <= radius**2 for row, column, radius in places], axis=0)[None]


def count(track: Track) -> int:
    return int(pieces(track.mask(0)).max())


def choose(bench: Bench, **how: Any) -> None:
    bench.desk.overview.reapplying.choose_objects(**how)
    bench.idle()


def test_what_is_saved_before_it_was_parted_comes_back_parted(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    image = track.image
    bench.desk.overview.reapplying.choose_objects(apart=True)
    assert count(track) == 3  # it takes a while
    (work,) = masks_of(LastWork("", annotation_of(Snapshot.of(image, [track])), None, {}), image.plan)
    assert work.lines is not None
    assert int(pieces(work.rows[0] & ~work.lines).max()) == 5


def test_the_tick_stays_from_picture_to_picture(bench: Bench) -> None:
    bench.answered(bench.open(GRID), "cell", touching())
    choose(bench, apart=True)
    other = bench.open(GRID)
    bench.stage.choose(other)
    bench.desk.chosen()
    track = bench.answered(other, "cell", touching())
    assert bench.desk.overview.reapplying.thresholds.apart
    assert count(track) == 5
    volume = bench.open(Grid.pixels((4, *SHAPE)))
    bench.answered(volume, "cell", np.repeat(touching(), 4, 0))
    assert not bench.desk.overview.reapplying.thresholds.apart
    bench.desk.overview.reapplying.choose(existence=0.4)
    assert Settings.load().apart
    bench.stage.choose(other)
    bench.desk.chosen()
    choose(bench)
    assert count(track) == 3
    assert not Settings.load().apart


def test_a_picture_that_comes_back_is_as_it_was_whatever_was_chosen_for_a_later_one(bench: Bench) -> None:
    images = []
    for apart in (True, True, False):
        images.append(bench.open(GRID))
        bench.stage.choose(images[-1])
        bench.desk.chosen()
        track = bench.answered(images[-1], "cell", touching())
        if len(images) != 2:  # the second is as the first was, and nobody chose that for it
            choose(bench, apart=apart)
        assert count(track) == (5 if apart else 3)
    assert not Settings.load().apart
    for image, objects in zip(images, (5, 5, 3), strict=True):
        bench.stage.choose(image)
        bench.desk.chosen()
        bench.idle()
        assert count(bench.desk.tracks.of(image)[0]) == objects
    track = bench.desk.tracks.of(images[1])[0]
    (work,) = masks_of(LastWork("", annotation_of(Snapshot.of(images[1], [track])), None, {}), images[1].plan)
    again = bench.open(GRID)  # another day
    bench.stage.choose(again)
    put_back(bench.desk.tracks.new(again, track.prompt), work)
    again.thresholds = None
    bench.desk.overview.show_tracks()
    assert bench.desk.overview.reapplying.thresholds.apart


def test_what_is_no_cell_is_not_parted_because_cells_were(bench: Bench) -> None:
    bench.answered(bench.open(GRID), "cell", touching())
    choose(bench, apart=True)
    vessels = bench.open(GRID)
    bench.stage.choose(vessels)
    bench.desk.chosen()
    bench.answered(vessels, "retinal vessel in fundus photograph", touching())
    assert not bench.desk.overview.reapplying.thresholds.apart
    choose(bench, smallest_mm3=1)
    assert Settings.load().apart  # and cells go on as they were


@pytest.mark.parametrize("goes", [False, True], ids=["it stays", "it is put away"])
def test_accept_waits_for_what_touches_to_be_parted(bench: Bench, goes: bool) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    bench.desk.overview.reapplying.choose_objects(apart=True)
    bench.timers.tick()
    bench.desk.keeper.accept()
    assert bench.speaker.sentence == "Objects are being parted or hidden still: accepted as soon as that is done."
    assert not track.is_spoken_of
    if goes:
        bench.desk.keeper.put_by(track.image)
        assert track.is_spoken_of
    bench.idle()
    assert bench.speaker.sentence.startswith("This picture accepted. Kept as revision 1")
    assert track.is_spoken_of
    assert count(track) == 5


@pytest.mark.parametrize("closed", [False, True], ids=["it is put away", "it is removed"])
def test_a_large_picture_that_goes_before_its_cells_are_parted_is_not_accepted_and_that_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """To part thousands of cells while the window waits would take half a minute."""
    monkeypatch.setattr(sizes, "AT_ONCE", 100)
    track = bench.answered(bench.open(GRID), "cell", touching())
    bench.desk.overview.reapplying.choose_objects(apart=True)
    bench.timers.tick()
    bench.desk.keeper.accept()
    bench.desk.keeper.leave()  # a dock that is hidden for a moment ends nothing
    assert bench.speaker.sentence.endswith("accepted as soon as that is done.")
    if not closed:
        bench.desk.keeper.put_by(track.image)
    bench.desk.image_left(track.image)
    assert not track.is_spoken_of
    assert "accepted as soon" not in bench.speaker.sentence
    (told,) = [one.sentence for one in bench.desk.notice.offers if one.topic.startswith("not accepted")]
    assert told.endswith("is not accepted: its objects were still being parted or hidden when it went.")
    again = bench.answered(bench.open(GRID), "cell", touching())
    bench.desk.notice.offer(f"not accepted of {again.image.key}", told)
    bench.desk.keeper.accept()
    bench.idle()
    assert again.is_spoken_of
    assert f"not accepted of {again.image.key}" not in [one.topic for one in bench.desk.notice.offers]
    bench.idle()
    assert not track.is_spoken_of


def test_accept_that_is_pressed_again_while_it_waits_accepts_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, kept = bench.desk.keeper, list[str]()
    store = keeper.store
    monkeypatch.setattr(keeper, "store", lambda told, *rest, **of: (kept.append(told), store(told, *rest, **of)))
    track = bench.answered(bench.open(GRID), "cell", touching())
    bench.desk.overview.reapplying.choose_objects(apart=True)
    bench.timers.tick()
    for _ in range(3):
        keeper.accept()
    bench.idle()
    assert track.is_spoken_of
    assert kept == ["This picture accepted."]


@pytest.mark.parametrize("press", ["accept", "accept_all", "accept_painted"])
def test_an_accept_that_waits_for_a_mask_that_is_removed_says_that_it_is_not_accepted(bench: Bench, press: str) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    bench.desk.overview.reapplying.choose_objects(apart=True)
    bench.timers.tick()
    getattr(bench.desk.keeper, press)()
    bench.stage.remove(track.surface)
    bench.desk.keeper.mask_left(track, removed=True)
    bench.idle()
    (told,) = [one.sentence for one in bench.desk.notice.offers if one.topic.startswith("not accepted")]
    assert told.endswith("is not accepted: its mask was removed before its objects were parted or hidden.")
    assert "accepted as soon" not in bench.speaker.sentence


def test_what_is_asked_for_later_melts_no_cells_that_are_apart(bench: Bench) -> None:
    Settings(apart=True).save()
    bench.desk.settings.apart = True
    cells = bench.answered(bench.open(GRID), "cell", touching())
    assert count(cells) == 5
    bench.answered(cells.image, "retinal vessel in fundus photograph", touching())
    assert count(cells) == 5
    assert may_be_cells(["cell", "blood vessel"], "microscopy")
    assert not may_be_cells(["cell", "blood vessel"])
    assert not may_be_cells(["cell", "retinal vessel in fundus photograph"], "microscopy")


@pytest.mark.parametrize("prompt", ["cell", "retinal vessel in fundus photograph"])
def test_a_reset_of_the_thresholds_leaves_the_tick(bench: Bench, prompt: str) -> None:
    bench.answered(bench.open(GRID), prompt, touching())
    choose(bench, apart=True)
    bench.desk.overview.reapplying.choose(existence=0.7, outline=0.6)
    bench.desk.overview.reapplying.reset()
    bench.idle()
    now = bench.desk.overview.reapplying.thresholds
    assert (now.apart, now.outline, now.existence) == (True, 0.5, 0.5)
    assert Settings.load().apart is (prompt == "cell")
    choose(bench)
    bench.desk.overview.reapplying.reset()
    assert not bench.desk.overview.reapplying.thresholds.apart


def test_touching_objects_are_parted_and_put_together_again(bench: Bench, tmp_path: Path) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    before = track.surface.copy()
    assert bench.desk.counting.objects[track.key].objects == 3
    choose(bench, apart=True)
    assert bench.desk.counting.objects[track.key].objects == count(track) == 5
    assert not track.edited_rows()
    choose(bench, apart=True, smallest_mm3=30)
    assert count(track) == 4
    assert bench.desk.sizes.count == 1
    lesions: list[Any] = []
    bench.desk.measure(lesions.extend)
    bench.idle()
    assert len(lesions) == 4
    bench.desk.exporting.to(tmp_path / "cells.png")
    assert np.array_equal(io.read(tmp_path / "cells.png").array > 0, track.surface.copy() > 0)
    choose(bench)
    assert np.array_equal(track.surface.copy(), before)
    assert track.surface.steps == 0  # type: ignore[attr-defined]


def test_an_answer_that_is_taken_is_parted_in_the_same_step_of_undo(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    choose(bench, apart=True, smallest_mm3=30)
    corner = np.zeros(SHAPE, bool)
    corner[-1, :9] = True
    track.surface.paint(0, corner)  # type: ignore[attr-defined]
    bench.answer(track, {0: np.roll(touching()[0], 3, 1)})
    before, steps = track.mask(0).copy(), track.surface.steps  # type: ignore[attr-defined]
    bench.desk.take(0)
    bench.idle()
    bench.idle()
    assert not track.proposals
    assert count(track) == 4
    assert not track.edited_rows()
    assert track.surface.steps == steps + 1  # type: ignore[attr-defined]
    assert bench.desk.sizes.count == 1
    track.surface.undo()  # type: ignore[attr-defined]
    bench.idle()
    assert np.array_equal(track.mask(0), before)  # nothing is hidden or shown since
    assert np.array_equal(track.proposed(0), np.roll(touching()[0], 3, 1))  # and it is offered again
    assert track.edited_rows() == [0]
    track.surface.redo()  # type: ignore[attr-defined]
    choose(bench)
    assert np.array_equal(track.mask(0), np.roll(touching()[0], 3, 1))


def test_parting_says_so_while_it_takes_long(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    bench.desk.notice.say("Looked at this picture.")
    bench.desk.overview.reapplying.choose_objects(apart=True)
    bench.until(lambda: bench.speaker.sentence == "Looked at this picture. Parting what touches…")
    bench.idle()
    assert bench.speaker.sentence == "Looked at this picture."
    assert count(track) == 5
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=30)  # is quick, whatever the picture
    bench.timers.tick()
    assert "Parting" not in bench.speaker.sentence
    bench.idle()


def test_clicks_split_and_join_and_each_is_a_step_of_undo(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    before = track.surface.copy()
    bench.desk.split_object(track, (0, 30, 41))
    bench.idle()
    assert count(track) == 4
    bench.desk.split_object(track, (0, 20, 95))
    bench.idle()
    assert count(track) == 5
    assert bench.speaker.sentence.startswith("One object is two now: 5 objects of 'cell'.")
    y, x = np.argwhere((before[0] > 0) & ~track.mask(0) & (np.arange(SHAPE[1]) > 80))[3].tolist()
    bench.desk.join_objects(track, (0, y, x))
    bench.idle()
    assert bench.speaker.sentence.startswith("Two objects are one now: 4 objects of 'cell'.")
    steps = track.surface.steps  # type: ignore[attr-defined]
    for _ in range(steps):
        track.surface.undo()  # type: ignore[attr-defined]
    assert np.array_equal(track.surface.copy(), before)
    bench.desk.split_object(track, (0, 0, 0))
    bench.idle()
    assert bench.speaker.sentence == "No cut through this place parts an object of 'cell'."
    bench.desk.join_objects(track, (0, 0, 0))
    bench.idle()
    assert bench.speaker.sentence.startswith("There are no two objects of 'cell' beside this place: click on the seam")
    assert np.array_equal(track.surface.copy(), before)


def test_two_objects_are_joined_by_a_click_on_one_and_then_on_the_other(bench: Bench) -> None:
    mask = np.zeros((1, *SHAPE), bool)
    mask[0, 10:20, 10:20] = mask[0, 10:20, 30:40] = mask[0, 10:20, 70:80] = True  # 10 and 30 pixels between them
    track = bench.answered(bench.open(GRID), "cell", mask)
    for place, said, left in (
        ((0, 15, 15), "Now click on the other one", 3),
        ((0, 15, 15), "Those are one already, or more than 16 pixels apart", 3),
        ((0, 15, 35), "Two objects are one now", 2),
        ((0, 15, 75), "Now click on the other one", 2),
        ((0, 15, 35), "Those are one already, or more than 16 pixels apart", 2),
    ):
        bench.desk.join_objects(track, place)
        bench.idle()
        assert bench.speaker.sentence.startswith(said)
        assert count(track) == left


def test_the_first_of_two_is_known_whatever_is_said_meanwhile_until_something_else_is_done(bench: Bench) -> None:
    mask = np.zeros((1, *SHAPE), bool)
    mask[0, 10:20, 10:20] = mask[0, 10:20, 30:40] = mask[0, 10:20, 50:60] = True
    track = bench.answered(bench.open(GRID), "cell", mask)
    bench.desk.join_objects(track, (0, 15, 15))
    bench.idle()
    bench.desk.notice.say("Saved.")
    bench.desk.join_objects(track, (0, 15, 35))
    bench.idle()
    assert bench.speaker.sentence.startswith("Two objects are one now")
    bench.desk.join_objects(track, (0, 15, 15))
    bench.idle()
    bench.desk.past_click()
    bench.desk.join_objects(track, (0, 15, 55))
    bench.idle()
    assert bench.speaker.sentence.startswith("Now click on the other one")
    assert count(track) == 2


def test_a_click_is_about_the_mask_in_hand_else_about_the_topmost_that_has_an_object_there(bench: Bench) -> None:
    image, left, right = bench.open(GRID), np.zeros((1, *SHAPE), bool), np.zeros((1, *SHAPE), bool)
    left[0, 10:20, 10:20] = right[0, 10:20, 30:40] = right[0, 40:50, 10:20] = left[0, 40:50, 10:20] = True
    masks = zip(("below", "above", "empty"), (left, right, left & right & False), strict=True)
    below, above, empty = (bench.answered(image, name, mask) for name, mask in masks)
    bench.stage.activate(empty.surface)

    def under(place: tuple[int, int, int], reach: int = 0) -> Track | None:
        return bench.desk.tracks.under(lambda _: place, reach)

    assert under((0, 15, 15)) is below
    assert under((0, 15, 35)) is above
    assert under((0, 45, 15)) is above
    assert under((0, 15, 22)) is None
    assert under((0, 15, 22), reach=4) is below  # beside an object, as a seam is
    bench.stage.activate(below.surface)
    assert under((0, 45, 15)) is below
    below.surface.shown = False
    assert under((0, 15, 15)) is None


def test_clicks_that_come_quicker_than_they_are_done_are_all_done(bench: Bench) -> None:
    mask = np.zeros((1, *SHAPE), bool)
    mask[0, 10:20, 10:20] = mask[0, 10:20, 30:40] = True
    mask[0, 40:60, 20:60] = mask[0, 40:60, 80:110] = True
    track = bench.answered(bench.open(GRID), "cell", mask)
    gone = bench.desk.tracks.new(track.image, track.prompt)
    steps = track.surface.steps  # type: ignore[attr-defined]
    bench.desk.split_object(track, (0, 50, 40))
    bench.desk.split_object(gone, (0, 50, 40))
    bench.desk.split_object(track, (0, 50, 95))
    for column in (15, 35):  # one and then the other
        bench.desk.join_objects(track, (0, 15, column))
    bench.stage.remove(gone.surface)
    track.surface.paint(0, np.indices(SHAPE).sum(0) == 0)  # type: ignore[attr-defined]
    bench.idle()
    assert count(track) == 6  # a speck, four halves, and the two that are one
    assert bench.speaker.sentence.startswith("Two objects are one now: 6 objects of 'cell'.")
    assert track.surface.steps == steps + 4  # type: ignore[attr-defined]


def test_what_is_judged_anew_meanwhile_takes_no_word_of_a_click_away(bench: Bench) -> None:
    """Nor the first of two that are to be joined: objects are hidden for their size a moment after each change."""
    mask = np.zeros((1, *SHAPE), bool)
    mask[0, 10:20, 10:20] = mask[0, 10:20, 30:40] = mask[0, 40:43, 70:73] = True
    track = bench.answered(bench.open(GRID), "cell", mask)
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=30)
    bench.desk.join_objects(track, (0, 15, 15))
    bench.until(lambda: track.too_small == 1)
    bench.idle()
    assert bench.speaker.sentence.startswith("Now click on the other one")
    bench.desk.join_objects(track, (0, 15, 35))
    bench.idle()
    assert bench.speaker.sentence.startswith("Two objects are one now")


def test_what_is_said_of_a_click_goes_with_the_next_act(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    corner = np.zeros(SHAPE, bool)
    corner[-1, -1] = True
    acts: list[Callable[[], object]] = [
        lambda: choose(bench, apart=True),
        lambda: track.surface.paint(0, track.mask(0) | corner),  # type: ignore[attr-defined]
        lambda: bench.open(GRID),
    ]
    for act in acts:
        bench.desk.split_object(track, (0, 0, 0))
        bench.idle()
        assert bench.speaker.sentence == "No cut through this place parts an object of 'cell'."
        act()
        bench.idle()
        assert bench.speaker.sentence == ""
        bench.stage.choose(track.image)
        bench.desk.chosen()


def test_what_a_person_deleted_is_not_brought_back_by_a_threshold(bench: Bench) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    choose(bench, apart=True)
    bench.desk.delete_object(track, (0, 20, 95), only=False)
    bench.idle()
    assert count(track) == 4  # D takes one of those that were parted
    choose(bench)
    assert count(track) == 2  # the heap is one again, and what was deleted is not there
    assert not track.mask(0)[20, 95]
    choose(bench, apart=True)
    assert count(track) == 4
    track.surface.undo()  # type: ignore[attr-defined]
    choose(bench)
    assert count(track) == 3
    assert not track.edited_rows()


def test_in_a_volume_nothing_is_split_by_a_click(bench: Bench) -> None:
    grid = Grid.from_lps((3, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0]))
    track = bench.answered(bench.open(grid), "x", np.ones((3, 20, 20), bool))
    bench.desk.split_object(track, (1, 10, 10))
    assert bench.speaker.sentence.startswith("Objects are split and joined in pictures only")
    choose(bench, apart=True)
    assert track.surface.copy().all()


def test_the_export_numbers_each_object(bench: Bench, tmp_path: Path) -> None:
    track = bench.answered(bench.open(GRID), "cell", touching())
    choose(bench, apart=True)
    written = bench.desk.exporting.to(tmp_path / "cells.png")
    assert [path.name for path in written] == ["cells.png", "cells.provenance.json", "cells.cell.objects.png"]
    with Image.open(tmp_path / "cells.cell.objects.png") as image:
        found = np.asarray(image)
    assert found.max() == 5
    assert np.array_equal(found, numbered(track.mask(0)))
    assert np.array_equal(numbered(parted(touching()[0], track.kept.of(0).logits())) > 0, found > 0)  # type: ignore[union-attr]
    bench.desk.exporting.to(tmp_path / "cells.png")  # its own files are replaced


def test_masks_that_were_exported_lie_on_the_picture_that_they_are_named_after(bench: Bench, tmp_path: Path) -> None:
    pictures = []
    for name in ("a", "b", "b_2"):
        Image.fromarray(np.where(touching()[0], 200, 20).astype(np.uint8)).save(tmp_path / f"{name}.png")
        pictures.append(io.read(tmp_path / f"{name}.png"))
    image = bench.open_volume(pictures[1])
    bench.answered(image, "cell", touching())
    choose(bench, apart=True)
    bench.desk.exporting.to(tmp_path / "b-mask.png")
    for name in ("b-mask.png", "b-mask.cell.objects.png"):
        (mask,) = masks_in(tmp_path / name, pictures) or ()
        assert mask.image is pictures[1]
    bench.desk.exporting.to(tmp_path / "b_2-mask.png")
    (mask,) = masks_in(tmp_path / "b_2-mask.png", pictures) or ()
    assert mask.image is pictures[2]


def test_numbers_that_were_exported_lie_on_their_picture_and_are_no_picture(bench: Bench, tmp_path: Path) -> None:
    picture = tmp_path / "cells.png"
    Image.fromarray(np.where(touching()[0], 200, 20).astype(np.uint8)).save(picture)
    image = bench.open_volume(io.read(picture))
    track = bench.answered(image, "cell", touching())
    choose(bench, apart=True)
    bench.desk.exporting.to(tmp_path / "mine.png")
    file = tmp_path / "mine.cell.objects.png"
    (mask,) = masks_in(file, [image.volume]) or ()
    assert mask.name == "cell by number"
    assert mask.image is image.volume
    assert np.array_equal(mask.array[0], numbered(track.mask(0)))
    assert is_export(file)
    assert [one.name for one in cases_in(tmp_path)] == ["cells"]
    assert masks_in(picture, [image.volume]) is None
