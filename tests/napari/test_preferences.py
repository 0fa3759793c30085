"""What napari's own Preferences say of the engine, and what the dock says, is one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari.settings
import pytest
from gui import DIST, bring_to_light, until
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox, QSpinBox

from boltzformer import Session
from boltzformer.desk.settings import Settings
from napari_boltzformer.dock.engine import DEVICES
from napari_boltzformer.host import preferences
from napari_boltzformer.widget import BoltzFormerDock

PreferencesDialog = pytest.importorskip("napari._qt.dialogs.preferences_dialog").PreferencesDialog
pytestmark = pytest.mark.skipif(not hasattr(napari.settings, "get_plugin_settings"), reason="napari before 0.9")


@pytest.fixture
def kept_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """napari's settings in a folder of their own, read as at its start."""
    monkeypatch.setattr(napari.settings, "_CFG_PATH", tmp_path / "napari" / "settings.yaml")
    begin_anew()
    yield tmp_path / "napari" / f"{DIST}.yaml"
    begin_anew()


def begin_anew() -> None:
    napari.settings._clear_plugin_settings_cache()


def test_what_the_dock_remembers_is_what_napari_shows(kept_at: Path) -> None:
    Settings(device="cpu", threads=1, cache_gb=0.5).save()
    assert preferences.remembered().threads == 1
    assert preferences.said() == {"device": "cpu", "threads": 1, "cache_gb": 0.5}
    begin_anew()
    assert kept_at.is_file()
    assert preferences.said()["device"] == "cpu"


def test_what_was_said_in_napari_without_a_dock_counts_also_when_it_is_the_default_again(kept_at: Path) -> None:
    Settings(device="cpu", threads=1).save()
    preferences.remembered()
    begin_anew()
    store = napari.settings.get_plugin_settings(DIST)
    store.engine.device, store.engine.threads = "auto", 0
    begin_anew()
    found = preferences.remembered()
    assert (found.device, found.threads) == ("auto", 0)


def test_a_dock_is_on_screen_before_it_asks_for_the_preferences_and_takes_what_they_say(
    qtbot: Any, kept_at: Path, viewer: Any
) -> None:
    """napari looks through all plugins for them, which took longer than all else that opens the dock."""
    Settings(device="cpu", threads=1).save()
    preferences.remembered()
    napari.settings.get_plugin_settings(DIST).engine.cache_gb = 0.5  # no dock hears it
    begin_anew()
    dock = BoltzFormerDock(viewer, Session.local(PHANTOM_MODEL))
    viewer.window.add_dock_widget(dock)
    assert not napari.settings._PLUGIN_SETTINGS
    until(qtbot, lambda: dock.session.means.cache_bytes == 5e8)
    assert (dock.means.cache.value(), Settings.load().cache_gb, Settings.load().device) == (0.5, 0.5, "cpu")


@pytest.mark.slow
def test_the_preferences_of_napari_change_the_engine_and_the_dock(
    qtbot: Any, kept_at: Path, dock: BoltzFormerDock
) -> None:
    dialog = PreferencesDialog()
    qtbot.addWidget(dialog)
    (device,) = [
        box
        for box in dialog.findChildren(QComboBox)
        if {box.itemText(number) for number in range(box.count())} == set(DEVICES)
    ]
    device.setCurrentIndex(device.findText("cpu"))
    until(qtbot, lambda: Settings.load().device == "cpu")
    assert dock.means.device.currentData() == "cpu"
    until(qtbot, lambda: dock.session.means.device == "cpu")


def test_the_dock_changes_what_the_preferences_show(qtbot: Any, kept_at: Path, dock: BoltzFormerDock) -> None:
    threads: QSpinBox = dock.means.threads
    bring_to_light(threads)
    threads.setFocus()
    threads.selectAll()
    QTest.keyClicks(threads, "1")
    QTest.keyClick(threads, Qt.Key.Key_Return)
    until(qtbot, lambda: Settings.load().threads == 1)
    assert preferences.said()["threads"] == 1


def test_more_threads_than_this_computer_has_are_not_taken(qtbot: Any, kept_at: Path, dock: BoltzFormerDock) -> None:
    napari.settings.get_plugin_settings(DIST).engine.threads = 1000
    until(qtbot, lambda: preferences.said()["threads"] == dock.means.threads.maximum())
    assert Settings.load().threads == dock.means.threads.maximum()
