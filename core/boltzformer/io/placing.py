"""The files of a case get their place: checked before the work, alone, whole, and nothing of others is touched."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boltzformer.errors import BoltzFormerError, ImageError
from boltzformer.image.hashing import sha256_of
from boltzformer.io.cases import FORMATS, Case, Target, is_dicom, is_folder, resolved, slugs, story_of
from boltzformer.types import Prompt

_ENDS = "|".join(re.escape(end) for end in (*FORMATS.values(), ".nii", ".tiff"))
"""Of masks: a name as output has more of them than `--format`."""
_EXTRAS = rf"(\.(probability|spread)({_ENDS})|\.objects\.(png|tiff?)|\.looks-\d+\.png)"
_SLUG = r"[a-z0-9][a-z0-9-]*"
_UNFINISHED = r"\.[0-9a-f]{16}\.part"  # of a single file, see `io.atomic`
_BEGUN = ".unfinished"


def is_own(name: str, place: Target, prompts: Iterable[Prompt]) -> bool:
    """Whether a run for these prompts writes a file of this name here."""
    stem, asked = re.escape(place.stem), list(prompts)
    slug = "|".join(map(re.escape, slugs(asked))) or "(?!)"
    told = [re.sub(r"[^\w.-]+", "_", one.name).strip("._")[:60] or "mask" for one in asked]  # as `io.write` names them
    apart = rf"(__({'|'.join(map(re.escape, told))})(_\d+)?)?"
    masks = rf"({slug})({_ENDS})" if place.own_folder else rf"{stem}{apart}({_ENDS})"
    extras = rf"({slug}){_EXTRAS}" if place.own_folder else rf"{stem}\.({slug}){_EXTRAS}"
    tables = rf"{stem}\.(lesions\.csv|lesions\.json|provenance\.json)"
    return name in place.masks or bool(re.fullmatch(rf"{masks}|{extras}|{tables}", name))


def checked_place(
    place: Target,
    case: Case,
    output: Path,
    prompts: tuple[Prompt, ...],
    check: Callable[[list[Path]], None],
    *,
    overwrite: bool,
) -> None:
    """Before work is spent: can these files be written, without touching the image or what is not ours?"""
    targets = [place.folder / name for name in place.masks]
    _demand_short([*targets, place.story, _part(place) / _BEGUN / place.story.name, *_longest(place, prompts)])
    if place.own_folder and not resolved(place.folder).is_relative_to(resolved(output)):
        raise ImageError(f"{place.folder} is a link that leads out of {output}: remove it, or choose another output.")
    if any(target.name.endswith(".dcm") for target in targets) and not is_dicom(case.path):
        raise ImageError(
            f"{targets[0]}: a DICOM-SEG refers to DICOM slices, and {case.path} has none: choose nii.gz or seg.nrrd."
        )
    there = [path for path in _inside(place.folder) if is_own(path.name, place, prompts)]
    image = resolved(case.path)
    for path in there:
        if not is_folder(case.path) and resolved(path) == image:
            raise ImageError(f"{path} is the image itself: choose another name for the mask.")
        if is_folder(path):
            raise ImageError(f"{path} is a folder: choose another name for the mask.")
    if there and not overwrite and story_of(place) is None:
        raise ImageError(f"{there[0]} exists already: choose another name, or allow to --overwrite.")
    _demand_free(_part(place), place.stem)
    check(targets)
    _demand_writable(place.folder)


@contextmanager
def alone(place: Target, tell: Callable[[str], None]) -> Iterator[Path]:
    """A folder to write into, while no other run writes to this place; what is left in it at the end is dropped."""
    part = _part(place)
    try:
        with _held(part, place.stem, lambda: tell(f"{place.folder} is being written by another run: waiting for it.")):
            _clear(part)  # of a run that was killed
            begun = part / _BEGUN
            begun.mkdir()
            try:
                yield begun
            finally:
                shutil.rmtree(begun, ignore_errors=True)
                with suppress(OSError):
                    part.rmdir()
    except OSError as error:
        raise ImageError(
            f"{place.folder} can't be written ({error.strerror or error}): "
            "choose a folder that you may write to and that has space left."
        ) from error


def install(begun: Path, place: Target, *, overwrite: bool) -> list[str]:
    """What was written gets its place at once, the provenance last. Of what was there, only its own files go.

    Those that a person has changed since stay, and are told.
    """
    if place.own_folder and not place.folder.exists():
        os.replace(begun, place.folder)
        return []
    story = story_of(place)
    taken = [file.name for file in begun.iterdir() if (place.folder / file.name).exists()]
    if taken and story is None and not overwrite:
        raise ImageError(f"{place.folder / taken[0]} exists already: choose another name, or allow to --overwrite.")
    before, written = _prompts_of(story or {}), {file.name for file in begun.iterdir()}
    stale = [name for name in (story or {}).get("files", ()) if is_own(name, place, before)]
    changed = [name for name in stale if _is_changed(place.folder / name, (story or {}).get("sha256"))]
    place.story.unlink(missing_ok=True)
    for name in set(stale) - set(changed):
        (place.folder / name).unlink(missing_ok=True)
    for file in sorted(begun.iterdir(), key=lambda file: file.name == place.story.name):
        os.replace(file, place.folder / file.name)
    return [name for name in changed if name not in written]


def _is_changed(file: Path, told: object) -> bool:
    """Older provenances don't tell."""
    known = told.get(file.name) if isinstance(told, dict) else None
    return file.is_file() and isinstance(told, dict) and (file.is_symlink() or sha256_of(file) != known)


