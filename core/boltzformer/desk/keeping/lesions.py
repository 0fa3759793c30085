"""The objects of all masks, measured, as a table shows them: size, place, slices, score; which are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.snapshot import unique_names
from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import counted
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.lesions import Finding, table, to_csv
from boltzformer.masks.objects import pieces
from boltzformer.types import LabelMap, Prompt, Volume

COLUMNS = ("In", "Object", "mL", "Longest, mm", "Slices", "Score")


@dataclass(frozen=True)
class Lesion:
    """One line of the table."""

    mask: str
    """Key of its mask."""
    finding: Finding
    voxel: tuple[int, int, int]
    """One of its own: slice, row and column in the viewer, in the slice where it is longest."""
    rows: tuple[int, ...]
    """Its slices in the viewer."""
    earlier: bool = False
    """Its score is of an earlier day."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns behind the tick."""
        finding = self.finding
        first, last = finding.first_slice, finding.last_slice
        return (
            f"{finding.name} {finding.number}",
            f"{finding.volume_mm3 / 1000:.3g}",
            f"{finding.longest_mm:.1f}",
            f"{first}" if first == last else f"{first}-{last}",
            self._score,
        )

    @property
    def _score(self) -> str:
        """The highest of its slices; "painted" where the model never looked."""
        score = self.finding.existence
        if math.isnan(score):
            return "painted"
        return f"{score:.2f} (earlier)" if self.earlier else f"{score:.2f}"


@dataclass(frozen=True)
class Measured:
    """What is needed to measure one mask beside the viewer."""

    key: str
    name: str
    rows: np.ndarray
    prompt: Prompt
    answers: Answers
    """As they were then."""

    @staticmethod
    def of(track: Track, name: str) -> Measured:
        return Measured(track.key, name, track.surface.copy(), track.prompt, track.kept.as_now())


def to_measure(image: OpenImage, tracks: Sequence[Track]) -> tuple[Volume, SlicePlan, list[Measured]]:
    """The masks as they are now, for `lesions_of` beside the viewer."""
    plan, names = image.plan, unique_names(tracks)
    return image.volume, plan, [Measured.of(*one) for one in zip(tracks, names, strict=True)]


def lesions_of(volume: Volume, plan: SlicePlan, masks: Sequence[Measured]) -> list[Lesion]:
    """All objects, also those that are excluded."""
    found: list[Lesion] = []
    for mask in masks:
        stored = np.ascontiguousarray(plan.view.undo(mask.rows > 0)).astype(np.uint8)
        rows = table(LabelMap(stored[None], volume.grid, {1: mask.name}), mask.answers.prediction(mask.prompt, plan))
        objects = plan.view.apply(pieces(stored))
        sizes = np.bincount(objects.ravel())
        free = set(range(1, len(sizes)))
        for row in rows:
            middle = plan.canonical_index(row.longest_slice)
            here = [one for one in np.unique(objects[middle]) if one in free and sizes[one] == row.voxels]
            chosen = here[0]
            if len(here) > 1:  # of one size: the one whose middle it is
                zyx = volume.grid.voxel(row.centroid_lps_mm)[::-1]
                whole = plan.view.undo(objects)
                chosen = min(here, key=lambda one: float(np.abs(np.argwhere(whole == one).mean(0) - zyx).max()))
            free.discard(chosen)
            y, x = np.argwhere(objects[middle] == chosen)[0].tolist()
            slices = tuple(plan.canonical_index(index) for index in range(row.first_slice, row.last_slice + 1))
            earlier = not any(one in mask.answers.rows for one in slices)
            found.append(Lesion(mask.key, _known(row, mask, slices), (middle, y, x), slices, earlier))
    return found


def included(one: Lesion, tracks: Mapping[str, Track]) -> bool:
    """Whether it counts; `tracks`: by key."""
    return one.mask in tracks and one.voxel not in tracks[one.mask].excluded


def csv_of(lesions: Sequence[Lesion], tracks: Mapping[str, Track]) -> str:
    """Of the objects that are not left out."""
    return to_csv([one.finding for one in lesions if included(one, tracks)])


def total(lesions: Sequence[Lesion], tracks: Mapping[str, Track]) -> str:
    """'3 objects, 1.2 mL, 1 left out of export'."""
    inside = [one.finding for one in lesions if included(one, tracks)]
    ml, out = sum(one.volume_mm3 for one in inside) / 1000, len(lesions) - len(inside)
    left = f", {out} left out of export" if out else ""
    return f"{counted(len(inside), 'object')}, {ml:.3g} mL{left}"


def _known(row: Finding, mask: Measured, slices: Sequence[int]) -> Finding:
    """With an earlier day's score; what no model has said of the object is not a number."""
    scores = [mask.answers.score(one) for one in slices if one in mask.answers.looked]
    whole = all(one in mask.answers.rows for one in slices)
    mean = row.mean_probability if whole else math.nan
    return replace(row, existence=max(scores, default=math.nan), mean_probability=mean)
