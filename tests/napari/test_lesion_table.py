"""The lesion table: objects linked to the masks, left out of exports one by one."""

import csv
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench
from gui import answer_file_dialog, answered, click, done, layer_of, new_track, rows_of, type_lines, until
from qtpy.QtCore import QPoint, Qt

from boltzformer import Grid, Prompt, io
from boltzformer.desk.keeping.lesions import lesions_of, to_measure
from boltzformer.desk.masks.by_hand import small_objects
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.memory import MemoryStage
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.masks.lesions import to_csv
from boltzformer.types import SliceState
from napari_boltzformer.bottom import lesion_table
from napari_boltzformer.bottom.lesion_table import LesionTable
from napari_boltzformer.canvas.objects import NAME
from napari_boltzformer.host.layers import camera_of, image_layer
from napari_boltzformer.widget import BoltzFormerDock


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes so long that it waits until somebody asks."""
    monkeypatch.setattr(lesion_table, "SLOW_S", 0.0)


def cell(qtbot: Any, table: Any, row: int, column: int) -> None:
    where = table.visualRect(table.model().index(row, column))
    spot = where.center()
    if column == 0:
        spot.setX(where.left() + 10)  # the tick
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)


@pytest.mark.slow
def test_objects_are_listed_found_again_and_left_out(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, made: Phantom, tmp_path: Path, slow: None
) -> None:
    data, options, _ = image_layer(made.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT, DARK)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    click(qtbot, dock.table)
    until(qtbot, lambda: dock.beside.lesions is not None and bool(dock.beside.lesions.lesions))
    table, lesions = dock.beside.lesions.table, dock.beside.lesions.lesions
    assert table.rowCount() == len(lesions) == 3
    for one in lesions:
        track = next(track for track in dock.tracks() if track.key == one.mask)
        assert rows_of(track)[one.voxel]
    assert [one.finding.name for one in lesions] == [BRIGHT, BRIGHT, DARK]
    dock.jump(0)
    cell(qtbot, table, 1, 1)
    assert dock.row() == lesions[1].voxel[0]
    whole = dock.desk.exporting.to(tmp_path / "whole.seg.nrrd")[0]
    cell(qtbot, table, 1, 0)
    each = [line.split(",")[0] for line in dock.beside.lesions.total.text().splitlines()]
    assert each == [f"{BRIGHT}: 1 object", f"{DARK}: 1 object"]  # nobody adds up two organs
    total = dock.beside.lesions.total
    until(qtbot, lambda: total.height() >= 2 * total.fontMetrics().lineSpacing())  # and both are read
    assert "1 left out" in dock.beside.lesions.total.text()
    part = dock.desk.exporting.to(tmp_path / "part.seg.nrrd")[0]
    before, after = (io.read_labels(path) for path in (whole, part))
    gone = before.layers.astype(bool) & ~after.layers.astype(bool)
    assert int(gone.sum()) == lesions[1].finding.voxels
    assert not (after.layers.astype(bool) & ~before.layers.astype(bool)).any()
    lines = dock.beside.lesions.csv_text().splitlines()
    assert len(lines) == 3
    cell(qtbot, table, 1, 0)
    assert len(dock.beside.lesions.csv_text().splitlines()) == 4

    assert not dock.visibleRegion().isEmpty()  # what it says stays in sight
    header = table.horizontalHeader()
    assert header.length() <= table.viewport().width()
    answer_file_dialog(tmp_path / "nowhere" / "lesions.csv")
    click(qtbot, dock.beside.lesions.csv)
    until(qtbot, lambda: "could not be written" in dock.message.text())
    assert not dock.beside.lesions.old.isVisible()
    layer_of(track).paint((2, 3, 3), 1)
    assert dock.beside.lesions.old.text() == "The masks have changed since: Measure again."
    assert dock.beside.lesions.old.isVisible()
    click(qtbot, dock.beside.lesions.again)
    assert dock.beside.lesions.total.text() == "Measuring…"
    assert not dock.beside.lesions.old.isVisible()
    until(qtbot, lambda: "objects" in dock.beside.lesions.total.text())
    for row in range(1, table.rowCount()):
        cell(qtbot, table, row, 0)
    assert dock.beside.lesions.total.text().startswith(f"{lesions[0].finding.name}: 1 object, ")


@pytest.mark.slow
def test_small_objects_get_a_ring_on_the_slice_that_is_shown(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    row = dock.row()
    rows_of(track)[row] = 0
    layer_of(track).brush_size = 1
    layer_of(track).paint((row, 5, 6), 1)
    dock.show_results()
    rings = viewer.layers[NAME]
    assert rings.data.tolist() == [[row, 5, 6]]
    for zoom in (camera_of(viewer).zoom, 7.5):
        camera_of(viewer).zoom = zoom
        assert np.allclose(rings.size * rings.scale[-1] * zoom, 24)
        assert np.allclose(rings.border_width * rings.scale[-1] * zoom, 2)
    other, drawn = row - 1, []
    rows_of(track)[other] = 0
    layer_of(track).selected_label = 1
    viewer.dims.set_current_step(0, other)
    for middle in ((10, 11), (20, 21)):
        layer_of(track).paint((other, *middle), 1)
    for event in (rings.events.size, rings.events.border_width, rings.events.border_color):
        event.connect(drawn.append)
    dock.show_results()
    assert rings.data.tolist() == [[other, 10, 11], [other, 20, 21]]
    assert np.allclose(rings.size * rings.scale[-1] * zoom, 24)
    assert not drawn, "a scroll draws the rings once, not once for every property"
    viewer.dims.set_current_step(0, row)
    layer_of(track).brush_size = 9
    layer_of(track).paint((row, 5, 6), 1)
    dock.show_results()
    assert len(rings.data) == 0
    assert small_objects(track, row) == []
    assert np.count_nonzero(rows_of(track)[row]) > 8
    dock.stage.remove(track.surface)  # as who starts afresh
    until(qtbot, lambda: NAME not in viewer.layers)


def test_the_score_of_an_earlier_day_is_called_so_and_only_a_persons_objects_painted(made: Phantom) -> None:
    stage = MemoryStage()
    image = stage.open(made.volume)
    track = Tracks(stage).new(image, Prompt(BRIGHT))
    yesterday = np.zeros(track.shape, bool)
    yesterday[2:4, 5:9, 5:9], yesterday[8, 5:9, 5:9] = True, True
    track.restore(yesterday, ())
    track.recall({2: 0.7, 3: 0.9}, (), 0.5)
    lesions = lesions_of(*to_measure(image, [track]))
    assert [one.texts[-1] for one in lesions] == ["0.90 (earlier)", "painted"]
    lines = list(csv.DictReader(to_csv([one.finding for one in lesions]).splitlines()))
    assert [line["existence"] for line in lines] == ["0.9", ""]
    assert [line["mean_probability"] for line in lines] == ["", ""]  # yesterday's map is not kept


def test_objects_are_measured_as_they_were_and_whatever_changes_them_afterwards_is_told(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, slow: None
) -> None:
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    until(qtbot, lambda: not dock.keeper.work.busy and not dock.desk.work.busy)
    track = answered(dock, image, BRIGHT, 2, 3, logit=16)  # a probability of 0.73
    dock.desk.overview.show_tracks()
    free, review = threading.Event(), dock.bottom.review
    for _ in range(2):
        dock.desk.work.do(lambda: free.wait(60))  # nobody has time to measure at once
    dock.beside.open_table()
    table = dock.beside.lesions
    assert table is not None
    other = answered(dock, image, DARK, 9, logit=16)
    track.revert()
    dock.desk.overview.show_tracks()
    free.set()
    until(qtbot, lambda: bool(table.lesions))
    assert [one.rows for one in table.lesions] == [(2, 3)]
    assert rows_of(other).any()

    def current() -> bool:
        """Measures again, after which nothing is old."""
        table.measure()
        until(qtbot, lambda: "object" in table.total.text())
        return table.old.isHidden()

    assert current()
    with qtbot.waitSignal(review.reapplied):
        review.outline.setValue(95)
    assert not table.old.isHidden()
    with qtbot.waitSignal(review.reapplied):
        review.outline.setValue(50)
    assert current()
    dock.jump(9)
    dock.desk.keeper.accept()  # a word, which moves no voxel
    assert other.is_spoken_of
    other.say(9, SliceState.UNSEEN)
    assert table.old.isHidden()
    layer_of(other).paint((12, 5, 5), 1)
    assert not table.old.isHidden()
    assert current()
    dock.desk.revert()
    assert not table.old.isHidden()


def test_a_table_in_sight_is_measured_anew_and_sorted_by_its_headers(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesion_table, "SLOW_S", 600.0)  # however busy the computer is
    data, options, _ = image_layer(small.volume)
    track = new_track(dock, viewer.add_image(data, **options), BRIGHT)
    mask = np.zeros(track.shape[1:], bool)
    mask[10:31, 10:31], mask[40:44, 40:44] = True, True
    track.change(3, mask)
    dock.beside.open_table()
    table = dock.beside.lesions
    assert table is not None
    until(qtbot, lambda: table.table.rowCount() == 2)
    other = np.zeros_like(mask)
    other[50:60, 50:60] = True
    track.change(9, other)
    until(qtbot, lambda: table.table.rowCount() == 3)  # nobody pressed a button
    assert table.old.isHidden()

    def voxels() -> list[int]:
        rows = range(table.table.rowCount())
        return [table.lesions[table.table.item(row, 0).data(Qt.ItemDataRole.UserRole)].finding.voxels for row in rows]

    header, exported = table.table.horizontalHeader(), table.csv_text()
    assert table.table.horizontalHeaderItem(3).toolTip() == "The longest line within one slice"
    found = voxels()
    for order in (sorted(found), sorted(found, reverse=True)):
        spot = QPoint(header.sectionViewportPosition(2) + 8, header.height() // 2)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=spot)
        assert voxels() == order
    assert table.csv_text() == exported
    cell(qtbot, table.table, 0, 1)
    assert dock.row() == 3  # where the largest is
    cell(qtbot, table.table, 1, 0)
    assert len(table.csv_text().splitlines()) == 3
    track.change(9, np.zeros_like(mask))
    until(qtbot, lambda: voxels() == [441, 16])  # in the order that was chosen


def test_a_click_in_the_table_rings_the_object_for_a_moment(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    track = new_track(dock, image, BRIGHT)
    masks = np.zeros((2, *track.shape[1:]), bool)
    masks[0, 10:31, 10:31], masks[0, 40:61, 40:61], masks[1, 10:31, 10:31] = True, True, True
    masks[0, 2, 2] = True
    track.change_all({3: masks[0], 4: masks[1]})
    dock.beside.open_table()
    table = dock.beside.lesions
    assert table is not None
    until(qtbot, lambda: table.table.rowCount() == 3)
    dock.jump(9)
    numbers = range(3)
    lower = next(n for n in numbers if table.lesions[n].voxel[1] >= 40)
    before = camera_of(viewer).center[-2:]
    cell(qtbot, table.table, lower, 1)
    assert dock.row() == 3
    rings = viewer.layers[NAME]
    assert rings.data.tolist() == [[3, 50, 50]]
    assert np.allclose(camera_of(viewer).center[-2:], before)  # all of the picture is in view: it stays where it is
    assert viewer.layers.selection.active.name == layer_of(track).name
    until(qtbot, lambda: rings.data.tolist() == [[3, 2, 2]])  # the small one has its own again


def test_rings_lie_on_the_image_that_is_chosen(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    for scale in (1.0, 0.5):
        image = viewer.add_image(np.zeros((3, 24, 32), np.uint8), scale=(1, scale, scale))
        track = new_track(dock, image, BRIGHT)
        layer_of(track).brush_size = 1
        layer_of(track).paint((1, 10, 10), 1)
        dock.jump(1)
        dock.show_results()
        rings = viewer.layers[NAME]
        assert rings.data.tolist() == [[1, 10, 10]]
        assert np.allclose(rings.data_to_world(rings.data[0]), image.data_to_world((1, 10, 10)))
    assert [layer.name for layer in viewer.layers].count(NAME) == 1


def test_the_space_bar_leaves_an_object_out_as_a_click_on_its_tick_does(qtbot: Any) -> None:
    bench = Bench()
    image = bench.open(Grid.pixels((1, 40, 60)))
    cells = np.zeros((1, 40, 60), bool)
    cells[0, 5:10, 5:10], cells[0, 20:30, 30:40] = True, True
    track = bench.answered(image, "cell", cells)
    table = LesionTable(bench.desk, lambda *_: None)
    qtbot.addWidget(table)
    table.show()
    table.measure()
    bench.until(lambda: table.table.rowCount() == 2)
    table.table.setCurrentCell(1, 0)
    for out in (True, False):
        qtbot.keyClick(table.table, Qt.Key.Key_Space)
        assert bool(track.excluded) == out
        assert len(table.csv_text().splitlines()) == 3 - out
        assert ("left out" in table.total.text()) == out
    bench.leave()


def test_a_click_in_the_table_shows_a_mask_that_was_hidden_among_many(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    tracks = [new_track(dock, image, name) for name in ("a", "b", "c", "d", "e")]
    mask = np.zeros(tracks[0].shape[1:], bool)
    mask[10:31, 10:31] = True
    tracks[0].change(3, mask)
    assert not tracks[0].surface.shown
    dock.beside.open_table()
    table = dock.beside.lesions
    assert table is not None
    until(qtbot, lambda: table.table.rowCount() == 1)
    cell(qtbot, table.table, 0, 1)
    assert [one.surface.shown for one in tracks] == [True, False, False, False, False]
    assert viewer.layers[NAME].data.tolist() == [[3, 20, 20]]
