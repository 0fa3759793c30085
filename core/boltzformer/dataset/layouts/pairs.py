"""A folder of images and masks: `images/` and `masks/` with the same names, or `X.png` beside `X_mask.png`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.dataset.accepted import Mask
from boltzformer.dataset.disk import read_json
from boltzformer.dataset.layouts.incoming import Incoming, complete, patient_in
from boltzformer.errors import DatasetError
from boltzformer.types import Annotation, Volume

_IMAGES = ("images", "image", "imgs", "img", "scans", "volumes")
_MASKS = ("masks", "mask", "labels", "label", "segmentations", "annotations", "gt")
_PLAIN = re.compile(r"[_.-]*(masks?|seg(mentation)?s?|labels?|gt|annotations?)?", re.IGNORECASE)
"""What may follow an image's name in its mask's without saying what the mask shows."""
_NAMED = re.compile(r"_?_(?P<name>.+)")


def read_pairs(
    folder: Path, names: Mapping[int, str] | None = None, *, modality: str = "", pattern: str = ""
) -> Iterator[Incoming]:
    """Every image that has a mask. `names` says what the values of the masks mean."""
    found = _pairs(folder)
    if not found:
        raise DatasetError(
            f"{folder} holds no pairs: put images into images/ and masks into masks/ under the same names, or call the "
            "mask of X.nii.gz X_mask.nii.gz (of X.png X_mask.png)."
        )
    for image, masks in found.items():
        stem = io.split_name(image)[0]
        says_itself = io.split_name(image)[1] in (".dcm", ".ima") and not pattern
        patient = "" if says_itself else patient_in(stem, pattern)
        yield replace(read_pair(image, masks, names, modality=modality), patient=patient, guessed=not pattern)


def read_pair(
    image: Path,
    masks: Mapping[Path, str],
    names: Mapping[int, str] | None = None,
    *,
    modality: str = "",
) -> Incoming:
    """One image with its mask files; a mask file that has a name of its own holds only that label."""
    return Incoming(image.name, partial(_annotation, image, masks, names or {}, modality), "")


def _annotation(image: Path, masks: Mapping[Path, str], names: Mapping[int, str], modality: str) -> Annotation:
    volume = io.read(image)
    told = _told(image)
    found: dict[str, Mask] = {}
    texts: dict[str, list[str]] = {}
    for path, name in masks.items():
        labels = io.read_labels(path, grid=volume.grid)
        if name:
            found[name] = np.asarray((labels.layers > 0).any(axis=0))
            continue
        own = {value: label for value, label in labels.names.items() if label != f"label {value}"}
        known = {**own, **{value: said[0] for value, said in told.items()}, **names}
        nameless = sorted(value for value in labels.names if not known.get(value))
        if nameless or not known:
            raise DatasetError(
                f"Nobody says what the value {nameless[0] if nameless else 1} in {path} means: "
                'name it, e.g. --label "1=lung nodule".'
            )
        for value, label in known.items():
            found[label] = found[label] | labels.mask(value) if label in found else labels.mask(value)
            texts[label] = told.get(value, [label, label])[1:]
    return complete(_of(volume, modality), found, texts)


def _of(volume: Volume, modality: str) -> Volume:
    return replace(volume, modality=modality or volume.modality, name="")


def _told(image: Path) -> dict[int, list[str]]:
    """Value → name and phrasings, from `X.json` beside `X.nii.gz`, where there is one that names labels."""
    path = image.with_name(f"{io.split_name(image)[0]}.json")
    if not path.is_file():
        return {}
    labels: Any = read_json(path).get("labels")
    if not isinstance(labels, dict):
        return {}
    told: dict[int, list[str]] = {}
    for value, about in labels.items():
        if str(value).isdecimal() and isinstance(about, str):
            told[int(value)] = [about, about]
        elif str(value).isdecimal() and isinstance(about, dict) and isinstance(about.get("target"), str):
            told[int(value)] = [about["target"], *map(str, about.get("prompts") or [about["target"]])]
    return told


def _pairs(folder: Path) -> dict[Path, dict[Path, str]]:
    """Image → its mask files and the names that these have of their own."""
    inside = {path.name.lower(): path for path in _listed(folder) if path.is_dir()}
    images_in = next((inside[name] for name in _IMAGES if name in inside), None)
    masks_in = next((inside[name] for name in _MASKS if name in inside), None)
    apart = images_in is not None and masks_in is not None
    images = _images(images_in if images_in and apart else folder)
    masks = _images(masks_in) if masks_in and apart else images
    by_stem = {io.split_name(path)[0]: path for path in images}
    found: dict[Path, dict[Path, str]] = {}
    for mask in masks:
        stem = io.split_name(mask)[0]
        # The longest name that fits: scan_1_mask belongs to scan_1 and not to scan.
        for length in range(len(stem) if apart else len(stem) - 1, 0, -1):
            image, rest = by_stem.get(stem[:length]), stem[length:]
            if image is None:
                continue
            named = _NAMED.fullmatch(rest)
            if _PLAIN.fullmatch(rest):
                found.setdefault(image, {})[mask] = ""
            elif named and (apart or rest.startswith("__")):
                found.setdefault(image, {})[mask] = re.sub(r"[+_]+", " ", named["name"]).strip()
            else:
                continue
            break
    return found


def _images(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.is_file() and io.can_read(path)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{folder} can't be listed ({error.strerror}): give a folder that you may read.") from error
