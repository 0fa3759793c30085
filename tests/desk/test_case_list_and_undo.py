"""The case list knows which case is on screen, also after Undo."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from bench import Bench

from boltzformer import Grid, Volume, io
from boltzformer.desk.keeping.bringing_back import about, removed_from
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.io.phantom import BRIGHT, phantom

pytestmark = pytest.mark.without_engine


@pytest.fixture
def listed(bench: Bench, tmp_path: Path) -> Bench:
    """Three cases, the first of them open."""
    place = tmp_path / "images"
    place.mkdir()
    for number, name in enumerate("abc", 1):
        io.write_volume(phantom(number, (4, 48, 48)).volume, place / f"{name}.nii.gz")
    bench.desk.cases.show_folder(place)
    bench.idle()
    return bench


def other() -> Volume:
    return Volume(np.zeros((4, 24, 24), np.uint8), Grid.pixels((4, 24, 24)), name="other")


def following(bench: Bench) -> str:
    bench.desk.cases.open_next()
    bench.idle()
    return current(bench)


def undo(bench: Bench) -> None:
    bench.desk.notice.answer(PUT_AWAY, "Undo")
    bench.idle()


def current(bench: Bench) -> str:
    one = bench.desk.cases.current
    return "" if one is None else one.name


def words(bench: Bench, name: str) -> str:
    return next(told.words for one, told in bench.desk.cases.standings.items() if one.name == name)


def test_after_undo_the_list_is_at_the_case_on_screen_and_the_next_one_is_not_skipped(listed: Bench) -> None:
    desk = listed.desk
    assert following(listed) == "a"
    first = desk.stage.chosen()
    assert first is not None
    assert following(listed) == "b"
    undo(listed)
    assert desk.stage.chosen() is first
    assert current(listed) == "a"
    assert listed.speaker.sentence == "a is open."
    listed.answered(first, BRIGHT, np.ones((4, 48, 48), bool))
    desk.keeper.accept()
    listed.idle()
    assert words(listed, "a") == "1 of 4 accepted"  # and not still that it is in progress
    assert words(listed, "b") == "new"
    listed.answered(first, "another", np.ones((4, 48, 48), bool))
    desk.stage.go(first, 3)
    desk.keeper.accept()
    listed.idle()
    told = desk.cases.standings[desk.cases.cases[0]].tip
    assert told == "1 slice accepted in all masks, 1 more in some of them."  # that has a word of the first prompt alone
    assert following(listed) == "b"


def test_what_is_no_case_of_the_list_can_come_back_and_the_case_that_went_is_the_next_again(listed: Bench) -> None:
    desk = listed.desk
    image = desk.patients.open(other())
    assert following(listed) == "a"
    undo(listed)
    assert desk.stage.chosen() is image
    assert listed.speaker.sentence == ""
    assert following(listed) == "a"


def test_what_the_viewer_opened_itself_can_come_back(listed: Bench) -> None:
    own = listed.open_volume(other())  # and no viewer need tell of that
    assert following(listed) == "a"
    undo(listed)
    assert listed.stage.images() == [own]


def test_another_image_in_between_keeps_the_place_in_the_list(listed: Bench) -> None:
    assert following(listed) == "a"
    listed.desk.patients.open(other())
    assert current(listed) == "a"
    assert listed.desk.cases.on_screen is None  # and no row of the list is marked
    undo(listed)
    assert listed.desk.cases.on_screen == listed.desk.cases.current
    assert current(listed) == "a"
    assert following(listed) == "b"
    listed.desk.patients.open(other())
    assert following(listed) == "c"


@pytest.mark.parametrize("listed_then", [False, True])
def test_the_next_case_is_the_one_behind_that_which_is_open_however_it_was_opened(
    listed: Bench, tmp_path: Path, listed_then: bool
) -> None:
    place = tmp_path / "images"
    if listed_then:
        assert following(listed) == "a"
    else:
        listed.desk.cases.cases = []
    listed.desk.patients.came(listed.open_volume(io.read(place / "b.nii.gz")))
    if not listed_then:
        listed.desk.cases.show_folder(place)
    listed.idle()
    assert current(listed) == "b"
    assert listed.desk.cases.on_screen == listed.desk.cases.current
    assert following(listed) == "c"
    undo(listed)
    assert current(listed) == "b"


def test_the_list_is_told_when_what_is_on_screen_is_none_of_its_cases(listed: Bench) -> None:
    assert following(listed) == "a"
    told: list[object] = []
    listed.desk.cases.listed.append(lambda: told.append(listed.desk.cases.on_screen))
    listed.desk.patients.open(other())
    listed.desk.chosen()
    assert told[-1:] == [None]


def test_of_a_file_of_many_time_points_the_one_that_was_worked_on_tells_how_far_it_is(
    bench: Bench, tmp_path: Path
) -> None:
    """Whichever it is, another day too; all of a file would be read for long."""
    series = np.random.default_rng(1).integers(0, 200, (12, 4, 24, 24)).astype(np.uint8)
    header = "ObjectType = Image\nNDims = 4\nDimSize = 24 24 4 12\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    place = tmp_path / "images"
    place.mkdir()
    (place / "perfusion.mha").write_bytes(header.encode() + series.tobytes())
    bench.desk.settings.folder = str(tmp_path / "kept")
    bench.desk.cases.show_folder(place)
    bench.idle()
    assert words(bench, "perfusion") == "new"
    bench.dialogs.chosen_line = 10
    following(bench)
    image = bench.desk.stage.chosen()
    assert image is not None
    assert image.name == "perfusion 11"
    bench.answered(image, BRIGHT, np.ones((4, 24, 24), bool))
    bench.desk.keeper.accept()
    bench.idle()
    assert words(bench, "perfusion") == "1 of 4 accepted"
    again = Bench()
    again.desk.cases.show_folder(place)
    again.idle()
    assert words(again, "perfusion") == "1 of 4 accepted"
    again.leave()


def test_the_folder_of_last_time_is_listed_again(listed: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    listed.desk.cases.show_folder(tmp_path / "empty")
    listed.idle()
    listed.leave()
    later = Bench(folder=tmp_path / "kept")
    assert not later.desk.cases.cases
    assert following(later) == "a"  # 'Next case' is enough
    later.leave()


@pytest.mark.parametrize("answer", ["Undo", "Keep both"])
def test_what_nobody_has_answered_about_an_image_is_offered_again_with_it(bench: Bench, answer: str) -> None:
    desk = bench.desk
    image, restored = desk.patients.open(phantom(1, (4, 48, 48)).volume), []
    topics = [about(image), removed_from(image)]
    desk.keeper.back._offer(image, "Restored from yesterday.", ("Start afresh", lambda: None))
    desk.notice.offer(topics[1], "'cell' was removed.", ("Restore", lambda: restored.append("cell")))
    desk.patients.open(other())
    assert [one.topic for one in desk.notice.offers] == [PUT_AWAY]  # they are about what is not on screen
    desk.notice.answer(PUT_AWAY, answer)
    assert [one.topic for one in desk.notice.offers] == topics
    name = f"'{image.name}': " if answer == "Keep both" else ""
    assert desk.notice.offers[0].sentence == f"{name}Restored from yesterday."
    desk.notice.answer(topics[1], "Restore")
    assert restored == ["cell"]


def test_a_mask_that_comes_back_says_at_once_how_large_it_is(bench: Bench) -> None:
    desk = bench.desk
    image = desk.patients.open(phantom(1, (4, 48, 48)).volume)
    track = bench.answered(image, BRIGHT, np.tri(48, dtype=bool)[None].repeat(4, 0))
    assert desk.row_of(track).endswith(" mL")
    track.surface.paint(1, np.ones((48, 48), bool))  # type: ignore[attr-defined]
    assert not desk.row_of(track).endswith(" mL")
    desk.patients.open(other())  # before its objects are counted again
    desk.chosen()
    bench.idle()
    undo(bench)
    desk.chosen()
    bench.idle()
    assert desk.row_of(track).endswith(" mL")
    desk.keeper.autosave()
    bench.idle()
    desk.patients.open(other())
    desk.chosen()
    image = desk.patients.open(image.volume)
    desk.chosen()
    desk.keeper.look_for(image)
    bench.until(lambda: bool(desk.tracks.chosen()))
    assert desk.work.busy  # it is counted already, and not once it has rested
    bench.until(lambda: desk.row_of(desk.tracks.chosen()[0]).endswith(" mL"))


def test_of_several_channels_the_list_asks_which_and_tells_how_far_that_is(bench: Bench, tmp_path: Path) -> None:
    place, desk = tmp_path / "images", bench.desk
    place.mkdir()
    rng = np.random.default_rng(1)
    desk.settings.folder = str(tmp_path / "kept")
    tifffile.imwrite(
        place / "dots.tif", rng.integers(0, 200, (3, 40, 50), np.uint8), metadata={"axes": "CYX"}, imagej=True
    )
    desk.cases.show_folder(place)
    bench.idle()
    assert words(bench, "dots") == "new"
    bench.dialogs.chosen_line = None
    assert following(bench) == ""
    assert bench.dialogs.asked == ["dots.tif holds 3 time points or channels. Which one?"]
    assert bench.dialogs.lines == ["1 of 3", "2 of 3", "3 of 3"]
    assert bench.speaker.sentence == ""
    bench.dialogs.chosen_line = 1
    assert following(bench) == "dots"
    image = desk.stage.chosen()
    assert image is not None
    assert image.name == "dots 2"
    bench.answered(image, "cell", np.ones((1, 40, 50)))
    desk.keeper.autosave()
    bench.idle()
    assert words(bench, "dots") == "in progress"
    assert not any("--" in sentence for sentence in (bench.speaker.sentence, *bench.dialogs.asked))


def test_another_channel_of_the_file_that_is_open_can_be_chosen(bench: Bench, tmp_path: Path) -> None:
    place, desk = tmp_path / "channels", bench.desk
    place.mkdir()
    several = np.arange(3 * 24 * 32, dtype=np.uint16).reshape(3, 24, 32)
    tifffile.imwrite(place / "cells.tif", several, imagej=True, metadata={"axes": "CYX"})
    desk.cases.show_folder(place)
    bench.idle()
    for line, name in ((1, "cells 2"), (0, "cells 1"), (0, "cells 1")):
        bench.dialogs.chosen_line = line
        desk.cases.open(desk.cases.cases[0])
        bench.idle()
        (image,) = bench.stage.images()
        assert image.name == name
    assert len(bench.dialogs.asked) == 3
    bench.dialogs.chosen_line = None
    desk.cases.open(desk.cases.cases[0])
    bench.idle()
    assert bench.stage.images() == [image]
