"""Cases of a run: which images the paths mean, where their masks go, which are finished."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boltzformer import io
from boltzformer.errors import BoltzFormerError, ImageError
from boltzformer.io.kinds import kind_of
from boltzformer.io.results import STORY, is_of_one_case, results_in
from boltzformer.json_text import loads, text_of
from boltzformer.types import Prompt, Volume

FORMATS = {
    "nii.gz": ".nii.gz",
    "nrrd": ".nrrd",
    "mha": ".mha",
    "seg.nrrd": ".seg.nrrd",
    "dcm-seg": ".dcm",
    "dcm-labelmap": ".labelmap.dcm",
    "dcm-rtstruct": ".rtstruct.dcm",
    "png": ".png",
    "tif": ".tif",
}
FOREIGN = (".bmp", ".csv", ".gif", ".jpeg", ".jpg", ".json", ".mhd", ".nhdr", ".npy", ".npz", ".zip")
"""Ends of file names that masks are not written as; a folder of such a name is meant only if it exists."""


@dataclass(frozen=True)
class Case:
    """One image and the name of its results."""

    name: str
    path: Path


@dataclass(frozen=True)
class Target:
    """Where the results of one case go."""

    folder: Path
    stem: str
    masks: tuple[str, ...]
    """File names: one per prompt, or a single one for all."""
    own_folder: bool
    """Whether nothing but this case belongs into the folder."""

    @property
    def story(self) -> Path:
        """How the masks were made; it is written last, so its presence says that the case is whole."""
        return self.folder / f"{self.stem}{STORY}"


def find_cases(inputs: Sequence[Path], output: Path) -> list[Case]:
    """Every image once. A folder with DICOM files directly inside is one case, else each image below it is one.

    What can't be read becomes a case too: it fails with its own sentence and stops no other.
    """
    found: dict[Path, Path] = {}
    for given in inputs:
        below = list(_below(given, resolved(output), set())) if is_folder(given) else [given]
        for path in below or [given]:
            found.setdefault(resolved(path), path)
    return _named(list(found))


def place_of(case: Case, output: Path, image: Volume, prompts: Sequence[Prompt], chosen: str | None) -> Target:
    """`OUT/CASE/PROMPT-SLUG.EXT`, or just OUT where that is a file's name."""
    named = io.split_name(output)[0] if io.split_name(output)[1] else case.name
    if not named.strip("."):
        what = (
            f"{output} names a folder" if named != case.name else f"{case.path} would give its masks the name '{named}'"
        )
        raise ImageError(f"{what}, which leads out of the place for the masks: rename it.")
    if io.split_name(output)[1]:
        return Target(output.parent, io.split_name(output)[0], (output.name,), own_folder=False)
    if output.suffix.lower() in FOREIGN and not output.is_dir():
        raise ImageError(f"{output} can't hold masks ({output.suffix} is unknown): choose a folder, or {io.WRITABLE}.")
    extension = FORMATS[chosen] if chosen else _like(case.path, image)
    return Target(output / case.name, case.name, tuple(f"{s}{extension}" for s in slugs(prompts)), own_folder=True)


def slugs(prompts: Sequence[Prompt]) -> list[str]:
    """Prompts as file names, each another."""
    plain = [re.sub(r"[^a-z0-9]+", "-", one.name.lower()).strip("-")[:60] or "mask" for one in prompts]
    return [slug if slug not in plain[:n] else f"{slug}-{n + 1}" for n, slug in enumerate(plain)]


