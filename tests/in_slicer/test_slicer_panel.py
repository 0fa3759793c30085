"""The panel among everything a scene does to it: closed, read, edited behind its back; markups, looks, bad input."""

import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pytest
import slicer
from clicking import somebody
from pythonqt import Answers
from scenes import ENGINE, MODULE, PHANTOM_MODEL, ROOT, shown_in, under_transform, volume_node
from storage_orders import rotation

from boltzformer import BoltzFormerError, Volume
from boltzformer.desk.masks.pointing import guidance_for
from boltzformer.desk.models.window import BY_NAME
from boltzformer.io.phantom import BRIGHT, DARK, phantom
from BoltzFormerLib.geometry import ijk_to_ras, world_of
from BoltzFormerLib.guide import BOX, POINTS
from BoltzFormerLib.looks import token_grid
from BoltzFormerLib.parameters import Parameters
from BoltzFormerLib.segmentations import SURFACE

PHANTOM = phantom(7, (16, 72, 80))
FOUND = PHANTOM.lesions[0].centre[2]


@pytest.mark.slicer("Undo and redo in mid-run, edited slices untouched", "imitation")
def test_strokes_undo_and_redo_in_the_middle_of_a_run() -> None:
    with somebody() as person:
        desk = person.panel.desk
        image = person.opens(PHANTOM.volume)
        person.types(BRIGHT)
        person.panel.stage.go(image, FOUND)
        person.clicks(person.ui.thisSliceButton)
        person.until(lambda: desk.running.runs)
        person.idle()
        (track,) = desk.tracks.chosen()
        person.clicks(person.ui.allSlicesButton)
        person.until(lambda: len(track.scores) >= 4)
        row = next(one for one in range(16) if one not in track.scores)
        person.strokes(track, row, slice(2, 6), slice(2, 6))
        painted = track.row(row).copy()
        person.until(lambda: len(track.scores) >= 6 or not desk.running.runs)
        person.editor.Undo()
        assert not track.row(row).any() or row in track.scores
        person.editor.Redo()
        assert np.array_equal(track.row(row), painted)
        person.idle()
        assert np.array_equal(track.row(row), painted)
        assert track.edited_rows() == [row]
        assert sorted(track.scores) == list(range(16))
        for other in track.scores:  # what the model wrote before and after the undo is all there
            assert other == row or np.array_equal(track.mask(other), track.kept.mask(other))


@pytest.mark.slicer("Masks, overwrite mode of the Segment Editor are honoured", "imitation")
def test_what_the_segment_editor_protects_stays_as_it_is() -> None:
    with somebody() as person:
        image, (track, other) = person.finds(PHANTOM, BRIGHT, DARK)
        person.strokes(other, FOUND, slice(10, 20), slice(10, 20))
        whole = np.ones(track.shape[1:], bool)
        before = other.surface.copy()
        track.change(FOUND, whole)  # on a person's behalf; segments may overlap
        assert np.array_equal(other.surface.copy(), before)
        node = person.panel.stage.editor()
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        node.SetMaskSegmentID(other.surface.segment)
        track.change(FOUND, ~whole)
        assert np.array_equal(track.mask(FOUND), ~other.mask(FOUND))  # editable inside of the other alone
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        node.SetOverwriteMode(node.OverwriteAllSegments)
        track.change(FOUND, whole)
        assert not other.row(FOUND)[10:20, 10:20].any()  # as the user's own brush would do it
        assert image.is_picture is False


@pytest.mark.slicer("Surface off during a run, back at its end", "imitation")
def test_a_surface_is_not_built_for_every_slice() -> None:
    with somebody() as person:
        _, (track,) = person.finds(PHANTOM, BRIGHT)
        node = track.surface.node
        assert node.CreateClosedSurfaceRepresentation()
        person.clicks(person.ui.allSlicesButton)
        person.until(lambda: len(track.scores) > 2)
        assert not node.GetSegmentation().ContainsRepresentation(SURFACE)
        person.idle()
        assert node.GetSegmentation().ContainsRepresentation(SURFACE)


