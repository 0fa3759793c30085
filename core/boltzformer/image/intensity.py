"""`Window`: which stored values the model sees as black and as white. A viewer's contrast never changes a result.

The rules are those of the public model's training data (MedImageParse3D's model card and MedSAM's preparation script):
CT is clipped to a tissue's window, everything else to percentiles of its positive voxels; then the *clipped volume's*
smallest and largest value become 0 and 255, decimals are cut off. What already is 8-bit data is left as it is; we read
that as: uint8, or whole numbers within 0…255 that use more than 7 of the 8 bits. (A scan of 0…100, or of fractions
0…1, also lies "in 0…255", but left as it is the network would see next to nothing.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError, ImageError
from boltzformer.image.geometry import Array

PRESETS = {"soft tissue": (400, 40), "lung": (1500, -160), "brain": (80, 40), "bone": (1800, 400)}
"""Width and level in Hounsfield units."""
PERCENTILES = (0.5, 99.5)
_WIDEST_HISTOGRAM = 2**20
"""Integers that spread further are sorted instead."""


@dataclass(frozen=True)
class Window:
    """Stored values `low`…`high` become 0…255; what lies outside is clipped."""

    low: float
    high: float
    kind: str = "custom"
    """How it was chosen, in words for the user and the provenance."""
    zero_is_background: bool = False
    """Voxels stored as exactly 0 stay 0, as in images whose background was removed."""

    def __post_init__(self) -> None:
        if not -np.inf < self.low <= self.high < np.inf:
            raise BoltzFormerError(
                f"A window from {self.low} to {self.high} shows nothing: give a black value below the white one."
            )

    @staticmethod
    def guess(array: Array, modality: str = "") -> Window:
        """The window for a whole volume: from its DICOM modality where known, else from its values."""
        values = _Values.of(array)
        if values.are_8_bit:
            return Window(0, 255, "as stored (8 bit)")
        if modality.strip().upper() == "CT":
            return Window.preset("soft tissue")._fitted(values)
        if not modality.strip() and values.look_like_hounsfield:
            window = Window.preset("soft tissue")._fitted(values)
            return replace(window, kind=f"{window.kind}, for the values look like CT")
        return _of_percentiles(values)

    @staticmethod
    def choose(how: str, array: Array, modality: str = "") -> Window:
        """What a user asks for by name: auto, soft tissue, lung, brain, bone, percentiles, stored, or WIDTH/LEVEL."""
        match how.strip().lower():
            case "auto":
                return Window.guess(array, modality)
            case "percentiles":
                return _of_percentiles(_Values.of(array))
            case "stored":
                return Window(0, 255, "as stored")
            case _:
                return Window.preset(how).fitted(array)

    @staticmethod
    def preset(how: str) -> Window:
        """A CT window by tissue ('lung') or as WIDTH/LEVEL ('1500/-160') in Hounsfield units."""
        name = how.strip().lower().replace("-", " ").replace("_", " ")
        numbers = how.replace("−", "-").split("/")
        try:
            width, level = PRESETS[name] if name in PRESETS else (float(number) for number in numbers)
        except ValueError:
            raise BoltzFormerError(
                f"There is no window '{how}': choose auto, {', '.join(PRESETS)}, percentiles, stored, "
                "or give WIDTH/LEVEL such as 400/40."
            ) from None
        if not 0 < width < np.inf or not np.isfinite(level):
            raise BoltzFormerError(f"The window '{how}' has no width: give WIDTH/LEVEL such as 400/40.")
        kind = f"CT {name} {width}/{level}" if name in PRESETS else f"custom {width:g}/{level:g}"
        return Window(level - width / 2, level + width / 2, kind)

    def fitted(self, array: Array) -> Window:
        """Narrowed to the values that a whole volume has within the window: they become 0 and 255."""
        return self._fitted(_Values.of(array))

    def apply(self, array: Array) -> NDArray[np.uint8]:
        """The 0…255 values that the network is shown, of a slice or of everything; NaN is shown black."""
        if (self.low, self.high) == (0, 255):  # dividing and multiplying by 255 would turn some values into their lower
            return array if array.dtype == np.uint8 else _whole(np.clip(array.astype(np.float64), 0, 255))
        shown = array.astype(np.float64)
        np.clip(shown, self.low, self.high, out=shown)
        shown -= self.low
        shown /= max(self.high - self.low, np.finfo(np.float64).tiny)  # in this order: cut off decimals tell
        shown *= 255.0
        if self.zero_is_background:
            shown[array == 0] = 0
        return _whole(shown)

    def _fitted(self, values: _Values) -> Window:
        low, high = (float(np.clip(value, self.low, self.high)) for value in (values.low, values.high))
        return replace(self, low=low, high=high)


def look_like_ct(array: Array) -> bool:
    """Whether values, of which nobody says what they are, look like Hounsfield units."""
    return _Values.of(array).look_like_hounsfield


def _of_percentiles(values: _Values) -> Window:
    low, high = values.percentiles()
    low, high = (low, high) if low < high else (values.low, values.high)  # e.g. a mask: all positive voxels are equal
    some = values.high > 0
    kind = f"percentiles 0.5–99.5 of {'the positive' if some else 'all'} voxels"
    return Window(low, high, kind, zero_is_background=some)._fitted(values)


@dataclass(frozen=True)
class _Values:
    """What a window needs to know of a volume."""

    array: Array
    low: float
    high: float

    @staticmethod
    def of(array: Array) -> _Values:
        if array.dtype.kind not in "biuf" or array.size == 0:
            raise ImageError(f"Voxels of type {array.dtype}, shape {array.shape}, can't be shown: give real numbers.")
        array = array.view(np.int8) if array.dtype == np.bool_ else array
        low, high = float(array.min()), float(array.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ImageError("The image has NaN or infinite voxels: replace them, e.g. by 0, and open it again.")
        return _Values(array, low, high)

    @cached_property
    def histogram(self) -> NDArray[np.int64] | None:
        """How many voxels have the value low, low + 1, …; None for decimals and integers that spread very far."""
        exact = max(-self.low, self.high) < 2**53
        if self.array.dtype.kind == "f" or not exact or self.high - self.low >= _WIDEST_HISTOGRAM:
            return None
        return _histogram(self.array, int(self.low), int(self.high))

    @property
    def are_8_bit(self) -> bool:
        if self.array.dtype == np.uint8:
            return True
        in_use = self.low >= 0 and 127 < self.high <= 255
        return in_use and (self.array.dtype.kind in "iu" or bool((self.array == np.floor(self.array)).all()))

    @property
    def look_like_hounsfield(self) -> bool:
        """Air is there (−500 or less), and at least a tenth lies around water and soft tissue (−150…250)."""
        return self.low <= -500 and self._share(-150, 250) >= 0.1

    def percentiles(self) -> tuple[float, float]:
        """Of the positive voxels, or of all where none is positive; interpolated as numpy does by default."""
        first = 0 if self.high <= 0 else max(0, 1 - int(self.low))
        if self.histogram is not None:
            upto = np.cumsum(self.histogram[first:])
            return _quantile(upto, self.low + first, 0.005), _quantile(upto, self.low + first, 0.995)
        chosen = self.array[self.array > (0 if self.high > 0 else -np.inf)]  # always a copy of its own
        chosen = chosen.astype(np.float32) if chosen.dtype == np.float16 else chosen
        low, high = np.percentile(chosen, PERCENTILES, overwrite_input=True)
        return float(low), float(high)

    def _share(self, low: int, high: int) -> float:
        if self.histogram is None:
            return float(((self.array >= low) & (self.array <= high)).mean())
        start, stop = (min(max(value - int(self.low), 0), len(self.histogram)) for value in (low, high + 1))
        return float(self.histogram[start:stop].sum() / self.array.size)


def _histogram(array: Array, low: int, high: int) -> NDArray[np.int64]:
    """Piece by piece in memory order, so that a large volume is neither copied nor cast as a whole."""
    counts = np.zeros(high - low + 1, np.int64)
    pieces = np.nditer(
        array,
        flags=["external_loop", "buffered"],
        order="K",
        op_dtypes=[np.intp],
        casting="unsafe",
        buffersize=2**17,
    )
    for piece in pieces:
        counts += np.bincount(np.asarray(piece) - low, minlength=len(counts))
    return counts


def _quantile(upto: NDArray[np.int64], lowest: float, share: float) -> float:
    """The quantile of integers lowest, lowest + 1, … from their cumulated counts, equal to numpy's to the last bit."""
    rank = float(upto[-1] - 1) * share
    whole = np.floor(rank)
    below, above = lowest + np.searchsorted(upto, [whole, min(whole + 1, upto[-1] - 1)], side="right")
    part = rank - whole
    step = above - below
    return float(above - step * (1 - part) if part >= 0.5 else below + step * part)


def _whole(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.nan_to_num(values, copy=False).astype(np.uint8)
