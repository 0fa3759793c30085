"""Pictures that are stored turned or mirrored: the orientation tag of TIFF and EXIF, applied to arrays."""

from __future__ import annotations

from boltzformer.image.geometry import Array

TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""Orientation → whether rows and columns change places, then whether rows, then columns run backwards."""


def is_turned(orientation: int) -> bool:
    """Whether a picture does not lie as it is stored; what is no orientation says nothing."""
    return orientation in TURNS and orientation != 1


def swaps(orientation: int) -> bool:
    """Whether its rows are stored as columns."""
    return TURNS.get(orientation, TURNS[1])[0]


def upright(array: Array, orientation: int, *, rows: int) -> Array:
    """The picture as it is meant to be seen; `rows` is the array axis of its rows, the next one that of its columns."""
    swap, back, mirror = TURNS.get(orientation, TURNS[1])
    array = array.swapaxes(rows, rows + 1) if swap else array
    steps = (slice(None, None, -1 if back else None), slice(None, None, -1 if mirror else None))
    return array[(*(slice(None),) * rows, *steps)]
