"""Which side of the split a patient is on: drawn once, when the first case arrives, and never again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from boltzformer.dataset.disk import read_json, write_json
from boltzformer.errors import DatasetError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_KEYS: Mapping[Split, str] = {s: f"{'training' if s == 'train' else s}_groups" for s in SPLITS}
_RULE = (
    "one patient in four validates: in every four that arrive one is drawn, among the first four the second or third, "
    "so that three patients are enough. Kept after a case is removed: a patient who returns stays on the same side"
)
_BLOCK = 4


def read_split(root: Path) -> dict[str, Split]:
    """Group → side."""
    content = read_json(root / "split.json")
    found: dict[str, Split] = {}
    for side, key in _KEYS.items():
        groups = content.get(key, [])
        if not isinstance(groups, list) or any(not isinstance(g, str) or g in found for g in groups):
            raise DatasetError(
                f"{root / 'split.json'} has a damaged list {key}, or a group on two sides: "
                "run `boltzformer dataset check --repair`."
            )
        found |= dict.fromkeys(groups, side)
    return found


def write_split(root: Path, groups: Mapping[str, Split]) -> None:
    """In the form of a manifest's `split.json`, with the other sides beside it."""
    sides = {key: sorted(g for g, s in groups.items() if s == side) for side, key in _KEYS.items()}
    write_json(root, root / "split.json", {"rule": _RULE, **sides})


def draw(salt: bytes, number: int) -> Split:
    """The side of the patient who arrives as this number (from 0), without looking at the images."""
    block, place = divmod(number, _BLOCK)
    drawn = hmac.new(salt, f"split\0{block}".encode(), hashlib.sha256).digest()[0]
    chosen = drawn % _BLOCK if block else 1 + drawn % 2
    return "validation" if place == chosen else "train"


def assign(root: Path, salt: bytes, group: str, wanted: Split | None) -> Split:
    """The side of this group, now and forever. A wish counts only for a group that is new. Under the lock."""
    if wanted is not None and wanted not in SPLITS:
        raise DatasetError(f"There is no split '{wanted}': choose one of {', '.join(SPLITS)}.")
    groups = read_split(root)
    if group not in groups:
        groups[group] = draw(salt, len(groups)) if wanted is None else wanted
        write_split(root, groups)
    return groups[group]


def in_two(cases: Iterable[tuple[str, str]]) -> set[str]:
    """Groups that appear on more than one side in (group, side) pairs."""
    seen: dict[str, str] = {}
    return {group for group, side in cases if seen.setdefault(group, side) != side}
