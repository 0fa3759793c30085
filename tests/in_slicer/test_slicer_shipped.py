"""The story with the model that ships, on the sample's real patient: find, correct, learn from it, keep, export."""

from pathlib import Path

import numpy as np
import pytest
from clicking import somebody
from pythonqt import Answers
from scenes import ROOT, voxels_of

from boltzformer import Grid, Volume, io
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.kept_in import accepted_folder
from boltzformer.io.phantom import sample

SHOTS = ROOT / "screenshots"
AROUND = 9
"""Slices of the sample on either side of the noted one: a run takes seconds."""
CORRECTED = -6, 3, 8


def part() -> tuple[Volume, np.ndarray, str]:
    """(volume, its true mask as stored, prompt)."""
    case = sample()
    some = slice(case.index - AROUND, case.index + AROUND + 1)
    whole, array = case.volume.grid, np.ascontiguousarray(case.volume.array[some])
    grid = Grid(array.shape, whole.axes, np.add(whole.origin, some.start * np.array(whole.axes)[:, 2]))
    return Volume(array, grid, "MR", "sample"), case.truth.mask(1)[some], case.prompt


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


@pytest.mark.slicer("The story with the model that ships, learning from the case in it", "imitation")
def test_three_corrected_slices_of_a_real_patient_teach_the_rest(tmp_path: Path) -> None:
    volume, mask, prompt = part()
    with somebody(model="default") as person:
        panel, ui = person.panel, person.ui
        desk = panel.desk
        panel.enter(None)
        person.until(lambda: "ready" in ui.engineLabel.text)
        image = person.opens(volume)
        person.types(prompt)
        person.clicks(ui.allSlicesButton)
        person.until(lambda: desk.running.runs)
        person.idle()
        assert f"Looked in {image.count} slices" in person.said
        (track,) = desk.tracks.chosen()
        truth = image.plan.view.apply(mask)
        alone = track.surface.copy() > 0
        middle = image.count // 2
        mine = [middle + away for away in CORRECTED]
        others = [row for row in range(image.count) if row not in mine]

        for row in mine:  # as the expert did
            track.change(row, truth[row])
        person.until(lambda: desk.learning.offered)
        desk.settings.learning_seconds = 12.0
        person.clicks(ui.learnCaseButton)
        person.until(lambda: desk.learning.learnt(track) is not None)
        person.idle()
        assert "Learnt from 3 slices" in person.said
        taught = track.surface.copy() > 0
        assert all(np.array_equal(taught[row], truth[row]) for row in mine)
        assert dice(taught[others], truth[others]) > dice(alone[others], truth[others]) + 0.1

        panel.stage.go(image, middle)
        person.clicks(ui.acceptButton)
        person.until(lambda: "Kept as revision 1" in person.said)
        (case,) = Dataset(accepted_folder()).cases()
        assert case.states
        Answers.file = str(tmp_path / "mask.nii.gz")
        person.clicks(ui.exportButton)
        person.until(lambda: person.said.startswith("Wrote "))
        exported = io.read(tmp_path / "mask.nii.gz").array > 0
        assert (exported == (voxels_of(track.surface.node, track.surface.segment, image.node) > 0)).all()
        person.idle()
        person.window.resize(460, 1500)
        person.photographs(SHOTS / "slicer-taught.png")
