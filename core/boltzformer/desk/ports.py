"""What a viewer implements for the desk: masks, images and slices on screen, timers, one place for sentences, dialogs.

A method is here because both viewers use it. Rows are slices as the viewer counts them, in the canonical view.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.image import OpenImage
from boltzformer.types import Prompt, Volume

Mask = NDArray[np.bool_]
"""(rows, columns) of one slice, in the canonical view."""
Rows = Collection[int] | None
"""None: some, nobody knows which."""


class MaskSurface(Protocol):
    """One mask in the viewer (a layer, a segment); 0 is outside. Its voxels are the viewer's."""

    @property
    def key(self) -> str:
        """Its own as long as it lives, whatever it is called."""
        ...

    @property
    def colour(self) -> str:
        """'#E69F00'."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        ...

    @property
    def name(self) -> str:
        """What the user reads beside it, empty as long as nobody gave it another than the prompt's."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it is in the viewer still, and has the shape that it was made with."""
        ...

    @property
    def shown(self) -> bool: ...
    @shown.setter
    def shown(self, shown: bool) -> None: ...

    def row(self, row: int) -> NDArray[np.uint8]:
        """A view of one slice: never kept, never for another thread."""
        ...

    def copy(self) -> NDArray[np.uint8]:
        """(slices, rows, columns) for work beside the viewer."""
        ...

    def write(self, masks: Mapping[int, Mask], *, beneath: bool = False, again: bool = False) -> None:
        """The model's: no step of undo of its own, but whoever undoes or redoes strokes afterwards gets what was.

        `beneath`: of a picture, with a person's strokes on top, which are known voxel by voxel: where the viewer can,
        no step at all, or moving a slider would bury the strokes in the history.
        `again`: an answer shown otherwise. Where writing it was the last step, that step becomes this one: an undo
        never leads to what was there only until its objects were parted.
        """
        ...

    def edit(self, masks: Mapping[int, Mask]) -> None:
        """On a person's behalf: exactly one step of undo."""
        ...

    def draw(self) -> None:
        """What was written appears; once a tick."""
        ...

    def listen(self, heard: Callable[[Rows, bool], None]) -> None:
        """Others' changes, never `write` and `edit`; True: by undo or redo."""
        ...


class Stage(Protocol):
    """Which images and masks are open, and what of them is on screen."""

    def open(self, volume: Volume, *, case: str | None = None, store: str = "") -> OpenImage:
        """Shows an image; it is the chosen one. `case`, `store`: as `OpenImage` has them, known before it is shown."""
        ...

    def close(self, image: OpenImage) -> Callable[[], None]:
        """Takes it out of the viewer, with its masks and all that was drawn for it → what brings all that back."""
        ...

    def remove(self, surface: MaskSurface) -> None:
        """Takes a mask out of the viewer."""
        ...

    def guides(self, image: OpenImage) -> Mapping[str, Any]:
        """Its points and boxes, in plain values that only this viewer need understand."""
        ...

    def guide(self, image: OpenImage, told: Mapping[str, Any]) -> None:
        """Points and boxes as `guides` told them, in the place of those that are there."""
        ...

    def arrive(self, image: OpenImage) -> None:
        """It is new on screen: all of it in view, at the slice where it was looked at last, else at its middle."""
        ...

    def side_by_side(self, images: Sequence[OpenImage]) -> None:
        """Each in a place of its own, never over each other; fewer than two: one place for all."""
        ...

    def images(self) -> Sequence[OpenImage]: ...
    def chosen(self) -> OpenImage | None: ...
    def surfaces(self, image: OpenImage) -> Sequence[MaskSurface]:
        """Those that were added for it, whatever either is called by now."""
        ...

    def add(self, image: OpenImage, prompt: Prompt, colour: str) -> MaskSurface:
        """An empty mask that lies exactly on the image. Neither the active mask nor the tool in hand changes."""
        ...

    def begin(self, image: OpenImage) -> None:
        """A run is about to write."""
        ...

    def active(self) -> MaskSurface | None:
        """The one that the user's tools work on."""
        ...

    def activate(self, surface: MaskSurface) -> None: ...
    def row(self, image: OpenImage) -> int:
        """The slice on screen, else the nearest."""
        ...

    def shows(self, image: OpenImage) -> bool:
        """Whether one of its slices is on screen, flat, as the model would see it."""
        ...

    def sees(self, image: OpenImage, row: int) -> bool:
        """Whether some of this slice is on screen, in any plane; False in a rendering, which takes seconds to draw."""
        ...

    def go(self, image: OpenImage, row: int) -> None:
        """Brings a slice on the screen."""
        ...

    def turn(self, image: OpenImage) -> bool:
        """To the plane of its slices, as they are looked at; False where that plane is on screen already."""
        ...

    def bring(self, image: OpenImage) -> None:
        """Into the view, at the slice where it was looked at last."""
        ...


class Timer(Protocol):
    def start(self) -> None:
        """From now on; one that runs begins anew."""
        ...

    def stop(self) -> None: ...


class Timers(Protocol):
    """The viewer's own clock: everything is called on its main thread."""

    def every(self, ms: int, do: Callable[[], None]) -> Timer:
        """Not started yet."""
        ...

    def after(self, ms: int, do: Callable[[], None]) -> Timer:
        """Once, each time that it is started; not started yet."""
        ...

    def under_stroke(self) -> bool:
        """Whether somebody is drawing at this moment: nothing is written then. A slider held down is no stroke."""
        ...


class Offered(Protocol):
    """Something that can be done (`desk.notice.Offer`)."""

    @property
    def topic(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def answers(self) -> Sequence[tuple[str, Callable[[], None]]]:
        """What is pressed, and what that does."""
        ...


class Speaker(Protocol):
    """Where sentences appear. Pressing the action calls `Notice.act`."""

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        """`failed`: something went wrong, of which `Notice.details` can be copied and reported."""
        ...

    def offer(self, offers: Sequence[Offered]) -> None:
        """All that can be done now, each on a line of its own: pressing one calls `Notice.answer` or `.withdraw`."""
        ...


class Dialogs(Protocol):
    """Questions to the user; an empty answer is None."""

    def folder(self, title: str) -> Path | None: ...
    def choose(self, title: str, lines: Sequence[str]) -> int | None:
        """Which of them; the first is proposed."""
        ...

    def save_as(self, title: str, suggested: str, kinds: str) -> Path | None: ...
    def ask(self, question: str, details: str, yes: str, then: Callable[[bool], None]) -> None:
        """Returns at once; `then` hears whether it was yes."""
        ...
