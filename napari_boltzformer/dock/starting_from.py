"""Use layer…: a mask that somebody made already becomes ours, of a prompt, as a person's own work."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtWidgets import QInputDialog, QWidget

from boltzformer import BoltzFormerError, GeometryError, Volume
from boltzformer.desk.desk import Desk
from boltzformer.desk.masks.region import stored_voxel
from napari_boltzformer.host.layers import KEY
from napari_boltzformer.host.mask import mask_on
from napari_boltzformer.host.stage import NapariImage, NapariStage, same

MOST_LABELS = 255
CLOSE = 0.01
"""Corners may differ by so much of a voxel."""


def ask_and_use(parent: QWidget, desk: Desk, stage: NapariStage, typed: list[str]) -> None:
    """Which layer? Then it is ours. `typed`: the prompts in the box."""
    image = stage.chosen()
    text = "" if image is None else _prompt(desk, image, typed)
    if image is None or not text:
        desk.notice.say("Open the image and type the prompt first that the mask answers, then use a layer.")
        return
    offered = offers(stage, image.layer)
    if not offered:
        desk.notice.say("There is no layer to begin from: drop a mask of this image here, then use it.")
        return
    question, names = f"Which layer is the mask of '{text}'?", list(offered)
    name, chosen = QInputDialog.getItem(parent, "Use layer", question, names, 0, False)
    if chosen:
        try:
            use(desk, image, *offered[name], text)
        except BoltzFormerError as error:
            desk.notice.fail(str(error))


def _prompt(desk: Desk, image: NapariImage, typed: list[str]) -> str:
    """The first that is typed and has no mask yet, else that of the selected mask."""
    known, track = [track.prompt.text for track in desk.tracks.of(image)], desk.tracks.active()
    waiting = [text for text in typed if text not in known]
    return waiting[0] if waiting else "" if track is None else track.prompt.text


def offers(stage: NapariStage, image: Image) -> dict[str, tuple[Layer, int | None]]:
    """Layers that may hold a mask, the selected one first; those with several labels also by the label in hand."""
    active = stage.viewer.layers.selection.active
    found: dict[str, tuple[Layer, int | None]] = {}
    for layer in sorted(stage.viewer.layers, key=lambda one: not same(one, active)):
        if mask_on(layer) is not None or same(layer, image) or not isinstance(layer, Image | Labels):
            continue
        data = np.asarray(layer.data) if not layer.multiscale else np.zeros(0)
        if data.dtype.kind not in "biu" or getattr(layer, "rgb", False):
            continue
        found[layer.name] = layer, None
        label = int(layer.selected_label) if isinstance(layer, Labels) else 0
        if label and (data == label).any() and ((data != 0) & (data != label)).any():
            found[f"{layer.name}, only label {label}"] = layer, label
    return found


def use(desk: Desk, image: NapariImage, layer: Layer, label: int | None, text: str) -> None:
    """The layer's mask as the prompt's, in place of what that had; it is hidden, not changed."""
    if desk.begin_from(image, mask_of(layer, label, image.layer), layer.name, text):
        layer.visible = False


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
