"""What the looks of one slice amount to: what is asked, shares inside and outside the mask, the sentence, the picture
that dims. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltzformer.desk.words import named
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.pictures import CYAN, DIM, WHITE, Picture, border, brightness, on_slice, smooth_on_slice
from boltzformer.types import LookTrace, SamplingTrace

OCTAVES = 3
"""The scale of chances ends at 2³ times chance, and at as small a part of it."""
EVERYWHERE = 0.5
"""Looks that visit more than this share of a slice narrow nothing down."""
SETTLED = 2.0
"""A last look that visits the mask less than twice as much as the rest has not settled."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Looks:
    """All that is shown of one slice and prompt."""

    prompt: str
    row: int
    """The slice, as the viewer counts."""
    seed: int
    picture: Picture
    """The slice as the model sees it, upright, with its rows and columns."""
    plan: SlicePlan
    trace: SamplingTrace
    mask: NDArray[np.bool_]
    """The answer that these looks led to, in the canonical view."""
    query: int | None = None
    """The one whose looks these are, from 0; None = all together."""

    @property
    def thing(self) -> str:
        """What was looked at."""
        return "picture" if self.plan.count == 1 else "slice"

    @property
    def place(self) -> str:
        """The same among the others of its image."""
        return named(self.row, self.plan.count)


@dataclass(frozen=True)
class Shares:
    """Mean share of queries and heads that visited a place of a region."""

    inside: float | None
    """The mask; None where there is none."""
    elsewhere: float | None


def shares(look: LookTrace, plan: SlicePlan, mask: NDArray[np.bool_]) -> Shares:
    """How much of the mask, and of the rest of what the network saw, was looked at."""
    seen, inside = on_slice(look.visited, plan, *plan.crop_shape), mask[plan.crop]
    return Shares(*(float(seen[where].mean()) if where.any() else None for where in (inside, ~inside)))


def samples(trace: SamplingTrace) -> bool:
    """Whether places were drawn. Where they are not, visits follow from the chances; empty rows only lift them all."""
    return any(float(np.std(look.visited - look.probability)) > 1e-4 for look in trace.layers)


def headline(looks: Looks) -> str:
    """What happened between the first look and the last, computed for this one."""
    trace, count, thing = looks.trace, len(looks.trace.layers), looks.thing
    first, last = (shares(look, looks.plan, looks.mask) for look in (trace.layers[0], trace.layers[-1]))
    everywhere = float(trace.layers[-1].visited.mean())
    if not samples(trace):
        how = f"the whole {thing}" if everywhere > 1 - 1e-6 else "every place that its own guess claims"
        return f"This model does not sample: each look visits {how}."
    if everywhere >= EVERYWHERE:
        return f"It looked everywhere: look {count} still visited {percent(everywhere)} of the {thing}."
    if first.inside is None or last.inside is None:
        start = float(trace.layers[0].visited.mean())
        return f"No mask in this {thing}. Look 1 visited {percent(start)} of it; look {count}: {percent(everywhere)}."
    if first.elsewhere is None or last.elsewhere is None:
        return (
            f"The mask is the whole {thing}. Look 1 saw {percent(first.inside)}; look {count}: {percent(last.inside)}."
        )
    said = (
        f"ook 1 saw {percent(first.inside)} of the final mask and {percent(first.elsewhere)} of the rest; "
        f"look {count}: {percent(last.inside)} and {percent(last.elsewhere)}."
    )
    return f"It never settled: l{said}" if last.inside < SETTLED * last.elsewhere else f"L{said}"


def caption(looks: Looks, *, chances: bool = False) -> str:
    """The legend that lets the picture stand alone."""
    count = len(looks.trace.layers)
    number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    if not samples(looks.trace):
        times = "once" if count == 1 else f"{number} times"
        return (
            f"The model looks at the {looks.thing} {times} and draws none of its places. "
            "Cyan is what it guessed before a look; the white outline is the answer."
        )
    return (
        f"The model takes {number} looks in large, middle and small squares by turns: the first almost at random, "
        f"later ones where its own guess (cyan) was stronger. {LIT[chances]} "
        f"Lit means *looked at*, not *{looks.prompt}*; the white outline is the answer."
    )


LIT = {
    False: "The brighter a square, the more of its searching points looked there.",
    True: "The brighter a square, the likelier it was to be looked at, compared with chance.",
}
"""What is lit: where it looked, or where it was likely to."""


def light_of_visits(look: LookTrace) -> NDArray[np.float32]:
    """(h, w): how much of the image shows, by the share of queries and heads that visited."""
    return brightness(look.visited)


def light_of_chances(look: LookTrace) -> NDArray[np.float32]:
    """(h, w): the same by the chance to be visited, as a multiple of its mean (× chance), on one logarithmic scale."""
    chance = float(look.probability.mean())
    with np.errstate(divide="ignore"):
        octaves = np.log2(look.probability / chance) if chance else np.zeros_like(look.probability)
    share = (np.clip(octaves, -OCTAVES, OCTAVES) + OCTAVES) / (2 * OCTAVES)
    return (DIM + (1 - DIM) * share).astype(np.float32)


def chance_level(trace: SamplingTrace) -> float:
    """The share that looking at random would visit: as the shared pictures mark it."""
    return float(np.mean([look.visited.mean() for look in trace.layers]))


def percent(share: float, *, short: bool = False) -> str:
    """18 %; what is not quite nothing, or not quite all, is not rounded to it."""
    if 0 < share < 0.01:
        return "< 1 %" if short else "under 1 %"
    if 0.99 < share < 1:
        return "> 99 %" if short else "over 99 %"
    return f"{100 * share:.0f} %"


def veil(
    plan: SlicePlan, light: NDArray[np.float32], look: LookTrace, mask: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """(rows, columns, 4): black that lets the image through where it is lit, the guess in cyan, the mask in white."""
    rows, columns = plan.slice_shape
    seen = np.full((rows, columns), DIM, np.float32)
    seen[plan.crop] = on_slice(light, plan, *plan.crop_shape)
    picture = np.zeros((rows, columns, 4), np.uint8)
    picture[..., 3] = np.rint(255 * (1 - seen))
    inside = picture[plan.crop]
    inside[border(smooth_on_slice(look.guess, plan, *plan.crop_shape) >= 0.5)] = (*CYAN, 255)
    if mask is not None:
        picture[border(mask)] = (*WHITE, 255)
    return picture
