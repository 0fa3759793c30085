"""A folder's cases: listed with how far each is, opened by a click, saved before another takes its place."""

import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gui import answer_file_dialog, click, done, keep_both, layer_of, new_track, row_text, rows_of, type_lines, until
from image_files import write_series
from qtpy.QtCore import Qt, QTimer

from boltzformer import LabelMap, Prompt, Volume, io
from boltzformer.dataset import Dataset, learnt
from boltzformer.desk.keeping.case_list import CaseList
from boltzformer.desk.keeping.cases import Listed, Standing, cases_in, in_turn, standing
from boltzformer.io.phantom import BRIGHT, phantom
from boltzformer.types import Annotation, SliceState
from napari_boltzformer.cases.case_list import CasePanel
from napari_boltzformer.host.stage import image_on
from napari_boltzformer.widget import BoltzFormerDock

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, and beside them what is no case."""
    place = tmp_path / "images"
    place.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        io.write_volume(phantom(number + 1, (4, 48, 48)).volume, place / f"{name}.nii.gz")
    (place / "notes.txt").write_text("no image")
    return place


def states(cases: Any) -> list[str]:
    return [cases.table.item(row, 1).text() for row in range(cases.table.rowCount())]


def test_how_far_a_case_is_has_the_room_that_its_words_need(qtbot: Any) -> None:
    """In a dock as narrow as beside the layers; a long name is the one that gives way."""
    one = Listed("mr_brain_flair_ms_patient07_with_a_long_name", Path("one.nii.gz"))
    listed: Any = SimpleNamespace(cases=[one], standings={one: Standing("x", 132, 103)}, where="", on_screen=None)
    listed.listed, listed.told, listed.open_next, listed.resume = [], [], print, bool
    desk: Any = SimpleNamespace(cases=listed)
    panel = CasePanel(desk)
    qtbot.addWidget(panel)
    panel.resize(320, 200)
    panel.show()
    table = panel.table
    assert states(panel) == ["103 of 132 accepted"]
    assert table.columnWidth(1) >= table.sizeHintForColumn(1)
    assert table.columnWidth(0) + table.columnWidth(1) <= table.viewport().width()
    assert not table.wordWrap()
    assert table.item(0, 0).toolTip() == one.name


def wholly_accepted(volume: Volume) -> Annotation:
    labels = LabelMap(np.zeros((1, *volume.array.shape), np.uint8), volume.grid, {1: BRIGHT})
    states = (SliceState.EMPTY,) * volume.grid.shape[volume.slice_axis]
    return Annotation(volume, labels, (Prompt(BRIGHT, BRIGHT),), {BRIGHT: states}, {}, volume.slice_axis)


def opened_from_list(qtbot: Any, dock: BoltzFormerDock, folder: Path, name: str) -> tuple[CaseList, Any]:
    """The list of a folder, and one of its cases as an image layer."""
    click(qtbot, dock.case_list)
    cases = dock.beside.cases
    assert cases is not None
    cases.list.show_folder(folder)
    until(qtbot, lambda: cases.table.rowCount() > 0 and "…" not in states(cases))
    press_row(qtbot, cases, [one.name for one in cases.list.cases].index(name))
    until(qtbot, lambda: cases.list.current is not None)
    return cases, dock.chosen_image()


def press_row(qtbot: Any, cases: CaseList, row: int) -> None:
    spot = cases.table.visualItemRect(cases.table.item(row, 0)).center()
    qtbot.mouseClick(cases.table.viewport(), Qt.MouseButton.LeftButton, pos=spot)


def test_cases_of_a_folder_are_worked_on_one_after_the_other_and_none_of_it_is_lost(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path, tmp_path: Path
) -> None:
    dock.settings.folder = str(tmp_path / "kept")
    click(qtbot, dock.case_list)
    cases = dock.beside.cases
    click(qtbot, cases.next)
    assert dock.message.text() == "There is no list of cases yet: choose a folder of images first."
    answer_file_dialog(folder)
    click(qtbot, cases.folder)
    until(qtbot, lambda: states(cases) == ["new", "new", "new"])
    own = viewer.add_image(np.zeros((4, 8, 8)), name="the user's own")

    click(qtbot, cases.next)
    until(qtbot, lambda: cases.list.current is not None and dock.image.currentText() == "a")
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    layer_of(track).brush_size = 2
    layer_of(track).paint((1, 5, 5), 1)
    dock.jump(2)
    click(qtbot, dock.accept)
    until(qtbot, lambda: states(cases)[0] == "1 of 4 accepted")
    layer_of(track).paint((3, 30, 30), 1)  # the last stroke, a moment before
    before, scores = rows_of(track).copy(), dict(track.scores)

    press_row(qtbot, cases, 1)
    until(qtbot, lambda: dock.image.currentText() == "b" and dock.message.text() == "b is open.")
    assert [layer.name for layer in viewer.layers] == [own.name, "b"]
    assert cases.table.currentRow() == 1
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    for row in range(4):
        dock.jump(row)
    click(qtbot, dock.accept_all)
    until(qtbot, lambda: states(cases)[1] == "4 of 4 accepted")

    click(qtbot, cases.next)
    until(qtbot, lambda: dock.message.text() == "c is open.")
    click(qtbot, cases.next)  # round, to the one that was left unfinished
    until(qtbot, lambda: dock.image.currentText() == "a" and bool(dock.tracks()))
    (back,) = dock.tracks()
    assert np.array_equal(rows_of(back) > 0, before > 0)
    assert back.scores == pytest.approx(scores, abs=1e-4)
    assert back.state(2) is SliceState.REVIEWED
    assert [row for row in range(4) if back.edited(row)] == [1, 3]
    until(qtbot, lambda: dock.results.count() == 1 and "score" in row_text(dock))
    bar = dock.bottom.review.bar
    assert "score" in bar.words(0)
    assert "edited" in bar.words(3)
    assert "accepted" in bar.words(2)
    assert "in 4 of 4" in dock.bottom.review.totals.text()
    click(qtbot, dock.all_slices)  # what the model had written it may write again; a person's stays
    done(qtbot, dock)
    assert np.array_equal(rows_of(back) > 0, before > 0)

    cases.list.show_folder(tmp_path / "kept")  # the same work, as the dataset that it is
    until(qtbot, lambda: sorted(states(cases)) == ["1 of 4 accepted", "4 of 4 accepted"])
    assert {one.case for one in cases.list.cases} == set(Dataset(tmp_path / "kept").entries())


def test_what_lies_in_a_folder_becomes_cases_but_not_its_masks(folder: Path, tmp_path: Path) -> None:
    first = phantom(1, (4, 48, 48)).volume
    (folder / "a-mask.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes())
    (folder / "a-mask.provenance.json").write_text("{}")
    (folder / "b.seg.nrrd").write_text("")
    (folder / "a-mask.bright-blob.probability.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes())
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    write_series(folder / "ct", first.array, first.grid)
    Dataset.at(folder / "kept")
    found = cases_in(folder)
    assert [one.name for one in found] == ["a", "b", "broken", "c", "ct"]
    assert found[4].series
    assert np.array_equal(found[4].read().array, first.array)
    assert cases_in(folder / "kept") == []
    assert standing(found[2], [folder / "kept"]).words == "can't be read"
    assert standing(found[0], [folder / "nowhere"]) == Standing()
    here = standing(found[0], [folder / "kept"])
    assert (here.words, here.slices, here.finished) == ("new", 4, False)
    assert here.case == standing(found[4], [folder / "kept"]).case == Dataset(folder / "kept").case_of(first)


def test_after_the_last_case_comes_the_first() -> None:
    cases = [Listed(name, Path(name)) for name in "abc"]
    assert in_turn(cases, None) == cases
    assert [one.name for one in in_turn(cases, cases[1])] == ["c", "a", "b"]
    assert Standing("x", 4, 4).finished
    assert Standing(error="gone").finished
    assert not Standing("x", 4, 3).finished


def test_a_case_has_another_id_in_another_dataset(folder: Path, tmp_path: Path) -> None:
    one = cases_in(folder)[0]
    first, second = (Dataset.at(tmp_path / name).path for name in ("first", "second"))
    known = standing(one, [first])
    volume = one.read()
    Dataset(second).add(wholly_accepted(volume))
    assert standing(one, [second, first], known).words == "4 of 4 accepted"
    assert standing(one, [second, first], known).finished


def test_a_case_that_was_accepted_elsewhere_before_stays_accepted(folder: Path, tmp_path: Path) -> None:
    one = cases_in(folder)[0]
    now, before, last = (Dataset.at(tmp_path / name).path for name in ("now", "before", "last"))
    new = standing(one, [now, last, before])
    Dataset(before).add(wholly_accepted(one.read()))
    told = standing(one, [now, last, before])
    assert (new.words, told.words, told.store) == ("new", "4 of 4 accepted", before)
    assert standing(one, [now, last, before], told).finished


def test_a_case_goes_by_the_folder_in_which_most_is_accepted_not_by_the_one_seen_first(
    folder: Path, tmp_path: Path
) -> None:
    one = cases_in(folder)[0]
    first, second = (Dataset.at(tmp_path / name).path for name in ("first", "second"))
    done = wholly_accepted(one.read())
    Dataset(first).add(replace(done, slices={BRIGHT: (SliceState.EMPTY, *(SliceState.UNSEEN,) * 3)}))
    known = standing(one, [second, first])
    assert known.words == "1 of 4 accepted"
    Dataset(second).add(done)
    assert standing(one, [second, first], known).finished


def test_a_dataset_that_was_passed_on_without_its_private_folder_tells_how_far_its_cases_are(
    folder: Path, tmp_path: Path
) -> None:
    store = Dataset.at(tmp_path / "passed on").path
    Dataset(store).add(wholly_accepted(cases_in(folder)[0].read()))
    shutil.rmtree(store / "private")
    assert [standing(one, [store]).finished for one in cases_in(store)] == [True]


@pytest.mark.parametrize("damaged", ["dataset.json", "private/salt"])
def test_a_folder_of_another_day_that_is_damaged_makes_no_case_unknown(
    folder: Path, tmp_path: Path, damaged: str
) -> None:
    one = cases_in(folder)[0]
    now, before = (Dataset.at(tmp_path / name).path for name in ("now", "before"))
    (before / damaged).write_text("{", "utf-8")
    assert standing(one, [now, before]).words == "new"
    Dataset(now).add(wholly_accepted(one.read()))
    assert standing(one, [now, before]).finished
    assert learnt.latest([now, before], one.read(), "") == {}


@pytest.mark.parametrize("damaged", ["dataset.json", "private/salt"])
def test_a_damaged_store_finishes_no_case(folder: Path, tmp_path: Path, damaged: str) -> None:
    store = Dataset.at(tmp_path / "kept").path
    assert (store / damaged).is_file()
    (store / damaged).write_text("{")
    told = standing(cases_in(folder)[0], [store])
    assert not told.finished
    assert told.words == "unknown"
    assert told.trouble


def test_where_one_image_can_not_be_read_the_list_says_which(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    dock.settings.folder = str(Dataset.at(tmp_path / "kept").path)
    click(qtbot, dock.case_list)
    dock.desk.cases.show_folder(folder)
    until(qtbot, lambda: states(dock.beside.cases) == ["can't be read"])
    click(qtbot, dock.beside.cases.next)
    until(qtbot, lambda: dock.message.text().startswith("Every slice"))
    assert dock.message.text() == "Every slice of every case that can be read is accepted. Can't be read: broken."


def test_next_case_goes_past_what_can_not_be_read_and_the_list_says_so_while_the_dock_is_in_sight(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path
) -> None:
    (folder / "aa.nii.gz").write_text("this is no image")
    (folder / "ab.nii").write_bytes(b"")
    (folder / "b.nii.gz").unlink()
    (folder / "c.nii.gz").unlink()
    cases, _ = opened_from_list(qtbot, dock, folder, "a")  # nothing is kept anywhere yet
    cases.list.show_folder(folder)
    until(qtbot, lambda: cases.table.rowCount() == 3)
    click(qtbot, cases.next)  # while the list is still looked at
    assert dock.notice.isVisible()
    assert not dock.visibleRegion().isEmpty()
    assert [one.name for one in cases.list.cases] == ["a", "aa", "ab"]
    until(qtbot, lambda: dock.message.text() == "This is the only case that is left. Can't be read: aa, ab.")
    assert states(cases)[1:] == ["can't be read", "can't be read"]
    assert "is empty (0 bytes)" in cases.table.item(2, 1).toolTip()
    click(qtbot, cases.next)
    until(qtbot, lambda: dock.message.text().startswith("This is the only case"))
    press_row(qtbot, cases, 1)
    until(qtbot, lambda: "aa.nii.gz" in dock.message.text())
    assert dock.image.currentText() == "a"


def test_a_case_that_a_person_chose_is_not_replaced_by_the_next_one_they_asked_for_before(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path, tmp_path: Path
) -> None:
    dock.settings.folder = str(Dataset.at(tmp_path / "kept").path)
    click(qtbot, dock.case_list)
    cases = dock.beside.cases
    cases.list.show_folder(folder)
    until(qtbot, lambda: cases.table.rowCount() == 3)
    click(qtbot, cases.next)
    press_row(qtbot, cases, 2)
    until(qtbot, lambda: states(cases) == ["new", "new", "new"] and not dock.desk.work.busy)
    assert dock.image.currentText() == "c"
    assert cases.list.current == cases.list.cases[2]


def test_a_click_brings_up_either_of_two_cases_that_are_compared(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path
) -> None:
    cases, _ = opened_from_list(qtbot, dock, folder, "a")
    press_row(qtbot, cases, 1)
    until(qtbot, lambda: dock.image.currentText() == "b")
    keep_both(qtbot, dock)
    dock.image.setCurrentText("a")
    for row, name in ((1, "b"), (0, "a")):
        press_row(qtbot, cases, row)
        until(qtbot, lambda name=name: dock.image.currentText() == name)
        assert len(dock.stage.layers()) == 2  # none is read again
        assert cases.list.current == cases.list.cases[row]


def test_the_list_advances_however_often_something_is_saved(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path, tmp_path: Path
) -> None:
    dock.settings.folder = str(Dataset.at(tmp_path / "kept").path)
    cases, _ = opened_from_list(qtbot, dock, folder, "a")
    saving = QTimer()
    saving.timeout.connect(dock.desk.cases.look_again)
    saving.start(20)  # sooner than any image is read
    listed: list[list[str]] = []
    cases.list.listed.append(lambda: listed.append(states(cases)[1:]))
    cases.list.show_folder(folder)
    until(qtbot, lambda: ["…", "…"] in listed)
    until(qtbot, lambda: states(cases)[1:] == ["new", "new"])
    saving.stop()


def test_nothing_here_is_stored_before_the_next_case_takes_its_place(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path, tmp_path: Path
) -> None:
    dock.settings.folder = str(Dataset.at(tmp_path / "kept").path)
    cases, image = opened_from_list(qtbot, dock, folder, "a")
    new_track(dock, image, BRIGHT)
    dock.jump(2)
    dock.keeper.nothing()
    press_row(qtbot, cases, 1)
    until(qtbot, lambda: dock.message.text() == "b is open.")
    (case,) = Dataset(tmp_path / "kept").cases()
    assert list(case.states[BRIGHT]).count(SliceState.EMPTY) == 1


def test_work_on_a_case_goes_into_its_own_dataset_whichever_is_listed_meanwhile(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path, tmp_path: Path
) -> None:
    first, second = (Dataset.at(tmp_path / name) for name in ("first", "second"))
    first.add(wholly_accepted(io.read(folder / "a.nii.gz")))
    second.add(wholly_accepted(io.read(folder / "b.nii.gz")))
    (name,) = first.entries()
    cases, _ = opened_from_list(qtbot, dock, first.path, name)
    until(qtbot, lambda: len(dock.tracks()) == 1)
    cases.list.show_folder(second.path)
    until(qtbot, lambda: dock.settings.folder == str(second.path) and states(cases)[0].endswith("accepted"))
    dock.jump(1)
    layer_of(dock.tracks()[0]).paint((1, 20, 20), 1)
    dock.keeper.accept()
    until(qtbot, lambda: "Kept as revision 2" in dock.message.text())
    press_row(qtbot, cases, 0)
    until(qtbot, lambda: cases.list.current == cases.list.cases[0])
    assert list(first.entries()) == [name]
    assert len(first.case(name).revisions) == 2
    assert first.case(name).mask(BRIGHT).any()
    assert name not in second.entries()
    assert first.draft(name) is not None
    assert second.draft(name) is None


def test_a_run_that_is_faster_than_the_look_for_yesterdays_work_loses_none_of_it(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path, tmp_path: Path
) -> None:
    store = Dataset.at(tmp_path / "kept")
    dock.settings.folder = str(store.path)
    empty = wholly_accepted(io.read(folder / "a.nii.gz"))
    labels = empty.labels.layers.copy()
    labels[0, 3, 30:34, 30:34] = 1
    yesterday = replace(empty, labels=replace(empty.labels, layers=labels), slices={})
    name = store.save_draft(yesterday)
    go_on = threading.Event()
    dock.keeper.work.do(partial(go_on.wait, 60))  # a slow disk
    _, image = opened_from_list(qtbot, dock, folder, "a")
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    today = dock.row()
    layer_of(track).paint((today, 5, 5), 1)
    for _ in range(3):
        dock.keeper.save(image_on(image))
    go_on.set()
    until(qtbot, lambda: not dock.keeper.work.busy)
    (track,) = dock.tracks()
    assert rows_of(track)[today, 5, 5]
    assert np.count_nonzero(rows_of(track)) > np.count_nonzero(rows_of(track)[today])
    last = store.draft(name)
    assert last is not None
    kept = last.annotation(empty.volume)
    assert kept.labels.mask(1)[3, 30:34, 30:34].all()
    assert np.count_nonzero(kept.labels.mask(1)) == np.count_nonzero(rows_of(track))


def test_where_a_case_can_not_be_saved_it_stays_open(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path, tmp_path: Path
) -> None:
    click(qtbot, dock.case_list)
    cases = dock.beside.cases
    cases.list.show_folder(folder)
    until(qtbot, lambda: states(cases) == ["new", "new", "new"])
    press_row(qtbot, cases, 0)
    until(qtbot, lambda: dock.message.text() == "a is open.")
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    dock.settings.folder = str(folder / "notes.txt" / "kept")  # below a file there is no folder
    press_row(qtbot, cases, 1)
    until(qtbot, lambda: "can't be made" in dock.message.text())
    assert dock.image.currentText() == "a"
    assert len(dock.tracks()) == 1
    dock.settings.folder = ""
    press_row(qtbot, cases, 1)
    until(qtbot, lambda: dock.message.text() == "b is open.")
    dock.settings.folder = str(tmp_path / "kept")  # chosen only now: what was done before is found all the same
    press_row(qtbot, cases, 0)
    until(qtbot, lambda: dock.image.currentText() == "a" and len(dock.tracks()) == 1)
    cases.list.show_folder(folder)
    until(qtbot, lambda: states(cases)[1:] == ["new", "new"])


def test_an_export_beside_its_image_is_no_case(qtbot: Any, viewer: Any, dock: BoltzFormerDock, folder: Path) -> None:
    viewer.open(str(folder / "a.nii.gz"), plugin="napari-boltzformer")
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    dock.desk.exporting.to(folder / "a-mask.nii.gz")
    assert [one.name for one in cases_in(folder)] == ["a", "b", "c"]
