"""The lesion table: every object of a segmentation with its size, place and how sure the model is of it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.geometry import Array
from boltzformer.masks.objects import Pieces, centre_lps, pieces, voxel_mm3
from boltzformer.masks.postprocess import sigmoid
from boltzformer.types import LabelMap, Prediction


@dataclass(frozen=True)
class Finding:
    """One object of one label."""

    label: int
    name: str
    number: int
    """Within the label; 1 is the largest."""
    voxels: int
    volume_mm3: float
    longest_mm: float
    """The longest diameter within one slice, outer edge to outer edge, as a ruler is laid (RECIST's long axis)."""
    longest_slice: int
    first_slice: int
    """Stored indices along the slice axis."""
    last_slice: int
    centroid_lps_mm: tuple[float, float, float]
    mean_probability: float
    """Of its voxels, before the threshold; not a number where no model has looked."""
    existence: float
    """The highest among its slices; not a number where no model has looked."""


def table(labels: LabelMap, prediction: Prediction, edges: LabelMap | None = None) -> list[Finding]:
    """The objects of exported masks; label p + 1 belongs to prompt p. `edges` part objects that touch."""
    rows: list[Finding] = []
    for label in labels.names:
        found = pieces(labels.mask(label), None if edges is None else edges.mask(label))
        rows += [row for row, _ in measured(found, label, labels.names[label], prediction)]
    return rows


def measured(found: Pieces, label: int, name: str, prediction: Prediction) -> list[tuple[Finding, int]]:
    """The objects of one label, numbered, the largest first, each with its number among the pieces."""
    from scipy.ndimage import find_objects

    sums, best = _along_slices(found, label - 1, prediction)
    boxes = find_objects(found)
    mine = [
        (_measured(found, one, box, label, name, prediction, sums[one], best[one]), one)
        for one, box in enumerate(boxes, 1)
    ]
    mine.sort(key=lambda row: (-row[0].voxels, row[0].centroid_lps_mm))  # as `objects.in_order` has it
    return [(Finding(**{**vars(row), "number": number}), one) for number, (row, one) in enumerate(mine, 1)]


def edges_of(prediction: Prediction) -> LabelMap | None:
    """The outlines that the model drew, where it draws any: label p + 1 belongs to prompt p."""
    if not prediction.slices or any(one.edges is None for one in prediction.slices):
        return None
    layers = [
        prediction.plan.masks([(s.index, s.edges[p]) for s in prediction.slices if s.edges is not None])
        * np.uint8(p + 1)
        for p in range(len(prediction.prompts))
    ]
    names = {p + 1: prompt.name for p, prompt in enumerate(prediction.prompts)}
    return LabelMap(np.stack(layers), prediction.grid, names)


def to_csv(rows: Sequence[Finding]) -> str:
    """One line per object, below a line of names."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = [name for name in Finding.__dataclass_fields__ if name != "centroid_lps_mm"]
    writer.writerow([*names, "centroid_x_lps_mm", "centroid_y_lps_mm", "centroid_z_lps_mm"])
    for row in rows:
        writer.writerow([_short(getattr(row, name)) for name in names] + [_short(mm) for mm in row.centroid_lps_mm])
    return text.getvalue()


def to_facts(rows: Sequence[Finding]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(row) for row in rows]


def longest_in_plane(mask: Array, steps: NDArray[np.float64]) -> float:
    """The longest distance between two points of a (rows, columns) mask, in mm; (2, 3) steps of a row and a column.

    Points are the middles of the pixels' outer sides, so one pixel of 1 mm is 1 mm across.
    """
    from scipy.spatial import ConvexHull

    rows, columns = np.nonzero(mask)
    sides = np.array([(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)])
    points = (np.stack([rows, columns], 1)[:, None] + sides).reshape(-1, 2)  # (4n, 2), never all on one line
    hull = points[ConvexHull(points).vertices] @ steps
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=2).max())


def _measured(
    found: Array,
    one: int,
    box: tuple[slice, ...],
    label: int,
    name: str,
    prediction: Prediction,
    probability: float,
    existence: float,
) -> Finding:
    grid, axis = prediction.grid, prediction.plan.axis
    mask = found[box] == one
    voxels = np.argwhere(mask) + [part.start for part in box]  # (n, 3) as z, y, x
    steps = np.delete(np.array(grid.axes).T[::-1], axis, axis=0)  # (2, 3) mm of the two axes within a slice
    first, last = int(voxels[:, axis].min()), int(voxels[:, axis].max())
    inside = np.moveaxis(mask, axis, 0)
    lengths = [longest_in_plane(plane, steps) if plane.any() else 0.0 for plane in inside]
    return Finding(
        label=label,
        name=name,
        number=0,
        voxels=len(voxels),
        volume_mm3=len(voxels) * voxel_mm3(grid),
        longest_mm=max(lengths),
        longest_slice=first + int(np.argmax(lengths)),
        first_slice=first,
        last_slice=last,
        centroid_lps_mm=centre_lps(voxels, grid),
        mean_probability=probability / len(voxels),
        existence=existence,
    )


def _along_slices(found: Array, prompt: int, prediction: Prediction) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per object: the sum of its voxels' probabilities, and its highest existence."""
    plan, count = prediction.plan, int(found.max(initial=0)) + 1
    sums, best = np.zeros(count), np.zeros(count)
    seen = plan.view.apply(found)
    for result in prediction.slices:
        here = seen[plan.canonical_index(result.index)]
        if here.any():
            probability = sigmoid(plan.expand(result.plane(prompt)))
            sums += np.bincount(here.ravel(), probability.ravel(), count)
            present = np.unique(here)
            best[present] = np.maximum(best[present], result.existence[prompt])
    return sums, best


def _short(value: object) -> object:
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return round(value, 4) if abs(value) >= 1 else float(f"{value:.4g}")  # of a cell a mm³ is a millionth
    return value
