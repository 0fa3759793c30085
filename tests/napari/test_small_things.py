"""Small things that were in the way: contrast, planes, the brush, a look that stays, masks among cases, words."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from gui import answered, bring_to_light, canvas, click, done, layer_of, press, type_lines, until
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import QPoint, Qt

from boltzformer import LabelMap, Prompt, Session, Volume, io
from boltzformer.desk.keeping.cases import cases_in
from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.desk.teaching.outcome import Compared, Question
from boltzformer.io.phantom import BRIGHT, Phantom, phantom
from napari_boltzformer.bottom.looks_sheet import LEAST_TILE
from napari_boltzformer.canvas.objects import NAME
from napari_boltzformer.canvas.proposals import TOPIC as DASHED
from napari_boltzformer.dock.form import Form
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.stage import LIGHT, image_on
from napari_boltzformer.teaching.pair import show_pair
from napari_boltzformer.widget import BoltzFormerDock


def opened(viewer: Any, volume: Volume) -> Any:
    data, options, _ = image_layer(volume)
    return viewer.add_image(data, **options)


def test_an_image_that_opens_dark_is_shown_by_percentiles_and_another_as_it_is(
    viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    array = small.volume.array.astype(np.int16).copy()
    array[0, 0, 0] = 30_000  # a single bright voxel
    dark = opened(viewer, Volume(array, small.volume.grid, name="dark"))
    assert dark.contrast_limits[1] < 1000
    assert dark.contrast_limits_range[1] == 30_000  # the slider still reaches it
    usual = opened(viewer, small.volume)
    assert usual.contrast_limits[1] == small.volume.array.max()


def test_a_dark_picture_that_napari_itself_opened_is_shown_by_percentiles_too(
    viewer: Any, dock: BoltzFormerDock, tmp_path: Path
) -> None:
    """16 bits of a microscope, of which few are used; its own reader is the one that files are dropped on."""
    pixels = np.random.default_rng(0).integers(100, 600, (40, 50), dtype=np.uint16)
    pixels[3, 3] = 65_535  # one that is broken
    tifffile.imwrite(tmp_path / "cells.ome.tif", pixels, ome=True)
    (layer,) = viewer.open(str(tmp_path / "cells.ome.tif"), plugin="napari")
    assert layer.contrast_limits[1] <= 600


def test_a_dark_image_that_was_open_before_the_dock_is_shown_so_too(viewer: Any, small: Phantom) -> None:
    """As with `napari FILE -w napari-boltzformer`."""
    array = small.volume.array.astype(np.int16).copy()
    array[0, 0, 0] = 30_000
    dark = opened(viewer, Volume(array, small.volume.grid, name="dark"))
    foreign = viewer.add_image(array, name="of another plugin")
    dock = BoltzFormerDock(viewer, Session.local(PHANTOM_MODEL))
    viewer.window.add_dock_widget(dock, name="Segment by text")
    assert dark.contrast_limits[1] < 1000
    assert foreign.contrast_limits[1] == 30_000
    dock.session.close()


def test_tissue_in_the_lower_half_of_the_contrast_is_dark_and_a_chosen_window_stays(
    viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    """As in MR of a hippocampus, where a few bright voxels reach three times as far as the rest."""
    array = np.linspace(0, 330, small.volume.array.size, dtype=np.float32).reshape(small.volume.array.shape)
    array[0, 0, :4] = 1000
    dark = opened(viewer, Volume(array, small.volume.grid, name="dark"))
    assert 325 < dark.contrast_limits[1] < 330
    assert dark.contrast_limits_range[1] == 1000
    dark.contrast_limits = 0, 900  # chosen, and kept when it comes back
    viewer.layers.remove(dark)
    viewer.layers.append(dark)
    assert tuple(dark.contrast_limits) == (0, 900)
    data, options, _ = image_layer(Volume(array - 1000, small.volume.grid, name="in a window"))
    windowed = viewer.add_image(data, **options, contrast_limits=(-900, 1000))  # darkest left out
    assert tuple(windowed.contrast_limits) == (-900, 1000)


def test_one_click_shows_another_plane(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    opened(viewer, small.volume)
    assert viewer.dims.order == (0, 1, 2)
    for plane, scrolled, letters in (("coronal", 1, "top H"), ("sagittal", 2, "top H"), ("axial", 0, "top A")):
        click(qtbot, dock.planes[plane])
        assert viewer.dims.order[0] == scrolled
        assert letters in viewer.canvas.overlays.text.text
    viewer.layers.clear()
    viewer.add_image(np.zeros((20, 30)))
    assert not dock.planes["axial"].isVisible()


def test_the_rings_never_take_the_brush(qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom) -> None:
    image = opened(viewer, small.volume)
    track = answered(dock, image, BRIGHT)
    layer_of(track).brush_size = 1
    layer_of(track).paint((dock.row(), 2, 3), 1)
    dock.show_results()
    viewer.layers.selection.active = layer_of(track)
    viewer.layers.selection.active = viewer.layers[NAME]
    until(qtbot, lambda: viewer.layers.selection.active.unique_id == layer_of(track).unique_id)


def test_a_look_on_the_canvas_goes_with_its_tab_and_with_escape(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small.volume)
    dock.jump(small.lesions[0].centre[2])
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    click(qtbot, dock.looks)
    looks = dock.bottom.looks
    until(qtbot, lambda: looks.headline.text().startswith("Look 1 saw "))

    def lit() -> bool:
        return any(layer.visible for layer in viewer.layers if LIGHT in layer.metadata)

    assert looks.sheet.tile_at(0).width() >= LEAST_TILE[0] == 96
    looks.step(1)
    assert lit()
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_Escape)
    assert not lit()
    assert looks.current is None
    (track,) = dock.tracks()
    layer_of(track).paint((dock.row(), 2, 2), 1)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    until(qtbot, lambda: DASHED in dock.notice.offers and looks.looks is not None)
    looks.step(1)
    canvas(viewer).setFocus()
    press(qtbot, viewer, Qt.Key.Key_Escape)  # the look alone
    assert (lit(), DASHED in dock.notice.offers) == (False, True)
    press(qtbot, viewer, Qt.Key.Key_Escape)
    assert DASHED not in dock.notice.offers
    looks.step(1)
    assert lit()
    click(qtbot, dock.table)  # another tab of the same place
    until(qtbot, lambda: not lit())
    assert "looked there" in looks.caption.text()
    click(qtbot, looks.chance)
    assert "likelier" in looks.caption.text()  # it fits what is lit


@pytest.mark.slow
def test_two_models_that_are_compared_leave_the_canvas_with_their_tab_and_with_escape(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    image = image_on(opened(viewer, small.volume))
    plane = np.ones(image.layer.data.shape[1:], np.uint8)
    found = Compared(Question(image, 2, BRIGHT, 7), plane, plane)
    for leave in (
        lambda: dock.acts.setCurrentIndex(0),
        lambda: press(qtbot, viewer, Qt.Key.Key_Escape),
    ):
        bring_to_light(dock.learn)
        until(qtbot, lambda: dock.beside.teach is not None)
        show_pair(viewer, found)
        assert len(viewer.layers) == 3
        canvas(viewer).setFocus()
        leave()
        assert [one.unique_id for one in viewer.layers] == [image.layer.unique_id]


def test_completions_leave_what_is_typed_in_sight_and_nobody_is_warned_in_mid_word(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    type_lines(qtbot, dock, "lesio")
    popup = dock.prompt.completer.popup()
    until(qtbot, popup.isVisible)
    below = dock.prompt.mapToGlobal(QPoint(0, dock.prompt.height())).y()
    assert popup.mapToGlobal(QPoint(0, 0)).y() >= below - 2
    assert popup.styleSheet() == dock.window().styleSheet()  # as dark as the rest
    last = popup.visualRect(popup.model().index(popup.model().rowCount() - 1, 0))
    assert popup.viewport().rect().contains(last)
    popup.hide()
    knowing = Knowledge()
    kidneys = [one for one in knowing.completions("kidney", "", ()) if one.target == "kidney"]
    assert [one.text for one in kidneys] == ["○ kidney — CT, MRI: asking the model…"]
    assert kidneys[0].prompt == "kidney"  # in which of them nobody knows
    for modality, prompt in (("MR", "kidney in abdominal MRI"), ("CT", "kidney in abdominal CT")):
        first = knowing.completions("kidn", modality, ())[0]
        assert (first.text, first.prompt) == (kidneys[0].text, prompt)
    assert knowing.completions("left ventricle", "US", ())[0].text.startswith("○ left ventricle — CT, MRI, ultrasound:")
    assert [one.text for one in knowing.completions("", "CT", ("anything",))] == ["○ anything: asking the model…"]
    assert knowing.unfinished("kidn")
    assert knowing.unfinished("MS les")
    assert knowing.unfinished("leukocy")  # another word for the white blood cell
    assert not knowing.unfinished("kidney")
    assert not knowing.unfinished("kidn ")
    assert not knowing.unfinished("gyrfalcon")


@pytest.mark.parametrize("name", ["a_label", "a-labels", "a_seg", "case a mask"])
def test_files_that_are_called_masks_are_no_cases(tmp_path: Path, name: str) -> None:
    volume = phantom(1, (8, 48, 48)).volume
    io.write_volume(volume, tmp_path / "a.nii.gz")
    io.write_volume(volume, tmp_path / f"{name}.nii.gz")
    assert [one.name for one in cases_in(tmp_path)] == ["a"]


def test_masks_are_known_by_what_they_hold(tmp_path: Path) -> None:
    volume = phantom(1, (8, 48, 48)).volume
    io.write_volume(volume, tmp_path / "a.nii.gz")
    io.write_volume(volume, tmp_path / "a follow-up.nii.gz")  # named after it, and an image
    labels = Volume((volume.array > 100).astype(np.float32), volume.grid)
    io.write_volume(labels, tmp_path / "a lesions by Dr B.nii.gz")
    io.write_volume(labels, tmp_path / "roi.nii.gz")  # named after nothing, on the same voxels
    assert sorted(one.name for one in cases_in(tmp_path)) == ["a", "a follow-up"]
    cells = np.random.default_rng(1).integers(0, 255, (200, 300), np.uint8)
    disc = np.hypot(*np.ogrid[-100:100, -150:150]) < 40
    for name, picture in (("cells", cells), ("annotation of cells", disc), ("single", disc[:99])):
        PIL.Image.fromarray(picture.astype(np.uint8) * (255 if picture.dtype == bool else 1)).save(
            tmp_path / f"{name}.png"
        )
    assert sorted(one.name for one in cases_in(tmp_path)) == ["a", "a follow-up", "cells", "single"]


def test_a_seg_nrrd_carries_the_whole_prompt(tmp_path: Path, small: Phantom) -> None:
    labels = LabelMap(np.ones((1, *small.volume.grid.shape), np.uint8), small.volume.grid, {1: "MS lesion"})
    told = {"masks": {"MS lesion": {"prompt": "MS lesion in brain MRI"}}}
    io.write(labels, tmp_path / "mask.seg.nrrd", provenance=told)
    header = (tmp_path / "mask.seg.nrrd").read_bytes().split(b"\n\n")[0].decode("utf-8")
    assert "TextPrompt:MS lesion in brain MRI|" in header
    assert "Name:=MS lesion\n" in header
    assert Prompt("MS lesion in brain MRI", "MS lesion").name == "MS lesion"


def test_the_bar_is_empty_where_nothing_is_counted(qtbot: Any) -> None:
    form = Form()
    qtbot.addWidget(form)
    form.show_far((4, 4))
    assert form.progress.text() == "100%"
    form.show_far(None)  # another image
    assert form.progress.text() == ""


def test_nothing_stays_on_the_canvas_where_a_brush_was_put_down(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    """napari 0.9 lays a black square under its brush from the second time on, and forgets it there."""
    viewer.add_image(np.full((40, 40), 200, np.uint8), contrast_limits=(0, 255))
    labels, middle = viewer.add_labels(np.zeros((40, 40), np.uint8)), canvas(viewer).rect().center()
    qtbot.mouseMove(canvas(viewer), middle)
    before = viewer.screenshot(flash=False)
    for _ in range(2):
        labels.mode = "paint"
        qtbot.mouseMove(canvas(viewer), middle + QPoint(3, 3))
        labels.mode = "pan_zoom"
        viewer.layers.move(0, 2)  # whatever makes napari go through what lies on its canvas
        viewer.layers.move(1, 0)
    assert [layer.name for layer in viewer.layers][-1] == labels.name
    assert np.array_equal(viewer.screenshot(flash=False), before)
