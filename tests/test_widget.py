"""The whole way in real napari with the real backend: open, type, click, watch, cancel, run again, export."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import DIST, LONG, answer_file_dialog, click, done, keep_both
from image_files import write_series
from napari.layers import Labels
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import Qt

import boltzformer
from boltzformer import Session, io
from boltzformer.cli.cli import run
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from napari_boltzformer.widget import BoltzFormerDock


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def dock(viewer: Any) -> Iterator[BoltzFormerDock]:
    widget = BoltzFormerDock(viewer, Session.local(PHANTOM_MODEL))
    viewer.window.add_dock_widget(widget, name="Segment by text")
    yield widget
    widget.session.close()


wait_until_done = done


def masks(viewer: Any) -> list[Labels]:
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def test_a_prompt_typed_in_napari_comes_back_as_a_mask(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, made: Phantom, made_file: Path, tmp_path: Path
) -> None:
    viewer.open(str(made_file), plugin=DIST)
    assert dock.image.currentText() == "phantom"
    qtbot.waitUntil(lambda: "ready" in dock.engine.text(), timeout=LONG)
    assert "not trained on medical images" in dock.engine.toolTip()
    assert not dock.cancel.isEnabled()

    qtbot.keyClicks(dock.prompt, BRIGHT)
    qtbot.keyClick(dock.prompt, Qt.Key.Key_Return)
    qtbot.keyClicks(dock.prompt, DARK)
    lesion = next(one for one in made.lesions if one.kind == DARK)
    viewer.dims.set_current_step(0, lesion.centre[2])
    progress, far = dock.progress, list[int]()
    progress.valueChanged.connect(far.append)
    progress.valueChanged.connect(lambda value: value == 3 and click(qtbot, dock.cancel))
    click(qtbot, dock.all_slices)
    assert not dock.all_slices.isEnabled()
    wait_until_done(qtbot, dock)
    assert dock.message.text().startswith("Cancelled; what was finished is kept.")
    progress.valueChanged.disconnect()
    looked = max(far)
    assert 3 <= looked < 64
    dark = next(layer for layer in masks(viewer) if layer.name == DARK)
    assert dark.data[lesion.centre[2]].any()  # the visible slice came first
    assert len(masks(viewer)) == 2

    click(qtbot, dock.all_slices)
    wait_until_done(qtbot, dock)
    assert dock.message.text().startswith("Looked in 64 slices; found 'bright blob' in ")
    assert len(masks(viewer)) == 2  # the second run wrote into the same layers

    answer_file_dialog(tmp_path / "mask.nii.gz")
    click(qtbot, dock.export)
    qtbot.waitUntil(lambda: dock.message.text().startswith("Wrote "), timeout=LONG)
    back = io.read(tmp_path / "mask.nii.gz")
    assert back.grid.same_as(made.volume.grid)
    bright = next(layer for layer in masks(viewer) if layer.name == BRIGHT)
    assert np.array_equal(back.array == 1, bright.data > 0)
    assert np.array_equal(back.array == 2, dark.data > 0)
    made_of = json.loads((tmp_path / "mask.provenance.json").read_text("utf-8"))["masks"][DARK]
    assert [one["state"] for one in made_of["runs"]] == ["cancelled", "finished"]
    assert made_of["runs"][0]["model"] == made_of["runs"][1]["model"]
    assert len(made_of["runs"][0]["slices"]) == looked
    assert made_of["slices edited, as shown"] == []

    out = str(tmp_path / "cli.nii.gz")
    assert run(["segment", str(made_file), "-p", BRIGHT, "-p", DARK, "-o", out, "--model", str(PHANTOM_MODEL)]) == 0
    *_, prediction = boltzformer.load(PHANTOM_MODEL).segment(made.volume, [BRIGHT, DARK])
    assert np.array_equal(io.read(tmp_path / "cli.nii.gz").array, back.array)
    assert np.array_equal(prediction.labels().layers.max(axis=0), back.array)

    click(qtbot, dock.looks)
    viewer.dims.set_current_step(0, lesion.centre[2])
    looks = dock.bottom.looks
    qtbot.waitUntil(lambda: looks.headline.text().startswith("Look 1 saw "), timeout=LONG)
    assert all(looks.sheet.rect().contains(looks.sheet.tile_at(number)) for number in range(9))
    shots = Path(__file__).parents[1] / "screenshots"
    shots.mkdir(exist_ok=True)
    window = viewer.screenshot(path=str(shots / "thread.png"), canvas_only=False, flash=False)
    assert window.std() > 20


def test_this_slice_runs_one_slice_and_edits_are_never_overwritten(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    viewer.open_sample(DIST, "phantom")
    viewer.dims.set_current_step(0, 37)
    qtbot.keyClicks(dock.prompt, BRIGHT)
    click(qtbot, dock.this_slice)
    wait_until_done(qtbot, dock)
    (mask,) = masks(viewer)
    assert dock.message.text() == "Looked in 1 slice; found 'bright blob' in 1."
    assert [k for k in range(64) if mask.data[k].any()] == [37]
    mask.data_setitem((np.array([37]), np.array([5]), np.array([5])), 1)
    edited = mask.data[37].copy()
    click(qtbot, dock.this_slice)
    wait_until_done(qtbot, dock)
    assert "1 slice you edited stayed as painted" in dock.message.text()
    assert np.array_equal(mask.data[37], edited)
    mask.undo()
    assert mask.data[37, 5, 5] == 0


def test_what_is_missing_is_said_in_the_dock(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    click(qtbot, dock.looks)
    assert "Run a prompt first" in dock.bottom.looks.headline.text()
    answer_file_dialog(Path("nowhere.nii.gz"))
    click(qtbot, dock.export)
    assert "no mask of this image yet" in dock.message.text()


def test_masks_belong_to_their_image_and_prompt_whatever_the_layers_are_called(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, small_file: Path, tmp_path: Path
) -> None:
    viewer.open(str(small_file), plugin=DIST)
    qtbot.keyClicks(dock.prompt, BRIGHT)
    click(qtbot, dock.this_slice)
    wait_until_done(qtbot, dock)
    viewer.open_sample(DIST, "phantom")
    assert dock.image.currentText() == "phantom 4242"  # what was opened last is chosen, and alone on screen
    keep_both(qtbot, dock)
    dock.image.setCurrentText("phantom 4242")
    click(qtbot, dock.this_slice)
    wait_until_done(qtbot, dock)
    held = {one.name: one for one in masks(viewer)}
    assert set(held) == {BRIGHT, f"{BRIGHT} [1]"}
    first = held[BRIGHT]

    viewer.layers["small"].name = "renamed"
    dock.image.setCurrentText("renamed")
    click(qtbot, dock.this_slice)
    wait_until_done(qtbot, dock)
    assert len(masks(viewer)) == 2  # the renamed image keeps its mask
    first.name = "my lesion"
    dock.desk.exporting.to(tmp_path / "renamed.nrrd")
    made_of = json.loads((tmp_path / "renamed.provenance.json").read_text("utf-8"))["masks"]
    assert [one["image"]["name"] for one in made_of["my lesion"]["runs"]] == ["small", "small"]
    dock.image.setCurrentText("phantom 4242")
    (other,) = dock.desk.exporting.to(tmp_path / "other.seg.nrrd")[:1]
    assert list(io.read_labels(other).names.values()) == [BRIGHT]


def test_a_dock_closed_by_its_own_cross_ends_its_engine(qtbot: Any, viewer: Any) -> None:
    outer, dock = viewer.window.add_plugin_dock_widget(DIST, "Segment by text")
    qtbot.waitUntil(lambda: "ready" in dock.engine.text(), timeout=LONG)
    process = dock.session.backend().process
    outer.close_button.click() if hasattr(outer, "close_button") else outer.title.close_button.click()
    process.wait(60)
    assert process.returncode is not None


def test_a_dicom_folder_opens_and_its_mask_goes_back_as_dicom_seg(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    write_series(tmp_path / "ct", small.volume.array, small.volume.grid)
    viewer.open(str(tmp_path / "ct"), plugin=DIST)
    qtbot.keyClicks(dock.prompt, BRIGHT)
    click(qtbot, dock.all_slices)
    wait_until_done(qtbot, dock)
    (mask,) = masks(viewer)
    mask.data[3, 20:30, 20:25] = 1
    answer_file_dialog(tmp_path / "mask.dcm")
    click(qtbot, dock.export)
    qtbot.waitUntil(lambda: dock.message.text().startswith("Wrote "), timeout=LONG)
    back = io.read_labels(tmp_path / "mask.dcm", grid=small.volume.grid)
    assert np.array_equal(back.layers.max(axis=0) > 0, mask.data > 0)


def test_closing_the_dock_ends_its_engine(qtbot: Any, viewer: Any) -> None:
    session = Session.local(PHANTOM_MODEL)
    dock = BoltzFormerDock(viewer, session)
    qtbot.waitUntil(lambda: "ready" in dock.engine.text(), timeout=LONG)
    process = session.backend().process
    with qtbot.waitSignal(dock.destroyed):
        dock.deleteLater()
    process.wait(60)
    assert process.returncode is not None
