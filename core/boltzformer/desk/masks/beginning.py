"""Begin from a mask that somebody made already: it is a person's own work, in place of what the prompt had."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.masks.whose import Bits
from boltzformer.desk.models.knowledge import as_prompt, named_beside
from boltzformer.desk.ports import Rows
from boltzformer.desk.words import ViewerWords, counted
from boltzformer.types import Prompt, SliceState


def mask_for(tracks: Tracks, image: OpenImage, text: str, gate: float) -> tuple[Track, bool]:
    """The prompt's mask, and whether it is a new one. That is named apart from the others, by a number if nothing else
    tells them apart. It is shown from the score from which they are, the first of an image from the model's own
    (`gate`): nobody's slider moves."""
    there = tracks.of(image)
    if (known := next((one for one in there if one.prompt.text == text), None)) is not None:
        return known, False
    gate, names = there[-1].gate if there else gate, [one.name for one in there]
    prompt = named_beside(as_prompt(text), names)
    if prompt.name in names:
        numbered = (f"{prompt.name} ({number})" for number in count(2))
        prompt = Prompt(text, next(one for one in numbered if one not in names))
    track = tracks.new(image, prompt)
    track.gate = gate
    return track, True


def begin(track: Track, rows: NDArray[np.bool_], name: str, *, new: bool) -> None:
    """(slices, rows, columns); one step of undo, where the mask is not `new`. No slider hides any of it, and nothing
    that was left out before is left out of it."""
    before = None if new else _Stood.of(track)
    others = set(np.flatnonzero(rows.any(axis=(1, 2))).tolist())
    if new:
        track.restore(rows, ())
    else:
        others |= set(track.change_all(dict(enumerate(rows))))
    track.whose.elsewhere |= others
    track.excluded.clear()
    if track.count == 1:  # else sliders would move what the model marked, too, and this lies on it
        track.whose.whole.add(0)
    track.began_from = name
    if before is not None:
        _remember(track, before)
    track.surface.draw()


def is_from_elsewhere(track: Track, row: int) -> bool:
    """Whether what a slice shows was made elsewhere, so that no score of the model is one of it; until an undo."""
    return row in track.whose.elsewhere and track.edited(row)


@dataclass(frozen=True)
class _Stood:
    """What was known of a mask beside its voxels."""

    voxels: Bits
    excluded: frozenset[tuple[int, ...]]
    elsewhere: frozenset[int]
    whole: frozenset[int]
    began_from: str

    @staticmethod
    def of(track: Track) -> _Stood:
        voxels, whose = np.packbits(track.surface.copy() > 0), track.whose
        more = frozenset(track.excluded), frozenset(whose.elsewhere), frozenset(whose.whole)
        return _Stood(voxels, *more, track.began_from)

    def again(self, track: Track) -> None:
        track.excluded |= self.excluded
        spoken = {row for row in track.whose.whole if track.state(row) is not SliceState.UNSEEN}
        track.whose.elsewhere, track.whose.whole = set(self.elsewhere), set(self.whole | spoken)
        track.began_from = self.began_from


def _remember(track: Track, before: _Stood) -> None:
    """It is so again where an undo brings the mask back that it belongs to: what was left out, and whose scores the
    model's are; and where a redo brings back the other one."""
    after = _Stood.of(track)

    def heard(rows: Rows, undone: bool) -> None:
        if undone:
            now = np.packbits(track.surface.copy() > 0)
            for stood in (one for one in (before, after) if np.array_equal(now, one.voxels)):
                stood.again(track)

    track.surface.listen(heard)


Lost = tuple[int, int]
"""Pixels that became lines between labels that touch, for a mask knows its objects apart by nothing else, and labels
that had no other pixels."""


def told(name: str, text: str, rows: NDArray[np.bool_], lost: Lost, words: ViewerWords, *, new: bool) -> str:
    """What was done."""
    pixels, gone = lost
    there = int(np.count_nonzero(rows))
    lines = f" {pixels:,} of its {pixels + there:,} pixels are lines between labels that touch now." if pixels else ""
    if gone:
        they, lie = ("1 label is", "its pixels lie") if gone == 1 else (f"{gone:,} labels are", "their pixels lie")
        lines += f" {they} gone with them: all {lie} beside others."
    where = "" if len(rows) == 1 else f" in {counted(int(np.count_nonzero(rows.any(axis=(1, 2)))))}"
    return (
        f"'{name}' is the mask of '{text}' now, as your own work{where}, which no run overwrites and no "
        f"slider changes; the {words.layer} itself is hidden.{lines}{'' if new else f' {words.undo}'}"
    )
