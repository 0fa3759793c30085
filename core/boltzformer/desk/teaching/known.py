"""`Known`: what is known of one mask's lessons: a person's slices, what was learnt from which of them, and whether any
is news since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.whose import Bits
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.lessons import Adapted, Adapter

OFFERED_FROM = 2
"""Lessons from which learning is offered."""


@dataclass
class Known:
    """By row of the viewer."""

    order: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """A person's rows as they were seen last; the newest is the last."""
    learnt: Adapted | None = None
    model: str = ""
    """By which name the parent was asked."""
    taught: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """Rows of the last learning, as they were."""
    before: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """Nobody's rows as they were before anything was learnt."""
    settled: dict[int, Bits] = field(default_factory=dict[int, Bits])
    """Rows as they were when learning was ended by a person, or the work of another day came back: no learning begins
    by itself because of them."""
    earlier: bool = False
    """What was learnt is of another day, which knows no before."""

    def note(self, track: Track) -> Known:
        """Brings the order of a person's rows up to date."""
        rows = {row for row in track.touched | set(track.whose.said) if track.belongs_to_a_person(row)}
        for row in [row for row in self.order if row not in rows]:
            del self.order[row]
        for row in sorted(rows):
            bits = np.packbits(track.mask(row))
            if row not in self.order or not np.array_equal(self.order[row], bits):
                self.order.pop(row, None)
                self.order[row] = bits
        return self

    def bring_back(self, plan: SlicePlan, model: str, adapter: Adapter) -> None:
        """What was learnt on another day."""
        self.learnt, self.model, self.earlier = Adapted(adapter, 0.0), model, True
        self.taught = {plan.canonical_index(one.index): np.packbits(one.mask) for one in adapter.lessons}

    def settle(self) -> None:
        """Nothing is news."""
        self.settled = dict(self.order)

    @property
    def has_more(self) -> bool:
        """Whether there is more to learn from than was learnt."""
        return len(self.order) >= OFFERED_FROM and self._differs(self.taught)

    @property
    def has_news(self) -> bool:
        """Whether a person changed a slice, or said something of one, since it was settled."""
        return self._differs(self.settled)

    def _differs(self, then: Mapping[int, Bits]) -> bool:
        blank = np.zeros(0, np.uint8)
        return any(not np.array_equal(bits, then.get(row, blank)) for row, bits in self.order.items())
