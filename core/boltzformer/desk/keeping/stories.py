"""Files that are masks: what lies beside exported ones as STEM.provenance.json, and how masks are told apart from
images."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.desk.keeping.foreign import Read, labels_of, lies_as_labels
from boltzformer.desk.keeping.masks_among import is_named_after
from boltzformer.errors import BoltzFormerError, GeometryError
from boltzformer.image.geometry import Grid
from boltzformer.io.cases import is_dicom, slugs
from boltzformer.io.results import EARLIER, FILES, MAPS, NUMBERS, STORY
from boltzformer.types import LabelMap, Prompt, Volume


def story_path(masks: Path) -> Path:
    """Where an export to this name says how it was made."""
    return masks.with_name(io.split_name(masks)[0] + STORY)


def told_in(file: Path) -> dict[str, Any] | None:
    """A story that we wrote: from the viewer or the command line."""
    try:
        told = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("masks"), dict) else None


def written_before(masks: Path) -> frozenset[Path]:
    """Files that earlier exports of this stem wrote, and their story: these are ours to replace."""
    story = story_path(masks)
    told = told_in(story)
    if told is None:
        return frozenset()
    names = {name for one in _all(told) for key in (FILES, MAPS, NUMBERS, "files") for name in one.get(key, ())}
    return frozenset({story, *(masks.with_name(name) for name in names if Path(name).name == name)})


def with_files(made: Mapping[str, Any], labels: LabelMap, masks: Path) -> dict[str, Any]:
    """A story for `io.write` that names its files; what it still tells of other files that lie there is kept."""
    files = io.targets(labels, masks)
    named = {
        # alone in its file, a label is 1
        file.name: {str(label if file == masks else 1): labels.names[label] for label in holds}
        for file, holds in files.items()
    }
    before = told_in(story_path(masks))
    earlier = [] if before is None else [_left(one, masks, {*named, masks.name}) for one in _all(before)]
    kept = [one for one in earlier if one]
    return {**made, FILES: named, **({EARLIER: kept} if kept else {})}


def names_in(path: Path) -> dict[int, str] | None:
    """What the labels of a file are called, if one of our exports says that it is a mask."""
    for stem in _stems(path):
        told = told_in(path.with_name(stem + STORY))
        for one in _all(told) if told else ():
            names = _named(one, path, stem)
            if names is not None:
                return names
    return None


def numbered(path: Path) -> str | None:
    """The mask whose objects have each its own number in a file, if one of our exports says so."""
    for at in range(1, len(path.name)):
        told = told_in(path.with_name(path.name[:at] + STORY)) if path.name[at] == "." else None
        for one in _all(told) if told else ():
            found = one.get(NUMBERS)
            if isinstance(found, dict) and isinstance(found.get(path.name), dict):
                return str(found[path.name].get("mask", ""))
    return None


def is_export(path: Path) -> bool:
    """Whether an export wrote a file, of masks or of anything else; a story that names no files speaks of its own."""
    if names_in(path) is not None or numbered(path) is not None:
        return True
    story = story_path(path)
    told = told_in(story)
    return story.is_file() and not (told and (FILES in told or "files" in told))


def _named(told: Mapping[str, Any], path: Path, stem: str) -> dict[int, str] | None:
    own, masks = io.split_name(path)[0], list(told["masks"])
    if isinstance(told.get(FILES), dict):
        found = told[FILES].get(path.name)
        return {int(label): str(name) for label, name in found.items()} if isinstance(found, dict) else None
    every = dict(enumerate(masks, 1))
    if isinstance(told.get("files"), list):  # of the command line
        if path.name not in told["files"]:
            return None
        alone = dict(zip(slugs([Prompt(name) for name in masks]), masks, strict=True))
        if own == stem:
            return every
        return {1: alone[own]} if own in alone else {} if own.startswith(f"{stem}__") else None
    return every if own == stem else None  # of a version that did not name its files


def _stems(path: Path) -> Iterator[str]:
    """Of the stories that may tell of a file: its own, that of masks that overlap, that of a case's folder."""
    stem = io.split_name(path)[0]
    yield stem
    for at in range(1, len(stem)):
        if stem.startswith("__", at):
            yield stem[:at]
    yield path.resolve().parent.name