@pytest.mark.slicer("Points 'here' and 'not here', a box", "imitation")
@pytest.mark.parametrize("lies", ["plain", "under a transform"])
def test_clicks_in_the_world_are_voxels_of_the_image(lies: str) -> None:
    with somebody() as person:
        panel = person.panel
        image = person.opens(PHANTOM.volume)
        if lies != "plain":
            above = np.eye(4)
            above[:3, :3], above[:3, 3] = rotation(0, 0, 40), (7, -40, 12)
            under_transform(person.scene, image.node, above)
        person.types(BRIGHT)
        panel.stage.turn(image)
        panel.stage.go(image, FOUND)
        person.clicks(person.ui.hereButton)
        assert "Click in a slice view" in person.said
        nodes = person.scene.GetNodesByClass(POINTS)
        points = nodes.GetItemAsObject(0)
        i, j, k = PHANTOM.lesions[0].centre
        points.AddControlPointWorld(*world_of(image.node, (i, j, k)))
        person.clicks(person.ui.notHereButton)
        points.AddControlPointWorld(*world_of(image.node, (10, 12, k)))
        (told,) = guidance_for(image.volume, [BRIGHT], panel.guide.pointing(image))
        assert np.allclose(told.here, [(i, j, k)], atol=1e-3)
        assert np.allclose(told.not_here, [(10, 12, k)], atol=1e-3)
        assert told.prompt == BRIGHT
        person.until(lambda: panel.desk.tracks.chosen() and panel.desk.tracks.chosen()[0].scores)
        person.idle()
        (asked,) = panel.desk.tracks.chosen()[0].how[FOUND]["guidance"]
        assert asked == told
        person.clicks(person.ui.unpointButton)
        assert guidance_for(image.volume, [BRIGHT], panel.guide.pointing(image))[0].not_here == ()
        person.clicks(person.ui.boxButton)
        (low, high) = guidance_for(image.volume, [BRIGHT], panel.guide.pointing(image))[0].box
        assert np.allclose((low[2], high[2]), FOUND, atol=0.51)
        assert 0.1 * 80 < high[0] - low[0] < 0.4 * 80
        person.ui.closerBox.checked = True
        region = panel._how(image)["region"].box(image.volume.grid, image.volume.slice_axis)
        assert region[0] == (0, 16)  # through all slices
        person.scene.GetNodesByClass(BOX).GetItemAsObject(0).GetDisplayNode().SetVisibility(False)
        with pytest.raises(BoltzFormerError, match="no box in sight"):
            panel._how(image)
        panel.guide.take(image, panel.guide.told(image))
        assert panel.guide.pointing(image).box is None  # hidden also when it comes back
        assert len(panel.guide.pointing(image).points) == 1
        person.clicks(person.ui.boxButton)
        assert panel.guide.pointing(image).box is not None


@pytest.mark.slicer("Points 'here' and 'not here', a box", "imitation")
def test_the_tick_to_look_closer_goes_with_its_image() -> None:
    with somebody() as person:
        panel, tick = person.panel, person.ui.closerBox
        image = person.opens(PHANTOM.volume)
        person.clicks(person.ui.boxButton)
        tick.checked = True
        other = person.opens(PHANTOM.volume)
        assert not tick.checked  # it has no box yet
        assert panel._how(other)["region"] is None
        person.ui.inputSelector.setCurrentNode(image.node)
        person.idle()
        assert tick.checked
        assert panel._how(image)["region"] is not None


@pytest.mark.slicer("Points 'here' and 'not here', a box", "imitation")
def test_what_lies_beside_the_image_leads_nobody() -> None:
    with somebody() as person:
        panel = person.panel
        image = person.opens(PHANTOM.volume)
        person.types(BRIGHT)
        panel.stage.turn(image)
        panel.stage.go(image, FOUND)
        person.clicks(person.ui.hereButton)
        points = person.scene.GetNodesByClass(POINTS).GetItemAsObject(0)
        points.AddControlPointWorld(*world_of(image.node, (-30, 12, FOUND)))
        assert person.said == "That is beside the image: no point was placed."
        person.until(lambda: points.GetNumberOfControlPoints() == 0)
        inside, beside = (world_of(image.node, place).tolist() for place in ((10, 12, FOUND), (-30, 12, FOUND)))
        panel.guide.take(image, {"points": [[*inside, f"here: {BRIGHT}"], [*beside, f"here: {BRIGHT}"]]})
        person.clicks(person.ui.boxButton)
        box = person.scene.GetNodesByClass(BOX).GetItemAsObject(0)
        box.SetCenterWorld(*world_of(image.node, (-90, 12, FOUND)))
        (said,) = guidance_for(image.volume, [BRIGHT], panel.guide.pointing(image))
        assert (len(said.here), said.box) == (1, None)
        with pytest.raises(BoltzFormerError, match="lies outside of the image"):
            panel.guide.region(image)  # who wants to look into it hears why not


