"""Which patients are held back from a fine-tuning, to tell whether the new model is better, and whether they can: one
rule for what is said beforehand and for what is done."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

ENOUGH_GROUPS = 3
"""With fewer patients none can be held back."""
HELD_BACK = 5
"""One patient in so many, where nobody drew a split."""
NAMED = 2
"""So many objects are named in a sentence."""

Shown = Mapping[str, Collection[str]]
"""Group (patient) → targets that somebody marked in it."""


def held_back(groups: Collection[str], drawn: Collection[str] = ()) -> frozenset[str]:
    """Groups that validate. What was `drawn` holds, unless it parts nobody from nobody; else they are drawn by their
    names' hashes, the same ones whenever it is asked."""
    mine = frozenset(drawn) & frozenset(groups)
    if mine and mine < frozenset(groups):
        return mine
    if len(groups) < ENOUGH_GROUPS:
        return frozenset()
    ordered = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    return frozenset(ordered[: max(1, len(groups) // HELD_BACK)])


def lacking(shown: Shown, drawn: Collection[str], names: Mapping[str, str], who: str) -> str:
    """What has to be accepted before anybody can tell whether a new model is better: those that are held back must show
    something that the others teach. '' where they do. `names`: target → as it is asked."""
    held = held_back(shown, drawn)
    if not held:
        more = max(ENOUGH_GROUPS - len(shown), 1)
        return f"slices of {more} more {who}{'' if more == 1 else 's'}"
    validated = {target for group, targets in shown.items() if group in held for target in targets}
    taught = {target for group, targets in shown.items() if group not in held for target in targets}
    if not validated.isdisjoint(taught):
        return ""
    some = " or ".join(f"'{names.get(target, target)}'" for target in sorted(validated)[:NAMED])
    return f"{some or 'the same object'} in another {who}, too"
