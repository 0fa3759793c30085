"""The whole story by clicks: find, correct, keep, restore, with the real engine; on real MRML and imitated widgets."""

from pathlib import Path

import numpy as np
import pytest
from clicking import somebody
from pythonqt import Answers
from scenes import ROOT, voxels_of

from boltzformer import io
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.kept_in import accepted_folder
from boltzformer.io.phantom import BRIGHT, DARK, phantom

PHANTOM = phantom(7, (16, 72, 80))
SHOTS = ROOT / "screenshots"


@pytest.mark.slicer("Find, Correct, Keep by clicks, with the real engine", "imitation")
def test_from_a_typed_prompt_to_a_kept_mask_and_back_after_a_restart(tmp_path: Path) -> None:
    with somebody() as person:
        panel, ui = person.panel, person.ui
        desk = panel.desk
        panel.enter(None)
        person.until(lambda: "ready" in ui.engineLabel.text)
        image = person.opens(PHANTOM.volume)
        person.types(BRIGHT, DARK)

        # Find: this slice, then all slices outwards, live.
        found = PHANTOM.lesions[0].centre[2]
        panel.stage.go(image, found)
        person.clicks(ui.thisSliceButton)
        person.until(lambda: desk.running.runs)
        assert ui.cancelButton.enabled
        person.idle()
        assert person.said.startswith("Looked in 1 slice; found 'bright blob' in 1")
        person.clicks(ui.allSlicesButton)
        person.until(lambda: 2 < ui.progressBar.value < 16)
        person.idle()
        assert "Looked in 16 slices" in person.said
        first, _ = desk.tracks.chosen()
        assert ui.resultList.count == 2
        assert panel.bar.picture.shown is not None
        before = first.surface.copy()

        # Thresholds act without the model, and come back.
        ui.gateSlider.value = 99
        ui.outlineSlider.value = 99
        person.until(lambda: not desk.overview.reapplying.busy)
        assert first.surface.copy().sum() < before.sum()
        person.clicks(ui.resetButton)
        person.until(lambda: not desk.overview.reapplying.busy)
        assert np.array_equal(first.surface.copy(), before)

        # The slider below the bar jumps.
        ui.rowSlider.value = 3
        person.until(lambda: panel.stage.row(image) == 3)
        panel.stage.go(image, found)
        person.idle()

        # Correct: a stroke, its undo and redo; the next run leaves the slice alone and offers its answer.
        person.strokes(first, found, slice(2, 6), slice(2, 6))
        painted = first.surface.copy()
        assert painted.sum() > before.sum()
        person.editor.Undo()
        assert np.array_equal(first.surface.copy(), before)
        person.editor.Redo()
        assert np.array_equal(first.surface.copy(), painted)
        assert first.edited_rows() == [found]
        person.clicks(ui.thisSliceButton)
        person.idle()
        assert np.array_equal(first.surface.copy(), painted)
        assert ui.takeButton.enabled
        person.clicks(ui.takeButton)
        assert np.array_equal(first.surface.copy(), before)
        person.editor.Undo()
        assert np.array_equal(first.surface.copy(), painted)

        # Keep.
        person.clicks(ui.acceptButton)
        person.until(lambda: "Kept as revision 1" in person.said)
        (case,) = Dataset(accepted_folder()).cases()
        assert set(case.states) == {BRIGHT, DARK}
        Answers.file = str(tmp_path / "mask.nii.gz")
        person.clicks(ui.exportButton)
        person.until(lambda: person.said.startswith("Wrote "))
        exported = io.read(tmp_path / "mask.nii.gz").array
        assert ((exported == 1) == voxels_of(first.surface.node, first.surface.segment, image.node)).all()

        # How it looked, and the lesion table.
        ui.looksButton.collapsed = False
        person.until(lambda: panel.looks.picture.shown is not None)
        ui.overlayBox.checked = True
        assert panel.looks.overlay.node is not None
        person.clicks(ui.measureButton)
        person.until(lambda: ui.lesionList.count > 1)
        person.picks(ui.lesionList, 0)
        assert panel.stage.row(image) == panel.lesions.lesions[0].voxel[0]
        assert panel.lesions.node.GetNumberOfRows() == ui.lesionList.count
        for part in (ui.correctButton, ui.keepButton):
            part.collapsed = False
        person.idle()
        person.window.resize(460, 2000)
        person.photographs(SHOTS / "slicer-panel.png")
        desk.keeper.autosave()
        person.idle()
        last = first.surface.copy()

    with somebody() as person:  # another day
        image = person.opens(PHANTOM.volume)
        person.until(lambda: person.offered("Restored from "))
        (back, _) = person.panel.desk.tracks.chosen()
        assert np.array_equal(back.surface.copy(), last)
        assert back.edited_rows() == [found]
        assert person.panel.prompts.texts() == [BRIGHT, DARK]