@pytest.mark.slicer("The chosen look on its token grid", "real MRML")
def test_a_look_lies_where_the_model_looked(scene: object) -> None:
    image = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    from BoltzFormerLib.history import NoHistory
    from BoltzFormerLib.stage import SlicerStage

    opened = SlicerStage(scene, lambda: image, history=NoHistory()).chosen()
    ras = token_grid(opened.volume, opened.plan, 5, 8)
    side, tokens = max(opened.plan.crop_shape), 8
    # the corners of the token grid are the corners of the padded square that the model saw
    to_ijk = np.linalg.inv(ijk_to_ras(image))
    first = (to_ijk @ ras @ [-0.5, -0.5, 0, 1])[:3]
    last = (to_ijk @ ras @ [tokens - 0.5, tokens - 0.5, 0, 1])[:3]
    assert np.allclose(abs(last - first)[:2], side)
    assert np.allclose(((first + last) / 2)[:2], [(80 - 1) / 2, (72 - 1) / 2])
    assert np.allclose(first[2], 5)


@pytest.mark.slicer("The chosen look on its token grid", "imitation")
def test_looks_are_shown_rolled_and_laid_over_the_slice() -> None:
    with somebody() as person:
        image, _ = person.finds(PHANTOM, BRIGHT)
        looks = person.panel.looks
        person.ui.looksButton.collapsed = False
        person.until(lambda: looks.looks is not None)
        first = looks.picture.shown
        person.clicks(person.ui.rollButton)
        person.until(lambda: looks.looks is not None and looks.looks.seed == 1)
        assert not np.array_equal(looks.picture.shown, first)
        person.ui.overlayBox.checked = True
        person.ui.lookSlider.value = 2
        node = looks.overlay.node
        shown = slicer.util.arrayFromVolume(node)
        assert np.allclose(shown[0], looks.looks.trace.layers[2].visited)
        assert node not in person.panel.stage.nodes()
        composites = person.scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        assert composites.GetItemAsObject(0).GetForegroundVolumeID() == node.GetID()
        person.panel.stage.go(image, (FOUND + 3) % 16)  # another slice: it is of none that is shown
        person.until(lambda: composites.GetItemAsObject(0).GetForegroundVolumeID() is None)
        person.ui.looksButton.collapsed = True
        assert person.scene.GetNodeByID(node.GetID() or "") is None or looks.overlay.node is None


@pytest.mark.slicer("Scene saved, read, closed; two scenes one after the other", "imitation")
def test_a_scene_that_is_closed_in_mid_run_loses_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    with somebody() as person:
        image, (track,) = person.finds(PHANTOM, BRIGHT)
        person.strokes(track, FOUND, slice(2, 6), slice(2, 6))
        kept = track.surface.copy()
        person.clicks(person.ui.allSlicesButton)
        person.until(lambda: len(track.scores) > 3)
        person.scene.Clear(0)
        person.until(lambda: not person.panel.desk.running.runs)
        person.idle()
        assert person.ui.inputSelector.currentNode() is None
        assert person.ui.resultList.count == 0
        assert image not in person.panel.stage.images()
        for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal")):  # the application makes its views anew
            from scenes import slice_view

            slice_view(person.scene, name, orientation)
        person.opens(PHANTOM.volume)
        person.until(lambda: person.offered("Restored from "))
        (back,) = person.panel.desk.tracks.chosen()
        assert np.array_equal(back.row(FOUND), kept[FOUND])
        assert back.edited_rows() == [FOUND]
        person.clicks(person.ui.thisSliceButton)
        person.idle()
        assert np.array_equal(back.row(FOUND), kept[FOUND])


