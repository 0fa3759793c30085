"""Whose is a slice? What the model wrote and what a person said of it, held against the voxels as they are."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from boltzformer.types import SliceState

Bits = NDArray[np.uint8]
"""A slice's mask, packed."""


@dataclass(frozen=True)
class Drawn:
    """What a person's strokes say of a picture, whatever the model says: packed, like its mask."""

    added: Bits
    erased: Bits

    def over(self, bits: Bits) -> Bits:
        """The model's mask with the strokes on top."""
        return (bits | self.added) & ~self.erased


@dataclass
class Whose:
    """By row. It holds no voxels of the viewer's, so that a copy of it can be asked beside the viewer."""

    written: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """What the model wrote, wherever that is known."""
    said: dict[int, tuple[SliceState, Bits]] = field(default_factory=dict[int, tuple[SliceState, Bits]])
    """What a person said, and of which voxels."""
    before: dict[int, tuple[SliceState, Bits]] = field(default_factory=dict[int, tuple[SliceState, Bits]])
    """What they had said before that, of other voxels: it holds again where an undo brings those back."""
    hidden: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """What the model's answer has besides, of objects that are too small to be shown."""
    hand: set[int] = field(default_factory=set[int])
    """A person's of an earlier day: what the model had written there is not known any more."""
    drawn: Drawn | None = None
    """In a picture, whose only slice would be a person's as a whole after the first stroke: the strokes alone."""
    covered: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """Where strokes on a picture met what was hidden: it is shown since, and is hidden again if they are undone."""
    lines: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """In a picture, between its objects: known another day still, when that by which they are parted is not."""

    whole: set[int] = field(default_factory=set[int])
    """A person's as a whole, not the strokes alone: accepted once, whatever was done since, or made elsewhere."""
    elsewhere: set[int] = field(default_factory=set[int])
    """Made elsewhere: what a model says of the slice, it doesn't say of this mask."""

    def wrote(self, row: int, mask: NDArray[np.bool_], *, again: bool = False) -> None:
        """The model, all of its answer. `again`: it is shown otherwise."""
        if not again:
            self.lines.clear()
        self.written[row] = np.packbits(mask)
        self.hidden.pop(row, None)
        self.whole.discard(row)
        self.elsewhere.discard(row)

    def answered(self, row: int) -> Bits | None:
        """All of the model's answer, as it was written last, with what is hidden of it."""
        written, hidden = self.written.get(row), self.hidden.get(row)
        return written if written is None or hidden is None else written | hidden

    def edited(self, row: int, voxels: NDArray[np.uint8]) -> bool:
        """Whether it differs from what the model wrote."""
        written = self.written.get(row)
        if written is None:
            return row in self.hand or bool(voxels.any())
        return not np.array_equal(voxels, unpacked(written, voxels.shape))

    def settle(self, voxels: NDArray[np.uint8], *, stroke: bool) -> None:
        """A picture looks like this now: what differs from before, a person drew. What is on screen always is the
        model's mask with `drawn` on top.

        `stroke`: somebody draws; what they add stays whatever the model says there. Otherwise it was an undo or a
        redo, which viewers don't always tell of: no more is noted than what explains the picture.
        """
        written = self.written.get(0)
        if written is None:
            return
        now, none = np.packbits(voxels > 0), np.zeros_like(written)
        added: Bits = none if self.drawn is None else self.drawn.added
        erased: Bits = none if self.drawn is None else self.drawn.erased
        shown = (written | added) & ~erased
        on, off = now & ~shown, shown & ~now
        if stroke:
            self.covered = {0: (self.covered.get(0, none) | on & self.hidden.get(0, none)) & ~off}
        elif (back := off & written & self.covered.get(0, none)).any():
            self.hidden[0] = self.hidden.get(0, none) | back
            self.written[0] = written = written & ~back
        if on.any() or off.any():
            more: Bits = on if stroke else on & ~written
            less: Bits = off if stroke else off & written
            added, erased = (added & ~off) | more, (erased & ~on) | less
        if (voxels > 1).any():  # painted with another label, also over the model's
            added = added | np.packbits(voxels > 1)
        self.drawn = Drawn(added, erased) if added.any() or erased.any() else None

    def state(self, row: int, voxels: NDArray[np.uint8]) -> SliceState:
        """What a person said of it; changing it afterwards takes the word back."""
        now = np.packbits(voxels > 0)
        for state, then in (told[row] for told in (self.said, self.before) if row in told):
            if np.array_equal(then, now):
                return state
        return SliceState.UNSEEN

    def say(self, row: int, state: SliceState, voxels: NDArray[np.bool_]) -> None:
        """A person has looked."""
        now = np.packbits(voxels)
        if row in self.said and not np.array_equal(self.said[row][1], now):
            self.before[row] = self.said[row]
        self.said[row] = (state, now)
        (self.whole.discard if state is SliceState.UNSEEN else self.whole.add)(row)

    def goes_back(self, row: int, voxels: NDArray[np.uint8]) -> bool:
        """Whether an undo led from one mask that was accepted to the one that had been before it, or a redo the other
        way: that is the last word from then on."""
        said, before = self.said.get(row), self.before.get(row)
        if said is None or before is None or {said[0], before[0]} != {SliceState.REVIEWED}:
            return False
        now = np.packbits(voxels > 0)
        if np.array_equal(said[1], now) or not np.array_equal(before[1], now):
            return False
        self.said[row], self.before[row] = before, said
        return True

    def copy(self) -> Whose:
        """For another thread: the packed slices are never changed, only replaced."""
        return Whose(
            *(dict(self.written), dict(self.said), dict(self.before), dict(self.hidden)),
            *(set(self.hand), self.drawn, dict(self.covered), dict(self.lines)),
            *(set(self.whole), set(self.elsewhere)),
        )


class Sums:
    """What the rows of a mask looked like when they were last known: a number each, for viewers that can't say which
    rows changed."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._known: dict[int, int] = {}
        self._count, self._blank = shape[0], checksum(np.zeros(shape[1:], np.uint8))
        self.changes = 0
        """So often a row was another than before."""
        self.before: dict[int, int] = {}
        """Of the rows that were told of last, as they had been."""

    def note(self, rows: Iterable[int], voxels: Callable[[int], NDArray[np.uint8]], *, told: bool = False) -> None:
        """They are known now. `told`: the viewer says that they are others, perhaps a moment before they are."""
        rows = list(rows)
        self.before = {row: self._known.get(row, self._blank) for row in rows} if told else self.before
        for row in rows:
            now = checksum(voxels(row))
            self.changes += told or now != self._known.get(row, self._blank)
            self._known[row] = now

    def others(self, voxels: Callable[[int], NDArray[np.uint8]]) -> set[int]:
        """Those that are not as they were."""
        return {row for row in range(self._count) if checksum(voxels(row)) != self._known.get(row, self._blank)}


def checksum(voxels: NDArray[np.uint8]) -> int:
    """Of a slice."""
    return zlib.crc32(np.ascontiguousarray(voxels).data)


def unpacked(bits: Bits, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(rows, columns): a slice that was packed."""
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape)


def text_of(bits: Bits) -> str:
    """A slice that was packed, for a file of words."""
    return b64encode(zlib.compress(bits.tobytes())).decode("ascii")


def mask_of(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """The other way; None where it is not of such a row."""
    size = (shape[0] * shape[1] + 7) // 8
    try:
        bits = np.frombuffer(zlib.decompressobj().decompress(b64decode(text), size), np.uint8)
    except (TypeError, ValueError, zlib.error):
        return None
    return unpacked(bits, shape) > 0 if len(bits) == size else None
