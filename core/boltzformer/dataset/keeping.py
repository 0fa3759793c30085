"""How an annotation gets onto the disk: as the next revision of its case, or as a new case that arrives with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.dataset.accepted import TakenBack, accepted, only_new
from boltzformer.dataset.case import IMAGES, Case, case_names, read_case
from boltzformer.dataset.disk import as_json, new_folder, read_json, sweep, write_json, writing
from boltzformer.dataset.identity import PRIVATE, Split, assign, case_name, demand_name, group_name, read_salt
from boltzformer.dataset.revision import Revision, discreet, read_revision, write_revision
from boltzformer.errors import BoltzFormerError, DatasetError
from boltzformer.image.hashing import hash_of_voxels
from boltzformer.types import Annotation, LabelMap, Volume

logger = logging.getLogger(__name__)

_NIFTI_LIMIT = 32767


def keep(
    root: Path,
    annotation: Annotation,
    *,
    case: str,
    patient: str,
    author: str,
    answer: LabelMap | None,
    based_on: int | None,
    seconds: float | None,
    split: Split | None,
    copy: bool,
    origin: Mapping[str, Any],
    taken_back: TakenBack = MappingProxyType({}),
) -> Revision:
    """All of `Dataset.add` but the index; alone among writers."""
    volume = annotation.volume
    given = accepted(annotation, taken_back=taken_back)
    if answer is not None and answer.grid.shape != volume.grid.shape:
        raise DatasetError("The model's answer has another shape than the image: give the answer for this image.")
    image = hash_of_voxels(volume.array)
    salt = read_salt(root)
    name = demand_name(case) if case else case_name(salt, image)
    who = patient or (io.patient_of(volume.source) if volume.source else "")
    folder = root / "cases" / name
    with writing(root):
        sweep(root)
        known = read_case(root, name) if folder.exists() else None
        number = 1
        if known is None:
            given, taken_back = accepted(annotation), {}
            _demand_no_twin(root, name)
        if known is not None:
            _demand_same(known, annotation, image, group_name(salt, patient) if patient else known.group)
            taken_back = known.taken_back(taken_back, based_on)
            if based_on is not None:
                given = only_new(given, known.as_of(based_on).accepted, known.axis)
            if not given and not taken_back:
                return known.revisions[-1]
            number += max((revision.number for revision in known.revisions), default=0)
        target = folder / "revisions" / f"{number:06d}"
        with new_folder(root, folder if known is None else target) as begun:
            if known is None:
                group, side = assign(root, salt, who, image, split)
                _write_case(begun, annotation, image, group, side, copied=copy, origin=origin)
                if not copy:
                    _note_place(root, volume, image)
                begun = begun / "revisions" / target.name
                begun.mkdir(parents=True)
            write_revision(
                begun,
                number,
                given,
                annotation,
                author=author,
                seconds=seconds,
                answer=answer,
                taken_back=taken_back,
            )
    logger.info("kept revision %d of %s", number, name)
    return read_revision(target)


def _demand_no_twin(root: Path, case: str) -> None:
    """Names that differ in capitals alone are one folder on Windows and macOS, where the dataset may go."""
    alike = [name for name in case_names(root) if name.casefold() == case.casefold()]
    if alike:
        raise DatasetError(
            f"There is a case '{alike[0]}' already, which is '{case}' on some systems: choose another id."
        )


def forget_place(root: Path, case: str) -> None:
    """Where an image that was not copied in lies, is nobody's business once its case is gone."""
    places = root / PRIVATE / "places.json"
    if not places.is_file():
        return
    with suppress(DatasetError):  # a damaged case is removed all the same
        known = read_json(places)
        if known.pop(read_case(root, case).image_sha256, None) is not None:
            write_json(root, places, known)


def _write_case(
    begun: Path,
    annotation: Annotation,
    image: str,
    group: str,
    side: Split,
    *,
    copied: bool,
    origin: Mapping[str, Any],
) -> None:
    """`case.json` and the image: written once, never changed."""
    volume, grid = annotation.volume, annotation.volume.grid
    if volume.array.dtype.kind == "f" and not all(bool(np.isfinite(plane).all()) for plane in volume.array):
        raise DatasetError("The image has voxels without a number (NaN or infinite): replace them before you keep it.")
    colour, kind = volume.array.ndim == 4, volume.array.dtype
    plain = max(grid.shape) <= _NIFTI_LIMIT and (not colour or kind == np.uint8)
    file = IMAGES[0 if plain else 1] if copied else ""
    if copied:
        # Without its source: a copy says where it lies in one way, that of `case.json`.
        io.write_volume(replace(volume, source=""), begun / file)
    story = {
        "about": "written once, when the first revision was accepted",
        "group": group,
        "split": side,
        "modality": volume.modality,
        "image": {"sha256": image, "file": file, "dtype": kind.name, "colour": colour},
        "grid": {"shape_zyx": grid.shape, "axes_lps_mm": grid.axes, "origin_lps_mm": grid.origin},
        "axis": annotation.slice_axis,
        "stacking_axis": volume.stacking_axis,
        "placed": volume.placed,
        "origin": discreet(origin),
        "arrived": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (begun / "case.json").write_bytes(as_json(story))


def _note_place(root: Path, volume: Volume, image: str) -> None:
    """An image that stays where it is must be readable from there, voxel by voxel the same."""
    path = Path(volume.source)
    try:
        found = hash_of_voxels(io.read(path).array) if volume.source else ""
    except BoltzFormerError as error:
        raise DatasetError(f"The image can't be read from where it is, so it must be copied in ({error})") from error
    if found != image:
        raise DatasetError("The image does not come from a file with these voxels: let it be copied into the dataset.")
    places = root / PRIVATE / "places.json"
    known = read_json(places) if places.is_file() else {}
    write_json(root, places, {**known, image: str(path.resolve())})


def _demand_same(known: Case, annotation: Annotation, image: str, group: str) -> None:
    if known.image_sha256 != image or not known.grid.same_as(annotation.volume.grid):
        raise DatasetError(
            f"{known.id} holds another image, or the same one in another place: give this one a case id of its own."
        )
    if known.axis != annotation.slice_axis:
        raise DatasetError(
            f"{known.id} is reviewed in slices along axis {known.axis} of its array, not {annotation.slice_axis}: "
            "slice it that way, or give the case another id."
        )
    if known.group != group:
        raise DatasetError(
            f"{known.id} belongs to another patient, and its split is frozen: remove the case first if that was wrong."
        )
