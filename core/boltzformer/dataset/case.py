"""`Case`: one image with all that people said about it; `Lesson`: one of its slices, ready for training."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.dataset.accepted import Accepted, Mask, States, TakenBack, layered
from boltzformer.dataset.disk import damaged, read_json
from boltzformer.dataset.identity import PRIVATE, SPLITS, Split
from boltzformer.dataset.revision import Revision, read_revision
from boltzformer.errors import BoltzFormerError, DatasetError
from boltzformer.image.geometry import Array, Grid
from boltzformer.image.hashing import hash_of_voxels
from boltzformer.types import Annotation, LabelMap, Prompt, SliceState, Volume

IMAGES = ("image.nii.gz", "image.nrrd")
"""What a copied image is called; NRRD where NIfTI can't hold its values."""


@dataclass(frozen=True)
class Lesson:
    """One slice that a person has judged. What nobody looked at is in none of the three lists: it is unknown."""

    case: str
    group: str
    split: Split
    index: int
    """Along `Case.axis` of the stored array."""
    present: tuple[str, ...]
    """Labels with a mask here."""
    absent: tuple[str, ...]
    """Labels of which a person said that there are none: they teach existence."""
    ignored: tuple[str, ...]
    """Labels that must not be trained on here."""


@dataclass(frozen=True)
class Case:
    """As it is on the disk at this moment; masks and image are read when first asked for."""

    root: Path
    id: str
    group: str
    """The patient, as a salted hash."""
    split: Split
    grid: Grid
    """Exactly the image's own, in double precision."""
    axis: int
    """Array axis along which the slices are counted."""
    stacking_axis: int | None
    placed: bool
    """Whether the image's file said that a voxel is 1 mm; what was kept before this was noted doesn't say so."""
    modality: str
    image_sha256: str
    image_file: str
    """'' if the image stayed where it was."""
    origin: Mapping[str, Any]
    """What an import knew: dataset, licence, …"""
    revisions: tuple[Revision, ...]

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.root / "cases" / self.id

    @cached_property
    def volume(self) -> Volume:
        """The image; it must be the very one that was annotated."""
        path = self.folder / self.image_file if self.image_file else self._place()
        try:
            volume = io.read(path)
        except BoltzFormerError as error:
            raise DatasetError(f"The image of {self.id} can't be read: {error}") from error
        if volume.array.shape[:3] != self.grid.shape or hash_of_voxels(volume.array) != self.image_sha256:
            if self.image_file:
                raise DatasetError(f"{path} is not the image that was annotated: restore it from a backup.")
            raise DatasetError(f"The image that {self.id} refers to holds other voxels now: put the old file back.")
        placed = self.placed if self.image_file else volume.placed  # a copy's own header tells a place of everything
        about = replace(volume, modality=self.modality, name=self.id)
        return replace(about, grid=self.grid, stacking_axis=self.stacking_axis, placed=placed)

    @cached_property
    def states(self) -> Mapping[str, States]:
        """Label name → the last word on every slice."""
        return {
            name: tuple(
                SliceState.UNSEEN if at is None else self.revisions[at].slices[name][index]
                for index, at in enumerate(where)
            )
            for name, where in self._last_words.items()
        }

    def texts(self, label: str) -> tuple[str, ...]:
        """Phrasings of a label, the usual one first."""
        told = [p.text for revision in reversed(self.revisions) for p in revision.prompts if p.name == label]
        return tuple(dict.fromkeys(told)) or (label,)

    def mask(self, label: str) -> Mask:
        """(Z, Y, X): what was accepted of a label; nothing where nobody looked."""
        return self._masks[label]

    def answers(self) -> dict[str, tuple[Mask, frozenset[int]]]:
        """Label → (Z, Y, X): what the model had said before people corrected it, and in which slices that is known."""
        found = {name: (mask.copy(), set[int]()) for name, mask in self._masks.items()}
        for at, revision in enumerate(self.revisions):
            mine = {name: [i for i, w in enumerate(where) if w == at] for name, where in self._last_words.items()}
            for name, mask in revision.answer(self.grid).items() if any(mine.values()) else ():
                if rows := mine.get(name):  # else another's word holds there, or all of it was taken back
                    whole, known = found[name]
                    np.moveaxis(whole, self.axis, 0)[rows] = np.moveaxis(mask, self.axis, 0)[rows]
                    known.update(rows)
        return {name: (mask, frozenset(known)) for name, (mask, known) in found.items()}

    @property
    def labels(self) -> LabelMap:
        """All that was accepted."""
        return layered(self._masks, self.grid)

    @property
    def annotation(self) -> Annotation:
        """All of it with the image, e.g. to go on with yesterday's case."""
        prompts = tuple(Prompt(text, label) for label in self.states for text in self.texts(label))
        provenance = self.revisions[-1].provenance if self.revisions else {}
        return Annotation(self.volume, self.labels, prompts, self.states, provenance, self.axis)

    @cached_property
    def accepted(self) -> Mapping[str, Accepted]:
        """States and masks together."""
        return {name: Accepted(self.states[name], mask) for name, mask in self._masks.items()}

    def as_of(self, number: int) -> Case:
        """As it was after that revision."""
        if number and number not in {revision.number for revision in self.revisions}:
            raise DatasetError(f"{self.id} has no revision {number}: it has {[r.number for r in self.revisions]}.")
        return replace(self, revisions=tuple(revision for revision in self.revisions if revision.number <= number))

    @cached_property
    def lessons(self) -> tuple[Lesson, ...]:
        """Every slice that somebody has judged; found without reading a mask or the image."""
        found = []
        for index in range(self.grid.shape[self.axis]):
            by: dict[SliceState, list[str]] = {state: [] for state in SliceState}
            for label, states in self.states.items():
                by[states[index]].append(label)
            present, absent, ignored = (
                tuple(by[state]) for state in (SliceState.REVIEWED, SliceState.EMPTY, SliceState.IGNORED)
            )
            if present or absent or ignored:
                found.append(Lesson(self.id, self.group, self.split, index, present, absent, ignored))
        return tuple(found)

    def plane(self, array: Array, index: int) -> Array:
        """One slice of an image or mask, (rows, columns) or with colours, as people and the network see it."""
        view = self.grid.canonical(self.axis)
        return view.apply(array)[self.grid.shape[self.axis] - 1 - index if view.flips[0] else index]

    @cached_property
    def _words(self) -> Mapping[str, list[list[int]]]:
        """Label name → for every slice the places of the revisions that spoke of it, but for what was taken back."""
        words: dict[str, list[list[int]]] = {}
        for at, revision in enumerate(self.revisions):
            for name, indices in revision.taken_back.items():
                for index, said in enumerate(words.get(name, ())):
                    del said[max(len(said) - indices.count(index), 0) :]
            for name, states in revision.slices.items():
                every = words.setdefault(name, [[] for _ in range(self.grid.shape[self.axis])])
                for index, state in enumerate(states):
                    if state is not SliceState.UNSEEN:
                        every[index].append(at)
        return words

    @cached_property
    def _last_words(self) -> Mapping[str, list[int | None]]:
        """The last of these."""
        words = self._words.items()
        return {name: [said[-1] if said else None for said in every] for name, every in words if any(every)}

    def said_since(self, time: str) -> dict[str, frozenset[int]]:
        """Label name → slices of which the word that holds is newer than that."""
        new = {at for at, revision in enumerate(self.revisions) if revision.time > time}
        return {
            name: frozenset(n for n, at in enumerate(where) if at in new) for name, where in self._last_words.items()
        }

    def taken_back(self, asked: TakenBack, since: int | None) -> TakenBack:
        """Of these, those of which a word stands that is no newer than revision `since`: what another writer has said
        meanwhile stays. So often, at most, as there are such words."""
        found: dict[str, list[int]] = {}
        for name, indices in asked.items():
            rows: list[int] = []
            for index, said in enumerate(self._words.get(name, ())):
                new = [since is not None and self.revisions[at].number > since for at in reversed(said)]
                old = new.index(True) if True in new else len(new)
                rows += [index] * min(indices.count(index), old)
            if rows:
                found[name] = rows
        return found

    @cached_property
    def _masks(self) -> dict[str, Mask]:
        whole = {name: np.zeros(self.grid.shape, bool) for name in self._last_words}
        for at, revision in enumerate(self.revisions):
            mine = {name: [i for i, w in enumerate(where) if w == at] for name, where in self._last_words.items()}
            if any(mine.values()):
                parts = revision.planes()
                for name, indices in mine.items():
                    if indices:
                        planes = np.moveaxis(whole[name], self.axis, 0)
                        planes[indices] = parts[name][[index - revision.first for index in indices]]
        return whole

    def _place(self) -> Path:
        places = self.root / PRIVATE / "places.json"
        known = read_json(places) if places.is_file() else {}
        if self.image_sha256 not in known:
            raise DatasetError(
                f"The image of {self.id} was not copied in, and {places} does not say where it is on this computer: "
                f'add a line "{self.image_sha256}": "PATH".'
            )
        return Path(known[self.image_sha256])


