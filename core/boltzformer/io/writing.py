"""`write`: masks on the stored grid of their image (or another, when somebody asks) → files that other programs open in
the right place, complete or not there at all."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError, GeometryError, ImageError
from boltzformer.image.geometry import Array, Grid
from boltzformer.io import dicom_rt, dicom_seg, metaimage, nifti, nrrd, pictures, seg_nrrd, tiff_labels
from boltzformer.io.checks import ImageWarning
from boltzformer.io.dicom_headers import can_be_referred_to
from boltzformer.io.kinds import EXTENSIONS, kind_of, split_name
from boltzformer.types import LabelMap, Volume

WRITABLE = ".nii.gz, .nii, .nrrd, .mha, .tif, .png (2-D), .seg.nrrd or .dcm (DICOM-SEG)"
_DICOM = (".dcm", ".labelmap.dcm", ".rtstruct.dcm")
"""DICOM-SEG, the same as one number per voxel, and contours."""
_PLAIN = (".nii", ".nii.gz", ".nrrd", ".mha")
"""Also for images: they keep any number and its place."""
_NUMBERS = (*_PLAIN, *tiff_labels.EXTENSIONS)
"""A number per voxel, so several masks in one file."""


def write(
    labels: LabelMap,
    path: str | Path,
    *,
    source: str | Path | Volume | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool | Collection[Path] = False,
    tell: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the masks, all files or none, and say which.

    Where masks overlap and the format has no layers, each label gets a file of its own, `STEM__NAME.EXT`; a file of the
    name itself, if it may be replaced, is removed once they are there. `overwrite` may name the files that may be
    replaced. What the user should know is handed to `tell`, or is a warning.
    `source` is the image that the masks belong to: DICOM-SEG needs its series, NIfTI keeps its words on orientation.
    `provenance` goes beside it as `STEM.provenance.json`.
    """
    path = Path(path)
    stem, extension = split_name(path)
    source = Path(source.source) if isinstance(source, Volume) and source.source else source
    source = Path(source) if isinstance(source, str) else source
    if isinstance(source, Volume):
        source = None  # it was never a file
    if isinstance(source, Path) and source.is_file() and path.exists() and path.samefile(source):
        raise ImageError(f"{path} is the image itself: choose another name for the mask.")
    labels = _all_named(labels)
    story = [path.with_name(f"{stem}.provenance.json")] if provenance is not None else []

    if extension == ".seg.nrrd":
        with new_files([path, *story], overwrite=overwrite) as files:
            seg_nrrd.write(files[0], labels, _prompts(provenance))
            _tell(files[1:], provenance)
        return [path, *story]
    tell = tell or _warn
    if extension in _DICOM:
        if (said := tilt_said(path, labels.grid)) and source is not None:
            tell(said)
        if extension == ".rtstruct.dcm":
            content = dicom_rt.made(labels, path, source)
        else:
            content = dicom_seg.made(labels, path, source, labelmap=extension == ".labelmap.dcm")
        with new_files([path, *story], overwrite=overwrite) as files:
            content.save_as(files[0])
            _tell(files[1:], provenance)
        return [path, *story]

    masks, why = _per_file(labels, path, stem, extension)
    if why:
        tell(f"{path.name}: {why}, so each is written into a file of its own; .seg.nrrd keeps them in one.")
    like = _nifti_like(source, labels.grid) if extension in (".nii", ".nii.gz") else None
    if extension in (".nii", ".nii.gz") and like is None and labels.grid.sheared:
        tell(
            f"{path.name} keeps the tilt of the slices, but programs built on ITK (3D Slicer, ITK-SNAP) straighten "
            "it when they open NIfTI and show the mask in the wrong place: .seg.nrrd is safe."
        )
    with new_files([*masks, *story], overwrite=overwrite) as files:
        for file, holds in zip(files, masks.values(), strict=False):
            array = _array(labels, holds, alone=path not in masks)
            if extension == ".png":
                pictures.write_png(file, array[0] > 0)
            else:
                _write_array(file, array, labels.grid, extension, like)
        _tell(files[len(masks) :], provenance)
    if extension in tiff_labels.EXTENSIONS and not tiff_labels.keeps_place(labels.grid):
        tell(
            f"{path.name} keeps the voxels of the image and their size, but not where in the patient they lie: "
            ".nii.gz and .seg.nrrd keep that too."
        )
    if path not in masks and path.is_file() and may_replace(path, overwrite):
        try:
            path.unlink()
            tell(f"They take the place of {path.name}.")
        except OSError as error:
            tell(f"{path.name} holds older masks and could not be removed ({error.strerror}): remove it yourself.")
    return [*masks, *story]


