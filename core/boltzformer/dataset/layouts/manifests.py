"""The manifest layout: a line per image and mask in `manifest.jsonl`, the groups that validate in `split.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.dataset.accepted import Mask
from boltzformer.dataset.case import Case, Lesson
from boltzformer.dataset.disk import as_json, new_folder
from boltzformer.dataset.identity import Split
from boltzformer.dataset.layouts.incoming import Incoming, complete
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError
from boltzformer.image.geometry import Array
from boltzformer.knowledge.manifest import Row, read_manifest, read_split
from boltzformer.types import Annotation

_KEPT = ("dataset", "source", "source_repo", "licence", "commercial_use", "anatomy", "crop")
"""What of a line is kept as the case's origin: nothing that could be a patient's number."""


def read_rows(manifest: Path) -> Iterator[Incoming]:
    """Image by image. What a manifest does not list for an image is unknown, not absent."""
    rows = read_manifest(manifest)
    beside = manifest.with_name("split.json")
    validation = read_split(beside) if beside.is_file() else None
    side: Split | None = None
    by_image: dict[Path, list[Row]] = {}
    for row in rows:
        by_image.setdefault(row.image, []).append(row)
    for image, mine in by_image.items():
        groups = {row.group for row in mine}
        if len(groups) > 1:
            raise DatasetError(f"{manifest} puts {image.name} into several groups: give all its lines one group_id.")
        if validation is not None:
            side = "validation" if mine[0].group in validation else "train"
        origin = {key: mine[0].notes[key] for key in _KEPT if mine[0].notes.get(key) is not None}
        yield Incoming(image.name, partial(_annotation, image, mine), mine[0].group, side, origin)


def _annotation(image: Path, rows: list[Row]) -> Annotation:
    read = io.read(image)
    volume = replace(read, modality=rows[0].modality or read.modality, name="")
    masks: dict[str, Mask] = {}
    texts: dict[str, list[str]] = {}
    for row in rows:
        found: Mask = np.zeros(volume.grid.shape, bool)
        if row.mask is not None:
            labels = io.read_labels(row.mask, grid=volume.grid)
            found = labels.mask(row.label) if row.label is not None else np.asarray((labels.layers > 0).any(axis=0))
        masks[row.target] = masks[row.target] | found if row.target in masks else found
        texts.setdefault(row.target, []).extend(row.prompts)
    return complete(volume, masks, {name: list(dict.fromkeys(several)) for name, several in texts.items()})


def write_manifest(dataset: Dataset, target: Path) -> int:
    """Every judged slice as an 8-bit picture in the window that the model sees, into a new folder; number of lines.

    A slice in which something is absent gets a line with `mask: null`; ignored labels get none.
    """
    if target.exists():
        raise DatasetError(f"{target} exists already: choose a new folder for the export.")
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = 0
    with new_folder(target.parent, target, private=False) as begun:
        (begun / "images").mkdir()
        (begun / "masks").mkdir()
        with (begun / "manifest.jsonl").open("w", encoding="utf-8") as file:
            for case in dataset.cases():
                for row in _rows(case, begun):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    lines += 1
        validation = sorted({case.group for case in dataset.cases() if case.split != "train"})
        rule = "as frozen in the annotation dataset; its test groups are among them"
        (begun / "split.json").write_bytes(as_json({"rule": rule, "validation_groups": validation}))
    return lines


def _rows(case: Case, folder: Path) -> Iterator[dict[str, Any]]:
    window = case.volume.window()
    for lesson in case.lessons:
        if not lesson.present and not lesson.absent:
            continue
        name = f"{case.id}_{lesson.index:04d}"
        _write_png(folder / "images" / f"{name}.png", window.apply(case.plane(case.volume.array, lesson.index)))
        for number, label in enumerate(case.states):
            if label in lesson.present:
                mask = case.plane(case.mask(label), lesson.index)
                path = f"masks/{name}__{number}.png"
                _write_png(folder / path, np.where(mask, np.uint8(255), np.uint8(0)))
                yield _row(case, lesson, label, f"images/{name}.png", path, float(mask.mean()))
            elif label in lesson.absent:
                yield _row(case, lesson, label, f"images/{name}.png", None, 0.0)


def _row(case: Case, lesson: Lesson, label: str, image: str, mask: str | None, area: float) -> dict[str, Any]:
    return {
        **case.origin,
        "image": image,
        "mask": mask,
        "modality": case.modality,
        "target": label,
        "prompts": case.texts(label),
        "area_fraction": area,
        "case_id": case.id,
        "group_id": case.group,
        "slice": lesson.index,
        "split": lesson.split,
    }


def _write_png(path: Path, plane: Array) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(plane)).save(path)
