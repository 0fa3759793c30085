"""`NextDoubtful`: leads from one slice that wants looking at to the next."""

from __future__ import annotations

from collections.abc import Callable

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.doubting import after, doubtful
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Stage
from boltzformer.desk.words import ViewerWords, named


class NextDoubtful:
    """Among the masks that are shown; it says why."""

    def __init__(self, stage: Stage, tracks: Tracks, notice: Notice, words: ViewerWords) -> None:
        self._stage, self._tracks, self._notice, self._words = stage, tracks, notice, words
        self._last: tuple[OpenImage, int] | None = None
        """Where it led last: in another image that stands at the same slice it begins anew."""
        self.telling: Callable[[Track], int | None] = lambda track: None
        """The row where a correction would teach most, while a mask is learnt from."""

    def go(self) -> None:
        """Jumps to the first slice that wants looking at; again: to the next."""
        image, shown = self._stage.chosen(), self._tracks.shown()
        active = self._tracks.active()
        row = self.telling(active) if active is not None and active in shown else None
        doubts = doubtful(shown, None if active is None or row is None else (active, row))
        if not shown:
            self._notice.say("No mask is shown that could be doubted: ask for something first, or show a mask.")
            return
        if image is None or not doubts:
            more = "" if any(track.spread for track in shown) else f"; {self._words.ask_seeds}"
            picture = image is not None and image.count == 1
            none = "Nothing is left to doubt in this picture" if picture else "No slice is left to doubt"
            self._notice.say(f"{none}{more}.")
            return
        last = self._last[1] if self._last is not None and self._last[0] is image else None
        one = after(doubts, self._stage.row(image), last)
        self._last = image, one.row
        self._stage.go(image, one.row)
        self._notice.say(f"{named(one.row, image.count).capitalize()}: {one.why}.")
