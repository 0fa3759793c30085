"""The Fine-tune dock in real napari: correct, accept, train, stop, go on, promote, and see what became better."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetune_runs import annotated
from gui import DIST, click, done, type_lines
from npe2 import PluginManager
from phantom_model import PHANTOM_MODEL
from serving import Served, serving

from boltzformer import Session
from boltzformer.dataset import Dataset
from boltzformer.desk.settings import Settings
from boltzformer.desk.teaching.outcome import NOT_NOW, NOT_PASSED, TOPIC, WAY_BACK
from boltzformer.io.phantom import BRIGHT
from boltzformer.protocol import Means
from napari_boltzformer.teaching.pair import pair_of
from napari_boltzformer.teaching.panel import FinetunePanel
from napari_boltzformer.widget import BoltzFormerDock

STEPS = 20
LONG = 400_000
"""ms: a training makes room for everybody else on a busy machine."""


@pytest.fixture(autouse=True)
def no_run_is_left(own_home: Path) -> Iterator[None]:
    """Runs outlive everything, so nobody else would end them."""
    yield
    for pid in own_home.glob("runs/*/errand/pid"):
        if not (pid.parent / "ended.json").is_file():
            os.kill(int(pid.read_text("utf-8")), signal.SIGKILL)


@pytest.fixture
def served() -> Iterator[Served]:
    """An engine in this process: one program less to wait for."""
    with serving() as one:
        yield one


def until(qtbot: Any, what: Callable[[], bool]) -> None:
    qtbot.waitUntil(what, timeout=LONG)


def set_up(panel: FinetunePanel, steps: int) -> None:
    panel.unit.setCurrentText("steps")
    panel.length.setValue(steps)
    panel.seed.setValue(3)


def state(panel: FinetunePanel) -> str:
    return panel.watching.state.state if panel.watching.state is not None else ""


@pytest.mark.slow
@pytest.mark.parametrize("model", [str(PHANTOM_MODEL), "default"], ids=["tiny", "shipped"])
def test_three_corrected_slices_become_a_model_that_is_promoted_and_compared(
    qtbot: Any, viewer: Any, served: Served, small_file: Path, tmp_path: Path, model: str
) -> None:
    dock = BoltzFormerDock(viewer, Session.connect(served.address, served.token, model))
    dock.session.means = Means(threads=1)
    viewer.window.add_dock_widget(dock, name="Segment by text")
    viewer.open(str(small_file), plugin=DIST)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    dock.settings.folder = str(tmp_path / "kept")
    dock.settings.save()
    panel = FinetunePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Fine-tune")
    assert panel.session() is dock.session
    assert not panel.start.isEnabled()

    found = [5, 6, 7]
    for number, row in enumerate(found, 1):
        dock.jump(row)
        track.surface.layer.paint((row, 5, 5), 1)
        click(qtbot, dock.accept)
        until(qtbot, lambda number=number: f"Kept as revision {number}" in dock.message.text())
    until(qtbot, lambda: panel.holds.text().startswith("3 accepted slices of 1 patient: 10 slices and 3 patients"))
    set_up(panel, STEPS)
    until(qtbot, lambda: "GB" in panel.mode.itemText(0) and panel.start.isEnabled())
    assert panel.mode.itemText(0).startswith("auto (full): ")
    assert f"--steps {STEPS} --seed 3 --threads 1" in panel.command.text()

    before = time.thread_time()
    click(qtbot, panel.start)
    assert time.thread_time() - before < 0.1
    until(qtbot, lambda: len(panel.curve.shown.by_step) > 0)
    assert not panel.start.isEnabled()
    assert not panel.roll_back.isEnabled()
    assert panel.roll_back.toolTip() == NOT_NOW
    click(qtbot, panel.stop)
    until(qtbot, lambda: state(panel) == "stopped")
    assert panel.watching.state is not None
    assert panel.watching.state.step < STEPS
    assert "the best so far is kept" in panel.notice.label.text()
    click(qtbot, panel.resume)
    until(qtbot, lambda: state(panel) == "finished")
    assert list(panel.curve.shown.by_step) == list(range(1, STEPS + 1))
    assert panel.verdict.text() == "Cannot be judged: accept slices of 2 more patients."

    click(qtbot, panel.promote)
    until(qtbot, lambda: NOT_PASSED in panel.notice.offers)
    click(qtbot, panel.notice.offers[NOT_PASSED].answers["Promote anyway"])
    until(
        qtbot, lambda: TOPIC in panel.notice.offers and dock.models.choice.findData("mine") >= 0
    )  # at once in the list
    (offer,) = panel.notice.offers.values()
    click(qtbot, offer.answers["Use it now"])
    until(qtbot, lambda: dock.session.model == "mine")
    until(qtbot, lambda: dock.engine.text().startswith("mine · ready"))
    until(qtbot, lambda: dock.models.choice.currentData() == "mine")
    assert panel.prompt.currentText() == BRIGHT
    dock.jump(found[1])
    track.surface.layer.visible = False
    click(qtbot, panel.compare)
    until(qtbot, lambda: panel.toggle.isEnabled())
    assert f"Slice {found[1]}, '{BRIGHT}', seed 3: " in panel.compared.text()
    one, other = pair_of(viewer)
    assert one.visible
    assert other.visible
    assert set(np.flatnonzero(one.data.any(axis=(1, 2)))) <= {found[1]}
    assert "neither finds anything" in panel.compared.text() or one.data.any() or other.data.any()
    click(qtbot, panel.toggle)
    assert (one.visible, other.visible) == (False, True)
    click(qtbot, panel.toggle)
    assert (one.visible, other.visible) == (True, False)
    one.visible = other.visible = True

    shots = Path(__file__).parents[2] / "screenshots"
    shots.mkdir(exist_ok=True)
    panel.window().resize(1400, 900)
    dock.parentWidget().hide()
    until(qtbot, lambda: panel.height() > 600)
    viewer.screenshot(path=str(shots / f"finetune-{Path(model).stem}.png"), canvas_only=False, flash=False)
    click(qtbot, panel.roll_back)
    until(qtbot, lambda: WAY_BACK in panel.notice.offers)
    assert dock.session.model == "mine"
    click(qtbot, panel.notice.offers[WAY_BACK].answers["Roll back"])
    until(qtbot, lambda: dock.session.model == "default")


@pytest.mark.slow
def test_napari_is_closed_and_the_training_goes_on_and_is_found_again(
    qtbot: Any, make_napari_viewer_proxy: Callable[..., Any], tmp_path: Path, own_home: Path
) -> None:
    store = Dataset.at(tmp_path / "kept")
    for patient in range(4):
        annotated(store, patient)
    Settings(model=str(PHANTOM_MODEL), folder=str(store.path), threads=1).save()
    first = make_napari_viewer_proxy(show=True)
    panel = FinetunePanel(first)
    first.window.add_dock_widget(panel, name="Fine-tune")
    until(qtbot, lambda: panel.start.isEnabled())
    assert panel.holds.text() == "12 accepted slices of 4 patients: enough to tell whether a new model is better."
    set_up(panel, 400)
    click(qtbot, panel.start)
    until(qtbot, lambda: state(panel) == "running")
    pid = own_home / "runs" / "run-001" / "errand" / "pid"
    worker, engine = int(pid.read_text("utf-8")), panel.session().backend().process
    first.close()
    until(qtbot, lambda: engine.poll() is not None)

    second = make_napari_viewer_proxy(show=True)
    again = FinetunePanel(second, Session.local(PHANTOM_MODEL, threads=1))
    second.window.add_dock_widget(again, name="Fine-tune")
    until(qtbot, lambda: state(again) == "running" and len(again.curve.shown.by_step) > 0)
    assert int(pid.read_text("utf-8")) == worker
    assert again.run.currentText() == "run-001"
    assert not again.start.isEnabled()
    click(qtbot, again.stop)
    until(qtbot, lambda: state(again) == "stopped")
    assert again.resume.isEnabled()
    again.session().close()


@pytest.mark.slow
def test_what_goes_wrong_is_one_sentence(qtbot: Any, viewer: Any, tmp_path: Path) -> None:
    panel = FinetunePanel(viewer, Session.local(PHANTOM_MODEL))
    viewer.window.add_dock_widget(panel, name="Fine-tune")
    assert "not for clinical use" in panel.findChild(type(panel.holds)).text()
    until(qtbot, lambda: "Accept slices" in panel.holds.text())
    panel.watching.dataset = str(tmp_path)
    until(qtbot, lambda: "is no annotation dataset" in panel.notice.label.text())
    store = Dataset.at(tmp_path / "kept")
    annotated(store, 1)
    panel.watching.dataset = str(store.path)
    until(qtbot, lambda: panel.start.isEnabled())
    panel.mode.setItemData(0, "some")
    click(qtbot, panel.start)
    until(qtbot, lambda: "There is no mode 'some'" in panel.notice.label.text())
    assert "\n" not in panel.notice.label.text()
    assert panel.start.isEnabled()
    panel.session().close()


def test_napari_lists_the_dock() -> None:
    manifest = PluginManager.instance().get_manifest(DIST)
    assert "Fine-tune" in {widget.display_name for widget in manifest.contributions.widgets or ()}
