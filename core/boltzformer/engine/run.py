"""`Run`: one segmentation as it was asked, which slice comes next, and how far it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from boltzformer.engine.ahead import Ahead
from boltzformer.engine.answering import Question
from boltzformer.engine.devices import Effort
from boltzformer.engine.scout import Scout
from boltzformer.errors import BoltzFormerError
from boltzformer.image.guidance import Guidance, Hint, as_guidance, check, hint
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.image.slicing import SlicePlan
from boltzformer.image.tiling import Tiling
from boltzformer.model.boltzformer import ImageState
from boltzformer.model.config import ModelConfig
from boltzformer.types import MOST_SAMPLES, Adjusted, Prompt, SliceResult, Volume
from boltzformer.weights.checkpoint import Checkpoint

LARGEST, LARGEST_REGION = 2, 4
"""How many times larger than in training the network's input may be: of a whole slice, and of a region of one."""
Slices = Iterable[int] | Callable[[], int | None]
"""Which slices: their stored numbers in the order wanted, or what to call for the next one (None: no more)."""


@dataclass
class Run:
    """One call of `segment`: what was asked, and how far it is."""

    volume: Volume
    plan: SlicePlan
    window: Window
    region: Region | None
    question: Question
    next_index: Callable[[], int | None]
    focus: int | None
    """The slice that the user looks at; None: the one that was asked for last."""
    effort: Effort
    voxels: str = ""
    """Stands for the hash of the voxels where not all of them are there yet; empty: hash them."""
    waiting: deque[int] = field(default_factory=deque[int])
    encoded: dict[int, ImageState] = field(default_factory=dict[int, ImageState])
    done: dict[int, SliceResult] = field(default_factory=dict[int, SliceResult])
    adjusted: list[Adjusted] = field(default_factory=list[Adjusted])
    tiling: Tiling | None = None
    """How a large picture is cut; None: slices are looked at as they are."""
    ahead: Ahead = field(default_factory=Ahead)
    scout: Scout | None = None
    """What hears of every answer, where not all slices are asked."""

    def cut(self, indices: Sequence[int]) -> Tensor:
        """(B, 3, H, W): what the network sees of slices."""
        return torch.stack(
            [torch.from_numpy(self.plan.network_slice(self.volume.array, self.window, one)) for one in indices]
        )

    def look_ahead(self, count: int) -> bool:
        """Asks for slices until `count` wait; False if none is left. Never more than needed: the user may move."""
        while len(self.waiting) < count:
            index = self.next_index()
            if index is None:
                break
            self.waiting.append(check_slices([index], self.plan)[0])
        return bool(self.waiting)


def outwards(indices: Sequence[int], start: int | None) -> list[int]:
    """All slices, the visible one first, then its neighbours on both sides."""
    middle = indices[len(indices) // 2] if start is None else min(max(start, indices[0]), indices[-1])
    return sorted(indices, key=lambda index: (abs(index - middle), index))


def check_slices(slices: Iterable[int], plan: SlicePlan) -> list[int]:
    """Each asked slice once, in the order asked."""
    order, known = list(dict.fromkeys(int(index) for index in slices)), plan.indices
    outside = [index for index in order if index not in known]
    if outside or not order:
        where = "volume" if plan.box is None else "region"
        raise BoltzFormerError(
            f"Slices {outside or order} don't exist: the {where} has slices {known[0]} to {known[-1]}."
        )
    return order


def check_amounts(samples: int, batch_size: int | None, cache_bytes: int) -> None:
    """Refuses less than can be done, and more than is good."""
    for name, value, least in (
        ("samples", samples, 1),
        ("batch_size", batch_size, 1),
        ("cache_bytes", cache_bytes, 0),
    ):
        if value is not None and value < least:
            raise BoltzFormerError(f"{name} is {value}: give at least {least}.")
    if samples > MOST_SAMPLES:
        raise BoltzFormerError(f"{samples} samples can't be drawn: give 1 to {MOST_SAMPLES}.")


def check_side(side: int, config: ModelConfig, *, whole: bool) -> None:
    """Refuses network inputs that the model can't read, or whose details it never learned to read."""
    stride = config.encoder.strides[-1]
    if side != config.image_size and (side < stride or side % stride):
        raise BoltzFormerError(
            f"This model can't look at slices of {side} pixels: give a multiple of {stride}, such as "
            f"{2 * config.image_size // stride * stride}; it was trained at {config.image_size}."
        )
    if side > LARGEST * config.image_size and whole:
        raise BoltzFormerError(
            f"Whole slices of {side} pixels are too large for this model, which was trained at {config.image_size}: "
            f"give at most {LARGEST * config.image_size}, or a region to look at enlarged."
        )
    if side > LARGEST_REGION * config.image_size:
        raise BoltzFormerError(
            f"Regions of {side} pixels are too large for this model, which was trained at {config.image_size}: "
            f"give at most {LARGEST_REGION * config.image_size}."
        )


def followed(
    guidance: Guidance | Sequence[Guidance] | None, plan: SlicePlan, prompts: Sequence[Prompt], about: Checkpoint
) -> tuple[Guidance, ...]:
    """Guidance for prompts that are asked and places that are looked at, if the model can follow it."""
    given = as_guidance(guidance)
    check(given, plan, [prompt.text for prompt in prompts])
    if about.config.decoder.attention == "full" and any(one.here or one.not_here for one in given):
        raise BoltzFormerError(
            f"The model '{about.history.name}' looks at everything in every layer, so no point can lead its looks: "
            "give a box instead, or take a model that samples."
        )
    return given


def one_after_another(order: Sequence[int]) -> Callable[[], int | None]:
    left = iter(order)
    return lambda: next(left, None)


def shown(volume: Volume, window: Window | None) -> Window:
    """The window, and no surprise about voxels later."""
    if volume.array.dtype.kind not in "biuf":
        raise BoltzFormerError(f"Voxels of type {volume.array.dtype} can't be shown: give real numbers.")
    return window or volume.window()


def hints_of(question: Question, plan: SlicePlan, index: int) -> list[Hint]:
    """Per prompt, what guidance says about a slice."""
    return [hint(question.guidance, plan, index, prompt.text) for prompt in question.prompts]
