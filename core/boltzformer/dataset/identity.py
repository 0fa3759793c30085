"""Who is who, without names: cases and patients as salted hashes, whose salt never leaves `private/`; and which side of
the split a patient is on, drawn once and never again."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from boltzformer.atomic import private_folder
from boltzformer.dataset.disk import damaged, read_json, unwritten, write_json
from boltzformer.errors import DatasetError

PRIVATE = "private"
"""Leave this folder out when you pass a dataset on."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows has no files of these names


def make_salt(root: Path) -> None:
    """Once, when the folder is made; readable by its owner only."""
    place = root / PRIVATE / "salt"
    try:
        private_folder(place.parent)
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritten(place, error) from error


def read_salt(root: Path) -> bytes:
    """Needed to add: without it a patient who is here already would get a second name, and perhaps another split."""
    place = root / PRIVATE / "salt"
    try:
        salt = bytes.fromhex(place.read_text("ascii").strip())
    except (OSError, ValueError):
        salt = b""
    if len(salt) != 32:
        raise DatasetError(
            f"{place} is missing or damaged, so nothing can be added without risking that a patient gets two names: "
            "restore it from where this folder came from; reading goes on without it."
        )
    return salt


def case_name(salt: bytes, image_sha256: str) -> str:
    """The default case id: the same image is the same case."""
    return f"case-{_hashed(salt, 'image', image_sha256)}"


def image_name(salt: bytes, image_sha256: str) -> str:
    """By which the split knows an image again; says nothing about its case, which may be removed."""
    return _hashed(salt, "seen", image_sha256)


def group_name(salt: bytes, patient: str) -> str:
    """Who must not be torn apart by a split. Spaces and capitals of a patient's number don't matter."""
    return f"group-{_hashed(salt, 'patient', unicodedata.normalize('NFKC', patient).strip().casefold())}"


def demand_name(case: str) -> str:
    """A case id that a user chose, if it can be a folder's name on every system."""
    if not _NAME.fullmatch(case) or _RESERVED.fullmatch(case) or case.endswith("."):
        raise DatasetError(
            f"The case id '{case}' can't be a folder's name everywhere: use up to 64 letters, digits, '-', '_' and "
            "'.', and no patient's name or number."
        )
    return case


def _hashed(salt: bytes, kind: str, what: str) -> str:
    return hmac.new(salt, f"{kind}\0{what}".encode(), hashlib.sha256).hexdigest()[:16]


Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_KEYS: Mapping[Split, str] = {s: f"{'training' if s == 'train' else s}_groups" for s in SPLITS}
_RULE = (
    "one patient in four validates: in every four that arrive one is drawn, among the first four the second or third, "
    "so that three patients are enough. Kept after a case is removed: a patient who returns stays on the same side"
)
_BLOCK = 4


@dataclass(frozen=True)
class Sides:
    """All patients that ever were here."""

    groups: dict[str, Split]
    """Patient, as a salted hash → side."""
    images: dict[str, str]
    """Image, as a salted hash → patient: who returns without a name, or with another one, is known by the image."""


def read_split(root: Path) -> Sides:
    """As it stands."""
    content = read_json(root / "split.json")
    found: dict[str, Split] = {}
    images = content.get("images", {})
    for side, key in _KEYS.items():
        groups = content.get(key, [])
        if not isinstance(groups, list) or any(not isinstance(g, str) or g in found for g in groups):
            raise _broken(root, f"a damaged list {key}, or a patient on two sides")
        found |= dict.fromkeys(groups, side)
    if not isinstance(images, dict) or not all(isinstance(g, str) and g in found for g in images.values()):
        raise _broken(root, "images of patients whom it does not list")
    return Sides(found, images)


def write_split(root: Path, sides: Sides) -> None:
    """In the form of a manifest's `split.json`, with the other sides beside it."""
    lists = {key: sorted(g for g, s in sides.groups.items() if s == side) for side, key in _KEYS.items()}
    write_json(root, root / "split.json", {"rule": _RULE, **lists, "images": sides.images})


@dataclass(frozen=True)
class Arrival:
    """What a case remembers of the moment when it came, whatever became of the split's file since."""

    group: str
    split: Split
    image_sha256: str


