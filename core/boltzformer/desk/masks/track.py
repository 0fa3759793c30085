"""`Track`: one mask and what we know of it: what the model wrote, what a person changed, accepted, was offered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.kept import Kept, Thresholds
from boltzformer.desk.masks.known import Facts, Known
from boltzformer.desk.masks.left_out import LeftOut
from boltzformer.desk.masks.taken import Taken
from boltzformer.desk.masks.told import Told
from boltzformer.desk.masks.whose import Bits, Sums, Whose, unpacked
from boltzformer.desk.ports import Mask, MaskSurface, Rows
from boltzformer.image.guidance import looked_at
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import Prompt, SliceResult, SliceState


class Track:
    """Rows are slices as the viewer counts them, in the canonical view; a flat image has one."""

    def __init__(self, surface: MaskSurface, image: OpenImage, prompt: Prompt) -> None:
        self.surface, self.image, self.prompt = surface, image, prompt
        self.warning = ""
        """What the model's card says against this prompt."""
        self.began_from = ""
        """The layer that a person began from, instead of a run."""
        self.scores: dict[int, float] = {}
        self.spread: dict[int, int] = {}
        """How much several samples disagreed, where they were asked for."""
        self.how: dict[int, Mapping[str, Any]] = {}
        """What a slice was asked with: seed, window, guidance, model."""
        self.kept = Answers()
        """The model's answers, for other thresholds and for the slice bar."""
        self.touched: set[int] = set()
        """Where a person may have been: no other slice needs comparing to know whose it is."""
        self.seen: set[int] = set()
        """Rows that were on screen with this mask as it is now."""
        self.plan: SlicePlan | None = None
        self.proposals: dict[int, Bits] = {}
        """Answers for slices that are a person's: offered, never written."""
        self.excluded = LeftOut()
        """Voxels of each object that a person left out."""
        self.changed: Callable[[], None] = lambda: None
        """Called when a person painted, or said something of a slice."""
        self.whose = Whose()
        self.gate = 0.5
        """The least score for a mask, by the last run."""
        self.too_small = 0
        """Objects that are not shown for their size."""
        self.story = Told()
        self._before: dict[int, dict[int, Known]] = {}
        """By row, then by the number of a run: in the order in which they answered there."""
        self._facts = Facts(self.scores, self.spread, self.how, self.kept)
        self.taken = Taken(self.whose, self.proposals, self.kept)
        self.sums = Sums(self.shape)
        surface.listen(self._heard)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """What is told of those that answered in it."""
        return self.story.runs

    @property
    def standing(self) -> list[dict[str, Any]]:
        """Of these, all that an undo has not taken away."""
        return self.story.standing(self._before, self.belongs_to_a_person, self.image.plan.canonical_index)

    @property
    def key(self) -> str:
        """Of its surface."""
        return self.surface.key

    @property
    def colour(self) -> str:
        return self.surface.colour

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.surface.shape

    @property
    def count(self) -> int:
        """Of slices."""
        return self.surface.shape[0]

    @property
    def name(self) -> str:
        """The prompt's, unless the user gave the mask another."""
        return self.surface.name or self.prompt.name

    def row(self, row: int) -> NDArray[np.uint8]:
        """A view of one slice's voxels: never kept, never for another thread."""
        return self.surface.row(row)

    def mask(self, row: int) -> Mask:
        """One slice, as it is."""
        return self.surface.row(row) > 0

    # --- whose is a slice? --------------------------------------------------------------------------------------

    def edited(self, row: int) -> bool:
        """Whether it differs from what the model wrote."""
        if self.count == 1:
            self.whose.settle(self.row(row), stroke=False)
        return self.whose.drawn is not None or self.whose.edited(row, self.row(row))

    def edited_rows(self) -> list[int]:
        return [row for row in range(self.count) if self.edited(row)]

    def state(self, row: int) -> SliceState:
        """What a person said of it; changing it afterwards takes the word back."""
        return self.whose.state(row, self.row(row)) if row in self.whose.said else SliceState.UNSEEN

    def say(self, row: int, state: SliceState) -> None:
        """A person has looked."""
        self.touched.add(row)
        self.whose.say(row, state, self.mask(row))
        self.changed()

    @property
    def is_spoken_of(self) -> bool:
        """Whether a person has said something of one of its slices."""
        return any(self.state(row) is not SliceState.UNSEEN for row in self.whose.said)

    def can_be_accepted(self, row: int) -> bool:
        """Whether there is something to call right. Blank since nobody asked is no word of absence."""
        return row in self.scores or self.state(row) is SliceState.EMPTY or bool(self.row(row).any())

    def belongs_to_a_person(self, row: int) -> bool:
        return self.edited(row) or self.state(row) is not SliceState.UNSEEN

    def is_fixed(self, row: int) -> bool:
        """A person's, which no threshold changes; in a picture they act beneath strokes, until all of it is theirs."""
        theirs = self.belongs_to_a_person(row)
        alone = self.whose.drawn is None or row in self.whose.whole or row in self.proposals
        return theirs and (alone or self.kept.of(row) is not self.taken.source)

    @property
    def fixed(self) -> frozenset[int]:
        """Rows that no threshold changes, and no choice of sizes."""
        return frozenset(row for row in self.touched if self.is_fixed(row))

    # --- the model's answers ------------------------------------------------------------------------------------

    def begin_run(self, plan: SlicePlan, gate: float, run: int | None = None) -> int:
        """What it writes from here on, `revert` takes back; `run`: its number, where several masks share it → that."""
        self.plan, self.gate = plan, gate
        self.kept.thresholds = self.image.thresholds or Thresholds(gate)
        for past in self.story.begin(run):
            self.forget_run(past)
        return self.story.last

    def note_run(self, made: Mapping[str, Any], run: int | None = None) -> None:
        """How its answers came about, so far or to the end: for whoever asks how the mask was made."""
        self.story.note(made, run)

    def answer(
        self, plan: SlicePlan, result: SliceResult, number: int, how: Mapping[str, Any], run: int | None = None
    ) -> bool:
        """Keeps the model's answer and shows it, at the thresholds of the moment; False where it is only offered.

        `run`: which one asked, where it is not the last that began.
        """
        row, run = plan.canonical_index(result.index), self.story.last if run is None else run
        if not self.belongs_to_a_person(row):
            self._remember(row, run)
        elif row not in self.proposals:
            self.taken.before[row] = self._facts.at(row, None)
        self.taken.by[row] = run
        self.kept.keep(plan, result, number)
        self.scores[row], self.how[row] = self.kept.score(row), how
        self.spread.pop(row, None)  # it was of another answer
        if result.spread is not None:
            self.spread[row] = int(result.spread[number].sum(dtype=np.int64))
        return self.put(row, self.kept.mask(row), run)

    def put(self, row: int, mask: Mask, run: int | None = None) -> bool:
        """The model's answer, outside the undo history; False where the slice is a person's, who is offered it."""
        if self.belongs_to_a_person(row):
            offered = self._offered(row, mask)
            if np.array_equal(self.mask(row), offered):
                self.proposals.pop(row, None)
            else:
                self.proposals[row] = np.packbits(offered)
            return False
        self.proposals.pop(row, None)
        self._remember(row, self.story.last if run is None else run)
        self._write(row, mask)
        return True

    def show_again(self, row: int, mask: Mask) -> bool:
        """The same answer at other thresholds, which is no run; False where the slice stays as it is."""
        if self.is_fixed(row):
            if row in self.proposals:
                self.proposals[row] = np.packbits(self._offered(row, mask))
            return False
        self._write(row, mask, again=True)
        return True

    # --- on a person's behalf -----------------------------------------------------------------------------------

    def take(self, row: int, hides: Bits | None = None) -> None:
        """The answer that was offered, as one step of undo. `hides`: what of it is not shown (`sizes`)."""
        before, offered = self.taken.standing(row, self.mask(row)), self.proposals.pop(row)
        shown = unpacked(offered if hides is None else offered & ~hides, self.shape[1:]) > 0
        self.change(row, shown)
        if self.looked_at(row) is None:  # else it is still a person's around the box
            self._wrote(row, shown)
            self.whose.drawn = None
            if hides is not None:
                self.whose.hidden[row] = hides
        self.taken.note(row, before, shown)

    def drop(self, row: int) -> None:
        """As if the answer that is offered had never been asked for."""
        del self.proposals[row]
        if self.count == 1 and self.taken.source is not None:
            self.kept.bring_back(row, self.taken.source, None)
            self.scores[row] = self.kept.score(row)
            self.show_again(row, self.kept.mask(row))
        else:
            self.taken.drop(row, self._facts)
        self.changed()

    def proposed(self, row: int) -> Mask:
        """The answer that is offered for a slice."""
        return unpacked(self.proposals[row], self.shape[1:]) > 0

    def change(self, row: int, mask: Mask) -> None:
        """One step of undo, outside of which nothing of theirs is touched."""
        self.change_all({row: mask})

    def change_all(self, masks: Mapping[int, Mask]) -> list[int]:
        """The same for several slices, as one step → those that are other ones now."""
        # also what was painted with another label
        others = {row: mask for row, mask in masks.items() if not np.array_equal(self.row(row), mask)}
        if others:
            self.touched |= others.keys()
            self.seen -= others.keys()
            self.surface.edit(others)
            self.sums.note(others, self.row, told=True)
            self.changed()
        return list(others)

    def follow(self, masks: Mapping[int, Mask], asked: Sequence[tuple[Mapping[str, Any], int]]) -> list[int]:
        """What a mask led to, as a person's own: one step of undo, and one run to `revert`. `asked`: how each slice
        came about, and the number of its run → rows that are others now."""
        changed = self.change_all(masks)
        if asked:
            for past in self.story.begin_together(asked):
                self.forget_run(past)
            for row in changed:
                self._remember(row, asked[-1][1], np.packbits(self.mask(row)))
        return changed

    # --- taking back --------------------------------------------------------------------------------------------

    def revert(self) -> int:
        """Takes back what the last run wrote, but for slices that a person has touched since → how many slices. Where
        that is none, it can be taken back later still; else the next call takes back the one before."""
        run, back = self.last_run, []
        for row, known in [(row, self._before[row]) for row in sorted(self._before) if run in self._before[row]]:
            order = list(known)
            before, later = known[run], order[order.index(run) + 1 :]
            if later:  # another run has answered since: going back from there leads past this one
                known[later[0]] = before
            elif self.belongs_to_a_person(row) if before.led is None else not self._is_left(row, before):
                continue
            else:
                self._go_back(row, before)
            back.append(row)
        if not back:
            return 0
        if self.plan is not None:
            self.story.took_back(run, {self.plan.canonical_index(row) for row in back})
        self.forget_run(run)
        return len(back)

    @property
    def last_run(self) -> int:
        """The last to begin of those that wrote here and can be taken back; 0 where there is none."""
        runs = [(row, *one) for row, known in self._before.items() for one in known.items()]
        return max((run for row, run, known in runs if self._is_left(row, known)), default=0)

    def _go_back(self, row: int, before: Known) -> None:
        self._facts.back(row, before)
        if before.kept is not None or (self.count > 1 and before.recalled is not None and before.recalled.outlined):
            self._write(row, self.kept.mask(row))  # the thresholds may be others by now
        else:
            bits, shape = before.written, self.shape[1:]
            self._write(row, np.zeros(shape, bool) if bits is None else unpacked(bits, shape) > 0)

    def forget_run(self, run: int) -> None:
        """It can't be taken back any more."""
        self.story.forget(run)
        for row in [row for row, known in self._before.items() if known.pop(run, None) and not known]:
            del self._before[row]

    def _is_left(self, row: int, known: Known) -> bool:
        """Whether it is as the run left it that followed a mask there, and nobody has said a word of it since."""
        unseen = self.state(row) is SliceState.UNSEEN
        return known.led is None or (unseen and np.array_equal(np.packbits(self.mask(row)), known.led))

    def _remember(self, row: int, run: int, led: Bits | None = None) -> None:
        """For `revert`: as it was before this run answered."""
        if run not in self._before.setdefault(row, {}):
            self._before[row][run] = self._facts.at(row, self.whose.answered(row), led)

    # --- another day --------------------------------------------------------------------------------------------

    def restore(self, masks: NDArray[np.bool_], states: Sequence[SliceState]) -> None:
        """As it was kept: (slices, rows, columns) in the canonical view."""
        changed = {row: mask for row, mask in enumerate(masks) if not np.array_equal(self.row(row), mask)}
        self.surface.write(changed)
        self.sums.note(changed, self.row)
        self.touched.update(np.nonzero(masks.any(axis=(1, 2)))[0].tolist())
        for row, state in enumerate(states):
            if state is not SliceState.UNSEEN:
                self.say(row, state)

    def recall(
        self,
        scores: Mapping[int, float],
        edited: Collection[int],
        gate: float,
        written: Mapping[int, Mask] = MappingProxyType({}),
        lifted: Collection[int] | None = None,
    ) -> None:
        """What the model had answered, after `restore`: its scores, and which slices a person changed since. `written`:
        what it had written there, `lifted`: where somebody had pointed at it; both as far as that is known."""
        self.gate, self.kept.thresholds = gate, Thresholds(gate)
        for row, score in scores.items():
            self.scores[row] = score
            said = written.get(row) if row in edited else self.mask(row)
            up = None if lifted is None else row in lifted
            self.kept.recall(row, score, self.mask(row) if said is None else said, lifted=up)
            if said is not None:
                self.whose.written[row] = np.packbits(said)
        self.whose.hand |= set(edited)
        self.touched |= self.whose.hand

    def hold_again(self, row: int, kept: Kept, at: Thresholds) -> None:
        self.kept.hold_again(row, kept, at)
        self.taken.source = kept if self.count == 1 else None

    def looked_at(self, row: int) -> Mask | None:
        """What of a slice the last answer is about, where only boxes were looked at; else None."""
        kept, said = self.kept.of(row), self.how.get(row, {}).get("guidance") or ()
        return None if kept is None else looked_at(said, kept.plan, kept.result.index, self.prompt.text)

    def _offered(self, row: int, mask: Mask) -> Mask:
        """What is a person's stays theirs where nobody looked."""
        seen = self.looked_at(row)
        return mask if seen is None else np.where(seen, mask, self.mask(row))

    def _write(self, row: int, mask: Mask, *, again: bool = False) -> None:
        """The model's; in a picture beneath what a person drew."""
        drawn = self.whose.drawn
        shown = mask if drawn is None else unpacked(drawn.over(np.packbits(mask)), mask.shape) > 0
        self.surface.write({row: shown}, beneath=drawn is not None or row in self.taken.undone, again=again)
        self.seen.discard(row)
        self._wrote(row, mask, again=again)
        self.sums.note((row,), self.row)

    def _wrote(self, row: int, mask: Mask, *, again: bool = False) -> None:
        self.taken.shows(row, again=again and row in self.touched)
        self.whose.wrote(row, mask, again=again)
        if self.count == 1:
            self.taken.source = self.kept.of(row)

    def _heard(self, rows: Rows, undone: bool) -> None:
        """Somebody else changed the mask: a person, or an undo that took more away than a person had drawn."""
        changed = self.sums.others(self.row) if rows is None else set(rows)
        if undone:
            changed -= self._put_back(changed - self.touched)
            for row in changed:
                self.taken.look_again(row, self.mask(row))
        elif self.count == 1:
            self.whose.settle(self.row(0), stroke=True)
        self.sums.note(changed, self.row, told=True)
        self.touched |= changed
        if changed or rows is not None:  # else there was nothing left to undo
            self.changed()

    def _put_back(self, rows: Collection[int]) -> set[int]:
        """Where no person has been, the model's answers that an undo took away; nothing is written in vain."""
        gone = [row for row in rows if row in self.whose.written and self.edited(row)]
        lost = {row: unpacked(self.whose.written[row], self.shape[1:]) > 0 for row in gone}
        if lost:
            self.surface.write(lost)
        return set(lost)
