"""Lessons of one case: checked before time is spent, packed for the way, and what was learnt from them (`Adapter`)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import LabelMap, Lesson

LEAST = 4
"""Pixels that a lesson must mark: fewer are a slip of the hand, and no outline can be learnt from them."""
TRUST = 2.0
"""In the neighbours' logits where nothing was left out to tell: best on the mean of the volumes it was tried on."""
WORSE, CHANCE = 0.02, 0.2
"""Dice by which it may do worse than the parent on the lessons left out; and by which one of them may by chance."""
MOST = 4096
"""Lessons of one case."""


@dataclass(frozen=True)
class Learning:
    """One step of learning from a case. Step 0 comes before anything is done, and says what it will take."""

    step: int
    of: int
    loss: float = 0.0
    seconds_left: float = 0.0
    memory: int = 0
    """Bytes at the peak, beside what the program and its libraries take; predicted."""


@dataclass(frozen=True)
class Fit:
    """How the model's own answer and the neighbours' masks are put together: see `neighbours`."""

    pace: float = 0.6
    """How far an outline wanders: mm in the slice per √mm between slices."""
    strays: float = 0.1
    """Share of the object that lay clearly outside of what its neighbours said."""
    holes: float = 0.1
    """Share of what was clearly inside, and was not the object."""
    trust: float = TRUST
    """What the neighbours' logits are multiplied with before they are added to the model's; 0: they have no say."""
    shift: float = 0.0
    """Added to the sum."""
    claim: float | None = None
    """Logit of the existence classifier that counts as one half; None: it has no say, and the outline decides."""


@dataclass(frozen=True, eq=False, repr=False)
class Adapter:
    """What was learnt from a case: for one model, one image and one prompt. Numpy only, so a viewer can keep it."""

    parent: str
    """SHA-256 of the model's file."""
    volume: str
    """SHA-256 of the image's voxels; empty once it was carried to other images."""
    prompt: str
    axis: int
    lessons: tuple[Lesson, ...]
    """In the order in which they were taught."""
    fit: Fit = field(default_factory=Fit)
    deltas: Mapping[str, NDArray[np.float16]] = field(default_factory=dict[str, NDArray[np.float16]])
    """What is added to the parent's weights."""
    seed: int = 0
    steps: int = 0
    """Of this learning; those of `start` not counted."""
    start: str = ""
    """`id` of the adapter that it went on from."""
    cases: int = 1
    """How many images taught it."""
    before: float | None = None
    """Mean Dice of the parent on the lessons that were left out; None where none could be."""
    after: float | None = None
    """Of what was learnt so far, on the same, before it had seen them."""
    left_out: int = 0
    """How many these are, of this learning and of those of this image that it went on from."""
    knew: float | None = None
    """Mean Dice, on the first lessons of this image, of the weights that its first learning began with."""

    @cached_property
    def id(self) -> str:
        """Equal ones answer equally, bit for bit."""
        found = hashlib.sha256(repr((self.facts(), self.cases)).encode())
        for one in self.lessons:
            found.update(one.mask.astype(bool).tobytes())
        for name in sorted(self.deltas):
            found.update(name.encode() + self.deltas[name].tobytes())
        return found.hexdigest()

    def __repr__(self) -> str:
        return f"Adapter({self.id[:12]}, '{self.prompt}')"

    @property
    def nbytes(self) -> int:
        """Memory that it holds, about."""
        return sum(delta.nbytes for delta in self.deltas.values()) + sum(one.mask.nbytes for one in self.lessons)

    def carried(self) -> Adapter:
        """For the next image: its weights alone, without the lessons of this one."""
        return replace(self, volume="", lessons=(), fit=replace(self.fit, claim=None), knew=None)

    @property
    def idle(self) -> bool:
        """Whether it changes no answer, and only keeps what was given as it is."""
        return not self.deltas and self.fit.trust == 0

    def as_parent(self) -> Adapter:
        """The parent's own answers beside the lessons as they are: for when what was learnt did worse."""
        return replace(self, deltas={}, fit=Fit(trust=0.0))

    def facts(self) -> dict[str, Any]:
        """For a provenance, as plain JSON values."""
        return {
            "parent": self.parent,
            "prompt": self.prompt,
            "lessons": [one.index for one in self.lessons],
            "masks sha256": hash_of(self.lessons),
            "seed": self.seed,
            "steps": self.steps,
            "start": self.start,
            "fit": vars(self.fit).copy(),
            "left out": {"before": self.before, "after": self.after, "lessons": self.left_out},
        }


