"""Masks as they leave the viewer: on the stored grid of their image, with how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from boltzformer import LabelMap
from boltzformer.objects import pieces
from boltzformer.types import SliceState
from napari_boltzformer.layers import volume_of
from napari_boltzformer.masks import Track


def label_map(image: Image, tracks: Sequence[Track], *, whole: bool = True) -> LabelMap:
    """The masks on the stored grid of their image, one layer and one label each; `whole`: excluded objects, too."""
    volume = volume_of(image)
    view = volume.grid.canonical(volume.slice_axis)
    layers = [view.undo((track.rows if whole else kept(track)) > 0) for track in tracks]
    stacked = np.stack([layer * np.uint8(n + 1) for n, layer in enumerate(layers)])
    return LabelMap(stacked, volume.grid, dict(enumerate(unique_names(tracks), 1)))


def answer_map(image: Image, tracks: Sequence[Track]) -> LabelMap:
    """What the model had said, on the stored grid."""
    volume = volume_of(image)
    view = volume.grid.canonical(volume.slice_axis)
    stacked = np.stack([view.undo(track.written()) * np.uint8(n + 1) for n, track in enumerate(tracks)])
    return LabelMap(stacked, volume.grid, dict(enumerate(unique_names(tracks), 1)))


def unique_names(tracks: Sequence[Track]) -> list[str]:
    """Two masks may carry one name in the viewer, but not in a file."""
    names = [track.name for track in tracks]
    return [name if names.count(name) == 1 else f"{name} ({n})" for n, name in enumerate(names, 1)]


def kept(track: Track) -> NDArray[np.uint8]:
    """The mask without the objects that are excluded."""
    if not track.excluded:
        return track.rows
    found = pieces(track.rows)
    gone = {int(found[voxel]) for voxel in track.excluded} - {0}  # what was erased meanwhile needs no leaving out
    return np.where(np.isin(found, list(gone)), 0, track.rows).astype(np.uint8)


def how_made(track: Track) -> dict[str, Any]:
    """The runs that wrote into a mask, and the slices that differ from what they wrote."""
    return {
        "prompt": track.prompt.text,
        "warning": track.warning,
        **({"began from": track.began_from} if track.began_from else {}),
        "runs": track.runs,
        "thresholds, as shown": asdict(track.kept.thresholds),
        "slices edited, as shown": track.edited_rows(),
        "slices accepted, as shown": [
            row for row in range(len(track.rows)) if track.state(row) is not SliceState.UNSEEN
        ],
        "objects excluded": len(track.excluded),
    }
