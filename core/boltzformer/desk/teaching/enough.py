"""What is said of a mask that has not learnt yet: how many of its slices are a person's, and how many of these hold
nothing or too little (by so many there are more of them than are marked, and than are learnt from)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from boltzformer.desk.masks.whose import Bits
from boltzformer.desk.models.choice import shown_name
from boltzformer.desk.words import counted
from boltzformer.masks.lessons import LEAST, Adapter


def enough(name: str, slices: Iterable[Bits]) -> str:
    """As `masks.lessons.without_specks` will have it: where others show the object, specks teach nothing."""
    marked = [int(np.unpackbits(bits).sum()) for bits in slices]
    blank, few = marked.count(0), sum(0 < one < LEAST for one in marked)
    parts = [f"{blank} empty"] if blank else []
    parts += [f"{few} with too few pixels to teach"] if few and max(marked) >= LEAST else []
    of_them = f" ({', '.join(parts)})" if parts else ""
    told = f"You have corrected or accepted {counted(len(marked))} of '{name}'"
    if not any(marked):
        return f"{told}, all of them empty: what it looks like is learnt from one that shows it."
    return f"{told}{of_them}: enough to teach the rest."


def begins(name: str, have: int, carried: Adapter | None) -> str:
    """Of one that has too few of a person's slices; `carried`: what the images before it taught."""
    if carried is not None:
        whose = "the last image" if carried.cases == 1 else f"the last {carried.cases} images"
        return f"'{name}' starts from what {whose} taught. Correct or accept two slices to see if that holds here."
    want = "one more slice" if have else "two slices"
    return f"Correct or accept {want} of '{name}', and the rest learns from them."


def of_another(name: str, theirs: str, model: str) -> str:
    """Of one that another model learnt; `theirs`, the name of that one, may be the same."""
    if theirs == model:
        return f"What '{name}' was taught belongs to the model that was '{shown_name(model)}' before: learn again."
    return f"'{name}' was taught with '{shown_name(theirs)}': learn again with '{shown_name(model)}'."
