"""A dataset as BiomedParse's first layout: `test/IMG_MODALITY_SITE.png`, `test_mask/…_TARGET.png`, `test.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boltzformer.dataset.case import Case
from boltzformer.dataset.disk import as_json, new_folder
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError
from boltzformer.image.geometry import Array

_ANYWHERE = "body"
"""The site of images of which nobody noted one."""


def write_biomedparse(dataset: Dataset, target: Path) -> int:
    """Every accepted mask of every slice, as pictures in the window that the model sees; number of masks.

    Patients of the train side lie in `train`, all others in `test`. The layout has no word for what is absent.
    """
    if target.exists():
        raise DatasetError(f"{target} exists already: choose a new folder for the export.")
    target.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    with new_folder(target.parent, target) as begun:
        for part in rows:
            (begun / part).mkdir()
            (begun / f"{part}_mask").mkdir()
        for case in dataset.cases():
            part = "train" if case.split == "train" else "test"
            rows[part] += _written(case, begun / part, begun / f"{part}_mask")
        count = sum(map(len, rows.values()))
        if not count:
            raise DatasetError(f"{dataset.path} has no accepted mask: there is nothing to export.")
        for part, annotations in rows.items():
            (begun / f"{part}.json").write_bytes(as_json({"annotations": annotations}))
    return count


def _written(case: Case, images: Path, masks: Path) -> Iterator[dict[str, Any]]:
    window = case.volume.window()
    site, modality = _word(str(case.origin.get("anatomy") or _ANYWHERE)), _word(case.modality or "image")
    for lesson in case.lessons:
        if not lesson.present:
            continue
        stem = f"{_word(case.id)}-{lesson.index:04d}_{modality}_{site}"
        _save(images / f"{stem}.png", window.apply(case.plane(case.volume.array, lesson.index)))
        for label in lesson.present:
            name = f"{stem}_{_word(label)}.png"
            mask = case.plane(case.mask(label), lesson.index)
            _save(masks / name, np.where(mask, np.uint8(255), np.uint8(0)))
            prompt = f"{label} in {site.replace('+', ' ')} {modality.replace('+', ' ')}"
            yield {"file_name": f"{stem}.png", "mask_file": name, "sentences": [{"raw": prompt, "sent": prompt}]}


def _word(text: str) -> str:
    """For a file's name, where '_' parts the words and '+' stands for a blank."""
    return "".join("+" if one in " _" else one for one in text if one not in '/\\:*?"<>|')


def _save(path: Path, plane: Array) -> None:
    Image.fromarray(np.ascontiguousarray(plane)).save(path)
