"""NIfTI and PNG, read and written through SimpleITK; every write is atomic."""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that its own documentation uses

from boltzformer.errors import ImageError
from boltzformer.geometry import Array, Grid
from boltzformer.types import LabelMap, Volume

SUFFIXES = (".nii", ".nii.gz", ".png")
READABLE = "NIfTI (.nii, .nii.gz) and PNG (.png)"


def suffix_of(path: Path) -> str:
    """The known ending of a file's name, or ''."""
    return next((s for s in (".nii.gz", ".nii", ".png") if path.name.lower().endswith(s)), "")


def slug(name: str) -> str:
    """A prompt as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "mask"


def read(path: str | Path) -> Volume:
    """An image file as a `Volume` on its stored grid, values as stored."""
    path = Path(path)
    if not path.exists():
        raise ImageError(f"There is no file {path}: check the path.")
    if path.is_dir() or not suffix_of(path):
        raise ImageError(f"{path} is of a kind that can't be read yet: give {READABLE}.")
    try:
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        _refuse_truncated(path)
        image = sitk.ReadImage(str(path))
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise ImageError(
            f"{path} can't be read: it is damaged or not the {suffix_of(path)} file that its name says."
        ) from error
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() > 3:
        raise ImageError(
            f"{path} has {image.GetDimension()} dimensions {image.GetSize()}: "
            "save the 3-D frame to look at as a file of its own."
        )
    if image.GetNumberOfComponentsPerPixel() not in (1, 3):
        raise ImageError(f"{path} has {image.GetNumberOfComponentsPerPixel()} channels: save it as gray or RGB.")
    name = path.name[: -len(suffix_of(path))]
    if image.GetDimension() == 2:
        return Volume(array[None], Grid.pixels((1, *array.shape[:2])), name=name, source=str(path))
    return Volume(array, _grid(image, array), name=name, source=str(path))


def write(
    labels: LabelMap, path: str | Path, *, provenance: Mapping[str, Any] | None = None, overwrite: bool = False
) -> list[Path]:
    """One file, or one per name (`STEM__NAME.EXT`) where labels overlap; `STEM.provenance.json` when given."""
    path = Path(path)
    suffix = suffix_of(path)
    if not suffix:
        raise ImageError(f"Masks can't be written as {path.name}: end the name in .nii, .nii.gz or .png.")
    stem = path.name[: -len(suffix)]
    layers = {label: labels.mask(label) for label in labels.names}
    overlap = len(layers) > 1 and bool((np.sum(list(layers.values()), axis=0) > 1).any())
    if overlap or (suffix == ".png" and len(layers) > 1):
        files = {
            path.with_name(f"{stem}__{slug(labels.names[n])}{suffix}"): mask.astype(np.uint8)
            for n, mask in layers.items()
        }
    else:
        files = {path: np.max([mask * np.uint8(n) for n, mask in layers.items()], axis=0)}
    notes = [path.with_name(f"{stem}.provenance.json")] if provenance is not None else []
    refuse_existing([*files, *notes], overwrite)
    for file, array in files.items():
        atomically(file, suffix, partial(_write_image, array, labels.grid))
    return [*files, *(write_json(note, provenance, overwrite=overwrite) for note in notes)]


def write_json(path: Path, content: object, *, overwrite: bool = False) -> Path:
    """A JSON file, whole or not at all."""
    refuse_existing([path], overwrite)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    atomically(path, ".json", lambda temporary: temporary.write_text(text, "utf-8"))
    return path


def refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    """Before work is spent: nothing may stand where something will be written, nor a file where a folder must be."""
    for path in paths:
        if path.exists() and not overwrite:
            raise ImageError(f"{path} exists: choose another name, or ask to overwrite it.")
        blocking = next((parent for parent in path.parents if parent.exists()), path)
        if not blocking.is_dir():
            raise ImageError(f"{path} can't be written, for {blocking} is a file: choose another folder.")


def _refuse_truncated(path: Path) -> None:
    """SimpleITK fills what a truncated .nii.gz lacks with zeros and says nothing; gzip's own check does not."""
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as file:
            while file.read(1 << 22):
                pass


def _grid(image: Any, array: Array) -> Grid:
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return Grid.from_lps(array.shape[:3], lps)


def _write_image(array: Array, grid: Grid, path: Path) -> None:
    if path.name.endswith(".png"):
        if grid.shape[0] != 1:
            raise ImageError(f"A mask of {grid.shape[0]} slices does not fit into one .png: write it as .nii.gz.")
        sitk.WriteImage(sitk.GetImageFromArray((array[0] > 0).astype(np.uint8) * 255), str(path))
        return
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection(grid.direction.flatten().tolist())
    image.SetOrigin(grid.origin)
    sitk.WriteImage(image, str(path), useCompression=True)


def atomically(path: Path, suffix: str, produce: Callable[[Path], object]) -> None:
    """The file appears whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=suffix)
    except OSError as error:
        raise ImageError(
            f"{path} can't be written ({error.strerror}): choose a folder that you may write to."
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        produce(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise ImageError(f"{path} can't be written ({error}): is the disk full or the folder read-only?") from error
    finally:
        temporary.unlink(missing_ok=True)
