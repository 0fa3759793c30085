"""What a person said of masks, as it is told; `Said` is stored a moment later, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import in_masks
from boltzformer.types import SliceState


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

    def stands(self) -> bool:
        """Whether it is still so, and no undo took it back."""
        states = {track.state(self.row) for track in self.tracks}
        return SliceState.EMPTY in states if self.empty else self.again or states != {SliceState.UNSEEN}


def counts_otherwise(track: Track) -> Said | None:
    """Other objects of a mask are left out than before: what was accepted of it, if anything, is to follow."""
    row = next((row for row in track.whose.said if track.state(row) is not SliceState.UNSEEN), None)
    return None if row is None else Said([track], row, f"'{track.name}' is accepted as it counts now.")


def among(tracks: Sequence[Track], every: Sequence[Track]) -> str:
    """Which masks, where there are several."""
    return in_masks([track.name for track in tracks], len(every))
