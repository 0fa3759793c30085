"""`OnePatient`: one image on screen. Whatever was open is saved and taken away, and comes back by one press; two are
never shown over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.keeper import Keeper
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Stage
from boltzformer.desk.runs.running import ENDED, FAR, Running
from boltzformer.desk.words import quoted
from boltzformer.errors import BoltzFormerError
from boltzformer.knowledge.suggestions import modalities_in
from boltzformer.types import Volume

PUT_AWAY = "what was put away"


class OnePatient:
    """An image that comes in makes the others go, each with its whole group."""

    def __init__(self, stage: Stage, tracks: Tracks, notice: Notice, running: Running, keeper: Keeper) -> None:
        self._stage, self._tracks, self._notice = stage, tracks, notice
        self._running, self._keeper = running, keeper
        self.current: OpenImage | None = None
        """It has taken the screen already."""
        self._before: OpenImage | None = None
        """The one that had it before, while another comes."""
        self.beside: list[OpenImage] = []
        """Kept on screen together, to compare them."""
        self.arrived: list[Callable[[OpenImage], None]] = []
        """This one alone is on screen now, or is looked at among those that are compared."""
        self.leaving: list[Callable[[OpenImage], None]] = []
        """This one is about to be saved and put away."""
        self.wanted: list[Callable[[OpenImage], None]] = []
        """Of those on screen, this one is to be chosen."""
        self._away: list[tuple[OpenImage, Callable[[], None]]] = []
        """By image, what brings each back."""
        self._looked_at: set[str] = set()
        """Keys of images that had the screen, or masks: of several that are opened in one go only the last has."""
        self._undoing = False

    def open(self, volume: Volume, *, case: str | None = None, store: str = "") -> OpenImage:
        """Shows an image in the place of what is open: of that nothing was opened in one go with it."""
        self._looked_at |= {one.key for one in self._stage.images() if one.ours}
        self.make_room()
        image = self._stage.open(volume, case=case, store=store)
        self._take(image)
        self._arrive(image)
        return image

    def came(self, image: OpenImage) -> None:
        """The viewer itself opened it, beside what was open."""
        if image is not self.current and image in self._stage.images():
            self._take(image)
            self.make_room(image)
            self._arrive(image)

    def look_at(self, image: OpenImage) -> None:
        """Another one is chosen of those that are compared: nothing of the one before is left to read."""
        if image in self.beside and image is not self.current:
            self._take(image)
            if self._notice.topic not in (FAR, ENDED):  # of which the runs tell
                self._notice.say("")
            self._tell(image)

    def go_to(self, image: OpenImage) -> None:
        """The user asks for one that is on screen."""
        for heard in self.wanted:
            heard(image)
        self.look_at(image)

    def look_again(self) -> None:
        """One of those on screen may have gone by another hand."""
        if self.current not in self._stage.images():
            self.current = None
        if any(one not in self._stage.images() for one in self.beside):
            self._compare()

    def make_room(self, stays: OpenImage | None = None) -> None:
        """Saves whatever is open, but for one, and takes it away."""
        gone = [one for one in self._stage.images() if one is not stays and one.ours]
        if not gone:
            return
        self.beside = []
        self._stage.side_by_side([])
        self._looked_at |= {one.key for one in gone if self._tracks.of(one)}
        self._away = [(one, self._put_away(one)) for one in gone]

    def prompts_for(self, image: OpenImage, typed: Sequence[str]) -> list[str]:
        """What was typed for an image before, and what may be meant for it of what stands in the box now that it came.

        Where nobody knows the modality of either image, and they may be of the same, all of it is; so it is from a
        picture to one of which nobody knows it, as most say neither that nor their scale. Else a prompt that names a
        modality needs an image that is known to be of that one. Of an image that is unlike the one before nothing is
        meant for this one, but for what names its modality.
        """
        if image.typed and (image in self.beside or self._undoing):
            return list(image.typed)  # each of those that are compared has its own; what comes back is as it was
        before = self._before if self._before is not image else None
        if before is not None and unlike(before, image):
            typed = [text for text in typed if image.kind in modalities_in(text)]
        elif any(modalities_in(text) for text in typed):
            stays = not image.kind
            if before is not None:
                stays = not image.kind and (image.likeness == before.likeness or both_pictures(before, image))
            typed = typed if stays else of_its_kind(typed, image.kind)
        return list(dict.fromkeys([*image.typed, *typed]))

    def _before_it(self, away: Sequence[tuple[OpenImage, Callable[[], None]]]) -> list[Callable[[], None]]:
        """Of what went, what had been there before all that was opened in one go."""
        return [back for one, back in away if one.key in self._looked_at]

    def _take(self, image: OpenImage) -> None:
        if image is not self.current:
            self._before, self.current = self.current, image

    def _put_away(self, image: OpenImage) -> Callable[[], None]:
        offer_again = self._keeper.back.put_away(image)
        for heard in self.leaving:
            heard(image)
        for run in self._running.of(image):
            run.job.cancel()
        self._keeper.put_by(image)
        bring_back = self._stage.close(image)

        def back() -> None:
            bring_back()
            offer_again()

        return back

    def _arrive(self, image: OpenImage) -> None:
        """`image` takes the screen; what it took the place of is offered."""
        away, self._away = self._away, []
        if away:
            self._stage.arrive(image)
            self._notice.say("")
            self._notice.withdraw(PUT_AWAY)
        if others := [one for one, _ in away if not one.is_same_as(image)]:
            undo = ("Undo", partial(self._undo, image, away, self._before))
            keep = ("Keep both" if len(others) == 1 else "Keep all", partial(self._keep_both, image, away))
            self._notice.offer(
                PUT_AWAY,
                f"Saved and put away: {quoted([one.name for one, _ in away])}.",
                *([undo, keep] if self._before_it(away) else [keep]),
            )
        self._tell(image)

    def _tell(self, image: OpenImage) -> None:
        self._looked_at.add(image.key)
        for heard in self.arrived:
            heard(image)
        self._before = None  # its voxels need not be held any longer

    def _undo(
        self, image: OpenImage, away: Sequence[tuple[OpenImage, Callable[[], None]]], before: OpenImage | None
    ) -> None:
        """The others again, without the one that took their place: its work is kept like theirs. Two that were compared
        are side by side again, and the one in hand is in hand. Of an image that was opened once more the newer one
        stays, with what was done since; what was opened in one go with it goes, too."""
        others = [(one, back) for one, back in away if not one.is_same_as(image)]
        for back in self._before_it(others):
            back()
        if image in self._stage.images() and len(others) == len(away):
            self._put_away(image)  # only now: a viewer without any image redraws all that it has
        self._compare()
        self._undoing = True
        try:
            self._again(next((one for one in (before, image) if one in self._stage.images()), None))
        finally:
            self._undoing = False

    def _keep_both(self, image: OpenImage, away: Sequence[tuple[OpenImage, Callable[[], None]]]) -> None:
        """Side by side."""
        for one, back in away:
            if not one.is_same_as(image):
                back()
        self._compare()
        self._again(image)

    def _compare(self) -> None:
        """All that is on screen; one alone is compared with nothing."""
        shown = [one for one in self._stage.images() if one.ours]
        self.beside = shown if len(shown) > 1 else []
        self._stage.side_by_side(self.beside)

    def _again(self, image: OpenImage | None = None) -> None:
        shown = image or next(iter(reversed(self._stage.images())), None)
        if shown is not None:
            self._take(shown)
            self._stage.arrive(shown)
            for heard in self.wanted:
                heard(shown)
            self._notice.say("")
            self._tell(shown)


def unlike(one: OpenImage, other: OpenImage) -> bool:
    """Whether one is a picture and the other a volume, or they are known to be of two modalities. Cases of a list are
    a series that a person chose, whatever they look like."""
    if one.case is not None and other.case is not None:
        return False
    try:
        return one.is_picture != other.is_picture or bool(one.kind and other.kind and one.kind != other.kind)
    except BoltzFormerError:  # running says why
        return False


def both_pictures(one: OpenImage, other: OpenImage) -> bool:
    """Whether neither is a volume, as far as it is known."""
    try:
        return one.is_picture and other.is_picture
    except BoltzFormerError:  # running says why
        return False


def of_its_kind(texts: Sequence[str], kind: str) -> list[str]:
    """Prompts that may be meant for an image: those that name no modality, or its own ('': nobody knows it)."""
    return [text for text in texts if not (said := modalities_in(text)) or kind in said]
