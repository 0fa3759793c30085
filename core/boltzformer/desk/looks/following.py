"""The looks follow the slice on screen: what to ask, when, and what becomes of the answer. Free while out of sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltzformer.client.session import Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.looks.looks import Looks, veil
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.pointing import heeded
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.models.window import window_of
from boltzformer.desk.ports import Stage, Timers
from boltzformer.desk.words import named
from boltzformer.errors import BoltzFormerError
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.pictures import slice_picture
from boltzformer.types import LookTrace, Volume

REST_MS = 120
"""So long the slice on screen must rest before its looks are asked for."""
Later = Callable[[Callable[[], Any], Callable[[Any], None]], None]
"""(work, then), as `Work.do`: something slow beside the viewer; `then` gets its result on the viewer's thread."""


class LooksPanel(Protocol):
    """Where looks are shown, and what the user chose there."""

    roll: int
    """So many seeds after the run's own."""
    query: int | None
    """Whose looks are wanted, from 0; None = all together."""

    @property
    def visible(self) -> bool: ...
    @property
    def looks(self) -> Looks | None:
        """Those that are shown; None where there are none, or others are on their way."""
        ...

    def light(self, look: LookTrace) -> NDArray[np.float32]:
        """(h, w): how much of the image shows there, as the user chose to see it."""
        ...

    def show_looks(self, looks: Looks) -> None: ...
    def say(self, sentence: str) -> None:
        """Instead of looks: why there are none."""
        ...

    def wait(self) -> None:
        """What is shown belongs to another slice or seed."""
        ...


class Light(Protocol):
    """A look on the canvas."""

    def show(self, image: OpenImage, picture: NDArray[np.uint8], name: str) -> None:
        """Over the slice on screen, (rows, columns, 4)."""
        ...

    def hide(self) -> None:
        """For a moment."""
        ...


@dataclass(frozen=True)
class OnScreen:
    """What the viewer shows, for which looks could be asked. Made on the viewer's thread, for any other."""

    image: OpenImage
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
    volume: Volume = field(init=False, repr=False)
    """As it is at this moment."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "volume", self.image.volume)

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
    whose: dict[str, Any] = {} if query is None else {"query": query}
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
    window = window_of(shown.volume, how.get("window"))
    picture = slice_picture(shown.volume, plan, window, shown.index)
    row = plan.canonical_index(shown.index)
    return Looks(shown.prompt, row, seed, picture, plan, trace, mask, query)


class LooksFollower:
    """Never more than one question at a time; what is asked meanwhile waits, and only the last of it counts."""

    def __init__(
        self,
        view: LooksPanel,
        light: Light,
        on_screen: Callable[[], OnScreen | str],
        session: Callable[[], Session],
        later: Later,
        timers: Timers,
    ) -> None:
        """`on_screen` says in a sentence why there are no looks to ask for."""
        self._view, self._light, self._on_screen, self._session, self._later = view, light, on_screen, session, later
        self._subject: tuple[object, ...] = ()
        self._image: OpenImage | None = None
        self._asking = self._again = False
        self._rest = timers.after(REST_MS, self.ask)

    def moved(self, event: Any = None) -> None:
        """Another slice, prompt or mask is on screen, or may be: to be called at every such change."""
        if self._view.visible:
            self._view.wait()
            self._light.hide()
            self._rest.start()

    def ask(self) -> None:
        """Looks are wanted: the panel came to light, or another roll or query was chosen."""
        if not self._view.visible:
            return
        if self._asking:
            self._again = True
            return
        shown = self._on_screen()
        if isinstance(shown, str):
            self._view.say(shown)
            return
        if shown.subject != self._subject:
            self._subject, self._view.roll = shown.subject, 0
        self._asking = True
        session, roll, query = self._session(), self._view.roll, self._view.query
        self._image = shown.image
        self._later(lambda: looks_of(session, shown, roll, query), self._show)

    def preview(self, number: int | None) -> None:
        """Shows a look on the canvas, from 0; None = none."""
        looks = self._view.looks
        if number is None or looks is None or self._image is None:
            self._light.hide()
            return
        look, count = looks.trace.layers[number], len(looks.trace.layers)
        mask = looks.mask if number == count - 1 else None
        picture = veil(looks.plan, self._view.light(look), look, mask)
        self._light.show(self._image, picture, f"look {number + 1} of {count}")

    def _show(self, answer: Looks | str) -> None:
        self._asking = False
        if self._again:
            self._again = False
            self.ask()
        elif isinstance(answer, str):
            self._view.say(answer)
        elif self._view.visible:
            self._view.show_looks(answer)


def on_screen(stage: Stage, tracks: Tracks) -> OnScreen | str:
    """Or a sentence that says why none can."""
    image, track = stage.chosen(), tracks.active()
    if image is None or track is None:
        return "Run a prompt first, then see how the model looked."
    row = stage.row(image)
    if row not in track.kept.rows:
        name, earlier = named(row, track.count), row in track.kept.looked
        if earlier:
            return f"How it looked at {name} before it was put away is not kept: run it again, and its looks are shown."
        return f"The model has not looked at {name} yet: run it first."
    how = heeded(track.how[row], [track.prompt.text])
    index, seed, mask = image.plan.canonical_index(row), how.pop("seed"), track.kept.at_present(row)
    kept = track.kept.of(row)
    tiling = None if kept is None else kept.tiling
    if tiling is not None:  # nobody looked at the whole at once: the looks of the tile that holds most of the mask
        how["region"] = tiling.region(tiling.fullest(mask))
    return OnScreen(image, track.prompt.text, index, seed, mask, track.kept.thresholds, how)
