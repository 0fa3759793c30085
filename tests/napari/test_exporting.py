"""Export: what is replaced and what is asked about, what the dock says of it, and masks that come back as masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import DIST, answer_file_dialog, answer_question, click, new_track, rows_of, until
from image_files import write_series
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox

from boltzformer import Grid, Volume, io
from boltzformer.desk.masks.track import Track
from boltzformer.io.phantom import Phantom
from napari_boltzformer.dock.opening import layers_offered, lies_on
from napari_boltzformer.host.layers import image_layer, same
from napari_boltzformer.widget import BoltzFormerDock


def painted(dock: BoltzFormerDock, image: Any, name: str, columns: slice) -> Track:
    track = new_track(dock, image, name)
    mask = np.zeros(rows_of(track).shape, bool)
    mask[2:5, 10:20, columns] = True
    track.restore(mask, ())
    return track


def export(qtbot: Any, dock: BoltzFormerDock, path: Path, *, replace: bool = False) -> str:
    """As a person would → what the dock says then."""

    def yes() -> None:
        question = QApplication.activeModalWidget()
        if isinstance(question, QMessageBox):
            QTest.mouseClick(question.button(QMessageBox.StandardButton.Yes), Qt.MouseButton.LeftButton)
        else:
            QTimer.singleShot(50, yes)

    answer_file_dialog(path)
    if replace:  # Qt's own question
        QTimer.singleShot(100, yes)
    click(qtbot, dock.export)
    until(qtbot, lambda: not dock.keeper.work.busy)
    return str(dock.message.text())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_name_that_may_be_replaced_keeps_no_stale_mask_and_another_format_is_no_dead_end(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    painted(dock, image, "a", slice(10, 20))
    assert export(qtbot, dock, out / "one.nii.gz") == f"Wrote {out / 'one.nii.gz'}, {out / 'one.provenance.json'}"
    painted(dock, image, "b", slice(15, 25))
    said = export(qtbot, dock, out / "one.nii.gz", replace=True)
    assert names(out) == ["one.provenance.json", "one__a.nii.gz", "one__b.nii.gz"]
    assert "the masks overlap, so each is written into a file of its own; .seg.nrrd keeps them in one." in said
    assert said.endswith("They take the place of one.nii.gz.")

    assert export(qtbot, dock, out / "one.nii.gz").startswith("Wrote ")  # the same name again
    assert export(qtbot, dock, out / "one.seg.nrrd").startswith("Wrote ")  # another format of the same stem
    told = json.loads((out / "one.provenance.json").read_text("utf-8"))
    assert told["mask files"] == {"one.seg.nrrd": {"1": "a", "2": "b"}}
    assert [one["mask files"] for one in told["earlier exports"]] == [
        {"one__a.nii.gz": {"1": "a"}, "one__b.nii.gz": {"1": "b"}}
    ]
    assert "runs" in told["earlier exports"][0]["masks"]["b"]
    assert export(qtbot, dock, out / "one.nii.gz").startswith("Wrote ")

    (out / "two__b.nii.gz").write_bytes(b"somebody's")
    (out / "two.provenance.json").write_bytes(b"somebody's")
    assert export(qtbot, dock, out / "two.nii.gz").startswith("Writing ")
    asked = answer_question(qtbot, "Cancel")
    assert asked == "two__b.nii.gz, two.provenance.json are there already and would be replaced."
    assert dock.message.text() == "Nothing was written: Export… again under another name."
    assert (out / "two__b.nii.gz").read_bytes() == b"somebody's"
    assert "two__a.nii.gz" not in names(out)
    export(qtbot, dock, out / "two.nii.gz")
    answer_question(qtbot, "Replace")
    until(qtbot, lambda: dock.message.text().startswith("Wrote "))
    assert io.read_labels(out / "two__b.nii.gz").mask(1).any()


def test_the_dock_says_that_others_straighten_a_tilted_nifti(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    axes = np.array(small.volume.grid.axes)
    axes[1, 2] += 0.4 * axes[2, 2]
    tilted = Volume(small.volume.array, Grid(small.volume.grid.shape, axes, small.volume.grid.origin))
    data, options, _ = image_layer(tilted)
    painted(dock, viewer.add_image(data, **options), "a", slice(10, 20))
    assert "show the mask in the wrong place" in export(qtbot, dock, tmp_path / "tilted.nii.gz")


@pytest.mark.slow
def test_exported_masks_come_back_as_masks_of_their_image(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, small_file: Path, tmp_path: Path
) -> None:
    write_series(tmp_path / "ct", small.volume.array, small.volume.grid)
    viewer.open(str(tmp_path / "ct"), plugin=DIST)
    series = dock.chosen_image()
    painted(dock, series, "a", slice(10, 20))
    export(qtbot, dock, tmp_path / "seg.dcm")
    (image,) = viewer.open(str(small_file), plugin=DIST)
    tracks = [painted(dock, image, "a", slice(10, 20)), painted(dock, image, "b", slice(15, 25))]
    for name in ("one.nii.gz", "two.seg.nrrd", "three.nrrd"):
        export(qtbot, dock, tmp_path / name)
    for names in (["two.seg.nrrd"], ["one__a.nii.gz", "one__b.nii.gz"], ["three__a.nrrd", "three__b.nrrd"]):
        back = [layer for name in names for layer in viewer.open(str(tmp_path / name), plugin=DIST)]
        assert [type(layer).__name__ for layer in back] == ["Labels", "Labels"]
        for layer, track in zip(back, tracks, strict=True):
            assert layer.name.split(" [")[0] == track.name
            assert np.array_equal(np.asarray(layer.data) > 0, rows_of(track) > 0)
            assert lies_on(layer, image)
        assert dock.chosen_image() is image
    before = len(viewer.layers)
    dock.opening.open(tmp_path / "seg.dcm")
    until(qtbot, lambda: len(viewer.layers) == before + 1)
    assert lies_on(viewer.layers[-1], series)
    assert viewer.layers[-1].name.split(" [")[0] == "a"
    assert dock.chosen_image() is image
    viewer.layers.selection.active = viewer.layers[-2]
    assert any(same(layer, viewer.layers[-2]) for layer, _ in layers_offered(dock.stage, image, []).values())
    (plain,) = viewer.open(str(small_file), plugin=DIST)
    assert dock.chosen_image().unique_id == plain.unique_id
