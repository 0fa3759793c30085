"""'Nothing here' and its undo: the disk says what the screen says, whatever else was done meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench

from boltzformer import Prompt
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.nothing_here import NOTHING
from boltzformer.desk.masks.track import Track
from boltzformer.io.phantom import phantom
from boltzformer.types import SliceState

pytestmark = pytest.mark.without_engine
BELOW = np.ones((4, 40, 60), bool)
BELOW[:, :10] = False
Disk = Callable[[], list[SliceState]]


@pytest.fixture
def track(bench: Bench, tmp_path: Path) -> Track:
    bench.desk.settings.folder = str(tmp_path / "kept")
    image = bench.open_volume(phantom(4, BELOW.shape).volume)
    return bench.answered(image, "cell", BELOW)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """What it says of each slice."""

    def states() -> list[SliceState]:
        (case,) = Dataset(tmp_path / "kept").cases()
        return list(case.states.get("cell", [SliceState.UNSEEN] * len(BELOW)))

    return states


def later(bench: Bench) -> None:
    bench.desk.keeper.autosave()
    bench.idle()


def stroke(track: Track, row: int, size: int = 3) -> None:
    mask = np.zeros(track.shape[1:], bool)
    mask[:size, :size] = True
    surface: Any = track.surface
    surface.paint(row, mask)


def nothing(bench: Bench, track: Track, row: int) -> None:
    bench.stage.go(track.image, row)
    bench.desk.keeper.nothing()
    later(bench)


@pytest.mark.parametrize("knows", [True, False], ids=["of these slices", "of some slices"])
def test_an_undo_elsewhere_takes_no_word_back(bench: Bench, track: Track, disk: Disk, knows: bool) -> None:
    surface: Any = track.surface
    tell = surface.tell  # not every viewer knows which slices an undo has changed
    surface.tell = lambda rows, undone: tell(rows if knows or not undone else None, undone=undone)
    bench.stage.go(track.image, 3)
    bench.desk.keeper.accept()
    nothing(bench, track, 3)
    stroke(track, 3)
    stroke(track, 1)
    surface.undo()
    later(bench)
    assert "as it was before" not in bench.speaker.sentence
    assert disk()[3] is SliceState.EMPTY
    surface.undo()
    surface.undo()
    later(bench)
    assert "Slice 3 is as it was before. Kept as" in bench.speaker.sentence
    assert disk()[3] is SliceState.REVIEWED


def test_a_word_about_two_masks_that_is_undone_in_one_can_still_be_taken_back_in_the_other(
    bench: Bench, track: Track
) -> None:
    """A viewer's own undo is of one mask."""
    other = bench.answered(track.image, "nucleus", BELOW)
    whole = track.row(2).copy()
    nothing(bench, track, 2)
    surface: Any = track.surface
    surface.undo()
    later(bench)
    assert bench.speaker.sentence.startswith("Slice 2 is as it was before in 'cell'. Kept as ")
    assert other.state(2) is SliceState.EMPTY
    bench.desk.notice.answer(NOTHING, "Undo")
    later(bench)
    assert np.array_equal(other.row(2), whole)
    assert np.array_equal(track.row(2), whole)
    (case,) = Dataset(Path(bench.desk.settings.folder)).cases()
    assert all(states[2] is SliceState.UNSEEN for states in case.states.values())


def test_the_button_takes_back_its_own_word_alone(bench: Bench, track: Track, disk: Disk) -> None:
    nothing(bench, track, 2)
    stroke(track, 2)
    nothing(bench, track, 3)
    bench.desk.notice.answer("nothing in a slice", "Undo")
    later(bench)
    assert disk()[2:] == [SliceState.EMPTY, SliceState.UNSEEN]


@pytest.mark.parametrize("stored", [True, False])
def test_the_button_leads_back_to_a_blank_slice_that_was_accepted(
    bench: Bench, track: Track, disk: Disk, stored: bool
) -> None:
    bench.answer(track, {2: np.zeros_like(BELOW[2])})
    bench.stage.go(track.image, 2)
    bench.desk.keeper.accept()
    bench.idle()
    bench.desk.keeper.nothing()
    if stored:
        later(bench)
    bench.desk.notice.answer(NOTHING, "Undo")
    later(bench)
    assert track.state(2) is SliceState.REVIEWED
    assert disk()[2] is SliceState.EMPTY


def test_a_word_that_is_taken_back_while_it_is_being_stored_is_off_the_disk(
    bench: Bench, track: Track, disk: Disk
) -> None:
    bench.stage.go(track.image, 2)
    bench.desk.keeper.accept()
    bench.idle()
    bench.stage.go(track.image, 3)
    bench.desk.keeper.nothing()
    bench.desk.keeper.leave()
    surface: Any = track.surface
    surface.undo()
    bench.desk.keeper.leave()
    bench.leave()  # the viewer closes, and hears of none of it
    assert disk()[2:] == [SliceState.REVIEWED, SliceState.UNSEEN]


@pytest.mark.parametrize("stored", [True, False], ids=["a while later", "at once"])
def test_redo_says_it_again_on_the_disk_too(bench: Bench, track: Track, disk: Disk, stored: bool) -> None:
    surface: Any = track.surface
    nothing(bench, track, 3)
    for _ in range(2):
        surface.undo()
        if stored:
            later(bench)
            assert disk()[3] is SliceState.UNSEEN
        surface.redo()
        assert "as it was before" not in bench.speaker.sentence
        later(bench)
        assert "Slice 3: no 'cell' here. Kept as" in bench.speaker.sentence
        assert disk()[3] is track.state(3) is SliceState.EMPTY


