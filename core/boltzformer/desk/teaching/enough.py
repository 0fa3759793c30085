"""How many slices of a mask are a person's, and how many of these hold nothing or too little: by so many there are more
of them than are marked, and than are learnt from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from boltzformer.desk.masks.whose import Bits
from boltzformer.desk.words import counted
from boltzformer.masks.lessons import LEAST


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
