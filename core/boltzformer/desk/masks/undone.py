"""An undo or redo that nobody sees, as it is about other slices than the one on screen: it is said which. And a word of
a person that another mask takes away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.whose import checksum, unpacked
from boltzformer.desk.notice import CLICK, STEP, Notice
from boltzformer.desk.words import counted, in_masks, named, ranges
from boltzformer.types import SliceState


def tell_undone(track: Track, notice: Notice, row: int) -> None:
    """`row`: on screen. What was said of a step holds no longer once it is taken back; where it was said, that is news
    enough, unless a person's word is lost with it."""
    known, changed = notice.says(STEP), track.sums.before
    notice.take_back(STEP)
    notice.take_back(CLICK)
    lost = [one for one in changed if one != row and _lost(track, one, changed[one])]
    if lost or not (known or not changed or row in changed):
        where = f"slice {next(iter(changed))}" if len(changed) == 1 else counted(len(changed))
        which = "which is" if len(changed) == 1 else f"and {ranges(lost)} {'is' if len(lost) == 1 else 'are'}"
        notice.add(f"That changed {where}{f', {which} no longer accepted' if lost else ''}.", topic=CLICK)


def unaccepted(
    tracks: Sequence[Track], row: int, notice: Notice, every: int, then: Callable[[], None]
) -> Callable[[], None]:
    """For when one of these, of so many masks, took another answer in a slice: tells which are no longer accepted."""
    accepted = [one for one in tracks if one.state(row) is not SliceState.UNSEEN]

    def tell() -> None:
        names = [one.name for one in accepted if one.state(row) is SliceState.UNSEEN]
        if names:
            where = f"{named(row, tracks[0].count).capitalize()} took the new answer"
            notice.add(f"{where}, so it is no longer accepted{in_masks(names, every)}.", topic=CLICK)
        then()

    return tell


def _lost(track: Track, row: int, before: int) -> bool:
    """Whether a slice was accepted as it was a moment ago, and isn't now."""
    state, then = track.whose.said.get(row, (SliceState.UNSEEN, None))
    if then is None or state is SliceState.UNSEEN or track.state(row) is not SliceState.UNSEEN:
        return False
    return checksum(unpacked(then, track.shape[1:])) == before
