"""Which model looks: loaded beside the viewer, then used from the next run on, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from boltzformer.client.session import Session
from boltzformer.desk.notice import Notice
from boltzformer.desk.settings import Settings
from boltzformer.desk.work import Work
from boltzformer.protocol import ModelState


class ModelChoice:
    """By the name that the engine knows it by."""

    def __init__(self, session: Callable[[], Session], work: Work, notice: Notice, settings: Settings) -> None:
        self._session, self._work, self._notice, self._settings = session, work, notice, settings
        self.loaded: list[Callable[[], None]] = []
        """Another model looks from now on."""

    def load(self, name: str) -> None:
        """From the next run on."""
        session = self._session()
        if name != session.model:
            self._notice.say("Loading the model…")
            self._work.do(partial(session.load_model, name), partial(self._loaded, session, name))

    def import_file(self, path: Path) -> None:
        """A copy of it gets a name, and is loaded."""
        self._work.do(partial(self._session().import_model, path), lambda state: self.load(state.name))

    def _loaded(self, session: Session, name: str, state: ModelState) -> None:
        session.model = self._settings.model = name
        self._settings.save()
        self._notice.say(f"The model is loaded: {state.trained_on or 'it does not say what it was taught'}.")
        for heard in self.loaded:
            heard()


def shown_name(name: str) -> str:
    """A file by its stem."""
    return Path(name).stem if name.endswith(".safetensors") else name
