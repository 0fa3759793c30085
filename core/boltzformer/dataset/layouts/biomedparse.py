"""BiomedParse's PNG and JSON: `train/`, `train_mask/` and `train.json`, of the second version (slices of volumes) and
the first; and a dataset written as the first, `test/IMG_MODALITY_SITE.png`, `test_mask/…_TARGET.png`, `test.json`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boltzformer import io
from boltzformer.dataset.accepted import Mask
from boltzformer.dataset.case import Case
from boltzformer.dataset.disk import as_json, new_folder, read_json
from boltzformer.dataset.identity import Split
from boltzformer.dataset.layouts.incoming import Incoming, complete, patient_in
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError
from boltzformer.image.geometry import Array, Grid
from boltzformer.types import Annotation, Volume

_SLICED = re.compile(r"(?P<stem>.+?)_(?P<number>\d{3,})")
_VIEW = re.compile(r"_view\d$")
_PARTS: tuple[tuple[str, Split | None], ...] = (("train", None), ("test", "test"))


def read_biomedparse(folder: Path, *, modality: str = "", pattern: str = "") -> Iterator[Incoming]:
    """All views of a `processed` folder, or one folder; neighbouring slices become one volume again."""
    roots = [folder, *sorted(folder.glob("processed*"))]
    found = [(root, part, split) for root in roots for part, split in _PARTS if (root / f"{part}.json").is_file()]
    if not found:
        raise DatasetError(f"{folder} holds no train.json: give the folder that has it beside train/ and train_mask/.")
    for root, part, split in found:
        about = read_json(root / f"{part}.json")
        rows = about.get("annotations")
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and isinstance(row.get("file_name"), str) and isinstance(row.get("mask_file"), str)
            for row in rows
        ):
            raise DatasetError(f"{root / part}.json lists no annotations with file_name and mask_file: mend it.")
        if "class_prompts" in about:
            yield from _slices(root, part, split, about, rows, modality, pattern)
        else:
            yield from _pictures(root, part, split, rows, modality, pattern)


def _slices(
    root: Path, part: str, split: Split | None, about: Mapping[str, Any], rows: list[Any], modality: str, pattern: str
) -> Iterator[Incoming]:
    """Version 2: label maps; a class that is not in a slice is absent there."""
    told = dict(about["class_prompts"])
    instances = bool(told.pop("instance_label", 0))
    texts = {int(value): [several] if isinstance(several, str) else list(several) for value, several in told.items()}
    if not texts or not all(texts.values()):
        raise DatasetError(f"{root / part}.json names no classes under class_prompts: add a text for each value.")
    by_stem: dict[str, dict[int, tuple[Path, Path]]] = {}
    for row in rows:
        named = _SLICED.fullmatch(Path(row["file_name"]).stem)
        stem, number = (named["stem"], int(named["number"])) if named else (Path(row["file_name"]).stem, 0)
        files = root / part / Path(row["file_name"]).name, root / f"{part}_mask" / Path(row["mask_file"]).name
        by_stem.setdefault(stem, {})[number] = files
    for stem, numbered in by_stem.items():
        run: list[tuple[Path, Path]] = []
        patient = patient_in(_VIEW.sub("", stem), pattern)
        for number in sorted(numbered):
            run.append(numbered[number])
            if number + 1 not in numbered:  # what is not in the files can't be between two slices of a volume
                yield Incoming(
                    f"{stem} up to {number}", partial(_stack, run, texts, instances, modality), patient, split
                )
                run = []


def _stack(
    files: list[tuple[Path, Path]], texts: Mapping[int, list[str]], instances: bool, modality: str
) -> Annotation:
    planes = [io.read(image).array[0] for image, _ in files]
    if len({plane.shape for plane in planes}) > 1:
        raise DatasetError(f"{files[0][0]} and the slices after it have different sizes: give each a stem of its own.")
    array = _unmixed(np.stack(planes))
    volume = Volume(array, Grid.pixels(array.shape[:3]), modality)
    labels = np.stack([_values(mask, plane.shape[:2]) for (_, mask), plane in zip(files, planes, strict=True)])
    if instances:  # each object has a number of its own, all are of the first class
        first = texts[min(texts)]
        return complete(volume, {first[0]: labels > 0}, {first[0]: first}, axis=0)
    masks: dict[str, Mask] = {several[0]: labels == value for value, several in texts.items()}
    return complete(volume, masks, {several[0]: several for several in texts.values()}, axis=0)


def _unmixed(planes: Array) -> Array:
    """(Z, Y, X) of pictures whose three colours are a slice, the one before and the one after; else unchanged.

    OpenCV wrote them, so others read them in reverse: after, before, slice. Several in a row prove it; a lone one with
    the number of a slice is taken for one.
    """
    if planes.ndim == 3:
        return planes
    if (planes == planes[..., :1]).all() or (planes[1:, ..., 1] == planes[:-1, ..., 2]).all():
        return planes[..., 2]
    return planes


def _values(path: Path, shape: tuple[int, ...]) -> Array:
    """A mask as it is stored: 255 is the number of an object here and not a way to say 'inside'."""
    array = io.read(path).array[0]
    if array.shape != shape:
        raise DatasetError(f"{path} has {array.shape[:2]} pixels and its image {shape}: both must have the same size.")
    return array


def _pictures(
    root: Path, part: str, split: Split | None, rows: list[Any], modality: str, pattern: str
) -> Iterator[Incoming]:
    """Version 1: IMAGE_MODALITY_SITE.png, its masks IMAGE_MODALITY_SITE_TARGET.png; what has no mask is unknown."""
    by_image: dict[str, dict[str, tuple[Path, list[str]]]] = {}
    for row in rows:
        image = Path(row["file_name"])
        target = Path(row["mask_file"]).stem.removeprefix(f"{image.stem}_").replace("+", " ")
        said = [str(one.get("sent") or one.get("raw")) for one in row.get("sentences", []) if isinstance(one, dict)]
        mask = root / f"{part}_mask" / Path(row["mask_file"]).name
        by_image.setdefault(image.name, {}).setdefault(target, (mask, []))[1].extend(said)
    for name, targets in by_image.items():
        words = Path(name).stem.split("_")
        kind = modality or (words[-2] if len(words) > 2 else "")
        patient = patient_in("_".join(words[:-2]) or Path(name).stem, pattern)
        yield Incoming(name, partial(_picture, root / part / name, targets, kind), patient, split)


def _picture(image: Path, targets: Mapping[str, tuple[Path, list[str]]], modality: str) -> Annotation:
    array = io.read(image).array
    volume = Volume(array, Grid.pixels(array.shape[:3]), modality)
    masks: dict[str, Mask] = {}
    for target, (path, _) in targets.items():
        found = _values(path, array.shape[1:3]) if io.read(path).array.ndim == 3 else io.read(path).array[0].max(-1)
        masks[target] = (found > 0)[np.newaxis]
    texts = {target: list(dict.fromkeys(said)) for target, (_, said) in targets.items()}
    return complete(volume, masks, texts)


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
