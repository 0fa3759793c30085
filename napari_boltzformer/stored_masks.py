"""Masks as they leave the viewer: on the stored grid of their image, with how they were made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from boltzformer import LabelMap, Volume
from boltzformer.objects import pieces
from boltzformer.types import SliceState
from napari_boltzformer.layers import volume_of
from napari_boltzformer.masks import Bits, Track, unpacked


@dataclass(frozen=True)
class Snapshot:
    """The masks of an image at one moment: what takes long is done beside the viewer.

    Packed by row, and a row that is as the model wrote it is held already: copies of large masks would take a second.
    """

    volume: Volume
    names: tuple[str, ...]
    packed: tuple[Mapping[int, Bits], ...]
    edited: tuple[list[int], ...]
    """The rows of each that differ from what the model wrote."""
    excluded: tuple[frozenset[tuple[int, ...]], ...]

    @staticmethod
    def of(image: Image, tracks: Sequence[Track]) -> Snapshot:
        packed, edited = zip(*(track.packed() for track in tracks), strict=True)
        excluded = tuple(frozenset(track.excluded) for track in tracks)
        return Snapshot(volume_of(image), tuple(unique_names(tracks)), packed, edited, excluded)

    def labels(self, *, whole: bool = True) -> LabelMap:
        """On the stored grid of the image, one layer and one label each; `whole`: excluded objects, too."""
        out = [frozenset[tuple[int, ...]]()] * len(self.packed) if whole else self.excluded
        return _stacked(self.volume, self.names, self.packed, out)


def answer_map(image: Image, tracks: Sequence[Track]) -> Callable[[], LabelMap]:
    """What the model had said, on the stored grid; to be put together beside the viewer."""
    volume, names, written = volume_of(image), unique_names(tracks), [track.written() for track in tracks]
    return lambda: _stacked(volume, names, written, [frozenset()] * len(tracks))


def _stacked(
    volume: Volume,
    names: Sequence[str],
    packed: Sequence[Mapping[int, Bits]],
    excluded: Sequence[Collection[tuple[int, ...]]],
) -> LabelMap:
    view = volume.grid.canonical(volume.slice_axis)
    shape = view.apply(np.broadcast_to(np.uint8(0), volume.grid.shape)).shape
    stacked = np.zeros((len(names), *volume.grid.shape), np.uint8)
    for number, (bits, out) in enumerate(zip(packed, excluded, strict=True), 1):
        rows = np.zeros(shape, np.uint8)
        for row, one in bits.items():
            rows[row] = unpacked(one, shape[1:])
        stacked[number - 1] = view.undo(_kept(rows, out)) * np.uint8(number)
    return LabelMap(stacked, volume.grid, dict(enumerate(names, 1)))


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
