"""What a person said of masks, as it is told; `Said` is stored a moment later, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import in_masks, quoted
from boltzformer.types import SliceState

EVERY = 99
"""More words than anybody said of one slice."""


@dataclass(frozen=True)
class Said:
    """Of a slice, in these masks; it stands as long as one of them has a state there."""

    tracks: Sequence[Track]
    row: int
    sentence: str
    empty: bool = False
    """That nothing is there."""
    again: bool = False
    """What is kept of it was taken back: that is stored, too."""
    earlier: Said | None = None
    """What was said before that, of another slice, and is not stored either."""
    lost: bool = False
    """That it was right, or `empty`: the slice is nobody's again, and all that was said of it is taken back."""

    def taken_back(self) -> list[tuple[Track, int]]:
        """Of this and what was said before it: masks and slices of which nobody says anything any more."""
        mine = [(track, self.row) for track in self.tracks if track.state(self.row) is SliceState.UNSEEN]
        if self.lost:
            mine = [(track, self.row) for track in self.tracks if is_lost(track, self.row, empty=self.empty)] * EVERY
        return [*(mine if self.again else ()), *(self.earlier.taken_back() if self.earlier else ())]

    def stands(self) -> bool:
        """Whether it is still so, and no undo took it back."""
        if self.lost:
            return any(is_lost(track, self.row, empty=self.empty) for track in self.tracks)
        states = {track.state(self.row) for track in self.tracks}
        return SliceState.EMPTY in states if self.empty else self.again or states != {SliceState.UNSEEN}


def is_lost(track: Track, row: int, *, empty: bool = False) -> bool:
    """Whether a slice that was accepted is nobody's by now: an undo or the eraser took away what was called right.
    `empty`: one of which was said that nothing is there; an answer was taken for that."""
    told = [known[row][0] for known in (track.whose.said, track.whose.before) if row in known]
    word = SliceState.EMPTY if empty else SliceState.REVIEWED
    return word in told and not track.belongs_to_a_person(row)


@dataclass(frozen=True)
class Accepts:
    """Which masks 'Accept' would take in the slice on screen, said before anybody presses it."""

    taken: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    """Shown, but there is no answer here."""
    picture: bool = False
    """Whether it is all of a picture, which has no slices."""

    @staticmethod
    def of(tracks: Sequence[Track], row: int) -> Accepts:
        """`tracks`: all of an image."""
        shown = [track for track in tracks if track.surface.shown]
        taken = [track for track in shown if track.can_be_accepted(row)]
        return Accepts(
            tuple(track.name for track in taken),
            tuple(track.name for track in tracks if track not in shown),
            tuple(track.name for track in shown if track not in taken),
            any(track.count == 1 for track in tracks),
        )

    @property
    def button(self) -> str:
        """'Accept', 'Accept 2 of 3'."""
        every = len(self.taken) + len(self.hidden) + len(self.unasked)
        return "Accept" if every < 2 or every == len(self.taken) else f"Accept {len(self.taken)} of {every}"

    @property
    def words(self) -> str:
        """'accepts 'liver' · not 'cyst' (hidden)'; '' where nothing could be meant but the one mask."""
        left = [f"'{name}' (hidden)" for name in self.hidden] + [f"'{name}' (not asked here)" for name in self.unasked]
        if len(self.taken) + len(left) < 2:
            return ""
        return f"accepts {quoted(self.taken) if self.taken else 'nothing'}" + (
            f" · not {', '.join(left)}" if left else ""
        )


def counts_otherwise(track: Track) -> Said | None:
    """Other objects of a mask are left out than before: what was accepted of it, if anything, is to follow."""
    row = next((row for row in track.whose.said if track.state(row) is not SliceState.UNSEEN), None)
    return None if row is None else Said([track], row, f"'{track.name}' is accepted as it counts now.")


def among(tracks: Sequence[Track], every: Sequence[Track]) -> str:
    """Which masks, where there are several."""
    return in_masks([track.name for track in tracks], len(every))
