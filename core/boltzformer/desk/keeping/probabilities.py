"""The model's own probabilities as files beside exported masks: on the stored grid, before thresholds and edits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.desk.image import plan_of
from boltzformer.desk.keeping.snapshot import unique_names
from boltzformer.desk.masks.answers import Kept
from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import ViewerWords
from boltzformer.errors import BoltzFormerError
from boltzformer.io.cases import slugs
from boltzformer.masks.postprocess import sigmoid
from boltzformer.types import Prompt, Volume

MEANING = "the model's probability of each voxel, before thresholds and edits; 0 where it has not looked"
KINDS = (".nii", ".nii.gz", ".nrrd", ".mha")


@dataclass(frozen=True)
class Maps:
    """One per mask that the model has answered; its answers are held, so that it can be written while they change."""

    volume: Volume
    kept: Mapping[Path, Mapping[int, Kept]]
    """By file, then by row."""
    facts: Mapping[str, Any]
    """For the provenance of the masks."""

    @staticmethod
    def of(volume: Volume, tracks: Sequence[Track], masks: Path, words: ViewerWords) -> Maps:
        """Beside the file of the masks, named like it."""
        stem, extension = io.split_name(masks)
        extension = extension if extension in KINDS else ".nii.gz"
        names, plan = unique_names(tracks), plan_of(volume)
        kept: dict[Path, Mapping[int, Kept]] = {}
        facts: dict[str, Any] = {}
        for slug, name, track in zip(slugs([Prompt(name) for name in names]), names, tracks, strict=True):
            file = masks.with_name(f"{stem}.{slug}.probability{extension}")
            rows = {row: answer for row in track.kept.rows if (answer := track.kept.of(row)) is not None}
            if rows:
                kept[file] = rows
                looked = sorted(plan.canonical_index(row) for row in rows)
                facts[file.name] = {"mask": name, "prompt": track.prompt.text, "meaning": MEANING, "slices": looked}
        if not kept:
            raise BoltzFormerError(
                "There are no probabilities to write: the model has not looked at this image since it was opened. "
                f"Run the prompt, or {words.without_maps}"
            )
        return Maps(volume, kept, facts)

    def write(self, replaceable: Collection[Path]) -> None:
        """All of them, also over these files; not on the viewer's thread."""
        for file, rows in self.kept.items():
            io.write_volume(replace(self.volume, array=self._stored(rows)), file, overwrite=file in replaceable)

    def _stored(self, rows: Mapping[int, Kept]) -> NDArray[np.float32]:
        """(z, y, x)."""
        stored = np.zeros(self.volume.grid.shape, np.float32)
        seen = plan_of(self.volume).view.apply(stored)
        for row, kept in rows.items():
            seen[row] = sigmoid(kept.logits())
        return stored
