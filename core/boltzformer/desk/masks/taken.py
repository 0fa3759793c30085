"""`Taken`: answers that were offered and taken. An undo leads to before that and a redo behind it, with all that was
known of the slice then: what is hidden of it, what a person drew, what was offered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.kept import Kept
from boltzformer.desk.masks.whose import Bits, Drawn, Whose
from boltzformer.desk.ports import Mask


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

    def standing(self, row: int, mask: Mask) -> Standing:
        """As it is now."""
        whose = self._whose
        bits = np.packbits(mask), whose.written.get(row), whose.hidden.get(row), self._offered.get(row)
        whose_row = row in whose.whole, row in whose.elsewhere
        return Standing(*bits, whose.drawn, *whose_row, self.source, self._kept.of(row))

    def note(self, row: int, before: Standing, mask: Mask) -> None:
        """It is taken: the mask is this one now."""
        self._known[row] = before, self.standing(row, mask)

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
