"""`Revision`: one accepted correction, never changed once written. A draft has the same form, in another place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.dataset.accepted import CODE, Accepted, Mask, States, TakenBack, decoded, encoded, layered
from boltzformer.dataset.disk import as_json, damaged, read_json, sha256_of
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Grid
from boltzformer.types import Annotation, LabelMap, Prompt, SliceState, Volume

STORY, LABELS, CHANGE = "revision.json", "labels.seg.nrrd", "change.seg.nrrd"
_UNTOLD = frozenset({"path", "paths", "file", "folder"})
"""What a provenance may say that holds a patient's name; so may the image's name, and a source that is a path."""


@dataclass(frozen=True)
class Revision:
    """Who accepted what, when, and what had been there before."""

    folder: Path
    number: int
    author: str
    time: str
    """ISO 8601, UTC."""
    seconds: float | None
    """Spent on editing, where the host counted them."""
    axis: int
    first: int
    """Index of the first slice in its mask files: they reach only from the first to the last slice spoken of."""
    labels: Mapping[str, int]
    """Name → value in the mask files."""
    prompts: tuple[Prompt, ...]
    slices: Mapping[str, States]
    """For every slice of the image; unseen ones are not spoken of here, whatever other revisions say."""
    changes: Mapping[str, Mapping[str, int]]
    """Name → voxels that the person added to and removed from the model's answer; empty where there was none."""
    provenance: Mapping[str, Any]
    files: Mapping[str, str]
    """Name → SHA-256."""
    taken_back: TakenBack = field(default_factory=dict[str, list[int]])

    @property
    def model_sha256(self) -> str:
        """The model whose answer was corrected; '' if there was none."""
        return str(self.provenance.get("model", {}).get("sha256", ""))

    @property
    def seed(self) -> int | None:
        """Of that answer."""
        seed = self.provenance.get("seed")
        return None if seed is None else int(seed)

    def masks(self, grid: Grid) -> dict[str, Mask]:
        """Label name → (Z, Y, X) on the image's grid."""
        return self._whole(self.planes(), grid)

    def planes(self) -> dict[str, Mask]:
        """Label name → its slices from `first` on, stacked along the first axis: a small part of a large image."""
        return self._read(LABELS)

    def answer(self, grid: Grid) -> dict[str, Mask]:
        """What the model had said in these slices, where that was kept."""
        if CHANGE not in self.files:
            return {}
        now, change = self.masks(grid), self._whole(self._read(CHANGE), grid)
        return {name: now[name] ^ change[name] for name in self.changes}

    def annotation(self, volume: Volume) -> Annotation:
        """As it was given, for its image: this is how a draft comes back."""
        labels = layered(self.masks(volume.grid), volume.grid)
        return Annotation(volume, labels, self.prompts, self.slices, self.provenance, self.axis)

    def verify(self) -> None:
        """Are the files as they were written?"""
        for name, known in self.files.items():
            if not (self.folder / name).is_file() or sha256_of(self.folder / name) != known:
                raise damaged(self.folder / name)

    def _read(self, name: str) -> dict[str, Mask]:
        if not self.labels:  # it only takes something back
            return {}
        path = self.folder / name
        if not path.is_file() or sha256_of(path) != self.files.get(name):
            raise damaged(path)
        try:
            stored = io.read_labels(path)
        except BoltzFormerError as error:
            raise damaged(path) from error
        return {label: np.moveaxis(stored.mask(value), self.axis, 0) for label, value in self.labels.items()}

    def _whole(self, planes: Mapping[str, Mask], grid: Grid) -> dict[str, Mask]:
        whole = {label: np.zeros(grid.shape, bool) for label in planes}
        for label, part in planes.items():
            np.moveaxis(whole[label], self.axis, 0)[self.first : self.first + len(part)] = part
        return whole


