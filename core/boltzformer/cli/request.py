"""`Request`: all that a call of `boltzformer segment` asks for and that its masks depend on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import product
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.engine.devices import Place
from boltzformer.engine.provenance import hash_of_voxels
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import PLANES, Grid
from boltzformer.image.guidance import Guidance, Voxel
from boltzformer.image.intensity import Window
from boltzformer.image.region import Point, Region
from boltzformer.image.slicing import SlicePlan
from boltzformer.io.cases import FORMATS
from boltzformer.json_text import loads, text_of
from boltzformer.masks.lessons import checked, hash_of, lessons_of
from boltzformer.types import MOST_SAMPLES, Lesson, Prompt, Volume, as_prompts
from boltzformer.weights.checkpoint import Checkpoint

FOUND = "found"
"""Asks for a first pass, and a second one around what it found."""

_LATER = (
    *("size", "here", "not_here", "box", "tiles", "scout", "lessons", "lesson_slices", "seconds", "lesson_steps"),
    "objects",
)
"""Options that older provenances don't have: written only where used, so that finished cases stay finished."""


@dataclass(frozen=True)
class Request:
    """Checked when it is made; written into every provenance, where an equal one says that a case is finished."""

    prompts: tuple[str, ...]
    seed: int = 0
    window: str = "auto"
    axis: str | None = None
    slices: str | None = None
    """A:B, from slice A up to B, which is not included."""
    threshold: float = 0.5
    existence: float | None = None
    """None: the checkpoint's own gate."""
    suppress: bool = False
    smallest_mm3: float = 0.0
    largest: int | None = None
    smooth: int = 1
    """Slices over which the existence is averaged."""
    samples: int = 1
    region: str | None = None
    """Two corners I,J,K:I,J,K, or 'found'."""
    size: int | None = None
    """Side of what the network sees in pixels; None: the model's own."""
    here: tuple[str, ...] = ()
    """Points I,J,K or, in an image of one slice, I,J."""
    not_here: tuple[str, ...] = ()
    box: str | None = None
    """Two corners I,J,K:I,J,K; nothing outside is looked at."""
    tiles: bool | None = None
    """Whether a picture much larger than the network's input is asked in tiles; None: if it is microscopy."""
    scout: int | None = None
    """Every so many slices first, then only where something may be; None: all."""
    mm: bool = False
    """Whether points and corners are LPS millimetres."""
    series: str | None = None
    frame: int | None = None
    allow_gaps: bool = False
    resample: bool = False
    format: str | None = None
    probabilities: bool = False
    sampling_maps: bool = False
    lesions: bool = False
    lessons: str | None = None
    """A mask that is right in the slices below."""
    lesson_slices: str | None = None
    """Numbers with commas."""
    seconds: float | None = None
    lesson_steps: int | None = None
    """Instead of seconds."""
    objects: bool | None = None
    """Whether objects of a picture that touch are parted and numbered."""

    def __post_init__(self) -> None:
        for name in ("threshold", "existence"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise BoltzFormerError(f"--{name} {value:g} is no probability: give a number from 0 to 1.")
        if self.format is not None and self.format not in FORMATS:
            raise BoltzFormerError(f"There is no format '{self.format}': choose one of {', '.join(FORMATS)}.")
        if self.axis is not None and self.axis not in PLANES:
            raise BoltzFormerError(f"There is no plane '{self.axis}': choose one of {', '.join(reversed(PLANES))}.")
        if self.window.strip().lower() not in ("auto", "percentiles", "stored"):
            Window.preset(self.window)
        if not 0 <= self.smallest_mm3 < inf or (self.largest is not None and self.largest < 1):
            raise BoltzFormerError("--smallest needs a volume of 0 mm³ or more, and --largest a number from 1.")
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise BoltzFormerError(f"--smooth {self.smooth} has no middle slice: give 1, 3, 5 or another odd number.")
        if not 1 <= self.samples <= MOST_SAMPLES:
            none = "is none" if self.samples < 1 else "are too many"
            raise BoltzFormerError(f"--samples {self.samples} {none}: give a number from 1 to {MOST_SAMPLES}.")
        if self.scout is not None and self.scout < 2:
            raise BoltzFormerError(f"--scout {self.scout} passes no slice over: give 2 or more.")
        if self.scout is not None and self.smooth > 1:
            raise BoltzFormerError("--smooth needs every slice, and --scout passes some over: leave one of them out.")
        as_prompts(self.prompts)
        self._check_lessons()
        _range(self.slices)
        _corners(self.region)
        for option, places in (("here", self.here), ("not-here", self.not_here), ("box", _ends(self.box))):
            for place in places:
                _place(option, place)

    def _check_lessons(self) -> None:
        if (self.lessons is None) != (self.lesson_slices is None):
            raise BoltzFormerError("--lessons and --lesson-slices go together: a mask, and where it is right.")
        if self.lessons is None:
            if self.lesson_steps is not None:
                raise BoltzFormerError("--lesson-steps needs --lessons: a mask to learn from.")
            return
        if len(as_prompts(self.prompts)) != 1:
            raise BoltzFormerError(f"{len(self.prompts)} prompts can't learn from one mask: give one prompt.")
        if self.region is not None:
            raise BoltzFormerError("--lessons are learnt from whole slices: leave --region out.")
        if self.seconds is not None and not 0 < self.seconds <= 86400:
            raise BoltzFormerError(f"--seconds {self.seconds:g} is no time to learn in: give more than 0.")
        _numbers(self.lesson_slices)

    def taught(self, plan: SlicePlan) -> tuple[Lesson, ...]:
        """What the mask says in the listed slices; of a file with several labels, the one named like the prompt."""
        labels = io.read_labels(Path(str(self.lessons)), grid=plan.grid)
        (prompt,) = self.asked
        named = [label for label, name in labels.names.items() if name in (prompt.name, prompt.text)]
        if not named and len(labels.names) > 1:
            raise BoltzFormerError(
                f"{self.lessons} holds {len(labels.names)} labels ({', '.join(labels.names.values())}), and none is "
                f"named '{prompt.name}': give a mask of that one alone."
            )
        label = named[0] if named else next(iter(labels.names), 1)
        return checked(lessons_of(labels, label, _numbers(self.lesson_slices), plan), plan)

    @property
    def asked(self) -> tuple[Prompt, ...]:
        """The prompts, each once."""
        return as_prompts(self.prompts)

    def read(self, path: Path) -> Volume:
        """The image, to be sliced as asked."""
        volume = io.read(path, series=series_number(self.series), frame=self.frame, allow_gaps=self.allow_gaps)
        return volume if self.axis is None else replace(volume, stacking_axis=volume.grid.axis_of(self.axis))

    def check(self, volume: Volume) -> None:
        """What can be asked of some images only."""
        count = volume.grid.shape[volume.slice_axis]
        if self.objects and count > 1:
            raise BoltzFormerError(
                f"--objects gives each object of a picture a label of its own, and this image has {count} slices: "
                "leave it out, and count objects with --lesions."
            )

    def wanted(self, count: int) -> range | None:
        """The slices to look at; None is all of them."""
        span = _range(self.slices)
        if span is None:
            return None
        first, end = span[0] or 0, count if span[1] is None else span[1]
        if not 0 <= first < end <= count:
            raise BoltzFormerError(
                f"--slices {self.slices} lies outside the image, which has slices 0 to {count - 1}: "
                f"give A:B with A < B, at most 0:{count} (B itself is not included)."
            )
        return range(first, end)

    def enlarged(self, grid: Grid) -> Region | None:
        """The region to look at enlarged; None for the whole image, or for one still to be found."""
        corners = _corners(self.region)
        if corners is None:
            return None
        low, high = corners
        if self.mm:
            return Region(low, high)
        inside = [0 <= a <= b < n for a, b, n in zip(low, high, grid.shape[::-1], strict=True)]
        whole = [value == int(value) for value in (*low, *high)]
        if not all(inside) or not all(whole):
            raise BoltzFormerError(
                f"--region {self.region} is no box of voxels in this image ({'×'.join(map(str, grid.shape[::-1]))}): "
                "give two corners I,J,K:I,J,K, 0-based, the lower one first, or add --mm for LPS millimetres."
            )
        first, last = (tuple(int(value) for value in corner) for corner in corners)
        return Region.of_voxels(grid, (first[0], first[1], first[2]), (last[0], last[1], last[2]))

    def guidance(self, grid: Grid) -> Guidance:
        """Where the user points, in voxels of the image."""
        here, not_here = ([self._point(text, grid) for text in texts] for texts in (self.here, self.not_here))
        corners = [self._point(text, grid) for text in _ends(self.box)]
        if self.mm:
            here, not_here = ([grid.voxel(point).tolist() for point in points] for points in (here, not_here))
            # A box in the world may lie askew in the voxels: what holds all of its eight corners.
            eight = [grid.voxel(corner) for corner in product(*zip(*corners, strict=True))] if corners else []
            corners = [np.min(eight, axis=0).tolist(), np.max(eight, axis=0).tolist()] if eight else []
        return Guidance(tuple(here), tuple(not_here), (corners[0], corners[1]) if corners else None)

    def _point(self, text: str, grid: Grid) -> Voxel:
        i, j, *rest = _place("here", text)
        if not rest and (self.mm or grid.shape[0] > 1):
            raise BoltzFormerError(f"The place {text} is none in a volume: give three numbers, such as {text},0.")
        return i, j, rest[0] if rest else 0.0

    def facts(self, volume: Volume, model: Checkpoint, place: Place) -> dict[str, Any]:
        """What the masks of this image depend on, as JSON."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in _LATER:
            if not own[name] and own[name] is not False:
                del own[name]
            elif isinstance(own[name], tuple):
                own[name] = list(own[name])
        image = {
            "sha256": hash_of_voxels(volume.array),
            "dtype": str(volume.array.dtype),
            "shape": list(volume.array.shape),
            "affine_lps": volume.grid.lps.tolist(),
        }
        where = {"device": place.device.type, "dtype": place.precision}
        if self.lessons is not None:
            along = SlicePlan.of(volume.grid, 1, volume.slice_axis)
            own["lessons"] = {"file": Path(self.lessons).name, "sha256": hash_of(self.taught(along))}
        return {**own, "prompts": list(self.prompts), "image": image, "model": model.sha256, **where}


def repeated(file: Path, chosen: str | None) -> tuple[dict[str, Any], Request]:
    """A provenance and the request that makes its masks again; those that a viewer wrote hold less, which is enough."""
    try:
        told = loads(text_of(file))
        if learnt := told.get("adapter"):
            raise BoltzFormerError(
                f"{file} tells of a mask that was learnt from lessons: make it again with --lessons, --lesson-slices "
                f"{','.join(map(str, learnt['lessons']))}, --lesson-steps {learnt['steps']} "
                f"and --seed {learnt['seed']}."
            )
        made = told.get("request") or {"seed": told["seed"], "axis": told["plan"]["plane"]}
        known = {field.name for field in fields(Request)}
        asked = {name: value for name, value in made.items() if name in known}
        lists = {name: tuple(value) for name, value in asked.items() if isinstance(value, list)}
        named = {"prompts": tuple(told["prompts"]), "format": chosen or asked.get("format")}
        request = Request(**{**asked, **lists, **named})
    except OSError as error:
        raise BoltzFormerError(f"{file} could not be read ({error.strerror or error}): check the path.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BoltzFormerError(
            f"{file} does not tell how masks were made: give a provenance.json that this program wrote."
        ) from error
    return told, request


def _corners(text: str | None) -> tuple[Point, Point] | None:
    if text is None or text == FOUND:
        return None
    try:
        (a, b, c), (d, e, f) = (map(_number, corner.split(",")) for corner in text.split(":"))
    except ValueError:
        raise BoltzFormerError(
            f"--region {text} can't be understood: give two corners I,J,K:I,J,K such as 10,20,3:60,70,9, or '{FOUND}'."
        ) from None
    return (a, b, c), (d, e, f)


def _ends(box: str | None) -> tuple[str, ...]:
    """Two corners, or none."""
    ends = () if box is None else tuple(box.split(":"))
    if len(ends) not in (0, 2):
        raise BoltzFormerError(
            f"--box {box} can't be understood: give two corners I,J,K:I,J,K such as 10,20,3:60,70,9."
        )
    return ends


def _place(option: str, text: str) -> tuple[float, ...]:
    """Two or three numbers."""
    try:
        numbers = tuple(map(_number, text.split(",")))
    except ValueError:
        numbers = ()
    if len(numbers) not in (2, 3):
        raise BoltzFormerError(f"--{option} {text} can't be understood: give a place I,J,K such as 10,20,3.")
    return numbers


def _numbers(text: str | None) -> tuple[int, ...]:
    """Of the slices to learn from."""
    try:
        found = tuple(int(part) for part in (text or "").split(",") if part.strip())
        if not found or min(found) < 0:
            raise ValueError
    except ValueError:
        raise BoltzFormerError(
            f"--lesson-slices {text} can't be understood: give numbers of slices such as 12,30,47, counted from 0."
        ) from None
    return found


def series_number(series: str | None) -> int | str | None:
    """A place in the list of series, or an UID."""
    # Shorter than any UID's number that could be meant; and there are digits, such as ², that make no number.
    return int(series) if series is not None and series.isdecimal() and len(series) < 10 else series


def _number(text: str) -> float:
    """No place is at infinity, or nowhere."""
    number = float(text)
    if not isfinite(number):
        raise ValueError
    return number


def _range(text: str | None) -> tuple[int | None, int | None] | None:
    if text is None:
        return None
    parts = text.split(":")
    try:
        if len(parts) == 1:
            return int(text), int(text) + 1
        first, end = (int(part) if part.strip() else None for part in parts)
    except ValueError:
        raise BoltzFormerError(
            f"--slices {text} can't be understood: give A:B such as 10:20 (0-based, B is not included), or one number."
        ) from None
    return first, end
