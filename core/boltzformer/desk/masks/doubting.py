"""Which slice to look at next: of those that nobody has accepted, the most doubtful first, and what ranked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import ViewerWords
from boltzformer.types import SliceState

REACH = 0.2
"""A score that misses its gate by less may be another one with another seed."""


@dataclass(frozen=True)
class Doubt:
    """One slice, as the viewer counts, and why it stands where it does."""

    row: int
    why: str


def within_reach(track: Track, row: int) -> bool:
    """Whether a mask is shown, or nearly: what seeds disagree about elsewhere, nobody sees."""
    if bool(track.row(row).any()):
        return True
    return row in track.scores and track.scores[row] >= track.kept.thresholds.existence - REACH


def doubtful(tracks: Sequence[Track], words: ViewerWords) -> list[Doubt]:
    """Where seeds disagree about what is shown, the largest area first; then by how near the score is to its gate."""
    spread: dict[int, int] = {}
    near: dict[int, tuple[float, float, float]] = {}
    for track in tracks:
        gate = track.kept.thresholds.existence
        for row, score in track.scores.items():
            if track.state(row) is not SliceState.UNSEEN:
                continue
            near[row] = min(near.get(row, (2.0, 0.0, 0.0)), (abs(score - gate), score, gate))
            visible = track.spread.get(row, 0) if within_reach(track, row) else 0
            spread[row] = max(spread.get(row, 0), visible)
    apart = sorted((row for row in near if spread[row]), key=lambda row: (-spread[row], row))
    rest = sorted((row for row in near if not spread[row]), key=lambda row: (near[row][0], row))
    asked = any(row in track.spread for track in tracks for row in rest)
    hidden = {row for track in tracks for row in rest if track.spread.get(row)}
    found = [
        Doubt(
            row, f"the samples disagree {_most(place)} (ranked by the seeds' disagreement, {place + 1} of {len(apart)})"
        )
        for place, row in enumerate(apart)
    ]
    once = "the seeds agree" if asked else f"one sample; {words.ask_seeds}"
    for place, row in enumerate(rest):
        _, score, gate = near[row]
        how = "nearest" if place == 0 else "next nearest"
        why = "the seeds disagree only about what is not shown" if row in hidden else once
        found.append(Doubt(row, f"score {score:.2f} is {how} to {gate:.2f} (ranked by score: {why})"))
    return found


def after(doubts: Sequence[Doubt], row: int, before: int | None) -> Doubt:
    """The first; from there, or from where the question led `before`, the one that follows."""
    rows = [one.row for one in doubts]
    goes_on = row in rows and row in (before, rows[0])
    return doubts[(rows.index(row) + 1) % len(rows) if goes_on else 0]


def _most(place: int) -> str:
    return "most" if place == 0 else "next most"