@pytest.mark.parametrize("how", ["undone", "erased", "undone at once"])
def test_what_was_accepted_and_is_gone_is_taken_back_on_the_disk(
    bench: Bench, track: Track, disk: Disk, how: str, tmp_path: Path
) -> None:
    """Where no answer of the model lies beneath, nothing on screen is anybody's: nothing comes back another day."""
    bare = bench.desk.tracks.new(track.image, Prompt("bare"))
    bench.stage.activate(bare.surface)
    surface: Any = bare.surface
    track.surface.shown = False
    bench.stage.go(track.image, 2)
    for more in range(2):  # called right, made better, called right again
        stroke(bare, 2, 3 + more)
        bench.desk.keeper.accept()
        later(bench)

    def word() -> SliceState:
        (case,) = Dataset(tmp_path / "kept").cases()
        return case.states.get("bare", [SliceState.UNSEEN] * 3)[2]

    assert word() is SliceState.REVIEWED
    if how == "erased":
        surface.paint(2, np.ones(bare.shape[1:], bool), 0)
    else:
        surface.undo()
        surface.undo()
    assert bare.state(2) is SliceState.UNSEEN
    if how == "undone at once":
        bench.desk.keeper.leave()
        bench.leave()
    else:
        later(bench)
        assert bench.speaker.sentence.startswith("Slice 2 is no longer accepted. Kept as ")
    assert word() is SliceState.UNSEEN
    again = Bench(folder=tmp_path / "kept")
    again.desk.settings.folder = str(tmp_path / "kept")
    image = again.open_volume(track.image.volume)
    again.desk.keeper.look_for(image)
    again.until(lambda: bool(again.speaker.offers))
    assert not any(one.row(2).any() for one in again.desk.tracks.of(image) if one.name == "bare")
    again.leave()
    if how == "undone":
        surface.redo()
        surface.redo()
        later(bench)
        assert bench.speaker.sentence.startswith("Slice 2 is accepted as it is now. Kept as ")
        assert word() is SliceState.REVIEWED


def test_what_was_accepted_and_drawn_anew_stays_on_the_disk_as_it_was(bench: Bench, track: Track, disk: Disk) -> None:
    bench.stage.go(track.image, 2)
    stroke(track, 2)
    bench.desk.keeper.accept()
    later(bench)
    surface: Any = track.surface
    surface.undo()  # it is the model's again
    surface.paint(2, BELOW[2])
    stroke(track, 2)
    stroke(track, 1)
    later(bench)
    assert disk()[2] is SliceState.REVIEWED


def test_an_undo_back_to_what_was_accepted_before_is_the_last_word_on_the_disk_too(
    bench: Bench, track: Track, tmp_path: Path
) -> None:
    def voxels() -> int:
        (case,) = Dataset(tmp_path / "kept").cases()
        return int(np.count_nonzero(case.annotation.labels.mask(1)))

    bench.stage.go(track.image, 2)
    bench.desk.keeper.accept()
    bench.idle()
    small = voxels()
    surface: Any = track.surface
    surface.paint(2, ~BELOW[2])
    bench.desk.keeper.accept()
    bench.idle()
    large = voxels()
    assert large > small
    for step, holds in ((surface.undo, small), (surface.redo, large), (surface.undo, small)):
        step()
        bench.idle()
        assert (voxels(), track.state(2)) == (holds, SliceState.REVIEWED)


def test_an_answer_that_takes_the_place_of_an_accepted_mask_takes_its_word_off_the_disk(
    bench: Bench, track: Track, disk: Disk
) -> None:
    bench.stage.go(track.image, 2)
    bench.desk.keeper.accept()
    bench.idle()
    assert disk()[2] is SliceState.REVIEWED
    bench.answer(track, {2: ~BELOW[2]})
    bench.desk.take(2)
    bench.until(lambda: track.state(2) is SliceState.UNSEEN)
    surface: Any = track.surface
    surface.paint(1, BELOW[1], 0)  # something else, before it is saved
    bench.idle()
    assert disk()[2] is SliceState.UNSEEN


def test_what_was_accepted_counts_on_the_disk_as_on_screen_where_objects_that_were_left_out_are_joined_to_it(
    bench: Bench, track: Track, tmp_path: Path
) -> None:
    bench.answer(track, {row: np.zeros_like(BELOW[row]) for row in (1, 2)})
    for row in (0, 3):
        bench.stage.go(track.image, row)
        bench.desk.keeper.accept()
        bench.idle()
    bench.desk.leave_out(track, (3, 20, 20), out=True)
    later(bench)

    def accepted() -> list[bool]:
        (case,) = Dataset(tmp_path / "kept").cases()
        return [bool(row.any()) for row in case.mask("cell")]

    assert accepted() == [True, False, False, False]
    bench.stage.go(track.image, 1)
    bench.desk.fill_between()
    said = bench.speaker.sentence
    later(bench)
    assert accepted() == [False] * 4
    assert bench.speaker.sentence == said
    surface: Any = track.surface
    surface.undo()
    later(bench)
    assert accepted() == [True, False, False, False]


def test_a_word_that_was_painted_over_before_it_was_stored_is_on_the_disk_once_that_is_undone(
    bench: Bench, track: Track, disk: Disk
) -> None:
    bench.stage.go(track.image, 2)
    bench.desk.keeper.nothing()
    stroke(track, 2)
    later(bench)
    surface: Any = track.surface
    surface.undo()
    later(bench)
    assert disk()[2] is track.state(2) is SliceState.EMPTY
    assert "Slice 2: no 'cell' here. Kept as" in bench.speaker.sentence
