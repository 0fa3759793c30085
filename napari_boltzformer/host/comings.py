"""`Comings`: layers that come into the viewer and leave it: whose they are, and what is offered of those that left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from napari.layers import Image, Labels

from boltzformer.desk.desk import Desk
from boltzformer.desk.keeping.bringing_back import removed_from
from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import quoted
from napari_boltzformer.host.layers import bare_brush, lighten
from napari_boltzformer.host.mask import mask_on
from napari_boltzformer.host.stage import FILLS, LIGHT, NapariImage, NapariStage, image_on

if TYPE_CHECKING:
    from napari.layers import Layer

STAYS = "a layer that stays where it lies"
WHOSE = "labels of nobody knows which image"
"""Topics of sentences."""


class Comings:
    """Hears of every layer, whoever brought or took it."""

    def __init__(self, desk: Desk, stage: NapariStage) -> None:
        self._desk, self._stage = desk, stage
        self._gone: WeakValueDictionary[str, Track] = WeakValueDictionary()
        """By key, masks that a person removed, in the order in which they went; the offer itself holds them."""
        # Once a layer has all that makes it a mask or a helper; not under napari's own hands.
        self._arrange = desk.timers.after(0, lambda: stage.side_by_side(desk.patients.beside))
        self._bereft: list[NapariImage] = []
        """Images that a person removed in this turn of the event loop."""
        self._take_along = desk.timers.after(0, self._take_groups)
        bare_brush(stage.viewer)
        for layer in stage.layers():  # opened before anybody heard of it
            _lighten_ours(layer)
            layer.events.mode.connect(self._stay)

    def inserted(self, event: Any) -> None:
        if not self._stage.adopt(event.value):
            self._desk.notice.say(
                f"'{event.value.name}' is named after no open image, and not just one is of its size, so it goes with "
                "none: open it again when its image is open alone.",
                topic=WHOSE,
            )
        if isinstance(event.value, Image):
            _lighten_ours(event.value)
        if isinstance(event.value, Image | Labels):
            event.value.events.mode.connect(self._stay)
        self._keep_apart(event.value)

    def removed(self, event: Any) -> None:
        gone = event.value
        track = self._desk.tracks.on(mask_on(gone))
        if track is not None:
            self._desk.keeper.mask_left(track, removed=not self._stage.moves)
            if not self._stage.moves:  # by a person, perhaps by mistake
                self._offer(track)
        elif isinstance(gone, Image):
            image = image_on(gone)
            self._desk.notice.withdraw(removed_from(image))
            self._desk.image_left(image)
            if image.ours and not self._stage.moves:
                self._bereft.append(image)
                self._take_along.start()
        self._keep_apart(gone)

    def _take_groups(self) -> None:
        """What an image leaves behind when a person removes it would lie over the next one, in no list of masks."""
        gone, self._bereft = self._bereft, []
        for image in gone:
            if image.layer in self._stage.viewer.layers or not self._stage.group(image):
                continue
            ours = "its masks" if self._stage.surfaces(image) else "its points"
            back = self._stage.close(image, but_theirs=True)
            sentence = f"'{image.name}' was removed, and {ours} with it. Result kept."
            self._desk.notice.offer(removed_from(image), sentence, ("Restore", partial(self._restore, image, back)))
        self._desk.patients.look_again()

    def _restore(self, image: NapariImage, back: Callable[[], None]) -> None:
        if any(one.is_same_as(image) for one in self._stage.images()):
            return self._desk.notice.say(f"'{image.name}' is open already, with what was done since.")
        self._desk.keeper.begins_anew(image)  # what was kept meanwhile, of the same file, is another state
        self._stage.viewer.layers.append(image.layer)
        back()
        self._desk.chosen()

    def _keep_apart(self, layer: Layer) -> None:
        """One more or less of an image's shifts all that lie behind it to other places of napari's grid. What only
        fills a place comes and goes with the arranging itself, which would never end."""
        if self._desk.patients.beside and FILLS not in layer.metadata:
            self._arrange.start()

    def _stay(self, event: Any) -> None:
        """napari's transform tool, one key away from its brush, would move a picture from under its masks, and what is
        clicked on it from what the model sees there."""
        layer = event.source
        if str(layer.mode) == "transform" and (mask_on(layer) is not None or _has_masks(layer, self._stage)):
            layer.mode = "pan_zoom"
            brush = "" if mask_on(layer) is not None else " To paint, select a mask in the layer list first."
            self._desk.notice.say(f"'{layer.name}' stays where it lies: moved, it would not fit.{brush}", topic=STAYS)

    def _offer(self, track: Track) -> None:
        """Beside those that are offered already: whoever removes two by mistake wants both."""
        topic = removed_from(track.image)
        if not any(one.topic == topic for one in self._desk.notice.offers):
            for key in [one.key for one in self._gone.values() if one.image is track.image]:
                del self._gone[key]
        self._gone[track.key] = track
        here = {one.name for one in self._desk.tracks.of(track.image)}  # asked for again since it went
        went = [one for one in self._gone.values() if one.image is track.image and not one.surface.alive]
        last = {one.name: one for one in went if one.name not in here}
        gone = tuple(last.values())
        sentence = f"{quoted([one.name for one in gone])} {'was' if len(gone) == 1 else 'were'} removed. Result kept."
        self._desk.notice.offer(topic, sentence, ("Restore", partial(self._bring_back, gone)))

    def _bring_back(self, gone: Sequence[Track]) -> None:
        for track in gone:
            surface: Any = track.surface
            if surface.layer not in self._stage.viewer.layers:
                self._stage.viewer.layers.append(surface.layer)
                self._desk.keeper.touch(track.image)
        self._desk.chosen()


def _has_masks(layer: Layer, stage: NapariStage) -> bool:
    """Whether it is an image whose place is known from its file, or that masks lie on already."""
    if not isinstance(layer, Image) or LIGHT in layer.metadata:
        return False
    image = image_on(layer)
    return image.ours or bool(stage.surfaces(image))


BUILT_IN = "napari"
"""What napari calls the reader of its own, which gives no contrast: all between the least and the largest value."""


def _lighten_ours(layer: Image) -> None:
    """What other plugins opened keeps the contrast that they gave it."""
    if image_on(layer).ours or layer.source.reader_plugin == BUILT_IN:
        lighten(layer)
