"""What the old and the new model find on a slice, on the canvas: a filled mask and an outline upon it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from boltzformer.desk.masks.contrast import COLOURS
from boltzformer.desk.teaching.outcome import Compared
from napari_boltzformer.host.layers import empty_labels, lay_down
from napari_boltzformer.host.mask import key_of

if TYPE_CHECKING:
    import napari

PAIR = "boltzformer before and after"
"""Marks the two layers in their metadata."""
BEFORE_AND_AFTER = {"before": COLOURS[1], "after": COLOURS[0]}
FILLED = 0.45
"""Opacity of the one before, which is filled; the one after is an outline upon it."""


def pair_of(viewer: napari.viewer.Viewer) -> list[Labels]:
    """The layers of the last comparison: before, after."""
    found = [layer for layer in viewer.layers if PAIR in layer.metadata]
    return sorted(found, key=lambda layer: layer.metadata[PAIR] != "before")


def show_pair(viewer: napari.viewer.Viewer, compared: Compared) -> None:
    """A filled mask and an outline, both at once; the pair of the last comparison goes."""
    key, active = compared.question.image.key, viewer.layers.selection.active
    image = next((layer for layer in viewer.layers if key_of(layer) == key), None)
    if image is None:
        return  # it was closed meanwhile
    hide_pair(viewer)
    for name, plane in (("before", compared.before), ("after", compared.after)):
        data, options = empty_labels(image, f"{compared.question.prompt}: {name}")
        rows = data[None] if data.ndim == 2 else data
        rows[compared.question.row] = plane
        colours = DirectLabelColormap(color_dict={0: "transparent", None: BEFORE_AND_AFTER[name]})
        layer = viewer.add_labels(data, **options, colormap=colours, opacity=1.0, metadata={PAIR: name})
        if name == "before":
            layer.opacity = FILLED
        else:
            layer.contour = 1
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active


def hide_pair(viewer: napari.viewer.Viewer) -> bool:
    """Whether there was one."""
    found = pair_of(viewer)
    for layer in found:
        lay_down(layer)
        viewer.layers.remove(layer)
    return bool(found)


def flip_pair(viewer: napari.viewer.Viewer) -> None:
    """One at a time: from both or from before to after, from after to before."""
    pair = pair_of(viewer)
    if len(pair) == 2:
        before, after = pair
        only_after = before.visible
        before.visible, after.visible = not only_after, only_after
