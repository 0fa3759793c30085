"""`Deleted`: which of the model's objects a person took out of a volume as a whole. They looked at those, not at all
else that the slices hold: there the filter for sizes goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.whose import Bits, unpacked
from boltzformer.masks.strands import Strands

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Deleted:
    """Known by what the model wrote: an undo needs no telling."""

    what: Mapping[int, Mask] = field(default_factory=dict[int, Mask])
    """By row. It counts still when the largest are chosen, or others that were hidden would take its place."""
    alone: frozenset[int] = frozenset()
    """Of these rows, those in which a person did nothing else."""

    @staticmethod
    def of(shown: Mask, rows: Mask, written: Mapping[int, Bits], theirs: Collection[int]) -> Deleted:
        """(slices, rows, columns): what is `shown`, and `rows` with what is hidden. `theirs`: slices that a person
        changed and did not call right."""
        erased: dict[int, Mask] = {}
        for row in theirs:
            if row in written:
                less = (unpacked(written[row], rows.shape[1:]) > 0) & ~rows[row]
                if less.any():
                    erased[row] = less
        if not erased:
            return Deleted()
        first, last = max(min(erased) - 1, 0), max(erased) + 1  # what touches them tells whether anything is left
        near = rows[first : last + 1]
        away = np.zeros_like(near)
        for row, less in erased.items():
            away[row - first] = less
        found = Strands.of(near | away)
        whole = found.mask((found.within(away) == found.sizes) & (found.sizes > 0))
        what = {row: gone for row, less in erased.items() if (gone := less & whole[row - first]).any()}
        wrote = {row: unpacked(written[row], rows.shape[1:]) > 0 for row in what}
        alone = {row for row, gone in what.items() if np.array_equal(shown[row] | gone, wrote[row])}
        return Deleted(what, frozenset(alone))

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """(slices, rows, columns)."""
        whole = np.zeros(shape, bool)
        for row, gone in self.what.items():
            whole[row] = gone
        return whole