def _all(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    earlier = [one for one in told.get(EARLIER, ()) if isinstance(one, dict) and isinstance(one.get("masks"), dict)]
    return [told, *earlier]


def _left(told: Mapping[str, Any], masks: Path, gone: Collection[str]) -> dict[str, Any]:
    """What a story tells of files that stay; nothing if none does."""
    left = {key: value for key, value in told.items() if key != EARLIER}
    for key in (FILES, "files"):
        held = told.get(key, {})
        stay = [name for name in held if name not in gone and masks.with_name(name).is_file()]
        if isinstance(held, dict) and key in told:
            left[key] = {name: held[name] for name in stay}
        elif key in told:
            left[key] = stay
    return left if left.get(FILES) or left.get("files") else {}


MANY = 24
"""So many labels get a mask each; more of them share one."""


@dataclass(frozen=True)
class MaskInFile:
    """One mask of a file: values above 0 are inside."""

    name: str
    array: NDArray[np.unsignedinteger[Any]]
    """As it is stored."""
    grid: Grid
    image: Volume | None
    """The open image that it lies on."""


def masks_in(path: Path, images: Sequence[Volume], read: Read = io.read) -> list[MaskInFile] | None:
    """The masks of a file, those first that lie on an image that is open; None if the file is an image. Refused where
    other programs' labels lie on none."""
    images = _named_first(path, images)
    sure = path.is_file() and (path.name.lower().endswith(".seg.nrrd") or _is_segmentation(path))
    known = None if path.is_dir() else names_in(path)
    if known is None and not sure:
        if (name := numbered(path)) is not None:
            return [_numbers_in(path, name, images)]
        others = None if path.is_dir() else labels_of(path, images, read)
        if others is not None:
            return [MaskInFile(io.split_name(path)[0], others[0], others[1].grid, others[1])]
        if not lies_as_labels(path, images, read):
            return None
    try:
        labels, image = _placed(path, images)
    except BoltzFormerError:
        if sure:
            raise
        return None  # a story lies beside it, but it holds no labels
    return _each(path, labels, image, known, sure=sure)


def _named_first(path: Path, images: Sequence[Volume]) -> list[Volume]:
    """Images that lie alike can't be told apart by their voxels: that comes first which the file is named after, of 'a'
    and 'a_2' the latter for 'a_2-mask'."""
    stem = io.split_name(path)[0]

    def told(image: Volume) -> int:
        name = io.split_name(Path(image.source))[0] if image.source else image.name
        return len(name) if name and is_named_after(stem, name) else 0

    return sorted(images, key=told, reverse=True)


def masks_alone(path: Path) -> list[MaskInFile]:
    """The masks of a file of which a person says that it holds some, wherever they lie."""
    return _each(path, io.read_labels(path), None, None, sure=False)


def _each(
    path: Path, labels: LabelMap, image: Volume | None, known: Mapping[int, str] | None, *, sure: bool
) -> list[MaskInFile]:
    """`known`: what they are called; `sure`: the file names them itself."""
    names = {**labels.names, **(known or {})}
    if not known and len(names) == 1 and not sure:
        names = dict.fromkeys(names, io.split_name(path)[0])
    marked = [label for label in sorted(names) if label in labels.names or (known and len(known) <= MANY)]
    if len(marked) <= MANY:
        planes = [(names[one], labels.mask(one) * np.uint8(one)) for one in marked]
    else:
        planes = [(io.split_name(path)[0], layer) for layer in labels.layers]
    return [MaskInFile(name, plane, labels.grid, image) for name, plane in planes]


def _numbers_in(path: Path, name: str, images: Sequence[Volume]) -> MaskInFile:
    """A picture whose objects have numbers, of which there may be thousands: one mask holds them all."""
    found = io.read(path)
    image = next((one for one in images if one.grid.shape == found.grid.shape), None)
    return MaskInFile(f"{name} by number", found.array, found.grid, image)


def _placed(path: Path, images: Sequence[Volume]) -> tuple[LabelMap, Volume | None]:
    """On the voxels of an image that is open, if it lies there; DICOM-SEG and pictures can't say alone where."""
    if io.split_name(path)[1] in (".dcm", ".ima", "", ".png", ".jpg", ".jpeg", ".tif", ".tiff"):
        for image in images:
            try:
                return io.read_labels(path, grid=image.grid), image
            except GeometryError:
                continue
    labels = io.read_labels(path)
    return labels, next((image for image in images if labels.grid.same_as(image.grid)), None)


def _is_segmentation(path: Path) -> bool:
    """Whether it is a DICOM-SEG."""
    if not is_dicom(path):
        return False
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    except Exception:  # its reader says what is wrong
        return False
    return str(header.get("Modality", "")) == "SEG"