def _prompts_of(story: dict[str, object]) -> list[Prompt]:
    told = story.get("prompts")
    try:
        return [Prompt(text) for text in told if isinstance(text, str)] if isinstance(told, list) else []
    except BoltzFormerError:
        return []


def _part(place: Target) -> Path:
    """Where the files lie until all are there. Readable for its owner alone."""
    return (
        place.folder.parent / f".{place.folder.name}.part" if place.own_folder else place.folder / f".{place.stem}.part"
    )


@contextmanager
def _held(part: Path, stem: str, waiting: Callable[[], None]) -> Iterator[None]:
    """The folder `part`, made if need be, for this run alone: its lock ends with its owner, however that one ends."""
    if os.name == "nt":  # no locks on folders there: the second run fails at the first one's open files
        part.mkdir(parents=True, exist_ok=True)
        yield
        return
    import fcntl

    while True:
        part.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            part.mkdir(mode=0o700)
        _demand_free(part, stem)
        try:
            handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # another run has just ended
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError:
                pass  # a file system without locks
            if _is_still(part, handle):  # and not that of a run that has ended since
                yield
                return
        finally:
            os.close(handle)


def _is_still(part: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(part))
    except FileNotFoundError:
        return False


def _clear(part: Path) -> None:
    for path in _inside(part):
        if path.name == _BEGUN and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _demand_free(part: Path, stem: str) -> None:
    """It holds what a killed run left, and nothing else."""
    masks = rf"({_SLUG}|{re.escape(stem)}(\.{_SLUG}|__.*)?)(({_ENDS})|{_EXTRAS})"
    tables = rf"{re.escape(stem)}\.(lesions\.csv|lesions\.json|provenance\.json)"
    left = rf"{re.escape(_BEGUN)}|{_UNFINISHED}|{masks}|{tables}"
    foreign = [path for path in _inside(part) if not re.fullmatch(left, path.name)]
    if foreign or part.is_symlink() or (part.exists() and not part.is_dir()):
        raise ImageError(f"{(foreign or [part])[0]} is in the way of unfinished files and not ours: move it.")


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _longest(place: Target, prompts: tuple[Prompt, ...]) -> list[Path]:
    prefix = "" if place.own_folder else f"{place.stem}."
    names = [f"{prefix}{slug}.probability.nii.gz" for slug in slugs(prompts)] + [f"{place.stem}.lesions.json"]
    return [place.folder / name for name in names]


def _demand_short(paths: Iterable[Path]) -> None:
    """A system refuses long names only when it is too late."""
    for path in paths:
        whole = path.absolute()
        long = [part for part in whole.parts if len(os.fsencode(part)) > 255]
        if long or len(os.fsencode(whole)) > 4095:
            shown = long[0] if long else str(whole)
            raise ImageError(f"The name {shown[:40]}… is too long for a file on this system: choose a shorter one.")


def _demand_writable(folder: Path) -> None:
    """Rights alone don't tell: only trying does. The file has no name, and is gone at once."""
    nearest = next((parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent)), folder)
    if nearest.is_symlink() and not nearest.exists():  # where no folder could be made
        raise ImageError(
            f"{nearest} is a link that leads nowhere, or in a circle: remove it, or choose another folder."
        )
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ImageError(
            f"{folder} can't be written below {nearest} ({error.strerror or error}): choose another folder."
        ) from error
