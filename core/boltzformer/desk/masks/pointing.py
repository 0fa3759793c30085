"""Where a person points or draws a box, as the engine wants it: places in the viewer become voxels of the stored
array."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import ViewerWords, counted, quoted
from boltzformer.errors import BoltzFormerError
from boltzformer.image.guidance import Guidance, Voxel, hint, lies_in, reaches_in
from boltzformer.image.region import Region
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import Volume

LEAST_SIDE, LEAST_ON_SCREEN = 2.0, 8.0
"""A box is at least so many voxels wide and high, and so many pixels of the screen: a mere click moves by less."""


@dataclass(frozen=True)
class Pointed:
    """One click, at (slice, row, column) or (row, column) in the viewer."""

    place: Sequence[float]
    here: bool
    """False: not here."""
    prompt: str
    """What it was said about."""


@dataclass(frozen=True)
class Pointing:
    """All that is pointed at on an image and can be seen; what is hidden says nothing."""

    points: tuple[Pointed, ...] = ()
    box: NDArray[np.float64] | None = None
    """Its ends (2, 2 or 3), as the viewer counts."""


def guidance_for(
    volume: Volume, prompts: Iterable[str], said: Pointing, in_hand: str | None = None
) -> tuple[Guidance, ...]:
    """What is said about each of the prompts that are asked. `in_hand`: the one that the box is about, as a click is:
    it would empty the slices of all others around it; None: about each."""
    boxed = {prompt: said.box if in_hand in (None, prompt) else None for prompt in prompts}
    every = (guidance_of(volume, prompt, said.points, box) for prompt, box in boxed.items())
    return tuple(one for one in every if one)


def strays(said: Pointing, prompts: Collection[str]) -> tuple[Pointed, ...]:
    """Points that are about none of these prompts: one was asked in other words since."""
    return tuple(one for one in said.points if one.prompt and one.prompt not in prompts)


def led_nobody(points: Iterable[Pointed], rows: Collection[int]) -> str:
    """' 2 points in sight are about 'liver', so they led nobody.', of those in slices that were looked at; '' for
    none."""
    here = [one for one in points if (floor(one.place[-3] + 0.5) if len(one.place) > 2 else 0) in rows]
    whose = quoted(list(dict.fromkeys(one.prompt for one in here)))
    are = ("is", "it") if len(here) == 1 else ("are", "they")
    return f" {counted(len(here), 'point')} in sight {are[0]} about {whose}, so {are[1]} led nobody." if here else ""


def heeded(how: Mapping[str, Any], prompts: Collection[str]) -> dict[str, Any]:
    """How it was asked, without what was said about prompts that are not asked now."""
    said = how.get("guidance") or ()
    left = tuple(one for one in said if one.prompt in ("", *prompts))
    return {**how, "guidance": left or None} if "guidance" in how else dict(how)


def led_by(
    guidance: Iterable[Guidance],
    plan: SlicePlan,
    looked: Collection[int],
    names: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """'led by 2 points and a box', of those that said something in slices that were looked at (stored numbers): a
    point outside of what was looked at has led nobody. `names`: of all prompts that were asked, by text, where a box
    must say which of them it led."""
    said = list(guidance)

    def heard(one: Guidance, first: float, last: float) -> bool:
        between = range(floor(first + 0.5), floor(last + 0.5) + 1)
        index = next((index for index in between if index in looked), None)
        return index is not None and bool(hint([one], plan, index, ""))

    def along(place: Sequence[float]) -> float:
        return place[2 - plan.axis]

    places = [place for one in said for place in (*one.here, *one.not_here)]
    points = sum(heard(Guidance((place,)), along(place), along(place)) for place in places)
    boxed = [one for one in said if one.box and heard(Guidance(box=one.box), *map(along, one.box))]
    boxes, led = {one.box for one in boxed}, {one.prompt for one in boxed}
    few = len(led) < len(names) and "" not in led
    whose = " for " + ", ".join(f"'{names[one]}'" for one in names if one in led) if few else ""
    words = [counted(points, "point")] if points else []
    words += [f"a box{whose}"] if len(boxes) == 1 else [f"{len(boxes)} boxes{whose}"] if boxes else []
    return f"led by {' and '.join(words)}" if words else ""


def guidance_of(volume: Volume, prompt: str, points: Iterable[Pointed], box: NDArray[np.float64] | None) -> Guidance:
    """What is said about one prompt; beside the image nothing is said. `box`: its ends (2, 2 or 3), as the viewer
    counts."""
    said: dict[bool, list[Voxel]] = {True: [], False: []}
    for one in points:
        if one.prompt == prompt and in_image(volume, one.place):
            said[one.here].append(_voxel(volume, one.place))
    corners = None if box is None or not box_in_image(volume, box) else _corners(volume, box)
    return Guidance(tuple(said[True]), tuple(said[False]), corners, prompt)


def in_image(volume: Volume, place: Sequence[float]) -> bool:
    """Whether a place (slice, row, column) or (row, column) in the viewer lies in a voxel."""
    return lies_in(_voxel(volume, place), volume.grid.shape[::-1])


def box_in_image(volume: Volume, box: NDArray[np.float64]) -> bool:
    """Whether anything of a box (its ends, as the viewer counts) lies in the image."""
    seen = [(0, n) for n in volume.grid.shape[::-1]]
    return reaches_in(_corners(volume, box), seen)


def _voxel(volume: Volume, place: Sequence[float]) -> Voxel:
    return stored_voxel(volume, (0.0, *place)[-3:])


def _corners(volume: Volume, box: NDArray[np.float64]) -> tuple[Voxel, Voxel]:
    first, last = np.array([_voxel(volume, end.tolist()) for end in box])
    return tuple(np.minimum(first, last).tolist()), tuple(np.maximum(first, last).tolist())


def stored_voxel(volume: Volume, canonical: Sequence[float]) -> tuple[float, float, float]:
    """A place (slice, row, column) in the viewer → i, j, k of the stored array."""
    view, zyx = volume.grid.canonical(volume.slice_axis), [0.0, 0.0, 0.0]
    for place, stored, flip in zip(canonical, view.order, view.flips, strict=True):
        zyx[stored] = volume.grid.shape[stored] - 1 - place if flip else place
    return zyx[2], zyx[1], zyx[0]


def region_of(volume: Volume, drawn: NDArray[np.float64]) -> Region:
    """A rectangle (2, 2 or 3), as the viewer counts, with all that lies behind and before it."""
    low, high = np.zeros((2, 3))
    low[-drawn.shape[1] :], high[-drawn.shape[1] :] = drawn
    view, shape = volume.grid.canonical(volume.slice_axis), volume.grid.shape
    along = int(np.argmin(high - low))
    if (np.delete(high - low, along) < 1).any():
        raise BoltzFormerError("The box is thinner than a voxel: draw a larger one.")
    low[along], high[along] = 0, shape[view.order[along]] - 1
    places = np.rint([stored_voxel(volume, end.tolist()) for end in (low, high)]).astype(int)
    first = np.maximum(places.min(axis=0), 0).tolist()
    last = np.minimum(places.max(axis=0), np.array(shape[::-1]) - 1).tolist()
    if any(a > b for a, b in zip(first, last, strict=True)):
        raise BoltzFormerError("The box lies outside of the image: draw it on the image.")
    return Region.of_voxels(volume.grid, (first[0], first[1], first[2]), (last[0], last[1], last[2]))


def region_in_sight(volume: Volume, said: Pointing, words: ViewerWords) -> Region:
    """The box that can be seen, to look closer in; a hidden one is none."""
    if said.box is None:
        raise BoltzFormerError(f"There is no box in sight to look closer in: {words.draw_box}")
    return region_of(volume, said.box)


def is_a_click(drawn: NDArray[np.float64], zoom: float) -> bool:
    """Whether a rectangle (2, 2 or 3) is so small that nobody meant one. `zoom`: screen pixels a voxel is wide."""
    sides = np.sort(drawn[1] - drawn[0])[-2:]  # across the slice it is flat
    return bool(sides[0] < LEAST_SIDE or sides[0] * zoom < LEAST_ON_SCREEN)


def in_box(track: Track) -> list[str]:
    """What a result row says of slices where not everything was looked at."""
    boxed, looked = track.kept.in_box_only, len(track.kept.rows)
    if boxed:
        return ["only in the box" if boxed == looked else f"{boxed} of them only in the box"]
    closer = sum(how.get("region") is not None for how in track.how.values())
    return [f"{closer} closer in the box"] if closer else []
