"""`Removed`: masks that a person removed, and which of them are worth an earlier state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.track import Track
from boltzformer.types import SliceState

_Work = tuple[int, tuple[tuple[int, SliceState], ...]]
"""How often a mask changed, and what was said of it."""


class Removed:
    """Few earlier states are kept: wrong answers that are removed one by one push none of them out."""

    def __init__(self) -> None:
        self._just_now: list[Track] = []
        self._known: dict[OpenImage, dict[str, _Work]] = {}
        """By the key of a mask: as it is in a state that was set aside."""

    def note(self, track: Track) -> None:
        """A person removed it, or an undo that led to before it was made."""
        if track.scores or track.touched:
            self._just_now.append(track)

    def take(self, images: Iterable[OpenImage]) -> dict[OpenImage, list[Track]]:
        """Of each of these, the masks that were removed since the last call and are not back, where there are any."""
        gone, self._just_now = [one for one in self._just_now if not one.surface.alive], []
        of = {image: [one for one in gone if one.image is image] for image in images}
        return {image: tracks for image, tracks in of.items() if tracks}

    def are_worth_it(self, gone: Iterable[Track]) -> bool:
        """Whether a person's work went with them that no earlier state has."""
        theirs = [track for track in gone if _is_of_a_person(track)]
        return any(self._known.get(track.image, {}).get(track.key) != _work_of(track) for track in theirs)

    def have(self, image: OpenImage, tracks: Sequence[Track]) -> None:
        """A state was set aside in which they are as they are now."""
        self._known.setdefault(image, {}).update({track.key: _work_of(track) for track in tracks})

    def forget(self, image: OpenImage) -> None:
        """It left the viewer."""
        self._known.pop(image, None)


def is_legible(track: Track) -> bool:
    """Whether the viewer still knows a mask that is gone."""
    return bool(track.surface.copy().any())


def _is_of_a_person(track: Track) -> bool:
    """Where that can't be read any more, they may have been there."""
    rows = track.touched
    return any(map(track.belongs_to_a_person, rows)) if rows and is_legible(track) else bool(rows)


def _work_of(track: Track) -> _Work:
    return track.sums.changes, tuple((row, state) for row, (state, _) in track.whose.said.items())
