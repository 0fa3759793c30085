"""Masks as they leave the viewer: on the stored grid of their image, with how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.image import OpenImage, plan_of
from boltzformer.desk.keeping.scene import NOWHERE, Scene
from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.kept import Kept, Thresholds
from boltzformer.desk.masks.left_out import left_out, without
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.whole import Whole, answer_of, closed
from boltzformer.desk.masks.whose import Bits, Whose, unpacked
from boltzformer.desk.scale import Scale
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import LabelMap, Prompt, SliceState, Volume


@dataclass(frozen=True)
class Frozen:
    """One mask at one moment: nothing of it changes any more, so that it may be asked beside the viewer."""

    name: str
    """Unlike any other of its image."""
    prompt: Prompt
    shape: tuple[int, int, int]
    packed: Mapping[int, Bits]
    """By row; blank where there is none."""
    edited: Sequence[int]
    """Rows that differ from what the model wrote."""
    fixed: frozenset[int]
    """Rows that are a person's, which sizes leave alone."""
    closed: frozenset[int]
    """Of these, where nothing that is hidden comes back either."""
    restored: Sequence[int]
    """Rows whose outline no threshold changes either: the answer is of an earlier day."""
    outlines: Mapping[int, float]
    """Of these, the probability at which it was outlined, where that is another than is asked for now."""
    veiled: Mapping[int, Bits]
    """Of these, what is hidden for its score."""
    lifted: Sequence[int]
    """Rows that are shown whatever their score: a person pointed at the object."""
    whose: Whose
    scores: Mapping[int, float]
    hidden: Sequence[int]
    """Rows where the model's outline is hidden by a threshold."""
    runs: Sequence[Mapping[str, Any]]
    thresholds: Thresholds
    gate: float
    """The least score for a mask as its model has it, whatever is chosen."""
    scale: Scale
    answered: Kept | None
    """Of a picture, by which its objects are parted."""
    excluded: frozenset[tuple[int, ...]]
    together: Sequence[frozenset[tuple[int, ...]]]
    """Of these, several of one object."""
    warning: str
    began_from: str

    @property
    def rows(self) -> NDArray[np.uint8]:
        """(slices, rows, columns): takes long for a large mask."""
        return self._unpacked(self.packed)

    @cached_property
    def states(self) -> list[SliceState]:
        """What a person said, by row."""
        blank, shape = np.zeros(self.shape[1:], np.uint8), self.shape[1:]
        held = ((row, unpacked(self.packed[row], shape) if row in self.packed else blank) for row in self.whose.said)
        said = {row: self.whose.state(row, voxels) for row, voxels in held}
        return [said.get(row, SliceState.UNSEEN) for row in range(self.shape[0])]

    @property
    def sized(self) -> NDArray[np.uint8]:
        """Without the objects that are too small: by the sizes that were chosen, whether the viewer has come to show
        them or not."""
        rows, at = self.rows, self.thresholds
        if at.of_objects or self.whose.hidden:
            whole = Whole.of(rows, self.whose, self.fixed, self.closed, at, self.scale.voxel_mm3, self.answered)
            rows = whole.remaining().astype(np.uint8)
        return rows

    @property
    def kept(self) -> NDArray[np.uint8]:
        """Without the objects that are too small or excluded."""
        return without(self.sized, self.excluded)

    @property
    def accepted(self) -> NDArray[np.uint8]:
        """As it is on screen, which is what a person accepts, without the objects that are excluded."""
        return without(self.rows, self.excluded)

    @cached_property
    def lines(self) -> Bits | None:
        """Between the objects of a picture that are to lie apart, whether the viewer has come to part them or not."""
        if self.whose.lines or not self.thresholds.apart or self.answered is None:
            return self.whose.lines.get(0)
        given = self.rows, self.whose, self.fixed, self.closed, self.thresholds, self.scale.voxel_mm3, self.answered
        whole = Whole.of(*given)
        return None if whole.apart is whole.rows else np.packbits(whole.rows[0] & ~whole.apart[0])

    @property
    def filtered(self) -> list[int]:
        """Rows where the model's answer has more than is shown: objects that are hidden for their size."""
        return sorted((self.whose.hidden.keys() & self.whose.written.keys()) - set(self.edited) - self.fixed)

    @property
    def beneath(self) -> dict[int, Bits]:
        """The same in rows that are a person's, where what they drew hides which of it is the model's: what would come
        back once they are the model's again, in a picture beneath strokes."""
        return {row: bits for row, bits in self.whose.hidden.items() if row not in self.filtered and bits.any()}

    def answer(self, *, hidden: bool = False) -> NDArray[np.uint8]:
        """(slices, rows, columns): what the model wrote, wherever that is known. `hidden`: with what is not shown."""
        more = {row: self.whose.written[row] | self.whose.hidden[row] for row in self.filtered} if hidden else {}
        more |= self.veiled if hidden else {}
        return self._unpacked({**self.whose.written, **more})

    def _unpacked(self, rows: Mapping[int, Bits]) -> NDArray[np.uint8]:
        whole = np.zeros(self.shape, np.uint8)
        for row, bits in rows.items():
            whole[row] = unpacked(bits, self.shape[1:])
        return whole

    def _shown_at(self) -> dict[str, Any]:
        """Of sizes nothing where none were asked for; the least as the grid counts it, and as it was chosen."""
        at = self.thresholds
        told = asdict(at) if at.of_objects else {"existence": at.existence, "outline": at.outline}
        return {**told, **self.smallest}

    @property
    def smallest(self) -> dict[str, str]:
        """'30 µm²', where that was chosen."""
        least = self.thresholds.smallest_mm3
        return {"smallest": self.scale.small(least)} if least else {}

    def how_made(self) -> dict[str, Any]:
        """The runs that wrote into it, and the slices that differ from what they wrote."""
        return {
            "prompt": self.prompt.text,
            "warning": self.warning,
            **({"began from": self.began_from} if self.began_from else {}),
            "runs": list(self.runs),
            "thresholds, as shown": self._shown_at(),
            **({"slices restored, at the thresholds of then": list(self.restored)} if self.restored else {}),
            "slices edited, as shown": list(self.edited),
            "slices accepted, as shown": [n for n, one in enumerate(self.states) if one is not SliceState.UNSEEN],
            "objects excluded": left_out(self.rows, self.excluded)[1] if self.excluded else 0,
        }