def targets(labels: LabelMap, path: str | Path) -> dict[Path, tuple[int, ...]]:
    """The files of masks that `write` makes of them, and which labels each holds."""
    path, labels = Path(path), _all_named(labels)
    stem, extension = split_name(path)
    if extension in (".seg.nrrd", *_DICOM):
        return {path: tuple(sorted(labels.names))}
    return _per_file(labels, path, stem, extension)[0]


def tilt_said(path: Path, grid: Grid) -> str:
    """What masks on tilted slices ask for before they become DICOM-SEG; '' where there is nothing to ask."""
    if not grid.sheared or split_name(path)[1] not in (".dcm", ".labelmap.dcm"):
        return ""
    return (
        f"{path.name} keeps the tilt of the slices, voxel for voxel, but programs that stack frames at right angles "
        "refuse it or show the masks in the wrong place: allow masks that are straightened (each voxel moves by half "
        "of one at most) with --resample, in Python with io.resample and io.straightened."
    )


def can_be_dicom(image: Volume) -> bool:
    """Whether masks of this image can be written as DICOM: it is DICOM, and says where in its patient it lies."""
    source = Path(image.source) if image.source else None
    if source is None or not source.is_file():
        return False
    try:
        return kind_of(source) == "DICOM" and can_be_referred_to(source)
    except BoltzFormerError:
        return False


def check_targets(paths: Sequence[Path], grid: Grid, image: Volume | None = None) -> None:
    """Before work is spent: can masks on this grid, and of this image, be written there?"""
    for path in paths:
        extension = split_name(path)[1]
        if extension in _DICOM and image is not None and image.source and not can_be_dicom(image):
            raise ImageError(
                f"{path} can't refer to {image.source}, which does not say where in its patient it lies (as X-ray, "
                "ultrasound and photographs): write .nii.gz or .seg.nrrd instead."
            )
        if extension not in (*_NUMBERS, ".png", ".seg.nrrd", *_DICOM):
            raise ImageError(f"{path} can't be written (its extension is unknown): choose {WRITABLE}.")
        if extension == ".png" and grid.shape[0] != 1:
            raise GeometryError(f"{path} can't hold a volume of {grid.shape[0]} slices: choose .nii.gz or .seg.nrrd.")
        nearest = next((parent for parent in path.parents if parent.exists()), path)
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            why = "you may not write there" if nearest.is_dir() else "it is a file"
            raise ImageError(f"{path} can't be written below {nearest} ({why}): choose another folder.")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """How masks were made, whole or not at all."""
    with new_files([path]) as files:
        _tell(files, content)


def write_volume(volume: Volume, path: str | Path, *, overwrite: bool = False) -> Path:
    """Keep an image in a project's own folder (.nii, .nii.gz, .nrrd, .mha), voxels and place unchanged."""
    path = Path(path)
    extension = split_name(path)[1]
    if extension not in _PLAIN:
        raise ImageError(f"{path} can't hold an image with its place: choose one of {', '.join(_PLAIN)}.")
    like = _nifti_like(Path(volume.source) if volume.source else None, volume.grid)
    with new_files([path], overwrite=overwrite) as files:
        _write_array(files[0], volume.array, volume.grid, extension, like, placed=volume.has_place)
    return path


def _write_array(
    file: BinaryIO, array: Array, grid: Grid, extension: str, like: Path | None, *, placed: bool = True
) -> None:
    array = array.view(np.uint8) if array.dtype == np.bool_ else array
    if extension == ".nrrd":
        nrrd.write(file, array, grid)
    elif extension == ".mha":
        metaimage.write(file, array, grid)
    elif extension in tiff_labels.EXTENSIONS:
        tiff_labels.write(file, array, grid)
    else:
        nifti.write(file, array, grid, packed=extension == ".nii.gz", like=like, placed=placed)


def _per_file(labels: LabelMap, path: Path, stem: str, extension: str) -> tuple[dict[Path, tuple[int, ...]], str]:
    """One label file where that says everything; else one mask per label → their labels, and why there are several."""
    if extension not in (*_NUMBERS, ".png"):
        problem = f"masks can't be written as {EXTENSIONS[extension]}" if extension else "its extension is unknown"
        raise ImageError(f"{path} can't be written ({problem}): choose {WRITABLE}.")
    if extension == ".png" and labels.grid.shape[0] != 1:
        raise GeometryError(
            f"{path} can't hold a volume of {labels.grid.shape[0]} slices: choose .nii.gz or .seg.nrrd."
        )
    overlap = _overlap(labels.layers)
    every = tuple(sorted(labels.names))
    if not overlap and (extension != ".png" or len(every) <= 1):
        return {path: every}, ""
    names = _file_names(labels.names)
    files: dict[Path, tuple[int, ...]] = {
        path.with_name(f"{stem}__{names[label]}{path.name[len(stem) :]}"): (label,) for label in every
    }
    return files, "the masks overlap" if overlap else "a PNG holds one mask"