@pytest.mark.slicer("Scene saved, read, closed; two scenes one after the other", "imitation")
def test_a_scene_saved_in_mid_run_is_read_again_and_what_is_the_same_is_there_once(tmp_path: Path) -> None:
    with somebody() as person:
        _, (track,) = person.finds(PHANTOM, BRIGHT)
        person.clicks(person.ui.allSlicesButton)
        person.until(lambda: len(track.scores) > 3)
        assert person.scene.WriteToMRB(str(tmp_path / "in mid-run.mrb"))
        person.idle()
        assert sorted(track.scores) == list(range(16))  # saving disturbed nothing
        whole = track.surface.copy()
        assert person.scene.WriteToMRB(str(tmp_path / "at the end.mrb"))
        for name, count in (("at the end", 1), ("in mid-run", 2)):
            person.scene.Clear(0)
            person.idle()
            zipfile.ZipFile(tmp_path / f"{name}.mrb").extractall(tmp_path / name)
            (scene,) = (tmp_path / name).rglob("*.mrml")
            person.scene.SetURL(str(scene))
            assert person.scene.Import()
            person.until(lambda: person.offered("Restored from "))
            person.idle()
            (back,) = person.panel.desk.tracks.chosen()
            assert np.array_equal(back.surface.copy(), whole)
            assert person.panel.prompts.texts() == [BRIGHT]
            nodes = person.panel.stage.nodes_of("vtkMRMLSegmentationNode")
            assert sum(one.GetSegmentation().GetNumberOfSegments() for one in nodes) == count
            assert ("otherwise than the work that was kept" in person.said) is (count == 2)


@pytest.mark.slicer("Parameters of the panel in the scene", "real MRML")
def test_a_scene_remembers_volume_segmentation_and_prompts(scene: object, tmp_path: Path) -> None:
    volume, parameters = volume_node(np.zeros((2, 3, 4), np.int16)), Parameters(scene)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    parameters.choose(volume, segmentation)
    parameters.ask(["liver", "liver tumour"])
    assert parameters.node is Parameters(scene).node
    path = tmp_path / "scene.mrml"
    scene.SetURL(str(path))
    assert scene.Commit()
    scene.Clear(0)
    assert Parameters(scene).prompts() == []
    scene.SetURL(str(path))
    scene.Import()
    again = Parameters(scene)
    assert again.prompts() == ["liver", "liver tumour"]
    assert again.segmentation().IsA("vtkMRMLSegmentationNode")


@pytest.mark.slicer("Segments renamed, hidden, removed and brought back", "imitation")
def test_a_segment_may_be_renamed_hidden_removed_and_brought_back() -> None:
    with somebody() as person:
        _, (track,) = person.finds(PHANTOM, BRIGHT)
        segmentation, identity = track.surface.node.GetSegmentation(), track.surface.segment
        before = track.surface.copy()
        segmentation.GetSegment(identity).SetName("lesion 7")
        person.idle()
        assert person.ui.resultList.item(0).text().startswith("lesion 7 · ")
        track.surface.node.GetDisplayNode().SetSegmentVisibility(identity, False)
        assert person.panel.desk.tracks.shown() == []
        person.picks(person.ui.resultList, 0)
        assert person.panel.desk.tracks.shown() == [track]
        assert person.panel.stage.active() is track.surface
        segmentation.RemoveSegment(identity)
        assert "'lesion 7' was removed. Result kept." in person.said
        assert person.panel.desk.tracks.chosen() == []
        person.clicks(person.ui.noticeButton)
        assert person.panel.desk.tracks.chosen() == [track]
        assert np.array_equal(track.surface.copy(), before)
        person.clicks(person.ui.allSlicesButton)
        person.idle()
        assert sorted(track.scores) == list(range(16))


@pytest.mark.slicer("Several segmentations, several volumes", "imitation")
def test_segments_go_where_the_user_says() -> None:
    with somebody() as person:
        image, (first,) = person.finds(PHANTOM, BRIGHT)
        other = person.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        other.CreateDefaultDisplayNodes()
        person.ui.segmentationSelector.setCurrentNode(other)
        person.types(DARK)
        person.clicks(person.ui.thisSliceButton)
        person.idle()
        _, second = person.panel.desk.tracks.chosen()
        assert second.surface.node is other
        assert first.surface.node is not other
        assert person.panel.stage.chosen() is image
        shifted = Volume(PHANTOM.volume.array[:, ::-1].copy(), PHANTOM.volume.grid, "MR", "another")
        person.opens(shifted)
        person.clicks(person.ui.thisSliceButton)
        person.idle()
        (third,) = person.panel.desk.tracks.chosen()
        assert third.surface.node not in (other, first.surface.node)  # never resampled onto another volume's grid


