"""Teach, by clicks: a run is started, followed, stopped, found again; slowly, one to its end, which is promoted."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clicking import Person, somebody
from pythonqt import Answers

from boltzformer.io.phantom import BRIGHT, phantom

SMALL = phantom(7, (8, 40, 40))
LONG_S = 1500
"""A training makes room for everybody else on a busy machine."""


@pytest.fixture(autouse=True)
def no_run_is_left(own_home: Path) -> Iterator[None]:
    """Runs outlive everything, so nobody else would end them."""
    yield
    for pid in own_home.glob("runs/*/errand/pid"):
        if not (pid.parent / "ended.json").is_file():
            os.kill(int(pid.read_text("utf-8")), signal.SIGKILL)


def accepts(person: Person, folder: Path) -> None:
    """Two slices, one with something in it."""
    image = person.opens(SMALL.volume)
    Answers.folder = str(folder)
    person.types(BRIGHT)
    for row in (SMALL.lesions[0].centre[2], 0):
        person.panel.stage.go(image, row)
        person.clicks(person.ui.thisSliceButton)
        person.idle()
        (track,) = person.panel.desk.tracks.chosen()
        if row:
            track.change(row, np.ascontiguousarray(image.plan.view.apply(SMALL.labels.layers[0] == 1)[row]))
            person.clicks(person.ui.acceptButton)
        else:
            person.clicks(person.ui.nothingButton)
        person.idle()
    person.panel.desk.keeper.autosave()
    person.idle()


def starts(person: Person, steps: int) -> None:
    ui = person.ui
    ui.teachButton.collapsed = False
    person.until(lambda: ui.teachStartButton.enabled)
    assert "2 accepted slices" in ui.holdsLabel.text
    ui.teachUnitSelector.currentIndex = 1
    ui.teachLength.value = steps
    ui.teachModeSelector.currentIndex = 1
    person.clicks(ui.teachStartButton)


@pytest.mark.slicer("Fine-tuning: started, followed, stopped, found again", "imitation")
def test_a_training_outlives_the_panel_and_is_found_again(tmp_path: Path, own_home: Path) -> None:
    with somebody() as person:
        ui = person.ui
        assert not ui.teachStartButton.enabled
        accepts(person, tmp_path / "kept")
        person.clicks(ui.rollBackButton)
        person.until(lambda: ui.teachNoticeLabel.text.startswith("Before 'mine' there is only 'default'"))
        starts(person, 500)
        person.until(lambda: ui.teachNoticeLabel.text.startswith(("Reading", "Asking the model")))
        assert ui.teachStopButton.enabled
        assert not ui.teachStartButton.enabled
        assert ui.teachRunSelector.count == 1
    pid = own_home / "runs" / "run-001" / "errand" / "pid"
    os.kill(int(pid.read_text("utf-8")), 0)  # it is still there
    with somebody() as person:
        person.ui.teachButton.collapsed = False
        person.until(lambda: person.ui.teachStopButton.enabled)
        person.until(lambda: person.panel.teaching.watching.state is not None)
        assert person.panel.teaching.watching.state.state == "running"
        person.clicks(person.ui.teachStopButton)
        assert person.ui.teachNoticeLabel.text.startswith("Stopping after the step in hand")


@pytest.mark.slow
@pytest.mark.timeout(2 * LONG_S)
def test_the_model_is_taught_and_used_from_now_on(tmp_path: Path) -> None:
    with somebody() as person:
        ui, teaching = person.ui, person.panel.teaching
        accepts(person, tmp_path / "kept")
        starts(person, 1)
        ended = ("finished", "failed", "stopped")
        person.until(lambda: teaching.watching.state and teaching.watching.state.state in ended, patience_s=LONG_S)
        assert teaching.watching.state.state == "finished", ui.teachNoticeLabel.text
        assert ui.lossLabel.text.startswith("Error ")
        assert ui.promoteButton.enabled
        ui.promoteName.text = "taught"
        person.clicks(ui.promoteButton)
        asked = (
            "Cannot be judged: accept slices of 2 more patients. If you have looked at what it finds, it can be "
            "'taught' all the same."
        )
        person.clicks(person.offered(asked, ui.teachOffersBox)["Promote anyway"])
        promoted = "'taught' stands for the model of this run now."
        person.until(lambda: person.offered(promoted, ui.teachOffersBox))
        person.clicks(person.offered(promoted, ui.teachOffersBox)["Use it now"])
        person.until(lambda: person.panel.session().model == "taught")
