"""Layouts that know no unjudged slices: the CVPR 2025 challenges' `X.npz` (axial, 0…255) and ReXGroundingCT's folders.
Only labels on which somebody has a word in every slice go there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.dataset.accepted import Mask
from boltzformer.dataset.case import Case
from boltzformer.dataset.disk import as_json, new_folder
from boltzformer.dataset.identity import SPLITS
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError
from boltzformer.io.findings import write_findings
from boltzformer.io.npz import write_npz
from boltzformer.types import SliceState

_KNOWN = (SliceState.REVIEWED, SliceState.EMPTY)


def judged(dataset: Dataset) -> Iterator[tuple[Case, dict[str, Mask]]]:
    """Cases in gray with their masks by label, one after the other; refuses a dataset without any."""
    found = False
    for case in dataset.cases():
        if masks := _masks(case):
            found = True
            yield case, masks
    if not found:
        raise DatasetError(
            f"{dataset.path} has no gray volume with a label judged in all slices: there is nothing to export."
        )


def _masks(case: Case) -> dict[str, Mask]:
    """Of the labels that are judged everywhere, if any of them is anywhere."""
    names = [name for name, states in case.states.items() if all(one in _KNOWN for one in states)]
    masks = {name: case.mask(name) for name in names}
    return masks if any(mask.any() for mask in masks.values()) and case.volume.array.ndim == 3 else {}


_MOST = 255


def write_cvpr25(dataset: Dataset, target: Path) -> int:
    """Every case of which a label was judged in all slices, into a new folder; number of cases.

    What was judged in part has no place in these files: they know no unknown slices. Where labels overlap, the one with
    fewer voxels lies on top. `splits.json` holds the frozen split of the patients.
    """
    if target.exists():
        raise DatasetError(f"{target} exists already: choose a new folder for the export.")
    target.parent.mkdir(parents=True, exist_ok=True)
    sides: dict[str, list[str]] = {split: [] for split in SPLITS}
    with new_folder(target.parent, target) as begun:
        for case, masks in judged(dataset):
            write_npz(begun / f"{case.id}.npz", **_content(case, masks))
            sides[case.split].append(case.id)
        (begun / "splits.json").write_bytes(as_json(sides))
    return sum(map(len, sides.values()))


def _content(case: Case, masks: dict[str, Mask]) -> dict[str, Any]:
    grid = case.grid
    view = grid.canonical(grid.axis_of("axial"))
    if len(masks) > _MOST:
        raise DatasetError(f"{case.id} has {len(masks)} labels: files of this layout hold {_MOST}.")
    gts: NDArray[np.uint8] = np.zeros(grid.shape, np.uint8)
    numbers = {name: number for number, name in enumerate(masks, 1)}
    for name in sorted(masks, key=lambda one: -int(np.count_nonzero(masks[one]))):
        gts[masks[name]] = numbers[name]
    window = case.volume.window()
    imgs = np.stack([window.apply(plane) for plane in view.apply(case.volume.array)])
    gts = np.ascontiguousarray(view.apply(gts))
    spacing = [grid.spacing_mm[2 - stored] for stored in view.order[::-1]]  # x, y, z of the axial view
    texts = {str(number): list(case.texts(name)) for name, number in numbers.items()}
    return {
        "imgs": imgs,
        "gts": gts,
        "spacing": np.array(spacing),
        "text_prompts": {**texts, "instance_label": 0},
        "boxes": [_box(gts == label) for label in np.unique(gts)[np.unique(gts) > 0]],
    }


def _box(mask: Mask) -> dict[str, int]:
    """Of an object: its slices, and its extent in the one that halves its voxels. Both ends belong to it."""
    z, _, _ = np.nonzero(mask)
    middle = int(z[len(z) // 2])
    y, x = np.nonzero(mask[middle])
    return {
        "z_min": int(z.min()),
        "z_max": int(z.max()),
        "z_mid": middle,
        "z_mid_x_min": int(x.min()),
        "z_mid_y_min": int(y.min()),
        "z_mid_x_max": int(x.max()),
        "z_mid_y_max": int(y.max()),
    }


_PARTS = {"train": "train", "validation": "val", "test": "test"}


def write_rex(dataset: Dataset, target: Path) -> int:
    """Every case of which a label was judged in all slices; its labels are the findings, as they are usually called."""
    if target.exists():
        raise DatasetError(f"{target} exists already: choose a new folder for the export.")
    target.parent.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[dict[str, Any]]] = {part: [] for part in _PARTS.values()}
    with new_folder(target.parent, target) as begun:
        for folder in ("images", "segmentations"):
            (begun / folder).mkdir()
        for case, masks in judged(dataset):
            name, there = f"{case.id}.nii.gz", {label: mask for label, mask in masks.items() if mask.any()}
            io.write_volume(replace(case.volume, source=""), begun / "images" / name)
            write_findings(begun / "segmentations" / name, np.stack(list(there.values())).astype(np.uint8), case.grid)
            entry = {
                "name": name,
                "findings": {str(number): case.texts(label)[0] for number, label in enumerate(there)},
                "shape": list(case.grid.shape[::-1]),
                "pixels": {str(number): int(np.count_nonzero(mask)) for number, mask in enumerate(there.values())},
            }
            parts[_PARTS[case.split]].append(entry)
        (begun / "dataset.json").write_bytes(as_json(parts))
    return sum(map(len, parts.values()))
