"""What a result row says of a mask: name, best score, where was looked, how many objects, what speaks against it."""

from __future__ import annotations

from boltzformer.desk.masks.region import in_box
from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import counted


def sentence(track: Track, on_screen: int, objects: int | None) -> str:
    """'MS lesion · score 0.83 · this slice · 2 objects', and what speaks against it."""
    parts = [track.name]
    if track.scores:
        parts += [f"score {max(track.scores.values()):.2f}", where(track, on_screen), *in_box(track)]
    if objects is not None:
        parts.append(counted(objects, "object"))
    warning = "\n" + track.warning if track.warning else ""
    return " · ".join(parts) + warning


def where(track: Track, on_screen: int) -> str:
    """Which slices were looked at."""
    looked, count = len(track.scores), track.count
    if looked == count:
        return "this slice" if count == 1 else f"all {count} slices"
    if looked == 1:
        (row,) = track.scores
        return "this slice" if row == on_screen else f"slice {row}"
    return f"{looked} of {count} slices"
