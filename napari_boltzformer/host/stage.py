"""`NapariStage`: which images and masks are open in a viewer, and what of them is on screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.track import Track
from boltzformer.types import Prompt, Volume
from napari_boltzformer.host import compared
from napari_boltzformer.host.adopting import adopt
from napari_boltzformer.host.centring import look_at, look_towards, stand_in
from napari_boltzformer.host.layers import (
    KEY,
    camera_of,
    empty_labels,
    facts_of,
    fit,
    grid_of,
    image_layer,
    lay_down,
    lies_on_screen,
    row_on_screen,
    shows_slices,
    together,
    volume_of,
)
from napari_boltzformer.host.mask import OPACITY, SEEN, NapariMask, fill_again, filling_of, key_of, mask_on, one_colour
from napari_boltzformer.host.own_names import OwnNames
from napari_boltzformer.host.unlisted import hide_rows

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

IMAGE = "boltzformer image"
LIGHT = "boltzformer light"
"""Marks the layer of a look in its metadata: it is no image of the user's."""
FILLS = "boltzformer room"
FOR = "boltzformer guide"
"""Where the metadata of points, boxes and other helpers says which image they are for."""

Guider = tuple[Callable[[Any], Mapping[str, Any]], Callable[[Any, Mapping[str, Any]], None]]


class NapariImage(OpenImage):
    """Of a layer; it lives as long as that does."""

    def __init__(self, layer: Image) -> None:
        super().__init__(key_of(layer), lambda: volume_of(layer), lambda: str(layer.name), lambda: layer.data)
        self.layer = layer
        self.ours = KEY in layer.metadata

    def __deepcopy__(self, memo: Any) -> NapariImage:
        """A layer that is duplicated is another image: it gets its own when it is asked for."""
        return self