@pytest.mark.slicer("Module entered and left: shortcuts only inside", "imitation")
def test_keys_and_views_are_ours_only_while_the_module_is_open() -> None:
    with somebody() as person:
        from PySide6 import QtGui
        from pythonqt import Held

        def keys() -> list[QtGui.QShortcut]:
            return [one for one in person.window.findChildren(QtGui.QShortcut) if one.isEnabled()]

        person.panel.enter(Held(person.window))
        assert {one.key().toString() for one in keys()} == {"Ctrl+Return", "Ctrl+Shift+Return"}
        assert person.ui.segmentEditor.what.observed
        person.panel.exit()
        assert keys() == []
        assert not person.ui.segmentEditor.what.observed


@pytest.mark.slicer("Bad input: one sentence each", "imitation")
def test_what_cannot_be_done_is_said_in_the_panel(tmp_path: Path) -> None:
    with somebody() as person:
        ui = person.ui
        person.clicks(ui.thisSliceButton)
        assert person.said.startswith("Choose a volume first")
        _, (track,) = person.finds(PHANTOM, BRIGHT)
        before = track.surface.copy()
        person.types("  ")
        person.clicks(ui.thisSliceButton)
        assert person.said.startswith("There is no prompt")
        assert not ui.copyButton.visible  # nothing is broken
        person.types(BRIGHT)
        os.kill(person.panel.session().backend().process.pid, 9)
        person.clicks(ui.thisSliceButton)
        person.idle()
        if person.said.startswith("The engine stopped unexpectedly"):  # else its death was seen in time
            person.clicks(ui.thisSliceButton)
            person.idle()
        assert person.said.startswith("Looked in 1 slice")
        assert np.array_equal(track.surface.copy(), before)
        (tmp_path / "full").write_text("", encoding="utf-8")  # nothing can be written below a file
        Answers.file = str(tmp_path / "full" / "mask.nii.gz")
        person.clicks(ui.exportButton)
        person.idle()
        assert ui.copyButton.visible
        assert person.said
        Answers.file = str(tmp_path / "report.zip")
        person.clicks(ui.reportButton)
        assert "what went wrong.txt" in zipfile.ZipFile(tmp_path / "report.zip").namelist()
        assert person.said.startswith("Wrote ")
        colour = person.scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
        slicer.util.updateVolumeFromArray(colour, np.zeros((1, 4, 5, 3), np.uint8))
        ui.inputSelector.setCurrentNode(colour)
        person.clicks(ui.thisSliceButton)
        assert "Vector to Scalar Volume" in person.said


@pytest.mark.slicer("Bad input: one sentence each", "imitation")
def test_an_engine_that_is_half_built_or_gone_is_offered_again(tmp_path: Path) -> None:
    with somebody(engine="") as person:
        from boltzformer.client import environment

        environment.folder().mkdir(parents=True)
        (environment.folder() / "pyvenv.cfg").write_text("", encoding="utf-8")  # half of one
        person.panel.enter(None)
        person.idle()
        assert person.ui.engineLabel.text == "Engine: not installed."
        assert "GB of disk" in person.said
        assert person.ui.noticeButton.text == "Set up the engine"
        Answers.file = ENGINE
        person.clicks(person.ui.pythonButton)  # one that a person names
        person.until(lambda: "ready" in person.ui.engineLabel.text)
        assert person.ui.pythonLabel.text == ENGINE


@pytest.mark.slicer("Status of a segment: completed once all is accepted", "imitation")
def test_a_segment_is_complete_when_every_slice_is_accepted(tmp_path: Path) -> None:
    small = phantom(7, (4, 40, 40))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    with somebody() as person:
        image = person.opens(small.volume)
        person.types(BRIGHT)
        person.clicks(person.ui.allSlicesButton)
        person.until(lambda: person.panel.desk.running.runs)
        person.idle()
        (track,) = person.panel.desk.tracks.chosen()
        segment = track.surface.node.GetSegmentation().GetSegment(track.surface.segment)
        for row in range(4):
            assert logic.GetSegmentStatus(segment) == logic.InProgress
            person.panel.stage.go(image, row)
            person.idle()
            person.clicks(person.ui.acceptButton if track.row(row).any() else person.ui.nothingButton)
            person.idle()
        assert logic.GetSegmentStatus(segment) == logic.Completed


