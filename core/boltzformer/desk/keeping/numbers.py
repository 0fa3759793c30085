"""`Numbers`: one label per object: beside the mask of a picture, a picture in which each object has its own number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boltzformer import io
from boltzformer.desk.keeping.snapshot import Frozen, Snapshot
from boltzformer.desk.masks.left_out import left_out
from boltzformer.io import object_numbers
from boltzformer.io.cases import slugs
from boltzformer.io.writing import new_files
from boltzformer.masks.cells import MEANING, numbered
from boltzformer.types import Prompt


@dataclass(frozen=True)
class Numbers:
    """Of the masks whose objects lie apart."""

    masks: Snapshot
    files: Mapping[Path, Frozen]

    @staticmethod
    def of(masks: Snapshot, path: Path) -> Numbers:
        """Beside the file of the masks, named like it; none of volumes, nor where nobody asked for it."""
        stem = io.split_name(path)[0]
        names: Sequence[str] = slugs([Prompt(name) for name in masks.names])
        wanted = (one.thresholds.apart and one.shape[0] == 1 for one in masks.masks)
        files = [path.with_name(f"{stem}.{name}{object_numbers.ending(path)}") for name in names]
        found = {file: one for file, one, asked in zip(files, masks.masks, wanted, strict=True) if asked}
        return Numbers(masks, found)

    @property
    def facts(self) -> dict[str, Any]:
        """For the provenance of the masks."""
        return {file.name: {"mask": one.name, "meaning": MEANING} for file, one in self.files.items()}

    def write(self, replaceable: Collection[Path]) -> None:
        """All of them, also over these files; not on the viewer's thread."""
        view = self.masks.plan.view
        for file, one in self.files.items():
            shown, grid = one.sized, self.masks.volume.grid
            found = numbered(view.undo(shown > 0), grid)  # as the table counts, which has those that are left out, too
            found[view.undo(left_out(shown, one.excluded)[0])] = 0
            with new_files([file], overwrite=replaceable) as (target,):
                object_numbers.write(target, file, found, grid)
