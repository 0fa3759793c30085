"""The objects of all masks, measured, as a table shows them: size, place, slices, score; which are left out. Of a
picture: area, count and density."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.snapshot import unique_names
from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.beginning import is_from_elsewhere
from boltzformer.desk.masks.left_out import cores
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.whole import Whole, whole_of
from boltzformer.desk.scale import Scale
from boltzformer.desk.words import counted
from boltzformer.errors import BoltzFormerError
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.lesions import Finding, measured, to_csv
from boltzformer.masks.objects import pieces
from boltzformer.types import Prompt, Volume


def table_name(image: OpenImage | None) -> str:
    """What lies in a picture is rarely a lesion, and what is measured in µm never."""
    try:
        objects = image is not None and (image.is_picture or image.scale.length_unit == "µm")
        return "Object table" if objects else "Lesion table"
    except BoltzFormerError:  # running says why
        return "Lesion table"


def columns(scale: Scale) -> tuple[str, ...]:
    """Of the table; the first holds a tick."""
    if scale.flat:
        return "In", "Object", f"Area, {scale.size_unit}", f"Longest, {scale.length_unit}", "Score"
    size = "mL" if scale.size_unit == "mm³" else scale.size_unit
    return "In", "Object", size, f"Longest, {scale.length_unit}", "Slices", "Score"


LONGEST = "The longest line within one slice"
"""What the column of that name holds."""


@dataclass(frozen=True)
class Lesion:
    """One line of the table."""

    mask: str
    """Key of its mask."""
    finding: Finding
    voxel: tuple[int, int, int]
    """One of its own: slice, row and column in the viewer, in the slice where it is longest; of those there, the last
    that goes where the outline is drawn closer."""
    rows: tuple[int, ...]
    """Its slices in the viewer."""
    scale: Scale
    middle: tuple[float, float, float]
    """i, j, k of the stored array."""
    earlier: bool = False
    """Its score is of an earlier day."""
    elsewhere: bool = False
    """It is of a mask that was made elsewhere."""
    marks: frozenset[tuple[int, ...]] = frozenset()
    """Voxels by which it was left out when it was measured."""
    core: frozenset[tuple[int, ...]] = frozenset()
    """Such a voxel in each of its slices: some slices go before others."""

    @property
    def voxels(self) -> frozenset[tuple[int, ...]]:
        """By which it is left out, and counts again."""
        return self.marks | self.core | {self.voxel}

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns behind the tick."""
        finding, scale = self.finding, self.scale
        first, last = finding.first_slice, finding.last_slice
        size = finding.volume_mm3 / 1000 if scale.size_unit == "mm³" else scale.size(finding.voxels)
        slices = () if scale.flat else (f"{first}" if first == last else f"{first}-{last}",)
        return (
            f"{finding.name} {finding.number}",
            f"{size:.3g}" if size < 1000 else f"{size:,.0f}",
            f"{scale.length(finding.longest_mm):.1f}",
            *slices,
            self._score,
        )

    @property
    def keys(self) -> tuple[Any, ...]:
        """By what each of these columns is sorted: numbers as numbers; what has no score comes before all that have."""
        finding = self.finding
        slices = () if self.scale.flat else ((finding.first_slice, finding.last_slice),)
        score = -1.0 if math.isnan(finding.existence) else finding.existence
        return (finding.name, finding.number), finding.voxels, finding.longest_mm, *slices, score

    @property
    def _score(self) -> str:
        """The highest of its slices; "painted" where the model never looked, nothing where it saw another mask."""
        score = self.finding.existence
        if math.isnan(score):
            return "" if self.elsewhere else "painted"
        return f"{score:.2f} (earlier)" if self.earlier else f"{score:.2f}"


@dataclass(frozen=True)
class Measured:
    """What is needed to measure one mask beside the viewer."""

    key: str
    name: str
    whole: Callable[[], Whole]
    """Copied; what is too small goes when it is measured."""
    prompt: Prompt
    answers: Answers
    """As they were then."""
    excluded: frozenset[tuple[int, ...]] = frozenset()
    elsewhere: frozenset[int] = frozenset()
    """Rows that were made elsewhere, whose scores are of another mask."""

    @staticmethod
    def of(track: Track, name: str) -> Measured:
        known = track.prompt, track.kept.as_now(), frozenset(track.excluded)
        elsewhere = frozenset(row for row in track.whose.elsewhere if is_from_elsewhere(track, row))
        return Measured(track.key, name, whole_of(track), *known, elsewhere)


def to_measure(image: OpenImage, tracks: Sequence[Track]) -> tuple[Volume, SlicePlan, list[Measured]]:
    """The masks as they are now, for `lesions_of` beside the viewer."""
    plan, names = image.plan, unique_names(tracks)
    return image.volume, plan, [Measured.of(*one) for one in zip(tracks, names, strict=True)]


