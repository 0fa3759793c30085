"""`Whole`: a mask with what is hidden of it, as it is judged beside the viewer: which objects are too small, and what
then remains to be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.masks.deleted import Deleted
from boltzformer.desk.masks.kept import Kept, Thresholds
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.whose import Bits, Drawn, Whose, unpacked
from boltzformer.masks.cells import parted
from boltzformer.masks.objects import staying
from boltzformer.masks.strands import Strands
from boltzformer.types import SliceState


@dataclass(frozen=True)
class Whole:
    """One mask with what is hidden of it, copied: to be judged beside the viewer."""

    shown: NDArray[np.bool_]
    """(slices, rows, columns): as the viewer shows it."""
    rows: NDArray[np.bool_]
    """The same with what is hidden."""
    fixed: frozenset[int]
    """Rows that are a person's: they stay, and so do all objects of theirs."""
    at: Thresholds
    voxel_mm3: float
    answer: Kept | None = None
    """Of a picture."""
    drawn: Drawn | None = None
    """A person's strokes on a picture, in `rows` only the model's: what they drew stays, and so do its objects."""
    lines: Bits | None = None
    """Of a picture that was parted on an earlier day."""
    beside: frozenset[int] = frozenset()
    """Of the fixed rows, those in which objects have been hidden since before a person changed them: they may come
    back."""
    deleted: Deleted = field(default_factory=Deleted)
    """Of a volume: the model's objects that a person took out as a whole, which `rows` still has."""

    @staticmethod
    def of(
        shown: NDArray[np.uint8],
        whose: Whose,
        fixed: frozenset[int],
        said: frozenset[int],
        at: Thresholds,
        voxel_mm3: float,
        answer: Kept | None = None,
    ) -> Whole:
        """`shown` is its own copy; where a person said something (`said`) nothing comes back."""
        seen = shown > 0
        rows, beside = seen.copy(), (whose.hidden.keys() - said) & fixed
        for row, bits in whose.hidden.items():
            if row not in said:
                rows[row] |= unpacked(bits, rows.shape[1:]) > 0
        drawn, model = whose.drawn, whose.answered(0)
        if drawn is None or model is None or 0 in fixed:
            drawn = None
        else:
            rows = unpacked(model, rows.shape[1:])[None] > 0
        deleted = Deleted.of(seen, rows, whose.written, fixed - said) if len(rows) > 1 else Deleted()
        for row, gone in deleted.what.items():
            rows[row] |= gone
        return Whole(seen, rows, fixed, at, voxel_mm3, answer, drawn, whose.lines.get(0), frozenset(beside), deleted)

    @property
    def closed(self) -> frozenset[int]:
        """Rows in which nothing is hidden, and nothing comes back."""
        return self.fixed - self.beside - self.deleted.alone

    def gone(self) -> tuple[NDArray[np.bool_], int]:
        """(slices, rows, columns): what of the rows is too small, and how many objects that is; of a picture also the
        lines between objects."""
        if not self.at.of_objects or not self.rows.any():
            return np.zeros_like(self.rows), 0
        apart = self.apart
        found = Strands.of(apart)  # the model's alone: no stroke changes which of its objects are the largest
        stay = staying(found.sizes, self.voxel_mm3, self.at.smallest_mm3, self.at.largest)
        for row in self.closed:
            stay[found.in_slice(row)] = True
        if mixed := self.beside - self.deleted.alone:
            theirs = np.zeros_like(self.rows)
            for row in mixed:
                theirs[row] = self.shown[row]
            stay[found.under(theirs)] = True
        small = ~stay
        if self.deleted.what:
            small &= found.sizes > found.within(self.deleted.mask(self.rows.shape))
        if self.drawn is not None:
            stay[found.under(self._in_hand(apart))] = True
            left = np.zeros_like(stay)
            left[found.under(self.with_strokes(apart))] = True
            small = ~stay & left
        gone = self._still_there(found.mask(~stay))
        if apart is not self.rows:
            gone |= self.rows & ~apart
        return gone, int(np.count_nonzero(small))

    def _in_hand(self, apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(1, rows, columns): of a picture, the objects that a person drew on or cut."""
        from scipy.ndimage import binary_dilation

        assert self.drawn is not None
        added, erased = (unpacked(bits, apart.shape[1:]) > 0 for bits in (self.drawn.added, self.drawn.erased))
        shown = Strands.of(self.with_strokes(apart))
        theirs = np.zeros(shown.count + 1, bool)
        theirs[shown.under((added | binary_dilation(erased, np.ones((3, 3))))[None])] = True
        return shown.mask(theirs)

    @cached_property
    def apart(self) -> NDArray[np.bool_]:
        """Each object by itself, if they are to be. Of an answer of an earlier day the logits are gone."""
        if not self.at.apart or len(self.rows) > 1 or 0 in self.fixed:
            return self.rows
        if self.answer is not None:
            return parted(self.rows[0], self.answer.logits())[None]
        return self.rows if self.lines is None else self.rows & ~(unpacked(self.lines, self.rows.shape[1:]) > 0)

    def remaining(self) -> NDArray[np.bool_]:
        """(slices, rows, columns): as it is to be shown."""
        return self.with_strokes(self._still_there(self.rows & ~self.gone()[0]))

    def _still_there(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """These, without what a person deleted."""
        for row, away in self.deleted.what.items():
            rows[row] &= ~away
        return rows

    def with_strokes(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What a person drew on a picture, on top."""
        if self.drawn is None:
            return rows
        return unpacked(self.drawn.over(np.packbits(rows[0])), rows.shape[1:])[None] > 0


def whole_of(track: Track, taken: int | None = None) -> Callable[[], Whole]:
    """Copies a mask now; what takes longer is done where it is called. `taken`: as it will be once the answer that is
    offered for this row is taken."""
    fixed, rows, whose = track.fixed, track.surface.copy(), track.whose.copy()
    said = closed(track)
    if taken is not None:
        fixed, said = fixed - {taken}, said - {taken}
        rows[taken], whose.drawn = track.proposed(taken), None
        whose.wrote(taken, rows[taken] > 0)
    args = rows, whose, fixed, said, track.kept.thresholds
    return partial(Whole.of, *args, track.image.scale.voxel_mm3, answer_of(track))


def answer_of(track: Track) -> Kept | None:
    """By which a picture's objects are parted."""
    return track.kept.of(0) if track.count == 1 else None


def closed(track: Track) -> frozenset[int]:
    """Rows that a person called right, or in which an answer waits for them: nothing comes back there."""
    return frozenset(row for row in track.fixed if is_closed(track, row))


def is_closed(track: Track, row: int) -> bool:
    """One of them."""
    said = track.state(row) is not SliceState.UNSEEN
    return said or row in track.whose.whole or row in track.proposals