@dataclass(frozen=True)
class Snapshot:
    """The masks of an image at one moment: copied at once, so that what takes long is done beside the viewer."""

    volume: Volume
    masks: tuple[Frozen, ...]
    scene: Scene = NOWHERE
    """What they were worked on with."""

    @staticmethod
    def of(image: OpenImage, tracks: Sequence[Track], scene: Scene = NOWHERE) -> Snapshot:
        names = unique_names(tracks)
        return Snapshot(image.volume, tuple(frozen(*one) for one in zip(tracks, names, strict=True)), scene)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(mask.name for mask in self.masks)

    @property
    def plan(self) -> SlicePlan:
        return plan_of(self.volume)

    def labels(self) -> LabelMap:
        """On the stored grid of the image, one layer and one label each: all that is on screen."""
        return self._map(mask.rows for mask in self.masks)

    def accepted(self) -> LabelMap:
        """Of these what a person vouches for, in the slices of which they said so."""
        return self._map(mask.accepted for mask in self.masks)

    def kept(self) -> LabelMap:
        """What counts and is exported."""
        return self._map(mask.kept for mask in self.masks)

    def answers(self, *, hidden: bool = False) -> LabelMap:
        """What the model had said, on the stored grid."""
        return self._map(mask.answer(hidden=hidden) for mask in self.masks)

    def _map(self, masks: Iterable[NDArray[np.uint8]]) -> LabelMap:
        view = self.volume.grid.canonical(self.volume.slice_axis)
        stacked = np.zeros((len(self.masks), *self.volume.grid.shape), np.uint8)
        for number, rows in enumerate(masks):
            stacked[number] = (view.undo(rows) > 0) * np.uint8(number + 1)
        return LabelMap(stacked, self.volume.grid, dict(enumerate(self.names, 1)))


def frozen(track: Track, name: str = "") -> Frozen:
    """A mask as it is now."""
    return Frozen(
        name or track.name,
        track.prompt,
        track.shape,
        *_packed(track),
        track.fixed,
        closed(track),
        sorted(set(track.kept.looked) - set(track.kept.rows)),
        _outlines(track),
        _veiled(track),
        sorted(row for row in track.kept.looked if _is_lifted(track.kept, row)),
        track.whose.copy(),
        dict(track.scores),
        track.kept.hidden,
        deepcopy(track.standing),  # one that is under way goes on
        track.kept.thresholds,
        track.gate,
        track.image.scale,
        answer_of(track),
        frozenset(track.excluded),
        track.excluded.together,
        track.warning,
        track.began_from,
    )


def _is_lifted(answers: Answers, row: int) -> bool:
    kept, earlier = answers.of(row), answers.recalled(row)
    some = (
        [part.result.lifted is not None and bool(part.result.lifted[part.number]) for part in kept.parts]
        if kept
        else []
    )
    return any(some) or (earlier is not None and earlier.lifted)


def _outlines(track: Track) -> dict[int, float]:
    now, then = track.kept.thresholds.outline, track.kept.outline_then
    return {row: then[row] for row in track.kept.earlier(lambda _: True) if then.get(row, now) != now}


def _veiled(track: Track) -> dict[int, Bits]:
    at = track.kept.thresholds
    earlier = track.kept.earlier(lambda one: one.veiled(at))
    return {row: one.bits for row, one in earlier.items() if not track.belongs_to_a_person(row)}


def unique_names(tracks: Sequence[Track]) -> list[str]:
    """Two masks may carry one name in the viewer, but not in a file."""
    names = [track.name for track in tracks]
    return [name if names.count(name) == 1 else f"{name} ({n})" for n, name in enumerate(names, 1)]


def _packed(track: Track) -> tuple[dict[int, Bits], list[int]]:
    """Rows as they are, blank ones aside, and which of them a person changed. Only these are read and packed: copies of
    large masks would hold the viewer for a second."""
    edited = track.edited_rows()
    return {**track.whose.written, **{row: np.packbits(track.mask(row)) for row in edited}}, edited
