"""An undo or redo that nobody sees, as it is about other slices than the one on screen: it is said which."""

from __future__ import annotations

from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.whose import checksum, unpacked
from boltzformer.desk.notice import CLICK, STEP, Notice
from boltzformer.desk.words import counted, ranges
from boltzformer.types import SliceState


def tell(track: Track, notice: Notice, row: int) -> None:
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


def _lost(track: Track, row: int, before: int) -> bool:
    """Whether a slice was accepted as it was a moment ago, and isn't now."""
    state, then = track.whose.said.get(row, (SliceState.UNSEEN, None))
    if then is None or state is SliceState.UNSEEN or track.state(row) is not SliceState.UNSEEN:
        return False
    return checksum(unpacked(then, track.shape[1:])) == before