@pytest.mark.slicer("Case list", "imitation")
def test_cases_are_opened_one_after_the_other(tmp_path: Path) -> None:
    from boltzformer import io

    (tmp_path / "cases").mkdir()
    for number in (1, 2):
        io.write_volume(phantom(number, (8, 40, 40)).volume, tmp_path / "cases" / f"case-{number}.nii.gz")
    with somebody() as person:
        Answers.folder = str(tmp_path / "cases")
        person.clicks(person.ui.caseFolderButton)
        person.until(lambda: person.ui.caseList.count == 2)
        person.idle()
        person.clicks(person.ui.nextCaseButton)
        person.until(lambda: person.panel.stage.chosen() is not None)
        assert person.panel.stage.chosen().name == "case-1"
        person.idle()
        person.clicks(person.ui.nextCaseButton)
        person.until(lambda: person.panel.stage.chosen() is not None and person.panel.stage.chosen().name == "case-2")
        assert [one.name for one in person.panel.stage.images()] == ["case-2"]
        person.idle()


@pytest.mark.slicer("Completion, and in amber what the model never saw", "imitation")
def test_the_list_below_the_prompt_says_what_the_model_knows() -> None:
    with somebody(model="default") as person:
        person.panel.enter(None)
        person.until(lambda: "ready" in person.ui.engineLabel.text)
        person.idle()
        person.types("ms les")
        assert person.ui.completionList.visible
        texts = [person.ui.completionList.item(n).text() for n in range(person.ui.completionList.count)]
        assert texts[0].startswith("● ")
        assert "Dice" in texts[0]
        person.picks(person.ui.completionList, 0)
        (taken,) = person.panel.prompts.texts()
        assert "lesion" in taken
        assert "MRI" in taken  # a whole prompt, with its modality
        assert "never saw" not in person.ui.doubtLabel.text
        person.types("unicorn in chest C")
        assert "never saw" not in person.ui.doubtLabel.text  # nobody is warned in mid-word
        person.types("unicorn in chest CT")
        person.until(lambda: bool(person.ui.doubtLabel.text))  # once the person has rested
        assert "never saw 'unicorn in chest CT'" in person.ui.doubtLabel.text
        assert person.ui.doubtLabel.visible


@pytest.mark.slicer("The model's window, another model, device", "imitation")
def test_the_model_is_shown_the_window_that_was_chosen(tmp_path: Path) -> None:
    shutil.copy(PHANTOM_MODEL, tmp_path / "mine.safetensors")
    with somebody() as person:
        ui = person.ui
        person.panel.enter(None)
        _, (track,) = person.finds(PHANTOM, BRIGHT)
        person.until(lambda: ui.modelSelector.count > 0)
        node = person.panel.stage.chosen().node
        node.GetDisplayNode().SetAutoWindowLevel(0)
        node.GetDisplayNode().SetWindowLevelMinMax(10, 700)
        person.clicks(ui.contrastButton)
        person.idle()
        person.clicks(ui.thisSliceButton)
        person.idle()
        assert track.runs[-1]["window"]["low"] == 10
        assert track.runs[-1]["window"]["high"] == 700
        person.until(lambda: person.panel.models.picture.shown is not None)
        ui.windowSelector.currentIndex = BY_NAME.index("stored")
        person.panel.models._on_window(BY_NAME.index("stored"))
        person.until(lambda: node.GetDisplayNode().GetWindowLevelMin() == 0.0)  # whoever chooses one sees it so, too
        Answers.file = str(tmp_path / "mine.safetensors")
        person.clicks(ui.modelFileButton)
        person.until(lambda: person.said.startswith("The model is loaded"))
        assert Path(person.panel.session().model).stem == "mine"


@pytest.mark.slicer("Example and its sample data", "imitation")
def test_the_example_opens_at_its_finding() -> None:
    with somebody() as person:
        person.clicks(person.ui.exampleButton)
        image = person.panel.stage.chosen()
        assert person.panel.prompts.texts() == ["MS lesion in brain MRI"]
        assert person.panel.stage.shows(image)
        assert image.plan.canonical_index(person.panel.stage.row(image)) == 75
        person.idle()


