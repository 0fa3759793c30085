"""The whole story on the desk with a real backend and no viewer at all: open, run, focus, thresholds, correct, accept,
autosave, crash, restore, export, and what there is to learn from it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL
from viewer_of_memory import Viewer

from boltzformer import Session, io
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.kept_in import accepted_folder
from boltzformer.desk.words import ViewerWords
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.types import SliceState


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    with Session.local(PHANTOM_MODEL) as one:
        yield one


def test_from_a_typed_prompt_to_an_exported_mask_and_back_after_a_crash(
    session: Session, small: Phantom, tmp_path: Path
) -> None:
    viewer = Viewer(session, tmp_path / "kept")
    desk, image = viewer.desk, viewer.open(small.volume)
    viewer.idle()
    kept = accepted_folder()

    # All slices, from the one on screen outwards; another one that is looked at comes sooner.
    desk.running.start([BRIGHT], only_this=False)
    viewer.until(lambda: bool(desk.tracks.chosen()) and bool(desk.tracks.chosen()[0].scores))
    found = small.lesions[0].centre[2]
    viewer.stage.go(image, found)
    desk.scrolled()
    viewer.idle()
    (track,) = desk.tracks.chosen()
    assert viewer.speaker.sentence.startswith("Looked in 16 slices; found 'bright blob' in ")
    assert sorted(track.scores) == list(range(16))
    assert track.row(found).any()

    # Thresholds act without the model, and come back.
    before = track.surface.copy()
    desk.overview.reapplying.choose(existence=0.99, outline=0.99)
    viewer.until(lambda: not desk.overview.reapplying.busy)
    assert track.surface.copy().sum() < before.sum()
    desk.overview.reapplying.reset()
    viewer.until(lambda: not desk.overview.reapplying.busy)
    assert np.array_equal(track.surface.copy(), before)

    # A person corrects and accepts; no run overwrites it.
    stroke = np.zeros(track.shape[1:], bool)
    stroke[2:6, 2:6] = True
    track.surface.paint(found, stroke)  # type: ignore[attr-defined]
    desk.keeper.accept()
    viewer.idle()
    assert viewer.dialogs.asked == []  # there is a usual folder
    assert "Kept as revision 1" in viewer.speaker.sentence
    assert ViewerWords().another_folder in viewer.speaker.sentence
    theirs = track.row(found).copy()
    desk.running.start([BRIGHT], only_this=True)
    viewer.idle()
    assert np.array_equal(track.row(found), theirs)
    other = (found + 1) % 16
    track.surface.paint(other, stroke)  # type: ignore[attr-defined]
    desk.keeper.autosave()
    viewer.idle()
    last = track.surface.copy()

    # The viewer dies; another one brings it all back.
    again = Viewer(session, tmp_path / "kept")
    image = again.open(small.volume)
    again.until(lambda: bool(again.speaker.offers))
    assert again.speaker.offers[0].sentence.startswith("Restored from ")
    (back,) = again.desk.tracks.chosen()
    assert np.array_equal(back.surface.copy() > 0, last > 0)
    assert back.edited_rows() == sorted({found, other})
    again.stage.go(image, found)
    assert again.desk.overview.bar.words(found).startswith(f"Slice {found}, accepted")

    written = again.desk.exporting.to(tmp_path / "mask.nii.gz")
    assert written[0] == tmp_path / "mask.nii.gz"
    exported = image.plan.view.apply(io.read(tmp_path / "mask.nii.gz").array)
    assert np.array_equal(exported > 0, last > 0)
    told = json.loads((tmp_path / "mask.provenance.json").read_text("utf-8"))["masks"]["bright blob"]
    assert told["slices edited, as shown"] == sorted({found, other})
    assert told["runs"]

    # What was accepted is there to learn from.
    (case,) = Dataset(kept).cases()
    states = case.states["bright blob"]
    assert [states[index] is SliceState.REVIEWED for index in range(16)].count(True) == 1
    assert states[image.plan.canonical_index(found)] is SliceState.REVIEWED
    assert session.holding(kept).targets == {"bright blob": 1}
    for one in (viewer, again):
        one.desk.leave()
