"""A viewer without a window: masks, images and a clock in memory. Scripts and tests drive the desk with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.image import OpenImage
from boltzformer.desk.ports import Mask, MaskSurface, Offered, Rows
from boltzformer.types import Prompt, Volume


@dataclass(frozen=True)
class _Step:
    """Voxels that one step changed, and what they were and became."""

    places: tuple[NDArray[np.intp], ...]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


class MemoryMask:
    """Its history holds voxels, as napari's does."""

    def __init__(self, key: str, shape: tuple[int, int, int], colour: str = "#E69F00") -> None:
        self.key, self.colour, self.shape = key, colour, shape
        self.name, self.shown, self.alive = "", True, True
        self.drawn = 0
        """So often."""
        self._voxels = np.zeros(shape, np.uint8)
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._written: dict[int, _Step] = {}
        """The model's steps, by row, behind which there are no others."""
        self._heard: list[Callable[[Rows, bool], None]] = []

    # --- for the desk -------------------------------------------------------------------------------------------

    def row(self, row: int) -> NDArray[np.uint8]:
        return self._voxels[row]

    def copy(self) -> NDArray[np.uint8]:
        return self._voxels.copy()

    def write(self, masks: Mapping[int, Mask], *, beneath: bool = False, again: bool = False) -> None:
        """Where there is a history, as a step of it: an undo or redo over other voxels would mix two masks."""
        steps = () if beneath else (*self._done, *self._undone)
        stroked = {int(row) for step in steps for row in np.unique(step.places[0])}
        others = {row: mask for row, mask in masks.items() if row in stroked}
        if again and len(others) == 1 and others.keys() <= self._written.keys():
            self._write_again(*others.popitem())
        before, written = self.steps, {row: one for row, one in self._written.items() if row not in others}
        self.edit(others)
        if len(others) == 1 and self.steps > before:
            written[next(iter(others))] = self._done[-1]
        self._written = written
        for row, mask in masks.items():
            self._voxels[row] = mask

    def _write_again(self, row: int, mask: Mask) -> None:
        """As if it had been written like this at once."""
        step = self._written[row]
        before = self._voxels[row].copy()
        before[step.places[1:]] = step.before
        y, x = np.nonzero(before != mask)
        other = _Step((np.full(len(y), row), y, x), before[y, x], mask[y, x].astype(np.uint8))
        self._done[next(n for n, one in enumerate(self._done) if one is step)] = self._written[row] = other

    def edit(self, masks: Mapping[int, Mask]) -> None:
        places = [
            (np.full(len(y), row), y, x)
            for row, mask in masks.items()
            for y, x in [np.nonzero(self._voxels[row] != mask)]
        ]
        if sum(len(one[0]) for one in places):
            where = tuple(np.concatenate(axis) for axis in zip(*places, strict=True))
            values = np.concatenate([masks[int(one[0][0])][one[1:]] for one in places if len(one[0])]).astype(np.uint8)
            self._step(_Step(where, self._voxels[where], values))

    def draw(self) -> None:
        self.drawn += 1

    @property
    def steps(self) -> int:
        """So many can be undone."""
        return len(self._done)

    def listen(self, heard: Callable[[Rows, bool], None]) -> None:
        self._heard.append(heard)

    # --- for a person -------------------------------------------------------------------------------------------

    def paint(self, row: int, mask: Mask, label: int = 1) -> None:
        """A stroke: these voxels get the label, as one step of undo."""
        y, x = np.nonzero(mask & (self._voxels[row] != label))
        if len(y):
            where = (np.full(len(y), row), y, x)
            self._step(_Step(where, self._voxels[where], np.full(len(y), label, np.uint8)))
            self.tell({row}, undone=False)

    def undo(self) -> None:
        step, self._written = self._done.pop(), {}
        self._voxels[step.places] = step.before
        self._undone.append(step)
        self.tell(set(step.places[0].tolist()), undone=True)

    def redo(self) -> None:
        step, self._written = self._undone.pop(), {}
        self._voxels[step.places] = step.after
        self._done.append(step)
        self.tell(set(step.places[0].tolist()), undone=True)

    def _step(self, step: _Step) -> None:
        self._voxels[step.places] = step.after
        self._done.append(step)
        self._undone.clear()
        self._written = {}

    def tell(self, rows: Rows, *, undone: bool) -> None:
        """Whoever listens hears of a change."""
        for heard in self._heard:
            heard(rows, undone)


