"""The contract of a mask surface: model writes, strokes and undo at random. What a person drew survives, undo knows
only strokes. Every viewer's own surface has to pass it."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from storage_orders import grid_of

from boltzformer import Prompt, SlicePlan, SliceResult, Volume
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.track import Track
from boltzformer.desk.ports import MaskSurface
from boltzformer.types import SliceState

ROWS, SIDE = 4, 8
SHAPE = ROWS, SIDE, SIDE
rows = st.integers(0, ROWS - 1)
places = st.integers(0, SIDE - 1)
masks = st.integers(0, 2**16 - 1).map(lambda seed: np.random.default_rng(seed).random((SIDE, SIDE)) < 0.4)
CONTRACT = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


class Rig(Protocol):
    """A surface in its viewer, and a person at it."""

    surface: MaskSurface

    def stroke(self, row: int, y: int, x: int, label: int, size: int) -> None: ...
    def undo(self) -> None: ...
    def redo(self) -> None: ...
    def noted(self) -> int:
        """So many steps of undo were noted since it was asked last."""
        ...


def image() -> OpenImage:
    volume = Volume(np.zeros(SHAPE, np.uint8), grid_of(SHAPE, (1.0, 1.0, 1.0)))
    return OpenImage("image", lambda: volume, lambda: "image")


def plan_for(box: Any = None) -> SlicePlan:
    return SlicePlan.of(grid_of(SHAPE, (1.0, 1.0, 1.0)), SIDE, 0, box=box)


def answer_in(one: Track, row: int, box: Any, score: float, logit: int, run: int | None = None) -> None:
    """The model's, of a box or of the whole slice: the same everywhere it looked."""
    looked = np.full((1, SIDE, SIDE), logit, np.int8)
    one.answer(plan_for(box), SliceResult(row, looked, np.array([score], np.float32)), 0, {}, run)


class Strokes(RuleBasedStateMachine):
    """Our own book of the history: what each step of undo must bring back, bit for bit."""

    make: Callable[[], Rig]

    def __init__(self) -> None:
        super().__init__()
        self.rig = type(self).make()
        self.surface = self.rig.surface
        self.track = Track(self.surface, image(), Prompt("x"))
        self.undone: list[tuple[int, Any, Any]] = []
        self.steps: list[tuple[int, Any, Any]] = []
        self.written: dict[int, int] = {}
        """By row, which of the steps is the model's, with none of a person's behind it."""

    def step(self, row: int, before: Any, *, models: bool = False) -> None:
        """If the viewer noted a step, so do we."""
        noted = self.rig.noted()
        assert noted <= 1
        if noted:
            self.steps.append((row, before, self.surface.row(row).copy()))
            self.undone.clear()
        if models:
            self.written.pop(row, None)
            self.written |= {row: len(self.steps) - 1} if noted else {}
        elif noted:
            self.written.clear()

    @rule(row=rows, y=places, x=places, label=st.integers(0, 3), size=st.integers(1, 4))
    def stroke(self, row: int, y: int, x: int, label: int, size: int) -> None:
        before = self.surface.row(row).copy()
        self.rig.stroke(row, y, x, label, size)
        assert np.array_equal(before, self.surface.row(row)) or row in self.track.touched
        self.step(row, before)

    @rule(row=rows, mask=masks)
    def model_writes(self, row: int, mask: Any) -> None:
        before, held = self.surface.copy(), self.track.belongs_to_a_person(row)
        written = self.track.put(row, mask)
        assert written is not held
        after = self.surface.copy()
        others = [other for other in range(ROWS) if other != row]
        assert np.array_equal(before[others], after[others])
        if held:
            assert np.array_equal(before[row], after[row])
        else:
            assert np.array_equal(after[row], mask)
            assert not self.track.edited(row)
        self.step(row, before[row], models=True)

    @rule(row=rows, mask=masks)
    def an_answer_is_shown_otherwise(self, row: int, mask: Any) -> None:
        before, number = self.surface.row(row).copy(), self.written.get(row)
        _, was, _ = (row, None, None) if number is None else self.steps[number]
        if was is not None and np.array_equal(was, mask):
            return  # a step that changes nothing: viewers may forget it
        if not self.track.show_again(row, mask):
            assert np.array_equal(before, self.surface.row(row))
            return
        count = len(self.steps)
        self.step(row, before, models=True)
        if number is not None and len(self.steps) == count:
            self.steps[number] = row, was, self.surface.row(row).copy()
            self.written[row] = number
        assert number != count - 1 or len(self.steps) == count

    @rule(row=rows)
    def a_person_accepts(self, row: int) -> None:
        self.track.say(row, SliceState.REVIEWED)
        assert self.track.belongs_to_a_person(row)

    @precondition(lambda self: self.track.proposals)
    @rule(data=st.data())
    def a_proposal_is_taken(self, data: Any) -> None:
        row = data.draw(st.sampled_from(sorted(self.track.proposals)))
        before = self.surface.row(row).copy()
        self.track.take(row)
        assert not self.track.edited(row)
        self.step(row, before)

    @rule()
    def a_new_run_begins(self) -> None:
        self.track.begin_run(plan_for(), 0.5)

    @precondition(lambda self: self.steps)
    @rule()
    def undo(self) -> None:
        row, before, after = self.steps.pop()
        self.written.clear()
        rest = self.surface.copy()
        self.rig.undo()
        rest[row] = before
        assert np.array_equal(self.surface.copy(), rest)
        self.undone.append((row, before, after))

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self) -> None:
        row, before, after = self.undone.pop()
        self.written.clear()
        rest = self.surface.copy()
        self.rig.redo()
        rest[row] = after
        assert np.array_equal(self.surface.copy(), rest)
        self.steps.append((row, before, after))

    @invariant()
    def nothing_is_left_to_undo_that_we_do_not_know(self) -> None:
        assert self.rig.noted() == 0


def contract(make: Callable[[], Rig]) -> Any:
    """The test case of a surface."""
    machine = type("Strokes", (Strokes,), {"make": staticmethod(make)})
    machine.TestCase.settings = CONTRACT
    return machine.TestCase