SERIES = """
import sys
sys.path[:0] = ["tests", "tests/io"]
from image_files import write_series
from boltzformer.io.phantom import phantom
from pathlib import Path
volume = phantom(7, (16, 72, 80)).volume
for path in write_series(Path(sys.argv[1]), volume.array, volume.grid):
    sys.stdout.write(f"{path}\\n")
"""
READ = """
import sys
import numpy as np
from pathlib import Path
from boltzformer import io
image = io.read(sorted(Path(sys.argv[1]).iterdir())[0])
labels = io.read_labels(sys.argv[2], grid=image.grid)
np.savez(sys.argv[3], mask=labels.mask(1), ras=image.grid.ras, name=labels.names[1])
"""


@pytest.mark.slicer("DICOM-SEG, written by the engine from the image's own files", "imitation")
def test_masks_of_a_dicom_series_are_exported_beside_it(tmp_path: Path) -> None:
    def engine(*arguments: object) -> list[str]:
        told = subprocess.run([ENGINE, "-c", *map(str, arguments)], check=True, cwd=ROOT, capture_output=True)
        return told.stdout.decode().split()

    files = engine(SERIES, tmp_path / "series")  # in the order of the slices, as Slicer's DICOM module sorts them
    with somebody() as person:
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        node = person.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "series")
        storage.SetFileName(files[0])
        storage.ResetFileNameList()
        for one in files:
            storage.AddFileName(one)
        storage.SetSingleFile(0)
        assert storage.ReadData(node)
        person.scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        shown_in(person.scene, node)
        person.ui.inputSelector.setCurrentNode(node)
        image = person.panel.stage.chosen()
        person.types(BRIGHT)
        person.panel.stage.go(image, FOUND)
        person.clicks(person.ui.allSlicesButton)
        person.until(lambda: person.panel.desk.running.runs)
        person.idle()
        (track,) = person.panel.desk.tracks.chosen()
        Answers.file = str(tmp_path / "masks.dcm")
        person.clicks(person.ui.exportButton)
        person.until(lambda: person.said.startswith("Wrote "))
        engine(READ, tmp_path / "series", tmp_path / "masks.dcm", tmp_path / "read.npz")
        read = np.load(tmp_path / "read.npz")
        assert str(read["name"]) == BRIGHT
        ours = np.argwhere(image.plan.view.undo(track.surface.copy()) > 0)[:, ::-1]
        there = ijk_to_ras(node) @ np.c_[ours, np.ones(len(ours))].T
        theirs = np.rint((np.linalg.inv(read["ras"]) @ there)[:3].T).astype(int)
        found_there = np.zeros_like(read["mask"])
        found_there[theirs[:, 2], theirs[:, 1], theirs[:, 0]] = True
        assert np.array_equal(found_there, read["mask"])
        volume_without_files = person.opens(PHANTOM.volume)
        assert volume_without_files.volume.source == ""
        person.clicks(person.ui.thisSliceButton)
        person.idle()
        person.clicks(person.ui.exportButton)
        assert person.said.startswith("DICOM-SEG refers to the image's own DICOM files")


@pytest.mark.slicer("Example and its sample data", "imitation")
def test_the_shipped_model_finds_something_in_the_example() -> None:
    with somebody(model="default") as person:
        person.panel.enter(None)
        person.until(lambda: "ready" in person.ui.engineLabel.text)
        person.clicks(person.ui.exampleButton)
        person.idle()
        person.clicks(person.ui.thisSliceButton)
        person.until(lambda: person.panel.desk.running.runs)
        person.idle()
        (track,) = person.panel.desk.tracks.chosen()
        assert track.surface.copy().any()
        assert person.ui.resultList.item(0).text().startswith("MS lesion · score ")
        person.ui.looksButton.collapsed = False
        person.ui.correctButton.collapsed = False
        person.until(lambda: person.panel.looks.looks is not None)
        person.window.resize(500, 1900)
        person.idle()
        person.photographs(ROOT / "screenshots" / "slicer-example.png")


@pytest.mark.slicer("Example and its sample data", "imitation")
def test_the_example_is_registered_with_sample_data(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[dict[str, str]] = []

    class SampleDataLogic:
        registerCustomSampleDataSource = staticmethod(lambda **told: registered.append(told))  # noqa: N815

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataLogic))
    sys.path.insert(0, str(MODULE))
    import BoltzFormer

    BoltzFormer.register_sample()
    (told,) = registered
    assert Path(told["thumbnailFileName"]).is_file()
    assert Path(url2pathname(urlparse(told["uris"]).path)).is_file()
