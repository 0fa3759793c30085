"""What every reader asks of a file before it hands out a volume: one frame, finite values, a possible grid."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from boltzformer.errors import GeometryError, ImageError, SeveralFrames
from boltzformer.image.geometry import Array, Grid


class ImageWarning(UserWarning):
    """The file was read or written, but the user should know something about it."""


def pick_frame(path: Path, frames: int, frame: int | None) -> int:
    """The 0-based frame that the user chose (from 1) among those in the file."""
    if frame is None:
        if frames == 1:
            return 0
        raise SeveralFrames(
            f"{path} holds {frames} frames (time points or channels) and only one can be used at a time: "
            f"choose it with --frame 1 to --frame {frames} (in Python frame=1).",
            frames,
        )
    if not 1 <= frame <= frames:
        raise ImageError(f"{path} has no frame {frame}: choose one from 1 to {frames}.")
    return frame - 1


def is_colour(channels: int, dtype: np.dtype[np.generic]) -> bool:
    """Whether several values per voxel are red, green, blue (and transparency, which is dropped) and not a vector."""
    return channels in (3, 4) and dtype.kind == "u" and dtype.itemsize <= 2


def grid_of(path: Path, shape: Sequence[int], lps: ArrayLike) -> Grid:
    """The grid, or a sentence that names the file whose header is impossible."""
    try:
        return Grid.from_lps(shape, lps)
    except GeometryError as error:
        raise impossible(path) from error


def is_placed(told: bool, grid: Grid) -> bool:
    """Whether a header that tells of a place can be believed where that is 1 mm a voxel from the origin: a picture
    that was saved anew says the same, and nobody had measured it."""
    return told and grid.shape[0] > 1


def impossible(path: Path) -> GeometryError:
    """The error for a header whose voxels span no volume."""
    return GeometryError(
        f"{path} has a zero spacing or an impossible direction in its header: repair the header, "
        "or export the image again from where it came from."
    )


def demand_finite(path: Path, array: Array) -> None:
    """Refuse NaN and infinity; slice by slice, so that a large volume needs no second copy."""
    if array.dtype.kind != "f":
        return
    broken = sum(int(np.size(plane) - np.isfinite(plane).sum()) for plane in array)
    if broken:
        raise ImageError(
            f"{path} has {broken} voxel{'s' if broken > 1 else ''} without a number (NaN or infinite): "
            "replace them, for instance by the background value, and read it again."
        )


def truncated(path: Path) -> ImageError:
    """The error for a file that ends too early or whose compressed data is damaged."""
    return ImageError(f"{path} is damaged or ends too early: copy or download it again.")


def said_twice(path: Path, what: str) -> ImageError:
    """The error for a header of which nobody knows which word counts."""
    return ImageError(f"{path} says '{what}' twice in its header, in two ways: export it again.")


def companion(path: Path, name: str) -> Path | None:
    """The data file that a header names, a real file beside it or below; None where there is none.

    A header that leads elsewhere would have any file of this computer shown as an image.
    """
    told = Path(name)
    if told.anchor or ".." in told.parts:
        return None
    data = path.parent / told
    try:
        return data if stat.S_ISREG(data.stat().st_mode) else None
    except (OSError, ValueError):
        return None
