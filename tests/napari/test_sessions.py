"""One session for all docks of a viewer: it ends with the last of them, and stays what it was."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from napari.components import ViewerModel
from phantom_model import PHANTOM_MODEL
from serving import Served, serving

from boltzformer import BoltzFormerError, Session
from boltzformer.desk.settings import Settings
from napari_boltzformer.host import sessions
from napari_boltzformer.widget import BoltzFormerDock


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


class User:
    """Somebody who can load models."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, name: str) -> None:
        self.loaded.append(name)


def test_a_dock_that_was_closed_is_still_connected_when_it_comes_back(qtbot: Any, viewer: Any, served: Served) -> None:
    dock = BoltzFormerDock(viewer, Session.connect(served.address, served.token, str(PHANTOM_MODEL)))
    viewer.window.add_dock_widget(dock, name="Segment by text")
    viewer.window.remove_dock_widget(dock)
    viewer.window.add_dock_widget(dock, name="Segment by text")
    assert str(dock.session.backend().http.base_url).startswith(served.address)
    assert dock.session.model == str(PHANTOM_MODEL)


def test_the_session_ends_with_its_last_user_and_a_later_one_asks_the_same_engine(served: Served) -> None:
    viewer, one, other = ViewerModel(), object(), object()
    shared = sessions.of(viewer, served.session())
    first = shared.session
    for user in (one, other):
        assert sessions.of(viewer) is shared
        shared.join(user)
    shared.leave(one)
    shared.leave(one)
    assert shared.session is first
    assert first.models()
    shared.leave(other)
    with pytest.raises(BoltzFormerError):
        first.models()
    shared.join(one)
    assert shared.session.models()
    shared.leave(one)


def test_viewers_share_nothing_and_a_session_that_is_brought_along_stays_apart(served: Served) -> None:
    viewer = ViewerModel()
    shared = sessions.of(viewer, served.session())
    assert sessions.of(ViewerModel()) is not shared
    shared.join("dock")
    own = served.session()
    assert sessions.of(viewer, own).session is own
    assert sessions.of(viewer) is shared
    shared.leave("dock")


def test_without_a_session_a_viewer_gets_the_remembered_model_on_this_computer() -> None:
    Settings(model="remembered", threads=2).save()
    session = sessions.of(ViewerModel()).session
    assert (session.model, session.means.threads) == ("remembered", 2)


def test_the_session_ends_with_its_viewer(served: Served) -> None:
    viewer = ViewerModel()
    shared = sessions.of(viewer, served.session())
    shared.join("dock")
    session = shared.session
    del viewer
    gc.collect()
    with pytest.raises(BoltzFormerError):
        session.models()


def test_another_model_is_taken_through_whoever_can_load_it() -> None:
    shared, user = sessions.of(ViewerModel()), User()
    shared.join("panel")
    shared.use("first")
    assert shared.session.model == "first"
    shared.join("dock", user.load)
    shared.use("second")
    assert user.loaded == ["second"]
    shared.leave("dock")
    shared.use("third")
    assert shared.session.model == "third"
    shared.leave("panel")