def is_finished(place: Target, request: Mapping[str, Any]) -> bool:
    """Whether the same call has been here before. Another call's results, or foreign files, are refused."""
    story = story_of(place)
    if story is None:
        return False  # foreign files are found by `checked_place`
    made = story.get("request") or {}
    endings = {io.split_name(Path(name))[1] for name in story["files"]}
    # where nobody asked for a format, an earlier version may have chosen another
    usual = place.own_folder and request.get("format") is None
    if made == json.loads(json.dumps(request)) and (usual or io.split_name(Path(place.masks[0]))[1] in endings):
        return all((place.folder / name).is_file() for name in story["files"])
    differs = [
        f"{key} {made.get(key)!r} instead of {request[key]!r}" for key in request if made.get(key) != request[key]
    ]
    brief = "; ".join(one if len(one) < 90 else one.split(" ", 1)[0] for one in differs[:3]) or "another format"
    raise ImageError(
        f"{place.story} exists already and was made in another way ({brief}): "
        "choose another output, or allow to --overwrite."
    )


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, or a folder with one directly inside."""
    if path.is_dir():
        return any(is_dicom(file) for file in sorted(path.iterdir()) if file.is_file() and not _hidden(file))
    if io.split_name(path)[1] not in ("", ".dcm", ".ima"):
        return False
    try:
        return kind_of(path) == "DICOM"
    except (BoltzFormerError, OSError):
        return False


def is_folder(path: Path) -> bool:
    """False where the system can't even look: who reads it says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def resolved(path: Path) -> Path:
    """Without links, as far as they lead anywhere."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links that lead in a circle
        return path.absolute()


def _below(folder: Path, output: Path, seen: set[Path]) -> Iterator[Path]:
    """Cases below a folder, those of its subfolders too; results of earlier runs are none.

    Each folder once, for links may lead in circles. One that can't be looked into is a case, which says so.
    """
    where = resolved(folder)
    if where == output or where in seen:
        return
    seen.add(where)
    try:
        inside = sorted(path for path in folder.iterdir() if not _hidden(path))
        if is_of_one_case(folder):
            return
        results = results_in(folder)
        dicom = is_dicom(folder)
    except OSError:
        yield folder
        return
    if dicom:
        yield folder
    else:
        images = (path for path in inside if _is_file(path) and io.split_name(path)[1])
        yield from (path for path in images if path.name not in results)
    for path in inside:
        if is_folder(path):
            yield from _below(path, output, seen)


def _is_file(path: Path) -> bool:
    """Or a link that leads nowhere, which is told; pipes and devices are none."""
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:
        return True


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.upper() == "DICOMDIR"


def _named(paths: Sequence[Path]) -> list[Case]:
    """The file's stem or folder's name; where two would be the same, as much of the path as tells them apart."""
    ways = [[path.name if is_folder(path) else io.split_name(path)[0], *_longer(path)] for path in paths]
    used = [0] * len(paths)
    while True:
        names = [way[min(depth, len(way) - 1)] for way, depth in zip(ways, used, strict=True)]
        folded = [name.casefold() for name in names]
        clash = [n for n, name in enumerate(folded) if folded.count(name) > 1 and used[n] < len(ways[n])]
        if not clash:
            return [Case(name or "image", path) for name, path in zip(names, paths, strict=True)]
        for n in clash:
            used[n] += 1


def _longer(path: Path) -> list[str]:
    parts = [*path.parts[1:-1], path.name]
    return ["_".join(parts[-depth:]) for depth in range(1, len(parts) + 1)]


def _like(path: Path, image: Volume) -> str:
    """Masks are written in the format of the image; those of a JPEG as PNG, what no file of that kind holds as
    .nii.gz."""
    extension = ".dcm" if path.is_dir() or is_dicom(path) else io.split_name(path)[1]
    if extension == ".dcm" and not io.can_be_dicom(image):
        return ".nii.gz"
    if extension in (".png", ".jpg", ".jpeg"):
        return ".png" if image.grid.shape[0] == 1 else ".nii.gz"
    same = {".nhdr": ".nrrd", ".mhd": ".mha", ".seg.nrrd": ".nrrd", "": ".nii.gz"}
    return same.get(extension, extension)


def story_of(place: Target) -> dict[str, Any] | None:
    """What an earlier run wrote; nothing if there is none or it is not ours."""
    try:
        story = loads(text_of(place.story))
    except (OSError, ValueError):
        return None
    files = story.get("files") if isinstance(story, dict) else None
    whole = isinstance(files, list) and all(isinstance(name, str) and Path(name).name == name for name in files)
    return story if whole and isinstance(story.get("request", {}), dict | None) else None