class NapariStage:
    """`choose` tells which image layer the user works on."""

    def __init__(self, viewer: napari.viewer.Viewer, choose: Callable[[], Image | None]) -> None:
        self.viewer, self._choose = viewer, choose
        self.guider: Guider = lambda _: {}, lambda _, __: None
        """Who knows of points and boxes: tells them, and makes them."""
        self._rows: dict[str, int] = {}
        """Where each image was looked at last."""
        self._met: set[str] = set()
        """Images that somebody was brought to: before, the slice on screen is where another one was looked at."""
        self._owners: dict[str, str] = {}
        """By a layer's key, that of the image it goes with, where its metadata does not say so."""
        self._compares = False
        """Whether it was for us that the grid was switched on."""
        self._compared: dict[str, int] = {}
        """Rows of images whose comparison has just ended: napari's slider tells of one of them at the most."""
        self.going: list[Callable[[], None]] = []
        """Layers have gone and napari is about to tidy up, or some are about to come back."""
        self.fitted: list[Callable[[], None]] = []
        """All of an image was brought into the view, whatever was looked at before."""
        self.scaled: list[Callable[[], None]] = []
        """Some layers are drawn larger or smaller than before, at the same zoom."""
        self.moves = 0
        """Above 0, layers come and go by our own hand."""
        self._hands: dict[str, Layer] = {}
        """By an image's key, the layer of its group that was selected when it was put away."""
        self._names = OwnNames(viewer)

    # --- images and masks ---------------------------------------------------------------------------------------

    def open(self, volume: Volume, *, case: str | None = None, store: str = "") -> OpenImage:
        data, options, _ = image_layer(volume)
        image = image_on(Image(data, **options))
        image.case, image.store = case, store
        self.viewer.layers.append(image.layer)
        return image

    def close(self, image: OpenImage, *, but_theirs: bool = False) -> Callable[[], None]:
        """`but_theirs`: layers of the user's own stay."""
        group = [one for one in self.group(image) if not but_theirs or FOR in one.metadata or mask_on(one) is not None]
        self._rows |= {image.key: self.row(image)} if image.key in self._met and self.shows(image) else {}
        compared.note_place(self.viewer, self._layer(image))
        self._owners.update(dict.fromkeys((key_of(layer) for layer in group), image.key))
        names = [self._names.take(layer) for layer in group]
        seen = [layer.metadata.pop(SEEN, layer.visible) for layer in group]
        active = self.viewer.layers.selection.active
        in_hand = self._hands[image.key] = active if active in group else self._layer(image)
        with self.moving(), together(self.viewer):
            for layer in group:
                lay_down(layer)
                layer.visible = False  # nothing of it is drawn between two that go
            for layer in reversed(group):
                self.viewer.layers.remove(layer)
            compared.put_back(group)
            for heard in self.going:
                heard()
        self._names.give_back()

        def back() -> None:
            active = self.viewer.layers.selection.active
            for heard in self.going:  # nor is it drawn over another image before it has a place beside it
                heard()
            with self.moving():
                for layer, visible, name in zip(group, seen, names, strict=True):
                    layer.visible = visible
                    self._names.note(layer, name)
                    if layer not in self.viewer.layers:
                        self.viewer.layers.append(layer)
                # what came last is not what the user had in hand, and perhaps a helper's
                self.viewer.layers.selection.active = in_hand if active is None else active
            self._names.give_back()

        return back

    def hide(self, image: OpenImage) -> None:
        """At once, until it is closed: nothing of it is drawn under another image."""
        with self.moving():
            for layer in self.group(image):
                layer.metadata.setdefault(SEEN, bool(layer.visible))
                layer.visible = False

    def was_visible(self, layer: Layer) -> bool:
        """Also where its image is hidden by now."""
        return bool(layer.metadata.get(SEEN, layer.visible))

    def lower(self, layer: Layer, image: OpenImage) -> None:
        """Beneath the points and the box of its image, which stay in sight."""
        layers = self.viewer.layers
        guides = [one for one in layers if one.metadata.get(FOR) == image.key and FILLS not in one.metadata]
        lowest = min((layers.index(one) for one in guides), default=len(layers))
        if layers.index(layer) > lowest:
            layers.move(layers.index(layer), lowest)

    def pixel(self, layer: Layer) -> float:
        """One of the screen, in a layer's own; one that is compared may be enlarged."""
        return 1 / max(camera_of(self.viewer).zoom * compared.width_of(layer), 1e-6)

    def dot(self, layer: Layer) -> float:
        """The same, of points, which napari draws by the scale of their layer alone, not enlarged."""
        return 1 / max(camera_of(self.viewer).zoom * abs(float(layer.scale[-1])), 1e-6)

    def remove(self, surface: Any) -> None:
        if surface.layer in self.viewer.layers:
            with self.moving():
                lay_down(surface.layer)
                self.viewer.layers.remove(surface.layer)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """What comes or goes meanwhile is nobody's mistake."""
        self.moves += 1
        try:
            yield
        finally:
            self.moves -= 1

    def group(self, image: OpenImage) -> list[Layer]:
        """All that is on screen for an image, in the order in which it lies there."""
        return [layer for layer in self.viewer.layers if self._owner(layer) == image.key]

    def adopt(self, layer: Layer) -> bool:
        """A layer came in: a mask file, points, shapes of the user's go with an image. False: nobody can tell which."""
        every = list(self.viewer.layers), self.layers(), self._choose()
        return self.moves > 0 or adopt(self._owners, layer, *every)

    def _owner(self, layer: Layer) -> str:
        """Key of the image that a layer goes with."""
        if (mask := mask_on(layer)) is not None:
            return mask.image
        if isinstance(layer, Image):
            return str(layer.metadata.get(FOR, "")) if LIGHT in layer.metadata else key_of(layer)
        return str(layer.metadata.get(FOR) or self._owners.get(key_of(layer), ""))

    def guides(self, image: OpenImage) -> Mapping[str, Any]:
        return {**self.guider[0](image), **filling_of(self.surfaces(image))}

    def guide(self, image: OpenImage, told: Mapping[str, Any]) -> None:
        if (rest := fill_again(self.surfaces(image), told)) or not told:  # which takes all of them away
            self.guider[1](image, rest)

    def arrive(self, image: OpenImage) -> None:
        if (layer := self._layer(image)) not in self.viewer.layers:
            return
        stood = compared.find_place(self.viewer, layer, self.layers()) or image.key in self._met
        self._met.add(image.key)
        self._compared.clear()
        self.enter(image, again=True, whole=not stood)
        if self.viewer.layers.selection.active is None:
            self.viewer.layers.selection.active = self._hands.get(image.key, layer)
        self._fit()

    def _fit(self) -> None:
        fit(self.viewer)
        for heard in self.fitted:
            heard()

    def side_by_side(self, images: Sequence[OpenImage]) -> None:
        """In napari's grid, where smaller groups are filled up. Where that is so already nobody's zoom is touched."""
        if self._compares and len(images) < 2:
            self._compared = dict(self._rows)
        stay = compared.stay_in(self.viewer, self._stepped(self._choose()))
        with self.moving(), stay, compared.tell_of_sizes(self.viewer, self.scaled):
            self._arrange([image for image in images if self._layer(image) in self.viewer.layers])

    def _arrange(self, here: Sequence[OpenImage]) -> None:
        grid, viewer = grid_of(self.viewer), self.viewer
        if len(here) < 2:
            compared.put_back(list(viewer.layers))
        else:
            compared.bring_together([self._layer(image) for image in here], [self.group(image) for image in here])
            if self._lie_apart([self.group(image) for image in here]):
                return
        selected, active = set(viewer.layers.selection), viewer.layers.selection.active
        groups = [[one for one in self.group(image) if FILLS not in one.metadata] for image in here]
        most = max(map(len, groups), default=0)
        compared.fill_up(viewer, {image.key: group for image, group in zip(here, groups, strict=True)}, FILLS, FOR)
        if len(groups) < 2:
            grid.enabled, self._compares = grid.enabled and not self._compares, False
            return
        before, places = tuple(grid.shape) if self._compares else (), (1, len(groups))
        compared.lay_out(viewer, [one for group in groups for one in group], most, places)
        self._compares = True
        hide_rows(FILLS)
        viewer.layers.selection = selected & set(viewer.layers)
        if active in viewer.layers:
            viewer.layers.selection.active = active
        if before != places:
            self._fit()

    def _lie_apart(self, groups: Sequence[Sequence[Layer]]) -> bool:
        """Whether each of these has a place of the grid to itself, and none more room than the largest needs."""
        grid, keys = grid_of(self.viewer), [key_of(layer) for layer in self.viewer.layers]
        wanted = [key_of(layer) for group in groups for layer in group]
        filled = all(any(FILLS in layer.metadata for layer in group) for group in groups)
        places = {len(group) for group in groups} == {grid.stride} and tuple(grid.shape) == (1, len(groups))
        return self._compares and bool(grid.enabled) and places and not filled and keys[: len(wanted)] == wanted

    def layers(self) -> list[Image]:
        """Of the user's images."""
        return [one for one in self.viewer.layers if isinstance(one, Image) and LIGHT not in one.metadata]

    def images(self) -> list[NapariImage]:
        return [image_on(layer) for layer in self.layers()]

    def chosen(self) -> NapariImage | None:
        layer = self._choose()
        return None if layer is None else image_on(layer)

    def surfaces(self, image: OpenImage) -> list[NapariMask]:
        every = (mask_on(layer) for layer in self.viewer.layers)
        return [mask for mask in every if mask is not None and mask.image == image.key]

    def add(self, image: OpenImage, prompt: Prompt, colour: str) -> NapariMask:
        layer, active = self._layer(image), self.viewer.layers.selection.active
        before = [mask.filled for mask in self.surfaces(image)]
        data, options = empty_labels(layer, prompt.name)
        look = {"opacity": OPACITY, "colormap": one_colour(colour), "metadata": {KEY: facts_of(image.volume)}}
        made = self.viewer.add_labels(data, **options, **look)
        self._names.note(made, prompt.name)  # the mask of an image that is about to leave may have it still
        self.lower(made, image)
        self.viewer.layers.selection.active = active
        mask = NapariMask(self.viewer, made, image.key, colour)
        if before or image.is_picture:  # as a person has the others; of a picture what lies below is looked at, too
            mask.fill(max(before, default=0.0))
        return mask

    def begin(self, image: OpenImage) -> None:
        """The history holds voxels: nothing to prepare."""

    def active(self) -> NapariMask | None:
        layer = self.viewer.layers.selection.active
        return None if layer is None else mask_on(layer)

    def activate(self, surface: Any) -> None:
        if surface.layer in self.viewer.layers:
            self.viewer.layers.selection.active = surface.layer

    def show_voxel(self, track: Track, voxel: tuple[int, int, int]) -> None:
        """Brings a voxel (slice, row, column) of a mask on the screen."""
        surface: Any = track.surface
        self.go(track.image, voxel[0])
        look_at(self.viewer, surface.layer, tuple(surface.layer.data_to_world(voxel[-surface.layer.ndim :])))
        self.activate(surface)

    # --- what is on screen --------------------------------------------------------------------------------------

    def row(self, image: OpenImage) -> int:
        known = self._compared.get(image.key)
        return row_on_screen(self._layer(image), self.viewer.dims.point) if known is None else known

    def shows(self, image: OpenImage) -> bool:
        layer = self._layer(image)
        known = layer.ndim == 2 or image.key in self._compared
        return known or (shows_slices(self.viewer) and lies_on_screen(layer, self.viewer.dims.point))

    def sees(self, image: OpenImage, row: int) -> bool:
        return self.viewer.dims.ndisplay == 2 and (row == self.row(image) or not shows_slices(self.viewer))

    def go(self, image: OpenImage, row: int) -> None:
        """A rendering in 3-D stays."""
        layer, dims = self._layer(image), self.viewer.dims
        self._met.add(image.key)
        if layer.ndim == 3:
            if dims.ndisplay == 2:
                self._to_slices()
            self._step_through(layer)
            dims.set_point(dims.ndim - 3, float(layer.data_to_world((row, 0, 0))[0]))

    def turn(self, image: OpenImage) -> bool:
        if turned := not shows_slices(self.viewer):
            self._to_slices()
            self.enter(image)
        return turned

    def bring(self, image: OpenImage) -> None:
        viewer, layer = self.viewer, self._layer(image)
        if layer not in viewer.layers or layer.ndim not in (2, 3):
            return
        self._met.add(image.key)
        self.enter(image, again=self._compares)
        look_towards(viewer, layer)

    def stays_at(self, image: OpenImage) -> None:
        if self.shows(image):
            self._rows[image.key] = self.row(image)

    def scrolled(self) -> None:
        if not self.moves:
            self._compared.clear()
        if (layer := self._stepped(self._choose())) is None or self.moves:
            return
        image = image_on(layer)
        if image.key in self._met and compared.goes_through(self.viewer, layer) and self.shows(image):
            self._rows.pop(image.key, None)  # the one that was looked at last is last
            self._rows[image.key] = self.row(image)

    def step_through(self, event: Any = None) -> None:
        """napari's slider has other steps than before: where images are compared, those of the one in hand again."""
        layer = self._stepped(self._choose())
        if layer is not None and not compared.goes_through(self.viewer, layer):
            self._step_through(layer)
            if key_of(layer) in self._rows:
                self.enter(image_on(layer), again=True)

    def _stepped(self, layer: Image | None) -> Image | None:
        """Whose slices the slider goes through while this one is in hand."""
        return compared.stepped(layer, self.layers() if self._compares else (), [*self._rows])

    def _step_through(self, layer: Image) -> None:
        with self.moving():
            compared.step_through(self.viewer, layer)

    def enter(self, image: OpenImage, *, again: bool = False, whole: bool = False) -> None:
        """Where it was last, else its middle, if the place on screen lies outside of it; `again`: also where that is
        but the slice of another image; `whole`: in each plane, at whose black edge it might be seen otherwise."""
        layer, dims = self._stepped(self._layer(image)) or self._layer(image), self.viewer.dims
        self._step_through(layer)
        if layer.ndim == 3 and (again or not lies_on_screen(layer, dims.point)):
            row = min(self._rows.get(key_of(layer), layer.data.shape[0] // 2), layer.data.shape[0] - 1)
            stand_in(self.viewer, layer, row, whole=whole)

    def _to_slices(self) -> None:
        dims = self.viewer.dims
        if not shows_slices(self.viewer):
            dims.ndisplay, dims.order = 2, tuple(range(dims.ndim))

    def _layer(self, image: OpenImage) -> Image:
        assert isinstance(image, NapariImage)
        return image.layer


def image_on(layer: Image) -> NapariImage:
    """What the desk knows of a layer, made when it is first asked for."""
    known = layer.metadata.get(IMAGE)
    if not isinstance(known, NapariImage) or known.key != key_of(layer):
        known = layer.metadata[IMAGE] = NapariImage(layer)
    return known
