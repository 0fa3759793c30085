"""Which slices come back accepted when an image's last work does: what is kept of accepted slices lies beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from boltzformer.types import SliceState

States = Mapping[str, Sequence[SliceState]]
"""By mask and slice."""


def ticked(
    own: States, spoken: States, edited: Mapping[str, Collection[int]], newer: Mapping[str, Collection[int]]
) -> States:
    """`own` is what the work says itself, `spoken` what was accepted beside it. A slice that a person changed after
    they had accepted it (`edited`) comes back as they left it, without its tick, but where that word is `newer`."""
    found = dict(own)
    for name, states in spoken.items():
        again = set(edited.get(name, ())).difference(newer.get(name, ()))
        mine = own.get(name) or [SliceState.UNSEEN] * len(states)
        pairs = enumerate(zip(mine, states, strict=True))
        found[name] = [
            here if here is not SliceState.UNSEEN or row in again else beside for row, (here, beside) in pairs
        ]
    return found
