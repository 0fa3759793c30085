"""What the docks of one viewer share: its one session, ended with its last user, and how its model is shown images."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from boltzformer import Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.models.engine import means_of
from boltzformer.desk.models.window import Windows
from boltzformer.desk.settings import Settings
from napari_boltzformer.host import preferences
from napari_boltzformer.host.mask import key_of

_SHARED: weakref.WeakKeyDictionary[Any, Shared] = weakref.WeakKeyDictionary()
"""By viewer."""


class Shared:
    """One session for everybody who joined. Nothing is started before it is asked."""

    def __init__(self, windows: Windows, session: Session) -> None:
        self.windows = windows
        self.waiting: weakref.ref[Any] | None = None
        """The dock that was closed, and may be opened again."""
        self._session = session
        self._listing: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._users: dict[object, weakref.WeakMethod[Callable[[str], None]] | None] = {}

    @property
    def session(self) -> Session:
        """The one of this moment: after the last user left, another one that asks the same engine in the same way."""
        return self._session

    @property
    def used(self) -> bool:
        return bool(self._users)

    def join(self, user: object, load: Callable[[str], None] | None = None) -> None:
        """Until it leaves, this one needs the session. `load`, a method of its own, takes another model by name."""
        self._users[user] = None if load is None else weakref.WeakMethod(load)

    def leave(self, user: object) -> None:
        """The last one ends the engine, if it is ours to end; also what was begun after it had left once."""
        self._users.pop(user, None)
        if not self._users:
            self.close()

    def use(self, name: str) -> None:
        """From now on this model: through a user that can load it and says so; else it is loaded with the next run."""
        loads = [load for held in self._users.values() if held is not None and (load := held()) is not None]
        if loads:
            loads[0](name)  # also where the name is in use: it may stand for another model now
        else:
            self._session.model = name

    def told_models(self) -> None:
        """There are others than before: whoever lists them asks again."""
        for held in self._listing:
            if (heard := held()) is not None:
                heard()

    def lists(self, heard: Callable[[], None]) -> None:
        """`heard`: a method of somebody who lists models."""
        self._listing.append(weakref.WeakMethod(heard))

    def close(self) -> None:
        """Ends what was begun; what is asked afterwards begins again."""
        before, self._session = self._session, self._session.again()
        before.close()


def of(viewer: Any, session: Session | None = None, settings: Settings | None = None) -> Shared:
    """What this viewer's docks share. One that brings its own session shares it, unless they have another already.

    `settings` of one who asks napari's preferences itself, when it is on screen.
    """
    viewer, known = getattr(viewer, "__wrapped__", viewer), known_to(viewer)
    if known is not None and (session is None or session is known.session):
        return known
    if session is None:
        kept = settings or preferences.remembered()
        session = Session.local(kept.model, **means_of(kept))
    shared = Shared(Windows(_contrast(weakref.ref(viewer))), session)
    if known is None or not known.used:
        _SHARED[viewer] = shared
        weakref.finalize(viewer, shared.close)
    return shared


def known_to(viewer: Any) -> Shared | None:
    """What its docks share, if there was one; plugins get viewers in wrappers."""
    return _SHARED.get(getattr(viewer, "__wrapped__", viewer))


def _contrast(viewer: weakref.ref[Any]) -> Callable[[OpenImage], tuple[float, float]]:
    """What an image's layer shows black and white."""

    def of_image(image: OpenImage) -> tuple[float, float]:
        held = viewer()
        layers = () if held is None else held.layers
        low, high = next(layer.contrast_limits for layer in layers if key_of(layer) == image.key)
        return float(low), float(high)

    return of_image