def write_revision(
    folder: Path,
    number: int,
    given: Mapping[str, Accepted],
    annotation: Annotation,
    *,
    author: str,
    seconds: float | None = None,
    answer: LabelMap | None = None,
    whole: bool = False,
    taken_back: TakenBack = MappingProxyType({}),
) -> None:
    """Fill a new folder; its masks reach from the first to the last slice spoken of, or over the `whole` image.

    Where the `answer` was changed is told of the same slices. Where nothing is given, there are no masks.
    """
    axis, grid = annotation.slice_axis, annotation.volume.grid
    said_of = [[s is not SliceState.UNSEEN for s in one.states] for one in given.values()]
    spoken = np.any([[False] * grid.shape[axis], *said_of], axis=0) | whole
    first, last = int(spoken.argmax()), len(spoken) - int(spoken[::-1].argmax())
    cut: list[slice] = [slice(None)] * 3
    cut[axis] = slice(first, last)
    near = _cut_grid(grid, axis, first, last)

    def keep(name: str, masks: Mapping[str, Mask]) -> None:
        io.write(layered({label: mask[tuple(cut)] for label, mask in masks.items()}, near), folder / name)

    if given:
        keep(LABELS, {name: one.mask for name, one in given.items()})
    changes: dict[str, dict[str, int]] = {}
    if given and answer is not None:
        said = {name: answer.mask(value) for value, name in answer.names.items() if name in given}
        differ = {name: np.zeros(grid.shape, bool) for name in given}
        for name, before in said.items():
            where = np.array([whole or state is not SliceState.UNSEEN for state in given[name].states])
            now = given[name].mask
            differ[name] = (now ^ before) & where.reshape([-1 if a == axis else 1 for a in range(3)])
            changes[name] = {
                "added": int((differ[name] & now).sum()),
                "removed": int((differ[name] & before).sum()),
            }
        keep(CHANGE, differ)
    names = {prompt.name for prompt in annotation.prompts}
    told = [prompt for prompt in annotation.prompts if prompt.name in given]
    told += [Prompt(name) for name in given if name not in names]
    story = {
        "revision": number,
        "author": author,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seconds": seconds,
        "labels": {name: value for value, name in enumerate(given, 1)},
        "prompts": [{"text": prompt.text, "label": prompt.name} for prompt in told],
        "axis": axis,
        "first": first,
        "slices": {name: encoded(one.states) for name, one in given.items()},
        "slices mean": {code: state.value for state, code in CODE.items()},
        **({"taken back": {name: sorted(indices) for name, indices in taken_back.items()}} if taken_back else {}),
        "changes": changes,
        "provenance": discreet(annotation.provenance),
        "files": {file.name: sha256_of(file) for file in sorted(folder.iterdir())},
    }
    (folder / STORY).write_bytes(as_json(story))


def read_revision(folder: Path) -> Revision:
    """Its words; masks are read when asked for."""
    path = folder / STORY
    told = read_json(path)
    try:
        return Revision(
            folder=folder,
            number=int(told["revision"]),
            author=str(told["author"]),
            time=str(told["time"]),
            seconds=told["seconds"],
            axis=int(told["axis"]),
            first=int(told["first"]),
            labels={str(name): int(value) for name, value in told["labels"].items()},
            prompts=tuple(Prompt(one["text"], one["label"]) for one in told["prompts"]),
            slices={str(name): decoded(text) for name, text in told["slices"].items()},
            changes=dict(told["changes"]),
            provenance=dict(told["provenance"]),
            files=dict(told["files"]),
            taken_back={str(name): [int(one) for one in rows] for name, rows in told.get("taken back", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, BoltzFormerError) as error:
        raise damaged(path) from error


def discreet(told: Mapping[str, Any]) -> dict[str, Any]:
    """A provenance without names and places of files, which may say who the patient is."""
    kept = {key: _discreet(value) for key, value in told.items()}
    for key in _UNTOLD & set(kept):
        del kept[key]
    if set(str(kept.get("source", ""))) & set("/\\"):
        del kept["source"]
    if isinstance(kept.get("image"), dict):
        kept["image"].pop("name", None)
    return kept


def _discreet(value: Any) -> Any:
    if isinstance(value, Mapping):
        return discreet(value)
    return [_discreet(one) for one in value] if isinstance(value, list | tuple) else value


def _cut_grid(grid: Grid, axis: int, first: int, last: int) -> Grid:
    shape, ijk = list(grid.shape), [0, 0, 0]
    shape[axis], ijk[2 - axis] = last - first, first
    return Grid((shape[0], shape[1], shape[2]), grid.axes, tuple(grid.world(ijk).tolist()))
