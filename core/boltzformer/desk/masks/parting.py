"""`Parting`: objects of a picture by a click: one is cut in two, two become one. No model is asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np

from boltzformer.desk.masks.by_hand import Voxel, counts_of, not_accepted
from boltzformer.desk.masks.left_out import parts_of
from boltzformer.desk.masks.track import Track
from boltzformer.desk.notice import CLICK, STEP, Notice
from boltzformer.desk.ports import Mask
from boltzformer.desk.words import ViewerWords, counted
from boltzformer.desk.work import Work
from boltzformer.masks.cells import FAR, joined, joined_two, split
from boltzformer.masks.objects import pieces
from boltzformer.types import SliceState

Change = Callable[[Mask], Mask | None]


class Parting:
    """Each is one step of undo. Two that are joined are those beside a seam, or one that is clicked and then the
    other, unless something else was done between."""

    def __init__(self, work: Work, notice: Notice, words: ViewerWords, changed: Callable[[Track], None]) -> None:
        """`changed`: by a person, who goes on with this mask."""
        self._work, self._notice, self._words, self._changed = work, notice, words, changed
        self._first: tuple[Track, Voxel] | None = None
        """The object that another one is to be joined with, whatever is said meanwhile."""
        self._clicks: deque[tuple[Track, Callable[[], None]]] = deque()
        """The one that is being done, and behind it those that came quicker: each is of the mask that the last one
        left."""

    def forget(self) -> None:
        """Something else was done: no second object is waited for any more."""
        self._first = None

    def split(self, track: Track, voxel: Voxel) -> None:
        """The object there in two, through that pixel."""
        self._in_turn(track, partial(self._split, track, voxel))

    def join(self, track: Track, voxel: Voxel) -> None:
        """The two beside it, or the one there with the one that was clicked before."""
        self._in_turn(track, partial(self._join, track, voxel))

    def _in_turn(self, track: Track, click: Callable[[], None]) -> None:
        self._clicks.append((track, click))
        if len(self._clicks) == 1:
            self._go()

    def _go(self) -> None:
        """The first of them; whatever becomes of it, none may stand in the way for ever."""
        track, click = self._clicks[0]
        if not track.surface.alive:
            self._next()
            return
        try:
            click()
        except Exception:
            self._clicks.clear()
            raise

    def _next(self) -> None:
        self._clicks.popleft()
        if self._clicks:
            self._go()

    def _split(self, track: Track, voxel: Voxel) -> None:
        self.forget()
        none = f"No cut through this place parts an object of '{track.name}'."
        self._do(track, partial(split, row=voxel[1], column=voxel[2]), lambda: self._say(none))

    def _join(self, track: Track, voxel: Voxel) -> None:
        (_, *place), first = voxel, self._first
        asked = first is not None and first[0] is track and bool(track.mask(0)[first[1][1:]])
        if first is not None and asked and track.count == 1 and track.row(0)[tuple(place)]:
            change = partial(joined_two, first=first[1][1:], second=voxel[1:])
        else:
            change, asked = partial(joined, row=voxel[1], column=voxel[2]), False
        self._first = None
        self._do(track, change, lambda: self._ask_for_other(track, voxel, asked))

    def _ask_for_other(self, track: Track, voxel: Voxel, asked: bool) -> None:
        if not track.mask(0)[voxel[1:]]:
            self._say(
                f"There are no two objects of '{track.name}' beside this place: click on the seam between them, or on "
                "one and then on the other."
            )
            return
        said = "Now click on the other one in the same way: then both are one."
        if asked:
            said = f"Those are one already, or more than {FAR} pixels apart: paint between them, or click on another."
        self._first = track, voxel
        self._say(said)

    def _do(self, track: Track, change: Change, none: Callable[[], None]) -> None:
        if track.count > 1:
            self._notice.say("Objects are split and joined in pictures only: paint or erase in this slice.")
            self._next()
            return
        before = track.mask(0).copy()

        def made(mask: Mask | None) -> None:
            if track.surface.alive and not np.array_equal(track.mask(0), before):
                self._do(track, change, none)  # it was drawn on meanwhile
                return
            try:
                if track.surface.alive:
                    self._made(track, before, mask, none)
            finally:
                self._next()

        self._work.do(partial(change, before), made, self._next)

    def _made(self, track: Track, before: Mask, mask: Mask | None, none: Callable[[], None]) -> None:
        if mask is None:
            none()
            return
        track.excluded |= parts_of(before, mask, track.excluded)
        said = track.state(0) is not SliceState.UNSEEN
        track.change(0, mask)
        self._changed(track)
        lost = [0] if said and track.state(0) is SliceState.UNSEEN else []
        self._notice.say(_told(track, before, mask, not_accepted(lost, 1), self._words), topic=STEP)

    def _say(self, sentence: str) -> None:
        self._notice.say(sentence, topic=CLICK)


def _told(track: Track, before: Mask, after: Mask, lost: str, words: ViewerWords) -> str:
    count, was = (int(pieces(mask).max(initial=0)) for mask in (after, before))
    what = "One object is two" if count > was else "Two objects are one"
    now = counts_of(after[None].astype(np.uint8), track.excluded)
    out = f", {now.left_out} left out" if now.left_out else ""
    return f"{what} now: {counted(now.objects, 'object')} of '{track.name}'{out}.{lost} {words.undo}"