@dataclass(frozen=True)
class Adapted:
    """Last event of a learning."""

    adapter: Adapter
    seconds: float
    carried: tuple[int, float, float] | None = None
    """Where it could begin from what other images had taught: how many they were, and on the lessons of this one, which
    none of them had seen, the mean Dice of the model alone and of what they taught."""

    @property
    def carried_did_worse(self) -> bool:
        """Then it was left out, and this learning began from the model alone."""
        return self.carried is not None and self.carried[2] < self.carried[1] - WORSE

    @property
    def better(self) -> bool:
        """Whether it did no worse than the parent where that could be checked; else the parent's answers stay."""
        before, after = self.adapter.before, self.adapter.after
        return before is None or after is None or after >= before - WORSE - CHANCE / self.adapter.left_out

    @property
    def sentence(self) -> str:
        """For the user."""
        count, before = len(self.adapter.lessons), ""
        if self.carried is not None:
            cases, alone, taught = self.carried
            whose = "the last image" if cases == 1 else f"the last {cases} images"
            before = f" What {whose} taught "
            if self.carried_did_worse:
                before += f"does worse here ({taught:.2f}, the model alone {alone:.2f}) and was left out."
            else:
                before += f"was the start ({taught:.2f} here, the model alone {alone:.2f})."
        return self._learnt(count) + before

    def _learnt(self, count: int) -> str:
        told = f"Learnt from {count} {'slice' if count == 1 else 'slices'}, {self.seconds:.0f} s"
        if self.adapter.before is None or self.adapter.after is None:
            return f"{told}: too few to check."
        many = "one" if self.adapter.left_out == 1 else str(self.adapter.left_out)
        before, after = self.adapter.before, self.adapter.after
        told = f"{told}: checked on {many} left out {before:.2f} → {after:.2f}"
        if not self.better:
            return f"{told}, which is worse: the model's own answers stay."
        if round(after, 2) >= round(before, 2):  # as they are written
            return f"{told}."
        chance = "which is worse, though no more than may be chance"
        return f"{told}, {chance}: look at the rest, then correct another slice, or forget it."


def lessons_of(labels: LabelMap, label: int, indices: Iterable[int], plan: SlicePlan) -> tuple[Lesson, ...]:
    """The listed slices of a mask on the image's grid; one without a marked voxel says that nothing is there."""
    if not labels.grid.same_as(plan.grid):
        raise BoltzFormerError(
            f"The lessons have {_size(labels.grid.shape)} voxels, the image {_size(plan.grid.shape)}, or they lie "
            "elsewhere: give a mask on the image's own grid."
        )
    listed = list(dict.fromkeys(int(index) for index in indices))
    outside = [index for index in listed if not 0 <= index < plan.count]
    if outside:
        raise BoltzFormerError(
            f"There is no slice {outside[0]} to learn from: the image has slices 0 to {plan.count - 1}."
        )
    seen = plan.view.apply(labels.mask(label))
    return tuple(Lesson(index, seen[plan.canonical_index(index)].copy()) for index in listed)


def without_specks(lessons: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """Where others show the object: at the ends of an organ a slice may hold a pixel of it, which is right, and
    teaches nothing."""
    shown = [one for one in lessons if not 0 < np.count_nonzero(one.mask) < LEAST]
    return tuple(shown if any(one.mask.any() for one in shown) else lessons)


def checked(lessons: Sequence[Lesson], plan: SlicePlan) -> tuple[Lesson, ...]:
    """Refuses what can't teach, before time is spent on it."""
    if not lessons:
        raise BoltzFormerError("There is no lesson: correct or accept a slice that shows the object first.")
    if len(lessons) > MOST:
        raise BoltzFormerError(f"There are {len(lessons)} lessons: give at most {MOST}.")
    for one in lessons:
        if one.mask.shape != plan.slice_shape:
            raise BoltzFormerError(
                f"The lesson of slice {one.index} has {_size(one.mask.shape)} pixels, the image's slices have "
                f"{_size(plan.slice_shape)}: give masks on the image's own grid."
            )
        if not 0 <= one.index < plan.count:
            raise BoltzFormerError(
                f"There is no slice {one.index} to learn from: the image has slices 0 to {plan.count - 1}."
            )
        if not 0 < one.weight < np.inf:
            raise BoltzFormerError(f"The lesson of slice {one.index} weighs {one.weight}: give a number above 0.")
        marked = int(np.count_nonzero(one.mask))
        if 0 < marked < LEAST:
            raise BoltzFormerError(
                f"The lesson of slice {one.index} marks {marked} {'pixel' if marked == 1 else 'pixels'}: paint the "
                "whole object there, or leave the slice empty if it is not there."
            )
    for index in {one.index for one in lessons}:
        same = [one for one in lessons if one.index == index]
        if any((one.mask != same[0].mask).any() for one in same[1:]):
            raise BoltzFormerError(f"Two lessons of slice {index} contradict each other: give one mask per slice.")
    kept = tuple({one.index: replace(one, mask=one.mask.astype(bool)) for one in lessons}.values())
    if not any(one.mask.any() for one in kept):
        raise BoltzFormerError(
            "All lessons are empty, so nothing tells how the object looks: correct a slice that shows it."
        )
    return kept


def hash_of(lessons: Sequence[Lesson]) -> str:
    """Equal ones are the same lessons, in whatever order they were taught."""
    found = hashlib.sha256()
    for one in sorted(lessons, key=lambda one: one.index):
        found.update(f"{one.index} {one.weight} {one.mask.shape}".encode() + one.mask.astype(bool).tobytes())
    return found.hexdigest()


def packed(mask: NDArray[np.bool_]) -> bytes:
    """A mask for the way, an eighth of a byte a pixel before it is deflated."""
    return zlib.compress(np.packbits(mask.astype(bool)).tobytes(), 6)


def unpacked(data: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """And back; what is no mask of this shape is refused."""
    count = shape[0] * shape[1]
    wanted = -(-count // 8)
    try:
        machine = zlib.decompressobj()
        bits = machine.decompress(data, wanted + 1)
        if len(bits) != wanted or not machine.eof:
            raise ValueError(f"{len(bits)} bytes instead of {wanted}")
    except (zlib.error, ValueError) as error:
        raise BoltzFormerError(
            f"A lesson's mask is no mask of {_size(shape)} pixels ({error}): give masks on the image's own grid."
        ) from error
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).reshape(shape).astype(bool)


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