class MemoryStage:
    """Images that were opened by `open`; the last one is chosen, and its middle slice on screen."""

    def __init__(self) -> None:
        self._images: list[OpenImage] = []
        self._numbers = count()
        self._surfaces: dict[OpenImage, list[MemoryMask]] = {}
        self._rows: dict[OpenImage, int] = {}
        self._chosen: OpenImage | None = None
        self._active: MaskSurface | None = None
        self.pointed: dict[OpenImage, Mapping[str, Any]] = {}
        """Points and boxes."""
        self.left: Callable[[OpenImage], None] = lambda image: None
        """Hears which one is out of the viewer."""
        self.beside: list[OpenImage] = []
        """Those that are shown each in a place of its own."""

    def open(self, volume: Volume, *, case: str | None = None, store: str = "") -> OpenImage:
        """As a reader would."""
        image = OpenImage(f"image {next(self._numbers)}", lambda: volume, lambda: volume.name or "image")
        image.case, image.store = case, store
        self._images.append(image)
        self._surfaces[image], self._rows[image] = [], image.count // 2
        self.choose(image)
        return image

    def choose(self, image: OpenImage | None) -> None:
        self._chosen = image

    def close(self, image: OpenImage) -> Callable[[], None]:
        """Away with it, and with its masks."""
        surfaces = self._surfaces.pop(image)
        for surface in surfaces:
            surface.alive = False
        pointed = self.pointed.pop(image, {})
        self._images.remove(image)
        self._chosen = self._images[-1] if self._images else None
        self.left(image)

        def back() -> None:
            self.pointed[image] = pointed
            for surface in surfaces:
                surface.alive = True
            self._surfaces[image] = surfaces
            self._images.append(image)
            self.choose(image)

        return back

    def remove(self, surface: MaskSurface) -> None:
        for held in self._surfaces.values():
            for one in held:
                if one is surface:
                    one.alive = False

    def guides(self, image: OpenImage) -> Mapping[str, Any]:
        return self.pointed.get(image, {})

    def guide(self, image: OpenImage, told: Mapping[str, Any]) -> None:
        self.pointed[image] = dict(told)

    def arrive(self, image: OpenImage) -> None:
        self.choose(image)

    def side_by_side(self, images: Sequence[OpenImage]) -> None:
        self.beside = list(images)

    def images(self) -> Sequence[OpenImage]:
        return self._images

    def chosen(self) -> OpenImage | None:
        return self._chosen

    def surfaces(self, image: OpenImage) -> Sequence[MemoryMask]:
        return [one for one in self._surfaces.get(image, ()) if one.alive]

    def add(self, image: OpenImage, prompt: Prompt, colour: str) -> MemoryMask:
        mask = MemoryMask(
            f"{image.key}, mask {len(self._surfaces[image])}", (image.count, *image.plan.slice_shape), colour
        )
        self._surfaces[image].append(mask)
        return mask

    def begin(self, image: OpenImage) -> None:
        """Nothing to prepare."""

    def active(self) -> MaskSurface | None:
        return self._active

    def activate(self, surface: MaskSurface) -> None:
        self._active = surface

    def row(self, image: OpenImage) -> int:
        return self._rows[image]

    def shows(self, image: OpenImage) -> bool:
        return image is self._chosen

    def sees(self, image: OpenImage, row: int) -> bool:
        return image is self._chosen and row == self._rows[image]

    def go(self, image: OpenImage, row: int) -> None:
        self._rows[image] = row

    def turn(self, image: OpenImage) -> bool:
        return False

    def bring(self, image: OpenImage) -> None:
        self.choose(image)


class MemoryTimer:
    """One of `MemoryTimers`."""

    def __init__(self, do: Callable[[], None], *, once: bool) -> None:
        self._do, self._once = do, once
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def tick(self) -> None:
        if self.running:
            self.running = not self._once
            self._do()


class MemoryTimers:
    """Time passes when `tick` says so: every timer that runs is called once, whatever its interval."""

    def __init__(self) -> None:
        self._timers: list[MemoryTimer] = []
        self.pressed = False
        """Whether a mouse button is down on the canvas."""

    def every(self, ms: int, do: Callable[[], None]) -> MemoryTimer:
        return self._new(do, once=False)

    def after(self, ms: int, do: Callable[[], None]) -> MemoryTimer:
        return self._new(do, once=True)

    def under_stroke(self) -> bool:
        return self.pressed

    def tick(self) -> None:
        for timer in list(self._timers):
            timer.tick()

    def _new(self, do: Callable[[], None], *, once: bool) -> MemoryTimer:
        self._timers.append(MemoryTimer(do, once=once))
        return self._timers[-1]


class MemorySpeaker:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.sentence = self.action = ""
        self.failed = False
        self.offers: list[Offered] = []

    def speak(self, sentence: str, action: str = "", *, failed: bool = False) -> None:
        self.sentence, self.action, self.failed = sentence, action, failed

    def offer(self, offers: Sequence[Offered]) -> None:
        self.offers = list(offers)


class MemoryDialogs:
    """Answers as it was told to."""

    def __init__(self, folder: Path | None = None, file: Path | None = None, *, yes: bool = False) -> None:
        self.chosen_folder, self.chosen_file, self.yes = folder, file, yes
        self.asked: list[str] = []
        self.lines: list[str] = []
        self.suggested = ""
        """Of the file that was asked for last."""
        self.chosen_line: int | None = 0
        """Of a list that was shown."""

    def folder(self, title: str) -> Path | None:
        self.asked.append(title)
        return self.chosen_folder

    def choose(self, title: str, lines: Sequence[str]) -> int | None:
        self.asked.append(title)
        self.lines = list(lines)
        return self.chosen_line

    def save_as(self, title: str, suggested: str, kinds: str) -> Path | None:
        self.asked.append(title)
        self.suggested = suggested
        return self.chosen_file

    def ask(self, question: str, details: str, yes: str, then: Callable[[bool], None]) -> None:
        self.asked.append(question)
        then(self.yes)
