"""`Accepting`: a person calls slices right: the one on screen, all that were seen, or those that they painted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.said import among
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Stage
from boltzformer.desk.runs.running import Running
from boltzformer.desk.words import named, quoted, ranges, these
from boltzformer.types import SliceState

SOON = "Objects are being parted or hidden still: accepted as soon as that is done."
OnceShown = Callable[[Hashable, Sequence[Track], Callable[[], None], Callable[[], None]], bool]
"""Calls the first when none of these masks waits for its objects any more, or the second where their image goes before
that; False where that is now. Who waits for the same already waits no second time."""


class Accepting:
    """Never a mask that is not shown, nor a slice that nobody has seen as it is, nor one before its objects are
    parted or hidden: what is accepted stays as it is."""

    def __init__(
        self,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        running: Running,
        settle: Callable[[], None],
        look: Callable[[], None],
        store: Callable[[str, Sequence[tuple[Track, int]]], None],
        once_shown: OnceShown,
    ) -> None:
        """`settle` says where it will be kept, `look` takes note of what is on screen, `store` keeps it."""
        self._stage, self._tracks, self._notice, self._running = stage, tracks, notice, running
        self._settle, self._look, self._store, self._once_shown = settle, look, store, once_shown

    def here(self) -> None:
        """The slice on screen is right, in all masks that are shown and have an answer there."""
        image, shown = self._stage.chosen(), self._tracks.shown()
        if image is None or not shown:
            self._notice.say("There is no mask on screen to accept: run a prompt first.")
        elif self._running.can_be_asked(image):
            self._when_shown(shown, self._accept_row, self._stage.row(image))

    def _when_shown(
        self, tracks: Sequence[Track], accept: Callable[[Any, Sequence[Track]], None], where: OpenImage | int
    ) -> None:
        """`where`: the image, or the slice that is meant."""
        image = tracks[0].image

        def shown() -> None:
            if left := [track for track in tracks if track.surface.alive]:
                accept(where, left)
            else:
                self._too_late(image, "its mask was removed before its objects were parted or hidden")

        late = partial(self._too_late, image, "its objects were still being parted or hidden when it went")
        if self._once_shown((accept, where, *(track.key for track in tracks)), tracks, shown, late):
            self._notice.say(SOON, topic=SOON)

    def _too_late(self, image: OpenImage, why: str) -> None:
        """A sentence that stays beside the next image."""
        self._notice.take_back(SOON)
        self._notice.offer(_not_accepted(image), f"'{image.name}' is not accepted: {why}.")

    def _accept_row(self, row: int, shown: Sequence[Track]) -> None:
        tracks, count = [track for track in shown if track.can_be_accepted(row)], shown[0].count
        unasked = ", ".join(f"'{track.name}'" for track in shown if track not in tracks)
        where = named(row, count)
        if not tracks:
            self._notice.say(
                f"Nobody asked for {unasked} in {where}, so there is no answer to accept: run it here first, or "
                "say that nothing is there."
            )
            return
        self._settle()
        self._notice.withdraw(_not_accepted(tracks[0].image))
        for track in tracks:
            track.proposals.pop(row, None)
            track.say(row, SliceState.REVIEWED)
        blank = [track.name for track in tracks if not track.row(row).any()]
        none = f" Nothing of {quoted(blank)} is marked there." if blank else ""
        rest = f" Nothing is said of {unasked}, which nobody asked for here." if unasked else ""
        of = [(track, row) for track in tracks]
        self._store(f"{where.capitalize()} accepted{among(tracks, self._every(tracks))}.{none}{rest}", of)

    def _every(self, tracks: Sequence[Track]) -> Sequence[Track]:
        """Of the image that they are of."""
        return self._tracks.of(tracks[0].image)

    def seen(self) -> None:
        """Every slice that was on screen; the others are named."""
        image, tracks = self._stage.chosen(), self._tracks.shown()
        if image is None or not tracks:
            self._notice.say("There is no mask to accept: run a prompt first.")
        else:
            self._when_shown(tracks, self._accept_seen, image)

    def _accept_seen(self, image: OpenImage, tracks: Sequence[Track]) -> None:
        self._look()
        unseen = [row for row in range(image.count) if row not in image.seen and not _accepted(tracks, row)]
        seen = [(track, row) for track in tracks for row in sorted(track.seen)]
        every = [(track, row) for track in tracks for row in {*track.scores, *track.touched}]
        self._accept(image, seen, every, unseen)

    def painted(self) -> None:
        """Every slice of the masks that are shown which a person changed and has seen since."""
        image, tracks = self._stage.chosen(), self._tracks.shown()
        if image is None or not tracks:
            self._notice.say("There is no mask to accept: run a prompt first, or paint.")
        else:
            self._when_shown(tracks, self._accept_painted, image)

    def _accept_painted(self, image: OpenImage, tracks: Sequence[Track]) -> None:
        self._look()
        every = [(track, row) for track in tracks for row in sorted(track.touched) if track.edited(row)]
        mine = [(track, row) for track, row in every if track.state(row) is SliceState.UNSEEN]
        if not mine:
            none = "nothing in this picture" if image.is_picture else "no slice"
            return self._notice.say(f"There is {none} that you painted and have not accepted.")
        self._accept(image, [one for one in mine if one[1] in one[0].seen], mine, [])

    def _accept(
        self,
        image: OpenImage,
        seen: Sequence[tuple[Track, int]],
        every: Sequence[tuple[Track, int]],
        unseen: Sequence[int],
    ) -> None:
        """What somebody has looked at with the mask as it is now, of every slice that is meant; the rest is named."""
        said = [(track, row) for track, row in seen if track.can_be_accepted(row)]
        rest_of = [(track, row) for track, row in every if row not in track.seen and track.can_be_accepted(row)]
        later = {row for track, row in rest_of if track.state(row) is SliceState.UNSEEN} - set(unseen)
        rest = f" Never on screen, so not accepted: {ranges(unseen)}." if unseen else ""
        rest += f" Not looked at since the mask changed, so not accepted: {ranges(later)}." if later else ""
        if not said:
            return self._notice.say(f"Nothing is left to accept.{rest}")
        self._settle()
        self._notice.withdraw(_not_accepted(image))
        for track, row in said:
            if track.state(row) is SliceState.UNSEEN:
                track.say(row, SliceState.REVIEWED)
        tracks = list(dict.fromkeys(track for track, _ in said))
        what = these({row for _, row in said}, image.count)
        self._store(f"{what} accepted{among(tracks, self._every(tracks))}.{rest}", said)


def _not_accepted(image: OpenImage) -> str:
    """The topic of that."""
    return f"not accepted of {image.key}"


def _accepted(tracks: Sequence[Track], row: int) -> bool:
    """Whether a person called it right before, such as on an earlier day, in every mask that has something there."""
    asked = [track for track in tracks if track.can_be_accepted(row)]
    return bool(asked) and all(track.state(row) is not SliceState.UNSEEN for track in asked)
