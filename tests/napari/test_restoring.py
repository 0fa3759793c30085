"""Work that comes back is the same work: what the model wrote, who asked it, and what a person made of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import DIST, answered, click, done, layer_of, rows_of, type_lines, until

from boltzformer.dataset import Dataset
from boltzformer.desk.image import plan_of
from boltzformer.desk.keeping.kept_in import autosaves
from boltzformer.desk.keeping.remembering import last_work, masks_of
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.types import SliceState
from napari_boltzformer.host.mask import FILL
from napari_boltzformer.host.stage import image_on
from napari_boltzformer.widget import BoltzFormerDock

RUN = {
    "model": {"name": "default", "sha256": "ab" * 32},
    "image": {"name": "DOE^JANE", "sha256": "cd" * 32},
    "prompts": [BRIGHT],
    "seed": 7,
    "source": "/ward/DOE_JANE",
}
MANY = 2**12


def idle(qtbot: Any, dock: BoltzFormerDock) -> None:
    until(qtbot, lambda: not dock.keeper.work.busy)


@pytest.mark.parametrize("accepted", [False, True], ids=["an autosave", "a revision"])
def test_a_person_is_credited_with_what_they_changed_also_after_a_restore(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path, tmp_path: Path, accepted: bool
) -> None:
    store = Dataset.at(tmp_path / "kept" if accepted else autosaves())
    dock.settings.folder = str(store.path)
    (image,) = viewer.open(str(small_file), plugin=DIST)
    idle(qtbot, dock)
    track = answered(dock, image, BRIGHT, 3, 4)
    track.runs.append(dict(RUN))
    wrote, whole = rows_of(track)[3].copy(), np.count_nonzero(rows_of(track)[3])
    assert whole > MANY
    layer_of(track).brush_size = 1
    layer_of(track).paint((3, 40, 40), 0)
    if accepted:
        track.say(3, SliceState.REVIEWED)
        dock.keeper.store("Accepted.")
        idle(qtbot, dock)
    else:
        dock.keeper.save(image_on(image))
        idle(qtbot, dock)
        dock.bottom.fill.slider.setValue(60)
        dock.keeper.autosave()
        idle(qtbot, dock)
    viewer.layers.clear()

    (image,) = viewer.open(str(small_file), plugin=DIST)
    until(qtbot, lambda: bool(dock.tracks()))
    (back,) = dock.tracks()
    assert back.edited_rows() == [3]
    filled = 35 if accepted else 60
    until(qtbot, lambda: (round(100 * layer_of(back).opacity), dock.bottom.fill.slider.value()) == (filled, filled))
    dock.jump(3)
    layer_of(back).brush_size = 1
    layer_of(back).paint((3, 40, 41), 0)
    dock.keeper.accept()
    until(qtbot, lambda: f"Kept as revision {1 + accepted} " in dock.message.text())
    (case,) = store.cases()
    revision = case.revisions[-1]
    assert revision.changes == {BRIGHT: {"added": 0, "removed": 2}}
    assert (revision.model_sha256, revision.seed) == ("ab" * 32, 7)
    assert "DOE" not in "".join(path.read_text("utf-8") for path in store.path.rglob("*.json"))
    back.change(3, wrote > 0)
    assert not back.edited(3)  # as the model had it


def test_what_a_run_has_found_so_far_is_saved_before_it_ends(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, made: Phantom, made_file: Path
) -> None:
    viewer.open(str(made_file), plugin=DIST)
    idle(qtbot, dock)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    until(qtbot, lambda: any(track.scores for track in dock.tracks()))
    (run,), (track,) = dock.running.runs, dock.tracks()
    assert run.done < run.total
    dock.keeper.autosave()
    idle(qtbot, dock)
    work = last_work(autosaves(), made.volume)  # as if all had ended here
    assert work is not None
    (back,) = masks_of(work, plan_of(made.volume))
    assert 0 < len(back.scores) < 64
    assert all(np.array_equal(back.rows[row], rows_of(track)[row] > 0) for row in back.scores)
    (told,) = back.runs
    assert told["state"] == "running"
    assert told["seed"] == 0
    assert told["model"]["sha256"]
    assert len(told["slices"]) == len(back.scores)
    click(qtbot, dock.cancel)
    done(qtbot, dock)
    assert [one["state"] for one in track.runs] == ["cancelled"]


def test_who_starts_afresh_is_led_by_no_point_of_an_earlier_day(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small_file: Path
) -> None:
    (layer,) = viewer.open(str(small_file), plugin=DIST)
    idle(qtbot, dock)
    answered(dock, layer, BRIGHT, 3)
    image, stage = image_on(layer), dock.stage
    told = {"points": [[[3.0, 20.0, 20.0], True, BRIGHT]]}
    stage.guide(image, told)
    stage.guide(image, {FILL: 0.6})  # says nothing of points
    assert stage.guides(image) == {**told, FILL: 0.6}
    dock.keeper.back._start_afresh(image)
    assert not stage.guides(image)
    assert len(viewer.layers) == 1
