"""Each button of Correct and Keep, each offer: pressed, and what came of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer
from clicking import somebody
from hub_server import BLOBS, BLOBS_CONTENT, Hub, hub_of_blobs
from pythonqt import Answers
from scenes import PHANTOM_MODEL, voxels_of

from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.kept_in import accepted_folder
from boltzformer.io.phantom import BRIGHT, DARK, phantom
from boltzformer.masks.objects import pieces
from boltzformer.types import SliceState

PHANTOM = phantom(7, (16, 72, 80))
FOUND = PHANTOM.lesions[0].centre[2]
OTHER = phantom(8, (8, 40, 40))


@pytest.mark.slicer("Every offer can be answered, whatever else is offered", "imitation")
def test_offers_stand_below_each_other_and_all_their_answers_are_there() -> None:
    with somebody() as person:
        notice, done = person.panel.desk.notice, []
        three = [(word, lambda word=word: done.append(word)) for word in ("one", "two", "three")]
        notice.offer("first", "First.", *three)
        notice.offer("second", "Second.", ("go", lambda: done.append("go")))
        person.until(lambda: person.offered("First."))
        assert set(person.offered("First.")) == {"one", "two", "three", "Not now"}
        person.clicks(person.offered("First.")["three"])
        assert done == ["three"]
        assert not person.offered("First.")
        person.until(lambda: person.offered("Second."))
        person.clicks(person.offered("Second.")["Not now"])
        assert done == ["three"]
        assert not person.ui.offersBox.visible


@pytest.mark.slicer("Every offer can be answered, whatever else is offered", "imitation")
def test_work_of_another_model_comes_back_with_that_model_if_it_is_wanted(tmp_path: Path) -> None:
    shutil.copy(PHANTOM_MODEL, tmp_path / "mine.safetensors")
    with somebody() as person:
        Answers.file = str(tmp_path / "mine.safetensors")
        person.clicks(person.ui.modelFileButton)
        person.until(lambda: person.said.startswith("The model is loaded"))
        person.finds(PHANTOM, BRIGHT)
        person.panel.desk.keeper.autosave()
        person.idle()
    with somebody() as person:
        person.panel.enter(None)
        person.until(lambda: person.ui.modelSelector.count > 0)
        person.opens(PHANTOM.volume)
        person.until(lambda: person.offered("Restored from "))
        person.clicks(person.offered("Restored from ")["Use 'mine'"])
        person.until(lambda: Path(person.panel.session().model).stem == "mine")
        person.idle()


@pytest.mark.slicer("Correct: follow, fill between, next doubtful, how sure, revert, drop", "imitation")
def test_every_button_of_correct_does_what_it_says() -> None:
    with somebody() as person:
        desk, ui, stage = person.panel.desk, person.ui, person.panel.stage
        image, (track,) = person.finds(PHANTOM, BRIGHT, slices=True)
        whole = track.surface.copy()
        person.clicks(ui.sureButton)
        person.until(lambda: desk.running.runs)
        person.idle()
        assert np.array_equal(track.surface.copy(), whole)  # no mask is another
        assert track.spread
        person.clicks(ui.nextButton)
        assert person.said.startswith(("Slice ", "No slice is left to doubt"))

        row = next(row for row in range(16) if not whole[row].any() and not whole[row - 1].any() and row > 1)
        for at in (row - 2, row):
            person.strokes(track, at, slice(4, 9), slice(4, 9))
        stage.go(image, row)
        person.idle()
        person.clicks(ui.betweenButton)
        assert track.row(row - 1)[4:9, 4:9].all(), person.said
        person.editor.Undo()
        assert not track.row(row - 1)[4:9, 4:9].all()

        person.clicks(ui.thisSliceButton)
        person.idle()
        assert ui.dropButton.enabled
        painted = track.surface.copy()
        person.clicks(ui.dropButton)
        person.idle()
        assert not ui.dropButton.enabled
        assert np.array_equal(track.surface.copy(), painted)

        stage.go(image, FOUND)
        person.idle()
        person.clicks(ui.followButton)
        person.idle()
        assert "ollowed" in person.said or "follow" in person.said


@pytest.mark.slicer("Correct: follow, fill between, next doubtful, how sure, revert, drop", "imitation")
def test_a_run_is_taken_back() -> None:
    with somebody() as person:
        _, (track,) = person.finds(PHANTOM, BRIGHT, slices=True)
        assert track.surface.copy().any()
        person.clicks(person.ui.revertButton)
        person.idle()
        assert not track.surface.copy().any()
        assert not person.ui.revertButton.enabled


@pytest.mark.slicer("Begin from a segment that is there already", "imitation")
def test_a_segment_of_another_tool_becomes_the_prompts_mask_and_no_run_overwrites_it() -> None:
    with somebody() as person:
        image = person.opens(PHANTOM.volume)
        person.types(BRIGHT)
        person.clicks(person.ui.useSegmentButton)
        assert person.said.startswith("There is no segment to begin from")
        truth = np.ascontiguousarray(PHANTOM.labels.layers[0] == 1)
        node = person.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "theirs")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(image.node)
        node.GetSegmentation().AddEmptySegment("a", "tumour")
        slicer.util.updateSegmentBinaryLabelmapFromArray(truth.astype(np.uint8), node, "a", image.node)
        Answers.line = "tumour (theirs)"
        count = person.scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode")
        person.clicks(person.ui.useSegmentButton)
        (track,) = person.panel.desk.tracks.chosen()
        assert person.scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == count
        assert np.array_equal(voxels_of(track.surface.node, track.surface.segment, image.node), truth)
        assert np.array_equal(voxels_of(node, "a", image.node), truth)  # it is as it was, and hidden
        assert not node.GetDisplayNode().GetSegmentVisibility("a")
        person.panel.stage.go(image, FOUND)
        person.clicks(person.ui.thisSliceButton)
        person.idle()
        assert np.array_equal(voxels_of(track.surface.node, track.surface.segment, image.node), truth)


@pytest.mark.slicer("Objects hidden for their size", "imitation")
def test_small_objects_are_hidden_and_come_back() -> None:
    with somebody() as person:
        _, (track,) = person.finds(PHANTOM, BRIGHT, slices=True)
        ui, whole = person.ui, track.surface.copy()
        assert ui.largestLabel.text == "keep all"
        ui.smallestSlider.value = ui.smallestSlider.maximum
        person.until(lambda: not track.surface.copy().any())
        assert "hidden)" in ui.smallestLabel.text
        person.clicks(ui.resetButton)
        person.until(lambda: np.array_equal(track.surface.copy(), whole))
        assert ui.smallestSlider.value == 0
        ui.largestSlider.value = 1
        assert ui.largestLabel.text == "keep the largest"
        person.idle()
        assert track.surface.copy().any()
        assert track.image.thresholds.largest == 1


@pytest.mark.slicer("Objects hidden for their size where others were deleted", "imitation")
def test_small_objects_are_hidden_where_one_was_deleted_and_one_undo_brings_that_back() -> None:
    with somebody() as person:
        _, (track,) = person.finds(PHANTOM, BRIGHT, slices=True)
        ui, whole, desk = person.ui, track.surface.copy(), person.panel.desk
        found = pieces(whole)
        largest = 1 + int(np.argmax(np.bincount(found.ravel())[1:]))
        z, y, x = np.argwhere(found == largest)[0].tolist()
        desk.delete_object(track, (z, y, x), only=False)
        person.idle()
        left = np.where(found == largest, 0, whole)
        assert left.any()
        assert np.array_equal(track.surface.copy(), left)
        ui.largestSlider.value = 1
        person.until(lambda: not track.surface.copy().any())
        person.editor.Undo()
        person.idle()
        person.until(lambda: np.array_equal(track.surface.copy(), found == largest))
        person.clicks(ui.resetButton)
        person.until(lambda: np.array_equal(track.surface.copy(), whole))


@pytest.mark.slicer("Accept: what was painted, all that was seen, in a folder of one's own", "imitation")
def test_what_was_painted_is_accepted_and_the_folder_is_the_users(tmp_path: Path) -> None:
    with somebody() as person:
        ui, desk = person.ui, person.panel.desk
        image, (track,) = person.finds(PHANTOM, BRIGHT)
        assert ui.keptLabel.text == "Kept in the usual folder"
        assert ui.keptLabel.toolTip == str(accepted_folder())
        Answers.folder = str(tmp_path / "mine")
        person.clicks(ui.folderButton)
        assert ui.keptLabel.text == "Kept in mine"
        person.strokes(track, FOUND, slice(2, 6), slice(2, 6))
        person.idle()
        person.clicks(ui.acceptPaintedButton)
        person.until(lambda: "Kept as revision 1" in person.said)
        assert track.state(FOUND) is SliceState.REVIEWED
        assert [case.states for case in Dataset(tmp_path / "mine").cases()]
        other = 3
        person.panel.stage.go(image, other)
        person.clicks(ui.thisSliceButton)
        person.idle()
        person.clicks(ui.acceptAllButton)
        person.until(lambda: "Kept as revision 2" in person.said)
        assert track.state(other) is SliceState.REVIEWED
        assert desk.settings.folder == str(tmp_path / "mine")


@pytest.mark.slicer("Lesion table: left out of exports, and gone with its patient", "imitation")
def test_nothing_of_the_last_patient_is_left_to_read() -> None:
    with somebody() as person:
        ui, lesions = person.ui, person.panel.lesions
        first, (track, _) = person.finds(PHANTOM, BRIGHT, DARK, slices=True)
        person.clicks(ui.measureButton)
        person.until(lambda: ui.lesionList.count > 1)
        person.picks(ui.lesionList, 0)
        person.clicks(ui.excludeButton)
        assert lesions.lesions[0].voxel in track.excluded
        table = lesions.node
        rows = table.GetNumberOfRows()
        person.opens(OTHER.volume)
        assert ui.lesionList.count == 0
        assert ui.lesionTotal.text == ""
        person.clicks(ui.thisSliceButton)
        person.idle()
        person.clicks(ui.measureButton)
        person.idle()
        assert lesions.node is not table
        assert table.GetNumberOfRows() == rows  # of the first volume, whose own it is
        ui.inputSelector.setCurrentNode(first.node)
        person.clicks(ui.measureButton)
        person.until(lambda: ui.lesionList.count == rows)
        assert lesions.node is table


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from hub_of_blobs(monkeypatch, PHANTOM_MODEL.read_bytes())


@pytest.mark.slicer("A model from the hub: its licence first", "imitation")
def test_terms_are_shown_before_a_byte_of_a_model_is_fetched(server: Hub) -> None:
    with somebody() as person:
        ui = person.ui
        person.panel.enter(None)
        person.until(lambda: ui.modelSelector.count > 0)
        ui.modelButton.collapsed = False
        assert not ui.hubGetButton.visible
        ui.hubPlace.text = BLOBS
        person.clicks(ui.hubAskButton)
        person.until(lambda: ui.hubGetButton.visible)
        assert "licence 'cc-by-4.0', as its owners declare at" in ui.hubTerms.text
        assert "Only for tests, by nobody." in ui.hubCard.plainText
        assert BLOBS_CONTENT not in {path for _, path, _, _ in server.requests}
        ui.hubPlace.what.textEdited.emit(f"{BLOBS}x")  # terms of one place are none of another
        assert not ui.hubGetButton.visible
        person.clicks(ui.hubAskButton)
        person.until(lambda: ui.hubGetButton.visible)
        person.clicks(ui.hubGetButton)
        person.until(lambda: person.panel.session().model == "clinic--blobs--blobs")
        person.until(lambda: person.said.startswith("The model is loaded"))
        assert BLOBS_CONTENT in {path for _, path, _, _ in server.requests}
