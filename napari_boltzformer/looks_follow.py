"""The looks follow the slice on screen: what to ask, when, and what becomes of the answer. Free while out of sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from boltzformer import BoltzFormerError, Session, SlicePlan, Volume
from boltzformer.desk.looks.looks import Looks
from boltzformer.desk.masks.answers import Thresholds
from boltzformer.masks.pictures import slice_picture
from napari_boltzformer.bottom.looks_view import LooksView
from napari_boltzformer.canvas.light import CanvasLight, veil
from napari_boltzformer.host.stage import NapariImage

if TYPE_CHECKING:
    from napari.layers import Image

REST_MS = 120
"""So long the slice on screen must rest before its looks are asked for."""
Later = Callable[[Callable[[], Any], Callable[[Any], None]], None]
"""(work, then): does something slow beside the viewer; `then` gets its result on the viewer's thread."""


@dataclass(frozen=True)
class OnScreen:
    """What the viewer shows, for which looks could be asked."""

    image: NapariImage
    prompt: str
    index: int
    """Stored number of the slice."""
    seed: int
    """Of the run that made the mask."""
    mask: NDArray[np.bool_]
    """In the canonical view."""
    thresholds: Thresholds
    how: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else the run was asked with (window, guidance…), as `Session.trace` and `.segment` call it."""

    @property
    def volume(self) -> Volume:
        return self.image.volume

    @property
    def plan(self) -> SlicePlan:
        """How the slice lies; the network's size does not matter to a picture."""
        axis, region = self.how.get("axis", self.volume.slice_axis), self.how.get("region")
        box = None if region is None else region.box(self.volume.grid, axis)
        return SlicePlan.of(self.volume.grid, 1, axis, box=box)

    @property
    def subject(self) -> tuple[object, ...]:
        """Looks of the same subject differ only in seed and query."""
        return self.image.key, self.prompt, self.index


def looks_of(session: Session, shown: OnScreen, roll: int, query: int | None) -> Looks | str:
    """Asks the engine, whose features of the slice are kept; a sentence where it can't be."""
    seed, how, plan, mask = shown.seed + roll, dict(shown.how), shown.plan, shown.mask
    whose = {} if query is None else {"query": query}
    try:
        trace = session.trace(shown.volume, shown.prompt, shown.index, seed=seed, **how, **whose)
        if roll:  # other looks, another answer: the white line must be theirs
            job = session.segment(shown.volume, shown.prompt, seed=seed, slices=[shown.index], **how)
            (answer,), given = (found := job.result()).slices, found.plan
            passes = answer.passes(0, shown.thresholds.existence)
            mask = given.mask(answer.plane(0), shown.thresholds.outline) & passes
    except BoltzFormerError as error:
        return str(error)
    except Exception as error:  # whatever it was, the panel must hear an end and go on
        return f"The looks could not be had ({type(error).__name__}: {error}). Try again; if it stays, report it."
    window = how.get("window") or shown.volume.window()
    picture = slice_picture(shown.volume, plan, window, shown.index)
    row = plan.canonical_index(shown.index)
    return Looks(shown.prompt, row, seed, picture, plan, trace, mask, query)


class LooksFollower(QObject):
    """Never more than one question at a time; what is asked meanwhile waits, and only the last of it counts."""

    def __init__(
        self,
        view: LooksView,
        light: CanvasLight,
        on_screen: Callable[[], OnScreen | str],
        session: Callable[[], Session],
        later: Later,
    ) -> None:
        super().__init__(view)
        self.view, self._light, self._on_screen, self._session, self._later = view, light, on_screen, session, later
        self._subject: tuple[object, ...] = ()
        self._image: Image | None = None
        self._asking = self._again = False
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._ask)
        view.asked.connect(self._ask)
        view.previewed.connect(self._preview)
        view.hidden.connect(light.clear)

    def moved(self, event: Any = None) -> None:
        """Another slice, prompt or mask is on screen, or may be: to be called at every such change."""
        if self.view.isVisible():
            self.view.wait()
            self._light.hide()
            self._rest.start()

    def _ask(self) -> None:
        if not self.view.isVisible():
            return
        if self._asking:
            self._again = True
            return
        shown = self._on_screen()
        if isinstance(shown, str):
            self.view.say(shown)
            return
        if shown.subject != self._subject:
            self._subject, self.view.roll = shown.subject, 0
        self._asking = True
        session, roll, query = self._session(), self.view.roll, self.view.query
        self._image = shown.image.layer
        self._later(lambda: looks_of(session, shown, roll, query), self._show)

    def _show(self, answer: Looks | str) -> None:
        self._asking = False
        if self._again:
            self._again = False
            self._ask()
        elif isinstance(answer, str):
            self.view.say(answer)
        elif self.view.isVisible():
            self.view.show_looks(answer)

    def _preview(self, number: int | None) -> None:
        looks = self.view.sheet.looks
        if number is None or looks is None or self._image is None or self.view.sheet.waiting:
            self._light.hide()
            return
        look, count = looks.trace.layers[number], len(looks.trace.layers)
        mask = looks.mask if number == count - 1 else None
        picture = veil(looks.plan, self.view.sheet.light(look), look, mask)
        self._light.show(self._image, picture, f"look {number + 1} of {count}")
