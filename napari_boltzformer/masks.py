"""`Track`: one mask and what we know of it: what the model wrote, what a person changed, accepted, was offered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from boltzformer import Prompt, SlicePlan, SliceResult
from boltzformer.types import SliceState
from napari_boltzformer.answers import Answers, Kept, Recalled, Thresholds
from napari_boltzformer.layers import KEY, empty_labels, facts_of, volume_of

if TYPE_CHECKING:
    import napari

MASK = "boltzformer mask"
"""Where a mask layer's metadata holds its `Track`."""
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Okabe and Ito's: told apart by every kind of eye."""
OPACITY = 0.35
MOST_SHOWN = 4
"""With more masks than these, only the selected one is shown: each visible one costs time at every scroll."""

MOST_REVERTS = 8
"""So many runs can be taken back, one after the other: each holds the answers that it replaced."""
RUNNING = "running"
"""The state of a run that may not have ended."""
NUMBERS = count(1)
"""Runs are numbered as they begin, over all masks."""

Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class _Known:
    """What there was of a slice before a run."""

    written: Bits | None
    kept: Kept | None
    recalled: Recalled | None
    score: float | None
    spread: int | None
    how: Mapping[str, Any] | None


class Track:
    """Rows are slices as the viewer counts them, in the canonical view; a flat image has one."""

    def __init__(self, layer: Labels, image: Image, prompt: Prompt, colour: str) -> None:
        self.layer, self.image_id, self.prompt, self.colour = layer, image.unique_id, prompt, colour
        self.first_name = layer.name
        self.runs: list[dict[str, Any]] = []
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
        self.plan: SlicePlan | None = None
        self.proposals: dict[int, Bits] = {}
        """Answers for slices that are a person's: offered, never written."""
        self.excluded: set[tuple[int, ...]] = set()
        """A voxel of each object that is left out of exports."""
        self.changed: Callable[[], None] = lambda: None
        self._written: dict[int, Bits] = {}
        self._run = 0
        """The last that began."""
        self._begun: list[int] = []
        self._before: dict[int, dict[int, _Known]] = {}
        """By row and run, in the order of their answers: what there was of the slice before."""
        self._records: dict[int, dict[str, Any]] = {}
        """By run: what `runs` tells of it."""
        self._said: dict[int, tuple[SliceState, Bits]] = {}
        self._stroked: set[int] = set()
        self._hand: set[int] = set()
        """A person's of an earlier day: what the model had written there is not known any more."""
        self.gate = 0.5
        """The least score for a mask, by the last run."""
        layer.metadata[MASK] = self
        layer.events.paint.connect(self._on_paint)

    @property
    def rows(self) -> NDArray[np.uint8]:
        """(slices, rows, columns): a view of the layer's own voxels."""
        data = self.layer.data
        return data[None] if data.ndim == 2 else data

    @property
    def name(self) -> str:
        """The prompt's, unless the user renamed the layer (napari itself numbers layers of one name)."""
        return self.prompt.name if self.layer.name == self.first_name else self.layer.name

    # --- whose is a slice? --------------------------------------------------------------------------------------

    def edited(self, row: int) -> bool:
        """Whether it differs from what the model wrote."""
        written = self._written.get(row)
        if written is None:
            return row in self._hand or bool(self.rows[row].any())
        return not np.array_equal(self.rows[row], self._unpacked(written))

    def edited_rows(self) -> list[int]:
        return [row for row in range(len(self.rows)) if self.edited(row)]

    def state(self, row: int) -> SliceState:
        """What a person said of it; changing it afterwards takes the word back."""
        state, then = self._said.get(row, (SliceState.UNSEEN, None))
        if then is not None and not np.array_equal(then, np.packbits(self.rows[row] > 0)):
            return SliceState.UNSEEN
        return state

    def say(self, row: int, state: SliceState) -> None:
        """A person has looked."""
        self.touched.add(row)
        self._said[row] = (state, np.packbits(self.rows[row] > 0))
        self.changed()

    def can_be_accepted(self, row: int) -> bool:
        """Whether there is something to call right. Blank since nobody asked is no word of absence."""
        return row in self.scores or self.state(row) is SliceState.EMPTY or bool(self.rows[row].any())

    def belongs_to_a_person(self, row: int) -> bool:
        return self.edited(row) or self.state(row) is not SliceState.UNSEEN

    # --- writing ------------------------------------------------------------------------------------------------

    def written(self) -> dict[int, Bits]:
        """By row, packed: what the model wrote, wherever that is known."""
        return dict(self._written)

    def packed(self) -> tuple[dict[int, Bits], list[int]]:
        """Rows as they are, blank ones aside, and which of them a person changed; only these are copied."""
        edited = self.edited_rows()
        return {**self._written, **{row: np.packbits(self.rows[row]) for row in edited}}, edited

    def begin_run(self, plan: SlicePlan, gate: float, run: int | None = None) -> int:
        """What it writes from here on, `revert` takes back; `run`: its number, where several masks share it → that."""
        if self.kept.thresholds == Thresholds(self.gate):  # the user chose no other
            self.kept.thresholds = Thresholds(gate)
        self.plan, self.gate = plan, gate
        self._run = next(NUMBERS) if run is None else run
        self._begun.append(self._run)
        ended = [one for one in self._begun if self._records.get(one, {}).get("state", RUNNING) != RUNNING]
        for past in ended[:-MOST_REVERTS]:
            self._forget_run(past)
        return self._run

    def note_run(self, made: Mapping[str, Any], run: int | None = None) -> None:
        """How its answers came about, so far or to the end: for whoever asks how the mask was made."""
        number = self._run if run is None else run
        if number not in self._records:
            self._records[number] = {}
            self.runs.append(self._records[number])
        self._records[number].clear()
        self._records[number].update(made)

    def answer(
        self, plan: SlicePlan, result: SliceResult, number: int, how: Mapping[str, Any], run: int | None = None
    ) -> bool:
        """Keeps the model's answer and shows it, at the thresholds of the moment; False where it is only offered.

        `run`: which one asked, where it is not the last that began.
        """
        row, run = plan.canonical_index(result.index), self._run if run is None else run
        if not self.belongs_to_a_person(row):
            self._remember(row, run)
        self.kept.keep(plan, result, number)
        self.scores[row], self.how[row] = self.kept.score(row), how
        self.spread.pop(row, None)  # it was of another answer
        if result.spread is not None:
            self.spread[row] = int(result.spread[number].sum(dtype=np.int64))
        return self.put(row, self.kept.mask(row), run)

    def put(self, row: int, mask: NDArray[np.bool_], run: int | None = None) -> bool:
        """The model's answer, outside the undo history; False where the slice is a person's, who is offered it."""
        if self.belongs_to_a_person(row):
            offered = self._offered(row, mask)
            if np.array_equal(self.rows[row] > 0, offered):
                self.proposals.pop(row, None)
            else:
                self.proposals[row] = np.packbits(offered)
            return False
        self.proposals.pop(row, None)
        self._remember(row, self._run if run is None else run)
        self._write(row, mask)
        return True

    def show_again(self, row: int, mask: NDArray[np.bool_]) -> bool:
        """The same answer at other thresholds, which is no run; False where the slice is a person's."""
        if self.belongs_to_a_person(row):
            if row in self.proposals:
                self.proposals[row] = np.packbits(self._offered(row, mask))
            return False
        self._write(row, mask)
        return True

    def take(self, row: int) -> None:
        """The answer that was offered, as one step of undo."""
        offered = self._unpacked(self.proposals.pop(row))
        self.change(row, offered > 0)
        kept = self.kept.of(row)
        if kept is None or kept.plan.box is None:  # else it is still a person's around the box
            self._written[row] = np.packbits(offered)

    def proposed(self, row: int) -> NDArray[np.bool_]:
        """The answer that is offered for a slice."""
        return self._unpacked(self.proposals[row]) > 0

    def change(self, row: int, mask: NDArray[np.bool_]) -> None:
        """On a person's behalf: one step of undo, outside of which nothing of theirs is touched."""
        self.change_all({row: mask})

    def change_all(self, masks: Mapping[int, NDArray[np.bool_]]) -> list[int]:
        """The same for several slices, as one step → those that are other ones now."""
        found: list[tuple[NDArray[np.intp], ...]] = []
        values: list[NDArray[np.uint8]] = []
        for row, mask in masks.items():
            where = np.nonzero(self.rows[row] != mask)  # also what was painted with another label
            if len(where[0]):
                self._stroked.add(row)
                self.touched.add(row)
                found.append((np.full(len(where[0]), row), *where))
                values.append(mask[where].astype(np.uint8))
        if found:
            places = tuple(np.concatenate(axis) for axis in zip(*found, strict=True))
            self.layer.data_setitem(places[-self.layer.ndim :], np.concatenate(values).tolist())
        return [int(one[0][0]) for one in found]

    def revert(self) -> int:
        """Takes back what the last run wrote, but for slices that a person has touched since → how many slices.

        The next call takes back the one before.
        """
        run, back = self.last_run, []
        for row, known in [(row, self._before[row]) for row in sorted(self._before) if run in self._before[row]]:
            order = list(known)
            before, later = known[run], order[order.index(run) + 1 :]
            if later:  # another run has answered since: going back from there leads past this one
                known[later[0]] = before
            elif self.belongs_to_a_person(row):
                continue
            else:
                self._go_back(row, before)
            back.append(row)
        self._note_reverted(run, back)
        self._forget_run(run)
        return len(back)

    def _go_back(self, row: int, before: _Known) -> None:
        for known, value in ((self.scores, before.score), (self.spread, before.spread), (self.how, before.how)):
            known.pop(row, None)
            if value is not None:
                known[row] = value
        self.kept.bring_back(row, before.kept, before.recalled)
        if before.kept is not None:
            self._write(row, self.kept.mask(row))  # the thresholds may be others by now
        else:
            bits = before.written
            self._write(row, np.zeros(self.rows[row].shape, bool) if bits is None else self._unpacked(bits) > 0)

    def _note_reverted(self, run: int, rows: Collection[int]) -> None:
        """A run of which nothing is left has not made this mask."""
        record = self._records.get(run)
        if record is None or self.plan is None:
            return
        back = {self.plan.canonical_index(row) for row in rows}
        if back >= set(record.get("slices", ())):
            self.runs[:] = [one for one in self.runs if one is not record]
        elif back:
            record["taken back"] = sorted(back)

    def _forget_run(self, run: int) -> None:
        """It can't be taken back any more."""
        self._records.pop(run, None)
        self._begun = [one for one in self._begun if one != run]
        for row in [row for row, known in self._before.items() if known.pop(run, None) and not known]:
            del self._before[row]

    @property
    def last_run(self) -> int:
        """The last to begin of those that wrote here and can be taken back; 0 where there is none."""
        return max((run for known in self._before.values() for run in known), default=0)

    @property
    def can_revert(self) -> bool:
        return bool(self._before)

    def restore(self, masks: NDArray[np.bool_], states: Sequence[SliceState]) -> None:
        """As it was kept: (slices, rows, columns) in the canonical view."""
        self.rows[...] = masks
        self.touched.update(np.nonzero(masks.any(axis=(1, 2)))[0].tolist())
        for row, state in enumerate(states):
            if state is not SliceState.UNSEEN:
                self.say(row, state)

    def recall(
        self,
        scores: Mapping[int, float],
        edited: Collection[int],
        gate: float,
        written: Mapping[int, NDArray[np.bool_]] = MappingProxyType({}),
    ) -> None:
        """What the model had answered, after `restore`: its scores, and which slices a person changed since.

        `written`: what it had written there, where that is known.
        """
        self.gate, self.kept.thresholds = gate, Thresholds(gate)
        for row, score in scores.items():
            self.scores[row] = score
            said = written.get(row) if row in edited else self.rows[row] > 0
            self.kept.recall(row, score, self.rows[row] > 0 if said is None else said)
            if said is not None:
                self._written[row] = np.packbits(said)
        self._hand = set(edited)
        self.touched |= self._hand

    def _offered(self, row: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where only a box was looked at, what is a person's stays theirs outside of it."""
        kept = self.kept.of(row)
        if kept is None or kept.plan.box is None:
            return mask
        offered = self.rows[row] > 0
        offered[kept.plan.crop] = mask[kept.plan.crop]
        return offered

    def _remember(self, row: int, run: int) -> None:
        """For `revert`: as it was before this run answered."""
        if run not in self._before.setdefault(row, {}):
            held, score = (self.kept.of(row), self.kept.recalled(row)), self.scores.get(row)
            known = _Known(self._written.get(row), *held, score, self.spread.get(row), self.how.get(row))
            self._before[row][run] = known

    def _write(self, row: int, mask: NDArray[np.bool_]) -> None:
        if row in self._stroked:
            # Strokes that were undone can be redone, over voxels as they were then: only a step of the same history
            # keeps that right.
            self.change(row, mask)
        else:
            self.rows[row] = mask
        self._written[row] = np.packbits(mask)

    def _unpacked(self, bits: Bits) -> NDArray[np.uint8]:
        return unpacked(bits, self.rows.shape[1:])

    def _on_paint(self, event: Any) -> None:
        for atom in event.value:
            where = atom[0] if isinstance(atom, tuple) else atom.slice_key
            first = where[0] if self.layer.ndim == 3 else 0
            rows = range(*first.indices(len(self.rows))) if isinstance(first, slice) else np.unique(first).tolist()
            self._stroked.update(rows)
            self.touched.update(rows)
        self.changed()


def unpacked(bits: Bits, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(rows, columns): a slice that was packed."""
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape)


def revert_last(tracks: Sequence[Track]) -> int:
    """Takes back the last run of several masks, in those that it asked for → how many of their slices."""
    last = max((track.last_run for track in tracks), default=0)
    return sum(track.revert() for track in tracks if last and track.last_run == last)


def same(one: Any, other: Any) -> bool:
    """Whether two are one layer: plugins get layers in wrappers that differ each time."""
    return one is not None and other is not None and one.unique_id == other.unique_id


def track_of(layer: Any) -> Track | None:
    """None for layers that are not ours; a duplicate is the user's own."""
    track = layer.metadata.get(MASK)
    return track if isinstance(track, Track) and same(track.layer, layer) else None


def tracks_of(viewer: napari.viewer.Viewer, image: Image | None) -> list[Track]:
    """The masks that were made for an image, whatever either is called by now."""
    found = [track_of(layer) for layer in viewer.layers] if image is not None else []
    return [track for track in found if track is not None and track.image_id == image.unique_id]


def new_track(viewer: napari.viewer.Viewer, image: Image, prompt: Prompt) -> Track:
    """An empty mask of an image. Neither the active layer nor its tool changes."""
    active, before = viewer.layers.selection.active, tracks_of(viewer, image)
    used = [track.colour for track in before]
    colour = min(COLOURS, key=used.count)
    data, options = empty_labels(image, prompt.name)
    facts = {KEY: facts_of(volume_of(image))}
    layer = viewer.add_labels(data, **options, opacity=OPACITY, colormap=_one_colour(colour), metadata=facts)
    track = Track(layer, image, prompt, colour)
    viewer.layers.selection.active = active
    show_few(viewer, image, layer if len(before) >= MOST_SHOWN else None)
    return track


def show_few(viewer: napari.viewer.Viewer, image: Image, chosen: Labels | None) -> None:
    """Above four masks, only the chosen one."""
    tracks = tracks_of(viewer, image)
    if chosen is not None and len(tracks) > MOST_SHOWN:
        for track in tracks:
            if track.layer.visible != same(track.layer, chosen):
                track.layer.visible = same(track.layer, chosen)


def _one_colour(colour: str) -> DirectLabelColormap:
    """Whatever label a person paints with, it is this mask."""
    return DirectLabelColormap(color_dict={0: "transparent", None: colour})
