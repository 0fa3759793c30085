"""`Tracks`: the masks of an image: found, made in a colour of their own, few of many shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.by_hand import Voxel
from boltzformer.desk.masks.contrast import COLOURS, by_contrast
from boltzformer.desk.masks.track import Track
from boltzformer.desk.ports import MaskSurface, Stage
from boltzformer.types import Prompt

MOST_SHOWN = 4
"""With more masks than these, only the selected one is shown: each visible one costs time at every scroll."""
STAYS = "What you changed or accepted stays; undo that first."
"""Where nothing of the last run can be taken back."""


class Tracks:
    """One `Track` per surface of the stage's. Those of surfaces that left are kept: they may come back."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._known: WeakValueDictionary[str, Track] = WeakValueDictionary()
        """By the key of its surface, which listens to it: they live and go together."""
        self._in_hand = ""
        """Key of the mask that was selected last: points and boxes are layers, too, and take the selection from it."""
        self.made: list[Callable[[Track], None]] = []
        """Called with every new one."""

    def of(self, image: OpenImage | None) -> list[Track]:
        """The masks that were made for an image, whatever either is called by now."""
        found = [] if image is None else self._stage.surfaces(image)
        return [self._known[surface.key] for surface in found if surface.key in self._known]

    def chosen(self) -> list[Track]:
        """Of the chosen image."""
        return self.of(self._stage.chosen())

    def shown(self) -> list[Track]:
        """Of the chosen image, those that can be seen."""
        return [track for track in self.chosen() if track.surface.shown]

    def on(self, surface: MaskSurface | None) -> Track | None:
        return None if surface is None else self._known.get(surface.key)

    def active(self) -> Track | None:
        """The mask that is selected; else, of those that are shown and stand in the box of prompts, the one that was
        before, or the last."""
        tracks, active = self.chosen(), self._stage.active()
        selected = next((one for one in tracks if active is not None and one.key == active.key), None)
        if selected is not None:
            self._in_hand = selected.key
            return selected
        usual, image = [track for track in tracks if track.surface.shown] or tracks, self._stage.chosen()
        typed = [] if image is None else list(image.typed)
        meant = sorted((one for one in usual if one.prompt.text in typed), key=lambda one: typed.index(one.prompt.text))
        usual = meant or usual
        return next((one for one in usual if one.key == self._in_hand), usual[-1] if usual else None)

    def under(self, where: Callable[[Track], Voxel | None], reach: int = 0) -> Track | None:
        """The mask that has an object at a place, or so many voxels beside it in the slice: the one in hand, else the
        topmost of those that are shown. `where`: the place in a mask's voxels."""
        shown, hand = self.shown()[::-1], self.active()
        for track in sorted(shown, key=lambda one: one is not hand):
            voxel = where(track)
            if voxel is not None:
                row, y, x = voxel
                near = slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1)
                if track.row(row)[near].any():
                    return track
        return None

    def in_question(self, typed: Sequence[str]) -> str:
        """The prompt that a click asks about: that of the mask in hand, unless it has left the box; else the last one
        that is typed there."""
        track = self.active()
        if track is not None and (not typed or track.prompt.text in typed):
            return track.prompt.text
        return typed[-1] if typed else ""

    def new(self, image: OpenImage, prompt: Prompt, colour: str = "") -> Track:
        """An empty mask of an image; in the colour that it had, unless that is not one of ours."""
        before = self.of(image)
        used = [track.colour for track in before]
        colours = by_contrast(image.volume) if image.is_picture else COLOURS
        colour = colour if colour in COLOURS and colour not in used else min(colours, key=used.count)
        surface = self._stage.add(image, prompt, colour)
        track, self._in_hand = Track(surface, image, prompt), ""
        self._known[surface.key] = track
        for heard in self.made:
            heard(track)
        if len(before) >= MOST_SHOWN:
            self.show_few(track)
        return track

    def show_few(self, chosen: Track) -> None:
        """Above four masks, only the chosen one."""
        tracks = self.of(chosen.image)
        if len(tracks) > MOST_SHOWN:
            for track in tracks:
                if track.surface.shown != (track is chosen):
                    track.surface.shown = track is chosen

    def bring_to_sight(self, track: Track) -> None:
        """What a person is led to can be seen; whichever are in sight beside it already stay so."""
        if not track.surface.shown:
            track.surface.shown = True
            self.show_few(track)

    def show_one_that_found(self, tracks: Sequence[Track], rows: Sequence[int]) -> None:
        """Above four masks, where none that is shown found anything in these slices: one that did."""
        every = self.of(tracks[0].image) if tracks else []
        if len(every) > MOST_SHOWN and not any(one.surface.shown and found(one, rows) for one in every):
            one = next((one for one in tracks if one in every and found(one, rows)), None)
            if one is not None:
                self.show_few(one)


def revert_last(tracks: Sequence[Track]) -> int:
    """Takes back the last run of several masks, in those that it asked for, with what it offers → how many of their
    slices; where all of them are a person's by now, 0, and nothing is forgotten."""
    last = max((max(track.last_run, track.taken.last_offer()) for track in tracks), default=0)
    offered = [(track, row) for track in tracks for row in track.proposals if last and track.taken.by.get(row) == last]
    for track, row in offered:
        track.drop(row)
        track.story.took_back(last, [row if track.plan is None else track.plan.canonical_index(row)])
    back = {track: track.revert() for track in tracks if last and track.last_run == last}
    if any(back.values()):
        for track in [one for one, slices in back.items() if not slices]:
            track.forget_run(last)  # else the run before it could never be taken back in the others
    return sum(back.values()) + len(offered)


def found(track: Track, rows: Sequence[int]) -> bool:
    """Whether the model's mask has a voxel in one of these slices."""
    return any(track.kept.mark(row).voxels for row in rows if row in track.kept.looked)
