"""A model from the hub: its terms first, then the download with progress and a way to stop it, then it is chosen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gui import click, until
from hub_server import BLOBS, BLOBS_CONTENT, Hub, hub_of_blobs
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import Qt

from boltzformer.desk.models.choice import sentence
from boltzformer.protocol import HubOffer, HubState
from napari_boltzformer.widget import BoltzFormerDock


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Before the dock, whose engine is to find it."""
    yield from hub_of_blobs(monkeypatch, PHANTOM_MODEL.read_bytes())


def test_terms_are_shown_before_a_byte_is_downloaded_and_the_model_is_chosen_in_the_end(
    qtbot: Any, server: Hub, viewer: Any, dock: BoltzFormerDock, own_home: Path
) -> None:
    hub = dock.models.hub
    assert not hub.isVisible()
    click(qtbot, dock.models.from_hub)
    assert hub.isVisible()
    assert not hub.get.isVisible()
    qtbot.keyClicks(hub.place, "clinic/nothing")
    click(qtbot, hub.look)
    until(qtbot, lambda: "There is no " in dock.message.text())
    assert not hub.get.isVisible()

    hub.place.clear()
    qtbot.keyClicks(hub.place, BLOBS)
    qtbot.keyClick(hub.place, Qt.Key.Key_Return)
    until(qtbot, hub.get.isVisible)
    size = PHANTOM_MODEL.stat().st_size / 1e6
    assert hub.terms.text() == (
        f"{BLOBS} ({size:.1f} MB) comes under the licence 'cc-by-4.0', as its owners declare at "
        f"{server.address}/clinic/blobs."
    )
    assert "Only for tests, by nobody." in hub.card.toPlainText()
    assert BLOBS_CONTENT not in {path for _, path, _, _ in server.requests}
    qtbot.keyClicks(hub.place, "x")  # terms of one place are none of another
    assert not hub.get.isVisible()
    qtbot.keyClick(hub.place, Qt.Key.Key_Backspace)
    click(qtbot, hub.look)
    qtbot.keyClicks(hub.place, "x")  # also where they are still on their way
    until(qtbot, lambda: not dock.desk.work.busy)
    assert not hub.get.isVisible()
    qtbot.keyClick(hub.place, Qt.Key.Key_Backspace)
    click(qtbot, hub.look)
    until(qtbot, hub.get.isVisible)

    click(qtbot, hub.get)
    assert hub.stop.isVisible()
    hub.model._heard.append(HubState(BLOBS, "running", 5, 5, converting=True))
    hub.model._look()
    assert not hub.stop.isVisible()  # nothing is left to stop
    until(qtbot, lambda: dock.session.model == "clinic--blobs--blobs")
    until(qtbot, lambda: dock.message.text().startswith("The model is loaded"))
    assert (own_home / "models" / "clinic--blobs--blobs.safetensors").is_file()
    until(qtbot, lambda: dock.models.choice.currentData() == "clinic--blobs--blobs")
    assert dock.settings.model == "clinic--blobs--blobs"
    click(qtbot, hub.look)
    until(qtbot, lambda: "is here already: choose 'clinic--blobs--blobs'" in dock.message.text())


def test_a_download_that_is_stopped_leaves_no_model_and_goes_on_another_time(
    qtbot: Any, server: Hub, viewer: Any, dock: BoltzFormerDock, own_home: Path
) -> None:
    hub = dock.models.hub
    click(qtbot, dock.models.from_hub)
    server.cuts.extend([20_000] * 3)  # each answer but the last is cut: time enough to stop
    qtbot.keyClicks(hub.place, BLOBS)
    click(qtbot, hub.look)
    until(qtbot, hub.get.isVisible)
    click(qtbot, hub.get)
    assert not hub.place.isEnabled()  # another place would take the way to stop along
    click(qtbot, hub.stop)
    until(qtbot, lambda: dock.message.text().startswith("Stopped at "))
    assert not hub.stop.isVisible()
    assert hub.place.isEnabled()
    assert not list((own_home / "models").glob("*.safetensors"))
    server.cuts.clear()
    click(qtbot, hub.get)  # at once: what is said to be stopped has ended
    until(qtbot, lambda: dock.session.model == "clinic--blobs--blobs")


def test_weights_without_a_licence_are_named_so() -> None:
    bare = HubOffer("a/b:c.safetensors", "a--b--c", 2_500_000, "", "", "http://hub/a/b")
    assert sentence(bare) == (
        "a/b:c.safetensors (2.5 MB) declares no licence: ask its owners at http://hub/a/b whether you may use it."
    )
