"""Absent prompts: which targets are provably not in an image, by the two rules of the data, and draws of them.

Every listed target is present; what is not listed is unknown. Provably absent are: a target of another modality
(easy); and (hard) a listed target in a window of its image that holds no pixel of it, or a target that the same source
labels in other images but not in this one.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from boltzformer.image.geometry import Array
from boltzformer.knowledge.manifest import Row
from boltzformer.knowledge.suggestions import modality_named

Kind = Literal["easy", "hard"]
Window = tuple[int, int, int, int]
"""x, y, width, height in pixels."""
LEAST = 0.4
"""Smallest side of an empty window, as a share of the image's: less would show no anatomy."""
_SAME = {"pathology": "microscopy", "electron microscopy": "microscopy", "octa": "OCT", "dermoscopy": "photograph"}
"""Modalities near enough that a target of the one may well be in an image of the other."""
_SAID = re.compile(r"(?:absent[ _-])?(easy|hard)")
_MIXED = ("bpdemo",)
"""Sources that join many data sets: what one of them labels elsewhere may be here, unlabelled."""


@dataclass(frozen=True)
class Candidate:
    """A target as it is asked for in one modality."""

    target: str
    modality: str
    """As `family` names it."""
    prompts: tuple[str, ...]
    """The first is the usual phrasing."""


@dataclass(frozen=True)
class Absent:
    """A prompt whose object is not in the image, or not in this window of it."""

    row: Row
    """Any row of the image."""
    target: str
    prompts: tuple[str, ...]
    kind: Kind
    rule: str
    window: Window | None = None


def family(modality: str) -> str:
    """One name for modalities that show the same things: MRI-FLAIR is MR, pathology is microscopy; '' is unknown."""
    said = modality.strip().lower()
    return _SAME.get(said) or modality_named(said) or modality_named(said.split("-")[0]) or said


@dataclass(frozen=True)
class Listed:
    """What a manifest says is where. Make it from all rows, whatever part of them is used."""

    candidates: tuple[Candidate, ...]
    families: Mapping[str, frozenset[str]]
    """Target → modalities that show it."""
    targets: Mapping[Path, frozenset[str]]
    """Image → targets that are in it."""
    sources: Mapping[str, tuple[Candidate, ...]]
    """Source → what it labels."""

    @staticmethod
    def of(rows: Sequence[Row], known: Sequence[Candidate] = ()) -> Listed:
        """`known` tells of more modalities that show a target, e.g. those that a model was taught it in."""
        present = [row for row in rows if row.mask is not None]
        families: dict[str, set[str]] = defaultdict(set)
        targets: dict[Path, set[str]] = defaultdict(set)
        sources: dict[str, list[Row]] = defaultdict(list)
        for row in present:
            families[row.target].add(family(row.modality))
            targets[row.image].add(row.target)
            if row.source and not row.centred:
                sources[row.source].append(row)
        for one in known:
            families[one.target].add(one.modality)
        return Listed(
            _candidates(present),
            {target: frozenset(names) for target, names in families.items()},
            {image: frozenset(names) for image, names in targets.items()},
            {source: _candidates(some) for source, some in sources.items()},
        )

    def kind(self, row: Row) -> Kind:
        """Of a row without a mask: as one of its fields says ('easy' or 'hard'), else by the modalities."""
        said = [found[1] for value in row.notes.values() if (found := _SAID.fullmatch(str(value)))]
        shown = self.families.get(row.target, frozenset())
        other = bool(shown) and "" not in (here := family(row.modality), *shown) and here not in shown
        return "easy" if said == ["easy"] or (other and not said) else "hard"

    def of_another_modality(self, row: Row, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Easy: those of the candidates whose target is never listed in this row's modality."""
        here = family(row.modality)
        return tuple(
            one
            for one in candidates
            if here and one.modality not in ("", here) and here not in self.families.get(one.target, frozenset())
        )

    def elsewhere_in_source(self, row: Row) -> tuple[Candidate, ...]:
        """Hard: what the row's source labels in other images of the modality, but not in this one."""
        here, listed = family(row.modality), self.targets.get(row.image, frozenset())
        if row.source in _MIXED:
            return ()
        return tuple(
            one
            for one in self.sources.get(row.source, ())
            if one.modality == here and one.target not in listed and not _vanished(row, one.target)
        )


def _vanished(row: Row, target: str) -> bool:
    """Known gaps: microaneurysms too small for 512 px were dropped, spinal canals are not labelled on every slice."""
    dropped = target == "microaneurysm" and row.source.startswith("idrid") and row.crop is None
    return dropped or (target == "spinal canal" and row.source.startswith("spider"))


def _candidates(rows: Sequence[Row]) -> tuple[Candidate, ...]:
    """One per target and modality, with the phrasings that are used most."""
    said: dict[tuple[str, str], Counter[tuple[str, ...]]] = defaultdict(Counter)
    for row in rows:
        said[row.target, family(row.modality)][row.prompts] += 1
    return tuple(Candidate(*key, said[key].most_common(1)[0][0]) for key in sorted(said))


def empty_window(mask: Array, rng: np.random.Generator) -> Window | None:
    """A window of at least `LEAST` of each side without a pixel of the mask (y, x); None where there is no room."""
    rows, columns = mask.shape
    share = rng.uniform(LEAST, 1)
    for side in (share, (share + LEAST) / 2, LEAST):  # as large as drawn if that fits, else smaller
        height, width = int(np.ceil(side * rows)), int(np.ceil(side * columns))
        sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        free = np.flatnonzero(inside == 0)
        if len(free):
            y, x = np.unravel_index(int(rng.choice(free)), inside.shape)
            return int(x), int(y), width, height
    return None


def draw(
    images: Mapping[Path, Sequence[Row]],
    listed: Listed,
    candidates: Sequence[Candidate],
    taught: Sequence[Candidate],
    mask_of: Callable[[Row], Array | None],
    seed: int,
) -> list[Absent]:
    """One easy and one hard absent prompt per image where there are any. An image's draw depends on it and the seed.

    Easy ones come from the candidates, or from what a model was taught where none of them fits. `mask_of` gives a row's
    mask (y, x), or None where windows can't be cut, as in volumes.
    """
    drawn: list[Absent] = []
    for image, rows in images.items():
        rng, first = np.random.default_rng([seed, zlib.crc32(image.name.encode())]), rows[0]
        easy = listed.of_another_modality(first, candidates) or listed.of_another_modality(first, taught)
        if easy:
            one = easy[int(rng.integers(len(easy)))]
            drawn.append(Absent(first, one.target, one.prompts, "easy", "another modality"))
        elsewhere = listed.elsewhere_in_source(first)
        windowed = _windowed(rows, mask_of, rng)
        if elsewhere and (windowed is None or rng.random() < 0.5):
            one = elsewhere[int(rng.integers(len(elsewhere)))]
            drawn.append(Absent(first, one.target, one.prompts, "hard", "elsewhere in the source"))
        elif windowed:
            drawn.append(windowed)
    return drawn


def _windowed(rows: Sequence[Row], mask_of: Callable[[Row], Array | None], rng: np.random.Generator) -> Absent | None:
    for place in rng.permutation(len(rows)):
        row = rows[int(place)]
        mask = mask_of(row) if row.mask is not None else None
        window = None if mask is None else empty_window(mask, rng)
        if window:
            return Absent(row, row.target, row.prompts, "hard", "empty window", window)
    return None