def lesions_of(volume: Volume, plan: SlicePlan, masks: Sequence[Measured]) -> list[Lesion]:
    """All objects that are large enough, also those that are excluded."""
    found: list[Lesion] = []
    scale = Scale.of(volume)
    for mask in masks:
        parts = pieces(np.ascontiguousarray(plan.view.undo(mask.whole().remaining())))
        rows = measured(parts, 1, mask.name, mask.answers.prediction(mask.prompt, plan))
        objects = plan.view.apply(parts)
        core = cores(objects, partial(_sure, mask.answers))
        for row, one in rows:
            middle = plan.canonical_index(row.longest_slice)
            _, y, x = next(place for place in core[one] if place[0] == middle)
            slices = tuple(plan.canonical_index(index) for index in range(row.first_slice, row.last_slice + 1))
            earlier = not any(slice_ in mask.answers.rows for slice_ in slices)
            i, j, k = volume.grid.voxel(row.centroid_lps_mm).tolist()
            voxel, known = (middle, y, x), _known(row, mask, slices)
            marks = frozenset(place for place in mask.excluded if objects[place] == one)
            elsewhere = not mask.elsewhere.isdisjoint(slices)
            own = marks, frozenset(core[one])
            found.append(Lesion(mask.key, known, voxel, slices, scale, (i, j, k), earlier, elsewhere, *own))
    return found


def _sure(answers: Answers, row: int) -> NDArray[np.float32] | None:
    kept = answers.of(row)
    return None if kept is None else kept.logits()


def standing(tracks: Collection[Track]) -> dict[str, int]:
    """How masks stand, by key: where it is another later, they hold other voxels, and their objects are to be measured
    again. What a person says of a slice changes nothing of it."""
    return {track.key: track.sums.changes for track in tracks if track.sums.changes}


def included(one: Lesion, tracks: Mapping[str, Track]) -> bool:
    """Whether it counts; `tracks`: by key."""
    return one.mask in tracks and tracks[one.mask].excluded.isdisjoint(one.voxels)


def csv_of(lesions: Sequence[Lesion], tracks: Mapping[str, Track]) -> str:
    """Of the objects that are not left out."""
    inside = [one for one in lesions if included(one, tracks)]
    if inside and inside[0].scale.size_unit != "mm³":
        return _in_its_units(inside)
    return to_csv([one.finding for one in inside])


def total(lesions: Sequence[Lesion], tracks: Mapping[str, Track]) -> str:
    """'3 objects, 1.2 mL, 1 left out'; of several masks a line each, for nobody adds up liver and spleen;
    of a picture with how densely they lie."""
    several = len({one.mask for one in lesions}) > 1
    lines = []
    for key, track in tracks.items():
        of = [one for one in lesions if one.mask == key]
        if of:
            scale = of[0].scale
            name = f"{of[0].finding.name}: " if several or scale.flat else ""
            lines.append(name + _total(of, [one for one in of if included(one, tracks)], track))
    return "\n".join(lines) or counted(0, "object")


def _total(lesions: Sequence[Lesion], inside: Sequence[Lesion], track: Track) -> str:
    """Of one mask."""
    told, scale = [counted(len(inside), "object")], lesions[0].scale
    if inside:
        told.append(_amount(inside))
        if scale.flat:
            told.append(scale.density(len(inside), track.shape[1] * track.shape[2]))
    if out := len(lesions) - len(inside):
        told.append(f"{out} left out")
    return ", ".join(told)


def _amount(lesions: Sequence[Lesion]) -> str:
    return lesions[0].scale.amount(sum(one.finding.voxels for one in lesions))


def _in_its_units(lesions: Sequence[Lesion]) -> str:
    """The objects of a picture, or of a volume that is not measured in mm, one per line: places in pixels, sizes as the
    table shows them."""
    text, scale = io.StringIO(newline=""), lesions[0].scale
    writer = csv.writer(text, lineterminator="\n")
    unit = {"px": "px", "µm": "um", "mm": "mm"}[scale.length_unit]
    size = f"area_{unit}2" if scale.flat else f"volume_{unit}3"
    sizes = ("area_px" if scale.flat else "voxels", *(() if unit == "px" else (size,)))
    slices = () if scale.flat else ("longest_slice", "first_slice", "last_slice")
    places = ("x_px", "y_px") if scale.flat else ("x_px", "y_px", "z_px")
    writer.writerow(["name", "number", *sizes, f"longest_{unit}", *slices, *places, "mean_probability", "score"])
    for one in lesions:
        row, known = one.finding, () if unit == "px" else (scale.size(one.finding.voxels),)
        among = [getattr(row, name) for name in slices]
        measures = (*known, scale.length(row.longest_mm)), one.middle[: len(places)]
        said = row.mean_probability, row.existence
        first, middle, last = ([_told(number) for number in numbers] for numbers in (*measures, said))
        writer.writerow([row.name, row.number, row.voxels, *first, *among, *middle, *last])
    return text.getvalue()


def _told(number: float) -> float | str:
    return "" if math.isnan(number) else round(number, 4)


def _known(row: Finding, mask: Measured, slices: Sequence[int]) -> Finding:
    """With an earlier day's score; what no model has said of the object is not a number."""
    own = [one for one in slices if one not in mask.elsewhere]
    scores = [mask.answers.score(one) for one in own if one in mask.answers.looked]
    whole = len(own) == len(slices) and all(one in mask.answers.rows for one in own)
    mean = row.mean_probability if whole else math.nan
    return replace(row, existence=max(scores, default=math.nan), mean_probability=mean)
