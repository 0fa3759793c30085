"""Before and after: the answers of the old and the new model to one question, as a pair of mask layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from boltzformer.desk.teaching.comparing import Compared
from napari_boltzformer.host.layers import empty_labels
from napari_boltzformer.host.mask import key_of

if TYPE_CHECKING:
    import napari

PAIR = "boltzformer before and after"
"""Marks the two layers in their metadata."""
COLOURS = {"before": "#56B4E9", "after": "#E69F00"}
FILLED = 0.45
"""Opacity of the one before, which is filled; the one after is an outline upon it."""


def pair_of(viewer: napari.viewer.Viewer) -> list[Labels]:
    """The layers of the last comparison: before, after."""
    found = [layer for layer in viewer.layers if PAIR in layer.metadata]
    return sorted(found, key=lambda layer: layer.metadata[PAIR] != "before")


def show(viewer: napari.viewer.Viewer, compared: Compared) -> None:
    """A filled mask and an outline, both at once; the pair of the last comparison goes."""
    key, active = compared.question.image.key, viewer.layers.selection.active
    image = next((layer for layer in viewer.layers if key_of(layer) == key), None)
    if image is None:
        return  # it was closed meanwhile
    for layer in pair_of(viewer):
        viewer.layers.remove(layer)
    for name, plane in (("before", compared.before), ("after", compared.after)):
        data, options = empty_labels(image, f"{compared.question.prompt}: {name}")
        rows = data[None] if data.ndim == 2 else data
        rows[compared.question.row] = plane
        colours = DirectLabelColormap(color_dict={0: "transparent", None: COLOURS[name]})
        layer = viewer.add_labels(data, **options, colormap=colours, opacity=1.0, metadata={PAIR: name})
        if name == "before":
            layer.opacity = FILLED
        else:
            layer.contour = 1
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active


def flip(viewer: napari.viewer.Viewer) -> None:
    """One at a time: from both or from before to after, from after to before."""
    pair = pair_of(viewer)
    if len(pair) == 2:
        before, after = pair
        only_after = before.visible
        before.visible, after.visible = not only_after, only_after
