"""ReXGroundingCT's layout: `images/X.nii.gz`, `segmentations/X.nii.gz` (findings first), `dataset.json`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.dataset.disk import as_json, new_folder
from boltzformer.dataset.layouts.judged import judged
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError
from boltzformer.io.findings import write_findings

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
