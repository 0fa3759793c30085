"""`Window`: which stored values the model sees as black and as white. A viewer's contrast never changes a result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltzformer.geometry import Array


@dataclass(frozen=True)
class Window:
    """Stored values `low`…`high` become 0…255; what lies outside is clipped."""

    low: float
    high: float
    kind: str = "custom"
    """How it was chosen, in words for the user and the provenance."""
    zero_is_background: bool = False
    """Voxels stored as exactly 0 stay 0, as in images whose background was removed."""

    @staticmethod
    def guess(array: Array) -> Window:
        """8-bit images are taken as they are; all others from the 0.5th to the 99.5th percentile above zero."""
        if array.dtype == np.uint8:
            return Window(0, 255, "as stored (8 bit)")
        positive = array[array > 0]
        values = positive if positive.size else array
        low, high = (float(v) for v in np.percentile(values, (0.5, 99.5)))
        return Window(low, high, "percentiles 0.5–99.5 of the positive voxels", zero_is_background=bool(positive.size))

    def apply(self, array: Array) -> NDArray[np.uint8]:
        """The 0…255 values that the network is shown."""
        if (self.low, self.high) == (0, 255) and array.dtype == np.uint8:
            return array
        scale = 255.0 / max(self.high - self.low, 1e-12)
        shown = ((np.clip(array.astype(np.float32), self.low, self.high) - self.low) * scale).astype(np.uint8)
        if self.zero_is_background:
            shown[array == 0] = 0
        return shown
