"""A viewer without torch sets its engine up in an environment of its own, and asks it."""

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STORY = """
import importlib.util, json, napari
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from napari_boltzformer.widget import BoltzFormerDock

assert importlib.util.find_spec("torch") is None
viewer = napari.Viewer()
dock = BoltzFormerDock(viewer)
viewer.window.add_dock_widget(dock)
said = [dock.notice.label.text(), dock.notice.action.text()]

def until(what):
    while not what():
        QApplication.processEvents()
        QTest.qWait(100)

def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)

click(dock.notice.action)
until(lambda: "s per slice" in dock.engine.text() or dock.notice.action.text() == "Try again")
said.append(dock.notice.label.text())
click(dock.example)
until(lambda: dock.chosen_image() is not None)
click(dock.this_slice)
until(lambda: dock.tracks() and not dock.cancel.isEnabled())
said.append(dock.tracks()[0].name)
print(json.dumps(said))
viewer.close()
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_viewer_without_torch_sets_its_engine_up(tmp_path: Path, xvfb: object) -> None:
    venv.create(tmp_path / "viewer", with_pip=True)
    python = tmp_path / "viewer/bin/python"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "BOLTZFORMER_HOME": str(tmp_path / "home"),
    }
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{ROOT}[napari]"], check=True, env=environment)
    story = tmp_path / "story.py"
    story.write_text(STORY)
    told = subprocess.run([python, story], capture_output=True, text=True, env=environment, timeout=1200)
    assert told.returncode == 0, told.stderr[-3000:]
    offered, button, ready, found = json.loads(told.stdout.splitlines()[-1])
    assert "beside the viewer" in offered
    assert button == "Set up the engine"
    assert "set up" in ready
    assert "MS lesion" in found
    assert (tmp_path / "home/engine/ready.json").is_file()