def revision_names(folder: Path) -> list[str]:
    """Of a case or draft folder, in order."""
    try:
        return sorted((name for name in os.listdir(folder) if re.fullmatch(r"[0-9]{1,18}", name)), key=int)
    except FileNotFoundError:
        return []


def case_names(root: Path) -> list[str]:
    """The cases that are there."""
    try:
        return sorted(name for name in os.listdir(root / "cases") if not name.startswith("."))
    except FileNotFoundError:
        return []


def read_case(root: Path, case: str) -> Case:
    """Its words; nothing large is read."""
    folder = root / "cases" / case
    if not folder.is_dir():
        raise DatasetError(f"{root} has no case '{case}': `boltzformer dataset list` shows those that are there.")
    path = folder / "case.json"
    told = read_json(path)
    try:
        place = told["grid"]
        facts: dict[str, Any] = {
            "group": told["group"],
            "split": told["split"],
            "grid": Grid(tuple(place["shape_zyx"]), place["axes_lps_mm"], place["origin_lps_mm"]),
            "axis": told["axis"],
            "stacking_axis": told["stacking_axis"],
            "placed": told.get("placed", False) is True,
            "modality": told["modality"],
            "image_sha256": told["image"]["sha256"],
            "image_file": told["image"]["file"],
            "origin": told["origin"],
        }
        sound = facts["split"] in SPLITS and facts["axis"] in (0, 1, 2) and facts["image_file"] in ("", *IMAGES)
    except (KeyError, TypeError, ValueError, BoltzFormerError) as error:
        raise damaged(path) from error
    if not sound:
        raise damaged(path)
    names = revision_names(folder / "revisions")
    revisions = tuple(read_revision(folder / "revisions" / name) for name in names)
    return Case(root, case, revisions=revisions, **facts)
