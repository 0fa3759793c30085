"""Words that every sentence of the desk shares: counts, slices by name, ranges, runs of neighbours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

FEW = 2
"""So many masks are named one by one."""
RESEARCH = "Research only, not for clinical use"


def counted(number: int, thing: str = "slice") -> str:
    """'1 slice', '1,200 slices'."""
    return f"{number} {thing}" if number == 1 else f"{number:,} {thing}s"


def named(row: int, count: int) -> str:
    """A slice of so many, in the middle of a sentence."""
    return "this picture" if count == 1 else f"slice {row}"


def these(rows: Collection[int], count: int) -> str:
    """So many slices of an image of `count`, at the beginning of a sentence."""
    return "This picture" if count == 1 else counted(len(rows))


def in_masks(names: Sequence[str], every: int) -> str:
    """' in 'a', 'b'', ' in 'a', 1 of 3 masks', ' in all 4 masks'; '' where there is but one."""
    if every < 2:
        return ""
    some = f"{len(names)} of {every} masks" if len(names) < every else ""
    if len(names) > FEW:
        return f" in {some or f'all {every} masks'}"
    return f" in {quoted(names)}{', ' if some else ''}{some}"


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def local(time: str, *, seconds: bool = False) -> str:
    """ISO 8601, as the clock on the wall told it: '28 Nov, 17:40', with the year if it is another one."""
    at, now = datetime.fromisoformat(time).astimezone(), datetime.now().astimezone()
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at.day} {MONTHS[at.month - 1]}{year}, {at:{'%H:%M:%S' if seconds else '%H:%M'}}"


def neighbours(rows: Collection[int]) -> list[tuple[int, int]]:
    """Neighbouring rows joined: first and last of each run."""
    joined: list[tuple[int, int]] = []
    for row in sorted(rows):
        if joined and row == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], row)
        else:
            joined.append((row, row))
    return joined


def ranges(rows: Collection[int]) -> str:
    """'0-4, 7, 9-12'."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in neighbours(rows))


def quoted(names: Sequence[str]) -> str:
    """'a', 'b'."""
    return "'" + "', '".join(names) + "'"


@dataclass(frozen=True)
class ViewerWords:
    """What a viewer calls its keys, menus and buttons, as sentences of the desk name them. Without a viewer, none."""

    layer: str = "mask"
    """What it calls the thing that carries a mask."""
    open_first: str = "Open an image first."
    undo: str = "One undo brings back what was there."
    ask_seeds: str = "asking several seeds tells more"
    next_goes: str = "Next doubtful goes"
    another_row: str = "choose another."
    draw_box: str = "draw a box first, or look at the whole slice."
    without_maps: str = "leave the probability maps out."
    another_folder: str = "It can be another folder: choose one."
    another_name: str = "export under another name."
