"""Cases for layouts that know no unjudged slices: only labels on which somebody has a word in every slice."""

from __future__ import annotations

from collections.abc import Iterator

from boltzformer.dataset.accepted import Mask
from boltzformer.dataset.case import Case
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError
from boltzformer.types import SliceState

_KNOWN = (SliceState.REVIEWED, SliceState.EMPTY)


def judged(dataset: Dataset) -> Iterator[tuple[Case, dict[str, Mask]]]:
    """Cases in gray with their masks by label, one after the other; refuses a dataset without any."""
    found = False
    for case in dataset.cases():
        if masks := _masks(case):
            found = True
            yield case, masks
    if not found:
        raise DatasetError(
            f"{dataset.path} has no gray volume with a label judged in all slices: there is nothing to export."
        )


def _masks(case: Case) -> dict[str, Mask]:
    """Of the labels that are judged everywhere, if any of them is anywhere."""
    names = [name for name, states in case.states.items() if all(one in _KNOWN for one in states)]
    masks = {name: case.mask(name) for name in names}
    return masks if any(mask.any() for mask in masks.values()) and case.volume.array.ndim == 3 else {}
