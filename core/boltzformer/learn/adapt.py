"""`adapt`: what a person corrected in a few slices teaches the rest of this volume, in seconds. Events out.

It stands here and not on the engine, because what learns comes after what answers: the engine knows how to use an
`Adapter` (`Engine.adapted`), not how one is made.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from boltzformer.engine.adapted import added, check_bound, combined, passing, said
from boltzformer.engine.answering import noise_for
from boltzformer.engine.devices import WORK_PER_FEATURES, fast_half, feature_bytes
from boltzformer.engine.engine import Engine
from boltzformer.engine.provenance import hash_of_voxels, own_gate
from boltzformer.errors import BoltzFormerError
from boltzformer.image.intensity import Window
from boltzformer.image.slicing import SlicePlan, to_int8
from boltzformer.learn.finetune.need import predict
from boltzformer.learn.finetune.options import Mode, prepare
from boltzformer.learn.finetune.student import Student
from boltzformer.learn.recipe import LossRecipe, OptimizerRecipe, Recipe
from boltzformer.learn.train import Batch
from boltzformer.learn.views import WHOLE, Views
from boltzformer.masks.lessons import CHANCE, TRUST, Adapted, Adapter, Fit, Learning, checked
from boltzformer.masks.neighbours import Neighbours, fitted
from boltzformer.masks.objects import pieces
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.types import Lesson, Prompt, Volume, as_prompts

SECONDS = 20.0
"""Of learning, unless said otherwise."""
SMALL = 25_000_000
"""Parameters up to which all weights learn; of larger models what follows the image encoder."""
LEAST, MOST = 10, 2000
"""Steps."""
COMPARED = 3
"""Lessons, the newest, on which the weights that a learning begins with are asked what they know already."""
KNOWS = 3.0
"""Weights that foretold the first lessons are worth so many: who knows much and is shown little forgets."""
FORETOLD = 0.5
"""Dice of each of them from which the model's own word that a slice holds nothing stands."""
TIMED = 4
"""Steps after which it is known how many the seconds allow."""
UNTIL_CHECKED = 0.4
"""Share of the steps that are made before one lesson that was left out is asked about; it is learnt after that."""
TRUSTS, SHIFTS = (0.5, 1.0, 2.0, 4.0), (-1.0, -0.5, 0.0)
"""What is tried on the lessons that were left out. They show the object, so they can't tell what more of it costs where
it is not: nothing is shifted up."""
MANY, SCATTERED = 4, 0.5
"""Objects in a usual lesson from which they count as scattered, and the trust in neighbours that these get unless what
was left out tells otherwise: of many small ones, those of the next slice are others."""
SLACK = 0.03
"""Dice by which something less usual must be better to be taken: so few slices tell by chance as well."""
ENOUGH, ROOM = 3, 2.0
"""Lessons with and without the object from which existence may have a say, and logits by which it must part them."""
RECIPE = Recipe(
    name="case",
    prompts=1,
    optimizer=OptimizerRecipe(rate=3e-4, weight_decay=0.0, warm_up=4, average=0.9, schedule="constant"),
    loss=LossRecipe(deep=0.3, dense=0.0, presence=0.0, positive=1.0),
)

Happening = Learning | Adapted


def adapt(
    engine: Engine,
    volume: Volume,
    prompt: str | Prompt,
    lessons: Sequence[Lesson],
    *,
    seconds: float = SECONDS,
    steps: int | None = None,
    seed: int = 0,
    window: Window | None = None,
    axis: int | None = None,
    start: Adapter | None = None,
    voxels: str = "",
) -> Iterator[Happening]:
    """`Learning` before the first step and after each, last `Adapted`, for `engine.adapted`; the engine stays as it is.

    The newest lesson is the last. `steps` instead of `seconds`: the same lessons, seed and steps give the same adapter
    on a CPU. `start` is one to go on from: of this image, or carried over from another. Stopping is not asking on.
    """
    (asked,) = as_prompts(prompt)
    if engine.adapter is not None:
        raise BoltzFormerError("This engine was taught already: give the one that it came from, and start=its adapter.")
    if not 0 < seconds < 1e6 or (steps is not None and not LEAST <= steps <= MOST):
        raise BoltzFormerError(f"Learning takes more than 0 seconds, or {LEAST} to {MOST} steps: give such a number.")
    plan = engine.plan(volume, axis)
    kept = checked(lessons, plan)
    content = voxels or hash_of_voxels(volume.array)
    if start is not None:
        check_bound(start, engine.about, content, plan.axis, (asked,))
    case = _Case(engine, volume, plan, window or volume.window(), asked.text, kept, seed, start, content)
    return case.events(seconds, steps)


