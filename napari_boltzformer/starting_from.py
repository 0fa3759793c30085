"""Use layer…: a mask that somebody made already becomes ours, of a prompt, as a person's own work."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtWidgets import QInputDialog

from boltzformer import BoltzFormerError, GeometryError, Volume
from napari_boltzformer.knowledge import as_prompt
from napari_boltzformer.layers import KEY, stored_voxel
from napari_boltzformer.masks import new_track, same, track_of, tracks_of
from napari_boltzformer.run import counted

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

MOST_LABELS = 255
CLOSE = 0.01
"""Corners may differ by so much of a voxel."""


def ask_and_use(dock: BoltzFormerDock) -> None:
    """Which layer? Then it is ours."""
    image = dock.chosen_image()
    text = "" if image is None else _prompt(dock, image)
    if image is None or not text:
        dock.notice.say("Open the image and type the prompt first that the mask answers, then use a layer.")
        return
    offered = offers(dock, image)
    if not offered:
        dock.notice.say("There is no layer to begin from: drop a mask of this image here, then use it.")
        return
    question, names = f"Which layer is the mask of '{text}'?", list(offered)
    name, chosen = QInputDialog.getItem(dock, "Use layer", question, names, 0, False)
    if chosen:
        try:
            dock.notice.say(use(dock, image, *offered[name], text))
        except BoltzFormerError as error:
            dock.notice.fail(str(error))


def _prompt(dock: BoltzFormerDock, image: Image) -> str:
    """The first that is typed and has no mask yet, else that of the selected mask."""
    typed, known = dock.prompt.texts(), [track.prompt.text for track in tracks_of(dock.viewer, image)]
    track = dock.active_track()
    waiting = [text for text in typed if text not in known]
    return waiting[0] if waiting else "" if track is None else track.prompt.text


def offers(dock: BoltzFormerDock, image: Image) -> dict[str, tuple[Layer, int | None]]:
    """Layers that may hold a mask, the selected one first; those with several labels also by the label in hand."""
    active = dock.viewer.layers.selection.active
    found: dict[str, tuple[Layer, int | None]] = {}
    for layer in sorted(dock.viewer.layers, key=lambda one: not same(one, active)):
        if track_of(layer) is not None or same(layer, image) or not isinstance(layer, Image | Labels):
            continue
        data = np.asarray(layer.data) if not layer.multiscale else np.zeros(0)
        if data.dtype.kind not in "biu" or getattr(layer, "rgb", False):
            continue
        found[layer.name] = layer, None
        label = int(layer.selected_label) if isinstance(layer, Labels) else 0
        if label and (data == label).any() and ((data != 0) & (data != label)).any():
            found[f"{layer.name}, only label {label}"] = layer, label
    return found


def use(dock: BoltzFormerDock, image: Image, layer: Layer, label: int | None, text: str) -> str:
    """The layer's mask as the prompt's, in place of what that had; it is hidden, not changed → what was done."""
    rows = mask_of(layer, label, image)
    known = [track for track in tracks_of(dock.viewer, image) if track.prompt.text == text]
    held = [row for row, mask in enumerate(rows) if mask.any()]
    if not held:
        return f"The layer '{layer.name}' is empty, so there is nothing to begin from."
    if known:
        track = known[0]
        track.change_all(dict(enumerate(rows)))
        back = " One Ctrl+Z on its layer brings back what was there."
    else:
        track, back = new_track(dock.viewer, image, as_prompt(text)), ""
        track.restore(rows, ())
        dock.running.adopt(track)
    track.began_from = layer.name
    layer.visible = False
    track.layer.refresh()
    dock.running.recount(track)
    dock.bottom.show_tracks()
    dock.show_results()
    return (
        f"'{layer.name}' is the mask of '{text}' now, as your own work in {counted(len(held))}, which no run "
        f"overwrites; the layer itself is hidden.{back}"
    )


def mask_of(layer: Layer, label: int | None, image: Image) -> NDArray[np.bool_]:
    """(slices, rows, columns) on the image's voxels, in its canonical view. It must lie there; nothing is resampled."""
    data = np.asarray(layer.data)
    if isinstance(layer, Image) and (data.min(initial=0) < 0 or data.max(initial=0) > MOST_LABELS):
        raise BoltzFormerError(
            f"The layer '{layer.name}' holds values from {data.min()} to {data.max()}, so it is an image and no mask: "
            "choose one whose voxels are 0 outside and 1 to 255 inside."
        )
    if not lies_on(layer, image):
        raise GeometryError(
            f"The layer '{layer.name}' ({_size(layer)}) does not lie on the voxels of '{image.name}' "
            f"({_size(image)}): choose a mask that was made on this very image."
        )
    mask = data != 0 if label is None else data == label
    return mask[None] if mask.ndim == 2 else mask


def lies_on(layer: Layer, image: Image) -> bool:
    """Whether both show the same voxels, at the same places of the viewer and, where known, of the patient."""
    shape = image.data.shape[:-1] if image.rgb else image.data.shape
    if layer.data.shape != shape:
        return False
    corners = [np.array(corner, float) for corner in product(*((0, n - 1) for n in shape))]
    there = [image.world_to_data(layer.data_to_world(corner)) for corner in corners]
    apart = float(np.abs(np.array(there) - corners).max())
    both = [layer.metadata.get(KEY), image.metadata.get(KEY)]
    if all(facts is not None for facts in both):
        mine, its = (np.array([_voxel_lps(facts, corner) for corner in corners]) for facts in both)
        apart = max(apart, float(np.linalg.norm(mine - its, axis=1).max()) / min(both[1]["grid"].spacing_mm))
    return apart <= CLOSE


def _voxel_lps(facts: Mapping[str, Any], corner: NDArray[np.float64]) -> NDArray[np.float64]:
    nothing = np.broadcast_to(np.uint8(0), facts["grid"].shape)
    place = stored_voxel(Volume(nothing, **facts), (0.0, *corner)[-3:])
    return np.asarray(facts["grid"].world(place))


def _size(layer: Layer) -> str:
    voxels = np.asarray(layer.data).shape[: layer.ndim]
    steps = "×".join(f"{abs(step):.3g}" for step in layer.scale)
    return f"{'×'.join(map(str, voxels))} voxels of {steps}, from {', '.join(f'{at:.4g}' for at in layer.translate)}"