def arrival_of(case: Path) -> Arrival:
    """Of a case's folder; quick the second time, for its file is never changed."""
    path = case / "case.json"
    try:
        found = path.stat()
    except OSError as error:
        raise damaged(path) from error
    return _arrival(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=100_000)
def _arrival(path: Path, *stamp: int) -> Arrival:
    told = read_json(path)
    image = told.get("image")
    words = (told.get("group"), told.get("split"), image.get("sha256") if isinstance(image, dict) else None)
    group, split, sha256 = words
    if not isinstance(group, str) or split not in SPLITS or not isinstance(sha256, str):
        raise damaged(path)
    return Arrival(group, split, sha256)


def arrivals(root: Path) -> dict[str, Arrival]:
    """Of all cases that can tell it."""
    found: dict[str, Arrival] = {}
    for case in sorted((root / "cases").glob("[!.]*")):
        with suppress(DatasetError):
            found[case.name] = arrival_of(case)
    return found


def lost(sides: Sides, salt: bytes, known: Mapping[str, Arrival]) -> dict[str, str]:
    """Case → what the split's file has lost or says otherwise."""
    found: dict[str, str] = {}
    for case, one in known.items():
        side = sides.groups.get(one.group)
        if side is None:
            found[case] = "split.json has lost its patient"
        elif side != one.split:
            found[case] = f"split.json puts its patient on another side than case.json ({one.split})"
        elif salt and sides.images.get(image_name(salt, one.image_sha256)) != one.group:
            found[case] = "split.json has lost its image"
    return found


def mended(sides: Sides, salt: bytes, known: Mapping[str, Arrival]) -> Sides:
    """What the cases remember goes before what the file says; patients of whom no case is left stay as they are."""
    groups, images = dict(sides.groups), dict(sides.images)
    torn = in_two((one.group, one.split) for one in known.values())
    for one in known.values():
        if one.group not in torn:
            groups[one.group] = one.split
        else:
            groups.setdefault(one.group, one.split)
        if salt:
            images[image_name(salt, one.image_sha256)] = one.group
    return Sides(groups, images)


def draw(salt: bytes, number: int) -> Split:
    """The side of the patient who arrives as this number (from 0), without looking at the images."""
    block, place = divmod(number, _BLOCK)
    drawn = hmac.new(salt, f"split\0{block}".encode(), hashlib.sha256).digest()[0]
    chosen = drawn % _BLOCK if block else 1 + drawn % 2
    return "validation" if place == chosen else "train"


def assign(root: Path, salt: bytes, patient: str, image: str, wanted: Split | None) -> tuple[str, Split]:
    """The patient's hash and side, now and forever. A wish counts only for a patient who is new. Under the lock.

    Without a `patient` it is whoever the image was of before, else the image is its own.
    """
    if wanted is not None and wanted not in SPLITS:
        raise DatasetError(f"There is no split '{wanted}': choose one of {', '.join(SPLITS)}.")
    sides, seen = read_split(root), image_name(salt, image)
    missing = lost(sides, salt, arrivals(root))
    if missing:
        case, what = next(iter(missing.items()))
        raise DatasetError(
            f"{root}: {what} (case {case}), so nobody new is put on a side of the split, which might be the wrong "
            "one: run `boltzformer dataset check --repair`."
        )
    before = sides.images.get(seen)
    group = group_name(salt, patient) if patient else before or group_name(salt, f"image {image}")
    if group not in sides.groups:
        drawn = draw(salt, len(sides.groups)) if wanted is None else wanted
        sides.groups[group] = sides.groups[before] if before else drawn
    elif before and sides.groups[before] != sides.groups[group]:
        raise DatasetError(
            f"This image was here before as another patient's, on the side '{sides.groups[before]}' of the split, and "
            f"this patient is on '{sides.groups[group]}': name the patient as before, or leave the image out."
        )
    if before != group:
        sides.images[seen] = group
        write_split(root, sides)
    return group, sides.groups[group]


def in_two(cases: Iterable[tuple[str, str]]) -> set[str]:
    """Groups that appear on more than one side in (group, side) pairs."""
    seen: dict[str, str] = {}
    return {group for group, side in cases if seen.setdefault(group, side) != side}


def _broken(root: Path, what: str) -> DatasetError:
    return DatasetError(f"{root / 'split.json'} holds {what}: run `boltzformer dataset check --repair`.")