def _array(labels: LabelMap, holds: Sequence[int], alone: bool) -> NDArray[np.uint8]:
    """(z, y, x): the labels of one file."""
    if alone:
        return labels.mask(holds[0]).view(np.uint8)
    return labels.layers[0] if len(labels.layers) == 1 else labels.layers.max(axis=0, initial=0)


def _warn(message: str) -> None:
    warnings.warn(message, ImageWarning, stacklevel=3)  # whoever called `write`


def _all_named(labels: LabelMap) -> LabelMap:
    """Every value that occurs gets a name, so that no format that goes by names loses it."""
    counts = sum(
        (np.bincount(plane.ravel(), minlength=256) for layer in labels.layers for plane in layer), np.zeros(256)
    )
    names = {int(label): labels.names.get(int(label), f"label {label}") for label in np.flatnonzero(counts) if label}
    return replace(labels, names={**names, **labels.names})


def _overlap(layers: NDArray[np.uint8]) -> bool:
    seen = np.zeros(layers.shape[1:], bool)
    for layer in layers if len(layers) > 1 else ():
        marked = layer > 0
        if bool((seen & marked).any()):
            return True
        seen |= marked
    return False


def _file_names(names: Mapping[int, str]) -> dict[int, str]:
    """Names that every file system takes; where two would be the same, the label's number is added."""
    plain = {label: re.sub(r"[^\w.-]+", "_", name).strip("._")[:60] or "mask" for label, name in names.items()}
    folded = [name.casefold() for name in plain.values()]
    return {label: name if folded.count(name.casefold()) == 1 else f"{name}_{label}" for label, name in plain.items()}


def _nifti_like(source: Path | None, grid: Grid) -> Path | None:
    """The source, if it is a NIfTI file on this very grid: its two ways of saying where it lies are then kept."""
    if source is None or not source.is_file() or EXTENSIONS.get(split_name(source)[1]) != "NIfTI":
        return None
    return source if nifti.grid_in(source) == grid else None


def _prompts(provenance: Mapping[str, Any] | None) -> dict[str, str]:
    """By the name of a mask, what was asked for, where the provenance says it."""
    masks = (provenance or {}).get("masks")
    told = masks.items() if isinstance(masks, Mapping) else ()
    return {name: str(one["prompt"]) for name, one in told if isinstance(one, Mapping) and one.get("prompt")}


def _tell(files: list[BinaryIO], provenance: Mapping[str, Any] | None) -> None:
    for file in files:
        text = json.dumps(dict(provenance or {}), indent=1, ensure_ascii=False, default=str)
        file.write(text.encode("utf-8", "backslashreplace"))  # in JSON, that is how half a character is written


@contextmanager
def new_files(paths: Sequence[Path], *, overwrite: bool | Collection[Path] = False) -> Iterator[list[BinaryIO]]:
    """Open files to write into; they get their names together at the end, and only if nothing went wrong.

    `overwrite`: what lies there may be replaced, or only these files.
    """
    # A short name of its own, so that neither a crash nor a long target name can touch a file of the user.
    parts = [path.with_name(f".{secrets.token_hex(8)}.part") for path in paths]
    try:
        for path in paths:
            if path.is_dir():
                raise ImageError(f"{path} is a folder: choose a file name for the mask.")
            if path.exists() and not may_replace(path, overwrite):
                raise ImageError(f"{path} exists already: choose another name, or allow to overwrite it.")
        with ExitStack() as stack:
            files: list[BinaryIO] = [stack.enter_context(part.open("xb")) for part in parts]
            modes = [stat.S_IMODE(part.stat().st_mode) for part in parts]
            for part in parts:
                part.chmod(0o600)  # what is not finished is nobody else's
            yield files
            for file, part, mode in zip(files, parts, modes, strict=True):
                file.flush()
                part.chmod(mode)
                os.fsync(file.fileno())
        for path, part in zip(paths, parts, strict=True):
            os.replace(part, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(
            f"{paths[0]} could not be written ({reason}): "
            "choose a folder that you may write to and that has space left."
        ) from error
    finally:
        for part in parts:
            with suppress(OSError):  # renamed already, or never made
                part.unlink()


def may_replace(path: Path, overwrite: bool | Collection[Path]) -> bool:
    """Whether `overwrite` allows it for this file."""
    return overwrite if isinstance(overwrite, bool) else path in overwrite
