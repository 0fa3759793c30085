"""Which slice to look at next: what a person painted and did not accept, then gaps and edges of objects, then scores
near the threshold; in reading order within each, and of which prompt and why in five words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from boltzformer.desk.masks.track import Track
from boltzformer.desk.words import neighbours
from boltzformer.types import SliceState

REACH = 0.2
"""A score that misses its gate by less may be another one with another seed; of what is left up to certainty, at most
the half: at a gate of 0.85 a score of 1.00 is no doubtful one."""
LONGEST_GAP = 5
"""Slices: what lies farther apart is two objects, not one with a gap."""


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


def doubtful(tracks: Sequence[Track], telling: tuple[Track, int] | None = None) -> list[Doubt]:
    """Slices that nobody has accepted in some mask, each once, for its first reason.

    `telling`: while the case teaches, the mask and the row where a correction would teach most; it comes before
    everything else.
    Where several seeds were asked, what they disagree about comes behind what was painted, the largest area first.
    """
    found: dict[int, str] = {} if telling is None else {telling[1]: f"correcting '{telling[0].name}' teaches most here"}
    for rows in (_painted(tracks), _disagreed(tracks), _shape(tracks), _near(tracks)):
        for row, why in rows.items():
            found.setdefault(row, why)
    return [Doubt(row, why) for row, why in found.items()]


def after(doubts: Sequence[Doubt], row: int, before: int | None) -> Doubt:
    """The first; from there, or from where the question led `before`, the one that follows."""
    rows = [one.row for one in doubts]
    goes_on = row in rows and row in (before, rows[0])
    return doubts[(rows.index(row) + 1) % len(rows) if goes_on else 0]


def _painted(tracks: Sequence[Track]) -> Mapping[int, str]:
    why: dict[int, str] = {}
    for track in tracks:
        for row in track.touched:
            if track.edited(row) and _open(track, row):
                why.setdefault(row, f"'{track.name}' painted, not accepted yet")
    return dict(sorted(why.items()))


def _disagreed(tracks: Sequence[Track]) -> Mapping[int, str]:
    """About what is shown, or nearly."""
    most: dict[int, tuple[int, str]] = {}
    for track in tracks:
        for row, spread in track.spread.items():
            if spread > most.get(row, (0, ""))[0] and _open(track, row) and within_reach(track, row):
                most[row] = spread, track.name
    order = sorted(most, key=lambda row: (-most[row][0], row))
    return {row: f"samples disagree{' most' if row == order[0] else ''} on '{most[row][1]}'" for row in order}


def _shape(tracks: Sequence[Track]) -> Mapping[int, str]:
    """Gaps between found slices, and an object's first and last ones."""
    why: dict[int, str] = {}
    for track in tracks:
        known = set(track.kept.looked) | track.touched
        for row, reason in _of_runs([row for row in known if _shown(track, row)], known):
            if _open(track, row):
                why.setdefault(row, f"{reason} of '{track.name}'")
    return dict(sorted(why.items()))


def _of_runs(found: Sequence[int], known: Collection[int]) -> Iterator[tuple[int, str]]:
    """`known`: where anybody has looked; beside a slice where nobody has there is no edge yet."""
    runs = neighbours(found)
    for (_, last), (first, _) in pairwise(runs):
        if first - last - 1 <= LONGEST_GAP:
            yield from ((row, "gap between slices") for row in range(last + 1, first))
    for first, last in runs:
        if first - 1 in known:
            yield first, "first slice"
        if last + 1 in known:
            yield last, "last slice"


def _shown(track: Track, row: int) -> bool:
    if row in track.touched:
        return bool(track.row(row).any())
    return track.kept.mark(row).voxels > 0


def _near(tracks: Sequence[Track]) -> Mapping[int, str]:
    why: dict[int, str] = {}
    for track in tracks:
        gate = track.kept.thresholds.existence
        for row, score in track.scores.items():
            room = 1 - gate if score >= gate else gate
            if abs(score - gate) < min(REACH, room / 2) and _open(track, row):
                why.setdefault(row, f"'{track.name}' score {score:.2f}, threshold {gate:.2f}")
    return dict(sorted(why.items()))


def _open(track: Track, row: int) -> bool:
    return track.state(row) is SliceState.UNSEEN
