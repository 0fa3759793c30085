"""Masks as they leave the viewer: on the stored grid of their image, with how they were made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from boltzformer import LabelMap, Volume
from boltzformer.masks.objects import pieces
from boltzformer.types import SliceState
from napari_boltzformer.host.layers import volume_of
from napari_boltzformer.host.mask import Track, unpacked


@dataclass(frozen=True)
class Snapshot:
    """The masks of an image at one moment: copied at once, so that what takes long is done beside the viewer."""

    volume: Volume
    names: tuple[str, ...]
    rows: tuple[NDArray[np.uint8], ...]
    excluded: tuple[frozenset[tuple[int, ...]], ...]

    @staticmethod
    def of(image: Image, tracks: Sequence[Track]) -> Snapshot:
        rows, excluded = [track.rows.copy() for track in tracks], [frozenset(track.excluded) for track in tracks]
        return Snapshot(volume_of(image), tuple(unique_names(tracks)), tuple(rows), tuple(excluded))

    def labels(self, *, whole: bool = True) -> LabelMap:
        """On the stored grid of the image, one layer and one label each; `whole`: excluded objects, too."""
        view = self.volume.grid.canonical(self.volume.slice_axis)
        shown = self.rows if whole else [_kept(*one) for one in zip(self.rows, self.excluded, strict=True)]
        stacked = np.stack([(view.undo(rows) > 0) * np.uint8(n) for n, rows in enumerate(shown, 1)])
        return LabelMap(stacked, self.volume.grid, dict(enumerate(self.names, 1)))


def answer_map(image: Image, tracks: Sequence[Track]) -> Callable[[], LabelMap]:
    """What the model had said, on the stored grid; to be put together beside the viewer."""
    volume, names = volume_of(image), unique_names(tracks)
    written = [(track.written(), track.rows.shape) for track in tracks]

    def whole() -> LabelMap:
        view = volume.grid.canonical(volume.slice_axis)
        stacked = np.zeros((len(written), *volume.grid.shape), np.uint8)
        for number, (rows, shape) in enumerate(written, 1):
            said = np.zeros(shape, np.uint8)
            for row, bits in rows.items():
                said[row] = unpacked(bits, shape[1:])
            stacked[number - 1] = view.undo(said) * np.uint8(number)
        return LabelMap(stacked, volume.grid, dict(enumerate(names, 1)))

    return whole


def unique_names(tracks: Sequence[Track]) -> list[str]:
    """Two masks may carry one name in the viewer, but not in a file."""
    names = [track.name for track in tracks]
    return [name if names.count(name) == 1 else f"{name} ({n})" for n, name in enumerate(names, 1)]


def _kept(rows: NDArray[np.uint8], excluded: Collection[tuple[int, ...]]) -> NDArray[np.uint8]:
    """A mask without the objects that are excluded."""
    if not excluded:
        return rows
    found = pieces(rows)
    gone = {int(found[voxel]) for voxel in excluded} - {0}  # what was erased meanwhile needs no leaving out
    return np.where(np.isin(found, list(gone)), 0, rows).astype(np.uint8)


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
