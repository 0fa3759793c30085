"""What a slice bar shows, without drawing it: per prompt and slice found, nothing, hidden, not looked; signs; words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np

from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.beginning import is_from_elsewhere
from boltzformer.desk.masks.kept import Mark
from boltzformer.desk.masks.track import Track
from boltzformer.desk.scale import Scale
from boltzformer.desk.words import counted, named
from boltzformer.types import SliceState


class State(Enum):
    """What a prompt's lane shows of a slice."""

    UNKNOWN = auto()
    """Not computed: hatched."""
    NOTHING = auto()
    """Looked, nothing: a thin line."""
    HIDDEN = auto()
    """Found, but below a threshold: hollow."""
    FOUND = auto()
    """A bar as high as the score."""


SAID = {
    State.UNKNOWN: "not looked yet",
    State.NOTHING: "nothing",
    State.HIDDEN: "hidden by a threshold",
    State.FOUND: "found",
}


@dataclass
class Lane:
    """One prompt in the bar: its answers, and which of its slices are a person's."""

    name: str
    colour: str
    answers: Answers
    painted: dict[int, int] = field(default_factory=dict[int, int])
    """Voxels of the rows that are a person's: changed, or accepted as they were."""
    edited: set[int] = field(default_factory=set[int])
    """Those that a person changed."""
    elsewhere: frozenset[int] = frozenset()
    """Those whose mask was made elsewhere."""
    accepted: frozenset[int] = frozenset()
    """Those of which a person has said something."""
    yours: str = ""
    """Of a picture: what the sliders do to what a person did."""

    @staticmethod
    def of(track: Track) -> Lane:
        lane = Lane(track.name, track.colour, track.kept)
        lane.look_at(track)
        return lane

    def look_at(self, track: Track) -> None:
        """What is a person's by now."""
        theirs = [row for row in track.touched if track.belongs_to_a_person(row)]
        self.painted = {row: int(np.count_nonzero(track.row(row))) for row in theirs}
        self.edited = {row for row in theirs if track.edited(row)}
        self.elsewhere = frozenset(row for row in self.edited if is_from_elsewhere(track, row))
        said = (row for row in track.whose.said if track.state(row) is not SliceState.UNSEEN)
        self.accepted = frozenset(said)
        self.yours = _yours(track) if theirs and track.count == 1 else ""

    def total(self, count: int, scale: Scale) -> str:
        """How much is shown, also of a mask of which the model knows nothing."""
        held = [voxels for voxels in self.painted.values() if voxels]
        if self.answers.looked or not held:
            return self.answers.total(count, scale, self.painted)
        where = "" if count == 1 else f" in {len(held)} of {counted(count)}"
        return f"{scale.amount(max(sum(held) - self.answers.left_out, 0))}{where}; the model has not looked"

    def mark(self, row: int) -> Mark | None:
        """The model's answer, if it has looked."""
        return self.answers.mark(row) if row in self.answers.looked else None

    def state(self, row: int) -> State:
        """What is drawn there, signs apart."""
        mark, held = self.mark(row), self.painted.get(row)
        if held == 0:
            return State.NOTHING
        if held:
            return State.FOUND
        if mark is None:
            return State.UNKNOWN
        return State.FOUND if mark.voxels else State.HIDDEN if mark.hidden else State.NOTHING

    def words(self, row: int) -> str:
        """What is shown of a slice."""
        mark, held, edited = self.mark(row), self.painted.get(row), row in self.edited
        score = "" if mark is None or row in self.elsewhere else f", score {mark.score:.2f}"
        if held == 0 and (edited or mark is None):
            return f"{self.name}: nothing, by you"
        if held and edited and (mark is None or not mark.voxels):
            return f"{self.name}: painted by you{score}"
        return f"{self.name}: {SAID[self.state(row)]}{score}{', edited' if edited else ''}"


def _yours(track: Track) -> str:
    if track.state(0) is not SliceState.UNSEEN:
        return "you accepted it, so no slider changes it"
    if 0 in track.proposals:
        return "the sliders change the answer that is offered; what you drew on stays as it is"
    if track.kept.of(0) is None:
        return ""  # of an earlier day: there is a line about that
    if track.is_fixed(0):
        return "it is your own work, so no slider changes it"
    return "the sliders change what the model marked; what you painted or erased stays"


class Bar:
    """All lanes of an image. Whoever draws it listens: to a row, or to None for all of it."""

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        self.count, self.row, self.gate = 1, 0, 0.5
        self.failed: Mapping[int, str] = {}
        """Rows that could not be done, and why."""
        self.accepted: frozenset[int] = frozenset()
        self.heard: list[Callable[[int | None], None]] = []

    def set_lanes(self, lanes: Sequence[Lane], count: int) -> None:
        """One per prompt, over so many slices."""
        self.lanes, self.count = list(lanes), max(count, 1)
        self.failed, self.accepted = {}, frozenset()
        self.draw()

    def set_accepted(self, rows: Collection[int]) -> None:
        """Slices that a person accepted in every mask; each mask's own ticks are its lane's."""
        self.accepted = frozenset(rows)
        self.draw()

    def set_failed(self, rows: Mapping[int, str]) -> None:
        """Slices that could not be done, and why: an exclamation mark."""
        self.failed = dict(rows)
        self.draw()

    def set_row(self, row: int) -> None:
        """The slice on screen."""
        if row != self.row:
            self.row = row
            self.draw()

    def set_gate(self, gate: float) -> None:
        """The least score that is shown: the dashed line."""
        if gate != self.gate:
            self.gate = gate
            self.draw()

    def draw(self, row: int | None = None) -> None:
        """Something is another, in one slice or anywhere."""
        for heard in self.heard:
            heard(row)

    def words(self, row: int) -> str:
        """What the bar shows of a slice, as a tool tip says it."""
        lines = [named(row, self.count).capitalize() + (", accepted" if row in self.accepted else "")]
        if row in self.failed:
            lines.append(f"could not be done: {self.failed[row]}")
        for lane in self.lanes:
            alone = row in lane.accepted and row not in self.accepted and lane.painted.get(row) != 0
            lines.append(lane.words(row) + (", accepted" if alone else ""))
        return "\n".join(lines)
