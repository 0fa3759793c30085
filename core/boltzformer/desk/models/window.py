"""Model sees: the window through which the model is shown an image, apart from the viewer's contrast."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from boltzformer.desk.image import OpenImage
from boltzformer.desk.notice import Notice
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.image.intensity import PRESETS, Window
from boltzformer.masks.pictures import Picture, slice_picture
from boltzformer.types import Volume

AUTO, MINE = "auto", "my contrast"
BY_NAME = (AUTO, *PRESETS, "percentiles", "stored")
TOPIC, CARRIED = "what the model sees", "a window that was chosen for another image"


class Windows:
    """One choice for all images of a kind: what was chosen for a CT is nothing for an MR. To follow it may mean to look
    at every voxel, so workers do that."""

    def __init__(self, contrast: Callable[[OpenImage], tuple[float, float]]) -> None:
        """`contrast`: stored values that the viewer shows black and white at the moment."""
        self._choices: dict[tuple[object, ...], str] = {}
        """By what images have in common."""
        self._contrast = contrast
        self._mine: dict[str, Window] = {}
        self._heard: dict[str, str] = {}
        """By the key of an image, the choice that its person knows of: they made it there, or were told."""
        self._about = ""
        """Key of the image that arrived last."""
        self._unsay: Callable[[], None] = lambda: None
        """Takes back what was told."""
        self._made: dict[tuple[str, str], Window] = {}

    def choice(self, image: OpenImage) -> str:
        """One of `BY_NAME`, or `MINE`."""
        return self._choices.get(image.likeness, AUTO)

    def choose(self, how: str, image: OpenImage) -> None:
        """For this image and those like it."""
        self._choices[image.likeness] = self._heard[image.key] = how
        self._unsay()

    def take_contrast(self, image: OpenImage) -> None:
        """The viewer's contrast of this moment is this image's window from now on."""
        self._mine[image.key] = self._contrast_of(image)
        self.choose(MINE, image)

    def of(self, image: OpenImage) -> Window | str | None:
        """For a run, as `Session.segment` takes it. None leaves the choice to the engine's own rule: 'auto'."""
        how = self.choice(image)
        if how == MINE:  # where it was chosen for another image: as this one is shown now
            return self._mine.get(image.key) or self._contrast_of(image)
        return None if how == AUTO else how

    def arrived(self, image: OpenImage, work: Work, notice: Notice) -> None:
        """Says once that it is seen through a window which was chosen for another image, where that makes a
        difference."""
        how, heard = self.choice(image), self._heard.get(image.key, AUTO)
        if heard == how and image.key == self._about:
            return  # it was told, or is about to be
        work.drop(CARRIED)
        self._unsay = partial(notice.take_back, CARRIED)
        self._heard[image.key], self._about = how, image.key
        if how in (AUTO, heard):
            return

        def told(window: str) -> None:
            if window:
                notice.add(f"Window as you chose it: {how} ({window}).", topic=CARRIED)

        with suppress(BoltzFormerError):  # running says why
            work.do(partial(_otherwise, image.volume, self.of(image)), told, topic=CARRIED)

    def picture(self, image: OpenImage, row: int, work: Work, then: Callable[[Picture, Window], None]) -> None:
        """What the model sees of a slice, made beside the viewer; nothing where the image can't be segmented."""
        try:
            volume, plan = image.volume, image.plan
            index = plan.canonical_index(row)
        except BoltzFormerError:
            return  # running says why
        name, how = (image.key, self.choice(image)), self.of(image)
        known = self._made.get(name)

        def made() -> tuple[Picture, Window]:
            window = known or window_of(volume, how)
            return slice_picture(volume, plan, window, index), window

        def told(answer: tuple[Picture, Window]) -> None:
            picture, window = answer
            if not isinstance(how, Window):
                self._made[name] = window
            then(picture, window)

        work.do(made, told, topic=TOPIC)

    def _contrast_of(self, image: OpenImage) -> Window:
        low, high = self._contrast(image)
        return Window(float(low), float(high), "the viewer's contrast")


def _otherwise(volume: Volume, how: Window | str | None) -> str:
    """Its values, where they are others than those that the image would have got by itself."""
    try:
        chosen, own = window_of(volume, how), window_of(volume, None)
    except BoltzFormerError:  # running says why
        return ""
    same = (chosen.low, chosen.high, chosen.zero_is_background) == (own.low, own.high, own.zero_is_background)
    return "" if same else f"{chosen.low:g} to {chosen.high:g}"


def window_of(volume: Volume, how: Window | str | None) -> Window:
    """What was chosen, for one image; by name it looks at all voxels."""
    return how if isinstance(how, Window) else Window.choose(how or AUTO, volume.array, volume.modality)
