"""`Taken`: answers that were offered and taken. An undo leads to before that and a redo behind it, with all that was
known of the slice then: what is hidden of it, what a person drew, what was offered. Also what there was before an
answer that is dropped, and before an answer was shown otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.kept import Kept
from boltzformer.desk.masks.known import Facts, Known
from boltzformer.desk.masks.whose import Bits, Drawn, Whose
from boltzformer.desk.ports import Mask

MOST_SHOWN = 8
"""So many masks of one answer, at other thresholds, are remembered of a slice."""


@dataclass(frozen=True)
class Standing:
    """How it stood with one slice."""

    voxels: Bits
    written: Bits | None
    hidden: Bits | None
    offered: Bits | None
    drawn: Drawn | None
    whole: bool
    elsewhere: bool
    source: Kept | None
    kept: Kept | None


class Taken:
    """Of one mask: the last that was taken of each row."""

    def __init__(self, whose: Whose, offered: dict[int, Bits], kept: Answers) -> None:
        self.source: Kept | None = None
        """Of a picture: the answer that was written last, which is another than the one that was offered last."""
        self._whose, self._offered, self._kept = whose, offered, kept
        self._known: dict[int, tuple[Standing, Standing]] = {}
        self.before: dict[int, Known] = {}
        """Of slices that are a person's: what was known before the answer that is offered."""
        self.by: dict[int, int] = {}
        """The run that offered it."""
        self.undone: set[int] = set()
        """Where an undo led to the same answer as it was shown before: no step leads from there to what is shown."""
        self._shown: dict[int, list[Bits]] = {}

    def standing(self, row: int, mask: Mask) -> Standing:
        """As it is now."""
        whose = self._whose
        bits = np.packbits(mask), whose.written.get(row), whose.hidden.get(row), self._offered.get(row)
        whose_row = row in whose.whole, row in whose.elsewhere
        return Standing(*bits, whose.drawn, *whose_row, self.source, self._kept.of(row))

    def note(self, row: int, before: Standing, mask: Mask) -> None:
        """It is taken: the mask is this one now."""
        self._known[row] = before, self.standing(row, mask)

    def last_offer(self) -> int:
        """The last run of those whose answers are still offered; 0 where none is."""
        return max((self.by.get(row, 0) for row in self._offered), default=0)

    def shows(self, row: int, *, again: bool) -> None:
        """The model's answer is about to be written. `again`: as before, shown otherwise, where an undo may lead."""
        if not again:
            self._shown.pop(row, None)
        elif (written := self._whose.written.get(row)) is not None and written.any():  # blank, a person left it, too
            self._shown[row] = [*self._shown.get(row, ()), written][-MOST_SHOWN:]
        self.undone.discard(row)

    def drop(self, row: int, facts: Facts) -> None:
        """The answer that was offered: what was known before it is known again."""
        if (before := self.before.pop(row, None)) is not None:
            facts.back(row, before)
            if (written := self._whose.written.get(row)) is not None and row in self._kept.looked:
                self._kept.remains(row, int(np.unpackbits(written).sum()), cut=False)

    def look_again(self, row: int, mask: Mask) -> None:
        """After an undo or redo; where the model was asked once more meanwhile, nothing of then holds."""
        now, kept = np.packbits(mask), self._kept.of(row)
        then = next(
            (one for one in self._known.get(row, ()) if one.kept is kept and np.array_equal(one.voxels, now)), None
        )
        if then is not None:
            whose = self._whose
            self.source, whose.drawn = then.source, then.drawn
            (whose.whole.add if then.whole else whose.whole.discard)(row)
            (whose.elsewhere.add if then.elsewhere else whose.elsewhere.discard)(row)
            held = (whose.written, then.written), (whose.hidden, then.hidden), (self._offered, then.offered)
            for known, bits in held:
                known.pop(row, None)
                if bits is not None:
                    known[row] = bits
        elif self._is_shown_before(row, now):
            self._whose.written[row] = now
            self._whose.hidden.pop(row, None)
            self._kept.is_another(row)
            self.undone.add(row)

    def _is_shown_before(self, row: int, now: Bits) -> bool:
        """Whether it is the answer as it was shown at other thresholds than it is known by."""
        written, others = self._whose.written.get(row), self._shown.get(row, ())
        if written is None or self._whose.drawn is not None or np.array_equal(written, now):
            return False
        return any(np.array_equal(one, now) for one in others)
