"""`Counting`: how many objects each mask has, once it rests; beside the viewer, for a large mask takes a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from boltzformer.desk.masks.objects import objects_in
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.ports import Timers
from boltzformer.desk.work import Work

REST_MS = 500


class Counting:
    """Of the chosen image's masks."""

    def __init__(self, tracks: Tracks, work: Work, timers: Timers) -> None:
        self.objects: dict[str, int] = {}
        """Counted so far, by the mask's key."""
        self.counted: list[Callable[[], None]] = []
        """There is another number."""
        self._tracks, self._work = tracks, work
        self._due: set[str] = set()
        self._rest = timers.after(REST_MS, self.now)

    def later(self, track: Track) -> None:
        """It changed: what was counted is not true any more."""
        self.objects.pop(track.key, None)
        self._work.drop(f"objects of {track.key}")
        self._due.add(track.key)
        self._rest.start()

    def now(self) -> None:
        """All that changed since."""
        due = [track for track in self._tracks.chosen() if track.key in self._due]
        self._due.clear()
        for track in due:
            only = next(iter(track.scores)) if len(track.scores) == 1 else None
            rows = track.surface.copy() if only is None else track.row(only)[None].copy()
            done = partial(self._counted, track.key)
            self._work.do(partial(objects_in, rows), done, topic=f"objects of {track.key}")

    def due(self, track: Track) -> None:
        """At the next `now`, without waiting."""
        self._due.add(track.key)

    def _counted(self, key: str, objects: int) -> None:
        self.objects[key] = objects
        for heard in self.counted:
            heard()