class _Student(Student):
    """Statistics that a norm may keep stay the parent's: so few samples say nothing about them."""

    def _gradients(self, batch: Batch) -> dict[str, float]:
        self.model.eval()
        return super()._gradients(batch)


@dataclass(frozen=True)
class _Seen:
    """What the model says about a lesson that it was not taught."""

    lesson: Lesson
    logits: NDArray[np.float32]
    """(h, w)."""
    existence: float | None


class _Case:
    """One learning: what it works on."""

    def __init__(
        self,
        engine: Engine,
        volume: Volume,
        plan: SlicePlan,
        window: Window,
        prompt: str,
        lessons: tuple[Lesson, ...],
        seed: int,
        start: Adapter | None,
        content: str,
    ) -> None:
        self.engine, self.plan, self.prompt, self.lessons = engine, plan, prompt, lessons
        self.seed, self.start, self.content = int(seed), start, content
        self.draws = self.seed % 2**32
        self.views = Views(volume, plan, window, lessons, prompt)
        self.mode: Mode = "full" if engine.about.parameters <= SMALL else "decoder"
        batch = WHOLE if self.mode == "full" else 1
        self.recipe = replace(RECIPE, seed=self.draws, steps=MOST, side=plan.size, batch=batch)
        self.carried: tuple[int, float, float] | None = None
        self.told = list[float]()
        """Dice on the newest lessons of the weights that this learning began with, which had not seen them."""
        self.knew = start.knew if start is not None and start.volume else None
        self.began = time.monotonic()

    def events(self, seconds: float, steps: int | None) -> Iterator[Happening]:
        """Step by step."""
        yield Learning(0, steps or 0, seconds_left=seconds, memory=self.memory())
        known = {one.index for one in self.lessons}
        parent = self.engine.weights()
        model = copy.deepcopy(parent)
        same = self.start is not None and bool(self.start.volume)
        if self.start is not None:
            model = added(model, self.start.deltas)
            if not same:
                yield from self._compare_carried(parent, model, steps or 0, seconds)
            if self.start is None:
                model = copy.deepcopy(parent)
        goes_on = same and self.start is not None and bool(self.start.deltas)
        new = self._new() if goes_on else self.lessons
        # What was learnt before has never seen the newest lessons: they check it at once, if one shows the object.
        ahead = goes_on and any(one.mask.any() for one in new)
        out = frozenset(one.index for one in new if ahead) if goes_on else self._left_out()
        newest = {one.index for one in new[-COMPARED:]}
        begun, before = dict[int, _Seen](), list[_Seen]()
        for index in sorted(out | newest):
            begun[index] = self._ask(model, index)
            if index in out:
                before.append(begun[index] if self.start is None else self._ask(parent, index))
            yield Learning(0, steps or 0, seconds_left=self._left(seconds))
        after = [begun[index] for index in sorted(out)] if ahead else []
        self.told = [self._plain(begun[index]) for index in newest if begun[index].lesson.mask.any()]
        if self.told and self.knew is None:
            self.knew = float(np.mean(self.told))
        student = self._student(model)
        planned = steps or MOST
        checked_at = TIMED
        while student.step < planned:
            if student.step == TIMED and steps is None:
                planned = self._afforded(seconds, TIMED)
            checked_at = max(TIMED, round(UNTIL_CHECKED * planned))
            if student.step == checked_at and out and not ahead:
                learnt = added(parent, self._deltas(student, parent))
                for index in sorted(out):
                    after.append(self._ask(learnt, index))
                    yield Learning(student.step, planned, seconds_left=self._left(seconds))
            learns = known if ahead or student.step >= checked_at else known - out
            kept = student.model if self.mode == "decoder" else None
            told = student.learn(self.views.batch(self.draws, student.step, learns, kept))
            of = planned if steps is not None or student.step > TIMED else 0
            yield Learning(student.step, of, told["total"], self._left(seconds))
        yield self._made(student, parent, before, after)

    def _compare_carried(
        self, parent: BoltzFormer, carried: BoltzFormer, steps: int, seconds: float
    ) -> Iterator[Happening]:
        """What other images taught is only the start where it does no worse on lessons that it has never seen."""
        assert self.start is not None
        alone, taught_so = list[float](), list[float]()
        for lesson in [one for one in self.lessons if one.mask.any()][-COMPARED:]:
            for model, found in ((parent, alone), (carried, taught_so)):
                found.append(self._plain(self._ask(model, lesson.index)))
                yield Learning(0, steps, seconds_left=self._left(seconds))
        self.carried = (self.start.cases, float(np.mean(alone)), float(np.mean(taught_so)))
        if Adapted(self.start, 0.0, self.carried).carried_did_worse:
            self.start = None

    def memory(self) -> int:
        """Bytes at the peak, predicted."""
        half = fast_half(torch.device(self.engine.device))
        found = predict(self.engine.about, self.recipe, self.mode, micro=0, speed=1.0, rank=1, half=half)
        asking = WORK_PER_FEATURES * feature_bytes(self.engine.about.config)
        lessons = 16 * len(self.lessons) * self.plan.size**2
        return found.weights + max(found.memory - found.weights, asking) + lessons

    def _new(self) -> tuple[Lesson, ...]:
        """Those that the start has never seen as they are."""
        assert self.start is not None
        old = {one.index: one.mask for one in self.start.lessons}
        return tuple(one for one in self.lessons if one.index not in old or (old[one.index] != one.mask).any())

    def _left_out(self) -> frozenset[int]:
        """One with the object, rather between others, of many two; and of several empty ones the newest.

        None where only one shows the object.
        """
        there = sorted(one.index for one in self.lessons if one.mask.any())
        empty = [one.index for one in self.lessons if not one.mask.any()]
        if len(there) < 2:
            return frozenset()
        if len(there) == 2:
            out = {next(one.index for one in reversed(self.lessons) if one.mask.any())}
        else:
            inner = there[1:-1]
            out = {inner[len(inner) // 2]} if len(there) < 5 else {inner[len(inner) // 3], inner[-1]}
        return frozenset(out | set(empty[-1:] if len(empty) > 1 else ()))

    @property
    def share(self) -> float:
        """Of the way from where this learning began: the further, the more lessons and the less was known at first."""
        count = sum(bool(one.mask.any()) for one in self.lessons)
        return count / (count + KNOWS * (self.knew or 0.0) ** 2)

    def _ask(self, model: BoltzFormer, index: int) -> _Seen:
        model.eval()
        like = next(model.parameters())
        with torch.inference_mode():
            image = model.encode_image(self.views.images[index][None].to(like.device, like.dtype))
            middle = self.plan.canonical_index(index)
            noise = noise_for(model, image, [(self.prompt, 0)], middle, self.seed)
            given = model.decode(image, model.encode_text([self.prompt]), noise)
        logits = given.logits[0, 0].float().cpu().numpy()
        existence = None if given.existence is None else float(given.existence[0, 0])
        return _Seen(self.views.lessons[index], logits, existence)

    def _student(self, model: BoltzFormer) -> Student:
        prepare(model, self.mode)
        return _Student(model, self.recipe)

    def _left(self, seconds: float) -> float:
        return max(0.0, seconds - (time.monotonic() - self.began))

    def _afforded(self, seconds: float, done: int) -> int:
        spent = time.monotonic() - self.began
        each = spent / done
        return min(MOST, max(LEAST, done + int(0.95 * (seconds - spent) / each)))

    def _made(self, student: Student, parent: BoltzFormer, before: list[_Seen], after: list[_Seen]) -> Adapted:
        fit = fitted(self.lessons, self.plan, self.start.fit if self.start is not None and self.start.volume else None)
        if not after and (self.start is None or self.start.after is None):
            fit = replace(fit, trust=self.usual)
        first = last = None
        count = sum(1 for one in after if one.lesson.mask.any())
        deltas = self._deltas(student, parent)
        if after:
            first = float(np.mean([self._plain(one) for one in before if one.lesson.mask.any()]))
            fit, last = self._chosen(after, fit)
            fit = replace(fit, claim=self._claim(after))
            kept, there = self._chosen(before, fit)
            # The parent with its neighbours did better than all that was learnt: by more than few slices do by chance.
            if there > last + CHANCE:
                fit, last, deltas = replace(kept, claim=None), there, {}
        foretold = bool(self.told) and min(self.knew or 0.0, *self.told) >= FORETOLD
        if fit.claim is None and foretold and self.engine.about.config.decoder.existence:
            fit = replace(fit, claim=passing(own_gate(self.engine.about)))
        if self.start is not None and self.start.volume and self.start.before is not None:
            first, last, count = self._with_earlier(self.start, first, last, count)
        adapter = Adapter(
            parent=self.engine.about.sha256,
            volume=self.content,
            prompt=self.prompt,
            axis=self.plan.axis,
            lessons=self.lessons,
            fit=fit,
            deltas=deltas,
            seed=self.seed,
            steps=student.step,
            start="" if self.start is None else self.start.id,
            cases=1 if self.start is None else self.start.cases + (not self.start.volume),
            before=first,
            after=last,
            left_out=count,
            knew=self.knew,
        )
        return Adapted(adapter, time.monotonic() - self.began, self.carried)

    def _deltas(self, student: Student, parent: BoltzFormer) -> dict[str, NDArray[np.float16]]:
        """What is added to the parent's weights."""
        own, begun = dict(parent.named_parameters()), {} if self.start is None else self.start.deltas
        made = dict[str, NDArray[np.float16]]()
        for name, tensor in student.kept.items():
            learnt = (tensor.detach() - own[name].detach()).float().cpu().numpy()
            first = begun[name].astype(np.float32) if name in begun else np.float32(0)
            made[name] = (first + np.float32(self.share) * (learnt - first)).astype(np.float16)
        return {name: delta for name, delta in made.items() if delta.any()}

    def _with_earlier(
        self, start: Adapter, first: float | None, last: float | None, count: int
    ) -> tuple[float | None, float | None, int]:
        """The means over these checks and those before them."""
        if first is None or last is None or start.before is None or start.after is None:
            return start.before, start.after, start.left_out
        total = start.left_out + count
        both = ((start.before, first), (start.after, last))
        first, last = ((old * start.left_out + new * count) / total for old, new in both)
        return first, last, total

    def _plain(self, seen: _Seen) -> float:
        """Dice of a model as it answers by itself."""
        gate = own_gate(self.engine.about)
        claimed = 1.0 if seen.existence is None else 1 / (1 + float(np.exp(-seen.existence)))
        return _dice(self._mask(seen.logits) & (claimed >= gate), seen.lesson.mask)

    @cached_property
    def usual(self) -> float:
        """Trust in neighbours before anything was left out to tell."""
        return SCATTERED if scattered(self.lessons) else TRUST

    def _chosen(self, seen: Sequence[_Seen], fit: Fit) -> tuple[Fit, float]:
        """The trust in neighbours and the shift that do best on what was left out, and their Dice there."""
        near = Neighbours(self.lessons, self.plan, fit)
        out: Collection[int] = {one.lesson.index for one in seen}
        heard = [said(near, one.lesson.index, self.plan, len(one.logits), out) for one in seen]
        area = float(np.mean([one.lesson.mask.sum() for one in seen if one.lesson.mask.any()]))

        def dice(tried: Fit) -> tuple[float, float]:
            """Mean Dice where the object is; and what is marked where it is not, as a share of its area."""
            good, wrong = list[float](), [0.0]
            for one, other in zip(seen, heard, strict=True):
                mask = self._mask(combined(one.logits, other, tried))
                if one.lesson.mask.any():
                    good.append(_dice(mask, one.lesson.mask))
                else:
                    wrong.append(min(1.0, float(mask.sum()) / area))
            return float(np.mean(good)), max(wrong)

        def score(tried: Fit) -> float:
            unusual = abs(TRUSTS.index(tried.trust) - TRUSTS.index(self.usual)) + 2 * abs(tried.shift)
            good, wrong = dice(tried)
            return good - 0.5 * wrong - SLACK * unusual

        best = max((replace(fit, trust=a, shift=b) for a, b in product(TRUSTS, SHIFTS)), key=score)
        return best, dice(best)[0]

    def _claim(self, seen: Sequence[_Seen]) -> float | None:
        """Half-way between what existence said of lessons with and without the object that were left out.

        Only where there are enough of both, and it told them apart with room to spare: a gate that errs takes away
        whole slices (so learnt from few, it cost 0.1 of Dice on four of six volumes).
        """
        empty = sum(not one.mask.any() for one in self.lessons)
        there = [one.existence for one in seen if one.existence is not None and one.lesson.mask.any()]
        gone = [one.existence for one in seen if one.existence is not None and not one.lesson.mask.any()]
        if min(empty, len(self.lessons) - empty) < ENOUGH or not there or not gone:
            return None
        return (min(there) + max(gone)) / 2 if min(there) - max(gone) >= ROOM else None

    def _mask(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        return self.plan.mask(to_int8(logits))


def scattered(lessons: Sequence[Lesson]) -> bool:
    """Whether a usual lesson shows many objects."""
    counts = [int(pieces(one.mask).max()) for one in lessons if one.mask.any()]
    return float(np.median(counts)) >= MANY


def _dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return 2 * float((mask & truth).sum()) / max(1, int(mask.sum()) + int(truth.sum()))
