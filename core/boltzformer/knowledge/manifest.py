"""Manifests: one JSON line per image and mask, and the split that keeps a patient's images on one side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from boltzformer.errors import BoltzFormerError
from boltzformer.json_text import loads, text_of

Part = Literal["train", "validation"]
SPLIT = "split.json"
"""Beside a manifest: which of its groups are held back."""
LICENSED = "licence_allows"
"""What `commercial_use` says where weights that are passed on may be made from it."""
CENTRED = "nodule-centred"
"""How the `crop` of a row begins whose object always lies in the middle: a model could guess it."""


@dataclass(frozen=True)
class Row:
    """An image and one target's mask on it."""

    number: int
    """Line of the manifest, from 0."""
    image: Path
    mask: Path | None
    """None: the target is known to be absent."""
    label: int | None
    """Value of the target where the mask is a volume of labels."""
    target: str
    prompts: tuple[str, ...]
    """The first is the usual phrasing."""
    group: str
    """Images of one group share a patient or nearly all pixels: they never lie on two sides of a split."""
    modality: str = ""
    anatomy: str = ""
    source: str = ""
    crop: str | tuple[int, ...] | None = None
    licensed: bool = False
    """Whether weights that are passed on may be made from it."""
    notes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Everything else that the line says."""

    @property
    def centred(self) -> bool:
        """Whether the object's place gives it away."""
        return isinstance(self.crop, str) and self.crop.startswith(CENTRED)


NEEDED = ("image", "mask", "target", "prompts", "group_id")


def read_manifest(path: Path) -> tuple[Row, ...]:
    """All rows, in the file's order; their paths are relative to its folder. The field `split` is ignored."""
    rows = []
    for number, line in enumerate(_text(path).splitlines()):
        if not line.strip():
            raise BoltzFormerError(f"Line {number + 1} of {path} is empty: remove it.")
        try:
            data = loads(line)
        except ValueError as error:
            raise BoltzFormerError(f"Line {number + 1} of {path} is no JSON ({error}): mend or remove it.") from error
        rows.append(_row(path, number, data))
    if not rows:
        raise BoltzFormerError(f"{path} has no rows: give a manifest with a line per image and mask.")
    return tuple(rows)


def _row(path: Path, number: int, data: Any) -> Row:
    where = f"Line {number + 1} of {path}"
    if not isinstance(data, dict):
        raise BoltzFormerError(f"{where} is no table of names: give {', '.join(NEEDED)}.")
    missing = [name for name in NEEDED if name not in data]
    if missing:
        raise BoltzFormerError(f"{where} lacks {', '.join(missing)}: add what is missing.")
    prompts, mask, label = data["prompts"], data["mask"], data.get("label")
    texts = [data["image"], data["target"], data["group_id"], *(prompts if isinstance(prompts, list) else [None])]
    if not all(isinstance(text, str) and text.strip() for text in texts) or not prompts:
        raise BoltzFormerError(
            f"{where}: image, target and group_id must be texts, prompts a list of at least one text."
        )
    if not (mask is None or isinstance(mask, str)) or not (label is None or type(label) is int):
        raise BoltzFormerError(f"{where}: mask must be a path or null, label a whole number.")
    crop = data.get("crop")
    return Row(
        number=number,
        image=path.parent / data["image"],
        mask=None if mask is None else path.parent / mask,
        label=label,
        target=data["target"],
        prompts=tuple(prompts),
        group=data["group_id"],
        modality=str(data.get("modality") or ""),
        anatomy=str(data.get("anatomy") or ""),
        source=str(data.get("source") or ""),
        crop=tuple(crop) if isinstance(crop, list) else crop,
        licensed=data.get("commercial_use") == LICENSED,
        notes=data,
    )


def read_split(path: Path) -> frozenset[str]:
    """The groups that are held back for validation."""
    try:
        groups = loads(_text(path))["validation_groups"]
    except (ValueError, TypeError, KeyError) as error:
        raise BoltzFormerError(f"{path} is no split: it needs a list `validation_groups`.") from error
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise BoltzFormerError(f"The validation_groups of {path} must be a list of texts.")
    return frozenset(groups)


def part_of(rows: Sequence[Row], validation: frozenset[str], part: Part) -> tuple[Row, ...]:
    """The rows of one side of the split."""
    return tuple(row for row in rows if (row.group in validation) == (part == "validation"))


def _text(path: Path) -> str:
    try:
        return text_of(path)
    except OSError as error:
        raise BoltzFormerError(
            f"{path} can't be read ({error.strerror}): give the path of a file that is there."
        ) from error
    except UnicodeDecodeError as error:
        raise BoltzFormerError(f"{path} is no text: give a manifest (.jsonl) or a split (.json).") from error
