"""What was kept stays on screen or within reach, whatever is pressed in the seconds before it is saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_coming_back import answered, at_work, offered, opened_again, stroke

from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.bringing_back import about
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.desk.keeping.remembering import states_of
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.types import SliceState, Volume


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))


def worked(volume: Volume, folder: Path, *rows: int) -> None:
    """One sitting, with a stroke in each of these slices."""
    viewer = at_work(folder)
    image = viewer.open(volume)
    viewer.idle()
    track = next(iter(viewer.desk.tracks.of(image)), None) or answered(viewer, image, BRIGHT, 2)
    for row in rows:
        stroke(track, row, 5)
    viewer.idle()
    viewer.desk.leave()


def painted(viewer: Any, image: Any) -> list[int]:
    return sorted({row for track in viewer.desk.tracks.of(image) for row in track.edited_rows()})


def another(volume: Volume) -> Volume:
    return Volume(np.zeros_like(volume.array), volume.grid, name="another")


def test_a_folder_that_is_chosen_in_the_middle_gives_back_what_it_holds(small: Phantom, tmp_path: Path) -> None:
    worked(small.volume, tmp_path / "mine", 5, 6, 7)
    viewer = at_work(tmp_path / "mine")
    viewer.desk.settings.folder = ""
    image = viewer.open(small.volume)
    viewer.idle()
    stroke(answered(viewer, image, DARK, 2), 9, 5)
    viewer.idle()
    viewer.dialogs.chosen_folder = tmp_path / "mine"
    viewer.desk.keeper.choose_folder()
    viewer.until(lambda: offered(viewer, image) is not None)
    assert painted(viewer, image) == [5, 6, 7, 9]  # nothing of either is lost
    stroke(viewer.desk.tracks.of(image)[0], 11, 5)
    viewer.idle()
    assert {3, 5} <= {one.painted for one in states_of(tmp_path / "mine", small.volume)}  # set aside, not overwritten
    viewer.desk.leave()


def test_what_was_looked_for_while_an_image_was_away_is_there_when_it_is_back(small: Phantom, tmp_path: Path) -> None:
    worked(small.volume, tmp_path / "mine", 5, 6)
    viewer = at_work(tmp_path / "mine")
    first = viewer.desk.patients.open(small.volume)
    viewer.desk.keeper.look_for(first)
    viewer.desk.patients.open(another(small.volume))  # before anything was found
    viewer.idle()
    viewer.desk.notice.answer(PUT_AWAY, "Undo")
    viewer.until(lambda: offered(viewer, first) is not None)
    assert painted(viewer, first) == [5, 6]
    viewer.desk.leave()


def test_a_crash_right_after_accepting_takes_no_painted_slice_away(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "mine")
    image = viewer.open(small.volume)
    viewer.idle()
    track = answered(viewer, image, BRIGHT, 2)
    for row in (5, 6, 7):
        stroke(track, row, 5)
    viewer.idle()
    viewer.stage.go(image, 5)
    viewer.desk.keeper.accept()
    viewer.desk.keeper.work.close(wait=True)  # the acceptance is on the disk, the next autosave never comes
    viewer, image = opened_again(small.volume, tmp_path / "mine")
    (track,) = viewer.desk.tracks.of(image)
    assert [row for row in (5, 6, 7) if track.mask(row).any()] == [5, 6, 7]
    assert [row for row in range(track.count) if track.state(row) is SliceState.REVIEWED] == [5]
    assert set(track.scores) == {2}
    viewer.desk.leave()


def test_the_same_image_opened_once_more_has_the_last_stroke(small: Phantom, tmp_path: Path) -> None:
    worked(small.volume, tmp_path / "mine", 5)
    viewer, image = opened_again(small.volume, tmp_path / "mine")
    stroke(viewer.desk.tracks.of(image)[0], 8, 5)
    once_more = viewer.stage.open(small.volume)
    viewer.desk.keeper.look_for(once_more)  # as the viewer does when it comes, before the other has gone
    viewer.until(lambda: offered(viewer, once_more) is not None)
    assert painted(viewer, once_more) == [5, 8]
    viewer.desk.leave()


def test_a_state_can_be_chosen_right_after_a_stroke_and_is_the_last_from_then_on(
    small: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked(small.volume, tmp_path / "mine", 5)
    worked(small.volume, tmp_path / "mine", 6)
    viewer, image = opened_again(small.volume, tmp_path / "mine")
    stroke(viewer.desk.tracks.of(image)[0], 9, 5)

    def read(title: str, lines: list[str]) -> int:
        for _ in range(3):  # while somebody reads the list
            viewer.desk.keeper.autosave()
            viewer.desk.keeper.work._pool.submit(lambda: None).result()
        return next(n for n, line in enumerate(lines) if "2 painted" in line)

    monkeypatch.setattr(viewer.dialogs, "choose", read)
    viewer.desk.notice.answer(about(image), "Earlier…")
    viewer.until(lambda: painted(viewer, image) == [5, 6])
    assert not viewer.speaker.failed
    viewer.idle()
    viewer.desk.leave()
    viewer, image = opened_again(small.volume, tmp_path / "mine")
    assert painted(viewer, image) == [5, 6]
    viewer.desk.leave()


def test_what_reached_the_disk_late_is_told_of_its_own_image(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "mine")
    first, second = viewer.open(small.volume), viewer.stage.open(another(small.volume))
    viewer.idle()
    for image, seen in ((first, True), (second, False)):
        viewer.stage.choose(image)
        track = answered(viewer, image, BRIGHT, 8)
        stroke(track, 8, 5)
        viewer.stage.go(image, 8)
        viewer.desk.keeper.accept()
        if seen:
            viewer.stage.choose(second)
        else:
            viewer.stage.close(second)
            viewer.desk.notice.say("")
        viewer.idle()
        said = viewer.speaker.sentence
        assert said.startswith(f"'{first.name}': Slice 8 accepted" if seen else ""), said
        assert seen or not said
    viewer.desk.leave()


def test_prompts_that_come_back_are_those_of_their_image_whichever_is_in_hand(small: Phantom, tmp_path: Path) -> None:
    worked(small.volume, tmp_path / "mine", 5)
    viewer = at_work(tmp_path / "mine")
    box: list[str] = []
    viewer.desk.keeper.back.restored.append(lambda _, prompts: box.extend(prompts))
    first = viewer.stage.open(small.volume)
    viewer.desk.keeper.look_for(first)
    second = viewer.stage.open(another(small.volume))  # which is in hand when that is found
    second.typed = [DARK]
    viewer.until(lambda: offered(viewer, first) is not None)
    assert (first.typed, second.typed, box) == ([BRIGHT], [DARK], [])
    viewer.desk.leave()


def test_what_was_accepted_in_a_folder_of_another_day_is_found_and_goes_on_there(
    small: Phantom, tmp_path: Path
) -> None:
    viewer = at_work(tmp_path / "before")
    image = viewer.open(small.volume)
    viewer.idle()
    stroke(answered(viewer, image, BRIGHT, 2), 5, 5)
    viewer.stage.go(image, 5)
    viewer.desk.keeper.accept()
    viewer.idle()
    viewer.dialogs.chosen_folder = tmp_path / "now"
    viewer.desk.keeper.choose_folder()
    stays = f"; '{image.name}' goes on in before, where it was begun."
    assert viewer.speaker.sentence == f"What you accept from now on is kept in {tmp_path / 'now'}{stays}"
    assert viewer.desk.keeper.kept_in == str(tmp_path / "before")
    viewer.stage.close(image)
    assert viewer.desk.keeper.kept_in == str(tmp_path / "now")
    viewer.desk.leave()

    viewer = at_work(tmp_path / "now")
    image = viewer.open(small.volume)
    viewer.until(lambda: offered(viewer, image) is not None)
    (track,) = viewer.desk.tracks.of(image)
    assert track.state(5) is SliceState.REVIEWED
    assert viewer.desk.keeper.folder(image) == tmp_path / "before"  # its revisions go on there
    assert viewer.desk.keeper.folder() == tmp_path / "now"
    viewer.desk.leave()


def test_of_several_folders_the_newest_state_comes_back(small: Phantom, tmp_path: Path) -> None:
    worked(small.volume, tmp_path / "a", 5)
    worked(small.volume, tmp_path / "b", 6)
    viewer = at_work(tmp_path / "a")
    viewer.desk.settings.folders = [str(tmp_path / "b")]
    image = viewer.open(small.volume)
    viewer.until(lambda: offered(viewer, image) is not None)
    assert painted(viewer, image) == [6]
    viewer.desk.leave()


@pytest.mark.parametrize("damaged", ["dataset.json", "private/salt"])
def test_a_damaged_folder_of_another_day_keeps_nothing_from_coming_back(
    small: Phantom, tmp_path: Path, damaged: str
) -> None:
    worked(small.volume, tmp_path / "a", 5)
    (Dataset.at(tmp_path / "b").path / damaged).write_text("{", "utf-8")
    viewer = at_work(tmp_path / "a")
    viewer.desk.settings.folders = [str(tmp_path / "b")]
    image = viewer.open(small.volume)
    viewer.until(lambda: offered(viewer, image) is not None)
    assert painted(viewer, image) == [5]
    viewer.desk.leave()


def test_what_waits_for_the_first_look_waits_for_the_second_too(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "a")
    image = viewer.stage.open(small.volume)
    stroke(answered(viewer, image, BRIGHT, 2), 5, 5)
    viewer.stage.go(image, 5)
    viewer.desk.keeper.look_for(image)
    viewer.desk.keeper.accept()
    image.store = ""
    viewer.desk.keeper.place.use(tmp_path / "b")  # looks there as well, before the first answer is known
    viewer.idle()
    (case,) = Dataset(tmp_path / "b").cases()
    assert case.states
    viewer.desk.leave()


def test_thresholds_of_today_hold_beside_work_of_a_folder_that_is_chosen(small: Phantom, tmp_path: Path) -> None:
    viewer = at_work(tmp_path / "a")
    image = viewer.open(small.volume)
    viewer.idle()
    answered(viewer, image, BRIGHT, 2)
    viewer.desk.overview.show_tracks()
    viewer.desk.overview.reapplying.choose_objects(smallest_mm3=500.0, largest=None)
    viewer.desk.keeper.touch(image)
    viewer.idle()
    viewer.desk.leave()

    viewer = at_work(tmp_path / "b")
    viewer.desk.settings.folders = []
    image = viewer.open(small.volume)
    viewer.idle()
    dark = answered(viewer, image, DARK, 3)
    shown, gate = dark.kept.thresholds, dark.gate
    viewer.dialogs.chosen_folder = tmp_path / "a"
    viewer.desk.keeper.choose_folder()
    viewer.until(lambda: offered(viewer, image) is not None)
    assert len(viewer.desk.tracks.of(image)) == 2
    assert image.thresholds is None
    assert {one.kept.thresholds.smallest_mm3 for one in viewer.desk.tracks.of(image)} == {0.0}
    assert (dark.kept.thresholds, dark.gate) == (shown, gate)
    viewer.desk.leave()


def test_a_word_that_is_typed_while_earlier_work_is_looked_for_stays_behind_what_comes_back(
    small: Phantom, tmp_path: Path
) -> None:
    worked(small.volume, tmp_path / "mine", 5)
    viewer = at_work(tmp_path / "mine")
    image = viewer.stage.open(small.volume)
    viewer.desk.typed([DARK])  # from the image before
    viewer.desk.keeper.look_for(image)
    viewer.desk.typed([DARK, "left kid"])
    viewer.until(lambda: offered(viewer, image) is not None)
    assert image.typed == [BRIGHT, "left kid"]
    viewer.desk.leave()
