"""What a fine-tuning learns from: pictures of a manifest or of an annotation dataset, split by patient, once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boltzformer import io
from boltzformer.dataset import Case, Dataset
from boltzformer.dataset.held_back import ENOUGH_GROUPS, held_back
from boltzformer.errors import BoltzFormerError, DatasetError
from boltzformer.image.geometry import Array
from boltzformer.knowledge.manifest import SPLIT, Row, read_manifest, read_split
from boltzformer.learn.corpus import Picture, mask_of

UNTOLD = (
    "Nothing that is taught is shown by a patient who was held back: the new model can't be compared with its parent "
    "on it, so it is never promoted by itself."
)


@dataclass(frozen=True)
class Lessons:
    """Everything that was accepted, ready to be drawn from. A mask without a pixel says: it is not here."""

    train: tuple[Picture, ...]
    validation: tuple[Picture, ...]
    rows: tuple[Row, ...]
    """Of the training part, for the card: counts, licences and phrasings."""
    everything: tuple[Row, ...]
    held_back: tuple[str, ...]
    """The groups that validate: frozen when a run begins."""
    data: str
    """Hash of all of it."""

    @property
    def targets(self) -> dict[str, tuple[str, ...]]:
        """Target → phrasings, the usual one first; of what is present somewhere in training."""
        found: dict[str, dict[str, None]] = {}
        for picture in self.train:
            for target, mask in picture.masks.items():
                if bool(mask.any()):
                    found.setdefault(target, {}).update(dict.fromkeys(picture.prompts[target]))
        return {target: tuple(found[target]) for target in sorted(found)}

    def warnings(self) -> tuple[str, ...]:
        """What the data is too small for, in sentences."""
        groups = {picture.group for picture in (*self.train, *self.validation)}
        if self.validation:
            masks = (mask for one in self.validation for name, mask in one.masks.items() if name in self.targets)
            return () if any(bool(mask.any()) for mask in masks) else (UNTOLD,)
        few = f"{len(groups)} patient{'s' if len(groups) > 1 else ''}"
        return (
            f"Nothing could be held back from {few}: the new model can't be compared with its parent on what it was "
            f"taught, so it is never promoted by itself; {ENOUGH_GROUPS} patients are needed for that.",
        )


def read_lessons(
    source: Path,
    *,
    split: Path | None = None,
    targets: Sequence[str] = (),
    neighbours: bool = False,
    frozen: Sequence[str] | None = None,
) -> Lessons:
    """From a manifest (.jsonl) or the folder of an annotation dataset. `frozen` are the groups that validate."""
    if not source.exists():
        raise BoltzFormerError(
            f"{source} is not there: give the folder of a dataset (`boltzformer dataset add` makes one) or a manifest."
        )
    if source.is_dir():
        pairs, drawn, data = _of_dataset(Dataset(source), neighbours)
    else:
        rows = read_manifest(source)
        pairs, drawn = _of_rows(rows), frozenset[str]()
        data = _fingerprint(rows)
        beside = source.with_name(SPLIT) if split is None else split
        if split is not None or beside.is_file():
            drawn = frozenset(row.group for row in rows) & read_split(beside)
    if targets:
        pairs = _only(pairs, targets, source)
    if not pairs:
        raise BoltzFormerError(f"{source} holds no reviewed slice: accept at least one before you fine-tune.")
    everything = tuple(row for _, rows in pairs for row in rows)
    groups = {picture.group for picture, _ in pairs}
    if frozen is not None:
        held = frozenset(frozen)
    elif split is not None:
        held = drawn
    else:
        held = held_back(groups, drawn)
    train = tuple((picture, rows) for picture, rows in pairs if picture.group not in held)
    if not any(bool(mask.any()) for picture, _ in train for mask in picture.masks.values()):
        raise BoltzFormerError(
            f"{source} has no mask to train on outside of the validation groups: accept at least one slice with an "
            "object, or choose another split."
        )
    return Lessons(
        tuple(picture for picture, _ in train),
        tuple(picture for picture, _ in pairs if picture.group in held),
        tuple(row for _, rows in train for row in rows),
        everything,
        tuple(sorted(held & groups)),
        data,
    )


Pair = tuple[Picture, list[Row]]


def _of_rows(rows: Sequence[Row]) -> list[Pair]:
    for row in rows:
        for path in (row.image, row.mask):
            if path is not None and not path.exists():
                raise BoltzFormerError(
                    f"Row {row.number} of the manifest names {path}, which is not there: "
                    "paths are relative to the manifest's folder."
                )
    by_image: dict[Path, list[Row]] = {}
    for row in rows:
        if not row.centred:
            by_image.setdefault(row.image, []).append(row)
    return [(_picture(image, mine), mine) for image, mine in by_image.items()]


def _picture(image: Path, rows: list[Row]) -> Picture:
    volume = io.read(image)
    if volume.array.shape[0] != 1:
        raise BoltzFormerError(
            f"{image} is a volume: bring it into a dataset first, with `boltzformer dataset import`."
        )
    plane = volume.window().apply(volume.array)[0]
    masks = {
        row.target: torch.zeros(plane.shape[:2], dtype=torch.uint8)
        if row.mask is None
        else mask_of(row, plane.shape[:2])
        for row in rows
    }
    first = rows[0]
    prompts = {row.target: row.prompts for row in rows}
    return make_picture(plane, masks, prompts, first.group, first.modality, first.anatomy, first.source)


def _of_dataset(dataset: Dataset, neighbours: bool) -> tuple[list[Pair], frozenset[str], str]:
    pairs: list[Pair] = []
    held: set[str] = set()
    for case in dataset.cases():
        if case.split == "test":  # nobody learns from it, and nobody chooses by it
            continue
        if case.split == "validation":
            held.add(case.group)
        pairs.extend(_of_case(case, neighbours))
    return pairs, frozenset(held), dataset.fingerprint()


def _of_case(case: Case, neighbours: bool) -> Iterable[Pair]:
    lessons = [lesson for lesson in case.lessons if lesson.present or lesson.absent]
    if not lessons:
        return
    window, count = case.volume.window(), case.grid.shape[case.axis]

    def shown(index: int) -> Array:
        return window.apply(case.plane(case.volume.array, index))

    for lesson in lessons:
        plane = shown(lesson.index)
        if neighbours and plane.ndim == 2 and count > 1:
            before, after = lesson.index - 1, lesson.index + 1
            sides = (after if before < 0 else before, before if after >= count else after)
            plane = np.stack([plane, *map(shown, sides)], -1)
        masks = {
            label: torch.from_numpy(np.ascontiguousarray(case.plane(case.mask(label), lesson.index)).astype(np.uint8))
            for label in (*lesson.present, *lesson.absent)
        }
        prompts = {label: case.texts(label) for label in masks}
        anatomy = str(case.origin.get("anatomy") or "")
        picture = make_picture(plane, masks, prompts, case.group, case.modality, anatomy, "annotations")
        yield (
            picture,
            [
                Row(
                    number=lesson.index,
                    image=Path(case.id),
                    mask=None,
                    label=None,
                    target=label,
                    prompts=prompts[label],
                    group=case.group,
                    modality=case.modality,
                    source="annotations",
                    notes={"dataset": case.origin.get("dataset", "own annotations"), "licence": "not passed on"},
                )
                for label in masks
            ],
        )


def make_picture(
    plane: Array,
    masks: dict[str, Tensor],
    prompts: dict[str, tuple[str, ...]],
    group: str,
    modality: str,
    anatomy: str,
    source: str,
) -> Picture:
    """From an 8-bit plane (H, W) or (H, W, 3)."""
    colours = plane if plane.ndim == 3 else plane[..., None]
    pixels = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)).astype(np.uint8))
    half = torch.nn.functional.avg_pool2d(pixels[None].float(), 2, ceil_mode=True)[0].round().to(torch.uint8)
    return Picture(pixels, half, masks, prompts, group, modality, anatomy, source, False)


def _only(pairs: list[Pair], targets: Sequence[str], source: Path) -> list[Pair]:
    known = {target for picture, _ in pairs for target in picture.masks}
    strange = sorted(set(targets) - known)
    if strange:
        raise DatasetError(f"{source} has no target '{strange[0]}': it has {', '.join(sorted(known))}.")
    return [
        (
            replace(picture, masks={name: mask for name, mask in picture.masks.items() if name in targets}),
            [row for row in rows if row.target in targets],
        )
        for picture, rows in pairs
        if set(picture.masks) & set(targets)
    ]


def _fingerprint(rows: Sequence[Row]) -> str:
    found = hashlib.sha256()
    for row in rows:
        files = [hashlib.sha256(one.read_bytes()).hexdigest() for one in (row.image, row.mask) if one and one.is_file()]
        found.update(json.dumps([row.target, row.prompts, row.group, *files]).encode())
    return found.hexdigest()


def read_pictures(manifest: Path) -> tuple[Picture, ...]:
    """All pictures of a manifest, without a split."""
    return pictures_of(read_manifest(manifest))


def pictures_of(rows: Sequence[Row]) -> tuple[Picture, ...]:
    """One per image, with the masks of all its rows."""
    return tuple(picture for picture, _ in _of_rows(rows))
