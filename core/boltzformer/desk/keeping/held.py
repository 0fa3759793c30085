"""`Held`: answers of images that were put away since the program began. Of another day only masks and scores are known;
of these, what comes back can be outlined at other probabilities, parted and shown to be unsure, as if it had stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.kept import Kept, Thresholds
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.whose import Bits

ROOM = 400_000_000
"""Bytes for all of them: who was put away first goes first."""
Whose = tuple[str, str, str]
"""Source and name of an image, and a prompt."""


class Held:
    """In memory, and nowhere else."""

    def __init__(self) -> None:
        self._held: dict[Whose, Mapping[int, tuple[Kept, Bits]]] = {}
        """By row, with the mask that was shown of it: scores alone are alike, too."""

    def hold(self, image: OpenImage, tracks: Sequence[Track]) -> None:
        """It is about to be put away."""
        for track in tracks:
            written = {row: bits for row, bits in track.whose.written.items() if row in track.kept.rows}
            rows = {row: (kept, bits) for row, bits in written.items() if (kept := track.kept.of(row)) is not None}
            self._held.pop(_whose(image, track), None)
            if rows:
                self._held[_whose(image, track)] = rows
        while len(self._held) > 1 and _size(self._held) > ROOM:
            self._held.pop(next(iter(self._held)))

    def give(self, image: OpenImage, track: Track, at: Thresholds) -> None:
        """Its masks are back, as they were shown `at`: where an answer is the one that is told of, it holds again."""
        for row, (kept, bits) in self._held.get(_whose(image, track), {}).items():
            earlier, written = track.kept.recalled(row), track.whose.written.get(row)
            if earlier is None or written is None or round(kept.score, 4) != earlier.score:
                continue
            if (
                np.array_equal(written, bits)
                and kept.plan.grid.same_as(track.image.plan.grid)
                and row not in track.kept.rows
            ):
                track.hold_again(row, kept, at)


def _whose(image: OpenImage, track: Track) -> Whose:
    return image.volume.source or "", image.name, track.prompt.text


def _size(held: Mapping[Whose, Mapping[int, tuple[Kept, Bits]]]) -> int:
    parts = (part.result.logits for rows in held.values() for kept, _ in rows.values() for part in kept.parts)
    return sum({id(one): one.nbytes for one in parts}.values())
